"""A handle on a circuit: one and the same wherever it is copied, and bound to the process that made it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, SupportsIndex

if TYPE_CHECKING:
    from typing_extensions import Self


class Handle:
    """What leads to a circuit by its ``name``, and holds connections, locks and what is owed to Redis.

    A copy of a configuration that has one in it leads to the same circuit, and so has the same handle.
    """

    name: str

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            f"the {type(self).__name__} of circuit {self.name!r} cannot be pickled: its connections and "
            "functions are this process' own; make one of that name where it is needed, for the same circuit"
        )
