"""Greenlets in a process that is patched first of all. Run with a URL, a staleness and the server's pid.

Tells as JSON what its greenlets saw.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import json  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
import random  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from collections import Counter  # noqa: E402

import gevent  # noqa: E402

from sharedbreaker import CircuitBreaker, CircuitBreakerError  # noqa: E402

GREENLETS = 200
KILLED = 40
BEATS = 5


def main(url: str, staleness: str, server: str) -> dict[str, object]:
    settings = {"redis": url, "redis_timeout": 20, "max_staleness": float(staleness)}
    breakers = [CircuitBreaker(name=f"circuit-{number}", **settings) for number in range(5)]  # type: ignore[arg-type]
    for breaker in breakers[3:]:
        breaker.force_open("before the greenlets")
    luck = random.Random(55)
    ends: Counter[str] = Counter()
    strangers = []

    def caller(number: int) -> None:
        breaker = breakers[number % 5]
        for _ in range(3):
            try:
                breaker.call(gevent.sleep, luck.uniform(0, 0.01))
                ends[breaker.name] += 1
            except CircuitBreakerError as error:  # noqa: PERF203 - what each call comes to
                ends[f"rejected by {breaker.name}"] += 1
                strangers.extend([error.name] if error.name != breaker.name else [])

    gevent.joinall([gevent.spawn(caller, number) for number in range(GREENLETS)], raise_error=True)

    # A call that lasts until its greenlet is killed.
    victims = [gevent.spawn(breakers[0].call, gevent.sleep, 600) for _ in range(KILLED)]
    gevent.sleep(0.05)
    gevent.killall(victims)

    # Redis answers only when the hub has gone on while a greenlet waited for it.
    os.kill(int(server), signal.SIGSTOP)
    waiting = gevent.spawn(breakers[1].get_metrics)
    for _ in range(BEATS):
        gevent.sleep(0.005)
    waited = not waiting.ready()
    os.kill(int(server), signal.SIGCONT)
    is_shared = waiting.get(timeout=20)["redis_available"]
    return {"ends": ends, "strangers": strangers, "waited": waited, "is_shared": is_shared}


if __name__ == "__main__":
    logging.getLogger("sharedbreaker").setLevel(logging.ERROR)  # openings by hand are warnings
    print(json.dumps(main(*sys.argv[1:])))
