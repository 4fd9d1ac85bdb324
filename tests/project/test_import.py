"""`import durable_ast` is cheap."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import durable_ast

HEAVY = {"redis", "psycopg", "pydantic", "pydantic_ai", "typer", "rich", "click", "starlette", "uvicorn", "cloudpickle",
         "cryptography", "zstandard", "hypothesis", "unittest", "multiprocessing", "sqlite3", "ctypes", "zoneinfo"}  # fmt: skip


def test_it_imports_nothing_heavy() -> None:
    program = "import sys, durable_ast; print(*{name.partition('.')[0] for name in sys.modules})"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "durable_ast" in found
    assert not HEAVY.intersection(found)


def test_it_knows_its_version() -> None:
    assert durable_ast.__version__ == importlib.metadata.version("durable-ast")


def test_nothing_that_compiles_is_imported_before_there_is_something_to_compile():
    program = (
        "import sys, durable_ast; print(*(name for name in sys.modules if name.startswith('durable_ast.compiler')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"lowered", "lower", "passes", "locate", "transform"} & {
        name.rpartition(".")[2] for name in done.stdout.split()
    }
