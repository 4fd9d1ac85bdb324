"""When a step that failed is tried again, and how long an attempt may take.

A policy is a value and knows nothing of what is running: it is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import PauseForEventException

if TYPE_CHECKING:
    from ..backoff import Backoff


@dataclass(frozen=True, slots=True)
class Policy:
    """See `step` for what the fields mean.

    Attributes:
        everywhere: whether it holds outside of instances, too; there is one attempt there if it does not.

    Raises:
        ValueError, TypeError: a field holds nonsense.
    """

    retries: int = 0
    backoff: Backoff | None = None
    timeout: float | None = None
    total_timeout: float | None = None
    retry_if: Callable[[Exception], bool] | None = None
    no_retry: tuple[type[BaseException], ...] = ()
    everywhere: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.retries, bool) or not isinstance(self.retries, int):
            raise TypeError(f"retries must be an int, not {self.retries!r}")
        if self.retries < 0:
            raise ValueError(f"retries must not be negative: {self.retries}")
        for name in ("timeout", "total_timeout"):
            _check_seconds(name, getattr(self, name))
        for name in ("backoff", "retry_if"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                raise TypeError(f"{name} must be a function, not {getattr(self, name)!r}")
        if not isinstance(self.no_retry, tuple) or not all(
            isinstance(kind, type) and issubclass(kind, BaseException) for kind in self.no_retry
        ):
            raise TypeError(f"no_retry must be a tuple of exception types, not {self.no_retry!r}")

    def delay(self, error: BaseException, attempt: int) -> float | None:
        """How long to wait before the next attempt, in seconds; None if there is none.

        Args:
            error: why the last attempt failed.
            attempt: the number of the last attempt, from 1.

        Raises:
            ValueError: the backoff gave no such number.
        """
        if attempt > self.retries or not isinstance(error, Exception):
            return None
        if isinstance(error, (PauseForEventException, *self.no_retry)):
            return None
        if self.retry_if is not None and not self.retry_if(error):
            return None
        if self.backoff is None:
            return 0.0
        delay = self.backoff(attempt - 1)
        if not isinstance(delay, (int, float)) or not 0 <= delay < math.inf:
            raise ValueError(
                f"the backoff {self.backoff!r} gave {delay!r} for attempt {attempt}, and not a number of seconds"
            ) from error
        return delay


def _check_seconds(name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive number of seconds, not {value!r}")
