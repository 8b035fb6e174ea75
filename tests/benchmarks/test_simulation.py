"""The simulation behind docs/choosing-settings.md: small runs whose figures can be reckoned by hand."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.simulation.figures import Case, Figures, cases, figures_of
from benchmarks.simulation.outages import LASTS, OUTAGES, Answer, Outage
from benchmarks.simulation.rules import RULES, Rule
from benchmarks.simulation.run import Result, simulate
from benchmarks.simulation.tables import block_names, cell, outage_table
from benchmarks.simulation.traffic import PROCESSES, Call, calls_of
from sharedbreaker.circuit.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "choosing-settings.md").read_text()
TOTAL, BROWN_OUT, HANG, BAD_POD, FLAPPING = OUTAGES
DEFAULT = Rule("the default", Settings())
ONE_A_SECOND = [Call(float(second), second % PROCESSES, 0.5, 0.5) for second in range(int(LASTS))]
"""Each in the next process; in health each takes 1.25 seconds and succeeds."""


def test_a_total_outage_by_hand() -> None:
    """Five failures open the circuit, one probe a minute fails, and two close it after the outage."""
    result = simulate(ONE_A_SECOND, TOTAL, DEFAULT, is_shared=True)

    # The success of 299 ends after the failure of 300, and the fifth after it fails at 305.2. Probes begin at
    # 366, 427, ... 854 and, with success, at 915 and 916.
    assert result.calls == 600
    assert result.failed == 6 + 9
    assert result.seconds_to_open == pytest.approx(5.2)
    assert result.wrongly_rejected == 15
    assert result.seconds_to_close == pytest.approx(17.25)


def test_circuits_of_their_own_see_failures_of_their_own() -> None:
    """With one breaker per process each lets five calls fail, and each probes."""
    result = simulate(ONE_A_SECOND, TOTAL, DEFAULT, is_shared=False)

    # Process 3 is the last: it fails at 303, 311, ... 335.
    fifth_of_the_last = 300 + PROCESSES * 5 - 1 - 300 + 0.2
    assert result.seconds_to_open == pytest.approx(fifth_of_the_last)
    assert result.failed > PROCESSES * (5 + 7)


def test_without_a_breaker_every_call_is_made() -> None:
    """The first line of the tables is what there is to gain."""
    result = simulate(ONE_A_SECOND, TOTAL, RULES[0], is_shared=True)

    assert result == Result(600, 600, 0, math.inf, 0.0)


def test_a_service_that_hangs_opens_when_its_callers_give_up_or_are_slow() -> None:
    """Failures come after a minute; a rule for slow calls sees them while they hang."""
    slow = Rule(
        "slow", Settings(slow_call_rate_percent=50, slow_call_rate_window_calls=10, slow_call_duration=10)
    )

    assert simulate(ONE_A_SECOND, HANG, DEFAULT, is_shared=True).seconds_to_open == pytest.approx(64)
    # Ten of the latest twenty have been under way for ten seconds when one more comes.
    assert simulate(ONE_A_SECOND, HANG, slow, is_shared=True).seconds_to_open == pytest.approx(19)


def test_calls_that_hang_are_known_by_their_process() -> None:
    """Where several processes have to see it, each one's calls under way speak for it."""
    slow = Settings(slow_call_rate_percent=50, slow_call_rate_window=20, slow_call_duration=10)
    agreed = Rule("agreed", replace(slow, minimum_reporters=4))
    of_one_process = [replace(call, process=0) for call in ONE_A_SECOND]

    assert simulate(ONE_A_SECOND, HANG, agreed, is_shared=True).seconds_to_open == pytest.approx(14)
    assert simulate(of_one_process, HANG, agreed, is_shared=True).seconds_to_open == math.inf


def test_how_long_a_call_took_is_told() -> None:
    """A call that is slow and ends before the next one comes counts when it ends."""
    slow = Rule(
        "slow", Settings(slow_call_rate_percent=50, slow_call_rate_window_calls=2, slow_call_duration=10)
    )
    slowly = Outage("slow", "each call takes twelve seconds", lambda call, since: Answer(True, 12.0))

    result = simulate(ONE_A_SECOND[::20], slowly, slow, is_shared=True)
    assert result.seconds_to_open == pytest.approx(12)


def test_errors_in_health_are_no_failures_of_the_outage() -> None:
    """A service that is well fails once in a while, and that is not counted against a rule."""
    before_and_after = [Call(at, 0, luck=0.0, pace=0.5) for at in (299.9, 900.0)]

    assert simulate(before_and_after, TOTAL, RULES[0], is_shared=True).failed == 0


def test_one_bad_pod_does_not_open_where_more_have_to_agree() -> None:
    """The failures of two processes do not reject the calls of six; alone, each of the two opens."""
    agreed = Rule("agreed", Settings(minimum_reporters=4, failure_threshold=1))
    one = Rule("one", Settings(failure_threshold=1))

    assert simulate(ONE_A_SECOND, BAD_POD, agreed, is_shared=True).wrongly_rejected == 0
    assert simulate(ONE_A_SECOND, BAD_POD, one, is_shared=True).wrongly_rejected > 300
    assert simulate(ONE_A_SECOND, BAD_POD, one, is_shared=False).wrongly_rejected < 30


def test_calls_in_health_of_a_service_that_flaps_can_be_wrongly_rejected() -> None:
    """What would have succeeded counts as wrong, by the moment when the call came."""
    one = Rule("one", Settings(failure_threshold=1, timeout=40))
    result = simulate([call for call in ONE_A_SECOND if call.at < 360], FLAPPING, one, is_shared=True)

    # Open from 300.2 to 340.2, with health from 330 on.
    assert result.failed == 1
    assert result.wrongly_rejected == 11


def test_some_calls_of_a_brown_out_fail_by_their_own_luck() -> None:
    """Whether a call fails is its own, whatever rule decides whether it is made."""
    lucky = [replace(call, luck=0.3) for call in ONE_A_SECOND]
    unlucky = [replace(call, luck=0.29) for call in ONE_A_SECOND]

    assert simulate(lucky, BROWN_OUT, RULES[0], is_shared=True).failed == 0
    assert simulate(unlucky, BROWN_OUT, RULES[0], is_shared=True).failed == 600


def test_a_seed_gives_the_same_calls_again() -> None:
    """Two runs of one seed are equal, two seeds are not, and the pace is that which was asked for."""
    calls = calls_of(10, LASTS, seed=1)

    assert calls == calls_of(10, LASTS, seed=1)
    assert calls != calls_of(10, LASTS, seed=2)
    assert len(calls_of(1000, LASTS, seed=1)) == pytest.approx(1000 * LASTS / 60, rel=0.05)
    assert {call.process for call in calls} == set(range(PROCESSES))
    assert [call.at for call in calls] == sorted(call.at for call in calls)


@pytest.mark.parametrize("outage", OUTAGES, ids=[outage.name for outage in OUTAGES])
@pytest.mark.parametrize("rule", RULES, ids=[rule.name for rule in RULES])
def test_every_rule_runs_through_every_outage(outage: Outage, rule: Rule) -> None:
    """No more calls fail than without a breaker, and nothing is lost."""
    calls = calls_of(10, LASTS, seed=3)
    at_most = simulate(calls, outage, RULES[0], is_shared=True).failed

    assert simulate(calls, outage, rule, is_shared=True).failed <= at_most


def test_times_are_medians_and_counts_are_means() -> None:
    """A run in which it never happens is longer than any other, and does not make all others so."""
    results = [Result(10, 2, 0, 5.0, 1.0), Result(10, 3, 1, 7.0, 3.0), Result(10, 7, 2, math.inf, math.inf)]

    assert figures_of(results) == Figures(10, 4, 1, 7.0, 3.0)


def test_a_cell_tells_four_figures() -> None:
    """Calls that failed and were wrongly rejected, and when the circuit opened and closed."""
    assert cell(Figures(600, 14, 1234.5, 4.2, 16.25)) == "14 + 1,234<br>4.2 s, 16 s"
    assert cell(Figures(600, 9.96, 0, math.inf, 0)) == "10 + 0<br>never"
    assert cell(Figures(600, 1.25, 0.5, 60, math.inf)) == "1.2 + 0.5<br>60 s, never"
    assert cell(None) == ""


def test_a_table_has_a_line_for_each_rule() -> None:
    """A case that makes no sense has an empty cell."""
    figures = {case: Figures(1, 1, 1, 1, 1) for case in cases()}
    table = outage_table(figures, 0)

    assert [line.split(" | ")[0] for line in table.splitlines()[4:]] == [f"| {rule.name}" for rule in RULES]
    assert Case(1, 0, 0, is_shared=False) not in figures
    assert "1.0 + 1.0<br>1.0 s, 1.0 s" in table


def test_the_page_is_of_these_rules_and_outages() -> None:
    """docs/choosing-settings.md has a table for each outage, and in each a line for every rule."""
    blocks = dict(re.findall(r"<!-- bench: ([\w-]+) -->\n(.*?)<!-- bench ends -->", PAGE, re.DOTALL))

    assert list(blocks) == list(block_names())
    for block in blocks.values():
        assert re.findall(r"^\| ([^|]+) \| \d", block, re.MULTILINE) == [rule.name for rule in RULES]
