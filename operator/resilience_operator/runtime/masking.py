"""Masks the secrets of a configuration before it is printed.

Known secrets are never part of it: they are in files. An administrator may still write a secret inline, such as a
webhook URL or a routing key in a plugin's options. It is recognised by the option's name or by the form of the value.
"""

from __future__ import annotations

import re
from typing import Any

MASK = "**********"
"""Printed in place of a secret. Pydantic prints the same for a SecretStr."""

_SECRET_NAME = re.compile(
    r"key|token|secret|pass|pwd|\bpw\b|cred|auth|cookie|bearer|signature|webhook|dsn|session|private|headers?$"
)
_FILE_NAME = re.compile(r"_(files?|path)$")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^\s/?#]*)([^\s]*)")
_SCHEME = re.compile(r"(?i)^\s*(basic|bearer|token|apikey|genieKey)\s+\S")
_TOKEN = re.compile(r"(?=[^\s]*[0-9])(?=[^\s]*[A-Za-z])[A-Za-z0-9_+=-]{20,}")


def mask_userinfo(value: Any) -> Any:
    """Replace the user name and password of every URL in `value`, a JSON value."""
    if isinstance(value, dict):
        return {name: mask_userinfo(each) for name, each in value.items()}
    if isinstance(value, list):
        return [mask_userinfo(each) for each in value]
    return _URL.sub(_without_userinfo, value) if isinstance(value, str) else value


def mask_options(value: Any, name: str = "") -> Any:
    """Mask possible secrets in the options of a plugin. Their meaning is known only to the plugin.

    name: the option that `value` belongs to. File names are shown. Of an HTTP URL, scheme and host are shown; of
    another URL, only the scheme.
    """
    low = name.lower().replace("-", "_")
    if _FILE_NAME.search(low):
        return value
    secret = bool(_SECRET_NAME.search(low))
    if isinstance(value, dict):
        return {key: mask_options(each, name if secret else key) for key, each in value.items()}
    if isinstance(value, list):
        return [mask_options(each, name) for each in value]
    if value is None or isinstance(value, bool):
        return value
    if secret or (isinstance(value, str) and (_SCHEME.match(value) or _TOKEN.fullmatch(value))):
        return MASK
    return _URL.sub(_without_path, value) if isinstance(value, str) else value


def mask_named(values: dict[str, Any]) -> dict[str, Any]:
    """Mask values whose name indicates a secret, like the query parameter `token`."""
    return {name: MASK if _SECRET_NAME.search(name.lower()) else value for name, value in values.items()}


def _without_userinfo(url: re.Match[str]) -> str:
    scheme, authority, rest = url.groups()
    return f"{scheme}{_host(authority)}{rest}"


def _without_path(url: re.Match[str]) -> str:
    scheme, authority, rest = url.groups()
    if scheme.lower() not in ("http://", "https://"):  # like slack://TOKEN/TOKEN
        return f"{scheme}{MASK}"
    return f"{scheme}{_host(authority)}{f'/{MASK}' if rest not in ('', '/') else rest}"


def _host(authority: str) -> str:
    user, at, host = authority.rpartition("@")
    return f"{MASK}@{host}" if user else f"{at}{host}"
