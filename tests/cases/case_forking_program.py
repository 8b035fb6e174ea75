"""A warm process forks; parent and children call at once. Run with a URL, a staleness and a number.

Each child has a circuit of its own, every other one of which is open. What each saw is told as JSON.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback

from sharedbreaker import CircuitBreaker, CircuitBreakerError, Outcome

CALLS = 100


def breaker_named(url: str, staleness: float, name: str) -> CircuitBreaker:
    return CircuitBreaker(
        name=name, redis=url, redis_timeout=20, max_staleness=staleness, failure_threshold=10**6
    )


def live(common: CircuitBreaker, own: CircuitBreaker, *, is_open: bool) -> dict[str, object]:
    """Make all calls, and check every answer."""
    wrong = 0
    for _ in range(CALLS):
        common.call(int)
        try:
            own.call(int)
            wrong += is_open
        except CircuitBreakerError as error:
            wrong += not is_open or error.name != own.name
    probe = common.admit()
    common.report(probe, Outcome.SUCCESS)
    return {"wrong": wrong, "tokens": [probe.token], "own": own.get_metrics()["name"]}


def main(url: str, staleness: str, children: str) -> None:
    stale = float(staleness)
    common = breaker_named(url, stale, "common")
    own = [breaker_named(url, stale, f"own-{number}") for number in range(int(children) + 1)]
    common.call(int)
    for number, breaker in enumerate(own):
        breaker.call(int)
        if number % 2:
            breaker.force_open("before the fork")
    pipes = []
    for number in range(1, len(own)):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                told: object = live(common, own[number], is_open=bool(number % 2))
            except BaseException:
                told = {"wrong": traceback.format_exc(), "tokens": [], "own": ""}
            os.write(writing, json.dumps(told).encode())
            for breaker in (common, own[number]):
                breaker._store.settle_at_exit()
            os._exit(0)
        os.close(writing)
        pipes.append((child, reading))
    stories: list[object] = [live(common, own[0], is_open=False)]
    for child, reading in pipes:
        with os.fdopen(reading) as pipe:
            stories.append(json.loads(pipe.read()))
        os.waitpid(child, 0)
    print(json.dumps(stories))


if __name__ == "__main__":
    logging.getLogger("sharedbreaker").setLevel(logging.ERROR)  # openings by hand are warnings
    main(*sys.argv[1:])
