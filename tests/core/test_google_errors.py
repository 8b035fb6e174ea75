"""Which exceptions of Google's SDKs are the service's failures, and which are the caller's."""

from __future__ import annotations

import socket
import urllib.error

import pytest
import requests
from google.api_core import exceptions as google_exceptions
from google.api_core.exceptions import GoogleAPICallError, from_grpc_status, from_http_status

from sharedbreaker.google_errors import is_google_service_failure

pytestmark = pytest.mark.sync_only("no breaker takes part")

grpc = pytest.importorskip("grpc", reason="needs grpcio, which google-generativeai brings")

FAILURES = [408, 429, 500, 502, 503, 504, 599]
CALLERS = [400, 401, 403, 404, 405, 409, 412, 413, 416, 499]


@pytest.mark.parametrize("status", FAILURES)
def test_status_of_the_services_fails(status: int) -> None:
    """A real SDK error of 5xx, 429 or 408 is a failure."""
    assert is_google_service_failure(from_http_status(status, "message"))


@pytest.mark.parametrize("status", CALLERS)
def test_status_of_the_callers_is_ignored(status: int) -> None:
    """A real SDK error of any other 4xx is the caller's."""
    assert not is_google_service_failure(from_http_status(status, "message"))


def test_not_implemented_is_the_callers() -> None:
    """501 says that what was asked for does not exist: that is no outage."""
    assert not is_google_service_failure(from_http_status(501, "message"))


@pytest.mark.parametrize(
    ("name", "fails"),
    [
        ("UNAVAILABLE", True),
        ("DEADLINE_EXCEEDED", True),
        ("RESOURCE_EXHAUSTED", True),
        ("INTERNAL", True),
        ("UNKNOWN", True),
        ("DATA_LOSS", True),
        ("INVALID_ARGUMENT", False),
        ("UNAUTHENTICATED", False),
        ("PERMISSION_DENIED", False),
        ("NOT_FOUND", False),
        ("FAILED_PRECONDITION", False),
        ("OUT_OF_RANGE", False),
        ("ALREADY_EXISTS", False),
        ("UNIMPLEMENTED", False),
        ("CANCELLED", False),
    ],
)
def test_grpc_code_decides(name: str, *, fails: bool) -> None:
    """A real SDK error over gRPC is judged by its code, also where it has no HTTP status."""
    error = from_grpc_status(grpc.StatusCode[name], "message")

    assert is_google_service_failure(error) is fails


@pytest.mark.parametrize(
    "error",
    [
        google_exceptions.ServiceUnavailable("x"),
        google_exceptions.TooManyRequests("x"),
        google_exceptions.ResourceExhausted("x"),
        google_exceptions.InternalServerError("x"),
        google_exceptions.GatewayTimeout("x"),
        google_exceptions.DeadlineExceeded("x"),
        google_exceptions.BadGateway("x"),
        google_exceptions.RetryError("x", google_exceptions.ServiceUnavailable("y")),
        google_exceptions.RetryError("x", requests.ConnectionError("y")),
        requests.ConnectionError(),
        requests.ConnectTimeout(),
        requests.ReadTimeout(),
        requests.exceptions.ChunkedEncodingError(),
        TimeoutError(),
        socket.timeout(),  # noqa: UP041
        ConnectionError(),
        ConnectionResetError(),
        ConnectionRefusedError(),
        BrokenPipeError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_outages_and_timeouts_fail(error: Exception) -> None:
    """Errors of the service, timeouts and lost connections are failures."""
    assert is_google_service_failure(error)


@pytest.mark.parametrize(
    "error",
    [
        google_exceptions.BadRequest("x"),
        google_exceptions.InvalidArgument("x"),
        google_exceptions.Unauthorized("x"),
        google_exceptions.Forbidden("x"),
        google_exceptions.PermissionDenied("x"),
        google_exceptions.NotFound("x"),
        google_exceptions.RetryError("x", google_exceptions.NotFound("y")),
        requests.exceptions.InvalidURL(),
        requests.exceptions.MissingSchema(),
        ValueError("x"),
        KeyError("x"),
        TypeError(),
        RuntimeError(),
        FileNotFoundError(),
        PermissionError(),
        ZeroDivisionError(),
        StopIteration(),
        Exception(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_the_caller_are_ignored(error: Exception) -> None:
    """Bad requests, bad keys and errors of the caller's own code are no failures."""
    assert not is_google_service_failure(error)


class APIError(Exception):
    """As google-genai has it: a number in code, a word in status."""

    __module__ = "google.genai.errors"

    def __init__(self, code: int, status: str) -> None:
        super().__init__(f"{code} {status}")
        self.code = code
        self.status = status


class APIStatusError(APIError):
    """As google-genai's interactions have it."""

    __module__ = "google.genai._interactions_errors"

    def __init__(self, status_code: int) -> None:
        Exception.__init__(self, status_code)
        self.status_code = status_code


@pytest.mark.parametrize("status", FAILURES)
def test_stand_ins_of_the_services_fail(status: int) -> None:
    """Errors of the newer SDK are known by their number, without the SDK being there."""
    assert is_google_service_failure(APIError(status, "UNAVAILABLE"))
    assert is_google_service_failure(APIStatusError(status))


@pytest.mark.parametrize("status", CALLERS)
def test_stand_ins_of_the_callers_are_ignored(status: int) -> None:
    """Errors of the newer SDK with a caller's number are ignored."""
    assert not is_google_service_failure(APIError(status, "INVALID_ARGUMENT"))
    assert not is_google_service_failure(APIStatusError(status))


@pytest.mark.parametrize("module", ["httpx", "httpx2"])
@pytest.mark.parametrize(
    ("base", "name", "fails"),
    [
        ("TimeoutException", "ReadTimeout", True),
        ("NetworkError", "ConnectError", True),
        ("RemoteProtocolError", "RemoteProtocolError", True),
        ("RequestError", "TooManyRedirects", False),
    ],
)
def test_httpx_is_known_by_its_names(module: str, base: str, name: str, *, fails: bool) -> None:
    """Timeouts and lost connections of httpx are known by their classes' names, wherever in the module."""
    parent = type(base, (Exception,), {"__module__": module})
    error: Exception = type(name, (parent,), {"__module__": f"{module}._exceptions"})("x")

    assert is_google_service_failure(error) is fails


def test_class_of_the_same_name_from_elsewhere_is_not_taken_for_it() -> None:
    """A user's own class that bears the name of a library's is the user's."""
    error: Exception = type("NetworkError", (Exception,), {"__module__": "shop.errors"})("x")

    assert not is_google_service_failure(error)


@pytest.mark.parametrize("code", [True, "503", None, 503.0, object(), lambda: 503])
def test_strange_codes_are_no_statuses(code: object) -> None:
    """A code that is no whole number never raises."""
    error = Exception("x")
    error.code = code  # type: ignore[attr-defined]

    assert is_google_service_failure(error) in {True, False}


def test_error_whose_code_cannot_be_read_never_raises() -> None:
    """A property that fails on reading does not replace the user's error."""

    class NastyError(GoogleAPICallError):  # type: ignore[misc]
        @property
        def grpc_status_code(self) -> object:
            raise AttributeError("no")

    assert is_google_service_failure(NastyError("x")) in {True, False}


GOOGLE = "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent"


def test_errors_of_http_libraries_are_googles_if_google_was_asked() -> None:
    """An HTTPError of the standard library is judged by its status, and by whom it came from."""
    for url, status, fails in (
        (GOOGLE, 503, True),
        (GOOGLE, 404, False),
        ("https://pictures.example/cat.png", 503, False),
        ("https://googleapis.com.example/cat.png", 503, False),
    ):
        error = urllib.error.HTTPError(url, status, "message", None, None)  # type: ignore[arg-type]
        assert is_google_service_failure(error) is fails
        error.close()
