"""A page of docs/coming-from: its code, its claims, and the words that it translates."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis import Redis

from sharedbreaker.demo.redis_server import RedisServer

PAGES = Path(__file__).parents[2] / "docs" / "coming-from"
URL_ON_PAGES = "redis://localhost:6379"
DIFFERENCES = "What behaves differently"
ABSENCES = "What there is not"
PEERS_DB = 7
"""Keys that are not ours have a database of their own."""


class ComingFromPage:
    def __init__(self, name: str) -> None:
        self.name = name
        self.text = (PAGES / f"{name}.md").read_text()

    def section(self, title: str) -> str:
        found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", self.text, re.DOTALL | re.MULTILINE)
        assert found is not None, f"{self.name}.md has no section {title!r}"
        return found[1]

    def code(self, which: str) -> str:
        found = re.search(rf"^```python\n# {which}\n(.*?)^```", self.text, re.DOTALL | re.MULTILINE)
        assert found is not None, f"{self.name}.md has no code {which!r}"
        return found[1]

    def run(self, which: str, server: RedisServer, **names: Any) -> dict[str, Any]:
        """Run what the page shows, with its Redis where there is one; return what it defined."""
        database = PEERS_DB if which.startswith("before") else 0
        url = f"redis://127.0.0.1:{server.port}/{database}"
        exec(self.code(which).replace(URL_ON_PAGES, url), names)  # noqa: S102 - it is the documentation
        return names

    def claims(self) -> list[str]:
        """What it says that differs or is not there, a paragraph each."""
        return [
            claim
            for title in (DIFFERENCES, ABSENCES)
            for claim in re.split(r"^- ", self.section(title), flags=re.MULTILINE)[1:]
        ]

    def words(self, column: int) -> set[str]:
        """The code in a column of the table of words."""
        rows = re.findall(r"^\|(.*)\|$", self.section("Word by word"), re.MULTILINE)[2:]
        return {word for row in rows for word in re.findall(r"`([^`]+)`", row.split(" | ")[column])}


def cited_tests(text: str) -> list[tuple[str, str]]:
    """The tests that a text links to: module and name."""
    links = re.findall(r"\[`(test_\w+)`\]\(\.\./\.\./tests/coming_from/(test_\w+)\.py\)", text)
    return [(module, test) for test, module in links]


def what_becomes_of(label: Callable[[str], str], *items: str) -> list[str]:
    """Call once for each item; an exception counts by its name."""

    def becomes(item: str) -> str:
        try:
            return label(item)
        except Exception as error:
            return type(error).__name__

    return [becomes(item) for item in items]


class Shop:
    """The service that the pages' code asks."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_down = False

    def ask(self, item: str) -> int:
        self.asked += 1
        if item == "nothing":
            raise ValueError("there is no such item")
        if self.is_down:
            raise ConnectionError("the shop is down")
        return len(item)

    async def ask_async(self, item: str) -> int:
        return self.ask(item)


def peers_redis(server: RedisServer) -> Redis:
    """A client for what other libraries write, emptied."""
    client = Redis(port=server.port, db=PEERS_DB)
    client.flushdb()
    return client
