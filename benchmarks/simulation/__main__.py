"""Run every rule through every outage, and fill in docs/choosing-settings.md."""

from __future__ import annotations

import time

from benchmarks.environments import ROOT
from benchmarks.page import filled
from benchmarks.simulation.figures import all_figures
from benchmarks.simulation.pictures import draw
from benchmarks.simulation.tables import block_names, outage_table

PAGE = ROOT / "docs" / "choosing-settings.md"
PICTURES = ROOT / "docs" / "choosing-settings"


def main() -> None:
    """Run it all."""
    began = time.monotonic()
    figures = all_figures()
    numbers = block_names()
    page = filled(PAGE.read_text(), lambda name: outage_table(figures, numbers[name]), set(numbers))
    PAGE.write_text(page)
    drawn = draw(figures, PICTURES)
    print(f"{len(figures)} cases in {time.monotonic() - began:.0f} s")
    for path in (PAGE, *drawn):
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
