"""Which figures of a circuit Prometheus gets: one table of families, for whoever writes or serves them.

Counters are shared by the fleet: every worker shows the same number, and says so in each HELP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sharedbreaker.circuit.settings import Settings
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.circuit.state import TRANSITIONS, CircuitMode, CircuitState

FLEET = "The same from every worker: aggregate with max by (name), never with sum."

STATE_VALUES = {CircuitState.CLOSED: 0, CircuitState.HALF_OPEN: 1, CircuitState.OPEN: 2}
RESULTS = {
    "success": "successful_calls",
    "failure": "failed_calls",
    "rejected": "rejected_calls",
    "ignored": "ignored_calls",
}

Samples = Iterable[tuple[dict[str, str], float | None]]
"""Labels besides ``name``, and the value; None leaves the sample out."""


@dataclass(frozen=True)
class Family:
    """One metric family and where its samples come from."""

    name: str
    """As its samples are called: a counter's ends in ``_total``."""
    type: str
    help: str
    samples: Callable[[Snapshot], Samples]


FAMILIES = (
    Family(
        "circuit_breaker_state",
        "gauge",
        f"State of the circuit: 0 closed, 1 half-open, 2 open. {FLEET}",
        lambda circuit: [({}, STATE_VALUES[circuit.state])],
    ),
    Family(
        "circuit_breaker_current_state",
        "gauge",
        f"1 for the state that the circuit is in, 0 for the others. {FLEET}",
        lambda circuit: [({"state": state.value}, int(circuit.state is state)) for state in CircuitState],
    ),
    Family(
        "circuit_breaker_mode",
        "gauge",
        f"1 for who decides, the state machine (automatic) or a hand; 0 for the others. {FLEET}",
        lambda circuit: [({"mode": mode.value}, int(circuit.mode is mode)) for mode in CircuitMode],
    ),
    Family(
        "circuit_breaker_calls_total",
        "counter",
        f"Calls by result. {FLEET}",
        lambda circuit: [({"result": result}, circuit.count(field)) for result, field in RESULTS.items()],
    ),
    Family(
        "circuit_breaker_success_rate",
        "gauge",
        f"Successful calls in percent of all calls so far; absent while there are none. {FLEET}",
        lambda circuit: [({}, circuit.percent_of("successful_calls", circuit.total_calls))],
    ),
    Family(
        "circuit_breaker_state_transitions_total",
        "counter",
        f"Changes of state. {FLEET}",
        lambda circuit: [
            ({"transition": transition.name}, circuit.count(transition.name)) for transition in TRANSITIONS
        ],
    ),
    Family(
        "circuit_breaker_released_calls_total",
        "counter",
        f"Calls that were given up: cancelled, or their process left. In no rate. {FLEET}",
        lambda circuit: [({}, circuit.count("released_calls"))],
    ),
    Family(
        "circuit_breaker_lost_calls_total",
        "counter",
        f"Calls whose lease ran out without a report: their process was killed or hung. {FLEET}",
        lambda circuit: [({}, circuit.count("lost_calls"))],
    ),
    Family(
        "circuit_breaker_late_results_total",
        "counter",
        f"Results that came after a change of state, tallied without deciding anything. {FLEET}",
        lambda circuit: [({}, circuit.count("late_results"))],
    ),
    Family(
        "circuit_breaker_observed_rejections_total",
        "counter",
        f"Calls that ran because the circuit only observes, and would have been rejected. {FLEET}",
        lambda circuit: [({}, circuit.count("observed_rejections"))],
    ),
    Family(
        "circuit_breaker_window_failure_rate",
        "gauge",
        "Failures in percent of the calls in the window of failure_rate; absent without that rule and below "
        f"its minimum of calls. {FLEET}",
        lambda circuit: [({}, circuit.window_percent("failure_rate"))],
    ),
    Family(
        "circuit_breaker_window_slow_call_rate",
        "gauge",
        "Slow calls in percent of the calls in the window of slow_call_rate; absent without that rule and "
        f"below its minimum of calls. {FLEET}",
        lambda circuit: [({}, circuit.window_percent("slow_call_rate"))],
    ),
    Family(
        "circuit_breaker_failure_reporter",
        "gauge",
        "1 for each process whose failures and slow calls count now; only where minimum_reporters asks for "
        f"more than one. {FLEET}",
        lambda circuit: [({"process": who}, 1) for who in circuit.failure_reporters],
    ),
    Family(
        "circuit_breaker_calls_in_flight",
        "gauge",
        f"Admitted calls whose report has not come yet, probes included. {FLEET}",
        lambda circuit: [({}, circuit.calls_in_flight)],
    ),
    Family(
        "circuit_breaker_probes_in_flight",
        "gauge",
        f"Probes whose report has not come yet. {FLEET}",
        lambda circuit: [({}, circuit.probes_in_flight)],
    ),
    Family(
        "circuit_breaker_current_failures",
        "gauge",
        f"Failures in a row, which open the circuit at circuit_breaker_failure_threshold. {FLEET}",
        lambda circuit: [({}, circuit.count("failure_count"))],
    ),
    Family(
        "circuit_breaker_failure_threshold",
        "gauge",
        f"Failures in a row that open the circuit, as configured now. {FLEET}",
        lambda circuit: [({}, circuit.count("failure_threshold") or None)],
    ),
    Family(
        "circuit_breaker_current_successes",
        "gauge",
        f"Successful probes, which close the circuit at circuit_breaker_success_threshold. {FLEET}",
        lambda circuit: [({}, circuit.count("success_count"))],
    ),
    Family(
        "circuit_breaker_success_threshold",
        "gauge",
        f"Successful probes that close the circuit, as configured now. {FLEET}",
        lambda circuit: [({}, circuit.count("success_threshold") or None)],
    ),
    Family(
        "circuit_breaker_opened_timestamp_seconds",
        "gauge",
        f"When the circuit opened, Unix time of Redis; absent while it is closed. {FLEET}",
        lambda circuit: [({}, circuit.seconds("opened_at"))],
    ),
    Family(
        "circuit_breaker_open_until_timestamp_seconds",
        "gauge",
        "When the open circuit lets a probe through, Unix time of Redis; absent while it is closed, or held "
        f"open without an end. {FLEET}",
        lambda circuit: [({}, circuit.seconds("open_until"))],
    ),
    Family(
        "circuit_breaker_last_transition_timestamp_seconds",
        "gauge",
        f"When the state last changed, Unix time of Redis; absent before the first change. {FLEET}",
        lambda circuit: [({}, circuit.seconds("last_state_change"))],
    ),
    Family(
        "circuit_breaker_last_failure_timestamp_seconds",
        "gauge",
        f"When a call last failed, Unix time of Redis; absent before the first failure. {FLEET}",
        lambda circuit: [({}, circuit.seconds("last_failure_time"))],
    ),
    Family(
        "circuit_breaker_info",
        "gauge",
        "1, with the configuration in force as labels; times in milliseconds; `tuned` names the settings "
        f"that were changed by hand. {FLEET}",
        lambda circuit: [(_configuration(circuit), 1)],
    ),
)


def _configuration(circuit: Snapshot) -> dict[str, str]:
    settings = {field: circuit.fields.get(field, "") for field in Settings().fields()}
    return {**settings, "tuned": " ".join(tuned.field for tuned in circuit.tuned)}
