"""Small constructors for ``ast`` nodes, and their locations.

Synthetic nodes take the place of a neighbouring node of the user's: a line that the user did not
write must never show up in a traceback, a debugger or a coverage report.
"""

import ast
import sys
from collections.abc import Callable
from typing import Any, TypeVar

Node = TypeVar("Node", bound=ast.AST)


def load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def store(name: str) -> ast.Name:
    return ast.Name(name, ast.Store())


def constant(value: object) -> ast.Constant:
    return ast.Constant(value)  # type: ignore[arg-type]


def call(function: str | ast.expr, *args: ast.expr) -> ast.Call:
    return ast.Call(load(function) if isinstance(function, str) else function, list(args), [])


def assign(target: str | ast.expr, value: ast.expr) -> ast.Assign:
    return ast.Assign([store(target) if isinstance(target, str) else target], value)


def clear(*names: str) -> ast.Assign:
    """``a = b = None``: let go of what the locals hold."""
    return ast.Assign([store(name) for name in names], constant(None))


def attribute(value: ast.expr, name: str) -> ast.Attribute:
    return ast.Attribute(value, name, ast.Load())


def negated(test: ast.expr) -> ast.UnaryOp:
    return ast.UnaryOp(ast.Not(), test)


def equals(name: str, value: object) -> ast.Compare:
    return ast.Compare(load(name), [ast.Eq()], [constant(value)])


def catch(*body: ast.stmt, type: ast.expr, name: str | None, handler: list[ast.stmt]) -> ast.Try:
    return ast.Try(list(body), [ast.ExceptHandler(type, name, handler)], [], [])


def function(kind: type[ast.FunctionDef] | type[ast.AsyncFunctionDef], name: str, args: ast.arguments,
             body: list[ast.stmt]) -> ast.FunctionDef | ast.AsyncFunctionDef:  # fmt: skip
    node = kind(name=name, args=args, body=body, decorator_list=[])
    if sys.version_info >= (3, 12):
        node.type_params = []
    return node


def parameters(names: list[str]) -> ast.arguments:
    return ast.arguments(
        posonlyargs=[], args=[ast.arg(name) for name in names], kwonlyargs=[], kw_defaults=[], defaults=[]
    )


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes directly below one, but for operators and contexts: `ast.iter_child_nodes`, in half of
    its time."""
    found: list[ast.AST] = []
    if type(node) in _LEAVES:
        return found
    facts = node.__dict__
    for name in node._fields:  # others give nodes a `parent`, also the operators that all trees of a process share
        value: Any = facts.get(name)
        kind = type(value)
        if kind is list:
            if value and type(value[0]) is not str:
                found += value if None not in value else [item for item in value if item is not None]
        elif kind not in _NO_NODES:
            found.append(value)
    return found


_LEAVES = frozenset({ast.Name, ast.Constant, ast.Pass, ast.Break, ast.Continue, ast.MatchSingleton})
_NO_NODES = frozenset(
    [int, str, type(None)]
    + [
        kind
        for group in (ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop)
        for kind in group.__subclasses__()
    ]
)
"""What the other fields of nodes hold beside nodes and lists."""


def at(node: Node, where: ast.AST) -> Node:
    """Give `node`, and all below it that has no place yet, the place of `where`."""
    place = (where.lineno, where.col_offset, where.end_lineno, where.end_col_offset)  # type: ignore[attr-defined]
    todo: list[ast.AST] = [node]
    while todo:
        current = todo.pop()
        if "lineno" in current.__dict__:
            continue
        if current._attributes:
            current.lineno, current.col_offset, current.end_lineno, current.end_col_offset = place  # type: ignore[attr-defined]
        todo += children(current)
    return node


def beginning(node: ast.AST) -> ast.AST:
    """The place where a statement or expression begins."""
    line, column = node.lineno, node.col_offset  # type: ignore[attr-defined]
    return ast.Pass(lineno=line, col_offset=column, end_lineno=line, end_col_offset=column)


def replaced(node: Node, **changes: object) -> Node:
    """A copy of `node` with some fields changed, in the same place."""
    fields = {name: getattr(node, name) for name in node._fields if hasattr(node, name)}
    places = {name: getattr(node, name) for name in node._attributes if hasattr(node, name)}
    return type(node)(**{**fields, **places, **changes})


def copied(node: Node, visit: Callable[[ast.AST], ast.AST]) -> Node:
    """`node` with `visit` applied to each child; a copy only if one of them changed."""
    changes: dict[str, object] = {}
    for name in node._fields:
        old = getattr(node, name, None)
        if isinstance(old, list):
            new = [visit(item) if isinstance(item, ast.AST) else item for item in old]
            if any(a is not b for a, b in zip(old, new, strict=True)):
                changes[name] = new
        elif isinstance(old, ast.AST):
            child = visit(old)
            if child is not old:
                changes[name] = child
    return replaced(node, **changes) if changes else node
