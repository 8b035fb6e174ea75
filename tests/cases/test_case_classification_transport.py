"""Cases SB-073 and SB-075: errors below HTTP, and answers that cannot be read, are failures."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from case_google import GoogleCircuits, every_way, needs_genai, needs_generativeai, of_google, raised_by
from case_google import all_servers as all_servers
from case_google import circuits as circuits
from case_google import servers as servers
from redis import Redis
from situations import Trouble
from ways import (
    MODEL,
    Ask,
    Way,
    genai_client,
    generativeai,
    protocol,
)

from circuit_in_redis import CircuitInRedis
from sharedbreaker import CircuitBreaker, CircuitBreakerError
from sharedbreaker.demo.google_ai_server import Behaviour, Fault
from sharedbreaker.google_errors import outcome_of
from sharedbreaker.integrations import google_genai, google_generativeai

pytestmark = of_google


@every_way
@pytest.mark.parametrize("trouble", [Trouble.REFUSED, Fault.HANG, Fault.CUT, Fault.RESET_MID_ANSWER], ids=str)
def test_sb073_transport_errors_open_the_circuit(
    circuits: GoogleCircuits, way: Way, trouble: Trouble | Fault
) -> None:
    """Refused, silent, cut and reset: five such calls open the circuit, over whatever stack the SDK goes."""
    address = circuits.servers.arrange(Behaviour(fault=trouble) if isinstance(trouble, Fault) else trouble)
    ask = Ask.STREAM if trouble is Fault.RESET_MID_ANSWER else Ask.WHOLE
    timeout = 0.05 if trouble is Fault.HANG else 10
    *errors, rejection = circuits.calls(way, [ask] * 6, timeout, address)

    assert isinstance(rejection, CircuitBreakerError)
    circuit = circuits.circuit()
    assert (circuit.field("state"), circuit.number("failed_calls")) == ("open", 5)
    # What it was is told by the class that the stack has for it.
    assert str(circuit.field("last_failure_type")).startswith(type(errors[-1]).__qualname__)


def auth_is_away(token_uri: str) -> Any:
    """Give credentials that have to be renewed where nobody answers."""
    from google.oauth2.credentials import Credentials

    return Credentials(token=None, refresh_token="r", token_uri=token_uri, client_id="c", client_secret="s")


@needs_generativeai
def test_sb073_an_auth_server_that_is_away_is_a_failure_under_the_old_sdk(circuits: GoogleCircuits) -> None:
    """google.auth's TransportError, out of the REST transport, counts as the connection error that it is."""
    from google.api_core.client_options import ClientOptions

    model = generativeai().GenerativeModel(MODEL)
    model._client = protocol().GenerativeServiceClient(
        transport="rest",
        credentials=auth_is_away(circuits.servers.arrange(Trouble.REFUSED).url),
        client_options=ClientOptions(api_endpoint=circuits.servers.address.url),
    )
    guarded = google_generativeai.guard(model, **circuits.pairs)
    error = raised_by(lambda: guarded.generate_content("hi"))

    assert type(error).__module__ == "google.auth.exceptions"
    assert circuits.circuit().number("failed_calls") == 1


@needs_genai
def test_sb073_an_auth_server_that_is_away_is_a_failure_under_the_new_sdk(circuits: GoogleCircuits) -> None:
    """The same for google-genai with credentials of Vertex."""
    from google import genai
    from google.genai import types

    client = genai.Client(
        vertexai=True,
        project="p",
        location="us-central1",
        credentials=auth_is_away(circuits.servers.arrange(Trouble.REFUSED).url),
        http_options=types.HttpOptions(base_url=circuits.servers.address.url, timeout=5000),
    )
    with google_genai.guard(client, **circuits.pairs) as guarded:
        error = raised_by(lambda: guarded.models.generate_content(model=MODEL, contents="hi"))

    assert type(error).__module__ == "google.auth.exceptions"
    assert circuits.circuit().number("failed_calls") == 1


WITHOUT_ANYTHING = """
import sys
for name in ("google", "grpc", "httpx", "httpx2", "httpcore", "aiohttp", "requests", "urllib3"):
    sys.modules[name] = None
import sharedbreaker, sharedbreaker.google_ai, sharedbreaker.google_errors
from sharedbreaker.integrations import google_genai, google_generativeai
for sdk in (google_genai, google_generativeai):
    print(sdk.outcome_of(TimeoutError()), sdk.outcome_of(OSError()))
"""


def test_sb073_nothing_of_this_is_imported() -> None:
    """The package and both guards' modules are there without any SDK or HTTP library, and judge errors."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ANYTHING], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["failure", "ignored"] * 2


BAD_DATA = [Fault.ERROR_MID_STREAM, Fault.CUT_MID_ANSWER, Fault.BROKEN_JSON, Fault.DOUBLED_JSON]


@every_way
@pytest.mark.parametrize("fault", BAD_DATA, ids=str)
def test_sb075_bad_data_in_a_stream_opens_the_circuit(
    circuits: GoogleCircuits, way: Way, fault: Fault
) -> None:
    """An error, half an object or two at once after a good piece: five such streams open the circuit.

    google-generativeai over REST swallows an error in a stream, as docs/google-ai.md says, and reads what
    stands there twice as two pieces. Over gRPC, only the error can come.
    """
    if "grpc" in way.name:
        fault = Fault.ERROR_MID_STREAM
    circuits.servers.behave(Behaviour(fault=fault))
    *answers, last = circuits.calls(way, [Ask.STREAM] * 6)

    swallowed = way.name == "generativeai-rest" and fault in {Fault.ERROR_MID_STREAM, Fault.DOUBLED_JSON}
    assert all(isinstance(answer, list) == swallowed for answer in answers)
    assert isinstance(last, CircuitBreakerError) is not swallowed
    assert circuits.circuit().field("state") == ("closed" if swallowed else "open")


def test_sb075_bad_data_of_ones_own_is_ignored(redis: Redis) -> None:
    """The same ValueErrors, raised by what a user's own code reads, say nothing about Google."""
    breaker = CircuitBreaker(
        name="own", redis=redis, redis_timeout=5, failure_threshold=2, expected_exception=outcome_of
    )
    for call in (lambda: json.loads("{}{}"), lambda: json.loads('{"a'), lambda: int("x")):
        for _ in range(2):
            with pytest.raises(ValueError, match=r"."):
                breaker.call(call)

    assert CircuitInRedis(redis, "own").numbers("ignored_calls", "failed_calls") == {
        "ignored_calls": 6,
        "failed_calls": 0,
    }


@needs_genai
def test_sb075_a_reader_of_a_stream_who_fails_is_not_the_service(circuits: GoogleCircuits) -> None:
    """A ValueError of the loop that reads a stream is the reader's: a stream that is closed is released."""
    with genai_client(circuits.servers.address, 10) as client:
        stream: Any = google_genai.guard(client, **circuits.pairs).models.generate_content_stream(
            model=MODEL, contents="hi"
        )

        def read() -> None:
            for piece in stream:
                int(piece.text)

        assert type(raised_by(read)) is ValueError
        stream.close()

    tallies = {name: count for name, count in circuits.circuit().tallies().items() if count}
    assert tallies == {"released_calls": 1}
