"""A pod: a process of its own with one breaker, which obeys the lines on its standard input.

Run as `python case_pod.py KIND URL SETTINGS_IN_JSON SECONDS_THAT_ITS_CLOCKS_ARE_WRONG`. Each line of input is
one of the words below and is answered by one line of JSON. The end of the input is the end of the process.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable


def set_the_clocks_wrong(seconds: float) -> None:
    """Move the wall clock and the monotonic one, before anything else is imported."""
    clocks = {name: getattr(time, name) for name in ("time", "monotonic")}
    clocks_ns = {name: getattr(time, name) for name in ("time_ns", "monotonic_ns")}
    for name, clock in clocks.items():
        setattr(time, name, lambda clock=clock: clock() + seconds)
    for name, clock in clocks_ns.items():
        setattr(time, name, lambda clock=clock: clock() + round(seconds * 1e9))


def main(kind: str, url: str, settings: str, seconds: str) -> None:
    set_the_clocks_wrong(float(seconds))
    import breaker_kinds
    from circuit_in_redis import ServiceDownError, new_breaker, service_down, work
    from sharedbreaker import CircuitBreakerError, FailureRate

    breaker_kinds.begin(kind)
    made = json.loads(settings)
    if "failure_rate" in made:
        made["failure_rate"] = FailureRate(**made["failure_rate"])
    breaker = new_breaker(url, **made)
    words: dict[str, Callable[[], object]] = {
        "exist": lambda: "here",
        "construct others": lambda: [
            repr(new_breaker(url, name=breaker.name, failure_threshold=number, timeout=number))
            for number in range(1, 11)
        ],
        "succeed": lambda: breaker.call(work),
        "fresh succeed": lambda: new_breaker(url, **made).call(work),
        "fail": lambda: breaker.call(service_down),
        "metrics": breaker.get_metrics,
        "clock": time.time,
        "enter": lambda: breaker.admit().token,
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
    breaker_kinds.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
