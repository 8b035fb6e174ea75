"""The tables of methods know every method that the SDKs have: a new one does not slip past."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from typing import Any

from ways import HAS_GENAI, HAS_GENERATIVEAI, generativeai, protocol

from sharedbreaker.integrations import google_genai, google_generativeai
from sharedbreaker.integrations.google.routes import Route

# What every object of an API that is generated has, and what sends anything anywhere.
PLUMBING = {"do_request", "do_request_async", "T"}


def public_methods(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")} - PLUMBING


if HAS_GENAI:
    from google import genai

    def namespaces(client: Any) -> Iterator[tuple[str, Any]]:
        for name, member in inspect.getmembers(type(client)):
            if isinstance(member, property) and not name.startswith("_") and name not in {"aio", "vertexai"}:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # some are experimental, and say so
                    yield name, getattr(client, name)

    def all_methods() -> set[str]:
        client = genai.Client(api_key="key")
        found = set()
        for root in (client, client.aio):
            for name, namespace in [
                *namespaces(root),
                ("documents", root.file_search_stores.documents),
                ("Chat", root.chats.create(model="m")),
            ]:
                found |= {f"{name}.{method}" for method in public_methods(type(namespace))}
        return found

    def test_every_method_of_google_genai_has_a_route() -> None:
        """A method that the table does not know is one that a guard would let slip past."""
        assert sorted(all_methods() - google_genai.METHODS.keys()) == []

    def test_every_guarded_method_of_google_genai_is_there() -> None:
        """The table guards nothing that the SDK does not have."""
        guarded = {name for name, route in google_genai.METHODS.items() if route is not Route.UNGUARDED}

        assert sorted(guarded - all_methods()) == []


if HAS_GENERATIVEAI:

    def all_of_generativeai() -> set[str]:
        package = generativeai()
        found = {
            name
            for name, member in vars(package).items()
            if inspect.isfunction(member) and not name.startswith("_")
        }
        for kind in (package.GenerativeModel, package.ChatSession):
            found |= {f"{kind.__name__}.{name}" for name in public_methods(kind)}
        glm = protocol()
        for kind in (glm.PredictionServiceClient, glm.PredictionServiceAsyncClient):
            found |= {
                f"{kind.__name__}.{name}"
                for name, member in inspect.getmembers(kind, inspect.isfunction)
                if not name.startswith("_") and "timeout" in inspect.signature(member).parameters
            }
        return found

    def test_every_method_of_google_generativeai_has_a_route() -> None:
        """The table is all of the package's functions and of its classes' methods."""
        assert sorted(all_of_generativeai() ^ google_generativeai.METHODS.keys()) == []
