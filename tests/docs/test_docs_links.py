"""All pages together: every link leads somewhere, and every page is in the index."""

from __future__ import annotations

import re

import pytest
from docs_page import DOCS, ROOT, Page, page
from redis import Redis

from sharedbreaker.demo.redis_server import RedisServer

PAGES = [Page(path) for path in (*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md")]
INDEX = page("README.md")


@pytest.mark.parametrize("read", PAGES, ids=lambda read: read.path.name)
def test_links_lead_somewhere(read: Page) -> None:
    """Every link to a file of the repository finds it, and the heading behind its #."""
    for link in read.links():
        path, anchor = read.target(link)
        assert path.exists(), link
        if anchor and path.suffix == ".md":
            assert anchor in Page(path).anchors(), link


def test_every_page_is_in_the_index() -> None:
    """The index leads to each page of docs/, and the README to the index."""
    listed = {INDEX.target(link)[0] for link in INDEX.links()}

    assert {path for path in DOCS.rglob("*.md") if path != INDEX.path} == listed
    assert "docs/README.md" in Page(ROOT / "README.md").links()


def test_the_example_of_names_runs(
    redis: Redis, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example of when-not-to-share.md does what it asserts, in a circuit that can be forgotten."""
    monkeypatch.setenv("SHAREDBREAKER_REDIS_URL", redis_server.url)
    [block] = page("when-not-to-share.md").blocks("python")

    exec(block.text, {})  # noqa: S102 - it is the documentation

    assert 0 < redis.ttl("sharedbreaker:{gemini/europe/flash}") <= 86_400


def test_every_benchmarked_peer_is_compared() -> None:
    """Each peer that the benchmarks run is on the page of comparison, and in the version that they run."""
    text = page("comparison.md").text
    pinned = dict(re.findall(r'"([\w-]+)==([\d.]+)"', (ROOT / "benchmarks" / "environments.py").read_text()))
    tables = dict(re.findall(r"^\| ([\w-]+) ([\d.]+) \|", text, re.MULTILINE))
    for peer in set(pinned) - {"coredis", "redis", "hiredis"}:
        assert peer in text, peer
        if peer in tables:
            assert tables[peer] == pinned[peer]
    assert len(tables.keys() & pinned.keys()) >= 8


def test_our_row_is_what_tests_hold() -> None:
    """Each test that the comparison names for us is there."""
    text = page("comparison.md").section("Python breakers that share through Redis")
    named = re.findall(r"\[(\w+)\]\((\.\./tests/[^)]+)\)", text)

    assert len(named) >= 6
    for name, link in named:
        path, _ = page("comparison.md").target(link)
        assert f"def test_{name}(" in path.read_text(), name
