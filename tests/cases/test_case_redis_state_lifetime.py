"""How long a state lasts: as long as the rules say, and no key's expiry or loss decides for them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from held_call import HeldCall
from redis import Redis
from stale_circuits import wait_until

from circuit_in_redis import (
    CircuitInRedis,
    ServiceDownError,
    be_rejected,
    fail,
    new_breaker,
    service_down,
    succeed,
    trip,
    trip_and_wait,
)
from sharedbreaker import CircuitBreakerError, CircuitState
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.store.fleet import Fleet

FOREVER = -1
CALLERS = 20
STALENESSES = pytest.mark.parametrize("max_staleness", [0, 0.02], ids=["strict", "stale"])


@STALENESSES
@pytest.mark.parametrize("probes", [1, 2])
def test_sb028_end_of_the_open_period_lets_probes_in_alone(
    redis: Redis, probes: int, max_staleness: float
) -> None:
    """Of twenty who call at once when it is over, as many as may probe reach the service; then it is open."""
    breaker = new_breaker(redis, half_open_max_calls=probes, max_staleness=max_staleness)
    circuit = trip_and_wait(breaker, redis)
    assert {redis.pttl(key) for key in (circuit.key, circuit.events_key)} == {FOREVER}
    time.sleep(max_staleness)
    at_once = threading.Barrier(CALLERS)
    others_are_rejected = threading.Event()
    decided: list[str] = []

    def service() -> None:
        decided.append("hit")
        assert others_are_rejected.wait(20)
        service_down()

    def caller(_: int) -> None:
        at_once.wait(20)
        try:
            breaker.call(service)
        except CircuitBreakerError:
            decided.append("rejected")
        except ServiceDownError:
            return
        if decided.count("rejected") == CALLERS - probes:
            others_are_rejected.set()

    with ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(caller, range(CALLERS)))

    assert decided.count("hit") == probes
    assert circuit.field("state") == "open"
    assert circuit.transitions() == {"closed_to_open": 1, "open_to_half_open": 1, "half_open_to_open": 1}
    assert circuit.number("open_until") > circuit.now_ms()


@pytest.mark.parametrize("loss", ["FLUSHALL", "DEL", "FLUSHALL SYNC and SCRIPT FLUSH"])
@pytest.mark.parametrize("state", ["closed", "open", "half_open"])
@pytest.mark.parametrize("error", [None, ServiceDownError("503")], ids=["success", "failure"])
def test_sb031_lost_state_is_a_fresh_circuit(
    redis: Redis, state: str, loss: str, error: BaseException | None
) -> None:
    """The call in flight gets its own end and decides nothing; new calls find a fresh closed circuit."""
    breaker = new_breaker(redis, failure_threshold=2)
    circuit = CircuitInRedis(redis)
    if state == "half_open":
        trip_and_wait(breaker, redis)
    call = HeldCall(breaker)
    assert call.is_inside
    if state == "open":
        trip(breaker, redis)

    redis.delete(circuit.key) if loss == "DEL" else redis.flushall()
    if "SCRIPT" in loss:
        redis.script_flush()
    call.end(error)

    assert call.raised is error
    look = breaker.get_metrics()
    assert (look["state"], look["current_failure_count"], look["current_success_count"]) == ("closed", 0, 0)
    assert all(count >= 0 for name, count in look.items() if name.endswith("_calls"))
    assert f'circuit_breaker_state{{name="{breaker.name}"}} 0' in breaker.export_prometheus_metrics()
    succeed(breaker)
    fail(breaker, 2)
    be_rejected(breaker)
    assert circuit.field("state") == "open"
    assert circuit.fields().keys() >= {"epoch", "mode", "started_at", "failure_threshold", "open_timeout_ms"}


@STALENESSES
def test_sb031_restart_without_persistence_is_a_fresh_circuit(max_staleness: float) -> None:
    """After Redis restarts empty, calls go on as with a fresh circuit, which trips as any other."""
    with RedisServer() as server:
        breaker = new_breaker(
            server.url, max_staleness=max_staleness, redis_timeout=5, redis_retry_interval=0.02
        )
        fail(breaker, 3)
        server.kill()
        server.start()
        wait_until(lambda: breaker.get_metrics()["redis_available"], "Redis is back")
        wait_until(lambda: breaker.get_state()["state"] == "closed", "the fresh state is seen")
        succeed(breaker)
        fail(breaker, 3)
        assert be_rejected(breaker).state is CircuitState.OPEN
        admin = server.client(decode_responses=True)
        assert admin.hget("sharedbreaker:{orders}", "state") == "open"
        admin.close()


def test_sb031_look_at_lost_circuits_goes_on(redis: Redis) -> None:
    """A look at the fleet finds nothing wrong after the loss, and shows no circuit that is not there."""
    breaker = new_breaker(redis)
    fail(breaker, 3)
    fleet = Fleet(redis)
    assert [circuit.state for circuit in fleet.look().circuits] == [CircuitState.OPEN]
    redis.flushall()

    view = fleet.look()
    assert (view.circuits, view.is_up, dict(view.troubles)) == ((), True, {})
