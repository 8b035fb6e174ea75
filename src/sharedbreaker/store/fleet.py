"""All circuits of one Redis at once, for whoever watches a fleet and needs to know none of its code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError

from sharedbreaker.circuit.errors import SettingsError
from sharedbreaker.circuit.history import Event, read_history
from sharedbreaker.circuit.name import check_name
from sharedbreaker.circuit.reading import text
from sharedbreaker.circuit.settings import Settings
from sharedbreaker.circuit.snapshot import SNAPSHOT_PARTS, Snapshot, read_snapshot
from sharedbreaker.store.cluster_link import ClusterLink
from sharedbreaker.store.keys import keys_of, prefix_or_default
from sharedbreaker.store.link import RedisLike, link_to
from sharedbreaker.store.redis_errors import hint_on
from sharedbreaker.store.round_trip import Question, RoundTrip
from sharedbreaker.store.scripts import script

RETRY_INTERVAL = 1.0
_WRONG_TYPE = "WRONGTYPE"
_UNASKED = NoScriptError()
_DEFAULTS = Settings()


@dataclass(frozen=True)
class FleetView:
    """What one look found."""

    circuits: tuple[Snapshot, ...]
    """By name. Each is one atomic read; together they are no more than a moment apart."""
    is_up: bool
    """Whether Redis answered everything that it was asked: in a Cluster, every master that was."""
    troubles: Mapping[str, str]
    """What could not be read, a circuit's name or the key of the list, and why."""


class Fleet:
    """Every circuit under one prefix in one Redis. Making one does no I/O.

    A look is one round trip, in a Cluster one to each master: the list of names and the circuits that are
    known already are asked for together. Only where a name is new, or Redis has forgotten the script, is it
    one more; in a Cluster two. No KEYS, no SCAN.

    Args:
        redis: a client or URL, as ``CircuitBreaker`` takes it.
        prefix: what the keys begin with. None means SHAREDBREAKER_PREFIX, else ``sharedbreaker``.
        timeout: seconds that a look may take altogether.

    """

    def __init__(
        self,
        redis: RedisLike = None,
        *,
        prefix: str | None = None,
        timeout: float = 0.5,
    ) -> None:
        link = self._link = link_to(redis, timeout, RETRY_INTERVAL)
        self._asked = link if isinstance(link, ClusterLink) else RoundTrip(link.pool)
        self._prefix = prefix_or_default(prefix)
        # The list is the same for every name under the prefix.
        self._registry = keys_of("any", self._prefix).registry
        self._found: frozenset[str] = frozenset()

    @property
    def address(self) -> str:
        """Where Redis is, for logs and errors: never with a password."""
        return self._link.address

    def look(self, declared: Mapping[str, Settings] | None = None, *, discover: bool = True) -> FleetView:
        """Return what there is; never raise on Redis' account.

        ``declared`` circuits are there also before anybody called them; others only while Redis has them.
        With ``discover`` false only the declared ones are looked at.
        """
        declared = declared or {}
        deadline = self._link.deadline()
        notes = _Notes()
        asked = sorted({*declared, *(self._found if discover else ())})
        questions = [self._snapshot_of(name) for name in asked]
        if discover:
            questions.append(Question(self._registry, ("SMEMBERS", self._registry)))
        answers = self._ask(questions, deadline)
        if discover:
            self._found = self._names_in(answers.pop(), notes)
        wanted = {*declared, *(self._found if discover else ())}
        replies = dict(zip(asked, answers, strict=True))
        # One brings the script to the server before the others name it; in a Cluster each may have to.
        for whole in (1, len(wanted)):
            unasked = [
                name for name in sorted(wanted) if isinstance(replies.get(name, _UNASKED), NoScriptError)
            ]
            if unasked:
                again = [self._snapshot_of(name, whole=place < whole) for place, name in enumerate(unasked)]
                replies.update(zip(unasked, self._ask(again, deadline), strict=True))
        circuits = (self._circuit_in(replies[name], name, declared, notes) for name in sorted(wanted))
        return FleetView(
            tuple(circuit for circuit in circuits if circuit is not None), notes.is_up, notes.troubles
        )

    def histories(self, names: Sequence[str], most: int) -> dict[str, tuple[Event, ...]]:
        """Return the latest events of each circuit, newest first, by one round trip; never raise.

        A circuit whose events cannot be read is left out.
        """
        keys = [keys_of(name, self._prefix).events for name in names]
        questions = [Question(key, ("XREVRANGE", key, "+", "-", "COUNT", most)) for key in keys]
        answers = self._ask(questions, self._link.deadline())
        histories = {}
        for name, answer in zip(names, answers, strict=True):
            with suppress(ValueError, TypeError):
                histories[name] = read_history(answer)
        return histories

    def _snapshot_of(self, name: str, *, whole: bool = False) -> Question:
        lua = script("snapshot")
        keys = keys_of(name, self._prefix).of_script
        how = ("EVAL", lua.source) if whole else ("EVALSHA", lua.sha)
        return Question(keys[0], (*how, len(keys), *keys))

    def _ask(self, questions: Sequence[Question], deadline: float) -> list[Any]:
        answers = self._asked.ask_all(questions, deadline)
        # A connection that was idle may have been cut since; looking twice does no harm. Waiting twice would.
        if answers and all(isinstance(answer, RedisConnectionError) for answer in answers):
            answers = self._asked.ask_all(questions, deadline)
        return answers

    def _names_in(self, answer: Any, notes: _Notes) -> frozenset[str]:
        """Return the names in the list; those found last time where it cannot be read."""
        if isinstance(answer, Exception):
            notes.add(self._registry, answer)
            return self._found
        listed = {text(name) for name in answer}
        errors = {name: error for name in listed if (error := _error_in(name)) is not None}
        for name, error in errors.items():
            notes.add(name, error)
        return frozenset(listed - errors.keys())

    def _circuit_in(
        self, reply: Any, name: str, declared: Mapping[str, Settings], notes: _Notes
    ) -> Snapshot | None:
        if isinstance(reply, Exception):
            notes.add(name, reply)
            return None
        try:
            snapshot = read_snapshot(reply, name, declared.get(name, _DEFAULTS))
        except (ValueError, TypeError) as error:
            notes.add(name, error)
            return None
        # Without a hash there is nothing to see, unless somebody here says that there is such a circuit.
        return snapshot if reply[SNAPSHOT_PARTS - 1] or name in declared else None


def _error_in(name: str) -> SettingsError | None:
    try:
        check_name("name", name)
    except SettingsError as error:
        return error
    return None


class _Notes:
    """What did not go well in one look."""

    def __init__(self) -> None:
        self.is_up = True
        self.troubles: dict[str, str] = {}

    def add(self, what: str, error: Exception) -> None:
        """Note that ``what`` could not be read."""
        self.troubles[what] = f"{type(error).__name__}: {error}{hint_on(error, None)}"
        of_a_key = isinstance(error, (ValueError, TypeError)) or _WRONG_TYPE in str(error)
        self.is_up = self.is_up and of_a_key
