"""``durable-ast explain``: the blocks of a function, before anything runs."""

from __future__ import annotations

import dataclasses

import typer
from rich.box import SIMPLE_HEAD
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from ...compiler.code_block import CodeBlock
from ...compiler.compiled import Compiled
from ...compiler.explain import ends_text, first_line, ranges, saved_text
from ...compiler.table import code_blocks
from ..options import Json, Target
from ..screen import Screen
from ..target import program
from ..words import shortened


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)


def explain(target: Target, json: Json = False) -> None:
    """Show the numbered blocks of a function: what is saved at each, and where it can end."""
    with Screen(json) as screen:
        compiled = program(target).compiled
        blocks = code_blocks(compiled)
        screen.give(
            {
                "function": compiled.key.qualname,
                "module": compiled.key.module,
                "file": compiled.source.filename,
                "line": first_line(compiled),
                "version": compiled.version,
                "blocks": [_facts(block) for block in blocks],
            }
        )
        screen.show(_heading(compiled, blocks), _source(compiled), _table(blocks))


def _facts(block: CodeBlock) -> dict[str, object]:
    facts = dataclasses.asdict(block)
    del facts["fn"]
    return facts


def _heading(compiled: Compiled, blocks: list[CodeBlock]) -> Text:
    count = f"{len(blocks)} block{'' if len(blocks) == 1 else 's'}"
    return Text.assemble(
        (compiled.key.qualname, "bold"),
        (f"  {compiled.source.filename}:{first_line(compiled)}  version {compiled.version[:8]}  {count}", "faint"),
    )


def _source(compiled: Compiled) -> Text:
    """The text; in the margin, the blocks that begin in each line."""
    begins: dict[int, list[int]] = {}
    for point in compiled.lowered.points:
        begins.setdefault(getattr(point.origin, "lineno", 0), []).append(point.number)
    margins = {line: ranges(numbers) for line, numbers in begins.items()}
    width = max(map(len, margins.values()), default=0)
    text = compiled.source.text.rstrip("\n")
    lines = Syntax(text, "python", theme="ansi_dark", background_color="default").highlight(text).split("\n")
    first = first_line(compiled)
    digits = len(str(first + len(lines)))
    source = Text()
    for number, line in enumerate(lines, first):
        source.append(f"{number:>{digits}} ", "faint").append(f"{margins.get(number, ''):>{width}} ", "running")
        source.append_text(line).append("\n")
    return source


def _table(blocks: list[CodeBlock]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="faint")
    table.add_column("block", justify="right", style="running")
    for title in ("lines", "goes on after", "saved with it", "runs to"):
        table.add_column(title, overflow="fold")
    for block in blocks:
        after = shortened(block.starts, 60) if block.number else "the call"
        table.add_row(str(block.number), ranges(list(block.lines)), after, saved_text(block), ends_text(block))
    return table
