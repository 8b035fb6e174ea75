"""The verdict as people read it, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sharedbreaker.demo.evidence import Account, most_at_once
from sharedbreaker.demo.guarded_apis import VISION
from sharedbreaker.demo.traffic import Seen
from sharedbreaker.demo.verdict import TALLIES, Verdict

NOT_SEEN = "-"
"""What a party cannot know."""

COLUMNS = (Seen.SUCCESS, Seen.FAILURE, Seen.REJECTED)
OK_STATUS = "200"


def draw_verdict(verdict: Verdict, accounts: Sequence[Account]) -> RenderableType:
    """Return the counts, the transitions, the checks and a closing line, for a terminal."""
    failed = sum(not check.passed for check in verdict.checks)
    closing = (
        Text(f"All {len(verdict.checks)} checks passed.", style="bold green")
        if verdict.passed
        else Text(f"{failed} of {len(verdict.checks)} checks FAILED.", style="bold red")
    )
    return Group("", _counts(accounts), _transitions(accounts), _checks(verdict), "", closing)


def _counts(accounts: Sequence[Account]) -> Table:
    table = _titled("Calls, by three who counted on their own")
    for heading in ("service", "counted by"):
        table.add_column(heading)
    for heading in ("calls", "succeeded", "failed", "rejected"):
        table.add_column(heading, justify="right")
    for account in accounts:
        clients, circuit, upstream = account.clients, account.circuit, account.upstream
        answered_well = upstream.answered.get(OK_STATUS, 0)
        table.add_row(
            account.api.title,
            "the clients",
            str(clients.started),
            *(str(clients.count(seen)) for seen in COLUMNS),
        )
        table.add_row(
            "",
            "the hash in Redis",
            str(circuit.total_calls),
            *(str(circuit.count(TALLIES[seen])) for seen in COLUMNS),
        )
        table.add_row(
            "",
            "the upstream",
            str(upstream.arrived),
            str(answered_well),
            str(sum(upstream.answered.values()) - answered_well),
            NOT_SEEN,
            end_section=True,
        )
    return table


def _transitions(accounts: Sequence[Account]) -> Table:
    table = _titled("Changes of state, from the streams of events in Redis")
    for heading in ("service", "change", "why", "who", "seconds later"):
        table.add_column(heading, justify="right" if heading.startswith("seconds") else "left")
    for account in accounts:
        before = None
        for event in account.transitions:
            after = NOT_SEEN if before is None else f"{event.at - before:.3f}"
            table.add_row(
                account.api.title, f"{event.before} -> {event.after}", event.why, Text(event.who), after
            )
            before = event.at
    return table


def _titled(title: str) -> Table:
    return Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)


def _checks(verdict: Verdict) -> Table:
    table = Table.grid(padding=(0, 1))
    for check in verdict.checks:
        mark = Text("ok", style="green") if check.passed else Text("FAILED", style="bold red")
        table.add_row(mark, Text.assemble(f"{check.claim}: ", (f"{check.detail}.", "dim")))
    return table


def verdict_as_json(verdict: Verdict, accounts: Sequence[Account], demo: dict[str, Any]) -> dict[str, Any]:
    """Return the verdict as ``--json`` prints it; ``demo`` tells of the demo. Moments: Unix seconds."""
    return {
        "passed": verdict.passed,
        "checks": [
            {"name": check.name, "claim": check.claim, "passed": check.passed, "detail": check.detail}
            for check in verdict.checks
        ],
        "services": {account.api.key: _account_as_json(account) for account in accounts},
        "demo": demo,
    }


def _account_as_json(account: Account) -> dict[str, Any]:
    clients, circuit, upstream = account.clients, account.circuit, account.upstream
    document: dict[str, Any] = {
        "circuit": account.api.circuit,
        "state": circuit.state.value,
        "clients": {
            "calls": clients.started,
            **{seen.value: clients.count(seen) for seen in Seen},
            "in_flight": clients.in_flight,
            "workers": {seen.value: sorted(clients.workers_that(seen), key=int) for seen in Seen},
        },
        "upstream": {
            "calls": upstream.arrived,
            "answered": dict(upstream.answered),
            "in_flight": upstream.in_flight,
            "most_in_flight": upstream.peak_in_flight,
        },
        "tallies": {
            "calls": circuit.total_calls,
            **{seen.value: circuit.count(field) for seen, field in TALLIES.items()},
            "released": circuit.count("released_calls"),
            "lost": circuit.count("lost_calls"),
            "late_results": circuit.count("late_results"),
            "in_flight": circuit.calls_in_flight,
        },
        "transitions": circuit.transitions,
        "events": [
            {
                "at": event.at,
                "from": event.before,
                "to": event.after,
                "why": event.why,
                "who": event.who,
                **event.details,
            }
            for event in account.events
        ],
    }
    if account.api is VISION:
        document["probes"] = {
            "allowed_at_once": circuit.count("half_open_max_calls"),
            "most_at_once": most_at_once(account.probes),
            "reached_upstream": len(account.probes),
        }
    return document
