"""What a service of the local Google AI server can be told to do."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum

HEALTHY_STATUS = 200
_ERROR_STATUSES = range(400, 600)
_LONGEST_DURATION = 7 * 24 * 3600
_TOO_MANY_REQUESTS = 429
_STATUSES_THAT_INVITE_BACK = frozenset({429, 503})


class GoogleAiService(str, Enum):
    """The three services of the server, each with its own behaviour and its own books."""

    TEXT = "text"
    VISION = "vision"
    IMAGEN = "imagen"


class Fault(str, Enum):
    """How a call goes wrong below the level of an HTTP status.

    ``HANG`` accepts the call and is silent until the service is told something else, the client
    leaves or the server stops. ``CUT`` resets the connection without an answer.
    ``CUT_MID_ANSWER`` sends the headers and half of the body and closes the connection.
    ``RESET_MID_ANSWER`` does the same and resets it. ``HANG_MID_ANSWER`` does it and is silent for as long as
    ``HANG`` is; then comes the rest. ``ERROR_MID_STREAM`` goes on, after the first piece of a
    stream, with an error; it is only for streams, and other calls get the error alone.
    ``BROKEN_JSON`` answers with status 200 and JSON that ends too early, ``DOUBLED_JSON`` with JSON whose
    last document stands there twice, with nothing between the two.
    """

    NONE = "none"
    HANG = "hang"
    CUT = "cut"
    CUT_MID_ANSWER = "cut_mid_answer"
    RESET_MID_ANSWER = "reset_mid_answer"
    HANG_MID_ANSWER = "hang_mid_answer"
    ERROR_MID_STREAM = "error_mid_stream"
    BROKEN_JSON = "broken_json"
    DOUBLED_JSON = "doubled_json"


class Quota(str, Enum):
    """Which quota a status of 429 says is used up."""

    PER_MINUTE = "per_minute"
    PER_DAY = "per_day"


class Content(str, Enum):
    """What a healthy answer holds, other than what was asked for.

    ``BLOCKED_PROMPT`` says that the prompt was blocked. ``SAFETY``, ``RECITATION``, ``PROHIBITED_CONTENT``,
    ``MAX_TOKENS`` and ``OTHER`` are why a candidate without content stopped. ``NOTHING`` is an answer
    without candidates, pictures or reasons. All others but ``WHOLE`` filter the pictures of Imagen's
    ``predict`` away.
    """

    WHOLE = "whole"
    BLOCKED_PROMPT = "blocked_prompt"
    SAFETY = "safety"
    RECITATION = "recitation"
    PROHIBITED_CONTENT = "prohibited_content"
    MAX_TOKENS = "max_tokens"
    OTHER = "other"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Behaviour:
    """How a service treats the calls that reach it; without arguments it is healthy.

    ``status`` is 200, or the HTTP error status from 400 to 599 that every call is answered with.
    ``delay`` is how many seconds a call waits before anything else happens to it.
    ``fault`` is what goes wrong with the call; only a status of 200 goes with one.
    ``retry_after`` is how many seconds a status of 429 or 503 asks the caller to stay away, in the
    Retry-After header (rounded up to whole seconds) and as Google's RetryInfo; None: not said.
    ``quota`` is which quota a status of 429 says is used up, in a QuotaFailure; None: not said.
    ``content`` is what a healthy answer holds.
    ``failures`` is how many calls are treated so before the service is healthy again; None: all of
    them, until the service is told something else. No duration is longer than a week.

    Raises ValueError if a field is out of its range or does not go with the others.
    """

    status: int = HEALTHY_STATUS
    delay: float = 0.0
    fault: Fault = Fault.NONE
    retry_after: float | None = None
    failures: int | None = None
    quota: Quota | None = None
    content: Content = Content.WHOLE

    def __post_init__(self) -> None:
        if not _is_whole(self.status) or (
            self.status != HEALTHY_STATUS and self.status not in _ERROR_STATUSES
        ):
            raise ValueError(f"status must be 200 or from 400 to 599, not {self.status!r}")
        if not _is_duration(self.delay):
            raise ValueError(f"delay must be from 0 to {_LONGEST_DURATION} seconds, not {self.delay!r}")
        if not isinstance(self.fault, Fault):
            names = ", ".join(fault.value for fault in Fault)
            raise ValueError(f"fault must be one of {names}, not {self.fault!r}")  # noqa: TRY004
        if self.fault is not Fault.NONE and self.status != HEALTHY_STATUS:
            raise ValueError(
                f"a fault goes with a status of 200 only: {self.fault.value} and {self.status} "
                "cannot both happen to one call"
            )
        if not isinstance(self.content, Content):
            names = ", ".join(content.value for content in Content)
            raise ValueError(f"content must be one of {names}, not {self.content!r}")  # noqa: TRY004
        if self.quota is not None and (
            not isinstance(self.quota, Quota) or self.status != _TOO_MANY_REQUESTS
        ):
            raise ValueError(
                f"quota goes with a status of 429 only, and is per_minute or per_day, not {self.quota!r}"
            )
        if self.retry_after is not None:
            self._check_retry_after(self.retry_after)
        if self.failures is not None and (not _is_whole(self.failures) or self.failures < 1):
            raise ValueError(f"failures must be a whole number from 1 up, or None, not {self.failures!r}")

    def _check_retry_after(self, retry_after: float) -> None:
        if not _is_duration(retry_after):
            raise ValueError(
                f"retry_after must be from 0 to {_LONGEST_DURATION} seconds, or None, not {retry_after!r}"
            )
        if self.status not in _STATUSES_THAT_INVITE_BACK:
            raise ValueError(f"retry_after goes with a status of 429 or 503 only, not {self.status}")

    def to_json(self) -> dict[str, object]:
        """Return the fields as JSON has them, ``fault`` by its value."""
        return {
            "status": self.status,
            "delay": self.delay,
            "fault": self.fault.value,
            "retry_after": self.retry_after,
            "failures": self.failures,
            "quota": None if self.quota is None else self.quota.value,
            "content": self.content.value,
        }

    @classmethod
    def from_json(cls, document: object) -> "Behaviour":
        """Read what ``to_json`` wrote; a field that is not there has its default.

        Raises ValueError for anything but an object, for an unknown field and for a bad value.
        """
        if not isinstance(document, Mapping):
            raise ValueError("a behaviour must be a JSON object")  # noqa: TRY004
        known = {field.name for field in fields(cls)}
        unknown = sorted(str(name) for name in document.keys() - known)
        if unknown:
            raise ValueError(f"a behaviour has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
        values = dict(document)
        for name, kind in (("fault", Fault), ("quota", Quota), ("content", Content)):
            for member in kind:
                if values.get(name) == member.value:
                    values[name] = member
        return cls(**values)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_duration(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return 0 <= value <= _LONGEST_DURATION
