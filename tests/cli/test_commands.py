"""What each command does and prints."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import durable_ast.cli

from .conftest import Ran

Cli = Callable[..., Ran]


def test_an_instance_is_started_paused_approved_and_finished(cli: Cli) -> None:
    paused = cli("run", "shop:order", "2", "note=7", "--id", "o-1", "--json")
    assert paused.code == 3
    assert paused.data == {"id": "o-1", "status": "WAITING", "result": None, "text": None, "awaits": ["approved"]}
    assert cli("send", "o-1", "approved", "true").code == 0
    ended = cli("run", "shop:order", "--id", "o-1", "--json")
    assert ended.code == 0
    assert ended.data["result"] == {"total": 1.5, "note": "7", "large": 2000}
    again = cli("run", "shop:order", "--id", "o-1", "--json")
    assert again.data == ended.data


def test_run_tells_people_how_to_go_on(cli: Cli) -> None:
    paused = cli("run", "shop:order", "2", "--id", "o-1")
    assert paused.out.splitlines() == [
        "o-1 waits for event 'approved'",
        "durable-ast send o-1 approved [JSON], then run the same command to go on",
    ]


def test_an_error_of_the_program_shows_only_its_own_lines(cli: Cli, folder: Path) -> None:
    cli("run", "shop:order", "1", "fail=true", "--id", "o-1")
    cli("send", "o-1", "approved", "1")
    failed = cli("run", "shop:order", "--id", "o-1")
    assert failed.code == 1
    assert f'File "{folder / "shop.py"}"' in failed.err
    assert "durable_ast" not in failed.err
    assert "error: o-1 has ended with ValueError: order of 1000 failed" in failed.err
    assert "go on from its last checkpoint" in failed.err


def test_an_interrupt_leaves_the_instance_where_it_stands(cli: Cli, folder: Path) -> None:
    (folder / "slow.py").write_text(
        "import asyncio\n"
        "async def wait():\n"
        "    try:\n"
        "        await asyncio.sleep(0.01)\n"
        "        print('waits', flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "    finally:\n"
        "        print('finally')\n"
    )
    command = [sys.executable, "-m", "durable_ast.cli", "run", "slow:wait", "--id", "s-1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "waits\n"
    shown = cli("show", "s-1", "--json").data
    while shown["frames"][0]["block"] != 2:  # until the second sleep is saved
        shown = cli("show", "s-1", "--json").data
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert (out, err) == ("", "error: s-1 was interrupted\nrun the same command to go on\n")
    assert cli("show", "s-1", "--json").data["status"] == "SLEEPING"


def test_a_plain_async_function_is_made_durable(cli: Cli) -> None:
    assert cli("run", "shop:fetch", "4", "--id", "f", "--json").data["text"] == "Item(name='item-4', price=6.0)"


def test_a_file_is_a_module(cli: Cli) -> None:
    assert cli("run", "shop.py:fetch", "4", "--id", "f").out == "f has ended well: Item(name='item-4', price=6.0)\n"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["run", "shop"], 2, "'shop' names no function"),
        (["run", "missing:order"], 2, "there is no module missing in"),
        (["run", "shop:missing"], 2, "shop has no missing"),
        (["run", "shop:plain"], 2, "shop:plain is a function, not an async function"),
        (["run", "shop:order"], 2, "missing a required argument: 'count'"),
        (["run", "shop:order", "many"], 2, "argument 'count': 'many' is no int"),
        (["run", "shop:order", "1", "--id", "a\0b"], 1, "must not hold a NUL character"),
        (["run", "shop:order", "1", "--db", "oracle://x"], 2, "no store is known for 'oracle://x'"),
        (["show", "o-1"], 1, "there is no database at"),
        (["explain", "shop:plain"], 2, "shop:plain is a function, not an async function"),
    ],
)
def test_a_mistake_is_one_clear_line(cli: Cli, words: list[str], code: int, message: str) -> None:
    text, data = cli(*words), cli(*words, "--json")
    assert text.code == data.code == code
    assert message in text.err.splitlines()[0]
    assert "Traceback" not in text.err
    assert message in data.data["error"]


def test_a_module_that_fails_to_import_is_named_with_the_line(cli: Cli, folder: Path) -> None:
    (folder / "broken.py").write_text("import shop\n1 / 0\n")
    failed = cli("run", "broken:f")
    assert f"importing broken failed: ZeroDivisionError: division by zero ({folder / 'broken.py'}:2)" in failed.err


def test_other_arguments_for_an_id_are_refused(cli: Cli) -> None:
    cli("run", "shop:order", "1", "--id", "o-1")
    refused = cli("run", "shop:order", "2", "--id", "o-1")
    assert refused.code == 1
    assert "was started with other arguments" in refused.err


def test_a_method_of_an_object_is_a_program(cli: Cli, folder: Path) -> None:
    (folder / "shelf.py").write_text(
        "class Shelf:\n    async def place(self, number: int):\n        return number\n\n\nshelf = Shelf()\n"
    )
    assert cli("run", "shelf:shelf.place", "4", "--json").data["result"] == 4


def test_a_workflow_function_is_a_program(cli: Cli, folder: Path) -> None:
    (folder / "flow.py").write_text(
        "from durable_ast import Workflow\n"
        "wf = Workflow('flow', 'other.db')\n"
        "@wf.workflow(id='double-{number}')\n"
        "async def double(number: int) -> int:\n"
        "    return 2 * number\n"
    )
    ran = cli("run", "flow:double", "4", "--json")
    assert (ran.data["id"], ran.data["result"]) == ("double-4", 8)
    assert cli("show", "double-4", "--db", "other.db").code == 0


def test_ls_lists_and_filters(cli: Cli) -> None:
    cli("run", "shop:order", "1", "--id", "o-1")
    cli("run", "shop:fetch", "1", "--id", "f-1")
    assert [item["id"] for item in cli("ls", "--json").data] == ["f-1", "o-1"]
    assert [item["id"] for item in cli("ls", "--status", "waiting", "--json").data] == ["o-1"]
    assert [item["id"] for item in cli("ls", "--program", "shop:fetch", "--json").data] == ["f-1"]
    assert [item["id"] for item in cli("ls", "--prefix", "o-", "--json").data] == ["o-1"]
    assert [item["id"] for item in cli("ls", "--limit", "1", "--json").data] == ["f-1"]
    assert "waits for event 'approved'" in cli("ls").out
    assert "and more" in cli("ls", "--limit", "1").out


def test_show_marks_the_cursor_in_every_frame(cli: Cli) -> None:
    cli("run", "shop:order", "2", "--id", "o-1")
    text = cli("show", "o-1").out
    marked = [line.split("❱")[1].split(maxsplit=1)[1] for line in text.splitlines() if "❱" in line]
    assert marked == ["items = await collect(count)", 'answer = await wait_for_event("approved")']
    assert "waits for event 'approved'" in text
    assert "Item(name='item-1', price=1.5)" in text
    assert "+1995" in text, "long values are cut"


def test_show_gives_stable_facts(cli: Cli, folder: Path) -> None:
    cli("run", "shop:order", "1", "note=x", "--id", "o-1")
    data = cli("show", "o-1", "--json").data
    inner = data["frames"][-1]
    assert (data["id"], data["program"], data["status"]) == ("o-1", "shop:order", "WAITING")
    assert inner["function"] == "collect"
    assert (inner["file"], inner["awaits"]) == (str(folder / "shop.py"), "wait_for_event('approved')")
    source = (folder / "shop.py").read_text().splitlines()
    assert "wait_for_event" in source[inner["line"] - 1]
    assert inner["locals"] == [{"name": "items", "type": "list", "text": "[Item(name='item-0', price=0.0)]"}]


def test_show_runs_nothing_of_the_program(cli: Cli, folder: Path) -> None:
    cli("run", "shop:order", "1", "--id", "o-1")
    sys.modules.pop("shop")
    text = (folder / "shop.py").read_text()
    (folder / "shop.py").write_text(text + "\nraise SystemExit('imported')\n")
    shown = cli("show", "o-1")
    assert shown.code == 0
    assert "❱" in shown.out
    assert "shop" not in sys.modules


def test_show_has_the_text_that_the_instance_was_started_with(cli: Cli, folder: Path) -> None:
    cli("run", "shop:order", "1", "--id", "o-1")
    text = (folder / "shop.py").read_text()
    (folder / "shop.py").write_text(text.replace("items = []", "items = [None][:0]"))
    edited = cli("show", "o-1").out
    assert "it was edited since; this is what it was then" in edited
    assert "items = []" in edited
    assert edited.count("❱") == 2
    (folder / "shop.py").unlink()
    gone = cli("show", "o-1").out
    assert "module shop was not found here; this is what it was then" in gone
    assert gone.count("❱") == 2


def test_show_of_a_script(cli: Cli, folder: Path) -> None:
    (folder / "script.py").write_text(
        "import asyncio\n"
        "from durable_ast import make_durable, wait_for_event\n"
        "async def main():\n"
        "    return await wait_for_event('go')\n"
        "asyncio.run(make_durable(main)(instance_id='m-1'))\n"
    )
    subprocess.run([sys.executable, "script.py"], check=False, capture_output=True)
    frame = cli("show", "m-1", "--json").data["frames"][0]
    assert Path(frame["file"]).name == "script.py"
    assert frame["line"] == 4


def test_show_of_closures_managers_and_generators(cli: Cli, folder: Path) -> None:
    (folder / "odd.py").write_text(
        "import asyncio, sys\n"
        "from durable_ast import wait_for_event\n"
        "class Client:\n"
        "    def __enter__(self): self.frame = sys._getframe(); return self\n"
        "    def __exit__(self, *error): pass\n"
        "def make(prefix):\n"
        "    async def inner(number):\n"
        "        count = [0]\n"
        "        def bump():\n"
        "            nonlocal count\n"
        "            count = [number]\n"
        "        squares = (n * n for n in range(9))\n"
        "        next(squares)\n"
        "        with Client() as client:\n"
        "            await wait_for_event('go')\n"
        "            bump()\n"
        "            return prefix, client, next(squares), count\n"
        "    return inner\n"
        "program = make('a')\n"
    )
    assert cli("run", "odd:program", "7", "--id", "c-1").code == 3
    shown = cli("show", "c-1", "--json")
    assert shown.code == 0
    values = {variable["name"]: variable["text"] for variable in shown.data["frames"][0]["locals"]}
    assert values["number"] == "7"
    assert values["count"] == "[0]"
    assert values["client"] == "<entered again when it goes on>"
    assert "bump" in values["bump"]
    assert "genexpr" in values["squares"]


def test_show_of_branches(cli: Cli, folder: Path) -> None:
    (folder / "many.py").write_text(
        "import asyncio\n"
        "from durable_ast import wait_for_event\n"
        "async def quick():\n"
        "    await asyncio.sleep(0)\n"
        "async def one(name):\n"
        "    answer = await wait_for_event(name)\n"
        "    return name, answer\n"
        "async def sleeps():\n"
        "    await asyncio.sleep(9)\n"
        "async def main():\n"
        "    task = asyncio.create_task(sleeps(), name='sleeper')\n"
        "    both = await asyncio.gather(one('left'), one('right'), quick())\n"
        "    await task\n"
        "    return both\n"
    )
    command = [sys.executable, "-m", "durable_ast.cli", "run", "many:main", "--id", "m-1", "--wait"]
    process = subprocess.Popen(command)
    doing: dict[str, str] = {}
    try:
        for _ in range(1000):
            shown = cli("show", "m-1", "--json")
            if shown.code == 0:
                doing = {branch["name"]: branch["doing"] for branch in shown.data["branches"]}
            if len(doing) == 3 and not any("step" in phrase for phrase in doing.values()):
                break
    finally:
        process.kill()
        process.wait()
    assert doing.pop("sleeper").startswith("sleeps until")
    assert sorted(doing.values()) == ["waits for event 'left'", "waits for event 'right'"]
    data = cli("show", "m-1", "--json").data
    assert data["frames"][0]["function"] == "main"
    assert data["frames"][0]["awaits"].startswith("asyncio.gather(")
    text = cli("show", "m-1").out
    assert "sleeper" in text
    assert text.count("❱") == 4


def test_show_of_a_task_group_has_only_frames_of_the_program(cli: Cli, folder: Path) -> None:
    (folder / "group.py").write_text(
        "import asyncio\n"
        "from durable_ast import wait_for_event\n"
        "async def main():\n"
        "    async with asyncio.TaskGroup() as group:\n"
        "        group.create_task(wait_for_event('go'))\n"
    )
    cli("run", "group:main", "--id", "g-1")
    assert [frame["function"] for frame in cli("show", "g-1", "--json").data["frames"]] == ["main"]


def test_show_of_an_instance_that_failed(cli: Cli, folder: Path) -> None:
    cli("run", "shop:order", "1", "fail=true", "--id", "o-1")
    cli("send", "o-1", "approved", "1")
    cli("run", "shop:order", "--id", "o-1")
    text = cli("show", "o-1").out
    assert "ValueError: order of 1000 failed" in text
    assert "it goes on from here" in text
    assert "❱" in text
    assert f'File "{folder / "shop.py"}"' in text
    assert "durable_ast" not in text


def test_show_of_an_instance_that_has_ended(cli: Cli) -> None:
    cli("run", "shop:fetch", "3", "--id", "f-1")
    assert "Item(name='item-3', price=4.5)" in cli("show", "f-1").out
    assert cli("show", "f-1", "--json").data["result"] == {"type": "Item", "text": "Item(name='item-3', price=4.5)"}


def test_show_of_a_damaged_checkpoint(cli: Cli, folder: Path) -> None:
    import sqlite3

    cli("run", "shop:order", "1", "--id", "o-1")
    with sqlite3.connect(folder / "durable.db") as connection:
        connection.execute("UPDATE durable_instances SET call_stack = substr(call_stack, 1, 40)")
    connection.close()
    shown = cli("show", "o-1")
    assert shown.code == 0
    assert "the checkpoint cannot be read" in shown.out


def test_show_without_the_key(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DURABLE_AST_KEY", "secret")
    assert cli("run", "shop:order", "1", "--id", "o-1").code == 3
    assert cli("run", "shop:fetch", "1", "--id", "f-1").code == 0
    assert cli("show", "o-1").out.count("❱") == 2
    monkeypatch.delenv("DURABLE_AST_KEY")
    for instance in ("o-1", "f-1"):
        shown = cli("show", instance)
        assert shown.code == 0
        assert "set DURABLE_AST_KEY" in shown.out
    assert cli("run", "shop:order", "--id", "o-1").code == 1


def test_send_to_an_instance_to_come(cli: Cli) -> None:
    cli("run", "shop:fetch", "1")  # makes the database
    assert "no such instance yet" in cli("send", "o-1", "approved", "true").out
    assert cli("run", "shop:order", "1", "--id", "o-1", "--json").data["status"] == "SUCCESS"


def test_send_to_an_instance_that_has_ended_is_refused(cli: Cli) -> None:
    cli("run", "shop:fetch", "1", "--id", "f-1")
    refused = cli("send", "f-1", "approved")
    assert refused.code == 1
    assert "f-1 has ended with SUCCESS" in refused.err


def test_explain_shows_the_blocks(cli: Cli) -> None:
    text = cli("explain", "shop:collect").out
    assert '2     answer = await wait_for_event("approved")' in text
    assert "<loop position>" in text
    blocks = cli("explain", "shop:collect", "--json").data["blocks"]
    assert [block["number"] for block in blocks] == [0, 1, 2]
    assert blocks[2]["keeps"] == ["items"]


def test_a_folder_is_a_disk_store(cli: Cli, folder: Path) -> None:
    (folder / "states").mkdir()
    cli("run", "shop:order", "1", "--id", "o-1", "--db", "states")
    assert [item["id"] for item in cli("ls", "--db", "states", "--json").data] == ["o-1"]


def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in ("rich", "typer") else find(name))
    with pytest.raises(SystemExit, match=r"needs typer and rich: pip install 'durable-ast\[cli\]'"):
        durable_ast.cli.main()


def test_show_looks_back_where_the_history_is_kept(cli: Cli, folder: Path) -> None:
    source = (folder / "shop.py").read_text().replace("@make_durable\n", '@make_durable(history="all")\n')
    (folder / "shop.py").write_text(source)
    cli("run", "shop:order", "2", "--id", "o-1")
    cli("send", "o-1", "approved", "true")
    cli("run", "shop:order", "--id", "o-1")
    listed = cli("show", "o-1", "--history", "--json").data
    assert [(item["checkpoints"], item["status"]) for item in listed] == [
        (0, "RUNNING"),
        (1, "WAITING"),
        (2, "RUNNING"),
        (3, "SUCCESS"),
    ]
    lines = cli("show", "o-1", "--history").out.splitlines()
    assert "waits for event 'approved'" in lines[2]
    assert "collect:23" in lines[2]
    shown = cli("show", "o-1", "--at", "1")
    assert '❱ 23     answer = await wait_for_event("approved")' in shown.out
    missing = cli("show", "o-1", "--at", "9")
    assert missing.code == 1
    assert "checkpoint 9 of o-1 is not kept" in missing.err
