"""What the end of a call says about the service."""

from __future__ import annotations

import logging
from collections.abc import Callable
from enum import Enum

from sharedbreaker.circuit.errors import SettingsError, SharedBreakerError

logger = logging.getLogger("sharedbreaker")


class Outcome(str, Enum):
    """How an admitted call ended. A value is what the report script is told."""

    SUCCESS = "success"
    FAILURE = "failure"
    """The service failed: an expected exception."""
    IGNORED = "ignored"
    """Any other exception: a caller's error says nothing about the service."""
    RELEASED = "released"
    """The call was given up, by cancellation or because the process is leaving."""

    __str__ = str.__str__


ExpectedException = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool | Outcome]
"""Which exceptions are the service's failures: a class, several, or a function that says yes or no, or says
what an exception means as an Outcome."""

RetryAfterOf = Callable[[Exception], float | None]
"""How many seconds a service asked for with an exception; None where it did not."""


def retry_after_in(error: BaseException, retry_after_of: RetryAfterOf | None) -> float | None:
    """Return what ``retry_after_of`` says of ``error``; what it raises is logged, and says nothing."""
    if retry_after_of is None or not isinstance(error, Exception):
        return None
    try:
        return retry_after_of(error)
    except Exception:
        logger.exception("retry_after_of failed on %s; taken as no wish of the service", type(error))
        return None


def check_expected_exception(value: object) -> None:
    """Raise SettingsError unless ``value`` can tell a service's failures from other exceptions."""
    classes = value if isinstance(value, tuple) else (value,)
    if classes and all(isinstance(entry, type) and issubclass(entry, Exception) for entry in classes):
        return
    if isinstance(value, (type, tuple)) or not callable(value):
        raise SettingsError(
            "expected_exception must be a subclass of Exception, a tuple of them, or a function "
            f"that takes an exception and says whether the service failed; not {value!r}"
        )


def outcome_of(error: BaseException, expected: ExpectedException) -> Outcome:
    """Return what a call that raised ``error`` says about the service."""
    if not isinstance(error, Exception):
        return Outcome.RELEASED
    if isinstance(error, SharedBreakerError):
        return Outcome.IGNORED
    if isinstance(expected, (type, tuple)):
        return Outcome.FAILURE if isinstance(error, expected) else Outcome.IGNORED
    try:
        answer = expected(error)
    except Exception:
        # The caller is owed the service's error, not the classifier's; and a classifier that
        # always fails must not keep a circuit from ever opening.
        logger.exception("expected_exception failed on %s; counted as a failure", type(error))
        return Outcome.FAILURE
    if isinstance(answer, Outcome):
        return answer
    return Outcome.FAILURE if answer else Outcome.IGNORED
