"""What one Redis core carries: our scripts from many connections at once, until the core is busy."""

from __future__ import annotations

import time
from contextlib import ExitStack
from itertools import islice
from typing import Any

from benchmarks.bench import Bench
from benchmarks.floor import REPLY_BYTES, bare_socket
from benchmarks.replay import Recording
from benchmarks.section_scripts import REFRESH, recordings
from benchmarks.server_counts import totals
from benchmarks.statistic import spread

CONNECTIONS = 64
TIMES_ROUND = 40
MOST_ROUNDS = 7
ROWS = {"strict success": "a strict call", "strict rejection": "a strict rejection", "stale": REFRESH}


def measure(bench: Bench) -> dict[str, Any]:
    """Return, for each kind of call, what it costs the server and how many a second keep its core busy."""
    with ExitStack() as stack:
        found = recordings(bench, stack)
        rows: dict[str, Any] = {}
        for key, label in ROWS.items():
            if key not in found:
                continue
            recording, _ = found[key]
            cells = [saturated(bench, recording) for _ in range(min(MOST_ROUNDS, bench.effort.rounds))]
            rows[label] = {
                "scripts": len(recording.digests),
                "cpu_us": spread([cell["cpu_us"] for cell in cells]).as_dict(),
                "calls_per_second": spread([cell["calls_per_second"] for cell in cells]).as_dict(),
                "server_busy": spread([cell["server_busy"] for cell in cells]).as_dict(),
            }
        return rows


def saturated(bench: Bench, recording: Recording) -> dict[str, float]:
    """Let so many connections each have one script under way all the time."""
    sockets = [bare_socket(bench.server.url) for _ in range(CONNECTIONS)]
    try:
        calls = list(islice(recording.repetitions(), CONNECTIONS * TIMES_ROUND))
        rounds = [calls[start : start + CONNECTIONS] for start in range(0, len(calls), CONNECTIONS)]
        before = totals(bench.redis)
        start = time.perf_counter()
        for batch in rounds:
            for step in range(len(batch[0])):
                for sock, commands in zip(sockets, batch, strict=True):
                    sock.sendall(commands[step])
                for sock in sockets:
                    if sock.recv(REPLY_BYTES)[:1] == b"-":
                        raise RuntimeError("a script that was sent again ended in an error")
        seconds = time.perf_counter() - start
        cpu_seconds = totals(bench.redis).cpu_seconds - before.cpu_seconds
    finally:
        for sock in sockets:
            sock.close()
    return {
        "cpu_us": cpu_seconds / len(calls) * 1e6,
        "calls_per_second": len(calls) / seconds,
        "server_busy": cpu_seconds / seconds,
    }
