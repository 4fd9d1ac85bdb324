"""A checkpoint that one Python has written goes on under another."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cloudpickle
import pytest

ROOT = Path(__file__).parents[2]
MINORS = range(11, 20)


def interpreters() -> dict[str, str]:
    """One interpreter of each version: of `DURABLE_AST_PYTHONS` (separated as in PATH), of PATH, of pyenv."""
    found = {f"{sys.version_info[0]}.{sys.version_info[1]}": sys.executable}
    named = os.environ.get("DURABLE_AST_PYTHONS", "").split(os.pathsep)
    on_path = [shutil.which(f"python3.{minor}") for minor in MINORS]
    pyenv = sorted(map(str, Path.home().glob(".pyenv/versions/*/bin/python")))
    for executable in filter(None, [*named, *on_path, *pyenv]):
        command = [executable, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        version = done.stdout.strip()
        if done.returncode == 0 and version.startswith("3.") and int(version[2:]) in MINORS:
            found.setdefault(version, executable)
    return found


def test_all_pairs_of_the_interpreters_that_are_present(tmp_path):
    pythons = interpreters()
    if len(pythons) == 1:
        pytest.skip("there is one interpreter only; DURABLE_AST_PYTHONS names others")
    shutil.copytree(Path(cloudpickle.__file__).parent, tmp_path / "cloudpickle")  # others need not have it installed
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)]),
        "PYTHONPYCACHEPREFIX": str(tmp_path / "bytecode"),  # what one process has compiled the next one reads
    }

    def exchange(version: str, *arguments: str) -> str:
        command = [pythons[version], "-m", "tests.versions.exchange", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    for version in pythons:
        assert exchange(version, "write", str(tmp_path / version)) == ""
    for reader in pythons:
        others = [str(tmp_path / writer) for writer in pythons if writer != reader]
        assert exchange(reader, "read", *others) == "", f"read by {reader}"
