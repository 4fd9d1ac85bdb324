"""A grammar of programs, as hypothesis strategies: statements of every kind with awaits anywhere.

What a program calls logs its effects (see `tests.effects`).  Values are small integers, so that most
programs get far; errors are welcome, they only have to be the same each time.  No program sees when an
iterator that it has dropped is closed: that is a matter of garbage, and comes later than in plain code.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy], object]

VARIABLES = ("a", "b", "c", "d")
ERRORS = ("ValueError", "KeyError", "IndexError")


@dataclass(frozen=True)
class Place:
    """Where a statement stands."""

    depth: int = 0
    awaits: bool = True
    in_loop: bool = False
    in_handler: bool = False
    in_star: bool = False
    """In a handler of ``except*``, which cannot be left by return, break or continue."""
    yields: bool = False
    binds: bool = True
    """Whether ``:=`` may stand here."""
    variables: tuple[str, ...] = VARIABLES

    def inner(self, **changes) -> "Place":
        return replace(self, depth=self.depth + 1, **changes)


class Writer:
    """Writes one program, choice by choice."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._names = 0
        self._budget = 22

    def pick(self, *options):
        return self._draw(st.sampled_from(options))

    def chance(self, percent: int) -> bool:
        return self._draw(st.integers(0, 99)) >= 100 - percent  # shrinks to no

    def fresh(self, prefix: str) -> str:
        self._names += 1
        return f"{prefix}{self._names}"

    # expressions

    def expression(self, place: Place, depth: int = 0) -> str:
        if depth > 2 or self.chance(35):
            return self.atom(place)
        write = self.pick(
            self.awaited, self.awaited, self.binary, self.compared, self.chained, self.either, self.both, self.chosen,
            self.called, self.walrus, self.text, self.item, self.summed, self.summed_later, self.unpacked, self.applied,
            self.crossed,
        )  # fmt: skip
        return write(place, depth + 1)

    def atom(self, place: Place) -> str:
        return self.pick(*place.variables, "1", "2", "3")

    def awaited(self, place: Place, depth: int) -> str:
        if not place.awaits:
            return f"note({self.expression(place, depth)})"
        function = self.pick("step", "step", "turn")
        return f"(await {function}({self.expression(place, depth)}))"

    def binary(self, place: Place, depth: int) -> str:
        return f"({self.expression(place, depth)} {self.pick('+', '-', '*')} {self.expression(place, depth)})"

    def compared(self, place: Place, depth: int) -> str:
        return f"({self.expression(place, depth)} {self.pick('<', '==', '>=')} {self.expression(place, depth)})"

    def chained(self, place: Place, depth: int) -> str:
        a, b, c = (self.expression(place, depth) for _ in range(3))
        return f"({a} < {b} <= {c})"

    def either(self, place: Place, depth: int) -> str:
        return f"({self.expression(place, depth)} or {self.expression(place, depth)})"

    def both(self, place: Place, depth: int) -> str:
        return f"({self.expression(place, depth)} and {self.expression(place, depth)})"

    def chosen(self, place: Place, depth: int) -> str:
        a, b, c = (self.expression(place, depth) for _ in range(3))
        return f"({a} if {b} else {c})"

    def called(self, place: Place, depth: int) -> str:
        a, b, c = (self.expression(place, depth) for _ in range(3))
        return f"total({a}, *[{b}, 1], k={c})"

    def walrus(self, place: Place, depth: int) -> str:
        value = self.expression(place, depth)
        return f"({self.pick(*VARIABLES)} := {value})" if place.binds else value

    def text(self, place: Place, depth: int) -> str:
        parts = [self.expression(place, depth) for _ in range(2)]
        first, second = ("1" if "'" in part else part for part in parts)  # no quote inside a quote before 3.12
        return f"len(f'{{({first})}}:{{({second})!r:>3}}')"

    def item(self, place: Place, depth: int) -> str:
        a, b = self.expression(place, depth), self.expression(place, depth)
        return self.pick(
            f"[{a}, {b}][{self.atom(place)} % 2]",
            f"{{1: {a}, **{{2: {b}}}}}[2]",
            f"(0, {a}, {b})[-1:][0]",
            f"len([1, 2, 3][{a}:{b}])",
        )

    def crossed(self, place: Place, depth: int) -> str:
        """A comprehension with two loops."""
        first, second = self.fresh("e"), self.fresh("e")
        outside = self.expression(replace(place, binds=False), depth + 1)
        middle = replace(place, binds=False, variables=(*place.variables, first))
        inner = replace(place, variables=(*middle.variables, second))
        loops = f"for {first} in [1, {outside}] for {second} in [{first}, {self.expression(middle, depth + 1)}]"
        element = self.expression(inner, depth + 1)
        return self.pick(
            f"sum([{element} {loops}])", f"len({{{element}: {self.expression(inner, depth + 1)} {loops}}})"
        )

    def summed(self, place: Place, depth: int) -> str:
        name = self.fresh("e")
        inner = replace(place, variables=(*place.variables, name))
        test = f" if {self.expression(inner, depth + 1)}" if self.chance(30) else ""
        first = f"[1, {self.expression(replace(place, binds=False), depth + 1)}, 2]"
        opened, closed = self.pick(
            ("sum([", "])"), ("len({", "})"), ("sum({", ": 1}.keys())") if not test else ("sum([", "])")
        )
        if closed.startswith(":"):
            return f"sum({{{self.expression(inner, depth + 1)}: {name} for {name} in {first}}}.values())"
        return f"{opened}{self.expression(inner, depth + 1)} for {name} in {first}{test}{closed}"

    def summed_later(self, place: Place, depth: int) -> str:
        """A generator expression; the user's own async generators and iterators, in a comprehension."""
        name = self.fresh("e")
        inner = replace(place, awaits=False, variables=(*place.variables, name))
        if place.awaits and self.chance(50):
            source = self.pick("agenerated", "Steps")
            return (
                f"sum([{self.expression(replace(inner, awaits=True), depth + 1)} async for {name} in {source}(1, 2)])"
            )
        first = self.expression(replace(place, binds=False), depth)
        return f"sum({self.expression(inner, depth + 1)} for {name} in (1, {first}))"

    def unpacked(self, place: Place, depth: int) -> str:
        return f"max([*[{self.expression(place, depth)}, 0], {self.expression(place, depth)}])"

    def applied(self, place: Place, depth: int) -> str:
        name = self.fresh("p")
        inner = replace(place, awaits=False, binds=False, variables=(*place.variables, name))
        return f"(lambda {name}={self.expression(place, depth)}: {self.expression(inner, depth + 1)})()"

    # statements

    def block(self, place: Place) -> list[str]:
        lines: list[str] = []
        for _ in range(self.pick(1, 1, 2, 3)):
            lines += self.statement(place)
            if lines[-1].split()[0] in ("return", "raise", "break", "continue"):
                break
        return lines

    def statement(self, place: Place) -> list[str]:
        self._budget -= 1
        simple = [
            self.assign,
            self.assign,
            self.evaluate,
            self.evaluate,
            self.augment,
            self.unpack,
            self.leave,
            self.fail,
            self.asserted,
        ]
        if place.depth >= 4 or self._budget < 0:
            return self.pick(*simple)(place)
        compound = [
            self.branch, self.loop, self.loop, self.repeat, self.attempt, self.attempt, self.attempt_finally, self.attempt_finally,
            self.managed, self.matched, self.defined, self.closure, self.generator, self.local_class, self.split,
            self.dropped, self.iterator, self.functions, self.looked_at,
        ]  # fmt: skip
        if place.awaits:
            compound += [self.loop_later, self.managed_later, self.generator_later, self.iterator_later]
        return self.pick(*simple, *compound)(place)

    def assign(self, place: Place) -> list[str]:
        return [f"{self.pick(*VARIABLES)} = {self.expression(place)}"]

    def evaluate(self, place: Place) -> list[str]:
        return [f"note({self.expression(place)})"]

    def augment(self, place: Place) -> list[str]:
        target = self.pick(*VARIABLES, f"xs[{self.expression(place, 2)} % 2]", "xs[0:1]")
        value = self.expression(place)
        return [f"{target} += [{value}]" if target == "xs[0:1]" else f"{target} {self.pick('+', '*')}= {value}"]

    def unpack(self, place: Place) -> list[str]:
        first, second = self.pick(
            ("a", "b"), ("c", "*d"), ("xs[0]", "a"), ("b", f"xs[{self.expression(place, 2)} % 2]")
        )
        lines = [f"{first}, {second} = {self.expression(place)}, {self.expression(place)}"]
        return [*lines, "d = len(d)"] if second == "*d" else lines

    def leave(self, place: Place) -> list[str]:
        ways = [f"note({self.expression(place)})"]
        if not place.in_star:
            ways.append("return" if place.yields else f"return {self.expression(place)}")
            if place.in_loop:
                ways += ["break", "continue", "break", "continue"]
        return [self.pick(*ways)]

    def fail(self, place: Place) -> list[str]:
        error = f"{self.pick(*ERRORS)}({self.atom(place)})"
        ways = [f"raise {error}", f"raise {error} from None", f"raise {error} from {self.pick(*ERRORS)}(7)"]
        if place.awaits:
            ways += [f"await fail({error})", f"raise {self.pick(*ERRORS)}({self.expression(place)})"]
        if place.in_handler:
            ways += ["raise", "raise"]
        return [self.pick(*ways)]

    def asserted(self, place: Place) -> list[str]:
        name = self.fresh("x")
        lines = ["try:", f"    assert {self.expression(place)}, {self.expression(place)}"]
        return [*lines, f"except AssertionError as {name}:", f"    note(str({name}))"]

    def dropped(self, place: Place) -> list[str]:
        """A variable that is not bound for a while."""
        name, error = self.fresh("v"), self.fresh("x")
        lines = [f"{name} = {self.expression(place)}", f"del {name}", *self.block(place.inner())]
        lines += ["try:", f"    note({name})", f"except UnboundLocalError as {error}:", f"    note(str({error}))"]
        return [*lines, f"{name} = 1", *self.evaluate(place), f"note({name})"]

    def looked_at(self, place: Place) -> list[str]:
        return ["note(sorted(locals()))", *self.block(place.inner())]

    def iterator(self, place: Place) -> list[str]:
        """An iterator of Python's own that is held while other things happen."""
        held = self.fresh("h")
        made = self.pick(
            "iter([1, 2, 3])", "iter(xs)", "zip([1, 2, 3], xs * 2)", "map(note, [1, 2, 3])", "filter(None, [1, 0, 2, 3])",
            "enumerate([4, 5, 6])", "reversed([1, 2, 3])", "iter({1: 2, 3: 4, 5: 6}.items())", "iter('abc')",
            "itertools.chain([1], [2, 3])", "itertools.islice([1, 2, 3, 4], 1, 4)", "itertools.accumulate([1, 2, 3])",
            "itertools.pairwise([1, 2, 3])", "itertools.product([1, 2], [3])", "itertools.zip_longest([1, 2], [3])",
        )  # fmt: skip
        going = f"note(next({held}, None))"
        return [
            f"{held} = {made}",
            going,
            *self.block(place.inner()),
            going,
            *self.evaluate(place),
            f"note(list({held}))",
        ]

    def iterator_later(self, place: Place) -> list[str]:
        """An async generator that is driven by hand."""
        held = self.fresh("h")
        going = f"note(await {self.pick('anext({})', '{}.asend(None)', '{}.__anext__()').format(held)})"
        rest = f"note([e async for e in {held}])"
        return [f"{held} = agenerated(1, 2, 3)", going, *self.block(place.inner()), going, rest]

    def functions(self, place: Place) -> list[str]:
        """Functions made in a loop, called later."""
        name, kept = self.fresh("p"), self.fresh("k")
        inner = Place(4, awaits=False, binds=False, variables=(*VARIABLES, name, "q"))
        made = f"{kept}.append(lambda q={name}: {self.expression(inner, 1)})"
        later = f"note([function() for function in {kept}])"
        return [f"{kept} = []", f"for {name} in (1, 2):", *indented([made]), *self.block(place.inner()), later]

    def branch(self, place: Place) -> list[str]:
        lines = [f"if {self.expression(place)}:", *indented(self.block(place.inner()))]
        if self.chance(30):
            lines += [f"elif {self.expression(place)}:", *indented(self.block(place.inner()))]
        return lines + self._otherwise(place, 40)

    def _otherwise(self, place: Place, percent: int) -> list[str]:
        return ["else:", *indented(self.block(place.inner()))] if self.chance(percent) else []

    def loop(self, place: Place) -> list[str]:
        target, source = self.pick(
            ("a", "[1, 2]"), ("b", "range(2)"), ("c", "(note(e) for e in [1, 2])"), ("(a, b)", "enumerate([3, 4])"),
            ("(c, d)", "zip([1, 2], (3, 4))"), ("d", "{1: 2, 3: 4}"), ("a", "reversed([1, 2])"), ("xs[0]", "iter([1, 2])"),
            ("b", f"[{self.expression(place)}, {self.expression(place)}]"), ("c", "map(note, [1, 2])"),
        )  # fmt: skip
        body = self.block(place.inner(in_loop=True))
        return [f"for {target} in {source}:", *indented(body), *self._otherwise(place, 30)]

    def repeat(self, place: Place) -> list[str]:
        name = self.fresh("n")
        body = [f"{name} += 1", *self.block(place.inner(in_loop=True))]
        test = f"while {name} < 2 and {self.expression(place)}:"
        return [f"{name} = 0", test, *indented(body), *self._otherwise(place, 30)]

    def loop_later(self, place: Place) -> list[str]:
        source = self.pick("Steps(1, 2)", "agenerated(1, 2)")
        body = self.block(place.inner(in_loop=True))
        return [f"async for {self.pick(*VARIABLES)} in {source}:", *indented(body), *self._otherwise(place, 30)]

    def attempt(self, place: Place) -> list[str]:
        lines = ["try:", *indented(self.block(place.inner()))]
        for _ in range(self.pick(1, 1, 2)):
            name = self.fresh("x") if self.chance(50) else None
            kinds = self.pick(*ERRORS, f"({ERRORS[0]}, {ERRORS[1]})", "Exception")
            if place.awaits and self.chance(10):
                kinds = f"(await step({kinds}))"
            noted = [f"note(str({name}))"] if name else []
            body = [*noted, *self.block(place.inner(in_handler=True))]
            lines += [f"except {kinds}{f' as {name}' if name else ''}:", *indented(body)]
        return lines + self._otherwise(place, 30)

    def attempt_finally(self, place: Place) -> list[str]:
        lines = ["try:", *indented(self.block(place.inner()))]
        if self.chance(40):
            lines += [f"except {self.pick(*ERRORS)}:", *indented(self.block(place.inner(in_handler=True)))]
        return [*lines, "finally:", *indented(self.block(place.inner()))]

    def split(self, place: Place) -> list[str]:
        inside = place.inner()
        group = f"raise ExceptionGroup('g', [{self.pick(*ERRORS)}(1), {self.pick(*ERRORS)}({self.expression(place)})])"
        lines = ["try:", *indented(self.block(inside)), *indented([group])]
        handler = place.inner(in_star=True, in_loop=False, in_handler=True)
        for kind in self.pick(ERRORS[:1], ERRORS[:2]):
            name = self.fresh("x")
            named, noted = self.pick(("", []), (f" as {name}", [f"note(len({name}.exceptions))"]))
            lines += [f"except* {kind}{named}:", *indented([*noted, *self.block(handler)])]
        return [*lines, "finally:", *indented(self.block(inside))] if self.chance(20) else lines

    def managed(self, place: Place) -> list[str]:
        if self.chance(30):
            return [f"with managed('{self.fresh('m')}'):", *indented(self.block(place.inner()))]
        items = [self._manager("Manager", place) for _ in range(self.pick(1, 1, 2))]
        return [f"with {', '.join(items)}:", *indented(self.block(place.inner()))]

    def managed_later(self, place: Place) -> list[str]:
        items = [self._manager("AsyncManager", place) for _ in range(self.pick(1, 1, 2))]
        return [f"async with {', '.join(items)}:", *indented(self.block(place.inner()))]

    def _manager(self, kind: str, place: Place) -> str:
        swallow = f", {self.pick(*ERRORS)}" if self.chance(30) else ""
        target = f" as xs[{self.expression(place, 2)} % 2]" if self.chance(20) else ""
        return f"{kind}('{self.fresh('m')}'{swallow}){target}"

    def matched(self, place: Place) -> list[str]:
        subject = f"[{self.expression(place)}, {self.expression(place)}]"
        lines = [f"match {subject}:"]
        for pattern in self.pick(
            ("[1, a]", "[b, 2]"),
            ("[c, d]",),
            ("[True | 1, _]", "[int(), a]"),
            ("[a, *_]",),
            ("[int(a), (1 | 2) as b]", "[1, c] | [c, 2]"),
            ("[_, a] as b",),
        ):
            kept = ["b = len(b)"] if pattern.endswith("] as b") else []
            guard = f" if {self.expression(place)}" if self.chance(60) else ""
            lines += indented([f"case {pattern}{guard}:", *indented([*kept, *self.block(place.inner())])])
        return lines if not self.chance(40) else [*lines, *indented(["case _:", *indented(self.block(place.inner()))])]

    def defined(self, place: Place) -> list[str]:
        """A function of its own that awaits, called at once."""
        name, argument = self.fresh("f"), self.expression(place)
        later = place.awaits and self.chance(70)
        inner = Place(place.depth + 1, awaits=later)
        first, second = (self.expression(place, 2) if self.chance(30) else "0" for _ in range(2))
        decorated = [f"@decorated({self.expression(place, 2)})"] if self.chance(20) else []
        head = f"{'async ' if later else ''}def {name}(a, b={first}, *c, d={second}):"
        body = ["c = len(c)", "xs = [a, b]", *self.block(inner)]
        value = f"{'await ' if later else ''}{name}({argument}, 2, 3)"
        return [*decorated, head, *indented(body), f"note({value})"]

    def closure(self, place: Place) -> list[str]:
        """A function that shares a variable, called before and after something else."""
        name, shared = self.fresh("f"), self.fresh("s")
        later = place.awaits and self.chance(50)
        inner = Place(4, awaits=later)
        body = [f"nonlocal {shared}", f"{shared} += {self.pick('p', 'await step(p)' if later else 'note(p)')}"]
        body += ["a = b = c = d = 0", f"note({self.expression(inner, 1)})", f"return {shared}"]
        call = f"note({'await ' if later else ''}{name}({{}}))"
        return [
            f"{shared} = {self.expression(place)}",
            f"{'async ' if later else ''}def {name}(p):",
            *indented(body),
            call.format(1),
            *self.block(place.inner()),
            call.format(shared),
        ]

    def generator(self, place: Place) -> list[str]:
        """A generator that is held while other things happen."""
        name, held = self.fresh("g"), self.fresh("h")
        loop = ["for p in (1, 2, 3):", *indented([f"q = yield p + {self.pick('1', 'len(xs)')}", "note(q)"])]
        if self.chance(40):
            loop = ["try:", *indented(loop), "except ValueError:", *indented(["note('caught')", "yield 9"])]
        if self.chance(30):
            loop = ["def inner():", *indented([*loop, "return 8"]), "note((yield from inner()))", "yield 7"]
        if self.chance(30):
            loop = ["try:", *indented(loop), "finally:", "    q = None"]
        going = [f"note(next({held}, None))", f"note({held}.send(4))"]
        if self.chance(30):
            going[1] = f"note({held}.throw(ValueError(1)))"
        return [
            f"def {name}():",
            *indented(loop),
            f"{held} = {name}()",
            going[0],
            *self.block(place.inner()),
            going[1],
            *self.evaluate(place),
            f"note(list({held}))",
        ]

    def generator_later(self, place: Place) -> list[str]:
        """An async generator of the program's own, iterated over."""
        name = self.fresh("g")
        inner = Place(place.depth + 2, yields=True)
        body = [
            "a = b = c = d = 1",
            *self.block(inner),
            "yield a",
            *self.block(inner),
            f"yield {self.expression(inner)}",
        ]
        use = self.block(place.inner(in_loop=True))
        return [f"async def {name}():", *indented(body), f"async for a in {name}():", *indented(use)]

    def local_class(self, place: Place) -> list[str]:
        name, made = self.fresh("C"), self.fresh("o")
        inner = Place(4, awaits=False)
        later = "async " if place.awaits else ""
        result = "await step(self.value)" if place.awaits else "self.value"
        lines = [f"class {name}:", f"    kind = {self.expression(replace(place, binds=False, awaits=False))}"]
        lines += indented([f"def __init__(self, a, b=1, c=2, d=3): self.value = {self.expression(inner, 1)}"])
        lines += indented(["def __own(self): return super().__getattribute__('value')"])
        lines += indented([f"{later}def work(self): return {result} + self.kind + self.__own()"])
        call = f"note({'await ' if place.awaits else ''}{made}.work())"
        return [*lines, f"{made} = {name}({self.expression(place)})", *self.block(place.inner()), call]


def indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


_PRELUDE = """import contextlib, itertools
from tests.effects import *
def total(*values, k): return sum(values) + k
def decorated(value): note(value); return lambda function: function
@contextlib.contextmanager
def managed(name):
    note(name)
    try: yield name
    finally: note(name)
"""


@st.composite
def programs(draw: Draw) -> str:
    """The text of a module with an async function called `program`."""
    writer = Writer(draw)
    lines = ["a, b, c, d = 1, 2, 3, 4", "xs = [5, 6]", "await step(0)"]
    for _ in range(writer.pick(1, 2, 3, 4)):
        lines += writer.statement(Place())
    lines += ["return a, b, c, d, xs"]
    return _PRELUDE + "\n".join(["async def program():", *indented(lines)]) + "\n"
