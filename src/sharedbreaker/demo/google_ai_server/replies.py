"""Replies to HTTP requests, and errors in the shape that Google gives them."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from sharedbreaker.demo.google_ai_server.behaviour import Quota

STATUS_NAMES: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


@dataclass(frozen=True)
class Reply:
    """A whole HTTP reply; ``headers`` are those beside Content-Type and Content-Length."""

    status: int
    body: bytes
    content_type: str = "application/json; charset=UTF-8"
    headers: Mapping[str, str] = field(default_factory=dict)


class InvalidArgumentError(ValueError):
    """A request that Google would answer with 400 INVALID_ARGUMENT; its text says why."""


def json_reply(document: object, *, status: int = 200) -> Reply:
    """Return ``document`` as a JSON reply."""
    return Reply(status, to_json_bytes(document))


def error_reply(
    status: int,
    message: str,
    *,
    retry_after: float | None = None,
    quota: Quota | None = None,
    in_array: bool = False,
) -> Reply:
    """Return an error as Google words it.

    ``retry_after`` (seconds) is said in the Retry-After header and as a RetryInfo detail. ``quota`` in a
    QuotaFailure detail. With ``in_array`` the body is an array of one error: Google answers so where a
    stream was to be a JSON array.
    """
    error = error_document(status, message)
    headers = {}
    details: list[dict[str, object]] = []
    if quota is not None:
        details.append(_quota_failure(quota))
    if retry_after is not None:
        headers["Retry-After"] = str(math.ceil(retry_after))
        details.append(
            {
                "@type": "type.googleapis.com/google.rpc.RetryInfo",
                "retryDelay": f"{retry_after:.9f}".rstrip("0").rstrip(".") + "s",
            }
        )
    if details:
        error["details"] = details
    document = {"error": error}
    return Reply(status, to_json_bytes([document] if in_array else document), headers=headers)


def error_document(status: int, message: str) -> dict[str, object]:
    """Return what Google says of an error, without details."""
    return {"code": status, "message": message, "status": STATUS_NAMES.get(status, "UNKNOWN")}


def quota_id(quota: Quota) -> str:
    """Return the name that Google gives to a quota of a project and a model."""
    period = {Quota.PER_MINUTE: "PerMinute", Quota.PER_DAY: "PerDay"}[quota]
    return f"GenerateRequests{period}PerProjectPerModel"


def _quota_failure(quota: Quota) -> dict[str, object]:
    violation = {
        "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests",
        "quotaId": quota_id(quota),
    }
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}


def to_json_bytes(document: object) -> bytes:
    """Write ``document`` as JSON, in ASCII."""
    return json.dumps(document, separators=(",", ":")).encode("ascii")
