"""The control API of the local Google AI server: its Python verbs for another process.

    GET    /_control/books               the books of all services
    GET    /_control/journal/SERVICE     the calls to one service
    PUT    /_control/behaviour/SERVICE   behave: the body is a Behaviour in JSON
    DELETE /_control/behaviour/SERVICE   heal
    DELETE /_control/books               reset the books

SERVICE is text, vision or imagen. What cannot be understood is answered with 400 and the reason.
"""

import json
from collections.abc import Mapping

from sharedbreaker.demo.google_ai_server.behaviour import Behaviour, GoogleAiService
from sharedbreaker.demo.google_ai_server.books import Books, JournalEntry
from sharedbreaker.demo.google_ai_server.endpoint import Endpoint
from sharedbreaker.demo.google_ai_server.replies import Reply, error_reply, json_reply

CONTROL_PATH = "/_control/"


def answer_control(
    method: str, path: str, body: bytes, endpoints: Mapping[GoogleAiService, Endpoint]
) -> Reply:
    """Do what a request under ``CONTROL_PATH`` asks for, and say so in JSON."""
    subject, _, name = path.removeprefix(CONTROL_PATH).partition("/")
    try:
        if name or subject in {"journal", "behaviour"}:
            return _answer_about(endpoints[_service(name)], f"{method} {subject}", body)
    except ValueError as error:
        return error_reply(400, str(error))
    if (method, subject) == ("GET", "books"):
        books = {
            service.value: books_to_json(endpoint.ledger.books()) for service, endpoint in endpoints.items()
        }
        return json_reply(books)
    if (method, subject) == ("DELETE", "books"):
        for endpoint in endpoints.values():
            endpoint.ledger.reset()
        return json_reply({})
    return _unknown(f"{method} {subject}")


def _answer_about(endpoint: Endpoint, request: str, body: bytes) -> Reply:
    if request == "GET journal":
        return json_reply([entry_to_json(entry) for entry in endpoint.ledger.journal()])
    if request == "PUT behaviour":
        try:
            document = json.loads(body)
        except ValueError as error:
            raise ValueError(f"the behaviour is not JSON: {error}") from error
        endpoint.behave(Behaviour.from_json(document))
        return json_reply({})
    if request == "DELETE behaviour":
        endpoint.behave(Behaviour())
        return json_reply({})
    return _unknown(request)


def _service(name: str) -> GoogleAiService:
    try:
        return GoogleAiService(name)
    except ValueError:
        names = ", ".join(service.value for service in GoogleAiService)
        raise ValueError(f"there is no service {name!r}; there are {names}") from None


def _unknown(request: str) -> Reply:
    return error_reply(404, f"the control API has no {request}")


def books_to_json(books: Books) -> dict[str, object]:
    """Return ``books`` as the control API sends them."""
    return {
        "arrived": books.arrived,
        "answered": dict(books.answered),
        "in_flight": books.in_flight,
        "peak_in_flight": books.peak_in_flight,
    }


def entry_to_json(entry: JournalEntry) -> dict[str, object]:
    """Return ``entry`` as the control API sends it."""
    return {
        "service": entry.service.value,
        "started_at": entry.started_at,
        "ended_at": entry.ended_at,
        "answered": entry.answered,
    }
