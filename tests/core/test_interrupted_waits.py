"""A caller that is interrupted while it waits for Redis, as by a signal or a worker's abort."""

from __future__ import annotations

import pytest
from redis import Redis

import breaker_kinds
from circuit_in_redis import CircuitInRedis, fail, new_breaker, succeed
from sharedbreaker.store.async_link import AsyncLink
from sharedbreaker.store.link import Link
from sharedbreaker.store.steps import Command


def interrupt_after(monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    """Let the command at ``place`` from now on reach Redis, and raise before its answer is read."""
    run, run_async = Link.run, AsyncLink.run
    commands = iter(range(1000))

    def interrupted(link: Link, command: Command) -> object:
        reply = run(link, command)
        if next(commands) == place:
            raise SystemExit
        return reply

    async def interrupted_async(link: AsyncLink, command: Command) -> object:
        reply = await run_async(link, command)
        if next(commands) == place:
            raise SystemExit
        return reply

    if breaker_kinds.is_async():
        monkeypatch.setattr(AsyncLink, "run", interrupted_async)
    else:
        monkeypatch.setattr(Link, "run", interrupted)
        monkeypatch.setattr(Link, "ask", lambda link, packed: interrupted(link, Command((), None, packed)))


@pytest.mark.parametrize("place", [0, 1], ids=["admission", "report"])
def test_interrupted_probe_gives_its_place_back(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """A probe that is interrupted while it asks or reports does not hold its place until its lease ends."""
    breaker = new_breaker(redis, success_threshold=1, failure_threshold=1)
    fail(breaker)
    circuit = CircuitInRedis(redis)
    circuit.end_open_period()
    with monkeypatch.context() as patch:
        interrupt_after(patch, place)
        with pytest.raises(SystemExit):
            succeed(breaker)

    breaker._store.settle_at_exit()

    assert circuit.leases() == {}
    succeed(breaker)
    assert circuit.field("state") == "closed"
