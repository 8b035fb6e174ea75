"""Any history: whatever callers, clocks and operators do, Redis and the model of the specification agree."""

from __future__ import annotations

import pytest
from circuit_model import LONG_PROBE_MS, Model
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from redis import Redis

from circuit_in_redis import OPEN_MS, OUTCOME_TALLIES, TRANSITIONS, CircuitInRedis, new_breaker
from sharedbreaker import Admission, CircuitBreaker, CircuitBreakerError, Outcome

OUTCOMES = st.sampled_from([Outcome.SUCCESS, Outcome.SUCCESS, Outcome.FAILURE, Outcome.FAILURE, *Outcome])
HOLD_MS = 30_000


class History(RuleBasedStateMachine):
    """One circuit, several workers, one operator."""

    redis: Redis

    def __init__(self) -> None:
        super().__init__()
        self.circuit = CircuitInRedis(self.redis)
        self.workers: list[CircuitBreaker] = []
        self.admissions: list[Admission] = []
        self.ended: list[Admission] = []
        self.epochs: dict[int, int] = {}

    @initialize(failures=st.integers(1, 4), successes=st.integers(1, 3), places=st.integers(1, 3))
    def begin(self, failures: int, successes: int, places: int) -> None:
        self.redis.flushall()
        self.model = Model(failures, successes, places)
        self.join(failures, successes, places)

    def join(self, failures: int, successes: int, places: int) -> None:
        """A worker starts and declares its settings by a first act that changes nothing else."""
        worker = new_breaker(
            self.redis,
            failure_threshold=failures,
            success_threshold=successes,
            half_open_max_calls=places,
            probe_timeout=LONG_PROBE_MS / 1000,
        )
        self.workers.append(worker)
        if self.model.mode == "disabled":
            worker.disable()
            self.model.close_by_hand("disabled")
        else:
            worker.enable()
            self.model.enable()

    def worker(self, number: int) -> CircuitBreaker:
        return self.workers[number % len(self.workers)]

    def admit(self, worker: CircuitBreaker) -> Admission | None:
        verdict = self.model.admit()
        try:
            admission = worker.admit()
        except CircuitBreakerError as error:
            assert verdict == "rejected"
            assert error.state == self.model.state  # noqa: PT017
            return None
        assert verdict == ("probe" if admission.is_probe else "admitted")
        self.model.began(admission.token, verdict)
        return admission

    def end(self, worker: CircuitBreaker, admission: Admission, outcome: Outcome) -> None:
        worker.report(admission, outcome)
        self.model.report(admission.token, outcome)
        self.ended.append(admission)

    @rule(number=st.integers(0, 9), outcome=OUTCOMES)
    def call(self, number: int, outcome: Outcome) -> None:
        """A call from beginning to end."""
        admission = self.admit(self.worker(number))
        if admission is not None:
            self.end(self.worker(number), admission, outcome)

    @rule(number=st.integers(0, 9))
    def call_begins(self, number: int) -> None:
        admission = self.admit(self.worker(number))
        if admission is not None:
            self.admissions.append(admission)

    @rule(which=st.integers(0, 99), number=st.integers(0, 9), outcome=OUTCOMES)
    def call_ends(self, which: int, number: int, outcome: Outcome) -> None:
        """Any call under way ends, in time or long after its era or its lease."""
        if self.admissions:
            admission = self.admissions.pop(which % len(self.admissions))
            self.end(self.worker(number), admission, outcome)

    @rule(which=st.integers(0, 99), number=st.integers(0, 9), outcome=OUTCOMES)
    def report_is_told_again(self, which: int, number: int, outcome: Outcome) -> None:
        if self.ended:
            self.end(self.worker(number), self.ended[which % len(self.ended)], outcome)

    @rule(steps=st.sampled_from([1, 1, 2, 3]))
    def time_passes(self, steps: int) -> None:
        """A third of an open period, or several."""
        self.circuit.elapse(steps * OPEN_MS // 3)
        self.model.elapse(steps * OPEN_MS // 3)

    @rule(number=st.integers(0, 9))
    def outage_begins_and_its_open_period_passes(self, number: int) -> None:
        """So many failures as it takes, and a timeout later: what half-open does is what is wanted most."""
        if (self.model.state, self.model.mode) == ("closed", "automatic"):
            while self.model.state == "closed":
                self.call(number, Outcome.FAILURE)
            self.time_passes(3)
            self.call_begins(number)

    @rule(number=st.integers(0, 9), ends=st.booleans())
    def operator_holds_it_open(self, number: int, *, ends: bool) -> None:
        self.worker(number).force_open(seconds=HOLD_MS / 1000 if ends else None)
        self.model.force_open(HOLD_MS if ends else None)

    @rule(number=st.integers(0, 9))
    def operator_closes_it(self, number: int) -> None:
        self.worker(number).force_close()
        self.model.close_by_hand("automatic")

    @rule(number=st.integers(0, 9), ends=st.booleans())
    def operator_disables_or_enables_it(self, number: int, *, ends: bool) -> None:
        if ends:
            self.worker(number).enable()
            self.model.enable()
        else:
            self.worker(number).disable()
            self.model.close_by_hand("disabled")

    @rule(failures=st.integers(1, 4), successes=st.integers(1, 3), places=st.integers(1, 3))
    def worker_with_other_settings_starts(self, failures: int, successes: int, places: int) -> None:
        self.join(failures, successes, places)
        self.model.failure_threshold = failures
        self.model.success_threshold = successes
        self.model.half_open_max_calls = places

    @rule()
    def scripts_are_flushed(self) -> None:
        self.redis.script_flush()

    @invariant()
    def redis_says_what_the_model_says(self) -> None:
        fields = self.circuit.fields()
        assert (fields["state"], fields["mode"]) == (self.model.state, self.model.mode)
        if self.model.state == "closed" and self.model.mode == "automatic":
            assert int(fields["failure_count"]) == self.model.failure_count
        if self.model.state == "half_open":
            assert int(fields["success_count"]) == self.model.success_count
        assert self.circuit.tallies() == self.model.tallies
        assert self.circuit.numbers(*TRANSITIONS) == self.model.transitions

    @invariant()
    def total_adds_up(self) -> None:
        metrics = self.worker(0).get_metrics()
        assert metrics["total_calls"] == sum(metrics[name] for name in OUTCOME_TALLIES)

    @invariant()
    def events_tell_the_whole_story(self) -> None:
        events = self.circuit.events()
        assert [event["from"] for event in events[1:]] == [event["to"] for event in events[:-1]]
        assert events[-1]["to"] == self.circuit.field("state")
        moves = self.circuit.moves()
        assert {name: moves.count(name) for name in TRANSITIONS} == self.circuit.numbers(*TRANSITIONS)
        assert set(moves) <= set(TRANSITIONS)

    @invariant()
    def epoch_changes_with_every_transition_and_only_then(self) -> None:
        epoch = self.circuit.number("epoch")
        assert self.epochs.setdefault(self.model.era, epoch) == epoch
        eras = sorted(self.epochs)
        assert [self.epochs[era] for era in eras] == sorted({self.epochs[era] for era in eras})

    @invariant()
    def leases_are_the_calls_under_way(self) -> None:
        alive = set(self.model.alive())
        lapsed = set(self.model.leases) - alive
        assert set(self.circuit.leases()) - lapsed == alive
        snapshot = self.worker(0).snapshot()
        assert (snapshot.calls_in_flight, snapshot.probes_in_flight) == (len(alive), self.model.probes())


@pytest.mark.timeout(600)  # what fails is made as short as it can be, and that takes its time
def test_redis_agrees_with_the_model_in_any_history(redis: Redis) -> None:
    """State, counts, tallies, transitions, events, epochs and leases are the model's after every step."""
    machine = type("History", (History,), {"redis": redis})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
