"""The command line: ``sharedbreaker VERB``. One file per group of verbs."""

from __future__ import annotations

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
    sharedbreaker(prog_name="sharedbreaker")
