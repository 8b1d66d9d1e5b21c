"""Images that are written as files: what `docker load` and `ctr images import` read."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

from tests.cluster.archive import write_image


def test_an_image_has_its_files_its_links_and_its_names(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    program.chmod(0o755)
    (tmp_path / "link").symlink_to(program)
    archive = tmp_path / "image.tar"
    files: dict[str, Path | str] = {"/bin/one": program, "/bin/two": "one", "/bin/three": tmp_path / "link"}

    write_image(archive, ["localhost/a:1", "localhost/b:1"], files, Entrypoint=["/bin/one"])

    with tarfile.open(archive) as tar:
        content = {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]
    (manifest,) = json.loads(content["manifest.json"])
    assert manifest["RepoTags"] == ["localhost/a:1", "localhost/b:1"]
    config, layer = json.loads(content[manifest["Config"]]), content[manifest["Layers"][0]]
    assert config["config"] == {"Entrypoint": ["/bin/one"]}
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        one, two, three = tar.getmembers()
        assert (one.name, one.mode & 0o777, one.uid, one.mtime) == ("bin/one", 0o755, 0, 0)
        assert (two.issym(), two.linkname) == (True, "one")
        assert three.isreg() and tar.extractfile(three).read() == b"\x7fELF"  # type: ignore[union-attr]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.tar", "link", "program"]


def test_the_same_files_make_the_same_image(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"x")
    write_image(tmp_path / "a.tar", ["localhost/a:1"], {"/x": program})
    program.touch()
    write_image(tmp_path / "b.tar", ["localhost/a:1"], {"/x": program})
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
