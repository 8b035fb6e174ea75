"""A process of a fleet: it does what each line on its standard input says, and answers with one of JSON.

Run as `python case_caller.py URL KIND SETTINGS_IN_JSON`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker, CircuitBreakerError, TransitionNotice

notices: list[str] = []


async def answers_well() -> str:
    return "success"


async def is_down() -> str:
    raise TimeoutError("down")


def driven(breaker: CircuitBreaker | AsyncCircuitBreaker, loop: asyncio.AbstractEventLoop, word: str) -> Any:
    """Do one thing to the breaker; an act is any of its methods."""
    work = {"succeed": answers_well, "fail": is_down}.get(word)
    if work is None:
        done = getattr(breaker, word)()
        return loop.run_until_complete(done) if asyncio.iscoroutine(done) else done
    if isinstance(breaker, AsyncCircuitBreaker):
        return loop.run_until_complete(breaker.call(work))
    return breaker.call(lambda: loop.run_until_complete(work()))


def ended(breaker: CircuitBreaker | AsyncCircuitBreaker, loop: asyncio.AbstractEventLoop, word: str) -> Any:
    try:
        return driven(breaker, loop, word)
    except CircuitBreakerError as error:
        return f"rejected: {error.why}"
    except TimeoutError:
        return "failure"


def main(url: str, kind: str, settings: str) -> None:
    kinds: dict[str, type[CircuitBreaker | AsyncCircuitBreaker]]
    kinds = {"sync": CircuitBreaker, "async": AsyncCircuitBreaker}
    breaker = kinds[kind](redis=url, **{"name": "orders", "redis_timeout": 20, **json.loads(settings)})

    def hear(notice: TransitionNotice) -> None:
        notices.append(f"{notice.before.value}_to_{notice.after.value}")

    breaker.on_transition(hear)
    loop = asyncio.new_event_loop()
    for line in sys.stdin:
        answer = ended(breaker, loop, line.strip())
        print(json.dumps({"answer": answer, "notices": notices}), flush=True)
        notices.clear()


if __name__ == "__main__":
    main(*sys.argv[1:])
