"""One rewritten test: does it behave durably as it does plainly?

Every run is in a process of its own, forked from one that has never run a test.  A run gives whether
the test passed and the trace of the awaits it went through.

A test is *kept* if it passes plainly, twice, with the same trace.  It is *persistable* if at each
await all of its variables can be pickled, and it still passes when they are replaced by their
unpickled copies then and there, and the test case by one that was just set up: such a test keeps
nothing anywhere else.
"""

import asyncio
import contextlib
import ctypes
import os
import pickle
import select
import signal
import sys
import unittest
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from durable_ast import DurableBackend, NotPersistableWarning, StateStore, make_durable

SECONDS = 10
MOST_AWAITS = 600
MOST_STATES = 8
"""How many of its checkpoints a test is resumed from."""

trace: list[Any] = []
_replacing = False
_PLAIN = (int, str, float, bytes, type(None))


async def tick(site: int) -> None:
    """The await between two statements."""
    _note(site)


async def same(site: int, value: Any) -> Any:
    """The await around an operand."""
    _note((site, repr(value) if type(value) in _PLAIN else type(value).__name__))
    return value


def _note(entry: Any) -> None:
    trace.append(entry)
    if _replacing:
        _replace_locals(sys._getframe(2))
    if len(trace) > MOST_AWAITS:
        raise TimeoutError("too many awaits")


def _replace_locals(frame: Any) -> None:
    """Put pickled and unpickled copies of its variables into a running frame."""
    values = dict(frame.f_locals)
    data = pickle.dumps(values)
    assert _running is not None
    _set_up(type(_running), _running._testMethodName)
    copies = pickle.loads(data)
    frame.f_locals.update(copies)
    if sys.version_info < (3, 13):
        ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))


# the test case is the same one in every process: what it holds is the world's, not the function's

_running: unittest.TestCase | None = None


def _the_case() -> unittest.TestCase | None:
    return _running


def _set_up(cls: type[unittest.TestCase], name: str) -> unittest.TestCase:
    global _running
    _running = cls(name)
    _running.setUp()
    return _running


def prepare() -> None:
    """Let test cases be pickled by reference, and sub-tests be plain blocks."""
    unittest.TestCase.__reduce__ = lambda self: (_the_case, ())
    unittest.TestCase.subTest = lambda self, *args, **kwargs: contextlib.nullcontext()


@dataclass(frozen=True)
class Run:
    """What came of one run."""

    problem: str | None
    trace: list[Any] = field(default_factory=list)
    states: list[tuple[int, bytes]] = field(default_factory=list)


class _Recording(StateStore):
    def __init__(self, first: bytes | None = None) -> None:
        self.states: list[tuple[int, bytes]] = []
        self.last = first

    async def load(self, instance_id: str) -> Any:
        return None if self.last is None else pickle.loads(self.last)

    async def save(self, instance_id: str, state: Any) -> None:
        self.last = pickle.dumps(state)
        self.states.append((len(trace), self.last))


def _run(cls: type[unittest.TestCase], name: str, how: Callable[[Any], Any]) -> Run:
    """Set the test up, run it, tear it down."""
    trace.clear()
    problem = None
    store = _Recording()
    try:
        cls.setUpClass()
        case = _set_up(cls, name)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotPersistableWarning)
                asyncio.run(how(case, store))
        finally:
            case.tearDown()
            case.doCleanups()
    except BaseException as error:
        problem = f"{type(error).__name__}: {error}"[:300]
    return Run(problem, list(trace), store.states)


def plainly(cls: type[unittest.TestCase], name: str) -> Run:
    return _run(cls, name, lambda case, store: getattr(cls, name)(case))


def replaced(cls: type[unittest.TestCase], name: str) -> Run:
    global _replacing
    _replacing = True
    return plainly(cls, name)


def durably(cls: type[unittest.TestCase], name: str, state: bytes | None = None) -> Run:
    program = make_durable(getattr(cls, name))

    def run(case: Any, store: _Recording) -> Any:
        store.last = state
        return program(case, orchestration_backend=DurableBackend(store), instance_id="it")

    return _run(cls, name, run)


def isolated(call: Callable[[], Run]) -> Run:
    """The result of a call in a forked process, which has so many seconds."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _in_child(call, writing)
    os.close(writing)
    data = b""
    with os.fdopen(reading, "rb") as pipe:
        while select.select([pipe], [], [], SECONDS)[0] and (part := os.read(pipe.fileno(), 1 << 16)):
            data += part
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        result: Run = pickle.loads(data)
    except Exception:
        return Run("the process died, or took too long")
    return result


def _in_child(call: Callable[[], Run], writing: int) -> None:
    try:
        silent = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(silent, standard)
        data = pickle.dumps(call())
        while data:
            data = data[os.write(writing, data) :]
    finally:
        os._exit(0)


@dataclass(frozen=True)
class Verdict:
    """What a test has shown."""

    name: str
    kept: bool = False
    persistable: bool = False
    problem: str | None = None
    resumed_problem: str | None = None
    resumed: int = 0


def judge(cls: type[unittest.TestCase], name: str) -> Verdict:
    """Run one test in every way."""
    title = f"{cls.__module__}.{cls.__qualname__}.{name}"
    plain = isolated(lambda: plainly(cls, name))
    if plain.problem is not None or isolated(lambda: plainly(cls, name)) != plain:
        return Verdict(title)
    persistable = isolated(lambda: replaced(cls, name)) == plain
    durable = isolated(lambda: durably(cls, name))
    problem = durable.problem
    if problem is None and durable.trace != plain.trace:
        problem = "it went another way"
    if problem is not None:
        return Verdict(title, True, persistable, problem)
    states = durable.states[:: max(1, -(-len(durable.states) // MOST_STATES))]
    for executed, state in states:
        again = isolated(lambda state=state: durably(cls, name, state))  # type: ignore[misc]
        problem = again.problem
        if problem is None and again.trace != plain.trace[executed:]:
            problem = "it went another way"
        if problem is not None:
            return Verdict(title, True, persistable, None, f"after {executed} awaits: {problem}", len(states))
    return Verdict(title, True, persistable, None, None, len(states))
