"""The manifests of deploy/kubernetes, as documents, and their parts by name."""

from __future__ import annotations

from typing import Any

import yaml
from docs_page import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))


def documents() -> list[dict[str, Any]]:
    return [document for file in FILES for document in yaml.safe_load_all(file.read_text())]


def document(kind: str, name: str) -> dict[str, Any]:
    [found] = [each for each in documents() if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def containers() -> dict[str, dict[str, Any]]:
    """The only container of each deployment, by the deployment's name."""
    found = {}
    for each in documents():
        if each["kind"] == "Deployment":
            [found[each["metadata"]["name"]]] = each["spec"]["template"]["spec"]["containers"]
    return found


def probed(container: dict[str, Any]) -> set[str]:
    """The addresses that probes of a container ask for."""
    probes = [container.get(f"{kind}Probe", {}) for kind in ("startup", "readiness", "liveness")]
    return {probe["httpGet"]["path"] for probe in probes if "httpGet" in probe}
