"""The page for everybody: by keyboard, with a screen reader, in light and dark, on a phone."""

from __future__ import annotations

import re
from typing import cast

import pytest
from playwright.sync_api import Browser, expect
from redis import Redis
from served_page import card, page_on, state
from web_fixtures import address as address
from web_fixtures import breaker as breaker
from web_fixtures import browser as browser
from web_servers import TOKEN

from guarded_calls import fail
from sharedbreaker import CircuitBreaker

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


def test_everything_can_be_done_by_keyboard(browser: Browser, address: str, breaker: CircuitBreaker) -> None:
    """Tab goes through the page as it is read; an act is done, or left by Escape, with keys alone."""
    with page_on(browser, address) as page:
        expect(state(page)).to_have_text("Closed")
        focus = page.locator(":focus")
        page.keyboard.press("Tab")
        expect(focus).to_have_text("Skip to the circuits")
        expect(focus).to_be_in_viewport()
        page.keyboard.press("Tab")
        expect(focus).to_have_text("History")
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
        expect(page.locator(".circuit:has(.history li)")).to_have_count(4)
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


def luminance(colour: str) -> float:
    parts = [float(part) / 255 for part in re.findall(r"[\d.]+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)
