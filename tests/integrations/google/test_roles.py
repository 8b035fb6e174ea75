"""Which service a prompt is for, in every form that the SDKs take one."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image
from ways import HAS_GENAI, HAS_GENERATIVEAI, protocol

from sharedbreaker.integrations.google.roles import Role, role_of

PICTURE = Image.new("RGB", (2, 2))
BLOB = {"mime_type": "image/png", "data": b"png"}
JPEG = io.BytesIO()
PICTURE.save(JPEG, "jpeg")

PLAIN: dict[str, tuple[Any, bool]] = {
    "words": ("what is image/png?", False),
    "nothing": (None, False),
    "words in a list": (["a", "b"], False),
    "content": ({"role": "user", "parts": ["hi"]}, False),
    "parts": ({"parts": [{"text": "hi"}, {"text": "you"}]}, False),
    "a PDF": ({"mime_type": "application/pdf", "data": b"x"}, False),
    "sound": ([{"mime_type": "audio/mpeg", "data": b"x"}], False),
    "a picture": (PICTURE, True),
    "a picture of a subclass": (["what?", Image.open(JPEG)], True),
    "a blob": (["what?", BLOB], True),
    "a blob in capitals": ({"mime_type": "IMAGE/PNG", "data": b"x"}, True),
    "a video": ({"mime_type": "video/mp4", "data": b"x"}, True),
    "inline data": ({"parts": [{"inline_data": BLOB}]}, True),
    "inlineData": ([{"parts": [{"inlineData": {"mimeType": "image/png", "data": "eA=="}}]}], True),
    "a file by its type": ({"file_data": {"mime_type": "image/png", "file_uri": "gs://b/o"}}, True),
    "a file by its name": ({"fileData": {"fileUri": "https://pictures.example/cat.jpeg"}}, True),
    "a file of text": ({"file_data": {"file_uri": "gs://b/o.txt"}}, False),
    "a picture earlier on": ([{"parts": [BLOB]}, {"parts": ["and now?"]}], True),
}

if HAS_GENAI:
    from google.genai import types

    PART = types.Part.from_bytes(data=b"x", mime_type="image/png")
    PLAIN |= {
        "genai words": (types.Part.from_text(text="hi"), False),
        "genai part": (PART, True),
        "genai content": (types.Content(role="user", parts=[types.Part(text="hi"), PART]), True),
        "genai content of words": ([types.UserContent("hi")], False),
        "genai uri": (types.Part.from_uri(file_uri="gs://b/o", mime_type="image/jpeg"), True),
        "genai file": (["what?", types.File(uri="https://x/files/1", mime_type="image/png")], True),
        "genai file of sound": (["what?", types.File(uri="https://x/files/1", mime_type="audio/wav")], False),
    }

if HAS_GENERATIVEAI:
    glm = protocol()
    PLAIN |= {
        "glm part": (glm.Part(inline_data=glm.Blob(mime_type="image/png", data=b"x")), True),
        "glm words": (glm.Part(text="hi"), False),
        "glm content": (
            [glm.Content(parts=[glm.Part(file_data=glm.FileData(mime_type="image/png", file_uri="x"))])],
            True,
        ),
        "glm content of words": (glm.Content(role="user", parts=[glm.Part(text="hi")]), False),
        "glm file": (glm.File(mime_type="image/png", uri="x"), True),
    }


@pytest.mark.parametrize(("contents", "is_seen"), PLAIN.values(), ids=PLAIN)
def test_a_prompt_with_a_picture_is_for_vision(contents: Any, *, is_seen: bool) -> None:
    """Whatever form it has."""
    assert role_of("gemini-2.5-flash", contents) is (Role.VISION if is_seen else Role.TEXT)


@pytest.mark.parametrize(
    ("model", "role"),
    [
        ("gemini-2.5-flash-image", Role.IMAGEN),
        ("models/gemini-3-pro-image-preview", Role.IMAGEN),
        ("publishers/google/models/imagen-4.0-generate-001", Role.IMAGEN),
        ("nano-banana-pro-preview", Role.IMAGEN),
        ("gemini-2.5-flash", Role.TEXT),
        ("projects/images/locations/x/models/gemini-2.5-pro", Role.TEXT),
        (None, Role.TEXT),
    ],
)
def test_a_model_that_draws_is_imagen(model: Any, role: Role) -> None:
    """Known by its own name, not by where it is."""
    assert role_of(model, "a cat") is role


def test_a_picture_that_is_asked_for_is_imagen() -> None:
    """Whichever model is to draw it."""
    assert role_of("tunedModels/7", "a cat", ["TEXT", "IMAGE"]) is Role.IMAGEN
    assert role_of("tunedModels/7", "a cat", ["TEXT"]) is Role.TEXT
    if HAS_GENAI:
        assert role_of("tunedModels/7", "a cat", [types.Modality.IMAGE]) is Role.IMAGEN
