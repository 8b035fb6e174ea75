"""Case SB-048: the address of Redis, as people write it, and what is in it that nobody may see."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from case_variants import both_kinds
from redis import Redis
from topology_certificates import Certificates, make_certificates
from verbs import CommandLine

from circuit_in_redis import CircuitInRedis, fail, new_breaker, succeed
from sharedbreaker import Operator, SettingsError, StoreError
from sharedbreaker.demo.redis_server import RedisServer, free_port
from sharedbreaker.store.fleet import Fleet

PASSWORD = "p@ss#w%/ö:?d"
QUOTED = quote(PASSWORD, safe="")
USER = "gemini-worker"
WAYS = ("tcp", "tls", "unix")


class Place:
    """A server that takes USER with PASSWORD over TCP, TLS and a unix socket."""

    def __init__(self, server: RedisServer, tls_port: int, certificates: Certificates) -> None:
        self.server = server
        self._tls_port = tls_port
        self._authority = quote(str(certificates.authority), safe="")
        self.admin = Redis(port=server.port, db=2, decode_responses=True)
        self.admin.execute_command("ACL", "SETUSER", USER, "on", f">{PASSWORD}", "~*", "+@all")

    def url(self, way: str, password: str = QUOTED) -> str:
        login = f"{USER}:{password}@"
        return {
            "tcp": f"redis://{login}127.0.0.1:{self.server.port}/2",
            "tls": f"rediss://{login}localhost:{self._tls_port}/2?ssl_ca_certs={self._authority}",
            "unix": f"unix://{login}{self.server.directory}/redis.sock?db=2",
        }[way]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    certificates = make_certificates(tmp_path_factory.mktemp("certificates"))
    tls_port = free_port()
    options = ("--unixsocket", "redis.sock", "--tls-port", str(tls_port), *certificates.server_options)
    with RedisServer(*options) as server:
        place = Place(server, tls_port, certificates)
        yield place
        place.admin.close()


@pytest.fixture(autouse=True)
def empty(place: Place) -> None:
    place.admin.flushall()


@both_kinds
@pytest.mark.parametrize("way", WAYS)
def test_sb048_every_form_of_url_connects(place: Place, way: str) -> None:
    """TCP, TLS with a CA of one's own, a socket with its database: user and odd password log in each way."""
    breaker = new_breaker(place.url(way))

    fail(breaker, 3)

    assert breaker.get_metrics()["redis_available"] is True
    assert CircuitInRedis(place.admin).field("state") == "open"
    assert USER in {one["user"] for one in place.admin.client_list()}


@both_kinds
@pytest.mark.parametrize("variable", ["SHAREDBREAKER_REDIS_URL", "REDIS_URL"])
def test_sb048_environment_tells_it_as_well(
    place: Place, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """The same URL in the environment leads to the same database."""
    monkeypatch.delenv("SHAREDBREAKER_REDIS_URL", raising=False)
    monkeypatch.setenv(variable, place.url("tls"))

    fail(new_breaker(None), 3)

    assert CircuitInRedis(place.admin).field("state") == "open"


@both_kinds
def test_sb048_timeout_of_the_breaker_holds_for_a_url(place: Place) -> None:
    """A URL that allows minutes, of a Redis that never answers, costs a call `redis_timeout` and no more."""
    url = f"{place.url('tcp')}?socket_timeout=300&socket_connect_timeout=300&retry_on_timeout=true"
    breaker = new_breaker(url, redis_timeout=0.05, redis_retry_interval=60)
    succeed(breaker)
    place.server.freeze()
    try:
        succeed(breaker)
    finally:
        place.server.thaw()
    assert breaker.get_metrics()["redis_available"] is False


@both_kinds
@pytest.mark.parametrize("trouble", ["wrong password", "nobody there"])
def test_sb048_password_is_shown_nowhere(
    place: Place, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    """Whatever goes wrong, the URL's password is in no log, repr, error, metric, look or line of the CLI."""
    caplog.set_level(logging.DEBUG)
    url = place.url("tcp", "open-%23-sesame")
    if trouble == "nobody there":
        url = url.replace(f":{place.server.port}/", f":{free_port()}/")
    breaker = new_breaker(url)
    succeed(breaker)
    told = [repr(breaker), str(breaker), str(breaker.get_metrics()), str(breaker.get_state())]
    told.append(str(breaker.export_prometheus_metrics()))
    operator = Operator("orders", redis=url)
    for act in (breaker.force_open, breaker.snapshot, operator.enable):
        with pytest.raises(StoreError) as caught:
            act()
        told += traceback.format_exception(caught.value)
    fleet = Fleet(url)
    told += [repr(fleet), fleet.address, str(fleet.look()), repr(operator)]
    for verb in (["status"], ["show", "orders"], ["doctor"], ["close", "orders"]):
        ran = CommandLine(url)(*verb)
        told += [ran.out, ran.err]
    told += [logging.Formatter().format(record) for record in caplog.records]
    assert "127.0.0.1" in "".join(told)
    assert not [text for text in told if "sesame" in text]


BROKEN = {
    "no scheme": "user:sesame@redis.example:6379/0",
    "another service": "http://user:sesame@redis.example/0",
    "Sentinel": "redis+sentinel://user:sesame@redis.example:26379/mymaster/0",
    "Cluster": "redis+cluster://user:sesame@redis.example:6379/0",
    "port in letters": "redis://user:sesame@redis.example:port/0",
    "option that does not exist": "redis://user:sesame@redis.example/0?sokcet_timeout=3",
    "option of TLS without TLS": "redis://user:sesame@redis.example/0?ssl_ca_certs=ca.crt",
    "database in letters": "redis://user:sesame@redis.example/first",
    "database in letters, in the query": "redis://user:sesame@redis.example/?db=first",
    "# in the password": "redis://user:1#sesame@redis.example:6379/0",
    "/ in the password": "redis://user:1/sesame@redis.example:6379/0",
    "? in the password": "redis://user:1?sesame@redis.example:6379/0",
    "# at the end": "redis://user:sesame@redis.example:6379/0#1",
    "socket without a path": "unix://user:sesame@",
}


@both_kinds
@pytest.mark.parametrize("url", list(BROKEN.values()), ids=list(BROKEN))
def test_sb048_broken_url_is_refused_where_it_is_given(url: str) -> None:
    """A URL that would lead elsewhere than it reads is a ValueError at once, and shows nothing of itself.

    Failed at first: a ``#``, ``/`` or ``?`` in a password made the user the host and the password's beginning
    its port, which the log then told; a database in letters was 0; a socket without a path was taken.
    """
    with pytest.raises(ValueError, match="the URL in redis cannot be read") as caught:
        new_breaker(url)

    told = "".join(traceback.format_exception(caught.value)[-1:])
    assert isinstance(caught.value, SettingsError)
    assert "%XX" in told
    assert "sesame" not in told
    assert "example" not in told


@pytest.mark.parametrize("scheme", ["redis+sentinel", "redis+cluster"])
def test_sb048_sentinel_and_cluster_are_told_to_hand_in_a_client(scheme: str) -> None:
    """Whoever writes a URL of Sentinel or of a Cluster, which redis-py has none of, is told what to do.

    Failed at first: the refusal said how a URL must look, and not that there is none for these.
    """
    with pytest.raises(SettingsError, match=r"Sentinel.*Cluster.*client"):
        new_breaker(f"{scheme}://redis.example:26379/0")
