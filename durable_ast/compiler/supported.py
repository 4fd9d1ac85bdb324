"""What the compiler does with each node class of ``ast``: the one list of what it knows.

A class that a newer Python adds is not in the table.  A function that holds such a node in its own
scope is refused by name, rather than compiled by guesswork; what is nested in it as a function or
class of its own is CPython's alone.
"""

from __future__ import annotations

import ast
import enum
from collections.abc import Iterable

from ..errors import UnsupportedSyntaxError


class Treatment(enum.Enum):
    """How a node is compiled that has a suspension point inside; without one, all are native."""

    NATIVE = "it has none of its own: it goes to CPython as it is, as a part of what holds it"
    LOWERED = "a statement: it becomes statements of the lowered form"
    LIFTED = "an expression: what suspends moves out of it, to statements before"
    REFUSED = "it cannot stand in a function"


def _names(text: str) -> list[str]:
    return text.split()


_BY_TREATMENT: dict[Treatment, list[str]] = {
    Treatment.LOWERED: _names(
        "FunctionDef AsyncFunctionDef ClassDef Return Delete Assign AugAssign AnnAssign For AsyncFor While If With "
        "AsyncWith Match Raise Try TryStar Assert Expr Break Continue ExceptHandler withitem match_case"
    ),
    Treatment.LIFTED: _names(
        "BoolOp NamedExpr BinOp UnaryOp Lambda IfExp Dict Set ListComp SetComp DictComp GeneratorExp Await Yield "
        "YieldFrom Compare Call FormattedValue Interpolation JoinedStr TemplateStr Attribute Subscript Starred List "
        "Tuple Slice keyword comprehension"
    ),
    Treatment.NATIVE: _names(
        "Import ImportFrom Global Nonlocal Pass TypeAlias Constant Name Load Store Del And Or Add Sub Mult MatMult Div "
        "Mod Pow LShift RShift BitOr BitXor BitAnd FloorDiv Invert Not UAdd USub Eq NotEq Lt LtE Gt GtE Is IsNot In "
        "NotIn arguments arg alias MatchValue MatchSingleton MatchSequence MatchMapping MatchClass MatchStar MatchAs "
        "MatchOr TypeVar ParamSpec TypeVarTuple"
    ),
    Treatment.REFUSED: _names("Module Interactive Expression FunctionType TypeIgnore"),
}

TREATMENT: dict[str, Treatment] = {name: how for how, names in _BY_TREATMENT.items() for name in names}
"""The treatment of each node class, by its name: no Python has all of the classes."""

_COMPILED = frozenset(
    kind
    for name, how in TREATMENT.items()
    if how is not Treatment.REFUSED and (kind := getattr(ast, name, None)) is not None
)


def check(function: ast.FunctionDef | ast.AsyncFunctionDef, nodes: Iterable[ast.AST], filename: str) -> None:
    """Look for nodes that the compiler does not know among the function's own.

    Raises:
        UnsupportedSyntaxError: there is one.
    """
    unknown = {type(node): node for node in nodes if type(node) not in _COMPILED}
    for kind, node in unknown.items():
        line = getattr(node, "lineno", function.lineno)
        raise UnsupportedSyntaxError(
            f"{filename}:{line}: {function.name}() holds a {kind.__name__}, which this version of durable-ast does not "
            "know. Update it, or move the construct to a function of its own that does not await."
        )
