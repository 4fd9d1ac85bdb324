"""A compiled function: the passes in their order, and what they found.

Nothing here runs anything: `Compiled` is a set of facts that the runtime, `explain` and the version
check read.
"""

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import CodeType

from ..errors import UnsupportedSyntaxError
from .assemble import Origin, assemble
from .build import replaced
from .constructs import Around, constructs
from .liveness import liveness
from .lower import lower
from .lowered import Lowered
from .managers import Managers, managers
from .names import BLOCK, CELLS, CHILD, INTRINSICS, LATE, REENTRY, SCRATCH, is_hidden, mangled
from .number import number
from .reenter import reenter
from .running import running
from .scope import bound_names, own_nodes
from .source import FunctionKey, FunctionSource, Namespace, find_source
from .supported import check

_BOOKKEEPING = frozenset({BLOCK, CELLS, REENTRY, CHILD, LATE, SCRATCH})
CLASS_CELL = "__class__"
_COMPREHENSION_NAMES = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>"})


@dataclass(frozen=True, slots=True)
class Live:
    """The variables of a function at one point.

    Attributes:
        locals: those that are saved.
        cells: the shared ones that the function itself may read.
        spare_cells: the other shared ones: saved only if another function that is saved has them.
    """

    locals: tuple[str, ...]
    cells: tuple[str, ...]
    spare_cells: tuple[str, ...]


@dataclass(eq=False, slots=True)
class Compiled:
    """One function in both versions."""

    source: FunctionSource
    lowered: Lowered
    origin: Origin
    code: CodeType
    """The running version."""
    cells: tuple[str, ...]
    """The variables it shares with other functions, in the order of its `.cells`."""
    locals: tuple[str, ...]
    """Its other locals: the parameters of the twin."""
    _live: dict[int, Live] | None = field(default=None)
    _managers: Managers | None = field(default=None)
    _constructs: dict[int, Around] | None = field(default=None)
    _twin: CodeType | None = field(default=None)

    @property
    def key(self) -> FunctionKey:
        return self.source.key

    @property
    def version(self) -> str:
        return self.source.version

    @property
    def live(self) -> dict[int, Live]:
        """What has to be saved, by point."""
        if self._live is None:
            found = liveness(self.lowered, (*self.locals, *self.cells))
            self._live = {number: self._split(names) for number, names in found.items()}
        return self._live

    def _split(self, names: tuple[str, ...]) -> Live:
        live = {*names, CLASS_CELL}
        return Live(
            tuple(name for name in names if name not in self.cells),
            tuple(name for name in self.cells if name in live),
            tuple(name for name in self.cells if name not in live),
        )

    @property
    def managers(self) -> Managers:
        """The context managers that are entered at each point."""
        if self._managers is None:
            self._managers = managers(self.lowered)
        return self._managers

    @property
    def constructs(self) -> dict[int, Around]:
        """What each point lies in."""
        if self._constructs is None:
            self._constructs = constructs(self.lowered)
        return self._constructs

    @property
    def twin(self) -> CodeType:
        """The re-entry twin; compiled when it is first wanted."""
        if self._twin is None:
            parameters = [ast.arg(name) for name in (*self.locals, REENTRY, CHILD)]
            args = ast.arguments(posonlyargs=[], args=parameters, kwonlyargs=[], kw_defaults=[], defaults=[])
            body = reenter(self.lowered, self.locals, self.cells)
            self._twin = assemble(self.lowered, self.origin, args, body, [*self.cells, *INTRINSICS])
        return self._twin


def compile_function(code: CodeType, namespace: Namespace) -> Compiled:
    """Compile the function with this code.

    Raises:
        NoSourceCodeException: its text cannot be found.
        UnsupportedSyntaxError: it holds a construct that cannot be made durable.
    """
    return compile_source(code, find_source(code, namespace))


def compile_source(code: CodeType, source: FunctionSource) -> Compiled:
    """Compile the function with this code and this source.

    Raises:
        UnsupportedSyntaxError: it holds a construct that cannot be made durable.
    """
    try:
        return _compiled(code, source)
    except RecursionError as error:
        raise UnsupportedSyntaxError(
            f"{code.co_filename}:{code.co_firstlineno}: {code.co_qualname}() is nested too deeply to be compiled; split "
            "its longest expression, or raise sys.setrecursionlimit()"
        ) from error


def _compiled(code: CodeType, source: FunctionSource) -> Compiled:
    own = own_nodes(source.node)
    check(source.node, own, source.filename)
    lowered = number(lower(source.node, own, code.co_qualname, source.class_name, shared_variables(code)))
    origin = Origin.of(code, source.class_name, source.imports)
    args, free = _bare(lowered.args), [*code.co_freevars, *INTRINSICS]
    made = assemble(lowered, origin, args, running(lowered, ()), free)
    inlined = _inlined(source, own)
    cells = tuple(name for name in shared_variables(made) if not is_hidden(name) and name not in inlined)
    if cells:
        made = assemble(lowered, origin, args, running(lowered, cells), free)
    listed = dict.fromkeys([*made.co_varnames, *made.co_cellvars])
    left_out = {*_BOOKKEEPING, *inlined, *cells}
    return Compiled(source, lowered, origin, made, cells, tuple(name for name in listed if name not in left_out))


def _inlined(source: FunctionSource, own: Iterable[ast.AST]) -> set[str]:
    """Variables that belong to comprehensions only; code objects list them with the function's own
    since Python 3.12, which inlines comprehensions."""
    targets = [node.target for node in own if isinstance(node, ast.comprehension)]
    names = {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
    if not names:
        return names
    return {mangled(name, source.class_name) for name in names - bound_names(source.node)}


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
