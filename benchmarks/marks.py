"""What was asked of the product, with what was measured beside it.

A mark whose subject was not measured is listed all the same, and says why it has no figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from benchmarks.catalogue import (
    ASYNC_STALE,
    ASYNC_STRICT,
    BARE,
    CATALOGUE,
    CIRCUITBREAKER,
    DEGRADED,
    FLOOR,
    PYBREAKER_MEMORY,
    PYBREAKER_REDIS,
    STALE,
    STALE_PUSH,
    STRICT,
)
from benchmarks.figures import Figures, NotMeasuredError, Results

PROCESSES = "8"
SLACK_OF_COUNTS = 0.02
"""Calls that were counted in a block may include a connection's first words."""
SLACK_OF_LOAD = 1.25
"""Ten times the calls may ask so many times as much of Redis, and still count as the same."""
PROMPT_SECONDS = 0.003


@dataclass(frozen=True)
class Mark:
    """One line of the table."""

    what: str
    asked: str
    measured: str
    is_met: bool | None
    """None where it was not measured."""

    @property
    def verdict(self) -> str:
        return {True: "met", False: "not met", None: "not measured"}[self.is_met]


def marks(results: Results) -> list[Mark]:
    """Return all marks in the order of the issue that set them."""
    figures = Figures(results)
    found = []
    for what, asked, judge in _all_marks(figures):
        try:
            measured, is_met = judge()
        except NotMeasuredError as why:
            found.append(Mark(what, asked, str(why.args[0]), None))
        else:
            found.append(Mark(what, asked, measured, is_met))
    return found


Judge = Callable[[], tuple[str, bool]]
Line = tuple[str, str, Judge]


def at_most(value: Callable[[], float], limit: float, unit: str = "x") -> Judge:
    def judge() -> tuple[str, bool]:
        measured = value()
        return f"{_short(measured)} {unit}".strip(), measured <= limit

    return judge


def at_least(value: Callable[[], float], limit: float, unit: str = "x") -> Judge:
    def judge() -> tuple[str, bool]:
        measured = value()
        return f"{_short(measured)} {unit}".strip(), measured >= limit

    return judge


def exactly(value: Callable[[], float], wanted: int) -> Judge:
    def judge() -> tuple[str, bool]:
        measured = value()
        return _short(measured), abs(measured - wanted) <= SLACK_OF_COUNTS

    return judge


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == round(value) else f"{value:.3g}"


def _all_marks(figures: Figures) -> Iterator[Line]:
    yield from _calls(figures)
    yield from _propagation(figures)
    yield from _paced(figures)
    yield from _server(figures)
    yield from _async(figures)
    yield from _degraded(figures)
    yield from _looking(figures)
    yield from _sizes(figures)


def _calls(figures: Figures) -> Iterator[Line]:
    strict, stale = "strict", "max_staleness"
    yield f"{strict}, closed, success: scripts", "2", exactly(partial(figures.scripts, STRICT, "success"), 2)
    yield (
        f"{strict}, closed, success, to the floor",
        "≤ 2.8 x",
        at_most(partial(figures.to_floor, STRICT, "success"), 2.8),
    )
    yield (
        f"{strict}, closed, success, to pybreaker over Redis",
        "≤ 0.65 x",
        at_most(partial(figures.beside, STRICT, PYBREAKER_REDIS, "success"), 0.65),
    )
    yield (
        f"{strict}, open, rejection: scripts",
        "1",
        exactly(partial(figures.scripts, STRICT, "rejection"), 1),
    )
    yield (
        f"{strict}, open, rejection, to the floor",
        "≤ 1.4 x",
        at_most(partial(figures.to_floor, STRICT, "rejection"), 1.4),
    )
    yield (
        f"{strict}, closed, failure, to the floor",
        "≤ 3.2 x",
        at_most(partial(figures.to_floor, STRICT, "failure"), 3.2),
    )
    for key, name in ((STALE, stale), (STALE_PUSH, f"{stale} with push")):
        for scenario, state in (("success", "closed, success"), ("rejection", "open, rejection")):
            yield from _as_memory(figures, key, f"{name}, {state}", scenario)
    yield f"{stale}, closed, failure: scripts", "1", exactly(partial(figures.scripts, STALE, "failure"), 1)
    yield (
        f"{stale}, closed, failure, to the floor",
        "≤ 2.4 x",
        at_most(partial(figures.to_floor, STALE, "failure"), 2.4),
    )


def _as_memory(figures: Figures, key: str, what: str, scenario: str) -> Iterator[Line]:
    yield (
        f"{what}, to pybreaker in memory",
        "≤ 1 x",
        at_most(partial(figures.beside, key, PYBREAKER_MEMORY, scenario), 1.0),
    )
    yield (
        f"{what}, to circuitbreaker in memory",
        "try for ≤ 1 x",
        at_most(partial(figures.beside, key, CIRCUITBREAKER, scenario), 1.0),
    )


def _propagation(figures: Figures) -> Iterator[Line]:
    def late(key: str) -> Judge:
        def judge() -> tuple[str, bool]:
            row = figures.row("propagation", key, figures.section("propagation")["rows"])
            longest = max(row["opened"]["max"], row["closed"]["max"])
            # The caller looks once in each gap, and wakes a little late from each.
            allowed = row["bound"] + 2 * figures.section("propagation")["gap"]
            return f"{longest * 1000:.1f} ms of {row['bound'] * 1000:.0f} ms at most", longest <= allowed

        return judge

    def prompt() -> tuple[str, bool]:
        row = figures.row("propagation", STALE_PUSH, figures.section("propagation")["rows"])
        median = max(row["opened"]["median"], row["closed"]["median"])
        return f"{median * 1000:.2f} ms", median <= PROMPT_SECONDS

    yield "a change made elsewhere is acted on", "always within max_staleness", late(STALE)
    yield "the same with push", "always within max_staleness", late(STALE_PUSH)
    yield "the same with push, median", "≤ 3 ms", prompt


def _paced(figures: Figures) -> Iterator[Line]:
    for gap in figures.results.get("paced", {"0.001": {}, "0.02": {}}):
        pace = f"a call every {float(gap) * 1000:.0f} ms"

        def to(key: str, other: str, gap: str = gap) -> Callable[[], float]:
            # By the bare call at that pace, which divides out: cold caches weigh on all alike.
            return lambda: (
                figures.paced(gap, key)[f"to_{BARE}"]["median"]
                / figures.paced(gap, other)[f"to_{BARE}"]["median"]
            )

        yield f"{pace}: strict, success, to the floor", "≤ 2.8 x", at_most(to(STRICT, FLOOR), 2.8)
        yield (
            f"{pace}: strict, success, to pybreaker over Redis",
            "≤ 0.65 x",
            at_most(to(STRICT, PYBREAKER_REDIS), 0.65),
        )
        yield (
            f"{pace}: max_staleness, success, to pybreaker in memory",
            "≤ 1 x",
            at_most(to(STALE, PYBREAKER_MEMORY), 1.0),
        )


def _server(figures: Figures) -> Iterator[Line]:
    for script in ("admit, closed", "report a success", "report a failure", "admit, open"):
        yield (
            f"server time of a script: {script}",
            "≤ 2.5 x one field",
            at_most(partial(figures.median, "scripts", script, "ratio"), 2.5),
        )

    def fleet() -> float:
        rows = figures.section("fleet")
        strict = figures.row("fleet", STRICT)
        if PROCESSES not in strict:
            raise NotMeasuredError(f"not run with {PROCESSES} processes")
        ours = strict[PROCESSES]["calls_per_second"]["median"]
        peers = [
            row[PROCESSES]["calls_per_second"]["median"]
            for key, row in rows.items()
            if CATALOGUE[key].is_peer
        ]
        if not peers:
            raise NotMeasuredError("no peer was run")
        return float(ours / max(peers))

    def load() -> tuple[str, bool]:
        rows = figures.section("load")["rows"]
        if not rows:
            figures.row("load", STALE, {})
        slow = {row["processes"]: row["scripts_per_second"] for row in rows if row["gap"] == 0.01}
        fast = {row["processes"]: row["scripts_per_second"] for row in rows if row["gap"] == 0.001}
        growth = max(fast[processes] / slow[processes] for processes in slow)
        most = max(row["scripts_per_second"] / row["processes"] for row in rows)
        bound = rows[0]["bound"] / rows[0]["processes"]
        told = f"{growth:.2f} x at ten times the calls; {most:.1f} scripts/s a process, 1/s being {bound:.0f}"
        return told, growth <= SLACK_OF_LOAD

    yield f"{PROCESSES} processes, strict, to the best peer that asks Redis", "≥ 1.8 x", at_least(fleet, 1.8)
    yield "Redis load with max_staleness", "grows with processes, not with calls", load


def _async(figures: Figures) -> Iterator[Line]:
    yield (
        "async, strict, success, to the floor",
        "≤ 4.5 x",
        at_most(partial(figures.to_floor, ASYNC_STRICT, "success"), 4.5),
    )
    for scenario in ("success", "rejection"):
        yield (
            f"async, max_staleness, {scenario}, to pybreaker in memory",
            "≤ 1 x",
            at_most(partial(figures.beside, ASYNC_STALE, PYBREAKER_MEMORY, scenario), 1.0),
        )


def _degraded(figures: Figures) -> Iterator[Line]:
    for scenario in ("success", "failure", "rejection"):
        yield (
            f"Redis away, {scenario}, to pybreaker in memory",
            "≤ 1 x",
            at_most(partial(figures.beside, DEGRADED, PYBREAKER_MEMORY, scenario), 1.0),
        )


def _looking(figures: Figures) -> Iterator[Line]:
    for key, name, bare in (
        ("one", "get_metrics()", "HGETALL"),
        ("all", "get_all_metrics()", "three HGETALL in a pipeline"),
    ):
        yield (
            f"{name}: round trips",
            "1",
            exactly(partial(figures.value, "metrics", key, "round_trips"), 1),
        )
        yield (
            f"{name}, to {bare}",
            "≤ 1.8 x",
            at_most(partial(figures.median, "metrics", key, "ratio"), 1.8),
        )
    yield (
        "get_all_metrics() as JSON",
        "≤ 4096 bytes",
        at_most(partial(figures.value, "metrics", "json_bytes"), 4096, "bytes"),
    )


def _sizes(figures: Figures) -> Iterator[Line]:
    def memory(*fields: str) -> Callable[[], float]:
        return lambda: sum(figures.row("memory", STRICT)[field] for field in fields)

    yield (
        "Redis, per idle breaker (events aside)",
        "< 3072 bytes",
        at_most(memory("idle"), 3071, "bytes"),
    )
    yield "Redis, per call in flight", "< 150 bytes", at_most(memory("in_flight_1000"), 149.9, "bytes")
    yield "in the process, per breaker", "< 20480 bytes", at_most(memory("in_process"), 20479, "bytes")
    yield (
        "in the process, per breaker with max_staleness",
        "< 20480 bytes",
        at_most(partial(figures.value, "memory", STALE, "in_process"), 20479, "bytes"),
    )
    yield (
        "import sharedbreaker, to import redis",
        "< 1.3 x",
        at_most(partial(figures.median, "imports", "ratio"), 1.2999),
    )
