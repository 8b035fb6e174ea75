"""What every response forbids a browser, and what every act must show first."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections import deque
from urllib.parse import urlsplit

from sharedbreaker.circuit.errors import SettingsError
from sharedbreaker.integrations.web.messages import Request

TOKEN_HEADER = "X-Sharedbreaker-Token"  # noqa: S105 - a header's name
SHORTEST_TOKEN = 16
LONGEST_TOKEN = 512
FAILURES_ALLOWED = 5
WINDOW_SECONDS = 60.0
MOST_CLIENTS = 1024
_SAME_ORIGIN = "same-origin"

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": _SAME_ORIGIN,
    "Cross-Origin-Resource-Policy": _SAME_ORIGIN,
    "Cache-Control": "no-store",
}


def is_from_elsewhere(request: Request) -> bool:
    """Whether a browser says that another site's page sent this. What is no browser says nothing."""
    site = request.header("sec-fetch-site")
    if site:
        return site != _SAME_ORIGIN
    origin = request.header("origin")
    return bool(origin) and urlsplit(origin).netloc.lower() != request.header("host").lower()


def check_token(token: str | None) -> None:
    """Raise SettingsError for a token that is easily guessed or that no header can carry. Never shows it."""
    if token is None:
        return
    if not isinstance(token, str) or not SHORTEST_TOKEN <= len(token) <= LONGEST_TOKEN:
        raise SettingsError(f"token must be text of {SHORTEST_TOKEN} to {LONGEST_TOKEN} characters")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError("token must be of ASCII letters, digits and punctuation, without spaces")


class TokenGate:
    """Tells the right token from others, and makes guessing slow: five wrong ones a minute and address.

    It keeps its count in this process, for at most ``MOST_CLIENTS`` addresses.
    """

    def __init__(self, token: str) -> None:
        check_token(token)
        self._digest = _digest(token)
        self._lock = threading.Lock()
        self._failures: dict[str, deque[float]] = {}

    def seconds_to_wait(self, client: str) -> float:
        """Return how long ``client`` has to wait before its token is looked at; 0 if it need not."""
        with self._lock:
            failures = self._recent(client)
            if len(failures) < FAILURES_ALLOWED:
                return 0.0
            return max(0.0, failures[0] + WINDOW_SECONDS - time.monotonic())

    def admits(self, given: str, client: str) -> bool:
        """Whether ``given`` is the token; a wrong one is counted against ``client``."""
        # Of digests, so that neither the time nor the length tells anything.
        right = hmac.compare_digest(_digest(given), self._digest)
        with self._lock:
            if right:
                self._failures.pop(client, None)
            else:
                self._recent(client).append(time.monotonic())
        return right

    def _recent(self, client: str) -> deque[float]:
        failures = self._failures.get(client)
        if failures is None:
            if len(self._failures) >= MOST_CLIENTS:
                self._failures.pop(next(iter(self._failures)))
            failures = self._failures[client] = deque(maxlen=FAILURES_ALLOWED)
        since = time.monotonic() - WINDOW_SECONDS
        while failures and failures[0] < since:
            failures.popleft()
        return failures


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
