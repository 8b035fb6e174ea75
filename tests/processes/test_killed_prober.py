"""A prober that is killed in the middle of its call delays recovery by its lease, and no longer."""

from __future__ import annotations

from redis import Redis
from worker import call_once, stay_inside
from worker_basics import breaker_of, end_of, service_down
from workforce import OPEN_MS, PROBE_MS, SharedCircuit, Worker, all_at_once, workers

from sharedbreaker.demo.redis_server import RedisServer

SETTINGS = {"success_threshold": 1, "half_open_max_calls": 1}


def kill_a_prober(url: str, redis: Redis) -> SharedCircuit:
    """Open the circuit, let its time pass, and kill the process that makes the first probe."""
    breaker = breaker_of(url, **SETTINGS)
    for _ in range(3):
        end_of(breaker, service_down)
    circuit = SharedCircuit(redis)
    circuit.elapse(OPEN_MS)
    prober = Worker(stay_inside, url=url, **SETTINGS)
    prober.hear("inside")
    prober.kill()
    assert circuit.fields()["state"] == "half_open"
    return circuit


def test_others_are_rejected_while_the_lease_lives(redis_server: RedisServer, redis: Redis) -> None:
    """Until the dead prober's lease ends, callers of other processes are rejected in half-open."""
    circuit = kill_a_prober(redis_server.url, redis)
    circuit.elapse(PROBE_MS // 2)

    with workers(3, call_once, url=redis_server.url, **SETTINGS) as crew:
        answers = all_at_once(crew)

    assert [answer["end"] for answer in answers] == ["rejected_half_open"] * 3
    assert all(0 <= answer["retry_after"] <= PROBE_MS / 1000 for answer in answers)
    assert circuit.number("lost_calls") == 0


def test_exactly_one_is_admitted_when_the_lease_is_over(redis_server: RedisServer, redis: Redis) -> None:
    """After the lease one caller of the fleet takes the dead prober's place; all others are rejected."""
    circuit = kill_a_prober(redis_server.url, redis)
    circuit.elapse(PROBE_MS)
    successor = Worker(stay_inside, url=redis_server.url, **SETTINGS)
    successor.hear("inside")

    with workers(3, call_once, url=redis_server.url, **SETTINGS) as crew:
        answers = all_at_once(crew)
    successor.tell()

    assert [answer["end"] for answer in answers] == ["rejected_half_open"] * 3
    assert successor.answer() == "success"


def test_successor_closes_the_circuit(redis_server: RedisServer, redis: Redis) -> None:
    """The new prober's success closes the circuit, with one call lost and nothing left behind."""
    circuit = kill_a_prober(redis_server.url, redis)
    circuit.elapse(PROBE_MS)

    with workers(1, call_once, url=redis_server.url, **SETTINGS) as crew:
        answers = all_at_once(crew)

    assert answers[0]["end"] == "success"
    assert circuit.fields()["state"] == "closed"
    assert circuit.number("lost_calls") == 1
    assert circuit.leases() == {}


def test_killed_caller_of_a_closed_circuit_is_lost_and_no_failure(
    redis_server: RedisServer, redis: Redis
) -> None:
    """A process killed inside an ordinary call is one lost call after its lease, and opens nothing."""
    worker = Worker(stay_inside, url=redis_server.url, failure_threshold=1, lease_timeout=30)
    worker.hear("inside")
    worker.kill()
    circuit = SharedCircuit(redis)
    assert len(circuit.leases()) == 1
    circuit.elapse(30_000)

    assert end_of(breaker_of(redis_server.url, failure_threshold=1), int) == "success"

    assert circuit.number("lost_calls") == 1
    assert circuit.fields()["state"] == "closed"


def test_recovery_does_not_need_the_process_that_opened_it(redis_server: RedisServer, redis: Redis) -> None:
    """When every process that saw the outage is gone, the first call of a new one is the probe."""
    opener = Worker(stay_inside, url=redis_server.url)
    opener.hear("inside")
    breaker = breaker_of(redis_server.url, success_threshold=1)
    for _ in range(3):
        end_of(breaker, service_down)
    opener.kill()
    circuit = SharedCircuit(redis)
    circuit.elapse(OPEN_MS)

    with workers(1, call_once, url=redis_server.url, success_threshold=1) as crew:
        answers = all_at_once(crew)

    assert answers[0]["end"] == "success"
    assert circuit.fields()["state"] == "closed"
    assert circuit.number("failed_calls") == 3
