"""Whether a function that is nested in another one reads a variable of that.

Input:   the body of a function as the user wrote it, and a name.
Output:  yes or no, by the rules of scopes alone: a comprehension is no function, whatever a version of
         Python makes of it, and has variables of its own.
"""

import ast
from collections.abc import Iterable

from .scope import bound_names, own_nodes
from .suspension import COMPREHENSIONS, SCOPES, enclosing_parts


def is_captured(nodes: Iterable[ast.AST], name: str) -> bool:
    """Whether a nested function reads the variable `name` of the function that these nodes are of."""
    for node in nodes:
        if isinstance(node, (*SCOPES, ast.GeneratorExp)):
            inner = [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.arguments)]
            if name not in _own_variables(node) and _is_read(inner, name):
                return True
            inside: Iterable[ast.AST] = enclosing_parts(node)
        elif isinstance(node, COMPREHENSIONS) and name in targets(node):
            inside = [node.generators[0].iter]
        else:
            inside = ast.iter_child_nodes(node)
        if is_captured(inside, name):
            return True
    return False


def _is_read(nodes: Iterable[ast.AST], name: str) -> bool:
    """Whether these nodes read a variable `name` from outside of them."""
    for node in nodes:
        if isinstance(node, ast.Name) and node.id == name:
            return True
        inside: Iterable[ast.AST] = ast.iter_child_nodes(node)
        if name in _own_variables(node):
            inside = [node.generators[0].iter] if isinstance(node, COMPREHENSIONS) else enclosing_parts(node)
        if _is_read(inside, name):
            return True
    return False


def _own_variables(node: ast.AST) -> set[str]:
    """The variables of a nested scope; none for a class, which may read one of the same name outside."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return bound_names(node, own_nodes(node))
        case ast.Lambda(args=args):
            every = [*args.posonlyargs, *args.args, args.vararg, *args.kwonlyargs, args.kwarg]
            return {arg.arg for arg in every if arg is not None}
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            return targets(node)
    return set()


def targets(node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> set[str]:
    """The variables of a comprehension."""
    targets = [generator.target for generator in node.generators]
    return {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
