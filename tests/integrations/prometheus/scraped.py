"""A page of metrics as Prometheus' own parsers read it, and what a scrape asks of Redis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from redis.connection import AbstractConnection

from sharedbreaker.integrations.prometheus import metrics_page

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(body: str, content_type: str = "text/plain") -> dict[str, Metric]:
    """The families of a page; each is there once, and each series once."""
    read = (
        openmetrics.text_string_to_metric_families
        if content_type.startswith("application/openmetrics-text")
        else text_string_to_metric_families
    )
    families = list(read(body))
    assert len({family.name for family in families}) == len(families)
    samples = [
        (sample.name, frozenset(sample.labels.items())) for family in families for sample in family.samples
    ]
    assert len(set(samples)) == len(samples), "a series stands there twice"
    return {family.name: family for family in families}


def series_in(families: Mapping[str, Metric]) -> Series:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families.values()
        for sample in family.samples
    }


class Page:
    """One scrape of a registry."""

    def __init__(self, registry: CollectorRegistry, accept: str = "", names: tuple[str, ...] = ()) -> None:
        body, self.content_type = metrics_page(accept, names=names, registry=registry)
        self.text = body.decode()
        self.families = parsed(self.text, self.content_type)
        self.series = series_in(self.families)

    def value(self, sample: str, **labels: str) -> float | None:
        """The value of the one series that has these labels, whatever else it has; None without one."""
        found = [
            value
            for (name, having), value in self.series.items()
            if name == sample and labels.items() <= dict(having).items()
        ]
        assert len(found) <= 1, f"{sample} with {labels} is ambiguous: {found}"
        return found[0] if found else None

    def labels(self, sample: str, label: str) -> set[str]:
        """The values of a label."""
        return {dict(having)[label] for name, having in self.series if name == sample}

    def circuits(self) -> set[str]:
        return self.labels("circuit_breaker_state", "name")


class Turns:
    """How often this process waits for Redis: something was asked after the latest answer was read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._asks = False
        send: Callable[..., Any] = AbstractConnection.send_packed_command
        read: Callable[..., Any] = AbstractConnection.read_response

        def send_packed_command(connection: Any, *arguments: Any, **options: Any) -> Any:
            self.count += not self._asks
            self._asks = True
            return send(connection, *arguments, **options)

        def read_response(connection: Any, *arguments: Any, **options: Any) -> Any:
            self._asks = False
            return read(connection, *arguments, **options)

        monkeypatch.setattr(AbstractConnection, "send_packed_command", send_packed_command)
        monkeypatch.setattr(AbstractConnection, "read_response", read_response)
