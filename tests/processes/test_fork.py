"""Fork: parent and children share a circuit, and no socket, no token and nothing that is owed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from redis import Redis
from worker import fork_a_family, fork_with_a_report_owed
from workforce import SharedCircuit, Worker

from sharedbreaker.demo.redis_server import RedisServer

CHILDREN = 4
CALLS = 500

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A server whose rights this test may change."""
    with RedisServer() as server:
        yield server


def test_family_of_processes_counts_exactly_and_shares_nothing(
    redis_server: RedisServer, redis: Redis
) -> None:
    """A warm parent and four forked children make 500 calls each at once, and every one counts once."""
    worker = Worker(fork_a_family, url=redis_server.url, children=CHILDREN, calls=CALLS)
    worker.hear("ready")
    worker.tell()
    stories = worker.answer()

    assert [story.get("error") for story in stories] == [None] * (CHILDREN + 1)
    assert [story["own"] for story in stories] == [CALLS + 1] * (CHILDREN + 1)
    common = SharedCircuit(redis, "common")
    calls = (CHILDREN + 1) * CALLS
    assert common.number("failed_calls") == calls // 2
    assert common.number("successful_calls") == calls // 2 + 1
    assert (common.number("lost_calls"), common.number("late_results"), common.leases()) == (0, 0, {})
    tokens = [token for story in stories for token in story["tokens"]]
    assert len(set(tokens)) == calls


def test_each_process_of_a_family_has_a_name_of_its_own(redis_server: RedisServer, redis: Redis) -> None:
    """What a forked child does is in the events under the child's process id, not its parent's."""
    worker = Worker(fork_a_family, url=redis_server.url, children=CHILDREN, calls=1)
    worker.hear("ready")
    worker.tell()
    stories = worker.answer()

    told = [SharedCircuit(redis, f"own{number}").events()[-1]["who"] for number in range(CHILDREN + 1)]
    assert [who.rsplit(":", 1)[1] for who in told] == [str(story["pid"]) for story in stories]
    assert len({story["pid"] for story in stories}) == CHILDREN + 1


def test_report_that_the_parent_owes_is_told_by_the_parent_once(own_server: RedisServer) -> None:
    """A report that could not be told before a fork is not told by the child, and once by the parent."""
    worker = Worker(fork_with_a_report_owed, url=own_server.url)
    worker.hear("ready")
    worker.tell()

    assert worker.answer() == {"after_the_child": 0, "after_the_parent": 1}
