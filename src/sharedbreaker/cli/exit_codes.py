"""What the verbs that look at circuits and take them in hand exit with, for scripts."""

from __future__ import annotations

OK = 0
"""Done; for `status` and `doctor`: all is well."""
FAILED = 1
"""Not done, or not all of it: something could not be read, was refused, or was not confirmed."""
USAGE = 2
"""The command line or the environment makes no sense."""
DEGRADED = 3
"""`status`: a circuit is half-open, none is open. `doctor`: something should be seen to."""
FAILING = 4
"""`status`: a circuit is open. `doctor`: something is broken."""
REDIS_AWAY = 5
"""Redis could not be asked."""
NO_SUCH_CIRCUIT = 6
"""There is no circuit of that name under that prefix in that Redis."""
INTERRUPTED = 130
"""Ctrl-C."""
