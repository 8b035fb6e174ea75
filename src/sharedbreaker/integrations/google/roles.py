"""Which of the three services a call is for: read from the model's name and the prompt."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Mapping
from enum import Enum


class Role(str, Enum):
    """One of the three services, each of which can fail on its own."""

    TEXT = "text"
    VISION = "vision"
    IMAGEN = "imagen"

    __str__ = str.__str__


LOOKED_AT = ("image/", "video/")
"""Kinds of content, by the beginning of their MIME types, that make a prompt one for vision."""

PART_KEYS = ("parts", "inline_data", "inlineData", "file_data", "fileData")


def role_of(model: object, contents: object, modalities: Iterable[object] = ()) -> Role:
    """Return which service answers a prompt.

    Args:
        model: the model's name, with or without what stands before its last slash.
        contents: the prompt in any form that either SDK takes; no iterator, which would be used up.
        modalities: what the answer is to consist of, such as ``["TEXT", "IMAGE"]``.

    """
    if draws(model) or any(_is_image(modality) for modality in modalities):
        return Role.IMAGEN
    return Role.VISION if has_picture(contents) else Role.TEXT


def draws(model: object) -> bool:
    """Return whether a model of this name generates images."""
    name = str(model).rpartition("/")[2].lower()
    return "image" in name or "nano-banana" in name


def has_picture(contents: object) -> bool:
    """Return whether a prompt, its history included, has an image or a video in it."""
    if contents is None or isinstance(contents, (str, bytes)):
        return False
    if isinstance(contents, Mapping):
        return _is_looked_at(
            contents.get("mime_type") or contents.get("mimeType"),
            contents.get("file_uri") or contents.get("fileUri") or contents.get("uri"),
        ) or any(has_picture(contents.get(key)) for key in PART_KEYS)
    if isinstance(contents, (list, tuple)):
        return any(has_picture(entry) for entry in contents)
    if any(_is_image_class(parent) for parent in type(contents).__mro__):
        return True
    if _is_looked_at(_of(contents, "mime_type"), _of(contents, "file_uri") or _of(contents, "uri")):
        return True
    parts = _of(contents, "parts")
    return (
        (isinstance(parts, Iterable) and any(has_picture(part) for part in parts))
        or has_picture(_of(contents, "inline_data"))
        or has_picture(_of(contents, "file_data"))
    )


def _of(holder: object, name: str) -> object:
    return getattr(holder, name, None)


def _is_looked_at(mime_type: object, address: object) -> bool:
    if not mime_type and isinstance(address, str):
        mime_type = mimetypes.guess_type(address)[0]
    return isinstance(mime_type, str) and mime_type.lower().startswith(LOOKED_AT)


def _is_image_class(parent: type) -> bool:
    return parent.__name__ == "Image" and parent.__module__.partition(".")[0] in {"PIL", "IPython"}


def _is_image(modality: object) -> bool:
    return str(getattr(modality, "value", modality)).upper() == "IMAGE"
