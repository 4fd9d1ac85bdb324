"""The text of a function as it is kept for the day on which the file says something else.

Kept is the top-level statement of the module that holds the function, with what its compilation takes
from the rest of the file.  From it the function compiles to what it was, blocks and all; nothing of
the text is ever run as a module.
"""

from __future__ import annotations

import json
import linecache
from dataclasses import replace
from types import CodeType

from .compiled import Compiled, compile_source
from .source import FunctionKey, FunctionSource, parsed, source_in

_SUFFIX = " (as of version "


def stored_form(source: FunctionSource) -> str:
    """The text to keep of a function."""
    facts = {
        "file": original_file(source),
        "line": source.statement_line,
        "text": source.statement,
        "imports": source.imports,
        "flags": source.flags,
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
    found = find_stored(key, version, form)
    return None if found is None else compile_source(*found)


def find_stored(key: FunctionKey, version: str, form: str) -> tuple[CodeType, FunctionSource] | None:
    """Its code and its source, not compiled any further."""
    facts = json.loads(form)
    filename = f"{facts['file']}{_SUFFIX}{version[:8]})"
    text = "\n" * (facts["line"] - 1) + facts["text"]
    linecache.cache[filename] = len(text), None, text.splitlines(keepends=True), filename  # tracebacks show it
    file = replace(parsed(filename, text, facts["flags"]), imports=tuple(facts["imports"]))
    for code in file.codes.get(key.qualname, []):
        source = source_in(file, code, key.module)
        if source.version == version:
            return code, replace(source, key=key)
    return None
