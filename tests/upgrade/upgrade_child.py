"""A worker of this release or of an earlier one, which obeys the lines on its standard input.

Run as `python upgrade_child.py WHERE_THE_PACKAGE_IS URL SETTINGS_IN_JSON`. Each line of input is one of the
words below, or so many calls, and is answered by one line of JSON. The end of the input is the end of the
process.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable


class ServiceDownError(Exception):
    """What the guarded service raises when it fails."""


def down() -> None:
    raise ServiceDownError


def main(package: str, url: str, settings: str) -> None:
    sys.path.insert(0, package)
    from sharedbreaker import CircuitBreaker, CircuitBreakerError
    from sharedbreaker.store import scripts

    made = json.loads(settings)
    if "failure_rate" in made:
        from sharedbreaker import FailureRate

        made["failure_rate"] = FailureRate(**made["failure_rate"])
    breaker = CircuitBreaker(name="orders", redis=url, redis_timeout=20, **made)
    words: dict[str, Callable[[], object]] = {
        "where": lambda: scripts.__file__,
        "metrics": breaker.get_metrics,
        "succeed": lambda: breaker.call(lambda: "done"),
        "fail": lambda: breaker.call(down),
        "hold open": lambda: breaker.force_open("by hand"),
        "let go": breaker.force_close,
    }

    def obey(word: str) -> object:
        if word.isdigit():
            return [obey("fail" if number % 5 == 0 else "succeed") for number in range(int(word))].count(
                "done"
            )
        try:
            return words[word]()
        except ServiceDownError:
            return "failure"
        except CircuitBreakerError as error:
            return error.why

    for line in sys.stdin:
        print(json.dumps(obey(line.strip())), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
