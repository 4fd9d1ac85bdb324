"""Functions that are killed in the middle of blocks of SQL."""

import asyncio
import time

from durable_ast import make_durable, transaction

from .programs import step

BLOCKS = 60


async def move(table: str, mark: str, line: int) -> None:
    """A block of two statements, which only hold together."""
    async with transaction() as connection:
        await connection.execute(f"UPDATE {table}_total SET lines = lines + 1")
        time.sleep(0.002)
        await connection.execute(f"INSERT INTO {table} VALUES ({mark})", (line,))
        time.sleep(0.001)


@make_durable
async def bookkeeping(table: str, mark: str) -> int:
    """Blocks, and a step before each."""
    for number in range(BLOCKS):
        await step(number)
        await move(table, mark, number)
    return number


@make_durable
async def two_bookkeepers(table: str, mark: str) -> list[int]:
    """Blocks in two branches."""

    async def one(first: int) -> int:
        for number in range(first, BLOCKS, 2):
            await step(number)
            await move(table, mark, number)
        return number

    return await asyncio.gather(one(0), one(1))
