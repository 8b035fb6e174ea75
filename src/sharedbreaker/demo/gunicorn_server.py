"""The fleet: gunicorn with its workers, as a process that the demo owns."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import requests

from sharedbreaker.demo.app_environment import AppEnvironment
from sharedbreaker.demo.gunicorn_settings import GRACEFUL_SECONDS, PARENT, READY_DIRECTORY
from sharedbreaker.demo.setup_error import DemoSetupError

START_SECONDS = 90.0
POLL_SECONDS = 0.05
LOG_TAIL = 2000
BACKLOG = 512
SETTINGS = "python:sharedbreaker.demo.gunicorn_settings"


@dataclass(frozen=True)
class Stack:
    """An app, and the gunicorn workers that serve it."""

    app: str
    worker_class: str


THREADS = Stack("sharedbreaker.demo.app:create_app()", "gthread")
"""Flask and CircuitBreaker."""
EVENT_LOOPS = Stack("sharedbreaker.demo.async_app:create_app()", "uvicorn_worker.UvicornWorker")
"""Starlette and AsyncCircuitBreaker, each worker a uvicorn."""


class GunicornServer:
    """Gunicorn on 127.0.0.1, serving the demo's app. Its ``with`` block reserves the port and ends the fleet.

    Args:
        environment: what the app is told.
        breaker_settings: environment variables that ``initialize_circuit_breakers`` reads.
        workers: how many processes serve.
        port: 0 means a free one.
        stack: which app, and by which workers.

    """

    def __init__(
        self,
        environment: AppEnvironment,
        breaker_settings: dict[str, str],
        workers: int,
        port: int,
        stack: Stack = THREADS,
    ) -> None:
        self.workers = workers
        self._variables = {**environment.variables(), **breaker_settings}
        self._port = port
        self._stack = stack
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The app's address, without a slash at its end."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def _directory(self) -> Path:
        return Path(self._temporary.name)

    @property
    def _log(self) -> Path:
        return self._directory / "gunicorn.log"

    def __enter__(self) -> GunicornServer:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", self._port))
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            raise DemoSetupError(
                f"port {self._port} of 127.0.0.1 cannot be used: {error.strerror}; "
                "choose another with --port, or leave --port out for a free one"
            ) from None
        self._listener = listener
        self._port = listener.getsockname()[1]
        self._temporary = tempfile.TemporaryDirectory(prefix="sharedbreaker-gunicorn-")
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.close()
        self._stop()
        self._temporary.cleanup()

    def start(self, pause: Callable[[float], None]) -> list[str]:
        """Start the workers and return their process ids when all of them are ready.

        ``pause`` is called to wait for so many seconds. Raises DemoSetupError, with the end of gunicorn's
        log, if the workers do not come up.
        """
        ready = self._directory / "ready"
        ready.mkdir()
        # Gunicorn gets the listening socket itself, so nobody else can take the port meanwhile.
        descriptor = self._listener.fileno()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "gunicorn", "--config", SETTINGS),
                    *("--bind", f"fd://{descriptor}", "--workers", str(self.workers)),
                    *("--worker-class", self._stack.worker_class, self._stack.app),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                env=self._environment(ready),
                pass_fds=[descriptor],
                # Ctrl-C in the terminal is for the demo, which then ends the fleet in order.
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while len(pids := sorted(path.name for path in ready.iterdir())) < self.workers:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._give_up(f"only {len(pids)} of {self.workers} workers came up")
            pause(POLL_SECONDS)
        self._ask_for_health()
        return pids

    def _environment(self, ready: Path) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name != "GUNICORN_CMD_ARGS"}
        if "PYTHONPATH" in inherited:
            folders = inherited["PYTHONPATH"].split(os.pathsep)
            inherited["PYTHONPATH"] = os.pathsep.join(str(Path(folder).absolute()) for folder in folders)
        # The SDK asks the environment for a proxy, and its upstream is on this machine.
        direct = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        ours = {PARENT: str(os.getpid()), READY_DIRECTORY: str(ready)}
        return {**inherited, **direct, **ours, **self._variables}

    def _ask_for_health(self) -> None:
        with requests.Session() as session:
            session.trust_env = False
            try:
                response = session.get(f"{self.url}/api/health", timeout=10)
            except requests.RequestException as error:
                self._give_up(f"/api/health does not answer ({type(error).__name__})")
        if not response.ok:
            self._give_up(f"/api/health answers {response.status_code}: {response.text.strip()}")

    def end_of_log(self) -> str:
        """Return the last that gunicorn and its workers wrote."""
        return self._log.read_text(errors="replace")[-LOG_TAIL:]

    def _give_up(self, what: str) -> None:
        raise DemoSetupError(
            f"the fleet did not start: {what}. The end of gunicorn's log:\n{self.end_of_log()}"
        )

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=GRACEFUL_SECONDS + 2)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # The session is gunicorn's own, so these are its workers and nobody else.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
