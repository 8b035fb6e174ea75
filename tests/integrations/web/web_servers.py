"""One site behind each of its two shells, on a real server, and a plain client."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import uvicorn
from fastapi import FastAPI
from flask import Flask
from werkzeug.serving import make_server

from sharedbreaker.integrations.asgi import RejectionMiddleware
from sharedbreaker.integrations.flask import RejectionResponses
from sharedbreaker.integrations.web import TOKEN_HEADER, BreakerSite
from sharedbreaker.integrations.web.asgi import BreakerApp
from sharedbreaker.integrations.web.flask import blueprint_of

TOKEN = "correct-horse-battery"
MOUNTED = "/ops"
ACT = {"Content-Type": "application/json", TOKEN_HEADER: TOKEN}


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document


@dataclass
class Client:
    port: int
    mounted: str = MOUNTED

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.mounted}"

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, self.mounted + path, body, dict(headers or {}))
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, {name.replace("_", "-"): value for name, value in headers.items()})

    def act(self, document: Any, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", "/api/circuit-breakers/act", {**ACT, **named}, json.dumps(document).encode())


Call = Callable[[], Any]


@contextmanager
def behind_flask(site: BreakerSite, call: Call) -> Iterator[Client]:
    app = Flask("test")
    app.register_blueprint(blueprint_of(site), url_prefix=MOUNTED)
    RejectionResponses(app)
    app.add_url_rule(f"{MOUNTED}/call", view_func=lambda: {"result": call()})
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Client(server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def behind_fastapi(site: BreakerSite, call: Call) -> Iterator[Client]:
    app = FastAPI()

    @app.get(f"{MOUNTED}/call")
    def answer() -> dict[str, Any]:
        return {"result": call()}

    app.mount(MOUNTED, BreakerApp(site))
    app.add_middleware(RejectionMiddleware)
    with serving(app) as port:
        yield Client(port)


@contextmanager
def serving(app: Any) -> Iterator[int]:
    """Run an ASGI app under uvicorn in a thread; give its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


SHELLS = {"flask": behind_flask, "fastapi": behind_fastapi}
