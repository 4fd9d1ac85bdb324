"""How things are timed, and how what was found is shown."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure of a table.

    Attributes:
        what: what was measured.
        figure: the figure with its unit.
        beside: what it is beside the yardstick of the table; empty for the yardstick itself.
    """

    what: str
    figure: str
    beside: str = ""


@dataclass(frozen=True)
class Table:
    """What one benchmark found."""

    title: str
    yardstick: str
    rows: list[Row]

    def __str__(self) -> str:
        width = max(len(row.what) for row in self.rows)
        lines = [f"{row.what:<{width}}  {row.figure:>18}  {row.beside:>10}".rstrip() for row in self.rows]
        return "\n".join([self.title, f"({self.yardstick})", *lines])


def fastest(run: Callable[[], object], repeats: int = 5, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of the fastest of some runs: what it costs when nothing else is going on.

    Args:
        run: what is timed.
        repeats: how often it runs.
        clock: which time; that of the processor is right where nothing is waited for.
    """
    seconds = []
    for _ in range(repeats):
        gc.collect()
        start = clock()
        run()
        seconds.append(clock() - start)
    return min(seconds)


def times(ratio: float) -> str:
    """A ratio, for people.

    >>> times(2.51)
    'x2.5'
    """
    return f"x{ratio:.1f}" if ratio < 10 else f"x{ratio:.0f}"
