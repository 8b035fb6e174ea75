"""Calls to Google AI through Google's own SDK, google-generativeai, as the demo app makes them."""

import base64
import os
import warnings
from dataclasses import dataclass
from types import ModuleType
from typing import Any

TEXT_MODEL = "gemini-2.5-flash"
VISION_MODEL = "gemini-2.5-flash"
IMAGEN_MODEL = "imagen-3.0-generate-002"


class GoogleAiClient:
    """Asks Google AI for texts, for descriptions of pictures and for pictures.

    ``base_url`` is the address to ask, such as that of a ``GoogleAiServer``; None: Google's own.
    ``timeout`` is how many seconds the connection may be silent before a call ends. A call is
    made once: the SDK's own retries, which go on for up to ten minutes, are switched off.

    All methods may be called from any thread, and in a process forked after the client was made.
    They raise what the SDK raises: ``google.api_core.exceptions.GoogleAPICallError`` for an error
    status, ``requests.exceptions.RequestException`` for a connection that fails or stays silent,
    ValueError for an answer that holds nothing; and ImportError if the SDK is not installed.
    """

    def __init__(self, api_key: str, base_url: str | None, timeout: float = 10.0) -> None:
        self._api_key = api_key
        self._base_url = base_url and base_url.rstrip("/")
        self._timeout = timeout
        self._connected: _ConnectedSdk | None = None

    def generate_text(self, prompt: str) -> str:
        """Return the answer to ``prompt``."""
        response = self._sdk().text_model.generate_content(prompt, request_options=self._request_options())
        return str(response.text)

    def describe_image(self, prompt: str, png: bytes) -> str:
        """Return the answer to ``prompt`` about the picture ``png``."""
        response = self._sdk().vision_model.generate_content(
            [{"mime_type": "image/png", "data": png}, prompt],
            request_options=self._request_options(),
        )
        return str(response.text)

    def generate_image(self, prompt: str) -> bytes:
        """Return a PNG of what ``prompt`` describes; ValueError if it was filtered away."""
        sdk = self._sdk()
        request = sdk.protocol.PredictRequest.pb(sdk.protocol.PredictRequest(model=f"models/{IMAGEN_MODEL}"))
        request.instances.add().struct_value.update({"prompt": prompt})
        request.parameters.struct_value.update({"sampleCount": 1})
        response = sdk.imagen.predict(sdk.protocol.PredictRequest(request), **self._request_options())
        for prediction in response.predictions:
            encoded = prediction.get("bytesBase64Encoded")
            if encoded:
                return base64.b64decode(encoded)
        raise ValueError("the answer holds no picture")

    def _request_options(self) -> dict[str, Any]:
        return {"retry": None, "timeout": self._timeout}

    def _sdk(self) -> "_ConnectedSdk":
        connected = self._connected
        # Not under a lock, which a fork could copy while it is held: threads that come here
        # first together may each connect, and all but the last use theirs for one call.
        if connected is None or connected.process != os.getpid():
            connected = _connect(self._api_key, self._base_url)
            self._connected = connected
        return connected


@dataclass(frozen=True)
class _ConnectedSdk:
    """The SDK's objects, whose sockets only the process that made them may use."""

    process: int
    protocol: ModuleType
    text_model: Any
    vision_model: Any
    imagen: Any


def _connect(api_key: str, base_url: str | None) -> _ConnectedSdk:
    generativeai, protocol, client_options = _import_sdk()
    options = client_options.ClientOptions(api_key=api_key, api_endpoint=base_url)
    generative = protocol.GenerativeServiceClient(transport="rest", client_options=options)
    text_model = generativeai.GenerativeModel(TEXT_MODEL)
    vision_model = generativeai.GenerativeModel(VISION_MODEL)
    for model in (text_model, vision_model):
        # The public way, ``configure``, is one setting for the whole process: two clients with
        # different addresses could not live side by side.
        model._client = generative  # noqa: SLF001
    return _ConnectedSdk(
        process=os.getpid(),
        protocol=protocol,
        text_model=text_model,
        vision_model=vision_model,
        imagen=protocol.PredictionServiceClient(transport="rest", client_options=options),
    )


def _import_sdk() -> tuple[Any, Any, Any]:
    with warnings.catch_warnings():
        # The package says at every import that it is at its end, and what it stands on that
        # this Python will be.
        warnings.filterwarnings("ignore", r"\s*All support for the `google\.", FutureWarning)
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"google\.")
        try:
            from google import generativeai  # noqa: PLC0415
            from google.ai import generativelanguage_v1beta as protocol  # noqa: PLC0415
            from google.api_core import client_options  # noqa: PLC0415
        except ImportError as error:
            raise ImportError(
                "google-generativeai is not installed; it comes with sharedbreaker[demo]"
            ) from error
    return generativeai, protocol, client_options
