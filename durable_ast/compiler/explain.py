"""`explain`: the blocks of a function beside its source, as text."""

from __future__ import annotations

import ast

from .code_block import END, CodeBlock
from .compiled import Compiled
from .names import LOCAL, OPERAND, is_hidden
from .reenter import reenter
from .running import running
from .table import code_blocks

_HIDDEN = {
    f"{LOCAL}cm": "entered manager",
    f"{LOCAL}it": "loop position",
    f"{LOCAL}h": "handled exception",
    f"{LOCAL}e": "exception on its way",
    f"{LOCAL}rv": "value on its way",
    f"{LOCAL}p": "way out",
    OPERAND: "intermediate value",
}


def explanation(compiled: Compiled, *, code: bool = False) -> str:
    """The source with a number where each block begins, and under it what the blocks are.

    Args:
        compiled: the function.
        code: whether to show what it is compiled to as well.
    """
    blocks = code_blocks(compiled)
    parts = [_heading(compiled, blocks), _source(compiled), _table(blocks)]
    if code:
        parts += [_code(compiled)]
    return "\n\n".join(parts) + "\n"


def _heading(compiled: Compiled, blocks: list[CodeBlock]) -> str:
    source = compiled.source
    line: int = compiled.lowered.origin.lineno  # type: ignore[attr-defined]
    count = len(blocks)
    return (
        f"{source.key.qualname}  {source.filename}:{line}  version {source.version[:8]}  "
        f"{count} block{'' if count == 1 else 's'}"
    )


def _source(compiled: Compiled) -> str:
    """The text; in the margin the numbers of the points that stand in each line."""
    numbers: dict[int, list[int]] = {}
    for point in compiled.lowered.points:
        line: int = point.origin.lineno  # type: ignore[attr-defined]
        numbers.setdefault(line, []).append(point.number)
    lines = compiled.source.text.splitlines()
    first = first_line(compiled)
    marks = {line: ranges(found) for line, found in numbers.items()}
    width = max([len(mark) for mark in marks.values()], default=0)
    digits = len(str(first + len(lines)))
    return "\n".join(
        f"{first + i:>{digits}} {marks.get(first + i, ''):>{width}} | {text}".rstrip() for i, text in enumerate(lines)
    )


def first_line(compiled: Compiled) -> int:
    """The line on which the text of a function begins, decorators included."""
    node = compiled.source.node
    lines = [node.lineno, *(decorator.lineno for decorator in node.decorator_list)]
    return min(lines)


def _table(blocks: list[CodeBlock]) -> str:
    rows = [("block", "lines", "goes on after", "saved with it", "runs to")]
    for block in blocks:
        rows.append(
            (
                str(block.number),
                ranges(list(block.lines)),
                _shortened(block.starts, 40) if block.number else "the call",
                saved_text(block),
                ends_text(block),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    widths[3] = min(widths[3], 60)
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def saved_text(block: CodeBlock) -> str:
    """What is saved where a block begins, in words."""
    if not block.number:
        return "the arguments"
    kept = [name for name in block.keeps if not is_hidden(name)]
    for name in block.keeps:
        prefix = next((known for known in _HIDDEN if name.rstrip("0123456789") == known), None)
        if prefix is not None:
            kept.append(f"<{_HIDDEN[prefix]}>")
    dropped = f"  (not {', '.join(block.drops)})" if block.drops else ""
    return (", ".join(kept) or "nothing") + dropped


def ends_text(block: CodeBlock) -> str:
    """Where a block may run to, in words."""
    ends = sorted(block.ends, key=lambda number: number or 1 << 30)
    return ", ".join("end" if number == END else str(number) for number in ends)


def ranges(numbers: list[int]) -> str:
    """Numbers in short.

    >>> ranges([1, 2, 3, 5])
    '1-3,5'
    """
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in parts)


def _shortened(text: str, width: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 3] + "..."


def _code(compiled: Compiled) -> str:
    """Both versions as source; it is what runs, but for the hidden names no text of Python."""
    lowered = compiled.lowered
    versions = {
        "running version": running(lowered, compiled.cells),
        "re-entry twin": reenter(lowered, compiled.locals, compiled.cells),
    }
    texts = []
    for title, body in versions.items():
        module = ast.fix_missing_locations(ast.Module(body, []))
        texts.append(f"# {title}\n{ast.unparse(module)}")
    return "\n\n".join(texts)
