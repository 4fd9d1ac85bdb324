"""What belongs to a function's own scope, and not to the functions and classes nested in it."""

import ast
from collections.abc import Iterable

from .build import children
from .suspension import COMPREHENSIONS, SCOPES, enclosing_parts


def own_nodes(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.AST]:
    """The nodes of the body that CPython evaluates as a part of the function, comprehensions included.

    Left out are operators and contexts, and of nested functions and classes what runs when *they* do.
    """
    found: list[ast.AST] = []
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        found.append(node)
        todo.extend(enclosing_parts(node) if isinstance(node, SCOPES) else children(node))
    return found


def bound_names(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """The parameters and other local variables, as they are spelled in the text.

    >>> function = ast.parse("def f(a):\\n  b = [c for c in a if (d := c)]\\n  import e.g").body[0]
    >>> sorted(bound_names(function))
    ['a', 'b', 'd', 'e']
    """
    args = function.args
    every = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
    names = {arg.arg for arg in every if arg is not None}
    outside: set[str] = set()
    _collect(function.body, names, outside)
    return names - outside


def _collect(nodes: Iterable[ast.AST], names: set[str], outside: set[str]) -> None:
    """Add what the nodes bind to `names`, and what they declare to be bound elsewhere to `outside`."""
    todo = list(nodes)
    while todo:
        node = todo.pop()
        kind = type(node)
        if kind is ast.Name:
            if type(node.ctx) is not ast.Load:  # type: ignore[attr-defined]
                names.add(node.id)  # type: ignore[attr-defined]
            continue
        if kind in _BINDING:
            _bind(node, names, outside)
        if kind in _COMPREHENDING:
            inside: set[str] = set()
            _collect(children(node), inside, outside)
            names.update(_walruses(node) & inside)
        else:
            todo.extend(enclosing_parts(node) if kind in SCOPES else children(node))


_COMPREHENDING = (*COMPREHENSIONS, ast.GeneratorExp)
_BINDING = frozenset(
    [
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.ClassDef,
        ast.ExceptHandler,
        ast.MatchAs,
        ast.MatchStar,
        ast.MatchMapping,
        ast.Import,
        ast.ImportFrom,
        ast.Global,
        ast.Nonlocal,
    ]
)
"""The nodes that bind a name which is not a `Name` in them."""


def _bind(node: ast.AST, names: set[str], outside: set[str]) -> None:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            names.add(name)
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            names.add(name)
        case ast.MatchMapping(rest=str(name)):
            names.add(name)
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            names.update(alias.asname or alias.name.partition(".")[0] for alias in aliases)
        case ast.Global(names=declared) | ast.Nonlocal(names=declared):
            outside.update(declared)


def _walruses(node: ast.AST) -> set[str]:
    """``:=`` in a comprehension binds in the function around it."""
    return {inner.target.id for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr)}
