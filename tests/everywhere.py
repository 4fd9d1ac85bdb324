"""The standard of proof: a function gives the same plainly, durably, and resumed from every checkpoint.

``@everywhere()`` turns an async function into a test.  It is run

* plainly, where that is possible;
* durably, with every saved state recorded;
* from each of these states, with a fresh program, backend and store that hold nothing else.

Result or exception (with its chain and the lines of its traceback) must be equal each time, and so
must the log of effects: a resumed run has exactly the effects that came after its checkpoint.
"""

import copy
import functools
import inspect
import pickle
import traceback
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

from durable_ast import DurableBackend, NotPersistableWarning, PauseForEventException, StateStore, make_durable

from .effects import LOG

Function = Callable[..., Coroutine[Any, Any, Any]]


class RecordingStore(StateStore):
    """Keeps every state of one instance as bytes, with how much had been logged when it was saved."""

    def __init__(self, first: bytes | None = None) -> None:
        self.states: list[tuple[int, bytes]] = []
        self.last = first

    async def load(self, instance_id):
        state = None if self.last is None else pickle.loads(self.last)
        return state if state is not None and state["instance_id"] == instance_id else None

    async def save(self, instance_id, state):
        self.last = pickle.dumps(state)
        self.states.append((len(LOG), self.last))


def everywhere(*args: Any, plain: bool = True, events: dict[str, Any] | None = None, **options: Any):
    """A decorator: test the function everywhere.

    Args:
        args: what the function is called with; each run gets a copy.
        plain: whether the function means the same without durability.
        events: what to publish, by name, when the function waits for it.
        options: for make_durable.
    """

    def decorate(function: Function) -> Callable[[], Coroutine[Any, Any, None]]:
        @functools.wraps(function)
        async def test() -> None:
            await check(function, args, plain=plain, events=events or {}, options=options)

        test.__signature__ = inspect.Signature()  # type: ignore[attr-defined]
        return test

    return decorate


async def check(
    function: Function, args: tuple[Any, ...], *, plain: bool, events: dict[str, Any], options: dict[str, Any]
) -> None:
    """Run a function plainly, durably, and from every checkpoint."""
    store = RecordingStore()
    durably = await outcome(lambda: run(function, args, store, events, options))
    if plain:
        plainly = await outcome(lambda: function(*copy.deepcopy(args)))
        assert durably == plainly, "durable and plain runs differ"
    assert store.states, "no state was saved"
    log = durably[1]
    for index, (executed, state) in enumerate(store.states):
        if pickle.loads(state)["status"] == "ERROR":
            continue  # calling it again runs the block that failed again
        again = await outcome(lambda state=state: run(function, args, RecordingStore(state), events, options))
        assert again == (durably[0], log[executed:]), f"resumed from state {index + 1} of {len(store.states)}"


async def run(
    function: Function, args: tuple[Any, ...], store: StateStore, events: dict[str, Any], options: dict[str, Any]
) -> Any:
    """Call a program until it ends, publishing each event that it waits for."""
    for _ in range(100):
        backend = DurableBackend(store)
        program = make_durable(function, **options)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", NotPersistableWarning)
                return await program(*copy.deepcopy(args), orchestration_backend=backend, instance_id="it")
        except PauseForEventException as pause:
            publisher = DurableBackend(store)
            publisher.publish_event("it", pause.event, events.get(pause.event))
            await publisher.load_state("it")
    raise AssertionError("still waiting after 100 events")


async def outcome(call: Callable[[], Coroutine[Any, Any, Any]]) -> tuple[Any, list[object]]:
    """What a call gives, in a form that can be compared, and what it logged."""
    LOG.clear()
    try:
        value = await call()
        result: Any = ("returned", value, type(value))
    except AssertionError:
        raise
    except BaseException as error:
        result = ("raised", chain(error))
    return result, list(LOG)


def chain(error: BaseException | None) -> list[Any]:
    """An exception and those behind it: type, text, notes, and the user's lines of the traceback."""
    links: list[Any] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        lines = [(f.name, f.lineno) for f in traceback.extract_tb(error.__traceback__) if _is_users(f.filename)]
        links.append((type(error), str(error), getattr(error, "__notes__", None), lines, error.__suppress_context__))
        error = error.__cause__ or error.__context__
    return links


def _is_users(filename: str) -> bool:
    return "/tests/" in filename and not filename.endswith("everywhere.py")
