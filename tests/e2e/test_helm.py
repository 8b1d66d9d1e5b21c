"""The Helm chart: that it is the kustomize base in substance, refuses what it does not know, and is installed, upgraded
and uninstalled without harm to policies and workloads."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from resilience_operator.runtime.config import load
from tests.cluster import Cluster
from tests.support.clients import call
from tests.support.fresh import fresh_cluster
from tests.support.install import NAMESPACE, ROOT, operator_kubeconfig
from tests.support.operator import Operator
from tests.support.waiting import eventually
from tests.support.world import World

CHART = ROOT / "manifests" / "helm" / "resilience-operator"
RELEASE = "resilience-operator"
CRD = "resiliencepolicies.resilience-operator.io"
DEFINITION = "resilience-operator.io_resiliencepolicies.yaml"

Obj = dict[str, Any]

PAIRS = {
    "base": [],
    "overlays/dry-run": ["--set=dryRun=true"],
    "overlays/namespaced": ["--set=namespaces={shop}"],
    "overlays/ha": [f"--values={CHART / 'values-ha.yaml'}"],
    "overlays/openshift": ["--set=openshift=Always"],
    "overlays/secured": ["--set=auth=kubernetes", "--set=networkPolicy.enabled=true"],
    "overlays/sharded": [
        f"--values={CHART / 'values-ha.yaml'}",
        '--set-json=extraEnv=[{"name": "RESILIENCE_SHARDS", "value": "16"}]',
    ],
}
"""Which values are which kustomization."""

WITHOUT_TESTS = "--set=tests.enabled=false"
"""`helm test` has no counterpart in kustomize."""

HELM_LABELS = {
    "app.kubernetes.io/instance",
    "app.kubernetes.io/version",
    "app.kubernetes.io/managed-by",
    "helm.sh/chart",
}


def plain(value: Any) -> Any:
    """What both have in common, of an object or a part of one: without the labels that only Helm writes, the mark that
    keeps the CRD, and whatever makes new pods of a new configuration (a hash in a name, a sum in an annotation)."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    dropped = HELM_LABELS | {"helm.sh/resource-policy", "checksum/config"}
    found = {key: plain(each) for key, each in value.items() if key not in dropped}
    if found.get("annotations") == {}:
        del found["annotations"]
    if isinstance(name := found.get("name"), str):
        found["name"] = re.sub(r"^(resilience-operator-config)-[a-z0-9]{10}$", r"\1", name)
    return found


def comparable(text: str, folder: Path) -> dict[tuple[str, str, str], Obj]:
    """Objects by kind, namespace and name. The chart leaves the namespace to whoever installs it."""
    found = {}
    for document in yaml.safe_load_all(text):
        if document is None or document["kind"] == "Namespace":
            continue
        document = plain(document)
        metadata = document["metadata"]
        if document["kind"] == "ConfigMap":
            file = folder / "config.yaml"
            file.write_text(document["data"].pop("config.yaml"))
            document["data"]["read"] = load({}, file).model_dump(mode="json")
        found[document["kind"], metadata.get("namespace", ""), metadata["name"]] = document
    return found


@pytest.mark.parametrize("folder", PAIRS)
def test_is_the_kustomization_in_substance(cluster: Cluster, folder: str, tmp_path: Path) -> None:
    arguments = ["template", RELEASE, str(CHART), "--namespace", NAMESPACE, WITHOUT_TESTS, *PAIRS[folder]]
    chart = call("helm", *arguments, kubeconfig=cluster.kubeconfig)
    assert chart.stderr == ""
    overlay = call("kubectl", "kustomize", str(ROOT / "manifests" / folder), kubeconfig=cluster.kubeconfig)
    mine, theirs = comparable(chart.stdout, tmp_path), comparable(overlay.stdout, tmp_path)
    assert set(mine) == set(theirs)
    for key, document in theirs.items():
        assert mine[key] == document, key


def test_admission_policies_have_the_release_s_account_and_the_values(cluster: Cluster) -> None:
    arguments = [
        "template", "shop-guard", str(CHART), "--namespace", "guards",
        '--set-json=admission.kinds={"Fleet.agones.dev": "fleets"}',
        "--set-json=admission.registries=[\"registry.example.com/\"]",
        "--set-json=admission.protectedNamespaces=[\"infra\"]",
    ]  # fmt: skip
    rendered = call("helm", *arguments, kubeconfig=cluster.kubeconfig).stdout
    objects = [d for d in yaml.safe_load_all(rendered) if d and d["kind"].startswith("ValidatingAdmissionPolicy")]
    names = {f"shop-guard-resilience-operator-{what}" for what in ("authors", "limits")}
    assert {each["metadata"]["name"] for each in objects} == names
    assert {each["spec"]["policyName"] for each in objects if each["kind"].endswith("Binding")} == names
    policies = {each["metadata"]["name"]: each["spec"] for each in objects if not each["kind"].endswith("Binding")}
    (account,) = [each["spec"]["paramRef"] for each in objects if "paramRef" in each["spec"]]
    assert (account["namespace"], account["name"]) == ("guards", "shop-guard-resilience-operator")
    variables = {v["name"]: v["expression"] for policy in policies.values() for v in policy["variables"]}
    assert variables["protected"] == '["infra"]'
    assert variables["registries"] == '["registry.example.com/"]'
    assert "'Deployment.apps': 'deployments'" in variables["kinds"]
    assert variables["kinds"].endswith('"Fleet.agones.dev":"fleets"}')
    given = yaml.safe_dump_all(objects)
    # The API server compiles the expressions.
    call("kubectl", "apply", "--dry-run=server", "-f", "-", kubeconfig=cluster.kubeconfig, given=given)
    for value, left in (("authors", "limits"), ("limits", "authors")):
        rendered = call("helm", *arguments, f"--set=admission.{value}=false", kubeconfig=cluster.kubeconfig).stdout
        found = {d["metadata"]["name"] for d in yaml.safe_load_all(rendered) if d and "Admission" in d["kind"]}
        assert found == {f"shop-guard-resilience-operator-{left}"}


def test_a_release_that_only_scales_has_no_right_to_patch_workloads(cluster: Cluster) -> None:
    arguments = ["template", RELEASE, str(CHART), "--namespace", NAMESPACE, "--set=rbac.release=false"]
    rendered = call("helm", *arguments, kubeconfig=cluster.kubeconfig).stdout
    names = {(d["kind"], d["metadata"]["name"]) for d in yaml.safe_load_all(rendered) if d}
    assert ("ClusterRole", "resilience-operator-act-scale") in names
    assert not {name for _, name in names if name.endswith("act-release")}


def test_lints(cluster: Cluster) -> None:
    for values in PAIRS.values():
        call("helm", "lint", "--strict", str(CHART), *values, kubeconfig=cluster.kubeconfig)


REFUSED = {
    "dryrun=true": "additional properties 'dryrun' not allowed",
    "replicas=two": "'/replicas': got string, want integer",
    "spread=Maybe": "'/spread': value must be one of 'Preferred', 'Required'",
    "image.digest=latest": "'/image/digest': 'latest' does not match pattern",
    "config.log_level=loud": "'/config/log_level': value must be one of",
    "config.sources[0].tenancy=off": "'/config/sources/0'",
    "admission.registries={registry.example.com}": "'/admission/registries/0'",
    "admission.kinds.fleet=fleets": "'fleet' does not match pattern",
    "config.port=1": "'/config': additional properties 'port' not allowed",
    "config.sources[0].name=other": "'/config/sources/0'",
    "namespaces={Shop}": "'/namespaces/0': 'Shop' does not match pattern",
}


@pytest.mark.parametrize("value", REFUSED)
def test_refuses_values_that_it_does_not_know(cluster: Cluster, value: str) -> None:
    done = call("helm", "template", RELEASE, str(CHART), "--set", value, kubeconfig=cluster.kubeconfig, check=False)
    assert done.returncode != 0
    assert REFUSED[value] in done.stderr


EVERYTHING: Obj = {
    "config": {
        "sources": [
            {"name": "default", "url": "https://prometheus.example.org", "bearer_token_file": "/etc/prometheus/token"}
        ]
    },
    "fullnameOverride": "guard",
    "namespaces": ["shop", "cart"],
    "image": {"digest": f"sha256:{64 * 'a'}", "pullSecrets": [{"name": "registry"}]},
    "crds": {"install": False},
    "rbac": {"people": False},
    "networkPolicy": {"enabled": True, "metricsFrom": [], "dashboardFrom": [{"podSelector": {}}]},
    "serviceAccount": {"annotations": {"example.org/role": "metrics"}},
    "podAnnotations": {"example.org/owner": "sre"},
    "podLabels": {"team": "sre"},
    "nodeSelector": {"pool": "system"},
    "tolerations": [{"key": "system", "operator": "Exists"}],
    "priorityClassName": "system-cluster-critical",
    "extraVolumes": [{"name": "prometheus", "secret": {"secretName": "prometheus-token"}}],
    "extraVolumeMounts": [{"name": "prometheus", "mountPath": "/etc/prometheus", "readOnly": True}],
    "extraEnv": [{"name": "RESILIENCE_LOG_LEVEL", "value": "debug"}],
}


def test_every_value_has_its_place(cluster: Cluster) -> None:
    """And the API server takes the outcome without a warning."""
    arguments = ["template", "r", str(CHART), "--namespace=default", "--values=-"]
    done = call("helm", *arguments, kubeconfig=cluster.kubeconfig, given=yaml.safe_dump(EVERYTHING))
    objects = [each for each in yaml.safe_load_all(done.stdout) if each]
    assert {each["metadata"]["name"].partition("-")[0] for each in objects} == {"guard"}
    kinds = [each["kind"] for each in objects]
    assert "CustomResourceDefinition" not in kinds
    assert "ClusterRole" not in kinds
    admission = {(each["kind"], each["metadata"]["namespace"]) for each in objects if each["kind"].startswith("Role")}
    assert admission == {(kind, where) for kind in ("Role", "RoleBinding") for where in ("default", "shop", "cart")}
    (deployment,) = [each for each in objects if each["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert container["image"].endswith(f"@{EVERYTHING['image']['digest']}")
    assert container["args"][-2:] == ["--namespace=shop", "--namespace=cart"]
    assert EVERYTHING["extraEnv"][0] in container["env"]
    assert EVERYTHING["extraVolumeMounts"][0] in container["volumeMounts"]
    assert EVERYTHING["extraVolumes"][0] in pod["spec"]["volumes"]
    assert pod["spec"]["imagePullSecrets"] == EVERYTHING["image"]["pullSecrets"]
    for name in ("nodeSelector", "tolerations", "priorityClassName"):
        assert pod["spec"][name] == EVERYTHING[name]
    assert pod["metadata"]["annotations"].items() >= EVERYTHING["podAnnotations"].items()
    assert pod["metadata"]["labels"].items() >= {"team": "sre", **deployment["spec"]["selector"]["matchLabels"]}.items()
    # Roles go into namespaces that are not there on this cluster.
    text = yaml.safe_dump_all([each for each in objects if each["metadata"].get("namespace", "default") == "default"])
    applied = call(
        "kubectl", "apply", "--dry-run=server", "--validate=strict", "-f", "-",
        kubeconfig=cluster.kubeconfig, given=text,
    )  # fmt: skip
    assert applied.stderr == ""


def older_chart(folder: Path) -> Path:
    """The chart of a version before this one, whose CRD lacked a column."""
    chart = folder / "older"
    shutil.copytree(CHART, chart)
    described = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(yaml.safe_dump({**described, "version": "0.0.9", "appVersion": "0.0.9"}))
    definition = yaml.safe_load((chart / "files" / DEFINITION).read_text())
    definition["spec"]["versions"][0]["additionalPrinterColumns"].pop()
    (chart / "files" / DEFINITION).write_text(yaml.safe_dump(definition, sort_keys=False))
    return chart


def operator_of(cluster: Cluster, api: client.ApiClient, folder: Path) -> Operator:
    """The operator as the installed Deployment would run it: its account, its configuration, arguments, environment.
    The nodes are simulated, and its pods run nothing."""
    (container,) = client.AppsV1Api(api).read_namespaced_deployment(RELEASE, NAMESPACE).spec.template.spec.containers
    config = client.CoreV1Api(api).read_namespaced_config_map(f"{RELEASE}-config", NAMESPACE).data["config.yaml"]
    (folder / "config.yaml").write_text(config)
    (mount,) = [each.mount_path for each in container.volume_mounts if each.name == "config"]
    command, *arguments = (each.replace(mount, str(folder)) for each in container.args)
    assert command == "run"
    fields = {"metadata.name": f"{RELEASE}-0", "metadata.namespace": NAMESPACE}
    environment = {each.name: each.value or fields[each.value_from.field_ref.field_path] for each in container.env}
    identity = operator_kubeconfig(cluster, folder / "kubeconfig")
    return Operator(identity, "", folder / "operator.log", arguments, environment)


def test_policies_and_workloads_survive_upgrade_and_uninstall(tmp_path: Path) -> None:
    with fresh_cluster(tmp_path) as cluster:
        world = World(cluster, "shop").create()
        definitions = client.ApiextensionsV1Api(world.api)
        values = tmp_path / "values.yaml"
        sources = [{"name": "default", "url": cluster.prometheus_url}]
        values.write_text(yaml.safe_dump({"config": {"sources": sources}}))

        def helm(*arguments: str) -> str:
            settings = ["--namespace", NAMESPACE]
            return call("helm", *arguments, *settings, kubeconfig=cluster.kubeconfig).stdout

        def columns() -> int:
            found = definitions.read_custom_resource_definition(CRD)
            return len(found.spec.versions[0].additional_printer_columns)

        def runs(replicas: int, tag: str) -> bool:
            found = world.apps.read_namespaced_deployment(RELEASE, NAMESPACE)
            (container,) = found.spec.template.spec.containers
            return bool(container.image.endswith(f":{tag}") and found.status.ready_replicas == replicas)

        def kept() -> tuple[Obj, Obj]:
            policy, workload = world.read_policy(), world.get()
            return (
                {"uid": policy["metadata"]["uid"], "spec": policy["spec"]},
                {"uid": workload["metadata"]["uid"], "template": workload["spec"]["template"]},
            )

        install = ["upgrade", "--install", RELEASE, "--create-namespace", "--wait", "--timeout=180s", "-f", str(values)]
        told = helm(*install, str(older_chart(tmp_path)))
        assert cluster.prometheus_url in told
        eventually(lambda: runs(2, "0.0.9"), "two replicas of the older version are ready")
        before = columns()

        world.deployment(replicas=3)
        world.load.workload("shop", "checkout", rps=30)
        world.policy()
        operator = operator_of(cluster, world.api, tmp_path).start()
        try:
            world.until_phase("Stable")
            world.load.workload("shop", "checkout", rps=400)
            world.until(lambda: "scaleUp" in world.actions(), "it scales up")
            as_it_was = kept()

            helm(*install, str(CHART), "--set=replicas=3,spread=Required")
            eventually(lambda: runs(3, "0.1.0"), "three replicas of this version are ready")
            assert columns() == before + 1, "the upgrade brings the CRD up to date"
            assert kept() == as_it_was
            world.load.workload("shop", "checkout", rps=30)
            world.until(lambda: "scaleDown" in world.actions(), "it goes on, and gives back")
            assert "scaleUp" in world.actions(), "the history is kept"
        finally:
            operator.stop()

        scaled = world.replicas()
        told = helm("uninstall", RELEASE, "--wait")
        assert CRD in told, "it tells what it kept"
        left = call(
            "kubectl", "get", "-A", "-l", "app.kubernetes.io/part-of=resilience-operator", "-o", "name",
            "deployments,pods,services,serviceaccounts,configmaps,poddisruptionbudgets,roles,rolebindings,"
            "clusterroles,clusterrolebindings,customresourcedefinitions",
            kubeconfig=cluster.kubeconfig,
        )  # fmt: skip
        assert left.stdout.split() == [f"customresourcedefinition.apiextensions.k8s.io/{CRD}"]
        assert kept() == as_it_was
        assert world.replicas() == scaled
        assert world.actions(), "with its history"

        helm(*install, str(CHART))
        eventually(lambda: runs(2, "0.1.0"), "it can be installed again beside the kept CRD")
        assert kept() == as_it_was
