"""A circuit that other processes configured, for whoever looks at it or takes it in hand from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sharedbreaker.circuit.control import check_control
from sharedbreaker.circuit.errors import CircuitUnusableError, NoSuchCircuitError
from sharedbreaker.circuit.forgetting import ForgetReading, forget_arguments, read_forget
from sharedbreaker.circuit.history import Event, read_history
from sharedbreaker.circuit.settings import Settings
from sharedbreaker.circuit.snapshot import SNAPSHOT_PARTS, Snapshot, read_snapshot
from sharedbreaker.circuit.tuning import TuneReading, read_tune, tune_arguments
from sharedbreaker.store.cluster_link import ClusterLink
from sharedbreaker.store.keys import Keys
from sharedbreaker.store.link import Link
from sharedbreaker.store.names_list import drop_name
from sharedbreaker.store.process import this_process
from sharedbreaker.store.redis_store import RedisStore
from sharedbreaker.store.steps import Steps

_DEFAULTS = Settings()


class ExistingCircuit(RedisStore):
    """One circuit in Redis as it is found: it is never declared, and so never made or configured.

    Every method may also raise NoSuchCircuitError.
    """

    def __init__(self, link: Link | ClusterLink, name: str, keys: Keys) -> None:
        super().__init__(link, name, keys, _DEFAULTS)

    def forget(self) -> None:
        """Start as a process that leaves declaring, and the list, to those whose circuit it is."""
        super().forget()
        self._declared = True
        self._registered = True

    def snapshot(self) -> Steps[Snapshot]:
        """Look, and change nothing."""
        deadline = self._link.deadline()
        snapshot = yield from self._run_twice("snapshot", tuple, self._read, deadline)
        if snapshot is None:
            raise self._absent()
        return snapshot

    def history(self, most: int) -> Steps[tuple[Event, ...]]:
        """Return the latest events, newest first."""
        deadline = self._link.deadline()
        key = self._keys.events
        reply = yield from self._command(("XREVRANGE", key, "+", "-", "COUNT", most), deadline)
        try:
            events = read_history(reply)
        except (ValueError, TypeError) as error:
            raise CircuitUnusableError(
                f"circuit {self._name!r}: {key!r} in Redis at {self._link.address} holds events that "
                f"sharedbreaker did not write: {error}"
            ) from error
        if not events:
            yield from self.snapshot()
        return events

    def tune(self, changes: Mapping[str, str], who: str | None, reason: str | None) -> Steps[TuneReading]:
        """Change settings for the whole fleet until they are cleared, as ``tuned_fields`` has them."""
        check_control(who, reason, None)
        process = this_process()
        arguments = tune_arguments(changes, who or process.who, reason, process.new_token())
        return self._ask("tune", lambda: arguments, read_tune)

    def remove(self, *, force: bool) -> Steps[ForgetReading]:
        """Remove all keys of the circuit and its name from the list, unless it is busy and not ``force``."""
        deadline = self._link.deadline()
        arguments = forget_arguments(force=force)
        reading = yield from self._run_twice("forget", lambda: arguments, read_forget, deadline)
        if not reading.is_busy:
            was_listed = yield from drop_name(
                self._keys.registry,
                self._name,
                self._keys.circuit,
                lambda words: self._command(words, deadline),
            )
            if reading.is_undeclared and not was_listed:
                raise self._absent()
        return reading

    def _declare(self, deadline: float) -> Steps[None]:  # noqa: ARG002 - what it stands for takes it
        raise self._absent()
        yield  # what makes it steps, as those that it stands for

    def _read(self, reply: Any) -> Snapshot | None:
        snapshot = read_snapshot(reply, self._name, self._settings)
        return snapshot if reply[SNAPSHOT_PARTS - 1] else None

    def _absent(self) -> NoSuchCircuitError:
        return NoSuchCircuitError(
            f"there is no circuit {self._name!r}: Redis at {self._link.address} has no key "
            f"{self._keys.circuit!r}; a circuit is there from its first call on, so look at the name, the "
            "prefix and the Redis"
        )
