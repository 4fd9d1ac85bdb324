"""Code with agents that runs twice: all of it, and again in another process, which finds what had finished."""

from collections.abc import Awaitable, Callable
from typing import Any

from durable_ast import InMemoryStore, Workflow
from durable_ast.state import snapshot

from .scripted import LOG, Killed


async def twice(made: Callable[[Workflow], Callable[[], Awaitable[Any]]], *, effects: int | None = None) -> list[Any]:
    """What the code gives, the first time and again.

    The process dies when all has been done and the step that the code runs in has not ended.  The
    second time it must have no effect on the world.

    Args:
        made: makes the code, with agents of its own.
        effects: how many effects it has, if that is worth to be said.
    """
    LOG.clear()
    store = InMemoryStore()
    results: list[Any] = []

    for _ in range(2):
        wf = Workflow("agents", db=store, default_retries=0)
        program = _program(wf, made(wf), results)
        try:
            await program()
        except Killed:
            effects_before = list(LOG)
            assert effects is None or len(LOG) == effects, LOG
    assert effects_before == LOG, "what had finished was done again"
    assert len(results) == 2
    return results


def _program(wf, code, results):
    @wf.task
    async def part():
        results.append(await code())
        if len(results) == 1:
            raise Killed

    @wf.workflow(id="it")
    async def program():
        await part()

    return program


async def units_of(wf: Workflow, instance_id: str) -> list[str]:
    """The keys of the units in the journal of a run that has not ended, without what they all begin with."""
    parts = await wf.instances.parts(instance_id, "j/")
    return sorted(snapshot.loads(data)[0].rpartition(" > ")[2] for data in parts.values())
