"""One circuit for each name in each namespace: none is another's, and none is cut where it is shown."""

from __future__ import annotations

import pytest
from redis import Redis
from verbs import CommandLine
from verbs import command as command
from web_servers import TOKEN, behind_flask

from circuit_in_redis import be_rejected, fail, new_breaker, succeed
from sharedbreaker import CircuitState, Operator, SettingsError
from sharedbreaker.integrations.web import BreakerSite
from sharedbreaker.store.fleet import Fleet

AWKWARD = [
    "a:b",
    "a",
    "b",
    "a/b",
    "a/../b",
    "..",
    "-x",
    "--all",
    "a:b:leases",
    "a:events",
    "breakers",
    "n" * 128,
]
REFUSED = [
    *(
        "http://x/y?z#q",
        "ünï",
        "a b",
        "a*",
        "a?",
        "[ab]",
        "",
        "n" * 129,
        "n" * 200,
        "a{b}",
        "a\n",
        "a'b",
        'a"b',
    ),
    *(b"a", 1, None),
]
RULE = r"must be 1 to 128 of letters, digits and _ - \. : /"


def test_sb026_breakers_of_other_names_and_apps_keep_to_themselves(redis: Redis) -> None:
    """Only the circuit that tripped is open: neither siblings nor a namesake of another app."""
    text, vision, imagen = (
        new_breaker(redis, name=name, prefix="shop") for name in ("text", "vision", "imagen")
    )
    namesake = new_breaker(redis, name="text", prefix="staging")
    for breaker in (text, vision, imagen, namesake):
        succeed(breaker)

    fail(text, 3)

    be_rejected(text)
    for breaker in (vision, imagen, namesake):
        succeed(breaker)
        assert breaker.get_state()["failure_count"] == 0
    hashes = set(redis.scan_iter(_type="hash"))
    assert hashes == {"shop:{text}", "shop:{vision}", "shop:{imagen}", "staging:{text}"}
    assert redis.smembers("staging:breakers") == {"text"}


def test_sb026_unnamed_breakers_say_where_they_are(redis: Redis) -> None:
    """A breaker without a name has one that is seen in its key, its errors and its figures."""
    breaker = new_breaker(redis, name="circuit_breaker", failure_threshold=1)
    fail(breaker)

    assert be_rejected(breaker).name == "circuit_breaker"
    assert redis.exists("sharedbreaker:{circuit_breaker}")


def test_sb026_namespace_comes_from_the_environment(
    redis: Redis, command: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SHAREDBREAKER_PREFIX is the prefix wherever the code says none, and code that says one is obeyed.

    Failed at first: the prefix could be set in code alone, so that apps on one Redis shared their circuits
    unless each place that makes a breaker, an operator or a page had been told.
    """
    monkeypatch.setenv("SHAREDBREAKER_PREFIX", "staging")
    succeed(new_breaker(redis))
    succeed(new_breaker(redis, prefix="shop"))

    assert redis.exists("staging:{orders}", "shop:{orders}") == 2
    assert not redis.exists("sharedbreaker:{orders}")
    Operator("orders", redis=redis).force_open()
    assert [circuit.state for circuit in Fleet(redis).look().circuits] == [CircuitState.OPEN]
    with behind_flask(BreakerSite(whole_fleet=True, redis=redis), int) as client:
        assert client.get("/api/circuit-breakers/state?name=orders").document["breaker"]["state"] == "open"
        assert 'circuit_breaker_state{name="orders"} 2.0' in client.get("/metrics").body.decode()
    assert command("status", SHAREDBREAKER_PREFIX="staging").exit_code == 4
    assert command("status", SHAREDBREAKER_PREFIX="shop").exit_code == 0
    assert command("status", "--prefix", "shop", SHAREDBREAKER_PREFIX="staging").exit_code == 0


def test_sb026_namespace_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prefix of the environment that no key may have is a SettingsError that names the variable."""
    monkeypatch.setenv("SHAREDBREAKER_PREFIX", "a {b}")
    with pytest.raises(SettingsError, match="SHAREDBREAKER_PREFIX must be 1 to 128 of letters"):
        new_breaker(None)


def test_sb027_awkward_names_are_exact_everywhere(redis: Redis, command: CommandLine) -> None:
    """Each name is listed whole, and acting on it through API, CLI and HTTP changes that circuit alone."""
    for name in AWKWARD:
        succeed(new_breaker(redis, name=name))
    fleet = Fleet(redis)
    site = BreakerSite(whole_fleet=True, redis=redis, token=TOKEN)

    def states() -> dict[str, str]:
        return {circuit.name: circuit.state.value for circuit in fleet.look().circuits}

    all_closed = dict.fromkeys(AWKWARD, "closed")
    assert states() == all_closed
    assert {circuit["name"] for circuit in command("status", "--json").json["circuits"]} == set(AWKWARD)
    with behind_flask(site, int) as client:
        for name in AWKWARD:
            fail(new_breaker(redis, name=name), 3)
            assert states() == {**all_closed, name: "open"}
            assert command("close", "--json", "--", name).exit_code == 0
            assert states() == all_closed
            assert client.act({"name": name, "act": "force_open", "reason": "a test"}).status == 200
            assert client.get(f"/api/circuit-breakers/state?name={name}").document["breaker"]["name"] == name
            assert states() == {**all_closed, name: "open"}
            Operator(name, redis=redis).force_close()
            assert states() == all_closed
        assert set(client.get("/api/circuit-breakers/metrics").document["breakers"]) == set(AWKWARD)


@pytest.mark.parametrize("name", REFUSED, ids=repr)
def test_sb027_other_names_are_refused_where_they_enter(redis: Redis, name: object) -> None:
    """A name that a key, label or shell could mistake is refused at construction, with the rule."""
    with pytest.raises(SettingsError, match=RULE):
        new_breaker(redis, name=name)
    with pytest.raises(SettingsError, match=RULE):
        Operator(name, redis=redis)  # type: ignore[arg-type]
    if name is not None:
        with pytest.raises(SettingsError, match=RULE):
            new_breaker(redis, prefix=name)


def test_sb027_namespace_and_name_are_told_apart(redis: Redis) -> None:
    """'x:y' in 'n' and 'y' in 'n:x' are two circuits with two keys and two lists."""
    one, other = new_breaker(redis, name="x:y", prefix="n"), new_breaker(redis, name="y", prefix="n:x")
    fail(one, 3)
    succeed(other)

    be_rejected(one)
    assert set(redis.scan_iter(_type="hash")) == {"n:{x:y}", "n:x:{y}"}
    assert [circuit.name for circuit in Fleet(redis, prefix="n").look().circuits] == ["x:y"]
    assert [circuit.name for circuit in Fleet(redis, prefix="n:x").look().circuits] == ["y"]
