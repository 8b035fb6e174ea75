"""What each service of the local Google AI server writes down about the calls it gets."""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from time import time

from sharedbreaker.demo.google_ai_server.behaviour import GoogleAiService

JOURNAL_LENGTH = 100_000


@dataclass(frozen=True)
class JournalEntry:
    """One call.

    ``started_at`` is when its headers had been read and ``ended_at`` when its answer was about to be
    written or its connection cut, in seconds of the wall clock (``time.time``). ``answered`` is how
    it ended, in the words of ``Books.answered``. While the call is in flight ``ended_at`` is None and
    ``answered`` is empty.
    """

    service: GoogleAiService
    started_at: float
    ended_at: float | None
    answered: str


@dataclass(frozen=True)
class Books:
    """What a service has counted since it started or since its books were last reset.

    ``arrived`` is how many calls reached it. ``answered`` says how many of them ended how: by HTTP
    status ("200", "503"), by fault ("hang", "cut", "cut_mid_answer", "broken_json"), or
    "abandoned" when the client left while its answer was delayed.
    ``in_flight`` is how many calls are being dealt with now, those from before a reset included,
    and ``peak_in_flight`` is the highest that number has been.

    A call stops being in flight just before its answer is written, so whoever holds the answer
    finds it in the books, and calls made one after the other never count as two at a time.
    """

    arrived: int
    answered: Mapping[str, int]
    in_flight: int
    peak_in_flight: int


@dataclass
class Call:
    """A call in the books; ``ending`` is the moment and the manner of its end, None in flight."""

    page: "_Page"
    started_at: float
    ending: tuple[float, str] | None = None


@dataclass
class _Page:
    """Everything that a reset starts afresh."""

    peak_in_flight: int
    arrived: int = 0
    answered: Counter[str] = field(default_factory=Counter)
    calls: deque[Call] = field(default_factory=lambda: deque(maxlen=JOURNAL_LENGTH))


class Ledger:
    """The books of one service as they are being kept, by any number of threads."""

    def __init__(self, service: GoogleAiService) -> None:
        self._service = service
        self._lock = Lock()
        self._in_flight = 0
        self._page = _Page(peak_in_flight=0)

    def open_call(self, started_at: float) -> Call:
        """Write down that a call arrived at ``started_at``, seconds of the wall clock."""
        with self._lock:
            page = self._page
            call = Call(page, started_at)
            page.calls.append(call)
            page.arrived += 1
            self._in_flight += 1
            page.peak_in_flight = max(page.peak_in_flight, self._in_flight)
            return call

    def close_call(self, call: Call, answered: str) -> None:
        """Write down that ``call`` ends now, and how; a call that has ended stays as it is."""
        with self._lock:
            if call.ending is not None:
                return
            # On the call's own page: an answer to a call from before a reset would make more
            # answers than arrivals.
            call.page.answered[answered] += 1
            call.ending = (time(), answered)
            self._in_flight -= 1

    def reset(self) -> None:
        """Start afresh; the calls in flight stay in flight and end on the old page."""
        with self._lock:
            self._page = _Page(peak_in_flight=self._in_flight)

    def books(self) -> Books:
        """Return the counts as they are now."""
        with self._lock:
            return Books(
                arrived=self._page.arrived,
                answered=dict(self._page.answered),
                in_flight=self._in_flight,
                peak_in_flight=self._page.peak_in_flight,
            )

    def journal(self) -> list[JournalEntry]:
        """Return the newest ``JOURNAL_LENGTH`` calls, oldest first."""
        with self._lock:
            calls = list(self._page.calls)
        return [self._entry(call) for call in calls]

    def _entry(self, call: Call) -> JournalEntry:
        ended_at, answered = call.ending or (None, "")
        return JournalEntry(self._service, call.started_at, ended_at, answered)
