"""``with breaker:`` guards a block like a call, nested and in threads."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest
from redis import Redis

from circuit_in_redis import (
    BadRequestError,
    CircuitInRedis,
    ServiceDownError,
    bad_request,
    new_breaker,
    service_down,
    trip,
    trip_and_wait,
    work,
)
from sharedbreaker import CircuitBreakerError


def test_block_that_ends_is_a_success(redis: Redis) -> None:
    """A block that runs to its end counts as one success and leaves no lease."""
    breaker = new_breaker(redis)

    with breaker:
        assert breaker.snapshot().calls_in_flight == 1

    assert breaker.get_metrics()["successful_calls"] == 1
    assert CircuitInRedis(redis).leases() == {}


@pytest.mark.parametrize(
    ("error", "tally"),
    [
        (ServiceDownError("503"), "failed_calls"),
        (BadRequestError("400"), "ignored_calls"),
        (KeyboardInterrupt(), "released_calls"),
        (GeneratorExit(), "released_calls"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_block_that_raises_is_judged_like_a_call(redis: Redis, error: BaseException, tally: str) -> None:
    """An exception leaves the block unchanged and is tallied as it would be from a call."""
    breaker = new_breaker(redis)

    with pytest.raises(type(error)) as caught, breaker:
        raise error

    assert caught.value is error
    assert breaker.get_metrics()[tally] == 1


def test_rejected_block_does_not_run(redis: Redis) -> None:
    """While the circuit is open the block is not entered and CircuitBreakerError is raised."""
    breaker = new_breaker(redis)
    trip(breaker, redis)
    entered = False

    with pytest.raises(CircuitBreakerError), breaker:
        entered = True

    assert not entered


def test_block_left_by_return_is_a_success(redis: Redis) -> None:
    """Leaving the block by return counts as a success."""
    breaker = new_breaker(redis)

    def guarded() -> str:
        with breaker:
            return "done"

    assert guarded() == "done"
    assert breaker.get_metrics()["successful_calls"] == 1


def test_blocks_of_two_breakers_nest(redis: Redis) -> None:
    """A block inside another breaker's block is judged by both, each on its own circuit."""
    outer = new_breaker(redis, name="outer", expected_exception=BadRequestError)
    inner = new_breaker(redis, name="inner")

    with pytest.raises(ServiceDownError), outer, inner:
        raise ServiceDownError("503")

    assert outer.get_metrics()["ignored_calls"] == 1
    assert inner.get_metrics()["failed_calls"] == 1


def test_blocks_of_the_same_breaker_nest(redis: Redis) -> None:
    """Blocks of one breaker inside each other each end their own lease, the inner one first."""
    breaker = new_breaker(redis)

    with breaker:
        with pytest.raises(ServiceDownError), breaker:
            raise ServiceDownError("503")
        assert breaker.snapshot().calls_in_flight == 1

    metrics = breaker.get_metrics()
    assert (metrics["successful_calls"], metrics["failed_calls"]) == (1, 1)
    assert metrics["calls_in_flight"] == 0


def test_inner_block_of_another_era_ends_its_own_call(redis: Redis) -> None:
    """A probe's block inside a block of the same breaker from before the trip counts as the probe."""
    breaker = new_breaker(redis, success_threshold=1)

    with breaker:
        circuit = trip(breaker, redis)
        circuit.end_open_period()
        with breaker:
            pass
        assert circuit.field("state") == "closed"

    assert circuit.number("late_results") == 1


def test_inner_block_of_a_probe_leaves_the_outer_ones_lease_alone(redis: Redis) -> None:
    """A block inside a probe of the same breaker is part of it: it takes no place and ends nothing."""
    breaker = new_breaker(redis, success_threshold=1, half_open_max_calls=1)
    circuit = trip_and_wait(breaker, redis)

    with breaker:
        breaker.call(work)
        with breaker:
            pass
        assert len(circuit.leases()) == 1
        assert circuit.field("state") == "half_open"

    assert circuit.field("state") == "closed"
    assert circuit.leases() == {}


def test_refusal_of_an_inner_block_decides_nothing_outside(redis: Redis) -> None:
    """When another circuit refuses what a probe calls, the probe is ignored and its place is free again."""
    breaker = new_breaker(redis, half_open_max_calls=1, expected_exception=Exception)
    circuit = trip_and_wait(breaker, redis)
    other = new_breaker(redis, name="other")
    other.force_open()

    with pytest.raises(CircuitBreakerError), breaker, other:
        pass

    assert circuit.field("state") == "half_open"
    assert circuit.leases() == {}


def test_blocks_in_threads_do_not_mix(redis: Redis) -> None:
    """Blocks of one breaker that overlap in several threads each report their own end."""
    breaker = new_breaker(redis, failure_threshold=1000)
    everybody_inside = threading.Barrier(8)

    work_of = [service_down, bad_request, work, work]

    def guarded(number: int) -> None:
        for _ in range(5):
            with contextlib.suppress(ServiceDownError, BadRequestError), breaker:
                everybody_inside.wait(20)
                work_of[number % 4]()

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    metrics = breaker.get_metrics()
    assert (metrics["successful_calls"], metrics["failed_calls"], metrics["ignored_calls"]) == (20, 10, 10)
    assert CircuitInRedis(redis).leases() == {}


def test_blocks_that_overlap_in_interleaved_generators_report_their_own_end(redis: Redis) -> None:
    """Two guarded blocks of one thread that end in the order they began end each their own lease."""
    breaker = new_breaker(redis)

    def guarded(*, fails: bool) -> Iterator[None]:
        with breaker:
            yield
            if fails:
                raise ServiceDownError("503")

    first, second = guarded(fails=True), guarded(fails=False)
    next(first)
    next(second)
    with pytest.raises(ServiceDownError):
        next(first)
    next(second, None)

    metrics = breaker.get_metrics()
    assert (metrics["successful_calls"], metrics["failed_calls"]) == (1, 1)
    assert metrics["calls_in_flight"] == 0
