"""Where lowering puts its statements: the current block, names for temporaries, ways out.

Shared by the modules that lower expressions, comprehensions and statements; it knows nothing of
any of them.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from .build import assign, at, clear, constant, load
from .kinds import Leaving, PointKind
from .lowered import Block, Completion, Native, Point, Statement
from .names import LOCAL, OPERAND, RETURN_VALUE
from .suspension import Suspensions


class Emitter:
    """The state of lowering one function.

    ``_statements``  the block that is being filled
    ``_serials``     how many names of each kind are taken
    ``_operands``    how many operand temporaries are alive; the next is one more
    ``_highest``     how many of them were alive at once, in the innermost construct that is guarded
    ``_holders``     locals that keep an iterator or manager alive for as long as a construct runs
    ``_exits``       from the outside in: None for a loop, a `Completion` for a suspending finally
    """

    def __init__(self, suspensions: Suspensions) -> None:
        self.suspensions = suspensions
        self._statements: list[Statement] = []
        self._serials: Counter[str] = Counter()
        self._operands = self._highest = 0
        self._holders: list[str] = []
        self._exits: list[Completion | None] = []

    # names

    def fresh(self, kind: str) -> str:
        """A hidden local that nothing else uses: ``..it1``, ``..it2``, ..."""
        self._serials[kind] += 1
        return f"{LOCAL}{kind}{self._serials[kind]}"

    def holder(self, kind: str) -> str:
        """A hidden local that must be let go of when an exception leaves the construct."""
        name = self.fresh(kind)
        self._holders.append(name)
        return name

    def operand(self) -> str:
        """A hidden local for one operand; the next statement takes the same names again."""
        self._operands += 1
        self._highest = max(self._highest, self._operands)
        return f"{OPERAND}{self._operands}"

    # statements

    def emit(self, statement: Statement) -> None:
        self._statements.append(statement)

    def native(self, node: ast.stmt, where: ast.AST) -> None:
        self.emit(Native(at(node, where)))

    def assign(self, target: str | ast.expr, value: ast.expr, where: ast.AST) -> None:
        self.native(assign(target, value), where)

    def clear(self, names: list[str], where: ast.AST) -> None:
        if names:
            self.native(clear(*names), where)

    def point(self, kind: PointKind, value: ast.expr | None, origin: ast.AST, *targets: ast.expr,
              returned: bool = False) -> None:  # fmt: skip
        for target in targets:
            at(target, origin)
        self.emit(Point(kind, None if value is None else at(value, origin), origin, list(targets), returned))

    def keep(self, value: ast.expr, where: ast.AST) -> ast.expr:
        """Put a value into an operand temporary; the expression that reads it."""
        name = self.operand()
        self.assign(name, value, where)
        return at(load(name), where)

    @contextmanager
    def block(self) -> Iterator[Block]:
        """Statements emitted inside go to a block of their own."""
        outer, self._statements = self._statements, []
        block = Block(self._statements)
        try:
            yield block
        finally:
            self._statements = outer

    @contextmanager
    def operands(self, where: ast.AST | None = None) -> Iterator[None]:
        """A statement, or the head of a compound one.  What its operands hold is let go of at the
        end, in the place of `where`; a head has no such place."""
        alive = self._operands
        yield
        if where is not None:
            self.clear([f"{OPERAND}{i + 1}" for i in range(alive, self._operands)], where)
        self._operands = alive

    @contextmanager
    def guarded(self) -> Iterator[list[str]]:
        """What an exception may leave halfway: gives the holders and operands that were made inside, for
        whoever catches it to clear."""
        outer, self._holders = self._holders, []
        inner = self._holders
        highest, alive = self._highest, self._operands
        self._highest = alive
        try:
            yield inner
        finally:
            outer.extend(inner)
            self._holders = outer
            inner.extend(f"{OPERAND}{i + 1}" for i in range(alive, self._highest))
            self._highest = max(highest, self._highest)

    # ways out

    @contextmanager
    def loop(self) -> Iterator[None]:
        """Inside, ``break`` and ``continue`` mean this loop."""
        self._exits.append(None)
        try:
            yield
        finally:
            self._exits.pop()

    @contextmanager
    def completing(self, completion: Completion | None) -> Iterator[None]:
        """Inside, every way out is recorded for a ``finally`` that suspends, if there is one."""
        if completion is None:
            yield
            return
        self._exits.append(completion)
        try:
            yield
        finally:
            self._exits.pop()

    @property
    def completions(self) -> list[Completion]:
        """The suspending finallys that a ``return`` passes."""
        return [completion for completion in self._exits if completion is not None]

    def leave(self, how: Leaving, where: ast.AST) -> None:
        """Record that control leaves by `how` in every suspending ``finally`` it passes."""
        for completion in reversed(self._exits):
            if completion is None:
                if how is not Leaving.RETURN:
                    return
                continue
            self.assign(completion.kind, constant(int(how)), where)
            completion.exits.add(how)

    def leave_with(self, value: ast.expr, where: ast.AST) -> None:
        """``return value`` through the suspending finallys around."""
        self.assign(RETURN_VALUE, value, where)
        self.leave(Leaving.RETURN, where)
        self.native(ast.Return(load(RETURN_VALUE)), where)


def is_kept(node: ast.expr) -> bool:
    """Whether evaluating `node` later gives the same: a constant, or a temporary of ours."""
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id.startswith(OPERAND))
