"""A data class that is immutable for the type checker alone.

A frozen data class sets each field with `object.__setattr__`, which makes its creation four times as slow. The memory
is created at each evaluation, so mypy checks its classes instead of Python. They compare and hash as frozen ones do.

`replace` does what `dataclasses.replace` does. It copies a record field by field with generated code, as a data class
makes its `__init__`, so the copy of a large record with one change costs a tenth.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass as record
    from dataclasses import replace
else:
    _COPY: dict[type, Callable[[Any, dict[str, Any]], Any]] = {}
    """By class of record: returns a copy with other values for some fields."""

    def record(*, frozen: bool, slots: bool) -> Any:
        """Return the decorator of a data class. frozen: must be true."""
        assert frozen

        def decorate(cls: type) -> type:
            made = dataclasses.dataclass(slots=slots, unsafe_hash=True)(cls)
            assert not hasattr(made, "__post_init__"), "a copy would not call it"
            _COPY[made] = _compile_copy(made)
            return made

        return decorate

    def replace(known: Any, /, **changes: Any) -> Any:
        """Return a copy of a record, or of another data class, with other values for some fields."""
        copy = _COPY.get(type(known))
        return dataclasses.replace(known, **changes) if copy is None else copy(known, changes)

    def _compile_copy(cls: type) -> Callable[[Any, dict[str, Any]], Any]:
        fields = dataclasses.fields(cls)
        kept = "\n".join(f"    copy.{f.name} = {'known.' * f.init}{f.name}" for f in fields)
        source = f"""
def copy_of(known, changes):
    copy = new(cls)
{kept}
    for name, value in changes.items():
        setattr(copy, name, value)
    return copy
"""
        names: dict[str, Any] = {f.name: f.default for f in fields if not f.init}
        names |= {"cls": cls, "new": object.__new__}
        exec(source, names)  # noqa: S102 - made of the names of fields alone
        compiled: Callable[[Any, dict[str, Any]], Any] = names["copy_of"]
        return compiled


__all__ = ["record", "replace"]
