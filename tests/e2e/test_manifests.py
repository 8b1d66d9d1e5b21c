"""What is shipped, on the real API server: that it is taken without a warning, that the pods pass its own admission
under the restricted standard, and what the operator's account may do — everything else being refused.

The installations below are copies of the base and its overlays under names of their own, so that other tests keep
theirs. They leave nothing behind.
"""

import copy
import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from kubernetes import client
from kubernetes.config import new_client_from_config

from tests.cluster import Cluster, write_kubeconfig
from tests.support.clients import call
from tests.support.install import AUTHORS, KINDS, LIMITS, add_kinds
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "manifests"
SAMPLES = MANIFESTS / "samples"
OVERLAYS = ["dry-run", "ha", "namespaced", "openshift", "secured", "sharded"]

VERBS = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
READ = {"get", "list", "watch"}
ANYWHERE: dict[str, set[str]] = {
    "resiliencepolicies.resilience-operator.io": READ,
    "resiliencepolicies.resilience-operator.io/status": {"get", "patch"},
    "deployments.apps": READ | {"patch"},
    "deployments.apps/scale": {"patch"},
    "replicasets.apps": READ,
    "statefulsets.apps": READ | {"patch"},
    "statefulsets.apps/scale": {"patch"},
    "daemonsets.apps": READ | {"patch"},
    "controllerrevisions.apps": READ,
    "horizontalpodautoscalers.autoscaling": READ | {"patch"},
    "events.events.k8s.io": {"create", "list"},
    "pods": {"list"},
    "nodes": READ,
}
"""What the account of the base may do in any namespace."""
ZONE = "topology.kubernetes.io/zone"
LEASE = "leader.resilience-operator.io"
ACTING = {
    "deployments.apps",
    "deployments.apps/scale",
    "statefulsets.apps",
    "statefulsets.apps/scale",
    "daemonsets.apps",
    "horizontalpodautoscalers.autoscaling",
}
EVERYBODY: dict[str, set[str]] = {
    "selfsubjectaccessreviews.authorization.k8s.io": {"create"},
    "selfsubjectrulesreviews.authorization.k8s.io": {"create"},
    "selfsubjectreviews.authentication.k8s.io": {"create"},
    "clustertrustbundles.certificates.k8s.io": READ,
}
"""What Kubernetes lets every service account do: ask about itself, and read whom the cluster trusts."""

Obj = dict[str, Any]
Kubectl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def kubectl(cluster: Cluster) -> Kubectl:
    """Run kubectl against the cluster, and expect it to succeed."""
    return partial(call, "kubectl", kubeconfig=cluster.kubeconfig)


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[client.ApiClient]:
    with new_client_from_config(str(cluster.kubeconfig)) as found:
        yield found


def render(kubectl: Kubectl, folder: Path) -> list[Obj]:
    return list(yaml.safe_load_all(kubectl("kustomize", str(folder)).stdout))


@dataclass(frozen=True)
class Installation:
    """A copy of a kustomization, installed under names of its own."""

    namespace: str
    account: str
    objects: list[Obj]
    stderr: str

    def one(self, kind: str) -> Obj:
        (found,) = [each for each in self.objects if each["kind"] == kind]
        return found


@contextmanager
def installed(kubectl: Kubectl, folder: Path, draft: Path) -> Iterator[Installation]:
    # A letter first: a bare 12e345 is text to one YAML parser, and a number to the next.
    mark = f"m{uuid.uuid4().hex[:6]}"
    namespace, suffix = f"manifests-{mark}", f"-{mark}"
    (draft / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "resources": [os.path.relpath(folder, draft.resolve())],
                "namespace": namespace,
                "nameSuffix": suffix,
            }
        )
    )
    # The CRD is everybody's: it is there, and it stays.
    objects = [each for each in render(kubectl, draft) if each["kind"] != "CustomResourceDefinition"]
    for each in objects:
        if each["kind"] == "ValidatingAdmissionPolicy" and each["metadata"]["name"].startswith(AUTHORS):
            add_kinds(each, KINDS)  # it binds the other tests' authors too
    text = yaml.safe_dump_all(objects)
    try:
        done = kubectl("apply", "--validate=strict", "-f", "-", given=text)
        yield Installation(namespace, f"resilience-operator{suffix}", objects, done.stderr)
    finally:
        kubectl("delete", "--ignore-not-found", "--wait=false", "-f", "-", given=text)


@pytest.fixture(scope="module")
def base(kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(kubectl, MANIFESTS / "base", tmp_path_factory.mktemp("base")) as found:
        yield found


class TestApply:
    def test_base_as_the_readme_says(self, kubectl: Kubectl) -> None:
        """Its own names, with the server's whole admission, and nothing kept."""
        done = kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-k", str(MANIFESTS / "base"))
        assert "customresourcedefinition.apiextensions.k8s.io/resiliencepolicies" in done.stdout
        assert "deployment.apps/resilience-operator" in done.stdout
        assert "Warning" not in done.stderr

    def test_base_client_side(self, kubectl: Kubectl) -> None:
        done = kubectl("apply", "--dry-run=server", "-k", str(MANIFESTS / "base"))
        # What was applied server-side before gets this remark.
        assert [line for line in done.stderr.splitlines() if "last-applied-configuration" not in line] == []

    def test_nothing_is_warned_of(self, base: Installation) -> None:
        assert base.stderr == ""

    @pytest.mark.parametrize("overlay", OVERLAYS)
    def test_overlay(self, kubectl: Kubectl, overlay: str, tmp_path: Path) -> None:
        with installed(kubectl, MANIFESTS / "overlays" / overlay, tmp_path) as found:
            assert found.stderr == ""

    def test_crd_is_established(self, api: client.ApiClient) -> None:
        name = "resiliencepolicies.resilience-operator.io"
        found = client.ApiextensionsV1Api(api).read_custom_resource_definition(name)
        conditions = {condition.type: condition.status for condition in found.status.conditions}
        assert conditions["Established"] == conditions["NamesAccepted"] == "True"
        assert "NonStructuralSchema" not in conditions

    def test_replicas_get_ready(self, base: Installation, api: client.ApiClient) -> None:
        """The controllers make the pods, admission lets them in, the scheduler places them apart."""
        apps, core = client.AppsV1Api(api), client.CoreV1Api(api)
        eventually(
            lambda: apps.read_namespaced_deployment(base.account, base.namespace).status.ready_replicas == 2,
            "both replicas are ready",
        )
        nodes = [pod.spec.node_name for pod in core.list_namespaced_pod(base.namespace).items]
        assert len(set(nodes)) == 2


class TestLimits:
    """That the admission policy limits the account of this installation, whatever its names are."""

    @pytest.fixture
    def stolen(self, base: Installation, api: client.ApiClient, cluster: Cluster, tmp_path: Path) -> client.ApiClient:
        """The token of the installed account."""
        request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[]))
        answer = client.CoreV1Api(api).create_namespaced_service_account_token(base.account, base.namespace, request)
        path = write_kubeconfig(tmp_path / "stolen", cluster.server, cluster.ca_file, token=answer.status.token)
        return new_client_from_config(str(path))

    @pytest.mark.parametrize("folder", ["base", *(f"overlays/{name}" for name in OVERLAYS)])
    def test_follow_the_account_through_every_kustomization(
        self, kubectl: Kubectl, folder: str, tmp_path: Path
    ) -> None:
        """Two kustomizations of somebody else's on top, which know nothing of it."""
        below = MANIFESTS / folder
        for number, names in enumerate(({"namePrefix": "a-", "nameSuffix": "-z"}, {"namespace": "elsewhere"})):
            above = tmp_path / str(number)
            above.mkdir()
            resources = [os.path.relpath(below, above.resolve())]
            (above / "kustomization.yaml").write_text(yaml.safe_dump({"resources": resources, **names}))
            below = above
        objects = {(each["kind"], each["metadata"]["name"]): each for each in render(kubectl, below)}
        binding = objects["ValidatingAdmissionPolicyBinding", f"a-{LIMITS}-z"]["spec"]
        account = objects["ServiceAccount", "a-resilience-operator-z"]["metadata"]
        assert binding["policyName"] == f"a-{LIMITS}-z"
        assert binding["paramRef"] == {
            "name": account["name"], "namespace": account["namespace"], "parameterNotFoundAction": "Allow"
        }  # fmt: skip
        assert account["namespace"] == "elsewhere"

    def test_keep_the_operator_out_of_its_own_namespace(self, base: Installation, stolen: client.ApiClient) -> None:
        def refusal() -> str:
            body = {"spec": {"replicas": 3}}
            try:
                client.AppsV1Api(stolen).patch_namespaced_deployment_scale(
                    base.account, base.namespace, body, dry_run="All"
                )
            except client.ApiException as error:
                return str(json.loads(error.body)["message"])
            return ""

        eventually(
            lambda: f"changes nothing in namespace {base.namespace}" in refusal(),
            "the policy is in force",
            last=refusal,
        )


class TestOverlays:
    def test_dry_run_says_so_twice(self, kubectl: Kubectl) -> None:
        objects = render(kubectl, MANIFESTS / "overlays" / "dry-run")
        (deployment,) = [each for each in objects if each["kind"] == "Deployment"]
        environment = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        assert {"name": "RESILIENCE_DRY_RUN", "value": "true"} in environment
        names = {each["metadata"]["name"] for each in objects}
        assert "resilience-operator-look" in names
        assert not {name for name in names if "-act-" in name}

    def test_ha_is_three_apart(self, kubectl: Kubectl) -> None:
        objects = {each["kind"]: each for each in render(kubectl, MANIFESTS / "overlays" / "ha")}
        deployment = objects["Deployment"]["spec"]
        assert deployment["replicas"] == 3
        assert objects["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
        spread = deployment["template"]["spec"]["topologySpreadConstraints"]
        assert {each["topologyKey"]: each["whenUnsatisfiable"] for each in spread} == {
            "topology.kubernetes.io/zone": "DoNotSchedule",
            "kubernetes.io/hostname": "DoNotSchedule",
        }

    def test_sharded_is_ha_of_which_all_act_with_no_right_more(self, kubectl: Kubectl) -> None:
        ha, sharded = (
            {(each["kind"], each["metadata"]["name"]): each for each in render(kubectl, MANIFESTS / "overlays" / name)}
            for name in ("ha", "sharded")
        )
        environment = sharded["Deployment", "resilience-operator"]["spec"]["template"]["spec"]["containers"][0]["env"]
        environment.remove({"name": "RESILIENCE_SHARDS", "value": "16"})
        assert sharded == ha

    def test_ha_runs_in_three_zones(self, kubectl: Kubectl, api: client.ApiClient, tmp_path: Path) -> None:
        core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
        zones = {node.metadata.name: node.metadata.labels.get(ZONE, "") for node in core.list_node().items}
        wanted = min(3, len(set(zones.values())))
        with installed(kubectl, MANIFESTS / "overlays" / "ha", tmp_path) as found:
            eventually(
                lambda: apps.read_namespaced_deployment(found.account, found.namespace).status.ready_replicas == 3,
                "three replicas are ready",
            )
            pods = core.list_namespaced_pod(found.namespace).items
            assert len({zones[pod.spec.node_name] for pod in pods}) == wanted

    def test_namespaced_has_no_rights_elsewhere(self, kubectl: Kubectl) -> None:
        objects = render(kubectl, MANIFESTS / "overlays" / "namespaced")
        assert not [each for each in objects if each["kind"] == "ClusterRoleBinding"]
        rights = {
            (each["kind"], each["metadata"]["name"]): each["metadata"]["namespace"]
            for each in objects
            if each["kind"] in ("Role", "RoleBinding")
        }
        assert rights == {
            (kind, f"resilience-operator-{role}"): "resilience-system" if role == "leader" else "shop"
            for kind in ("Role", "RoleBinding")
            for role in ("look", "act-scale", "act-release", "leader")
        }
        (deployment,) = [each for each in objects if each["kind"] == "Deployment"]
        assert "--namespace=shop" in deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        # What the name was taken from is not applied.
        assert "watched" not in {each["metadata"]["name"] for each in objects}


WEAKER: dict[str, Callable[[Obj], Any]] = {
    "root": lambda spec: spec["securityContext"].update(runAsNonRoot=False),
    "no seccomp": lambda spec: spec["securityContext"].pop("seccompProfile"),
    "escalation": lambda spec: spec["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
    "capabilities": lambda spec: spec["containers"][0]["securityContext"].pop("capabilities"),
    "host network": lambda spec: spec.update(hostNetwork=True),
    "host path": lambda spec: spec["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
}


class TestAdmission:
    """The API server's own PodSecurity admission, in the namespace as it is shipped."""

    def pod(self, base: Installation) -> Obj:
        template = copy.deepcopy(base.one("Deployment")["spec"]["template"])
        metadata = {"name": "tried", "labels": template["metadata"]["labels"]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}

    def test_takes_the_pod(self, base: Installation, api: client.ApiClient) -> None:
        client.CoreV1Api(api).create_namespaced_pod(base.namespace, self.pod(base), dry_run="All")

    @pytest.mark.parametrize("weakness", WEAKER)
    def test_refuses_a_weaker_one(self, base: Installation, api: client.ApiClient, weakness: str) -> None:
        pod = self.pod(base)
        WEAKER[weakness](pod["spec"])
        with pytest.raises(client.ApiException) as refused:
            client.CoreV1Api(api).create_namespaced_pod(base.namespace, pod, dry_run="All")
        assert refused.value.status == 403
        assert 'violates PodSecurity "restricted' in json.loads(refused.value.body)["message"]


@pytest.fixture(scope="module")
def resources(kubectl: Kubectl) -> list[str]:
    """Every resource and subresource that the API server knows, as `plural.group/subresource`."""

    def get(path: str) -> Any:
        return json.loads(kubectl("get", "--raw", path).stdout)

    paths = [("/api/v1", "")] + [
        (f"/apis/{group['preferredVersion']['groupVersion']}", f".{group['name']}") for group in get("/apis")["groups"]
    ]
    found = []
    for path, group in paths:
        for each in get(path)["resources"]:
            plural, slash, subresource = each["name"].partition("/")
            found.append(f"{plural}{group}{slash}{subresource}")
    assert {"secrets", "pods/exec", "deployments.apps/scale"} <= set(found)
    return found


class Rights:
    """Asks the API server what an account may do."""

    def __init__(self, api: client.ApiClient, installation: Installation) -> None:
        self._api = client.AuthorizationV1Api(api)
        self._namespace = installation.namespace
        self._user = f"system:serviceaccount:{installation.namespace}:{installation.account}"
        self._groups = [
            "system:serviceaccounts",
            f"system:serviceaccounts:{installation.namespace}",
            "system:authenticated",
        ]

    def may(self, verb: str, resource: str, namespace: str, name: str = "") -> bool:
        plural, _, subresource = resource.partition("/")
        plural, _, group = plural.partition(".")
        attributes = {
            "verb": verb,
            "group": group,
            "resource": plural,
            "subresource": subresource,
            "namespace": namespace,
            "name": name,
        }
        spec = {"user": self._user, "groups": self._groups, "resourceAttributes": attributes}
        answer = self._api.create_subject_access_review({"spec": spec})
        assert not answer.status.evaluation_error
        return bool(answer.status.allowed)

    def all(self, resources: list[str], namespace: str) -> dict[str, set[str]]:
        """What it may do there, of everything there is to do."""
        # The API server learns of new bindings a moment after it has stored them.
        eventually(lambda: self.may("create", "events.events.k8s.io", self._namespace), "the rights are in force")
        asked = list(product(resources, VERBS))
        with ThreadPoolExecutor(8) as pool:
            answers = pool.map(lambda each: self.may(each[1], each[0], namespace), asked)
            found: dict[str, set[str]] = {}
            for (resource, verb), allowed in zip(asked, answers, strict=True):
                if allowed:
                    found.setdefault(resource, set()).add(verb)
        return found


class TestRights:
    def test_are_these_and_no_others(self, base: Installation, api: client.ApiClient, resources: list[str]) -> None:
        rights = Rights(api, base)
        assert rights.all(resources, "kube-system") == ANYWHERE | EVERYBODY
        # A lease can be made in its own namespace; read and renewed is the one of its name alone, asked for below.
        assert rights.all(resources, base.namespace) == ANYWHERE | EVERYBODY | {
            "leases.coordination.k8s.io": {"create"}
        }

    @pytest.mark.parametrize(
        ("verb", "resource", "name", "allowed"),
        [
            ("get", "leases.coordination.k8s.io", LEASE, True),
            ("patch", "leases.coordination.k8s.io", LEASE, True),
            ("delete", "leases.coordination.k8s.io", LEASE, False),
            ("get", "leases.coordination.k8s.io", "another", False),
            ("get", "secrets", "", False),
            ("list", "secrets", "", False),
            ("get", "configmaps", "", False),
            ("create", "pods/exec", "", False),
            ("delete", "pods", "", False),
            ("patch", "resiliencepolicies.resilience-operator.io", "", False),
            ("create", "serviceaccounts/token", "", False),
            ("bind", "clusterroles.rbac.authorization.k8s.io", "", False),
            ("impersonate", "users", "", False),
        ],
    )
    def test_one_by_one(
        self, base: Installation, api: client.ApiClient, verb: str, resource: str, name: str, allowed: bool
    ) -> None:
        assert Rights(api, base).may(verb, resource, base.namespace, name) is allowed

    def test_in_dry_run_change_no_workload(
        self, kubectl: Kubectl, api: client.ApiClient, resources: list[str], tmp_path: Path
    ) -> None:
        looking = {name: verbs - {"patch"} if name in ACTING else verbs for name, verbs in ANYWHERE.items()}
        looking = {name: verbs for name, verbs in looking.items() if verbs}
        with installed(kubectl, MANIFESTS / "overlays" / "dry-run", tmp_path) as found:
            assert Rights(api, found).all(resources, "kube-system") == looking | EVERYBODY

    def test_of_one_namespace_end_there(
        self, kubectl: Kubectl, api: client.ApiClient, resources: list[str], tmp_path: Path
    ) -> None:
        inside = {name: verbs for name, verbs in ANYWHERE.items() if name != "nodes"}
        with installed(kubectl, MANIFESTS / "overlays" / "namespaced", tmp_path) as found:
            rights = Rights(api, found)
            assert rights.all(resources, "kube-system") == EVERYBODY
            own = {"leases.coordination.k8s.io": {"create"}}
            assert rights.all(resources, found.namespace) == inside | EVERYBODY | own

    @pytest.mark.parametrize(
        ("role", "verbs"),
        [("view", READ), ("edit", set(VERBS)), ("admin", set(VERBS))],
    )
    def test_of_people_come_with_the_cluster_s_roles(
        self, base: Installation, api: client.ApiClient, role: str, verbs: set[str]
    ) -> None:
        """The controller manager joins them."""

        def granted() -> set[str]:
            rules = client.RbacAuthorizationV1Api(api).read_cluster_role(role).rules
            ours = [rule.verbs for rule in rules if "resiliencepolicies" in (rule.resources or ())]
            return {verb for each in ours for verb in each}

        eventually(lambda: granted() == verbs, f"{role} has its rights on policies")


class TestSamples:
    OBJECTS = sorted(path for path in SAMPLES.glob("*.yaml") if path.name != "kustomization.yaml")
    POLICIES = sorted(path for path in OBJECTS if yaml.safe_load(path.read_text())["kind"] == "ResiliencePolicy")

    @pytest.mark.parametrize("path", OBJECTS, ids=lambda path: path.stem)
    def test_is_taken(self, kubectl: Kubectl, namespace: str, path: Path) -> None:
        document = yaml.safe_load(path.read_text())
        if document["kind"] != "Namespace":
            document["metadata"]["namespace"] = namespace
        text = json.dumps(document)
        done = kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", given=text)
        assert done.stderr == ""

    @pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
    def test_queries_are_promql(self, cluster: Cluster, path: Path) -> None:
        values = {"namespace": "shop", "name": "orders", "pods": "orders-[0-9a-z]+-[0-9a-z]+", "window": "5m"}
        for signal in yaml.safe_load(path.read_text())["spec"].get("signals", ()):
            for query in (signal[key] for key in ("query", "samplesQuery") if key in signal):
                for name, value in values.items():
                    query = query.replace("{{" + name + "}}", value)
                answer = requests.get(
                    f"{cluster.prometheus_url}/api/v1/query", params={"query": query}, timeout=10
                ).json()
                assert answer["status"] == "success", answer


@pytest.mark.parametrize(
    "arguments",
    [("-f", "crds/"), ("-f", "crds"), ("-k", "crds"), ("--server-side", "--force-conflicts", "-f", "crds/")],
)
def test_each_way_to_apply_the_definition_works(kubectl: Kubectl, arguments: tuple[str, ...]) -> None:
    *options, folder = arguments
    slash = "/" if folder.endswith("/") else ""
    said = kubectl("apply", "--dry-run=server", *options, f"{ROOT / folder}{slash}").stdout
    (line,) = said.splitlines()
    assert "/resiliencepolicies.resilience-operator.io" in line
