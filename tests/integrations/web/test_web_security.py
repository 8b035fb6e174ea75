"""Who may act, and what no browser may do with the site."""

from __future__ import annotations

import json
import logging

import pytest
from redis import Redis
from web_fixtures import Serve
from web_fixtures import serve as serve
from web_servers import ACT, TOKEN, Client

from guarded_calls import succeed
from sharedbreaker import CircuitBreaker, Operator, SettingsError
from sharedbreaker.integrations.web import TOKEN_HEADER, BreakerSite, Request
from sharedbreaker.integrations.web.security import FAILURES_ALLOWED, MOST_CLIENTS, TokenGate

HOLD = {"name": "one", "act": "force_open", "reason": "maintenance", "who": "ann", "seconds": 30}


@pytest.fixture
def breaker(redis: Redis) -> CircuitBreaker:
    made = CircuitBreaker(name="one", redis=redis, failure_threshold=7)
    succeed(made)
    return made


def acting_site(breaker: CircuitBreaker) -> BreakerSite:
    return BreakerSite([breaker], token=TOKEN)


def test_who_has_the_token_holds_and_releases(breaker: CircuitBreaker, serve: Serve) -> None:
    """With the token a circuit is held open, closed, disabled, enabled and observed, and not configured."""
    client = serve(acting_site(breaker))
    assert client.act(HOLD).status == 200
    metrics = breaker.get_metrics()
    assert (metrics["mode"], metrics["held_by"], metrics["held_reason"]) == (
        "held_open",
        "ann (web)",
        "maintenance",
    )
    assert metrics["open_until"] is not None
    for act in ("force_close", "disable", "enable", "observe", "enforce"):
        assert client.act({"name": "one", "act": act, "reason": f"so {act}"}).document["act"] == act
    history = Operator("one", redis=breaker.redis).history()
    acts = ["tune", "tune", "enable", "disable", "force_close", "force_open", "declared"]
    assert [event.why for event in history] == acts
    assert history[0].who == "web, from 127.0.0.1"
    assert breaker.get_metrics()["failure_threshold"] == 7


def test_without_a_configured_token_nobody_acts(breaker: CircuitBreaker, serve: Serve) -> None:
    """A site that was made without a token refuses every act, and says so to the page."""
    client = serve(BreakerSite([breaker]))
    assert client.act(HOLD).status == 403
    assert client.get("/api/circuit-breakers/live").document["can_act"] is False
    assert breaker.get_metrics()["state"] == "closed"


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], f"{TOKEN}x", TOKEN.upper(), "ÿ"])
def test_a_wrong_token_changes_nothing_and_is_not_logged(
    breaker: CircuitBreaker, serve: Serve, caplog: pytest.LogCaptureFixture, token: str
) -> None:
    """An act with a wrong token is 401; the log tells of it without the token, right or wrong."""
    client = serve(acting_site(breaker))
    with caplog.at_level(logging.DEBUG):
        assert client.act(HOLD, **{TOKEN_HEADER: token}).status == 401
        assert client.act(HOLD).status == 200
    assert "wrong token" in caplog.text
    assert TOKEN not in caplog.text
    assert len(token) < 5 or token not in caplog.text.replace("wrong token", "")


def test_the_token_counts_in_its_header_alone(breaker: CircuitBreaker, serve: Serve) -> None:
    """A token in the URL, in the body or in Authorization opens nothing."""
    client = serve(acting_site(breaker))
    plain = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    path = f"/api/circuit-breakers/act?token={TOKEN}&{TOKEN_HEADER}={TOKEN}"
    assert client.ask("POST", path, plain, json.dumps(HOLD).encode()).status == 401
    assert client.act({**HOLD, "token": TOKEN}).status == 400
    assert breaker.get_metrics()["state"] == "closed"


def test_guessing_is_slow_and_the_right_token_waits_as_well(breaker: CircuitBreaker, serve: Serve) -> None:
    """After five wrong tokens from an address none is looked at for a minute, the right one neither."""
    client = serve(acting_site(breaker))
    for _ in range(FAILURES_ALLOWED):
        assert client.act(HOLD, **{TOKEN_HEADER: "wrong"}).status == 401
    late = client.act(HOLD)
    assert late.status == 429
    assert 1 <= int(late.headers["retry-after"]) <= 60
    assert breaker.get_metrics()["state"] == "closed"


def test_failures_are_forgiven_by_time_and_by_the_right_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures count for a minute and against their own address; the right token clears them."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    gate = TokenGate(TOKEN)
    for _ in range(FAILURES_ALLOWED):
        assert not gate.admits("wrong", "a")
    assert gate.seconds_to_wait("a") == pytest.approx(60)
    assert gate.seconds_to_wait("b") == 0
    now[0] += 59
    assert gate.seconds_to_wait("a") == pytest.approx(1)
    now[0] += 1.1
    assert gate.seconds_to_wait("a") == 0
    for _ in range(FAILURES_ALLOWED - 1):
        gate.admits("wrong", "a")
    assert gate.admits(TOKEN, "a")
    gate.admits("wrong", "a")
    assert gate.seconds_to_wait("a") == 0


def test_many_addresses_take_bounded_memory() -> None:
    """Whoever comes from very many addresses cannot make the gate remember all of them."""
    gate = TokenGate(TOKEN)
    for number in range(MOST_CLIENTS + 10):
        gate.admits("wrong", str(number))
    assert len(gate._failures) == MOST_CLIENTS


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_another_sites_page_cannot_act_even_with_the_token(
    breaker: CircuitBreaker, serve: Serve, headers: dict[str, str]
) -> None:
    """What a browser sends for another site's page is refused, whatever it knows."""
    client = serve(acting_site(breaker))
    assert client.act(HOLD, **headers).status == 403
    assert breaker.get_metrics()["state"] == "closed"


def test_the_pages_own_origin_may_act(breaker: CircuitBreaker, serve: Serve) -> None:
    """The site's own origin is let through, with Sec-Fetch-Site and in browsers without it."""
    client = serve(acting_site(breaker))
    assert client.act(HOLD, Sec_Fetch_Site="same-origin", Origin="https://proxied.example").status == 200
    assert client.act(HOLD, Origin=f"http://127.0.0.1:{client.port}").status == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_what_a_form_can_send_is_no_act(breaker: CircuitBreaker, serve: Serve, kind: str) -> None:
    """Only application/json is an act, which no form of another site can send unasked."""
    assert serve(acting_site(breaker)).act(HOLD, Content_Type=kind).status == 415
    assert breaker.get_metrics()["state"] == "closed"


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({**HOLD, "name": "nobody"}, 404),
        ({**HOLD, "name": None}, 400),
        ({**HOLD, "name": "a b"}, 400),
        ({**HOLD, "act": "drop"}, 400),
        ({**HOLD, "act": ["force_open"]}, 400),
        ({**HOLD, "reason": "  "}, 400),
        ({**HOLD, "reason": "x" * 501}, 400),
        ({**HOLD, "reason": "\ud800"}, 400),
        ({**HOLD, "who": "x" * 200}, 400),
        ({**HOLD, "seconds": -1}, 400),
        ({**HOLD, "seconds": True}, 400),
        ({**HOLD, "seconds": float("nan")}, 400),
        ({**HOLD, "seconds": float("inf")}, 400),
        ({**HOLD, "act": "force_close"}, 400),
        ([], 400),
        ("x" * 9000, 413),
    ],
)
def test_senseless_acts_are_refused_with_a_sentence(
    breaker: CircuitBreaker, redis: Redis, serve: Serve, document: object, status: int
) -> None:
    """What is no act is refused with a reason, changes no circuit and makes none."""
    answer = serve(acting_site(breaker)).act(document)
    assert answer.status == status
    assert answer.document["error"]
    assert breaker.get_metrics()["state"] == "closed"
    assert redis.smembers("sharedbreaker:breakers") == {"one"}


def test_bodies_that_are_not_json_are_refused(breaker: CircuitBreaker, serve: Serve) -> None:
    """Neither broken JSON, nor broken UTF-8, nor JSON that is nested without end is more than a 400."""
    client = serve(acting_site(breaker))
    for body in (b"", b"{", b'{"reason": "\xff"}', b"[" * 8000):
        assert client.ask("POST", "/api/circuit-breakers/act", ACT, body).status == 400


def test_every_answer_forbids_what_no_browser_needs(breaker: CircuitBreaker, serve: Serve) -> None:
    """Page, assets, JSON, errors and metrics carry a strict policy, and none may be framed or kept."""
    client: Client = serve(acting_site(breaker))
    for path in (
        "/circuit-breakers/",
        "/circuit-breakers/page.js",
        "/circuit-breakers/page.css",
        "/api/health",
        "/api/circuit-breakers/state",
        "/metrics",
    ):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "*" not in policy
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert not any(name.startswith("access-control") for name in headers)


def test_only_names_that_were_allowed_are_answered(breaker: CircuitBreaker) -> None:
    """With hosts given, a request under another name, as DNS rebinding makes it, learns nothing."""
    site = BreakerSite([breaker], hosts=["localhost", "::1"])
    for host, status in (
        ("localhost:9788", 200),
        ("LOCALHOST", 200),
        ("[::1]:9788", 200),
        ("evil.example:9788", 421),
        ("", 421),
    ):
        answer = site.answer(Request("GET", "/api/circuit-breakers/metrics", headers={"host": host}))
        assert answer.status == status
        assert (b"one" in answer.body) == (status == 200)


@pytest.mark.parametrize(
    "token", ["", "short", "x" * 513, "with a space in it all", "ümlaut-ümlaut-ümlaut", 16]
)
def test_a_token_that_is_no_good_is_refused_without_showing_it(token: str) -> None:
    """A token that is easily guessed, or that no header can carry, is refused when the site is made."""
    with pytest.raises(SettingsError, match="token must be") as caught:
        BreakerSite([], redis="redis://localhost:1", token=token)
    assert not token or str(token) not in str(caught.value).replace("16 to", "")
