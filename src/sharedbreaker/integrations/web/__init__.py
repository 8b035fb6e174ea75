"""Circuits over HTTP: figures, health, history and a page, for Flask, for ASGI, and by itself.

    from sharedbreaker.integrations.web import BreakerSite
    from sharedbreaker.integrations.web.flask import blueprint_of

    app.register_blueprint(blueprint_of(BreakerSite([breaker])))

``sharedbreaker.integrations.web.asgi`` has the same for FastAPI and Starlette; ``sharedbreaker serve`` runs
it alone. Flask is needed by ``flask`` only.
"""

from sharedbreaker.integrations.web.messages import Request, Response
from sharedbreaker.integrations.web.security import TOKEN_HEADER
from sharedbreaker.integrations.web.site import BreakerSite

__all__ = [
    "TOKEN_HEADER",
    "BreakerSite",
    "Request",
    "Response",
]
