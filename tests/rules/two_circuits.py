"""One circuit in Lua and one in Python, on one clock that the test moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis import Redis

from sharedbreaker.circuit.admission import Admission, admission_arguments, read_admission
from sharedbreaker.circuit.control import Act, ControlReading, control_arguments, read_control
from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.circuit.refresh import Batch, read_refresh, refresh_arguments
from sharedbreaker.circuit.report import Report, read_report, report_arguments
from sharedbreaker.circuit.rules import Circuit
from sharedbreaker.circuit.settings import Settings
from sharedbreaker.circuit.tuning import TuneReading, read_tune, tune_arguments
from sharedbreaker.store.keys import keys_of
from sharedbreaker.store.scripts import script

NAME = "both"
CLOCK = "test:clock"
START_US = 1_767_225_600_123_456


class TwoCircuits:
    """Does everything twice and compares all that can be seen after each step."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        redis.flushdb()
        self._redis = redis
        self._keys = keys_of(NAME)
        self._number = 0
        self._reported: set[str] = set()
        self.now_us = START_US
        self.advance(0)
        self.circuit = Circuit(NAME, settings.fields(), self.now_us)
        self._run("declare", ("somebody", "1", *_flat(settings.fields())))
        self.compare()

    def advance(self, milliseconds: int, microseconds: int = 0) -> None:
        self.now_us += milliseconds * 1000 + microseconds
        moment: Any = {"s": self.now_us // 1_000_000, "us": self.now_us % 1_000_000}
        self._redis.hset(CLOCK, mapping=moment)

    def admit(self, who: str) -> Admission | None:
        self._number += 1
        token = f"token{self._number}"
        mine = self.circuit.admit(self.now_us, token, who)
        reply = self._run("admit", admission_arguments(token, who, again=False))
        shared = read_admission(reply, NAME, token)
        assert _plain(shared) == _plain(mine)
        self.compare()
        return shared.admission

    def report(
        self,
        admission: Admission,
        outcome: Outcome,
        who: str = "ann",
        retry_after_ms: int | None = None,
        duration_ms: int | None = None,
    ) -> None:
        exception = "Boom" if outcome is Outcome.FAILURE else ""
        report = Report(admission, outcome, exception, retry_after_ms, duration_ms)
        mine = self.circuit.report(self.now_us, report, who)
        shared = read_report(self._run("report", report_arguments(report, who)))
        assert shared == mine
        if shared.verdict != "unknown":
            self._reported.add(admission.token)
        self.compare()

    def refresh(self, batch: Batch, told: str, who: str) -> None:
        mine = self.circuit.refresh(self.now_us, batch, told, who)
        shared = read_refresh(self._run("refresh", refresh_arguments(batch, told, who)))
        assert shared == mine
        self.compare()

    def control(self, act: Act, who: str, hold_ms: int | None) -> ControlReading:
        mine = self.circuit.control(self.now_us, act, who, "a reason", hold_ms)
        seconds = None if hold_ms is None else hold_ms / 1000
        self._number += 1
        request = f"request{self._number}"
        arguments = control_arguments(act, who, "a reason", seconds, request)
        shared = read_control(self._run("control", arguments))
        assert shared == mine
        self.compare()
        return shared

    def declare(self, settings: Settings) -> None:
        self.circuit.declare(settings.fields())
        self._run("declare", ("somebody", "1", *_flat(settings.fields())))
        self.compare()

    def tune(self, changes: Mapping[str, str], who: str) -> TuneReading:
        mine = self.circuit.tune(self.now_us, changes, who, "a reason")
        self._number += 1
        arguments = tune_arguments(changes, who, "a reason", f"request{self._number}")
        shared = read_tune(self._run("tune", arguments))
        assert shared == mine
        self.compare()
        return shared

    def details_of_last_event(self) -> dict[str, str]:
        """What the last event says besides from, to, why and who."""
        events: Any = self._redis.xrevrange(self._keys.events, count=1)
        return {
            name: value for name, value in events[0][1].items() if name not in ("from", "to", "why", "who")
        }

    def compare(self) -> None:
        """Compare the hash, the leases, the history and what a snapshot shows of both."""
        leases: Any = self._redis.zrange(self._keys.leases, 0, -1, withscores=True)
        both = {**self.circuit.call_leases, **self.circuit.probe_leases}
        assert {token: int(score) for token, score in leases} == both

        fields: Any = self._redis.hgetall(self._keys.circuit)
        assert fields.pop("schema") == "1"
        first = int(fields.pop("reclaim_at"))
        assert all(first <= end for end in both.values())
        # A probe that is lost leaves the field when somebody next writes it; its lease decides till then.
        named = fields.pop("probes", "").split()
        assert not self._reported.intersection(named)
        live = [token for token in named if token in both]
        mine = self.circuit.fields()
        assert live == mine.pop("probes", "").split()
        assert fields == mine

        assert set(self._redis.zrange(self._keys.batches, 0, -1)) == self.circuit.batches

        events: Any = self._redis.xrange(self._keys.events)
        history = [
            (event["from"], event["to"], event["why"], event["who"])
            for _, event in events
            if event["why"] != "declared"
        ]
        assert history == [(event.before, event.after, event.why, event.who) for event in self.circuit.events]

        now_ms, calls, probes, _ = self._run("snapshot", ())
        seen = self.circuit.snapshot(self.now_us)
        assert (int(now_ms), int(calls), int(probes)) == (
            seen.now_ms,
            seen.calls_in_flight,
            seen.probes_in_flight,
        )

    def _run(self, name: str, arguments: tuple[str, ...]) -> Any:
        source = script(name).source
        assert "redis.call('TIME')" in source
        source = source.replace("redis.call('TIME')", f"redis.call('HMGET', '{CLOCK}', 's', 'us')")
        return self._redis.eval(source, 4, *self._keys.of_script, *arguments)


def _flat(fields: Mapping[str, str]) -> list[str]:
    return [part for field in fields.items() for part in field]


def _plain(reading: Any) -> tuple[Any, ...]:
    refusal = reading.refusal
    shown = refusal and (refusal.name, refusal.state, refusal.retry_after, refusal.why, str(refusal))
    return reading.admission, shown, reading.mode, reading.transition, reading.unreadable, reading.is_viewable
