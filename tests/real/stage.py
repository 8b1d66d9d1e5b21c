"""The demo's stage on a real node: the operator in pods of its own image, and requests that are really sent."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.cluster import Options, up
from tests.cluster.realnode import import_image
from tests.demo.stage import CALM, POLICY, PORTS, SHOP, SIDE_BY_SIDE, STATE, Stage, clear
from tests.demo.view import NAME
from tests.real import images, installed
from tests.real.load import Load
from tests.real.shopworld import ShopWorld


class RealLoad:
    """What the story asks of the load model, done by real requests. Images behave as they were built."""

    def __init__(self, load: Load) -> None:
        self._load = load

    def workload(
        self, namespace: str, name: str, *, rps: float | None = None, latency_p99_seconds: float | None = 0.0
    ) -> None:
        """Change the rate, or how long each request waits for something slow (None: not at all)."""
        del namespace, name
        if rps is not None:
            self._load.rate = rps
        if latency_p99_seconds != 0.0:
            self._load.wait = latency_p99_seconds or 0.0

    def image(self, image: str, *, error_ratio: float) -> None:
        """Nothing to do: the version fails by itself."""


def set_up_real(say: Callable[[str], None], ports: int = PORTS) -> Stage:
    """Bring everything up, from nothing, with this machine as the node."""
    clear(say)
    archives = images.archives(say)
    cluster = up(Options(state=STATE, ports=ports, node="real"), say=say)
    for archive in archives:
        import_image(cluster.layout, archive)
    with tempfile.TemporaryDirectory() as folder:
        installed.with_kubectl(cluster, Path(folder), refresh_seconds=1)
    say("installed by kubectl from manifests/base: two pods of the operator's own image run")
    world = ShopWorld(cluster, SHOP).create()
    load = Load(world.shop(NAME, replicas=3, **SIDE_BY_SIDE), CALM)
    load.start()
    world.load = RealLoad(load)
    say(f"deployed {SHOP}/{NAME}: 3 pods of image {NAME}:1.0, {CALM:.0f} real requests/s")
    world.policy(NAME, text=POLICY.read_text())
    return Stage(cluster, None, world)
