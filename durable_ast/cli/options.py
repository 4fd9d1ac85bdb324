"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Write JSON.")]
InstanceId: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="The instance.", show_default=False)]
Target: TypeAlias = Annotated[
    str, typer.Argument(metavar="MODULE:FUNCTION", help="An async function, durable or not.", show_default=False)
]
