"""Where Redis is, for whoever does not say so."""

from __future__ import annotations

import os

URL_VARIABLES = ("SHAREDBREAKER_REDIS_URL", "REDIS_URL")
DEFAULT_URL = "redis://localhost:6379/0"


def url_from_environment() -> tuple[str, str]:
    """Return a URL, and the name of what it came from: a variable, else the setting that nobody gave."""
    for variable in URL_VARIABLES:
        url = os.environ.get(variable, "").strip()
        if url:
            return url, variable
    return DEFAULT_URL, "redis"
