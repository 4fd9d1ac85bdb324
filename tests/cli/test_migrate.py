"""``durable-ast migrate``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Ran

Cli = Callable[..., Ran]


def test_a_diff_is_shown_and_nothing_is_changed(cli: Cli, folder: Path) -> None:
    file = folder / "old.py"
    file.write_bytes(b"from durable import Workflow\r\n# a comment\r\n")
    shown = cli("migrate", str(file))
    assert "-from durable import Workflow" in shown.out and "+from durable_ast import Workflow" in shown.out
    assert "1 file would change" in shown.out
    assert file.read_bytes() == b"from durable import Workflow\r\n# a comment\r\n"


def test_files_are_changed(cli: Cli, folder: Path) -> None:
    (folder / "app" / ".venv").mkdir(parents=True)
    file, hidden = folder / "app" / "old.py", folder / "app" / ".venv" / "old.py"
    for each in (file, hidden):
        each.write_bytes(b"from durable import Workflow\r\n# a comment\r\n")
    assert cli("migrate", str(folder / "app"), "--write").code == 0
    assert file.read_bytes() == b"from durable_ast import Workflow\r\n# a comment\r\n"
    assert hidden.read_bytes() == b"from durable import Workflow\r\n# a comment\r\n"
    assert cli("migrate", str(folder / "app"), "--json").data["files"] == []


def test_a_file_that_cannot_be_read_does_not_stop_the_others(cli: Cli, folder: Path) -> None:
    (folder / "bad.py").write_text("def (:\n")
    (folder / "old.py").write_text("from durable import Workflow\n")
    ran = cli("migrate", str(folder), "--write", "--json")
    assert ran.code == 1
    assert [Path(each["path"]).name for each in ran.data["unread"]] == ["bad.py"]
    assert (folder / "old.py").read_text() == "from durable_ast import Workflow\n"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-8-sig"])
def test_a_file_keeps_its_encoding(encoding: str, tmp_path: Path, cli: Cli) -> None:
    text = f"# coding: {encoding.removesuffix('-sig')}\r\nfrom durable import Workflow\r\nname = 'caf\u00e9'\r\n"
    (tmp_path / "app.py").write_bytes(text.encode(encoding))
    assert cli("migrate", str(tmp_path), "--write").code == 0
    assert (tmp_path / "app.py").read_bytes() == text.replace("from durable", "from durable_ast").encode(encoding)
