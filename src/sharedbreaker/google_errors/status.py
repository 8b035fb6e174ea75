"""Which status Google answered with, wherever an SDK keeps it, or hides it."""

from __future__ import annotations

from typing import Any

from sharedbreaker.google_errors.origin import frames_of

HIDDEN_STATUS = "Unknown error trying to retrieve streaming response"
"""How google-generativeai begins what it says in the place of every error of a stream over REST."""

HTTP_OK = 200


def rpc_code_of(error: BaseException) -> str:
    """Return the name of the gRPC code, such as ``UNAVAILABLE``; empty without one."""
    code = getattr(error, "grpc_status_code", None)
    if code is None and callable(getattr(error, "code", None)):
        # As gRPC's own errors have it.
        try:
            code = error.code()  # type: ignore[attr-defined]
        except Exception:
            return ""
    name = getattr(code, "name", "")
    return name if isinstance(name, str) else ""


def http_status_of(error: BaseException) -> int | None:
    """Return the number of the HTTP status; None without one."""
    response = hidden_response(error)
    if response is not None:
        status = _number(response, "status_code")
        # An answer that was no error and yet could not be read is as bad as one that says so.
        return 500 if status == HTTP_OK else status
    if str(error).find(HIDDEN_STATUS) >= 0:
        return 500
    # `code` last: aiohttp warns of its own.
    for attribute in ("status_code", "status", "code"):
        number = _number(error, attribute)
        if number is not None:
            return number
    return _number(getattr(error, "response", None), "status_code")


def hidden_response(error: BaseException) -> Any:
    """Return the response that google-generativeai could not read the error of; None where it could.

    It takes a stream's error for an object where it is an array of one, and says 400 whatever it was. The
    response is still in the frames that the first exception came through.
    """
    if HIDDEN_STATUS not in str(error) or error.__context__ is None:
        return None
    for frame in frames_of(error.__context__):
        response = frame.f_locals.get("response")
        if _number(response, "status_code") is not None:
            return response
    return None


def _number(holder: object, attribute: str) -> int | None:
    value = getattr(holder, attribute, None)
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else None
