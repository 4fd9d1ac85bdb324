"""The lowered form of a function: what every later pass reads.

`lower.py` makes it, `number.py` fills in the numbers and spans, then `liveness.py`, `running.py`,
`reenter.py` and `table.py` read it.  Nothing here knows how to make or print it.

Invariants:
* every suspension is a `Point`; expressions, and `Native` statements, hold none;
* when a point suspends, no operand is left on the value stack: all that is alive is a named local;
* evaluation order is the order of statements.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from .kinds import Flavour, Leaving, PointKind

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


class Span(NamedTuple):
    """The points inside a construct: `first` to `last`, both included."""

    first: int
    last: int


@dataclass(slots=True, eq=False)
class Block:
    """Statements in a row."""

    statements: list["Statement"]
    span: Span | None = None


@dataclass(slots=True, eq=False)
class Native:
    """A statement without a suspension point, exactly as it will be compiled."""

    node: ast.stmt


@dataclass(slots=True, eq=False)
class Point:
    """`TARGETS = await VALUE`, `await VALUE`, `return await VALUE`; the same with ``yield``.

    `origin` is the user's node: where it stands in the text, and what `explain` shows.
    """

    kind: PointKind
    value: ast.expr | None
    origin: ast.AST
    targets: list[ast.expr] = field(default_factory=list)
    returned: bool = False
    number: int = 0

    @property
    def span(self) -> Span:
        return Span(self.number, self.number)


@dataclass(slots=True, eq=False)
class If:
    test: ast.expr
    body: Block
    orelse: Block
    origin: ast.AST
    span: Span | None = None


@dataclass(slots=True, eq=False)
class While:
    test: ast.expr
    body: Block
    orelse: Block
    origin: ast.AST
    span: Span | None = None


@dataclass(slots=True, eq=False)
class For:
    """``for TARGET in ITERATOR``; `iterator` names the local that holds it.

    Without a suspension inside, `iterator` is None and `iterable` is the user's expression.
    """

    target: ast.expr
    iterator: str | None
    iterable: ast.expr | None
    body: Block
    orelse: Block
    origin: ast.AST
    span: Span | None = None


@dataclass(slots=True, eq=False)
class With:
    """``with MANAGER := CONTEXT as ENTERED: TARGET = ENTERED; BODY``, one item.

    `manager` and `entered` name locals; both are None without a suspension inside.
    """

    context: ast.expr
    manager: str | None
    entered: str | None
    target: ast.expr | None
    body: Block
    origin: ast.With
    span: Span | None = None


@dataclass(slots=True, eq=False)
class AsyncWith:
    """``async with``, one item: `opening` evaluates CONTEXT into `manager`, which it may await, and
    awaits its ``__aenter__``; `body` holds the rest, ``__aexit__`` included.

    `unfailed` names the local that says whether no exception has left the body."""

    context: ast.expr
    manager: str
    unfailed: str
    entered: str | None
    target: ast.expr | None
    opening: Block
    body: Block
    origin: ast.AsyncWith
    span: Span | None = None


@dataclass(slots=True, eq=False)
class Handler:
    """``except TYPE as NAME``.  With a suspension in its body, NAME is a hidden local that holds
    the exception for as long as the body runs."""

    type: ast.expr | None
    name: str | None
    body: Block
    origin: ast.AST


@dataclass(slots=True, eq=False)
class Try:
    """``try: BODY except HANDLERS else: ORELSE``."""

    body: Block
    handlers: list[Handler]
    orelse: Block
    origin: ast.AST
    span: Span | None = None


@dataclass(slots=True, eq=False)
class Completion:
    """How control is leaving a ``try`` whose ``finally`` suspends, in locals.

    `kind` names the local that holds a `Leaving`; `error` the one that holds the exception.
    `exits` is what the body can do beside ending and raising.
    """

    kind: str
    error: str
    exits: set["Leaving"] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Finally:
    """``try: BODY finally: FINAL``; `completion` is set when FINAL suspends."""

    body: Block
    final: Block
    completion: Completion | None
    origin: ast.AST
    span: Span | None = None


Statement: TypeAlias = Native | Point | If | While | For | With | AsyncWith | Try | Finally


@dataclass(slots=True, eq=False)
class Lowered:
    """One function, lowered."""

    name: str
    qualname: str
    class_name: str | None
    flavour: Flavour
    args: ast.arguments
    body: Block
    origin: ast.AST
    points: list[Point] = field(default_factory=list)
    introspective: bool = False
    """It may look at its own locals by name, so all of them count as live."""


def blocks(statement: Statement) -> Iterator[Block]:
    """The blocks directly inside a statement, in the order of the text."""
    match statement:
        case Native() | Point():
            pass
        case If(body=body, orelse=orelse) | While(body=body, orelse=orelse) | For(body=body, orelse=orelse):
            yield body
            yield orelse
        case With(body=body):
            yield body
        case AsyncWith(opening=opening, body=body):
            yield opening
            yield body
        case Try(body=body, handlers=handlers, orelse=orelse):
            yield body
            for handler in handlers:
                yield handler.body
            yield orelse
        case Finally(body=body, final=final):
            yield body
            yield final
