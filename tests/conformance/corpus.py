"""Compile every ``async def`` of a tree of source files, in both versions, without importing any.

    python -m tests.conformance corpus [FOLDER ...]

Each compiles, or is refused with an error of the library's that names the construct; anything else
is a fault of the compiler.  Without a folder it is the standard library of the Python that runs.
"""

import inspect
import sysconfig
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType

from durable_ast import DurableError
from durable_ast.compiler.code_objects import nested_codes
from durable_ast.compiler.compile import find_source
from durable_ast.compiler.passes import assemble_twin, compile_source

_ASYNC = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


@dataclass
class Report:
    """What became of the functions of one package."""

    compiled: int = 0
    points: int = 0
    refused: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.compiled} compiled with {self.points} suspension points, "
            f"{len(self.refused)} refused, {len(self.faults)} faults"
        )


def standard_library() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def packages(folder: Path) -> dict[str, list[Path]]:
    """The source files of a folder, by top-level package or module."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).parts
        if parts[0] not in ("site-packages", "lib2to3"):
            found.setdefault(parts[0].removesuffix(".py"), []).append(path)
    return found


def compile_files(files: list[Path]) -> Report:
    """Compile the async functions of these files."""
    report = Report()
    for path in files:
        for code in _async_functions(path):
            where = f"{path}:{code.co_firstlineno}: {code.co_qualname}"
            try:
                compiled = compile_source(find_source(code, {"__name__": path.stem, "__file__": str(path)}))
                assemble_twin(compiled)
            except DurableError as error:
                report.refused.append(f"{where}: {error}")
            except Exception:
                report.faults.append(f"{where}: {traceback.format_exc(limit=-2)}")
            else:
                report.compiled += 1
                report.points += len(compiled.lowered.points)
    return report


def _async_functions(path: Path) -> Iterator[CodeType]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return  # files that are wrong on purpose, or for another Python
    for code in nested_codes(module):
        if code.co_flags & _ASYNC and not code.co_name.startswith("<"):
            yield code


def main(folders: list[str]) -> int:
    """Print the counts of every package that has async functions, then the total; 1 if there was a fault."""
    total: Counter[str] = Counter()
    for folder in map(Path, folders or [str(standard_library())]):
        for name, files in packages(folder).items():
            report = compile_files(files)
            total.update(compiled=report.compiled, refused=len(report.refused), faults=len(report.faults))
            if report.compiled or report.refused or report.faults:
                print(f"{name:28}{report}")
                print("".join(f"    {line}\n" for line in (*report.refused, *report.faults)), end="")
    print(f"{total['compiled']} compiled, {total['refused']} refused, {total['faults']} faults")
    return 1 if total["faults"] else 0
