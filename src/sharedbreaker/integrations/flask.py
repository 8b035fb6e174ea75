"""Flask: a call that a circuit rejected becomes a 503 that says when to come back.

app = Flask(__name__)
RejectionResponses(app)
"""

from __future__ import annotations

try:
    from flask import Flask, Response, jsonify
except ImportError as error:
    raise ImportError(
        "sharedbreaker.integrations.flask needs Flask: pip install 'sharedbreaker[flask]'"
    ) from error

from sharedbreaker.circuit.errors import CircuitBreakerError
from sharedbreaker.integrations.http_rejection import STATUS, document_of, headers_of

__all__ = ["RejectionResponses"]

EXTENSION = "sharedbreaker"


class RejectionResponses:
    """A Flask extension that answers 503 where a CircuitBreakerError comes out of a view or a hook.

    The answer has ``Retry-After`` in whole seconds where anybody knows, ``Cache-Control: no-store``, and as
    its body JSON with ``breaker``, ``state`` and ``retry_after`` in seconds, or null. It needs no try in the
    views, and is the same in debug mode and in blueprints.

    Handlers of your own go first, by Flask's rules: one for CircuitBreakerError, whether registered before
    or after this, and any that a blueprint has and that takes it, one for Exception included.

    What a response has begun to stream cannot become a 503: read a stream's first piece in the view.

    Args:
        app: the app to extend; None leaves it to ``init_app``.

    """

    def __init__(self, app: Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Extend ``app``. To be called before its first request.

        Raises:
            RuntimeError: the app has this extension already.

        """
        if EXTENSION in app.extensions:
            raise RuntimeError(
                f"a {type(self).__name__} is registered with this app ({app.import_name}) already"
            )
        app.extensions[EXTENSION] = self
        if CircuitBreakerError not in app.error_handler_spec[None][None]:
            app.register_error_handler(CircuitBreakerError, _answer)


def _answer(refusal: CircuitBreakerError) -> Response:
    response = jsonify(document_of(refusal))
    response.status_code = STATUS
    response.headers.update(headers_of(refusal))
    return response
