"""One real node for all tests here, with the images on it. They run one after another: it is one machine.

The node is this machine (NODE=real), or a container of kind (NODE=kind).
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster, Options, down, machine, up
from tests.cluster.realnode import import_image
from tests.cluster.settings import LOCAL
from tests.image import building
from tests.real import images, installed, kindcluster
from tests.real.kindcluster import KindCluster
from tests.real.shopworld import ShopWorld

NODE = os.environ.get("NODE", "simulated")
STATE = LOCAL / "real-test"
PORTS = 27600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name what is skipped, and why, where this machine is not to be a node or cannot be one."""
    why = "" if NODE in ("real", "kind") else "make test NODE=real runs it: this machine becomes a node"
    if not why and (lacking := [*(machine.lacking() if NODE == "real" else []), *building.lacking()]):
        why = f"a real node needs: {'; '.join(lacking)}"
    for item in items:
        if why and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session")
def node() -> Iterator[Cluster | KindCluster]:
    """The cluster with its one node, with all images. One of this machine that was there before is left running."""
    archives = images.archives(print)
    if NODE == "kind":
        with kindcluster.running(print) as found:
            found.load(archives)
            yield found
        return
    existed = (STATE / "cluster.json").exists()
    cluster = up(Options(state=STATE, ports=None if existed else PORTS, node="real"))
    try:
        for archive in archives:
            import_image(cluster.layout, archive)
        yield cluster
    finally:
        if not existed:
            down(STATE)


@pytest.fixture(scope="session")
def guarded(node: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The same with the operator on it, installed by kubectl from the shipped manifests."""
    installed.with_kubectl(node, tmp_path_factory.mktemp("kustomization"))
    return node


@pytest.fixture
def shop(guarded: Cluster) -> Iterator[ShopWorld]:
    """A fresh namespace for the guarded service."""
    world = ShopWorld(guarded, f"shop-{uuid.uuid4().hex[:6]}").create()
    yield world
    world.remove()
