"""The running version of a function as a tree, for those who want to look at it or build on it."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from .build import replaced
from .compiled import compile_function
from .lower import lower
from .number import number
from .running import running


def transform_to_durable_ast(fn: Callable[..., Any]) -> ast.Module:
    """The running version of an async function, as a module with that function in it.

    Its hidden names begin with a dot, so it can be compiled, but not be written down as Python.

    Raises:
        NoSourceCodeException: the text of the function cannot be found.

    >>> async def pay(amount):
    ...     return await charge(amount)
    >>> print(ast.unparse(transform_to_durable_ast(pay)))
    async def pay(amount):
        .b = 1
        return await .await(charge(amount))
    """
    function = getattr(fn, "fn", fn)
    compiled = compile_function(function.__code__, function.__globals__)
    body = running(compiled.lowered, compiled.cells)
    node = replaced(compiled.source.node, body=body, decorator_list=[])
    return ast.fix_missing_locations(ast.Module([node], []))


class DurableAstTransformer(ast.NodeTransformer):
    """Turns each async function of a tree into its running version; the rest stays as it is.

    >>> tree = ast.parse("async def pay(amount): return await charge(amount)")
    >>> print(ast.unparse(DurableAstTransformer().visit(tree)))
    async def pay(amount):
        .b = 1
        return await .await(charge(amount))
    """

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        """The running version of one function; functions nested in it are left alone."""
        lowered = number(lower(node, node.name, None, ()))
        return ast.fix_missing_locations(replaced(node, body=running(lowered, ())))
