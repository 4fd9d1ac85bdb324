"""Where functions come from: their source is found, and is the right one."""

import functools
import importlib.machinery
import importlib.util
import inspect
import itertools
import linecache
import os
import pickle
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from durable_ast import DurableBackend, InstanceConflictError, NoSourceCodeException, make_durable
from tests.effects import step

ROOT = Path(__file__).parents[2]

PROGRAM = """
from tests.effects import step

async def program(x):
    value = await step(x)
    return value + 1
"""


async def run(function, *args):
    return await make_durable(function)(*args, orchestration_backend=DurableBackend())


_numbers = itertools.count()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Makes modules from text."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made = []

    def make(text):
        name = f"origin_module_{next(_numbers)}"  # a module of this name may be there from another test
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        importlib.invalidate_caches()
        made.append(name)
        return importlib.import_module(name)

    yield make
    for name in made:
        sys.modules.pop(name, None)


async def test_a_module(module):
    assert await run(module(PROGRAM).program, 1) == 2


async def test_a_zip_file(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr("origin_in_a_zip.py", PROGRAM)
    monkeypatch.syspath_prepend(str(tmp_path / "packed.zip"))
    assert await run(importlib.import_module("origin_in_a_zip").program, 1) == 2


async def test_a_notebook_cell():
    name = "<ipython-input-7-abcdef>"
    linecache.cache[name] = (len(PROGRAM), None, PROGRAM.splitlines(keepends=True), name)
    namespace = {"__name__": "__main__"}
    exec(compile(PROGRAM, name, "exec"), namespace)
    assert await run(namespace["program"], 1) == 2


async def test_text_that_nobody_kept():
    namespace = {"__name__": "__main__"}
    exec(compile(PROGRAM, "<nobody>", "exec"), namespace)
    with pytest.raises(NoSourceCodeException, match=r"<nobody>:4: program: .*linecache"):
        make_durable(namespace["program"])


def test_a_file_that_was_edited_after_its_import(tmp_path):
    """In a process of its own: what else this one has compiled and read does not matter."""
    path = tmp_path / "edited.py"
    path.write_text(PROGRAM)
    script = """
import os, pathlib, edited, durable_ast
path = pathlib.Path(edited.__file__)
path.write_text(path.read_text().replace("value + 1", "value + 2"))
os.utime(path, (0, 0))
try:
    durable_ast.make_durable(edited.program)
except durable_ast.NoSourceCodeException as error:
    print(error)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert "edited after it was imported" in done.stdout


class Loader(importlib.machinery.SourceFileLoader):
    """One that takes the place of Python's own for all modules, as type checkers at run time have it."""


async def test_the_text_that_an_import_hook_has_loaded_anew(module):
    """With a hook the code proves nothing; a text that was read before its module was loaded anew is old."""
    first = module(PROGRAM)
    file = Path(first.__file__)
    for text in (PROGRAM, PROGRAM.replace("value = ", "more = 7\n    value = ").replace("+ 1", "+ more")):
        file.write_text(text)
        spec = importlib.util.spec_from_file_location(first.__name__, file, loader=Loader(first.__name__, str(file)))
        loaded = importlib.util.module_from_spec(spec)
        sys.modules[first.__name__] = loaded
        spec.loader.exec_module(loaded)
        assert await run(loaded.program, 1) == await loaded.program(1)


async def test_two_functions_on_one_line(module):
    made = module(
        """
        from tests.effects import step
        def both(first, second): return first, second
        async def one(x): return await step(x)
        one, two = (lambda: one)(), None
        if True: one = [f for f in [one]][0]
        def factories(): return [(lambda: 1), (lambda: 2)]
        class A: f = staticmethod(lambda x: x); g = staticmethod(lambda x: -x)
        async def program():
            a, b = factories(); c = A.g; await step(1)
            return a(), b(), c(3)
        """
    )
    assert await run(made.program) == (1, 2, -3)


async def test_a_factory(module):
    made = module(
        """
        from tests.effects import step
        def adder(amount):
            async def add(x):
                return await step(x) + amount
            return add
        """
    )
    assert await run(made.adder(2), 1) == 3
    assert await run(made.adder(5), 1) == 6


class Counter:
    def __init__(self, start):
        self.start = start

    async def method(self, x):
        return self.start + await step(x)

    async def __call__(self, x):
        return self.start - await step(x)

    @classmethod
    async def made(cls, x):
        return cls(await step(x)).start

    @staticmethod
    async def plain(x):
        return await step(x)


def logged(function):
    @functools.wraps(function)
    async def around(*args):
        return "logged", await function(*args)

    return around


def unnamed(function):
    async def around(*args):
        return "unnamed", await function(*args)

    return around


@logged
async def with_wraps(x):
    return await step(x)


@unnamed
async def without_wraps(x):
    return await step(x)


@pytest.mark.parametrize(
    ("function", "result"),
    [
        (Counter(5).method, 6),
        (Counter(5), 4),
        (Counter.made, 1),
        (Counter.plain, 1),
        (functools.partial(Counter(5).method), 6),
        (functools.partial(Counter(2)), 1),
        (with_wraps, ("logged", 1)),
        (without_wraps, ("unnamed", 1)),
    ],
)
async def test_methods_objects_and_decorated_functions(function, result):
    assert await run(function, 1) == result


async def summed(a, b=2, *rest, c=3, **others):
    return a, await step(b), rest, c, others


@pytest.mark.parametrize(
    ("partial", "args", "keywords"),
    [
        (functools.partial(summed, 1), (5, 6), {"d": 7}),
        (functools.partial(summed, c=4, e=1), (5,), {"e": 2}),
        (functools.partial(functools.partial(summed, 1), 2, d=5), (), {}),
    ],
)
async def test_partial_functions(partial, args, keywords):
    program = make_durable(partial)
    backend = DurableBackend()
    plainly = await partial(*args, **keywords)
    assert await program(*args, orchestration_backend=backend, instance_id="it", **keywords) == plainly
    with pytest.raises(InstanceConflictError):
        await program(9, orchestration_backend=backend, instance_id="it")
    assert inspect.signature(program) == inspect.signature(partial)


class Shop:
    @make_durable
    async def sell(self, item: str, *, count: int = 1) -> str:
        """Sell it."""
        return await step(f"{count} {item}")

    async def buy(self, item: str, *, count: int = 1) -> str:
        return await step(item)

    named = make_durable(functools.partial(summed, 1))


def test_the_signature_of_a_method_is_without_the_object_that_it_is_bound_to():
    shop = Shop()
    expected = inspect.signature(shop.buy)
    assert inspect.signature(shop.sell) == inspect.signature(make_durable(shop.buy)) == expected
    assert inspect.signature(Shop.sell) == inspect.signature(Shop.buy)
    assert inspect.signature(make_durable(Shop.buy)) == inspect.signature(Shop.buy)
    assert shop.sell.__doc__ == "Sell it."
    inspect.signature(type(Shop.sell))


async def test_a_method_comes_back_from_a_pickle_bound():
    again = pickle.loads(pickle.dumps(Shop().sell))
    assert await again("book", orchestration_backend=DurableBackend()) == "1 book"
    assert pickle.loads(pickle.dumps(Shop.sell)) is Shop.sell


async def test_a_partial_function_in_a_class_is_not_bound():
    assert (await Shop().named(orchestration_backend=DurableBackend()))[0] == 1


COMMAND = (
    "import asyncio; from durable_ast import DurableBackend, make_durable\n"
    "async def f(x):\n    await asyncio.sleep(0)\n    return x + 1\n"
    "print(asyncio.run(make_durable(f)(1, orchestration_backend=DurableBackend())))"
)


@pytest.mark.parametrize("arguments", [["-c", COMMAND], ["-"]])
def test_the_command_line(arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *arguments], input=COMMAND, env=environment, capture_output=True, text=True, check=False
    )
    if arguments == ["-c", COMMAND]:
        assert done.stdout == "2\n"
    else:
        assert done.stdout == "2\n" or "NoSourceCodeException" in done.stderr


def test_a_script(tmp_path):
    (tmp_path / "script.py").write_text(COMMAND)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "2\n"
