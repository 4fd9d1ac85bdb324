"""The context managers that are entered at each suspension point.

Input:   `Lowered`, numbered.
Output:  for each point the managers around it, outermost first; and the points at which one is
         being entered.

A manager that cannot be saved is entered again when its function goes on, if its expression can be
evaluated a second time.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .compiled import Manager, Managers
from .liveness import names_read
from .lowered import AsyncWith, Block, Lowered, Native, Point, Statement, With, blocks
from .names import OPERAND, mangled


def managers(lowered: Lowered) -> Managers:
    """The managers of a function."""
    found = Managers({}, set())
    _block(lowered, lowered.body, (), found)
    return found


def is_reenterable(node: With | AsyncWith) -> bool:
    """Whether the expression can be evaluated a second time: it reads no temporary that is gone."""
    return node.manager is not None and not any(
        isinstance(inner, ast.Name) and inner.id.startswith(OPERAND) for inner in ast.walk(node.context)
    )


def _block(lowered: Lowered, block: Block, around: tuple[Manager, ...], found: Managers) -> None:
    for statement in block.statements:
        _statement(lowered, statement, around, found)


def _statement(lowered: Lowered, statement: Statement, around: tuple[Manager, ...], found: Managers) -> None:
    match statement:
        case Native():
            return
        case Point(number=number):
            if around:
                found.around[number] = around
            return
        case AsyncWith(opening=opening):
            _block(lowered, opening, around, found)
            assert opening.span is not None
            found.entering.update(range(opening.span.first, opening.span.last + 1))
            _block(lowered, statement.body, (*around, *_manager(lowered, statement)), found)
        case With():
            _block(lowered, statement.body, (*around, *_manager(lowered, statement)), found)
        case _:
            for block in blocks(statement):
                _block(lowered, block, around, found)


def _manager(lowered: Lowered, node: With | AsyncWith) -> tuple[Manager, ...]:
    if not is_reenterable(node):
        return ()
    assert node.manager is not None
    reads = frozenset(names_read(node.context, lowered.class_name))
    given = _targets(node.origin.items[0].optional_vars, ())
    targets = tuple((mangled(name, lowered.class_name), way) for name, way in given)
    return (Manager(node.manager, node.entered, targets, reads, node.origin.lineno),)


def _targets(target: ast.expr | None, way: tuple[int, ...]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The variables in a target; a place that a starred one makes uncertain is left out."""
    match target:
        case ast.Name(id=name):
            yield name, way
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            for index, part in enumerate(parts):
                if isinstance(part, ast.Starred):
                    return
                yield from _targets(part, (*way, index))
