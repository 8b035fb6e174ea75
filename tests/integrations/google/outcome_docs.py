"""Writes the table of outcomes into docs/google-ai.md: `make docs`."""

from __future__ import annotations

from pathlib import Path

from own_errors import OWN_ERRORS
from situations import NOTHING, SITUATIONS, Situation
from ways import Ask

PAGE = Path(__file__).parents[3] / "docs" / "google-ai.md"
BEGIN = "<!-- outcomes: written by make docs -->\n"
END = "<!-- end of outcomes -->"

_HEADERS = (
    "situation",
    "google-genai",
    "google-generativeai, REST",
    "google-generativeai, gRPC",
    "outcome",
    "stays open for",
)


def rendered() -> str:
    """Return the table as Markdown."""
    rows = [_HEADERS, ("---",) * len(_HEADERS)]
    rows += [_row(situation) for situation in SITUATIONS]
    rows += [(own.title, *[f"`{own.raised}`"] * 3, own.outcome.value, "") for own in OWN_ERRORS]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(situation: Situation) -> tuple[str, ...]:
    open_for = situation.open_for or ("`timeout`" if situation.outcome == "failure" else "")
    return (
        situation.title,
        _cell(situation, "genai", "aiohttp"),
        _cell(situation, "rest"),
        _cell(situation, "grpc", "grpc async"),
        situation.outcome.value,
        open_for,
    )


def _cell(situation: Situation, column: str, other: str = "") -> str:
    if other in situation.raised:
        return f"{_cell(situation, column)}; {other.removeprefix('grpc ')}: {_name(situation.raised[other])}"
    whole = situation.raised_by(column, situation.asks[0])
    stream = situation.raised_by(column, Ask.STREAM) if Ask.STREAM in situation.asks else whole
    if whole == stream or stream is None:
        return _name(whole)
    return f"stream: {_name(stream)}" if whole is None else f"{_name(whole)}; stream: {_name(stream)}"


def _name(raised: str | None) -> str:
    if raised is None:
        return "does not happen"
    return "returns" if raised == NOTHING else f"`{raised}`"


def main() -> None:
    """Write it."""
    page = PAGE.read_text()
    start, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    PAGE.write_text(page[:start] + rendered() + page[end:])


if __name__ == "__main__":
    main()
