"""One run: calls begin and end in the order of time, and the rule decides which of them are made."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.simulation.fleet import Fleet
from benchmarks.simulation.outages import BEGINS, ENDS, Outage, is_in_outage
from benchmarks.simulation.rules import Rule
from benchmarks.simulation.traffic import PROCESSES, Call
from sharedbreaker.circuit.admission import Admission

NEVER = math.inf


@dataclass(frozen=True)
class Result:
    """What a rule made of one run."""

    calls: int
    """Calls that came while the service was away."""
    failed: int
    """Those of them that were made and failed."""
    wrongly_rejected: int
    """Calls of the whole run that were not made and would have succeeded."""
    seconds_to_open: float
    """From the beginning of the outage until the circuit of each process that it hits has opened once."""
    seconds_to_close: float
    """From its end until each circuit is closed and stays so. 0 where none was open."""


def simulate(calls: Sequence[Call], outage: Outage, rule: Rule, *, is_shared: bool) -> Result:
    """Send ``calls`` through circuits with the settings of ``rule``."""
    fleet = Fleet(rule.settings, PROCESSES, is_shared=is_shared)
    under_way: list[tuple[float, int, Call, Admission, bool]] = []
    failed = wrongly_rejected = 0

    def end_until(moment: float) -> None:
        while under_way and under_way[0][0] <= moment:
            at, _, call, admission, succeeds = heapq.heappop(under_way)
            fleet.report(at, call.process, admission, succeeds=succeeds, took=at - call.at)

    for number, call in enumerate(calls):
        end_until(call.at)
        answer = outage.answer_to(call)
        admission = fleet.admit(call.at, call.process)
        if admission is None:
            wrongly_rejected += answer.succeeds
            continue
        failed += is_in_outage(call) and not answer.succeeds
        heapq.heappush(under_way, (call.at + answer.seconds, number, call, admission, answer.succeeds))
    end_until(NEVER)
    hit = {fleet.circuit_of(process) for process in outage.victims}
    return Result(
        sum(map(is_in_outage, calls)),
        failed,
        wrongly_rejected,
        max(_first_after(BEGINS, fleet.openings[number]) for number in hit),
        max(_closed_after(fleet, number) for number in range(len(fleet.circuits))),
    )


def _first_after(moment: float, moments: Sequence[float]) -> float:
    return next((at - moment for at in moments if BEGINS <= at < ENDS), NEVER)


def _closed_after(fleet: Fleet, number: int) -> float:
    if not fleet.is_closed(number):
        return NEVER
    return max(0.0, fleet.closings[number][-1] - ENDS) if fleet.closings[number] else 0.0
