"""The standard of proof for functions with several branches.

``@anywhere()`` turns an async function into a test like ``@everywhere()`` does.  Branches have no
order among each other, so what is compared is looser in one way only: the log of a resumed run holds
every effect that the first run had not finished, in any order, and none that it had.
"""

import asyncio
import copy
import functools
import inspect
import pickle
from collections import Counter
from collections.abc import Generator
from typing import Any

from ..everywhere import Function, RecordingStore, chain, run

LOG: list[tuple[str, Any]] = []


class Work:
    """A step that takes some turns of the event loop; its beginning and end are logged."""

    def __init__(self, name: Any, turns: int, error: BaseException | None) -> None:
        self.name, self.turns, self.error = name, turns, error

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._run().__await__()

    async def _run(self) -> Any:
        LOG.append(("begin", self.name))
        for _ in range(self.turns):
            await asyncio.sleep(0)
        LOG.append(("end", self.name))
        if self.error is not None:
            raise self.error
        return self.name


def work(name: Any, turns: int = 1) -> Work:
    """A step that gives its name."""
    return Work(name, turns, None)


def breaks(name: Any, error: BaseException, turns: int = 1) -> Work:
    """A step that fails."""
    return Work(name, turns, error)


class LoggingStore(RecordingStore):
    """Keeps every state, with what had been logged when it was saved."""

    def __init__(self, first: bytes | None = None) -> None:
        super().__init__(first)
        self.logs: list[list[tuple[str, Any]]] = []

    async def save(self, instance_id, state):
        await super().save(instance_id, state)
        self.logs.append(list(LOG))


def anywhere(
    *args: Any,
    plain: bool = True,
    late: bool = False,
    at_least: int = 1,
    events: dict[str, Any] | None = None,
    **options: Any,
):
    """A decorator: test the function plainly, durably, and resumed from every state.

    Args:
        args: what the function is called with.
        plain: whether the function means the same without durability.
        late: whether deadlines decide how far a run gets.
        at_least: how many states it must have saved.
        events: what to publish, by name, when the function waits for it.
        options: for make_durable.
    """

    def decorate(function: Function) -> Any:
        @functools.wraps(function)
        async def test() -> None:
            await check(function, args, plain, late, at_least, events or {}, options)

        test.__signature__ = inspect.Signature()  # type: ignore[attr-defined]
        return test

    return decorate


async def check(
    function: Function,
    args: tuple[Any, ...],
    plain: bool,
    late: bool,
    at_least: int,
    events: dict[str, Any],
    options: dict[str, Any],
) -> None:
    """Run a function plainly, durably, and from every state."""
    store = LoggingStore()
    durably = await outcome(run(function, args, store, events, options))
    log = list(LOG)
    if plain:
        plainly = await outcome(function(*copy.deepcopy(args)))
        assert plainly == durably, f"durable and plain runs differ: {durably} instead of {plainly}"
        assert late or Counter(log) == Counter(LOG), "durable and plain runs have other effects"
    assert len(store.states) >= at_least, f"only {len(store.states)} states were saved"
    for index, (_, state) in enumerate(store.states):
        before = store.logs[index - 1] if index else []  # what ends while a state is written is in the next one
        if pickle.loads(state)["status"] == "ERROR":
            continue
        where = f"resumed from state {index + 1} of {len(store.states)}"
        resumed = await outcome(run(function, args, LoggingStore(state), events, options))
        assert resumed == durably, f"{where}: {resumed} instead of {durably}"
        finished = {name for kind, name in before if kind == "end"}
        again = {name for kind, name in LOG if kind == "begin"}
        assert not finished & again, f"{where}: {finished & again} ran again"
        ends = {name for kind, name in [*store.logs[index], *LOG] if kind == "end"}
        assert late or ends == {name for kind, name in log if kind == "end"}, f"{where}: something did not run"


async def outcome(awaitable: Any) -> Any:
    """What an awaitable gives, in a form that can be compared."""
    LOG.clear()
    limit = asyncio.timeout(10)
    try:
        async with limit:
            value = await asyncio.create_task(awaitable)  # a task may keep a count of cancellations
    except AssertionError:
        raise
    except BaseExceptionGroup as error:
        return "raised", type(error), error.message, [repr(inner) for inner in error.exceptions]
    except BaseException as error:
        return "raised", [(kind, text) for kind, text, *_ in chain(error)]
    finally:
        assert not limit.expired(), "it did not end by itself"
    return "returned", value
