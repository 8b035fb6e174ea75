"""The fault run, short: real workers, a real Redis, a fixed seed. The long one is `make faults`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fault_plan import NETWORK_KINDS, REDIS_KINDS, WORKER_KINDS, make_plan
from fault_report import as_text
from fault_run import Order, orders_of, run

SEED = 7
SCHEDULING = 2.0
"""Other tests run beside these, and a tenth of a second says nothing then."""


@pytest.mark.parametrize(
    ("topology", "seconds", "staleness"),
    [("standalone", 18.0, 0.0), ("sentinel", 15.0, 0.0), ("standalone", 18.0, 0.1)],
)
def test_every_invariant_holds_in_a_short_run(topology: str, seconds: float, staleness: float) -> None:
    """All invariants hold at the end of a short run with a fixed seed, strict or with a staleness."""
    result = run(Order(seconds, SEED, topology=topology, staleness=staleness, scheduling=SCHEDULING))
    assert result.holds, as_text(result)
    assert [verdict.number for verdict in result.verdicts] == [1, 2, 3, 4, 5, 6, 7]
    assert bool(result.verdicts[-1].figures["calls on views"]) == bool(staleness)
    assert result.injected.counts


def test_the_same_seed_makes_the_same_plan() -> None:
    """A seed tells the whole schedule, and another seed another one."""
    assert make_plan(3, 60, 8) == make_plan(3, 60, 8)
    assert make_plan(3, 60, 8) != make_plan(4, 60, 8)


def test_a_minute_has_every_kind_of_fault() -> None:
    """In one minute every kind of fault befalls at least once, whatever the seed."""
    for seed in range(20):
        kinds = {fault.kind for fault in make_plan(seed, 60, 8)}
        assert kinds >= {*REDIS_KINDS, *WORKER_KINDS, *NETWORK_KINDS} - {"short_delay"}


def test_failovers_are_part_of_the_usual_run() -> None:
    """Without a topology, the time is shared between a single Redis and one behind Sentinel."""
    standalone, sentinel = orders_of(60, 1, 8, "both")
    assert (standalone.topology, sentinel.topology) == ("standalone", "sentinel")
    assert standalone.seconds + sentinel.seconds == 60


def test_the_command_says_what_it_takes() -> None:
    """The folder is a program, and says how to use it."""
    command = [sys.executable, str(Path(__file__).parent), "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "--seconds" in said
    assert "--seed" in said
