"""What belongs to a function's own scope, and not to the functions and classes nested in it."""

import ast
from collections.abc import Iterable

from .build import children
from .suspension import SCOPES, OwnNodes, enclosing_parts


def own_nodes(function: ast.FunctionDef | ast.AsyncFunctionDef) -> OwnNodes:
    """The nodes of the body that CPython evaluates as a part of the function, comprehensions included;
    each with those directly below it, and before them.

    Left out are operators and contexts, and of nested functions and classes what runs when *they* do.
    """
    found: dict[ast.AST, list[ast.AST]] = {}
    todo: list[ast.AST] = list(function.body)
    while todo:
        node = todo.pop()
        found[node] = below = enclosing_parts(node) if isinstance(node, SCOPES) else children(node)
        todo += below
    return found


def bound_names(function: ast.FunctionDef | ast.AsyncFunctionDef, own: Iterable[ast.AST]) -> set[str]:
    """The parameters and other local variables, as they are spelled in the text.

    Args:
        function: the function.
        own: its own nodes.

    >>> function = ast.parse("def f(a):\\n  b = [c for c in a if (d := c)]\\n  import e.g").body[0]
    >>> sorted(bound_names(function, own_nodes(function)))
    ['a', 'b', 'd', 'e']
    """
    args = function.args
    every = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
    names = {arg.arg for arg in every if arg is not None}
    outside: set[str] = set()
    stored: list[ast.Name] = []
    of_comprehensions: set[ast.AST] = set()
    for node in own:
        kind = type(node)
        if kind is ast.Name:
            if type(node.ctx) is not ast.Load:  # type: ignore[attr-defined]
                stored.append(node)  # type: ignore[arg-type]
        elif kind is ast.comprehension:
            of_comprehensions.update(ast.walk(node.target))  # type: ignore[attr-defined]
        elif kind in _BINDING:
            _bind(node, names, outside)
    names.update(node.id for node in stored if node not in of_comprehensions)
    return names - outside


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
