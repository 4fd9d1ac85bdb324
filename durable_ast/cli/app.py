"""The application: its commands, each of which is a module of `commands`."""

from __future__ import annotations

import importlib.metadata
from typing import Annotated

import typer

from .commands import check, delete, explain, ls, migrate, run, send, show, sizes, vacuum, worker

app = typer.Typer(
    help="Async functions that survive the death of their process.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for module in (run, ls, show, send, explain, check, sizes, delete, vacuum, migrate, worker):
    module.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"durable-ast {importlib.metadata.version('durable-ast')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)] = (
        False
    ),
) -> None:
    """Options of the application itself."""
