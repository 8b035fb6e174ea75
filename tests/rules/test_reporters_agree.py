"""How many processes have to see it: in Lua and in Python alike."""

from __future__ import annotations

from histories import FAIL, SUCCEED, play
from redis import Redis
from two_circuits import TwoCircuits

from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.settings import Settings
from sharedbreaker.circuit.state import CircuitState

OPEN, CLOSED = CircuitState.OPEN, CircuitState.CLOSED


def test_failures_of_one_process_alone_open_nothing(redis_of_rules: Redis) -> None:
    """However many there are; with the second process that sees one, the circuit opens."""
    settings = Settings(failure_threshold=2, minimum_reporters=2)
    both = TwoCircuits(redis_of_rules, settings)

    play(both, [FAIL] * 5)
    assert both.circuit.state is CLOSED
    assert both.circuit.fields()["failure_reporters"] == f"ann={both.now_us // 1000}"
    play(both, [("call", Outcome.FAILURE, "bob", None)])

    assert both.circuit.state is OPEN


def test_the_latest_sixteen_reporters_are_known(redis_of_rules: Redis) -> None:
    """A fleet that fails as a whole fills no field without an end, and opens at the largest number."""
    both = TwoCircuits(redis_of_rules, Settings(failure_threshold=1000, minimum_reporters=16))
    fleet = [f"pod{number}" for number in range(20)]

    play(both, [("call", Outcome.FAILURE, pod, None) for pod in fleet])

    reporters = [reporter.split("=")[0] for reporter in both.circuit.fields()["failure_reporters"].split()]
    assert reporters == fleet[-16:]
    play(both, [("tune", {"failure_threshold": "21"}), ("call", Outcome.FAILURE, "pod20", None)])
    assert both.circuit.state is OPEN


def test_reporter_from_before_the_run_does_not_count(redis_of_rules: Redis) -> None:
    """What another process saw before the last success says nothing about this run."""
    both = TwoCircuits(redis_of_rules, Settings(failure_threshold=2, minimum_reporters=2))

    play(both, [("call", Outcome.FAILURE, "bob", None), SUCCEED, ("advance", 1), FAIL, FAIL])

    assert both.circuit.state is CLOSED
