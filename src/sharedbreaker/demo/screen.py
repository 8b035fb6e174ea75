"""What the demo shows: lines that stay, and below them, on a terminal, a table that lives."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.circuit.state import CircuitState
from sharedbreaker.demo.google_ai_server import Books
from sharedbreaker.demo.guarded_apis import GuardedApi
from sharedbreaker.demo.traffic import ClientCounts, Seen

WIDTH_OF_NO_TERMINAL = 110
STYLES = {CircuitState.CLOSED: "green", CircuitState.HALF_OPEN: "yellow", CircuitState.OPEN: "bold red"}


@dataclass(frozen=True)
class Row:
    """One service, as Redis, the clients and the upstream tell of it at this moment."""

    api: GuardedApi
    circuit: Snapshot
    clients: ClientCounts
    upstream: Books


class Screen:
    """The demo's output: stdout, or stderr where stdout is for JSON."""

    def __init__(self, *, on_stderr: bool) -> None:
        self.console = Console(stderr=on_stderr, highlight=False)
        if not self.console.is_terminal:
            self.console.width = WIDTH_OF_NO_TERMINAL
        self._live: Live | None = None
        self._began: float | None = None

    @contextmanager
    def live_table(self) -> Iterator[None]:
        """Show the latest table at the bottom while the block lasts; only on a terminal."""
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, auto_refresh=False, transient=True) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def begin_story(self) -> None:
        """Count the seconds of the story from now."""
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the story began."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    def tell(self, what: str, style: str = "") -> None:
        """Add a line to the story, with the seconds since its beginning."""
        when = f"{self.seconds:5.1f} s"
        if not self.console.is_terminal:
            self.console.print(f"{when}  {what}", markup=False, soft_wrap=True)
            return
        # A grid, so that a long line goes on below itself and not below the time.
        line = Table.grid(padding=(0, 2))
        line.add_row(Text(when, style="dim"), Text(what, style=style))
        self.console.print(line)

    def note(self, what: str, style: str = "") -> None:
        """Print a line outside the story."""
        self.console.print(Text(what, style=style), soft_wrap=not self.console.is_terminal)

    def print(self, what: RenderableType) -> None:
        """Print something drawn."""
        self.console.print(what)

    def update(self, rows: Sequence[Row]) -> None:
        """Show the figures of this moment, where a table lives."""
        if self._live is not None:
            self._live.update(_table(rows), refresh=True)


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, caption_justify="left", caption_style="dim")
    table.caption = (
        "circuit, in flight: Redis. succeeded, failed, rejected: the clients. reached: the upstream."
    )
    for heading in ("service", "circuit"):
        table.add_column(heading)
    for heading in ("succeeded", "failed", "rejected", "reached upstream", "in flight"):
        table.add_column(heading, justify="right")
    for row in rows:
        state = row.circuit.state
        table.add_row(
            row.api.title,
            Text(state.value, style=STYLES[state]),
            *(str(row.clients.count(seen)) for seen in (Seen.SUCCESS, Seen.FAILURE, Seen.REJECTED)),
            str(row.upstream.arrived),
            str(row.circuit.calls_in_flight),
        )
    return table
