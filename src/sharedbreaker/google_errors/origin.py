"""Where an exception comes from: out of a Google AI SDK, or out of the caller's own code."""

from __future__ import annotations

from collections.abc import Iterator
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

GOOGLE_AI_MODULES = (
    "google.genai",
    "google.generativeai",
    "google.ai.generativelanguage",
    "google.cloud.aiplatform",
    "vertexai",
    # Whatever a guard of ours hears of came out of the SDK that it guards.
    "sharedbreaker.integrations.google",
)
"""Packages, by the beginning of their modules' names, that call Gemini and Imagen and little else."""

OTHER_GOOGLE_MODULES = ("google.cloud",)
"""Packages that raise the same exceptions for other services of Google's, such as Cloud Storage."""

GOOGLE_HOST = "googleapis.com"


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and what it was raised from, each once."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__


def names_of(error: BaseException) -> frozenset[tuple[str, str]]:
    """Return the top-level package and the name of each class that ``error`` is an instance of."""
    return frozenset(
        (str(parent.__module__).partition(".")[0], parent.__name__) for parent in type(error).__mro__
    )


def frames_of(error: BaseException) -> Iterator[FrameType]:
    """Yield the frames that ``error`` came through, the innermost last."""
    traceback = error.__traceback__
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def module_of(frame: FrameType) -> str:
    """Return the name of the module that ``frame`` runs code of."""
    return str(frame.f_globals.get("__name__", ""))


def is_from_google_ai(error: BaseException) -> bool:
    """Return whether ``error`` came out of a Google AI SDK, or of a request to a Google host.

    An exception that nobody has raised in this process, such as one from a queue, gets the benefit of the
    doubt.
    """
    if error.__traceback__ is None:
        return True
    if any(_passed_through(link, GOOGLE_AI_MODULES) for link in causes(error)):
        return True
    return asked_a_google_host(error)


def is_from_another_google_service(error: BaseException) -> bool:
    """Return whether ``error`` came out of a Google SDK that is not for AI."""
    return _passed_through(error, OTHER_GOOGLE_MODULES) and not _passed_through(error, GOOGLE_AI_MODULES)


def asked_a_google_host(error: BaseException) -> bool:
    """Return whether the request that ``error`` is about went to Google."""
    for holder in (
        _attribute(error, "request"),
        _attribute(error, "response"),
        _attribute(error, "request_info"),
        error,
    ):
        url = _attribute(holder, "url")
        if url is not None:
            try:
                host = urlsplit(str(url)).hostname or ""
            except ValueError:
                continue
            return host == GOOGLE_HOST or host.endswith(f".{GOOGLE_HOST}")
    return False


def _attribute(holder: object, name: str) -> Any:
    try:
        return getattr(holder, name, None)
    except Exception:
        # httpx raises RuntimeError where an exception has no request.
        return None


def _passed_through(error: BaseException, packages: tuple[str, ...]) -> bool:
    return any(module_of(frame).startswith(packages) for frame in frames_of(error))
