"""The two admission policies: an author needs the rights that a policy uses, and the operator's account has limits.

Each request goes to the real API server, under an account of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.config import new_client_from_config

from tests.cluster import write_kubeconfig
from tests.e2e.test_release import bad, guard
from tests.support.install import NAMESPACE
from tests.support.operator import Operator
from tests.support.waiting import eventually
from tests.support.world import GROUP, PLURAL, VERSION, World

Obj = dict[str, Any]
Rules = list[Mapping[str, list[str]]]

SCALE = [{"scaleUp": {"pods": 2, "cooldown": "10m"}}]
RELEASE = [{"pauseRollout": {}}, {"rollback": {}}]
DEPLOYMENT, FLEET = ("apps/v1", "Deployment"), ("example.com/v1", "Fleet")
POLICIES = {"apiGroups": [GROUP], "resources": [PLURAL], "verbs": ["*"]}


def on(group: str, *resources: str, names: tuple[str, ...] = ()) -> Mapping[str, list[str]]:
    """A rule that grants patch."""
    rule = {"apiGroups": [group], "resources": list(resources), "verbs": ["patch"]}
    return {**rule, "resourceNames": list(names)} if names else rule


class Account:
    """A ServiceAccount of the test's namespace."""

    def __init__(self, world: World, path: Path) -> None:
        self._world, self._path = world, path
        self.name = path.name
        world.core.create_namespaced_service_account(world.namespace, {"metadata": {"name": self.name}})
        self._rbac = client.RbacAuthorizationV1Api(world.api)

    def may(self, rules: Rules, name: str = "tried") -> Account:
        """Bind a role of the namespace with these rules."""
        self._rbac.create_namespaced_role(
            self._world.namespace, {"metadata": {"name": f"{self.name}-{name}"}, "rules": rules}
        )
        return self.has("Role", f"{self.name}-{name}")

    def has(self, kind: str, role: str) -> Account:
        """Bind a role in the namespace."""
        self._rbac.create_namespaced_role_binding(
            self._world.namespace,
            {
                "metadata": {"name": f"{self.name}-{role}"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
                "subjects": [{"kind": "ServiceAccount", "name": self.name, "namespace": self._world.namespace}],
            },
        )
        return self

    def kubeconfig(self) -> Path:
        request = client.AuthenticationV1TokenRequest(
            spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=3600)
        )
        core, cluster = self._world.core, self._world.cluster
        token = core.create_namespaced_service_account_token(self.name, self._world.namespace, request).status.token
        return write_kubeconfig(self._path, cluster.server, cluster.ca_file, token=token)

    def author(self) -> Author:
        return Author(self._world.namespace, new_client_from_config(str(self.kubeconfig())))


class Author:
    """Writes policies under one account."""

    def __init__(self, namespace: str, api: client.ApiClient) -> None:
        self._namespace, self._custom = namespace, client.CustomObjectsApi(api)
        # A new binding takes effect a moment after it was stored.
        eventually(lambda: self._answers(self.patch, "absent", {}) == 404, "the account may write policies")

    def _answers(self, call: Callable[..., object], *arguments: object) -> int:
        try:
            call(*arguments)
        except ApiException as error:
            return int(error.status)
        return 200

    def create(self, then: list[Any], target: tuple[str, str] = DEPLOYMENT, name: str = "checkout", **spec: Any) -> Obj:
        rule = {"name": "busy", "when": {"signal": "error-rate", "above": "1%"}, "then": then}
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "ResiliencePolicy",
            "metadata": {"name": "tried"},
            "spec": {
                "targetRef": {"apiVersion": target[0], "kind": target[1], "name": name},
                "replicas": {"min": 1, "max": 9},
                "rules": [rule],
                **spec,
            },
        }
        found: Obj = self._custom.create_namespaced_custom_object(GROUP, VERSION, self._namespace, PLURAL, body)
        return found

    def patch(self, name: str, body: Obj) -> Obj:
        found: Obj = self._custom.patch_namespaced_custom_object(GROUP, VERSION, self._namespace, PLURAL, name, body)
        return found

    def delete(self) -> None:
        self._custom.delete_namespaced_custom_object(GROUP, VERSION, self._namespace, PLURAL, "tried")


def refused(call: Callable[[], object], status: int = 403) -> str:
    """Expect the API server to refuse it; its message."""
    with pytest.raises(ApiException) as found:
        call()
    assert found.value.status == status, found.value.body
    return str(json.loads(found.value.body)["message"])


@pytest.fixture
def account(world: World, tmp_path: Path) -> Callable[[str], Account]:
    return lambda name: Account(world, tmp_path / name)


class TestAuthors:
    def test_edit_is_enough_for_workloads_and_not_for_other_kinds(
        self, world: World, account: Callable[[str], Account]
    ) -> None:
        author = account("ann").has("ClusterRole", "edit").author()
        message = refused(lambda: author.create([{"alert": {}}], FLEET, fallback={"after": "0s", "replicas": 9}))
        assert f"system:serviceaccount:{world.namespace}:ann has no right to patch fleets/scale" in message
        assert "in group example.com" in message
        assert "role with the verb patch on fleets/scale" in message
        author.create([*SCALE, *RELEASE])

    @pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
    def test_a_role_for_policies_alone_is_not_enough(self, account: Callable[[str], Account], kind: str) -> None:
        author = account("ann").may([POLICIES]).author()
        thens: list[list[Any]] = [[{"alert": {}}], [{"rollback": {}}], *([] if kind == "DaemonSet" else [SCALE])]
        for then in thens:
            message = refused(lambda then=then: author.create(then, ("apps/v1", kind)))  # type: ignore[misc]
            assert f"no right to patch {kind.lower()}s" in message

    def test_the_scale_is_enough_to_scale_until_a_rule_does_more(self, account: Callable[[str], Account]) -> None:
        author = account("ann").may([POLICIES, on("apps", "deployments/scale")]).author()
        assert "no right to patch deployments.apps" in refused(lambda: author.create(RELEASE))
        made = author.create(SCALE)
        rules = made["spec"]["rules"]
        wider = [{**rules[0], "then": [*SCALE, {"rollback": {}}]}]
        assert "pauses, resumes or rolls back" in refused(lambda: author.patch("tried", {"spec": {"rules": wider}}))
        author.patch("tried", {"spec": {"replicas": {"max": 12}}})
        # `resume` is the default. It lifts only the operator's own pauses, which need a rule that pauses.
        release = {"spec": {"release": {"failOnProgressDeadline": True}}}
        assert "resumes" in refused(lambda: author.patch("tried", release))
        freeze = {"spec": {"release": {"freeze": [{"cron": "0 18 * * FRI", "for": "62h"}]}}}
        assert "resumes" in refused(lambda: author.patch("tried", freeze))
        begun = {"metadata": {"annotations": {"resilience-operator.io/freeze-until": "2040-01-01T00:00:00Z"}}}
        assert "resumes" in refused(lambda: author.patch("tried", begun))
        author.patch("tried", {"metadata": {"annotations": {"resilience-operator.io/pause-reason": "test"}}})

    def test_a_target_is_not_swapped_for_another(self, account: Callable[[str], Account]) -> None:
        author = account("ann").may([POLICIES, on("apps", "deployments", names=("checkout",))]).author()
        refused(lambda: author.create(SCALE, name="other"))
        author.create([*SCALE, *RELEASE])
        refused(lambda: author.patch("tried", {"spec": {"targetRef": {"name": "other"}}}))
        refused(lambda: author.patch("tried", {"spec": {"targetRef": {"kind": "StatefulSet"}}}))

    def test_a_right_in_another_namespace_does_not_count(
        self, world: World, account: Callable[[str], Account], tmp_path: Path
    ) -> None:
        other = World(world.cluster, f"{world.namespace}-b").create()
        try:
            account("ann").may([POLICIES])
            rbac = client.RbacAuthorizationV1Api(world.api)
            subject = {"kind": "ServiceAccount", "name": "ann", "namespace": world.namespace}
            reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"}
            body = {"metadata": {"name": "ann"}, "roleRef": reference, "subjects": [subject]}
            rbac.create_namespaced_role_binding(other.namespace, body)
            request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[]))
            token = world.core.create_namespaced_service_account_token("ann", world.namespace, request).status.token
            path = write_kubeconfig(tmp_path / "k", world.cluster.server, world.cluster.ca_file, token=token)
            with new_client_from_config(str(path)) as api:
                Author(other.namespace, api).create(SCALE)
                refused(lambda: Author(world.namespace, api).create(SCALE))
        finally:
            other.remove()

    def test_another_kind_is_its_scalers(self, account: Callable[[str], Account]) -> None:
        author = account("ann").may([POLICIES, on("example.com", "fleets/scale")]).author()
        author.create(SCALE, FLEET)

    @pytest.mark.parametrize(
        "target",
        [("example.com/v1", "Flotilla"), ("apps.example.com/v1", "Thing"), ("v1", "Deploymint")],
        ids=lambda target: target[1],
    )
    def test_a_kind_that_nobody_configured_is_refused_whoever_asks(self, world: World, target: tuple[str, str]) -> None:
        message = refused(lambda: Author(world.namespace, world.api).create(SCALE, target), 422)
        assert target[1] in message
        assert "admission.kinds" in message

    def test_metadata_and_deletion_need_no_right(self, world: World, account: Callable[[str], Account]) -> None:
        Author(world.namespace, world.api).create([*SCALE, *RELEASE])
        author = account("ann").may([POLICIES]).author()
        refused(lambda: author.patch("tried", {"spec": {"mode": "DryRun"}}))
        paused = {"annotations": {"resilience-operator.io/pause-reason": "load test"}, "labels": {"team": "shop"}}
        author.patch("tried", {"metadata": {**paused, "finalizers": []}})
        author.delete()


def container(**fields: Any) -> Obj:
    """A strategic merge patch of the one container."""
    return {"spec": {"template": {"spec": {"containers": [{"name": "app", **fields}]}}}}


def pod(**fields: Any) -> Obj:
    return {"spec": {"template": {"spec": fields}}}


HOST_PATH = {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}
DENIED: dict[str, Obj] = {
    "image": container(image="example.com/miner:1"),
    "image of the same name": container(image="example.com/checkout:1.0"),
    "image in the place of a registry": container(image="{namespace}/checkout/more:1.0"),
    "another container": {
        "spec": {"template": {"spec": {"containers": [{"name": "more", "image": "example.com/miner:1"}]}}}
    },
    "init container": pod(initContainers=[{"name": "more", "image": "example.com/miner:1"}]),
    "service account": pod(serviceAccountName="admin"),
    "host network": pod(hostNetwork=True),
    "host processes": pod(hostPID=True),
    "host path": pod(**HOST_PATH),
    "privileged": container(securityContext={"privileged": True}),
    "capability": container(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}}),
    "seccomp": pod(securityContext={"seccompProfile": {"type": "Unconfined"}}),
    "sysctl": pod(securityContext={"sysctls": [{"name": "net.core.somaxconn", "value": "9"}]}),
    "host port": container(ports=[{"containerPort": 80, "hostPort": 80}]),
    "strategy": {"spec": {"strategy": {"rollingUpdate": {"maxSurge": 9}}}},
    "deadline": {"spec": {"progressDeadlineSeconds": 7}},
    "history": {"spec": {"revisionHistoryLimit": 0}},
    "label": {"metadata": {"labels": {"team": "other"}}},
    "annotation": {"metadata": {"annotations": {"example.com/owner": "other"}}},
    "annotation of ours": {"metadata": {"annotations": {"resilience-operator.io/other": "1"}}},
    "finalizer": {"metadata": {"finalizers": ["example.com/kept"]}},
}
ALLOWED: dict[str, Obj] = {
    "replicas": {"spec": {"replicas": 4}},
    "pause": {"spec": {"paused": True}},
    "tag": container(image="{namespace}/checkout:2.0"),
    "digest": container(image="{namespace}/checkout@sha256:" + "0" * 64),
    "environment": container(env=[{"name": "LEVEL", "value": "debug"}]),
    "baseline": container(securityContext={"runAsUser": 0, "capabilities": {"add": ["CHOWN"]}}),
    "annotation": {"metadata": {"annotations": {"kubernetes.io/change-cause": "rolled back"}}},
}


def filled(body: Obj, namespace: str) -> Obj:
    found: Obj = json.loads(json.dumps(body).replace("{namespace}", namespace))
    return found


@pytest.fixture(scope="module")
def stolen(operator_identity: Path) -> Iterator[client.ApiClient]:
    """The operator's own token, in other hands."""
    with new_client_from_config(str(operator_identity)) as api:
        yield api


@pytest.fixture
def workloads(world: World) -> World:
    """A Deployment, a StatefulSet and an HPA."""
    body = {
        "metadata": {"name": "checkout", "labels": {"team": "shop"}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "checkout"}},
            "template": world.template("checkout", "1.0"),
        },
    }
    world.apps.create_namespaced_deployment(world.namespace, body)
    world.apps.create_namespaced_stateful_set(
        world.namespace, {**body, "spec": {**body["spec"], "serviceName": "checkout"}}
    )
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout"}
    world.autoscaling.create_namespaced_horizontal_pod_autoscaler(
        world.namespace,
        {"metadata": {"name": "checkout"}, "spec": {"scaleTargetRef": reference, "minReplicas": 1, "maxReplicas": 9}},
    )
    return world


class TestLimits:
    """Every change is a dry run, which the API server admits or refuses like any other."""

    def apply(self, api: client.ApiClient, namespace: str, body: Obj) -> None:
        client.AppsV1Api(api).patch_namespaced_deployment("checkout", namespace, filled(body, namespace), dry_run="All")

    @pytest.mark.parametrize("change", DENIED)
    def test_denied(self, workloads: World, stolen: client.ApiClient, change: str) -> None:
        message = refused(lambda: self.apply(stolen, workloads.namespace, DENIED[change]))
        assert "resilience-operator-limits" in message
        # The change itself is a valid one: the cluster's administrator may make it.
        self.apply(workloads.api, workloads.namespace, DENIED[change])

    @pytest.mark.parametrize("change", ALLOWED)
    def test_allowed(self, workloads: World, stolen: client.ApiClient, change: str) -> None:
        self.apply(stolen, workloads.namespace, ALLOWED[change])

    def test_what_a_workload_has_it_keeps(self, workloads: World, stolen: client.ApiClient) -> None:
        powers = container(securityContext={"privileged": True, "capabilities": {"add": ["SYS_ADMIN"]}})
        powers["spec"]["template"]["spec"] |= {"hostNetwork": True, **HOST_PATH, "serviceAccountName": "other"}
        workloads.apps.patch_namespaced_deployment("checkout", workloads.namespace, powers)
        self.apply(stolen, workloads.namespace, ALLOWED["tag"])
        refused(lambda: self.apply(stolen, workloads.namespace, DENIED["host processes"]))
        self.apply(stolen, workloads.namespace, pod(hostNetwork=False))

    def test_of_a_stateful_set_the_partition(self, workloads: World, stolen: client.ApiClient) -> None:
        def apply(strategy: Obj) -> None:
            client.AppsV1Api(stolen).patch_namespaced_stateful_set(
                "checkout", workloads.namespace, {"spec": {"updateStrategy": strategy}}, dry_run="All"
            )

        apply({"rollingUpdate": {"partition": 1_000_000}})
        assert "rollingUpdate.partition" in refused(lambda: apply({"type": "OnDelete", "rollingUpdate": None}))

    def test_of_a_daemon_set_the_template(self, workloads: World, stolen: client.ApiClient) -> None:
        name, namespace = "checkout", workloads.namespace
        spec = {"selector": {"matchLabels": {"app": name}}, "template": workloads.template(name, "1.0")}
        workloads.apps.create_namespaced_daemon_set(namespace, {"metadata": {"name": name}, "spec": spec})
        patch = client.AppsV1Api(stolen).patch_namespaced_daemon_set
        patch(name, namespace, filled(ALLOWED["tag"], namespace))
        refused(lambda: patch(name, namespace, filled(DENIED["host network"], namespace)))
        refused(lambda: patch(name, namespace, {"spec": {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 9}}}}))

    def test_of_an_autoscaler_the_minimum(self, workloads: World, stolen: client.ApiClient) -> None:
        def apply(body: Obj) -> None:
            client.AutoscalingV2Api(stolen).patch_namespaced_horizontal_pod_autoscaler(
                "checkout", workloads.namespace, body, dry_run="All"
            )

        original = {"annotations": {"resilience-operator.io/original-min-replicas": "1"}}
        apply({"metadata": original, "spec": {"minReplicas": 3}})
        assert "minReplicas" in refused(lambda: apply({"spec": {"maxReplicas": 99}}))
        refused(lambda: apply({"spec": {"scaleTargetRef": {"name": "other"}}}))

    @pytest.mark.parametrize("namespace", ["kube-system", NAMESPACE])
    def test_nothing_in_protected_namespaces(self, workloads: World, stolen: client.ApiClient, namespace: str) -> None:
        name = workloads.namespace
        body = {
            "metadata": {"name": name},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"containers": [{"name": "app", "image": "checkout:1.0"}]},
                },
            },
        }
        workloads.apps.create_namespaced_deployment(namespace, body)
        apps = client.AppsV1Api(stolen)
        try:
            for patch in (apps.patch_namespaced_deployment, apps.patch_namespaced_deployment_scale):
                change = {"spec": {"replicas": 1}}
                message = refused(lambda p=patch, c=change: p(name, namespace, c, dry_run="All"))  # type: ignore[misc]
                assert f"changes nothing in namespace {namespace}" in message
        finally:
            workloads.apps.delete_namespaced_deployment(name, namespace)

    def test_are_the_operator_s_alone(self, workloads: World) -> None:
        """Nobody else is bound by them: the administrator changes the labels of a Deployment."""
        self.apply(workloads.api, workloads.namespace, DENIED["label"])


@pytest.mark.parametrize("name", ["resilience-operator-authors", "resilience-operator-limits"])
def test_expressions_fit_the_types_of_what_they_read(world: World, name: str) -> None:
    api = client.AdmissionregistrationV1Api(world.api)
    status = eventually(
        lambda: (
            found.status
            if (found := api.read_validating_admission_policy(name)).status
            and found.status.observed_generation == found.metadata.generation
            else None
        ),
        "the API server has checked the types",
    )
    assert not status.type_checking.expression_warnings


def mutating(world: World) -> Obj:
    """Changes the pod template of a Deployment whose replicas change, as a careless webhook would."""
    template = 'Object.spec.template{metadata: Object.spec.template.metadata{annotations: {"stamped": "yes"}}}'
    return {
        "metadata": {"name": f"stamp-{world.namespace}"},
        "spec": {
            "reinvocationPolicy": "Never",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}},
                "resourceRules": [
                    {
                        "apiGroups": ["apps"],
                        "apiVersions": ["v1"],
                        "operations": ["UPDATE"],
                        "resources": ["deployments"],
                    }
                ],
            },
            # Not for the controller's own updates: the Deployment stays as it is until somebody scales it.
            "matchConditions": [{"name": "scaled", "expression": "object.spec.replicas != oldObject.spec.replicas"}],
            "failurePolicy": "Fail",
            "mutations": [
                {
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": {"expression": f"Object{{spec: Object.spec{{template: {template}}}}}"},
                }
            ],
        },
    }


def test_a_scale_is_no_rollout_where_admission_changes_templates(world: World, operator: Operator) -> None:
    world.deployment()
    admission = client.AdmissionregistrationV1Api(world.api)
    name = f"stamp-{world.namespace}"
    admission.create_mutating_admission_policy(mutating(world))
    admission.create_mutating_admission_policy_binding({"metadata": {"name": name}, "spec": {"policyName": name}})
    try:
        eventually(lambda: stamped(world, dry_run="All"), "an update of the Deployment changes its template")
        world.load.workload(world.namespace, "checkout", cpu_utilisation=0.85)
        world.policy(rules=[{"name": "busy", "when": {"signal": "cpu", "above": "70%"}, "then": SCALE}])
        world.until(lambda: world.replicas() == 5, "two pods more")
        world.until(lambda: world.actions() == ["scaleUp"], "it is in the history")
    finally:
        admission.delete_mutating_admission_policy_binding(name)
        admission.delete_mutating_admission_policy(name)
    assert "annotations" not in world.get()["spec"]["template"]["metadata"]
    assert len(world.apps.list_namespaced_replica_set(world.namespace).items) == 1
    # What decisions ask for: who scaled it last.
    (entry,) = [e for e in world.get()["metadata"]["managedFields"] if "f:replicas" in e["fieldsV1"].get("f:spec", {})]
    assert (entry["manager"], entry["subresource"]) == ("resilience-operator", "scale")


def stamped(world: World, **options: str) -> bool:
    """Whether a change of spec.replicas on the Deployment itself changes its template too."""
    body = {"spec": {"replicas": 4}}
    found = world.apps.patch_namespaced_deployment("checkout", world.namespace, body, **options)
    return bool(found.spec.template.metadata.annotations)


@pytest.mark.long
def test_with_the_right_to_scale_alone_a_policy_scales_and_says_what_it_may_not(
    world: World, account: Callable[[str], Account], new_operator: Callable[..., Operator]
) -> None:
    scaler = account("scaler")
    for role in ("look", "act-scale"):
        scaler.has("ClusterRole", f"resilience-operator-{role}")
    world.deployment()
    world.load.workload(world.namespace, "checkout", rps=90, cpu_utilisation=0.85)
    busy = {"name": "busy", "when": {"signal": "cpu", "above": "70%"}, "then": SCALE}
    world.policy(rules=[busy, *guard({"pauseRollout": {}})])
    new_operator(kubeconfig=scaler.kubeconfig()).start()
    world.until(lambda: world.replicas() == 5, "two pods more")
    world.load.workload(world.namespace, "checkout", rps=90, cpu_utilisation=0.4)
    world.until_phase("Stable")
    bad(world, ratio=0.3)
    world.release("2.0")
    found = world.until(
        lambda: c if (c := world.condition("Ready")).get("reason") == "Forbidden" else None, "it says what is missing"
    )
    assert found["status"] == "False"
    assert "cannot patch resource" in found["message"]
    assert not world.paused()
