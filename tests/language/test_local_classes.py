"""Classes that a function defines: what they are after a resume.  PYTEST_DONT_REWRITE"""

import abc
import collections.abc
import dataclasses
import enum
import types
import typing
from typing import Generic, TypeVar

from tests.effects import note, step
from tests.everywhere import everywhere

T = TypeVar("T")


@everywhere()
async def test_super_and_the_class_cell():
    class Base:
        def name(self):
            return "base"

    class Derived(Base):
        def name(self):
            return super().name() + "+" + __class__.__name__

    await step(1)
    one = Derived()
    await step(2)
    return one.name(), isinstance(one, Base), Derived.__mro__[1] is Base, type(one) is Derived, Base.__qualname__


@everywhere()
async def test_no_code_of_the_definition_runs_again():
    class Meta(type):
        def __new__(meta, name, bases, namespace, **options):
            note(("new", name))
            return super().__new__(meta, name, bases, namespace)

        def __init__(cls, name, bases, namespace, **options):
            note(("init", name, options))
            super().__init__(name, bases, namespace)

    class Named:
        def __set_name__(self, owner, name):
            note(("named", name))
            self.name = name

    class Plugin(metaclass=Meta):
        field = Named()

        def __init_subclass__(cls, *, key, **rest):
            note(("plugged in", key))
            cls.key = key
            super().__init_subclass__(**rest)

    class Mine(Plugin, key=7):
        pass

    class Small(Plugin, key=8):
        __slots__ = ("a", "__b")

        def __init__(self):
            self.a, self.__b = 1, 2

        def both(self):
            return self.a, self.__b

    await step(1)
    return Mine.key, Mine.field.name, type(Mine) is Meta, Mine.__bases__ == (Plugin,), Small().both(), Small.__slots__


@everywhere()
async def test_slots_properties_and_wrapped_methods():
    class Point:
        __slots__ = ("__dict__", "x")
        shared = 1

        def __init__(self, x):
            self.x = x

        @property
        def double(self):
            """Twice."""
            return self.x * 2

        @double.setter
        def double(self, value):
            self.x = value // 2

        @classmethod
        def origin(cls):
            return cls(0)

        @staticmethod
        def unit():
            return Point(1)

    point = Point(3)
    point.extra = "e"
    await step(1)
    point.double = 8
    await step(2)
    return point.x, point.double, point.extra, Point.double.__doc__, Point.origin().x, Point.unit().x, Point.__slots__


@everywhere()
async def test_abstract_classes_and_what_is_registered():
    class Shape(abc.ABC):
        @abc.abstractmethod
        def area(self): ...

    class Square(Shape):
        def area(self):
            return 4

    class Foreign:
        pass

    Shape.register(Foreign)
    await step(1)
    try:
        Shape()
    except TypeError as error:
        failed = "abstract" in str(error)
    return failed, Square().area(), isinstance(Foreign(), Shape), isinstance(3, Shape)


@everywhere()
async def test_generic_classes():
    class Box(Generic[T]):
        def __init__(self, held: T) -> None:
            self.held = held

    await step(1)
    return Box[int](3).held, Box.__parameters__ == (T,), Box[int].__origin__ is Box


@everywhere()
async def test_enums():
    class Colour(enum.Enum):
        RED = 1
        GREEN = 2

        def next(self):
            return Colour(self.value % 2 + 1)

    red = Colour.RED
    await step(1)
    return red is Colour.RED, red.next() is Colour.GREEN, list(Colour)[1].name


@everywhere()
async def test_a_class_that_says_it_is_another():
    class Fake(str):
        __class__ = types.SimpleNamespace

    await step(1)
    return isinstance(Fake("x"), types.SimpleNamespace), Fake("x").upper()


@everywhere()
async def test_instances_go_when_the_last_name_goes():
    alive = []

    class Counted:
        def __init__(self):
            alive.append(1)

        def __del__(self):
            alive.pop()

    one = Counted()
    two = [one]
    await step(1)
    del one
    await step(2)
    two.clear()
    return len(alive)


@everywhere()
async def test_views_and_proxies_go_on_showing_their_mapping():
    shown = {"a": 1}
    keys, values, items = shown.keys(), shown.values(), shown.items()
    proxy = types.MappingProxyType(shown)
    await step(1)
    shown["b"] = 2
    await step(2)
    return list(keys), list(values), list(items), dict(proxy)


@everywhere()
async def test_dataclasses():
    @dataclasses.dataclass
    class Order:
        number: int
        lines: list = dataclasses.field(default_factory=list)
        note: str = "none"

        def size(self):
            return len(self.lines)

    @dataclasses.dataclass(frozen=True, order=True)
    class Version:
        major: int
        minor: int = dataclasses.field(default=0, compare=False)

    order = Order(1)
    await step(1)
    order.lines.append(await step(2))
    assert Version(1) < Version(2)
    return order == Order(1, [2]), order.size(), repr(order), [f.name for f in dataclasses.fields(Order)]


@everywhere()
async def test_dataclasses_with_slots_and_bases():
    @dataclasses.dataclass(slots=True, kw_only=True)
    class Base:
        a: int
        b: int = 2

    @dataclasses.dataclass
    class Derived(Base):
        c: int = dataclasses.field(default=3, repr=False)
        kinds: typing.ClassVar[list] = []

        def __post_init__(self):
            self.kinds.append(self.c)

    held = Derived(a=1)
    await step(1)
    other = Derived(4, a=0)
    return repr(held), repr(other), held == Derived(a=1), Derived.kinds, Base(a=1).__slots__, Base(a=5).b


@everywhere()
async def test_named_tuples():
    Pair = collections.namedtuple("Pair", "x y", defaults=[5])

    class Named(typing.NamedTuple):
        a: int
        b: str = "b"

        def both(self):
            return f"{self.a}{self.b}"

    pair, named = Pair(1), Named(2)
    await step(1)
    return pair, pair.y, Pair(3)._replace(x=4), named.both(), Named(7).b, named._asdict(), type(named) is Named


@everywhere()
async def test_a_class_that_was_registered_with_an_abstract_one_stays_so():
    class Parent:
        pass

    class Child(Parent):
        pass

    def kind(subject):
        match subject:
            case {}:
                return "mapping"
            case [*_]:
                return "sequence"

    found = [kind(Child())]
    await step("defined")
    collections.abc.Mapping.register(Parent)
    await step("registered")

    class Late(Parent):
        pass

    await step("defined another")
    return found, kind(Parent()), kind(Child()), kind(Late()), isinstance(Late(), collections.abc.Mapping)


@everywhere()
async def test_the_order_of_bases_is_not_asked_for_again():
    class Meta(type):
        def mro(cls):
            note(("mro", cls.__name__))
            return [cls, *reversed(cls.__bases__), object] if cls.__bases__ != (object,) else super().mro()

    class First:
        name = "first"

    class Second:
        name = "second"

    class Both(First, Second, metaclass=Meta):
        pass

    class Plain(metaclass=Meta):
        pass

    await step(1)
    return Both().name, Both.__mro__[1] is Second, type(Both) is Meta, type(Plain()) is Plain, len(Plain.__mro__)


class Point(tuple):
    """Is made from its two parts."""

    def __new__(cls, x, y):
        return super().__new__(cls, (x, y))


class Named:
    """Cannot be made without a name."""

    def __new__(cls, name):
        made = super().__new__(cls)
        made.name = name
        return made


@everywhere()
async def test_an_object_that_was_made_is_not_made_again():
    class Counted:
        count = 0

        def __new__(cls, *args):
            cls.count += 1
            note(("made", cls.count))
            return super().__new__(cls)

    class Reversed(list):
        def __new__(cls, items):
            note("made a list")
            return super().__new__(cls)

        def __init__(self, items):
            super().__init__(reversed(items))

    objects = [Counted(), Counted(1)]
    numbers, point, named = Reversed([1, 2, 3]), Point(1, 2), Named("it")
    await step(1)
    objects.append(Counted())
    await step(2)
    return Counted.count, len(objects), numbers, type(numbers).__name__, point, type(point), named.name


@everywhere()
async def test_what_is_set_on_a_method_that_is_no_function():
    made = classmethod(lambda cls: cls.__name__)
    made.mark = 1
    await step(1)

    class Owner:
        method = made

    await step(2)
    return made.mark, Owner.method(), vars(Owner)["method"].mark


@everywhere()
async def test_type_variables_of_a_function():
    Item = TypeVar("Item", bound=int)
    Words = typing.ParamSpec("Words")

    def first(items: list[Item], call: typing.Callable[Words, Item]) -> Item:
        return items[0]

    class Box(Generic[Item]):
        item: Item

    first.__type_params__ = Item, Words
    await step(1)
    hints = typing.get_type_hints(first)
    same = [hints["return"] is Item, hints["items"] == list[Item], Box.__parameters__ == (Item,)]
    await step(2)
    return same, first.__type_params__ == (Item, Words), Item.__bound__, repr(Item), repr(Words), Box[bool].__args__


class Noted(dict):
    """Notes its keys, in a list that it has from the beginning."""

    def __init__(self):
        self.noted = []

    def __setitem__(self, key, value):
        self.noted.append(key)
        super().__setitem__(key, value)


class Doubled(list):
    """Whatever is appended to it is there twice."""

    def append(self, item):
        super().extend([item, item])

    def extend(self, items):
        for item in items:
            self.append(item)


@everywhere()
async def test_what_was_put_into_a_list_or_dictionary_is_not_put_there_again():
    noted, doubled = Noted(), Doubled()
    noted["a"] = doubled.mark = noted
    doubled.append(1)
    await step(1)
    noted["b"] = 2
    doubled.extend([doubled])
    await step(2)
    same = [noted["a"] is noted, doubled.mark is noted, doubled[2] is doubled]
    return noted.noted, [*noted], len(doubled), doubled[:2], same, type(noted), type(doubled)


@everywhere()
async def test_frozen_dataclasses_with_slots():
    @dataclasses.dataclass(frozen=True, slots=True, order=True)
    class Version:
        major: int
        notes: list = dataclasses.field(default_factory=list, compare=False)

    known = {Version(1): "first", Version(2, ["n"]): "second"}
    await step(1)
    found = known[Version(2)]
    await step(2)
    return found, [version.notes for version in known], max(known) == Version(2), repr(max(known))


@everywhere()
async def test_subclasses_of_generic_classes_that_are_local_too():
    T = TypeVar("T")

    class First(Generic[T]):
        pass

    class Second:
        def __init_subclass__(cls, **options):
            note(("hooked", cls.__name__, options))

    class Both(First[int], Second, option=1):
        pass

    class Below(Both, option=2):
        __slots__ = ("held",)

    class Listed(list, First[lambda: note("called")]):
        pass

    below, listed = Below(), Listed([1])
    below.held = listed
    await step(1)
    (called,) = Listed.__orig_bases__[1].__args__
    return Below.__mro__[1] is Both, isinstance(below, First), below.held is listed, called(), Both.__parameters__


@everywhere()
async def test_annotations_that_name_what_is_not_there_yet():
    class Node:
        following: "Node | None"
        weight: int = 1

    def weigh(node: Node, unit: "Unit") -> int:  # noqa: F821 - known to type checkers only
        return node.weight

    await step(1)
    return [*Node.__annotations__], weigh(Node()), [*weigh.__annotations__.items()][1:]
