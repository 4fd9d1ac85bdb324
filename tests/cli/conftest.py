"""A folder with a program, and the command line run in it."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from durable_ast.cli.app import app

PROGRAM = """
    import asyncio
    from dataclasses import dataclass

    from durable_ast import make_durable, wait_for_event


    @dataclass
    class Item:
        name: str
        price: float


    async def fetch(number: int) -> Item:
        await asyncio.sleep(0)
        return Item(f"item-{number}", number * 1.5)


    async def collect(count: int) -> list[Item]:
        items = []
        for number in range(count):
            items.append(await fetch(number))
        answer = await wait_for_event("approved")
        return items if answer else []


    @make_durable
    async def order(count: int, *, note: str = "", fail: bool = False) -> dict:
        large = list(range(count * 1000))
        items = await collect(count)
        if fail:
            raise ValueError(f"order of {len(large)} failed")
        return {"total": sum(item.price for item in items), "note": note, "large": len(large)}


    def plain():
        pass
"""


@dataclass(frozen=True)
class Ran:
    """What a command has printed, and what it ended with."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with the program in it as `shop`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    (tmp_path / "shop.py").write_text(textwrap.dedent(PROGRAM))
    return tmp_path


@pytest.fixture
def cli(folder: Path) -> Callable[..., Ran]:
    """Runs the command line in the folder."""

    def run(*words: str) -> Ran:
        sys.modules.pop("shop", None)  # as in a new process
        result = CliRunner().invoke(app, words)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run
