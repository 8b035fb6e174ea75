"""What can become of a call to Google AI: what each SDK raises, and what it means. One table, as data.

The tests bring each situation about with the real SDKs, and docs/google-ai.md shows the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from ways import Ask

from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.demo.google_ai_server import Behaviour, Content, Fault, Quota

NOTHING = "nothing"
"""The call returns."""

SUCCESS, FAILURE, IGNORED, RELEASED = Outcome.SUCCESS, Outcome.FAILURE, Outcome.IGNORED, Outcome.RELEASED


class Trouble(str, Enum):
    """What keeps a call from ever reaching the server."""

    REFUSED = "refused"
    TLS_CLOSED = "tls_closed"
    TLS_UNTRUSTED = "tls_untrusted"


ALIKE = {"aiohttp": "genai", "grpc async": "grpc"}
"""Columns that raise what another one does unless they say otherwise."""


@dataclass(frozen=True)
class Situation:
    """One row."""

    title: str
    server: Behaviour | Trouble
    raised: Mapping[str, str]
    """By column, ``genai``, ``rest``, ``grpc`` or one of ALIKE: the name of what is raised, or NOTHING.

    What is not named cannot happen there. With `` stream`` behind the column, it is what a stream
    raises where that differs.
    """
    outcome: Outcome
    asks: tuple[Ask, ...] = (Ask.WHOLE, Ask.STREAM)
    open_for: str = ""
    """How long the circuit stays open, in words; empty: its own ``timeout``."""
    seconds: float | None = None
    """What ``retry_after_of`` says at noon, Pacific time."""
    timeout: float = 10.0
    """Seconds that the call may take."""

    def raised_by(self, column: str, ask: Ask) -> str | None:
        """Return the name of what is raised, None for what cannot happen."""
        for key in (f"{column} stream", column) if ask in {Ask.STREAM, Ask.CHAT_STREAM} else (column,):
            if key in self.raised:
                return self.raised[key]
        like = ALIKE.get(column)
        return None if like is None else self.raised_by(like, ask)


def _status(
    title: str,
    status: int,
    names: tuple[str, str, str | None],
    outcome: Outcome,
    open_for: str = "",
    seconds: float | None = None,
    **behaviour: object,
) -> Situation:
    genai, rest, grpc = names
    raised = {"genai": genai, "rest": rest, "rest stream": "BadRequest"}
    if grpc is not None:
        raised["grpc"] = grpc
    server = Behaviour(status=status, **behaviour)  # type: ignore[arg-type]
    return Situation(title, server, raised, outcome, open_for=open_for, seconds=seconds)


def _answered(
    title: str, content: Content, raised: Mapping[str, str], *asks: Ask, outcome: Outcome = SUCCESS
) -> Situation:
    return Situation(title, Behaviour(content=content), {"genai": NOTHING, **raised}, outcome, asks=asks)


_READ = {"rest": "ValueError", "grpc": "ValueError"}
_RETURNED = {"rest": NOTHING, "grpc": NOTHING}
_BLOCKED = {"rest": "BlockedPromptException", "grpc": "BlockedPromptException"}
_STOPPED = {"rest": "StopCandidateException", "grpc": "StopCandidateException"}
_429 = ("ClientError", "TooManyRequests", "ResourceExhausted")
_503 = ("ServerError", "ServiceUnavailable", "ServiceUnavailable")

SITUATIONS: tuple[Situation, ...] = (
    _status("400, also for a bad API key", 400, ("ClientError", "BadRequest", "InvalidArgument"), IGNORED),
    _status("401", 401, ("ClientError", "Unauthorized", "Unauthenticated"), IGNORED),
    _status("403", 403, ("ClientError", "Forbidden", "PermissionDenied"), IGNORED),
    _status("404", 404, ("ClientError", "NotFound", "NotFound"), IGNORED),
    _status("408", 408, ("ClientError", "GoogleAPICallError", None), FAILURE),
    _status("429 that says no more", 429, _429, FAILURE),
    _status(
        "429, a quota per minute",
        429,
        _429,
        FAILURE,
        "the RetryInfo",
        22.0,
        quota=Quota.PER_MINUTE,
        retry_after=22,
    ),
    _status(
        "429, a quota per minute, without RetryInfo",
        429,
        _429,
        FAILURE,
        "a minute",
        60.0,
        quota=Quota.PER_MINUTE,
    ),
    _status(
        "429, a quota per day",
        429,
        _429,
        FAILURE,
        "until midnight Pacific, an hour at most; the RetryInfo is not believed",
        3600.0,
        quota=Quota.PER_DAY,
        retry_after=47.5,
    ),
    _status("499", 499, ("ClientError", "Cancelled", "Cancelled"), RELEASED),
    _status("500", 500, ("ServerError", "InternalServerError", "InternalServerError"), FAILURE),
    _status("501", 501, ("ServerError", "MethodNotImplemented", "MethodNotImplemented"), IGNORED),
    _status("502", 502, ("ServerError", "BadGateway", None), FAILURE),
    _status("503", 503, _503, FAILURE),
    _status(
        "503 with a Retry-After header or RetryInfo", 503, _503, FAILURE, "what it says", 7.0, retry_after=7
    ),
    _status("504", 504, ("ServerError", "GatewayTimeout", "DeadlineExceeded"), FAILURE),
    Situation(
        "connection refused",
        Trouble.REFUSED,
        {
            "genai": "ConnectError",
            "aiohttp": "ClientConnectorError",
            "rest": "ConnectionError",
            "grpc": "ServiceUnavailable",
        },
        FAILURE,
    ),
    Situation(
        "reset before the answer",
        Behaviour(fault=Fault.CUT),
        {
            "genai": "ReadError",
            "aiohttp": "ClientOSError",
            "rest": "ConnectionError",
            "grpc": "ServiceUnavailable",
        },
        FAILURE,
    ),
    Situation(
        "reset in the middle of the answer",
        Behaviour(fault=Fault.RESET_MID_ANSWER),
        {
            "genai": "ReadError",
            "aiohttp": "ClientPayloadError",
            "rest": "ChunkedEncodingError",
            "grpc stream": "ServiceUnavailable",
        },
        FAILURE,
    ),
    Situation(
        "answer that ends too early",
        Behaviour(fault=Fault.CUT_MID_ANSWER),
        {"genai": "RemoteProtocolError", "aiohttp": "ClientPayloadError", "rest": "ChunkedEncodingError"},
        FAILURE,
    ),
    Situation(
        "error in the middle of a stream",
        Behaviour(fault=Fault.ERROR_MID_STREAM),
        {"genai": "ServerError", "grpc": "ServiceUnavailable"},
        FAILURE,
        asks=(Ask.STREAM,),
    ),
    Situation(
        "error in the middle of a stream, which the SDK swallows",
        Behaviour(fault=Fault.ERROR_MID_STREAM),
        {"rest": NOTHING},
        SUCCESS,
        asks=(Ask.STREAM,),
    ),
    Situation(
        "timeout",
        Behaviour(fault=Fault.HANG),
        {
            "genai": "ReadTimeout",
            "aiohttp": "TimeoutError",
            "rest": "ReadTimeout",
            "grpc": "DeadlineExceeded",
        },
        FAILURE,
        timeout=0.3,
    ),
    Situation(
        "TLS handshake that fails",
        Trouble.TLS_CLOSED,
        {
            "genai": "ConnectError",
            "aiohttp": "ClientConnectorError",
            "rest": "ConnectionError",
            "grpc": "ServiceUnavailable",
        },
        FAILURE,
    ),
    Situation(
        "certificate that this machine does not trust",
        Trouble.TLS_UNTRUSTED,
        {
            "genai": "ConnectError",
            "aiohttp": "ClientConnectorCertificateError",
            "rest": "SSLError",
            "grpc": "ServiceUnavailable",
        },
        IGNORED,
    ),
    Situation(
        "malformed answer",
        Behaviour(fault=Fault.BROKEN_JSON),
        {
            "genai": "JSONDecodeError",
            "genai stream": "UnknownApiResponseError",
            "rest": "ParseError",
            "rest stream": "ValueError",
            "grpc": "InternalServerError",
            "grpc async": "AttributeError",
        },
        FAILURE,
    ),
    _answered("blocked prompt", Content.BLOCKED_PROMPT, _RETURNED, Ask.WHOLE),
    _answered(
        "blocked prompt, in a stream or a chat", Content.BLOCKED_PROMPT, _BLOCKED, Ask.STREAM, Ask.CHAT
    ),
    _answered("blocked prompt, `.text`", Content.BLOCKED_PROMPT, _READ, Ask.TEXT),
    _answered("stopped for SAFETY", Content.SAFETY, _RETURNED, Ask.WHOLE, Ask.STREAM),
    _answered("stopped for SAFETY, in a chat", Content.SAFETY, _STOPPED, Ask.CHAT),
    _answered("stopped for SAFETY, `.text`", Content.SAFETY, _READ, Ask.TEXT),
    _answered("stopped for RECITATION", Content.RECITATION, _RETURNED, Ask.WHOLE, Ask.STREAM),
    _answered("stopped for RECITATION, in a chat", Content.RECITATION, _STOPPED, Ask.CHAT),
    _answered("stopped for RECITATION, `.text`", Content.RECITATION, _READ, Ask.TEXT),
    _answered("MAX_TOKENS without content", Content.MAX_TOKENS, _RETURNED, Ask.WHOLE, Ask.STREAM, Ask.CHAT),
    _answered("MAX_TOKENS without content, `.text`", Content.MAX_TOKENS, _READ, Ask.TEXT),
    _answered("no candidates", Content.NOTHING, _RETURNED, Ask.WHOLE, Ask.STREAM),
    _answered(
        "no candidates, in a chat", Content.NOTHING, {"rest": "IndexError", "grpc": "IndexError"}, Ask.CHAT
    ),
    _answered("no candidates, `.text`", Content.NOTHING, _READ, Ask.TEXT),
    _answered("picture of Imagen filtered away", Content.SAFETY, _RETURNED, Ask.PICTURE),
)
