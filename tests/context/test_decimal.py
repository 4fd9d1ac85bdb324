"""How `decimal` calculates is the same after a resume."""

import asyncio
from decimal import ROUND_UP, Context, Decimal, Inexact, getcontext, localcontext, setcontext

from ..effects import step
from ..everywhere import everywhere


@everywhere()
async def test_what_was_set_stays_set():
    setcontext(Context(prec=5))
    await step(1)
    rough = Decimal(1) / 3
    setcontext(Context(prec=9, rounding=ROUND_UP))
    await step(2)
    return rough, Decimal(1) / 3


@everywhere()
async def test_a_block_has_its_own():
    setcontext(Context(prec=7))
    with localcontext() as inner:
        inner.prec = 50
        await step(1)
        exact = Decimal(1) / 3
        with localcontext(Context(prec=3)):
            await step(2)
            rough = Decimal(1) / 7
        await step(3)
        same = inner is getcontext()
    await step(4)
    return exact, rough, same, Decimal(1) / 3


@everywhere()
async def test_a_block_that_is_left_by_an_error():
    setcontext(Context(prec=7))
    try:
        with localcontext(Context(prec=3)):
            await step(1)
            raise ValueError(Decimal(1) / 3)
    except ValueError as error:
        await step(2)
        return error.args, Decimal(1) / 3


@everywhere()
async def test_what_is_held_is_what_is_in_force():
    setcontext(Context(prec=7))
    current, manager = getcontext(), localcontext(Context(prec=3))
    await step(1)
    current.prec = 4
    third = Decimal(1) / 3
    await step(2)
    with manager:
        await step(3)
        other = Decimal(1) / 3
    return third, other, current is getcontext(), current.flags[Inexact]


@everywhere(plain=False)
async def test_each_branch_has_its_own():
    async def one(digits):
        setcontext(Context(prec=digits))
        await step(("a", digits))
        first = Decimal(1) / 3
        await step(("b", digits))
        return first, Decimal(1) / 7

    setcontext(Context(prec=7))
    async with asyncio.timeout(None):
        first = await asyncio.create_task(one(2))
    second = await asyncio.create_task(one(3))
    return first, second, Decimal(1) / 3
