"""The Redis that is examined: asked one plain command at a time, each within the same bound."""

from __future__ import annotations

from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

from sharedbreaker.circuit.reading import text
from sharedbreaker.store.keys import Keys, keys_of
from sharedbreaker.store.link import link_to
from sharedbreaker.store.scripts import script
from sharedbreaker.store.steps import Command

SCRATCH = "sharedbreaker.doctor"
"""A circuit's name of the doctor's own, for what must be tried on some key. Nothing is left under it."""


class Patient:
    """One Redis and one prefix in it. Making one does no I/O; what redis-py raises is not caught here."""

    def __init__(self, url: str | None, prefix: str, timeout: float) -> None:
        self._link = link_to(url, timeout, 1.0)
        self.prefix = prefix
        self.timeout = timeout

    @property
    def address(self) -> str:
        """Where it is, without a password."""
        return self._link.address

    @property
    def scratch(self) -> Keys:
        """Keys that belong to no circuit."""
        return keys_of(SCRATCH, self.prefix)

    def ask(self, *words: str | int) -> Any:
        """Run one command and return its reply as it came, text as bytes.

        Once again where the connection broke: it may have been idle for long, and twice does no harm here.
        """
        deadline = self._link.deadline()
        try:
            return self._link.run(Command(words, deadline))
        except RedisConnectionError:
            return self._link.run(Command(words, deadline))

    def info(self, section: str) -> dict[str, str]:
        """Return a section of INFO."""
        lines = text(self.ask("INFO", section)).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def snapshot(self, keys: Keys) -> Any:
        """Run the script that only looks."""
        return self.ask("EVAL", script("snapshot").source, len(keys.of_script), *keys.of_script)


def reason_in(error: Exception) -> str:
    """Return an error in words."""
    return f"{type(error).__name__}: {error}".rstrip(".")
