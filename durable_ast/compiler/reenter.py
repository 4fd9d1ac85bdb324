"""The re-entry twin: the same function, entered at a saved point.

Input:   `Lowered`, numbered, and the names of its locals and cells.
Output:  a function body whose parameters are the saved locals, the point to go to (`..r`) and what
         that point awaits (`..c`).
Keeps:   everything the running version does, once the point is reached and `..r` is 0.

How it gets there, from the outside in: statements before the point are skipped; tests lead into the
branch that holds it; a loop first repeats the current item; an entered manager is held, not entered
again; a handler is entered by raising the saved exception, a ``finally`` by repeating the way in
which control was leaving.
"""

import ast
from collections.abc import Sequence

from .build import Node, assign, at, attribute, call, clear, constant, copied, equals, load, negated, replaced, store
from .desugar import ANY_EXCEPTION
from .kinds import Flavour, Leaving, PointKind
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
    Span,
    Statement,
    Try,
    While,
    With,
)
from .managers import is_reenterable
from .names import CHILD, LATE, REENTRY, RETURN_VALUE, SCRATCH, UNBOUND
from .running import Running, finish, mark, record, with_cells
from .suspension import SCOPES

LOST_MANAGER = ".lost"
"""Stands for a manager that could not be saved and has to be entered again."""


def reenter(lowered: Lowered, locals: Sequence[str], cells: Sequence[str]) -> list[ast.stmt]:
    """The body of the twin; its parameters are `locals`, then `..r` and `..c`."""
    shared = [name for name in cells if name != "__class__"]
    body = _Reenter(lowered, [*locals, *shared]).block(lowered.body)
    prologue: list[ast.stmt] = []
    if shared:
        prologue.append(ast.Nonlocal(shared))
    for name in locals:
        missing = ast.Compare(load(name), [ast.Is()], [load(UNBOUND)])
        prologue.append(ast.If(missing, [ast.Delete([ast.Name(name, ast.Del())])], []))
    where = lowered.origin
    return [*(at(node, where) for node in prologue), *with_cells(cells, where, body)]


def _within(span: Span) -> ast.expr:
    """Is the target in `span`?"""
    return ast.Compare(constant(span.first), [ast.LtE(), ast.LtE()], [load(REENTRY), constant(span.last)])


def _reached() -> ast.expr:
    return negated(load(REENTRY))


def _choose(into_first: Span | None, into_second: Span | None, test: ast.expr) -> ast.expr:
    """The test of a construct with two ways: on the way to the target, the way that leads there."""
    way = constant(into_first is not None) if into_first is None or into_second is None else _within(into_first)
    return at(ast.IfExp(load(REENTRY), way, test), test)


class _Reenter(Running):
    """Adds the way to the target; a construct without a point inside is left alone."""

    def __init__(self, lowered: Lowered, names: Sequence[str]) -> None:
        self._flavour = lowered.flavour
        self._names = names
        self._scope = _Scope()

    def block(self, block: Block) -> list[ast.stmt]:
        if block.span is None:
            return super().block(block)
        result: list[ast.stmt] = []
        before: list[ast.stmt] = []
        for statement in block.statements:
            span = None if isinstance(statement, Native) else statement.span
            nodes = self.statement(statement)
            if span is None:
                before.extend(nodes)
                continue
            result.extend(self._skipped(before))
            before = []
            if span.last == block.span.last:
                result.extend(nodes)
            else:
                test = ast.Compare(load(REENTRY), [ast.LtE()], [constant(span.last)])
                result.append(at(ast.If(test, nodes, []), nodes[0]))
        return result + before

    def _skipped(self, nodes: list[ast.stmt]) -> list[ast.stmt]:
        return [at(ast.If(_reached(), nodes, []), nodes[0])] if nodes else []

    def statement(self, statement: Statement) -> list[ast.stmt]:
        if isinstance(statement, Native):
            return [self._scope.visit(statement.node)]
        if isinstance(statement, AsyncWith):
            return self._async_with(statement)
        return super().statement(statement)

    def point(self, point: Point) -> list[ast.stmt]:
        value = point.value if point.value is not None else at(constant(None), point.origin)
        if point.kind is PointKind.AWAIT:
            value = at(call(".await", value), value)
        first = at(assign(CHILD, value), value)
        again: list[ast.stmt] = [assign(REENTRY, constant(0)), assign(CHILD, call(".child", load(CHILD)))]
        here = at(ast.If(load(REENTRY), again, [first]), value)
        done = finish(point, self._suspend(point))
        after = [] if point.returned else [at(clear(CHILD), point.origin)]
        return [here, mark(point), done, *after]

    def _suspend(self, point: Point) -> ast.expr:
        child = load(CHILD)
        match point.kind:
            case PointKind.AWAIT | PointKind.PAUSE:
                return at(ast.Await(child), point.origin)
            case PointKind.YIELD:
                return at(ast.Yield(child), point.origin)
            case PointKind.YIELD_FROM:
                return at(ast.YieldFrom(child), point.origin)

    def if_(self, node: If) -> list[ast.stmt]:
        if node.span is not None:
            test = _choose(node.body.span, node.orelse.span, node.test)
            node = If(test, node.body, node.orelse, node.origin)
        return super().if_(node)

    def while_(self, node: While) -> list[ast.stmt]:
        if node.span is not None:
            test = _choose(node.body.span, node.orelse.span, node.test)
            node = While(test, node.body, node.orelse, node.origin)
        return super().while_(node)

    def for_(self, node: For) -> list[ast.stmt]:
        if node.span is None:
            return super().for_(node)
        assert node.iterator is not None
        again: ast.expr = call(".resumed", load(node.iterator))
        nothing = ast.Tuple([], ast.Load())
        if node.body.span is None:
            again = nothing
        elif node.orelse.span is not None:
            again = ast.IfExp(_within(node.body.span), again, nothing)
        once = call(".once", ast.Tuple([load(node.iterator)], ast.Load()))
        where = node.origin.iter  # type: ignore[attr-defined]
        source = at(ast.IfExp(load(REENTRY), again, once), where)
        item = at(ast.If(_reached(), [assign(node.target, load(SCRATCH))], []), node.target)
        body = [item, *self.block(node.body)]
        return [at(ast.For(store(SCRATCH), source, body, self.block(node.orelse)), node.origin)]

    def with_(self, node: With) -> list[ast.stmt]:
        if node.span is None:
            return super().with_(node)
        assert node.manager is not None
        place = node.context
        entering: list[ast.stmt] = []
        if node.entered is not None:
            entering.append(assign(node.entered, load(SCRATCH)))
            if node.target is not None:
                entering.append(assign(node.target, load(SCRATCH)))
        enter = at(ast.NamedExpr(store(node.manager), node.context), place)
        context = ast.IfExp(load(REENTRY), call(".held", load(node.manager)), enter)
        item = ast.withitem(context, store(SCRATCH) if entering else None)
        body = self.block(node.body)
        if entering:
            body = [at(ast.If(_reached(), entering, []), place), *body]
        again = self._enter_again(node, call(".enter", load(node.manager)), node.body.span)
        return [*again, at(ast.With([at(item, place)], body), node.origin)]

    def _async_with(self, node: AsyncWith) -> list[ast.stmt]:
        body = Block([*node.opening.statements, *node.body.statements], node.span)
        enter = ast.Await(call(".aenter", load(node.manager)))
        return [*self._enter_again(node, enter, node.body.span), *self.block(body)]

    def _enter_again(self, node: With | AsyncWith, enter: ast.expr, span: Span | None) -> list[ast.stmt]:
        """Enter a manager that could not be saved, then fetch the locals that had to wait for it, those
        that hold what it has given among them.
        Should that fail, it fails as an ordinary exception at this place: there is no point to go
        to any more.  A cancellation is for that point: it is put off, and the manager entered once
        more."""
        if span is None or not is_reenterable(node) or self._flavour is not Flavour.COROUTINE:
            return []
        assert node.manager is not None
        entering: list[ast.stmt] = [assign(node.manager, node.context), assign(SCRATCH, enter)]
        if node.entered is not None:
            entering.append(assign(node.entered, load(SCRATCH)))
        late = call(attribute(load(CHILD), "entered"), load(node.manager), load(SCRATCH))
        entering.append(assign(LATE, ast.Await(late)))
        for name in self._names:
            given = ast.Compare(constant(name), [ast.In()], [load(LATE)])
            value = ast.Subscript(load(LATE), constant(name), ast.Load())
            entering.append(ast.If(given, [assign(name, value)], []))
        entering.append(clear(LATE))
        give_up: list[ast.stmt] = [assign(REENTRY, constant(0)), ast.Raise(None, None)]
        put_off = call(attribute(load(CHILD), "is_put_off"))
        once_more = ast.If(put_off, [assign(node.manager, load(LOST_MANAGER))], give_up)
        attempt = ast.Try(entering, [ast.ExceptHandler(load(ANY_EXCEPTION), None, [once_more])], [], [])
        lost = ast.Compare(load(node.manager), [ast.Is()], [load(LOST_MANAGER)])
        test = ast.BoolOp(ast.And(), [load(REENTRY), _within(span), lost])
        return [at(ast.While(test, [attempt], []), node.context)]

    def try_(self, node: Try) -> list[ast.stmt]:
        if node.span is None:
            return super().try_(node)
        body = self.filled(node.body)
        if node.orelse.span is not None:
            body = [at(ast.If(negated(_within(node.orelse.span)), body, []), body[0])]
        for handler in node.handlers:
            if handler.body.span is not None:
                assert handler.name is not None
                back = ast.Raise(call(".reenter", load(handler.name)), None)
                body = [at(ast.If(_within(handler.body.span), [back], body), handler.origin)]
        handlers = [self._handler(handler) for handler in node.handlers]
        return [at(ast.Try(body, handlers, self.block(node.orelse), []), node.origin)]

    def _handler(self, node: Handler) -> ast.ExceptHandler:
        made = self.handler(node)
        if node.type is None:
            return made
        nothing: ast.expr = ast.Tuple([], ast.Load())
        if node.body.span is None:
            type_: ast.expr = ast.IfExp(load(REENTRY), nothing, node.type)
            return replaced(made, type=at(type_, node.type))
        assert node.name is not None
        mine = ast.IfExp(_within(node.body.span), load(ANY_EXCEPTION), nothing)
        type_ = at(ast.IfExp(load(REENTRY), mine, node.type), node.type)
        repair = ast.If(load(REENTRY), [ast.Expr(call(".reentered", load(node.name)))], [])
        return replaced(made, type=type_, body=[at(repair, node.origin), *made.body])

    def finally_(self, node: Finally) -> list[ast.stmt]:
        completion = node.completion
        if completion is None or node.final.span is None:
            return super().finally_(node)
        body, final = self.filled(node.body), self.filled(node.final)
        again = self._leave_again(completion)
        entered = at(ast.If(_within(node.final.span), again, body), body[0])
        recorded = record(completion, [entered], final[0])
        raising = ast.BoolOp(ast.And(), [load(REENTRY), equals(completion.kind, int(Leaving.RAISE))])
        repair = ast.If(raising, [ast.Expr(call(".reentered", load(completion.error)))], [])
        final = [at(repair, final[0]), *final, at(clear(completion.error), final[-1])]
        start = assign(completion.kind, constant(int(Leaving.NORMAL)))
        return [
            at(ast.If(_reached(), [start], []), node.origin),
            at(ast.Try([recorded], [], [], final), node.origin),
        ]

    def _leave_again(self, completion: Completion) -> list[ast.stmt]:
        """Leave the body in the way that was recorded."""
        ways: dict[Leaving, ast.stmt] = {
            Leaving.RAISE: ast.Raise(call(".reenter", load(completion.error)), None),
            Leaving.RETURN: ast.Return(None if self._flavour is Flavour.ASYNC_GENERATOR else load(RETURN_VALUE)),
            Leaving.BREAK: ast.Break(),
            Leaving.CONTINUE: ast.Continue(),
        }
        return [
            ast.If(equals(completion.kind, int(how)), [way], [])
            for how, way in ways.items()
            if how is Leaving.RAISE or how in completion.exits
        ]


class _Scope(ast.NodeTransformer):
    """Adapts the user's statements to a scope in which cells are free variables: ``nonlocal``
    stands at the head of the twin, and a name declared so cannot be annotated."""

    def generic_visit(self, node: Node) -> Node:
        return copied(node, self.visit)

    def visit(self, node: Node) -> Node:
        if isinstance(node, (*SCOPES, ast.expr)):
            return node
        result: Node = super().visit(node)
        return result

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.stmt:
        return at(ast.Pass(), node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        if not isinstance(node.target, ast.Name):
            return node
        if node.value is None:
            return at(ast.Pass(), node)
        return at(ast.Assign([node.target], node.value), node)
