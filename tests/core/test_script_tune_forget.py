"""Spoken to directly: lua/tune.lua and lua/forget.lua."""

from __future__ import annotations

import pytest
from redis import Redis, ResponseError
from spoken_scripts import admit, declare, everything, speak

from circuit_in_redis import OPEN_MS, CircuitInRedis


def tune(redis: Redis, request: str, *settings: str) -> list[str]:
    return speak(redis, "tune", "ann", "a reason", request, *settings)


def test_tuning_changes_what_is_in_force_and_keeps_what_is_declared(redis: Redis) -> None:
    """The tuned value is in force, the declared one beside it, with who, why and when."""
    declare(redis)

    assert tune(redis, "r1", "failure_threshold", "9") == ["changed"]

    fields = CircuitInRedis(redis).fields()
    assert (fields["failure_threshold"], fields["declared:failure_threshold"]) == ("9", "2")
    assert (fields["tuned_by"], fields["tuned_reason"]) == ("ann", "a reason")
    assert abs(int(fields["tuned_at"]) - CircuitInRedis(redis).now_ms()) < 60_000


def test_clearing_the_last_one_leaves_no_trace_in_the_hash(redis: Redis) -> None:
    """What was tuned and cleared again leaves the hash as it was, but for when leases are looked at next."""
    declare(redis)
    before = CircuitInRedis(redis).fields()

    tune(redis, "r1", "failure_threshold", "9", "open_timeout_ms", "5")
    tune(redis, "r2", "failure_threshold", "", "open_timeout_ms", "")

    assert {**CircuitInRedis(redis).fields(), "reclaim_at": ""} == {**before, "reclaim_at": ""}


def test_event_names_what_was_cleared(redis: Redis) -> None:
    """All that is as declared again is in it, in the order in which it was asked for, and nothing else."""
    declare(redis)
    tune(redis, "r1", "failure_threshold", "9", "open_timeout_ms", "5")

    tune(redis, "r2", "open_timeout_ms", "", "success_threshold", "3", "failure_threshold", "")

    tuned, cleared = CircuitInRedis(redis).events()[-2:]
    assert "cleared" not in tuned
    assert cleared["cleared"] == "open_timeout_ms failure_threshold"
    assert cleared["settings"] == f"open_timeout_ms={OPEN_MS} success_threshold=3 failure_threshold=2"


def test_request_that_is_sent_again_is_done_once(redis: Redis) -> None:
    """A request whose answer was lost is not done over what somebody else tuned since."""
    declare(redis)
    tune(redis, "r1", "failure_threshold", "9")
    tune(redis, "r2", "failure_threshold", "7")
    before = everything(redis)

    assert tune(redis, "r1", "failure_threshold", "9") == ["changed"]
    assert everything(redis) == before


def test_numbers_are_written_plainly(redis: Redis) -> None:
    """However a number was written, the hash has it in digits."""
    declare(redis)

    tune(redis, "r1", "failure_threshold", "1e3", "success_threshold", "0x10")

    assert CircuitInRedis(redis).field("failure_threshold") == "1000"
    assert CircuitInRedis(redis).field("success_threshold") == "16"


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("failure_threshold",),
        ("failure_threshold", "0"),
        ("failure_threshold", "-1"),
        ("failure_threshold", "1.5"),
        ("failure_threshold", "many"),
        ("state", "1"),
        ("idle_ttl_ms", "1"),
        ("success_threshold", "3", "state", "1"),
    ],
)
def test_wrong_settings_change_nothing(redis: Redis, settings: tuple[str, ...]) -> None:
    """What is no setting that decides, or no whole number from 1 on, is an error and changes not one byte."""
    declare(redis)
    before = everything(redis)

    with pytest.raises(ResponseError, match="tune takes"):
        tune(redis, "r1", *settings)

    assert everything(redis) == before


def test_what_expires_goes_on_to_expire_as_a_whole(redis: Redis) -> None:
    """Tuning a circuit with idle_ttl leaves no key that outlives it."""
    declare(redis, idle_ttl_ms=1_000_000)
    redis.delete("sharedbreaker:{orders}:events")

    tune(redis, "r1", "failure_threshold", "9")

    assert {key for key in redis.scan_iter() if redis.pttl(key) < 0} == set()


def test_tuning_of_no_circuit_is_undeclared(redis: Redis) -> None:
    """Tuning a circuit that is not there answers undeclared and makes none."""
    assert tune(redis, "r1", "failure_threshold", "9") == ["undeclared"]
    assert redis.dbsize() == 0


def test_forgetting_is_refused_while_calls_are_in_flight(redis: Redis) -> None:
    """With a lease that lasts nothing is removed, unless it is forced."""
    declare(redis)
    admit(redis, "t1")
    before = everything(redis)

    assert speak(redis, "forget", "0") == ["busy", "1"]
    assert everything(redis) == before
    assert speak(redis, "forget", "1") == ["forgotten", "1"]
    assert redis.dbsize() == 0


def test_leases_that_are_over_keep_nothing(redis: Redis) -> None:
    """Calls of the dead are no reason to keep a circuit."""
    declare(redis)
    admit(redis, "t1")
    CircuitInRedis(redis).elapse(10**9)

    assert speak(redis, "forget", "0") == ["forgotten", "0"]
    assert speak(redis, "forget", "0") == ["undeclared", "0"]
