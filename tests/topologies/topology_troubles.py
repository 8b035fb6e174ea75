"""Troubles of a server that runs and answers, but not as it should."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from unittest import mock

from redis import Redis
from redis.exceptions import RedisError, ResponseError
from topology_lifecycle import wait_until

from sharedbreaker.demo.redis_server import RedisServer

KEYS_THAT_LOAD_SLOWLY = 2500
SERVER_OPTIONS = (
    *("--busy-reply-threshold", "10", "--maxmemory-policy", "noeviction"),
    # Loading takes half a millisecond for each key, and answers every kilobyte that it is loading.
    *("--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024"),
)


@contextmanager
def out_of_memory(server: RedisServer, admin: Redis) -> Iterator[None]:
    admin.config_set("maxmemory", 1)
    try:
        yield
    finally:
        admin.config_set("maxmemory", 0)


@contextmanager
def busy_in_a_script(server: RedisServer, admin: Redis) -> Iterator[None]:
    def run_forever() -> None:
        with suppress(RedisError):
            client.eval("while true do end", 0)

    def is_busy() -> bool:
        try:
            return not admin.ping()
        except ResponseError as error:
            return str(error).startswith("BUSY")

    def is_killed() -> bool:
        with suppress(RedisError):
            admin.script_kill()
        return not is_busy()

    client = server.client()
    thread = threading.Thread(target=run_forever, daemon=True)
    thread.start()
    try:
        wait_until(is_busy, "the server is busy")
        yield
    finally:
        wait_until(is_killed, "the script is killed")
        thread.join()
        client.close()


@contextmanager
def at_maxclients(server: RedisServer, admin: Redis) -> Iterator[None]:
    before = admin.config_get("maxclients")["maxclients"]
    admin.config_set("maxclients", 1)
    admin.client_kill_filter(_type="normal", skipme=True)
    try:
        yield
    finally:
        admin.config_set("maxclients", str(before))


@contextmanager
def not_saving(server: RedisServer, admin: Redis) -> Iterator[None]:
    """MISCONF: the server is to save and cannot, since a directory stands where its file should be."""
    target = server.directory / "dump.rdb"
    target.mkdir()
    admin.config_set("save", "3600 1")
    try:
        with suppress(RedisError):
            admin.bgsave()
        wait_until(lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "err", "saving fails")
        yield
    finally:
        target.rmdir()
        admin.config_set("save", "")
        admin.bgsave()
        wait_until(lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "ok", "saving succeeds")
        target.unlink()


@contextmanager
def loading(server: RedisServer, admin: Redis) -> Iterator[None]:
    """The server is restarted with its data, and takes more than a second to load them."""
    admin.eval(
        f"for n = 1, {KEYS_THAT_LOAD_SLOWLY} do redis.call('SET', 'filler:' .. n, string.rep('x', 64)) end", 0
    )
    admin.save()
    server.kill()
    with mock.patch("sharedbreaker.demo.redis_server._answers", _answers_or_loads):
        server.start()
    try:
        yield
    finally:
        wait_until(lambda: _answers(admin), "all is loaded")
        (server.directory / "dump.rdb").unlink()
        admin.eval("for n = 1, ARGV[1] do redis.call('DEL', 'filler:' .. n) end", 0, KEYS_THAT_LOAD_SLOWLY)


def _answers(admin: Redis) -> bool:
    with suppress(RedisError):
        return bool(admin.ping())
    return False


def _answers_or_loads(admin: Redis, pid: int) -> bool:
    try:
        return bool(admin.ping())
    except RedisError as error:
        return "loading" in str(error).lower()
