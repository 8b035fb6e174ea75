"""The classes that tell how a call ended, each as its top-level package and its name."""

from __future__ import annotations

API_ERRORS = frozenset(
    {
        ("google", "GoogleAPICallError"),
        ("google", "APIError"),
        ("google", "GenAiError"),
        ("grpc", "RpcError"),
    }
)
"""What an SDK makes of an answer that is an error."""

HTTP_ERRORS = frozenset(
    {
        ("requests", "HTTPError"),
        ("httpx", "HTTPStatusError"),
        ("httpx2", "HTTPStatusError"),
        ("aiohttp", "ClientResponseError"),
        ("urllib", "HTTPError"),
    }
)
"""What HTTP libraries make of one: Google's only if Google was asked."""

ANSWERS_WITHOUT_CONTENT = frozenset(
    {("google", "BlockedPromptException"), ("google", "StopCandidateException")}
)
"""The service answered, and what it answered is that it will not."""

MISUSES = frozenset(
    {
        ("google", "BrokenResponseError"),
        ("google", "IncompleteIterationError"),
        # The caller's own pool of connections is used up.
        ("httpx", "PoolTimeout"),
        ("httpx2", "PoolTimeout"),
    }
)

LOST_CONNECTIONS = frozenset(
    {
        ("builtins", "ConnectionError"),
        ("builtins", "TimeoutError"),
        ("asyncio", "TimeoutError"),  # a class of its own before Python 3.11
        ("socket", "timeout"),
        ("ssl", "SSLError"),
        ("requests", "ConnectionError"),
        ("requests", "Timeout"),
        ("requests", "ChunkedEncodingError"),
        ("urllib3", "TimeoutError"),
        ("urllib3", "ProtocolError"),
        ("httpx", "TimeoutException"),
        ("httpx", "NetworkError"),
        ("httpx", "RemoteProtocolError"),
        ("httpx2", "TimeoutException"),
        ("httpx2", "NetworkError"),
        ("httpx2", "RemoteProtocolError"),
        ("aiohttp", "ClientConnectionError"),
        ("aiohttp", "ClientPayloadError"),
        ("google", "TransportError"),
        ("google", "APIConnectionError"),
        ("google", "NoResponseError"),
    }
)
"""A connection that could not be made or did not last."""

BROKEN_ANSWERS = frozenset(
    {
        ("json", "JSONDecodeError"),
        ("google", "ParseError"),
        ("google", "UnknownApiResponseError"),
        ("google", "APIResponseValidationError"),
        ("google", "ResponseValidationError"),
    }
)
"""An answer that is not what the protocol says it is."""
