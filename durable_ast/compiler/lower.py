"""Lower a function: every suspension becomes a statement of its own.

Input:   the node of a function as the user wrote it.
Output:  `Lowered`, in which every await stands as ``await E``, ``TARGETS = await E`` or
         ``return await E``, with E and TARGETS free of suspensions.
Keeps:   evaluation order, scoping, line numbers; statements without a suspension are passed through
         untouched, the same node in the same place.
Adds:    hidden locals for whatever CPython would keep on the value stack while the function is
         suspended: operands, iterators, managers, handled exceptions, ways out through ``finally``.
"""

import ast
from collections.abc import Callable, Container
from typing import TypeVar

from . import desugar
from .build import assign, at, beginning, call, constant, load, negated, replaced, store
from .expressions import Expressions
from .kinds import Flavour, Leaving, PointKind
from .lowered import AsyncWith, Block, Completion, Finally, For, FunctionNode, Handler, If, Lowered, Try, While, With
from .names import SCRATCH, is_hidden
from .suspension import SCOPES, OwnNodes, Suspensions, yields
from .visible import looks_at_locals, with_explicit_super, with_visible_locals

AnyNode = TypeVar("AnyNode", bound=ast.stmt)

_SUSPENDING_VALUES: dict[type[ast.expr], PointKind] = {
    ast.Await: PointKind.AWAIT,
    ast.Yield: PointKind.YIELD,
    ast.YieldFrom: PointKind.YIELD_FROM,
}


def lower(
    node: FunctionNode, own: OwnNodes, qualname: str, class_name: str | None, captured: Container[str]
) -> Lowered:
    """Lower one function; the functions nested in it stay as they are.

    `own` holds the nodes of its own scope, `captured` the variables that it shares with other functions.
    """
    flavour = Flavour.GENERATOR
    if isinstance(node, ast.AsyncFunctionDef):
        flavour = Flavour.ASYNC_GENERATOR if yields(own) else Flavour.COROUTINE
    introspective = looks_at_locals(own)
    statements = node.body
    parameters = [*node.args.posonlyargs, *node.args.args]
    suspensions = Suspensions(own, pausing=flavour is not Flavour.GENERATOR)
    if introspective:
        statements = with_visible_locals(statements)
    if parameters and parameters[0].arg in captured:
        statements = with_explicit_super(statements, parameters[0].arg)
    if statements is not node.body:
        for statement in statements:
            suspensions.mark(statement)
    body = Lowering(suspensions, flavour).body(statements)
    return Lowered(node.name, qualname, class_name, flavour, node.args, body, node, introspective=introspective)


class Lowering(Expressions):
    """Statements, in the order of the grammar."""

    def __init__(self, suspensions: Suspensions, flavour: Flavour) -> None:
        super().__init__(suspensions)
        self._flavour = flavour
        self._following: ast.stmt | None = None
        self._methods: dict[type[ast.stmt], Callable[..., None]] = {
            ast.FunctionDef: self._definition,
            ast.AsyncFunctionDef: self._definition,
            ast.ClassDef: self._class,
            ast.Return: self._return,
            ast.Delete: self._delete,
            ast.Assign: self._assign,
            ast.AugAssign: self._augmented,
            ast.AnnAssign: self._annotated,
            ast.For: self._for,
            ast.AsyncFor: self._async_for,
            ast.While: self._while,
            ast.If: self._if,
            ast.With: self._with,
            ast.AsyncWith: self._async_with,
            ast.Match: self._match,
            ast.Raise: self._raise,
            ast.Try: self._try,
            ast.TryStar: self._try_star,
            ast.Assert: self._assert,
            ast.Expr: self._expression,
            ast.Break: self._break,
            ast.Continue: self._continue,
        }

    def body(self, statements: list[ast.stmt], following: ast.stmt | None = None) -> Block:
        """A block of the user's statements, and the one that comes next after it."""
        outer = self._following
        with self.block() as block:
            for statement, self._following in zip(statements, [*statements[1:], following], strict=False):
                self.statement(statement)
        self._following = outer
        return block

    def _after(self, loop: ast.For | ast.AsyncFor) -> ast.AST:
        """The place of what is done when a loop is over: where the next statement begins, so that no
        tracer sees the line of the loop once more."""
        node = self._following
        if node is None or isinstance(node, (ast.Global, ast.Nonlocal)):
            return loop.iter
        decorators: list[ast.expr] = getattr(node, "decorator_list", [])
        return beginning(decorators[0] if decorators else node)

    def statement(self, node: ast.stmt) -> None:
        """Lower one statement into the current block."""
        if node in self.suspensions or (self.completions and _leaves(node)):
            self._methods[type(node)](node)
        else:
            self.native(node, node)

    def _rewritten(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            self.suspensions.mark(statement)
            self.statement(statement)

    # definitions

    def _definition(self, node: FunctionNode) -> None:
        args = node.args
        with self.operands(node):
            values = self.expressions_in_order([*node.decorator_list, *args.defaults, *args.kw_defaults])
            first, second = len(node.decorator_list), len(node.decorator_list) + len(args.defaults)
            args = replaced(args, defaults=values[first:second], kw_defaults=values[second:])
            self.native(replaced(node, decorator_list=values[:first], args=args), node)

    def _class(self, node: ast.ClassDef) -> None:
        with self.operands(node):
            values = self.in_order([*node.decorator_list, *node.bases, *node.keywords])
            first, second = len(node.decorator_list), len(node.decorator_list) + len(node.bases)
            changes = {
                "decorator_list": values[:first],
                "bases": values[first:second],
                "keywords": values[second:],
            }
            self.native(replaced(node, **changes), node)

    # simple statements

    def _return(self, node: ast.Return) -> None:
        value = node.value
        with self.operands():
            if self.completions and self._flavour is Flavour.ASYNC_GENERATOR:
                self.leave(Leaving.RETURN, node)
                self.native(node, node)
            elif self.completions:
                self.leave_with(constant(None) if value is None else self.linear(value), node)
            elif isinstance(value, ast.Await):
                self.point(PointKind.AWAIT, self.linear(value.value), value, returned=True)
            else:
                assert value is not None
                self.native(replaced(node, value=self.linear(value)), node)

    def _break(self, node: ast.Break) -> None:
        self.leave(Leaving.BREAK, node)
        self.native(node, node)

    def _continue(self, node: ast.Continue) -> None:
        self.leave(Leaving.CONTINUE, node)
        self.native(node, node)

    def _delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            with self.operands(target):
                self._delete_target(target, node)

    def _delete_target(self, target: ast.expr, node: ast.Delete) -> None:
        match target:
            case ast.Tuple(elts=elements) | ast.List(elts=elements) if target in self.suspensions:
                for element in elements:
                    self._delete_target(element, node)
            case _:
                self.native(ast.Delete([self.linear(target)]), node)

    def _assign(self, node: ast.Assign) -> None:
        with self.operands(node):
            if not self.suspensions.any(node.targets):
                self._assign_value(node, node.targets, node.value)
                return
            value = self.kept(self.linear(node.value))
            for target in node.targets:
                self._store(target, value, node)

    def _assign_value(self, node: ast.stmt, targets: list[ast.expr], value: ast.expr) -> None:
        """The usual case: nothing but the value suspends, so it goes straight to its targets."""
        kind = _SUSPENDING_VALUES.get(type(value))
        if kind is not None:
            operand: ast.expr | None = value.value  # type: ignore[attr-defined]
            inner = None if operand is None else self.linear(operand)
            self.point(kind, inner, value, *targets)
        else:
            self.native(ast.Assign(targets, self.linear(value)), node)

    def _store(self, target: ast.expr, value: ast.expr, where: ast.AST) -> None:
        """``TARGET = VALUE``, where VALUE may be read more than once."""
        if target not in self.suspensions:
            self.assign(target, value, where)
            return
        match target:
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                names = [self.operand() for _ in elements]
                parts: list[ast.expr] = [
                    ast.Starred(store(name), ast.Store()) if isinstance(element, ast.Starred) else store(name)
                    for name, element in zip(names, elements, strict=True)
                ]
                self.assign(ast.Tuple(parts, ast.Store()), value, where)
                for name, element in zip(names, elements, strict=True):
                    inner = element.value if isinstance(element, ast.Starred) else element
                    self._store(inner, at(load(name), where), where)
            case ast.Subscript():
                owner, index = self.expressions_in_order([target.value, target.slice])
                self.assign(replaced(target, value=owner, slice=index), value, where)
            case ast.Attribute():
                self.assign(replaced(target, value=self.linear(target.value)), value, where)

    def _augmented(self, node: ast.AugAssign) -> None:
        """``TARGET op= VALUE``: the old value is read before VALUE is evaluated."""
        with self.operands(node):
            read, write = self._read_and_write(node.target)
            old = self.operand()
            self.assign(old, read, node.target)
            value = self.linear(node.value)
            self.native(ast.AugAssign(store(old), node.op, value), node)
            self.assign(write, load(old), node)

    def _read_and_write(self, target: ast.expr) -> tuple[ast.expr, ast.expr]:
        match target:
            case ast.Attribute():
                owner = self.kept(self.linear(target.value))
                return replaced(target, value=owner, ctx=ast.Load()), replaced(target, value=owner)
            case ast.Subscript(slice=ast.Slice() as bounds):
                owner = self.kept(self.linear(target.value))
                index = self.slice_object(bounds)
            case ast.Subscript():
                parts = self.expressions_in_order([target.value, target.slice])
                assert parts[0] is not None and parts[1] is not None
                owner, index = self.kept(parts[0]), self.kept(parts[1])
            case _:
                assert isinstance(target, ast.Name)
                return replaced(target, ctx=ast.Load()), target
        return (
            replaced(target, value=owner, slice=index, ctx=ast.Load()),
            replaced(target, value=owner, slice=index),
        )

    def _annotated(self, node: ast.AnnAssign) -> None:
        """The annotation is never evaluated in a function; the parts of a target are, even without a value."""
        with self.operands(node):
            if node.value is None:
                for part in ast.iter_child_nodes(node.target):
                    if isinstance(part, ast.expr):
                        self.native(ast.Expr(self.linear(part)), part)
            elif node.target in self.suspensions:
                self._store(node.target, self.kept(self.linear(node.value)), node)
            else:
                self._assign_value(node, [node.target], node.value)

    def _raise(self, node: ast.Raise) -> None:
        """A raise may be a pause: what it raises decides, when it is raised."""
        with self.operands(node):
            raised, cause = self.expressions_in_order([node.exc, node.cause])
            plain = replaced(node, exc=raised, cause=cause)
            pause = self.operand()
            catch = ast.ExceptHandler(load(".Pause"), SCRATCH, [assign(pause, load(SCRATCH))])
            self.native(ast.Try([plain], [catch], [], []), node)
            self.point(PointKind.PAUSE, call(".pause", load(pause)), node)

    def _assert(self, node: ast.Assert) -> None:
        with self.operands(node):
            with self.block() as body:
                test = self.linear(node.test)
                if node.msg is None or node.msg not in self.suspensions:
                    self.native(replaced(node, test=test), node)
                else:
                    self._failed_assert(node, test, node.msg)
            self.emit(If(at(load("__debug__"), node), body, Block([]), node))

    def _failed_assert(self, node: ast.Assert, test: ast.expr, message: ast.expr) -> None:
        with self.block() as failed:
            error = call(".AssertionError", self.linear(message))
            self.native(ast.Raise(error, None), node)
        self.emit(If(at(negated(test), node), failed, Block([]), node))

    def _expression(self, node: ast.Expr) -> None:
        kind = _SUSPENDING_VALUES.get(type(node.value))
        with self.operands(node):
            if kind is not None:
                operand: ast.expr | None = node.value.value  # type: ignore[attr-defined]
                self.point(kind, None if operand is None else self.linear(operand), node.value)
            else:
                self.native(replaced(node, value=self.linear(node.value)), node)

    # compound statements

    def _if(self, node: ast.If) -> None:
        with self.operands():
            test = self.linear(node.test)
        following = self._following
        self.emit(If(test, self.body(node.body, following), self.body(node.orelse, following), node))

    def _while(self, node: ast.While) -> None:
        if node.test in self.suspensions:
            self._rewritten(desugar.while_(node, self.fresh))
            return
        with self.loop():
            body = self.body(node.body)
        self.emit(While(node.test, body, self.body(node.orelse), node))

    def _for(self, node: ast.For) -> None:
        if node.target in self.suspensions:
            self._rewritten(desugar.for_(node, self.fresh))
            return
        with self.operands():
            iterable = self.linear(node.iter)
            iterator = None
            if self.suspensions.any([*node.body, *node.orelse]):
                iterator = self.holder("it")
                self.assign(iterator, call(".iter", iterable), node.iter)
        with self.loop():
            body = self.body(node.body)
        orelse = self.body(node.orelse)
        self.emit(For(node.target, iterator, iterable if iterator is None else None, body, orelse, node))
        self.clear([] if iterator is None else [iterator], self._after(node))

    def _async_for(self, node: ast.AsyncFor) -> None:
        self._rewritten(desugar.async_for(node, self._after(node), self.holder))

    def _with(self, node: ast.With) -> None:
        item, rest = node.items[0], node.items[1:]
        manager = entered = None
        if self.suspensions.any([item, *rest, *node.body]):
            manager = self.holder("cm")
            if item.optional_vars is not None:
                entered = self.holder("w")
        with self.operands():
            context = self.linear(item.context_expr)
        with self.guarded() as holders, self.block() as body:
            target = item.optional_vars
            if target is not None and target in self.suspensions:
                assert entered is not None
                with self.operands(target):
                    self._store(target, at(load(entered), target), target)
                target = None
            if rest:
                self.statement_of(replaced(node, items=rest))
            else:
                for statement in node.body:
                    self.statement(statement)
        self.emit(With(context, manager, entered, target, body, node))
        self.clear([name for name in (manager, entered, *holders) if name], item.context_expr)

    def statement_of(self, node: ast.stmt) -> None:
        """Lower a part of a statement that was split."""
        self.suspensions.mark(node)
        self.statement(node)

    def _async_with(self, node: ast.AsyncWith) -> None:
        item = node.items[0]
        manager = self.holder("cm")
        entered = None if item.optional_vars is None else self.holder("w")
        with self.operands():
            awaited = item.context_expr.value if isinstance(item.context_expr, ast.Await) else None
            context = self.linear(item.context_expr if awaited is None else awaited)
            with self.block() as opening:
                if awaited is None:
                    self.assign(manager, context, item.context_expr)
                else:
                    self.point(PointKind.AWAIT, context, item.context_expr, store(manager))
                    context = at(ast.Await(context), item.context_expr)
                enter = at(call(".aenter", load(manager)), item.context_expr)
                targets = [] if entered is None else [store(entered)]
                self.point(PointKind.AWAIT, enter, item.context_expr, *targets)
        unfailed = self.fresh("n")
        with self.block() as body:
            self._rewritten(desugar.async_with_body(node, manager, unfailed, entered, self.fresh))
        self.emit(AsyncWith(context, manager, unfailed, entered, item.optional_vars, opening, body, node))
        self.clear([name for name in (manager, entered) if name], item.context_expr)

    def _match(self, node: ast.Match) -> None:
        with self.operands():
            node = replaced(node, subject=self.linear(node.subject))
            self._rewritten(desugar.match_(node, self.suspensions, self.fresh))

    def _try(self, node: ast.Try) -> None:
        if self.suspensions.any(clause.type for clause in node.handlers if clause.type is not None):
            node = desugar.handlers_in_turn(node, self.fresh)
            self.suspensions.mark(node)
        if node.finalbody:
            self._finally(node)
        else:
            self._try_except(node)

    def _finally(self, node: ast.Try) -> None:
        completion = None
        if self.suspensions.any(node.finalbody):
            completion = Completion(self.fresh("p"), self.holder("e"))
        with self.guarded() as holders, self.completing(completion), self.block() as body:
            if node.handlers:
                self.statement_of(replaced(node, finalbody=[]))
            else:
                for statement in node.body:
                    self.statement(statement)
        with self.block() as final:
            self.clear(holders, node.finalbody[0])
            for statement in node.finalbody:
                self.statement(statement)
        self.emit(Finally(body, final, completion, node))

    def _try_except(self, node: ast.Try) -> None:
        with self.guarded() as holders:
            body = self.body(node.body)
        handlers = [self._handler(clause, holders) for clause in node.handlers]
        self.emit(Try(body, handlers, self.body(node.orelse), node))

    def _handler(self, clause: ast.ExceptHandler, holders: list[str]) -> Handler:
        if self.suspensions.any(clause.body) and not (clause.name and is_hidden(clause.name)):
            clause = desugar.handler(clause, self.fresh)
            for statement in clause.body:
                self.suspensions.mark(statement)
        with self.block() as body:
            self.clear(holders, clause.body[0])
            for statement in clause.body:
                self.statement(statement)
        return Handler(clause.type, clause.name, body, clause)

    def _try_star(self, node: ast.TryStar) -> None:
        self._rewritten(desugar.try_star(node, self.fresh))


def _leaves(node: ast.stmt) -> bool:
    """Whether control may leave through `node` by return, break or continue."""
    todo: list[ast.AST] = [node]
    while todo:
        current = todo.pop()
        if isinstance(current, (ast.Return, ast.Break, ast.Continue)):
            return True
        if not isinstance(current, (*SCOPES, ast.expr)):
            todo.extend(ast.iter_child_nodes(current))
    return False
