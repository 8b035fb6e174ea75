"""How a call to Google AI ended, read from the exception that ended it."""

from __future__ import annotations

from collections.abc import Callable
from types import FrameType
from typing import TypeAlias

from sharedbreaker.circuit.errors import SharedBreakerError
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.google_errors.names import (
    ANSWERS_WITHOUT_CONTENT,
    API_ERRORS,
    BROKEN_ANSWERS,
    HTTP_ERRORS,
    LOST_CONNECTIONS,
    MISUSES,
)
from sharedbreaker.google_errors.origin import (
    asked_a_google_host,
    causes,
    frames_of,
    is_from_another_google_service,
    is_from_google_ai,
    module_of,
    names_of,
)
from sharedbreaker.google_errors.status import http_status_of, rpc_code_of

Names: TypeAlias = frozenset[tuple[str, str]]

SERVER_ERRORS = range(500, 600)
NOT_IMPLEMENTED = 501
CLIENT_CLOSED_REQUEST = 499
FAILED_REQUESTS = frozenset({408, 429})
"""Client errors by number, yet the service's doing: it took too long, or it is overloaded."""
FAILED_WEBSOCKETS = frozenset({1006, 1011, 1012, 1013, 1014})
"""Close codes of the live API that stand for a server that broke, restarts or is overloaded."""

FAILED_RPCS = frozenset(
    {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "UNKNOWN", "DATA_LOSS"}
)
CANCELLED_RPC = "CANCELLED"

STREAM_READERS = ("google.api_core._rest_streaming_base", "google.api_core.rest_streaming")
ANSWER_MODULE = "google.generativeai.types.generation_types"
CHAT_MODULE = "google.generativeai.generative_models"
CHAT_CHECK = "_check_response"
ANSWER_ACCESSORS = frozenset({"text", "parts"})


def outcome_of(error: BaseException) -> Outcome:
    """Return what ``error`` says about Google AI: pass it to a breaker as ``expected_exception``.

    FAILURE for what the service or the way to it did: HTTP 5xx except 501, 429, 408 and the gRPC codes that
    mean the same, timeouts, connections refused, lost or cut, and answers that cannot be read. SUCCESS
    where it answered, however little: a blocked prompt, a candidate without content. RELEASED for a call
    that was cancelled. IGNORED for all that is the caller's: a bad key, a bad prompt, an unknown model, and
    every exception of the caller's own code, a timeout or a lost connection that did not come out of an SDK
    included. An exception that was raised ``from`` one of Google's counts as that one.
    """
    if not isinstance(error, Exception):
        return Outcome.RELEASED
    for link in causes(error):
        outcome = _outcome_alone(link)
        if outcome is not None:
            return outcome
    return Outcome.IGNORED


def is_google_service_failure(error: BaseException) -> bool:
    """Return whether ``error`` means that Google's service failed."""
    return outcome_of(error) is Outcome.FAILURE


def _outcome_alone(error: BaseException) -> Outcome | None:
    """Return the outcome, None if ``error`` by itself says nothing about Google."""
    names = names_of(error)
    return next((outcome for judge in _JUDGES if (outcome := judge(error, names)) is not None), None)


def _by_class(error: BaseException, names: Names) -> Outcome | None:
    if isinstance(error, SharedBreakerError) or names & MISUSES:
        return Outcome.IGNORED
    return Outcome.SUCCESS if names & ANSWERS_WITHOUT_CONTENT else None


def _of_what_was_given_up_on(error: BaseException, names: Names) -> Outcome | None:
    if ("google", "RetryError") not in names:
        return None
    cause = getattr(error, "cause", None)
    return outcome_of(cause) if isinstance(cause, Exception) else Outcome.FAILURE


def _of_broken_answer(error: BaseException, names: Names) -> Outcome | None:
    return Outcome.FAILURE if names & BROKEN_ANSWERS and is_from_google_ai(error) else None


def _of_error_answer(error: BaseException, names: Names) -> Outcome | None:
    if (names & API_ERRORS and not is_from_another_google_service(error)) or (
        names & HTTP_ERRORS and asked_a_google_host(error)
    ):
        code = rpc_code_of(error)
        if code:
            return _of_rpc(code, error)
        status = http_status_of(error)
        return None if status is None else _of_status(status)
    return None


def _of_lost_connection(error: BaseException, names: Names) -> Outcome | None:
    if names & LOST_CONNECTIONS and is_from_google_ai(error):
        return Outcome.IGNORED if _is_distrust(error) else Outcome.FAILURE
    return None


def _of_place(error: BaseException, _: Names) -> Outcome | None:
    """Judge what has no telling class by where in google-generativeai it was raised, and how."""
    frames = list(frames_of(error))
    if not frames:
        return None
    module, function = module_of(frames[-1]), frames[-1].f_code.co_name
    outcome = None
    if isinstance(error, ValueError):
        if module.startswith(STREAM_READERS):
            outcome = Outcome.FAILURE
        elif module == ANSWER_MODULE and function in ANSWER_ACCESSORS:
            outcome = Outcome.SUCCESS
    elif isinstance(error, IndexError):
        # A chat takes the first candidate of an answer, whether it has one or not.
        outcome = Outcome.SUCCESS if any(_is_chat(frame) for frame in frames) else None
    elif isinstance(error, AttributeError):
        # What gRPC's asyncio makes of an answer that it cannot read is None.
        outcome = Outcome.FAILURE if module == ANSWER_MODULE and error.obj is None else None
    elif isinstance(error, (StopIteration, StopAsyncIteration)):
        # A stream that ended before its first piece: `next()` of the SDK's own lets the end out as it is.
        outcome = Outcome.FAILURE if module.startswith((ANSWER_MODULE, *STREAM_READERS)) else None
    return outcome


_JUDGES: tuple[Callable[[BaseException, Names], Outcome | None], ...] = (
    _by_class,
    _of_what_was_given_up_on,
    # Before the errors that it answers with: a class may be both.
    _of_broken_answer,
    _of_error_answer,
    _of_lost_connection,
    _of_place,
)


def _of_rpc(code: str, error: BaseException) -> Outcome:
    if code == CANCELLED_RPC:
        return Outcome.RELEASED
    return Outcome.FAILURE if code in FAILED_RPCS and not _is_distrust(error) else Outcome.IGNORED


def _of_status(status: int) -> Outcome:
    if status == CLIENT_CLOSED_REQUEST:
        return Outcome.RELEASED
    failed = status in FAILED_REQUESTS | FAILED_WEBSOCKETS or (
        status in SERVER_ERRORS and status != NOT_IMPLEMENTED
    )
    return Outcome.FAILURE if failed else Outcome.IGNORED


def _is_chat(frame: FrameType) -> bool:
    return module_of(frame) == CHAT_MODULE and frame.f_code.co_name == CHAT_CHECK


def _is_distrust(error: BaseException) -> bool:
    """Return whether this machine does not trust the certificate: its store, its clock or its proxy."""
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        if type(link).__name__ == "SSLCertVerificationError" or "CERTIFICATE_VERIFY_FAILED" in str(link):
            return True
        link = link.__cause__ or link.__context__
    return False
