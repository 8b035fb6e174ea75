"""Which exceptions of Google's SDKs speak of the service, and which of the caller.

Recognised by status code and by the names of classes, so that no SDK is imported: whichever is installed,
and whichever HTTP library it stands on, its errors are known here.
"""

from __future__ import annotations

HTTP_SERVER_ERROR = 500
HTTP_NOT_IMPLEMENTED = 501
FAILED_REQUESTS = frozenset({408, 429})
"""Client errors by number, yet the service's doing: it took too long, or it is overloaded."""

FAILED_RPCS = frozenset(
    {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL", "UNKNOWN", "DATA_LOSS"}
)

LOST_CONNECTIONS = frozenset(
    {
        ("builtins", "ConnectionError"),
        ("builtins", "TimeoutError"),
        ("asyncio", "TimeoutError"),  # a class of its own before Python 3.11
        ("socket", "timeout"),
        ("requests", "ConnectionError"),
        ("requests", "Timeout"),
        ("requests", "ChunkedEncodingError"),
        ("urllib3", "TimeoutError"),
        ("urllib3", "ProtocolError"),
        ("httpx", "TimeoutException"),
        ("httpx", "NetworkError"),
        ("httpx", "RemoteProtocolError"),
        ("httpx2", "TimeoutException"),
        ("httpx2", "NetworkError"),
        ("httpx2", "RemoteProtocolError"),
        ("aiohttp", "ClientConnectionError"),
        ("aiohttp", "ClientPayloadError"),
        ("google", "TransportError"),
    }
)
"""Top-level package and class of the errors of a connection that could not be made or did not last."""


def is_google_service_failure(error: Exception) -> bool:
    """Return whether ``error`` means that Google's service failed.

    Yes for HTTP 5xx except 501, 429 and 408, for the gRPC codes that mean the same, for timeouts and
    for connections refused or lost. No for every error of the caller's: a bad key, a bad prompt, an
    unknown model, or the caller's own code.
    """
    rpc_code = getattr(error, "grpc_status_code", None)
    if rpc_code is not None:
        return getattr(rpc_code, "name", "") in FAILED_RPCS
    status = _http_status(error)
    if status is not None:
        return status in FAILED_REQUESTS or (status >= HTTP_SERVER_ERROR and status != HTTP_NOT_IMPLEMENTED)
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception) and type(error).__name__ == "RetryError":
        return is_google_service_failure(cause)
    return any(
        (parent.__module__.partition(".")[0], parent.__name__) in LOST_CONNECTIONS
        for parent in type(error).__mro__
    )


def _http_status(error: Exception) -> int | None:
    for attribute in ("code", "status_code"):
        value = getattr(error, attribute, None)
        if isinstance(value, int) and not isinstance(value, bool):
            return int(value)
    return None
