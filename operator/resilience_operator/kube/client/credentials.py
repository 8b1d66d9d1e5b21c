"""API server address and credentials, and how they are kept valid.

The kubelet replaces a service account's token file before the token expires. A kubeconfig may name such a file too
(`tokenFile`), but the client re-reads only the in-cluster one. Here both are read again once a minute, as in client-go,
and immediately after a 401. Credential plugins (`exec`) run again after a 401.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes.aio import config
from kubernetes.aio.client import Configuration
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.kube_config import _get_kube_config_loader_for_yaml_file
from yaml import YAMLError

from resilience_operator.resilience import Clock

log = logging.getLogger(__name__)

kube_config: Any = config  # has no types
loader_for: Any = _get_kube_config_loader_for_yaml_file

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
REREAD = 60.0
"""Seconds between two reads of a token file."""
LOGIN_PAUSE = 1.0
"""Seconds within which rejected calls share one login."""


class NoCluster(Exception):  # noqa: N818
    """No cluster is configured, or the configuration cannot be read; the message says what to change."""


@dataclass(frozen=True, slots=True)
class KubeconfigParts:
    """What to take from a kubeconfig. None: what its current context names. server: replaces the cluster's address."""

    context: str | None = None
    cluster: str | None = None
    user: str | None = None
    server: str | None = None


DEFAULT_PARTS = KubeconfigParts()


class Credentials:
    """A client configuration that keeps its token valid."""

    def __init__(
        self,
        configuration: Any,
        *,
        kubeconfig: str | None,
        parts: KubeconfigParts = DEFAULT_PARTS,
        token_file: Path | None,
        clock: Clock = time.monotonic,
    ) -> None:
        self.configuration = configuration
        self._kubeconfig = kubeconfig
        self._parts = parts
        self._token_file = token_file
        self._clock = clock
        self._lock = asyncio.Lock()
        self._read_at = clock()
        self._login_at = -LOGIN_PAUSE + clock()
        if token_file is not None:
            self._read_token()
            configuration.refresh_api_key_hook = self._refresh

    @classmethod
    async def find(
        cls, kubeconfig: str | os.PathLike[str] | None = None, parts: KubeconfigParts = DEFAULT_PARTS
    ) -> Credentials:
        """Load `kubeconfig`; else the pod's service account; else KUBECONFIG or ~/.kube/config.

        parts: of the kubeconfig, which is then used in a pod too. Default: those of its current context.
        Raises NoCluster.
        """
        configuration = Configuration()
        configuration.retries = None
        try:
            if kubeconfig is None and parts == DEFAULT_PARTS and in_pod():
                kube_config.load_incluster_config(configuration, try_refresh_token=False)
                return cls(configuration, kubeconfig=None, token_file=SERVICE_ACCOUNT / "token")
            path = str(kubeconfig or os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
            if not _readable(path):
                raise NoCluster(f"no kubeconfig at {path}: give --kubeconfig or set KUBECONFIG")
            loader = await _load(path, parts, configuration)
            return cls(configuration, kubeconfig=path, parts=parts, token_file=_token_file_of(loader, path))
        except (ConfigException, YAMLError, OSError, TypeError, AttributeError, KeyError, ValueError) as error:
            # For a malformed file, the loader raises arbitrary exceptions.
            raise NoCluster(_unusable(error)) from error

    async def login(self) -> None:
        """Fetch new credentials. Calls within `LOGIN_PAUSE` of the last one share its result."""
        async with self._lock:
            if self._clock() - self._login_at < LOGIN_PAUSE:
                return
            if self._token_file is not None:
                self._read_token()
            elif self._kubeconfig is not None:
                await _load(self._kubeconfig, self._parts, self.configuration)
            self._login_at = self._clock()

    def _refresh(self, _: Any) -> None:
        if self._clock() - self._read_at >= REREAD:
            self._read_token()

    def _read_token(self) -> None:
        # The file may be missing or empty while it is being replaced: keep the current token.
        assert self._token_file is not None
        self._read_at = self._clock()
        try:
            token = self._token_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            log.warning("the token file %s cannot be read: %s", self._token_file, error.strerror)
            return
        if token:
            self.configuration.api_key["BearerToken"] = f"Bearer {token}"


async def _load(path: str, parts: KubeconfigParts, configuration: Any) -> Any:
    """Load a kubeconfig, or several joined by the path separator, into a client configuration. Returns the loader."""
    loader = loader_for(path, active_context=parts.context)
    # The library selects by context only, and has no public setters.
    if parts.cluster is not None:
        loader._cluster = loader._config["clusters"].get_with_name(parts.cluster)["cluster"]
    if parts.user is not None:
        loader._user = loader._config["users"].get_with_name(parts.user)["user"]
    await loader.load_and_set(configuration)
    if parts.server is not None:
        if "://" not in parts.server:
            raise ValueError(f"{parts.server} is not a URL: use one like https://127.0.0.1:6443")
        configuration.host = parts.server.rstrip("/")
    return loader


_NO_ENTRY = re.compile(r"Expected object with name (?P<name>.+) in (?P<file>.+?)/(?P<list>\w+?)s? list")


def _unusable(error: Exception) -> str:
    missing = _NO_ENTRY.search(str(error))
    if missing is not None:
        return f"the kubeconfig has no {missing['list']} named {missing['name']}"
    if isinstance(error, YAMLError):
        return "the kubeconfig is not valid YAML"
    known = isinstance(error, (ConfigException, OSError, ValueError))
    return f"the kubeconfig cannot be used: {str(error) if known else repr(error)}"


def in_pod() -> bool:
    """Whether this process runs in a pod with a service account."""
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and (SERVICE_ACCOUNT / "token").is_file()


def _readable(paths: str) -> bool:
    return any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path)


def _token_file_of(loader: Any, kubeconfig: str) -> Path | None:
    """The `tokenFile` of the current context's user; a path is relative to its kubeconfig."""
    user = loader._user  # the loader has no public accessor
    if user is None or "tokenFile" not in user:
        return None
    base = Path(user.path or kubeconfig.split(os.pathsep, maxsplit=1)[0]).expanduser().resolve().parent
    return base / str(user["tokenFile"])
