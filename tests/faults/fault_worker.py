"""One worker process: threads that make calls by every way into the breaker, and keep books of what came.

SIGUSR1 makes its clock jump, SIGUSR2 makes it fork a child that makes calls of its own, SIGTERM ends it as a
deploy does: calls in flight end, and the interpreter exits by itself, so that the breakers settle.
SIGQUIT writes the stacks of all threads to stderr.
"""

from __future__ import annotations

import atexit
import faulthandler
import itertools
import json
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from fault_ledger import Ledger, true_time
from shifted_clock import shift_clock

settings: dict[str, Any] = json.loads(sys.argv[1]) if __name__ == "__main__" else {"clock": 0.0}
_last_words: list[Ledger] = []
# Both before the breaker is imported. What is registered first is called last, so this line is written when
# the breakers have settled; and a process may begin with a wrong clock.
atexit.register(lambda: _last_words[0].write("X") if _last_words else None)
shift_clock(settings["clock"])

from fault_terms import CIRCUITS, THREADS_PER_WORKER  # noqa: E402
from observed_breaker import (  # noqa: E402
    CallersMistake,
    CallInHand,
    ObservedBreaker,
    UpstreamFailure,
    in_hand,
    observe_link,
    unconfirmed,
)
from redis import Redis, Sentinel  # noqa: E402

from sharedbreaker import CircuitBreakerError, circuit_breaker  # noqa: E402
from sharedbreaker.circuit.outcome import Outcome, outcome_of  # noqa: E402

MEAN_PAUSE = 0.045
CHILDS_CALLS = 25
CHILDS_SECONDS = 15.0
FORMS = ("call", "call", "with", "decorator", "halves")


class Caller:
    """One thread's calls. The connection to the upstream is its own."""

    def __init__(self, worker: Worker, name: str) -> None:
        self._worker = worker
        self._random = random.Random(f"{settings['seed']}/{name}")
        self._upstream = socket.create_connection(("127.0.0.1", settings["upstream"]), timeout=60)
        self._answers = self._upstream.makefile("r")

    def pause(self) -> None:
        """Do nothing for a while, as a web service between requests."""
        time.sleep(min(self._random.expovariate(1 / MEAN_PAUSE), 0.3))

    def make_call(self) -> None:
        """Make one call and write down what it came to."""
        breaker = self._random.choice(self._worker.breakers)
        form = self._random.choice(FORMS)
        cancelled = self._random.choice(("before", "after")) if self._random.random() < 0.03 else ""
        call = in_hand.call = CallInHand(next(self._worker.numbers))
        ledger = self._worker.ledger
        ledger.write("S", call.number, breaker.name, true_time())
        detail = "-"
        try:
            value = self._through(breaker, form, lambda: self._function(breaker.name, call, cancelled))
        except CircuitBreakerError:
            result = "rejected" if call.admission is None else "broken"
            detail = "-" if call.admission is None else "rejected_after_admission"
        except BaseException as error:
            result = "broken"
            if error is call.raised:
                result = outcome_of(error, UpstreamFailure).value
            else:
                detail = f"{type(error).__name__}:{error}".replace(" ", "_").replace("\n", "_")[:300]
        else:
            result = "success" if value is call.value and value is not None else "broken"
        ledger.write("D", call.number, result, call.admit_wait, call.report_wait, true_time(), detail)

    def _through(self, breaker: ObservedBreaker, form: str, function: Callable[[], object]) -> object:
        if form == "call":
            return breaker.call(function)
        if form == "with":
            with breaker:
                return function()
        if form == "decorator":
            return circuit_breaker(breaker)(function)()
        admission = breaker.admit()
        try:
            value = function()
        except BaseException as error:
            breaker.report(admission, outcome_of(error, UpstreamFailure), error)
            raise
        breaker.report(admission, Outcome.SUCCESS)
        return value

    def _function(self, circuit: str, call: CallInHand, cancelled: str) -> object:
        answer = self._ask(circuit, call) if cancelled != "before" else "cancelled"
        if cancelled:
            call.raised = KeyboardInterrupt()
        elif answer == "failure":
            call.raised = UpstreamFailure("the service failed")
        elif answer == "ignored":
            call.raised = CallersMistake("a bad request")
        if call.raised is not None:
            raise call.raised
        call.value = object()
        return call.value

    def _ask(self, circuit: str, call: CallInHand) -> str:
        admission = call.admission
        assert admission is not None
        words = (
            circuit,
            admission.token,
            int(admission.is_probe),
            int(admission.is_local),
            admission.epoch or 0,
        )
        self._upstream.sendall((" ".join(map(str, words)) + "\n").encode())
        return self._answers.readline().strip()


class Worker:
    """One process: its breakers, its threads, its signals."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = Path(settings["folder"])
        self.numbers = itertools.count()
        self.ledger = Ledger(self.folder, name)
        redis = redis_of_settings()
        self.breakers = [
            ObservedBreaker(terms, redis, self.ledger, settings["staleness"]) for terms in CIRCUITS
        ]
        self._ends = threading.Event()
        self._jumps = 0
        self._forks_wanted = 0
        self._children: list[int] = []
        self._random = random.Random(f"{settings['seed']}/{name}/process")
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGUSR1, self._on_signal)
        signal.signal(signal.SIGUSR2, self._on_signal)

    def run(self) -> None:
        """Make calls until SIGTERM, or until the parent is gone."""
        parent = os.getppid()
        names = [f"{self.name}/{index}" for index in range(THREADS_PER_WORKER)]
        threads = [threading.Thread(target=self._traffic, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        before = true_time()
        while not self._ends.is_set():
            time.sleep(0.02)
            now = true_time()
            if now - before > 0.06:
                self.ledger.write("H", now - before - 0.02, now)
            before = now
            self._reap()
            if os.getppid() != parent:
                self._ends.set()
            if self._forks_wanted:
                self._forks_wanted -= 1
                child = os.fork()
                if child == 0:
                    self._live_as_child(f"{self.name}-fork{len(self._children)}-{os.getpid()}")
                    return
                self._children.append(child)
        for thread in threads:
            thread.join()

    def _live_as_child(self, name: str) -> None:
        """Make calls with what was inherited, and leave when nothing more is owed."""
        self.name = name
        self.ledger = Ledger(self.folder, name)
        for breaker in self.breakers:
            breaker.ledger = self.ledger
            breaker.is_away = False
        caller = Caller(self, name)
        gives_up_at = true_time() + CHILDS_SECONDS
        calls = 0
        unconfirmed.clear()
        while calls < CHILDS_CALLS or unconfirmed or any(breaker.is_away for breaker in self.breakers):
            caller.make_call()
            caller.pause()
            calls += 1
            if true_time() > gives_up_at:
                break
        while any(breaker.unwritten for breaker in self.breakers) and true_time() < gives_up_at:
            time.sleep(0.02)

    def _traffic(self, name: str) -> None:
        caller = Caller(self, name)
        while not self._ends.is_set():
            caller.make_call()
            caller.pause()

    def _reap(self) -> None:
        for child in list(self._children):
            if os.waitpid(child, os.WNOHANG) != (0, 0):
                self._children.remove(child)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            self._ends.set()
        elif number == signal.SIGUSR1:
            shift_clock(self._random.uniform(-86400, 86400))
        else:
            self._forks_wanted += 1


def redis_of_settings() -> Redis | str:
    """Return where Redis is: a URL, or a client that asks Sentinel."""
    if settings["sentinels"]:
        addresses = [("127.0.0.1", port) for port in settings["sentinels"]]
        client: Redis = Sentinel(addresses, socket_timeout=0.2).master_for(settings["master"])
        return client
    return str(settings["redis"])


def main() -> None:
    """Run one worker until it is told to leave."""
    faulthandler.register(signal.SIGQUIT)
    worker = Worker(settings["name"])
    observe_link(lambda: worker.ledger)
    worker.run()
    _last_words.append(worker.ledger)


if __name__ == "__main__":
    main()
