"""The command line: ``sharedbreaker VERB``. One file per group of verbs."""

from __future__ import annotations

import os
import sys

LIBRARIES = frozenset({"click", "rich"})


def main() -> None:
    """Run the command line and exit with its status; 2 where its libraries are missing."""
    try:
        from sharedbreaker.cli.commands import sharedbreaker  # noqa: PLC0415 - optional libraries
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in LIBRARIES:
            raise
        sys.stderr.write(
            f"sharedbreaker: the command line needs {error.name}, which is not installed: "
            "pip install 'sharedbreaker[cli]'\n"
        )
        sys.exit(2)
    try:
        sharedbreaker(prog_name="sharedbreaker")
    except OSError as error:
        # A full disk, most likely. At the exit what is in the buffers would be tried again, and fail again.
        sys.stderr.write(f"sharedbreaker: what there is to say could not be written: {error}\n")
        sys.stderr.flush()
        os._exit(1)
