"""What docs/google-ai.md says, done: every block of code in it runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from outcome_docs import PAGE
from redis import Redis
from sdk_servers import Servers
from sdk_servers import all_servers as all_servers
from sdk_servers import servers as servers
from ways import HAS_GENAI, HAS_GENERATIVEAI, generativeai

from sharedbreaker import google_ai
from sharedbreaker.demo.google_ai_server import Behaviour
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations.google.routes import Route
from sharedbreaker.integrations.google_genai import METHODS

TEXT = PAGE.read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def runnable() -> list[Any]:
    """Each block that the SDK is there for, named by the heading that it stands under."""
    found = []
    for block in BLOCKS:
        heading = re.findall(r"^#+ (.*)$", TEXT[: TEXT.index(block)], re.MULTILINE)[-1]
        is_old = "google.generativeai" in block
        if HAS_GENERATIVEAI if is_old else HAS_GENAI:
            name = f"{heading}-{'generativeai' if is_old else 'genai'}"
            found.append(pytest.param(block, id=name))
    return found


@pytest.fixture
def world(
    servers: Servers, redis_server: RedisServer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Servers]:
    """Google is the local server, and Redis the tests'."""
    monkeypatch.setenv("SHAREDBREAKER_REDIS_URL", redis_server.url)
    monkeypatch.setenv("GOOGLE_API_KEY", "key")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", servers.address.url)
    before = google_ai.get_all_breakers()
    if HAS_GENERATIVEAI:
        configure = generativeai().configure
        endpoint = {"api_endpoint": servers.address.url}

        def configure_here(**settings: Any) -> None:
            configure(**settings, transport="rest", client_options=endpoint)

        monkeypatch.setattr(generativeai(), "configure", configure_here)
    yield servers
    google_ai._breakers.update(before)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("block", runnable())
def test_a_block_runs(world: Servers, block: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As it stands, against the local server."""
    exec(block, {"__name__": "docs"})  # noqa: S102
    assert re.search("blue|You asked", capsys.readouterr().out)


if HAS_GENAI:

    def test_the_first_block_tells_of_an_open_circuit(
        world: Servers, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Where the service is down, the client of the first block ends by being rejected."""
        world.behave(Behaviour(status=503))
        names: dict[str, Any] = {}
        from google.genai.errors import ServerError

        for _ in range(5):
            with pytest.raises(ServerError):
                exec(BLOCKS[0], names)  # noqa: S102
        exec(BLOCKS[0], names)  # noqa: S102

        assert re.fullmatch(r"not now, try again in (60|5\d) s\n", capsys.readouterr().out)


def test_the_docs_name_what_is_imagens() -> None:
    """The page's table has every method that goes to Imagen whatever it is asked."""
    row = next(line for line in TEXT.splitlines() if line.endswith("| `imagen` |"))
    named = set(re.findall(r"`(\w+)`", row)) - {"imagen", "predict"}

    assert named == {name.partition(".")[2] for name, route in METHODS.items() if route is Route.IMAGEN}
