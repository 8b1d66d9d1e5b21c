"""Queries of kube-state-metrics for a target, with the documented metric names.

https://github.com/kubernetes/kube-state-metrics/tree/main/docs/metrics/workload
"""

from __future__ import annotations

from resilience_operator.promql.errors import quoted
from resilience_operator.signals.query.template import regex_literal


def target_queries(namespace: str, name: str) -> dict[str, str]:
    """The queries for a target. Several replicas of kube-state-metrics count once."""
    deployment = f"namespace={quoted(namespace)}, deployment={quoted(name)}"
    pod = f'namespace={quoted(namespace)}, pod=~"{regex_literal(name)}-.+"'
    owned = (
        f'namespace={quoted(namespace)}, owner_kind="Deployment", owner_name={quoted(name)}, owner_is_controller="true"'
    )
    sets = f'namespace={quoted(namespace)}, replicaset=~"{regex_literal(name)}-.+"'
    scaled = (
        f"kube_horizontalpodautoscaler_info{{namespace={quoted(namespace)}, "
        f'scaletargetref_kind="Deployment", scaletargetref_name={quoted(name)}}}'
    )

    def by_owner(series: str) -> str:
        return f'count by (owner) (label_replace(max by (pod) ({series} == 1), "owner", "$1", "pod", "(.+)-[^-]+"))'

    def of_hpa(metric: str) -> str:
        where = f"{metric}{{namespace={quoted(namespace)}}}"
        return f"max by (horizontalpodautoscaler) ({where} and on (namespace, horizontalpodautoscaler) {scaled})"

    return {
        "replicas": f"max(kube_deployment_spec_replicas{{{deployment}}})",
        "ready": f"max(kube_deployment_status_replicas_ready{{{deployment}}})",
        "paused": f"max(kube_deployment_spec_paused{{{deployment}}})",
        "sets": f"max by (replicaset) (kube_replicaset_owner{{{owned}}})",
        "created": f"max by (replicaset) (kube_replicaset_created{{{sets}}})",
        "pods": by_owner(f'kube_pod_status_phase{{{pod}, phase=~"Pending|Running"}}'),
        "ready pods": by_owner(f'kube_pod_status_ready{{{pod}, condition="true"}}'),
        "hpa min": of_hpa("kube_horizontalpodautoscaler_spec_min_replicas"),
        "hpa max": of_hpa("kube_horizontalpodautoscaler_spec_max_replicas"),
    }
