"""Parser for Kubernetes quantities such as `500m` and `1Gi`."""

from __future__ import annotations

from typing import Any

from kubernetes.utils import quantity

_parse: Any = quantity.parse_quantity  # has no types


def parse_quantity(text: object) -> float:
    """Parse a quantity to a number. Raises ValueError."""
    return float(_parse(text))
