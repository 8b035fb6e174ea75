"""Reading what the processes of a run have written: ledgers, and the upstream's and the network's books."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fault_books import ARRIVED, Ask, Batch, Books, Call, Process, Served, Unread
from fault_ledger import read_ledgers
from faulty_proxy import BOOKS as NETWORK_BOOKS
from fleet import History
from watched_upstream import BOOKS as UPSTREAM_BOOKS

NEVER = float("inf")
BATCH_ORDER = ("success", "failure", "rejected", "ignored", "released")


def read_books(folder: Path, history: History) -> Books:
    """Return what was written in this folder."""
    books = Books(history=history)
    for name, lines in read_ledgers(folder):
        reader = LedgerReader(name, history.killed.get(name, NEVER))
        for kind, *words in lines:
            reader.read(kind, words)
        books.processes[name] = reader.end()
    books.served = _served(folder / UPSTREAM_BOOKS)
    books.unread = _unread(folder / NETWORK_BOOKS)
    for path in sorted(folder.glob("*.stderr")):
        text = [line for line in path.read_text(errors="replace").splitlines() if not _is_warning(line)]
        if text:
            books.complaints[path.stem] = "\n".join(text)
    return books


class LedgerReader:
    """One process' books, from its ledger's lines. `fault_ledger` says what each kind of line holds."""

    def __init__(self, name: str, killed_at: float) -> None:
        self._process = Process(name, is_killed=killed_at < NEVER)
        self._killed_at = killed_at
        self._of_token: dict[str, Call] = {}
        self._away: dict[str, float] = {}

    def read(self, kind: str, words: list[str]) -> None:
        """Take one line."""
        READER_OF_KIND[kind](self, *words)

    def end(self) -> Process:
        """Return the books after the last line."""
        process = self._process
        for ask in process.asks.values():
            ask.answered_at = min(ask.answered_at, self._killed_at)
        process.away += [(circuit, since, self._killed_at) for circuit, since in self._away.items()]
        return process

    def _process_id(self, pid: str) -> None:
        """Nothing depends on the process id."""

    def _begin(self, number: str, circuit: str, at: str) -> None:
        self._process.calls[int(number)] = Call(self._process.name, int(number), circuit, float(at))

    def _ask(self, number: str, call: str, token: str, circuit: str, at: str) -> None:
        self._process.asks[int(number)] = Ask(int(number), int(call), token, circuit, float(at))

    def _answer(self, number: str, verdict: str, epoch: str, at: str) -> None:
        ask = self._process.asks[int(number)]
        ask.verdict, ask.epoch, ask.answered_at = verdict, int(epoch), float(at)
        call = self._process.calls[ask.call]
        call.asked_at = ask.sent_at
        call.was_rejected_by_redis = verdict == "rejected"

    def _admission(self, number: str, token: str, epoch: str, where: str, probe: str) -> None:
        call = self._process.calls[int(number)]
        call.token, call.epoch = token, int(epoch)
        call.is_local, call.is_held, call.is_probe = where == "1", where == "2", probe == "1"
        self._of_token[token] = call

    def _outcome(self, number: str, outcome: str, at: str) -> None:
        call = self._process.calls[int(number)]
        call.outcome, call.ended_at = outcome, float(at)

    def _report(self, token: str, verdict: str, at: str) -> None:
        self._of_token[token].reports.append((verdict, float(at)))

    def _end_of_call(self, number: str, result: str, admit: str, report: str, at: str, detail: str) -> None:
        call = self._process.calls[int(number)]
        call.result, call.admit_wait, call.report_wait = result, float(admit), float(report)
        call.over_at, call.detail = float(at), detail

    def _batch(self, circuit: str, name: str, *tallies_and_time: str) -> None:
        counts = dict(zip(BATCH_ORDER, map(int, tallies_and_time[:5]), strict=True))
        batch = self._process.batches.setdefault(name, Batch(self._process.name, circuit, name, counts))
        batch.sent_at = float(tallies_and_time[5])

    def _held_batch(self, circuit: str, name: str, *tallies_and_time: str) -> None:
        self._batch(circuit, name, *tallies_and_time)
        self._process.batches[name].is_held = True

    def _batch_answer(self, name: str, verdict: str, epoch: str, at: str) -> None:
        batch = self._process.batches[name]
        batch.verdicts.append(verdict)
        if batch.is_held and verdict in ARRIVED:
            batch.epochs.add(int(epoch))

    def _lost_or_back(self, circuit: str, is_there: str, at: str) -> None:
        if is_there == "0":
            self._away[circuit] = float(at)
        elif circuit in self._away:
            self._process.away.append((circuit, self._away.pop(circuit), float(at)))

    def _lag(self, seconds: str, at: str) -> None:
        self._process.lags.append((float(seconds), float(at)))

    def _exit(self) -> None:
        self._process.is_ended = True


READER_OF_KIND: dict[str, Callable[..., None]] = {
    "N": LedgerReader._process_id,
    "S": LedgerReader._begin,
    "T": LedgerReader._ask,
    "A": LedgerReader._answer,
    "R": LedgerReader._admission,
    "E": LedgerReader._outcome,
    "V": LedgerReader._report,
    "D": LedgerReader._end_of_call,
    "B": LedgerReader._batch,
    "G": LedgerReader._held_batch,
    "C": LedgerReader._batch_answer,
    "W": LedgerReader._lost_or_back,
    "H": LedgerReader._lag,
    "X": LedgerReader._exit,
}


def _is_warning(line: str) -> bool:
    return line.startswith("circuit '") or "socket.send() raised exception" in line


def _served(path: Path) -> list[Served]:
    served: dict[str, Served] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        kind, number, *words = line.split(" ")
        if kind == "s":
            circuit, token, probe, local, epoch, began = words
            served[number] = Served(circuit, token, probe == "1", local == "1", int(epoch), float(began))
        elif number in served:
            served[number].ended_at = float(words[1])
    return list(served.values())


def _unread(path: Path) -> dict[str, list[Unread]]:
    unread: dict[str, list[Unread]] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            token, verdict, epoch, at, delivered = line.split(" ")
            answer = Unread(verdict, int(epoch), float(at), is_delivered=delivered == "1")
            unread.setdefault(token, []).append(answer)
    return unread
