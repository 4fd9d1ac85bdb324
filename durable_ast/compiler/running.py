"""The running version: the user's function, ready to be captured while it is suspended.

Input:   `Lowered`, numbered.
Output:  the body of a function that does what the user's does, and beside it only stores the number
         of each suspension point before it suspends there.
Keeps:   no guards and no dispatch: statements without a suspension run as the user wrote them.
"""

import ast
from collections.abc import Sequence

from .build import assign, at, attribute, beginning, call, clear, constant, function, load, parameters, store
from .desugar import ANY_EXCEPTION
from .kinds import Leaving, PointKind
from .lowered import (
    AsyncWith,
    Block,
    Completion,
    Finally,
    For,
    Handler,
    If,
    Lowered,
    Native,
    Point,
    Statement,
    Try,
    While,
    With,
)
from .names import BLOCK, CELLS, SCRATCH


def running(lowered: Lowered, cells: Sequence[str]) -> list[ast.stmt]:
    """The body of the running version; `cells` are the variables it shares with other functions."""
    body = Running().block(lowered.body)
    return with_cells(cells, lowered.origin, body)


def with_cells(cells: Sequence[str], node: ast.AST, body: list[ast.stmt]) -> list[ast.stmt]:
    """``def ..cs(): nonlocal x, y``, and its closure: the way to a frame's cells from outside.

    Reading the names instead would not do: reading ``super`` asks for ``__class__``.  They stand before
    the first statement of the function `node` that does something, and in its line, so that no tracer
    sees another line.
    """
    if not cells:
        return body
    index = next((i for i, statement in enumerate(body) if _runs(statement)), len(body))
    where = beginning(body[index] if index < len(body) else node)
    inner = function(ast.FunctionDef, CELLS, parameters([]), [ast.Nonlocal(list(cells))])
    closure = assign(CELLS, attribute(load(CELLS), "__closure__"))
    return [*body[:index], at(inner, where), at(closure, where), *body[index:]]


def _runs(statement: ast.stmt) -> bool:
    """Whether a statement is more than a text or a declaration."""
    match statement:
        case ast.Expr(value=ast.Constant()) | ast.Global() | ast.Nonlocal() | ast.AnnAssign(value=None):
            return False
    return True


class Running:
    """Turns the lowered form back into statements, in the order of the grammar."""

    def block(self, block: Block) -> list[ast.stmt]:
        return [node for statement in block.statements for node in self.statement(statement)]

    def filled(self, block: Block) -> list[ast.stmt]:
        """A block where the grammar wants at least one statement."""
        return self.block(block) or [ast.Pass(lineno=1, col_offset=0, end_lineno=1, end_col_offset=0)]

    def statement(self, statement: Statement) -> list[ast.stmt]:
        match statement:
            case Native():
                return [statement.node]
            case Point():
                return self.point(statement)
            case If():
                return self.if_(statement)
            case While():
                return self.while_(statement)
            case For():
                return self.for_(statement)
            case With():
                return self.with_(statement)
            case AsyncWith():
                return [*self.block(statement.opening), *self.block(statement.body)]
            case Try():
                return self.try_(statement)
            case Finally():
                return self.finally_(statement)

    def point(self, point: Point) -> list[ast.stmt]:
        return [mark(point), finish(point, suspension(point))]

    def if_(self, node: If) -> list[ast.stmt]:
        return [at(ast.If(node.test, self.filled(node.body), self.block(node.orelse)), node.origin)]

    def while_(self, node: While) -> list[ast.stmt]:
        return [at(ast.While(node.test, self.filled(node.body), self.block(node.orelse)), node.origin)]

    def for_(self, node: For) -> list[ast.stmt]:
        source = node.iterable
        if source is None:
            assert node.iterator is not None
            source = call(".once", ast.Tuple([load(node.iterator)], ast.Load()))
            at(source, node.origin.iter)  # type: ignore[attr-defined]
        return [at(ast.For(node.target, source, self.filled(node.body), self.block(node.orelse)), node.origin)]

    def with_(self, node: With) -> list[ast.stmt]:
        context, target = node.context, node.target
        body = self.filled(node.body)
        if node.manager is not None:
            context = at(ast.NamedExpr(store(node.manager), context), context)
            if target is not None and node.entered is not None:
                body = [at(assign(target, load(node.entered)), target), *body]
            target = None if node.entered is None else at(store(node.entered), context)
        return [at(ast.With([ast.withitem(context, target)], body), node.origin)]

    def try_(self, node: Try) -> list[ast.stmt]:
        handlers = [self.handler(handler) for handler in node.handlers]
        return [at(ast.Try(self.filled(node.body), handlers, self.block(node.orelse), []), node.origin)]

    def handler(self, node: Handler) -> ast.ExceptHandler:
        return at(ast.ExceptHandler(node.type, node.name, self.filled(node.body)), node.origin)

    def finally_(self, node: Finally) -> list[ast.stmt]:
        body, final = self.filled(node.body), self.filled(node.final)
        completion = node.completion
        if completion is None:
            return [at(ast.Try(body, [], [], final), node.origin)]
        recorded = record(completion, body, final[0])
        final = [*final, at(clear(completion.error), final[-1])]
        start = at(assign(completion.kind, constant(int(Leaving.NORMAL))), node.origin)
        return [start, at(ast.Try([recorded], [], [], final), node.origin)]


def mark(point: Point) -> ast.stmt:
    """``..b = NUMBER``, where the evaluation of the awaited expression begins."""
    place = point.value if point.value is not None else point.origin
    return at(assign(BLOCK, constant(point.number)), place)


def suspension(point: Point) -> ast.expr:
    """The expression that suspends."""
    value = point.value
    match point.kind:
        case PointKind.AWAIT:
            assert value is not None
            return at(ast.Await(at(call(".await", value), value)), point.origin)
        case PointKind.PAUSE:
            assert value is not None
            return at(ast.Await(value), point.origin)
        case PointKind.YIELD:
            return at(ast.Yield(value), point.origin)
        case PointKind.YIELD_FROM:
            assert value is not None
            return at(ast.YieldFrom(value), point.origin)


def finish(point: Point, value: ast.expr) -> ast.stmt:
    """What the function does with the result."""
    if point.returned:
        return at(ast.Return(value), point.origin)
    if point.targets:
        return at(ast.Assign(point.targets, value), point.origin)
    return at(ast.Expr(value), point.origin)


def record(completion: Completion, body: list[ast.stmt], final: ast.stmt) -> ast.stmt:
    """`body` with a note of how it ends; it is made where `final` begins, so that no debugger sees a
    line of its own."""
    normal = at(assign(completion.kind, constant(int(Leaving.NORMAL))), final)
    note: list[ast.stmt] = [
        assign(completion.kind, constant(int(Leaving.RAISE))),
        assign(completion.error, load(SCRATCH)),
        ast.Raise(None, None),
    ]
    handler = at(ast.ExceptHandler(load(ANY_EXCEPTION), SCRATCH, note), final)
    return at(ast.Try([*body, normal], [handler], [], []), body[0])
