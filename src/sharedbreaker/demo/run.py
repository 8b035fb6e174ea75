"""The demo from its first process to the last: what is started here is stopped here, whatever happens."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from sharedbreaker.circuit.errors import StoreError
from sharedbreaker.demo.app_environment import AppEnvironment
from sharedbreaker.demo.circuits import Circuits
from sharedbreaker.demo.evidence import collect
from sharedbreaker.demo.google_ai_server import GoogleAiServer
from sharedbreaker.demo.google_ai_server.control_api import CONTROL_PATH
from sharedbreaker.demo.guarded_apis import GUARDED_APIS, VISION
from sharedbreaker.demo.gunicorn_server import EVENT_LOOPS, THREADS, GunicornServer
from sharedbreaker.demo.interruption import Interrupted, Interruption
from sharedbreaker.demo.redis_choice import ChosenRedis, start_redis, use_redis
from sharedbreaker.demo.redis_client import redis_cli
from sharedbreaker.demo.screen import Screen
from sharedbreaker.demo.sdk import Sdk
from sharedbreaker.demo.setup_error import DemoSetupError
from sharedbreaker.demo.story import Story, Timetable
from sharedbreaker.demo.traffic import Traffic
from sharedbreaker.demo.verdict import judge
from sharedbreaker.demo.verdict_report import draw_verdict, verdict_as_json

FAILURE_THRESHOLD = 5
SUCCESS_THRESHOLD = 2
CLIENTS_LEAVE_SECONDS = 2.0
OTHER_ENDPOINTS = ("/api/circuit-breakers/metrics", "/metrics", "/api/health")


@dataclass(frozen=True)
class DemoOptions:
    """What ``sharedbreaker demo`` was asked for. Its help says what each means."""

    redis_url: str | None
    workers: int
    port: int
    seconds: float
    keep: bool
    as_json: bool
    sdk: Sdk = Sdk.GENERATIVEAI
    on_event_loops: bool = False


def run_demo(options: DemoOptions, interruption: Interruption) -> int:
    """Run the demo and return its exit status: 0, 1 for a failed check, or 128 and the signal that ended it.

    Raises DemoSetupError or NoRedisServerError where it cannot be set up.
    """
    screen = Screen(on_stderr=options.as_json)
    try:
        with ExitStack() as stack:
            try:
                return _Demo(options, screen, interruption).run(stack)
            except Interrupted as interrupted:
                screen.note(f"Ended by {interrupted}; stopping what the demo started.")
                raise
    except Interrupted as interrupted:
        return interrupted.exit_status
    except StoreError as error:
        raise DemoSetupError(f"Redis went away in the middle of the demo: {error}") from error


class _Demo:
    def __init__(self, options: DemoOptions, screen: Screen, interruption: Interruption) -> None:
        self._options = options
        self._screen = screen
        self._interruption = interruption
        self._timetable = Timetable(options.seconds)

    def run(self, stack: ExitStack) -> int:
        # Redis first: it ends with the thread that starts it, and is best started before there are others.
        self._interruption.wait(0)
        redis = self._choose_redis(stack)
        self._screen.note(f"Redis      {redis.address}, {redis.version}, {redis.where}")
        google_ai = stack.enter_context(GoogleAiServer())
        for api in GUARDED_APIS:
            google_ai.behave(api.upstream, api.healthy)
        self._screen.note(f"Google AI  {google_ai.url}, a server in this process")
        app = stack.enter_context(self._app(redis, google_ai))
        kind = "uvicorn" if self._options.on_event_loops else "gunicorn"
        self._screen.note(
            f"App        {app.url}, with {self._options.sdk.value}; starting {app.workers} {kind} workers ..."
        )
        workers = app.start(self._interruption.wait)
        self._screen.note(f"Workers    {', '.join(workers)} (process ids)")
        open_timeout = self._timetable.open_timeout
        self._screen.note(
            f"Times are short, so that you need not wait: a circuit stays open for {open_timeout:g} s, "
            f"Imagen's for {2 * open_timeout:g} s. In earnest it would be a minute or so.\n"
        )
        traffic = Traffic(app.url, GUARDED_APIS)
        stack.callback(traffic.end, CLIENTS_LEAVE_SECONDS)
        circuits = Circuits(redis.url, redis.prefix)
        story = Story(
            timetable=self._timetable,
            google_ai=google_ai,
            circuits=circuits,
            traffic=traffic,
            workers=workers,
            screen=self._screen,
            interruption=self._interruption,
        )
        story.play()
        seconds = self._screen.seconds
        accounts = collect(circuits, traffic, google_ai)
        verdict = judge(accounts)
        if self._options.as_json:
            demo = self._as_json(redis, app, google_ai, workers, seconds)
            json.dump(verdict_as_json(verdict, accounts, demo), sys.stdout, indent=2)
            sys.stdout.write("\n")
            sys.stdout.flush()
        else:
            self._screen.print(draw_verdict(verdict, accounts))
        if not verdict.passed:
            self._screen.note(f"\nThe end of gunicorn's log:\n{app.end_of_log()}", "dim")
        if self._options.keep:
            self._tell_addresses(redis, app, google_ai)
            self._interruption.wait(None)
        return 0 if verdict.passed else 1

    def _choose_redis(self, stack: ExitStack) -> ChosenRedis:
        if self._options.redis_url is None:
            return start_redis(stack)
        return use_redis(self._options.redis_url, stack, self._screen, keep=self._options.keep)

    def _app(self, redis: ChosenRedis, google_ai: GoogleAiServer) -> GunicornServer:
        environment = AppEnvironment(redis.url, redis.prefix, google_ai.url, "demo", self._options.sdk)
        breaker_settings = {
            "SHAREDBREAKER_ENABLED": "true",
            "SHAREDBREAKER_FAILURE_THRESHOLD": str(FAILURE_THRESHOLD),
            "SHAREDBREAKER_SUCCESS_THRESHOLD": str(SUCCESS_THRESHOLD),
            "SHAREDBREAKER_TIMEOUT": str(self._timetable.open_timeout),
        }
        stack = EVENT_LOOPS if self._options.on_event_loops else THREADS
        return GunicornServer(environment, breaker_settings, self._options.workers, self._options.port, stack)

    def _as_json(
        self,
        redis: ChosenRedis,
        app: GunicornServer,
        google_ai: GoogleAiServer,
        workers: list[str],
        seconds: float,
    ) -> dict[str, Any]:
        return {
            "seconds": round(seconds, 3),
            "open_timeout_seconds": self._timetable.open_timeout,
            "workers": workers,
            "sdk": self._options.sdk.value,
            "async": self._options.on_event_loops,
            "app": app.url,
            "google_ai": google_ai.url,
            "redis": {
                "address": redis.address,
                "version": redis.version,
                "where": redis.where,
                "started_by_demo": redis.started_here,
                "prefix": redis.prefix,
            },
        }

    def _tell_addresses(self, redis: ChosenRedis, app: GunicornServer, google_ai: GoogleAiServer) -> None:
        note = self._screen.note
        control = f"{google_ai.url}{CONTROL_PATH}"
        paths = [path for api in GUARDED_APIS for path in api.paths]
        note("\nStill running, until Ctrl-C:\n")
        note("App, healthy and idle:")
        for path in (*paths, *OTHER_ENDPOINTS):
            note(f"  curl -i {app.url}{path}", "cyan")
        note("A circuit in Redis:")
        key = f"'{redis.prefix}:{{{VISION.circuit}}}'"
        note(f"  {redis_cli(redis.client, '--raw', 'HGETALL', key)}", "cyan")
        note("Google AI's books; vision broken; vision healthy again:")
        behaviour = f"{control}behaviour/{VISION.upstream.value}"
        note(f"  curl {control}books", "cyan")
        note(f"  curl -X PUT -d '{{\"status\": 503}}' {behaviour}", "cyan")
        note(f"  curl -X DELETE {behaviour}", "cyan")
        if redis.started_here:
            note("\nCtrl-C stops all of it, Redis included. Nothing is left behind.")
        else:
            note(
                "\nCtrl-C stops all of it but your Redis, in which the demo's keys stay; they begin with "
                f"{redis.prefix}. Nothing else is left behind."
            )
