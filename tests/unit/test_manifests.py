"""What is shipped, read as text: the pods' restrictions, the rights, and that all names fit each other.

Whether an API server takes it is tried in tests/e2e/test_manifests.py.
"""

import fnmatch
import re
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main
import yaml

from resilience_operator import __version__
from resilience_operator.api.v1alpha1 import KIND, parse_policy
from resilience_operator.cli.operator import app
from resilience_operator.runtime.config import Config, load

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "manifests"
BASE = MANIFESTS / "base"
SAMPLES = MANIFESTS / "samples"
KUSTOMIZATIONS = sorted((*MANIFESTS.rglob("kustomization.yaml"), ROOT / "crds" / "Kustomization"))
NAMESPACE = "resilience-system"
ACCOUNT = "resilience-operator"

READ = {"get", "list", "watch"}
RIGHTS: dict[tuple[str, str], set[str]] = {
    ("resilience-operator.io", "resiliencepolicies"): READ,
    ("resilience-operator.io", "resiliencepolicies/status"): {"get", "patch"},
    ("apps", "deployments"): READ | {"patch"},
    ("apps", "deployments/scale"): {"patch"},
    ("apps", "replicasets"): READ,
    ("apps", "statefulsets"): READ | {"patch"},
    ("apps", "statefulsets/scale"): {"patch"},
    ("apps", "daemonsets"): READ | {"patch"},
    ("apps", "controllerrevisions"): READ,
    ("autoscaling", "horizontalpodautoscalers"): READ | {"patch"},
    ("events.k8s.io", "events"): {"create", "list"},
    ("", "pods"): {"list"},
    ("", "nodes"): READ,
    ("coordination.k8s.io", "leases"): {"get", "create", "patch"},
}
"""All that the operator's account may do, by API group and resource."""


def documents(path: Path) -> list[dict[str, Any]]:
    """The objects in a file of YAML."""
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def named(path: Path) -> list[dict[str, Any]]:
    """The objects in a file that have a name."""
    return [document for document in documents(path) if "metadata" in document]


def base(kind: str, name: str = "") -> dict[str, Any]:
    """One object of the base."""
    names = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    found = [
        document
        for path in (BASE / name for name in names)
        if path.is_file()
        for document in documents(path)
        if document["kind"] == kind and name in ("", document["metadata"]["name"])
    ]
    assert len(found) == 1, f"{kind} {name}: {len(found)} found"
    return found[0]


def all_roles() -> list[dict[str, Any]]:
    """The roles that are bound to the operator's account."""
    rbac = documents(BASE / "rbac.yaml")
    bound = {
        (document["roleRef"]["kind"], document["roleRef"]["name"])
        for document in rbac
        if document["kind"].endswith("Binding")
    }
    roles = [document for document in rbac if document["kind"].endswith("Role")]
    assert {(role["kind"], role["metadata"]["name"]) for role in roles} == bound
    return roles


@pytest.fixture(scope="module")
def pod() -> dict[str, Any]:
    found: dict[str, Any] = base("Deployment")["spec"]["template"]
    return found


@pytest.fixture(scope="module")
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["spec"]["containers"]
    return dict(only)


class TestPods:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, and a little more."""

    def test_namespace_enforces_the_restricted_standard(self) -> None:
        labels = base("Namespace")["metadata"]["labels"]
        for mode in ("enforce", "audit", "warn"):
            assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"

    def test_pod(self, pod: dict[str, Any]) -> None:
        spec = pod["spec"]
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] == 65532
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(spec)
        assert {kind for volume in spec["volumes"] for kind in set(volume) - {"name"}} == {"configMap", "emptyDir"}
        # Seconds; an evaluation may take this long to end in order.
        assert spec["terminationGracePeriodSeconds"] >= 15

    def test_container(self, container: dict[str, Any]) -> None:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        for bound in ("requests", "limits"):
            assert set(container["resources"][bound]) == {"cpu", "memory"}

    @pytest.mark.parametrize(
        ("probe", "path"), [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")]
    )
    def test_probes(self, container: dict[str, Any], probe: str, path: str) -> None:
        assert container[probe]["httpGet"] == {"path": path, "port": "http"}
        assert container["ports"] == [
            {"name": "http", "containerPort": Config().port},
            {"name": "dashboard", "containerPort": Config().dashboard_port},
        ]

    def test_account_hands_its_token_to_the_operator_alone(self, pod: dict[str, Any]) -> None:
        assert base("ServiceAccount")["automountServiceAccountToken"] is False
        assert pod["spec"]["serviceAccountName"] == ACCOUNT
        assert pod["spec"]["automountServiceAccountToken"] is True

    def test_replicas_are_apart_and_one_stays(self, pod: dict[str, Any]) -> None:
        labels = {"matchLabels": pod["metadata"]["labels"]}
        deployment = base("Deployment")
        assert deployment["spec"]["replicas"] == 2
        assert deployment["spec"]["selector"] == labels
        spread = {each["topologyKey"]: each["labelSelector"] for each in pod["spec"]["topologySpreadConstraints"]}
        assert spread == {"topology.kubernetes.io/zone": labels, "kubernetes.io/hostname": labels}
        budget = base("PodDisruptionBudget")["spec"]
        assert budget["maxUnavailable"] == 1, "fits every number of replicas"
        assert budget["selector"] == labels

    def test_service_finds_them(self, pod: dict[str, Any]) -> None:
        service = base("Service")["spec"]
        assert service["selector"] == pod["metadata"]["labels"]
        assert service["ports"] == [
            {"name": "http", "port": 8080, "targetPort": "http"},
            {"name": "dashboard", "port": 8081, "targetPort": "dashboard"},
        ]
        assert base("Service")["metadata"]["name"] == Config().service_name, "a name that the dashboard answers to"


class TestRights:
    def test_are_these_and_no_others(self) -> None:
        granted: dict[tuple[str, str], set[str]] = defaultdict(set)
        for role in all_roles():
            for rule in role["rules"]:
                for group in rule["apiGroups"]:
                    for resource in rule["resources"]:
                        granted[group, resource] |= set(rule["verbs"])
        assert granted == RIGHTS

    def test_have_no_wildcard_and_no_way_to_more(self) -> None:
        people = documents(BASE / "rbac-people.yaml")
        for role in (*all_roles(), *people):
            for rule in role["rules"]:
                for part in (*rule["apiGroups"], *rule["resources"], *rule["verbs"]):
                    assert "*" not in part
                    assert part not in ("secrets", "bind", "escalate", "impersonate", "nonResourceURLs")

    def test_are_given_to_one_account(self) -> None:
        for document in documents(BASE / "rbac.yaml"):
            if document["kind"].endswith("Binding"):
                assert document["subjects"] == [
                    {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE},
                ], document["metadata"]["name"]

    def test_to_act_are_two_roles_of_their_own(self) -> None:
        """The dry-run overlay leaves out both. The one to scale has no right to patch a workload as a whole."""
        writing = {
            (role["metadata"]["name"], resource)
            for role in all_roles()
            for rule in role["rules"]
            for resource in rule["resources"]
            if {"apps", "autoscaling"} & set(rule["apiGroups"]) and set(rule["verbs"]) - READ
        }
        scaling = {"deployments/scale", "statefulsets/scale", "horizontalpodautoscalers"}
        releasing = {"deployments", "statefulsets", "daemonsets"}
        assert writing == {("resilience-operator-act-scale", resource) for resource in scaling} | {
            ("resilience-operator-act-release", resource) for resource in releasing
        }

    def test_on_the_lease_are_for_one_name(self) -> None:
        name = load({}, BASE / "config.yaml").lease_name
        for rule in base("Role")["rules"]:
            assert rule.get("resourceNames") == [name] or rule["verbs"] == ["create"]

    def test_of_people_come_with_those_to_change_workloads(self) -> None:
        aggregated = {
            label.rpartition("-")[2]: set(rule["verbs"])
            for role in documents(BASE / "rbac-people.yaml")
            for label in role["metadata"]["labels"]
            for rule in role["rules"]
        }
        assert aggregated["view"] == READ
        assert set(aggregated) == {"admin", "edit", "view"}


class TestAdmission:
    """How the policies work is tried in tests/e2e/test_admission.py."""

    @pytest.mark.parametrize("name", ["authors", "limits"])
    def test_policy_is_bound_and_fails_closed(self, name: str) -> None:
        policy = base("ValidatingAdmissionPolicy", f"resilience-operator-{name}")["spec"]
        binding = base("ValidatingAdmissionPolicyBinding", f"resilience-operator-{name}")["spec"]
        assert policy["failurePolicy"] == "Fail"
        assert binding["policyName"] == f"resilience-operator-{name}"
        assert binding["validationActions"] == ["Deny"]

    def test_limits_are_on_all_that_the_account_may_change(self) -> None:
        policy = base("ValidatingAdmissionPolicy", "resilience-operator-limits")["spec"]
        limited = {
            (group, resource)
            for rule in policy["matchConstraints"]["resourceRules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
        }
        for (group, resource), verbs in RIGHTS.items():
            if group in ("apps", "autoscaling") and verbs - READ:
                assert {(group, resource), ("*", f"*/{resource.partition('/')[2]}")} & limited, resource

    def test_limits_are_on_the_account_and_nobody_else(self) -> None:
        """An expression on who asks: what others change is not even looked at."""
        policy = base("ValidatingAdmissionPolicy", "resilience-operator-limits")["spec"]
        (condition,) = policy["matchConditions"]
        assert condition["expression"].startswith("request.userInfo.username == 'system:serviceaccount:' + params.")
        assert policy["paramKind"] == {"apiVersion": "v1", "kind": "ServiceAccount"}
        parameter = base("ValidatingAdmissionPolicyBinding", "resilience-operator-limits")["spec"]["paramRef"]
        # Were it Deny, an installation without its account would stop every change of a Deployment in the cluster.
        assert parameter == {"name": ACCOUNT, "namespace": NAMESPACE, "parameterNotFoundAction": "Allow"}


class TestConfiguration:
    def test_file_is_understood(self) -> None:
        config = load({}, BASE / "config.yaml")
        assert [source.name for source in config.all_sources] == ["default"]
        # Two replicas: without it, both would act.
        assert config.leader_election is True
        assert not config.dry_run

    def test_command_line_is_understood(self, container: dict[str, Any]) -> None:
        command, *arguments = container["args"]
        group = typer.main.get_command(app)
        assert isinstance(group, click.Group | typer.core.TyperGroup)
        found = group.commands[command].make_context(command, [*arguments, "--namespace=shop"])
        assert found.params["config"] == Path("/etc/resilience-operator/config.yaml")
        assert found.params["namespace"] == ["shop"]
        mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {"/etc/resilience-operator": "config", "/tmp": "tmp"}

    @pytest.mark.parametrize("path", [BASE / "deployment.yaml", *sorted((MANIFESTS / "overlays").rglob("*.yaml"))])
    def test_environment_is_understood(self, path: Path) -> None:
        for name in re.findall(r"name: RESILIENCE_(\w+)", path.read_text()):
            assert name.lower() in Config.model_fields

    def test_no_object_has_the_name_of_the_lease(self) -> None:
        """Kustomize would take the lease in the role for that object, and rename it with a prefix or a hash."""
        names = {document["metadata"]["name"] for path in BASE.glob("*.yaml") for document in named(path)}
        generated = yaml.safe_load((BASE / "kustomization.yaml").read_text())["configMapGenerator"]
        assert "resilience-operator" in names
        assert load({}, BASE / "config.yaml").lease_name not in names | {each["name"] for each in generated}

    def test_lease_namespace(self) -> None:
        assert Config().lease_namespace == base("Namespace")["metadata"]["name"] == NAMESPACE


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_kustomization_names_what_is_there(path: Path) -> None:
    found = yaml.safe_load(path.read_text())
    named = [
        *found.get("resources", ()),
        *(patch["path"] for patch in found.get("patches", ()) if "path" in patch),
        *(
            name
            for each in found.get("configMapGenerator", ())
            for name in (*each.get("files", ()), *each.get("envs", ()))
        ),
    ]
    for name in named:
        assert (path.parent / name).exists(), name
        # What lies outside must be a folder: kustomize takes no file from there.
        files = ("kustomization.yaml", "Kustomization")
        assert not name.startswith("..") or any((path.parent / name / file).is_file() for file in files)


class TestSamples:
    POLICIES = sorted(path for path in SAMPLES.glob("*.yaml") if documents(path)[0]["kind"] == KIND)

    @pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
    def test_is_a_policy_that_can_work(self, path: Path) -> None:
        (document,) = documents(path)
        assert parse_policy(document).metadata.namespace == "shop"
        assert path.read_text().startswith("# "), "says what it is for"

    def test_every_policy_that_is_applied_together_has_its_target(self) -> None:
        """The other policies are to be copied: their targets are the reader's."""
        named = yaml.safe_load((SAMPLES / "kustomization.yaml").read_text())["resources"]
        applied = [document for name in named for document in documents(SAMPLES / name)]
        targets = {(each["kind"], each["metadata"]["name"]) for each in applied}
        policies = [each for each in applied if each["kind"] == KIND]
        assert policies
        for policy in policies:
            target = policy["spec"]["targetRef"]
            assert (target["kind"], target["name"]) in targets

    def test_images_are_those_that_the_quick_start_builds(self) -> None:
        page = (ROOT / "docs" / "quick-start.md").read_text()
        built = set(re.findall(r"docker build -t (shop:\S+)", page))
        used = {
            container["image"]
            for path in SAMPLES.glob("checkout-*.yaml")
            for document in documents(path)
            if document["kind"] == "Deployment"
            for container in document["spec"]["template"]["spec"]["containers"]
        }
        assert used
        assert used <= built
        versions = {file.stem for file in (ROOT / "tests" / "real" / "shop" / "versions").iterdir()}
        assert {image.partition(":")[2] for image in built} <= versions

    def test_checkout_has_its_target(self) -> None:
        (policy,) = documents(SAMPLES / "checkout.yaml")
        (deployment,) = documents(SAMPLES / "checkout-deployment.yaml")
        assert policy["spec"]["targetRef"] == {
            "apiVersion": deployment["apiVersion"],
            "kind": deployment["kind"],
            "name": deployment["metadata"]["name"],
        }
        assert policy["metadata"]["namespace"] == deployment["metadata"]["namespace"]


class TestImage:
    TEXT = (ROOT / "Dockerfile").read_text()

    def last(self, instruction: str) -> str:
        """The last such instruction's argument."""
        return str(re.findall(rf"^{instruction} (.+)$", self.TEXT, re.MULTILINE)[-1])

    def test_version_is_one(self) -> None:
        (image,) = yaml.safe_load((BASE / "kustomization.yaml").read_text())["images"]
        assert image["newTag"] == __version__
        assert f"ARG VERSION={__version__}\n" in self.TEXT
        assert base("Deployment")["spec"]["template"]["spec"]["containers"][0]["image"] == image["name"]

    def test_user_is_the_pod_s(self, pod: dict[str, Any]) -> None:
        security = pod["spec"]["securityContext"]
        assert self.last("USER") == f"{security['runAsUser']}:{security['runAsGroup']}"

    def test_user_needs_no_passwd_file(self) -> None:
        """A platform may choose any number for it."""
        assert {"HOME", "LOGNAME"} <= set(re.findall(r"^(?:ENV|   ) (\w+)=", self.TEXT, re.MULTILINE))

    def test_entry_point_is_installed(self, container: dict[str, Any]) -> None:
        (name,) = yaml.safe_load(self.last("ENTRYPOINT"))
        assert name in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
        assert yaml.safe_load(self.last("CMD")) == container["args"][:1]

    def test_base_can_be_replaced(self) -> None:
        assert set(re.findall(r"^FROM (\S+)", self.TEXT, re.MULTILINE)) == {"${BASE}"}

    def test_installs_by_hash_alone(self) -> None:
        installs = re.findall(r"pip [^&\n]*install [^&\n]*", self.TEXT.replace("\\\n", ""))
        assert len(installs) == 3
        for install in installs:
            assert "--require-hashes" in install or "--no-index" in install

    def test_context_has_what_is_copied(self) -> None:
        kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
        for line in re.findall(r"^COPY (?!--from)(.+)$", self.TEXT, re.MULTILINE):
            for source in line.split()[:-1]:
                assert any(fnmatch.fnmatch(source, pattern) or source.startswith(f"{pattern}/") for pattern in kept)
                assert (ROOT / source).exists()
