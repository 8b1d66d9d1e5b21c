"""Kubernetes' quantities: `500m`, `1Gi`."""

from __future__ import annotations

from typing import Any

from kubernetes.utils import quantity

_parse: Any = quantity.parse_quantity  # has no types


def parse_quantity(text: object) -> float:
    """The number that a quantity stands for. Raises ValueError."""
    return float(_parse(text))
