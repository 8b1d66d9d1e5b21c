"""Lists the ConfigMaps and Secrets that a pod template reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

CONFIG_MAP, SECRET = "ConfigMap", "Secret"

_Json = Mapping[str, Any]


class Reference(NamedTuple):
    """An object that a pod template reads.

    optional: pods start without it. at_start: a container reads it only when it starts: by an environment variable, a
    `subPath` mount, or in an init container alone. Otherwise the kubelet updates the mounted files.
    """

    kind: str
    name: str
    optional: bool
    at_start: bool

    @property
    def key(self) -> str:
        """Identity within the namespace: `ConfigMap/name`."""
        return f"{self.kind}/{self.name}"


def references_of(template: _Json, *, secrets: bool = False) -> tuple[Reference, ...]:
    """Return what the template reads, one reference per object, sorted. secrets: list Secrets too.

    An object is optional only if every reference to it is.
    """
    found: dict[tuple[str, str], Reference] = {}
    spec: object = template.get("spec")
    for one in _all(spec) if isinstance(spec, Mapping) else ():
        if not one.name or (one.kind == SECRET and not secrets):
            continue
        before = found.get((one.kind, one.name), one)
        found[one.kind, one.name] = Reference(
            one.kind, one.name, one.optional and before.optional, one.at_start or before.at_start
        )
    return tuple(found[key] for key in sorted(found))


def _all(spec: _Json) -> Iterator[Reference]:
    init, running = list(_items(spec, "initContainers")), [*_items(spec, "containers")]
    running += [one for one in init if one.get("restartPolicy") == "Always"]  # a sidecar
    running += _items(spec, "ephemeralContainers")
    for container in (*init, *running):
        yield from _environment(container)
    fixed = {str(m.get("name")) for c in running for m in _items(c, "volumeMounts") if _is_fixed(m)}
    mounted = {str(m.get("name")) for c in running for m in _items(c, "volumeMounts")}
    for volume in _items(spec, "volumes"):
        name = str(volume.get("name"))
        yield from _volume(volume, at_start=name in fixed or name not in mounted)


def _is_fixed(mount: _Json) -> bool:
    """Return whether the kubelet does not update the mounted files of a running container."""
    return bool(mount.get("subPath") or mount.get("subPathExpr"))


def _environment(container: _Json) -> Iterator[Reference]:
    for one in _items(container, "envFrom"):
        yield from _named(one.get("configMapRef"), CONFIG_MAP, at_start=True)
        yield from _named(one.get("secretRef"), SECRET, at_start=True)
    for variable in _items(container, "env"):
        source: object = variable.get("valueFrom")
        if isinstance(source, Mapping):
            yield from _named(source.get("configMapKeyRef"), CONFIG_MAP, at_start=True)
            yield from _named(source.get("secretKeyRef"), SECRET, at_start=True)


def _volume(volume: _Json, *, at_start: bool) -> Iterator[Reference]:
    yield from _named(volume.get("configMap"), CONFIG_MAP, at_start=at_start)
    yield from _named(volume.get("secret"), SECRET, at_start=at_start, field="secretName")
    projected = volume.get("projected")
    for source in _items(projected, "sources") if isinstance(projected, Mapping) else ():
        yield from _named(source.get("configMap"), CONFIG_MAP, at_start=at_start)
        yield from _named(source.get("secret"), SECRET, at_start=at_start)


def _named(source: object, kind: str, *, at_start: bool, field: str = "name") -> Iterator[Reference]:
    if isinstance(source, Mapping) and isinstance(source.get(field), str):
        yield Reference(kind, source[field], source.get("optional") is True, at_start)


def _items(parent: _Json, field: str) -> Iterator[_Json]:
    found = parent.get(field)
    yield from (one for one in found if isinstance(one, Mapping)) if isinstance(found, list) else ()
