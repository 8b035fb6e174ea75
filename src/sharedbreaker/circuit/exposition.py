"""Circuits written out as Prometheus reads them.

The text format is three lines a family, so the core writes it without a library.
"""

from __future__ import annotations

from collections.abc import Sequence

from sharedbreaker.circuit.families import FAMILIES
from sharedbreaker.circuit.snapshot import Snapshot


def exposition(circuits: Sequence[Snapshot]) -> str:
    """Return one valid text exposition of all ``circuits``: each family once, however many there are."""
    lines = []
    for family in FAMILIES:
        lines.append(f"# HELP {family.name} {family.help}")
        lines.append(f"# TYPE {family.name} {family.type}")
        for circuit in circuits:
            for labels, value in family.samples(circuit):
                if value is not None:
                    pairs = {"name": circuit.name, **labels}
                    shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in pairs.items())
                    lines.append(f"{family.name}{{{shown}}} {value}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    # A circuit's name needs none of it; a field that somebody edited by hand may.
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
