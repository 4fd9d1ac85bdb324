"""Which locals are live at each suspension point.

Input:   `Lowered`, numbered, and the names of its locals.
Output:  for each point the locals that some later path may read, in a fixed order.
Keeps:   exception edges: a name read only in a handler or ``finally`` is live wherever control may
         leave for it.  What a nested function reads is read where that function is made; whether a
         function made before still reads it is not asked here.  A function that looks at its own
         locals keeps them all.

A backward analysis over the structure of the function, loops repeated until nothing changes.  It
follows from the text alone, so that every Python keeps the same names.  Sets are bit masks.
"""

import ast
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from .build import children
from .kinds import Leaving
from .lowered import AsyncWith, Finally, For, Handler, If, Lowered, Native, Point, Statement, Try, While, With
from .names import RETURN_VALUE, mangled
from .suspension import SCOPES, OwnNodes

Mask = int


def liveness(lowered: Lowered, names: Sequence[str], own: OwnNodes) -> dict[int, tuple[str, ...]]:
    """The live ones of `names`, by point number.

    Args:
        lowered: the function.
        names: its locals.
        own: its own nodes, as it was written.
    """
    if lowered.introspective:
        return {point.number: tuple(names) for point in lowered.points}
    analysis = _Liveness(lowered, names, own)
    analysis.block(lowered.body.statements, 0, _Exits(0, 0, 0, 0), 0)
    return {number: analysis.members(mask) for number, mask in analysis.live.items()}


SUPER = "super"
"""Without arguments it reads the first parameter of the function."""


def names_read(node: ast.AST | None, class_name: str | None) -> set[str]:
    """The names that an expression or statement may read, nested functions included."""
    if node is None:
        return set()
    return {mangled(name.id, class_name) for name in _names(node, {}) if type(name.ctx) is not ast.Store}


def _names(node: ast.AST, own: OwnNodes) -> list[ast.Name]:
    """The names in an expression or statement; what is below the `own` nodes is known already."""
    found: list[ast.Name] = []
    todo = [node]
    while todo:
        inner = todo.pop()
        kind = type(inner)
        if kind is ast.Name:
            found.append(inner)  # type: ignore[arg-type]
        elif kind is not ast.Constant:
            below = own.get(inner)
            todo += children(inner) if below is None or kind in SCOPES else below
    return found


class _Exits(NamedTuple):
    """What is live where control goes when it does not go on to the next statement."""

    raised: Mask
    returned: Mask
    broken: Mask
    continued: Mask


class _Bits(dict[str, Mask]):
    """The bit of each variable, by the name that the text has for it; 0 for what is none."""

    def __init__(self, names: Sequence[str], class_name: str | None) -> None:
        super().__init__((name, 1 << i) for i, name in enumerate(names))
        self._class_name = class_name

    def __missing__(self, name: str) -> Mask:
        spelled = mangled(name, self._class_name)
        mask = self[name] = self.get(spelled, 0)
        return mask


class _Liveness:
    def __init__(self, lowered: Lowered, names: Sequence[str], own: OwnNodes) -> None:
        self._own = own
        self._bits = _Bits(names, lowered.class_name)
        self._bits_read = _Bits(names, lowered.class_name)
        self._names = list(names)
        parameters = [*lowered.args.posonlyargs, *lowered.args.args]
        if parameters:
            self._bits_read.setdefault(SUPER, self._bits[parameters[0].arg])
        self._reads: dict[ast.AST, Mask] = {}
        self._simple: dict[ast.stmt, tuple[Mask, Mask]] = {}
        self.live: dict[int, Mask] = {}

    def members(self, mask: Mask) -> tuple[str, ...]:
        return tuple(name for i, name in enumerate(self._names) if mask >> i & 1)

    # names in expressions

    def bit(self, name: str | None) -> Mask:
        return 0 if name is None else self._bits[name]

    def reads(self, node: ast.AST | None) -> Mask:
        """What evaluating `node` may read."""
        if node is None:
            return 0
        known = self._reads.get(node)
        if known is None:
            known = 0
            for name in _names(node, self._own):
                if type(name.ctx) is not ast.Store:
                    known |= self._bits_read[name.id]
            self._reads[node] = known
        return known

    def _all_reads(self, nodes: Iterable[ast.AST | None]) -> Mask:
        mask = 0
        for node in nodes:
            mask |= self.reads(node)
        return mask

    def writes(self, targets: Iterable[ast.AST]) -> Mask:
        """What assigning to all of `targets` binds."""
        mask = 0
        for target in targets:
            for name in _names(target, self._own):
                if type(name.ctx) is not ast.Load:
                    mask |= self._bits[name.id]
        return mask

    # the lowered form; each method gives what is live before, from what is live after

    def block(self, statements: Sequence[Statement], after: Mask, exits: _Exits, pinned: Mask) -> Mask:
        """`pinned` is kept at every point inside, because a construct around needs it."""
        for statement in reversed(statements):
            after = self.statement(statement, after, exits, pinned)
        return after

    def statement(self, statement: Statement, after: Mask, exits: _Exits, pinned: Mask) -> Mask:
        match statement:
            case Native(node=node):
                return self.native(node, after, exits)
            case Point():
                return self._point(statement, after, exits, pinned)
            case If(test=test, body=body, orelse=orelse):
                before = self.block(body.statements, after, exits, pinned)
                before |= self.block(orelse.statements, after, exits, pinned)
                return before | self.reads(test) | exits.raised
            case While():
                return self._while(statement, after, exits, pinned)
            case For():
                return self._for(statement, after, exits, pinned)
            case With():
                return self._with(statement, after, exits, pinned)
            case AsyncWith(opening=opening, body=body):
                inside = pinned | self.bit(statement.manager)
                before = self.block(body.statements, after, exits, inside)
                return self.block(opening.statements, before, exits, inside)
            case Try():
                return self._try(statement, after, exits, pinned)
            case Finally():
                return self._finally(statement, after, exits, pinned)

    def _point(self, point: Point, after: Mask, exits: _Exits, pinned: Mask) -> Mask:
        if point.returned:
            after = exits.returned
        bound = self.writes(point.targets)
        kept = (after & ~bound) | self._all_reads(point.targets) | exits.raised | pinned
        self.live[point.number] = self.live.get(point.number, 0) | kept
        return kept | self.reads(point.value)

    def _while(self, node: While, after: Mask, exits: _Exits, pinned: Mask) -> Mask:
        end = self.block(node.orelse.statements, after, exits, pinned)
        head = end | self.reads(node.test) | exits.raised

        def body(head: Mask) -> Mask:
            inside = exits._replace(broken=after, continued=head)
            return self.block(node.body.statements, head, inside, pinned)

        return _repeated(head, body)

    def _for(self, node: For, after: Mask, exits: _Exits, pinned: Mask) -> Mask:
        end = self.block(node.orelse.statements, after, exits, pinned)
        iterator = self.bit(node.iterator)
        bound, target = self.writes([node.target]), self.reads(node.target)

        def body(head: Mask) -> Mask:
            inside = exits._replace(broken=after, continued=head)
            before = self.block(node.body.statements, head, inside, pinned | iterator)
            return (before & ~bound) | target

        head = _repeated(end | iterator | exits.raised, body)
        return head | self.reads(node.iterable)

    def _with(self, node: With, after: Mask, exits: _Exits, pinned: Mask) -> Mask:
        manager = self.bit(node.manager)
        inside = exits._replace(raised=exits.raised | after)  # __exit__ may swallow the exception
        before = self.block(node.body.statements, after, inside, pinned | manager)
        targets = [] if node.target is None else [node.target]
        before = (before & ~self.writes(targets)) | self._all_reads(targets)
        before &= ~(manager | self.bit(node.entered))
        return before | self.reads(node.context) | inside.raised

    def _try(self, node: Try, after: Mask, exits: _Exits, pinned: Mask) -> Mask:
        caught = exits.raised
        for handler in node.handlers:
            caught |= self._handler(handler, after, exits, pinned)
        end = self.block(node.orelse.statements, after, exits, pinned)
        return self.block(node.body.statements, end, exits._replace(raised=caught), pinned)

    def _handler(self, node: Handler, after: Mask, exits: _Exits, pinned: Mask) -> Mask:
        name = self.bit(node.name)
        inside = pinned | name if node.body.span is not None else pinned
        before = self.block(node.body.statements, after & ~name, exits, inside)
        return (before & ~name) | self.reads(node.type) | exits.raised

    def _finally(self, node: Finally, after: Mask, exits: _Exits, pinned: Mask) -> Mask:
        leaving = after | exits.raised | exits.returned | exits.broken | exits.continued
        inside, recorded = pinned, 0
        if node.completion is not None:
            recorded = self.bit(node.completion.kind) | self.bit(node.completion.error)
            inside |= recorded
            if Leaving.RETURN in node.completion.exits:
                inside |= self.bit(RETURN_VALUE)
        final = self.block(node.final.statements, leaving, exits, inside)
        # Ending and raising are noted by the construct itself.  The other ways out are noted before
        # they pass the finallys inside this one, so the note has to live through those.
        noted = final & ~recorded
        return self.block(node.body.statements, noted, _Exits(noted, final, final, final), pinned) & ~recorded

    # statements without a suspension

    def native_block(self, nodes: Sequence[ast.stmt], after: Mask, exits: _Exits) -> Mask:
        for node in reversed(nodes):
            after = self.native(node, after, exits)
        return after

    def native(self, node: ast.stmt, after: Mask, exits: _Exits) -> Mask:
        if type(node) not in _LEAVING:
            known = self._simple.get(node)
            if known is None:
                known = self._simple[node] = ~self._bound(node), self.reads(node) | self._updated(node)
            return (after & known[0]) | known[1] | exits.raised
        match node:
            case ast.Return():
                return exits.returned | self.reads(node) | exits.raised
            case ast.Raise():
                return self.reads(node) | exits.raised
            case ast.Break():
                return exits.broken
            case ast.Continue():
                return exits.continued
            case ast.If(test=test, body=body, orelse=orelse):
                before = self.native_block(body, after, exits) | self.native_block(orelse, after, exits)
                return before | self.reads(test) | exits.raised
            case ast.While() | ast.For():
                return self._native_loop(node, after, exits)
            case ast.With():
                return self._native_with(node, after, exits)
            case ast.Try() | ast.TryStar():
                return self._native_try(node, after, exits)
            case ast.Match():
                before = after
                for case in node.cases:
                    before |= self.native_block(case.body, after, exits) | self.reads(case.guard)
                    before |= self.reads(case.pattern)
                return before | self.reads(node.subject) | exits.raised
        raise TypeError(node)

    def _updated(self, node: ast.stmt) -> Mask:
        """``x += 1`` reads x."""
        return self.writes([node.target]) if isinstance(node, ast.AugAssign) else 0

    def _bound(self, node: ast.stmt) -> Mask:
        """What a simple statement or definition certainly binds."""
        match node:
            case ast.Assign(targets=targets) | ast.Delete(targets=targets):
                return self.writes(targets)
            case ast.AnnAssign(target=target, value=value):
                return 0 if value is None else self.writes([target])
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                return self.bit(name)
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                mask = 0
                for alias in names:
                    mask |= self.bit(alias.asname or alias.name.partition(".")[0])
                return mask
        return 0

    def _native_loop(self, node: ast.While | ast.For, after: Mask, exits: _Exits) -> Mask:
        end = self.native_block(node.orelse, after, exits)
        bound = target = first = 0
        if isinstance(node, ast.For):
            bound, target, first = self.writes([node.target]), self.reads(node.target), self.reads(node.iter)
            test = 0
        else:
            test = self.reads(node.test)

        def body(head: Mask) -> Mask:
            inside = exits._replace(broken=after, continued=head)
            return (self.native_block(node.body, head, inside) & ~bound) | target

        return _repeated(end | test | exits.raised, body) | first

    def _native_with(self, node: ast.With, after: Mask, exits: _Exits) -> Mask:
        inside = exits._replace(raised=exits.raised | after)
        before = self.native_block(node.body, after, inside)
        for item in reversed(node.items):
            if item.optional_vars is not None:
                before = (before & ~self.writes([item.optional_vars])) | self.reads(item.optional_vars)
            before |= self.reads(item.context_expr) | inside.raised
        return before

    def _native_try(self, node: ast.Try | ast.TryStar, after: Mask, exits: _Exits) -> Mask:
        if node.finalbody:
            leaving = after | exits.raised | exits.returned | exits.broken | exits.continued
            after = self.native_block(node.finalbody, leaving, exits)
            exits = _Exits(after, after, after, after)
        caught = exits.raised
        for handler in node.handlers:
            before = self.native_block(handler.body, after, exits)
            caught |= (before & ~self.bit(handler.name)) | self.reads(handler.type)
        if isinstance(node, ast.TryStar):  # several handlers may run, one after the other
            exits = exits._replace(raised=exits.raised | caught)
            for handler in node.handlers:
                before = self.native_block(handler.body, after | caught, exits)
                caught |= (before & ~self.bit(handler.name)) | self.reads(handler.type)
        end = self.native_block(node.orelse, after, exits)
        return self.native_block(node.body, end, exits._replace(raised=caught))


_LEAVING = frozenset(
    {
        ast.Return,
        ast.Raise,
        ast.Break,
        ast.Continue,
        ast.If,
        ast.While,
        ast.For,
        ast.With,
        ast.Try,
        ast.TryStar,
        ast.Match,
    }
)
"""The statements after which control may go on elsewhere; all others end where the next one begins."""


def _repeated(head: Mask, body: Callable[[Mask], Mask]) -> Mask:
    """What is live at the head of a loop: it grows until a further turn adds nothing."""
    while True:
        again = head | body(head)
        if again == head:
            return head
        head = again
