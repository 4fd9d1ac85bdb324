"""What CPython keeps on the value stack of a suspended generator.

Input:   the code object of a generator, and where it is suspended.
Output:  what each slot of its value stack is: the iterator of a loop, the exit of a manager, ...

The user's own generators run as they are, uncompiled: nothing about them is changed, and they may
have been started long before anything durable saw them.  Their variables can be read from outside;
so can the objects on their value stack, which the garbage collector visits.  This tells which of
these objects is what, by following the stack through the bytecode.
"""

from __future__ import annotations

import dis
import enum
import functools
import itertools
import sys
from types import CodeType
from typing import TypeAlias


class Slot(enum.Enum):
    """What an object on the value stack is there for."""

    VALUE = "a value in the middle of an expression"
    NULL = "nothing"
    PARTIAL = "a list, set or dictionary that may not be complete"
    SELF = "the object of a method, unless that is bound"
    ITERATOR = "the iterator of a loop"
    EXIT = "the exit method of a manager"
    EXIT_OWNER = "the manager of an exit method, if that is not bound"
    EXCEPTION = "the exception being handled"
    PREVIOUS = "the exception that was being handled before"
    POSITION = "where an exception was raised"


Stack: TypeAlias = tuple[Slot, ...]

_BUILDS = frozenset({"BUILD_LIST", "BUILD_SET", "BUILD_MAP", "BUILD_CONST_KEY_MAP"})
_LEAVES = frozenset(
    {"RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE", "JUMP_FORWARD", "JUMP_BACKWARD"}
    | {"JUMP_BACKWARD_NO_INTERRUPT", "INTERPRETER_EXIT"}
)


_JUMPS = {*dis.hasjrel, *dis.hasjabs} - {dis.opmap["END_ASYNC_FOR"]}
"""Since Python 3.14 the end of an ``async for`` says where that is, which is no place to go on at."""

_AFTER_YIELD = 1
"""What the argument of RESUME says there."""

_NULL_FIRST = sys.version_info < (3, 13)
_CALLS_BY_LOAD_ATTR = sys.version_info >= (3, 12)


def suspended_at(code: CodeType, offset: int) -> int:
    """The offset of the instruction that suspended, from `f_lasti`."""
    yields = [at for at, instruction in _instructions(code).items() if instruction.opname == "YIELD_VALUE"]
    return max((at for at in yields if at <= offset), default=offset)


def has_suspended(code: CodeType, offset: int) -> bool:
    """Whether a frame with this `f_lasti` has been suspended, not just created."""
    return _instructions(code)[offset].opname in ("YIELD_VALUE", "RESUME")


def yields_itself(code: CodeType, offset: int) -> bool:
    """Whether the instruction at `offset` is a ``yield`` of the text, not one that passes on what an
    ``await`` or a ``yield from`` waits for."""
    resume = _instructions(code)[offset + 2]
    return resume.opname == "RESUME" and resume.arg is not None and resume.arg & 3 == _AFTER_YIELD


@functools.lru_cache(maxsize=256)
def _instructions(code: CodeType) -> dict[int, dis.Instruction]:
    return {instruction.offset: instruction for instruction in dis.get_instructions(code)}


def position_at(code: CodeType, offset: int) -> tuple[int | None, ...]:
    """Line, end line, column and end column of the instruction at `offset`."""
    return tuple(list(code.co_positions())[offset // 2])


@functools.lru_cache(maxsize=256)
def stacks(code: CodeType) -> dict[int, Stack]:
    """The value stack before each instruction that can be reached."""
    instructions = _instructions(code)
    offsets = list(instructions)
    following = dict(itertools.pairwise(offsets))
    handlers = dis.Bytecode(code).exception_entries  # type: ignore[attr-defined]
    found: dict[int, Stack] = {}
    todo: list[tuple[int, Stack]] = [(offsets[0], ())]
    while todo:
        offset, stack = todo.pop()
        if offset in found:
            continue
        found[offset] = stack
        instruction = instructions[offset]
        for entry in handlers:
            if entry.start <= offset < entry.end:
                raised = (Slot.POSITION, Slot.EXCEPTION) if entry.lasti else (Slot.EXCEPTION,)
                todo.append((entry.target, stack[: entry.depth] + raised))
        if instruction.opcode in _JUMPS:
            todo.append((instruction.argval, _after(instruction, stack, jump=True)))
        if instruction.opname not in _LEAVES and offset in following:
            todo.append((following[offset], _after(instruction, stack, jump=False)))
    return found


def _after(instruction: dis.Instruction, stack: Stack, *, jump: bool) -> Stack:
    """The stack after an instruction.  Operands are all alike here; only what stays for long has a
    name of its own."""
    name, arg = instruction.opname, instruction.arg
    match name:
        case "GET_ITER" | "GET_AITER":
            return (*stack[:-1], Slot.ITERATOR)
        case "BEFORE_WITH" | "BEFORE_ASYNC_WITH":
            return (*stack[:-1], Slot.EXIT, Slot.VALUE)
        case "LOAD_SPECIAL" if "exit" in str(instruction.argrepr):
            return (*stack[:-1], Slot.EXIT, Slot.EXIT_OWNER)
        case "PUSH_EXC_INFO":
            return (*stack[:-1], Slot.PREVIOUS, Slot.EXCEPTION)
        case "RETURN_GENERATOR":
            return (*stack, Slot.VALUE)
        case "PUSH_NULL":
            return (*stack, Slot.NULL)
        case "LOAD_GLOBAL" if arg is not None and arg & 1:
            return (*stack, Slot.NULL, Slot.VALUE) if _NULL_FIRST else (*stack, Slot.VALUE, Slot.NULL)
        case "LOAD_METHOD":
            return (*stack[:-1], Slot.VALUE, Slot.SELF)
        case "LOAD_ATTR" if _CALLS_BY_LOAD_ATTR and arg is not None and arg & 1:
            return (*stack[:-1], Slot.VALUE, Slot.SELF)
        case "SWAP":
            assert arg is not None
            swapped = list(stack)
            swapped[-1], swapped[-arg] = swapped[-arg], swapped[-1]
            return tuple(swapped)
        case "COPY":
            assert arg is not None
            return (*stack, stack[-arg])
    has_argument = instruction.opcode >= dis.HAVE_ARGUMENT if sys.version_info < (3, 12) else arg is not None
    effect = dis.stack_effect(instruction.opcode, arg if has_argument else None, jump=jump)
    after = stack[:effect] if effect < 0 else stack + (Slot.VALUE,) * effect
    if name in _BUILDS:
        return (*after[:-1], Slot.PARTIAL)
    return (*after[:-1], Slot.VALUE) if name.startswith("CALL") else after
