"""What is easily got wrong: lifetimes, names, definitions, unreachable code.  PYTEST_DONT_REWRITE"""

import asyncio
import difflib
import gc
import importlib
import linecache
import os
import subprocess
import sys
import warnings
import weakref
from pathlib import Path

import pytest

from durable_ast import DurableBackend, NotPersistableWarning, PauseForEventException, make_durable, wait_for_event
from tests.effects import LOG, fail, note, step, turn
from tests.everywhere import everywhere

END = object()


@everywhere()
async def test_definitions_whose_parts_await():
    async def labelled(label):
        await step(label)
        return lambda made: (label, made.__name__)

    @(await labelled("first"))
    @(await labelled("second"))
    def decorated(a=await step("default"), *, b=await step("keyword")):
        return a, b

    class Made(await step(Exception), **await step({})):
        kind = "made"

    return decorated[0], Made.kind, issubclass(Made, Exception)


class Tracked:
    pass


async def test_an_operand_is_let_go_of_when_its_statement_is_over():
    seen = []

    async def program():
        tracked = Tracked()
        link = weakref.ref(tracked)
        [tracked, await step(1)]
        del tracked
        seen.append(link() is None)
        for _ in [Tracked()]:
            await step(2)

    await make_durable(program)(orchestration_backend=DurableBackend())
    assert seen == [True]


@everywhere()
async def test_an_annotated_name_that_a_closure_reads():
    total: int = await step(1)

    def add(value: int) -> int:
        nonlocal total
        total += value
        return total

    add(await step(2))
    await step(3)
    later: "undefined_name"  # noqa: F821
    return add(4), total


class _Vault:
    __secret = "class"

    def __init__(self):
        self.__held = "instance"

    async def open(self):
        __local = "local"
        await step(1)

        def inner():
            return __local, self.__held

        await step(2)
        return inner(), self.__secret


@everywhere()
async def test_private_names():
    return await _Vault().open()


if True:

    async def _twice(x):
        return "first", await step(x)

    first_twice = _twice

    async def _twice(x):
        await step("other")
        return "second", await step(x)


@everywhere()
async def test_two_functions_of_one_name():
    return await first_twice(1), await _twice(2)


@everywhere()
async def test_a_sentinel_of_the_module_is_itself():
    found = END
    await step(1)
    return found is END, found is not object()


@everywhere()
async def test_unreachable_code():
    await step(1)
    if False:

        def never():
            return await_me

        await step("never")
    while True:
        await step(2)
        break
        await step("never")
    return "end"
    await step("never")


@everywhere()
async def test_an_exception_is_handled_here_while_a_callee_waits():
    async def callee():
        try:
            raise KeyError("inner")
        except KeyError:
            await step("in both handlers")
            raise IndexError("last") from None

    try:
        try:
            await fail(ValueError("outer"))
        except ValueError:
            await callee()
    except IndexError as error:
        await step("handled")
        return repr(error), repr(error.__context__), repr(error.__context__.__context__)


@everywhere()
async def test_a_stale_completion_is_not_repeated():
    out = []
    for turn in range(3):
        try:
            if turn == 0:
                continue
            if turn == 1:
                break
        finally:
            out.append(await step(turn))
            if turn == 0:
                continue
            try:
                out.append("tried")
            finally:
                out.append(await step("inner"))
    return out


async def test_nothing_of_a_paused_instance_runs_when_it_leaves_memory():
    async def program():
        try:
            await step("before")
            await wait_for_event("never")
        except BaseException as error:
            note(type(error).__name__)
            raise
        finally:
            note("finally")

    LOG.clear()
    backend = DurableBackend()
    with pytest.raises(PauseForEventException):
        await make_durable(program)(orchestration_backend=backend, instance_id="paused")
    gc.collect()
    assert LOG == [("step", "before")]


async def test_an_object_that_fails_to_be_saved_leaves_the_run_alone():
    class Stubborn:
        def __reduce__(self):
            raise OSError("not today")

    async def program():
        held = Stubborn()
        await step(1)
        return held is not None

    with pytest.warns(UserWarning, match=r"'held' .*Stubborn.* not today"):
        assert await make_durable(program)(orchestration_backend=DurableBackend())


TYPE_PARAMETERS = """
from tests.effects import step

async def identity[T: int, *Ts, **P](value: T, *rest: *Ts) -> T:
    bound = T.__bound__
    await step(1)
    return value, rest, T.__name__, bound, T.__bound__ is bound

async def program():
    type Number = int | float
    found = await identity(3, 4)
    await step(2)
    return found, str(Number), Number.__value__ == (int | float)
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax is new in Python 3.12")
def test_type_parameters():
    from tests.fuzz.oracle import check

    assert check(TYPE_PARAMETERS) > 3


TEMPLATES = """
from tests.effects import step

async def program():
    name = "x"
    made = t"{await step(1)!r:>{await step(4)}} {name}"
    await step(2)
    return [(part.value, part.conversion, part.format_spec) for part in made.interpolations], made.strings
"""


@pytest.mark.skipif(sys.version_info < (3, 14), reason="the syntax is new in Python 3.14")
def test_template_strings():
    from tests.fuzz.oracle import check

    assert check(TEMPLATES) > 3


WITHOUT_PARENTHESES = """
from tests.effects import fail, note, step

async def program():
    try:
        await fail(KeyError(await step("key")))
    except ValueError, KeyError:
        return await step("caught")
    finally:
        note("finally")
"""


@pytest.mark.skipif(sys.version_info < (3, 14), reason="the syntax is new in Python 3.14")
def test_except_without_parentheses():
    from tests.fuzz.oracle import check

    assert check(WITHOUT_PARENTHESES) > 3


LATER = """
from tests.effects import step

async def program():
    def annotated(x: int, *rest: str) -> Later:
        return x
    await step(1)
    class Later:
        pass
    return annotated(await step(2)), annotated.__annotations__["return"] is Later
"""


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated when they are asked for since 3.14")
def test_annotations_that_are_evaluated_later():
    from durable_ast import explain
    from tests.fuzz.oracle import module_of

    with module_of(LATER) as module:
        assert asyncio.run(make_durable(module.program)(orchestration_backend=DurableBackend())) == (2, True)
        explain(module.program)


FUTURE = """
from __future__ import annotations
from tests.effects import step

async def program():
    def annotated(x: not_defined) -> neither:
        return x
    await step(1)
    return annotated(await step(2)), annotated.__annotations__
"""


def test_future_imports():
    from tests.fuzz.oracle import check

    assert check(FUTURE) > 2


@everywhere()
async def test_a_generator_of_a_library_that_has_a_source():
    found = []
    for line in difflib.unified_diff(["same", "old"], ["same", "new", "more"], lineterm=""):
        found.append(await step(line))
    return found


async def test_a_generator_without_a_source_is_named():
    namespace = {}
    exec("def numbers():\n    yield 1\n    yield 2\n", namespace)

    async def program():
        held = namespace["numbers"]()
        next(held)
        await step("between")
        return next(held)

    with pytest.warns(NotPersistableWarning, match=r"'held' \(builtins.generator\) .*source text cannot be found"):
        assert await make_durable(program)(orchestration_backend=DurableBackend()) == 2


class _ByHand:
    """Awaits a coroutine in a way that nobody can look into."""

    def __init__(self, coroutine):
        self._coroutine = coroutine

    def __await__(self):
        waiting = self._coroutine.__await__()
        while True:
            try:
                yield waiting.send(None)
            except StopIteration as stop:
                return stop.value


@everywhere()
async def test_a_coroutine_that_something_else_drives_is_one_step():
    async def inner():
        return await step(1), await turn(2)

    found = await _ByHand(inner())
    return found, await step(3)


AT_EXIT = """
import asyncio
from durable_ast import DurableBackend, PauseForEventException, make_durable, wait_for_event

async def inner():
    try:
        await wait_for_event("never")
    finally:
        print("finally")

@make_durable
async def program():
    try:
        await inner()
    except BaseException as error:
        print(type(error))
        raise

async def main():
    try:
        await program(orchestration_backend=DurableBackend())
    except PauseForEventException:
        print("paused")

asyncio.run(main())
"""


def test_nothing_of_a_paused_instance_runs_when_its_process_ends(tmp_path):
    (tmp_path / "program.py").write_text(AT_EXIT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, tmp_path / "program.py"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert done.stdout + done.stderr == "paused\n"


def test_the_version_of_a_function_covers_those_in_it():
    def version(text):
        filename = f"<version of {hash(text)}>"
        linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
        namespace = {"__name__": __name__}
        exec(compile(text, filename, "exec"), namespace)
        return make_durable(namespace["outer"]).compiled.version

    text = "async def outer():\n    def inner():\n        return 1\n    return inner\n"
    assert version(text) == version(text.replace("return 1", '"""Docs."""\n        return 1  # one'))
    assert version(text) != version(text.replace("return 1", "return 2"))


def test_a_warning_of_the_compiler_is_shown_once(tmp_path, monkeypatch):
    text = "async def program(x):\n    return x is 1, '\\d', await x\n"
    (tmp_path / "warned_about.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make_durable(importlib.import_module("warned_about").program)
    assert len(caught) == 2 and not any("durable_ast" in warning.filename for warning in caught)
