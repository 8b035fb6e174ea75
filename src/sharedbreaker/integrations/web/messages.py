"""A request and its response, as every web framework can give and take them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl

MOST_FIELDS = 50


@dataclass(frozen=True)
class Request:
    """What a client asks for."""

    method: str
    path: str
    """Decoded, and without what the whole site is mounted under."""
    query: str = ""
    """As it stands behind the question mark."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """By name in lower case."""
    body: bytes = b""
    client: str = ""
    """The peer's address; empty where there is none, as on a Unix socket."""

    def header(self, name: str) -> str:
        """Return a header by its name in lower case; empty where there is none."""
        return self.headers.get(name, "")

    def asked(self, name: str) -> list[str]:
        """Return every value of one query parameter."""
        try:
            pairs = parse_qsl(self.query, keep_blank_values=True, max_num_fields=MOST_FIELDS)
        except ValueError:
            return []
        return [value for found, value in pairs if found == name]


@dataclass(frozen=True)
class Response:
    """What it is answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    def with_headers(self, more: Mapping[str, str]) -> Response:
        """Return it with ``more`` headers, which go before its own."""
        return Response(self.status, {**self.headers, **more}, self.body)


def json_response(status: int, document: Mapping[str, Any], **headers: str) -> Response:
    """Return a document. Keyword arguments are headers, with ``_`` for ``-``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = json.dumps(document, allow_nan=False).encode()
    return Response(status, {"Content-Type": "application/json", **named}, body)


def error_response(status: int, message: str, **headers: str) -> Response:
    """Return why a request was not answered, in one sentence."""
    return json_response(status, {"success": False, "error": message, "timestamp": timestamp()}, **headers)


def timestamp() -> str:
    """Return now, as ISO 8601 in UTC with its offset."""
    return datetime.now(timezone.utc).isoformat()
