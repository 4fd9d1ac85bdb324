"""The blocks of a function: the facts that people and tools read.

Input:   `Compiled`.
Output:  one `CodeBlock` for each stretch between two suspension points.

A forward analysis: it follows the blocks that may be under way through the structure of the
function, and notes the lines that each covers and the points at which it can end.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace

from .code_block import END, CodeBlock
from .compiled import Compiled
from .kinds import PointKind
from .lowered import AsyncWith, Block, Finally, For, If, Lowered, Native, Point, Statement, Try, While, With
from .names import is_hidden


def code_blocks(compiled: Compiled) -> list[CodeBlock]:
    """The blocks of a function, in order."""
    flow = _Flow(compiled.lowered)
    flow.function()
    shown = [name for name in (*compiled.locals, *compiled.cells) if not is_hidden(name)]
    result = []
    for number in range(len(compiled.lowered.points) + 1):
        point = compiled.lowered.points[number - 1] if number else None
        live = (*compiled.live[number].locals, *compiled.live[number].cells) if number else ()
        result.append(
            CodeBlock(
                number=number,
                lines=tuple(sorted(flow.lines[number])),
                starts="" if point is None else text_of(point),
                keeps=live,
                drops=tuple(name for name in shown if name not in live) if number else (),
                ends=tuple(sorted(flow.ends[number])),
            )
        )
    return result


def text_of(point: Point) -> str:
    """What a point waits for, as text."""
    origin = point.origin
    if isinstance(origin, ast.Await):
        return ast.unparse(origin.value)
    if point.kind is PointKind.PAUSE or isinstance(origin, ast.expr):
        return ast.unparse(origin)
    return type(origin).__name__


def lines_of(node: ast.AST) -> range:
    """The lines of a node; of a compound statement, its head."""
    first: int | None = getattr(node, "lineno", None)
    if first is None:
        return range(0)
    last = first
    for name in ("test", "iter", "target", "subject", "items", "type", "args", "returns"):
        part = getattr(node, name, None)
        for item in part if isinstance(part, list) else [part]:
            inner = getattr(item, "context_expr", item)
            last = max(last, getattr(inner, "end_lineno", None) or first)
    if not hasattr(node, "body"):
        last = max(last, getattr(node, "end_lineno", None) or first)
    return range(first, last + 1)


@dataclass(frozen=True, slots=True)
class _Under:
    """Where the blocks under way go when they do not go on: sets that grow as ways are found."""

    raised: set[int]
    broken: set[int]
    continued: set[int]
    returned: set[int]


class _Flow:
    def __init__(self, lowered: Lowered) -> None:
        self._lowered = lowered
        numbers = range(len(lowered.points) + 1)
        self.lines: dict[int, set[int]] = {number: set() for number in numbers}
        self.ends: dict[int, set[int]] = {number: set() for number in numbers}

    def function(self) -> None:
        under = _Under(set(), set(), set(), set())
        last = self.block(self._lowered.body, {0}, under)
        for number in last | under.raised | under.returned:
            self.ends[number].add(END)

    def cover(self, blocks: set[int], node: ast.AST, under: _Under) -> None:
        """The blocks run `node`, and it may raise."""
        for number in blocks:
            self.lines[number].update(lines_of(node))
        under.raised.update(blocks)

    def block(self, block: Block, blocks: set[int], under: _Under) -> set[int]:
        for statement in block.statements:
            blocks = self.statement(statement, blocks, under)
        return blocks

    def statement(self, statement: Statement, blocks: set[int], under: _Under) -> set[int]:
        if not blocks:
            return blocks
        match statement:
            case Native(node=node):
                return self.native(node, blocks, under)
            case Point():
                return self._point(statement, blocks, under)
            case If(test=test, body=body, orelse=orelse):
                self.cover(blocks, test, under)
                return self.block(body, blocks, under) | self.block(orelse, blocks, under)
            case While(test=head) | For(target=head):
                return self._loop(statement, head, blocks, under)
            case With(context=context, body=body):
                self.cover(blocks, context, under)
                inside = replace(under, raised=set())
                after = self.block(body, blocks, inside)
                under.raised.update(inside.raised)
                return after | inside.raised
            case AsyncWith(opening=opening, body=body):
                return self.block(body, self.block(opening, blocks, under), under)
            case Try():
                return self._try(statement, blocks, under)
            case Finally():
                return self._finally(statement, blocks, under)

    def _point(self, point: Point, blocks: set[int], under: _Under) -> set[int]:
        self.cover(blocks, point.value if point.value is not None else point.origin, under)
        for number in blocks:
            self.ends[number].add(point.number)
        after = {point.number}
        self.cover(after, point.origin, under)
        if point.returned:
            under.returned.update(after)
            return set()
        return after

    def _loop(self, node: While | For, head: ast.expr, blocks: set[int], under: _Under) -> set[int]:
        inside = replace(under, broken=set(), continued=set())
        entering = set(blocks)
        while True:
            self.cover(entering, head, under)
            after = self.block(node.body, entering, inside)
            again = entering | after | inside.continued
            if again == entering:
                return self.block(node.orelse, entering, under) | inside.broken
            entering = again

    def _try(self, node: Try, blocks: set[int], under: _Under) -> set[int]:
        inside = replace(under, raised=set())
        after = self.block(node.orelse, self.block(node.body, blocks, inside), under)
        under.raised.update(inside.raised)
        for handler in node.handlers:
            if inside.raised:
                self.cover(inside.raised, handler.origin, under)
                after = after | self.block(handler.body, inside.raised, under)
        return after

    def _finally(self, node: Finally, blocks: set[int], under: _Under) -> set[int]:
        inside = _Under(set(), set(), set(), set())
        after = self.block(node.body, blocks, inside)
        for ways, onward in (
            (inside.raised, under.raised),
            (inside.broken, under.broken),
            (inside.continued, under.continued),
            (inside.returned, under.returned),
        ):
            if ways:
                onward.update(self.block(node.final, ways, under))
        return self.block(node.final, after, under) if after else after

    # statements without a suspension

    def native(self, node: ast.stmt, blocks: set[int], under: _Under) -> set[int]:
        self.cover(blocks, node, under)
        match node:
            case ast.Return():
                under.returned.update(blocks)
            case ast.Break():
                under.broken.update(blocks)
            case ast.Continue():
                under.continued.update(blocks)
            case ast.Raise():
                pass
            case _:
                if isinstance(node, (ast.For, ast.While)):
                    under = replace(under, broken=set(), continued=set())
                for inner in _inner_statements(node):
                    self.native(inner, blocks, under)  # whatever way it goes, it stays in the block
                return blocks
        return set()


def _inner_statements(node: ast.stmt) -> list[ast.stmt]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return []
    inner: list[ast.stmt] = []
    for name in ("body", "orelse", "finalbody"):
        inner.extend(getattr(node, name, []))
    for part in (*getattr(node, "handlers", []), *getattr(node, "cases", [])):
        inner.extend(part.body)
    return inner
