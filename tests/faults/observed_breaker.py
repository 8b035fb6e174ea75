"""The breaker under observation: what it asks Redis, what it is answered, and what it does to a call.

Two seams are used, and nothing inside is changed: `Link.run` and `ask`, by which all reaches Redis, and the
public `admit` and `report`, which `call`, the `with` block and the decorator stand on.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeVar

from fault_ledger import Ledger, true_time
from fault_terms import Terms, breaker_settings
from redis import Redis
from redis.exceptions import NoScriptError

from sharedbreaker import CircuitBreaker
from sharedbreaker.circuit.admission import Admission
from sharedbreaker.circuit.outcome import Outcome, outcome_of
from sharedbreaker.store.link import Link
from sharedbreaker.store.scripts import SCRIPTS, script
from sharedbreaker.store.steps import Command
from sharedbreaker.store.view import View

R = TypeVar("R")

IN_REDIS, ALONE, ON_VIEW = range(3)
FIRST_ARGUMENT = 7
"""Where a script's arguments begin behind EVALSHA, digest, number of keys and four keys."""


class UpstreamFailure(Exception):  # noqa: N818 - it is what the service did
    """The service failed: the expected exception."""


class CallersMistake(Exception):  # noqa: N818 - it is what the caller did
    """The service refused a bad request."""


@dataclass
class CallInHand:
    """One call as it goes on in a thread."""

    number: int
    admission: Admission | None = None
    admit_wait: float = 0.0
    report_wait: float = 0.0
    ended_on_view: float = 0.0
    raised: BaseException | None = None
    value: object = None


class InHand(threading.local):
    """The call that the running thread is making."""

    call = CallInHand(-1)


in_hand = InHand()


class ObservedBreaker(CircuitBreaker):
    """A breaker whose admissions and reports are written down, with how long they took."""

    def __init__(self, terms: Terms, redis: Redis | str, ledger: Ledger, max_staleness: float = 0.0) -> None:
        super().__init__(
            expected_exception=UpstreamFailure,
            redis=redis,
            on_redis_change=self._changed,
            **breaker_settings(terms, max_staleness),
        )
        self.ledger = ledger
        self.is_away = False

    @property
    def unwritten(self) -> int:
        """Calls that Redis has not been told of."""
        return self._store.here()[1]

    def _call(self, func: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        call = in_hand.call
        try:
            return super()._call(self._watched(func), args, kwargs)
        finally:
            if call.ended_on_view:
                call.report_wait += perf_counter() - call.ended_on_view

    def _watched(self, func: Callable[..., R]) -> Callable[..., R]:
        """Write down also what is decided here, on a view or by this process alone, and asks nobody."""

        def watched(*args: Any, **kwargs: Any) -> R:
            call = in_hand.call
            if call.admission is not None:
                return func(*args, **kwargs)
            # What the breaker looked at when it let this call through is in no other hand.
            view: View = sys._getframe(1).f_locals["view"]
            self._write_admission(call, view.nobody._replace(token=f"view{call.number}"))
            outcome = Outcome.SUCCESS
            try:
                return func(*args, **kwargs)
            except BaseException as error:
                outcome = outcome_of(error, UpstreamFailure)
                raise
            finally:
                self.ledger.write("E", call.number, outcome.value, true_time())
                call.ended_on_view = perf_counter()

        return watched

    def admit(self) -> Admission:
        call = in_hand.call
        began = perf_counter()
        try:
            admission = super().admit()
        finally:
            call.admit_wait += perf_counter() - began
        self._write_admission(call, admission)
        return admission

    def _write_admission(self, call: CallInHand, admission: Admission) -> None:
        call.admission = admission
        where = IN_REDIS if admission.view is None else ON_VIEW
        where = ALONE if admission.is_local else where
        # Who decides alone counts epochs of its own, or none.
        epoch = 0 if where == ALONE else admission.epoch
        self.ledger.write("R", call.number, admission.token, epoch, where, int(admission.is_probe))

    def report(
        self,
        admission: Admission,
        outcome: Outcome,
        error: BaseException | None = None,
        *,
        retry_after: float | None = None,
    ) -> None:
        call = in_hand.call
        self.ledger.write("E", call.number, Outcome(outcome).value, true_time())
        began = perf_counter()
        try:
            super().report(admission, outcome, error, retry_after=retry_after)
        finally:
            call.report_wait += perf_counter() - began

    def _changed(self, available: bool) -> None:
        self.is_away = not available
        self.ledger.write("W", self.name, int(available), true_time())


_names = {script(name).sha: name for name in SCRIPTS} | {script(name).source: name for name in SCRIPTS}
_asks = itertools.count()
unconfirmed: set[str] = set()
"""Settlements that were sent and not answered yet."""


def observe_link(ledger: Callable[[], Ledger]) -> None:
    """Write down what goes to Redis from now on, into the ledger that this process has at that time."""
    unobserved = Link.run

    def run(link: Link, command: Command) -> Any:
        words = command.words or words_in(command.packed or b"")
        name = _names.get(str(words[1])) if words[0] in {"EVALSHA", "EVAL"} else None
        if name not in {"admit", "report", "settle", "refresh"}:
            return unobserved(link, command)
        arguments = [str(word) for word in words[FIRST_ARGUMENT:]]
        circuit = str(words[3]).partition("{")[2].rstrip("}")
        if name == "refresh" and not arguments[0]:
            return unobserved(link, command)
        begin, end = _lines(name, circuit, arguments)
        if begin is not None:
            ledger().write(*begin, true_time())
        if name == "settle":
            unconfirmed.add(arguments[0])
        verdict, epoch = "unanswered", "0"
        try:
            reply = unobserved(link, command)
            verdict, epoch = _verdict_in(name, reply)
            if verdict in {"settled", "repeated"}:
                unconfirmed.discard(arguments[0])
        except NoScriptError:
            verdict = "noscript"
            raise
        except Exception as error:
            verdict = "unsent" if _was_not_sent(error) else "unanswered"
            raise
        finally:
            ledger().write(*end, verdict, *((epoch,) if name != "report" else ()), true_time())
        return reply

    def ask(link: Link, packed: bytes) -> Any:
        return link.run(Command((), None, packed))

    setattr(Link, "run", run)  # noqa: B010 - the type of an assignment could not be told
    setattr(Link, "ask", ask)  # noqa: B010


def words_in(packed: bytes) -> tuple[str, ...]:
    """Return the words of a packed command."""
    return tuple(word.decode() for word in packed.split(b"\r\n")[2::2])


def _verdict_in(name: str, reply: Any) -> tuple[str, str]:
    """Return the verdict and the epoch, which usual answers of scripts give in short."""
    if isinstance(reply, list):
        return reply[0].decode(), reply[3].decode() if name in {"admit", "refresh"} else "0"
    epoch, _, retry_after_ms = reply.decode().partition(" ")
    if name == "report":
        return epoch, "0"
    if name == "refresh":
        return "counted", epoch
    return "rejected" if retry_after_ms else "admitted", epoch


def _lines(name: str, circuit: str, arguments: list[str]) -> tuple[list[object] | None, list[object]]:
    if name == "admit":
        ask = next(_asks)
        return ["T", ask, in_hand.call.number, arguments[0], circuit], ["A", ask]
    if name == "settle":
        return ["B", circuit, arguments[0], *arguments[3:8]], ["C", arguments[0]]
    if name == "refresh":
        batch, _, _, _, success, rejected, ignored, released, failure, *_ = arguments
        return ["G", circuit, batch, success, failure, rejected, ignored, released], ["C", batch]
    return None, ["V", arguments[0]]


def _was_not_sent(error: Exception) -> bool:
    """Return whether the command surely never left: no connection was to be had."""
    text = str(error)
    return text.startswith(("Error 111", "No connection available", "an earlier try", "no time left"))
