"""What is saved at a point is what a later path may read: found a second time, from the bytecode.

The compiler finds it from the text.  Here the code that runs is followed instruction by instruction,
backwards, along jumps and along the exception table.
"""

import dis
import re

from hypothesis import HealthCheck, given, settings

from durable_ast import make_durable
from durable_ast.compiler.names import BLOCK, is_hidden
from tests.fuzz.oracle import module_of
from tests.fuzz.programs import programs

ENDS = {"RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE", "JUMP_FORWARD", "JUMP_BACKWARD"} | {
    "JUMP_BACKWARD_NO_INTERRUPT"
}


def accesses(instruction):
    """The variables that an instruction reads or writes, in order."""
    kinds = re.findall(r"(LOAD|STORE|DELETE)_FAST", instruction.opname)
    names = instruction.argval if isinstance(instruction.argval, tuple) else (instruction.argval,)
    return list(zip(kinds, names, strict=True)) if kinds else []


def live_before(code):
    """The variables that may be read from each instruction on."""
    bytecode = dis.Bytecode(code)
    instructions = list(bytecode)
    following = {}
    for index, instruction in enumerate(instructions):
        ways = []
        if instruction.opcode in dis.hasjrel or instruction.opcode in dis.hasjabs:
            ways.append(instruction.argval)
        if instruction.opname not in ENDS and index + 1 < len(instructions):
            ways.append(instructions[index + 1].offset)
        for entry in bytecode.exception_entries:
            if entry.start <= instruction.offset < entry.end:
                ways.append(entry.target)
        following[instruction.offset] = ways
    live = {instruction.offset: frozenset() for instruction in instructions}
    changed = True
    while changed:
        changed = False
        for instruction in reversed(instructions):
            after = frozenset().union(*(live.get(way, frozenset()) for way in following[instruction.offset]))
            for kind, name in reversed(accesses(instruction)):
                after = after - {name} if kind == "STORE" else after | {name}
            if after != live[instruction.offset]:
                live[instruction.offset] = after
                changed = True
    return live


def live_at_points(code):
    """The variables that may be read after each point has suspended, by its number."""
    live, found, number = live_before(code), {}, None
    before = None
    for instruction in dis.Bytecode(code):
        if ("STORE", BLOCK) in accesses(instruction):
            number = before.argval
        elif instruction.opname == "SEND" and number is not None:
            found[number] = found.get(number, frozenset()) | live[instruction.offset]
        before = instruction
    return found


def compare(text):
    """What is saved beyond need, over the points of the function `program` in a module of this text."""
    if "locals()" in text:
        return set()  # all are saved
    with module_of(text) as module:
        compiled = make_durable(module.program).compiled
    seen = {*compiled.locals} - {*compiled.code.co_cellvars}  # before 3.12 comprehensions are functions
    idle = set()
    for number, read in live_at_points(compiled.code).items():
        kept = {*compiled.live[number].locals} & seen
        wanted = read & seen
        assert wanted <= kept, f"point {number}: {sorted(wanted - kept)} may be read, and is not saved\n\n{text}"
        idle |= {(number, name) for name in kept - wanted if not is_hidden(name)}
    return idle


@settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(programs())
def test_nothing_that_may_be_read_is_left_out(text):
    compare(text)


EXACT = """
from tests.effects import *

async def program(connection, order, discount):
    lines = connection.lines(order)
    total = 0
    for line in lines:
        total += await step(line)
    try:
        receipt = await step(total)
    except KeyError:
        receipt = order
    if discount:
        label = await step(receipt)
        return label
    note = lambda: total
    await step(receipt)
    return note()
"""


def test_explain_shows_what_is_saved_and_what_is_not():
    assert not compare(EXACT)
    with module_of(EXACT) as module:
        blocks = make_durable(module.program).blocks
    saved = [{name for name in block.keeps if not is_hidden(name)} for block in blocks]
    assert saved == [set(), {"order", "discount"}, {"order", "discount", "total"}, set(), {"note"}]
    assert all("connection" in block.drops for block in blocks[1:])
