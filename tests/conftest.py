"""What all tests share: a real Redis server of their own."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Generator, Iterator

import pytest
from redis import Redis

import breaker_kinds
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.store.settling import _stores

SKIP_NOTHING = bool(os.environ.get("SHAREDBREAKER_SKIP_NOTHING"))
SPECIFIED_KEYS = re.compile(r"[^{}]+:\{[^{}]+\}(:leases|:events|:batches)?|[^{}]+:breakers")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--breakers",
        choices=[*breaker_kinds.KINDS, "both"],
        default="both",
        help="the kind of breaker for tests that are about either (default: both, one after the other)",
    )


def pytest_configure(config: pytest.Config) -> None:
    # Where a shell started all this in the background, whoever is started here would hear no Ctrl-C.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "sync_only(why): runs once, with the breaker for threads")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    path = metafunc.definition.path
    if path.parent.name not in breaker_kinds.FOR_BOTH and path.stem not in breaker_kinds.FILES_FOR_BOTH:
        return
    if metafunc.definition.get_closest_marker("sync_only") is not None:
        return
    chosen = metafunc.config.getoption("breakers")
    kinds = list(breaker_kinds.KINDS) if chosen == "both" else [chosen]
    metafunc.parametrize("breaker_kind", kinds, indirect=True)


@pytest.fixture(autouse=True)
def breaker_kind(request: pytest.FixtureRequest) -> Iterator[str]:
    """The kind of breaker that this test is about."""
    kind: str = getattr(request, "param", "sync")
    breaker_kinds.begin(kind)
    yield kind
    _leave_nothing_behind()
    breaker_kinds.end()


@pytest.fixture(autouse=True)
def google_ai_breakers_of_one_test() -> Iterator[None]:
    """The three breakers are the process' own: what one test has built, no other sees."""
    yield
    google_ai = sys.modules.get("sharedbreaker.google_ai")
    if google_ai is not None:
        google_ai.initialize_circuit_breakers({"circuit_breaker": {"enabled": False}})


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One server for the whole session. A test that stops or freezes a server starts its own."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[Redis]:
    """A client of the session's server, emptied; afterwards only specified keys may be there."""
    client = redis_server.client(decode_responses=True)
    client.flushall()
    yield client
    strangers = [key for key in client.scan_iter() if not SPECIFIED_KEYS.fullmatch(key)]
    client.close()
    assert not strangers, f"keys that the specification does not name: {strangers}"


def _leave_nothing_behind() -> None:
    """Have told, or forget, what breakers hold back: it would come into the circuits of later tests."""
    for store in _stores.alive():
        if store.here()[1] and not store.settle_at_exit():
            store.forget()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where everything that tests need was to be installed."""
    report = yield
    if SKIP_NOTHING and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
    return report


@pytest.fixture(scope="module")
def redis_of_rules(redis_server: RedisServer) -> Iterator[Redis]:
    """A database of the session's server with a clock of the test's own in it."""
    client = Redis(port=redis_server.port, db=9, decode_responses=True)
    yield client
    client.flushdb()
    client.close()
