"""The running version of a function as a tree, for those who want to look at it or build on it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

from .build import replaced
from .compile import compile_function
from .lower import lower
from .number import number
from .running import running
from .scope import own_nodes


def transform_to_durable_ast(fn: Callable[..., Any]) -> ast.Module:
    """The running version of an async function, as a module with that function in it.

    Its hidden names begin with a dot, so it can be compiled, but not be written down as Python.

    Raises:
        TypeError: `fn` is not a function that was written as ``async def``.
        NoSourceCodeException: the text of the function cannot be found.

    >>> async def pay(amount):
    ...     return await charge(amount)
    >>> print(ast.unparse(transform_to_durable_ast(pay)))
    async def pay(amount):
        ..b = 1
        return await .await(charge(amount))
    """
    function = getattr(fn, "fn", fn)
    function = getattr(function, "__func__", function)
    if not isinstance(function, FunctionType) or not inspect.iscoroutinefunction(function):
        raise TypeError(f"transform_to_durable_ast() needs an async function, not {fn!r}; write `async def`")
    compiled = compile_function(function.__code__, function.__globals__)
    body = running(compiled.lowered, compiled.cells)
    node = replaced(compiled.source.node, body=body, decorator_list=[])
    return ast.fix_missing_locations(ast.Module([node], []))


class DurableAstTransformer(ast.NodeTransformer):
    """Turns each async function of a tree into its running version; the rest stays as it is.

    >>> tree = ast.parse("async def pay(amount): return await charge(amount)")
    >>> print(ast.unparse(DurableAstTransformer().visit(tree)))
    async def pay(amount):
        ..b = 1
        return await .await(charge(amount))
    """

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        """The running version of one function; functions nested in it are left alone."""
        lowered = number(lower(node, own_nodes(node), node.name, None, ()))
        return ast.fix_missing_locations(replaced(node, body=running(lowered, ())))
