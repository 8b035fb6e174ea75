"""Searches for a master that overlap lose no sentinel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.sentinel import Sentinel

from sharedbreaker.store.sentinels import AsyncSentinels, Sentinels

MASTER = {
    "ip": "10.0.0.1", "port": 6379, "is_master": True, "is_sdown": False, "is_odown": False,
    "num-other-sentinels": 2,
}  # fmt: skip

pytestmark = pytest.mark.sync_only("each kind has its own test")


class FakeSentinel:
    """One sentinel; ``meanwhile`` is what happens while the first question to it is under way."""

    def __init__(self, *, is_dead: bool = False) -> None:
        self.is_dead = is_dead
        self.asked = 0
        self.meanwhile: Callable[[], object] = int

    def sentinel_masters(self) -> dict[str, Any]:
        self.asked += 1
        meanwhile, self.meanwhile = self.meanwhile, int
        meanwhile()
        if self.is_dead:
            raise RedisConnectionError("refused")
        return {"mymaster": MASTER}


class FakeAsyncSentinel(FakeSentinel):
    async def sentinel_masters(self) -> dict[str, Any]:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().sentinel_masters()


def test_threads_that_look_at_once_keep_every_sentinel() -> None:
    """A search that overtakes another leaves all sentinels known, and the user's own list as it was."""
    dead, answers, third = FakeSentinel(is_dead=True), FakeSentinel(), FakeSentinel()
    users: Any = Sentinel([])
    users.sentinels = [dead, answers, third]
    ours = Sentinels(users)
    answers.meanwhile = lambda: ours.discover_master("mymaster")

    assert ours.discover_master("mymaster") == ("10.0.0.1", 6379)

    assert {*ours.sentinels} == {dead, answers, third}
    assert users.sentinels == [dead, answers, third]
    answers.is_dead = True
    assert ours.discover_master("mymaster") == ("10.0.0.1", 6379)
    assert third.asked == 1


def test_tasks_that_look_at_once_keep_every_sentinel() -> None:
    """Eight tasks that find the first sentinel dead leave all of them known, and all of them to be closed."""
    ours = AsyncSentinels([], 0, {})
    sentinels: Any = [FakeAsyncSentinel(is_dead=True), FakeAsyncSentinel(), FakeAsyncSentinel()]
    ours.sentinels, ours.all = list(sentinels), tuple(sentinels)

    async def look() -> list[Any]:
        return await asyncio.gather(*(ours.discover_master("mymaster") for _ in range(8)))

    assert asyncio.run(look()) == [("10.0.0.1", 6379)] * 8
    assert {*ours.sentinels} == {*sentinels}
    assert len(ours.sentinels) == len(sentinels)
