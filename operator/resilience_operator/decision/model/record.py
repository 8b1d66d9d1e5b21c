"""A data class that is immutable for the type checker alone.

A frozen data class sets each field with `object.__setattr__`, which makes its creation four times as slow. The memory
is created at each evaluation, so mypy checks its classes instead of Python. They compare and hash as frozen ones do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:
    from dataclasses import dataclass

    def record(*, frozen: bool, slots: bool) -> Any:
        """Return the decorator of a data class. frozen: must be true."""
        assert frozen
        return dataclass(slots=slots, unsafe_hash=True)


__all__ = ["record"]
