"""Every value of the Helm chart reaches the objects, contradictions are refused, and a release with all of them is
installed, tested by `helm test` and uninstalled on the real control plane."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from kubernetes import client
from kubernetes.config import new_client_from_config

from resilience_operator.runtime.config import load
from tests.cluster import Cluster
from tests.support.clients import call
from tests.support.install import ROOT
from tests.support.waiting import eventually

CHART = ROOT / "manifests" / "helm" / "resilience-operator"

Obj = dict[str, Any]


class Case(NamedTuple):
    """A value, and where it is found: in an object's field (dotted; a number is an index), by kind and end of name."""

    value: Any
    kind: str
    field: str
    found: Any
    name: str = "guard"


POD = "spec.template.spec"
CONTAINER = f"{POD}.containers.0"
MONITOR = "spec.podMetricsEndpoints.0"
DIGEST = f"sha256:{64 * 'a'}"
SPREAD = {"topologyKey": "rack", "maxSkew": 2, "whenUnsatisfiable": "ScheduleAnyway"}
AFFINITY = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
PEER = {"podSelector": {"matchLabels": {"app": "proxy"}}}
EGRESS = {"ports": [{"port": 443}]}
SIDECAR = {"name": "proxy", "image": "registry.example.com/proxy:1"}
SECRET = {"name": "prometheus", "secret": {"secretName": "prometheus-token"}}
MOUNT = {"name": "prometheus", "mountPath": "/etc/prometheus", "readOnly": True}
TLS = {"secretName": "dashboard-tls", "hosts": ["resilience.example.com"]}
GATEWAY = {"name": "internal", "namespace": "gateways"}

CASES: dict[str, Case] = {
    "prometheusUrl": Case(
        "http://thanos.example:9090", "Secret", "config.sources.0.url", "http://thanos.example:9090", "guard-config"
    ),
    "config.leader_election": Case(True, "Secret", "config.leader_election", True, "guard-config"),
    "config.log_format": Case("console", "Secret", "config.log_format", "console", "guard-config"),
    "configKind": Case("Secret", "Deployment", f"{POD}.volumes.0.secret.secretName", "guard-config"),
    "dryRun": Case(True, "Deployment", f"{CONTAINER}.env.RESILIENCE_DRY_RUN", "true"),
    "namespaces": Case(["default"], "Deployment", f"{CONTAINER}.args.2", "--namespace=default"),
    "replicas": Case(5, "Deployment", "spec.replicas", 5),
    "spread": Case("Required", "Deployment", f"{POD}.tolerations.0.tolerationSeconds", 20),
    "podDisruptionBudget.enabled": Case(True, "PodDisruptionBudget", "kind", "PodDisruptionBudget"),
    "podDisruptionBudget.maxUnavailable": Case(2, "PodDisruptionBudget", "spec.maxUnavailable", 2),
    "podDisruptionBudget.minAvailable": Case(None, "PodDisruptionBudget", "spec.minAvailable", None),
    "image.repository": Case(
        "registry.example.com/ro", "Deployment", f"{CONTAINER}.image", f"registry.example.com/ro@{DIGEST}"
    ),
    "image.tag": Case("v9", "Deployment", f"{CONTAINER}.image", f"registry.example.com/ro@{DIGEST}"),
    "image.digest": Case(DIGEST, "Deployment", f"{CONTAINER}.image", f"registry.example.com/ro@{DIGEST}"),
    "image.pullPolicy": Case("Always", "Deployment", f"{CONTAINER}.imagePullPolicy", "Always"),
    "image.pullSecrets": Case([{"name": "registry"}], "Deployment", f"{POD}.imagePullSecrets.0.name", "registry"),
    "crds.install": Case(False, "CustomResourceDefinition", "", None, "resilience-operator.io"),
    "rbac.people": Case(False, "ClusterRole", "", None, "policies-view"),
    "rbac.gitOps": Case(True, "ClusterRole", "metadata.name", "guard-gitops", "guard-gitops"),
    "rbac.configuration": Case(True, "Role", "metadata.name", "guard-configuration", "guard-configuration"),
    "rbac.secrets": Case(True, "Role", "metadata.name", "guard-secrets", "guard-secrets"),
    "rbac.release": Case(False, "Role", "", None, "act-release"),
    "admission.authors": Case(False, "ValidatingAdmissionPolicy", "", None, "authors"),
    "admission.limits": Case(False, "ValidatingAdmissionPolicy", "", None, "limits"),
    "auth": Case("kubernetes", "Deployment", f"{CONTAINER}.env.RESILIENCE_AUTH", "kubernetes"),
    "service.type": Case("NodePort", "Service", "spec.type", "NodePort"),
    "service.annotations": Case({"a": "b"}, "Service", "metadata.annotations.a", "b"),
    "ingress.enabled": Case(True, "Secret", "config.dashboard_hosts.0", "resilience.example.com", "guard-config"),
    "ingress.className": Case("nginx", "Ingress", "spec.ingressClassName", "nginx"),
    "ingress.annotations": Case({"a": "b"}, "Ingress", "metadata.annotations.a", "b"),
    "ingress.hosts": Case(["resilience.example.com"], "Ingress", "spec.rules.0.host", "resilience.example.com"),
    "ingress.tls": Case([TLS], "Ingress", "spec.tls.0", TLS),
    "httpRoute.enabled": Case(True, "Secret", "config.dashboard_hosts.1", "resilience.example.net", "guard-config"),
    "httpRoute.annotations": Case({"a": "b"}, "HTTPRoute", "metadata.annotations.a", "b"),
    "httpRoute.parentRefs": Case([GATEWAY], "HTTPRoute", "spec.parentRefs.0", GATEWAY),
    "httpRoute.hostnames": Case(["resilience.example.net"], "HTTPRoute", "spec.hostnames.0", "resilience.example.net"),
    "networkPolicy.enabled": Case(True, "NetworkPolicy", "spec.policyTypes", ["Ingress", "Egress"]),
    "networkPolicy.metricsFrom": Case([], "NetworkPolicy", "spec.ingress.0.ports.0.port", "dashboard"),
    "networkPolicy.dashboardFrom": Case([PEER], "NetworkPolicy", "spec.ingress.0.from.0", PEER),
    "networkPolicy.egress": Case([EGRESS], "NetworkPolicy", "spec.egress.0", EGRESS),
    "monitoring.namespace": Case("default", "PodMonitor", "metadata.namespace", "default"),
    "monitoring.podMonitor.enabled": Case(True, "PodMonitor", f"{MONITOR}.port", "http"),
    "monitoring.podMonitor.labels": Case({"release": "kps"}, "PodMonitor", "metadata.labels.release", "kps"),
    "monitoring.podMonitor.annotations": Case({"a": "b"}, "PodMonitor", "metadata.annotations.a", "b"),
    "monitoring.podMonitor.interval": Case("30s", "PodMonitor", f"{MONITOR}.interval", "30s"),
    "monitoring.podMonitor.extraEndpoint": Case({"honorLabels": True}, "PodMonitor", f"{MONITOR}.honorLabels", True),
    "monitoring.serviceMonitor.enabled": Case(True, "ServiceMonitor", "spec.endpoints.0.path", "/metrics"),
    "monitoring.serviceMonitor.labels": Case({"release": "kps"}, "ServiceMonitor", "metadata.labels.release", "kps"),
    "monitoring.serviceMonitor.annotations": Case({"a": "b"}, "ServiceMonitor", "metadata.annotations.a", "b"),
    "monitoring.serviceMonitor.interval": Case("45s", "ServiceMonitor", "spec.endpoints.0.interval", "45s"),
    "monitoring.serviceMonitor.extraEndpoint": Case(
        {"scheme": "https"}, "ServiceMonitor", "spec.endpoints.0.scheme", "https"
    ),
    "monitoring.prometheusRule.enabled": Case(True, "PrometheusRule", "spec.groups.0.name", "resilience-operator"),
    "monitoring.prometheusRule.labels": Case({"release": "kps"}, "PrometheusRule", "metadata.labels.release", "kps"),
    "monitoring.prometheusRule.annotations": Case({"a": "b"}, "PrometheusRule", "metadata.annotations.a", "b"),
    "monitoring.prometheusRule.ruleLabels": Case(
        {"team": "sre", "severity": "none"},
        "PrometheusRule",
        "spec.groups.0.rules.0.labels",
        {"team": "sre", "severity": "critical"},
    ),
    "monitoring.prometheusRule.disabled": Case(
        ["ResilienceOperatorDown"], "PrometheusRule", "spec.groups.0.rules.0.alert", "ResilienceLeaderless"
    ),
    "monitoring.grafanaDashboard.enabled": Case(
        True, "ConfigMap", "metadata.name", "guard-dashboard", "guard-dashboard"
    ),
    "monitoring.grafanaDashboard.namespace": Case(
        "default", "ConfigMap", "metadata.namespace", "default", "guard-dashboard"
    ),
    "monitoring.grafanaDashboard.labels": Case(
        {"grafana_dashboard": "yes"}, "ConfigMap", "metadata.labels.grafana_dashboard", "yes", "guard-dashboard"
    ),
    "monitoring.grafanaDashboard.annotations": Case(
        {"grafana_folder": "SRE"}, "ConfigMap", "metadata.annotations.grafana_folder", "SRE", "guard-dashboard"
    ),
    "serviceAccount.create": Case(True, "ServiceAccount", "automountServiceAccountToken", False, "metrics-reader"),
    "serviceAccount.name": Case("metrics-reader", "Deployment", f"{POD}.serviceAccountName", "metrics-reader"),
    "serviceAccount.annotations": Case({"a": "b"}, "ServiceAccount", "metadata.annotations.a", "b", "metrics-reader"),
    "nameOverride": Case("other", "Deployment", "metadata.name", "guard"),
    "fullnameOverride": Case("guard", "Deployment", "metadata.name", "guard"),
    "commonLabels": Case(
        {"cost-center": "42", "app.kubernetes.io/name": "no"}, "Role", "metadata.labels.cost-center", "42", "guard-look"
    ),
    "commonAnnotations": Case(
        {"example.org/owner": "sre"}, "Deployment", "metadata.annotations.example.org/owner", "sre"
    ),
    "resources.requests": Case(
        {"cpu": "50m", "memory": "64Mi"}, "Deployment", f"{CONTAINER}.resources.requests.cpu", "50m"
    ),
    "resources.limits": Case({"memory": "256Mi"}, "Deployment", f"{CONTAINER}.resources.limits.memory", "256Mi"),
    "podAnnotations": Case({"a": "b"}, "Deployment", "spec.template.metadata.annotations.a", "b"),
    "podLabels": Case({"team": "sre"}, "Deployment", "spec.template.metadata.labels.team", "sre"),
    "nodeSelector": Case(
        {"kubernetes.io/os": "linux"}, "Deployment", f"{POD}.nodeSelector", {"kubernetes.io/os": "linux"}
    ),
    "tolerations": Case([{"key": "system", "operator": "Exists"}], "Deployment", f"{POD}.tolerations.2.key", "system"),
    "affinity": Case(AFFINITY, "Deployment", f"{POD}.affinity", AFFINITY),
    "priorityClassName": Case(
        "system-cluster-critical", "Deployment", f"{POD}.priorityClassName", "system-cluster-critical"
    ),
    "topologySpreadConstraints": Case([SPREAD], "Deployment", f"{POD}.topologySpreadConstraints", [SPREAD]),
    "podSecurityContext": Case(
        {"runAsUser": None, "fsGroupChangePolicy": "Always"},
        "Deployment",
        f"{POD}.securityContext",
        {
            "runAsNonRoot": True,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "fsGroupChangePolicy": "Always",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    ),
    "securityContext": Case({"privileged": False}, "Deployment", f"{CONTAINER}.securityContext.privileged", False),
    "openshift": Case("Never", "Deployment", f"{POD}.securityContext.runAsGroup", 65532),
    "startupProbe": Case({"failureThreshold": 60}, "Deployment", f"{CONTAINER}.startupProbe.failureThreshold", 60),
    "livenessProbe": Case({"periodSeconds": 20}, "Deployment", f"{CONTAINER}.livenessProbe.periodSeconds", 20),
    "readinessProbe": Case(
        {"initialDelaySeconds": 1}, "Deployment", f"{CONTAINER}.readinessProbe.initialDelaySeconds", 1
    ),
    "tests.enabled": Case(True, "Job", "metadata.annotations.helm.sh/hook", "test", "guard-test"),
    "extraVolumes": Case([SECRET], "Deployment", f"{POD}.volumes.2", SECRET),
    "extraVolumeMounts": Case([MOUNT], "Deployment", f"{CONTAINER}.volumeMounts.2", MOUNT),
    "extraArgs": Case(["--log-level=debug"], "Deployment", f"{CONTAINER}.args.3", "--log-level=debug"),
    "extraEnv": Case(
        [{"name": "RESILIENCE_SHARDS", "value": "4"}], "Deployment", f"{CONTAINER}.env.RESILIENCE_SHARDS", "4"
    ),
    "extraEnvFrom": Case(
        [{"secretRef": {"name": "otel", "optional": True}}],
        "Deployment",
        f"{CONTAINER}.envFrom.0.secretRef.name",
        "otel",
    ),
    "extraContainers": Case([SIDECAR], "Deployment", f"{POD}.containers.1", SIDECAR),
    "extraInitContainers": Case([SIDECAR | {"name": "wait"}], "Deployment", f"{POD}.initContainers.0.name", "wait"),
    "extraPodSpec": Case(
        {"hostAliases": [{"ip": "127.0.0.1", "hostnames": ["a"]}]}, "Deployment", f"{POD}.hostAliases.0.ip", "127.0.0.1"
    ),
    "extraContainerSpec": Case(
        {"terminationMessagePolicy": "FallbackToLogsOnError"},
        "Deployment",
        f"{CONTAINER}.terminationMessagePolicy",
        "FallbackToLogsOnError",
    ),
    "extraDeploymentSpec": Case({"revisionHistoryLimit": 3}, "Deployment", "spec.revisionHistoryLimit", 3),
    "extraObjects": Case(
        [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-extra"}},
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: text-{{ .Release.Namespace }}\n",
        ],
        "ConfigMap",
        "metadata.name",
        "r-extra",
        "r-extra",
    ),
}
"""By value. All of them together are one set of values."""

ELSEWHERE = {"admission.kinds", "admission.protectedNamespaces", "admission.registries"}
"""Tested in test_helm.py, with the admission policies compiled by the API server."""


def nested(flat: dict[str, Any]) -> Obj:
    """Values by dotted names, as a tree."""
    tree: Obj = {}
    for name, value in flat.items():
        *above, last = name.split(".")
        place = reduce(lambda part, each: part.setdefault(each, {}), above, tree)
        place[last] = value
    return tree


def leaves(values: Obj, schema: Obj, path: str = "") -> Iterator[str]:
    """Names of all values that the schema does not divide further, and of the settings in config."""
    for name, value in values.items():
        part, key = schema["properties"].get(name, {}), f"{path}.{name}".lstrip(".")
        if "properties" in part:
            yield from leaves(value, part, key)
        elif name == "config":
            yield from (f"config.{each}" for each in value)
        else:
            yield key


def rendered(*arguments: str, given: Obj, kubeconfig: Path) -> list[Obj]:
    """What the chart renders of these values."""
    done = call(
        "helm", "template", "r", str(CHART), "--namespace=default", "--values=-", *arguments,
        kubeconfig=kubeconfig, given=yaml.safe_dump(given),
    )  # fmt: skip
    return [each for each in yaml.safe_load_all(done.stdout) if each]


ALL = nested({name: case.value for name, case in CASES.items()})


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> list[Obj]:
    """All objects, rendered with every value set."""
    return rendered(given=ALL, kubeconfig=tmp_path_factory.mktemp("helm") / "kubeconfig")


def field(document: Any, path: str, folder: Path) -> Any:
    """A field of an object; None if it has none. Labels and annotations may contain dots; `env` is by name; `config` is
    the configuration, as the operator reads it."""
    if not path:
        return document
    if path.startswith("config."):
        (folder / "config.yaml").write_text(document["stringData"]["config.yaml"])
        document, path = load({}, folder / "config.yaml").model_dump(mode="json"), path.removeprefix("config.")
    if isinstance(document, dict) and path in document:
        return document[path]
    name, _, rest = path.partition(".")
    if isinstance(document, list):
        if not name.isdigit():
            return {each["name"]: each.get("value") for each in document}.get(path)
        return field(document[int(name)], rest, folder)
    return field(document[name], rest, folder) if name in (document or {}) else None


def test_every_value_has_a_case() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    assert set(leaves(values, schema)) == set(CASES) | ELSEWHERE


@pytest.mark.parametrize("name", CASES)
def test_value_reaches_its_object(everything: list[Obj], name: str, tmp_path: Path) -> None:
    case = CASES[name]
    objects = [o for o in everything if o["kind"] == case.kind and o["metadata"]["name"].endswith(case.name)]
    if not case.field:
        assert objects == []
        return
    assert objects, f"no {case.kind} {case.name}"
    assert field(objects[0], case.field, tmp_path) == case.found


def test_what_a_value_leaves_out_is_there_by_default(tmp_path: Path) -> None:
    objects = rendered(given={"namespaces": ["default"]}, kubeconfig=tmp_path / "kubeconfig")
    for name, case in CASES.items():
        if not case.field:
            assert [o for o in objects if o["kind"] == case.kind and o["metadata"]["name"].endswith(case.name)], name


def test_common_metadata_is_on_every_object_and_never_replaces_the_chart_s(everything: list[Obj]) -> None:
    own = [each for each in everything if each["metadata"]["name"] not in ("r-extra", "text-default")]
    assert len(own) == len(everything) - 2
    for each in own:
        labels = each["metadata"]["labels"]
        assert labels["cost-center"] == "42", each["metadata"]["name"]
        assert labels["app.kubernetes.io/name"] == "resilience-operator"
        assert each["metadata"]["annotations"]["example.org/owner"] == "sre"
    (pods,) = [each["spec"]["template"]["metadata"] for each in own if each["kind"] == "Deployment"]
    assert pods["labels"]["cost-center"] == "42"
    assert pods["annotations"]["example.org/owner"] == "sre"


def test_rights_and_limits_are_bound_to_the_account_that_the_pods_use(tmp_path: Path) -> None:
    """Also if somebody else creates the account."""
    account = {"create": False, "name": "managed"}
    values = {"serviceAccount": account, "auth": "kubernetes", "rbac": {"gitOps": True}}
    objects = rendered(given=values, kubeconfig=tmp_path / "kubeconfig")
    assert not [each for each in objects if each["kind"] == "ServiceAccount"]
    subjects = [subject["name"] for each in objects for subject in each.get("subjects", ())]
    assert len(subjects) >= 5
    assert set(subjects) == {"managed"}
    (limits,) = [e["spec"]["paramRef"] for e in objects if "paramRef" in e.get("spec", {})]
    assert limits["name"] == "managed"


UIDS = {"runAsUser", "runAsGroup", "fsGroup"}


@pytest.mark.parametrize(
    ("mode", "on_openshift", "fixed"),
    [("Auto", False, True), ("Auto", True, False), ("Always", False, False), ("Never", True, True)],
)
def test_openshift_assigns_users_itself(tmp_path: Path, mode: str, on_openshift: bool, fixed: bool) -> None:
    arguments = ["--api-versions=security.openshift.io/v1"] if on_openshift else []
    objects = rendered(*arguments, given={"openshift": mode}, kubeconfig=tmp_path / "kubeconfig")
    pods = [each["spec"]["template"]["spec"] for each in objects if each["kind"] in ("Deployment", "Job")]
    assert len(pods) == 2
    for pod in pods:
        assert set(pod["securityContext"]) == {"runAsNonRoot", "seccompProfile"} | (UIDS if fixed else set())
        assert all("runAsUser" not in each["securityContext"] for each in pod["containers"])


REFUSED: dict[str, tuple[Obj, str]] = {
    "a budget that blocks drains": (
        {"replicas": 2, "podDisruptionBudget": {"minAvailable": 2}},
        "node drains would never end",
    ),
    "the budget of one replica": ({"replicas": 1, "podDisruptionBudget": {"minAvailable": 1}}, "is 1 of 1 replicas"),
    "replicas without election": ({"config": {"leader_election": False}}, "each of them would act"),
    "no account": ({"serviceAccount": {"create": False}}, "set serviceAccount.name"),
    "an alert that does not exist": (
        {"monitoring": {"prometheusRule": {"enabled": True, "disabled": ["Nope"]}}},
        "there is no alert Nope",
    ),
    "an Ingress without hosts": ({"ingress": {"enabled": True}}, "/ingress/hosts"),
    "a route without gateway": ({"httpRoute": {"enabled": True, "hostnames": ["a.example"]}}, "/httpRoute/parentRefs"),
    "a published dashboard that is off": (
        {"ingress": {"enabled": True, "hosts": ["a.example"]}, "config": {"dashboard": False}},
        "config.dashboard is false",
    ),
    "credentials in the address": ({"prometheusUrl": "http://user:secret@prometheus:9090"}, "/prometheusUrl"),
    "a probe of somebody's own": ({"livenessProbe": {"exec": {"command": ["true"]}}}, "'exec' not allowed"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_contradictions_are_refused(tmp_path: Path, what: str) -> None:
    values, message = REFUSED[what]
    done = call(
        "helm", "template", "r", str(CHART), "--values=-",
        kubeconfig=tmp_path / "kubeconfig", given=yaml.safe_dump(values), check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert message in done.stderr


NULLS = (*yaml.safe_load((CHART / "values.yaml").read_text()), "serviceAccount.create", "image.tag", "rbac.release")


def test_a_value_that_is_null_is_left_out_or_missed_by_name(tmp_path: Path) -> None:
    """Helm removes a default that is set to null. What the chart cannot do without is named, and no template fails."""
    for name in NULLS:
        done = call(
            "helm", "template", "r", str(CHART), f"--set={name}=null", kubeconfig=tmp_path / "kubeconfig", check=False
        )
        assert done.returncode == 0 or f"missing property '{name.rpartition('.')[2]}'" in done.stderr, name
        if name.endswith("Probe"):
            (deployment,) = [o for o in yaml.safe_load_all(done.stdout) if o and o["kind"] == "Deployment"]
            (container,) = deployment["spec"]["template"]["spec"]["containers"]
            assert name not in container
            assert {"startupProbe", "livenessProbe", "readinessProbe"} - {name} <= container.keys()


@pytest.mark.parametrize(
    ("arguments", "url"),
    [
        (["--set=prometheusUrl=http://thanos:10902"], "http://thanos:10902"),
        (
            ["--set=config.sources[0].name=default", "--set=config.sources[0].url=http://mimir/prom"],
            "http://mimir/prom",
        ),
    ],
)
def test_one_setting_chooses_prometheus(tmp_path: Path, arguments: list[str], url: str) -> None:
    objects = rendered(*arguments, given={}, kubeconfig=tmp_path / "kubeconfig")
    (text,) = [each["data"]["config.yaml"] for each in objects if each["metadata"]["name"].endswith("-config")]
    (tmp_path / "config.yaml").write_text(text)
    (source,) = load({}, tmp_path / "config.yaml").all_sources
    assert (source.name, source.url) == ("default", url)
    assert source.tenancy != "none", "custom queries stay in their namespace by default"


STUBS = {
    "monitoring.coreos.com": {
        "PodMonitor": "podmonitors",
        "ServiceMonitor": "servicemonitors",
        "PrometheusRule": "prometheusrules",
    },
    "gateway.networking.k8s.io": {"HTTPRoute": "httproutes"},
}


def definitions() -> Iterator[Obj]:
    """The kinds of the Prometheus Operator and of the Gateway API, without their schemas."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    for group, kinds in STUBS.items():
        for kind, plural in kinds.items():
            names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
            metadata: Obj = {"name": f"{plural}.{group}"}
            if group.endswith("k8s.io"):
                # The API server asks for this on groups of Kubernetes; the value is for trials.
                metadata["annotations"] = {"api-approved.kubernetes.io": "unapproved, for a test"}
            version = {"name": "v1", "served": True, "storage": True, "schema": schema}
            yield {
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata,
                "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
            }  # fmt: skip


def test_release_with_every_value_is_installed_tested_and_uninstalled(cluster: Cluster) -> None:
    mark = f"m{uuid.uuid4().hex[:6]}"
    stubs = yaml.safe_dump_all(definitions())
    call("kubectl", "apply", "-f", "-", kubeconfig=cluster.kubeconfig, given=stubs)
    values = {
        **ALL,
        "fullnameOverride": mark,
        "namespaces": [mark],
        "serviceAccount": {"create": True},
        "monitoring": {
            name: {**part, "namespace": mark} if name == "grafanaDashboard" else mark if name == "namespace" else part
            for name, part in ALL["monitoring"].items()
        },
    }

    def helm(*arguments: str, given: str | None = None) -> str:
        return call("helm", *arguments, f"--namespace={mark}", kubeconfig=cluster.kubeconfig, given=given).stdout

    api = new_client_from_config(str(cluster.kubeconfig))
    for each in STUBS["monitoring.coreos.com"].values():
        eventually(
            lambda each=each: call(
                "kubectl", "get", f"{each}.monitoring.coreos.com", "-A", kubeconfig=cluster.kubeconfig, check=False
            ).returncode == 0,
            f"{each} are served",
        )  # fmt: skip
    try:
        notes = helm(
            "install", mark, str(CHART), "--create-namespace", "--wait", "--timeout=150s", "-f", "-",
            given=yaml.safe_dump(values),
        )  # fmt: skip
        assert "http://thanos.example:9090" in notes
        deployment = client.AppsV1Api(api).read_namespaced_deployment(mark, mark)
        assert deployment.status.ready_replicas == 5
        assert "Succeeded" in helm("test", mark, "--timeout=150s")
    finally:
        helm("uninstall", mark, "--wait", "--ignore-not-found")
        client.CoreV1Api(api).delete_namespace(mark)
        call("kubectl", "delete", "--wait=false", "-f", "-", kubeconfig=cluster.kubeconfig, given=stubs)
