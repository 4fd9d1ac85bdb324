"""Calls that find what they work on in the calling frame.

``locals()``, ``vars()`` and ``dir()`` without arguments must not show hidden names, and whatever a
function that calls one of them, or ``eval``, may read has to be kept at every checkpoint.
``super()`` takes the first parameter from its place in the frame, which it does not have in a twin
when it is captured: there the arguments are written out.
"""

import ast
from collections.abc import Callable, Iterable

from .build import Node, at, call, copied, load, replaced

_LISTING = frozenset({"locals", "vars", "dir"})
_LOOKING = _LISTING | {"eval", "exec", "currentframe", "_getframe", "super"}


def looks_at_locals(nodes: Iterable[ast.AST]) -> bool:
    """Whether one of a function's own nodes names a function that reads a frame's locals, or takes
    ``super`` as a value, to be called under another name."""
    called: set[ast.AST] = set()
    named: list[ast.Name] = []
    for node in nodes:
        if isinstance(node, ast.Name):
            if node.id in _LOOKING:
                named.append(node)
        elif isinstance(node, ast.Attribute):
            if node.attr in _LOOKING:
                return True
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super":
            called.add(node.func)
    return any(name not in called for name in named)


def with_visible_locals(body: list[ast.stmt]) -> list[ast.stmt]:
    """A copy in which the listing functions leave hidden names out."""

    def visible(node: ast.Call) -> ast.Call:
        return at(call(".visible", node), node)

    return [_BareCalls(_LISTING, visible).visit(statement) for statement in body]


def with_explicit_super(body: list[ast.stmt], first: str) -> list[ast.stmt]:
    """A copy in which ``super()`` reads ``super(__class__, FIRST)``."""

    def explicit(node: ast.Call) -> ast.Call:
        return replaced(node, args=[at(load("__class__"), node), at(load(first), node)])

    return [_BareCalls(frozenset({"super"}), explicit).visit(statement) for statement in body]


class _BareCalls(ast.NodeTransformer):
    """Changes calls without arguments of certain names; copies what lies on the way to them."""

    def __init__(self, names: frozenset[str], change: Callable[[ast.Call], ast.Call]) -> None:
        self._names = names
        self._change = change

    def generic_visit(self, node: Node) -> Node:
        return copied(node, self.visit)

    def _nested(self, node: Node) -> Node:
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = _nested

    def visit_Call(self, node: ast.Call) -> ast.Call:
        node = self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in self._names and not node.args and not node.keywords:
            return self._change(node)
        return node
