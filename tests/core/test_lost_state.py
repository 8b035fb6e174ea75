"""What Redis lost: a deleted hash, an emptied server, a flushed script cache, with a call under way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from held_call import HeldCall
from redis import Redis

from circuit_in_redis import (
    OPEN_MS,
    CircuitInRedis,
    ServiceDownError,
    be_rejected,
    fail,
    new_breaker,
    succeed,
    trip,
)
from sharedbreaker import CircuitBreaker

STATES = ["closed", "open", "half_open", "held_open", "disabled"]
LOSSES: dict[str, Callable[[Redis], object]] = {
    "DEL": lambda redis: redis.delete("sharedbreaker:{orders}"),
    "FLUSHALL": lambda redis: redis.flushall(),
    "DEL of leases and events": lambda redis: redis.delete(
        "sharedbreaker:{orders}:leases", "sharedbreaker:{orders}:events"
    ),
    "FLUSHALL and SCRIPT FLUSH": lambda redis: (redis.flushall(), redis.script_flush()),
}
ENDS = [None, ServiceDownError("503"), ValueError("400"), KeyboardInterrupt()]
END_IDS = ["success", "failure", "ignored", "released"]


def bring_to(state: str, breaker: CircuitBreaker, redis: Redis) -> HeldCall:
    """Bring the circuit into `state` with a call inside: a probe in half-open."""
    if state == "half_open":
        circuit = trip(breaker, redis)
        circuit.end_open_period()
    call = HeldCall(breaker)
    assert call.is_inside
    if state == "open":
        trip(breaker, redis)
    if state == "held_open":
        breaker.force_open()
    if state == "disabled":
        breaker.disable()
    return call


@pytest.mark.parametrize("loss", ["DEL", "FLUSHALL", "FLUSHALL and SCRIPT FLUSH"])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("error", ENDS, ids=END_IDS)
def test_report_to_a_circuit_that_is_gone_is_harmless(
    redis: Redis, loss: str, state: str, error: BaseException | None
) -> None:
    """The call under way gets its own end, and its report leaves a closed circuit with no failure counted."""
    breaker = new_breaker(redis, failure_threshold=1)
    call = bring_to(state, breaker, redis)
    LOSSES[loss](redis)

    call.end(error)

    assert call.raised is error
    assert call.result == (None if error else "done")
    state_after = breaker.get_state()
    assert (state_after["state"], state_after["failure_count"]) == ("closed", 0)


@pytest.mark.parametrize("loss", ["DEL", "FLUSHALL", "FLUSHALL and SCRIPT FLUSH"])
@pytest.mark.parametrize("state", STATES)
def test_circuit_that_is_gone_begins_anew_at_the_next_call(redis: Redis, loss: str, state: str) -> None:
    """After the loss new calls find a fresh closed circuit with the breaker's settings, in the registry."""
    breaker = new_breaker(redis)
    call = bring_to(state, breaker, redis)
    LOSSES[loss](redis)

    succeed(breaker)

    circuit = CircuitInRedis(redis)
    fields = circuit.fields()
    assert (fields["state"], fields["mode"], fields["failure_threshold"]) == ("closed", "automatic", "3")
    assert redis.smembers(circuit.registry_key) == {"orders"}
    fail(breaker, 3)
    be_rejected(breaker)
    call.end()


@pytest.mark.parametrize("loss", ["DEL", "FLUSHALL"])
@pytest.mark.parametrize("error", ENDS, ids=END_IDS)
def test_report_never_leaves_half_a_hash(redis: Redis, loss: str, error: BaseException | None) -> None:
    """A report that finds no circuit leaves either no hash or a whole one."""
    breaker = new_breaker(redis)
    call = bring_to("closed", breaker, redis)
    succeed(breaker)
    whole = set(CircuitInRedis(redis).fields())
    LOSSES[loss](redis)

    call.end(error)

    fields = set(CircuitInRedis(redis).fields())
    assert not fields or whole <= fields | {"last_failure_time", "last_failure_type", "last_failure_by"}


@pytest.mark.parametrize("loss", ["DEL", "FLUSHALL"])
def test_epoch_is_never_used_again(redis: Redis, loss: str) -> None:
    """The epoch of the new circuit is higher than every one before the loss."""
    breaker = new_breaker(redis)
    circuit = trip(breaker, redis)
    before = circuit.number("epoch")
    LOSSES[loss](redis)

    succeed(breaker)

    assert circuit.number("epoch") > before


@pytest.mark.parametrize("error", ENDS, ids=END_IDS)
def test_old_report_does_not_count_in_the_new_circuit(redis: Redis, error: BaseException | None) -> None:
    """A call from before the loss decides nothing in the circuit that others began after it."""
    breaker = new_breaker(redis, failure_threshold=1)
    call = bring_to("closed", breaker, redis)
    redis.delete("sharedbreaker:{orders}")
    other = new_breaker(redis, failure_threshold=3)
    fail(other, 2)
    before = CircuitInRedis(redis).state_and_counts()

    call.end(error)

    assert CircuitInRedis(redis).state_and_counts() == before


@pytest.mark.parametrize("loss", ["DEL", "FLUSHALL"])
def test_deleted_open_circuit_is_closed_at_once(redis: Redis, loss: str) -> None:
    """Deleting the hash of an open circuit is a clean reset: nothing else keeps it open."""
    breaker = new_breaker(redis)
    trip(breaker, redis)
    be_rejected(breaker)
    LOSSES[loss](redis)

    succeed(new_breaker(redis))
    succeed(breaker)


def test_leases_from_before_the_loss_take_no_probes_place(redis: Redis) -> None:
    """Probes that were under way when the hash was deleted do not wedge the next recovery."""
    breaker = new_breaker(redis, half_open_max_calls=1, success_threshold=1)
    call = bring_to("half_open", breaker, redis)
    redis.delete("sharedbreaker:{orders}")
    circuit = trip(breaker, redis)
    circuit.elapse(OPEN_MS)

    succeed(breaker)

    assert circuit.field("state") == "closed"
    call.end()


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("error", ENDS[:2], ids=END_IDS[:2])
def test_flushed_scripts_cost_nothing_but_a_reload(
    redis: Redis, state: str, error: BaseException | None
) -> None:
    """SCRIPT FLUSH changes no field, loses no report and fails no call."""
    breaker = new_breaker(redis, success_threshold=1)
    call = bring_to(state, breaker, redis)
    circuit = CircuitInRedis(redis)
    before = circuit.fields()
    redis.script_flush()

    call.end(error)

    assert circuit.leases() == {}
    after = circuit.fields()
    changed = [name for name in ("successful_calls", "failed_calls") if after[name] != before[name]]
    assert changed == (["failed_calls"] if error else ["successful_calls"])


def test_scripts_may_be_flushed_before_every_step(redis: Redis) -> None:
    """A whole outage and recovery with the scripts flushed before each step ends as it should."""
    breaker = new_breaker(redis)
    circuit = CircuitInRedis(redis)
    for _ in range(3):
        redis.script_flush()
        fail(breaker)
    redis.script_flush()
    be_rejected(breaker)
    circuit.elapse(OPEN_MS)
    for _ in range(2):
        redis.script_flush()
        succeed(breaker)
    redis.script_flush()

    assert breaker.get_state()["state"] == "closed"
    assert circuit.transitions() == {"closed_to_open": 1, "open_to_half_open": 1, "half_open_to_closed": 1}


def test_reading_an_emptied_redis_is_no_error(redis: Redis) -> None:
    """State, metrics and export of a circuit that Redis lost are those of a fresh one."""
    breaker = new_breaker(redis)
    trip(breaker, redis)
    redis.flushall()

    assert breaker.get_state()["state"] == "closed"
    assert breaker.get_metrics()["total_calls"] == 0
    assert 'circuit_breaker_state{name="orders"} 0' in breaker.export_prometheus_metrics()


@pytest.mark.parametrize("act", ["force_open", "force_close", "disable", "enable"])
def test_manual_control_of_an_emptied_redis_declares_again(redis: Redis, act: str) -> None:
    """Each act works on a circuit that Redis lost, with its settings declared again."""
    breaker = new_breaker(redis)
    succeed(breaker)
    redis.flushall()

    getattr(breaker, act)()

    circuit = CircuitInRedis(redis)
    assert circuit.field("failure_threshold") == "3"
    assert circuit.field("state") == ("open" if act == "force_open" else "closed")


def test_leases_alone_may_be_lost(redis: Redis) -> None:
    """When only leases and events are gone, the state stands and the report of a lost call counts nothing."""
    breaker = new_breaker(redis)
    call = bring_to("open", breaker, redis)
    circuit = CircuitInRedis(redis)
    LOSSES["DEL of leases and events"](redis)
    before = circuit.fields()

    call.end()

    assert circuit.fields() == before
    be_rejected(breaker)
