"""What runs on a real node: the operator's image, from the shipped Dockerfile, and the service in its versions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.cluster.failure import ClusterError
from tests.cluster.locking import exclusive
from tests.cluster.settings import ROOT
from tests.image.building import HOME, base, build, buildah, identity, lacking, save

OPERATOR = "localhost/resilience-operator"
SHOP = "localhost/shop"
VERSIONS: Mapping[str, Mapping[str, str]] = {
    "1.0": {},
    "1.1": {},
    "2.0": {"FAILING": "0.2"},
    "2.1": {"FAILING": "0.2"},
}
"""What is wrong with each version of the service; nothing with 1.0 and 1.1."""


def archives(say: Callable[[str], None]) -> list[Path]:
    """Build what is not there yet, and return archives of the operator's image and of all versions of the service."""
    if wanted := lacking():
        raise ClusterError(f"images need: {'; '.join(wanted)}")
    HOME.mkdir(parents=True, exist_ok=True)
    with exclusive(HOME):
        common = base(say)
        began = time.monotonic()
        build(OPERATOR, ROOT, {"BASE": common})
        buildah("tag", OPERATOR, operator_image())
        found = [save(operator_image())]
        shop = Path(__file__).with_name("shop")
        for version, faults in VERSIONS.items():
            build(f"{SHOP}:{version}", shop, {"BASE": common, "VERSION": version, **faults})
            found.append(save(f"{SHOP}:{version}"))
        say(f"built {len(found)} images in {time.monotonic() - began:.0f} s")
    return found


def operator_image() -> str:
    """The operator's image as it was built last, under a tag that changes with it, so that pods do."""
    return f"{OPERATOR}:{identity(OPERATOR)}"
