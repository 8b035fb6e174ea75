"""The page in a real Chromium, on `sharedbreaker serve` and inside apps."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, expect
from redis import Redis
from served_page import card, page_on, served, state
from web_fixtures import Serve
from web_fixtures import address as address
from web_fixtures import breaker as breaker
from web_fixtures import browser as browser
from web_fixtures import serve as serve
from web_servers import TOKEN

from guarded_calls import fail, succeed
from sharedbreaker import CircuitBreaker, FailureRate, Operator
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations.web import BreakerSite

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'&amp;${7*7}"


def hold_over(redis: Redis) -> None:
    redis.hset("sharedbreaker:{orders}", "open_until", "1")


def test_states_change_on_the_screen_as_they_change_in_redis(
    browser: Browser, address: str, breaker: CircuitBreaker, redis: Redis
) -> None:
    """Opening, half-open with a probe in flight, and closing are shown and announced without a reload."""
    with page_on(browser, address) as page:
        expect(state(page)).to_have_text("Closed")
        expect(page.locator("#summary")).to_have_text("The circuit is closed")
        fail(breaker)
        fail(breaker)
        expect(state(page)).to_have_text("Open")
        expect(card(page).locator(".why")).to_contain_text(
            re.compile(r"2 failures in a row, the last a ServiceDownError; seen by \S+:\d+")
        )
        expect(card(page).locator(".until")).to_have_text(
            re.compile(r"first probe in \d+ s|first probe in 1 min 0 s")
        )
        expect(page).to_have_title("1 of 1 open · Circuit breakers")
        expect(page.locator("#announcer")).to_contain_text("orders is now open: 2 failures in a row")
        hold_over(redis)
        expect(card(page).locator(".until")).to_have_text("the next call is a probe")
        admission = breaker.admit()
        expect(state(page)).to_have_text("Half-open")
        expect(card(page).locator("dd").nth(6)).to_have_text("1 of 2")
        breaker.report(admission, "success")  # type: ignore[arg-type]  # as its text
        expect(card(page).locator(".until")).to_have_text("1 of 2 probes succeeded")
        succeed(breaker)
        expect(state(page)).to_have_text("Closed")
        expect(card(page).locator(".why")).to_be_hidden()
        strip = card(page).locator("svg.strip rect")
        drawn = [rect.get_attribute("class") for rect in strip.all()]
        assert drawn[-4:] == ["closed", "open", "half_open", "closed"]
        label = card(page).locator("svg.strip").get_attribute("aria-label")
        assert label is not None
        assert re.search(r"Open from .*Half-open from .*Closed from", label)


def test_time_goes_on_between_two_looks(browser: Browser, address: str, breaker: CircuitBreaker) -> None:
    """The countdown of an open circuit counts down."""
    breaker.force_open("for a while", 500)
    with page_on(browser, address) as page:
        until = card(page).locator(".until")
        expect(until).to_have_text(re.compile("held for another 8 min"))
        before = until.text_content()
        assert before is not None
        expect(until).not_to_have_text(before)
        expect(card(page).locator(".why")).to_contain_text("for a while")


def test_rates_are_those_since_the_page_was_opened(
    browser: Browser, address: str, breaker: CircuitBreaker
) -> None:
    """The rate of the last minute tells of calls that were made while the page was open."""
    with page_on(browser, address) as page:
        figures = card(page).locator("dd")
        expect(figures.nth(2)).to_have_text("100 %")
        expect(figures.nth(1)).to_have_text("0")
        succeed(breaker)
        fail(breaker)
        expect(figures.nth(0)).to_have_text("50.0 %")
        expect(figures.nth(1)).not_to_have_text("0")
        expect(figures.nth(4)).to_have_text("1 of 2")


def test_an_open_history_is_whole_and_goes_on(
    browser: Browser, address: str, breaker: CircuitBreaker
) -> None:
    """A history that somebody reads has more than the latest events, and new ones appear in it."""
    for number in range(20):
        breaker.force_close(f"try {number}")
    with page_on(browser, address) as page:
        lines = card(page).locator(".history li")
        expect(lines).to_have_count(0)
        card(page).locator("summary").click()
        expect(lines).to_have_count(21)
        expect(lines.first).to_contain_text("Closed by hand: try 19")
        breaker.force_open("now")
        expect(lines.first).to_contain_text("Held open by hand: now")
        expect(lines).to_have_count(22)


def test_a_new_circuit_appears_and_a_forgotten_one_goes(
    browser: Browser, address: str, breaker: CircuitBreaker, redis: Redis
) -> None:
    """Circuits come and go on the screen as they do in Redis; the worst stands first."""
    with page_on(browser, address) as page:
        expect(page.locator(".circuit")).to_have_count(1)
        CircuitBreaker(name="zebra/eu", redis=redis).force_open()
        expect(page.locator(".circuit h2")).to_have_text(["zebra/eu", "orders"])
        redis.delete("sharedbreaker:{orders}")
        expect(page.locator(".circuit h2")).to_have_text(["zebra/eu"])


def test_text_from_outside_stays_text(
    browser: Browser, address: str, breaker: CircuitBreaker, redis: Redis
) -> None:
    """Hostile reasons, names and fields in Redis are shown letter by letter, and run nothing."""
    breaker.force_open(HOSTILE, who=HOSTILE[:100])
    redis.hset("sharedbreaker:{orders}", mapping={"last_failure_type": HOSTILE, "failure_threshold": HOSTILE})
    redis.xadd(
        "sharedbreaker:{orders}:events",
        {"from": HOSTILE, "to": HOSTILE, "why": HOSTILE, "who": HOSTILE, "exception": HOSTILE, "x": HOSTILE},
    )
    redis.sadd("sharedbreaker:breakers", f"<b>{HOSTILE}")
    with page_on(browser, address) as page:
        expect(card(page).locator(".why")).to_contain_text(HOSTILE)
        card(page).locator("summary").click()
        expect(card(page).locator(".history li").first).to_contain_text(HOSTILE)
        expect(page.locator("#trouble")).to_contain_text(f"<b>{HOSTILE}")
        assert page.locator("img, main script, b").count() == 0


def test_an_operator_holds_and_releases_from_the_page(
    browser: Browser, address: str, breaker: CircuitBreaker
) -> None:
    """With the token a circuit is held open for some time and closed again, with the reason on the screen."""
    requests: list[str] = []
    with page_on(browser, address) as page:
        page.on("request", lambda request: requests.append(request.url))
        page.get_by_role("button", name="Hold open orders").click()
        page.get_by_label("Reason").fill(HOSTILE)
        page.get_by_label("For how many seconds").fill("90")
        page.get_by_label("Your name").fill("ann")
        page.get_by_label("Token").fill("not the right token")
        page.locator("#act-do").click()
        expect(page.locator("#act-error")).to_contain_text("wrong or missing")
        assert breaker.get_metrics()["state"] == "closed"
        page.get_by_label("Token").fill(TOKEN)
        page.locator("#act-do").click()
        expect(page.locator("#act")).to_be_hidden()
        expect(state(page)).to_have_text("Held open")
        expect(card(page).locator(".why")).to_have_text(f"Held open, by ann (web): {HOSTILE}")
        metrics = breaker.get_metrics()
        assert (metrics["held_by"], metrics["held_reason"]) == ("ann (web)", HOSTILE)
        assert metrics["open_until"] is not None
        page.get_by_role("button", name="Close orders").click()
        page.get_by_label("Reason").fill("over")
        page.locator("#act-do").click()  # the token is known by now
        expect(state(page)).to_have_text("Closed")
        page.get_by_role("button", name="Disable orders").click()
        page.get_by_label("Reason").fill("let all through")
        page.locator("#act-do").click()
        expect(state(page)).to_have_text("Disabled")
        page.get_by_role("button", name="Enable orders").click()
        page.get_by_label("Reason").fill("as before")
        page.locator("#act-do").click()
        expect(state(page)).to_have_text("Closed")
        assert breaker.get_metrics()["mode"] == "automatic"
        # It is nowhere but in memory.
        assert page.context.cookies() == []
        assert page.context.storage_state()["origins"] == []
    assert requests
    assert not any(TOKEN in url for url in requests)


def test_without_a_token_the_page_is_read_only(
    browser: Browser, redis_server: RedisServer, breaker: CircuitBreaker
) -> None:
    """A page that was served without a token shows no button that acts."""
    with served(redis_server.url) as address, page_on(browser, address) as page:
        expect(state(page)).to_have_text("Closed")
        expect(page.get_by_role("button")).to_have_count(0)


def test_redis_away_is_said_and_what_is_shown_is_dated(browser: Browser) -> None:
    """While Redis does not answer the page says so and keeps what it saw; afterwards it goes on by itself."""
    with RedisServer() as server:
        succeed(CircuitBreaker(name="orders", redis=server.url, redis_timeout=5))
        with served(server.url, "--timeout", "0.2") as address, page_on(browser, address) as page:
            expect(state(page)).to_have_text("Closed")
            server.freeze()
            try:
                expect(page.locator("#trouble")).to_contain_text(
                    re.compile(
                        r"Redis at \S+ cannot be asked: TimeoutError: .+\. Workers decide "
                        r".*What is shown is from \d\d:\d\d:\d\d"
                    )
                )
                expect(page.locator("#circuits")).to_have_class(re.compile("stale"))
                expect(card(page)).to_be_visible()
            finally:
                server.thaw()
            expect(page.locator("#trouble")).to_be_hidden()
            expect(page.locator("#circuits")).not_to_have_class(re.compile("stale"))


def test_why_something_cannot_be_read_is_said(
    browser: Browser, redis: Redis, redis_server: RedisServer, breaker: CircuitBreaker
) -> None:
    """A refused password, and a circuit whose key holds something else, are named with what Redis said."""
    redis.sadd("sharedbreaker:breakers", "other")
    redis.set("sharedbreaker:{other}", "somebody else's")
    with served(redis_server.url) as address, page_on(browser, address) as page:
        expect(page.locator("#trouble")).to_contain_text(re.compile(r"other \(.*WRONGTYPE"))
        expect(state(page)).to_have_text("Closed")
    wrong = f"redis://nobody:hunter2@127.0.0.1:{redis_server.port}/0"
    with served(wrong) as address, page_on(browser, address) as page:
        expect(page.locator("#trouble")).to_contain_text("look at the user and the password in the URL")
        expect(page.locator("body")).not_to_contain_text("hunter2")


def test_a_redis_without_circuits_is_no_error(
    browser: Browser, redis: Redis, redis_server: RedisServer
) -> None:
    """Before the first call the page says that there is nothing yet, and then shows the first circuit."""
    with served(redis_server.url) as address, page_on(browser, address) as page:
        expect(page.locator("#nothing")).to_be_visible()
        succeed(CircuitBreaker(name="orders", redis=redis))
        expect(state(page)).to_have_text("Closed")
        expect(page.locator("#nothing")).to_be_hidden()


def test_it_is_live_inside_an_app_too(browser: Browser, breaker: CircuitBreaker, serve: Serve) -> None:
    """Mounted under a path in Flask and in FastAPI, the page finds its assets and its data, and may act."""
    client = serve(BreakerSite([breaker], token=TOKEN))
    with page_on(browser, f"{client.address}/circuit-breakers") as page:
        expect(state(page)).to_have_text("Closed")
        page.get_by_role("button", name="Hold open orders").click()
        page.get_by_label("Reason").fill("from inside")
        page.get_by_label("Token").fill(TOKEN)
        page.locator("#act-do").click()
        expect(state(page)).to_have_text("Held open")


def test_observed_circuit_says_so_and_can_be_enforced(
    browser: Browser, address: str, breaker: CircuitBreaker
) -> None:
    """An open circuit that rejects nothing looks otherwise than one that does, and tells what it would do."""
    Operator("orders", redis=breaker.redis).observe("try it out")
    fail(breaker)
    fail(breaker)
    succeed(breaker)
    with page_on(browser, address) as page:
        expect(state(page)).to_have_text("Open, observed")
        figure = card(page).locator("dl div", has_text="Would reject, total")
        expect(figure.locator("dd")).to_have_text("1")
        Operator("orders", redis=breaker.redis).enforce("it is right")
        expect(state(page)).to_have_text("Open")


def test_lone_reporter_and_rates_are_told_in_words(browser: Browser, address: str, redis: Redis) -> None:
    """The process whose failures stand alone is named; what opened a circuit is told with its figures."""
    rate = FailureRate(0.5, 3600, 4)
    lonely = CircuitBreaker(None, name="vision", redis=redis, failure_rate=rate, minimum_reporters=2)
    failing = CircuitBreaker(None, name="payments", redis=redis, failure_rate=rate)
    for made in (lonely, failing):
        succeed(made)
        for _ in range(3):
            fail(made)
    with page_on(browser, address) as page:
        why = page.locator('[data-name="vision"] .why')
        expect(why).to_contain_text(re.compile(r"Failures in \S+:\d+ alone"))
        why = page.locator('[data-name="payments"] .why')
        expect(why).to_contain_text("3 of 4 calls failed, the last a ServiceDownError")
