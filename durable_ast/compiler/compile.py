"""The way into the compiler: compile a function, or take what an earlier process has compiled.

The passes, and the trees they work on, are imported when there is something to compile; most processes
run what is compiled already.
"""

from __future__ import annotations

from types import CodeType

from . import cache
from .compiled import Compiled
from .source import FunctionSource, Namespace, read


def compile_function(code: CodeType, namespace: Namespace) -> Compiled:
    """Compile the function with this code.

    Raises:
        NoSourceCodeException: its text cannot be found.
        UnsupportedSyntaxError: it holds a construct that cannot be made durable.
    """
    file = read(code.co_filename, namespace)
    kept = None if file is None else cache.load(code, file, namespace.get("__name__") or "")
    if kept is not None:
        return kept
    from .passes import compile_source

    compiled = compile_source(find_source(code, namespace))
    cache.save(compiled)
    return compiled


def find_source(code: CodeType, namespace: Namespace) -> FunctionSource:
    """The source of the function with this code.

    Raises:
        NoSourceCodeException: there is no text, or it is another one.
    """
    from . import locate

    return locate.find_source(code, namespace)


def find_code(filename: str, namespace: Namespace, qualname: str, ordinal: int) -> CodeType | None:
    """The code object of a function that may never have been created in this process."""
    from . import locate

    return locate.find_code(filename, namespace, qualname, ordinal)


def twin_of(compiled: Compiled) -> CodeType:
    """The re-entry twin; compiled when it is first wanted."""
    if compiled.twin is None:
        from .passes import assemble_twin

        compiled.twin = assemble_twin(compiled)
        cache.save(compiled)
    return compiled.twin
