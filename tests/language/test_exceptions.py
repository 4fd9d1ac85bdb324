"""Exceptions, handlers and ``finally`` around awaits.  PYTEST_DONT_REWRITE"""

import contextlib
import sys
import threading
import traceback
import warnings
import weakref

import durable_ast
from durable_ast import DurableBackend, InMemoryStateStore, NotPersistableWarning, make_durable
from tests.effects import fail, fail_later, nested, note, step, turn
from tests.everywhere import everywhere


class Custom(Exception):
    """Needs more arguments than its text."""

    def __init__(self, code, *, detail) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail


@everywhere()
async def test_try_except_else_finally():
    out = []
    for case in ("fine", "key", "value"):
        try:
            await step(case)
            if case == "key":
                raise KeyError(case)
            if case == "value":
                await fail(ValueError(case))
        except KeyError as error:
            out.append(await step(repr(error)))
        except (ValueError, TypeError) as error:
            out.append(await step(str(error)))
        else:
            out.append(await step("else"))
        finally:
            out.append(await step("finally"))
    return out


async def tried(case):
    try:
        await fail_later(ValueError(case))
    except ValueError as error:
        return await step(str(error))


@everywhere()
async def test_a_step_that_fails_after_it_has_waited():
    return [await tried("one"), await tried("two")]


@everywhere()
async def test_an_exception_that_is_not_caught():
    try:
        await fail(Custom(7, detail="why"))
    finally:
        await step("cleanup")


@everywhere()
async def test_a_custom_exception_in_its_handler():
    try:
        await fail(Custom(7, detail=[1, 2]))
    except Custom as error:
        await step("handling")
        await turn("still")
        return error.code, error.detail, str(error), error.args


@everywhere()
async def test_bare_raise_after_a_resume():
    try:
        try:
            await fail(KeyError("inner"))
        except KeyError:
            await step("cleanup")
            raise
    except KeyError as error:
        await step("outer")
        return error.args, [(f.name, f.lineno) for f in traceback.extract_tb(error.__traceback__)][:1]


@everywhere()
async def test_contexts_and_causes():
    try:
        try:
            try:
                1 / 0
            except ZeroDivisionError as first:
                await step(1)
                raise ValueError("second") from first
        except ValueError:
            await step(2)
            raise TypeError("third") from None
    except TypeError as error:
        await step(3)
        return (
            repr(error.__cause__),
            repr(error.__context__),
            repr(error.__context__.__cause__),
            error.__suppress_context__,
        )


@everywhere()
async def test_implicit_context_after_a_resume():
    try:
        raise KeyError("a")
    except KeyError:
        await step(1)
        try:
            {}["b"]
        except KeyError as inner:
            await step(2)
            return repr(inner.__context__), repr(sys.exc_info()[1])


@everywhere()
async def test_exc_info():
    out = [sys.exc_info()[1]]
    try:
        raise ValueError("x")
    except ValueError as error:
        await step(1)
        out.append(sys.exc_info()[1] is error)
        try:
            await fail(KeyError("y"))
        except KeyError as inner:
            await step(2)
            out.append(sys.exc_info()[1] is inner)
        await step(3)
        out.append(sys.exc_info()[1] is error)
    await step(4)
    return out, sys.exc_info()[1]


@everywhere()
async def test_the_name_of_a_handler_is_deleted():
    error = "before"
    try:
        await fail(ValueError("x"))
    except ValueError as error:
        await step(str(error))
        error = "rebound"
        await step(error)
    try:
        return error
    except UnboundLocalError as problem:
        return str(problem)


@everywhere()
async def test_notes_and_attributes():
    error = OSError(2, "no such file", "name.txt")
    error.add_note("a note")
    error.extra = {"k": 1}
    try:
        await fail(error)
    except FileNotFoundError as caught:
        await step(1)
        return caught.errno, caught.filename, caught.strerror, caught.__notes__, caught.extra, str(caught)
    except OSError as caught:
        await step(2)
        return caught.errno, caught.filename, caught.strerror, caught.__notes__, caught.extra, str(caught)


@everywhere()
async def test_exceptions_that_refer_to_each_other():
    try:
        try:
            raise ValueError("a")
        except ValueError as error:
            first = error
            await step(1)
            raise KeyError("b") from error
    except KeyError as error:
        error.itself, first.other = error, error
        first.args = ("a", [error])
        await step(2)
        try:
            raise error.__cause__
        except ValueError as again:
            await step(3)
            links = again.other.itself is again.other, again.args[1][0] is again.other, again.__context__ is error
            return again is first, links, repr(again.__context__.__cause__ is again)


@everywhere()
async def test_groups_in_groups():
    """Each has all below it, which are not looked at once more for every level."""
    group = ValueError("leaf", sys.intern)
    for level in range(40):
        group = ExceptionGroup(str(level), [group])
    first = ValueError("with what cannot be saved", threading.Lock())
    for level in range(40):
        first = ExceptionGroup(str(level), [first])
    await step(1)
    names = []
    for each in (group, first):
        while isinstance(each, ExceptionGroup):
            names.append(each.message)
            (each,) = each.exceptions
        names.append((type(each), each.args[0]))
    return names


async def test_groups_that_are_too_deep_to_be_saved_end_nothing():
    @make_durable
    async def program():
        group = ValueError("leaf")
        for level in range(20_000):
            group = ExceptionGroup(str(level), [group])
        await step(1)
        return group.message

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotPersistableWarning)
        backend = DurableBackend(InMemoryStateStore())
        assert await program(orchestration_backend=backend, instance_id="it") == "19999"


@everywhere()
async def test_builtin_fields_of_exceptions():
    out = []
    for error in (
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        ImportError("no", name="mod", path="p"),
        StopAsyncIteration("value"),
        SystemExit(3) and ValueError("plain"),
        SyntaxError("msg", ("f.py", 1, 2, "text")),
    ):
        try:
            await fail(error)
        except Exception as caught:
            await step(type(caught).__name__)
            names = ("start", "reason", "name", "path", "value", "lineno", "filename")
            out.append((str(caught), [getattr(caught, name, None) for name in names]))
    return out


@everywhere()
async def test_finally_after_every_way_out():
    out = []

    async def leave(how):
        for turn_ in range(2):
            try:
                await step((how, turn_))
                if how == "return":
                    return await step("returned")
                if how == "break":
                    break
                if how == "continue":
                    continue
                if how == "raise":
                    raise KeyError(how)
                if how == "step":
                    await fail(KeyError(how))
            finally:
                await step(("finally", how))
                await turn("still finally")
        else:
            await step("loop ended")
        return "fell through"

    for how in ("end", "return", "break", "continue", "raise", "step"):
        try:
            out.append(await leave(how))
        except KeyError as error:
            out.append(repr(error))
    return out


@everywhere()
async def test_finally_overrides():
    async def override(how):
        while True:
            try:
                try:
                    if how == "swallow":
                        raise KeyError
                    if how == "return":
                        return "first"
                    await step(how)
                finally:
                    await step("inner finally")
                    if how == "swallow":
                        break
                    if how == "return":
                        return await step("second")
                    if how == "raise":
                        raise ValueError("from finally")
            finally:
                await step("outer finally")
            return "end"
        return "broke"

    out = []
    for how in ("end", "swallow", "return", "raise"):
        try:
            out.append(await override(how))
        except ValueError as error:
            out.append((str(error), repr(error.__context__)))
    return out


@everywhere()
async def test_finally_after_a_swallowed_way_out():
    """What a way out that was swallowed has left behind must not be taken for the next one."""
    log = []
    for i in range(3):
        try:
            while True:
                try:
                    if i == 0:
                        return_later = "no"
                        raise KeyError
                    if i == 1:
                        break
                    await step("normal")
                finally:
                    await step(("inner", i))
                    if i != 2:
                        break
                break
            log.append(await step(i))
        finally:
            await step(("outer", i))
    return log, return_later


@everywhere()
async def test_a_suspending_finally_in_a_handler():
    try:
        try:
            raise KeyError("one")
        except KeyError:
            try:
                await step(1)
            finally:
                await step(2)
            raise
        finally:
            await step(3)
    except KeyError as error:
        return repr(error), repr(error.__context__)


@everywhere()
async def test_an_awaited_exception_type():
    out = []
    for error in (KeyError("k"), ValueError("v"), TypeError("t")):
        try:
            try:
                await fail(error)
            except await step(KeyError) as caught:
                out.append(("first", repr(caught)))
            except (await step(ValueError), OSError):
                out.append(await step("second"))
        except TypeError as caught:
            out.append(("third", repr(caught), repr(caught.__context__)))
    return out


@everywhere()
async def test_exception_groups():
    async def groups(*errors):
        out = []
        try:
            try:
                await step("body")
                if errors:
                    raise ExceptionGroup("eg", list(errors))
            except* KeyError as group:
                out.append(("keys", [repr(e) for e in group.exceptions], await step("k")))
                if len(group.exceptions) > 1:
                    raise RuntimeError("from the handler") from group
            except* (ValueError, OSError) as group:
                await step("v")
                out.append(("values", repr(group), repr(sys.exc_info()[1])))
            else:
                out.append(await step("else"))
            finally:
                out.append(await step("finally"))
        except BaseExceptionGroup as rest:
            await step("rest")
            out.append(("rest", repr(rest), repr(rest.__context__)))
        return out

    return [
        await groups(),
        await groups(KeyError(1)),
        await groups(KeyError(1), ValueError(2)),
        await groups(KeyError(1), ExceptionGroup("n", [KeyError(2), OSError(3)]), TypeError(4)),
        await groups(TypeError(5)),
    ]


@everywhere()
async def test_a_naked_exception_in_except_star():
    out = []
    for error in (KeyError("naked"), TypeError("other")):
        try:
            try:
                raise error
            except* KeyError as group:
                await step(repr(group))
                out.append([repr(e) for e in group.exceptions])
        except TypeError as rest:
            out.append(repr(rest))
    return out


@everywhere()
async def test_raising_again_in_except_star():
    try:
        try:
            raise ExceptionGroup("eg", [KeyError(1), ValueError(2), TypeError(3)])
        except* KeyError:
            await step("again")
            raise
        except* ValueError as group:
            await step("other")
            raise OSError("instead") from group
    except ExceptionGroup as group:
        return repr(group), [repr(e) for e in group.exceptions], repr(group.__context__)


@everywhere()
async def test_deep_stacks():
    async def down(n):
        try:
            if n == 0:
                await fail(KeyError("bottom"))
            return await down(n - 1)
        except KeyError as error:
            await step(n)
            if n == 2:
                return repr(error)
            raise

    return await down(4)


@everywhere()
async def test_the_lines_of_a_step_that_fails():
    try:
        await _failing(0)
    except ZeroDivisionError as error:
        await step("handling")
        return [entry.name for entry in traceback.extract_tb(error.__traceback__) if "/tests/" in entry.filename]


@durable_ast.step
async def _failing(divisor):
    await step("on the way")
    return 1 / divisor


@everywhere()
async def test_lines_of_tracebacks():
    try:
        await nested(1)
        note({}["missing"])
    except KeyError as error:
        await step("handled")
        return [(f.name, f.lineno, f.line) for f in traceback.extract_tb(error.__traceback__)]


@everywhere()
async def test_generator_exit_and_base_exceptions():
    class Stop(BaseException):
        pass

    try:
        try:
            raise Stop("base")
        except Exception:
            return "wrong"
        finally:
            await step("finally")
    except BaseException as error:
        await step("caught")
        return str(error)


@everywhere()
async def test_an_error_of_the_program_keeps_its_lines():
    await step("before")
    items = {"a": 1}
    return items["b"]


@everywhere()
async def test_a_naked_exception_in_a_star_clause_that_fails():
    try:
        await step(1)
        raise ValueError(1)
    except* ValueError:
        raise ValueError(await step(2))


class Held:
    """Something whose end can be seen."""


@everywhere()
async def test_nothing_that_an_exception_left_halfway_is_held_on_to():
    async def ended(reference):
        await step("ended?")
        return reference() is None

    found = []
    held = Held()
    reference = weakref.ref(held)
    with contextlib.suppress(ValueError):
        raise ValueError(held, await step("suppressed"))
    del held
    found.append(await ended(reference))
    held = Held()
    reference = weakref.ref(held)
    try:
        raise ValueError(held, await step("caught"))
    except ValueError:
        del held
        await step("handling")
    found.append(await ended(reference))
    held = Held()
    reference = weakref.ref(held)
    try:
        try:
            raise ValueError(held)
        finally:
            del held
            await step("leaving")
            raise TypeError from None
    except TypeError as error:
        error.__context__ = None
        await step("handling")
    found.append(await ended(reference))
    assert all(found), found


@everywhere()
async def test_an_exception_is_pickled_as_if_it_had_never_been_saved():
    error = ValueError("text")
    await step("saved")
    return len(error.__reduce__()), len(ImportError("text").__reduce__())


@everywhere()
async def test_no_name_of_ours_is_suggested_for_one_that_is_missing():
    names = ["b", "t1", "it1", "cm1", "h1", "e1", "p1", "rv", "x", "c", "r"]
    found = []
    for name in names:
        with contextlib.suppress(ZeroDivisionError):
            try:
                await step(name)
                b  # noqa: B018, F821
            except NameError as error:
                await step(1)
                found.append(traceback.format_exception(error)[-1])
    return found[0]
