"""Just enough PNG to draw a picture with a caption, and to tell a whole one from a broken one."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_CAPTION_KEYWORD = b"Description"
_HEADER = struct.Struct(">IIBBBBB")
_EIGHT_BITS, _RED_GREEN_BLUE = 8, 2
_COLOUR_TYPES = frozenset({0, 2, 3, 4, 6})


@dataclass(frozen=True)
class Picture:
    """What a PNG says about itself: its size in pixels, and its caption if it has one."""

    width: int
    height: int
    caption: str | None = None


def draw_png(caption: str, *, number: int = 0, width: int = 128, height: int = 128) -> bytes:
    """Draw a PNG that carries ``caption``: a fade between two colours.

    The colours follow from ``caption`` and ``number``, so equal arguments give equal bytes.
    ``width`` and ``height`` are in pixels.
    """
    text = caption.encode("utf-8", "replace")
    colours = sha256(text + number.to_bytes(4, "big")).digest()
    rows = b"".join(b"\x00" + _mix(colours[:3], colours[3:6], row / height) * width for row in range(height))
    header = _HEADER.pack(width, height, _EIGHT_BITS, _RED_GREEN_BLUE, 0, 0, 0)
    return b"".join(
        (
            PNG_SIGNATURE,
            _chunk(b"IHDR", header),
            _chunk(b"iTXt", _CAPTION_KEYWORD + b"\x00\x00\x00\x00\x00" + text),
            _chunk(b"IDAT", zlib.compress(rows, level=1)),
            _chunk(b"IEND", b""),
        )
    )


def read_png(png: bytes) -> Picture:
    """Return what ``png`` says about itself.

    Raises ValueError if it is not a whole PNG: the signature, a sound header, every chunk to its
    end with the right checksum, some pixels, and the end mark. The pixels are not looked at.
    """
    if not png.startswith(PNG_SIGNATURE):
        raise ValueError("it does not begin with the PNG signature")
    chunks = list(_chunks(png))
    kind, header = chunks[0]
    if kind != b"IHDR" or len(header) != _HEADER.size:
        raise ValueError("it does not begin with an image header (IHDR)")
    width, height, _bits, colour_type, *_ = _HEADER.unpack(header)
    if width == 0 or height == 0:
        raise ValueError(f"its size is {width} x {height} pixels")
    if colour_type not in _COLOUR_TYPES:
        raise ValueError(f"it has no known colour type ({colour_type})")
    if not any(kind == b"IDAT" for kind, _ in chunks):
        raise ValueError("it has no pixels (IDAT)")
    return Picture(width, height, _caption(chunks))


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(PNG_SIGNATURE)
    kind = b""
    while kind != b"IEND":
        start = position + 8
        length = int.from_bytes(png[position : position + 4], "big")
        kind = png[position + 4 : start]
        body = png[start : start + length]
        checksum = png[start + length : start + length + 4]
        position = start + length + 4
        if position > len(png):
            raise ValueError("it ends too early")
        if int.from_bytes(checksum, "big") != zlib.crc32(kind + body):
            raise ValueError(f"the checksum of its {kind.decode('latin-1')} chunk is wrong")
        yield kind, body


def _caption(chunks: list[tuple[bytes, bytes]]) -> str | None:
    opening = _CAPTION_KEYWORD + b"\x00\x00\x00\x00\x00"
    for kind, body in chunks:
        if kind == b"iTXt" and body.startswith(opening):
            return body[len(opening) :].decode("utf-8", "replace")
    return None


def _mix(first: bytes, second: bytes, share: float) -> bytes:
    return bytes(round(a + (b - a) * share) for a, b in zip(first, second, strict=True))


def _chunk(kind: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(kind + body).to_bytes(4, "big")
    return len(body).to_bytes(4, "big") + kind + body + checksum
