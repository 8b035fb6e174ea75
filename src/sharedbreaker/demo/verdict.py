"""The verdict on a demo: each check compares accounts of the same calls that were kept independently."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sharedbreaker.circuit.state import TRANSITIONS, CircuitState
from sharedbreaker.demo.evidence import Account, most_at_once
from sharedbreaker.demo.guarded_apis import VISION
from sharedbreaker.demo.traffic import Seen

TALLIES = {
    Seen.SUCCESS: "successful_calls",
    Seen.FAILURE: "failed_calls",
    Seen.REJECTED: "rejected_calls",
    Seen.IGNORED: "ignored_calls",
}
"""What the clients count, and the field of the hash that must say the same."""

ONCE_EACH = {"closed_to_open": 1, "open_to_half_open": 1, "half_open_to_closed": 1}


@dataclass(frozen=True)
class Check:
    """One thing that must hold, and whether it does."""

    name: str
    claim: str
    """What must hold, in words."""
    passed: bool
    detail: str
    """The figures that decided."""


@dataclass(frozen=True)
class Verdict:
    """All checks of one demo."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


def judge(accounts: Sequence[Account]) -> Verdict:
    """Return the verdict on the accounts of the three services."""
    vision = next(account for account in accounts if account.api is VISION)
    others = [account for account in accounts if account is not vision]
    return Verdict(
        (
            _others_unharmed(others),
            _tallies_equal_clients(accounts),
            _upstream_got_what_was_let_through(accounts),
            _vision_went_through_an_outage(vision),
            _vision_transitions(vision),
            _others_stayed_closed(others),
            _probes_within_limit(vision),
            _spared_while_open(vision),
            _nothing_lost(accounts),
            _nothing_in_flight(accounts),
        )
    )


def _others_unharmed(others: Sequence[Account]) -> Check:
    return Check(
        "others_unharmed",
        "The other services neither failed nor were rejected",
        all(0 < other.clients.started == other.clients.count(Seen.SUCCESS) for other in others),
        "; ".join(
            f"{other.api.title}: {other.clients.count(Seen.SUCCESS)} of {other.clients.started} succeeded"
            for other in others
        ),
    )


def _tallies_equal_clients(accounts: Sequence[Account]) -> Check:
    passed = True
    details = []
    for account in accounts:
        counted = [account.clients.count(seen) for seen in TALLIES]
        tallied = [account.circuit.count(field) for field in TALLIES.values()]
        passed = passed and counted == tallied
        but = "" if counted == tallied else f", but Redis says {_listed(tallied)}"
        details.append(f"{account.api.title} {_listed(counted)}{but}")
    return Check(
        "tallies_equal_clients",
        "Redis tallied exactly what the clients counted (succeeded, failed, rejected, ignored)",
        passed,
        "; ".join(details),
    )


def _upstream_got_what_was_let_through(accounts: Sequence[Account]) -> Check:
    passed = True
    details = []
    for account in accounts:
        let_through = account.clients.count(Seen.SUCCESS) + account.clients.count(Seen.FAILURE)
        arrived = account.upstream.arrived
        passed = passed and arrived == let_through
        details.append(f"{account.api.title}: {arrived} arrived, {let_through} succeeded or failed")
    return Check(
        "upstream_equals_let_through",
        "What reached the upstreams is what succeeded or failed, and nothing that was rejected",
        passed,
        "; ".join(details),
    )


def _vision_went_through_an_outage(vision: Account) -> Check:
    failed, rejected = vision.clients.count(Seen.FAILURE), vision.clients.count(Seen.REJECTED)
    threshold = vision.circuit.count("failure_threshold")
    return Check(
        "vision_failed_and_was_rejected",
        "Vision failed often enough to open its circuit, and was then rejected",
        failed >= threshold > 0 and rejected > 0,
        f"{failed} failed, where {threshold} in a row open it; {rejected} were rejected",
    )


def _vision_transitions(vision: Account) -> Check:
    return Check(
        "vision_opened_half_opened_closed_once",
        "Vision's circuit opened, half-opened and closed, once each",
        _tallied(vision) == _streamed(vision) == ONCE_EACH and _is_closed(vision),
        _moves(vision),
    )


def _others_stayed_closed(others: Sequence[Account]) -> Check:
    return Check(
        "others_stayed_closed",
        "The other circuits stayed closed",
        all(not _tallied(other) and not _streamed(other) and _is_closed(other) for other in others),
        "; ".join(f"{other.api.title}: {_moves(other)}" for other in others),
    )


def _probes_within_limit(vision: Account) -> Check:
    probes = vision.probes
    most, allowed = most_at_once(probes), vision.circuit.count("half_open_max_calls")
    needed = vision.circuit.count("success_threshold")
    return Check(
        "probes_within_limit",
        "Never were more probes at vision's upstream at once than allowed",
        most <= allowed and len(probes) >= needed > 0,
        f"{len(probes)} reached it, at most {most} at once; {allowed} at once are allowed, and {needed} that "
        "succeed close the circuit",
    )


def _spared_while_open(vision: Account) -> Check:
    reached = len(vision.reached_while(CircuitState.OPEN))
    late = vision.circuit.count("late_results")
    return Check(
        "vision_spared_while_open",
        "While its circuit was open, vision's upstream was spared",
        reached <= late,
        f"calls that reached it then: {reached}; calls that were admitted before a change of state and ended "
        f"after it: {late}",
    )


def _nothing_lost(accounts: Sequence[Account]) -> Check:
    lost = [account.clients.count(Seen.LOST) for account in accounts]
    expired = [account.circuit.count("lost_calls") for account in accounts]
    released = [account.circuit.count("released_calls") for account in accounts]
    return Check(
        "nothing_lost",
        "No call was lost",
        not any((*lost, *expired, *released)),
        f"without a clear answer {sum(lost)}, leases that ran out {sum(expired)}, given up {sum(released)}",
    )


def _nothing_in_flight(accounts: Sequence[Account]) -> Check:
    clients = sum(account.clients.in_flight for account in accounts)
    redis = sum(account.circuit.calls_in_flight for account in accounts)
    upstream = sum(account.upstream.in_flight for account in accounts)
    return Check(
        "nothing_in_flight",
        "No call is in flight at the end",
        not any((clients, redis, upstream)),
        f"by the clients {clients}, by Redis {redis}, by the upstream {upstream}",
    )


def _tallied(account: Account) -> dict[str, int]:
    return {name: count for name, count in account.circuit.transitions.items() if count}


def _streamed(account: Account) -> dict[str, int]:
    names = [event.transition for event in account.transitions]
    return {known.name: names.count(known.name) for known in TRANSITIONS if known.name in names}


def _is_closed(account: Account) -> bool:
    return account.circuit.state is CircuitState.CLOSED


def _moves(account: Account) -> str:
    tallied, streamed = _tallied(account), _streamed(account)
    shown = _counted(tallied)
    if tallied != streamed:
        shown = f"{shown} by the tallies, {_counted(streamed)} by the events"
    return f"{shown} (now {account.circuit.state.value})"


def _listed(counts: Iterable[int]) -> str:
    return ", ".join(str(count) for count in counts)


def _counted(transitions: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in transitions.items()) or "no change"
