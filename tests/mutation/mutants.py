"""Mutants: what a source file would be with one small fault in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from mutation_operators import ADDING, DROPPED_WORDS, LANGUAGES, SWAPS, WORDS, Language

OPERAND_ENDS = re.compile(r"[\w)\]'\"]$")


class Mutant(NamedTuple):
    """One fault: ``text[start:end]`` is replaced."""

    path: str
    start: int
    end: int
    replacement: str

    def within(self, text: str) -> str:
        """Return the text of the file with the fault in it."""
        return text[: self.start] + self.replacement + text[self.end :]

    def described(self, text: str) -> str:
        """Return ``file:line before -> after``, with whole lines."""
        first = text.rfind("\n", 0, self.start) + 1
        last = text.find("\n", self.end)
        last = len(text) if last < 0 else last
        before = text[first:last]
        after = text[first : self.start] + self.replacement + text[self.end : last]
        line = text.count("\n", 0, self.start) + 1
        return f"{self.path}:{line} {' '.join(before.split())} -> {' '.join(after.split())}"


def mutants_of(path: str, text: str) -> list[Mutant]:
    """Return every mutant of a file, in its order; none that its language cannot read."""
    language = LANGUAGES[path.rpartition(".")[2]]
    found = sorted({*_swaps(path, text, language), *_dropped_statements(path, text, language)})
    if path.endswith(".py"):
        found = [mutant for mutant in found if _is_python(mutant.within(text))]
    return found


def _swaps(path: str, text: str, language: Language) -> Iterator[Mutant]:
    before = ""
    for token in language.tokens.finditer(text):
        word = token[0]
        if token.lastgroup == "skipped":
            continue
        if token.lastgroup == "number":
            replacements: tuple[str, ...] = (str(int(word) + 1),) + (("0",) if word == "1" else ())
        elif (word in ADDING and not OPERAND_ENDS.search(before)) or text.startswith(
            "is not ", token.start()
        ):
            replacements = ()
        elif token.lastgroup == "string":
            inner = WORDS.get(word[1:-1], ())
            replacements = tuple(word[0] + other + word[-1] for other in inner)
        else:
            replacements = language.swaps.get(word, SWAPS.get(word, ()))
        for replacement in replacements:
            yield Mutant(path, token.start(), token.end(), replacement)
        if word in DROPPED_WORDS:
            end = token.end() + (text[token.end() : token.end() + 1] == " ")
            yield Mutant(path, token.start(), end, "")
        before = word


def _dropped_statements(path: str, text: str, language: Language) -> Iterator[Mutant]:
    """A call that stands as a statement, over as many lines as its parentheses go on for."""
    code = language.tokens.sub(lambda token: _blank(token) if _is_opaque(token) else token[0], text)
    for head in language.statement.finditer(code):
        depth = 0
        for position in range(head.end() - 1, len(code)):
            depth += (code[position] == "(") - (code[position] == ")")
            if depth == 0:
                if code[position + 1 : position + 2] in {"\n", ""}:
                    yield Mutant(path, head.start("call"), position + 1, language.nothing)
                break


def _is_opaque(token: re.Match[str]) -> bool:
    return token.lastgroup in {"skipped", "string"}


def _blank(token: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", token[0])


def _is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True
