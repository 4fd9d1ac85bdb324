"""Timers: whoever sleeps is in one heap for each event loop, which wakes up once for the next of them.

They are due at times of the clock.  The clock may be set, and the loop knows only how much time goes
by, so it is looked at once a minute as well, for all of them together.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time

LONGEST = 60.0
"""Seconds after which the clock is looked at again: it may have been set."""


async def until(due: float) -> None:
    """Wait for a time of the clock, in seconds since 1970.

    As with `asyncio.sleep`, others get their turn and a cancellation arrives even if there is no time left.
    """
    if due <= time.time():
        await asyncio.sleep(0)
    else:
        await _heap_of(asyncio.get_running_loop()).wait(due)


class _Heap:
    """Those who sleep in one event loop, the next to be woken first."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._heap: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._left = 0
        """How many in the heap do not sleep any more."""
        self._handle: asyncio.TimerHandle | None = None
        self._rings_for = 0.0
        """The time that the loop wakes up for."""

    async def wait(self, due: float) -> None:
        """Sleep until then."""
        sleeper = self._loop.create_future()
        heapq.heappush(self._heap, (due, next(self._order), sleeper))
        if self._handle is None or due < self._rings_for:
            self._wake_up()
        try:
            await sleeper
        except BaseException:
            self._forget()
            raise

    def _forget(self) -> None:
        """One of them sleeps no more; once that is most of them, they are thrown out."""
        self._left += 1
        if 2 * self._left > len(self._heap):
            self._heap = [entry for entry in self._heap if not entry[2].done()]
            heapq.heapify(self._heap)
            self._left = 0
            self._wake_up()

    def _wake_up(self) -> None:
        """Have the loop wake up for the next of them."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if not self._heap:
            _heaps.pop(self._loop, None)
            return
        self._rings_for = self._heap[0][0]
        left = max(self._rings_for - time.time(), 0.0)
        self._handle = self._loop.call_later(min(left, LONGEST), self._ring)

    def _ring(self) -> None:
        self._handle = None
        now = time.time()
        while self._heap and self._heap[0][0] <= now:
            _, _, sleeper = heapq.heappop(self._heap)
            if sleeper.done():
                self._left -= 1
            else:
                sleeper.set_result(None)
        self._wake_up()


_heaps: dict[asyncio.AbstractEventLoop, _Heap] = {}


def _heap_of(loop: asyncio.AbstractEventLoop) -> _Heap:
    heap = _heaps.get(loop)
    if heap is None:
        for other in [other for other in _heaps if other.is_closed()]:
            del _heaps[other]
        heap = _heaps[loop] = _Heap(loop)
    return heap
