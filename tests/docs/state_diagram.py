"""Draws the state diagram of docs/how-it-works.md from the transition table of the rules: `make docs`."""

from __future__ import annotations

from docs_page import DOCS

from sharedbreaker.circuit.state import TRANSITIONS, CircuitState

PAGE = DOCS / "how-it-works.md"
BEGIN = "<!-- state diagram: written by make docs -->\n"
END = "<!-- end of the state diagram -->"
REASONS = {
    "closed_to_open": {
        "failure_threshold": "so many failures in a row, from whichever processes",
        "failure_rate": "so large a share of the latest calls failed, with a `FailureRate`",
        "slow_call_rate": "so large a share of them was slow or hangs, with a `SlowCallRate`",
        "force_open": "somebody holds it open",
    },
    "open_to_half_open": {
        "open_timeout_over": "the open time is over and a call comes: it is the first probe",
        "hold_over": "a hold for a limited time is over and a call comes",
    },
    "half_open_to_closed": {
        "success_threshold": "so many probes succeeded",
        "force_close": "somebody closes it",
        "disable": "somebody lets every call pass",
    },
    "half_open_to_open": {
        "probe_failed": "one probe failed",
        "force_open": "somebody holds it open",
    },
    "open_to_closed": {
        "force_close": "somebody closes it, also one that is held open",
        "disable": "somebody lets every call pass",
    },
}
"""Of each transition: what its event says in the field `why`, and what that means."""
MEANING = {
    CircuitState.CLOSED: "calls pass",
    CircuitState.OPEN: "calls are rejected",
    CircuitState.HALF_OPEN: "a few probes pass",
}


def with_diagram(page: str) -> str:
    """Return the page with its written part as it should be."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    return before + begin + _diagram() + "\n" + _table() + end + after


def _diagram() -> str:
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f"    {state.value}: {state.value} - {MEANING[state]}" for state in CircuitState]
    lines.append(f"    [*] --> {TRANSITIONS[0].before.value}")
    for way in TRANSITIONS:
        lines.append(f"    {way.before.value} --> {way.after.value}: {', '.join(REASONS[way.name])}")
    return "\n".join([*lines, "```", ""])


def _table() -> str:
    rows = ["| from | to | `why` in the event | what happened |", "|---|---|---|---|"]
    for way in TRANSITIONS:
        for why, words in REASONS[way.name].items():
            rows.append(f"| {way.before.value} | {way.after.value} | `{why}` | {words} |")
    return "\n".join([*rows, ""])


if __name__ == "__main__":
    PAGE.write_text(with_diagram(PAGE.read_text()))
