"""Each rule besides the default one, by a history that it decides: in Lua and in Python alike."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from histories import ADMIT, FAIL, SUCCEED, WAIT, play
from redis import Redis
from two_circuits import TwoCircuits

from sharedbreaker.circuit.control import Act
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.rates import FailureRate, LastCalls, SlowCallRate, rate_settings
from sharedbreaker.circuit.settings import Settings
from sharedbreaker.circuit.state import CircuitState

QUICKLY_BACK: dict[str, Any] = {"timeout": 0.1, "success_threshold": 1}
OPEN, CLOSED, HALF_OPEN = CircuitState.OPEN, CircuitState.CLOSED, CircuitState.HALF_OPEN


def with_rates(
    failure_rate: FailureRate | None = None, slow_call_rate: SlowCallRate | None = None, **others: Any
) -> Settings:
    return Settings(**{"failure_threshold": None, **rate_settings(failure_rate, slow_call_rate), **others})


def slowly(outcome: Outcome, milliseconds: int) -> tuple[Any, ...]:
    return "call", outcome, "ann", milliseconds


@pytest.mark.parametrize("window", [1.0, LastCalls(100)])
def test_failure_rate_opens_at_its_threshold(redis_of_rules: Redis, window: float | LastCalls) -> None:
    """Half of the calls fail, never two in a row: it opens with the call that makes it half of four."""
    both = TwoCircuits(redis_of_rules, with_rates(FailureRate(0.5, window, minimum_calls=4)))

    play(both, [SUCCEED, FAIL, SUCCEED])
    assert both.circuit.state is CLOSED
    play(both, [FAIL])

    assert both.circuit.state is OPEN
    assert both.circuit.events[-1].why == "failure_rate"
    assert both.details_of_last_event() == {"exception": "Boom", "calls": "4", "failed": "2"}


def test_success_that_completes_the_minimum_opens_nothing(redis_of_rules: Redis) -> None:
    """The rate is over its threshold and the calls are enough; the next failure opens, and no success."""
    both = TwoCircuits(redis_of_rules, with_rates(FailureRate(0.5, 1.0, minimum_calls=4)))

    play(both, [FAIL, FAIL, FAIL, SUCCEED, SUCCEED])
    assert both.circuit.state is CLOSED
    play(both, [FAIL])

    assert both.circuit.state is OPEN


def test_ignored_and_released_calls_are_in_no_rate(redis_of_rules: Redis) -> None:
    """They complete no minimum and thin out no rate."""
    both = TwoCircuits(redis_of_rules, with_rates(FailureRate(1, 1.0, minimum_calls=2)))

    play(both, [FAIL, ("call", Outcome.IGNORED), ("call", Outcome.RELEASED), ("call", Outcome.IGNORED)])
    assert both.circuit.state is CLOSED
    play(both, [FAIL])

    assert both.circuit.state is OPEN


def test_calls_leave_a_window_of_time(redis_of_rules: Redis) -> None:
    """What is older than the window counts no more, and what is younger than nine tenths of it does."""
    settings = with_rates(FailureRate(1, 0.1, minimum_calls=2))
    for wait_ms, state in ((100, CLOSED), (90, OPEN)):
        both = TwoCircuits(redis_of_rules, settings)
        play(both, [FAIL, ("advance", wait_ms), FAIL])
        assert both.circuit.state is state


def test_only_the_last_calls_are_in_a_window_of_calls(redis_of_rules: Redis) -> None:
    """Three calls are kept: a failure before them is forgotten, however long ago the others were."""
    both = TwoCircuits(redis_of_rules, with_rates(FailureRate(0.66, LastCalls(3), minimum_calls=3)))

    play(both, [FAIL, SUCCEED, SUCCEED, ("advance", 10_000_000), FAIL])
    assert both.circuit.state is CLOSED
    play(both, [FAIL])

    assert both.circuit.state is OPEN
    assert both.circuit.fields()["failure_rate:calls"] == "011"


def test_counting_begins_anew_when_the_circuit_closes(redis_of_rules: Redis) -> None:
    """What opened it is not held against it a second time, whoever closed it."""
    both = TwoCircuits(
        redis_of_rules, with_rates(FailureRate(1, LastCalls(9), minimum_calls=2), **QUICKLY_BACK)
    )

    play(both, [FAIL, FAIL, WAIT, SUCCEED, FAIL])
    assert both.circuit.state is CLOSED
    play(both, [("control", Act.FORCE_CLOSE, None), FAIL])

    assert both.circuit.state is CLOSED


def test_either_rule_opens(redis_of_rules: Redis) -> None:
    """With a rate beside it, failures in a row open as before, and the event says which it was."""
    both = TwoCircuits(redis_of_rules, with_rates(FailureRate(1, 1.0, 9), failure_threshold=2))

    play(both, [FAIL, FAIL])

    assert both.circuit.events[-1].why == "failure_threshold"


def test_slow_calls_open_though_none_fails(redis_of_rules: Redis) -> None:
    """A call is slow from the duration on; successes and failures alike."""
    both = TwoCircuits(redis_of_rules, with_rates(None, SlowCallRate(0.02, 0.5, 1.0, minimum_calls=4)))

    play(both, [slowly(Outcome.SUCCESS, 20), SUCCEED, slowly(Outcome.SUCCESS, 19)])
    assert both.circuit.state is CLOSED
    play(both, [slowly(Outcome.FAILURE, 20)])

    assert both.circuit.state is OPEN
    assert both.details_of_last_event() == {"exception": "Boom", "calls": "4", "slow": "2", "overdue": "0"}


def test_calls_that_hang_open_before_they_end(redis_of_rules: Redis) -> None:
    """Three calls wait for a service that says nothing: the next call finds the circuit open."""
    settings = with_rates(None, SlowCallRate(0.1, 1, 1.0, minimum_calls=3))
    both = TwoCircuits(redis_of_rules, settings)

    play(both, [ADMIT, ADMIT, ADMIT, ("advance", 99), ADMIT])
    assert both.circuit.state is CLOSED
    play(both, [("advance", 1), ADMIT])

    assert both.circuit.state is OPEN
    assert both.circuit.tallies["rejected_calls"] == 1
    assert both.details_of_last_event() == {"exception": "", "calls": "0", "slow": "0", "overdue": "3"}


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.FAILURE])
def test_quick_end_does_not_open_for_calls_that_hang(redis_of_rules: Redis, outcome: Outcome) -> None:
    """A call that was not slow meets no rule on slow calls, whatever hangs; the next call that asks does."""
    both = TwoCircuits(redis_of_rules, with_rates(None, SlowCallRate(0.1, 0.5, 1.0, minimum_calls=2)))

    quick_end = ("report", 2, outcome, "ann", None, 50)
    play(both, [ADMIT, ADMIT, ("advance", 50), ADMIT, ("advance", 50), quick_end])
    assert both.circuit.windows["slow_call_rate"].sums(both.circuit.settings, both.now_us // 1000) == (1, 0)
    assert both.circuit.state is CLOSED
    play(both, [ADMIT])

    assert both.circuit.state is OPEN


def test_calls_that_hung_before_the_circuit_closed_are_not_held_against_it(redis_of_rules: Redis) -> None:
    """The calls that opened it still hang when it has closed again."""
    settings = with_rates(None, SlowCallRate(0.1, 1, 1.0, minimum_calls=2), **QUICKLY_BACK)
    both = TwoCircuits(redis_of_rules, settings)

    play(both, [ADMIT, ADMIT, WAIT, ADMIT, WAIT, SUCCEED, WAIT, ADMIT, WAIT, ADMIT])

    assert both.circuit.state is CLOSED
    assert both.circuit.tallies["half_open_to_closed"] == 1


@pytest.mark.parametrize(("minimum_reporters", "state"), [(2, OPEN), (3, CLOSED)])
def test_calls_that_hang_are_told_apart_by_process(
    redis_of_rules: Redis, minimum_reporters: int, state: CircuitState
) -> None:
    """Who waits has reported nothing yet; its calls' tokens say whose they are."""
    settings = with_rates(
        None, SlowCallRate(0.1, 1, 1.0, minimum_calls=2), minimum_reporters=minimum_reporters
    )
    both = TwoCircuits(redis_of_rules, settings)

    play(both, [ADMIT, ADMIT, WAIT, ADMIT])

    assert both.circuit.state is state


def test_half_of_an_odd_number_of_calls_is_no_half(redis_of_rules: Redis) -> None:
    """Fifty of 101 calls are less than half of them; with one more that fails it is half of 102."""
    both = TwoCircuits(redis_of_rules, with_rates(FailureRate(0.5, LastCalls(200), minimum_calls=101)))

    play(both, [SUCCEED] * 51 + [FAIL] * 50)
    assert both.circuit.state is CLOSED
    play(both, [FAIL])

    assert both.circuit.state is OPEN


def openings_ms(both: TwoCircuits, history: list[tuple[Any, ...]]) -> int:
    play(both, history)
    assert both.circuit.open_until is not None
    return both.circuit.open_until - both.now_us // 1000


def test_openings_grow_while_probes_fail_up_to_the_cap(redis_of_rules: Redis) -> None:
    """Each probe that fails doubles the wait, and a quiet time of `max_timeout` begins anew."""
    both = TwoCircuits(
        redis_of_rules,
        Settings(failure_threshold=1, timeout_growth_percent=200, max_timeout=0.5, **QUICKLY_BACK),
    )

    waits = [openings_ms(both, [FAIL])]
    for _ in range(4):
        play(both, [("advance", waits[-1])])
        waits.append(openings_ms(both, [FAIL]))
    assert waits == [100, 200, 400, 500, 500]

    play(both, [("advance", 500), SUCCEED, ("advance", 499)])
    assert openings_ms(both, [FAIL]) == 500
    play(both, [("advance", 500), SUCCEED, ("advance", 500)])
    assert openings_ms(both, [FAIL]) == 100


def test_openings_that_grow_by_a_part_are_of_whole_milliseconds(redis_of_rules: Redis) -> None:
    """What is left of a millisecond is not waited for."""
    settings = Settings(failure_threshold=1, timeout_growth_percent=150, timeout=0.101, max_timeout=10)
    both = TwoCircuits(redis_of_rules, settings)

    waits = [openings_ms(both, [FAIL])]
    for _ in range(3):
        play(both, [("advance", waits[-1])])
        waits.append(openings_ms(both, [FAIL]))

    assert waits == [101, 151, 227, 340]


def test_hand_that_closes_begins_openings_anew(redis_of_rules: Redis) -> None:
    """Whoever closes the circuit by hand says that the trouble is over."""
    both = TwoCircuits(redis_of_rules, Settings(failure_threshold=1, timeout_growth_percent=200, timeout=0.1))

    play(both, [FAIL, WAIT, FAIL, ("control", Act.FORCE_CLOSE, None)])

    assert openings_ms(both, [FAIL]) == 100


def test_ramp_lets_a_growing_share_through(redis_of_rules: Redis) -> None:
    """After closing, a tenth of the calls at first and then as much as of the ramp is over; then all."""
    settings = Settings(failure_threshold=1, ramp_up=10.0, **QUICKLY_BACK)
    both = TwoCircuits(redis_of_rules, settings)
    play(both, [FAIL, WAIT, SUCCEED])
    passed = []

    for _ in range(5):
        rejected = both.circuit.tallies["rejected_calls"]
        play(both, [SUCCEED] * 20)
        passed.append(20 - (both.circuit.tallies["rejected_calls"] - rejected))
        play(both, [("advance", 2_500)])

    assert passed == [3, 5, 10, 15, 20]


def test_failures_in_the_ramp_open_by_the_rule_of_a_closed_circuit(redis_of_rules: Redis) -> None:
    """One failure among successes is no more than at any other time."""
    both = TwoCircuits(redis_of_rules, Settings(failure_threshold=2, ramp_up=10.0, **QUICKLY_BACK))

    play(both, [FAIL, FAIL, WAIT, SUCCEED, ("advance", 9_999), FAIL])
    assert both.circuit.state is CLOSED
    play(both, [FAIL])

    assert both.circuit.state is OPEN


def test_no_more_calls_are_in_flight_than_allowed(redis_of_rules: Redis) -> None:
    """The third call is turned away, and one that ends makes room."""
    both = TwoCircuits(redis_of_rules, Settings(max_in_flight=2))

    play(both, [ADMIT, ADMIT, ADMIT])
    assert both.circuit.tallies["rejected_calls"] == 1
    assert both.circuit.state is CLOSED
    running = play(both, [("control", Act.DISABLE, None), ADMIT, ("control", Act.ENABLE, None)])

    assert running
    assert both.circuit.tallies["rejected_calls"] == 1


def test_observed_circuit_moves_and_turns_nobody_away(redis_of_rules: Redis) -> None:
    """It opens, it probes and it closes; whoever it would have turned away runs, and decides nothing."""
    both = TwoCircuits(redis_of_rules, Settings(failure_threshold=1, observe=True, **QUICKLY_BACK))

    play(both, [FAIL, FAIL, SUCCEED, ("call", Outcome.IGNORED)])
    assert both.circuit.state is OPEN
    assert both.circuit.tallies["observed_rejections"] == 3
    assert both.circuit.tallies["late_results"] == 0
    assert both.circuit.tallies["failed_calls"] == 2
    play(both, [WAIT, SUCCEED])

    assert both.circuit.state is CLOSED
    assert both.circuit.tallies["rejected_calls"] == 0


def test_hand_is_obeyed_where_the_machine_is_only_observed(redis_of_rules: Redis) -> None:
    """A circuit that is held open rejects, in observe mode too."""
    both = TwoCircuits(redis_of_rules, Settings(observe=True))

    play(both, [("control", Act.FORCE_OPEN, None), ADMIT])

    assert both.circuit.tallies["rejected_calls"] == 1


def test_rules_say_whether_the_default_one_is_alone(redis_of_rules: Redis) -> None:
    """Tuned off, a rule leaves nothing behind, and calls take the short way again."""
    both = TwoCircuits(redis_of_rules, dataclasses.replace(Settings(), ramp_up=1.0))
    assert both.circuit.fields()["rules"] == "extended"

    play(both, [("tune", {"ramp_up_ms": "0", "minimum_reporters": "2"}), FAIL])
    assert "failure_reporters" in both.circuit.fields()
    play(both, [("tune", {"minimum_reporters": "1"})])

    assert both.circuit.fields()["rules"] == "plain"
    assert "failure_reporters" not in both.circuit.fields()
