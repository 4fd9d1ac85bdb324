"""Run a program plainly, durably, and from each of its checkpoints, and compare."""

import asyncio
import contextlib
import hashlib
import linecache
import pickle
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType

from durable_ast import DurableBackend, UnsupportedSyntaxError, make_durable
from tests.everywhere import RecordingStore, outcome

MOST_EFFECTS = 150
"""Programs with more are not run durably: they take long and show nothing new."""


def check(text: str) -> int:
    """Compare all runs of the function `program` in a module of this text; gives how many there were.

    Raises:
        AssertionError: two of them differ.
    """
    with module_of(text) as module:
        plainly = asyncio.run(outcome(module.program))
        if len(plainly[1]) > MOST_EFFECTS:
            return 1
        store = RecordingStore()
        try:
            durably = _durably(module, store)
        except UnsupportedSyntaxError as error:
            if "too many blocks inside one another" in str(error):
                return 1  # as documented
            raise
        assert durably == plainly, f"durable and plain runs differ:\n{durably}\n{plainly}"
        kept = [(seen, state) for seen, state in store.states if pickle.loads(state)["status"] != "ERROR"]
        for number, (executed, state) in enumerate(kept, 1):
            again = _durably(module, RecordingStore(state))
            expected = plainly[0], plainly[1][executed:]
            assert again == expected, f"resumed from state {number} of {len(kept)}:\n{again}\n{expected}"
        return 2 + len(kept)


@contextlib.contextmanager
def module_of(text: str) -> Iterator[ModuleType]:
    """A module of this text, which is found again by its name for as long as it is needed."""
    name = "fuzz_" + hashlib.sha256(text.encode()).hexdigest()[:16]
    module = ModuleType(name)
    module.__file__ = f"/tests/fuzz/{name}.py"
    linecache.cache[module.__file__] = (len(text), None, text.splitlines(keepends=True), module.__file__)
    sys.modules[name] = module
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            exec(compile(text, module.__file__, "exec"), module.__dict__)
        yield module
    finally:
        del sys.modules[name]


def _durably(module: ModuleType, store: RecordingStore) -> tuple[object, list[object]]:
    program = make_durable(module.program)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where nothing can be saved, there is one checkpoint less
        return asyncio.run(outcome(lambda: program(orchestration_backend=DurableBackend(store), instance_id="it")))
