"""`sharedbreaker serve` and a real Chromium that looks at it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, BrowserContext, Locator, Page, sync_playwright

CHROMIUM_VARIABLE = "SHAREDBREAKER_CHROMIUM"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--force-color-profile=srgb",
)


def find_chromium() -> str:
    wanted = [os.environ.get(CHROMIUM_VARIABLE), *map(shutil.which, CHROMIUM_NAMES)]
    path = next(filter(None, wanted), None)
    if path is None:
        raise RuntimeError(f"no Chromium on PATH: install one, or name its path in {CHROMIUM_VARIABLE}")
    return path


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), headless=True, args=list(ARGUMENTS)
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def served(redis_url: str, *arguments: str, token: str | None = None) -> Iterator[str]:
    """Run `sharedbreaker serve` on a free port; give its address."""
    environment = {name: value for name, value in os.environ.items() if name != "SHAREDBREAKER_WEB_TOKEN"}
    if token is not None:
        environment["SHAREDBREAKER_WEB_TOKEN"] = token
    command = [
        sys.executable,
        "-m",
        "sharedbreaker",
        "serve",
        "--redis",
        redis_url,
        "--port",
        "0",
        *arguments,
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        try:
            line = process.stderr.readline()
            found = re.search(r"http://\S+", line)
            assert found, line
            yield found[0]
        finally:
            process.terminate()
            status = process.wait(10)
    assert status == 0, f"serve ended with {status}"


@contextmanager
def page_on(
    browser: Browser,
    address: str,
    *,
    width: int = 1180,
    height: int = 900,
    dark: bool = False,
    scale: float = 1,
) -> Iterator[Page]:
    """Give the page at ``address``; afterwards see to it that the browser had nothing to complain of."""
    context: BrowserContext = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        device_scale_factor=scale,
        locale="en-GB",
        timezone_id="UTC",
    )
    try:
        page = context.new_page()
        page.set_default_timeout(15_000)
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.add_init_script(
            "document.addEventListener('securitypolicyviolation', "
            "e => console.error('CSP: ' + e.violatedDirective + ' ' + e.blockedURI))"
        )
        page.goto(address)
        yield page
    finally:
        context.close()
    # A refused act is told to the console by the browser itself, and so is a server that is gone.
    unexpected = [text for text in complaints if "the server responded with a status of 401" not in text]
    assert not unexpected, unexpected


def card(page: Page, name: str = "orders") -> Locator:
    return page.locator(f'[data-name="{name}"]')


def state(page: Page, name: str = "orders") -> Locator:
    return card(page, name).locator(".state")
