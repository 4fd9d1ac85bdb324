"""The tests on every other Python: those from 3.11 on that are on the PATH or that pyenv has installed."""

import os
import shutil
import sys
from pathlib import Path

import nox

SUPPORTED = ("3.11", "3.12", "3.13", "3.14")

nox.options.error_on_missing_interpreters = False
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests"]


def _pyenv() -> list[str]:
    """The folders of pyenv's interpreters; its shims answer only for the versions that are switched on."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return [str(path.parent) for version in SUPPORTED for path in sorted(versions.glob(f"{version}.*/bin/python3"))]


os.environ["PATH"] = os.pathsep.join([*_pyenv(), os.environ.get("PATH", "")])
OTHERS = [version for version in SUPPORTED if version != f"{sys.version_info[0]}.{sys.version_info[1]}"]
MISSING = [version for version in OTHERS if shutil.which(f"python{version}") is None]
if MISSING:
    print(f"not found on the PATH or under pyenv, so not tested: Python {', '.join(MISSING)}")


_ELSEWHERE = """
agents bad_input benchmarks chaos cli codemods examples inspection kill project stores transactions typing versions
worker workflow
"""
SAME_EVERYWHERE = [f"tests/{folder}" for folder in _ELSEWHERE.split()]
"""What depends on processes, servers, tools and texts rather than on the version of Python, and was
tested on the first."""


@nox.session(python=[version for version in OTHERS if version not in MISSING])
def tests(session: nox.Session) -> None:
    """Run the tests."""
    session.install("-q", "-e", ".[test]")
    ignored = [f"--ignore={folder}" for folder in SAME_EVERYWHERE]
    session.run(
        "python",
        "-m",
        "pytest",
        "-q",
        "-n",
        str(2 * (os.cpu_count() or 1)),
        "--dist",
        "worksteal",
        "-p",
        "no:cacheprovider",
        *ignored,
        *session.posargs,
    )
