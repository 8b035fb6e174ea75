"""A process that holds one environment's subjects and runs what it is told: `python -m benchmarks.worker`.

Each line of its input is one request in JSON, ``{"do": verb, ...}``; each is answered by one line,
``{"answer": ...}``, ``{"skipped": why}`` or ``{"error": what}``. The end of its input is its end.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import sys
import time
from importlib.metadata import distributions
from itertools import repeat
from typing import Any

from benchmarks.scenario import (
    NEVER,
    Scenario,
    ServiceDownError,
    SkippedSubjectError,
    WrongOutcomeError,
    async_fail,
    async_work,
    fail,
    work,
)
from benchmarks.subject import AsyncSubject, GuardedCall, Subject

WARM_UP_CALLS = 30
MOST_CALLS = 1_000_000


class Target:
    """One subject in one scenario, ready to be run."""

    def __init__(self, subject: Subject, scenario: Scenario) -> None:
        self.subject = subject
        if scenario is Scenario.REJECTION:
            subject.open()
        self._call = subject.guard(fail if scenario is Scenario.FAILURE else work)
        self._raised = _raised(subject, scenario)

    def run(self, calls: int) -> int:
        """Call so many times, one after the other; return the nanoseconds that took."""
        return run(self._call, self._raised, calls)

    def pace(self, calls: int, gap: float) -> list[int]:
        """Call so many times with ``gap`` seconds of sleep before each; return the ns of each."""
        taken = []
        for _ in repeat(None, calls):
            time.sleep(gap)
            taken.append(run(self._call, self._raised, 1))
        return taken

    def watch(self, gap: float, seconds: float, *, until_open: bool) -> float | None:
        """Call every ``gap`` seconds until a call is rejected (or no longer); return that moment."""
        call = self._call
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(gap)
            try:
                call.function(*call.arguments)
                is_open = False
            except self.subject.rejected:
                is_open = True
            if is_open == until_open:
                return time.monotonic()
        return None

    def open(self) -> None:
        self.subject.open()

    def let_go(self) -> None:
        self.subject.let_go()


class AsyncTarget(Target):
    """The same for a subject that is awaited."""

    def __init__(self, subject: AsyncSubject, scenario: Scenario, loop: asyncio.AbstractEventLoop) -> None:
        self._async_subject = subject
        self._loop = loop
        loop.run_until_complete(subject.start())
        if scenario is Scenario.REJECTION:
            loop.run_until_complete(subject.open())
        self._call = subject.guard(async_fail if scenario is Scenario.FAILURE else async_work)
        self._raised = _raised(subject, scenario)

    def run(self, calls: int) -> int:
        return self._loop.run_until_complete(async_run(self._call, self._raised, calls))

    def pace(self, calls: int, gap: float) -> list[int]:
        async def paced() -> list[int]:
            taken = []
            for _ in repeat(None, calls):
                await asyncio.sleep(gap)
                taken.append(await async_run(self._call, self._raised, 1))
            return taken

        return self._loop.run_until_complete(paced())

    def watch(self, gap: float, seconds: float, *, until_open: bool) -> float | None:
        async def watched() -> float | None:
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                await asyncio.sleep(gap)
                try:
                    await self._call.function(*self._call.arguments)
                    is_open = False
                except self._async_subject.rejected:
                    is_open = True
                if is_open == until_open:
                    return time.monotonic()
            return None

        return self._loop.run_until_complete(watched())

    def open(self) -> None:
        self._loop.run_until_complete(self._async_subject.open())

    def let_go(self) -> None:
        self._loop.run_until_complete(self._async_subject.let_go())


def _raised(subject: Subject | AsyncSubject, scenario: Scenario) -> type[BaseException] | None:
    if scenario is Scenario.SUCCESS:
        return None
    return ServiceDownError if scenario is Scenario.FAILURE else subject.rejected


def run(call: GuardedCall, raised: type[BaseException] | None, calls: int) -> int:
    """Call so many times, each to end with ``raised``; return the nanoseconds that took."""
    function, arguments = call
    if raised is None:
        start = time.perf_counter_ns()
        for _ in repeat(None, calls):
            function(*arguments)
        return time.perf_counter_ns() - start
    start = time.perf_counter_ns()
    for _ in repeat(None, calls):
        try:
            function(*arguments)
        except raised:
            continue
        raise WrongOutcomeError(f"the call ended without {raised.__name__}")
    return time.perf_counter_ns() - start


async def async_run(call: GuardedCall, raised: type[BaseException] | None, calls: int) -> int:
    """Do the same, awaiting each."""
    function, arguments = call
    if raised is None:
        start = time.perf_counter_ns()
        for _ in repeat(None, calls):
            await function(*arguments)
        return time.perf_counter_ns() - start
    start = time.perf_counter_ns()
    for _ in repeat(None, calls):
        try:
            await function(*arguments)
        except raised:
            continue
        raise WrongOutcomeError(f"the call ended without {raised.__name__}")
    return time.perf_counter_ns() - start


class Worker:
    """What one process holds, and the verbs that it knows."""

    def __init__(self) -> None:
        self._targets: dict[str, Target] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def prepare(
        self,
        target: str,
        *,
        adapter: str,
        scenario: str,
        url: str,
        name: str,
        options: dict[str, Any],
    ) -> None:
        """Make a subject in a scenario, to be spoken of as ``target``."""
        which = Scenario(scenario)
        module, _, class_name = adapter.partition(":")
        adapter_class = getattr(importlib.import_module(f"benchmarks.{module}"), class_name)
        subject = adapter_class(url, name, 1 if which is Scenario.REJECTION else NEVER, **options)
        if isinstance(subject, AsyncSubject):
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
            self._targets[target] = AsyncTarget(subject, which, self._loop)
        else:
            self._targets[target] = Target(subject, which)

    def forget(self, target: str) -> None:
        """Let go of a target."""
        self._targets.pop(target, None)

    def calibrate(self, target: str, seconds: float) -> int:
        """Return how many calls of ``target`` take about so many seconds."""
        self._targets[target].run(WARM_UP_CALLS)
        calls = 1
        while True:
            taken = self._targets[target].run(calls) / 1e9
            if taken >= seconds / 4 or calls >= MOST_CALLS:
                return max(1, min(MOST_CALLS, round(calls * seconds / taken)))
            calls *= 4

    def run(self, target: str, calls: int) -> int:
        """Return the nanoseconds that so many calls took."""
        return self._targets[target].run(calls)

    def run_for(self, target: str, start: float, seconds: float, block: int) -> dict[str, float]:
        """Call from the monotonic moment ``start`` on; return the calls and the seconds that they took."""
        run_block = self._targets[target].run
        time.sleep(max(0.0, start - time.monotonic()))
        begin = time.monotonic()
        calls = 0
        while (now := time.monotonic()) < start + seconds:
            run_block(block)
            calls += block
        return {"calls": calls, "seconds": now - begin}

    def pace(self, target: str, calls: int, gap: float) -> list[int]:
        """Return the nanoseconds of each of so many calls, ``gap`` seconds apart."""
        return self._targets[target].pace(calls, gap)

    def watch(self, target: str, gap: float, seconds: float, *, until_open: bool) -> float | None:
        """Return the monotonic moment at which a call first met the state that is waited for."""
        return self._targets[target].watch(gap, seconds, until_open=until_open)

    def open(self, target: str) -> float:
        """Open the circuit; return the monotonic moment at which that was done."""
        self._targets[target].open()
        return time.monotonic()

    def let_go(self, target: str) -> float:
        """Close the circuit; return the monotonic moment at which that was done."""
        self._targets[target].let_go()
        return time.monotonic()

    def versions(self, packages: list[str]) -> dict[str, str]:
        """Return which of these packages are installed, and in which version."""
        installed = {found.name.lower(): found.version for found in distributions()}
        return {package: installed[package] for package in packages if package in installed}

    def measure(self, function: str, arguments: dict[str, Any]) -> Any:
        """Run ``module:function`` of benchmarks in this process; return what it returns."""
        module, _, name = function.partition(":")
        return getattr(importlib.import_module(f"benchmarks.{module}"), name)(**arguments)


def answer_to(worker: Worker, line: str) -> dict[str, Any]:
    """Obey one request."""
    request = json.loads(line)
    verb = getattr(worker, request.pop("do"))
    try:
        return {"answer": verb(**request)}
    except (SkippedSubjectError, ModuleNotFoundError) as why:
        return {"skipped": str(why)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Obey until the input ends. Whatever a library prints goes to the standard error."""
    logging.disable(logging.CRITICAL)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker()
    for line in sys.stdin:
        answers.write(json.dumps(answer_to(worker, line)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
