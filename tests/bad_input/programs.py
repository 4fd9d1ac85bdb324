"""Durable functions for processes of their own."""

import os
from pathlib import Path

from durable_ast import make_durable


async def block(number: int, size: int) -> bytes:
    """A step with a large result, which leaves a trace."""
    with Path("ran").open("a") as trace:
        trace.write(f"{number}\n")
    return os.urandom(size)


@make_durable
async def grow(size: int) -> int:
    """Holds more and more."""
    blocks = []
    for number in range(30):
        blocks.append(await block(number, size))
    return len(blocks)


async def step(value: str) -> str:
    return value


@make_durable
async def remember(value: str) -> str:
    """One step."""
    return await step(value)
