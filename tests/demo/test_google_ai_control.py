"""The local Google AI server as a process of its own, told what to do over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import TYPE_CHECKING, cast
from urllib.error import HTTPError

import pytest
from plain_http import TEXT_PATH, asking, until

from sharedbreaker.demo.google_ai_server import (
    Behaviour,
    Books,
    Fault,
    GoogleAiControl,
    GoogleAiServer,
    GoogleAiService,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT, VISION, IMAGEN = GoogleAiService


@contextmanager
def server_process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "sharedbreaker.demo.google_ai_server", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with server_process("--port", "0") as process:
        yield first_line(process).removesuffix("\n")


@pytest.fixture
def control(url: str) -> GoogleAiControl:
    control = GoogleAiControl(url)
    for service in GoogleAiService:
        control.heal(service)
    control.reset_books()
    return control


def ask(url: str, method: str, path: str, body: str | None = None) -> tuple[int, str]:
    with closing(HTTPConnection(url.removeprefix("http://"), timeout=5)) as connection:
        connection.request(method, path, body)
        response = connection.getresponse()
        return response.status, response.read().decode()


def ask_for_text(url: str) -> int:
    return ask(url, "POST", TEXT_PATH, json.dumps(asking("x")))[0]


def test_another_process_is_told_how_to_behave(url: str, control: GoogleAiControl) -> None:
    """A behaviour sent over HTTP holds for its service until that is healed."""
    control.behave(TEXT, Behaviour(status=503, retry_after=1.5))
    assert [ask_for_text(url), ask_for_text(url)] == [503, 503]
    control.heal(TEXT)
    assert ask_for_text(url) == 200
    control.behave(TEXT, Behaviour(status=429, failures=1))
    assert [ask_for_text(url), ask_for_text(url)] == [429, 200]


def test_the_books_of_another_process_are_read(url: str, control: GoogleAiControl) -> None:
    """Books and journal come over HTTP as they are kept, each service's own."""
    control.behave(TEXT, Behaviour(status=503, failures=1))
    ask_for_text(url)
    ask_for_text(url)
    assert control.books(TEXT) == Books(2, {"503": 1, "200": 1}, in_flight=0, peak_in_flight=1)
    assert control.books(VISION) == Books(0, {}, in_flight=0, peak_in_flight=0)
    first, second = control.journal(TEXT)
    assert (first.service, first.answered, second.answered) == (TEXT, "503", "200")
    assert first.ended_at is not None
    assert first.started_at <= first.ended_at <= second.started_at
    assert control.journal(IMAGEN) == []
    control.reset_books()
    assert control.books(TEXT).arrived == 0
    assert control.journal(TEXT) == []


def test_a_hanging_call_of_another_process_is_released(url: str, control: GoogleAiControl) -> None:
    """A call that hangs is seen in flight, and is answered when its service is healed."""
    control.behave(TEXT, Behaviour(fault=Fault.HANG))
    with ThreadPoolExecutor() as pool:
        hanging = pool.submit(ask_for_text, url)
        until(lambda: control.books(TEXT).in_flight == 1)
        [entry] = control.journal(TEXT)
        assert (entry.ended_at, entry.answered) == (None, "")
        control.heal(TEXT)
        assert hanging.result(timeout=5) == 200


def test_control_is_not_counted(control: GoogleAiControl) -> None:
    """Asking for the books adds nothing to them."""
    assert [control.books(service).arrived for service in GoogleAiService] == [0, 0, 0]


@pytest.mark.parametrize(
    ("method", "path", "body", "complaint"),
    [
        ("PUT", "/_control/behaviour/text", "{", "the behaviour is not JSON"),
        ("PUT", "/_control/behaviour/text", "[]", "must be a JSON object"),
        ("PUT", "/_control/behaviour/text", '{"status": 7}', "status must be"),
        ("PUT", "/_control/behaviour/text", '{"state": 500}', "has no state"),
        ("PUT", "/_control/behaviour/speech", "{}", "no service 'speech'; there are text, vision"),
        ("PUT", "/_control/behaviour", "{}", "no service ''"),
        ("GET", "/_control/journal/speech", None, "no service 'speech'"),
    ],
)
def test_bad_control_is_answered_400(
    url: str, method: str, path: str, body: str | None, complaint: str
) -> None:
    """What the control API does not understand is a 400 that says what was wrong."""
    status, answer = ask(url, method, path, body)
    assert status == 400
    assert complaint in json.loads(answer)["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/_control/books"),
        ("GET", "/_control/"),
        ("GET", "/_control/books/text"),
        ("POST", "/_control/journal/text"),
    ],
)
def test_unknown_control_is_answered_404(url: str, method: str, path: str) -> None:
    """What the control API does not have is a 404."""
    assert ask(url, method, path, "")[0] == 404


def test_the_client_raises_what_the_server_refuses(
    control: GoogleAiControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason for a 400 becomes a ValueError, and other statuses stay HTTP errors."""
    monkeypatch.setattr(Behaviour, "to_json", lambda _: {"status": 7})
    with pytest.raises(ValueError, match="status must be 200 or from 400 to 599, not 7"):
        control.behave(TEXT, Behaviour())
    with pytest.raises(ValueError, match="speech"):
        control.heal(cast("GoogleAiService", "speech"))
    monkeypatch.setattr("sharedbreaker.demo.google_ai_server.control_client.CONTROL_PATH", "/no/")
    with pytest.raises(HTTPError, match="404"):
        control.reset_books()


def test_the_client_wants_a_plain_address() -> None:
    """An address that is not http is refused before anything is sent."""
    with pytest.raises(ValueError, match="must begin with http://"):
        GoogleAiControl("file:///etc/hosts")


def test_the_client_heeds_no_proxy(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment does not come between a process and its own machine."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    GoogleAiControl(url).reset_books()


def test_the_verbs_are_those_of_the_server() -> None:
    """The client for another process has every verb of the server itself."""
    own = {"behave", "heal", "books", "journal", "reset_books"}
    assert own <= set(dir(GoogleAiServer))
    assert own == {name for name in dir(GoogleAiControl) if not name.startswith("_")}


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_well(ending: signal.Signals) -> None:
    """The process prints its address, serves, and ends with 0 and in silence when told to."""
    with server_process() as process:
        url = first_line(process).removesuffix("\n")
        assert GoogleAiControl(url).books(TEXT).arrived == 0
        process.send_signal(ending)
        assert process.communicate(timeout=5) == ("", "")
        assert process.returncode == 0


def test_a_port_in_use_is_said_in_one_line(url: str) -> None:
    """A process that cannot listen ends with 1 and one line that says where and why."""
    port = url.rpartition(":")[2]
    with server_process("--port", port) as process:
        output, complaint = process.communicate(timeout=5)
    assert (output, process.returncode) == ("", 1)
    assert complaint.startswith(f"cannot listen on 127.0.0.1:{port}: ")
    assert complaint.count("\n") == 1
