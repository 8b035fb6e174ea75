"""The state machine is written in Lua and in Python: the same histories run through both and must agree."""

from __future__ import annotations

from typing import Any

from histories import ADMIT, FAIL, SETTINGS, STEPS, WAIT, play
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis
from two_circuits import TwoCircuits

from sharedbreaker.circuit.control import Act
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.settings import Settings
from sharedbreaker.circuit.state import CircuitMode, CircuitState


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
