"""The Grafana dashboard: by Grafana's own types, and every query of it on a real Prometheus.

No Grafana is at hand to draw it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry
from real_prometheus import ROOT, Past, Prometheus, program, running_prometheus
from redis import Redis

from guarded_calls import ServiceDownError, be_ignored, fail, succeed
from sharedbreaker import CircuitBreaker, CircuitBreakerError
from sharedbreaker.circuit.families import FAMILIES
from sharedbreaker.demo.redis_server import RedisServer
from sharedbreaker.integrations.prometheus import CircuitBreakerCollector

GRAFANA = ROOT / "deploy" / "grafana"
FILE = GRAFANA / "dashboards" / "circuit_breakers.json"
TYPES = Path(__file__).parent / "grafana_schema"
INSTALLED = ROOT / ".venv" / "grafana_schema"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
SCRAPE_SECONDS = 15
STEPS = 240
ONE = {"instance": "one", "job": "circuit_breakers"}
TWO = {"instance": "two", "job": "circuit_breakers"}
FLEET = re.compile("|".join(f"{family.name}(?![a-z_])" for family in FAMILIES))
VARIABLES = {"$name": ".*", "$__rate_interval": "1m", "$__range": "55m", "$__interval": "15s"}
# Where each kind of panel keeps its own types.
CONFIGURATIONS = {
    "stat": "stat/panelcfg/x/StatPanelCfg_types.gen",
    "timeseries": "timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen",
    "table": "table/panelcfg/x/TablePanelCfg_types.gen",
    "state-timeline": "statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen",
    "bargauge": "bargauge/panelcfg/x/BarGaugePanelCfg_types.gen",
}
HAVE_FIELD_CONFIG = ("timeseries", "table", "state-timeline")


@dataclass(frozen=True)
class Query:
    """One query of the dashboard, as Grafana sends it."""

    where: str
    expression: str
    instant: bool


def filled(expression: str) -> str:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression
    return expression


QUERIES = [
    Query(f"{panel['title']}-{target['refId']}", filled(target["expr"]), target["instant"])
    for panel in PANELS
    for target in panel["targets"]
] + [
    Query(f"annotation-{annotation['name']}", filled(annotation["expr"]), instant=False)
    for annotation in DASHBOARD["annotations"]["list"]
]


@dataclass
class Watched:
    """Prometheus servers that have seen the same hour: one by one target, one by two."""

    by_one: Prometheus
    by_two: Prometheus
    start: float
    end: float

    def ask(self, prometheus: Prometheus, query: Query) -> list[dict[str, Any]]:
        if query.instant:
            return prometheus.at(query.expression, self.end)
        return prometheus.over(query.expression, self.start, self.end, SCRAPE_SECONDS)


def live_through(step: int, circuits: dict[str, CircuitBreaker], redis: Redis) -> None:
    """An hour in the life of a fleet: an outage of vision with its recovery, and Imagen held open."""
    text, vision, imagen = circuits.values()
    succeed(text, 2)
    if step % 10 == 0:
        be_ignored(text)
    if step == 30:
        fail(vision, 3)
    if step == 60:
        redis.hset("sharedbreaker:{google_ai_vision}", "open_until", "1")
    if step == 100:
        imagen.force_open("quota", seconds=3000)
    for breaker in (vision, imagen):
        with suppress(CircuitBreakerError):
            breaker.call(lambda: None)


@pytest.fixture(scope="module")
def watched(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """What Prometheus keeps of that hour. The pages are real; only their moments are set back."""
    program("prometheus")
    redis = redis_server.client(decode_responses=True)
    redis.flushall()
    circuits = {
        name: CircuitBreaker(
            3,
            expected_exception=ServiceDownError,
            name=f"google_ai_{name}",
            redis=redis_server.url,
            redis_timeout=5,
        )
        for name in ("text_generation", "vision", "imagen")
    }
    registry = CollectorRegistry()
    collector = CircuitBreakerCollector(circuits.values(), call_durations=True, timeout=5)
    registry.register(collector)
    end = float(int(time.time()))
    start = end - STEPS * SCRAPE_SECONDS
    by_one, by_two = Past(), Past()
    for step in range(STEPS + 1):
        live_through(step, circuits, redis)
        page = list(collector.collect())
        moment = start + step * SCRAPE_SECONDS
        by_one.add(page, moment, ONE)
        by_two.add(page, moment, ONE)
        by_two.add(page, moment, TWO)
    redis.close()
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    for past, folder in zip((by_one, by_two), folders, strict=True):
        past.write(folder)
    with running_prometheus(folders[0]) as first, running_prometheus(folders[1]) as second:
        yield Watched(first, second, start, end)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.where)
def test_every_query_finds_something(watched: Watched, query: Query) -> None:
    """Each query of the dashboard is valid, and answers about an hour with an outage in it."""
    found = watched.ask(watched.by_one, query)

    assert found, query.expression
    values = [value for series in found for _, value in series.get("values", [series.get("value")])]
    assert any(value != "NaN" for value in values)


@pytest.mark.parametrize(
    "query", [query for query in QUERIES if FLEET.search(query.expression)], ids=lambda query: query.where
)
def test_a_second_target_changes_nothing(watched: Watched, query: Query) -> None:
    """The fleet's figures are the same however many targets show them."""
    assert watched.ask(watched.by_two, query) == watched.ask(watched.by_one, query)


def test_a_sum_over_targets_would_be_noticed(watched: Watched) -> None:
    """Two targets do make a difference to a query that is wrong."""
    wrong = Query("", 'sum by (name) (circuit_breaker_calls_total{result="success"})', instant=True)

    assert watched.ask(watched.by_two, wrong) != watched.ask(watched.by_one, wrong)


def test_the_outage_is_seen(watched: Watched) -> None:
    """The queries tell the story that was lived through."""
    asked = {query.where: query for query in QUERIES}

    def number(where: str, **labels: str) -> float:
        found = [
            float(series["value"][1])
            for series in watched.ask(watched.by_one, asked[where])
            if labels.items() <= series["metric"].items()
        ]
        assert len(found) == 1
        return found[0]

    assert number("Open or half-open-A") == 1
    assert number("Held by hand-A") == 1
    assert number("Redis-A") == 1
    assert number("Processes on their own-A") == 0
    assert number("Openings-A", name="google_ai_vision") == pytest.approx(1, abs=0.1)
    assert number("Time open-A", name="google_ai_text_generation") == 0
    assert 10 < number("Time open-A", name="google_ai_vision") < 16
    assert number("Calls not made-A", name="google_ai_vision") == pytest.approx(30, abs=2)
    states = {
        series["metric"]["name"]: {value for _, value in series["values"]}
        for series in watched.ask(watched.by_one, asked["States-A"])
    }
    assert states == {
        "google_ai_text_generation": {"0"},
        "google_ai_vision": {"0", "1", "2"},
        "google_ai_imagen": {"0", "2"},
    }


def test_names_of_circuits_fill_the_choice(watched: Watched) -> None:
    """The variable asks for a label that there is."""
    variable = next(entry for entry in DASHBOARD["templating"]["list"] if entry["name"] == "name")
    found = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
    assert found is not None

    names = watched.by_one.api(f"label/{found[2]}/values", **{"match[]": found[1]})

    assert names == ["google_ai_imagen", "google_ai_text_generation", "google_ai_vision"]


def type_check(folder: Path, dashboard: dict[str, Any]) -> str:
    """What the TypeScript compiler says of the dashboard as a value of Grafana's types."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("npm is not installed, which brings Grafana's types")
    if not (INSTALLED / "node_modules" / "typescript").exists():
        INSTALLED.mkdir(parents=True, exist_ok=True)
        shutil.copy(TYPES / "package.json", INSTALLED)
        subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"],
            cwd=INSTALLED,
            check=True,
            capture_output=True,
            timeout=110,
        )
    (folder / "node_modules").symlink_to(INSTALLED / "node_modules")
    shutil.copy(TYPES / "json.ts", folder)
    lines = [
        'import type { AnnotationQuery, Dashboard } from "@grafana/schema";',
        'import type { Json } from "./json";',
        *(
            f'import type * as {_type_name(kind)} from "@grafana/schema/dist/esm/raw/composable/{path}";'
            for kind, path in CONFIGURATIONS.items()
        ),
        # What Prometheus' annotations have besides is not among the types of all annotations.
        "type Annotation = AnnotationQuery & { expr: string; titleFormat: string; step: string };",
        'type Ours = Json<Omit<Dashboard, "annotations"> & { annotations: { list: Annotation[] } }>;',
        f"export const dashboard: Ours = {json.dumps(dashboard)};",
    ]
    for number, panel in enumerate(panel for panel in dashboard["panels"] if panel["type"] != "row"):
        kind = panel["type"]
        lines.append(
            f"export const options{number}: Partial<Json<{_type_name(kind)}.Options>> = "
            f"{json.dumps(panel['options'])};"
        )
        if kind in HAVE_FIELD_CONFIG:
            custom = panel["fieldConfig"]["defaults"].get("custom", {})
            lines.append(
                f"export const custom{number}: Partial<Json<{_type_name(kind)}.FieldConfig>> = "
                f"{json.dumps(custom)};"
            )
    (folder / "dashboard.ts").write_text("\n".join(lines))
    shutil.copy(TYPES / "tsconfig.json", folder)
    result = subprocess.run(
        [node, "node_modules/typescript/bin/tsc", "-p", "."],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert bool(result.returncode) == bool(result.stdout), result.stdout + result.stderr
    return result.stdout


def _type_name(kind: str) -> str:
    return kind.title().replace("-", "")


def test_dashboard_is_of_grafanas_types(tmp_path: Path) -> None:
    """Grafana's own types take the dashboard, and each panel's options and field settings."""
    assert type_check(tmp_path, DASHBOARD) == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda dashboard: dashboard.update(schemaVersion="39"),
        lambda dashboard: dashboard.update(paneels=[]),
        lambda dashboard: dashboard["panels"][1].update(gridPos={"x": 0}),
        lambda dashboard: dashboard["panels"][1]["options"].update(colorMode="loud"),
        lambda dashboard: dashboard["panels"][1]["fieldConfig"]["defaults"]["thresholds"].update(mode="x"),
    ],
    ids=["version as text", "unknown field", "half a place", "unknown option", "unknown mode"],
)
def test_a_broken_dashboard_is_not(tmp_path: Path, change: Any) -> None:
    """What Grafana does not know is refused by its types."""
    broken = json.loads(json.dumps(DASHBOARD))
    change(broken)

    found = type_check(tmp_path, broken)
    assert found
    assert all(line.startswith(("dashboard.ts(", " ")) for line in found.splitlines())


def test_panels_have_a_place_a_title_and_an_explanation() -> None:
    """No two panels lie over each other, and each says what it shows."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert all(panel["title"] and panel["description"] for panel in PANELS)
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identifiers)) == len(identifiers)


def test_provisioning_leads_to_the_dashboard() -> None:
    """What Grafana is told at its start is where docker-compose puts it, and is a Prometheus."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    volumes: list[str] = compose["grafana"]["volumes"]
    mounts = {inside: here for here, inside, _ in (volume.split(":") for volume in volumes)}
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/sharedbreaker.yml").read_text())
    source = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())
    folder = provider["providers"][0]["options"]["path"]
    home = compose["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]

    assert (ROOT / mounts[folder]).resolve() == FILE.parent.resolve()
    assert home == f"{folder}/{FILE.name}"
    assert (ROOT / mounts["/etc/grafana/provisioning"]).resolve() == (GRAFANA / "provisioning").resolve()
    assert source["datasources"][0]["type"] == "prometheus"
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
