"""A circuit in Redis: each step is one script, run by its digest and sent whole only where it is unknown."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sharedbreaker import observation
from sharedbreaker.circuit.admission import AdmissionReading, admission_arguments, read_admission
from sharedbreaker.circuit.control import (
    Act,
    ControlReading,
    check_control,
    control_arguments,
    read_control,
)
from sharedbreaker.circuit.errors import CircuitUnusableError, StoreError
from sharedbreaker.circuit.reading import text
from sharedbreaker.circuit.refresh import Batch, RefreshReading, read_refresh, refresh_arguments
from sharedbreaker.circuit.report import Report, ReportReading, read_report, report_arguments
from sharedbreaker.circuit.settings import Settings
from sharedbreaker.circuit.settlement import (
    Settlement,
    SettlementReading,
    read_settlement,
    settlement_arguments,
)
from sharedbreaker.circuit.snapshot import Snapshot, read_snapshot
from sharedbreaker.store.cluster_link import ClusterLink
from sharedbreaker.store.keys import Keys
from sharedbreaker.store.link import Link
from sharedbreaker.store.names_list import drop_names_that_are_gone
from sharedbreaker.store.process import ForgetsAtFork, call_forget_in_children, this_process
from sharedbreaker.store.redis_errors import hint_on, is_outage
from sharedbreaker.store.scripts import SCRIPTS, Script, script
from sharedbreaker.store.steps import Command, Steps
from sharedbreaker.store.usual_case import UsualCase

logger = logging.getLogger("sharedbreaker")

SCHEMA = "2"
"""Version of the hash's fields. 2 has the rules besides failures in a row."""
SECONDS_BETWEEN_REGISTRATIONS = 5.0


class _Reading(Protocol):
    @property
    def is_undeclared(self) -> bool: ...
    @property
    def unreadable(self) -> tuple[str, ...]: ...


ReadingT = TypeVar("ReadingT", bound=_Reading)
AnswerT = TypeVar("AnswerT")


class RedisStore(ForgetsAtFork):
    """One circuit in Redis, as one process sees it.

    Every method may raise StoreError where Redis cannot be asked, and CircuitUnusableError where it
    answers but not for this circuit.
    """

    def __init__(self, link: Link | ClusterLink, name: str, keys: Keys, settings: Settings) -> None:
        self._link = link
        self._name = name
        self._keys = keys
        self._settings = settings
        # Read now: a process that is leaving cannot read files any more, and may still have to report.
        for name_of_script in SCRIPTS:
            script(name_of_script)
        self.forget()
        call_forget_in_children(self)

    def forget(self) -> None:
        """Start as a process that has declared nothing."""
        self._declared = False
        self._registered = False
        self._register_at = 0.0
        self._told: set[str] = set()

    @property
    def is_ready(self) -> bool:
        """Whether nothing stands between a question and its script."""
        return self._declared and self._registered

    @property
    def changes_channel(self) -> str:
        """Where changes of the circuit are published."""
        return self._keys.changes

    def usual_case(self) -> UsualCase:
        """Return the questions of calls, packed ahead for this process."""
        return UsualCase(self._name, self._keys)

    def admit(self, token: str) -> Steps[AdmissionReading]:
        """Ask whether the call named ``token`` may run."""
        who = this_process().who
        sendings = itertools.count()
        return self._ask(
            "admit",
            lambda: admission_arguments(token, who, again=next(sendings) > 0),
            lambda reply: read_admission(reply, self._name, token),
        )

    def report(self, report: Report) -> Steps[ReportReading]:
        """Tell how an admitted call ended. Counts once, however often it is told."""
        return self._ask("report", lambda: report_arguments(report, this_process().who), read_report)

    def refresh(self, batch: Batch, told: str, sending: Callable[[Batch], None]) -> Steps[RefreshReading]:
        """Tell what was held back, and ask where the circuit stands. Counts once, however often it is told.

        ``sending`` is called whenever the batch is about to be sent.
        """
        who = this_process().who

        def arguments() -> tuple[str, ...]:
            sending(batch)
            return refresh_arguments(batch, told, who)

        return self._ask("refresh", arguments, read_refresh)

    def settle(self, settlement: Settlement) -> Steps[SettlementReading]:
        """Add what was decided without Redis. Adds once, however often it is told."""
        return self._ask(
            "settle", lambda: settlement_arguments(settlement, this_process().who), read_settlement
        )

    def control(
        self, act: Act, who: str | None, reason: str | None, seconds: float | timedelta | None
    ) -> Steps[ControlReading]:
        """Take the circuit in hand, or let it go."""
        check_control(who, reason, seconds)
        process = this_process()
        arguments = control_arguments(act, who or process.who, reason, seconds, process.new_token())
        return self._ask("control", lambda: arguments, read_control)

    def snapshot(self) -> Steps[Snapshot]:
        """Look, and change nothing."""
        return self._run_twice(
            "snapshot",
            tuple,
            lambda reply: read_snapshot(reply, self._name, self._settings),
            self._link.deadline(),
        )

    def _ask(
        self, name: str, arguments: Callable[[], tuple[str, ...]], read: Callable[[Any], ReadingT]
    ) -> Steps[ReadingT]:
        """Run a script, after declaring the settings where this process has not, or where Redis lost them.

        All of it together ends by one deadline. What was done by then need not be done again.
        """
        deadline = self._link.deadline()
        if not self._declared:
            yield from self._declare(deadline)
        reading = yield from self._run_twice(name, arguments, read, deadline)
        if reading.is_undeclared:
            yield from self._declare(deadline)
            reading = yield from self._run_twice(name, arguments, read, deadline)
        if reading.is_undeclared:
            raise CircuitUnusableError(
                f"circuit {self._name!r}: the settings in {self._keys.circuit!r} vanish as soon as they "
                "are declared; look for something that deletes or rewrites this key"
            )
        self._tell(reading.unreadable)
        if not self._registered and time.monotonic() >= self._register_at:
            yield from self._register(deadline)
        return reading

    def _declare(self, deadline: float) -> Steps[None]:
        settings = [part for field in self._settings.fields().items() for part in field]
        arguments = (this_process().who, SCHEMA, *settings)
        unreadable = yield from self._run_twice(
            "declare", lambda: arguments, lambda reply: tuple(map(text, reply[1:])), deadline
        )
        self._tell(unreadable)
        self._declared = True
        self._registered = False

    def _register(self, deadline: float) -> Steps[None]:
        # The list is for people to find circuits by, and in a Cluster another master may keep it: no call
        # needs it, so none fails for it, and it is tried seldom.
        try:
            yield from self._command(("SADD", self._keys.registry, self._name), deadline)
            self._registered = True
        except StoreError as error:
            self._register_at = time.monotonic() + SECONDS_BETWEEN_REGISTRATIONS
            logger.warning("%s; circuit %r is not in the list %r", error, self._name, self._keys.registry)
            return
        if self._settings.idle_ttl is not None:
            yield from self._drop_names_that_are_gone(deadline)

    def _drop_names_that_are_gone(self, deadline: float) -> Steps[None]:
        try:
            yield from drop_names_that_are_gone(self._keys, lambda words: self._command(words, deadline))
        except StoreError as error:
            logger.info("%s; names of circuits that are gone stay in %r", error, self._keys.registry)

    def _run_twice(
        self,
        name: str,
        arguments: Callable[[], tuple[str, ...]],
        read: Callable[[Any], AnswerT],
        deadline: float,
    ) -> Steps[AnswerT]:
        """Run a script, and once again where the connection broke: each is safe to be sent again."""
        run = self._run_observed if observation.redis_observers else self._run
        try:
            return (yield from run(name, arguments(), read, deadline))
        except StoreError as error:
            cause = error.__cause__
            if isinstance(cause, RedisTimeoutError) or not isinstance(cause, RedisConnectionError):
                raise
        return (yield from run(name, arguments(), read, deadline))

    def _run_observed(
        self, name: str, arguments: tuple[str, ...], read: Callable[[Any], AnswerT], deadline: float
    ) -> Steps[AnswerT]:
        with observation.asking(name) as question:
            try:
                answer = yield from self._run(name, arguments, read, deadline)
            except CircuitUnusableError:
                question.was_answered = True
                raise
            question.was_answered = True
        return answer

    def _run(
        self, name: str, arguments: tuple[str, ...], read: Callable[[Any], AnswerT], deadline: float
    ) -> Steps[AnswerT]:
        lua = script(name)
        keys = self._keys.of_script
        try:
            reply = yield Command(("EVALSHA", lua.sha, len(keys), *keys, *arguments), deadline)
        except NoScriptError:
            try:
                reply = yield Command(("EVAL", lua.source, len(keys), *keys, *arguments), deadline)
            except Exception as error:  # whatever it is, it must not reach a call
                raise self._store_error(error, lua) from error
        except Exception as error:  # whatever it is, it must not reach a call
            raise self._store_error(error, lua) from error
        try:
            return read(reply)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise CircuitUnusableError(
                f"circuit {self._name!r}: Redis at {self._link.address} gave an answer about "
                f"{self._keys.circuit!r} that makes no sense: {error}"
            ) from error

    def _command(self, words: tuple[str | int, ...], deadline: float) -> Steps[Any]:
        try:
            return (yield Command(words, deadline))
        except Exception as error:  # whatever it is, it must not reach a call
            raise self._store_error(error) from error

    def _store_error(self, error: Exception, lua: Script | None = None) -> StoreError:
        if is_outage(error):
            return StoreError(
                f"circuit {self._name!r}: Redis at {self._link.address} could not be asked about "
                f"{self._keys.circuit!r}: {type(error).__name__}: {error}{hint_on(error, lua)}"
            )
        return CircuitUnusableError(
            f"circuit {self._name!r}: Redis at {self._link.address} answers, but not for this circuit; look "
            f"at its keys {', '.join(map(repr, self._keys.of_script))}: {type(error).__name__}: {error}"
            f"{hint_on(error, lua)}"
        )

    def _tell(self, unreadable: tuple[str, ...]) -> None:
        """Name each unreadable field once per process, so that a typo is found and a log is not flooded."""
        for field in unreadable:
            if field not in self._told:
                self._told.add(field)
                logger.warning(
                    "circuit %r: field %r of key %r held what sharedbreaker did not write; it was replaced",
                    self._name,
                    field,
                    self._keys.circuit,
                )
