"""The story: traffic, an outage of vision, its recovery, and the end of the traffic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from sharedbreaker.circuit.errors import StoreError
from sharedbreaker.circuit.state import CircuitState
from sharedbreaker.demo.circuits import Circuits, Event
from sharedbreaker.demo.google_ai_server import GoogleAiServer
from sharedbreaker.demo.guarded_apis import GUARDED_APIS, VISION, GuardedApi
from sharedbreaker.demo.interruption import Interruption
from sharedbreaker.demo.screen import STYLES, Row, Screen
from sharedbreaker.demo.traffic import ANSWER_SECONDS, Seen, Traffic

LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 15.0
"""How long the story waits for a turn that does not come. The verdict then says which."""

SETTLE_SECONDS = 5.0


@dataclass(frozen=True)
class Timetable:
    """When things happen, from how long the traffic flows. All in seconds."""

    seconds: float

    @property
    def healthy(self) -> float:
        """How long all is well at first."""
        return self.seconds / 3

    @property
    def open_timeout(self) -> float:
        """How long a circuit that opens stays open; Imagen's twice as long."""
        return round(min(5.0, self.seconds / 5), 3)

    @property
    def shortest_outage(self) -> float:
        """How long vision stays broken at least, once its circuit is open."""
        return 0.3 * self.open_timeout

    @property
    def longest_outage(self) -> float:
        """How long at most: well before the first probe, which is to find it healthy."""
        return 0.6 * self.open_timeout


class Story:
    """What happens, in its order, told while it happens. ``play`` it once."""

    def __init__(
        self,
        *,
        timetable: Timetable,
        google_ai: GoogleAiServer,
        circuits: Circuits,
        traffic: Traffic,
        workers: list[str],
        screen: Screen,
        interruption: Interruption,
    ) -> None:
        self._timetable = timetable
        self._google_ai = google_ai
        self._circuits = circuits
        self._traffic = traffic
        self._workers = workers
        self._screen = screen
        self._interruption = interruption
        self._told: Counter[str] = Counter()

    def play(self) -> None:
        """Let it happen; return when the traffic has ended. Raises Interrupted where the demo is to end."""
        with self._screen.live_table():
            self._screen.begin_story()
            self._begin_traffic()
            self._wait(self._timetable.healthy)
            self._break_vision()
            self._wait_until(self._vision_is(CircuitState.OPEN), PATIENCE_SECONDS)
            self._show_rejections()
            self._heal_vision()
            self._wait_until(
                self._vision_is(CircuitState.CLOSED), self._timetable.open_timeout + PATIENCE_SECONDS
            )
            self._wait(max(self._timetable.seconds - self._screen.seconds, self._timetable.seconds / 6))
            self._end_traffic()

    def _begin_traffic(self) -> None:
        clients = ", ".join(f"{api.clients} for {api.title}" for api in GUARDED_APIS)
        self._screen.tell(f"Traffic begins. Clients: {clients}.")
        self._traffic.start()

    def _break_vision(self) -> None:
        self._google_ai.behave(VISION.upstream, VISION.failing)
        self._screen.tell(f"Vision breaks: its upstream answers {VISION.failing.status} from now on.")

    def _show_rejections(self) -> None:
        opened_at = self._screen.seconds
        self._wait(self._timetable.shortest_outage)
        self._wait_until(
            lambda: self._workers_that(Seen.REJECTED) >= set(self._workers),
            opened_at + self._timetable.longest_outage - self._screen.seconds,
        )
        failing, rejecting = self._workers_that(Seen.FAILURE), self._workers_that(Seen.REJECTED)
        self._screen.tell(f"Clients saw vision fail through {_workers(failing)}.")
        self._screen.tell(
            f"Now {len(rejecting)} of {len(self._workers)} workers reject vision without asking it: "
            f"{_workers(rejecting)}."
        )
        others = [
            f"{api.title} {self._traffic.counts(api).count(Seen.SUCCESS)} succeeded, "
            f"{_not_succeeded(self._traffic, api)} did not"
            for api in GUARDED_APIS
            if api is not VISION
        ]
        self._screen.tell(f"The other services so far: {'; '.join(others)}.")

    def _heal_vision(self) -> None:
        self._google_ai.behave(VISION.upstream, VISION.healthy)
        open_until = self._circuits.snapshot(VISION).seconds("open_until")
        opened = [event for event in self._circuits.events(VISION) if event.after == CircuitState.OPEN]
        still = ""
        if open_until is not None and opened:
            still = f" Its circuit stays open until {open_until - opened[-1].at:.1f} s after it opened."
        self._screen.tell(f"Vision's upstream is healthy again.{still}")

    def _end_traffic(self) -> None:
        self._screen.tell("Traffic ends; calls in flight are waited for.")
        self._traffic.stop()
        self._wait_until(lambda: not self._traffic.is_flowing, ANSWER_SECONDS)
        self._wait_until(
            lambda: not any(row.circuit.calls_in_flight or row.upstream.in_flight for row in self._look()),
            SETTLE_SECONDS,
        )

    def _vision_is(self, state: CircuitState) -> Callable[[], bool]:
        return lambda: self._circuits.snapshot(VISION).state is state

    def _workers_that(self, seen: Seen) -> frozenset[str]:
        return self._traffic.counts(VISION).workers_that(seen)

    def _wait(self, seconds: float) -> None:
        self._wait_until(lambda: False, seconds)

    def _wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait for ``condition``, for ``seconds`` at most, while telling what happens."""
        end = self._screen.seconds + seconds
        while True:
            try:
                self._screen.update(self._look())
                self._tell_transitions()
                came = condition()
            except StoreError:
                # A look that Redis was too busy for is made up for by the next one.
                came = False
            left = end - self._screen.seconds
            if came or left <= 0:
                return
            self._interruption.wait(min(LOOK_SECONDS, left))

    def _look(self) -> list[Row]:
        return [
            Row(
                api,
                self._circuits.snapshot(api),
                self._traffic.counts(api),
                self._google_ai.books(api.upstream),
            )
            for api in GUARDED_APIS
        ]

    def _tell_transitions(self) -> None:
        for api in GUARDED_APIS:
            events = self._circuits.events(api)
            for event in events[self._told[api.key] :]:
                if event.transition:
                    self._screen.tell(_told(api, event), STYLES[CircuitState(event.after)])
            self._told[api.key] = len(events)


def _told(api: GuardedApi, event: Event) -> str:
    worker = event.who.rpartition(":")[2]
    why = {
        "failure_threshold": f"{event.details.get('failure_count')} failures in a row over the whole fleet, "
        f"the last {event.details.get('exception')} in worker {worker}",
        "open_timeout_over": f"its time is over, and worker {worker} sends the first probe",
        "success_threshold": f"its probes succeeded, the last in worker {worker}",
        "probe_failed": f"a probe failed with {event.details.get('exception')} in worker {worker}",
    }.get(event.why, f"{event.why}, by {event.who}")
    return f"{api.title}: {event.before} -> {event.after}: {why}."


def _not_succeeded(traffic: Traffic, api: GuardedApi) -> int:
    counts = traffic.counts(api)
    return sum(counts.ended.values()) - counts.count(Seen.SUCCESS)


def _workers(pids: frozenset[str]) -> str:
    if not pids:
        return "no worker"
    return f"worker{'s' if len(pids) > 1 else ''} {', '.join(sorted(pids, key=int))}"
