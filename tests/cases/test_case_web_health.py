"""Wild cases of the web: health, as Kubernetes and people ask for it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from case_kinds import STALENESS
from flask import Flask
from redis import Redis
from verbs import CommandLine
from web_fixtures import Serve
from web_fixtures import serve as serve

from circuit_in_redis import ServiceDownError, fail, new_breaker, succeed
from sharedbreaker import CircuitBreaker
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations.web import BreakerSite

NEVER = 3600.0
"""A staleness within which nothing is looked at again."""


def work() -> str:
    return "called"


@pytest.mark.parametrize("trouble", ["open", "forced open", "frozen", "stopped"])
def test_sb097_liveness_is_200_whatever_the_circuit_and_redis_do(serve: Serve, trouble: str) -> None:
    """It asks nobody. Readiness is asked for Redis alone, so that an open circuit takes no pod away."""
    with RedisServer() as server:
        breaker = CircuitBreaker(
            2, name="orders", redis=server.url, redis_timeout=0.2, expected_exception=ServiceDownError
        )
        succeed(breaker)
        client = serve(BreakerSite([breaker], timeout=0.2))
        if trouble == "open":
            fail(breaker, 2)
        elif trouble == "forced open":
            breaker.force_open()
        elif trouble == "frozen":
            server.freeze()
        else:
            server.kill()
        has_redis = trouble in {"open", "forced open"}

        live = client.get("/api/health/live")
        ready = client.get("/api/health/ready")
        details = client.get("/api/circuit-breakers/live").document

        assert (live.status, live.document["status"]) == (200, "alive")
        assert ready.status == (200 if has_redis else 503)
        assert details["redis"]["is_up"] is has_redis
        if has_redis:
            assert details["circuits"][0]["state"] == "open"
        else:
            server.thaw() if trouble == "frozen" else None


@pytest.mark.parametrize("max_staleness", [0, STALENESS, NEVER])
def test_sb097_readiness_and_liveness_of_an_app_without_redis_are_apart(max_staleness: float) -> None:
    """An app that has never seen Redis is alive, and its calls are made."""
    breaker = CircuitBreaker(name="orders", redis="redis://127.0.0.1:1", max_staleness=max_staleness)
    app = Flask("shop")
    from sharedbreaker.integrations.web.flask import blueprint_of

    app.register_blueprint(blueprint_of(BreakerSite([breaker])))
    app.add_url_rule("/", view_func=lambda: breaker.call(work))

    assert app.test_client().get("/").text == "called"
    assert app.test_client().get("/api/health/live").status_code == 200
    assert app.test_client().get("/api/health").status_code == 200


def without_replicas(client: Redis, _port: int) -> None:
    client.config_set("min-replicas-to-write", 1)


def out_of_memory(client: Redis, _port: int) -> None:
    client.config_set("maxmemory", 1)


def no_rights(client: Redis, _port: int) -> None:
    client.execute_command("ACL", "SETUSER", "default", "-evalsha", "-eval")


def no_keys(client: Redis, _port: int) -> None:
    client.execute_command("ACL", "SETUSER", "default", "resetkeys", "~other:*")


def wrong_type(client: Redis, _port: int) -> None:
    client.delete("sharedbreaker:{orders}")
    client.set("sharedbreaker:{orders}", "somebody else's")


def demoted(client: Redis, port: int) -> None:
    client.execute_command("REPLICAOF", "127.0.0.1", str(port))


TROUBLES = [without_replicas, out_of_memory, no_rights, no_keys, wrong_type, demoted]


@pytest.mark.parametrize("spoil", TROUBLES, ids=lambda spoil: spoil.__name__)
def test_sb098_a_redis_that_answers_ping_and_no_script_is_not_called_well(
    serve: Serve, spoil: Callable[[Redis, int], None]
) -> None:
    """The process says that it is degraded, in its details and metrics, and `doctor` says what is wrong.

    Failed at first: the site read what Redis still told, and called it available to calls of which it took
    none; and `doctor`, which only looked, found nothing where Redis refused every write.
    """
    with RedisServer() as server:
        breaker = CircuitBreaker(name="orders", redis=server.url, redis_timeout=2, redis_retry_interval=60)
        succeed(breaker)
        client = serve(BreakerSite([breaker], timeout=2))
        admin = server.client()
        spoil(admin, server.port)
        assert admin.ping()
        succeed(breaker, 2)

        assert breaker.redis_available is False
        health = client.get("/api/health").document["circuit_breakers"]["orders"]
        figures = client.get("/api/circuit-breakers/metrics").document["breakers"]["orders"]
        live = client.get("/api/circuit-breakers/live").document
        page = client.get("/metrics").body.decode()
        doctor = CommandLine(server.url)("doctor", "--json", "--timeout", "2")
        admin.close()

    assert health["state"] == "closed"
    assert figures["redis_available"] is False
    assert not [circuit for circuit in live["circuits"] if circuit["redis_available"]]
    assert live["circuits"] or live["redis"]["troubles"]
    assert re.search(r"^circuit_breaker_process_degraded\{.* 1\.0$", page, re.MULTILINE)
    assert doctor.exit_code in {3, 4}
    assert any(found["advice"] for found in doctor.json["findings"] if found["verdict"] != "ok")


def test_sb098_the_page_of_a_fleet_names_what_cannot_be_read(redis: Redis, serve: Serve) -> None:
    """A circuit whose key holds something else is no healthy circuit that has disappeared."""
    succeed(new_breaker(redis))
    wrong_type(redis, 0)
    live = serve(BreakerSite(redis=redis, whole_fleet=True)).get("/api/circuit-breakers/live").document

    assert "WRONGTYPE" in live["redis"]["troubles"]["orders"]
