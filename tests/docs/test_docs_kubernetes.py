"""deploy/kubernetes: valid by Kubernetes' own schemas, and what it names is there and does what it should."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from docs_page import page
from flask import Flask
from kubernetes_manifests import containers, document, documents, probed
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from guarded_calls import succeed
from sharedbreaker import CircuitBreaker, initialize_circuit_breakers
from sharedbreaker.cli.commands import sharedbreaker
from sharedbreaker.demo.redis_server import RedisServer, free_port

VERSIONS = ("1.30", "1.37")
"""What the manifests are checked against: an old Kubernetes that is in use, and the newest known here."""


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_are_valid(version: str) -> None:
    """Every document is valid for Kubernetes, without a field that it does not know."""
    for each in documents():
        kubernetes_validate.validate(each, version, strict=True)


def test_a_typo_would_be_noticed() -> None:
    """The schemas are strict: a misspelt field and a wrong type are refused."""
    app = document("Deployment", "app")
    misspelt, mistyped = copy.deepcopy(app), copy.deepcopy(app)
    template = misspelt["spec"]["template"]["spec"]
    template["containers"][0]["livenesProbe"] = template["containers"][0].pop("livenessProbe")
    mistyped["spec"]["replicas"] = "three"

    for wrong in (misspelt, mistyped):
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_references_lead_somewhere() -> None:
    """Selectors find their pods, and every key that is asked of our ConfigMap and Secret is in it."""
    deployments = [each for each in documents() if each["kind"] == "Deployment"]
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in deployments]
    for each in documents():
        selector = each.get("spec", {}).get("selector", each.get("spec", {}).get("podSelector", {}))
        wanted = selector.get("matchLabels", selector)
        assert any(wanted.items() <= found.items() for found in labels), each["metadata"]
    secret = document("Secret", "breakers-redis")["stringData"]
    for container in containers().values():
        for variable in container.get("env", []):
            if "valueFrom" in variable:
                reference = variable["valueFrom"]["secretKeyRef"]
                assert reference["name"] == "google-ai" or reference["key"] in secret
    [policy] = [each for each in documents() if each["kind"] == "NetworkPolicy"]
    allowed = policy["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
    users = [found["app"] for found in labels if allowed.items() <= found.items()]
    assert users == ["app", "breakers-exporter"]


def test_settings_are_those_that_the_breakers_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables of the ConfigMap configure the breakers of Google AI."""
    from sharedbreaker import get_text_generation_breaker, google_ai

    monkeypatch.setattr(google_ai, "_breakers", dict(google_ai._breakers))
    monkeypatch.setattr(google_ai, "_fleets", {})
    for name, value in {"SHAREDBREAKER_FAILURE_THRESHOLD": "7", "SHAREDBREAKER_TIMEOUT": "41"}.items():
        assert name in document("ConfigMap", "breakers")["data"]
        monkeypatch.setenv(name, value)
    initialize_circuit_breakers()

    breaker = get_text_generation_breaker()
    assert breaker is not None
    assert (breaker.settings.failure_threshold, breaker.settings.timeout) == (7, 41)


def tutorial_app(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> Flask:
    monkeypatch.setenv("SHAREDBREAKER_REDIS_URL", redis_url)
    monkeypatch.setenv("GOOGLE_API_KEY", "none")
    names: dict[str, Any] = {"__name__": "app"}
    exec(page("tutorial.md").blocks("python")[1].text, names)  # noqa: S102 - it is the documentation
    app: Flask = names["app"]
    return app


@pytest.mark.parametrize("is_redis_up", [True, False], ids=["redis up", "redis away"])
def test_probes_find_a_pod_well_whatever_is_down(
    redis: Redis, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, is_redis_up: bool
) -> None:
    """What is probed answers 200 with a circuit open and without Redis; /api/health does not."""
    url = redis_server.url if is_redis_up else f"redis://127.0.0.1:{free_port()}/0"
    web = tutorial_app(monkeypatch, url).test_client()
    CircuitBreaker(name="google_ai_text_generation", redis=redis).force_open()

    [path] = probed(containers()["app"])
    assert web.get(path).status_code == 200
    if is_redis_up:
        assert web.get("/api/health").status_code == 503
    else:
        assert web.get("/api/health/ready").status_code == 503


def test_the_exporter_is_started_as_it_can_be() -> None:
    """The exporter's command is one that the command line takes, on the port that is probed."""
    command = containers()["breakers-exporter"]["command"]
    verb = sharedbreaker.commands[command[1]]
    taken = verb.make_context(command[1], list(command[2:]))

    assert command[0] == "sharedbreaker"
    assert taken.params["port"] == containers()["breakers-exporter"]["ports"][0]["containerPort"]


def test_nothing_ends_before_its_calls() -> None:
    """A pod has longer to end than gunicorn gives its workers."""
    template = document("Deployment", "app")["spec"]["template"]["spec"]
    [graceful] = [word for word in containers()["app"]["command"] if word.startswith("--graceful-timeout=")]

    assert template["terminationGracePeriodSeconds"] > int(graceful.partition("=")[2])


def test_redis_as_in_the_manifest_lets_in_those_users_and_no_other(tmp_path: Path) -> None:
    """With the Secret's users and the Deployment's options the app shares circuits; strangers get nothing."""
    secret = document("Secret", "breakers-redis")["stringData"]
    users = tmp_path / "users.acl"
    users.write_text(secret["users.acl"])
    options = containers()["breakers-redis"]["args"][1:]
    options = [str(users) if word.endswith("users.acl") else word for word in options]

    with RedisServer(*options) as server:
        url = secret["url"].replace("breakers-redis:6379", f"127.0.0.1:{server.port}")
        metrics_url = secret["metrics-url"].replace("breakers-redis:6379", f"127.0.0.1:{server.port}")
        breaker = CircuitBreaker(name="orders", redis=url, redis_timeout=5)
        succeed(breaker)
        assert breaker.get_metrics()["redis_available"]
        with server.client() as stranger, pytest.raises(AuthenticationError):
            stranger.keys()
        with Redis.from_url(metrics_url) as reader, pytest.raises(NoPermissionError):
            reader.delete("sharedbreaker:{orders}")
