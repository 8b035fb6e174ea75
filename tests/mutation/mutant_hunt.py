"""Runs tests against mutants, each in a copy of the tree: nothing here writes where people work."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from mutants import Mutant

COPIED = ("lua", "src", "tests", "pyproject.toml")
QUICK_SET = (
    "tests/rules",
    "tests/core/test_trip_rules.py",
    "tests/core/test_script_admit.py",
    "tests/core/test_script_control_declare_snapshot.py",
    "tests/core/test_script_report.py",
    "tests/core/test_script_settle.py",
    "tests/core/test_script_tune_forget.py",
    "tests/core/test_settings.py",
    "tests/core/test_settling.py",
    "tests/core/test_state_machine.py",
    "tests/core/test_corrupt_fields.py",
    "tests/core/test_declaration.py",
    "tests/core/test_foreign_keys.py",
    "tests/core/test_hand_edits.py",
    "tests/core/test_idle_circuits.py",
)
"""Finds what one of the two state machines does and the other does not, and what no test of them can see."""
HUNG_TEST_SECONDS = 30
LEAST_TIMEOUT_SECONDS = 60.0
LEAVING_SECONDS = 10.0


class Copy:
    """One copy of the tree, for one mutant at a time."""

    def __init__(self, root: Path, folder: Path, tests: Sequence[str]) -> None:
        self._folder = folder
        self._tests = tests
        folder.mkdir()
        for name in COPIED:
            if (root / name).is_dir():
                shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(root / name, folder / name)

    def is_green(self, timeout: float | None, *, keep_bytecode: bool = False) -> bool:
        """Run the tests; whatever is red, hangs or cannot be imported is not green."""
        search = self._folder / "tests" / "mutation"
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self._folder / "src"), str(search)]),
            # A mutant may be of its original's size and second, which is all that a .pyc knows it by.
            "PYTHONDONTWRITEBYTECODE": "" if keep_bytecode else "1",
        }
        command = (
            *(sys.executable, "-m", "pytest", "-x", "-q", "-p", "quick_search", "-p", "no:cacheprovider"),
            *("--breakers", "sync", "--timeout", str(HUNG_TEST_SECONDS), *self._tests),
        )
        with (self._folder / "last-run.txt").open("w") as out:
            tests = subprocess.Popen(
                command, cwd=self._folder, env=environment, stdout=out, stderr=out, start_new_session=True
            )
            try:
                return tests.wait(timeout) == 0
            except subprocess.TimeoutExpired:
                return False
            finally:
                _end(tests)

    def is_green_with(self, mutant: Mutant, timeout: float) -> bool:
        """Run the tests with the mutant in its place, and put back what was there."""
        path = self._folder / mutant.path
        text = path.read_text(encoding="utf-8")
        path.write_text(mutant.within(text), encoding="utf-8")
        try:
            return self.is_green(timeout)
        finally:
            path.write_text(text, encoding="utf-8")


class Hunt:
    """Copies of the tree under ``folder``, and what runs in them; leaving the block removes them."""

    def __init__(self, root: Path, folder: Path, jobs: int, tests: Sequence[str]) -> None:
        self._folder = folder
        self._jobs = jobs
        self._copies: queue.Queue[Copy] = queue.Queue()
        self._timeout = LEAST_TIMEOUT_SECONDS
        for number in range(jobs):
            self._copies.put(Copy(root, folder / f"copy{number}", tests))

    def __enter__(self) -> Hunt:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder)

    def seconds_without_mutant(self) -> float:
        """Run the tests as they are in each copy; raises `RuntimeError` where they are not green."""
        began = time.monotonic()
        with ThreadPoolExecutor(self._jobs) as threads:
            greens = list(
                threads.map(lambda copy: copy.is_green(None, keep_bytecode=True), self._copies.queue)
            )
        if not all(greens):
            told = (self._folder / f"copy{greens.index(False)}" / "last-run.txt").read_text(encoding="utf-8")
            raise RuntimeError(f"the tests fail without any mutant, so they tell nothing of one:\n{told}")
        seconds = time.monotonic() - began
        self._timeout = max(LEAST_TIMEOUT_SECONDS, 5 * seconds)
        return seconds

    def survivors(self, mutants: Sequence[Mutant], tell: Callable[[Mutant, bool], None]) -> list[Mutant]:
        """Return the mutants that no test noticed; ``tell`` hears of each at its end and whether it lives."""

        def lives(mutant: Mutant) -> bool:
            copy = self._copies.get()
            try:
                is_alive = copy.is_green_with(mutant, self._timeout)
            finally:
                self._copies.put(copy)
            tell(mutant, is_alive)
            return is_alive

        with ThreadPoolExecutor(self._jobs) as threads:
            alive = list(threads.map(lives, mutants))
        return [mutant for mutant, is_alive in zip(mutants, alive, strict=True) if is_alive]


def _end(tests: subprocess.Popen[bytes]) -> None:
    """Have it leave as at Ctrl-C, so that its servers end as well; then by force."""
    if tests.poll() is None:
        tests.send_signal(signal.SIGINT)
        try:
            tests.wait(LEAVING_SECONDS)
        except subprocess.TimeoutExpired:
            tests.kill()
            tests.wait()
