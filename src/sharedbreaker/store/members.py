"""Who is there: objects that belong together, for as long as somebody else keeps them."""

from __future__ import annotations

from typing import Generic, TypeVar
from weakref import ReferenceType, ref

T = TypeVar("T")


class Members(Generic[T]):
    """Objects that are forgotten when they go. Any thread may add one while another lists them."""

    def __init__(self) -> None:
        # Copying a dict's values is one step; iterating over a WeakSet is not.
        self._references: dict[int, ReferenceType[T]] = {}

    def add(self, member: T) -> None:
        """Add one, and keep no reference to it."""
        key = id(member)
        self._references[key] = ref(member, lambda _: self._references.pop(key, None))

    def alive(self) -> list[T]:
        """Return those that are there."""
        references = list(self._references.values())
        return [member for reference in references if (member := reference()) is not None]
