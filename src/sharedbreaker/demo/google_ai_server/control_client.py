"""The verbs of a local Google AI server that runs in another process."""

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

from sharedbreaker.demo.google_ai_server.behaviour import Behaviour, GoogleAiService
from sharedbreaker.demo.google_ai_server.books import Books, JournalEntry
from sharedbreaker.demo.google_ai_server.control_api import CONTROL_PATH
from sharedbreaker.demo.google_ai_server.replies import to_json_bytes


class GoogleAiControl:
    """Tells the server at ``url`` how to behave, and reads its books.

    ``url`` is the line that ``python -m sharedbreaker.demo.google_ai_server`` prints; ValueError if
    it is not an http address. ``timeout`` is how many seconds each verb may take. A verb raises
    ValueError for what the server does not understand, and OSError if it cannot be reached.
    """

    def __init__(self, url: str, timeout: float = 5.0) -> None:
        if not url.startswith("http://"):
            raise ValueError(f"the url must begin with http://, not be {url!r}")
        self._url = url.rstrip("/")
        self._timeout = timeout
        # Without proxies, whatever the environment says: the server is on this machine.
        self._opener = build_opener(ProxyHandler({}))

    def behave(self, service: GoogleAiService, behaviour: Behaviour) -> None:
        """Treat the calls to ``service`` from now on, and those that hang, as ``behaviour`` says."""
        self._ask("PUT", f"behaviour/{_name(service)}", behaviour.to_json())

    def heal(self, service: GoogleAiService) -> None:
        """Make ``service`` healthy; the calls that hang are answered."""
        self._ask("DELETE", f"behaviour/{_name(service)}")

    def books(self, service: GoogleAiService) -> Books:
        """Return what ``service`` has counted."""
        return Books(**self._ask("GET", "books")[_name(service)])

    def journal(self, service: GoogleAiService) -> list[JournalEntry]:
        """Return the calls to ``service``, oldest first: the newest 100,000 since the last reset."""
        return [
            JournalEntry(
                GoogleAiService(entry["service"]),
                entry["started_at"],
                entry["ended_at"],
                entry["answered"],
            )
            for entry in self._ask("GET", f"journal/{_name(service)}")
        ]

    def reset_books(self) -> None:
        """Start the books of all services afresh; calls in flight stay in flight."""
        self._ask("DELETE", "books")

    def _ask(self, method: str, path: str, document: object = None) -> Any:
        request = Request(  # noqa: S310 - the constructor let http:// through and nothing else
            f"{self._url}{CONTROL_PATH}{path}",
            data=None if document is None else to_json_bytes(document),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                return json.load(response)
        except HTTPError as error:
            with error:
                if error.code != 400:  # noqa: PLR2004
                    raise
                reason = json.load(error)["error"]["message"]
        raise ValueError(reason)


def _name(service: GoogleAiService) -> str:
    return GoogleAiService(service).value
