"""How long things took in this process, as the buckets of a histogram.

Kept here and not in prometheus-client's own histograms, because those write into the files of
PROMETHEUS_MULTIPROC_DIR, where one process' figures are added to those of processes long gone.
"""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client.metrics_core import Metric

from sharedbreaker.store.process import ForgetsAtFork, call_forget_in_children


class Durations(ForgetsAtFork):
    """One histogram of this process, in seconds. A forked child begins with its own.

    Args:
        label_names: what tells the series apart.
        buckets: upper bounds in seconds, ascending, without infinity.

    """

    def __init__(self, label_names: Sequence[str], buckets: Sequence[float]) -> None:
        self._label_names = tuple(label_names)
        self._buckets = tuple(buckets)
        self._expected: tuple[tuple[str, ...], ...] = ()
        self.forget()
        call_forget_in_children(self)

    def forget(self) -> None:
        """Begin at zero."""
        # Reentrant: what the garbage collector ends in this thread may report a call, in the middle of one.
        self._lock = threading.RLock()
        self._series: dict[tuple[str, ...], _Series] = {}
        self.expect(self._expected)

    def expect(self, labels: Iterable[tuple[str, ...]]) -> None:
        """Have these series there from the beginning, at zero."""
        expected = tuple(labels)
        with self._lock:
            self._expected = (*self._expected, *(one for one in expected if one not in self._expected))
            for one in expected:
                self._series_of(one)

    def observe(self, labels: tuple[str, ...], seconds: float) -> None:
        """Add one duration."""
        bucket = bisect_left(self._buckets, seconds)
        with self._lock:
            series = self._series_of(labels)
            series.counts[bucket] += 1
            series.sum += seconds

    def add_samples(self, metric: Metric, more_labels: dict[str, str]) -> None:
        """Add all series to ``metric``, each with ``more_labels`` besides its own."""
        with self._lock:
            series = [(labels, list(one.counts), one.sum) for labels, one in self._series.items()]
        bounds = [*map(str, self._buckets), "+Inf"]
        for values, counts, total in series:
            labels = {**dict(zip(self._label_names, values, strict=True)), **more_labels}
            below = list(itertools.accumulate(counts))
            for bound, count in zip(bounds, below, strict=True):
                metric.add_sample(f"{metric.name}_bucket", {**labels, "le": bound}, count)
            metric.add_sample(f"{metric.name}_count", labels, below[-1])
            metric.add_sample(f"{metric.name}_sum", labels, total)

    def _series_of(self, labels: tuple[str, ...]) -> _Series:
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = _Series(len(self._buckets) + 1)
        return series


class _Series:
    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.sum = 0.0
