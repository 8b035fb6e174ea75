"""Tallies of a busy fleet: what the processes counted for themselves is what the hash says, exactly."""

from __future__ import annotations

from redis import Redis
from worker import fail_again_and_again, mix
from workforce import SharedCircuit, Worker, all_at_once, workers

from sharedbreaker.demo.redis_server import RedisServer

PROCESSES = 8
CALLS = 10_000
TALLY_OF = {
    "success": "successful_calls",
    "failure": "failed_calls",
    "ignored": "ignored_calls",
    "released": "released_calls",
}


def test_80_000_mixed_calls_are_tallied_exactly(redis_server: RedisServer, redis: Redis) -> None:
    """8 processes make 10,000 calls each of every outcome, and no call is missing or counted twice."""
    crew = [
        Worker(mix, url=redis_server.url, seed=seed, calls=CALLS, failure_threshold=1_000_000)
        for seed in range(PROCESSES)
    ]
    for worker in crew:
        worker.hear("ready")
    answers = all_at_once(crew)

    circuit = SharedCircuit(redis)
    expected = {TALLY_OF[end]: sum(answer[end] for answer in answers) for end in TALLY_OF}
    assert sum(expected.values()) == PROCESSES * CALLS
    assert {name: circuit.number(name) for name in expected} == expected
    others = ("rejected_calls", "lost_calls", "late_results")
    assert {name: circuit.number(name) for name in others} == dict.fromkeys(others, 0)
    assert circuit.transitions() == {}
    assert circuit.leases() == {}
    assert [event["why"] for event in circuit.events()] == ["declared"]


def test_fleet_that_fails_at_once_opens_it_exactly_once(redis_server: RedisServer, redis: Redis) -> None:
    """32 callers in 8 processes whose calls all fail make one transition, with every call accounted for."""
    with workers(
        PROCESSES, fail_again_and_again, url=redis_server.url, threads=4, times=20, failure_threshold=50
    ) as crew:
        answers = all_at_once(crew)

    failed = sum(answer.get("failure", 0) for answer in answers)
    rejected = sum(answer.get("rejected_open", 0) for answer in answers)
    circuit = SharedCircuit(redis)
    assert failed + rejected == PROCESSES * 4 * 20
    assert (circuit.number("failed_calls"), circuit.number("rejected_calls")) == (failed, rejected)
    assert circuit.number("failed_calls") - circuit.number("late_results") == 50
    assert circuit.number("failure_count") == 50
    assert circuit.transitions() == {"closed_to_open": 1}
    assert [event["to"] for event in circuit.events() if event["from"] != event["to"]] == ["open"]
