"""What looking costs: `get_metrics()` beside a bare HGETALL, and all three beside a pipeline of three."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import repeat
from typing import Any

from redis import Redis

import sharedbreaker
from benchmarks.bench import Bench
from benchmarks.scenario import work
from benchmarks.server_counts import totals
from benchmarks.statistic import ratios, spread
from sharedbreaker import CircuitBreaker

CALLS = 40
NAME = "metrics"
NAMES = ("google_ai_text_generation", "google_ai_vision", "google_ai_imagen")


def measure(bench: Bench) -> dict[str, Any]:
    """Return seconds, ratios, round trips and the size as JSON."""
    url = bench.server.url
    breaker = CircuitBreaker(name=NAME, redis=url)
    breaker.call(work)
    sharedbreaker.initialize_circuit_breakers({"redis": {"url": url}})
    for each in sharedbreaker.get_all_breakers().values():
        assert each is not None
        each.call(work)
    client = Redis.from_url(url, decode_responses=True)

    def three_hashes() -> object:
        pipeline = client.pipeline(transaction=False)
        for name in NAMES:
            pipeline.hgetall(_key(name))
        return pipeline.execute()

    looks: dict[str, Callable[[], object]] = {
        "get_metrics": breaker.get_metrics,
        "hgetall": lambda: client.hgetall(_key(NAME)),
        "get_all_metrics": sharedbreaker.get_all_metrics,
        "three_hgetall": three_hashes,
    }
    taken: dict[str, list[float]] = {name: [] for name in looks}
    for _ in range(bench.effort.rounds):
        for name, look in looks.items():
            taken[name].append(_seconds(look))
    return {
        "one": _row(taken["get_metrics"], taken["hgetall"], _round_trips(bench, breaker.get_metrics)),
        "all": _row(
            taken["get_all_metrics"],
            taken["three_hgetall"],
            _round_trips(bench, sharedbreaker.get_all_metrics),
        ),
        "json_bytes": len(json.dumps(sharedbreaker.get_all_metrics())),
        "fields": len(client.hgetall(_key(NAME))),
    }


def _key(name: str) -> str:
    return f"sharedbreaker:{{{name}}}"


def _seconds(look: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in repeat(None, CALLS):
        look()
    return (time.perf_counter() - start) / CALLS


def _row(ours: list[float], bare: list[float], round_trips: float) -> dict[str, Any]:
    return {
        "seconds": spread(ours).as_dict(),
        "bare_seconds": spread(bare).as_dict(),
        "ratio": ratios(ours, bare).as_dict(),
        "round_trips": round_trips,
    }


def _round_trips(bench: Bench, look: Callable[[], object]) -> float:
    before = totals(bench.redis).reads
    nothing = totals(bench.redis).reads
    for _ in repeat(None, CALLS):
        look()
    return ((totals(bench.redis).reads - nothing) - (nothing - before)) / CALLS
