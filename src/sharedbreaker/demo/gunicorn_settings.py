"""Gunicorn's settings for the demo, which gunicorn reads as its configuration.

They also make the fleet end with the demo, however that ends, and tell the demo which workers are ready.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
import warnings
from pathlib import Path

from sharedbreaker.demo.app_environment import SDK
from sharedbreaker.demo.sdk import Sdk

PARENT = "SHAREDBREAKER_DEMO_PARENT"
READY_DIRECTORY = "SHAREDBREAKER_DEMO_READY_DIRECTORY"
GRACEFUL_SECONDS = 5
PR_SET_PDEATHSIG = 1

threads = 4
graceful_timeout = GRACEFUL_SECONDS
control_socket_disable = True
"""From gunicorn 25 on it would leave a socket in the user's home."""


def on_starting(_arbiter: object) -> None:
    """End when the demo ends, even by SIGKILL; the workers then follow of themselves. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(os.environ[PARENT]):
            sys.exit(1)


def post_worker_init(_worker: object) -> None:
    """Load Google's SDK, which takes seconds, before the first call; then say that this worker is ready."""
    with warnings.catch_warnings():
        # It warns at every import of its own end; the log is for what went wrong here.
        warnings.simplefilter("ignore", FutureWarning)
        importlib.import_module(Sdk(os.environ[SDK]).module)
    (Path(os.environ[READY_DIRECTORY]) / str(os.getpid())).touch()
