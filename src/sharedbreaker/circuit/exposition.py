"""Circuits written out as Prometheus reads them.

The text format is three lines a family, so the core writes it without a library.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sharedbreaker.circuit.errors import CircuitUnusableError, StoreError
from sharedbreaker.circuit.families import FAMILIES
from sharedbreaker.circuit.snapshot import Snapshot

REDIS_UP = "circuit_breaker_redis_up"


def exposition(circuits: Sequence[Snapshot], *, is_up: bool | None) -> str:
    """Return one valid text exposition of all ``circuits``: each family once, however many there are.

    ``is_up``: whether Redis answered; None where nobody asked. A circuit that it did not tell of is no part
    of ``circuits``: neither old figures nor zeros stand for what nobody knows.
    """
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
    if is_up is not None:
        lines += [
            f"# HELP {REDIS_UP} 1 if Redis answered all of this scrape, 0 if not: as seen from here.",
            f"# TYPE {REDIS_UP} gauge",
            f"{REDIS_UP} {int(is_up)}",
        ]
    return "\n".join(lines) + "\n"


def exposition_of_answers(answers: Iterable[Snapshot | StoreError]) -> str:
    """Return the exposition of what Redis told; an error stands for each circuit that it did not tell."""
    told = list(answers)
    away = [answer for answer in told if isinstance(answer, StoreError)]
    # Of a circuit that is unusable Redis did tell, though not what it should.
    is_up = all(isinstance(error, CircuitUnusableError) for error in away)
    there = [answer for answer in told if isinstance(answer, Snapshot)]
    return exposition(there, is_up=is_up if told else None)


def _escaped(text: str) -> str:
    # A circuit's name needs none of it; a field that somebody edited by hand may.
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
