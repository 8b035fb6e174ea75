"""What frameworks see of ``AsyncCircuitBreaker.call`` before they call it."""

from __future__ import annotations

import asyncio
import sys
from inspect import iscoroutinefunction

from sharedbreaker import AsyncCircuitBreaker


def test_call_is_a_coroutine_function_to_those_who_ask() -> None:
    """A framework that runs plain functions in a thread awaits it instead."""
    breaker = AsyncCircuitBreaker(name="seen")
    is_coroutine_function = (
        iscoroutinefunction if sys.version_info >= (3, 12) else asyncio.iscoroutinefunction
    )

    assert is_coroutine_function(breaker.call)
