"""Where each method of google-genai goes: every one that the SDK has, from 1.75 on."""

from __future__ import annotations

from collections.abc import Mapping

from sharedbreaker.integrations.google.routes import Route

_ROUTES: Mapping[Route, Mapping[str, str]] = {
    Route.BY_PROMPT: {"models": "generate_content generate_content_stream"},
    Route.IMAGEN: {"models": "generate_images edit_image upscale_image recontext_image segment_image"},
    Route.THROUGH: {"Chat": "send_message send_message_stream"},
    Route.LOCAL: {"chats": "create", "Chat": "get_history record_history"},
    Route.UNGUARDED: {
        # Other models, with quotas of their own; what is about models; and what costs nothing.
        "models": "generate_videos embed_content count_tokens compute_tokens get list update delete",
        # Other services, some of which keep what the models work on.
        "files": "upload download get list delete register_files",
        "caches": "create get list update delete",
        "tunings": "tune get list cancel validate_reward",
        "batches": "create create_embeddings get list cancel delete",
        "operations": "get",
        "auth_tokens": "create",
        "file_search_stores": "create get list delete import_file upload_to_file_search_store download_media",
        "documents": "get list delete",
        # Conversations over a websocket, which last for as long as their users like.
        "live": "connect",
        # Another API with a client of its own.
        "interactions": "create get cancel delete connect",
        "agents": "create get list delete",
        "webhooks": "create get list update delete ping rotate_signing_secret",
        "triggers": "create get list update delete run list_executions",
        "environments": "create get list delete create_environment get_environment list_environments"
        " delete_environment",
        "credentials": "create get list update delete",
        "voices": "create get list delete",
        "decisions": "create",
    },
}

METHODS: Mapping[str, Route] = {
    f"{namespace}.{name}": route
    for route, namespaces in _ROUTES.items()
    for namespace, names in namespaces.items()
    for name in names.split()
}
"""The route of each method, of the client and of ``client.aio`` alike, as ``namespace.method``."""
