"""What `check` says of instances, and that it is what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Ran

Cli = Callable[..., Ran]

EDITS = {
    "same": ("return items if answer else []", "return items if answer else []  # nothing but a comment"),
    "moves": ("return items if answer else []", "return [*items, *items] if answer else []"),
    "finishes": ("items = []", "items = [None][:0]"),
    "migrates": ("items = []", "items = [None][:0]"),
}
MIGRATION = "\n\n@durable_ast.migrate(collect)\ndef go_on(call):\n    return durable_ast.GoOn(call.locals)\n"


@pytest.fixture
def edit(folder: Path) -> Callable[[str], None]:
    def edit(kind: str) -> None:
        text = (folder / "shop.py").read_text()
        before, after = EDITS[kind]
        assert before in text
        edited = text.replace(before, after)
        if kind == "migrates":
            edited += "\nimport durable_ast" + MIGRATION
        (folder / "shop.py").write_text(edited)

    return edit


@pytest.mark.parametrize("kind", EDITS)
def test_the_verdict_is_what_becomes_of_it(cli: Cli, edit: Callable[[str], None], kind: str) -> None:
    cli("run", "shop:order", "1", "--id", "o-1")
    edit(kind)
    checked = cli("check", "--json")
    assert checked.code == 0
    assert [item["outlook"] for item in checked.data] == [kind]
    assert checked.data[0]["function"] == ("" if kind == "same" else "collect")
    cli("send", "o-1", "approved", "true")
    ended = cli("run", "shop:order", "--id", "o-1", "--json")
    assert ended.code == 0, ended


def test_an_instance_that_cannot_go_on_fails_the_check(cli: Cli, folder: Path) -> None:
    cli("run", "shop:order", "1", "--id", "o-1")
    (folder / "shop.py").unlink()
    checked = cli("check")
    assert checked.code == 1
    assert "module shop was not found here" in checked.out
    assert checked.out.splitlines()[-1] == "1 cannot go on here"
    assert cli("check", "--json").data[0]["outlook"] == "stuck"


def test_what_is_the_same_is_only_counted(cli: Cli) -> None:
    cli("run", "shop:fetch", "1", "--id", "f-1")
    assert cli("check").out == "no instance has to go on\n"
    cli("run", "shop:order", "1", "--id", "o-1")
    assert cli("check").out == "1 go on in the same code\n"
    assert "o-1" in cli("check", "--all").out
