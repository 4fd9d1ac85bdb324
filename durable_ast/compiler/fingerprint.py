"""The version of a function: a hash of its structure.

It does not change with comments, layout, docstrings, decorators, or the Python that parses it; it
does change with anything that can change what the function does.
"""

import ast
import hashlib
from typing import Any, TypeAlias

Place: TypeAlias = tuple[Any, ...]

_IGNORED = frozenset({"type_comment", "kind", "ctx"})
_WITH_DOCSTRING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def fingerprint(node: ast.AST) -> str:
    """A hash of one function, in hexadecimal.

    >>> one = ast.parse("def f(a):\\n  'doc'\\n  return a  # comment").body[0]
    >>> two = ast.parse("def f(a): return (a)").body[0]
    >>> fingerprint(one) == fingerprint(two)
    True
    """
    parts: list[str] = []
    _dump(node, parts, skip="decorator_list")
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:32]


def fingerprint_until(body: list[ast.stmt], place: Place) -> str:
    """The same for what stands in a body up to the end of the first node at this place."""
    parts: list[str] = []
    any(_dump(statement, parts, until=place) for statement in body)
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:32]


def place_of(node: ast.AST) -> Place:
    """First line, column, last line and column of a node; None for one that has no place."""
    return tuple(getattr(node, name, None) for name in ("lineno", "col_offset", "end_lineno", "end_col_offset"))


def _dump(node: object, parts: list[str], skip: str | None = None, until: Place | None = None) -> bool:
    """Whether the place was reached, at which nothing more is added.

    Fields without a value are left out: newer Pythons add some to older node classes."""
    kind = type(node)
    if kind is ast.Name and until is None:  # every other node is one
        parts.append(f"Name(id={node.id!r};)")  # type: ignore[attr-defined]
        return False
    if kind is list:
        for item in node:  # type: ignore[attr-defined]
            if _dump(item, parts, until=until):
                return True
            parts.append(",")
        return False
    if kind is ast.Constant:
        value = node.value  # type: ignore[attr-defined]
        parts.append(f"{type(value).__name__}:{_constant(value)};")
    elif isinstance(node, ast.AST):
        head, fields = _SHAPES.get(kind) or _shape(type(node))
        parts.append(head)
        for name, label in fields:
            value = getattr(node, name, None)
            if value is None or (type(value) is list and not value) or name == skip:
                continue
            parts.append(label)
            if kind in _NORMALIZED:
                value = _normal(node, name, value)
            if _dump(value, parts, until=until):
                return True
        parts.append(")")
    else:
        parts.append(f"{node!r};")
    return until is not None and isinstance(node, ast.AST) and place_of(node) == until


_NORMALIZED = frozenset({*_WITH_DOCSTRING, ast.JoinedStr})

_SHAPES: dict[type, tuple[str, tuple[tuple[str, str], ...]]] = {}
"""By node class, what its text begins with, and its fields, each with what comes before it."""


def _shape(kind: type[ast.AST]) -> tuple[str, tuple[tuple[str, str], ...]]:
    fields = tuple((name, f"{name}=") for name in kind._fields if name not in _IGNORED)
    shape = _SHAPES[kind] = f"{kind.__name__}(", fields
    return shape


def _constant(value: object) -> str:
    """Sets have no order of their own."""
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)


def _normal(node: ast.AST, name: str, value: object) -> object:
    if name == "body" and isinstance(node, _WITH_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
        return node.body[1:]
    if isinstance(node, ast.JoinedStr):
        return _joined(node.values)
    return value


def _joined(values: list[ast.expr]) -> list[ast.expr]:
    """Neighbouring pieces of text in an f-string as one, and none without text: parsers cut them differently."""
    result: list[ast.expr] = []
    for value in values:
        if isinstance(value, ast.Constant) and not value.value:
            continue
        last = result[-1] if result else None
        if isinstance(value, ast.Constant) and isinstance(last, ast.Constant):
            result[-1] = ast.Constant(f"{last.value!s}{value.value!s}")
        else:
            result.append(value)
    return result
