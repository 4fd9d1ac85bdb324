"""What belongs to a function's own scope, and not to the functions and classes nested in it."""

import ast

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
        if isinstance(node, SCOPES):
            todo.extend(enclosing_parts(node))
            continue
        for value in vars(node).values():
            if type(value) is list:
                todo.extend([item for item in value if isinstance(item, ast.AST)])
            elif isinstance(value, _WITH_PARTS):
                todo.append(value)
    return found


_WITH_PARTS = (ast.expr, ast.stmt, ast.arguments, ast.pattern)


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
    for statement in function.body:
        _collect(statement, names, outside)
    return names - outside


def _collect(node: ast.AST, names: set[str], outside: set[str]) -> None:
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            names.add(name)
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
    if isinstance(node, (*COMPREHENSIONS, ast.GeneratorExp)):
        inside: set[str] = set()
        for child in ast.iter_child_nodes(node):
            _collect(child, inside, outside)
        names.update(_walruses(node) & inside)
    elif isinstance(node, SCOPES):
        for part in enclosing_parts(node):
            _collect(part, names, outside)
    else:
        for child in ast.iter_child_nodes(node):
            _collect(child, names, outside)


def _walruses(node: ast.AST) -> set[str]:
    """``:=`` in a comprehension binds in the function around it."""
    return {inner.target.id for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr)}
