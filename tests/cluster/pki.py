"""The cluster's own certificate authority, and who it vouches for.

A client certificate's CN is the user and its O the group that RBAC sees. Every component gets its own, so that the
audit log tells them apart and none is more than it needs to be. Made once for a state directory: an API server that
comes back over kept data must still know the tokens it signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.cluster.kubeconfig import write_private
from tests.cluster.machine import ADDRESS

SERVICE_IP = "172.30.0.1"
"""The first address of the service range, where pods expect the API server; its certificate must name it."""

SERVER_NAMES = (
    "127.0.0.1",
    ADDRESS,
    "localhost",
    SERVICE_IP,
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True)
class Identity:
    """A user that a client certificate proves; ``group`` is what RBAC may bind besides the user itself."""

    name: str
    user: str
    group: str = "resilience-local:components"


ADMIN = Identity("admin", "resilience-local:admin", "system:masters")
CONTROLLER_MANAGER = Identity("controller-manager", "system:kube-controller-manager")
SCHEDULER = Identity("scheduler", "system:kube-scheduler")
KWOK = Identity("kwok", "system:kwok")
ETCD_CLIENT = Identity("etcd-client", "kube-apiserver-etcd-client")
KUBELET = Identity("kubelet", "system:node:real-1", "system:nodes")
KUBELET_CLIENT = Identity("kubelet-client", "kube-apiserver-kubelet-client")
PROXY = Identity("kube-proxy", "system:kube-proxy")
PROMETHEUS = Identity("prometheus", "resilience-local:prometheus")
IDENTITIES = (
    ADMIN,
    CONTROLLER_MANAGER,
    SCHEDULER,
    KWOK,
    ETCD_CLIENT,
    KUBELET,
    KUBELET_CLIENT,
    PROXY,
    PROMETHEUS,
)


@dataclass(frozen=True)
class Pki:
    """Where the certificates and keys of one cluster lie (PEM files, readable by their owner only)."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def service_account_key(self) -> Path:
        """Signs and checks ServiceAccount tokens."""
        return self.folder / "service-account.key"

    def cert(self, name: str) -> Path:
        return self.folder / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def ensure(self) -> None:
        """Make everything, unless it was made before; the CA is written last and so vouches for the rest."""
        if self.ca.exists():
            return
        authority = trustme.CA(organization_name="resilience-operator test cluster")
        self._write("server", authority.issue_cert(*SERVER_NAMES, common_name="resilience-local"))
        for identity in IDENTITIES:
            # The name is not used, but Go refuses a certificate whose list of names is empty.
            leaf = authority.issue_cert(
                f"{identity.name}.client.invalid", common_name=identity.user, organization_name=identity.group
            )
            self._write(identity.name, leaf)
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        write_private(self.service_account_key, pem)
        write_private(self.ca, authority.cert_pem.bytes())

    def _write(self, name: str, leaf: trustme.LeafCert) -> None:
        write_private(self.cert(name), b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        write_private(self.key(name), leaf.private_key_pem.bytes())
