"""The page in a real Chromium, on `sharedbreaker serve` and inside apps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from redis import Redis
from served_page import page_on, served
from web_fixtures import Serve
from web_fixtures import browser as browser
from web_fixtures import serve as serve
from web_servers import TOKEN

from guarded_calls import fail, succeed
from sharedbreaker import CircuitBreaker
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations.web import BreakerSite

TEXTS_AND_COLOURS = """() => {
  const clear = "rgba(0, 0, 0, 0)";
  const says = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const ground = (element) => getComputedStyle(element).backgroundColor;
  return [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility() && says(e)).map((e) => {
    let behind = e;
    while (ground(behind) === clear) behind = behind.parentElement;
    return [e.textContent, getComputedStyle(e).color, ground(behind)];
  });
}"""
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\"'&amp;${7*7}"


@pytest.fixture
def breaker(redis: Redis) -> CircuitBreaker:
    made = CircuitBreaker(name="orders", redis=redis, failure_threshold=2, success_threshold=2)
    succeed(made)
    return made


@pytest.fixture
def address(redis_server: RedisServer, breaker: CircuitBreaker) -> Iterator[str]:
    with served(redis_server.url, token=TOKEN) as where:
        yield where


def card(page: Page, name: str = "orders") -> Locator:
    return page.locator(f'[data-name="{name}"]')


def state(page: Page, name: str = "orders") -> Locator:
    return card(page, name).locator(".state")


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


def test_everything_can_be_done_by_keyboard(browser: Browser, address: str, breaker: CircuitBreaker) -> None:
    """Tab goes through the page as it is read; an act is done, or left by Escape, with keys alone."""
    with page_on(browser, address) as page:
        expect(state(page)).to_have_text("Closed")
        focus = page.locator(":focus")
        page.keyboard.press("Tab")
        expect(focus).to_have_text("Skip to the circuits")
        expect(focus).to_be_in_viewport()
        page.keyboard.press("Tab")
        expect(focus).to_have_text(re.compile(r"History \(1\)"))
        page.keyboard.press("Enter")
        expect(card(page).locator(".history li")).to_have_count(1)
        page.keyboard.press("Tab")
        expect(focus).to_have_attribute("aria-label", "History of orders")
        page.keyboard.press("Tab")
        expect(focus).to_have_text("Hold open…")
        page.keyboard.press("Enter")
        expect(focus).to_have_id("act-reason")
        page.keyboard.press("Escape")
        expect(page.locator("#act")).to_be_hidden()
        expect(focus).to_have_text("Hold open…")
        page.keyboard.press("Enter")
        page.keyboard.type("by keyboard")
        for _ in range(3):
            page.keyboard.press("Tab")
        expect(focus).to_have_id("act-token")
        page.keyboard.type(TOKEN)
        page.keyboard.press("Enter")
        expect(state(page)).to_have_text("Held open")
        expect(focus).to_have_text("Close…")
        assert focus.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"


@pytest.mark.parametrize("dark", [False, True])
def test_every_text_can_be_read_in_light_and_dark(
    browser: Browser, address: str, redis: Redis, breaker: CircuitBreaker, dark: bool
) -> None:
    """Every text has a contrast of at least 4.5 to 1 to what is behind it, in every state."""
    fail(breaker)
    CircuitBreaker(name="b-open", redis=redis).force_open("maintenance")
    CircuitBreaker(name="c-disabled", redis=redis).disable()
    half_open = CircuitBreaker(name="d-half", redis=redis)
    half_open.force_open(seconds=60)
    redis.hset("sharedbreaker:{d-half}", "open_until", "1")
    half_open.admit()
    with page_on(browser, address, dark=dark) as page:
        expect(page.locator(".circuit")).to_have_count(4)
        for summary in page.locator("summary").all():
            summary.click()
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (luminance(ground) < 0.2) == dark
        found = cast(
            "list[tuple[str, str, str]]",
            page.evaluate(TEXTS_AND_COLOURS),
        )
        assert len(found) > 60
        faint = [(text, ink, behind) for text, ink, behind in found if contrast(ink, behind) < 4.5]
        assert not faint


def test_it_fits_a_phone(browser: Browser, address: str, breaker: CircuitBreaker) -> None:
    """On a narrow screen nothing is cut off sideways, and buttons are large enough for a finger."""
    breaker.force_open("x" * 300)
    with page_on(browser, address, width=320, height=640) as page:
        expect(state(page)).to_have_text("Held open")
        card(page).locator("summary").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        for button in page.get_by_role("button").all():
            box = button.bounding_box()
            assert box is not None
            assert box["height"] >= 36
        page.get_by_role("button", name="Close orders").click()
        box = page.locator("#act").bounding_box()
        assert box is not None
        assert box["width"] <= 320


def test_what_a_screen_reader_is_told(browser: Browser, address: str, breaker: CircuitBreaker) -> None:
    """Each circuit is an article with its name, and what counts down is not announced."""
    with page_on(browser, address) as page:
        expect(state(page)).to_have_text("Closed")
        expect(page.get_by_role("article", name="orders")).to_have_count(1)
        expect(page.get_by_role("main", name="Circuits")).to_have_count(1)
        expect(page.get_by_role("heading", level=1)).to_have_text("Circuit breakers")
        expect(page.get_by_role("img", name=re.compile("The last 5 min"))).to_have_count(1)
        assert page.locator("[aria-live] .until, [role=status] .until").count() == 0
        assert page.locator("html").get_attribute("lang") == "en"


def test_redis_away_is_said_and_what_is_shown_is_dated(browser: Browser) -> None:
    """While Redis does not answer the page says so and keeps what it saw; afterwards it goes on by itself."""
    with RedisServer() as server:
        succeed(CircuitBreaker(name="orders", redis=server.url))
        with served(server.url, "--timeout", "0.2") as address, page_on(browser, address) as page:
            expect(state(page)).to_have_text("Closed")
            server.freeze()
            try:
                expect(page.locator("#trouble")).to_contain_text(
                    re.compile(r"Redis at \S+ does not answer.*What is shown is from \d\d:\d\d:\d\d")
                )
                expect(page.locator("#circuits")).to_have_class(re.compile("stale"))
                expect(card(page)).to_be_visible()
            finally:
                server.thaw()
            expect(page.locator("#trouble")).to_be_hidden()
            expect(page.locator("#circuits")).not_to_have_class(re.compile("stale"))


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


def luminance(colour: str) -> float:
    parts = [float(part) / 255 for part in re.findall(r"[\d.]+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)
