"""Proxy and CA settings from the environment of the process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import requests
from requests.auth import _basic_auth_str
from requests.utils import (
    DEFAULT_CA_BUNDLE_PATH,
    get_auth_from_url,
    select_proxy,
    urldefragauth,
)

from resilience_operator.resilience.errors import GiveUp


class ProxyConfig(NamedTuple):
    """proxy: its address, or None. proxy_headers: headers for the proxy. authorities: a file or directory of CA
    certificates.
    """

    proxy: str | None
    proxy_headers: Mapping[str, str]
    authorities: str

    @classmethod
    def for_url(cls, url: str, authorities: str | None, dependency: str) -> ProxyConfig:
        """The settings that requests would use, so that the whole operator honours the same variables.

        authorities: overrides the CA certificates of the environment. Raises GiveUp for a proxy that is not HTTP.
        """
        with requests.Session() as session:
            found = session.merge_environment_settings(url, {}, None, authorities or True, None)
        known = found["verify"] if isinstance(found["verify"], str) else DEFAULT_CA_BUNDLE_PATH
        proxy = select_proxy(url, found["proxies"])
        if proxy is None:
            return cls(None, {}, known)
        proxy = proxy if "://" in proxy else f"http://{proxy}"
        if not proxy.startswith(("http://", "https://")):
            raise GiveUp(
                "the proxy in the environment is not an HTTP proxy: only HTTP proxies are supported",
                dependency=dependency,
                reason="address",
            )
        login = get_auth_from_url(proxy)
        return cls(urldefragauth(proxy), {"Proxy-Authorization": _basic_auth_str(*login)} if any(login) else {}, known)
