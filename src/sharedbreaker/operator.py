"""An operator's hand on a circuit of other processes: by its name, and without their code or settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from sharedbreaker.circuit.control import Act
from sharedbreaker.circuit.errors import CircuitBusyError, SettingsError
from sharedbreaker.circuit.handle import Handle
from sharedbreaker.circuit.history import Event
from sharedbreaker.circuit.name import check_name
from sharedbreaker.circuit.settings import seconds_in
from sharedbreaker.circuit.snapshot import Snapshot
from sharedbreaker.circuit.tuning import tuned_fields
from sharedbreaker.store.announcer import Announcer
from sharedbreaker.store.existing_circuit import ExistingCircuit
from sharedbreaker.store.keys import keys_of, prefix_or_default
from sharedbreaker.store.link import RedisLike, link_to
from sharedbreaker.store.steps import walk

MOST_EVENTS = 1000
_RETRY_INTERVAL = 1.0


class Operator(Handle):
    """Looks at one circuit and takes it in hand, and never makes or configures one. Making one does no I/O.

    Every method asks Redis once, and raises NoSuchCircuitError where there is no such circuit, and StoreError
    where Redis cannot be asked.

    Args:
        name: the circuit's name.
        redis: a client or URL, as ``CircuitBreaker`` takes it.
        prefix: what the keys in Redis begin with. None means SHAREDBREAKER_PREFIX, else ``sharedbreaker``.
        timeout: seconds that an act or a look may take altogether. Default 1.

    Raises:
        SettingsError: a ValueError, for a name, prefix, URL or timeout that makes no sense.

    """

    def __init__(
        self,
        name: str,
        *,
        redis: RedisLike = None,
        prefix: str | None = None,
        timeout: float | timedelta = 1.0,
    ) -> None:
        self.name = check_name("name", name)
        self._link = link_to(redis, seconds_in("timeout", timeout), _RETRY_INTERVAL)
        self._circuit = ExistingCircuit(self._link, name, keys_of(name, prefix_or_default(prefix)))
        self._announcer = Announcer(name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r})"

    def force_open(
        self,
        reason: str | None = None,
        seconds: float | timedelta | None = None,
        *,
        who: str | None = None,
    ) -> None:
        """Hold the circuit open for the whole fleet, for ``seconds`` or until ``force_close``.

        ``who`` asked, at most 128 characters; by default this host and process. ``reason`` is at most 500.
        Raises SettingsError for more, and for seconds that make no sense.
        """
        self._act(Act.FORCE_OPEN, who, reason, seconds)

    def force_close(self, reason: str | None = None, *, who: str | None = None) -> None:
        """Close the circuit, clear the counts that decide, and let the state machine decide again."""
        self._act(Act.FORCE_CLOSE, who, reason)

    def disable(self, reason: str | None = None, *, who: str | None = None) -> None:
        """Close the circuit and keep it closed whatever fails, until ``enable``. Calls are tallied."""
        self._act(Act.DISABLE, who, reason)

    def enable(self, reason: str | None = None, *, who: str | None = None) -> None:
        """End ``disable``. Changes nothing on a circuit that is not disabled."""
        self._act(Act.ENABLE, who, reason)

    def observe(self, reason: str | None = None, *, who: str | None = None) -> bool:
        """Have all decided, counted and told, and nothing enforced, until ``enforce``; a kind of tuning.

        Returns whether anything is otherwise than before. What is held open by hand rejects all the same.
        """
        return self.tune({"observe": 1}, reason=reason, who=who)

    def enforce(self, reason: str | None = None, *, who: str | None = None) -> bool:
        """Have what is decided enforced, also where processes declare to observe. See ``observe``."""
        return self.tune({"observe": 0}, reason=reason, who=who)

    def tune(
        self,
        settings: Mapping[str, float | None] | None = None,
        *,
        clear: Iterable[str] = (),
        reason: str | None = None,
        who: str | None = None,
    ) -> bool:
        """Change settings for the whole fleet at once, whatever processes declare, until they are cleared.

        Args:
            settings: new values, times in seconds: failure_threshold, timeout, success_threshold,
                half_open_max_calls, probe_timeout, lease_timeout, max_timeout, ramp_up, minimum_reporters and
                max_in_flight as in ``CircuitBreaker``; failure_rate_percent, failure_rate_window,
                failure_rate_window_calls, failure_rate_minimum_calls, the same four of slow_call_rate, and
                slow_call_duration, whose 0 turns the rate off; timeout_growth_percent; observe, 0 or 1.
            clear: names of settings that are to be as the processes declare them again.
            reason: why, at most 500 characters.
            who: who asked, at most 128 characters; by default this host and process.

        Returns:
            Whether anything is otherwise than before.

        Raises:
            SettingsError: for what ``CircuitBreaker`` would refuse, beside what else is in force.

        """
        if isinstance(clear, str):
            raise SettingsError(f"clear must be names of settings, not the text {clear!r}")
        changes = tuned_fields(self.snapshot().fields, settings or {}, clear)
        if not changes:
            raise SettingsError("there is nothing to tune and nothing to clear")
        return walk(self._circuit.tune(changes, who, reason), self._link).has_changed

    def forget(self, *, force: bool = False) -> None:
        """Remove the circuit with its tallies, history and tuned settings, and its name from the list.

        The next call of a process declares its settings and starts anew, closed. Raises CircuitBusyError
        while calls are in flight, unless ``force``: their reports then count for nothing.
        """
        reading = walk(self._circuit.remove(force=force), self._link)
        if reading.is_busy:
            raise CircuitBusyError(
                f"circuit {self.name!r} was not forgotten: {reading.calls_in_flight} calls are in flight"
            )

    def snapshot(self) -> Snapshot:
        """Return the circuit at one instant, by one atomic read."""
        return walk(self._circuit.snapshot(), self._link)

    def history(self, most: int = 100) -> tuple[Event, ...]:
        """Return its latest events, newest first: at most ``most``, 1 to 1000, which is all that is kept."""
        if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= MOST_EVENTS:
            raise SettingsError(f"most must be a whole number from 1 to {MOST_EVENTS}, not {most!r}")
        return walk(self._circuit.history(most), self._link)

    def _act(
        self, act: Act, who: str | None, reason: str | None, seconds: float | timedelta | None = None
    ) -> None:
        reading = walk(self._circuit.control(act, who, reason, seconds), self._link)
        self._announcer.announce(reading.transition)
