"""What the SDKs do by themselves, as docs/google-ai.md tells it."""

from __future__ import annotations

import inspect
import re

from outcome_docs import PAGE
from ways import HAS_GENAI, HAS_GENERATIVEAI, generativeai, protocol, rest_client

from sharedbreaker.integrations import google_genai, google_generativeai

ROWS = {
    cells[1]: cells
    for line in PAGE.read_text().splitlines()
    if len(cells := [cell.strip() for cell in line.split("|")]) == 5
}


def test_the_docs_name_the_guards_timeouts() -> None:
    """The column of guards says what their default is."""
    for package, module in (("google-generativeai", google_generativeai), ("google-genai", google_genai)):
        default = inspect.signature(module.guard).parameters["timeout"].default
        assert f"{default:.0f} s" in ROWS[f"{package}, timeout"][3]


if HAS_GENAI:
    from google import genai
    from google.genai import _api_client, types

    def test_google_genai_waits_for_ever_and_tries_once_or_five_times() -> None:
        """It has no timeout and no retries, and five tries where retries are asked for."""
        with genai.Client(api_key="key") as client:
            options = client._api_client._http_options
        assert options.timeout is None
        assert options.retry_options is None
        assert _api_client.retry_args(None)["stop"].max_attempt_number == 1
        assert _api_client.retry_args(types.HttpRetryOptions())["stop"].max_attempt_number == 5
        assert "five times" in ROWS["google-genai, tries"][2]
        assert "none" in ROWS["google-genai, timeout"][2]


if HAS_GENERATIVEAI:
    from addresses import nobody

    def test_google_generativeai_tries_for_ten_minutes() -> None:
        """Its default Retry goes on for 600 s whatever a request's timeout is; RequestOptions has none."""
        client = rest_client(protocol().GenerativeServiceClient, nobody())
        for method in (client.transport.generate_content, client.transport.stream_generate_content):
            retry = client.transport._wrapped_methods[method]._retry
            assert retry._timeout == 600
        assert dict(generativeai().types.RequestOptions()) == {"retry": None, "timeout": None}
        assert re.search(r"for up to 600 s", ROWS["google-generativeai, tries"][2])
