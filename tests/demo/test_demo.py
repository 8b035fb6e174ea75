"""``sharedbreaker demo`` as its user runs it: whole, with a Redis of the user's, and misused."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from redis import Redis

from sharedbreaker.cli import demo as demo_verb
from sharedbreaker.cli.commands import sharedbreaker
from sharedbreaker.demo.redis_server import RedisServer, free_port
from sharedbreaker.demo.sdk import Sdk

DEMO = (sys.executable, "-m", "sharedbreaker", "demo")
SHORTEST = ("--seconds", "5")
PATIENCE = 60
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


VARIANTS = {
    (): ("google-generativeai", False, "ServiceUnavailable 503"),
    ("--sdk", "google-genai"): ("google-genai", False, "ServerError 503"),
    ("--async",): ("google-genai", True, "ServerError 503"),
}
"""Options, and what they make of the demo: its SDK, whether it is on event loops, and what 503 raises."""


@pytest.fixture(scope="module", params=VARIANTS, ids=" ".join)
def variant(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The options of one kind of demo."""
    options: tuple[str, ...] = request.param
    return options


@pytest.fixture(scope="module")
def report(variant: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What one whole demo prints with --json."""
    temporary = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [*DEMO, *SHORTEST, *variant, "--json"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(temporary.iterdir()) == []
    return json.loads(done.stdout)


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_every_check_of_a_whole_demo_passes(report: Any) -> None:
    """The demo exits 0, its checks all passed, and it left no file behind."""
    assert report["passed"] is True
    assert len(report["checks"]) == len({check["name"] for check in report["checks"]}) >= 10
    assert all(check["passed"] and check["detail"] for check in report["checks"])


def test_the_figures_of_a_demo_agree_with_each_other(report: Any) -> None:
    """For each service, clients, tallies and upstream tell the same, and only vision failed."""
    assert set(report["services"]) == {"text_generation", "vision", "imagen"}
    for key, service in report["services"].items():
        clients, tallies, upstream = service["clients"], service["tallies"], service["upstream"]
        outcomes = ("success", "failure", "rejected", "ignored")
        assert clients["calls"] == tallies["calls"] == sum(clients[outcome] for outcome in outcomes)
        assert all(clients[outcome] == tallies[outcome] for outcome in outcomes)
        assert (
            upstream["calls"] == clients["success"] + clients["failure"] == sum(upstream["answered"].values())
        )
        assert upstream["answered"]["200"] == clients["success"] > 0
        assert upstream["answered"].get("503", 0) == clients["failure"]
        assert clients["lost"] == tallies["lost"] == tallies["released"] == tallies["in_flight"] == 0
        if key != "vision":
            assert clients["failure"] == clients["rejected"] == sum(service["transitions"].values()) == 0


def test_vision_went_through_open_and_half_open(report: Any, variant: tuple[str, ...]) -> None:
    """Vision opened at its third failure, and closed again by enough probes, never too many at once."""
    vision = report["services"]["vision"]
    assert vision["clients"]["failure"] >= 3
    assert vision["clients"]["rejected"] > 0
    turns = [event for event in vision["events"] if event["from"] != event["to"]]
    assert [(turn["from"], turn["to"], turn["why"]) for turn in turns] == [
        ("closed", "open", "failure_threshold"),
        ("open", "half_open", "open_timeout_over"),
        ("half_open", "closed", "success_threshold"),
    ]
    assert (turns[0]["failure_count"], turns[0]["exception"]) == ("3", VARIANTS[variant][2])
    # The id of an event is of another reading of the clock than the one that its script decided by.
    assert turns[1]["at"] - turns[0]["at"] >= report["demo"]["open_timeout_seconds"] - 0.01
    assert {name for name, count in vision["transitions"].items() if count} == {
        "closed_to_open", "open_to_half_open", "half_open_to_closed"
    }  # fmt: skip
    probes = vision["probes"]
    assert 1 <= probes["most_at_once"] <= probes["allowed_at_once"] == 2
    assert probes["reached_upstream"] >= 2


def test_a_demo_says_what_it_ran_on(report: Any, variant: tuple[str, ...]) -> None:
    """The JSON names the SDK, the Redis that was started with its version and origin, and all workers."""
    demo = report["demo"]
    assert (demo["sdk"], demo["async"]) == VARIANTS[variant][:2]
    assert len(set(demo["workers"])) == 4
    assert demo["redis"]["started_by_demo"] is True
    assert demo["redis"]["prefix"] == "sharedbreaker"
    assert re.fullmatch(r"(Redis|Valkey) \d+\.\d+\.\d+", demo["redis"]["version"])
    assert not is_listening(int(demo["redis"]["address"].rpartition(":")[2]))
    assert set(report["services"]["vision"]["clients"]["workers"]["rejected"]) <= set(demo["workers"])
    assert demo["seconds"] >= 5


def test_a_given_redis_is_left_as_it_was(redis_server: RedisServer, redis: Redis) -> None:
    """With --redis, the story is told on a terminal, and only the demo's own keys come and go."""
    redis.set("foreign", "untouched")
    mine, its = pty.openpty()
    process = subprocess.Popen(
        [*DEMO, *SHORTEST, "--redis", redis_server.url, "--workers", "2"],
        stdin=its, stdout=its, stderr=its, env={**os.environ, "TERM": "xterm", "COLUMNS": "110"},
    )  # fmt: skip
    os.close(its)
    shown = bytearray()
    seen_keys: set[str] = set()
    try:
        while chunk := os.read(mine, 65536):
            shown += chunk
            seen_keys |= set(redis.scan_iter("sharedbreaker*"))
    except OSError:  # how a terminal says that nobody is there any more
        pass
    finally:
        os.close(mine)
        status = process.wait(PATIENCE)
    text = ESCAPE.sub("", shown.decode())
    assert status == 0, text
    assert "reached upstream" in text
    assert re.search(r"vision: closed -> open: 3 failures in a row .*\n", text)
    assert "All 10 checks passed." in text
    assert re.search(rf"127\.0\.0\.1:{redis_server.port}, (Redis|Valkey) [\d.]+, given by --redis", text)
    assert any(re.fullmatch(r"sharedbreaker-demo-\w+:\{google_ai_vision\}", key) for key in seen_keys)
    assert list(redis.scan_iter()) == ["foreign"]
    assert redis.get("foreign") == "untouched"
    redis.delete("foreign")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--workers", "0"], "--workers"),
        (["--workers", "many"], "--workers"),
        (["--port", "65536"], "--port"),
        (["--seconds", "4.9"], "--seconds"),
        (["--sdk", "google"], "'google' is not one of 'google-generativeai', 'google-genai'"),
        (["--async", "--sdk", "google-generativeai"], "--async needs --sdk google-genai"),
        (["--seconds", "nan"], "nan is not a number of seconds"),
        (["--seconds", "inf"], "--seconds"),
        (["--redis", "http://user:hushhush@somewhere"], "must look like redis://"),
        (["--redis", "redis://:hushhush@somewhere:port"], "must look like redis://"),
        (["--redis", ""], "must look like redis://"),
        (["--what"], "--what"),
        (["something"], "something"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: list[str], complaint: str) -> None:
    """A wrong option exits 2 and says which one and what is allowed, and never shows a password."""
    result = CliRunner().invoke(sharedbreaker, ["demo", *options])
    assert result.exit_code == 2
    assert complaint in result.output
    assert "hushhush" not in result.output


def test_a_redis_that_does_not_answer_is_named_without_its_password() -> None:
    """An unreachable Redis exits 2 and says where it was sought and what to do."""
    port = free_port()
    result = CliRunner().invoke(sharedbreaker, ["demo", "--redis", f"redis://:hushhush@127.0.0.1:{port}/0"])
    assert result.exit_code == 2
    assert f"127.0.0.1:{port}" in result.output
    assert "leave --redis out" in result.output
    assert "hushhush" not in result.output


def test_a_port_that_is_taken_is_named(redis_server: RedisServer, redis: Redis) -> None:
    """A port that somebody else uses exits 2 and says which, before anything is called."""
    port = str(redis_server.port)
    result = CliRunner().invoke(sharedbreaker, ["demo", "--redis", redis_server.url, "--port", port])
    assert result.exit_code == 2
    assert f"port {port} of 127.0.0.1 cannot be used" in result.output
    assert list(redis.scan_iter()) == []


def test_missing_libraries_are_named_with_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the demo's libraries, the verb exits 2 and names them and the extra that brings them."""
    monkeypatch.setitem(demo_verb.LIBRARIES, "no_such_package.module", "no-such-package")
    result = CliRunner().invoke(sharedbreaker, ["demo"])
    assert result.exit_code == 2
    assert "no-such-package" in result.output
    assert "pip install 'sharedbreaker[demo]'" in result.output


@pytest.mark.parametrize("library", ["click", "rich"])
def test_the_command_line_says_which_extra_it_needs(library: str) -> None:
    """Without click or rich, the program exits 2 with a sentence that names the extra, and no traceback."""
    code = f"import sys; sys.modules[{library!r}] = None; sys.argv[1:] = ['demo']; "
    done = subprocess.run(
        [sys.executable, "-c", f"{code}from sharedbreaker.cli import main; main()"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    assert re.search(r"pip install 'sharedbreaker\[(cli|demo)\]'", done.stderr)
    assert library in done.stderr
    assert "Traceback" not in done.stderr


def test_the_console_script_is_the_same_program() -> None:
    """The script ``sharedbreaker`` and ``python -m sharedbreaker`` say the same version."""
    script = Path(sys.executable).with_name("sharedbreaker")
    versions = {
        subprocess.run([*words, "--version"], capture_output=True, text=True, check=True).stdout
        for words in ((str(script),), (sys.executable, "-m", "sharedbreaker"))
    }
    assert len(versions) == 1
    assert re.fullmatch(r"sharedbreaker \d+\.\d+\.\d+\n", versions.pop())


@pytest.mark.parametrize(
    ("options", "package"), [(["--async"], "uvicorn-worker"), (["--sdk", "google-genai"], "google-genai")]
)
def test_what_only_a_variant_needs_is_asked_of_it_alone(
    monkeypatch: pytest.MonkeyPatch, options: list[str], package: str
) -> None:
    """A package that one kind of demo needs is missed by that kind, and by no other."""
    there = demo_verb._is_installed
    lacking = {"uvicorn-worker": "uvicorn_worker", "google-genai": "google.genai"}[package]
    monkeypatch.setattr(demo_verb, "_is_installed", lambda module: module != lacking and there(module))
    result = CliRunner().invoke(sharedbreaker, ["demo", *options])
    assert result.exit_code == 2
    assert f"needs {package}, which is not installed" in result.output
    assert demo_verb.missing_libraries(Sdk.GENERATIVEAI, on_event_loops=False) == []
