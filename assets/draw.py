"""Draws ``durable.svg``, the picture of the README: a function, its blocks, a checkpoint, a death, a resume.

    python assets/draw.py

The function in the picture is compiled: its block numbers and what is saved at each are read from
what the compiler found, so the picture cannot say what is not so.
"""

from __future__ import annotations

import html
import keyword
import re
from collections.abc import Iterator
from pathlib import Path

from durable_ast import CodeBlock, make_durable

HERE = Path(__file__).parent
SIZE, LEADING, LETTER = 15, 24, 9.03
"""Of the letters of the source, in pixels: height, distance of lines, width of one."""
WIDTH, HEIGHT = 980, 376

STYLE = """
:root { --ink: #1f2328; --faint: #6e7781; --line: #d0d7de; --card: #f6f8fa; --word: #cf222e; --text: #0a3069;
        --badge: #0969da; --dead: #cf222e; --alive: #1a7f37; }
@media (prefers-color-scheme: dark) {
:root { --ink: #e6edf3; --faint: #8d96a0; --line: #30363d; --card: #161b22; --word: #ff7b72; --text: #a5d6ff;
        --badge: #4493f8; --dead: #ff7b72; --alive: #3fb950; } }
text { font: 15px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: var(--ink);
       white-space: pre; }
.small { font-size: 12.5px; } .faint { fill: var(--faint); } .title { font-weight: 600; }
.word { fill: var(--word); } .string { fill: var(--text); } .dead { fill: var(--dead); } .alive { fill: var(--alive); }
.card { fill: var(--card); stroke: var(--line); } .arrow { stroke: var(--faint); fill: none; stroke-width: 1.5; }
.badge { fill: var(--card); stroke: var(--badge); stroke-width: 1.5; } .number { fill: var(--badge); font-size: 12.5px; }
.alive-line { stroke: var(--alive); fill: none; stroke-width: 2; } .dead-line { stroke: var(--dead); stroke-width: 2; }
.gone { stroke: var(--faint); stroke-width: 1.5; stroke-dasharray: 3 5; }
"""

SOURCE = """
async def onboard(name):
    user = await create_user(name)
    for mail in series(user):
        await send(user, mail)
        await asyncio.sleep(DAY)
    return await wait_for_event("ok")
"""


def blocks() -> list[CodeBlock]:
    """The blocks of the function in the picture."""
    import linecache

    linecache.cache["<picture>"] = (len(SOURCE), None, SOURCE.strip("\n").splitlines(keepends=True), "<picture>")
    namespace: dict[str, object] = {"__name__": "picture"}
    exec(compile(SOURCE.strip("\n"), "<picture>", "exec"), namespace)
    return make_durable(namespace["onboard"]).blocks  # type: ignore[call-overload, no-any-return]


def text(x: float, y: float, content: str, kind: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{html.escape(content)}</text>'


def coloured(x: float, y: float, line: str) -> Iterator[str]:
    """A line of source, word by word."""
    for found in re.finditer(r'"[^"]*"|\w+|[^\w\s"]+', line):
        word = found.group()
        kind = "word" if keyword.iskeyword(word) else "string" if word.startswith('"') else ""
        yield text(x + found.start() * LETTER, y, word, kind)


def badge(x: float, y: float, number: int) -> str:
    """The number of a block, around a point."""
    return f'<circle cx="{x:g}" cy="{y:g}" r="11" class="badge"/>' + text(
        x - LETTER / 2 + 0.8, y + 4.5, str(number), "number"
    )


def card(x: float, y: float, width: float, height: float, title: str, note: str) -> str:
    parts = [f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8" class="card"/>']
    parts += [text(x, y - 10, title, "title"), text(x + len(title) * LETTER + 14, y - 10, note, "small faint")]
    return "".join(parts)


def arrow(kind: str, *points: tuple[float, float]) -> str:
    """A line through points, with a head at the last."""
    (x0, y0), (x1, y1) = points[-2:]
    path = "M" + " L".join(f"{x:g},{y:g}" for x, y in points)
    if x0 == x1:
        step = 6 if y1 > y0 else -6
        head = f"M{x1 - 5:g},{y1 - step:g} L{x1:g},{y1:g} L{x1 + 5:g},{y1 - step:g}"
    else:
        step = 6 if x1 > x0 else -6
        head = f"M{x1 - step:g},{y1 - 5:g} L{x1:g},{y1:g} L{x1 - step:g},{y1 + 5:g}"
    return f'<path d="{path} {head}" class="{kind}"/>'


def picture(found: list[CodeBlock]) -> Iterator[str]:
    lines = SOURCE.strip("\n").splitlines()
    yield card(20, 44, 458, 186, "your function", "each await ends a block, and begins the next")
    awaits = [index for index, line in enumerate(lines) if "await" in line]
    for block, index in zip(found[1:], awaits, strict=True):
        yield badge(42, 44 + 27 + index * LEADING - 5, block.number)
    for index, line in enumerate(lines):
        yield from coloured(64, 44 + 27 + index * LEADING, line)
    saved = found[3]
    yield card(560, 44, 400, 186, "checkpoint", "one row, replaced after each step")
    rows = [("block", "3"), *((name, SHOWN[name]) for name in saved.keeps), ("wakes at", "tomorrow, 09:00")]
    for index, (name, value) in enumerate(rows):
        yield text(580, 44 + 27 + index * LEADING, SHOWN_NAMES.get(name, name), "faint")
        yield text(690, 44 + 27 + index * LEADING, value)
    yield text(580, 44 + 186 - 16, f"not saved, never read again: {', '.join(saved.drops)}", "small faint")
    yield arrow("arrow", (482, 44 + 22 + 4 * LEADING), (554, 44 + 22 + 4 * LEADING))
    yield from lives()


SHOWN = {"user": "User(7, 'Ada')", "..it1": "series(user), after the 1st"}
SHOWN_NAMES = {"..it1": "for mail"}


def lives() -> Iterator[str]:
    """One process dies, another goes on."""
    first, second = 288, 348
    yield text(20, first + 5, "process 4711", "faint")
    yield f'<path d="M150,{first} H470" class="alive-line"/><path d="M486,{first} H580" class="gone"/>'
    for x, number in ((190, 1), (290, 2), (390, 3)):
        yield badge(x, first, number)
    yield f'<path d="M472,{first - 8} l16,16 m0,-16 l-16,16" class="dead-line"/>'
    yield text(500, first - 10, "kill -9", "dead")
    yield text(20, second + 5, "process 4802", "faint")
    yield arrow("arrow", (760, 234), (760, 262), (600, 262), (600, second - 16))
    yield arrow("alive-line", (600, second), (950, second))
    for x, number in ((600, 3), (690, 2), (780, 3), (880, 4)):
        yield badge(x, second, number)
    yield text(150, second + 5, "goes on in block 3; 1 and 2 do not run again", "alive small")


def draw() -> str:
    """The picture as SVG."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-label="A function, its blocks, a checkpoint, and how a second process goes on">\n'
        f"<style>{STYLE}</style>\n" + "\n".join(picture(blocks())) + "\n</svg>\n"
    )


if __name__ == "__main__":
    (HERE / "durable.svg").write_text(draw())
