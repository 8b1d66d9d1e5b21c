"""The commands of kubectl and helm that README and docs show, run as they stand, in the order in which a new user reads
them, on a cluster in which nothing was installed. The nodes are simulated: what is installed gets ready and does
nothing.

Those that are not run, and why, are in tests/support/commands.py; all others are checked in tests/unit.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from kubernetes import client

from tests.cluster import Cluster
from tests.support.clients import PATIENCE, links
from tests.support.commands import PAGES, commands, parts, runs_on_a_cluster
from tests.support.fresh import fresh_cluster
from tests.support.install import ROOT
from tests.support.waiting import eventually
from tests.support.world import World

CRD = "resiliencepolicies.resilience-operator.io"
REFUSED = (
    "helm template resilience-operator manifests/helm/resilience-operator --set dryrun=true",
    "kubectl scale deployment/resilience-operator --replicas=2 ",
)
"""How the commands begin that are shown for how they are refused."""
BY_KUBECTL, BY_HELM = "kubectl apply --server-side -k manifests/base", "helm install "
KUBECTL_UNINSTALLS = "kubectl delete clusterroles,clusterrolebindings,"
HELM_UNINSTALLS = "helm uninstall resilience-operator --namespace "
PLACEHOLDERS = {"NAMESPACE": "shop", "NAME": "checkout"}


class Reader:
    """A new user: at a prompt, in a folder that holds the checkout and what the pages say to write."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._folder = folder / "checkout"
        self._folder.mkdir()
        for each in ("manifests", "crds", "docs"):
            (self._folder / each).symlink_to(ROOT / each)
        self._environment = {
            **os.environ,
            "KUBECONFIG": str(cluster.kubeconfig),
            "PATH": f"{links(folder / 'bin')}:{os.environ['PATH']}",
            **{f"HELM_{what}_HOME": str(folder / f"helm-{what.lower()}") for what in ("CACHE", "CONFIG", "DATA")},
        }
        self.way = ""
        """How the operator was installed or uninstalled last."""

    def types(self, line: str, *, page: str, fails: bool = False) -> None:
        """Run a line in a shell. A refusal may need a moment: the API server has to read the policy that refuses."""
        done = self._run(line)
        if fails and done.returncode == 0:
            eventually(lambda: self._run(line).returncode != 0, f"{page}: {line} is refused")
            return
        assert (done.returncode != 0) is fails, f"{page}: {line}\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}"

    def _run(self, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", line],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def writes(self, page: Path) -> None:
        """Keep the policy that a page shows, under the name that its commands use."""
        if shown := re.search(r"^```yaml\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
            (self._folder / "policy.yaml").write_text(shown[1])

    def begins_anew(self, way: str) -> bool:
        """Who takes the other of two ways, or another cluster, first takes away what the one brought, and left. Returns
        whether there was something, and the policies are gone."""
        gone = bool(self.way) and self.way != way
        if gone:
            if self.way == BY_HELM:
                self.types("helm uninstall resilience-operator -n resilience-system", page="between")
            kinds = "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings"
            labelled = f"{kinds} -l app.kubernetes.io/part-of=resilience-operator"
            for what in ("namespace resilience-system", labelled, f"crd {CRD}"):
                self.types(f"kubectl delete --ignore-not-found {what}", page="between")
        self.way = way
        return gone

    def applies_samples(self) -> None:
        """Have the policies again that an installation the other way took with it; the definition may still be new."""
        eventually(lambda: self._run("kubectl apply -k manifests/samples").returncode == 0, "the samples are applied")


def test_do_what_the_pages_say(tmp_path: Path) -> None:
    with fresh_cluster(tmp_path) as cluster:
        reader, world = Reader(cluster, tmp_path), World(cluster, "shop")
        definitions = client.ApiextensionsV1Api(world.api)

        def policies_are_left() -> None:
            assert world.read_policy()["spec"]["targetRef"]["name"] == "checkout"
            assert world.get()["spec"]["replicas"]
            assert not world.core.list_namespace(field_selector="metadata.name=resilience-system").items

        def definition_is_left() -> None:
            assert definitions.read_custom_resource_definition(CRD)

        after: Mapping[str, Callable[[], None]] = {
            KUBECTL_UNINSTALLS: policies_are_left,
            HELM_UNINSTALLS: definition_is_left,
        }
        checked, last_of_start = set(), "docs/install.md"
        for page in PAGES:
            reader.writes(page)
            for command in commands(page):
                for line in filter(runs_on_a_cluster, parts(command.text)):
                    gone = any(line.startswith(way) and reader.begins_anew(way) for way in (BY_KUBECTL, BY_HELM))
                    for placeholder, value in PLACEHOLDERS.items():
                        line = re.sub(rf"\b{placeholder}\b", value, line)
                    reader.types(line, page=command.page, fails=line.startswith(REFUSED))
                    if gone:
                        reader.applies_samples()
                    for begin, check in after.items():
                        if line.startswith(begin):
                            check()
                            checked.add(begin)
                            reader.way = begin
            if str(page.relative_to(ROOT)) == last_of_start:
                # What the other pages take for granted.
                reader.types("kubectl apply -k manifests/samples", page="before the others")
        assert checked == set(after), "both ways of uninstalling are shown, and were tried"
