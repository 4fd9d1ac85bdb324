"""Objects whose class is asked for every attribute, or for those that are not there: a checkpoint asks
for none."""

import sys
from types import ModuleType
from typing import ClassVar

from durable_ast import DurableBackend, make_durable

from ..effects import step
from ..everywhere import RecordingStore, check, everywhere


class Proxy:
    """Passes on what it is asked, and cannot do that before it is filled."""

    def __init__(self, target):
        self.target = target

    def __getattr__(self, name):
        return getattr(self.target, name)


class Strict:
    def __init__(self, **known):
        self.known = known

    def __getattr__(self, name):
        if name not in self.known:
            raise LookupError(f"nobody may ask for {name}")
        return self.known[name]


class Noting:
    asked: ClassVar = []

    def __getattribute__(self, name):
        Noting.asked.append(name)
        return object.__getattribute__(self, name)


class Slotted:
    __slots__ = ("one", "two")

    def __getattr__(self, name):
        raise LookupError(name)

    def __setattr__(self, name, value):
        raise AttributeError("it never changes")


class Words(dict):
    def __getattr__(self, name):
        return self[name]


class Row(list):
    def __getattr__(self, name):
        return self[self.names.index(name)]

    def items(self):
        return 1 / 0


class Amount(int):
    def __getattr__(self, name):
        return name


@everywhere()
async def test_one_that_passes_on():
    target = ["a"]
    proxy = Proxy(target)
    await step()
    proxy.append("b")
    return target, proxy.target is target, await step(proxy.count("b"))


@everywhere()
async def test_one_that_refuses():
    strict = Strict(a=1)
    await step()
    return strict.a, await step(strict.known)


async def test_one_that_notes_what_it_is_asked():
    @make_durable
    async def keep():
        noting = Noting()
        noting.value = 1
        await step()
        return noting.value

    store = RecordingStore()
    assert await keep(orchestration_backend=DurableBackend(store), instance_id="it") == 1
    assert len(store.states) > 1
    assert set(Noting.asked) <= {"value", "__class__"}  # `isinstance` looks at the class


@everywhere()
async def test_one_with_slots():
    slotted = Slotted()
    object.__setattr__(slotted, "one", slotted)
    await step()
    return slotted.one is slotted, await step()


@everywhere()
async def test_ones_that_hold_items():
    words, row = Words(a=1), Row([1, 2])
    row.names = ["x", "y"]
    words["all"] = words
    await step()
    return words.a, words.all is words, row.y, await step(len(row))


@everywhere()
async def test_one_with_a_value():
    amount = Amount(7)
    amount.unit = "EUR"
    await step()
    return amount + 1, amount.unit, await step(amount.kind)


class LazyModule(ModuleType):
    def __getattribute__(self, name):
        if name.startswith("__reduce"):
            raise LookupError(name)
        return super().__getattribute__(name)


async def test_a_module_that_is_imported_when_it_is_asked(monkeypatch):
    lazy = LazyModule("lazy_module_of_this_test")
    monkeypatch.setitem(sys.modules, "lazy_module_of_this_test", lazy)

    async def keep(number):
        module = sys.modules["lazy_module_of_this_test"]
        await step()
        return module is lazy, await step(number)

    await check(keep, (1,), plain=True, events={}, options={})


@everywhere()
async def test_one_of_a_class_of_the_function():
    class Local:
        def __getattr__(self, name):
            return self.known[name]

    local = Local()
    local.known = {"a": local}
    await step()
    return local.a is local, await step()
