"""A code block: what stands between two suspension points of a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

END = 0
"""Stands among the ends of a block for leaving the function."""


@dataclass(frozen=True)
class CodeBlock:
    """A numbered stretch of a function between two suspension points.

    Args:
        fn: for a block that is appended to a running call: an async function with the code.  It
            sees the locals of the call, and its own become locals of the call.

    Attributes:
        number: 0 for the one that begins the function, else that of the point it goes on from.
        lines: the lines of the file it covers.
        starts: what its point waits for, as the user wrote it; empty for block 0.
        keeps: the locals that are saved at its point.
        drops: the locals that are bound there and not saved, because no later path reads them.
        ends: the numbers of the points it may run to, and `END` if it may leave the function.
    """

    fn: Callable[..., Any] | None = None
    number: int = 0
    lines: tuple[int, ...] = ()
    starts: str = ""
    keeps: tuple[str, ...] = ()
    drops: tuple[str, ...] = ()
    ends: tuple[int, ...] = ()
