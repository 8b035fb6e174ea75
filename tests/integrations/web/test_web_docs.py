"""What docs/web.md says, done."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from redis import Redis
from served_page import served
from web_servers import TOKEN, Client, serving

from guarded_calls import fail, succeed
from sharedbreaker import CircuitBreaker
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations.web import BreakerSite

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "web.md").read_text()


def example(marker: str, redis_server: RedisServer) -> dict[str, Any]:
    """Run the page's example that mentions ``marker``, on the Redis of the tests."""
    block = next(block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if marker in block)
    found: dict[str, Any] = {"__name__": "example"}
    exec(block.replace("redis://localhost:6379/0", redis_server.url), found)  # noqa: S102 - our own page
    return found


def test_the_flask_example(redis: Redis, redis_server: RedisServer) -> None:
    """The example for Flask serves the page, the figures and rejections."""
    found = example("Flask(", redis_server)
    app: Flask = found["app"]
    app.add_url_rule("/call", view_func=lambda: found["orders"].call(dict))
    client = app.test_client()
    assert client.get("/circuit-breakers/").status_code == 200
    health = json.loads(client.get("/api/health").data)
    assert health["circuit_breakers"]["orders"]["state"] == "closed"
    found["orders"].force_open(seconds=30)
    rejected = client.get("/call")
    assert (rejected.status_code, rejected.headers["Retry-After"]) == (503, "30")


def test_the_fastapi_example(redis: Redis, redis_server: RedisServer) -> None:
    """The example for FastAPI serves the page and the figures."""
    found = example("FastAPI(", redis_server)
    with serving(found["app"]) as port:
        client = Client(port, mounted="")
        assert client.get("/").headers["location"] == "circuit-breakers/"
        assert client.get("/circuit-breakers/").status == 200
        assert client.get("/api/health").document["circuit_breakers"]["orders"]["state"] == "closed"


def test_every_address_is_documented(redis_server: RedisServer) -> None:
    """The page's table has each address of the site, and none that is not there."""
    routes = {
        path
        for path in BreakerSite([], redis=redis_server.url).routes
        if not path.startswith("/circuit-breakers")
    }
    documented = re.findall(r"^\| `(/[^`?]*)", PAGE, re.MULTILINE)
    assert set(documented) == routes | {"/circuit-breakers/"}


def test_the_documented_user_can_show_the_page(redis: Redis, redis_server: RedisServer) -> None:
    """A Redis user with the rights that the page lists sees everything, and can change nothing."""
    breaker = CircuitBreaker(name="orders", redis=redis)
    succeed(breaker)
    fail(breaker)
    line = re.search(r"^ACL SETUSER.*$", PAGE, re.MULTILINE)
    assert line is not None
    redis.execute_command(*line[0].split())
    try:
        url = f"redis://page:PASSWORD@127.0.0.1:{redis_server.port}"
        with served(url, token=TOKEN) as address:
            client = Client(int(address.rstrip("/").rpartition(":")[2]), mounted="")
            live = client.get("/api/circuit-breakers/live").document
            assert live["redis"]["is_up"]
            assert live["circuits"][0]["failed_calls"] == 1
            assert live["circuits"][0]["events"]
            assert client.get("/api/circuit-breakers/history?name=orders").status == 200
            assert client.get("/metrics").status == 200
            assert client.act({"name": "orders", "act": "disable", "reason": "try"}).status == 503
    finally:
        redis.execute_command("ACL", "DELUSER", "page")
    assert breaker.get_metrics()["mode"] == "automatic"


def test_the_documented_command_holds_a_circuit(redis: Redis, redis_server: RedisServer) -> None:
    """The curl command of the page, as it stands but for address and token, holds the circuit open."""
    breaker = CircuitBreaker(name="orders", redis=redis)
    succeed(breaker)
    found = re.search(r"^curl .*?'$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    with served(redis_server.url, token=TOKEN) as address:
        command = found[0].replace("http://127.0.0.1:9788/", address).replace("$TOKEN", TOKEN)
        words = shlex.split(command.replace("\\\n", " "))
        answer = subprocess.run(
            [*words, "--silent", "--max-time", "20"], capture_output=True, text=True, timeout=60, check=True
        )
    assert json.loads(answer.stdout)["success"] is True
    metrics = breaker.get_metrics()
    assert (metrics["held_by"], metrics["held_reason"]) == ("ann (web)", "maintenance")


@pytest.mark.parametrize("picture", re.findall(r"!\[[^\]]+\]\(([^)]+)\)", PAGE))
def test_every_picture_is_there(picture: str) -> None:
    """The pictures that the page shows are in the repository, and are pictures."""
    assert (ROOT / "docs" / picture).read_bytes().startswith(b"\x89PNG")
