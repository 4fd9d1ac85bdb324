"""What every system does, and how it is asked to.

The workflow is the same everywhere: some steps, one after the other, each of which gives a small dict
and is durable before the next one begins; in some works it then waits for an event.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

ITEM = 100
"""Bytes of an element of the list that is carried."""


class System(Protocol):
    """A system under measurement; each work runs in a process of its own."""

    def __init__(self, folder: Path) -> None: ...

    async def open(self) -> None:
        """Get ready; not measured."""

    async def sequence(self, steps: int) -> None:
        """One instance, step after step."""

    async def crowd(self, instances: int, steps: int) -> None:
        """Many instances at once."""

    async def park(self, instances: int, steps: int) -> None:
        """Instances that take their steps, then wait for an event."""

    async def wake(self, instances: int, steps: int) -> None:
        """Publish the event to all of these, and wait until they have ended."""

    async def carry(self, items: int, steps: int) -> None:
        """One instance with a long list, one element of which changes with each step."""

    async def close(self) -> None:
        """Let go of everything; not measured."""


def answer(number: int) -> dict[str, Any]:
    """What a step gives."""
    return {"number": number, "ok": True}


def long_list(items: int) -> list[str]:
    """A list of that many strings."""
    return [f"{number:0{ITEM}}" for number in range(items)]


def written() -> int:
    """Bytes that this process has written so far, to whatever."""
    facts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(facts["wchar"])
