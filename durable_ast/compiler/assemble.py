"""Compile one function outside of its module.

Input:   the body that a pass has made for a function, and where the function comes from.
Output:  the code object, with the names, lines and qualified names of the user's function.
Keeps:   its free variables (they become free variables of the code, whatever scope they come from),
         private name mangling, ``__class__`` and ``super()``, ``__future__`` flags.
"""

import ast
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from types import CodeType

from ..errors import UnsupportedSyntaxError
from .build import at, function, parameters
from .code_objects import FUTURE_FLAGS, note_made
from .kinds import Flavour
from .lowered import Lowered
from .source import FunctionSource

_FACTORY = ".factory"
_TOO_NESTED = "too many statically nested blocks"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a function's code comes from."""

    filename: str
    flags: int
    name: str
    qualname: str
    class_name: str | None
    imports: tuple[str, ...]

    @classmethod
    def of(cls, source: FunctionSource) -> "Origin":
        code = source.plain
        flags = code.co_flags & FUTURE_FLAGS
        return cls(code.co_filename, flags, code.co_name, code.co_qualname, source.class_name, source.imports)


def assemble(
    lowered: Lowered,
    origin: Origin,
    args: ast.arguments,
    body: list[ast.stmt],
    free: Iterable[str],
) -> CodeType:
    """The code object of a function with these parameters, this body, whose statements all have their
    place, and these free variables.

    The function is defined inside a factory whose parameters are its free variables.  It is named
    by its full qualified name and declared global there, which makes CPython take that name as it
    stands, for itself and for whatever is nested in it.  None of this is ever run; the imports are
    there because CPython looks at them when it compiles a method call.

    Raises:
        UnsupportedSyntaxError: blocks are nested more deeply than CPython can compile.
    """
    kind = ast.FunctionDef if lowered.flavour is Flavour.GENERATOR else ast.AsyncFunctionDef
    node = function(kind, origin.qualname, args, body)
    node.decorator_list = [_decorator(lowered)] if _decorated(lowered) else []
    names = sorted(set(free))
    inner: list[ast.stmt] = [ast.Global([origin.qualname]), node]
    if origin.class_name is not None:
        scope = ast.ClassDef(name=origin.class_name, bases=[], keywords=[], body=inner, decorator_list=[])
        if sys.version_info >= (3, 12):
            scope.type_params = []
        inner = [scope]
        if origin.class_name not in names:  # the function reads it where its module or the builtins have it
            inner.insert(0, ast.Global([origin.class_name]))
    factory = function(ast.FunctionDef, _FACTORY, parameters(names), inner)
    imports: list[ast.stmt] = []
    if origin.imports:
        imports.append(ast.Import([ast.alias(name) for name in origin.imports]))
    module = at(ast.Module([*imports, factory], []), lowered.origin)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # the user's own compilation has shown them
        try:
            code = compile(module, origin.filename, "exec", flags=origin.flags, dont_inherit=True)
        except SyntaxError as error:
            if error.msg != _TOO_NESTED:
                raise
            raise UnsupportedSyntaxError(
                f"{origin.filename}:{error.lineno}: {origin.qualname}() has too many blocks inside one another for "
                "CPython, which takes 20; an `async with`, and a `try` whose `finally` awaits, count as two. Move the "
                "innermost ones to a function of their own."
            ) from error
    made = _find(code, origin.qualname).replace(co_name=origin.name)
    note_made(made)
    return made


def _decorated(lowered: Lowered) -> bool:
    return bool(getattr(lowered.origin, "decorator_list", None))


def _decorator(lowered: Lowered) -> ast.expr:
    """A stand-in: a function's first line is that of its first decorator."""
    first: ast.expr = lowered.origin.decorator_list[0]  # type: ignore[attr-defined]
    return ast.copy_location(ast.Constant(None), first)


def _find(code: CodeType, name: str) -> CodeType:
    todo = [code]
    while todo:
        current = todo.pop()
        if current.co_name == name:
            return current
        todo.extend(const for const in current.co_consts if isinstance(const, CodeType))
    raise LookupError(name)
