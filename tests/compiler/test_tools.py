"""Debuggers, coverage, profilers and tracebacks see the text that the user wrote."""

import ast
import cProfile
import io
import os
import pdb  # noqa: T100
import pstats
import re
import subprocess
import sys
import traceback
import warnings
from pathlib import Path

from durable_ast import DurableBackend, make_durable
from tests.effects import agenerated, fail, step

HERE = Path(__file__).name


async def shipped(order):
    total = 0
    for item in order:
        if item > 1:
            total += await step(item)
        else:
            total -= 1
    try:
        await step(total)
    finally:
        total *= 2
    return total


async def durably(function, *args):
    return await make_durable(function)(*args, orchestration_backend=DurableBackend())


async def traced(call, trace):
    """Await a call under a trace function."""
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        await call
    finally:
        sys.settrace(before)


async def lines_of(call, function):
    """The lines of a function, in the order in which a tracer sees them, and the name of each frame."""
    seen = []

    def trace(frame, event, argument):
        if frame.f_code.co_filename != __file__ or frame.f_code.co_name != function.__name__:
            return None
        if event == "line":
            seen.append((frame.f_lineno - function.__code__.co_firstlineno, frame.f_code.co_qualname))
        return trace

    await traced(call, trace)
    return seen


async def test_a_tracer_sees_the_lines_of_plain_code():
    plainly = await lines_of(shipped([1, 2]), shipped)
    assert plainly
    assert set(await lines_of(durably(shipped, [1, 2]), shipped)) == set(plainly)


async def failing(order):
    await step(order)
    return await (
        fail(KeyError(order))
    )  # fmt: skip


async def outer(order):
    return 1 + await failing(order)


async def test_a_traceback_shows_the_users_lines_and_marks():
    async def shown(call):
        try:
            await call
        except KeyError as error:
            entries = [e for e in traceback.extract_tb(error.__traceback__) if e.name in ("outer", "failing", "fail")]
            return [(e.name, e.lineno, e.end_lineno, e.colno, e.end_colno, e.line) for e in entries]

    assert await shown(durably(outer, 7)) == await shown(outer(7))


async def test_there_is_at_most_one_library_frame_in_a_traceback():
    try:
        await durably(outer, 7)
    except KeyError as error:
        files = [entry.filename for entry in traceback.extract_tb(error.__traceback__)]
    assert sum("/durable_ast/" in file for file in files) <= 1


async def test_a_breakpoint_stops_and_stepping_goes_by_the_users_lines():
    first = shipped.__code__.co_firstlineno
    commands = io.StringIO(f"break {__file__}:{first + 4}\ncontinue\np item, total\nnext\nwhere\nclear 1\ncontinue\n")
    shown = io.StringIO()
    debugger = pdb.Pdb(stdin=commands, stdout=shown, nosigint=True, readrc=False)
    before = sys.gettrace()
    debugger.set_trace()
    try:
        result = await durably(shipped, [1, 2])
    finally:
        sys.settrace(before)
    assert result == 2
    assert "(2, -1)" in shown.getvalue()
    assert f"{HERE}({first + 4})shipped()" in shown.getvalue()


STEPPED = """
import asyncio, sys
from durable_ast import Durability, DurableBackend, make_durable

async def helper(x):
    y = x * 2
    return y

async def program(n):
    total = 0
    for i in range(n):
        total += await helper(i)
    try:
        total = await helper(total) + await helper(1)
    finally:
        total += 1
    return total

function = make_durable(program, durability=Durability.PAUSES) if "durably" in sys.argv else program
options = {"orchestration_backend": DurableBackend()} if "durably" in sys.argv else {}
asyncio.run(function(2, **options))
"""


def test_stepping_into_awaits_stays_in_the_users_code(tmp_path):
    (tmp_path / "stepped.py").write_text(STEPPED)
    commands = "break stepped.py:11\ncontinue\n" + "step\n" * 24 + "quit\n"

    def places(*arguments):
        command = [sys.executable, "-m", "pdb", "stepped.py", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(
            command, input=commands, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        return re.findall(r"^(?:\(Pdb\) )*> (.+)", done.stdout, re.M)

    assert places("durably") == places() != []


async def warned(x):
    await step(x)
    warnings.warn("too much", UserWarning, stacklevel=1)
    return await step(x)


async def test_a_warning_points_at_the_users_line():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        await durably(warned, 1)
    (warning,) = caught
    assert (Path(warning.filename).name, warning.lineno) == (HERE, warned.__code__.co_firstlineno + 2)


async def test_a_profiler_names_the_users_functions():
    profile = cProfile.Profile()
    profile.enable()
    await durably(shipped, [2])
    profile.disable()
    names = {(Path(file).name, name) for file, _, name in pstats.Stats(profile).stats}
    assert (HERE, "shipped") in names


async def compared(one, other):
    return await step(1) if one is not other and one < 2 <= other + 1 else 0


async def test_who_gives_nodes_a_parent_marks_the_operators_of_all_trees():
    """As `executing` does, and with it whoever shows values in tracebacks: operators are shared by all trees."""
    tree = ast.parse("print(one is not other, one < two <= two + 1, one and not two)")
    marked = []
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            child.parent = node
            marked.append(child)
    try:
        assert await durably(compared, 1, 2) == 1
    finally:
        for node in marked:
            vars(node).pop("parent", None)


async def loops(order):
    """Variables that are shared, and ways out of loops."""
    total = 0

    def add(value):
        nonlocal total
        total += value

    for item in order:
        add(await step(item))
    else:
        add(1)
    for item in order:
        if await step(item):
            break
    async for item in agenerated(*order):
        add(item)
        break
    return total


async def sequence_of(call):
    """The lines and exceptions that a tracer sees in this file, in order."""
    seen = []

    def trace(frame, event, argument):
        if frame.f_code.co_filename != __file__:
            return None
        if event in ("line", "exception") and frame.f_code.co_name != "durably":
            seen.append((event, frame.f_code.co_name, frame.f_lineno))
        return trace

    await traced(call, trace)
    return seen


async def test_who_steps_through_loops_sees_each_line_as_often_as_in_plain_code():
    async def around(order):
        return await loops(order)

    await durably(around, [1, 2])  # compiled before it is traced
    plainly = await sequence_of(around([1, 2]))
    assert await sequence_of(durably(around, [1, 2])) == plainly
