"""What mypy and pyright see of guarded callables; `make lint` has both read it, and nobody runs it.

Each kind keeps its type. An error that a checker must find is marked as ignored: a mark that is not needed is
an error itself.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

from typing_extensions import assert_type

from sharedbreaker import AsyncCircuitBreaker, CircuitBreaker, circuit_breaker

breaker = CircuitBreaker()
async_breaker = AsyncCircuitBreaker()


@circuit_breaker(breaker)
def ask(prompt: str, *, times: int = 1) -> str:
    return prompt * times


@circuit_breaker(breaker)
def stream(prompt: str) -> Iterator[str]:
    yield prompt


@circuit_breaker(breaker)
def talk(prompt: str) -> Generator[str, int, bytes]:
    yield prompt
    return b""


@circuit_breaker(breaker)
@contextmanager
def session(name: str) -> Generator[int, None, None]:
    yield len(name)


@circuit_breaker(async_breaker)
async def ask_async(prompt: str, *, times: int = 1) -> str:
    return prompt * times


@circuit_breaker(async_breaker)
async def stream_async(prompt: str) -> AsyncIterator[str]:
    yield prompt


@circuit_breaker(async_breaker)
async def talk_async(prompt: str) -> AsyncGenerator[str, int]:
    yield prompt


@circuit_breaker(async_breaker)
@asynccontextmanager
async def session_async(name: str) -> AsyncGenerator[int, None]:
    yield len(name)


class Client:
    @circuit_breaker(breaker)
    def ask(self, prompt: str) -> str:
        return prompt

    @circuit_breaker(async_breaker)
    async def ask_async(self, prompt: str) -> str:
        return prompt

    @circuit_breaker(async_breaker)
    async def stream_async(self, prompt: str) -> AsyncIterator[str]:
        yield prompt

    def __call__(self, prompt: str) -> bytes:
        return prompt.encode()


def decorated(client: Client) -> None:
    assert_type(ask("why", times=2), str)
    assert_type(stream("why"), Iterator[str])
    assert_type(talk("why"), Generator[str, int, bytes])
    assert_type(talk("why").send(1), str)
    assert_type(client.ask("why"), str)
    assert_type(circuit_breaker(breaker)(client)("why"), bytes)
    assert_type(circuit_breaker(breaker)(partial(ask, "why"))(times=2), str)
    with session("gemini") as length:
        assert_type(length, int)


async def decorated_async(client: Client) -> None:
    assert_type(await ask_async("why", times=2), str)
    assert_type(stream_async("why"), AsyncIterator[str])
    assert_type(talk_async("why"), AsyncGenerator[str, int])
    assert_type(await client.ask_async("why"), str)
    async for piece in client.stream_async("why"):
        assert_type(piece, str)
    async with session_async("gemini") as length:
        assert_type(length, int)


def called(client: Client) -> None:
    assert_type(breaker.call(ask, "why", times=2), str)
    assert_type(breaker.call(stream, "why"), Iterator[str])
    assert_type(breaker.call(talk, "why"), Generator[str, int, bytes])
    assert_type(breaker.call(client.ask, "why"), str)
    assert_type(breaker.call(client, "why"), bytes)
    with breaker.call(session, "gemini") as length:
        assert_type(length, int)


async def called_async(client: Client) -> None:
    assert_type(await async_breaker.call(ask_async, "why", times=2), str)
    assert_type(async_breaker.call(stream_async, "why"), AsyncIterator[str])
    assert_type(async_breaker.call(talk_async, "why"), AsyncGenerator[str, int])
    assert_type(await async_breaker.call(client.ask_async, "why"), str)
    async with async_breaker.call(session_async, "gemini") as length:
        assert_type(length, int)


async def refused() -> None:
    ask(1)  # type: ignore[arg-type]
    ask("why", 2)  # type: ignore[call-arg]
    stream(1)  # type: ignore[arg-type]
    session(1)  # type: ignore[arg-type]
    breaker.call(ask, 1)  # type: ignore[call-overload]
    breaker.call(ask, "why", time=2)  # type: ignore[call-arg]
    await ask_async(1)  # type: ignore[arg-type]
    stream_async(1)  # type: ignore[arg-type]
    await async_breaker.call(ask_async, 1)  # type: ignore[call-overload]
    circuit_breaker(async_breaker)(ask)  # type: ignore[arg-type]
    circuit_breaker(async_breaker)(stream)  # type: ignore[arg-type]
    circuit_breaker(async_breaker)(session)  # type: ignore[arg-type]
    circuit_breaker("breaker")  # type: ignore[call-overload]
