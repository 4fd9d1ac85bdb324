"""Random programs of concurrent steps, and a script that says which step ends when.

A program is a tree of nodes; `run` is what a user would write for each.  A step waits until the script
lets it end, and the script goes on only when nothing else can: so a plain run and a durable one take
the same course, and so does what is left of it in another process.

What branches do while the script stands still has no order among them: asyncio cancels the members of a
group in the order of a set.  So the log is divided where the script goes on, and `in_order` sorts what
is between two divisions by who did it.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Any

LOG: list[str] = []
DIVISION = "the script goes on"
_TURNS = 100
"""For how many turns of the loop nothing must have happened before the script goes on."""
_waiting: dict[str, asyncio.Future[None]] = {}


@dataclass(frozen=True)
class Node:
    """A part of a program."""


@dataclass(frozen=True)
class Do(Node):
    """One step, which may fail."""

    name: str
    fails: bool = False


@dataclass(frozen=True)
class Seq(Node):
    """One after the other."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Gather(Node):
    """`asyncio.gather`."""

    nodes: tuple[Node, ...]
    return_exceptions: bool = False


@dataclass(frozen=True)
class Group(Node):
    """`asyncio.TaskGroup`, with something in its body."""

    nodes: tuple[Node, ...]
    body: Node


@dataclass(frozen=True)
class Guard(Node):
    """try, except and finally, each with something to await."""

    body: Node
    handler: Node | None
    final: Node | None


@dataclass(frozen=True)
class Cancel(Node):
    """A task that is cancelled once something else is done."""

    node: Node
    until: Node


@dataclass(frozen=True)
class Shield(Node):
    """`asyncio.shield` around a task that is awaited afterwards."""

    node: Node


@dataclass(frozen=True)
class WaitFor(Node):
    """`asyncio.wait_for` with time enough."""

    node: Node


@dataclass(frozen=True)
class First(Node):
    """`asyncio.wait` for the first; the others are cancelled."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Completed(Node):
    """`asyncio.as_completed`."""

    nodes: tuple[Node, ...]


class Gate:
    """A step: it ends when the script says so."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __await__(self):
        return self._wait().__await__()

    async def _wait(self) -> str:
        gate = _waiting[self.name] = asyncio.get_running_loop().create_future()
        try:
            await gate
        finally:
            del _waiting[self.name]
        LOG.append(f"{self.name} ended")
        return self.name


async def run(node: Node) -> Any:
    """Run a program."""
    match node:
        case Do(name=name, fails=fails):
            result = await Gate(name)
            if fails:
                raise ValueError(name)
            return result
        case Seq(nodes=nodes):
            results = []
            for each in nodes:
                results.append(await run(each))
            return results
        case Gather(nodes=nodes, return_exceptions=returns):
            results = await asyncio.gather(*(run(each) for each in nodes), return_exceptions=returns)
            return [str(result) if isinstance(result, BaseException) else result for result in results]
        case Group(nodes=nodes, body=body):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(run(each)) for each in nodes]
                result = await run(body)
            return result, [task.result() for task in tasks]
        case Guard():
            return await guard(node)
        case Cancel(node=inner, until=until):
            task = asyncio.create_task(run(inner))
            first = await run(until)
            task.cancel()
            try:
                return first, await task
            except asyncio.CancelledError:
                if asyncio.current_task().cancelling():
                    raise
                return first, "cancelled"
        case Shield(node=inner):
            task = asyncio.create_task(run(inner))
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                LOG.append(f"{label(node)} shielded")
                await asyncio.wait([task])
                raise
        case WaitFor(node=inner):
            return await asyncio.wait_for(run(inner), 1000)
        case First(nodes=nodes):
            tasks = [asyncio.create_task(run(each)) for each in nodes]
            done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            if pending:
                await asyncio.wait(pending)
            return [outcome_of(task) for task in tasks], len(done)
        case Completed(nodes=nodes):
            results = []
            for each in asyncio.as_completed([run(each) for each in nodes]):
                results.append(await each)
            return results
    raise AssertionError(node)


async def guard(node: Guard) -> Any:
    """A try statement."""
    try:
        return await run(node.body)
    except (ValueError, ExceptionGroup) as error:
        LOG.append(f"{label(node)} handling {type(error).__name__}")
        if node.handler is None:
            raise
        return await run(node.handler)
    finally:
        LOG.append(f"{label(node)} finally")
        if node.final is not None:
            await run(node.final)


def label(node: Node) -> str:
    """Which node of a program it is."""
    text = repr(node)
    first = re.search("'s[0-9]+'", text)
    assert first is not None
    return f"{first[0]}/{len(text)}"


def in_order(log: list[str]) -> list[list[str]]:
    """A log as it is compared."""
    divided: list[list[str]] = [[]]
    for entry in log:
        divided.append([]) if entry == DIVISION else divided[-1].append(entry)
    return [sorted(part, key=lambda entry: entry.split()[0]) for part in divided]


def outcome_of(task: asyncio.Task[Any]) -> Any:
    """What became of a task."""
    if task.cancelled():
        return "cancelled"
    return repr(task.exception()) if task.exception() else task.result()


async def scripted(program: Any, script: list[str]) -> tuple[Any, list[str]]:
    """Run something that waits at gates, which open in the order of the script; gives how it has ended,
    and the log."""
    LOG.clear()
    _waiting.clear()
    others = asyncio.all_tasks()
    task = asyncio.ensure_future(program)
    left = list(script)
    while not task.done():
        await _nothing_goes_on(task)
        name = next((name for name in left if name in _waiting), None)
        if name is not None:
            left.remove(name)
            LOG.append(DIVISION)
            _waiting[name].set_result(None)
        elif not task.done():
            await asyncio.wait([task], timeout=1)
            assert task.done(), f"nothing goes on, or {list(_waiting)} would end again"
    log = list(LOG)
    while left_over := asyncio.all_tasks() - others:
        for other in left_over:
            other.cancel()  # once more for each step that it takes in cleaning up
        await asyncio.wait(left_over, timeout=0.01)
    return ending_of(task), log


async def _nothing_goes_on(task: asyncio.Future[Any]) -> None:
    before: Any = None
    while before != (now := (task.done(), len(LOG), set(_waiting))):
        before = now
        for _ in range(_TURNS):
            await asyncio.sleep(0)


def ending_of(task: asyncio.Future[Any]) -> Any:
    """How a run has ended, to be compared."""
    try:
        return "returned", task.result()
    except asyncio.CancelledError:
        return "cancelled", None
    except BaseException as error:
        return "raised", shape(error)


def shape(error: BaseException) -> Any:
    """An exception, to be compared."""
    if isinstance(error, BaseExceptionGroup):
        return type(error).__name__, sorted(map(str, map(shape, error.exceptions)))
    return type(error).__name__, str(error)
