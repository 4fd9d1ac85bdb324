"""One function over many items, so many at a time; what has finished does not run again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from ..runtime.journal import Run, current_run

T = TypeVar("T")
R = TypeVar("R")


async def map_items(
    fn: Callable[[T], Awaitable[R]], items: Iterable[T], max_concurrency: int | None, tolerate: int | float
) -> list[Any]:
    """See `Workflow.map`."""
    every = list(items)
    limit = len(every) if max_concurrency is None else max_concurrency
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise ValueError(f"max_concurrency must be a whole number, not {max_concurrency!r}")
    is_share = isinstance(tolerate, float)
    if isinstance(tolerate, bool) or not isinstance(tolerate, (int, float)) or (is_share and not 0 <= tolerate <= 1):
        raise ValueError(f"tolerate must be a number of items, or a share of them from 0.0 to 1.0, not {tolerate!r}")
    allowed = int(tolerate * len(every)) if is_share else int(tolerate)
    if limit < 1 and every:
        raise ValueError(f"max_concurrency must be positive, not {max_concurrency}")
    if allowed < 0:
        raise ValueError(f"tolerate must not be negative: {tolerate}")
    mapping = _Mapping(fn, every, allowed)
    workers = [asyncio.ensure_future(mapping.work()) for _ in range(min(limit, len(every)))]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return mapping.results


class _Mapping:
    def __init__(self, fn: Callable[[Any], Awaitable[Any]], items: list[Any], allowed: int) -> None:
        self.results: list[Any] = [None] * len(items)
        self._fn = fn
        self._left = iter(enumerate(items))
        self._allowed = allowed
        self._failed = 0
        self._run: Run | None = current_run()

    async def work(self) -> None:
        """Take one item after the other."""
        for number, item in self._left:
            try:
                self.results[number] = await self._result(number, item)
            except Exception as error:
                self._failed += 1
                if self._failed > self._allowed:
                    error.add_note(f"this was item {number} of {len(self.results)} to map; {self._failed} have failed")
                    raise
                self.results[number] = error

    async def _result(self, number: int, item: Any) -> Any:
        if self._run is None:
            return await self._fn(item)
        return await self._run.once(f"item {number}", lambda: self._fn(item))
