"""What many runs with different seeds come to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from statistics import fmean, median

from benchmarks.simulation.outages import LASTS, OUTAGES, Outage
from benchmarks.simulation.rules import RULES, Rule
from benchmarks.simulation.run import Result, simulate
from benchmarks.simulation.traffic import CALLS_PER_MINUTE, RUNS, Call, calls_of


@dataclass(frozen=True)
class Case:
    """One cell of the table. Outage and rule are numbers in their tables."""

    calls_per_minute: int
    outage_number: int
    rule_number: int
    is_shared: bool

    @property
    def outage(self) -> Outage:
        """Return how the service goes away."""
        return OUTAGES[self.outage_number]

    @property
    def rule(self) -> Rule:
        """Return who decides."""
        return RULES[self.rule_number]


@dataclass(frozen=True)
class Figures:
    """Means of the counts, and medians of the times, where never is longer than any time."""

    calls: float
    failed: float
    wrongly_rejected: float
    seconds_to_open: float
    seconds_to_close: float


AllFigures = Mapping[Case, Figures]


def figures_of(results: Sequence[Result]) -> Figures:
    """Return what the runs of one case come to."""
    return Figures(
        fmean(result.calls for result in results),
        fmean(result.failed for result in results),
        fmean(result.wrongly_rejected for result in results),
        median(result.seconds_to_open for result in results),
        median(result.seconds_to_close for result in results),
    )


def cases(traffics: Iterable[int] = CALLS_PER_MINUTE) -> Iterator[Case]:
    """Return all cases that make sense."""
    for calls_per_minute in traffics:
        for outage_number in range(len(OUTAGES)):
            for rule_number, rule in enumerate(RULES):
                yield Case(calls_per_minute, outage_number, rule_number, is_shared=True)
                if not (rule.needs_a_fleet or rule.is_the_same_alone):
                    yield Case(calls_per_minute, outage_number, rule_number, is_shared=False)


def run_case(case: Case) -> Figures:
    """Run one case with each of its seeds."""
    traffic = _traffic(case.calls_per_minute)
    return figures_of(
        [simulate(calls, case.outage, case.rule, is_shared=case.is_shared) for calls in traffic]
    )


def all_figures() -> dict[Case, Figures]:
    """Run everything, on every processor there is."""
    # The long ones first.
    ordered = sorted(cases(), key=lambda case: -case.calls_per_minute)
    with ProcessPoolExecutor() as processes:
        figures = dict(zip(ordered, processes.map(run_case, ordered), strict=True))
    return {case: figures[case] for case in cases()}


@cache
def _traffic(calls_per_minute: int) -> list[list[Call]]:
    # The calls of a seed are the same for every rule and every outage.
    return [calls_of(calls_per_minute, LASTS, seed) for seed in range(RUNS[calls_per_minute])]
