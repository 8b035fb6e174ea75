"""Every page of docs/coming-from says what tests show, and leaves out no word of its peer."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import circuitbreaker
import one_process_breaker
import purgatory
import pybreaker
import pytest
from coming_from_page import PAGES, ComingFromPage, cited_tests
from purgatory.service._sync.circuitbreaker import SyncCircuitBreakerFactory

import sharedbreaker
from sharedbreaker import CircuitBreaker

NAMES = sorted(path.stem for path in PAGES.glob("*.md"))
HERE = Path(__file__).parent


def modules_of(name: str) -> list[str]:
    return sorted(path.stem for path in HERE.glob(f"test_from_{name.replace('-', '_')}*.py"))


def parameters_of(callable_: object) -> set[str]:
    return set(inspect.signature(callable_).parameters) - {"self", "cls"}  # type: ignore[arg-type]


def public(something: object) -> set[str]:
    return {name for name in vars(something) if not name.startswith("_")}


WORDS = {
    "pybreaker": set(pybreaker.__all__)
    | parameters_of(pybreaker.CircuitBreaker)
    | public(pybreaker.CircuitBreaker)
    | public(pybreaker.CircuitBreakerListener)
    | parameters_of(pybreaker.CircuitRedisStorage) - {"state"},
    "circuitbreaker": {"circuit", "CircuitBreakerMonitor", "CircuitBreakerError"}
    | parameters_of(circuitbreaker.CircuitBreaker)
    | parameters_of(circuitbreaker.circuit)
    | public(circuitbreaker.CircuitBreaker)
    | public(circuitbreaker.CircuitBreakerMonitor),
    "purgatory": set(purgatory.__all__)
    | parameters_of(SyncCircuitBreakerFactory)
    | public(SyncCircuitBreakerFactory)
    | parameters_of(SyncCircuitBreakerFactory.get_breaker)
    | {"OpenedState"},
    "in-process": set(one_process_breaker.__all__)
    | parameters_of(one_process_breaker.CircuitBreaker)
    | public(one_process_breaker.CircuitBreaker),
}


def test_there_is_a_page_for_each() -> None:
    """Four pages, and what they leave out is checked for each."""
    assert sorted(WORDS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_claim_names_its_test(name: str) -> None:
    """Whatever is said to differ or to be missing links to one test or more."""
    claims = ComingFromPage(name).claims()
    assert [claim for claim in claims if not cited_tests(claim)] == []
    assert claims


@pytest.mark.parametrize("name", NAMES)
def test_each_test_is_there_and_named(name: str) -> None:
    """The tests that a page names are those of its modules, each once."""
    tests = [
        (module, function)
        for module in modules_of(name)
        for function in vars(importlib.import_module(module))
        if function.startswith("test_")
    ]
    assert sorted(cited_tests(ComingFromPage(name).text)) == sorted(tests)


@pytest.mark.parametrize("name", NAMES)
def test_no_word_of_the_peer_is_left_out(name: str) -> None:
    """Each public name and parameter of the peer stands in the table of words."""
    translated = {part for word in ComingFromPage(name).words(0) for part in re.findall(r"\w+", word)}
    assert WORDS[name] - translated == set()


@pytest.mark.parametrize("name", NAMES)
def test_our_words_are_ours(name: str) -> None:
    """What a page offers instead is there: parameters, methods and names to import."""
    words = ComingFromPage(name).words(1)
    parameters = {word[:-1] for word in words if re.fullmatch(r"\w+=", word)}
    methods = {found[1] for word in words if (found := re.fullmatch(r"breaker\.(\w+).*", word))}
    names = {found[1] for word in words if (found := re.fullmatch(r"sharedbreaker\.(\w+)", word))}
    assert parameters - parameters_of(CircuitBreaker) == set()
    assert [method for method in methods if not hasattr(CircuitBreaker, method)] == []
    assert [word for word in names if not hasattr(sharedbreaker, word)] == []
    assert parameters | methods | names


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    """Every file that a page links to is there."""
    links = re.findall(r"\]\((?!https)([^)#]+)\)", ComingFromPage(name).text)
    assert [link for link in links if not (PAGES / link).exists()] == []
    assert links
