"""docker-compose.yml: valid by the schema of Compose, and its commands do what they are there for."""

from __future__ import annotations

import copy
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from native_services import COMPOSE, NOT_HERE, NativeServices
from real_prometheus import DEPLOY, ROOT, Prometheus, program
from redis import Redis, RedisError

CHECK = (sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec")
PATIENCE = 60.0
POLL_SECONDS = 0.1


def until(found: Callable[[], Any], what: str) -> Any:
    """What ``found`` returns as soon as there is something."""
    deadline = time.monotonic() + PATIENCE
    while not (something := found()):
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(POLL_SECONDS)
    return something


def is_valid(path: Path) -> bool:
    return subprocess.run([*CHECK, str(path)], capture_output=True, check=False, timeout=60).returncode == 0


def test_compose_file_is_valid(tmp_path: Path) -> None:
    """The schema of Compose takes the file, and not one with a mistake in it."""
    assert is_valid(COMPOSE)
    document = yaml.safe_load(COMPOSE.read_text())
    for mistake in ({"comand": ["x"]}, {"ports": "9787"}, {"depends_on": [["redis"]]}):
        broken = copy.deepcopy(document)
        broken["services"]["exporter"].update(mistake)
        path = tmp_path / "docker-compose.yml"
        path.write_text(yaml.safe_dump(broken))
        assert not is_valid(path), mistake


def test_compose_itself_takes_the_file() -> None:
    """Where docker-compose is installed, it reads the file, without an engine."""
    compose = shutil.which("docker-compose")
    if compose is None:
        pytest.skip("docker-compose is not installed")

    result = subprocess.run(
        [compose, "-f", str(COMPOSE), "config", "-q"], capture_output=True, text=True, check=False, timeout=60
    )

    assert result.returncode == 0, result.stderr


def test_what_is_mounted_is_there() -> None:
    """Every folder that a service mounts exists here, and is mounted to be read only."""
    for service in yaml.safe_load(COMPOSE.read_text())["services"].values():
        for volume in service.get("volumes", ()):
            here, _, how = volume.split(":")
            assert (ROOT / here).is_dir()
            assert how == "ro"


def test_every_image_has_its_version() -> None:
    """No image is whatever happens to be the latest, and no port is open to other machines."""
    for service in yaml.safe_load(COMPOSE.read_text())["services"].values():
        if "image" in service:
            assert ":" in service["image"]
            assert not service["image"].endswith(":latest")
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_prometheus_scrapes_services_that_there_are() -> None:
    """Each target of the scrape configuration is a service, at a port that it publishes."""
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    jobs = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    targets = [target for job in jobs for config in job["static_configs"] for target in config["targets"]]

    assert targets
    for target in targets:
        service, port = target.split(":")
        assert any(published.endswith(f":{port}") for published in services[service]["ports"])


class Services(NativeServices):
    """The services with their addresses."""

    @property
    def app(self) -> str:
        return f"http://127.0.0.1:{self.port(8000)}"

    @property
    def google_ai(self) -> str:
        return f"http://127.0.0.1:{self.port(8001)}"

    def answers(self, container_port: int, path: str) -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{self.port(container_port)}{path}", timeout=5).ok
        except requests.RequestException:
            return False

    def listens(self, container_port: int) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port(container_port)), 1).close()
        except OSError:
            return False
        return True

    def redis_answers(self) -> bool:
        client = Redis(port=self.port(6379), socket_timeout=5)
        try:
            return bool(client.ping())
        except RedisError:
            return False
        finally:
            client.close()


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """All services of the compose file that can run here, started in their order."""
    program("prometheus")
    with (
        pytest.MonkeyPatch.context() as environment,
        Services(tmp_path_factory.mktemp("services")) as services,
    ):
        environment.setenv("NO_PROXY", "127.0.0.1")
        ready: dict[str, Callable[[], bool]] = {
            "redis": services.redis_answers,
            "google-ai": lambda: services.listens(8001),
            "app": lambda: services.answers(8000, "/api/health"),
            "exporter": lambda: services.answers(9787, "/metrics"),
            "prometheus": lambda: services.answers(9090, "/-/ready"),
        }
        assert set(ready) | NOT_HERE == set(services.services)
        for name in services.in_order():
            services.start(name, ready[name])
        yield services


@pytest.fixture(scope="module")
def prometheus(services: Services) -> Iterator[Prometheus]:
    prometheus = Prometheus(f"http://127.0.0.1:{services.port(9090)}")
    yield prometheus
    prometheus.close()


def test_every_target_is_scraped(prometheus: Prometheus) -> None:
    """Prometheus finds the exporter and the app, and reads both without complaint."""

    def up() -> dict[str, str]:
        targets = prometheus.api("targets")["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in targets}

    until(lambda: set(up().values()) == {"up"}, "target that is up")
    assert set(up()) == {"circuit_breakers", "app"}
    told = prometheus.at("circuit_breaker_redis_up")
    assert {series["metric"]["job"]: series["value"][1] for series in told} == {
        "circuit_breakers": "1",
        "app": "1",
    }


def test_every_rule_is_evaluated(prometheus: Prometheus) -> None:
    """All recording and alert rules are loaded and evaluated without an error."""

    def health() -> dict[str, str]:
        groups = prometheus.api("rules")["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    until(lambda: set(health().values()) == {"ok"}, "rule that was evaluated")
    files = (DEPLOY / "recording_rules.yml", DEPLOY / "alert_rules.yml")
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    assert set(health()) == {
        rule.get("record") or rule.get("alert") for group in groups for rule in group["rules"]
    }


def test_an_outage_reaches_prometheus(services: Services, prometheus: Prometheus) -> None:
    """When vision fails, its circuit opens in the app and is open in Prometheus, once for both targets."""
    requests.put(
        f"{services.google_ai}/_control/behaviour/vision", json={"status": 503}, timeout=30
    ).raise_for_status()

    def is_rejected() -> bool:
        return (
            requests.get(f"{services.app}/api/image2topic", timeout=60).headers.get("Retry-After") is not None
        )

    until(is_rejected, "rejection")
    found = until(
        lambda: [
            series
            for series in prometheus.at('circuit_breaker:state:max{name="google_ai_vision"}')
            if is_rejected() and series["value"][1] == "2"
        ],
        "open circuit in Prometheus",
    )

    assert len(found) == 1
    pending = until(
        lambda: [
            alert
            for alert in prometheus.api("alerts")["alerts"]
            if alert["labels"]["alertname"] == "CircuitBreakerOpen" and is_rejected()
        ],
        "alert",
    )
    assert [alert["labels"]["name"] for alert in pending] == ["google_ai_vision"]
