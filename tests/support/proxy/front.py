"""Proxies in front of a cluster's API server and its Prometheus."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme
import yaml

from tests.cluster import Cluster, write_kubeconfig
from tests.support import names
from tests.support.operator import free_port
from tests.support.proxy.server import Proxy


def api_proxy(cluster: Cluster, folder: Path, port: int = 0) -> Proxy:
    """A proxy with a certificate authority of its own, whose certificate is left at `folder/proxy-ca.crt`."""
    authority = trustme.CA()
    folder.mkdir(parents=True, exist_ok=True)
    authority.cert_pem.write_to_path(folder / "proxy-ca.crt")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", names.API).configure_cert(tls)
    trust = ssl.create_default_context(cafile=cluster.ca_file)
    return Proxy(cluster.server, port or free_port(), tls=tls, trust=trust)


def prometheus_proxy(cluster: Cluster, port: int = 0) -> Proxy:
    """A proxy in front of Prometheus."""
    return Proxy(cluster.prometheus_url, port or free_port())


def kubeconfig_through(proxy: Proxy, identity: Path, folder: Path, host: str = "127.0.0.1") -> Path:
    """A kubeconfig with the token of `identity`, whose server is the proxy, called `host`."""
    token = yaml.safe_load(identity.read_text())["users"][0]["user"]["token"]
    return write_kubeconfig(folder / "proxied.kubeconfig", proxy.at(host), folder / "proxy-ca.crt", token=token)
