"""One Redis server over TCP, TLS and a unix socket: with and without a password, RESP2 and RESP3."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from redis import Redis
from topology_certificates import Certificates, make_certificates
from topology_lifecycle import SharedCircuit, check_lifecycle, fail, new_breaker, succeed

from sharedbreaker import SettingsError, StoreError
from sharedbreaker.demo.redis_server import NoRedisServerError, RedisServer, free_port

PASSWORD = "p@ss:w/o?r#d%41 é+&=[]"
PROTOCOLS = (2, 3)


class Server:
    """A server that listens in three ways at once.

    The port of RedisServer itself stays open: this is how its readiness is seen.
    """

    def __init__(self, certificates: Certificates) -> None:
        self.certificates = certificates
        self.tls_port = free_port()
        tls = ("--tls-port", str(self.tls_port), *certificates.server_options)
        socket = ("--unixsocket", "redis.sock")
        self.has_tls = True
        self._server = RedisServer(*tls, *socket)
        try:
            self._server.start()
        except NoRedisServerError:
            self.has_tls = False
            self._server = RedisServer(*socket)
            self._server.start()
        self.port = self._server.port
        self.socket = self._server.directory / "redis.sock"
        # One connection that stays, so that no change of the password concerns it.
        self.admin = Redis(port=self.port, db=2, decode_responses=True, single_connection_client=True)

    def need(self, way: str) -> None:
        """Skip what this server was built without."""
        if way == "tls" and not self.has_tls:
            pytest.skip("the Redis server here was built without TLS: install the package redis-server")

    def close(self) -> None:
        self.admin.close()
        self._server.close()

    def require(self, password: str | None) -> None:
        """Start anew: empty, with this password, and with nobody logged in."""
        self.admin.flushall()
        self.admin.config_set("requirepass", password or "")
        self.admin.client_kill_filter(_type="normal", skipme=True)

    def url(self, way: str, password: str | None, protocol: int) -> str:
        self.need(way)
        login = f":{quote(password, safe='')}@" if password else ""
        authority = quote(str(self.certificates.authority), safe="")
        return {
            "tcp": f"redis://{login}127.0.0.1:{self.port}/2?protocol={protocol}",
            "tls": f"rediss://{login}127.0.0.1:{self.tls_port}/2?protocol={protocol}&ssl_ca_certs={authority}",
            "unix": f"unix://{login}{self.socket}?db=2&protocol={protocol}",
        }[way]

    def client(self, way: str, password: str | None, protocol: int) -> Redis:
        self.need(way)
        if way == "tcp":
            return Redis(port=self.port, db=2, password=password, protocol=protocol)
        if way == "unix":
            return Redis(unix_socket_path=str(self.socket), db=2, password=password, protocol=protocol)
        return Redis(
            host="localhost",
            port=self.tls_port,
            db=2,
            password=password,
            protocol=protocol,
            ssl=True,
            ssl_ca_certs=str(self.certificates.authority),
            decode_responses=True,
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(make_certificates(tmp_path_factory.mktemp("certificates")))
    yield server
    server.close()


@pytest.fixture
def circuit(server: Server) -> SharedCircuit:
    """The circuit's keys in database 2, which all tests here use."""
    return SharedCircuit(server.admin)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("password", [None, PASSWORD], ids=["open", "password"])
@pytest.mark.parametrize("way", ["tcp", "tls", "unix"])
def test_lifecycle_over_urls(
    server: Server, circuit: SharedCircuit, way: str, password: str | None, protocol: int
) -> None:
    """Two breakers that are given a URL share one circuit, in the URL's database and protocol."""
    server.require(password)
    url = server.url(way, password, protocol)

    check_lifecycle(new_breaker(url), new_breaker(f"{url}&socket_timeout=4"), circuit)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("password", [None, PASSWORD], ids=["open", "password"])
@pytest.mark.parametrize("way", ["tcp", "tls", "unix"])
def test_lifecycle_over_clients(
    server: Server, circuit: SharedCircuit, way: str, password: str | None, protocol: int
) -> None:
    """Two breakers that are given a client each share one circuit, and the clients stay as they were."""
    server.require(password)
    clients = [server.client(way, password, protocol) for _ in range(2)]
    before = [dict(client.connection_pool.connection_kwargs) for client in clients]

    check_lifecycle(new_breaker(clients[0]), new_breaker(clients[1]), circuit)

    assert [client.connection_pool.connection_kwargs for client in clients] == before
    for client in clients:
        client.close()


def test_mixed_ways_lead_to_one_circuit(server: Server, circuit: SharedCircuit) -> None:
    """A breaker on the unix socket and one over TLS share the circuit of one server."""
    server.require(None)

    check_lifecycle(
        new_breaker(server.url("unix", None, 3)), new_breaker(server.client("tls", None, 2)), circuit
    )


def test_untrusted_certificate_is_refused(
    server: Server, circuit: SharedCircuit, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the authority's certificate no word is spoken with the server; calls pass all the same."""
    server.need("tls")
    server.require(None)
    breaker = new_breaker(f"rediss://127.0.0.1:{server.tls_port}/2")

    with caplog.at_level(logging.WARNING, "sharedbreaker"):
        succeed(breaker)

    assert circuit.fields() == {}
    assert "certificate" in caplog.text.lower()


@pytest.mark.parametrize("way", ["tcp", "tls", "unix"])
def test_password_is_shown_nowhere(
    server: Server, circuit: SharedCircuit, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A refused login lets calls pass and names the server; no log, error or repr shows the password."""
    server.require("another")
    breaker = new_breaker(server.url(way, PASSWORD, 3))

    with caplog.at_level(logging.DEBUG):
        succeed(breaker)
        fail(breaker)
        with pytest.raises(StoreError) as caught:
            breaker.force_open()

    where = str(server.socket) if way == "unix" else "127.0.0.1"
    shown = f"{caplog.text}{caught.value}{caught.value.__cause__!r}{breaker!r}{breaker.get_metrics()}"
    assert where in caplog.text
    assert where in str(caught.value)
    assert PASSWORD not in shown
    assert quote(PASSWORD, safe="") not in shown


@pytest.mark.parametrize("make", [str.upper, lambda url: url.replace("127.0.0.1:", "127.0.0.1:x")])
def test_broken_url_is_refused_at_once(server: Server, make: Callable[[str], str]) -> None:
    """A URL that cannot be read is an error where it enters, and the error does not show it."""
    url = make(server.url("tcp", PASSWORD, 3)).replace("REDIS", "RED1S")

    with pytest.raises(SettingsError) as caught:
        new_breaker(url)

    assert quote(PASSWORD, safe="").lower() not in str(caught.value).lower()


def test_missing_socket_is_an_outage(tmp_path: Path) -> None:
    """A unix socket that does not exist lets calls pass, and metrics say that Redis is away."""
    breaker = new_breaker(f"unix://{tmp_path}/none.sock")

    succeed(breaker)

    assert breaker.get_metrics()["redis_available"] is False
