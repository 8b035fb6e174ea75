"""Acts: what an operator does to a circuit over HTTP, once it is clear that an operator asks."""

from __future__ import annotations

import json
import logging
from typing import Any

from sharedbreaker.circuit.control import Act
from sharedbreaker.circuit.errors import SettingsError
from sharedbreaker.integrations.http_rejection import retry_after_seconds
from sharedbreaker.integrations.web.messages import (
    Request,
    Response,
    error_response,
    json_response,
    timestamp,
)
from sharedbreaker.integrations.web.security import TOKEN_HEADER, TokenGate, is_from_elsewhere
from sharedbreaker.operator import Operator

logger = logging.getLogger("sharedbreaker")

LARGEST_BODY = 8192
ACTS = (*(act.value for act in Act), "observe", "enforce")
_FIELDS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "act": (str,),
    "reason": (str,),
    "who": (str,),
    "seconds": (int, float),
}


def refusal_of(request: Request, gate: TokenGate | None) -> Response | None:
    """Return why a request may not act; None where it may. Its body has not been looked at by then."""
    if gate is None:
        return error_response(403, "this page is read-only: the site was made without a token")
    if is_from_elsewhere(request):
        return error_response(403, "an act must come from the page itself, and not from another site")
    if request.header("content-type").partition(";")[0].strip().lower() != "application/json":
        return error_response(415, "an act is sent as application/json")
    wait = gate.seconds_to_wait(request.client)
    if wait > 0:
        seconds = retry_after_seconds(wait)
        return error_response(
            429, f"too many wrong tokens from this address; try again in {seconds} s", Retry_After=seconds
        )
    if not gate.admits(request.header(TOKEN_HEADER.lower()), request.client):
        logger.warning("web: an act with a wrong token or without one, from %s", request.client or "nowhere")
        return error_response(401, f"the token in {TOKEN_HEADER} is wrong or missing")
    return None


def name_in(body: bytes) -> tuple[str, dict[str, Any]]:
    """Return the circuit's name and the act's document; raise SettingsError for what is no act."""
    if len(body) > LARGEST_BODY:
        raise SettingsError(f"an act takes at most {LARGEST_BODY} bytes")
    try:
        document = json.loads(body)
        body.decode("utf-8")
    except (ValueError, RecursionError):
        raise SettingsError("the body is not JSON") from None
    if not isinstance(document, dict) or not document.keys() <= _FIELDS.keys():
        raise SettingsError(f"an act is an object with {', '.join(_FIELDS)}")
    for field, kinds in _FIELDS.items():
        value = document.get(field)
        if value is not None and (isinstance(value, bool) or not isinstance(value, kinds)):
            raise SettingsError(f"{field} is of another type than it must be")
        if isinstance(value, str) and not _is_plain(value):
            raise SettingsError(f"{field} holds characters that are no text")
    return document.get("name") or "", document


def _is_plain(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def perform(operator: Operator, document: dict[str, Any], client: str) -> Response:
    """Do what the document says. Raises what ``Operator`` raises."""
    act = document.get("act")
    if act not in ACTS:
        raise SettingsError(f"act must be one of {', '.join(ACTS)}")
    reason = (document.get("reason") or "").strip()
    if not reason:
        raise SettingsError("reason must say why: whoever comes next wants to know")
    seconds = document.get("seconds")
    if seconds is not None and act != Act.FORCE_OPEN:
        raise SettingsError("seconds is for force_open alone")
    name = (document.get("who") or "").strip()
    who = f"{name} (web)" if name else f"web, from {client or 'nowhere'}"
    if act == Act.FORCE_OPEN:
        operator.force_open(reason, seconds, who=who)
    else:
        getattr(operator, act)(reason, who=who)
    logger.info("circuit %r: %s over the web by %r, from %s: %r", operator.name, act, who, client, reason)
    return json_response(200, {"success": True, "name": operator.name, "act": act, "timestamp": timestamp()})
