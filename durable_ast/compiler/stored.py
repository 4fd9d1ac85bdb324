"""The text of a function as it is kept for the day on which the file says something else.

Kept is the top-level statement of the module that holds the function, with what its compilation takes
from the rest of the file.  From it the function compiles to what it was, blocks and all; nothing of
the text is ever run as a module.
"""

from __future__ import annotations

import json
import linecache
from dataclasses import replace
from typing import TYPE_CHECKING

from .code_objects import FUTURE_FLAGS
from .source import FileText, FunctionKey, FunctionSource

if TYPE_CHECKING:
    from .compiled import Compiled

_SUFFIX = " (as of version "


def stored_form(source: FunctionSource) -> str:
    """The text to keep of a function."""
    facts = {
        "file": original_file(source),
        "line": source.statement_lines[0],
        "text": source.statement,
        "imports": source.imports,
        "flags": source.plain.co_flags & FUTURE_FLAGS,
    }
    return json.dumps(facts)


def kept_file(form: str) -> str:
    """The file that a kept text is from."""
    file: str = json.loads(form)["file"]
    return file


def original_file(source: FunctionSource) -> str:
    """The file that a source is from, or was from."""
    return source.filename.partition(_SUFFIX)[0]


def compile_stored(key: FunctionKey, version: str, form: str) -> Compiled | None:
    """The function of this version; None if the text holds another one."""
    from .passes import compile_source

    found = find_stored(key, version, form)
    return None if found is None else compile_source(found)


def find_stored(key: FunctionKey, version: str, form: str) -> FunctionSource | None:
    """Its source, with its code in it, not compiled any further."""
    from .locate import parsed, source_in

    facts = json.loads(form)
    filename = f"{facts['file']}{_SUFFIX}{version[:8]})"
    text = "\n" * (facts["line"] - 1) + facts["text"]
    lines = text.splitlines(keepends=True)
    linecache.cache[filename] = len(text), None, lines, filename  # tracebacks show it
    file = replace(parsed(FileText(filename, lines), facts["flags"]), imports=tuple(facts["imports"]))
    for code in file.codes.get(key.qualname, []):
        source = source_in(file, code, key.module)
        if source.version == version:
            return replace(source, key=key)
    return None
