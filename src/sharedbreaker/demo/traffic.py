"""The clients of the demo's app, who count for themselves what they see."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

import requests

from sharedbreaker.demo.endpoints import WORKER_HEADER
from sharedbreaker.demo.guarded_apis import GuardedApi

ANSWER_SECONDS = 30.0
"""How long a client waits for an answer."""


class Seen(str, Enum):
    """How a call ended, in a client's eyes."""

    SUCCESS = "success"
    FAILURE = "failure"
    REJECTED = "rejected"
    IGNORED = "ignored"
    LOST = "lost"
    """No answer came, or one that does not say how the call ended."""


STATUSES = {200: Seen.SUCCESS, 400: Seen.IGNORED, 502: Seen.FAILURE, 503: Seen.REJECTED}


@dataclass(frozen=True)
class ClientCounts:
    """What the clients of one service have counted."""

    started: int = 0
    ended: dict[Seen, int] = field(default_factory=dict)
    workers: dict[Seen, frozenset[str]] = field(default_factory=dict)
    """The process ids of the workers that answered so."""

    def count(self, seen: Seen) -> int:
        """Return how many calls ended so."""
        return self.ended.get(seen, 0)

    def workers_that(self, seen: Seen) -> frozenset[str]:
        """Return the process ids of the workers that have answered so."""
        return self.workers.get(seen, frozenset())

    @property
    def in_flight(self) -> int:
        """Calls that have not ended."""
        return self.started - sum(self.ended.values())


class Traffic:
    """Clients that call the app at ``url``, each in a thread of its own, until they are told to stop."""

    def __init__(self, url: str, apis: Iterable[GuardedApi]) -> None:
        self._url = url
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._started: Counter[str] = Counter()
        self._ended: Counter[tuple[str, Seen, str]] = Counter()
        self._threads = [
            threading.Thread(
                target=self._be_a_client,
                args=(api, api.pause * number / api.clients),
                name=f"client-{api.key}-{number}",
                daemon=True,
            )
            for api in apis
            for number in range(api.clients)
        ]

    def start(self) -> None:
        """Begin to call."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin no more calls. Those in flight go on."""
        self._stopping.set()

    @property
    def is_flowing(self) -> bool:
        """Whether a client is at work, if only in the middle of its last call."""
        return any(thread.is_alive() for thread in self._threads)

    def end(self, seconds: float) -> None:
        """Begin no more calls, and wait ``seconds`` at most for those in flight."""
        self.stop()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))

    def counts(self, api: GuardedApi) -> ClientCounts:
        """Return what the clients of ``api`` have counted so far."""
        with self._lock:
            started = self._started[api.key]
            endings = [
                (seen, worker, count) for (key, seen, worker), count in self._ended.items() if key == api.key
            ]
        ended: Counter[Seen] = Counter()
        workers: dict[Seen, frozenset[str]] = {}
        for seen, worker, count in endings:
            ended[seen] += count
            workers[seen] = workers.get(seen, frozenset()) | ({worker} if worker else set())
        return ClientCounts(started, dict(ended), workers)

    def _be_a_client(self, api: GuardedApi, first_pause: float) -> None:
        pauses = itertools.chain([first_pause], itertools.repeat(api.pause))
        with requests.Session() as session:
            session.trust_env = False
            # A new connection for each call, so that any worker may get it.
            session.headers["Connection"] = "close"
            for pause, path in zip(pauses, itertools.cycle(api.paths), strict=False):
                if self._stopping.wait(pause):
                    return
                with self._lock:
                    self._started[api.key] += 1
                seen, worker = _ask(session, f"{self._url}{path}")
                with self._lock:
                    self._ended[api.key, seen, worker] += 1


def _ask(session: requests.Session, url: str) -> tuple[Seen, str]:
    try:
        response = session.get(url, timeout=ANSWER_SECONDS)
    except requests.RequestException:
        return Seen.LOST, ""
    return seen_in(response), response.headers.get(WORKER_HEADER, "")


def seen_in(response: requests.Response) -> Seen:
    """Return how a call ended by its answer: the status and the outcome in the body must say the same."""
    seen = STATUSES.get(response.status_code, Seen.LOST)
    if seen is Seen.SUCCESS:
        return seen
    try:
        document = response.json()
    except ValueError:
        return Seen.LOST
    return seen if isinstance(document, dict) and document.get("outcome") == seen.value else Seen.LOST
