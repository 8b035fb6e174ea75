"""Takes the pictures of docs/web.md: `make screenshots`. A fleet in trouble, in a Redis of its own."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from playwright.sync_api import expect
from redis import Redis
from served_page import chromium, page_on, served
from web_servers import TOKEN

from sharedbreaker import CircuitBreaker, CircuitBreakerError
from sharedbreaker.demo.redis_server import RedisServer

IMAGES = Path(__file__).parents[3] / "docs" / "images"
MINUTE_MS = 60_000


class ServiceUnavailable(Exception):  # noqa: N818 - named as Google's own
    pass


def _raise() -> None:
    raise ServiceUnavailable


def _call(breaker: CircuitBreaker, succeeded: int, failed: int = 0, rejected: int = 0) -> None:
    for _ in range(succeeded):
        breaker.call(lambda: None)
    for _ in range(failed + rejected):
        with suppress(ServiceUnavailable, CircuitBreakerError):
            breaker.call(_raise)


def shift(redis: Redis, name: str, minutes: float) -> None:
    """Put everything that a circuit has lived through so far ``minutes`` into the past."""
    key = f"sharedbreaker:{{{name}}}"
    back = int(minutes * MINUTE_MS)
    events = cast("list[tuple[str, dict[Any, Any]]]", redis.xrange(f"{key}:events"))
    redis.delete(f"{key}:events")
    for place, (event_id, fields) in enumerate(events):
        moment = int(event_id.partition("-")[0]) - back
        redis.xadd(f"{key}:events", fields, id=f"{moment}-{place}")
    for field in ("started_at", "last_state_change", "opened_at", "last_failure_time", "held_at"):
        value = redis.hget(key, field)
        if value:
            redis.hset(key, field, int(value) - back)


def a_fleet_in_trouble(redis: Redis) -> None:
    text = CircuitBreaker(name="google_ai_text_generation", redis=redis)
    _call(text, 812, 2)
    _call(text, 31)
    shift(redis, text.name, 31)
    _call(text, 0, 5, rejected=44)
    shift(redis, text.name, 1)
    redis.hset("sharedbreaker:{google_ai_text_generation}", "open_until", 1)
    _call(text, 1)
    shift(redis, text.name, 0.2)
    _call(text, 240)
    shift(redis, text.name, 9)

    vision = CircuitBreaker(name="google_ai_vision", redis=redis, failure_threshold=3, timeout=60)
    _call(vision, 431)
    shift(redis, vision.name, 22)
    _call(vision, 61, 3, rejected=37)
    shift(redis, vision.name, 0.4)
    redis.hset("sharedbreaker:{google_ai_vision}", "open_until", _now(redis) + 36_400)

    imagen = CircuitBreaker(name="google_ai_imagen", redis=redis, failure_threshold=3, timeout=120)
    _call(imagen, 96)
    shift(redis, imagen.name, 22)
    _call(imagen, 0, 3, rejected=12)
    shift(redis, imagen.name, 2.1)
    redis.hset("sharedbreaker:{google_ai_imagen}", "open_until", _now(redis) - 10)
    imagen.admit()

    payments = CircuitBreaker(name="payments/eu", redis=redis)
    _call(payments, 77)
    shift(redis, payments.name, 240)
    payments.force_open("provider maintenance, ticket OPS-2114", 2400, who="ann (web)")
    shift(redis, payments.name, 7)


def _now(redis: Redis) -> int:
    seconds, microseconds = redis.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with RedisServer() as server, server.client(decode_responses=True) as redis, chromium() as browser:
        a_fleet_in_trouble(redis)
        url = f"redis://127.0.0.1:{server.port}"
        with served(url, token=TOKEN) as address:
            for name, width, height, dark in (
                ("web-light", 1100, 900, False),
                ("web-dark", 1100, 900, True),
                ("web-phone", 390, 844, True),
            ):
                is_phone = name == "web-phone"
                scale = 1.5 if is_phone else 1
                with page_on(browser, address, width=width, height=height, dark=dark, scale=scale) as page:
                    page.locator(".circuit").nth(3).wait_for()
                    _call(CircuitBreaker(name="google_ai_text_generation", redis=redis), 9)
                    text = page.locator("[data-name=google_ai_text_generation]")
                    expect(text.locator("dd").first).to_have_text("100 %")
                    if not is_phone:
                        text.locator("summary").click()
                        expect(text.locator(".history li")).to_have_count(4)
                    page.screenshot(path=IMAGES / f"{name}.png", full_page=not is_phone)
                    if name == "web-light":
                        page.get_by_role("button", name="Disable google_ai_vision").click()
                        page.locator("#act-reason").fill("Google says it is over: let them through")
                        page.locator("#act-who").fill("ann")
                        page.screenshot(path=IMAGES / "web-act.png")
    sys.stdout.write(f"wrote {', '.join(sorted(path.name for path in IMAGES.glob('web-*.png')))}\n")


if __name__ == "__main__":
    main()
