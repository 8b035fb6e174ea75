"""A process of its own with one breaker, which obeys the lines on its standard input.

Run as `python topology_child.py URL SETTINGS_IN_JSON [SECONDS_THAT_ITS_CLOCK_IS_WRONG]`. Each line of input
is one of the words below and is answered by one line of JSON. The end of the input is the end of the process.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable


def set_the_clock_wrong(seconds: float) -> None:
    """Move the wall clock, before anything else is imported. Monotonic time is what it is."""
    real_time, real_time_ns = time.time, time.time_ns
    time.time = lambda: real_time() + seconds
    time.time_ns = lambda: real_time_ns() + round(seconds * 1e9)


def main(url: str, settings: str, seconds: str = "0") -> None:
    set_the_clock_wrong(float(seconds))
    from topology_lifecycle import ServiceDownError, new_breaker, service_down, work

    from sharedbreaker import CircuitBreakerError

    breaker = new_breaker(url, **json.loads(settings))
    words: dict[str, Callable[[], object]] = {
        "metrics": breaker.get_metrics,
        "clock": time.time,
        "succeed": lambda: breaker.call(work),
        "fail": lambda: breaker.call(service_down),
    }

    def obey(word: str) -> object:
        try:
            return words[word]()
        except ServiceDownError:
            return "failure"
        except CircuitBreakerError as error:
            return {"rejected": error.why, "retry_after": error.retry_after}

    for line in sys.stdin:
        print(json.dumps(obey(line.strip())), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
