"""`make bench` in miniature, with our own subjects: it runs, and what it counts is right. Never how fast."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SECTIONS = "calls,scripts,propagation,fleet,memory,metrics"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """The results of one tiny run, and what it printed."""
    results = tmp_path_factory.mktemp("bench") / "results.json"
    words = ("--tiny", "--subjects", "ours", "--sections", SECTIONS, "--json", str(results))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *words], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(results.read_text()), done.stdout


def test_scripts_are_counted_at_the_server(run: tuple[dict[str, Any], str]) -> None:
    """A strict call is two scripts and two round trips, a rejection one of each, a degraded call none."""
    rows = run[0]["calls"]["rows"]
    counts = {scenario: cell["counts"] for scenario, cell in rows["strict"].items()}

    assert {scenario: count["scripts"] for scenario, count in counts.items()} == {
        "success": 2,
        "failure": 2,
        "rejection": 1,
    }
    assert round(counts["success"]["round_trips"]) == 2
    assert round(counts["rejection"]["round_trips"]) == 1
    assert "counts" not in rows["degraded"]["success"]


def test_every_round_measured_every_subject(run: tuple[dict[str, Any], str]) -> None:
    """Each row has one figure for each round, so that ratios within a round can be taken."""
    calls = run[0]["calls"]
    lengths = {len(cell["rounds"]) for row in calls["rows"].values() for cell in row.values()}

    assert lengths == {calls["rounds"]}
    assert calls["rows"]["floor"]["success"]["ratio"]["median"] == 1


def test_scripts_that_are_sent_again_are_the_breakers_own(run: tuple[dict[str, Any], str]) -> None:
    """Each script of a call is measured by itself, beside the one with one field."""
    assert {"one field", "admit, closed", "report a success", "report a failure", "admit, open"} <= set(
        run[0]["scripts"]
    )


def test_a_change_made_elsewhere_was_seen_in_every_trial(run: tuple[dict[str, Any], str]) -> None:
    """Opening and closing reach another process."""
    row = run[0]["propagation"]["rows"]["strict"]

    assert row["trials"] > 0
    assert row["opened"]["max"] >= row["opened"]["median"] >= 0


def test_every_mark_is_printed(run: tuple[dict[str, Any], str]) -> None:
    """A mark is met, not met or not measured, and then says why."""
    lines = run[1].splitlines()

    assert any(line.startswith("strict, closed, success: scripts ") and "  met  " in line for line in lines)
    assert any("not measured  section imports was not run" in line for line in lines)
    assert lines[-1].endswith("not measured")
