"""Cases SB-070 to SB-072: a 429 says for how long to stay away, from which quota, and of one model only."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any

import pytest
from case_google import GoogleCircuits, every_way, needs_genai, of_google, raised_by, raising
from case_google import all_servers as all_servers
from case_google import circuits as circuits
from case_google import servers as servers
from case_quotas import SHAPES, Detail, as_grpc_says, quota_failure, retry_info
from held_call import HeldCall
from redis import Redis
from sdk_servers import Servers
from ways import MODEL, Ask, Way, genai_client

from circuit_in_redis import CircuitInRedis
from sharedbreaker import CircuitBreaker, CircuitBreakerError
from sharedbreaker.demo.google_ai_server import Behaviour, GoogleAiService, Quota
from sharedbreaker.google_errors import outcome_of, retry_after_of
from sharedbreaker.integrations import google_genai

pytestmark = of_google
PER_MINUTE = "GenerateRequestsPerMinutePerProjectPerModel"
PER_DAY = "GenerateRequestsPerDayPerProjectPerModel"
NOON_PACIFIC = dt.datetime(2026, 7, 1, 19, tzinfo=dt.timezone.utc)
HOUR = 3600.0


def new_breaker(redis: Redis, **settings: Any) -> CircuitBreaker:
    every: dict[str, Any] = {
        "name": "own",
        "failure_threshold": 1,
        "success_threshold": 1,
        "timeout": 1,
        "expected_exception": outcome_of,
        "retry_after_of": retry_after_of,
        "redis_timeout": 5,
        **settings,
    }
    return CircuitBreaker(redis=redis, **every)


def open_period(circuit: CircuitInRedis) -> float:
    """For how many seconds the circuit is open in all."""
    return (circuit.number("open_until") - circuit.number("opened_at")) / 1000


in_json = [shape for shape in SHAPES if shape is not as_grpc_says]


@every_way
@pytest.mark.parametrize(("asked", "seconds"), [(3, 3.0), (0.5, 1.0), (None, 1.0), (86_400, 20.0)], ids=str)
def test_sb070_the_delay_that_google_asks_for_is_kept(
    circuits: GoogleCircuits, way: Way, asked: float | None, seconds: float
) -> None:
    """Open for the longer of `timeout` and the delay, for `max_timeout` at most, and a rejection says so.

    Failed at first: a delay that was shorter than `timeout` made the circuit probe sooner than that.
    """
    circuits.pairs = circuits.new_pairs(failure_threshold=1, timeout=1, max_timeout=20)
    circuits.servers.behave(Behaviour(status=429, retry_after=asked))
    error, rejection = circuits.calls(way, [Ask.WHOLE] * 2)

    assert not isinstance(error, CircuitBreakerError)
    assert open_period(circuits.circuit()) == seconds
    assert isinstance(rejection, CircuitBreakerError)
    assert rejection.retry_after is not None
    assert seconds - 1 < rejection.retry_after <= seconds


@pytest.mark.parametrize("shape", in_json)
@pytest.mark.parametrize(
    "delay",
    [
        "",
        "s",
        "soon",
        "-3s",
        "nans",
        "infs",
        "1e999s",
        "3 minutes",
        "0x3s",
        None,
        True,
        {},
        ["3s"],
        "9" * 400 + "s",
    ],
    ids=lambda delay: str(delay)[:10],
)
def test_sb070_a_delay_that_makes_no_sense_is_none(redis: Redis, shape: Any, delay: Any) -> None:
    """Whatever stands where a delay should be, the caller gets the 429, and the circuit opens as without."""
    breaker = new_breaker(redis, max_timeout=20)
    error = shape(retry_info(delay))

    assert raised_by(lambda: breaker.call(raising(error))) is error
    assert open_period(CircuitInRedis(redis, "own")) == 1.0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "details",
    [
        [],
        [retry_info("0s")],
        [quota_failure()],
        [quota_failure("")],
        [quota_failure("SomethingNew")],
    ],
    ids=str,
)
def test_sb070_a_429_that_says_little_opens_for_timeout(
    redis: Redis, shape: Any, details: list[Detail]
) -> None:
    """Details without a delay, or without anything in them, are as good as none."""
    breaker = new_breaker(redis)
    raised_by(lambda: breaker.call(raising(shape(*details))))

    assert open_period(CircuitInRedis(redis, "own")) == 1.0


@pytest.mark.parametrize(
    "details", [None, "no", {"a": 1}, [None], ["no"], [[]], [{"@type": 3}], [{}]], ids=str
)
@needs_genai
def test_sb070_details_of_any_form_break_nothing(redis: Redis, details: Any) -> None:
    """Where Google's details are of another form than ever, the caller still gets the 429."""
    from google.genai import errors

    breaker = new_breaker(redis)
    for body in ({"error": {"code": 429, "details": details}}, {"error": details}, details):
        error = errors.ClientError(429, body if isinstance(body, dict) else {})
        error.details = body
        assert raised_by(partial(breaker.call, raising(error))) is error
        breaker.force_close()

    assert CircuitInRedis(redis, "own").number("failed_calls") == 3


@pytest.mark.parametrize("shape", SHAPES[:1])
@pytest.mark.parametrize(("first", "later"), [(30, 3), (3, 30)])
def test_sb070_a_hint_while_open_never_shortens(redis: Redis, shape: Any, first: int, later: int) -> None:
    """The failure that opens the circuit says for how long; one that was under way then comes too late."""
    breaker = new_breaker(redis)
    late, opening = HeldCall(breaker), HeldCall(breaker)
    opening.end(shape(retry_info(f"{first}s")))
    circuit = CircuitInRedis(redis, "own")
    open_until = circuit.number("open_until")
    late.end(shape(retry_info(f"{later}s")))

    assert open_period(circuit) == first
    assert circuit.number("open_until") == open_until
    assert circuit.numbers("failed_calls", "late_results") == {"failed_calls": 2, "late_results": 1}


@pytest.mark.parametrize("shape", SHAPES[:1])
def test_sb070_a_probe_that_is_told_to_stay_away_does(redis: Redis, shape: Any) -> None:
    """The delay of a probe's 429 is kept as that of the call that opened the circuit."""
    breaker = new_breaker(redis)
    raised_by(lambda: breaker.call(raising(shape(retry_info("2s")))))
    circuit = CircuitInRedis(redis, "own")
    circuit.elapse(2000)
    raised_by(lambda: breaker.call(raising(shape(retry_info("7s")))))

    assert circuit.transitions() == {"closed_to_open": 1, "open_to_half_open": 1, "half_open_to_open": 1}
    assert open_period(circuit) == 7


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("quota_ids", "seconds"),
    [
        ([PER_MINUTE], 47.0),
        ([PER_DAY], HOUR),
        ([PER_MINUTE, PER_DAY], HOUR),
        ([PER_DAY, PER_MINUTE], HOUR),
        (["GenerateRequestsPerMonthPerProject"], HOUR),
        (["GenerateRequestsPerWeekPerProject"], HOUR),
        (["GenerateContentInputTokensPerModelPerDay-FreeTier"], HOUR),
    ],
    ids=str,
)
def test_sb071_the_short_hint_of_a_long_quota_is_a_lie(
    shape: Any, quota_ids: list[str], seconds: float
) -> None:
    """A quota of a day or more that is used up keeps calls away for an hour, whatever the RetryInfo says.

    Failed at first: the RetryInfo of a quota of a week or a month was believed.
    """
    error = shape(quota_failure(*quota_ids), retry_info("47s"))

    assert retry_after_of(error, now=NOON_PACIFIC) == seconds


@every_way
@pytest.mark.parametrize("quota", Quota)
def test_sb071_the_kind_of_quota_can_be_seen(circuits: GoogleCircuits, way: Way, quota: Quota) -> None:
    """The hash and the event of the opening say that it was a quota, and which, by the time it asks for.

    Failed at first: of google-genai's 429 they said `ClientError`, as of each error from 400 up.
    """
    circuits.pairs = circuits.new_pairs(failure_threshold=1, timeout=1)
    circuits.servers.behave(Behaviour(status=429, quota=quota, retry_after=47))
    [error] = circuits.calls(way, [Ask.WHOLE])
    circuit = circuits.circuit()

    kind = f"{type(error).__name__} 429"
    assert circuit.field("last_failure_type") == circuit.events()[-1]["exception"] == kind
    asked_for = circuit.number("retry_after_ms")
    assert circuit.events()[-1]["retry_after_ms"] == str(asked_for)
    assert asked_for == 47_000 if quota is Quota.PER_MINUTE else asked_for <= 3_600_000


@needs_genai
@pytest.mark.parametrize(("quota", "period"), [(Quota.PER_DAY, 300.0), (Quota.PER_MINUTE, 47.0)])
def test_sb071_a_used_up_quota_is_probed_at_a_bounded_rate(
    circuits: GoogleCircuits, quota: Quota, period: float
) -> None:
    """Twenty times the open period passes: in each, one probe of the whole fleet asks, and is told no.

    A quota per day is asked for every five minutes by default, which is `max_timeout`, and not every 47 s.
    """
    circuits.servers.rest.behave(GoogleAiService.TEXT, Behaviour(status=429, quota=quota, retry_after=47))
    fleet = [circuits.new_pairs(failure_threshold=1, timeout=1) for _ in range(3)]
    with genai_client(circuits.servers.address, 10) as client:
        guarded = [google_genai.guard(client, **pairs) for pairs in fleet]
        for cycle in range(21):
            for one in guarded:
                error = raised_by(partial(one.models.generate_content, model=MODEL, contents="hi"))
                assert isinstance(error, CircuitBreakerError) == (one is not guarded[0])
            assert circuits.requests() == cycle + 1
            assert open_period(circuits.circuit()) == pytest.approx(period, abs=0.001)
            circuits.circuit().elapse(int(period * 1000))

    circuit = circuits.circuit()
    assert circuit.numbers("failed_calls", "rejected_calls") == {"failed_calls": 21, "rejected_calls": 42}
    assert circuit.transitions() == {"closed_to_open": 1, "open_to_half_open": 20, "half_open_to_open": 20}


@every_way
def test_sb072_a_quota_of_text_stops_text_only(circuits: GoogleCircuits, way: Way) -> None:
    """Ten times 429 for texts reject texts; pictures, which have another quota, are drawn."""
    circuits.servers.behave(Behaviour(status=429, quota=Quota.PER_MINUTE, retry_after=30))
    *_, rejection = circuits.calls(way, [Ask.WHOLE] * 10)
    circuits.servers.behave(Behaviour())
    [picture] = circuits.calls(way, [Ask.PICTURE])

    assert isinstance(rejection, CircuitBreakerError)
    assert not isinstance(picture, Exception)
    for role in ("vision", "imagen"):
        assert circuits.pairs[role][0].get_metrics()["state"] == "closed"


@needs_genai
def test_sb072_each_model_and_tenant_may_have_a_circuit(servers: Servers, redis: Redis) -> None:
    """Breakers named after a model or a user's key stop by themselves, and each is one series of metrics."""
    names = ["google_ai:gemini-2.5-pro", "google_ai:gemini-2.5-flash", "tenant/acme.example", "tenant/other"]
    breakers = {name: new_breaker(redis, name=name, failure_threshold=2) for name in names}
    with genai_client(servers.address, 10) as client:
        guarded = {name: google_genai.guard(client, text=breaker) for name, breaker in breakers.items()}
        servers.behave(Behaviour(status=429, quota=Quota.PER_MINUTE, retry_after=30))
        for _ in range(2):
            raised_by(lambda: guarded[names[0]].models.generate_content(model=MODEL, contents="hi"))
        servers.behave(Behaviour())
        rejection = raised_by(lambda: guarded[names[0]].models.generate_content(model=MODEL, contents="hi"))
        for name in names[1:]:
            assert guarded[name].models.generate_content(model=MODEL, contents="hi").text

    assert isinstance(rejection, CircuitBreakerError)
    assert rejection.name == names[0]
    pages = "".join(breaker.export_prometheus_metrics() for breaker in breakers.values())
    for name in names:
        assert pages.count(f'circuit_breaker_state{{name="{name}"}}') == 1
