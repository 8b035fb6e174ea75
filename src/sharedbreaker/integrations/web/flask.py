"""The site as a Flask blueprint. Needs Flask."""

from __future__ import annotations

try:
    from flask import Blueprint, request
    from flask import Response as FlaskResponse
except ModuleNotFoundError as error:
    if error.name != "flask":
        raise
    raise ModuleNotFoundError(
        "sharedbreaker.integrations.web.flask needs Flask, which is not installed: pip install flask",
        name="flask",
    ) from None

from sharedbreaker.integrations.web.acts import LARGEST_BODY
from sharedbreaker.integrations.web.messages import Request, Response
from sharedbreaker.integrations.web.site import BreakerSite


def blueprint_of(site: BreakerSite | None = None, *, name: str = "circuit_breakers") -> Blueprint:
    """Return a blueprint with every page of ``site``; by default that of the Google AI breakers, read-only.

    Register it once, with or without ``url_prefix``.
    """
    site = site or BreakerSite()
    blueprint = Blueprint(name, __name__)

    def view(route: str) -> FlaskResponse:
        return _flask_response(site.answer(_request(route)))

    for number, (route, (method, _)) in enumerate(site.routes.items()):
        blueprint.add_url_rule(
            route,
            endpoint=f"page_{number}",
            view_func=view,
            methods=[method],
            defaults={"route": route},
            provide_automatic_options=False,
            strict_slashes=True,
        )
    return blueprint


def _request(route: str) -> Request:
    body = b""
    if request.method not in {"GET", "HEAD"}:
        # One byte more than is allowed tells that there is more.
        body = request.stream.read(LARGEST_BODY + 1)
    return Request(
        method=request.method,
        path=route,
        query=request.query_string.decode("latin-1"),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=body,
        client=request.remote_addr or "",
    )


def _flask_response(response: Response) -> FlaskResponse:
    return FlaskResponse(response.body, response.status, dict(response.headers))
