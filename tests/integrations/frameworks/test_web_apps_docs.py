"""What docs/web-apps.md says, done."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from starlette.testclient import TestClient

from sharedbreaker import CircuitBreaker
from sharedbreaker.demo.redis_server import RedisServer

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "web-apps.md").read_text()
FLASK, FASTAPI = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SHOWN = re.search(r"```http\n(.*?)\n\n(.*?)\n```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", [FLASK, FASTAPI], ids=["flask", "fastapi"])
def test_each_app_answers_as_shown(
    block: str, redis_server: RedisServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both apps run as they stand, and their answer to a rejection is the one on the page."""
    monkeypatch.setenv("SHAREDBREAKER_REDIS_URL", redis_server.url)
    names: dict[str, Any] = {"__name__": "shop"}
    exec(block, names)  # noqa: S102
    app = names["app"]
    web = app.test_client() if block == FLASK else TestClient(app)
    assert web.get("/").status_code == 200
    CircuitBreaker(name="google_ai_vision", redis=redis).force_open(seconds=41.4)
    answer = web.get("/")

    assert SHOWN is not None
    status, *headers = SHOWN[1].splitlines()
    assert f" {answer.status_code} " in status
    for header in headers:
        name, _, value = header.partition(": ")
        assert answer.headers[name] == value
    body, shown = json.loads(answer.text), json.loads(SHOWN[2])
    assert shown["retry_after"] >= body.pop("retry_after") > shown.pop("retry_after") - 1
    assert body == shown


def test_each_example_is_listed() -> None:
    """The table has every file of examples/ but for the tests of one."""
    listed = re.findall(r"\]\(\.\./examples/(\w+\.py)\)", PAGE)
    assert sorted(listed) == sorted(
        file.name for file in (DOCS.parent / "examples").glob("*.py") if not file.name.startswith("test_")
    )
