"""The quick start on kind, line by line as the page shows it. Only the bake is shortened.

Where images cannot be pulled (KIND_IMAGE=built), the images of `docker build` are those that buildah makes of the same
Dockerfiles, and Prometheus is the one of `monitoring.yaml` instead of the chart.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import kind
from tests.cluster.settings import ROOT
from tests.image.building import HOME
from tests.real.conftest import NODE
from tests.real.images import OPERATOR, SHOP
from tests.real.kindcluster import KindCluster
from tests.support.clients import links
from tests.support.commands import commands
from tests.support.waiting import eventually

PAGE = ROOT / "docs" / "quick-start.md"
PULLS = os.environ.get("KIND_IMAGE") != kind.BUILT
"""Whether images and charts can be had from a registry."""
WAIT = 600.0
"""Seconds for the first bake or a rollback: a rollout of three pods, each tried for 10 s, on a busy machine."""

pytestmark = pytest.mark.skipif(NODE != "kind", reason="make test NODE=kind runs it, where a docker engine is")


class Reader:
    """Somebody who types what the page shows, in the checkout."""

    def __init__(self, cluster: KindCluster, folder: Path) -> None:
        self.cluster = cluster
        path = [str(links(folder / "bin")), os.environ["PATH"]]
        (folder / "bin" / "kind").symlink_to(kind.program())
        plugin = folder / "bin" / "kubectl-resilience"
        plugin.write_text(f'#!/bin/sh\nexec {sys.executable} -m resilience_operator.cli.kubectl "$@"\n')
        plugin.chmod(0o755)
        self._environment = {
            **os.environ,
            "KUBECONFIG": str(cluster.kubeconfig),
            "KIND_CLUSTER_NAME": cluster.name,
            "PATH": ":".join(path),
            **{f"HELM_{what}_HOME": str(folder / f"helm-{what.lower()}") for what in ("CACHE", "CONFIG", "DATA")},
        }

    def types(self, line: str) -> str:
        """Run a line, and return what it prints."""
        done = subprocess.run(
            ["bash", "-c", line], cwd=ROOT, env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}"
        return done.stdout


@pytest.fixture
def reader(node: KindCluster, tmp_path: Path) -> Iterator[Reader]:
    """On a cluster without the operator."""
    found = Reader(node, tmp_path)
    found.types("kubectl delete namespace resilience-system shop --ignore-not-found --wait")
    found.types(
        "kubectl delete clusterroles,clusterrolebindings,validatingadmissionpolicies,"
        "validatingadmissionpolicybindings -l app.kubernetes.io/part-of=resilience-operator"
    )
    found.types("kubectl delete crd resiliencepolicies.resilience-operator.io --ignore-not-found --wait")
    yield found
    found.types("kubectl delete namespace resilience-system shop --ignore-not-found --wait")


def lines() -> list[str]:
    """The commands of the part about a cluster."""
    every = [command.text for command in commands(PAGE)]
    first = next(i for i, line in enumerate(every) if line.startswith("kind create"))
    last = next(i for i, line in enumerate(every) if line.startswith("kubectl describe"))
    return every[first : last + 1]


def built(reader: Reader, line: str) -> None:
    """Give the engine the image that `docker build -t NAME` would have made."""
    (name,) = re.findall(r"-t (\S+)", line)
    source = f"{SHOP}:{name.partition(':')[2]}" if name.startswith("shop") else OPERATOR
    prefix = source.replace("/", "_").replace(":", "_")
    (archive,) = HOME.glob(f"{prefix}-*.tar") if name.startswith("shop") else HOME.glob(f"{prefix}_-*.tar")
    loaded = reader.types(f"docker load --input {archive}").strip().rpartition("Loaded image: ")[2]
    reader.types(f"docker tag {loaded} {name}")


def test_the_quick_start_works(reader: Reader) -> None:
    for line in lines():
        if line.startswith("kind create"):
            continue  # the fixture has, with a name of its own
        if line.startswith("docker build") and not PULLS:
            built(reader, line)
        elif line.startswith("helm install prometheus "):
            pass  # what the fixture installed has the same address
        elif line.startswith("kubectl set image"):
            baked(reader)
            reader.types(line)
        elif "reason=RolledBack" in line:
            eventually(lambda line=line: "RolledBack" in reader.types(line), "it is rolled back", patience=WAIT)
            image = "kubectl get deployment checkout -n shop -o jsonpath={.spec.template.spec.containers[0].image}"
            assert reader.types(image) == "shop:1.0"
        else:
            reader.types(line)


def baked(reader: Reader) -> None:
    """The page's ten minutes of baking, in half a minute; the signals are measured before."""
    policy = "kubectl get rsp checkout -n shop -o"
    measured = f"{policy} jsonpath={{.status.signals[*].value}}"
    eventually(lambda: len(reader.types(measured).split()) >= 3, "three signals have values", patience=WAIT)
    reader.types('kubectl patch rsp checkout -n shop --type merge -p \'{"spec": {"release": {"bake": "30s"}}}\'')
    good = f"{policy} jsonpath={{.status.target.phase}}/{{.status.target.lastGoodRevision}}"
    eventually(lambda: re.fullmatch("Stable/.+", reader.types(good)), "version 1.0 is known good", patience=WAIT)
