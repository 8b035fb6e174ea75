"""The page that Prometheus scrapes: the app's metrics and the circuits, right with several workers too."""

from __future__ import annotations

import os
from collections.abc import Collection

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

from sharedbreaker.integrations.prometheus.registration import registered_in

MULTIPROCESS_VARIABLES = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")


def metrics_page(
    accept: str = "", *, names: Collection[str] = (), registry: CollectorRegistry = REGISTRY
) -> tuple[bytes, str]:
    """Return a page's body and its content type.

    Where PROMETHEUS_MULTIPROC_DIR is set, the app's metrics are those of all workers, as prometheus-client
    adds them up; a collector such as ours has no part in its files and is put beside them. Elsewhere they
    are what is in ``registry``.

    Args:
        accept: the request's Accept header. Prometheus asks for OpenMetrics in it.
        names: names of samples to restrict the page to, as in ``?name[]=``; all of them by default.
        registry: where the app's metrics and the collector are registered.

    """
    encode, content_type = choose_encoder(accept)
    page = registry
    if any(variable in os.environ for variable in MULTIPROCESS_VARIABLES):
        page = CollectorRegistry(auto_describe=bool(names))
        MultiProcessCollector(page)  # type: ignore[no-untyped-call]
        collector = registered_in(registry)
        if collector is not None:
            page.register(collector)
    restricted = page.restricted_registry(names) if names else page
    return encode(restricted), content_type
