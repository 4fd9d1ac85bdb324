"""Calls that grow while they run: code blocks appended to a call, such as code that a model streams.

Each block is a function whose body runs in the scope of the call: it sees the call's locals, and its
own become locals of the call.  The text of a block is saved with the instance, so that it can go on
in a process that never saw it.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import linecache
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

from ..compiler.build import replaced
from ..compiler.compile import find_source
from .functions import Frame, Function, function_of

_END = "durable_ast: the end of a code block"


class AppendedBlock:
    """The code of one block, as text; and, once it is running, with its parameters.

    Args:
        fn: an async function that holds the code.
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        function = getattr(fn, "fn", fn)
        source = find_source(function.__code__, function.__globals__)
        self.name: str = function.__name__
        self.module = source.key.module
        self.text = ast.unparse(replaced(source.node, decorator_list=[]))
        self.running: str | None = None
        """The text that is compiled, which depends on the locals the block finds."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.running is not None:
            self._compiled(self.running)  # a frame of it is about to be restored

    def start(self, locals: dict[str, Any]) -> Frame:
        """A frame that runs the block with these locals."""
        self.running = self._text_with(list(locals))
        function = self._compiled(self.running)
        frame: Frame = function_of(function.__code__, function.__globals__).running(function)(**locals)
        return frame

    def _text_with(self, names: list[str]) -> str:
        """The block as a function that is given the locals of the call, and gives back its own."""
        node = ast.parse(self.text).body[0]
        assert isinstance(node, ast.AsyncFunctionDef)
        parameters = {arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
        missing = sorted(parameters - set(names))
        if missing:
            raise TypeError(f"code block {self.name}() needs {', '.join(missing)}, which is no local of the call")
        args = ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, [])
        end = ast.parse(f"return ({_END!r}, locals())").body[0]
        made = replaced(node, args=args, body=[*node.body, end], returns=None)
        return ast.unparse(ast.fix_missing_locations(made)) + "\n"

    def _compiled(self, text: str) -> FunctionType:
        filename = f"<durable code block {self.name} {hashlib.sha256(text.encode()).hexdigest()[:12]}>"
        linecache.cache[filename] = len(text), None, text.splitlines(keepends=True), filename
        module = compile(text, filename, "exec", dont_inherit=True)
        code = next(const for const in module.co_consts if isinstance(const, CodeType))
        function = FunctionType(code, importlib.import_module(self.module).__dict__)
        function_of(code, function.__globals__)
        return function


def has_ended(result: Any) -> bool:
    """Whether a block has run to its end, not returned a value; the result then holds its locals."""
    return isinstance(result, tuple) and len(result) == 2 and result[0] == _END


async def run_blocks(call: Any) -> Any:
    """Run the blocks of a call, one after the other; the last value that one returned is the result.

    The runtime compiles this function like one of the user's.
    """
    result = None
    while call.blocks:
        outcome = await call.blocks[0].start(call.locals)
        if has_ended(outcome):
            call.locals = outcome[1]
        else:
            result = outcome
        call.blocks = call.blocks[1:]
    return result


@functools.cache
def blocks_function() -> Function:
    """`run_blocks`, compiled."""
    return function_of(run_blocks.__code__, run_blocks.__globals__)


def is_of_blocks(frame: Frame) -> bool:
    """Whether a frame runs the blocks of a call; where none ever did, nothing is compiled to see that."""
    return bool(blocks_function.cache_info().currsize) and frame.cr_code is blocks_function().compiled.code


def start_blocks(call: Any) -> Frame:
    """A frame that runs the blocks of a call."""
    frame: Frame = blocks_function().running(None)(call)
    return frame
