"""The site behind each shell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest
from playwright.sync_api import Browser
from redis import Redis
from served_page import chromium, served
from web_servers import SHELLS, TOKEN, Call, Client

from guarded_calls import succeed
from sharedbreaker import CircuitBreaker
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations.web import BreakerSite

Serve = Callable[..., Client]


@pytest.fixture(params=list(SHELLS))
def serve(request: pytest.FixtureRequest) -> Iterator[Serve]:
    """A function that serves a site, and perhaps an endpoint that calls a function, until the end."""
    shell: Callable[[BreakerSite, Call], AbstractContextManager[Client]] = SHELLS[request.param]
    with ExitStack() as stack:
        yield lambda site, call=lambda: None: stack.enter_context(shell(site, call))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser. While it is there an event loop runs in this thread, so it must not outlive its module."""
    with chromium() as started:
        yield started


@pytest.fixture
def breaker(redis: Redis) -> CircuitBreaker:
    made = CircuitBreaker(name="orders", redis=redis, failure_threshold=2, success_threshold=2)
    succeed(made)
    return made


@pytest.fixture
def address(redis_server: RedisServer, breaker: CircuitBreaker) -> Iterator[str]:
    with served(redis_server.url, token=TOKEN) as where:
        yield where
