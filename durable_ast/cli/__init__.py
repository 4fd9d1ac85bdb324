"""The command line, ``durable-ast``; it needs the extra ``cli``."""

from __future__ import annotations

import importlib.util
import sys


def main() -> None:
    """Run the command line with the arguments of this process."""
    missing = [name for name in ("typer", "rich") if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"durable-ast: the command line needs {' and '.join(missing)}: pip install 'durable-ast[cli]'")
    from .app import app

    app(prog_name="durable-ast")
