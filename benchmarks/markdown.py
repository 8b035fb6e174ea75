"""Tables as Markdown has them, and figures as people read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; all columns but the first are aligned to the right where they hold figures."""
    lines = [f"| {' | '.join(heads)} |", f"|{'|'.join('---' for _ in heads)}|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)


def us(seconds: float) -> str:
    """Return microseconds, with as many digits as mean something."""
    value = seconds * 1e6
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def spread_us(spread: dict[str, float]) -> str:
    """Return a median with its quartiles in microseconds."""
    return f"{us(spread['median'])} ({us(spread['low'])}-{us(spread['high'])})"


def ratio(spread: dict[str, float]) -> str:
    """Return the median of a ratio."""
    value = spread["median"]
    if value < 0.1:
        return f"{value:.2g}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def number(value: float) -> str:
    """Return a count that may be a mean."""
    return f"{value:.0f}" if abs(value - round(value)) < 0.05 else f"{value:.1f}"


def whole(value: float) -> str:
    """Return a large number without its decimals."""
    return f"{value:,.0f}"


def percent(share: float) -> str:
    """Return a share as a percentage."""
    value = share * 100
    if value < 0.05:
        return "0 %"
    return f"{value:.0f} %" if value >= 10 else f"{value:.1f} %"
