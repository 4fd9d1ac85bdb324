"""The version of a function: a hash of its structure.

It does not change with comments, layout, docstrings, decorators, or the Python that parses it; it
does change with anything that can change what the function does.
"""

import ast
import hashlib

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


def _dump(node: object, parts: list[str], skip: str | None = None) -> None:
    """Fields without a value are left out: newer Pythons add some to older node classes."""
    if isinstance(node, ast.Constant):
        parts.append(f"{type(node.value).__name__}:{_constant(node.value)};")
    elif isinstance(node, ast.AST):
        parts.append(type(node).__name__ + "(")
        for name in node._fields:
            value = getattr(node, name, None)
            if value is None or value == [] or name in _IGNORED or name == skip:
                continue
            parts.append(name + "=")
            _dump(_normal(node, name, value), parts)
        parts.append(")")
    elif isinstance(node, list):
        for item in node:
            _dump(item, parts)
            parts.append(",")
    else:
        parts.append(f"{node!r};")


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
    """Neighbouring pieces of text in an f-string as one: parsers cut them differently."""
    result: list[ast.expr] = []
    for value in values:
        last = result[-1] if result else None
        if isinstance(value, ast.Constant) and isinstance(last, ast.Constant):
            result[-1] = ast.Constant(f"{last.value!s}{value.value!s}")
        else:
            result.append(value)
    return result
