"""CPython's own tests, rewritten with awaits: plain, durable, and resumed from their checkpoints.

    python -m tests.conformance cpython [--mode stmt|expr] [--known] [MODULE ...]

The tests are those of the Python that runs (its ``test`` package).  Without a module it is the list
in ``modules.txt``.
"""

import argparse
import importlib.util
import linecache
import multiprocessing
import os
import sys
import tomllib
import unittest
import warnings
from collections.abc import Container, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory

from . import trial
from .rewrite import MODES, rewritten

HERE = Path(__file__).parent


def every_module() -> list[str]:
    lines = (HERE / "modules.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def known() -> dict[str, str]:
    """The tests that cannot be resumed, with the limit of the contract that is the reason."""
    tests: dict[str, str] = tomllib.loads((HERE / "known.toml").read_text())["tests"]
    return tests


def verdicts(module: str, mode: str, only: Container[str] | None = None) -> Iterator[trial.Verdict]:
    """Judge each test of a module that could be rewritten, or only those of these names."""
    spec = importlib.util.find_spec(f"test.{module}")
    if spec is None or spec.origin is None:
        return
    text, methods = rewritten(Path(spec.origin).read_text(encoding="utf-8"), mode)
    with TemporaryDirectory() as folder:
        path = Path(folder, f"{module}.py")
        path.write_text(text, encoding="utf-8")
        made = importlib.util.spec_from_file_location(spec.name, path)
        assert made is not None and made.loader is not None
        sys.modules[spec.name] = loaded = importlib.util.module_from_spec(made)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                made.loader.exec_module(loaded)
            except unittest.SkipTest:
                return
        linecache.checkcache()
        for owner, name in methods:
            cls = getattr(loaded, owner, None)
            is_wanted = only is None or f"{spec.name}.{owner}.{name}" in only
            if is_wanted and isinstance(cls, type) and issubclass(cls, unittest.TestCase):
                yield trial.judge(cls, name)


def _judged(module: str, mode: str, only: Container[str] | None) -> list[trial.Verdict]:
    """The verdicts on the tests of a module that are kept."""
    trial.prepare()
    return [verdict for verdict in verdicts(module, mode, only) if verdict.kept]


def main(arguments: list[str]) -> int:
    """Print a line for each module and the failures; 1 if there is one that is not known."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance cpython")
    parser.add_argument("--mode", choices=MODES, help="both if left out")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="modules judged at once")
    parser.add_argument("--known", action="store_true", help="only the tests that are known to fail")
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    options = parser.parse_args(arguments)
    excused, unknown = known(), 0
    modules, only = options.modules or every_module(), frozenset(excused) if options.known else None
    if options.known:
        modules = [module for module in modules if any(name.startswith(f"test.{module}.") for name in excused)]
    needless = set(excused)
    # a process for each module: what its tests leave behind is no concern of the next one
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        for mode in [options.mode] if options.mode else MODES:
            total = [0] * 5
            for module, found in zip(modules, pool.map(_judged, modules, repeat(mode), repeat(only)), strict=True):
                scored = [verdict for verdict in found if verdict.persistable]
                counts = [
                    len(found),
                    sum(verdict.problem is None for verdict in found),
                    len(scored),
                    sum(_problem(verdict) is None for verdict in scored),
                    sum(_problem(verdict) is None for verdict in found),
                ]
                total = [a + b for a, b in zip(total, counts, strict=True)]
                print(_line(module, counts), flush=True)
                for verdict in found:
                    problem = _problem(verdict) if verdict.persistable else verdict.problem
                    if problem is not None:
                        unknown += verdict.name not in excused
                        needless.discard(verdict.name)
                        print(f"    {verdict.name}: {excused.get(verdict.name, problem)}", flush=True)
            print(_line(f"all, mode {mode}", total), flush=True)
    for name in sorted(needless):
        if name.split(".")[1] in modules:
            print(f"no failure here of a known one: {name}")
    return 1 if unknown else 0


def _problem(verdict: trial.Verdict) -> str | None:
    return verdict.problem or verdict.resumed_problem


def _line(title: str, counts: list[int]) -> str:
    kept, passed, scored, conform, resumed = counts
    return (
        f"{title:32} {kept} tests kept, {passed} pass durably, {resumed} from every checkpoint; "
        f"of {scored} persistable ones {conform}"
    )
