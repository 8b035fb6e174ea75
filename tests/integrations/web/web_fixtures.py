"""The site behind each shell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest
from playwright.sync_api import Browser
from served_page import chromium
from web_servers import SHELLS, Call, Client

from sharedbreaker.integrations.web import BreakerSite

Serve = Callable[..., Client]


@pytest.fixture(params=list(SHELLS))
def serve(request: pytest.FixtureRequest) -> Iterator[Serve]:
    """A function that serves a site, and perhaps an endpoint that calls a function, until the end."""
    shell: Callable[[BreakerSite, Call], AbstractContextManager[Client]] = SHELLS[request.param]
    with ExitStack() as stack:
        yield lambda site, call=lambda: None: stack.enter_context(shell(site, call))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started
