"""Rewrite comprehensions that suspend as loops.

Input:   a list, set or dict comprehension with a suspension beyond its first iterable.
Output:  a loop that fills a given variable, in the user's form of the tree, for lowering.
Keeps:   the comprehension's own scope, under hidden names; the first iterable stays in the scope
         around it.

A variable that a lambda or generator expression inside captures needs a cell of its own for each
evaluation.  Such a comprehension becomes an asynchronous generator expression, which has one, and
the loop reads from that.
"""

import ast
from collections.abc import Iterator
from typing import TypeAlias

from .build import Node, at, attribute, call, constant, copied, load, replaced, store

Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp


def empty(node: Comprehension) -> ast.expr:
    """What the comprehension starts from."""
    match node:
        case ast.ListComp():
            return at(ast.List([], ast.Load()), node)
        case ast.DictComp():
            return at(ast.Dict([], []), node)
    return at(ast.Set([ast.Starred(ast.Tuple([], ast.Load()), ast.Load())]), node)  # {*()}


def as_loop(node: Comprehension, result: str, prefix: str) -> ast.stmt:
    """The loops that add to the local `result`; hidden names for its variables start with `prefix`."""
    if _captures(node):
        return _drain(node, result, prefix + ".item")
    names = {name: f"{prefix}.{name}" for name in _bound(node)}
    first, *rest = node.generators
    generators = [
        replaced(_renamed(first, names), iter=first.iter),
        *(_renamed(generator, names) for generator in rest),
    ]
    statement = _add(node, [_renamed(element, names) for element in elements(node)], result)
    for generator in reversed(generators):
        for test in reversed(generator.ifs):
            statement = at(ast.If(test, [statement], []), test)
        kind = ast.AsyncFor if generator.is_async else ast.For
        statement = at(kind(generator.target, generator.iter, [statement], []), node)
    return statement


def _drain(node: Comprehension, result: str, item: str) -> ast.stmt:
    """``async for ITEM in (ELEMENT for ...): add ITEM``"""
    parts = elements(node)
    element = parts[0] if len(parts) == 1 else at(ast.Tuple(parts, ast.Load()), node)
    items = at(ast.GeneratorExp(element, node.generators), node)
    values: list[ast.expr] = [load(item)]
    if len(parts) == 2:
        values = [ast.Subscript(load(item), constant(i), ast.Load()) for i in (0, 1)]
    return at(ast.AsyncFor(store(item), items, [_add(node, values, result)], []), node)


def _add(node: Comprehension, values: list[ast.expr], result: str) -> ast.stmt:
    if isinstance(node, ast.DictComp):
        # Python evaluates the key first here, and the value first in an assignment
        key, value = values
        pair = ast.Dict([key], [value])
        return at(ast.Expr(call(attribute(load(result), "update"), pair)), node.key)
    method = "append" if isinstance(node, ast.ListComp) else "add"
    return at(ast.Expr(call(attribute(load(result), method), *values)), node.elt)


def elements(node: Comprehension) -> list[ast.expr]:
    """What is evaluated for each item."""
    return [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]


def _bound(node: Comprehension) -> list[str]:
    """The variables of the comprehension's own scope."""
    targets = [generator.target for generator in node.generators]
    return sorted({n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)
                   and isinstance(n.ctx, ast.Store)})  # fmt: skip


def _captures(node: Comprehension) -> bool:
    """Whether a scope that may outlive the comprehension reads one of its variables."""
    names = set(_bound(node))
    return any(
        isinstance(inner, ast.Name) and inner.id in names
        for scope in _inside(node)
        if isinstance(scope, (ast.Lambda, ast.GeneratorExp))
        for inner in ast.walk(scope)
    )


def _inside(node: Comprehension) -> Iterator[ast.AST]:
    first, *rest = node.generators
    for part in [first.target, *first.ifs, *rest, *elements(node)]:
        yield from ast.walk(part)


def _renamed(node: Node, names: dict[str, str]) -> Node:
    """A copy of `node` in which the variables of the comprehension have their hidden names."""
    result: Node = _Rename(names).visit(node)
    return result


class _Rename(ast.NodeTransformer):
    """Copies what it changes.  No lambda or generator expression reads a name (see `_captures`)."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def generic_visit(self, node: Node) -> Node:
        return copied(node, self.visit)

    def visit_Name(self, node: ast.Name) -> ast.Name:
        new = self._names.get(node.id)
        return node if new is None else replaced(node, id=new)

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        return node

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.GeneratorExp:
        return node

    def _comprehension(self, node: Comprehension) -> Comprehension:
        """An inner comprehension hides the names that it binds, but not in its first iterable."""
        first = node.generators[0]
        iterable: ast.expr = self.visit(first.iter)
        hidden = set(_bound(node))
        inner = _Rename({old: new for old, new in self._names.items() if old not in hidden})
        changed = inner.generic_visit(node)
        head = replaced(changed.generators[0], iter=iterable)
        return replaced(changed, generators=[head, *changed.generators[1:]])

    visit_ListComp = visit_SetComp = visit_DictComp = _comprehension
