"""Errors that the caller's own code raises, some of the classes that an SDK raises: the table's last rows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from addresses import nobody

from sharedbreaker.circuit.outcome import Outcome


@dataclass(frozen=True)
class OwnError:
    """One row."""

    title: str
    function: Callable[[], Any]
    raised: str
    outcome: Outcome = Outcome.IGNORED


def download_a_picture() -> None:
    requests.get(f"{nobody().url}/cat.png", timeout=5)


def time_out() -> None:
    raise TimeoutError


def lose_the_connection() -> None:
    raise ConnectionResetError


def take_the_first() -> None:
    texts: list[str] = []
    texts[0].strip()


def look_it_up() -> None:
    topics: dict[str, str] = {}
    topics["topic"].strip()


def answer_503() -> None:
    class ServiceUnavailable(Exception):  # noqa: N818 - as web frameworks name it
        code = 503

    raise ServiceUnavailable


def be_cancelled() -> None:
    raise asyncio.CancelledError


def leave() -> None:
    raise SystemExit


OWN_ERRORS = (
    OwnError("a download from elsewhere that is refused", download_a_picture, "ConnectionError"),
    OwnError("a timeout outside of any SDK", time_out, "TimeoutError"),
    OwnError("a connection lost outside of any SDK", lose_the_connection, "ConnectionResetError"),
    OwnError("JSON of one's own that is none", lambda: json.loads("{"), "JSONDecodeError"),
    OwnError("an HTTP error of one's own, with a code of 503", answer_503, "ServiceUnavailable"),
    OwnError("a value that is wrong", lambda: int("x"), "ValueError"),
    OwnError("a key that is missing", look_it_up, "KeyError"),
    OwnError("an index that is out of range", take_the_first, "IndexError"),
    OwnError("an attribute of nothing", lambda: None.topic, "AttributeError"),  # type: ignore[attr-defined]
    OwnError("an end without a beginning", lambda: next(iter([])), "StopIteration"),
    OwnError("a call that is cancelled", be_cancelled, "CancelledError", Outcome.RELEASED),
    OwnError("a process that leaves", leave, "SystemExit", Outcome.RELEASED),
)
