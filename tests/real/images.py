"""What runs on a real node: the operator's image, from the shipped Dockerfile, and the service in its versions."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.cluster.failure import ClusterError
from tests.cluster.locking import exclusive
from tests.cluster.settings import ROOT
from tests.image.building import HOME, base, build, buildah, identity, lacking, save

OPERATOR = "localhost/resilience-operator"
SHOP = "localhost/shop"
FOLDER = Path(__file__).with_name("shop")
VERSIONS = tuple(sorted(file.stem for file in (FOLDER / "versions").iterdir()))
"""Of the service; 2.0 and 2.1 fail one request in five."""


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
        for version in VERSIONS:
            build(f"{SHOP}:{version}", FOLDER, {"BASE": common, "VERSION": version})
            found.append(save(f"{SHOP}:{version}"))
        say(f"built {len(found)} images in {time.monotonic() - began:.0f} s")
    return found


def operator_image() -> str:
    """The operator's image as it was built last, under a tag that changes with it, so that pods do."""
    return f"{OPERATOR}:{identity(OPERATOR)}"
