"""Case SB-078: whatever is awaitable is watched to its end, or refused; it is no success when it is made."""

from __future__ import annotations

import asyncio
import functools
import gc
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from case_google import GoogleCircuits, needs_genai, of_google
from case_google import all_servers as all_servers
from case_google import circuits as circuits
from case_google import servers as servers
from redis import Redis
from ways import MODEL, genai_client

from circuit_in_redis import CircuitInRedis
from guarded_calls import ServiceDownError
from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker, CircuitBreakerError, circuit_breaker
from sharedbreaker.demo.google_ai_server import Behaviour
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.google_errors import outcome_of

pytestmark = of_google


async def down(_: object = None) -> None:
    await asyncio.sleep(0)
    raise ServiceDownError("503")


class Service:
    async def __call__(self) -> None:
        await down()

    async def bound(self) -> None:
        await down()

    @classmethod
    async def of_class(cls) -> None:
        await down()

    @staticmethod
    async def static() -> None:
        await down()


def returns_a_coroutine() -> Awaitable[None]:
    return down()


def returns_a_future() -> Awaitable[None]:
    return asyncio.ensure_future(down())


class OwnAwaitable:
    def __await__(self) -> Any:
        return down().__await__()


FORMS: dict[str, Callable[[], Any]] = {
    "coroutine function": down,
    "partial": functools.partial(down, 1),
    "callable object": Service(),
    "bound method": Service().bound,
    "class method": Service.of_class,
    "static method": Service.static,
    "function that returns a coroutine": returns_a_coroutine,
    "lambda": lambda: down(None),
    "function that returns a future": returns_a_future,
    "function that returns an awaitable": OwnAwaitable,
}
SEEN_BY_THEIR_RESULT = [
    name for name in FORMS if name == "lambda" or name.startswith("function that returns")
]
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
by_either = pytest.mark.parametrize("by", ["call", "decorator"])


def guard(breaker: Any, form: Any, by: str) -> Callable[..., Any]:
    """Give what calls ``form`` under ``breaker``."""
    if by == "decorator":
        decorated: Callable[..., Any] = circuit_breaker(breaker)(form)
        return decorated
    return functools.partial(breaker.call, form)


def call_guarded(breaker: Any, form: Any, by: str, **arguments: Any) -> Any:
    return guard(breaker, form, by)(**arguments)


@pytest.mark.parametrize(
    ("by", "form"),
    [
        pytest.param(by, form, id=f"{by}-{name}")
        for by in ("call", "decorator")
        for name, form in FORMS.items()
        if by == "call" or name not in SEEN_BY_THEIR_RESULT
    ],
)
@pytest.mark.parametrize("max_staleness", [0.0, 3600.0], ids=["strict", "stale"])
def test_sb078_failing_awaits_open_the_circuit(
    redis: Redis, redis_server: RedisServer, form: Any, by: str, max_staleness: float
) -> None:
    """Five awaits that fail open the circuit, in whatever form the awaitable comes."""
    breaker = AsyncCircuitBreaker(
        name="own", redis=redis_server.url, redis_timeout=5, failure_threshold=5, max_staleness=max_staleness
    )

    async def main() -> None:
        guarded = guard(breaker, form, by)
        for _ in range(5):
            with pytest.raises(ServiceDownError):
                await guarded()
        with pytest.raises(CircuitBreakerError):
            await guarded()

    asyncio.run(main())
    circuit = CircuitInRedis(redis, "own")
    assert (circuit.field("state"), circuit.number("failed_calls")) == ("open", 5)


@pytest.mark.parametrize("form", [FORMS[name] for name in SEEN_BY_THEIR_RESULT], ids=SEEN_BY_THEIR_RESULT)
def test_sb078_a_decorator_refuses_what_only_its_result_tells(form: Any) -> None:
    """A plain function may return an awaitable; the decorator says at once that it does not go by that."""
    with pytest.raises(TypeError, match="gives nothing to await"):
        circuit_breaker(AsyncCircuitBreaker(name="own"))(form)


@every_form
@by_either
def test_sb078_the_breaker_for_threads_refuses_what_is_awaited(redis: Redis, form: Any, by: str) -> None:
    """A TypeError says so: nothing is counted or left in flight, and no coroutine is left unawaited."""
    breaker = CircuitBreaker(name="own", redis=redis, redis_timeout=5, failure_threshold=5)

    async def main() -> None:
        with pytest.raises(TypeError, match="AsyncCircuitBreaker"):
            call_guarded(breaker, form, by)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asyncio.run(main())
        gc.collect()

    circuit = CircuitInRedis(redis, "own")
    assert circuit.leases() == {}
    counted = {name: count for name, count in circuit.tallies().items() if count} if circuit.fields() else {}
    assert not counted.keys() - {"released_calls", "ignored_calls"}


@needs_genai
@by_either
def test_sb078_methods_of_an_async_client_are_watched(
    circuits: GoogleCircuits, redis: Redis, redis_server: RedisServer, by: str
) -> None:
    """Google's own async methods, unguarded, under a breaker of a user's: failures count when they come."""
    circuits.servers.behave(Behaviour(status=503))
    breaker = AsyncCircuitBreaker(
        name="own",
        redis=redis_server.url,
        redis_timeout=5,
        failure_threshold=5,
        expected_exception=outcome_of,
    )

    async def main() -> None:
        async with genai_client(circuits.servers.address, 10).aio as aio:
            guarded = guard(breaker, aio.models.generate_content, by)
            for _ in range(5):
                with pytest.raises(Exception, match="503"):
                    await guarded(model=MODEL, contents="hi")
            with pytest.raises(CircuitBreakerError):
                await guarded(model=MODEL, contents="hi")

    asyncio.run(main())
    assert CircuitInRedis(redis, "own").number("failed_calls") == 5


@needs_genai
@by_either
def test_sb078_an_async_client_under_the_breaker_for_threads_is_refused(
    circuits: GoogleCircuits, redis: Redis, by: str
) -> None:
    """No success is counted for a coroutine that nobody has awaited, and nothing is asked."""
    breaker = CircuitBreaker(name="own", redis=redis, redis_timeout=5, expected_exception=outcome_of)

    async def main() -> None:
        async with genai_client(circuits.servers.address, 10).aio as aio:
            with pytest.raises(TypeError, match="AsyncCircuitBreaker"):
                call_guarded(breaker, aio.models.generate_content, by, model=MODEL, contents="hi")

    asyncio.run(main())
    assert circuits.requests() == 0
    assert redis.hget("sharedbreaker:{own}", "successful_calls") in {None, "0"}
