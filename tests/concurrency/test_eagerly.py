"""A coroutine that is begun at once and goes on in a task of its own."""

import asyncio

from durable_ast.runtime.eagerly import begin


async def test_others_may_wait_for_what_it_waits_for():
    answer = asyncio.get_running_loop().create_future()
    seen = []

    async def wait():
        seen.append(await answer)

    task = begin(wait())
    asyncio.get_running_loop().call_later(0.01, answer.set_result, "there")
    assert await answer == "there"
    await task
    assert seen == ["there"]
