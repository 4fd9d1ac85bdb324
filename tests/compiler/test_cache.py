"""What one process has compiled, the next ones read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import asyncio, os, sys
from durable_ast import make_durable

@make_durable
async def program():
    add = lambda value: value + AMOUNT
    async def doubled(value):
        await asyncio.sleep(0)
        return 2 * value
    total = 0
    for number in range(3):
        total += await doubled(add(number))
    while len(os.listdir("deaths")) < int(sys.argv[1]):
        open(f"deaths/{len(os.listdir('deaths'))}", "w").close()
        os._exit(9)
    return total

if __name__ == "__main__":
    print(asyncio.run(program(instance_id=sys.argv[2])))
    print("compiled" if "durable_ast.compiler.passes" in sys.modules else "read")
""".replace("AMOUNT", "1")


class Folder:
    """A folder with a program in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.program = path / "program.py"
        self.program.write_text(PROGRAM)
        (path / "deaths").mkdir()
        self._runs = 0

    def run(self, *options: str, deaths: int = 0, status: int = 0, **variables: str) -> str:
        self._runs += 1
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
        for name in {"PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"} - variables.keys():
            environment.pop(name, None)
        instance = "it" if deaths else str(self._runs)
        command = [sys.executable, *options, "program.py", str(deaths), instance]
        done = subprocess.run(command, cwd=self.path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        return done.stdout

    @property
    def entries(self) -> set[Path]:
        return set((self.path / "__pycache__").glob("program.*durable*"))


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def test_a_second_process_reads_what_the_first_has_compiled(folder):
    assert folder.run() == "12\ncompiled\n"
    assert folder.entries
    assert folder.run() == "12\nread\n"


def test_an_edited_file_is_compiled_again_and_nothing_of_the_old_one_stays(folder):
    folder.run()
    before = folder.entries
    folder.program.write_text("# edited\n" + PROGRAM.replace("doubled", "twice").replace("+ 1", "+ 2"))
    assert folder.run() == "18\ncompiled\n"
    assert len(folder.entries) == len(before)
    assert folder.run() == "18\nread\n"


def test_a_process_that_goes_on_reads_what_others_have_compiled(folder):
    for _ in range(3):
        folder.run(deaths=3, status=9)
    assert folder.run(deaths=3) == "12\nread\n"


@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda data: data[:20], lambda data: b"", lambda data: data[:60] + b"x" + data[61:]])  # fmt: skip
def test_a_damaged_entry_is_compiled_again(folder, damage):
    folder.run()
    for entry in folder.entries:
        entry.write_bytes(damage(entry.read_bytes()))
    assert folder.run() == "12\ncompiled\n"
    assert folder.run() == "12\nread\n"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="without owners of files")
def test_an_entry_that_anybody_can_write_to_is_not_trusted(folder):
    folder.run()
    for entry in folder.entries:
        entry.chmod(0o666)
    assert folder.run() == "12\ncompiled\n"
    assert all(entry.stat().st_mode & 0o777 == 0o644 for entry in folder.entries)


def test_nothing_is_written_where_python_writes_no_bytecode(folder):
    assert folder.run(PYTHONDONTWRITEBYTECODE="1") == "12\ncompiled\n"
    assert not folder.entries


def test_entries_are_where_python_puts_bytecode(folder, tmp_path):
    assert folder.run(PYTHONPYCACHEPREFIX=str(tmp_path / "elsewhere")) == "12\ncompiled\n"
    assert not folder.entries
    assert list((tmp_path / "elsewhere").rglob("program.*durable*"))
    assert folder.run(PYTHONPYCACHEPREFIX=str(tmp_path / "elsewhere")) == "12\nread\n"


def test_a_folder_that_takes_no_entries_is_no_error(folder):
    (folder.path / "__pycache__").write_text("not a folder")
    assert folder.run() == "12\ncompiled\n"
    assert folder.run() == "12\ncompiled\n"


def test_asserts_are_those_of_the_process(folder):
    folder.program.write_text(PROGRAM.replace("total = 0", "assert sys.flags.optimize, 'plain'; total = 0"))
    assert folder.run("-O") == "12\ncompiled\n"
    assert folder.run("-O") == "12\nread\n"
    folder.run(status=1)
