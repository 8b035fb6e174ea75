"""The verdict on a demo: honest books pass every check, one false figure fails the check that it concerns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import requests

from sharedbreaker import Snapshot
from sharedbreaker.demo.circuits import Event
from sharedbreaker.demo.evidence import Account, most_at_once
from sharedbreaker.demo.google_ai_server import Books, JournalEntry
from sharedbreaker.demo.guarded_apis import GUARDED_APIS, IMAGEN, TEXT_GENERATION, VISION, GuardedApi
from sharedbreaker.demo.story import Timetable
from sharedbreaker.demo.traffic import ClientCounts, Seen, seen_in
from sharedbreaker.demo.verdict import TALLIES, judge
from sharedbreaker.demo.verdict_report import verdict_as_json

OPENED, HALF_OPENED, CLOSED = 1000.0, 1003.0, 1003.2
TURNS = [
    Event(OPENED, "closed", "open", "failure_threshold", "host:1", {"failure_count": "3"}),
    Event(HALF_OPENED, "open", "half_open", "open_timeout_over", "host:2"),
    Event(CLOSED, "half_open", "closed", "success_threshold", "host:1"),
]
CALLS_OF_VISION = [
    (990.0, 990.1), (999.8, 999.84), (999.85, 999.9), (999.9, 999.99), (999.92, 1000.03),
    (1003.01, 1003.09), (1003.02, 1003.19), (1004.0, 1004.1),
]  # fmt: skip
"""One success, four failures of which one is late, two probes, one success."""

Falsify = Callable[[Account], Account]


def account_of(api: GuardedApi) -> Account:
    ended = {Seen.SUCCESS: 9}
    calls = [(1000.0 + number, 1000.1 + number) for number in range(9)]
    if api is VISION:
        ended = {Seen.SUCCESS: 4, Seen.FAILURE: 4, Seen.REJECTED: 20}
        calls = CALLS_OF_VISION
    turns = TURNS if api is VISION else []
    fields = {
        "state": "closed",
        "half_open_max_calls": "2",
        "success_threshold": "2",
        "failure_threshold": "3",
        "late_results": "1",
        **{field: str(ended.get(seen, 0)) for seen, field in TALLIES.items()},
        **{event.transition: "1" for event in turns},
    }
    return Account(
        api=api,
        clients=ClientCounts(sum(ended.values()), ended),
        upstream=Books(arrived=len(calls), answered={"200": len(calls)}, in_flight=0, peak_in_flight=1),
        journal=[JournalEntry(api.upstream, start, end, "200") for start, end in calls],
        circuit=Snapshot(api.circuit, now_ms=2_000_000, calls_in_flight=0, probes_in_flight=0, fields=fields),
        events=[Event(900.0, "closed", "closed", "declared", "host:1"), *turns],
        clock_ahead=0.0,
    )


def field(**changes: str) -> Falsify:
    return lambda account: replace(
        account, circuit=replace(account.circuit, fields={**account.circuit.fields, **changes})
    )


def seen_by_clients(started: int = 0, **ended: int) -> Falsify:
    """Change the clients' counts by so many."""

    def falsify(account: Account) -> Account:
        clients = account.clients
        counts = {seen: clients.count(seen) + ended.get(seen.value, 0) for seen in Seen}
        return replace(account, clients=ClientCounts(clients.started + started, counts))

    return falsify


def also(*falsifications: Falsify) -> Falsify:
    def falsify(account: Account) -> Account:
        for each in falsifications:
            account = each(account)
        return account

    return falsify


def call(start: float, end: float | None) -> Falsify:
    return lambda account: replace(
        account, journal=[*account.journal, JournalEntry(account.api.upstream, start, end, "200")]
    )


def arrived(more: int) -> Falsify:
    return lambda account: replace(
        account, upstream=replace(account.upstream, arrived=account.upstream.arrived + more)
    )


def events(*entries: Event) -> Falsify:
    return lambda account: replace(account, events=entries)


def failed_checks(accounts: Sequence[Account]) -> set[str]:
    verdict = judge(accounts)
    failed = {check.name for check in verdict.checks if not check.passed}
    assert verdict.passed is not bool(failed)
    return failed


def test_honest_books_pass_every_check() -> None:
    """Accounts that agree, of a circuit that opened and closed once, pass all checks."""
    assert failed_checks([account_of(api) for api in GUARDED_APIS]) == set()


AGAIN = [
    Event(1004.0, "closed", "open", "failure_threshold", "host:1"),
    Event(1005.0, "open", "half_open", "open_timeout_over", "host:1"),
    Event(1005.1, "half_open", "closed", "success_threshold", "host:1"),
]
TALLIED_TWICE = field(closed_to_open="2", open_to_half_open="2", half_open_to_closed="2", late_results="9")


@pytest.mark.parametrize(
    ("api", "falsify", "expected"),
    [
        pytest.param(
            TEXT_GENERATION, field(successful_calls="8"), {"tallies_equal_clients"}, id="tally short"
        ),
        pytest.param(VISION, field(failed_calls="5"), {"tallies_equal_clients"}, id="failure tallied twice"),
        pytest.param(IMAGEN, field(rejected_calls="1"), {"tallies_equal_clients"}, id="rejection made up"),
        pytest.param(VISION, field(ignored_calls="1"), {"tallies_equal_clients"}, id="ignored made up"),
        pytest.param(VISION, arrived(1), {"upstream_equals_let_through"}, id="rejected call arrived"),
        pytest.param(IMAGEN, arrived(-1), {"upstream_equals_let_through"}, id="call arrived nowhere"),
        pytest.param(
            TEXT_GENERATION,
            also(seen_by_clients(success=-1, failure=1), field(successful_calls="8", failed_calls="1")),
            {"others_unharmed"},
            id="text failed",
        ),
        pytest.param(
            IMAGEN,
            also(seen_by_clients(started=1, rejected=1), field(rejected_calls="1")),
            {"others_unharmed"},
            id="imagen rejected",
        ),
        pytest.param(
            VISION,
            also(seen_by_clients(started=-20, rejected=-20), field(rejected_calls="0")),
            {"vision_failed_and_was_rejected"},
            id="nothing rejected",
        ),
        pytest.param(
            VISION,
            also(seen_by_clients(success=2, failure=-2), field(successful_calls="6", failed_calls="2")),
            {"vision_failed_and_was_rejected"},
            id="opened by too few",
        ),
        pytest.param(
            VISION,
            field(closed_to_open="2"),
            {"vision_opened_half_opened_closed_once"},
            id="tallies say twice",
        ),
        pytest.param(
            VISION,
            field(half_open_to_open="1"),
            {"vision_opened_half_opened_closed_once"},
            id="a probe failed",
        ),
        pytest.param(
            VISION, field(open_to_closed="1"), {"vision_opened_half_opened_closed_once"}, id="closed by hand"
        ),
        pytest.param(
            VISION, field(state="open"), {"vision_opened_half_opened_closed_once"}, id="open at the end"
        ),
        pytest.param(
            VISION,
            also(events(*TURNS, *AGAIN), TALLIED_TWICE),
            {"vision_opened_half_opened_closed_once"},
            id="opened twice",
        ),
        pytest.param(
            VISION,
            events(*TURNS[:1], *TURNS[2:]),
            {"vision_opened_half_opened_closed_once", "probes_within_limit", "vision_spared_while_open"},
            id="event missing",
        ),
        pytest.param(TEXT_GENERATION, events(*TURNS), {"others_stayed_closed"}, id="text opened, by events"),
        pytest.param(
            IMAGEN, field(closed_to_open="1"), {"others_stayed_closed"}, id="imagen opened, by tally"
        ),
        pytest.param(IMAGEN, field(state="half_open"), {"others_stayed_closed"}, id="imagen not closed"),
        pytest.param(VISION, call(1003.05, 1003.06), {"probes_within_limit"}, id="a third probe at once"),
        pytest.param(VISION, call(1003.05, None), {"probes_within_limit"}, id="a third probe that hangs"),
        pytest.param(VISION, field(half_open_max_calls="1"), {"probes_within_limit"}, id="one probe allowed"),
        pytest.param(VISION, field(success_threshold="3"), {"probes_within_limit"}, id="too few probes"),
        pytest.param(
            VISION,
            also(call(1001.0, 1001.1), call(1002.0, 1002.1)),
            {"vision_spared_while_open"},
            id="calls while open",
        ),
        pytest.param(VISION, field(lost_calls="1"), {"nothing_lost"}, id="lease ran out"),
        pytest.param(VISION, field(released_calls="1"), {"nothing_lost"}, id="call given up"),
        pytest.param(VISION, seen_by_clients(started=1, lost=1), {"nothing_lost"}, id="no answer"),
        pytest.param(VISION, seen_by_clients(started=1), {"nothing_in_flight"}, id="client waits"),
        pytest.param(
            IMAGEN,
            lambda account: replace(account, circuit=replace(account.circuit, calls_in_flight=1)),
            {"nothing_in_flight"},
            id="lease left",
        ),
        pytest.param(
            IMAGEN,
            lambda account: replace(account, upstream=replace(account.upstream, in_flight=1)),
            {"nothing_in_flight"},
            id="upstream busy",
        ),
    ],
)
def test_one_false_figure_fails_the_check_that_it_concerns(
    api: GuardedApi, falsify: Falsify, expected: set[str]
) -> None:
    """Books that are honest but for one figure fail, and the check that fails names what is wrong."""
    accounts = [falsify(account_of(each)) if each is api else account_of(each) for each in GUARDED_APIS]
    assert failed_checks(accounts) == expected


def test_a_failed_check_shows_in_the_json() -> None:
    """The JSON says passed: false, and which check failed with which figures."""
    accounts = [field(failed_calls="5")(account_of(api)) for api in GUARDED_APIS]
    document = verdict_as_json(judge(accounts), accounts, {})
    assert document["passed"] is False
    details = {check["name"]: check["detail"] for check in document["checks"] if not check["passed"]}
    assert "vision 4, 4, 20, 0, but Redis says 4, 5, 20, 0" in details["tallies_equal_clients"]


def test_a_redis_with_a_clock_of_its_own_is_understood() -> None:
    """Where Redis' clock is ahead, its events are set against the upstream's calls by the same amount."""
    honest = account_of(VISION)
    events_ahead = [replace(event, at=event.at + 7.25) for event in honest.events]
    ahead = replace(honest, events=events_ahead, clock_ahead=7.25)
    assert ahead.probes == honest.probes
    assert len(ahead.probes) == 2
    assert replace(ahead, clock_ahead=0.0).probes == []


@pytest.mark.parametrize(
    ("calls", "most"),
    [
        ([], 0),
        ([(1.0, 2.0), (2.0, 3.0)], 1),
        ([(1.0, 2.0), (1.9, 3.0), (2.5, 4.0)], 2),
        ([(1.0, None), (1.5, 1.6), (1.55, 1.7), (9.0, None)], 3),
    ],
)
def test_calls_at_once_are_counted_from_their_beginnings_and_ends(
    calls: list[tuple[float, float | None]], most: int
) -> None:
    """Calls overlap from beginning to end; one that ends when another begins does not overlap it."""
    assert most_at_once([JournalEntry(VISION.upstream, start, end, "") for start, end in calls]) == most


@pytest.mark.parametrize("seconds", [5.0, 15.0, 60.0, 3600.0])
def test_the_outage_ends_before_the_first_probe(seconds: float) -> None:
    """However long the demo, vision is healthy again well before its circuit half-opens."""
    timetable = Timetable(seconds)
    assert 1.0 <= timetable.open_timeout <= 5.0
    assert 0 < timetable.shortest_outage < timetable.longest_outage < timetable.open_timeout - 0.3
    assert timetable.healthy + timetable.open_timeout < seconds


@pytest.mark.parametrize(
    ("status", "body", "seen"),
    [
        (200, b"\x89PNG", Seen.SUCCESS),
        (502, b'{"outcome": "failure"}', Seen.FAILURE),
        (503, b'{"outcome": "rejected"}', Seen.REJECTED),
        (400, b'{"outcome": "ignored"}', Seen.IGNORED),
        (503, b'{"success": false}', Seen.LOST),
        (502, b"<h1>Bad Gateway</h1>", Seen.LOST),
        (503, b'{"outcome": "failure"}', Seen.LOST),
        (500, b'{"outcome": "failure"}', Seen.LOST),
        (404, b"[]", Seen.LOST),
    ],
)
def test_clients_believe_an_answer_only_if_status_and_body_agree(
    status: int, body: bytes, seen: Seen
) -> None:
    """An answer whose status and outcome do not say the same is counted as lost."""
    response = requests.Response()
    response.status_code = status
    response._content = body
    assert seen_in(response) is seen
