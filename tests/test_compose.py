"""The compose file, as far as it can be checked without an engine."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


def test_redis_says_when_it_is_ready() -> None:
    """Redis has a healthcheck, and the app waits for it."""
    assert "redis-cli" in SERVICES["redis"]["healthcheck"]["test"]
    assert SERVICES["app"]["depends_on"]["redis"] == {"condition": "service_healthy"}


@pytest.mark.parametrize("service", list(SERVICES))
def test_what_a_service_waits_for_is_there(service: str) -> None:
    """Every service comes from somewhere and depends only on services that there are."""
    description = SERVICES[service]

    assert {"image", "build"} & set(description)
    assert set(description.get("depends_on", {})) <= set(SERVICES)


def test_the_commands_name_what_there_is() -> None:
    """The app's factory and the local server's module can be imported."""
    module, factory = SERVICES["app"]["command"][-1].removesuffix("()").split(":")

    assert callable(getattr(importlib.import_module(module), factory))
    assert importlib.util.find_spec(SERVICES["google-ai"]["command"][2]) is not None


def test_what_the_image_is_built_from_is_there() -> None:
    """Every file that the Dockerfile copies exists."""
    copied = [
        source
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY")
        for source in line.split()[1:-1]
    ]

    assert copied
    assert all((ROOT / source).exists() for source in copied)
