"""gunicorn with an app of the cases, in processes of its own that end with the block."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import requests

PATIENCE_SECONDS = 60


def get(url: str) -> str:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, timeout=30).text


def answers_to(urls: list[str]) -> list[str]:
    """Ask for all of them, eight at a time."""
    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(get, urls))


@contextmanager
def running_gunicorn(app: str, log: Path, *options: str, **variables: str) -> Iterator[str]:
    """Serve ``module:app`` of this folder; give its address, and end it as an operator does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "gunicorn", "--bind", f"fd://{listener.fileno()}"),
                    *("--chdir", str(Path(__file__).parent), "--no-control-socket", *options, app),
                ],
                env={**os.environ, **variables},
                pass_fds=[listener.fileno()],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    try:
        wait_until(lambda: _answers(url), process, log)
        yield url
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(holds: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def _answers(url: str) -> bool:
    try:
        get(f"{url}/ready")
    except requests.RequestException:
        return False
    return True
