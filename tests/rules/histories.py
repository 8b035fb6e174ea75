"""Histories of one circuit: what Hypothesis makes them of, and how they are played."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import strategies as st
from two_circuits import TwoCircuits

from sharedbreaker.circuit.admission import Admission
from sharedbreaker.circuit.control import Act
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.refresh import Batch
from sharedbreaker.circuit.settings import Settings

# Round times, and steps that end on them exactly, one millisecond before and one after.
PLAIN = st.builds(
    Settings,
    failure_threshold=st.integers(1, 3),
    timeout=st.sampled_from([0.1, 0.2]),
    success_threshold=st.integers(1, 3),
    half_open_max_calls=st.one_of(st.none(), st.integers(1, 3)),
    probe_timeout=st.sampled_from([0.05, 0.15, 2.0]),
    lease_timeout=st.sampled_from([0.05, 0.3]),
    max_timeout=st.sampled_from([0.05, 0.3]),
)
WINDOWS = st.sampled_from([(0.1, 0), (1.0, 0), (None, 2), (None, 5)])


@st.composite
def settings_with_rules(draw: st.DrawFn) -> Settings:
    """Settings with any of the rules besides the default one in force."""
    rules: dict[str, Any] = {}
    for name in draw(st.sets(st.sampled_from(["failure_rate", "slow_call_rate"]))):
        window, window_calls = draw(WINDOWS)
        rules[f"{name}_percent"] = draw(st.sampled_from([1, 34, 50, 100]))
        rules[f"{name}_window"] = window
        rules[f"{name}_window_calls"] = window_calls
        rules[f"{name}_minimum_calls"] = draw(st.integers(1, 2))
        if name == "slow_call_rate":
            rules["slow_call_duration"] = draw(st.sampled_from([0.001, 0.02]))
    if draw(st.booleans()) and rules:
        rules["failure_threshold"] = None
    others: dict[str, st.SearchStrategy[Any]] = {
        "timeout_growth_percent": st.sampled_from([150, 1000]),
        "ramp_up": st.sampled_from([0.1, 0.25]),
        "minimum_reporters": st.integers(2, 3),
        "max_in_flight": st.integers(1, 3),
        "observe": st.booleans(),
    }
    for name in draw(st.sets(st.sampled_from(sorted(others)))):
        rules[name] = draw(others[name])
    if any(name.endswith("window_calls") and number for name, number in rules.items()):
        rules.pop("minimum_reporters", None)
    return dataclasses.replace(draw(PLAIN), **rules)


SETTINGS = st.one_of(PLAIN, settings_with_rules(), settings_with_rules())
WHO = st.sampled_from(["ann", "bob", "cat"])
DURATION_MS = st.sampled_from([None, 0, 19, 20, 500])
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
        "failure_rate_percent": st.sampled_from(["", "0", "50"]),
        "failure_rate_window_calls": st.sampled_from(["", "0", "3"]),
        "slow_call_rate_percent": st.sampled_from(["", "0", "50"]),
        "slow_call_rate_window_ms": st.sampled_from(["", "0", "50"]),
        "slow_call_duration_ms": st.sampled_from(["", "0", "19"]),
        "timeout_growth_percent": st.sampled_from(["", "100", "200"]),
        "ramp_up_ms": st.sampled_from(["", "0", "50"]),
        "minimum_reporters": st.sampled_from(["", "1", "2"]),
        "max_in_flight": st.sampled_from(["", "0", "2"]),
        "observe": st.sampled_from(["", "0", "1"]),
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
    st.tuples(
        st.just("report"), st.integers(0, 5), st.sampled_from(list(Outcome)), WHO, RETRY_AFTER_MS, DURATION_MS
    ),
    st.tuples(
        st.just("refresh"), COUNTS, st.integers(0, 2), st.booleans(), RETRY_AFTER_MS, st.integers(0, 2), WHO
    ),
    st.tuples(
        st.just("refresh"),
        st.just({Outcome.FAILURE: 1}),
        st.just(0),
        st.booleans(),
        st.none(),
        st.just(0),
        WHO,
    ),
    st.tuples(st.just("refresh again"), st.integers(0, 5)),
    st.tuples(st.just("look"), st.booleans()),
    st.tuples(st.just("call"), st.just(Outcome.FAILURE), WHO, DURATION_MS),
    st.tuples(st.just("call"), st.just(Outcome.FAILURE), WHO, DURATION_MS),
    st.tuples(st.just("call"), st.just(Outcome.SUCCESS), WHO, DURATION_MS),
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
SUCCEED = ("call", Outcome.SUCCESS)
UNSAID: dict[str, tuple[Any, ...]] = {
    "call": (Outcome.SUCCESS, "ann", None),
    "refresh": ({}, 0, False, None, 0, "ann"),
}
"""What is taken for the last parts of a step where a history leaves them out."""
WAIT = ("advance", 100)


def play(both: TwoCircuits, history: list[tuple[Any, ...]]) -> set[str]:  # noqa: C901, PLR0912 - one branch a step
    """Play a history, and return what it came across."""
    running: list[Admission] = []
    ended: list[Admission] = []
    batches: list[Batch] = []
    seen = {both.circuit.state.value}
    for step, *said in history:
        details = [*said, *UNSAID.get(step, ())[len(said) :]]
        if step == "admit":
            admission = both.admit(details[0])
            if admission is not None:
                running.append(admission)
        elif step == "call":
            admission = both.admit("ann")
            if admission is not None:
                both.report(admission, details[0], details[1], None, details[2])
        elif step == "report" and running:
            admission = running.pop(details[0] % len(running))
            ended.append(admission)
            both.report(admission, *details[1:])
        elif step == "refresh":
            outcomes, rejected, is_late, wait_ms, slow, who = details
            slow = min(slow, outcomes.get(Outcome.SUCCESS, 0) + outcomes.get(Outcome.FAILURE, 0))
            epoch = str(both.circuit.epoch - is_late)
            batches.append(Batch(f"batch{len(batches)}", epoch, outcomes, rejected, "Boom", wait_ms, slow))
            both.refresh(batches[-1], "", who)
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
