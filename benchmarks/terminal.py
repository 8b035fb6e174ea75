"""What a run prints: single calls in short, then the marks."""

from __future__ import annotations

from benchmarks.figures import Results
from benchmarks.markdown import number, ratio, us
from benchmarks.marks import marks


def printed(results: Results) -> str:
    """Return it as text."""
    return "\n".join([*_calls(results), *_marks(results)])


def _calls(results: Results) -> list[str]:
    if "calls" not in results:
        return []
    lines = [f"{'':26}{'':10} {'us':>9} {'x floor':>8}  scripts a call"]
    for key, row in results["calls"]["rows"].items():
        for scenario, cell in row.items():
            scripts = number(cell["counts"]["scripts"]) if "counts" in cell else ""
            taken = us(cell["seconds"]["median"])
            lines.append(f"{key:26}{scenario:10} {taken:>9} {ratio(cell['ratio']):>8}  {scripts}")
    return [*lines, ""]


def _marks(results: Results) -> list[str]:
    found = marks(results)
    columns = zip(*((mark.what, mark.asked) for mark in found), strict=True)
    widths = [max(len(text) for text in column) for column in columns]
    lines = [
        f"{mark.what:{widths[0]}}  {mark.asked:{widths[1]}}  {mark.verdict:12}  {mark.measured}"
        for mark in found
    ]
    met = sum(mark.is_met is True for mark in found)
    missed = sum(mark.is_met is False for mark in found)
    return [*lines, "", f"{met} marks met, {missed} not met, {len(found) - met - missed} not measured"]
