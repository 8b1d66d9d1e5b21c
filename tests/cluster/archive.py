"""Container images written as files, in the format of `docker save`: one layer, no image builder."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any


def write_image(archive: Path, names: Sequence[str], files: Mapping[str, Path | str], **config: Any) -> None:
    """Write an archive with one image.

    files: by path in the image; a Path is a file of this machine, a str the path of another file in the image.
    names: the image's names with tags. config: fields of the image's configuration, such as `Entrypoint`.
    """
    layer = archive.with_suffix(".layer")
    try:
        with tarfile.open(layer, "w", dereference=True) as tar:
            for path, source in files.items():
                tar.addfile(*_entry(tar, path, source))
        digest = hashlib.file_digest(layer.open("rb"), "sha256").hexdigest()
        about = {
            "architecture": "amd64",
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
        manifest = [{"Config": "config.json", "RepoTags": list(names), "Layers": ["layer.tar"]}]
        texts = {
            name: json.dumps(value).encode() for name, value in (("config.json", about), ("manifest.json", manifest))
        }
        with tarfile.open(archive, "w") as tar, layer.open("rb") as content:
            _add(tar, "layer.tar", content, layer.stat().st_size)
            for name, text in texts.items():
                _add(tar, name, io.BytesIO(text), len(text))
    finally:
        layer.unlink(missing_ok=True)


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = size
    tar.addfile(entry, content)


def _entry(tar: tarfile.TarFile, path: str, source: Path | str) -> tuple[tarfile.TarInfo, io.BufferedReader | None]:
    """A file owned by root, or a symbolic link; without times, so that equal content gives an equal image."""
    if isinstance(source, str):
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.type, entry.linkname = tarfile.SYMTYPE, source
        return entry, None
    entry = tar.gettarinfo(source, path.lstrip("/"))
    entry.type, entry.linkname = tarfile.REGTYPE, ""
    entry.size = source.stat().st_size
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry, source.open("rb")
