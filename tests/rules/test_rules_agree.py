"""The state machine is written in Lua and in Python: the same histories run through both and must agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis
from two_circuits import TwoCircuits

from sharedbreaker.circuit.admission import Admission
from sharedbreaker.circuit.control import Act
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.refresh import Batch
from sharedbreaker.circuit.settings import Settings
from sharedbreaker.circuit.state import CircuitMode, CircuitState
from sharedbreaker.demo.redis_server import RedisServer

# Round times, and steps that end on them exactly, one millisecond before and one after.
SETTINGS = st.builds(
    Settings,
    failure_threshold=st.integers(1, 3),
    timeout=st.sampled_from([0.1, 0.2]),
    success_threshold=st.integers(1, 3),
    half_open_max_calls=st.one_of(st.none(), st.integers(1, 3)),
    probe_timeout=st.sampled_from([0.05, 0.15, 2.0]),
    lease_timeout=st.sampled_from([0.05, 0.3]),
    max_timeout=st.sampled_from([0.05, 0.3]),
)
RETRY_AFTER_MS = st.sampled_from([None, None, 50, 150, 1000])
TUNINGS = st.fixed_dictionaries(
    {},
    optional={
        "failure_threshold": st.sampled_from(["", "1", "2"]),
        "success_threshold": st.sampled_from(["", "1", "2"]),
        "half_open_max_calls": st.sampled_from(["", "1", "2"]),
        "open_timeout_ms": st.sampled_from(["", "50", "100", "150"]),
        "probe_timeout_ms": st.sampled_from(["", "50", "100"]),
        "lease_timeout_ms": st.sampled_from(["", "50", "100"]),
        "max_timeout_ms": st.sampled_from(["", "50", "1000"]),
    },
).filter(bool)
COUNTS = st.fixed_dictionaries(
    {},
    optional={
        Outcome.SUCCESS: st.integers(1, 3),
        Outcome.IGNORED: st.integers(1, 3),
        Outcome.RELEASED: st.integers(1, 3),
        Outcome.FAILURE: st.just(1),
    },
)
STEPS = st.one_of(
    st.tuples(st.just("admit"), st.sampled_from(["ann", "bob"])),
    st.tuples(st.just("admit"), st.sampled_from(["ann", "bob"])),
    st.tuples(st.just("report"), st.integers(0, 5), st.sampled_from(list(Outcome)), RETRY_AFTER_MS),
    st.tuples(st.just("refresh"), COUNTS, st.integers(0, 2), st.booleans(), RETRY_AFTER_MS),
    st.tuples(st.just("refresh"), st.just({Outcome.FAILURE: 1}), st.just(0), st.booleans(), st.none()),
    st.tuples(st.just("refresh again"), st.integers(0, 5)),
    st.tuples(st.just("look"), st.booleans()),
    st.tuples(st.just("call"), st.just(Outcome.FAILURE)),
    st.tuples(st.just("call"), st.just(Outcome.FAILURE)),
    st.tuples(st.just("call"), st.just(Outcome.SUCCESS)),
    st.tuples(st.just("report again"), st.integers(0, 5), st.sampled_from(list(Outcome))),
    st.tuples(st.just("crash"), st.integers(0, 5)),
    st.tuples(st.just("advance"), st.sampled_from([0, 1, 49, 50, 51, 99, 100, 101, 150, 200, 300])),
    st.tuples(st.just("advance"), st.sampled_from([100, 200])),
    st.tuples(
        st.just("control"), st.sampled_from(list(Act)), st.one_of(st.none(), st.sampled_from([50, 400]))
    ),
    st.tuples(st.just("declare"), SETTINGS),
    st.tuples(st.just("tune"), TUNINGS),
)

ADMIT = ("admit", "ann")
FAIL = ("call", Outcome.FAILURE)
WAIT = ("advance", 100)


@pytest.fixture(scope="module")
def redis_of_rules(redis_server: RedisServer) -> Iterator[Redis]:
    """A database of the session's server with a clock of the test's own in it."""
    client = Redis(port=redis_server.port, db=9, decode_responses=True)
    yield client
    client.flushdb()
    client.close()


def play(both: TwoCircuits, history: list[tuple[Any, ...]]) -> set[str]:  # noqa: C901, PLR0912 - one branch a step
    """Play a history, and return what it came across."""
    running: list[Admission] = []
    ended: list[Admission] = []
    batches: list[Batch] = []
    seen = {both.circuit.state.value}
    for step, *details in history:
        if step == "admit":
            admission = both.admit(details[0])
            if admission is not None:
                running.append(admission)
        elif step == "call":
            admission = both.admit("ann")
            if admission is not None:
                both.report(admission, details[0], "ann")
        elif step == "report" and running:
            admission = running.pop(details[0] % len(running))
            ended.append(admission)
            both.report(admission, details[1], "ann", *details[2:])
        elif step == "refresh":
            outcomes, rejected, is_late, wait_ms = details
            epoch = str(both.circuit.epoch - is_late)
            batches.append(Batch(f"batch{len(batches)}", epoch, outcomes, rejected, "Boom", wait_ms))
            both.refresh(batches[-1], "", "ann")
        elif step == "refresh again" and batches:
            both.refresh(batches[details[0] % len(batches)], "", "bob")
        elif step == "look":
            told = batches[-1].name if batches and details[0] else ""
            both.refresh(Batch("", str(both.circuit.epoch)), told, "bob")
        elif step == "report again" and ended:
            both.report(ended[details[0] % len(ended)], details[1], "bob")
        elif step == "crash" and running:
            running.pop(details[0] % len(running))
        elif step == "advance":
            both.advance(details[0], microseconds=7)
        elif step == "control":
            both.control(details[0], "operator", details[1] if details[0] is Act.FORCE_OPEN else None)
        elif step == "declare":
            both.declare(details[0])
        elif step == "tune":
            both.tune(details[0], "operator")
        seen.add(both.circuit.state.value)
    return seen


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=SETTINGS, history=st.lists(STEPS, min_size=5, max_size=50))
def test_lua_and_python_agree_on_every_history(
    redis_of_rules: Redis, first: Settings, history: list[tuple[Any, ...]]
) -> None:
    """After each step of any history, everything that can be seen is the same in both."""
    play(TwoCircuits(redis_of_rules, first), history)


def test_a_history_reaches_every_state_and_every_way_between_them(redis_of_rules: Redis) -> None:
    """The comparison is not empty: one plain history goes through each state and all five transitions."""
    both = TwoCircuits(redis_of_rules, Settings(failure_threshold=1, timeout=0.1, success_threshold=1))

    seen = play(
        both,
        [
            FAIL,
            WAIT,
            FAIL,
            WAIT,
            ADMIT,
            ("report", 0, Outcome.SUCCESS),
            FAIL,
            ("control", Act.FORCE_CLOSE, None),
        ],
    )

    assert seen == {state.value for state in CircuitState}
    counts = both.circuit.snapshot(both.now_us).transitions
    assert counts == {
        "closed_to_open": 2,
        "open_to_half_open": 2,
        "half_open_to_closed": 1,
        "half_open_to_open": 1,
        "open_to_closed": 1,
    }


def test_results_of_a_view_open_the_circuit_for_as_long_as_the_service_asked(redis_of_rules: Redis) -> None:
    """A failure that was decided on a view opens; the service's wait goes before `timeout`, up to the cap."""
    both = TwoCircuits(redis_of_rules, Settings(failure_threshold=2, timeout=0.1, max_timeout=0.3))

    successes_first = ("refresh", {Outcome.SUCCESS: 3, Outcome.FAILURE: 1}, 2, False, None)
    play(both, [successes_first, ("refresh", {Outcome.FAILURE: 1}, 0, False, 1000)])

    assert both.circuit.open_until == both.now_us // 1000 + 300
    assert both.circuit.tallies["successful_calls"] == 3


def test_a_shorter_timeout_declared_while_open_shortens_the_opening(redis_of_rules: Redis) -> None:
    """One configuration is in force, also for an opening that began under another."""
    both = TwoCircuits(redis_of_rules, Settings(failure_threshold=1, timeout=0.2))

    play(both, [FAIL, ("declare", Settings(failure_threshold=1, timeout=0.1)), WAIT])

    admission = both.admit("ann")
    assert admission is not None
    assert admission.is_probe


def test_what_is_tuned_stands_over_what_is_declared_until_it_is_cleared(redis_of_rules: Redis) -> None:
    """A tuned threshold decides though another is declared; cleared, the last declaration is in force."""
    both = TwoCircuits(redis_of_rules, Settings(failure_threshold=3))

    play(both, [("tune", {"failure_threshold": "2"}), ("declare", Settings(failure_threshold=4)), FAIL, FAIL])
    assert both.circuit.fields()["state"] == "open"

    play(both, [("tune", {"failure_threshold": ""}), ("control", Act.FORCE_CLOSE, None), FAIL, FAIL, FAIL])
    assert both.circuit.fields()["state"] == "closed"

    play(both, [FAIL])
    assert both.circuit.fields()["state"] == "open"


def test_tuning_to_what_is_declared_holds_it(redis_of_rules: Redis) -> None:
    """A setting that is tuned to its own value stays there when something else is declared."""
    both = TwoCircuits(redis_of_rules, Settings(failure_threshold=2))

    assert both.tune({"failure_threshold": "2"}, "operator").has_changed
    assert not both.tune({"failure_threshold": "2"}, "operator").has_changed
    both.declare(Settings(failure_threshold=5))

    assert both.circuit.settings["failure_threshold"] == 2


def test_shorter_leases_declared_later_end_before_older_ones(redis_of_rules: Redis) -> None:
    """A lease keeps the end that it was given, whatever was declared since."""
    both = TwoCircuits(redis_of_rules, Settings(lease_timeout=0.3))

    play(both, [ADMIT, ("declare", Settings(lease_timeout=0.05)), ADMIT, WAIT, ADMIT])

    assert both.circuit.tallies["lost_calls"] == 1


def test_a_hold_that_is_over_hands_the_circuit_back(redis_of_rules: Redis) -> None:
    """The first call after a hold with an end is a probe, and nobody's hand is on the circuit any more."""
    both = TwoCircuits(redis_of_rules, Settings(timeout=0.1))

    play(both, [("control", Act.FORCE_OPEN, 50), ADMIT, ("advance", 50), ADMIT])

    assert (both.circuit.state, both.circuit.mode) == (CircuitState.HALF_OPEN, CircuitMode.AUTOMATIC)


def test_a_rejection_while_probes_are_out_tells_the_same_wait(redis_of_rules: Redis) -> None:
    """While all probes are out, both say to come back in a second, or when the first lease ends if sooner."""
    both = TwoCircuits(
        redis_of_rules, Settings(failure_threshold=1, timeout=0.1, success_threshold=1, probe_timeout=2.0)
    )

    play(both, [FAIL, WAIT, ADMIT, ADMIT, ("advance", 1500), ADMIT])

    assert both.circuit.tallies["rejected_calls"] == 2


def test_a_lease_is_over_at_its_last_millisecond(redis_of_rules: Redis) -> None:
    """Looking at the very end of a probe's lease, both see no probe in flight."""
    both = TwoCircuits(redis_of_rules, Settings(failure_threshold=1, timeout=0.1, probe_timeout=0.05))

    play(both, [FAIL, WAIT, ADMIT, ("advance", 50)])
    both.compare()

    assert both.circuit.snapshot(both.now_us).probes_in_flight == 0
