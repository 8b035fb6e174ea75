"""Each row of the table of outcomes, brought about with the real SDKs; and the docs show the same rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timezone

import pytest
from addresses import Address
from outcome_docs import BEGIN, END, PAGE, rendered
from sdk_servers import all_servers as all_servers
from sdk_servers import arrange as arrange
from sdk_servers import servers as servers
from situations import NOTHING, SITUATIONS, Situation, Trouble
from ways import WAYS, Ask, Way

from sharedbreaker.circuit.outcome import Outcome
from sharedbreaker.demo.google_ai_server import Behaviour
from sharedbreaker.google_errors import outcome_of, retry_after_of

NOON_PACIFIC = datetime(2026, 7, 1, 19, tzinfo=timezone.utc)


def cases() -> Iterator[object]:
    for situation in SITUATIONS:
        for way in WAYS:
            for ask in situation.asks:
                if situation.raised_by(way.column, ask) is not None:
                    yield pytest.param(situation, way, ask, id=f"{situation.title}-{way.name}-{ask}")


@pytest.mark.filterwarnings("ignore:The generate_images method is deprecated")
# A broken answer leaves the SDKs' sockets to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("situation", "way", "ask"), list(cases()))
def test_a_situation_is_what_the_table_says(
    arrange: Callable[[Behaviour | Trouble], Address], situation: Situation, way: Way, ask: Ask
) -> None:
    """The SDK raises what the row says, which has the row's outcome and asks for the row's time."""
    address = arrange(situation.server)
    error: BaseException | None = None
    try:
        way.call(address, ask, situation.timeout)
    except Exception as raised:
        error = raised

    assert (NOTHING if error is None else type(error).__name__) == situation.raised_by(way.column, ask), error
    assert (Outcome.SUCCESS if error is None else outcome_of(error)) is situation.outcome
    if error is not None:
        assert retry_after_of(error, now=NOON_PACIFIC) == situation.seconds


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
@pytest.mark.parametrize("ask", [Ask.WHOLE, Ask.STREAM, Ask.CHAT, Ask.CHAT_STREAM, Ask.TEXT])
def test_a_healthy_call_returns(
    arrange: Callable[[Behaviour | Trouble], Address], way: Way, ask: Ask
) -> None:
    """What the table is tried out with works where nothing is wrong."""
    answer = way.call(arrange(Behaviour()), ask, 10)

    if ask is Ask.TEXT:
        assert answer == "You asked: hi"
    elif ask in {Ask.STREAM, Ask.CHAT_STREAM}:
        assert "".join(piece.text for piece in answer) == "You asked: hi"
    else:
        assert answer.text == "You asked: hi"


def test_the_docs_show_these_rows() -> None:
    """The table in the docs is the one that is tested; `make docs` writes it."""
    page = PAGE.read_text()

    assert page[page.index(BEGIN) + len(BEGIN) : page.index(END)] == rendered()
