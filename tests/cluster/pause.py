"""The image of the program that holds a pod's namespaces. It is one static file, so no image builder is needed."""

from __future__ import annotations

from pathlib import Path

from tests.cluster import archive


def write_image(program: Path, target: Path, name: str) -> None:
    """Write an archive, in the format of `docker save`, with an image that starts `program`."""
    archive.write_image(target, [name], {"/pause": program}, Entrypoint=["/pause"], User="65535:65535")
