"""A node image for kind, built without a container registry.

The base is a Debian system by debootstrap with the files of kind's own `images/base`, from its Go module. It contains
kubelet, kubeadm and kubectl. Its containerd contains the images that kubeadm starts. All programs are built from
their Go modules.

It differs from the published `kindest/node` in two parts, whose programs are in no package registry or not needed here:
pods get their network from Debian's CNI plugins instead of kindnetd, for one node only, and no local-path-provisioner
serves PersistentVolumeClaims.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.cluster import build
from tests.cluster.archive import write_image
from tests.cluster.debian import mirror
from tests.cluster.failure import ClusterError
from tests.cluster.locking import exclusive
from tests.cluster.settings import LOCAL

HOME = LOCAL / "kind"
NAME = "localhost/resilience-kind-node"
PODS = "10.244.0.0/24"
"""Pod addresses: the part of kind's default range that its first node gets."""
PAUSE = "registry.k8s.io/pause:3.10"
"""As in kind's configuration of containerd."""

_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "kmod", "mount", "util-linux", "procps", "hostname"),
    *("containerd", "runc", "containernetworking-plugins", "libseccomp2"),
    *("conntrack", "iptables", "nftables", "ebtables", "ethtool", "iproute2", "socat"),
    *("bash", "ca-certificates", "curl", "jq", "openssl", "pigz"),
)
_WASTE = ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")
_UNITS = (
    "lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service",
    "lib/systemd/system/multi-user.target.wants/*",
    "etc/systemd/system/*.wants/*",
    "lib/systemd/system/local-fs.target.wants/*",
    "lib/systemd/system/sockets.target.wants/*udev*",
    "lib/systemd/system/sockets.target.wants/*initctl*",
    "lib/systemd/system/basic.target.wants/*",
    "lib/systemd/system/containerd.service",
)
"""Units that a node does not start, as in kind's Dockerfile; the last because kind has its own."""
_PROXY = ("nft", "xtables-nft-multi", "xtables-legacy-multi", "conntrack")
"""Programs that kube-proxy calls."""
_NETWORK = {
    "cniVersion": "0.3.1",
    "name": "kind",
    "plugins": [
        {
            "type": "ptp",
            "ipMasq": True,
            "mtu": 1500,
            "ipam": {
                "type": "host-local",
                "dataDir": "/run/cni-ipam-state",
                "routes": [{"dst": "0.0.0.0/0"}],
                "ranges": [[{"subnet": PODS}]],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}
_NETWORK_OBJECT = """\
# kind creates the objects of this file to install a network. Here the network is the node's own /etc/cni/net.d.
apiVersion: v1
kind: ConfigMap
metadata:
  name: kind-network
  namespace: kube-system
data:
  plugin: ptp
"""
_PRELOAD = """\
set -e
containerd >/tmp/containerd.log 2>&1 &
until ctr version >/dev/null 2>&1; do sleep 0.1; kill -0 $! || { cat /tmp/containerd.log; exit 1; }; done
for archive in /images/*.tar; do
  ctr --namespace=k8s.io images import --no-unpack "$archive"
done
kill $!
wait $! || true
rm -f /tmp/containerd.log
"""
Say = Callable[[str], None]


def lacking() -> list[str]:
    """What building needs and this machine does not have, in words; empty when all is there."""
    found = [] if os.geteuid() == 0 else ["root (sudo -E)"]
    missing = [tool for tool in ("debootstrap", "jq") if shutil.which(tool) is None]
    return found + ([f"apt-get install {' '.join(missing)}"] if missing else [])


def ensure(say: Say) -> str:
    """Return the image's name in the docker engine; builds it unless it is there."""
    if wanted := lacking():
        raise ClusterError(f"a node image for kind needs: {'; '.join(wanted)}")
    binaries = build.ensure(build.KIND_NODE, say)
    # A binary's name carries the stamp of what it is built from.
    content = [binary.name.encode() for binary in binaries.values()] + [Path(__file__).read_bytes()]
    image = f"{NAME}:{build.stamp(content, _PACKAGES)}"
    if _docker("images", "--quiet", image).strip():
        return image
    HOME.mkdir(parents=True, exist_ok=True)
    with exclusive(HOME), tempfile.TemporaryDirectory(dir=HOME) as folder:
        began = time.monotonic()
        say(f"building the node image {image}; this takes a minute or two")
        root, images = Path(folder, "root"), Path(folder, "images")
        images.mkdir()
        _debian(root)
        _as_kind(root, build.module_folder("kind"))
        _kubernetes(root, binaries)
        _images(root, images, binaries)
        _commit(root, images, image)
        say(f"built the node image in {build.clock(time.monotonic() - began)}")
    return image


def _debian(root: Path) -> None:
    uri, release = mirror()
    _run("debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", release, str(root), uri)
    for waste in _WASTE:
        shutil.rmtree(root / waste, ignore_errors=True)


def _as_kind(root: Path, module: Path) -> None:
    """The steps of kind's images/base/Dockerfile, with containerd, runc and the CNI plugins of Debian."""
    shutil.copytree(module / "images" / "base" / "files", root, dirs_exist_ok=True, copy_function=_copy)
    for script in (*root.glob("usr/local/bin/*"), *root.glob("kind/bin/*")):
        script.chmod(0o755)
    for pattern in _UNITS:
        for unit in root.glob(pattern):
            unit.unlink()
    with (root / "etc/systemd/journald.conf").open("a") as journald:
        journald.write("ReadKMsg=no\n")
    for program in ("containerd", "ctr"):
        (root / "usr/local/bin" / program).symlink_to(f"/usr/bin/{program}")
    _run("chroot", str(root), "systemctl", "enable", "kubelet", "containerd", "undo-mount-hacks")
    _run("chroot", str(root), "systemctl", "mask", "systemd-binfmt.service")
    for folder in ("etc/kubernetes/manifests", "kind/manifests", "etc/cni/net.d"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    shutil.copytree(root / "usr/lib/cni", root / "opt/cni/bin", dirs_exist_ok=True)
    spec = json.loads(_run("chroot", str(root), "ctr", "oci", "spec"))
    spec.setdefault("hooks", {}).setdefault("createContainer", []).append({"path": "/kind/bin/mount-product-files.sh"})
    spec["process"].pop("rlimits", None)
    (root / "etc/containerd/cri-base.json").write_text(json.dumps(spec))
    config = root / "etc/containerd/config.toml"
    # A machine that withholds CAP_SYS_RESOURCE lets no container lower its score.
    config.write_text(config.read_text().replace("restrict_oom_score_adj = false", "restrict_oom_score_adj = true"))


def _kubernetes(root: Path, binaries: Mapping[str, Path]) -> None:
    for name, binary in (("kubelet", "node"), ("kubeadm", "kubeadm"), ("kubectl", "clients")):
        _copy(binaries[binary], root / "usr/bin" / name)
        (root / "usr/bin" / name).chmod(0o755)
    (root / "kind/version").write_text(_version())
    (root / "kind/manifests/default-cni.yaml").write_text(_NETWORK_OBJECT)
    (root / "etc/cni/net.d/10-kind.conflist").write_text(json.dumps(_NETWORK, indent=2))


def _images(root: Path, folder: Path, binaries: Mapping[str, Path]) -> None:
    """Archives of all images that kubeadm asks for."""
    listed = _run("chroot", str(root), "kubeadm", "config", "images", "list", f"--kubernetes-version={_version()}")
    wanted = {image.rpartition(":")[0].rpartition("/")[2]: image for image in listed.split()}
    path = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    control = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")
    programs: dict[str, Path | str] = {"/usr/local/bin/kube-apiserver": binaries["controlplane"]}
    programs |= {f"/usr/local/bin/{name}": "kube-apiserver" for name in control[1:]}
    write_image(folder / "control.tar", [wanted.pop(name) for name in control], programs, Env=path)
    proxy: dict[str, Path | str] = {"/usr/local/bin/kube-proxy": binaries["node"], **_closure(root, _PROXY)}
    write_image(folder / "proxy.tar", [wanted.pop("kube-proxy")], proxy, Env=path)
    certificates = root / "etc/ssl/certs/ca-certificates.crt"
    dns: dict[str, Path | str] = {"/coredns": binaries["coredns"], "/etc/ssl/certs/ca-certificates.crt": certificates}
    write_image(folder / "dns.tar", [wanted.pop("coredns")], dns, Env=path, Entrypoint=["/coredns"])
    pause: dict[str, Path | str] = {"/pause": binaries["pause"]}
    names = sorted({wanted.pop("pause"), PAUSE})
    write_image(folder / "pause.tar", names, pause, Env=path, Entrypoint=["/pause"], User="65535:65535")
    if wanted:
        raise ClusterError(f"kubeadm asks for images that are not built here: {', '.join(wanted.values())}")


def _closure(root: Path, programs: tuple[str, ...]) -> dict[str, Path | str]:
    """Programs of Debian with their libraries and the names under which they are called, by path in an image."""
    files = [f"/usr/sbin/{name}" for name in programs]
    files += [f"/{module.relative_to(root)}" for module in root.glob("usr/lib/*/xtables/*.so")]
    libraries = {word for word in _run("chroot", str(root), "ldd", *files).split() if word.startswith("/")}
    # A line of a file's own ends in a colon.
    paths = files + sorted(path for path in libraries if not path.endswith(":"))
    found: dict[str, Path | str] = {path: _inside(root, path) for path in paths}
    for family in ("iptables", "ip6tables"):
        for suffix in ("", "-save", "-restore"):
            found[f"/usr/sbin/{family}{suffix}"] = "xtables-nft-multi"
    return found


def _inside(root: Path, path: str) -> Path:
    """The file behind a path of the new system. A link in it leads to another path of that system."""
    found = root
    for part in Path(path).parts[1:]:
        found /= part
        if found.is_symlink():
            # An absolute target replaces the folder.
            found = _inside(root, str("/" / found.parent.relative_to(root) / found.readlink()))
    return found


def _commit(root: Path, images: Path, image: str) -> None:
    """Import the system into docker, load the images into its containerd, and keep the result under the name."""
    base = f"{image}-base"
    with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
        imported = subprocess.run(
            ["docker", "import", "--change", "ENV container=docker", "-", base],
            stdin=tar.stdout,
            capture_output=True,
            text=True,
            check=False,
        )
    if imported.returncode != 0:
        raise ClusterError(f"docker import failed: {imported.stderr.strip()}")
    options = ["--detach", "--security-opt=seccomp=unconfined", f"--volume={images}:/images:ro"]
    container = _docker("run", *options, base, "sleep", "infinity").strip()
    try:
        _docker("exec", container, "sh", "-c", _PRELOAD)
        entry = 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]'
        _docker("commit", "--change", entry, container, image)
    finally:
        _docker("rm", "--force", "--volumes", container)
    _docker("rmi", "--no-prune", base)


def _version() -> str:
    return build.required_version((build.SOURCES["node"].module / "go.mod").read_text(), "k8s.io/kubernetes")


def _copy(source: str | Path, target: str | Path) -> str:
    """Copy content only: files of the module cache are read-only."""
    return str(shutil.copyfile(source, target))


def _docker(*arguments: str) -> str:
    return _run("docker", *arguments)


def _run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise ClusterError(f"{' '.join(command[:4])} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout
