"""Endpoints whose annotations are text, as `from __future__ import annotations` has it, guarded or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI, Header, Query
from pydantic import BaseModel

Guard = Callable[[Any], Any]


class Order(BaseModel):
    """What a client orders."""

    article: str
    number: int = 1


def who(x_user: Annotated[str, Header()] = "nobody") -> str:
    return x_user


async def async_who(x_user: Annotated[str, Header()] = "nobody") -> str:
    return x_user


User = Annotated[str, Depends(who)]
AsyncUser = Annotated[str, Depends(async_who)]


def app_with(guard: Guard, async_guard: Guard, *, above: bool = False) -> FastAPI:
    """Give an app whose endpoints are decorated, below the route's decorator or ``above`` it."""
    app = FastAPI()

    def guarded(route: Guard, with_guard: Guard) -> Guard:
        return lambda func: with_guard(route(func)) if above else route(with_guard(func))

    @guarded(app.post("/orders/{shop}"), guard)
    def order(shop: int, order: Order, user: User, tags: Annotated[list[str], Query()] = []) -> Order:  # noqa: B006
        """Order something."""
        return Order(article=f"{order.article} of {shop} for {user} {tags}", number=order.number)

    @guarded(app.put("/orders/{shop}"), async_guard)
    async def reorder(
        shop: int, user: AsyncUser, order: Annotated[Order, Body(embed=True)], *, times: int = 2
    ) -> dict[str, int | str]:
        """Order it again."""
        return {"shop": shop, "user": user, "number": order.number * times}

    return app
