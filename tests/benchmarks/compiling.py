"""What it costs to compile a function, and what the compiled one costs where it does not await."""

import ast
import asyncio
import linecache
from time import process_time
from types import FunctionType

from durable_ast import DurableBackend, make_durable
from durable_ast.compiler.compile import compile_function

from .measure import Row, Table, fastest, times

LENGTHS = (50, 500, 5_000)
TURNS = 3_000_000

_PART = """\
    x{0} = a + b * {0}
    if x{0} > 3:
        y = await step(x{0}, b)
        a = y + 1
    for z in range(3):
        b += z
        await step(z)
    s = f"{{a}} {{b}}"
    d = [q for q in range(x{0})]
    b = len(d) + len(s)
"""


def compiling() -> Table:
    """Compile functions of some lengths, each for the first time."""
    rows = []
    for length in LENGTHS:
        repeats = max(3, 1_000 // length)
        functions = [_function(length, number) for number in range(repeats)]
        nodes = sum(1 for _ in ast.walk(ast.parse(_text(length))))
        waiting = iter(functions)
        seconds = fastest(lambda waiting=waiting: _compile(next(waiting)), repeats=repeats, clock=process_time)
        rows.append(Row(f"{length} lines", f"{seconds * 1e3:.1f} ms", f"{seconds / nodes * 1e6:.1f} us"))
    return Table("Compiling a function", "per node of its tree, finding its source included", rows)


def _text(length: int) -> str:
    return "async def program(a, b):\n" + "".join(_PART.format(number) for number in range(length // 10))


def _function(length: int, number: int) -> FunctionType:
    name, text = f"<benchmark of {length} lines, {number}>", _text(length)
    linecache.cache[name] = len(text), None, text.splitlines(keepends=True), name
    namespace = {"__name__": __name__}
    exec(compile(text, name, "exec"), namespace)
    return namespace["program"]


def _compile(function: FunctionType) -> None:
    compile_function(function.__code__, function.__globals__)


async def summing(turns: int) -> int:
    """Work without an await."""
    total = 0
    for number in range(turns):
        if number % 3:
            total += number * 2 % 7
        else:
            total ^= number
    return total


def computing() -> Table:
    """Run a loop without awaits, plainly and durably."""
    plainly = fastest(lambda: asyncio.run(summing(TURNS)), clock=process_time)
    program = make_durable(summing)
    durably = fastest(
        lambda: asyncio.run(program(TURNS, orchestration_backend=DurableBackend())), clock=process_time
    )  # fmt: skip
    rows = [
        Row("plain", f"{plainly * 1e3:.0f} ms"),
        Row("durable", f"{durably * 1e3:.0f} ms", times(durably / plainly)),
    ]
    return Table("A loop without awaits", "beside plain code", rows)
