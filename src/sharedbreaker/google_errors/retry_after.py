"""For how long Google asks to be left alone: RetryInfo, the Retry-After header, the period of a quota."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.google_errors.origin import causes
from sharedbreaker.google_errors.outcome import outcome_of
from sharedbreaker.google_errors.status import hidden_response

LONGEST_DAILY_WAIT = 3600.0
"""Seconds to stay away at most when a quota of a day or more is used up: it may be raised meanwhile."""

A_MINUTE = 60.0
PER_DAY = re.compile(r"per[ _]?day", re.IGNORECASE)
PER_WEEK_OR_MORE = re.compile(r"per[ _]?(?:week|month|year)", re.IGNORECASE)
PER_MINUTE = re.compile(r"per[ _]?minute", re.IGNORECASE)
DURATION = re.compile(r"(\d+(?:\.\d+)?)s")
QUOTA_FIELDS = ("quotaId", "quota_id", "quotaMetric", "quota_metric", "description", "subject")


def retry_after_of(error: BaseException, *, now: datetime | None = None) -> float | None:
    """Return the seconds that Google asks to stay away; None where it does not say, or did not fail.

    A quota of a day that is used up: until the day ends (midnight Pacific), at most LONGEST_DAILY_WAIT; one
    of a week or more: LONGEST_DAILY_WAIT. The RetryInfo that comes with them speaks of seconds and is not to
    be believed. Else the RetryInfo, else the Retry-After header, else a minute where a quota of a minute is
    used up.

    ``now`` is the time to reckon from, with a time zone; the present by default.
    """
    if outcome_of(error) is not Outcome.FAILURE:
        return None
    now = now or datetime.now(timezone.utc)
    for link in _with_retried(error):
        response = hidden_response(link) or getattr(link, "response", None)
        details = list(_details(link))
        violations = list(_violations(details))
        if any(PER_WEEK_OR_MORE.search(text) for text in violations):
            return LONGEST_DAILY_WAIT
        if any(PER_DAY.search(text) for text in violations):
            return min(_until_midnight_pacific(now), LONGEST_DAILY_WAIT)
        waits = (_retry_info(details), _header(response, now), _a_minute(violations))
        for seconds in waits:
            if seconds is not None:
                return seconds
    return None


def _with_retried(error: BaseException) -> Iterator[BaseException]:
    for link in causes(error):
        yield link
        retried = getattr(link, "cause", None)
        if isinstance(retried, BaseException):
            yield retried


def _details(error: BaseException) -> Iterator[Any]:
    """Yield the details of Google's error: mappings over REST, protobuf messages over gRPC."""
    response = hidden_response(error)
    if response is not None:
        with contextlib.suppress(Exception):
            yield from _details_in(response.json())
        return
    for attribute in ("details", "body"):
        value = getattr(error, attribute, None)
        if value is not None and not callable(value):
            yield from _details_in(value)


def _details_in(document: Any) -> Iterator[Any]:
    if isinstance(document, Mapping):
        if "@type" in document:
            yield document
        else:
            yield from _details_in(document.get("error") or document.get("details"))
    elif isinstance(document, (list, tuple)):
        for entry in document:
            yield from _details_in(entry)
    elif hasattr(document, "DESCRIPTOR"):
        yield document


def _is(detail: Any, kind: str) -> bool:
    if isinstance(detail, Mapping):
        return str(detail.get("@type", "")).endswith(f".{kind}")
    return type(detail).__name__ == kind


def _violations(details: list[Any]) -> Iterator[str]:
    """Yield all that is said of each quota that is used up."""
    for detail in details:
        if not _is(detail, "QuotaFailure"):
            continue
        found = detail.get("violations") if isinstance(detail, Mapping) else detail.violations
        # A repeated field of protobuf is a sequence without being iterable by name.
        for violation in list(found) if isinstance(found, Sequence) else ():
            read = violation.get if isinstance(violation, Mapping) else _reader(violation)
            yield " ".join(str(read(field) or "") for field in QUOTA_FIELDS)


def _reader(message: Any) -> Any:
    return lambda field: getattr(message, field, None)


def _retry_info(details: list[Any]) -> float | None:
    for detail in details:
        if not _is(detail, "RetryInfo"):
            continue
        if isinstance(detail, Mapping):
            match = DURATION.fullmatch(str(detail.get("retryDelay", "")))
            seconds = float(match[1]) if match else None
        else:
            seconds = detail.retry_delay.seconds + detail.retry_delay.nanos / 1e9
        if seconds is not None and math.isfinite(seconds) and seconds > 0:
            return seconds
    return None


def _header(response: Any, now: datetime) -> float | None:
    headers = getattr(response, "headers", None)
    try:
        value = str(headers.get("Retry-After", "")).strip() if headers is not None else ""
    except Exception:
        return None
    if value.isascii() and value.isdigit():
        seconds = float(value)
        return seconds if math.isfinite(seconds) and seconds > 0 else None
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        until = parsedate_to_datetime(value)
        seconds = (until.replace(tzinfo=until.tzinfo or timezone.utc) - now).total_seconds()
        return seconds if seconds > 0 else None
    return None


def _a_minute(violations: list[str]) -> float | None:
    return A_MINUTE if any(PER_MINUTE.search(text) for text in violations) else None


def _until_midnight_pacific(now: datetime) -> float:
    try:
        there = now.astimezone(ZoneInfo("America/Los_Angeles"))
    except ZoneInfoNotFoundError:
        return LONGEST_DAILY_WAIT
    midnight = (there + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    # What the clocks there show: they are changed at two, more than the hour that matters before midnight.
    return (midnight - there).total_seconds()
