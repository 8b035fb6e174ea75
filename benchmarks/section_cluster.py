"""A thousand breakers over a Redis Cluster of three masters: each breaker is one slot."""

from __future__ import annotations

import sys
import time
from typing import Any

from benchmarks.bench import Bench
from benchmarks.environments import ROOT
from benchmarks.scenario import work
from benchmarks.server_counts import totals
from sharedbreaker import CircuitBreaker

SOME_BREAKERS = 200
ALL_BREAKERS = 1000
CALLS_EACH = 2


def measure(bench: Bench) -> dict[str, Any]:
    """Return how breakers, their keys and their scripts spread over the masters."""
    sys.path += [str(ROOT / "tests"), str(ROOT / "tests" / "topologies")]
    from topology_cluster import running_cluster  # noqa: PLC0415 - a helper of the tests

    number = ALL_BREAKERS if bench.effort.rounds > 20 else SOME_BREAKERS
    with running_cluster() as cluster:
        client = cluster.client()
        names = [f"breaker-{count}" for count in range(number)]
        breakers = [CircuitBreaker(name=name, redis=client) for name in names]
        for breaker in breakers:
            breaker.call(work)
        before = [totals(node) for node in cluster.nodes]
        start = time.perf_counter()
        for _ in range(CALLS_EACH):
            for breaker in breakers:
                breaker.call(work)
        seconds = time.perf_counter() - start
        after = [totals(node) for node in cluster.nodes]
        owners = [cluster.owner_of(f"sharedbreaker:{{{name}}}") for name in names]
        slots = {cluster.slot_of(f"sharedbreaker:{{{name}}}") for name in names}
        rows = [
            {
                "breakers": owners.count(master),
                "keys": int(node.dbsize()),
                "scripts": after[master].scripts - before[master].scripts,
            }
            for master, node in enumerate(cluster.nodes)
        ]
        client.close()
    return {
        "breakers": number,
        "slots": len(slots),
        "masters": rows,
        "calls": CALLS_EACH * number,
        "us_per_call": seconds / CALLS_EACH / number * 1e6,
    }
