"""Lift suspensions out of expressions.

Input:   an expression of the user's.
Output:  an expression without a suspension point, and the statements that come before it.
Keeps:   Python's evaluation order: whatever is evaluated before an await is evaluated into a
         temporary before it, in order; whatever comes after it stays in place.

A node without a suspension inside is returned as it is, the same node in the same place.
"""

import ast
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeAlias

from .build import at, call, constant, load, negated, replaced, store
from .comprehensions import Comprehension, as_loop, elements, empty
from .emitter import Emitter, is_kept
from .kinds import PointKind
from .lowered import If

Part: TypeAlias = ast.expr | ast.keyword
Interpolation: type[ast.expr] | None = getattr(ast, "Interpolation", None)  # since Python 3.14

_CONVERTS_FIRST = sys.version_info >= (3, 13)
"""``f"{x!r:{y}}"`` calls `repr` before it evaluates ``y``."""


class Expressions(Emitter, ABC):
    """One method for each node class that does not simply evaluate its fields in order."""

    @abstractmethod
    def statement(self, node: ast.stmt) -> None:
        """Lower a statement: what a comprehension becomes."""

    def linear(self, node: ast.expr) -> ast.expr:
        """The value of `node`, as an expression that does not suspend."""
        if node not in self.suspensions:
            return node
        method: Callable[[ast.expr], ast.expr] | None = getattr(self, f"linear_{type(node).__name__}", None)
        return method(node) if method else self._in_order(node)

    def in_order(self, parts: Sequence[Part]) -> list[Part]:
        """The values of operands that are evaluated one after the other."""
        last = max((i for i, part in enumerate(parts) if part in self.suspensions), default=-1)
        return [self._kept(self._part(part)) if i < last else self._part(part) for i, part in enumerate(parts)]

    def _part(self, part: Part) -> Part:
        if isinstance(part, ast.keyword):
            return replaced(part, value=self.linear(part.value)) if part in self.suspensions else part
        return self.linear(part)

    def expressions_in_order(self, nodes: Sequence[ast.expr | None]) -> list[ast.expr | None]:
        """`in_order` for optional expressions; an absent one stays absent."""
        values = iter(self.in_order([node for node in nodes if node is not None]))
        return [None if node is None else _expression(next(values)) for node in nodes]

    def kept(self, node: ast.expr) -> ast.expr:
        """Evaluate an expression now; the expression that reads the value later."""
        return _expression(self._kept(node))

    def _kept(self, part: Part) -> Part:
        match part:
            case ast.keyword(arg=None, value=value):
                return replaced(part, value=self.keep(ast.Dict([None], [value]), value))
            case ast.keyword(value=value):
                return replaced(part, value=self.kept(value))
            case ast.Starred(value=value):
                return replaced(part, value=self.keep(ast.List([part], ast.Load()), part))
            case ast.Slice():
                bounds = {name: getattr(part, name) for name in ("lower", "upper", "step")}
                return replaced(part, **{k: self.kept(v) for k, v in bounds.items() if v is not None})
            case ast.FormattedValue():
                piece = self.keep(ast.JoinedStr([part]), part)
                return at(ast.FormattedValue(piece, -1, None), part)
        if Interpolation is not None and isinstance(part, Interpolation):
            return self._kept_interpolation(part)
        return part if is_kept(part) else self.keep(part, part)

    def _kept_interpolation(self, node: ast.expr) -> ast.expr:
        """An interpolation of a template string is an object with its own text: keep what it holds."""
        value: ast.expr = node.value  # type: ignore[attr-defined]
        spec: ast.expr | None = node.format_spec  # type: ignore[attr-defined]
        changes: dict[str, object] = {"value": self.kept(value)}
        if spec is not None:
            changes["format_spec"] = at(ast.JoinedStr([ast.FormattedValue(self.kept(spec), -1, None)]), node)
        return replaced(node, **changes)

    def _in_order(self, node: ast.expr) -> ast.expr:
        """A node whose fields are evaluated in the order in which ``ast`` lists them."""
        parts: list[Part] = []
        for name in node._fields:
            value = getattr(node, name, None)
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, (ast.expr, ast.keyword)):
                    parts.append(item)
        values = iter(self.in_order(parts))
        changes: dict[str, object] = {}
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, list):
                changes[name] = [next(values) if isinstance(item, (ast.expr, ast.keyword)) else item for item in value]
            elif isinstance(value, (ast.expr, ast.keyword)):
                changes[name] = next(values)
        return replaced(node, **changes)

    # in the order of the grammar

    def linear_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        result = self.operand()
        self._short_circuit(node, node.values, result)
        return at(load(result), node)

    def _short_circuit(self, node: ast.BoolOp, values: list[ast.expr], result: str) -> None:
        self.assign(result, self.linear(values[0]), values[0])
        if len(values) == 1:
            return
        test: ast.expr = load(result) if isinstance(node.op, ast.And) else negated(load(result))
        with self.block() as rest:
            self._short_circuit(node, values[1:], result)
        with self.block() as nothing:
            pass
        self.emit(If(at(test, values[0]), rest, nothing, values[0]))

    def linear_NamedExpr(self, node: ast.NamedExpr) -> ast.expr:
        self.assign(store(node.target.id), self.linear(node.value), node)
        return at(load(node.target.id), node)

    def linear_Lambda(self, node: ast.Lambda) -> ast.expr:
        args = node.args
        values = self.expressions_in_order([*args.defaults, *args.kw_defaults])
        count = len(args.defaults)
        return replaced(node, args=replaced(args, defaults=values[:count], kw_defaults=values[count:]))

    def linear_IfExp(self, node: ast.IfExp) -> ast.expr:
        result = self.operand()
        test = self.linear(node.test)
        with self.block() as body:
            self.assign(result, self.linear(node.body), node.body)
        with self.block() as orelse:
            self.assign(result, self.linear(node.orelse), node.orelse)
        self.emit(If(test, body, orelse, node.test))
        return at(load(result), node)

    def linear_Dict(self, node: ast.Dict) -> ast.expr:
        parts = [part for pair in zip(node.keys, node.values, strict=True) for part in pair]
        last = max(i for i, part in enumerate(parts) if part in self.suspensions)
        values: list[ast.expr | None] = []
        for i, part in enumerate(parts):
            if part is None:
                values.append(None)
            elif i >= last:
                values.append(self.linear(part))
            elif parts[i - 1] is None and i % 2:  # ``**part``: merged now, as Python does
                values.append(self.keep(ast.Dict([None], [self.linear(part)]), part))
            else:
                values.append(self.kept(self.linear(part)))
        return replaced(node, keys=values[::2], values=values[1::2])

    def linear_Compare(self, node: ast.Compare) -> ast.expr:
        if len(node.ops) == 1:
            left, right = self.in_order([node.left, node.comparators[0]])
            return replaced(node, left=left, comparators=[right])
        result = self.operand()
        self._chain(node, node.left, 0, result)
        return at(load(result), node)

    def _chain(self, node: ast.Compare, left: ast.expr, index: int, result: str) -> None:
        values = self.in_order([left, node.comparators[index]])
        first, second = _expression(values[0]), _expression(values[1])
        if index + 1 == len(node.ops):
            self.assign(result, ast.Compare(first, [node.ops[index]], [second]), node)
            return
        first, second = self.kept(first), self.kept(second)
        self.assign(result, ast.Compare(first, [node.ops[index]], [second]), node)
        with self.block() as rest:
            self._chain(node, second, index + 1, result)
        with self.block() as nothing:
            pass
        self.emit(If(at(load(result), node), rest, nothing, node))

    def linear_Call(self, node: ast.Call) -> ast.expr:
        if all(keyword.arg is not None for keyword in node.keywords):
            return self._in_order(node)
        parts: list[Part] = [node.func, *node.args, *node.keywords]
        last = max(i for i, part in enumerate(parts) if part in self.suspensions)
        values: list[Part] = []
        for i, part in enumerate(parts):
            value = self._part(part)
            if i < last:
                value = self._kept(value)
                if isinstance(value, ast.keyword) and value.arg is None:
                    self._merge(values, value)
            values.append(value)
        first = len(node.args) + 1
        return replaced(node, func=values[0], args=values[1:first], keywords=values[first:])

    def _merge(self, before: list[Part], mapping: ast.keyword) -> None:
        """``**mapping`` fails at once if it repeats a keyword."""
        keywords = [part for part in before if isinstance(part, ast.keyword)]
        if keywords:
            names: list[ast.expr | None] = [None if k.arg is None else constant(k.arg) for k in keywords]
            known = ast.Dict(names, [keyword.value for keyword in keywords])
            self.native(ast.Expr(call(".merge", _expression(before[0]), known, mapping.value)), mapping)

    def linear_FormattedValue(self, node: ast.FormattedValue) -> ast.expr:
        if _CONVERTS_FIRST and node.conversion != -1 and node.format_spec in self.suspensions:
            node = replaced(node, value=self._converted(node))
        return self._in_order(node)

    def _converted(self, node: ast.FormattedValue) -> ast.expr:
        """The text that a value is converted to, in the temporary in which other Pythons keep the value."""
        value = self.linear(node.value)
        if isinstance(value, ast.Constant):
            return value  # nobody can tell when it is converted
        text = at(call(".converted", ast.JoinedStr([ast.FormattedValue(value, node.conversion, None)])), node.value)
        if isinstance(value, ast.Name) and is_kept(value):
            self.assign(value.id, text, node)
            return value
        return self.keep(text, node)

    def linear_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        return replaced(node, values=self.in_order(node.values))

    linear_TemplateStr = linear_JoinedStr

    def linear_ListComp(self, node: ast.ListComp) -> ast.expr:
        return self._comprehension(node)

    def linear_SetComp(self, node: ast.SetComp) -> ast.expr:
        return self._comprehension(node)

    def linear_DictComp(self, node: ast.DictComp) -> ast.expr:
        return self._comprehension(node)

    def _comprehension(self, node: Comprehension) -> ast.expr:
        if self._suspends_in_first_iterable_only(node):
            first = node.generators[0]
            first = replaced(first, iter=self.linear(first.iter))
            return replaced(node, generators=[first, *node.generators[1:]])
        result = self.operand()
        self.assign(result, empty(node), node)
        loop = as_loop(node, result, self.fresh("c"))
        self.suspensions.mark(loop)
        self.statement(loop)
        return at(load(result), node)

    def _suspends_in_first_iterable_only(self, node: Comprehension) -> bool:
        first, *rest = node.generators
        if any(generator.is_async for generator in node.generators):
            return False
        inner = [first.target, *first.ifs, *rest, *elements(node)]
        return not any(part in self.suspensions for part in inner)

    def linear_GeneratorExp(self, node: ast.GeneratorExp) -> ast.expr:
        first = node.generators[0]
        first = replaced(first, iter=self.linear(first.iter))
        return replaced(node, generators=[first, *node.generators[1:]])

    def linear_Await(self, node: ast.Await) -> ast.expr:
        return self._suspended(PointKind.AWAIT, node, node.value)

    def linear_Yield(self, node: ast.Yield) -> ast.expr:
        return self._suspended(PointKind.YIELD, node, node.value)

    def linear_YieldFrom(self, node: ast.YieldFrom) -> ast.expr:
        return self._suspended(PointKind.YIELD_FROM, node, node.value)

    def _suspended(self, kind: PointKind, node: ast.expr, operand: ast.expr | None) -> ast.expr:
        value = None if operand is None else self.linear(operand)
        name = self.operand()
        self.point(kind, value, node, store(name))
        return at(load(name), node)

    # shared with statements

    def slice_object(self, node: ast.Slice) -> ast.expr:
        """A slice that is needed twice: once to read, once to write."""
        bounds = self.expressions_in_order([node.lower, node.upper, node.step])
        made = call(".slice", *[constant(None) if bound is None else bound for bound in bounds])
        return self.keep(made, node)


def _expression(part: Part) -> ast.expr:
    assert isinstance(part, ast.expr)
    return part
