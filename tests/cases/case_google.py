"""What the cases about Google's SDKs share: the three circuits, and calls that go through them by any way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from addresses import Address
from redis import Redis
from sdk_servers import Servers
from sdk_servers import all_servers as all_servers
from sdk_servers import servers as servers
from ways import HAS_GENAI, HAS_GENERATIVEAI, WAYS, Ask, Way

from circuit_in_redis import CircuitInRedis, trip_and_wait
from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker
from sharedbreaker.demo.google_ai_server import Behaviour, GoogleAiService
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations import google_genai, google_generativeai

ROLES = ("text", "vision", "imagen")
SERVICES = dict(zip(ROLES, GoogleAiService, strict=True))
needs_genai = pytest.mark.skipif(not HAS_GENAI, reason="needs google-genai")
needs_generativeai = pytest.mark.skipif(not HAS_GENERATIVEAI, reason="needs google-generativeai")
every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
PATIENCE_SECONDS = 20
LONG = 3600.0
"""Of a staleness: nothing is told for its age."""

of_google = [
    pytest.mark.sync_only("these drive both kinds of breaker by themselves"),
    # The SDKs leave the sockets of answers that they could not read to their end to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:The generate_images method is deprecated"),
]
"""Marks of the tests that have Google's SDKs in them."""


class GoogleCircuits:
    """A circuit for each role, with breakers of both kinds, and what the service and Redis saw of calls."""

    def __init__(self, redis: Redis, redis_url: str, servers: Servers, max_staleness: float = 0) -> None:
        self._redis = redis
        self._redis_url = redis_url
        self._max_staleness = max_staleness
        self.servers = servers
        self.pairs = self.new_pairs()
        self._before = self._over_grpc()

    def new_pairs(self, **settings: Any) -> dict[str, Any]:
        """Make breakers for all roles, as another process would."""
        every: dict[str, Any] = {
            "failure_threshold": 5,
            "success_threshold": 1,
            "redis": self._redis_url,
            "redis_timeout": 5,
            "max_staleness": self._max_staleness,
            **settings,
        }
        return {
            role: (CircuitBreaker(name=role, **every), AsyncCircuitBreaker(name=role, **every))
            for role in ROLES
        }

    def circuit(self, role: str = "text") -> CircuitInRedis:
        return CircuitInRedis(self._redis, role)

    def requests(self, role: str = "text") -> int:
        """How many requests of any way have reached the service."""
        return self.servers.rest.books(SERVICES[role]).arrived + self._over_grpc() - self._before

    def _over_grpc(self) -> int:
        return 0 if self.servers.grpc is None else int(self.servers.grpc.requests)

    def calls(
        self, way: Way, asks: Iterable[Ask], timeout: float = 10.0, address: Address | None = None
    ) -> list[Any]:
        """Make guarded calls by ``way`` and by one client; give answers and errors."""
        where = address or self.servers.address
        return list(way.calls(where, asks, timeout, lambda made: self.guard(way, made)))

    def guard(self, way: Way, unguarded: Any) -> Any:
        sdk = google_genai if way.name.startswith("genai") else google_generativeai
        return sdk.guard(unguarded, **self.pairs)

    def through(self, behaviours: Iterable[Behaviour], *asks: Ask) -> Iterator[Ask]:
        """Give ``asks`` once for each behaviour, and have the servers behave so."""
        for behaviour in behaviours:
            self.servers.behave(behaviour)
            yield from asks

    def trip_and_wait(self, role: str = "text") -> CircuitInRedis:
        """Open a circuit by failures, and let its open period pass: the next call is the first probe."""
        return trip_and_wait(self.pairs[role][0], self._redis, role)


def raised_by(call: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        call()
    return caught.value


@pytest.fixture
def circuits(redis: Redis, redis_server: RedisServer, servers: Servers) -> GoogleCircuits:
    return GoogleCircuits(redis, redis_server.url, servers)


@pytest.fixture(params=[0.0, LONG], ids=["strict", "stale"])
def any_circuits(
    request: pytest.FixtureRequest, redis: Redis, redis_server: RedisServer, servers: Servers
) -> GoogleCircuits:
    """The same, and once more acting on a view that may be old."""
    return GoogleCircuits(redis, redis_server.url, servers, max_staleness=request.param)


def until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"did not come about in {PATIENCE_SECONDS} s: {what}"
        time.sleep(0.002)


def raising(error: Exception) -> Callable[[], Any]:
    def ask() -> Any:
        raise error

    return ask


def awaiting(function: Callable[[], Any]) -> Callable[[], Any]:
    async def ask() -> Any:
        return function()

    return ask


async def errors_of(call: Callable[[], Any], times: int) -> list[Exception]:
    """Await so many calls, one after the other, that must all fail."""
    errors: list[Exception] = []
    for _ in range(times):
        with pytest.raises(Exception) as caught:  # noqa: PT011
            await call()
        errors.append(caught.value)
    return errors
