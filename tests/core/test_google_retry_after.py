"""For how long Google asks to be left alone, in every form in which it says so."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfoNotFoundError

import pytest

from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.google_errors import LONGEST_DAILY_WAIT, outcome_of, retry_after, retry_after_of

NOW = datetime(2026, 7, 1, 19, tzinfo=timezone.utc)
RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"
QUOTA_FAILURE = "type.googleapis.com/google.rpc.QuotaFailure"


class APIError(Exception):
    __module__ = "google.genai.errors"

    def __init__(self, code: int, details: Any = None, headers: Any = None) -> None:
        super().__init__(code)
        self.code = code
        self.details = details
        self.response = SimpleNamespace(headers=headers)


def saying(*details: Any, code: int = 429, headers: Any = None) -> APIError:
    return APIError(code, {"error": {"code": code, "details": list(details)}}, headers)


def retry_info(delay: Any) -> dict[str, Any]:
    return {"@type": RETRY_INFO, "retryDelay": delay}


def quota(*names: str, field: str = "quotaId") -> dict[str, Any]:
    return {"@type": QUOTA_FAILURE, "violations": [{field: name} for name in names]}


PER_DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
PER_MINUTE = "GenerateRequestsPerMinutePerProjectPerModel"


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (saying(retry_info("22s")), 22.0),
        (saying(retry_info("47.5s")), 47.5),
        (saying(retry_info("22s"), code=503), 22.0),
        (saying(retry_info("0s")), None),
        (saying(retry_info("-3s")), None),
        (saying(retry_info("soon")), None),
        (saying(retry_info(None)), None),
        (saying(retry_info("1e400s")), None),
        (saying(), None),
        (saying("nonsense", None, 7, {"@type": 7}), None),
        (saying({"@type": QUOTA_FAILURE}), None),
        (saying({"@type": QUOTA_FAILURE, "violations": "PerDay"}), None),
        (saying(quota(PER_MINUTE)), 60.0),
        (saying(quota(PER_MINUTE), retry_info("3s")), 3.0),
        (saying(quota(PER_DAY)), LONGEST_DAILY_WAIT),
        (saying(quota(PER_DAY), retry_info("3s")), LONGEST_DAILY_WAIT),
        (saying(quota(PER_MINUTE, PER_DAY), retry_info("3s")), LONGEST_DAILY_WAIT),
        (saying(quota("requests per day", field="description")), LONGEST_DAILY_WAIT),
        (saying(retry_info("3s"), headers={"Retry-After": "4"}), 3.0),
        (saying(headers={"Retry-After": "4"}), 4.0),
        (saying(headers={"Retry-After": " 4 "}, code=503), 4.0),
        (saying(headers={"Retry-After": "0"}), None),
        (saying(headers={"Retry-After": "-4"}), None),
        (saying(headers={"Retry-After": "soon"}), None),
        (saying(headers={"Retry-After": "9" * 400}), None),
        (saying(headers={"Retry-After": format_datetime(NOW + timedelta(seconds=90), usegmt=True)}), 90.0),
        (saying(headers={"Retry-After": format_datetime(NOW - timedelta(seconds=90), usegmt=True)}), None),
        (saying(headers=7), None),
        (saying(retry_info("22s"), code=400), None),
        (saying(retry_info("22s"), code=499), None),
        (APIError(429, [{"error": {"details": [retry_info("22s")]}}]), 22.0),
        (APIError(429, "<html>"), None),
        (APIError(429), None),
        (ValueError("22s"), None),
        (KeyboardInterrupt(), None),
    ],
)
def test_what_google_says_is_understood(error: BaseException, seconds: float | None) -> None:
    """RetryInfo before Retry-After before the quota's period, but a day before all of them."""
    assert retry_after_of(error, now=NOW) == seconds


@pytest.mark.parametrize(
    ("now", "seconds"),
    [
        (datetime(2026, 7, 1, 6, 50, tzinfo=timezone.utc), 600.0),  # 23:50 in summer
        (datetime(2026, 1, 1, 7, 59, tzinfo=timezone.utc), 60.0),  # 23:59 in winter
        (datetime(2026, 7, 1, 7, 0, tzinfo=timezone.utc), 3600.0),
        # The nights in which the clocks there change.
        (datetime(2026, 3, 8, 7, 30, tzinfo=timezone.utc), 1800.0),
        (datetime(2026, 11, 1, 6, 30, tzinfo=timezone.utc), 1800.0),
    ],
)
def test_a_day_ends_at_midnight_in_california(now: datetime, seconds: float) -> None:
    """Quotas of a day start anew at midnight, Pacific time; nobody is kept away for longer than an hour."""
    assert retry_after_of(saying(quota(PER_DAY)), now=now) == seconds


def test_without_a_map_of_time_zones_a_day_is_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slim container has no time zones."""

    def none(name: str) -> None:
        raise ZoneInfoNotFoundError(name)

    monkeypatch.setattr(retry_after, "ZoneInfo", none)
    now = datetime(2026, 7, 1, 6, 50, tzinfo=timezone.utc)

    assert retry_after_of(saying(quota(PER_DAY)), now=now) == LONGEST_DAILY_WAIT


def test_an_error_that_was_raised_from_googles_says_the_same() -> None:
    """Wrapping an error of Google's in one's own loses nothing, nor does a RetryError."""
    wrapped = RuntimeError("no topic")
    wrapped.__cause__ = saying(retry_info("22s"))
    gave_up: Exception = type("RetryError", (Exception,), {"__module__": "google.api_core.exceptions"})()
    gave_up.cause = saying(retry_info("22s"))  # type: ignore[attr-defined]

    assert retry_after_of(wrapped) == 22.0
    assert retry_after_of(gave_up) == 22.0


class GoogleAPICallError(Exception):
    __module__ = "google.api_core.exceptions"
    code = 400


@pytest.mark.parametrize(
    ("status", "headers", "body", "outcome", "seconds"),
    [
        (503, {"Retry-After": "4"}, [], Outcome.FAILURE, 4.0),
        (429, {}, [{"error": {"details": [retry_info("22s")]}}], Outcome.FAILURE, 22.0),
        (429, {}, None, Outcome.FAILURE, None),
        (404, {"Retry-After": "4"}, [], Outcome.IGNORED, None),
        (200, {}, [], Outcome.FAILURE, None),
        (None, {}, [], Outcome.FAILURE, None),
    ],
)
def test_what_the_old_sdk_hides_of_a_stream_is_found(
    status: int | None, headers: dict[str, str], body: Any, outcome: Outcome, seconds: float | None
) -> None:
    """Its error says nothing; the response is in the frames of the one that it came from."""

    def read() -> Any:
        if body is None:
            raise ValueError("no JSON")
        return body

    def fail_to_read() -> None:
        response = SimpleNamespace(status_code=status, headers=headers, json=read)
        raise AttributeError(response)

    def ask() -> None:
        try:
            fail_to_read()
        except AttributeError:
            message = "Unknown error trying to retrieve streaming response. Please retry"
            raise GoogleAPICallError(message)  # noqa: B904 - as the SDK does

    with pytest.raises(GoogleAPICallError) as caught:
        ask()

    assert outcome_of(caught.value) is outcome
    assert retry_after_of(caught.value, now=NOW) == seconds


def test_now_is_the_present_by_default() -> None:
    """A date in the header is reckoned from the present."""
    until = datetime.now(timezone.utc) + timedelta(seconds=1000)
    seconds = retry_after_of(saying(headers={"Retry-After": format_datetime(until, usegmt=True)}))

    assert seconds is not None
    assert 990 < seconds <= 1000
