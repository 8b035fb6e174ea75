"""The one thread of a process that hears of changes as soon as they happen, and has views doubted.

It only makes views end sooner. Where it hears nothing, `max_staleness` holds by itself.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Protocol
from weakref import WeakValueDictionary

from sharedbreaker.store.cluster_link import ClusterLink
from sharedbreaker.store.link import Link
from sharedbreaker.store.members import Members
from sharedbreaker.store.process import ForgetsAtFork, call_forget_in_children
from sharedbreaker.store.quiet_log import QuietLog

logger = logging.getLogger("sharedbreaker")

SECONDS_TO_LISTEN = 0.25
"""How long it waits for a message before it looks whether there is another circuit to listen for."""


class Doubting(Protocol):
    """Something that acts on a view of one circuit."""

    @property
    def changes_channel(self) -> str:
        """Where changes of the circuit are published."""

    def doubt_view(self) -> None:
        """Act on nothing that was asked before now."""


class Listener(ForgetsAtFork):
    """Listens on one connection for all circuits of one link."""

    def __init__(self, link: Link | ClusterLink) -> None:
        self._link = link
        self._retry_interval = link.guard_of_circuit().retry_interval
        self.forget()
        call_forget_in_children(self)

    def forget(self) -> None:
        """Start as a process that listens to nothing."""
        self._doubting: Members[Doubting] = Members()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._log = QuietLog()

    def listen_for(self, doubting: Doubting) -> None:
        """Have ``doubting`` hear of the changes of its circuit. Waits for nothing."""
        with self._lock:
            self._doubting.add(doubting)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="sharedbreaker-listener", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # the interpreter is leaving, and needs no news
                    self._thread = None

    def _run(self) -> None:
        while self._channels():
            subscription = None
            try:
                subscription = self._link.subscription()
                self._listen(subscription)
            except Exception as error:  # whatever it is: views end by themselves
                self._log.warning(
                    "deaf",
                    "changes pushed by Redis at %s cannot be heard: %s: %s; max_staleness holds without them",
                    self._link.address,
                    type(error).__name__,
                    error,
                )
            finally:
                if subscription is not None:
                    subscription.close()
            time.sleep(self._retry_interval)

    def _listen(self, subscription: Any) -> None:
        began = time.monotonic()
        known: set[str] = set()
        # Nobody is kept here while it waits: who is gone needs no news.
        while (channels := self._channels()) and not self._link.suspected_at > began:
            if channels - known:
                subscription.subscribe(*(channels - known))
                known |= channels
            message = subscription.get_message(timeout=SECONDS_TO_LISTEN)
            # A subscription that is confirmed is news as well: what changed before it was not heard.
            if message is not None and message["type"] in {"message", "subscribe"}:
                channel = message["channel"].decode()
                self._have_doubted(channel)

    def _channels(self) -> set[str]:
        return {doubting.changes_channel for doubting in self._doubting.alive()}

    def _have_doubted(self, channel: str) -> None:
        for doubting in self._doubting.alive():
            if doubting.changes_channel == channel:
                doubting.doubt_view()


_listeners: WeakValueDictionary[int, Listener] = WeakValueDictionary()


def listener_on(link: Link | ClusterLink) -> Listener:
    """Return the one listener of a link, for as long as somebody keeps it."""
    return _listeners.setdefault(id(link), Listener(link))
