"""Puts generated blocks into a page of prose, between markers, and leaves the prose alone."""

from __future__ import annotations

import re
from collections.abc import Callable

_BLOCK = re.compile(r"(<!-- bench: (?P<name>[\w-]+) -->\n).*?(<!-- bench ends -->)", re.DOTALL)


class UnknownBlockError(ValueError):
    """The page asks for a block that nobody makes."""


def filled(page: str, make: Callable[[str], str], names: set[str]) -> str:
    """Return ``page`` with each block made anew.

    A block stands between ``<!-- bench: NAME -->`` and ``<!-- bench ends -->``.
    """

    def put(found: re.Match[str]) -> str:
        if found["name"] not in names:
            raise UnknownBlockError(
                f"no block is called {found['name']!r}; there are {', '.join(sorted(names))}"
            )
        return f"{found[1]}\n{make(found['name'])}\n\n{found[3]}"

    return _BLOCK.sub(put, page)
