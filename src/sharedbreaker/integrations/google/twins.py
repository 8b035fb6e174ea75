"""Objects that are an SDK's own, but for what a guard changes."""

from __future__ import annotations

from typing import Any

_MARK = "_guarded_by_sharedbreaker"


def twin_of(original: Any, **members: Any) -> Any:
    """Return an object that is and has all that ``original`` is and has, but for ``members`` of its class."""
    parent = type(original)
    changed = {
        "__module__": parent.__module__,
        "__qualname__": parent.__qualname__,
        "__doc__": parent.__doc__,
        _MARK: True,
        **members,
    }
    if hasattr(parent, "__del__"):
        # The original closes the connections of both when it goes, and not before the twin does.
        changed["__del__"] = lambda _: None
    twin: Any = object.__new__(type(parent.__name__, (parent,), changed))
    twin.__dict__ = original.__dict__
    _keep(twin, original)
    return twin


def is_twin(thing: object) -> bool:
    """Return whether ``thing`` is guarded already."""
    return getattr(type(thing), _MARK, False)


def refuse_twin(thing: object) -> None:
    """Raise TypeError where ``thing`` is guarded already: its calls would count twice."""
    if is_twin(thing):
        raise TypeError(f"this {type(thing).__name__} is guarded already; guard the one that it was made of")


def classes_of(thing: object) -> set[tuple[str, str]]:
    """Return module and name of each class that ``thing`` is an instance of."""
    return {(parent.__module__, parent.__name__) for parent in type(thing).__mro__}


def _keep(twin: Any, original: Any) -> None:
    # On the class, as the twin shares its own attributes with the original.
    type(twin)._sharedbreaker_original = original  # noqa: SLF001
