"""Find the source of a function, and make sure that it is the right one.

Input:   a code object, and the globals of its function.
Output:  `FunctionSource`: its node, its identity, and what its text needs around it.
Keeps:   the promise that the text is what the code was compiled from.  Line numbers alone prove
         nothing (a file edited after its import, a ``<string>`` that many share), so the file is
         compiled again and the code objects are compared.
"""

import ast
import functools
import linecache
import warnings
from dataclasses import dataclass
from types import CodeType
from typing import TypeAlias

from ..errors import NoSourceCodeException
from .build import at, load, parameters, replaced
from .build import function as make_function
from .code_objects import FUTURE_FLAGS, is_made, is_same, nested_codes, plain_qualname
from .fingerprint import fingerprint
from .lowered import FunctionNode
from .source import COMMAND, REWRITTEN, FileText, FunctionKey, FunctionSource, Namespace, read
from .suspension import COMPREHENSIONS, SCOPES, enclosing_parts

ScopeNode: TypeAlias = FunctionNode | ast.Lambda | ast.GeneratorExp | ast.ListComp | ast.SetComp | ast.DictComp

_SCOPE_NAMES: dict[str, tuple[type[ast.AST], ...]] = {
    "<lambda>": (ast.Lambda,),
    "<genexpr>": (ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp),
}


@dataclass(frozen=True, slots=True, eq=False)
class SourceFile:
    """A file, parsed and compiled once."""

    file: FileText
    tree: ast.Module
    imports: tuple[str, ...]
    codes: dict[str, list[CodeType]]
    """By plain qualified name, in the order of the file."""


def find_source(code: CodeType, namespace: Namespace) -> FunctionSource:
    """The source of the function with this code.

    Raises:
        NoSourceCodeException: there is no text, or it is another one.
    """
    return source_in(_verified_file(code, namespace), code, namespace.get("__name__") or "")


def source_in(file: SourceFile, code: CodeType, module: str) -> FunctionSource:
    """The source of a function whose code was compiled from this file.

    Raises:
        NoSourceCodeException: it does not stand there.
    """
    node, class_name = _locate(file, code)
    function = _as_function(node, code.co_name)
    start, end = _lines(node)
    return FunctionSource(
        key=FunctionKey(module, plain_qualname(code), _ordinal(file, code, node)),
        plain=code,
        class_name=class_name,
        file=file.file,
        imports=file.imports,
        lines=(start, end),
        statement_lines=next(
            (first, last) for first, last in map(_lines, file.tree.body) if first <= start and end <= last
        ),
        version=fingerprint(function),
        _node=[function],
    )


def node_of(source: FunctionSource) -> FunctionNode:
    """The tree of a function whose place in its file is known already."""
    code = source.plain
    return _as_function(_locate(parsed(source.file, code.co_flags & FUTURE_FLAGS), code)[0], code.co_name)


def _ordinal(file: SourceFile, code: CodeType, node: ScopeNode) -> int:
    if isinstance(node, COMPREHENSIONS):
        every = [other for other in ast.walk(file.tree) if isinstance(other, COMPREHENSIONS)]
        return REWRITTEN + every.index(node)
    same = file.codes.get(plain_qualname(code), [])
    return next((i for i, other in enumerate(same) if _is_same_place(other, code)), 0)


def find_code(filename: str, namespace: Namespace, qualname: str, ordinal: int) -> CodeType | None:
    """The code object of a function that may never have been created in this process."""
    file = read(filename, namespace)
    if file is None:
        return None
    codes = parsed(file, 0).codes.get(qualname, [])
    return codes[ordinal] if ordinal < len(codes) else None


def _verified_file(code: CodeType, namespace: Namespace) -> SourceFile:
    filename = code.co_filename
    where = f"{filename}:{code.co_firstlineno}: {code.co_qualname}"
    text = read(filename, namespace)
    if text is None:
        raise _without_text(where)
    file = _parsed(text, code)
    if file is not None and (is_made(code) or _holds(file, code)):
        return file
    linecache.checkcache(filename)
    file = _parsed(read(filename, namespace), code)
    if file is not None and (_holds(file, code) or (_is_hooked(namespace) and _seems_to_hold(file, code))):
        return file
    if filename == COMMAND:
        raise _without_text(where)  # what is known by that name is another text
    raise NoSourceCodeException(
        f"{where}: the text of {filename} is not what this function was compiled from; the file was "
        "probably edited after it was imported. Start the process again to run the new text."
    )


def _parsed(text: FileText | None, code: CodeType) -> SourceFile | None:
    """A text as `code` would have been compiled from it; None if it is none of Python."""
    if text is None:
        return None
    try:
        return parsed(text, code.co_flags & FUTURE_FLAGS)
    except SyntaxError:
        return None


def _without_text(where: str) -> NoSourceCodeException:
    return NoSourceCodeException(
        f"{where}: its source text cannot be found, and a durable function is compiled from it. "
        "Define the function in a file or a notebook cell, or register the text you pass to exec() "
        "with linecache under the file name you compile it with."
    )


@functools.lru_cache(maxsize=512)
def parsed(file: FileText, flags: int) -> SourceFile:
    """A text, parsed and compiled with these ``__future__`` flags."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shown when the module was compiled
        tree = ast.parse(file.text, file.filename)
        try:
            module = _compiled(tree, file.filename, flags)
        except SyntaxError:  # a notebook cell may await at its top level
            module = _compiled(tree, file.filename, flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    codes: dict[str, list[CodeType]] = {}
    for code in nested_codes(module):
        codes.setdefault(plain_qualname(code), []).append(code)
    for same in codes.values():
        same.sort(key=_place)
    return SourceFile(file, tree, _imported(tree), codes)


def _imported(tree: ast.Module) -> tuple[str, ...]:
    """The names bound by the import statements of the module's own scope."""
    names: set[str] = set()
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)
        elif not isinstance(node, (*SCOPES, ast.expr)):
            todo.extend(ast.iter_child_nodes(node))
    return tuple(sorted(names - {"*"}))


def _compiled(tree: ast.Module, filename: str, flags: int) -> CodeType:
    code: CodeType = compile(tree, filename, "exec", flags=flags, dont_inherit=True)
    return code


def _place(code: CodeType) -> tuple[int, int, int]:
    """Where a code object stands: its first line, and the first position inside that is known."""
    for line, _, column, _ in code.co_positions():
        if line is not None and column is not None and (line, column) > (code.co_firstlineno, 0):
            return code.co_firstlineno, line, column
    return code.co_firstlineno, 0, 0


def _is_same_place(first: CodeType, second: CodeType) -> bool:
    return _place(first) == _place(second)


def _holds(file: SourceFile, code: CodeType) -> bool:
    """Whether `code` comes from this text."""
    return any(is_same(other, code) for other in _beginning_with(file, code))


def _is_hooked(namespace: Namespace) -> bool:
    """Whether an import hook has loaded a module, and may have changed what it compiled (pytest's
    assertions, type checkers)."""
    loader = type(namespace.get("__loader__")).__module__
    return loader.partition(".")[0] not in ("importlib", "_frozen_importlib_external", "zipimport", "builtins")


def _seems_to_hold(file: SourceFile, code: CodeType) -> bool:
    """Whether what an import hook has changed may come from this text: the signature and the place
    have to do."""
    return any(
        other.co_argcount == code.co_argcount and set(other.co_varnames) <= set(code.co_varnames)
        for other in _beginning_with(file, code)
    )


def _beginning_with(file: SourceFile, code: CodeType) -> list[CodeType]:
    """The functions of that name that begin in its line."""
    found = file.codes.get(plain_qualname(code), [])
    return [other for other in found if other.co_firstlineno == code.co_firstlineno]


def _locate(file: SourceFile, code: CodeType) -> tuple[ScopeNode, str | None]:
    """The node of a code object, and the class whose private names it uses."""
    found: list[tuple[ScopeNode, str | None]] = []
    todo: list[tuple[ast.AST, str | None]] = [(file.tree, None)]
    line = code.co_firstlineno
    while todo:
        node, class_name = todo.pop()
        if isinstance(node, ast.ClassDef):
            class_name = node.name
        for child in ast.iter_child_nodes(node):
            start, end = _lines(child)
            if start <= line <= end:
                todo.append((child, class_name))
                if start == line and _is_named(child, code.co_name):
                    found.append((child, class_name))  # type: ignore[arg-type]
    if not found:
        raise NoSourceCodeException(f"{code.co_filename}:{line}: no function {code.co_qualname} stands here")
    return min(found, key=lambda item: _mismatch(item[0], code)) if len(found) > 1 else found[0]


def _lines(node: ast.AST) -> tuple[int, int]:
    """First and last line; everything, for a node that has no place of its own."""
    first: int = getattr(node, "lineno", 0)
    last: int = getattr(node, "end_lineno", None) or 1 << 60
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return (min(first, decorators[0].lineno) if decorators else first), last


def _is_named(node: ast.AST, name: str) -> bool:
    kinds = _SCOPE_NAMES.get(name)
    if kinds is not None:
        return isinstance(node, kinds)
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name


def _mismatch(node: ScopeNode, code: CodeType) -> tuple[int, int]:
    """How badly the positions inside `code` fit `node`: how many lie outside, then its size."""
    start = (node.lineno, node.col_offset)
    end = (node.end_lineno or node.lineno, node.end_col_offset or 0)
    outside = sum(
        not start <= (line, column) <= end
        for line, _, column, _ in code.co_positions()
        if line is not None and column is not None and (line, column) != (code.co_firstlineno, 0)
    )
    return outside, (end[0] - start[0]) * 10_000 + end[1] - start[1]


def _as_function(node: ScopeNode, name: str) -> FunctionNode:
    """Lambdas and generator expressions as the functions they are."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return node
        case ast.Lambda(args=args, body=body):
            result: ast.stmt = at(ast.Return(body), body)
            return at(make_function(ast.FunctionDef, name, args, [result]), node)
    first = node.generators[0]
    element = at(ast.Tuple([node.key, node.value], ast.Load()), node) if isinstance(node, ast.DictComp) else node.elt
    statement: ast.stmt = at(ast.Expr(ast.Yield(element)), element)
    generators = [replaced(first, iter=at(load(".0"), first.iter)), *node.generators[1:]]
    for generator in reversed(generators):
        for test in reversed(generator.ifs):
            statement = at(ast.If(test, [statement], []), test)
        kind = ast.AsyncFor if generator.is_async else ast.For
        statement = at(kind(generator.target, generator.iter, [statement], []), node)
    is_async = any(generator.is_async for generator in node.generators) or _awaits(node)
    made = ast.AsyncFunctionDef if is_async else ast.FunctionDef
    return at(make_function(made, name, parameters([".0"]), [statement]), node)


def _awaits(node: ast.GeneratorExp | ast.ListComp | ast.SetComp | ast.DictComp) -> bool:
    """Whether a comprehension awaits, or one in it does; its first iterable is evaluated outside of it."""
    outside = node.generators[0].iter
    todo: list[ast.AST] = [child for part in ast.iter_child_nodes(node) for child in _without(part, outside)]
    while todo:
        current = todo.pop()
        if isinstance(current, ast.Await):
            return True
        if isinstance(current, COMPREHENSIONS) and any(generator.is_async for generator in current.generators):
            return True
        nested = isinstance(current, (*SCOPES, ast.GeneratorExp))
        todo.extend(enclosing_parts(current) if nested else ast.iter_child_nodes(current))
    return False


def _without(node: ast.AST, child: ast.AST) -> list[ast.AST]:
    """A node, or all below it but this child."""
    below = list(ast.iter_child_nodes(node))
    return [other for other in below if other is not child] if child in below else [node]
