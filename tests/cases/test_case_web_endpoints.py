"""Wild cases of the web: a decorated endpoint is to its framework what it was."""

from __future__ import annotations

import inspect
import typing
from typing import Any

import pytest
from case_endpoints import app_with
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from flask import Flask, url_for
from flask.views import MethodView
from redis import Redis

from circuit_in_redis import CircuitInRedis
from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker, circuit_breaker

PLACES = pytest.mark.parametrize("above", [False, True], ids=["below", "above"])


def unguarded(func: Any) -> Any:
    return func


@pytest.fixture
def breaker(redis: Redis) -> CircuitBreaker:
    return CircuitBreaker(name="orders", redis=redis, redis_timeout=5)


@pytest.fixture
def async_breaker(redis: Redis) -> AsyncCircuitBreaker:
    return AsyncCircuitBreaker(name="orders", redis=redis, redis_timeout=5)


@PLACES
def test_sb099_openapi_is_that_of_the_endpoint_undecorated(
    breaker: CircuitBreaker, async_breaker: AsyncCircuitBreaker, above: bool
) -> None:
    """FastAPI finds the same parameters, bodies, dependencies, names and docs behind either decorator."""
    app = app_with(circuit_breaker(breaker), circuit_breaker(async_breaker), above=above)

    assert app.openapi() == app_with(unguarded, unguarded).openapi()


def test_sb099_requests_are_answered_as_before_and_guarded(
    redis: Redis, breaker: CircuitBreaker, async_breaker: AsyncCircuitBreaker
) -> None:
    """Path, query, header and body reach the function, a bad one is 422, and each good one is a call."""
    app = app_with(circuit_breaker(breaker), circuit_breaker(async_breaker))
    with TestClient(app) as client, TestClient(app_with(unguarded, unguarded)) as plain:
        for method, path, body in (
            ("POST", "/orders/7?tags=a&tags=b", {"article": "tea", "number": 3}),
            ("PUT", "/orders/7?times=5", {"order": {"article": "tea", "number": 3}}),
            ("POST", "/orders/none", {"article": "tea"}),
            ("PUT", "/orders/7", {}),
        ):
            answers = [
                each.request(method, path, json=body, headers={"X-User": "ann"}) for each in (client, plain)
            ]
            assert answers[0].status_code == answers[1].status_code
            assert answers[0].json() == answers[1].json()

    assert CircuitInRedis(redis).number("successful_calls") == 2


def test_sb099_an_open_circuit_rejects_the_endpoint_itself(
    breaker: CircuitBreaker, async_breaker: AsyncCircuitBreaker
) -> None:
    """A decorated endpoint of either kind, under the middleware, is a 503."""
    from sharedbreaker.integrations.asgi import RejectionMiddleware

    app = app_with(circuit_breaker(breaker), circuit_breaker(async_breaker))
    app.add_middleware(RejectionMiddleware)
    breaker.force_open()
    with TestClient(app) as client:
        for method, body in (("POST", {"article": "tea"}), ("PUT", {"order": {"article": "tea"}})):
            assert client.request(method, "/orders/7", json=body).status_code == 503


@PLACES
def test_sb099_flask_knows_views_by_their_names(breaker: CircuitBreaker, above: bool) -> None:
    """Two decorated views are two endpoints with names of their own, and methods of a class are bound."""
    app = Flask("shop")
    guard = circuit_breaker(breaker)

    def first() -> str:
        return url_for("second", number=3)

    def second(number: int) -> str:
        return str(number + 1)

    class Third(MethodView):
        said = "third"

        @guard
        def get(self) -> str:
            return self.said

    for rule, view in (("/", first), ("/<int:number>", second)):
        if above:
            guard(app.route(rule)(view))
        else:
            app.route(rule)(guard(view))
    app.add_url_rule("/third", view_func=Third.as_view("third"))

    client = app.test_client()
    assert [client.get(path).text for path in ("/", "/3", "/third")] == ["/3", "4", "third"]
    assert set(app.view_functions) == {"static", "first", "second", "third"}


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_sb099_a_decorated_function_is_known_for_what_it_is(
    breaker: CircuitBreaker, async_breaker: AsyncCircuitBreaker, kind: str
) -> None:
    """Its name, doc, module, signature and annotations are the original's, and it says whose they are."""
    app = app_with(unguarded, unguarded)
    original = {route.name: route.endpoint for route in app.routes if isinstance(route, APIRoute)}
    func: Any = original["order" if kind == "sync" else "reorder"]
    guard: Any = circuit_breaker(breaker) if kind == "sync" else circuit_breaker(async_breaker)
    guarded = guard(func)

    for attribute in ("__name__", "__qualname__", "__doc__", "__module__"):
        assert getattr(guarded, attribute) == getattr(func, attribute)
    assert guarded.__wrapped__ is func
    assert inspect.signature(guarded) == inspect.signature(func)
    assert inspect.iscoroutinefunction(guarded) == inspect.iscoroutinefunction(func)
    hints = typing.get_type_hints(guarded)
    assert hints == typing.get_type_hints(func)
    assert not [name for name, hint in hints.items() if isinstance(hint, str)]
