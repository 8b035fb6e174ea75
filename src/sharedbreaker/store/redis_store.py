"""A circuit in Redis: each step is one script, run by its digest and sent whole only where it is unknown."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from redis import Redis, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sharedbreaker.circuit.admission import AdmissionReading, admission_arguments, read_admission
from sharedbreaker.circuit.control import Act, ControlReading, control_arguments, read_control
from sharedbreaker.circuit.errors import StoreError
from sharedbreaker.circuit.report import Report, ReportReading, read_report, report_arguments
from sharedbreaker.circuit.settings import Settings
from sharedbreaker.circuit.snapshot import Snapshot, read_snapshot
from sharedbreaker.store.connections import address
from sharedbreaker.store.keys import Keys
from sharedbreaker.store.process import ForgetsAtFork, call_forget_in_children, this_process
from sharedbreaker.store.scripts import script

logger = logging.getLogger("sharedbreaker")

SCHEMA = "1"
MOST_UNSETTLED = 1000
SETTLED_PER_CALL = 10


class _Reading(Protocol):
    @property
    def is_undeclared(self) -> bool: ...


ReadingT = TypeVar("ReadingT", bound=_Reading)


class RedisStore(ForgetsAtFork):
    """One circuit in Redis, as one process sees it."""

    def __init__(self, redis: Redis, name: str, keys: Keys, settings: Settings) -> None:
        self._redis = redis
        self._name = name
        self._keys = keys
        self._settings = settings
        self.forget()
        call_forget_in_children(self)

    def forget(self) -> None:
        """Start as a process that has declared nothing and owes no report."""
        self._declared = False
        self._unsettled: deque[Report] = deque(maxlen=MOST_UNSETTLED)
        self._told: set[str] = set()

    def admit(self) -> AdmissionReading:
        """Ask whether a call may run."""
        process = this_process()
        token = process.new_token()
        sent = False

        def ask() -> AdmissionReading:
            nonlocal sent
            arguments = admission_arguments(token, process.who, again=sent)
            sent = True
            return read_admission(self._run("admit", arguments), self._name, token)

        self._settle()
        reading = self._declaring(lambda: self._twice(ask))
        self._tell(reading.unreadable)
        return reading

    def report(self, report: Report) -> ReportReading:
        """Tell how an admitted call ended.

        A report that finds no Redis is kept, and told again before this process' next admission.
        """
        try:
            return self._report(report)
        except StoreError:
            self._unsettled.append(report)
            raise

    def control(
        self, act: Act, who: str | None, reason: str | None, seconds: float | timedelta | None
    ) -> ControlReading:
        """Take the circuit in hand, or let it go."""
        arguments = control_arguments(act, who or this_process().who, reason, seconds)
        reading = self._declaring(lambda: read_control(self._run("control", arguments)))
        self._tell(reading.unreadable)
        return reading

    def snapshot(self) -> Snapshot:
        """Look, and change nothing."""
        return read_snapshot(self._run("snapshot", ()), self._name, self._settings)

    def _report(self, report: Report) -> ReportReading:
        arguments = report_arguments(report, this_process().who)
        reading = self._declaring(lambda: self._twice(lambda: read_report(self._run("report", arguments))))
        self._tell(reading.unreadable)
        return reading

    def _settle(self) -> None:
        for _ in range(min(len(self._unsettled), SETTLED_PER_CALL)):
            try:
                report = self._unsettled.popleft()
            except IndexError:  # another thread took it
                return
            self.report(report)

    def _declaring(self, ask: Callable[[], ReadingT]) -> ReadingT:
        """Ask, after declaring the settings where this process has not, or where Redis lost them."""
        if not self._declared:
            self._declare()
        reading = ask()
        if reading.is_undeclared:
            self._declare()
            reading = ask()
        if reading.is_undeclared:
            raise StoreError(
                f"circuit {self._name!r}: the settings in {self._keys.circuit!r} vanish as soon as they are "
                "declared; look for something that deletes or rewrites this key"
            )
        return reading

    def _declare(self) -> None:
        settings = [part for field in self._settings.fields().items() for part in field]
        reply = self._run("declare", (this_process().who, SCHEMA, *settings))
        self._tell(tuple(value.decode() for value in reply[1:]))
        self._command("SADD", self._keys.registry, self._name)
        self._declared = True

    def _twice(self, ask: Callable[[], ReadingT]) -> ReadingT:
        """Ask again, once, where the connection broke: only for what is safe to send again."""
        try:
            return ask()
        except StoreError as error:
            cause = error.__cause__
            if isinstance(cause, RedisTimeoutError) or not isinstance(cause, RedisConnectionError):
                raise
        return ask()

    def _run(self, name: str, arguments: tuple[str, ...]) -> Any:
        lua = script(name)
        keys = self._keys.of_script
        try:
            return self._redis.execute_command("EVALSHA", lua.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return self._command("EVAL", lua.source, len(keys), *keys, *arguments)
        except RedisError as error:
            raise self._store_error(error) from error

    def _command(self, *words: str | int) -> Any:
        try:
            return self._redis.execute_command(*words)
        except RedisError as error:
            raise self._store_error(error) from error

    def _store_error(self, error: RedisError) -> StoreError:
        return StoreError(
            f"circuit {self._name!r}: Redis at {address(self._redis)} could not be asked about "
            f"{self._keys.circuit!r}: {type(error).__name__}: {error}"
        )

    def _tell(self, unreadable: tuple[str, ...]) -> None:
        """Name each unreadable field once per process, so that a typo is found and a log is not flooded."""
        for field in unreadable:
            if field not in self._told:
                self._told.add(field)
                logger.warning(
                    "circuit %r: field %r of key %r held what sharedbreaker did not write; it was replaced",
                    self._name, field, self._keys.circuit,
                )  # fmt: skip
