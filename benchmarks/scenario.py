"""What a call meets: the service works, the service fails, the circuit is open."""

from __future__ import annotations

from enum import Enum


class Scenario(str, Enum):
    """One of the three things that can happen to a call."""

    SUCCESS = "success"
    FAILURE = "failure"
    """Every call fails, and thresholds are so high that the circuit stays closed."""
    REJECTION = "rejection"
    """The circuit was opened by hand, and stays open for as long as anybody measures."""


NEVER = 1_000_000
"""A number of failures that no benchmark reaches."""
LONG = 3600
"""Seconds that no benchmark takes."""


class ServiceDownError(Exception):
    """The failure that the failing service raises."""


class SkippedSubjectError(Exception):
    """This subject cannot be measured here. Says why."""


class WrongOutcomeError(Exception):
    """A call ended otherwise than its scenario says: the subject is set up wrongly."""


def work() -> int:
    """Succeed, as cheaply as a function can."""
    return 1


def fail() -> int:
    """Fail, as cheaply as a function can."""
    raise ServiceDownError


async def async_work() -> int:
    """Succeed, as cheaply as a coroutine can."""
    return 1


async def async_fail() -> int:
    """Fail, as cheaply as a coroutine can."""
    raise ServiceDownError
