"""Renders the engine's counters as Prometheus text (format 0.0.4).

Source of the format: https://prometheus.io/docs/instrumenting/exposition_formats/

The labels of a pod do not change from scrape to scrape, so they are prepared once, as texts with a place
for each number; a scrape fills the places. That is what carries 300 pods with every family, 20 thousand
series and more, each second. Counts are expected values, so they may be fractional: three decimals.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from . import kube_state
from .engine import Engine, Histogram, PodState, Tally, WorkloadState
from .families import FAMILIES, Family, Labels, Subject
from .settings import FamilyName, Fault, Group

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_PLACE = "%.6f"

CPU = "container_cpu_usage_seconds_total"

_OWN_HELP: Mapping[str, tuple[str, str]] = {
    CPU: ("counter", "Cumulative cpu time consumed in seconds."),
    "http_requests_total": ("counter", "Requests by status code."),
    "http_request_duration_seconds": ("histogram", "Response time in seconds."),
    "nginx_ingress_controller_requests": ("counter", "The total number of client requests."),
    "nginx_ingress_controller_request_duration_seconds": ("histogram", "Request processing time in seconds."),
    "istio_requests_total": ("counter", "Requests handled by the proxy."),
    "istio_request_duration_milliseconds": ("histogram", "Duration of requests in milliseconds."),
    "response_total": ("counter", "Responses handled by the proxy."),
    "response_latency_ms": ("histogram", "Response latency in milliseconds."),
    "http_server_request_duration_seconds": ("histogram", "Duration of HTTP server requests."),
}


def label_text(labels: Labels) -> str:
    """`a="b",c="d"`, escaped for the format and for `%`."""
    return ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items())


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("%", "%%")


class Page:
    """Lines gathered by metric: the format wants all lines of a metric in one group."""

    def __init__(self, help_texts: Mapping[str, tuple[str, str]]) -> None:
        self._help = help_texts
        self._lines: dict[str, list[str]] = {name: [] for name in help_texts}

    def add(self, metric: str, text: str) -> None:
        """Add one or more whole lines, each with its newline."""
        self._lines[metric].append(text)

    def bytes(self) -> bytes:
        """The page; metrics without lines are left out."""
        parts: Iterable[Iterable[str]] = (
            (f"# HELP {name} {self._help[name][1]}\n# TYPE {name} {self._help[name][0]}\n", *lines)
            for name, lines in self._lines.items()
            if lines
        )
        return "".join(chain.from_iterable(parts)).encode()


def render(engine: Engine) -> bytes:
    """The whole /metrics page as of the engine's last `advance`."""
    page = Page({**_OWN_HELP, **kube_state.HELP})
    for workload in engine.workloads.values():
        if "nginx-ingress" in workload.settings.families:
            _workload_requests(page, workload)
        for pod in workload.pods.values():
            _cpu(page, pod)
            for name in sorted(pod.settings.families):
                if FAMILIES[name].scope == "pod":
                    subject = Subject(
                        workload.key.namespace,
                        pod.workload.kind,
                        workload.key.name,
                        pod.pod.name,
                        pod.pod.version,
                    )
                    _requests(page, name, subject, pod.tally, pod.settings.metrics, pod.texts)
            for metric, text in kube_state.pod_lines(pod, label_text):
                page.add(metric, text)
    for metric, text in kube_state.object_lines(engine.deployments.values(), engine.replica_sets.values(), label_text):
        page.add(metric, text)
    return page.bytes()


def _workload_requests(page: Page, workload: WorkloadState) -> None:
    subject = Subject(workload.key.namespace, "", workload.key.name)
    _requests(page, "nginx-ingress", subject, workload.tally, workload.settings.metrics, workload.texts)


def _fill(template: str, values: Sequence[float], fault: Fault | None) -> str:
    return template % ((math.nan,) * len(values) if fault == "nan" else tuple(values))


def _cpu(page: Page, state: PodState) -> None:
    """One series a container and one for the pod's whole cgroup (no container, no image), as cAdvisor has
    them."""
    fault = state.settings.metrics.get("cpu")
    if fault == "absent" or state.pod.phase != "Running" or not state.cpu_seconds:
        return
    template = state.texts.get("cpu")
    if template is None:
        pod = state.pod
        whose = {"namespace": pod.namespace, "pod": pod.name, "node": pod.node, "cpu": "total"}
        lines = [f"{CPU}{{{label_text({**whose, 'id': f'/kubepods/pod{pod.uid}'})}}} {_PLACE}\n"]
        for container in pod.containers:
            own = {
                "container": container.name,
                "image": container.image,
                "id": f"/kubepods/pod{pod.uid}/{container.name}",
            }
            lines.append(f"{CPU}{{{label_text({**whose, **own})}}} {_PLACE}\n")
        template = state.texts["cpu"] = "".join(lines)
    page.add(CPU, _fill(template, (sum(state.cpu_seconds), *state.cpu_seconds), fault))


def _requests(
    page: Page,
    name: FamilyName,
    subject: Subject,
    tally: Tally,
    faults: Mapping[Group, Fault],
    texts: dict[object, str],
) -> None:
    family = FAMILIES[name]
    errors, latency = faults.get("errors"), faults.get("latency")
    if family.counter and errors != "absent":
        for code, count in tally.counts.items():
            template = texts.get((name, code))
            if template is None:
                labels = label_text(family.labels(subject, code))
                template = texts[(name, code)] = f"{family.counter}{{{labels}}} %.3f\n"
            page.add(family.counter, _fill(template, (count,), errors))
    # Where no counter goes beside it, the histogram's count is what tells requests and errors.
    count_fault = latency if family.counter else errors
    for code, histogram in _histograms(family, tally):
        buckets_key, count_key = (name, "buckets", code), (name, "count", code)
        if buckets_key not in texts:
            labels = label_text(
                family.histogram_labels(subject) if family.histogram_labels else family.labels(subject, code)
            )
            texts[buckets_key] = _bucket_template(family, labels)
            texts[count_key] = f"{family.histogram}_count{{{labels}}} %.3f\n"
        if latency != "absent":
            values = (*histogram.buckets, histogram.sum * family.layout.unit)
            page.add(family.histogram, _fill(texts[buckets_key], values, latency))
        if count_fault != "absent":
            count = histogram.buckets[-1] if family.counter else tally.counts.get(code, 0.0)
            page.add(family.histogram, _fill(texts[count_key], (count,), count_fault))


def _bucket_template(family: Family, labels: str) -> str:
    lines = [f'{family.histogram}_bucket{{{labels},le="{le}"}} %.3f\n' for le in family.layout.le]
    return "".join(lines) + f"{family.histogram}_sum{{{labels}}} {_PLACE}\n"


def _histograms(family: Family, tally: Tally) -> Iterable[tuple[str, Histogram]]:
    """By status code, or, for a family that does not split its histogram, all codes together under an
    empty code."""
    by_code = [(code, h) for (layout, code), h in tally.histograms.items() if layout is family.layout]
    if family.histogram_labels is None or not by_code:
        return by_code
    if len(by_code) == 1:
        return [("", by_code[0][1])]
    buckets = [sum(column) for column in zip(*(h.buckets for _, h in by_code), strict=True)]
    return [("", Histogram(buckets, sum(h.sum for _, h in by_code)))]
