"""What docs/staleness.md shows, run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from redis import Redis

from sharedbreaker.demo.redis_server import RedisServer

PAGE = (Path(__file__).parents[1] / "docs" / "staleness.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=["bound", "push"])
def test_example_runs(
    redis_server: RedisServer, redis: Redis, monkeypatch: pytest.MonkeyPatch, example: str
) -> None:
    """Each example does what it asserts."""
    monkeypatch.setenv("SHAREDBREAKER_REDIS_URL", redis_server.url)
    names: dict[str, object] = {}

    exec(example, names)  # noqa: S102 - it is the documentation

    assert redis.exists("sharedbreaker:{google_ai_vision}")
