"""The passes in their order: from the source of a function to its code.

Input:   a `FunctionSource`.
Output:  `Compiled`, the running version and the facts about it; the re-entry twin on request.
"""

import ast
import sys
from collections.abc import Iterable
from types import CodeType

from ..errors import UnsupportedSyntaxError
from .assemble import Origin, assemble
from .build import replaced
from .captured import is_captured, targets
from .compiled import Compiled, Live
from .liveness import liveness
from .lower import lower
from .lowered import Lowered
from .managers import managers
from .names import BLOCK, CELLS, CHILD, INTRINSICS, LATE, REENTRY, SCRATCH, is_hidden, mangled
from .number import number
from .reenter import reenter
from .running import running
from .scope import bound_names, own_nodes
from .source import FunctionSource
from .supported import check
from .suspension import COMPREHENSIONS, OwnNodes

_BOOKKEEPING = frozenset({BLOCK, CELLS, REENTRY, CHILD, LATE, SCRATCH})
CLASS_CELL = "__class__"
_COMPREHENSION_NAMES = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>"})


def compile_source(source: FunctionSource) -> Compiled:
    """Compile a function.

    Raises:
        UnsupportedSyntaxError: it holds a construct that cannot be made durable.
    """
    try:
        return _compiled(source)
    except RecursionError as error:
        code = source.plain
        raise UnsupportedSyntaxError(
            f"{code.co_filename}:{code.co_firstlineno}: {code.co_qualname}() is nested too deeply to be compiled; split "
            "its longest expression, or raise sys.setrecursionlimit()"
        ) from error


def lowered_form(source: FunctionSource) -> Lowered:
    """The function, lowered and numbered."""
    return _lowered(source, own_nodes(source.node))


def assemble_twin(compiled: Compiled) -> CodeType:
    """The re-entry twin of a function."""
    parameters = [ast.arg(name) for name in (*compiled.locals, REENTRY, CHILD)]
    args = ast.arguments(posonlyargs=[], args=parameters, kwonlyargs=[], kw_defaults=[], defaults=[])
    body = reenter(compiled.lowered, compiled.locals, compiled.cells)
    return assemble(compiled.lowered, Origin.of(compiled.source), args, body, [*compiled.cells, *INTRINSICS])


def _lowered(source: FunctionSource, own: OwnNodes) -> Lowered:
    code = source.plain
    return number(lower(source.node, own, code.co_qualname, source.class_name, shared_variables(code)))


def _compiled(source: FunctionSource) -> Compiled:
    own = own_nodes(source.node)
    check(source.node, own, source.filename)
    lowered = _lowered(source, own)
    origin = Origin.of(source)
    args, free = _bare(lowered.args), [*source.plain.co_freevars, *INTRINSICS]
    code = assemble(lowered, origin, args, running(lowered, ()), free)
    inlined = _inlined(source, own)
    shared = tuple(name for name in shared_variables(code) if not is_hidden(name) and name not in inlined)
    cells = _without_those_of_comprehensions(shared, source, own)
    if cells:
        code = assemble(lowered, origin, args, running(lowered, cells), free)
    listed = dict.fromkeys([*code.co_varnames, *code.co_cellvars])
    left_out = {*_BOOKKEEPING, *inlined, *cells}
    locals = tuple(name for name in listed if name not in left_out)
    return Compiled(
        source=source,
        flavour=lowered.flavour,
        kinds=tuple(point.kind for point in lowered.points),
        code=code,
        cells=cells,
        locals=locals,
        live={point: _split(names, cells) for point, names in liveness(lowered, (*locals, *cells), own).items()},
        managers=managers(lowered),
        _lowered=lowered,
    )


def _split(names: tuple[str, ...], cells: tuple[str, ...]) -> Live:
    live = {*names, CLASS_CELL}
    return Live(
        tuple(name for name in names if name not in cells),
        tuple(name for name in cells if name in live),
        tuple(name for name in cells if name not in live),
    )


def _inlined(source: FunctionSource, own: Iterable[ast.AST]) -> set[str]:
    """Variables that belong to comprehensions only; code objects list them with the function's own
    since Python 3.12, which inlines comprehensions."""
    if sys.version_info < (3, 12):
        return set()
    targets = [node.target for node in own if type(node) is ast.comprehension]
    names = {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
    if not names:
        return names
    return {mangled(name, source.class_name) for name in names - bound_names(source.node, own)}


def _without_those_of_comprehensions(
    shared: tuple[str, ...], source: FunctionSource, own: Iterable[ast.AST]
) -> tuple[str, ...]:
    """Leave out variables that are called like one of a comprehension, which is the one that is shared.

    Code objects of Python 3.12 and later do not tell the two apart; and CPython lets an inlined
    comprehension write to the variable around it if that is declared ``nonlocal``, as cells are in a twin.
    """
    if not shared:
        return shared
    names = {name for node in own if isinstance(node, COMPREHENSIONS) for name in targets(node)}
    spelled = {mangled(name, source.class_name): name for name in names}
    return tuple(name for name in shared if name not in spelled or is_captured(source.node.body, spelled[name]))


def _bare(args: ast.arguments) -> ast.arguments:
    """Parameters without annotations and defaults: the function object brings its own."""

    def plain(arg: ast.arg | None) -> ast.arg | None:
        return None if arg is None else replaced(arg, annotation=None)

    return ast.arguments(
        posonlyargs=[replaced(arg, annotation=None) for arg in args.posonlyargs],
        args=[replaced(arg, annotation=None) for arg in args.args],
        vararg=plain(args.vararg),
        kwonlyargs=[replaced(arg, annotation=None) for arg in args.kwonlyargs],
        kw_defaults=[None] * len(args.kwonlyargs),
        kwarg=plain(args.kwarg),
        defaults=[],
    )


def shared_variables(code: CodeType) -> tuple[str, ...]:
    """The variables of a function that are cells because another function may outlive a use of them.

    Comprehensions do not count: before Python 3.12 they are functions, but none that lasts.
    """
    captured = {*code.co_freevars}
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            captured.update(_captured_by(inner))
    return tuple(sorted(captured.intersection((*code.co_cellvars, *code.co_freevars))))


def _captured_by(code: CodeType) -> set[str]:
    if code.co_name not in _COMPREHENSION_NAMES:
        return set(code.co_freevars)
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    return {name for nested in inner for name in _captured_by(nested)}.intersection(code.co_freevars)
