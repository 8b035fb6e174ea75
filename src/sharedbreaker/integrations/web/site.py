"""The site: every request and its answer, whichever framework carries them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from importlib.resources import files

from sharedbreaker.circuit.errors import NoSuchCircuitError, SettingsError, StoreError
from sharedbreaker.circuit.settings import seconds_in
from sharedbreaker.integrations.web.acts import LARGEST_BODY, name_in, perform, refusal_of
from sharedbreaker.integrations.web.circuits import Breaker, Breakers, Circuits
from sharedbreaker.integrations.web.documents import event_of, health_of, live_state_of, state_of
from sharedbreaker.integrations.web.exposition import metrics_page_of
from sharedbreaker.integrations.web.messages import (
    Request,
    Response,
    error_response,
    json_response,
    timestamp,
)
from sharedbreaker.integrations.web.security import HEADERS, TokenGate, check_token
from sharedbreaker.operator import Operator
from sharedbreaker.store.link import RedisLike

PAGE = "/circuit-breakers/"
ASSETS = {
    "": ("index.html", "text/html; charset=utf-8"),
    **{
        name: (name, content_type)
        for content_type, names in {
            "text/css; charset=utf-8": ("page.css",),
            "image/svg+xml": ("icon.svg",),
            "text/javascript; charset=utf-8": (
                "page.js", "card.js", "dialog.js", "elements.js", "rates.js", "strip.js", "words.js",
            ),
        }.items()
        for name in names
    },
}  # fmt: skip
EVENTS_SHOWN = 12
MOST_EVENTS = 1000
_Answer = Callable[[Request], Response]


class BreakerSite:
    """Circuits over HTTP: figures, health, history, a page, and acts for who has the token.

    Making one does no I/O. ``answer`` may be called by many threads.

    Args:
        breakers: those that ``/metrics``, ``/api/circuit-breakers/metrics`` and ``/api/health`` are about: a
            mapping from the key that documents show, or an iterable, whose names are the keys. None, the
            default, means the Google AI breakers, as ``get_all_breakers()`` names them.
        redis: a client or URL, as ``CircuitBreaker`` takes it, of the fleet that the page shows. None means
            where the breakers have theirs.
        prefix: the same for what the keys in Redis begin with.
        timeout: seconds that an answer may wait for Redis. Default 0.5.
        token: what an operator must know to act, of at least 16 characters. None, the default: nobody acts.
        whole_fleet: whether all of it is about every circuit of the fleet, and not about ``breakers``.
        hosts: names that the Host header may have, without port. None, the default: any.

    Raises:
        SettingsError: a ValueError, for a setting that makes no sense.

    """

    def __init__(
        self,
        breakers: Breakers = None,
        *,
        redis: RedisLike = None,
        prefix: str | None = None,
        timeout: float | timedelta = 0.5,
        token: str | None = None,
        whole_fleet: bool = False,
        hosts: Iterable[str] | None = None,
    ) -> None:
        check_token(token)
        if breakers is not None and not isinstance(breakers, Mapping):
            breakers = tuple(breakers)
        self._timeout = seconds_in("timeout", timeout)
        self._circuits = Circuits(breakers, redis, prefix, self._timeout, whole_fleet=whole_fleet)
        shown = None if breakers is None else tuple(_values(breakers))
        self._metrics = metrics_page_of(self._circuits, shown, redis, prefix, self._timeout)
        self._gate = None if token is None else TokenGate(token)
        self._hosts = None if hosts is None else frozenset(host.lower() for host in hosts)
        folder = files("sharedbreaker.integrations.web") / "page"
        self._assets = {
            PAGE + path: Response(200, {"Content-Type": kind}, (folder / name).read_bytes())
            for path, (name, kind) in ASSETS.items()
        }
        self.routes: Mapping[str, tuple[str, _Answer]] = {
            "/metrics": ("GET", self._metrics),
            "/api/circuit-breakers/metrics": ("GET", self._figures),
            "/api/circuit-breakers/live": ("GET", self._live),
            "/api/circuit-breakers/state": ("GET", self._state),
            "/api/circuit-breakers/history": ("GET", self._history),
            "/api/circuit-breakers/act": ("POST", self._act),
            "/api/health": ("GET", self._health),
            "/api/health/live": ("GET", self._alive),
            "/api/health/ready": ("GET", self._ready),
            **dict.fromkeys(self._assets, ("GET", self._asset)),
            PAGE.rstrip("/"): ("GET", self._to_page),
        }
        """Path, method and answer of everything that there is. What answers GET answers HEAD."""

    def answer(self, request: Request) -> Response:
        """Return the answer. Never raises on Redis' account."""
        try:
            response = self._route(request)
        except SettingsError as error:
            response = error_response(400, str(error))
        except NoSuchCircuitError as error:
            response = error_response(404, str(error))
        except StoreError as error:
            response = error_response(503, str(error), Retry_After="1")
        return response.with_headers(HEADERS)

    def _route(self, request: Request) -> Response:
        if self._hosts is not None and _host_in(request.header("host")) not in self._hosts:
            return error_response(421, "this site does not go by the name in the Host header")
        if request.path == "/":
            return self._to_page(request)
        method, answer = self.routes.get(request.path, ("", None))
        if answer is None:
            return error_response(404, "there is no such page")
        if request.method != method and not (request.method == "HEAD" and method == "GET"):
            allowed = "GET, HEAD" if method == "GET" else method
            return error_response(405, f"this takes {allowed}", Allow=allowed)
        return answer(request)

    def _figures(self, _request: Request) -> Response:
        seen = self._circuits.answered_for()
        if not seen.is_complete:
            raise StoreError(f"Redis at {self._circuits.fleet().address} does not answer")
        figures = {key: circuit.metrics_dict() for key, circuit in seen.circuits.items()}
        return json_response(200, {"success": True, "breakers": figures, "timestamp": timestamp()})

    def _health(self, _request: Request) -> Response:
        seen = self._circuits.answered_for()
        circuits = {key: health_of(circuit) for key, circuit in seen.circuits.items()}
        is_healthy = seen.is_complete and all(circuit["is_healthy"] for circuit in circuits.values())
        status = "healthy" if is_healthy else "degraded"
        document = {"status": status, "circuit_breakers": circuits, "timestamp": timestamp()}
        return json_response(200 if is_healthy else 503, document)

    def _alive(self, _request: Request) -> Response:
        return json_response(200, {"status": "alive", "timestamp": timestamp()})

    def _ready(self, _request: Request) -> Response:
        is_up = self._circuits.fleet().look(discover=True).is_up
        document = {"status": "ready" if is_up else "unready", "redis_up": is_up, "timestamp": timestamp()}
        return json_response(200 if is_up else 503, document)

    def _live(self, _request: Request) -> Response:
        fleet = self._circuits.fleet()
        view = self._circuits.everything()
        names = [circuit.name for circuit in view.circuits]
        # A Redis that has just not answered is not waited for once more.
        events = fleet.histories(names, EVENTS_SHOWN) if names else {}
        document = {
            "redis": {"is_up": view.is_up, "address": fleet.address, "troubles": dict(view.troubles)},
            "can_act": self._gate is not None,
            "circuits": [live_state_of(circuit, events.get(circuit.name, ())) for circuit in view.circuits],
            "timestamp": timestamp(),
        }
        return json_response(200, document)

    def _state(self, request: Request) -> Response:
        circuit = self._operator(_one(request, "name")).snapshot()
        return json_response(200, {"success": True, "breaker": state_of(circuit), "timestamp": timestamp()})

    def _history(self, request: Request) -> Response:
        operator = self._operator(_one(request, "name"))
        most = _one(request, "most", default="100")
        if not (most.isascii() and most.isdigit() and len(most) <= len(str(MOST_EVENTS))):
            raise SettingsError(f"most must be a whole number from 1 to {MOST_EVENTS}")
        events = [event_of(event) for event in operator.history(int(most))]
        return json_response(
            200, {"success": True, "name": operator.name, "events": events, "timestamp": timestamp()}
        )

    def _act(self, request: Request) -> Response:
        refusal = refusal_of(request, self._gate)
        if refusal is not None:
            return refusal
        if len(request.body) > LARGEST_BODY:
            return error_response(413, f"an act takes at most {LARGEST_BODY} bytes")
        name, document = name_in(request.body)
        return perform(self._operator(name), document, request.client)

    def _asset(self, request: Request) -> Response:
        return self._assets[request.path]

    def _to_page(self, _request: Request) -> Response:
        # Relative, since nobody here knows what the site is mounted under.
        return Response(307, {"Location": PAGE.lstrip("/")})

    def _operator(self, name: str) -> Operator:
        redis, prefix = self._circuits.place()
        return Operator(name, redis=redis, prefix=prefix, timeout=self._timeout)


def _values(breakers: Breakers) -> Iterable[Breaker]:
    assert breakers is not None  # noqa: S101 - seen to by the caller
    return breakers.values() if isinstance(breakers, Mapping) else breakers


def _one(request: Request, name: str, default: str | None = None) -> str:
    values = request.asked(name)
    if not values and default is not None:
        return default
    if len(values) != 1:
        raise SettingsError(f"say {name}=... once in the query")
    return values[0]


def _host_in(header: str) -> str:
    host = header.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
