"""Where a guard sends an SDK's method: the vocabulary of the tables in the two integrations."""

from __future__ import annotations

from enum import Enum


class Route(str, Enum):
    """What a guard does with a method of an SDK."""

    BY_PROMPT = "by prompt"
    """Guarded as Imagen if an image is asked for, as vision if the prompt has one, else as text."""
    IMAGEN = "imagen"
    """Guarded as Imagen."""
    THROUGH = "through"
    """Not guarded itself: it calls a method that is."""
    UNGUARDED = "unguarded"
    """Calls Google, and is none of the three services: an open circuit must not stop it, nor it open one."""
    LOCAL = "local"
    """Calls nobody."""

    __str__ = str.__str__
