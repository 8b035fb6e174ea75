"""docs/operating.md: an entry for each alert, a link from each, and every command and query of it tried."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from docs_page import ROOT, page
from redis import Redis
from verbs import CommandLine

from guarded_calls import fail
from sharedbreaker import CircuitBreaker, Operator
from sharedbreaker.circuit.families import FAMILIES
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations.prometheus import CircuitBreakerCollector

PAGE = page("operating.md")
RULES = yaml.safe_load((ROOT / "deploy/prometheus/alert_rules.yml").read_text())
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]
}
FINE = {0, 3, 4}
"""All is well, and the two exit codes by which `status` and `doctor` say that it is not."""


def commands(text: str) -> list[list[str]]:
    """The commands of the shell blocks in a part of the page, and those between backticks."""
    blocks = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).splitlines()
    inline = re.findall(r"`(sharedbreaker [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [shlex.split(line) for line in (*blocks, *inline)]


def test_each_alert_has_an_entry_that_says_what_to_do() -> None:
    """The entries are the alerts, in their order, and each has all three parts."""
    entries = re.findall(r"^## (\w+)$", PAGE.text, re.MULTILINE)

    assert entries == list(ALERTS)
    for name in entries:
        parts = re.findall(r"^\*\*(.+?)\.\*\*", PAGE.section(name), re.MULTILINE)
        assert parts == ["What it means", "What to look at", "What to do"], name


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_leads_to_its_entry(name: str) -> None:
    """The annotation `runbook_url` of each alert is the address of the entry with the alert's name."""
    place, _, anchor = ALERTS[name]["annotations"]["runbook_url"].partition("#")

    assert ROOT / place == PAGE.path
    assert anchor in PAGE.anchors()
    assert anchor == name.lower()


@pytest.mark.parametrize("name", ALERTS)
def test_the_commands_of_each_entry_run(redis: Redis, redis_server: RedisServer, name: str) -> None:
    """Every command does what it says on a circuit for which such an alert could fire."""
    command = CommandLine(redis_server.url)
    orders = CircuitBreaker(name="orders", redis=redis_server.url, redis_timeout=5)
    fail(orders, 5)
    lines = commands(PAGE.section(name))
    if name == "CircuitBreakerHeldByHand":
        Operator("orders", redis=redis_server.url).force_open("maintenance")
    if name == "CircuitBreakerUnreadable":
        redis.delete("sharedbreaker:{orders}")
        redis.set("sharedbreaker:{orders}", "something else")

    assert lines
    for program, *words in lines:
        assert program == "sharedbreaker"
        if words == ["exporter"]:
            continue  # It serves until it is told to end: tried in test_prometheus_exporter.
        ran = command(*words)
        assert ran.exit_code in FINE, (words, ran.out, ran.err)
    if name == "CircuitBreakerUnreadable":
        assert not redis.exists("sharedbreaker:{orders}")


def test_closing_by_hand_lasts_until_the_threshold(redis: Redis, redis_server: RedisServer) -> None:
    """A circuit that is closed while its service is down opens again after `failure_threshold` failures."""
    orders = CircuitBreaker(3, name="orders", redis=redis_server.url, redis_timeout=5)
    fail(orders, 3)
    Operator("orders", redis=redis_server.url).force_close("impatience")

    fail(orders, 2)
    assert orders.get_state()["state"] == "closed"
    fail(orders, 1)

    assert orders.get_state()["state"] == "open"


def test_queries_are_valid_and_about_what_is_exported(tmp_path: Path) -> None:
    """Every PromQL block is accepted by promtool and asks only for families that there are."""
    queries = [block.text.strip() for block in PAGE.blocks("promql")]
    families = {family.name.removesuffix("_total") for family in FAMILIES}
    families |= {family.name for family in CircuitBreakerCollector([], call_durations=True).describe()}
    rules = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")

    checked = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout + checked.stderr
    asked = set(re.findall(r"circuit_breaker_\w+", " ".join(queries)))
    assert len(asked) >= 5
    assert {name.removesuffix("_total") for name in asked} <= families
