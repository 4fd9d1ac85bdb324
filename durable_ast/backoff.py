"""How long to wait before a step is tried again.

A backoff is any function that gives seconds: ``backoff(0)`` are those before the first retry,
``backoff(1)`` those before the second.  The ones here are values: they can be compared, printed and
saved.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TypeAlias

Backoff: TypeAlias = Callable[[int], float]


def exponential(base: float = 2, max: float = 60, factor: float | None = None) -> Exponential:
    """Wait `base` seconds, then `factor` times as long each time, up to `max` seconds.

    Args:
        base: the first wait.
        max: the longest.
        factor: by what a wait is longer than the one before; `base`, or 2 if that is not more than 1,
            if it is left out.

    Raises:
        ValueError: one of them is negative or no number.

    >>> [exponential(base=2, max=60)(retry) for retry in (0, 1, 2, 3, 4, 5, 5000)]
    [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    >>> [exponential(base=0.5)(retry) for retry in (0, 1, 2)]
    [0.5, 1.0, 2.0]
    """
    if factor is None:
        factor = base if base > 1 else 2
    return Exponential(base, max, factor)


def linear(start: float = 1, step: float = 1) -> Linear:
    """Wait `start` seconds, then `step` seconds longer each time.

    Raises:
        ValueError: one of them is negative or no number.

    >>> [linear(1, 0.5)(retry) for retry in (0, 1, 2)]
    [1.0, 1.5, 2.0]
    """
    return Linear(start, step)


def constant(seconds: float) -> Constant:
    """Wait as long each time.

    Raises:
        ValueError: it is negative or no number.

    >>> constant(3)(7)
    3.0
    """
    return Constant(seconds)


def jitter(backoff: Backoff, ratio: float = 0.5) -> Jitter:
    """Shorten the waits of another backoff at random, so that many who failed at once do not all
    come back at once.

    Args:
        backoff: gives the longest waits.
        ratio: by how much a wait may be shortened, from 0 to 1; at 1 it can be anything from 0.

    Raises:
        ValueError: the ratio is not between 0 and 1.

    >>> 2 <= jitter(constant(4))(0) <= 4
    True
    """
    return Jitter(backoff, ratio)


@dataclass(frozen=True, slots=True)
class Exponential:
    """See `exponential`."""

    base: float
    max: float
    factor: float

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, retry: int) -> float:
        if not self.base:
            return 0.0
        try:
            return min(float(self.base) * float(self.factor) ** retry, float(self.max))
        except OverflowError:
            return float(self.max)


@dataclass(frozen=True, slots=True)
class Linear:
    """See `linear`."""

    start: float
    step: float

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, retry: int) -> float:
        return self.start + float(self.step) * retry


@dataclass(frozen=True, slots=True)
class Constant:
    """See `constant`."""

    seconds: float

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, retry: int) -> float:
        return float(self.seconds)


@dataclass(frozen=True, slots=True)
class Jitter:
    """See `jitter`."""

    backoff: Backoff
    ratio: float

    def __post_init__(self) -> None:
        if not callable(self.backoff):
            raise TypeError(f"jitter() needs a backoff, such as exponential(), not {self.backoff!r}")
        if not 0 <= self.ratio <= 1:
            raise ValueError(f"jitter(): ratio must be between 0 and 1, not {self.ratio!r}")

    def __call__(self, retry: int) -> float:
        import random  # slow to import, and rarely wanted

        longest = self.backoff(retry)
        return random.uniform(longest * (1 - self.ratio), longest)


def _check(backoff: Exponential | Linear | Constant) -> None:
    for field in fields(backoff):
        value = getattr(backoff, field.name)
        if not 0 <= value < math.inf:
            name = type(backoff).__name__.lower()
            raise ValueError(f"{name}(): {field.name} must be a number that is not negative, not {value!r}")
