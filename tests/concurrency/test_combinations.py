"""Unusual combinations of what asyncio has: each does what it does in plain asyncio, from every checkpoint."""

import asyncio
import contextlib
import sys
import traceback

import pytest

from .anywhere import anywhere, breaks, work

new = pytest.mark.skipif(sys.version_info < (3, 13), reason="new in Python 3.13")


async def two(name):
    first = await work((name, 1))
    return first, await work((name, 2))


async def only(name, turns=1, error=None):
    return await (work(name, turns) if error is None else breaks(name, error, turns))


@new
@anywhere()
async def test_as_completed_async_tasks():
    tasks = {asyncio.create_task(only(n, t)): n for n, t in (("a", 50), ("b", 2), ("c", 25))}
    seen = []
    async for done in asyncio.as_completed(tasks):
        seen.append((tasks[done], await done))
        await work(("between", len(seen)))
    return seen


@new
@anywhere()
async def test_as_completed_async_break_and_again():
    seen = []
    it = asyncio.as_completed([only("a", 30), only("b", 2), only("c", 60)], timeout=100)
    async for done in it:
        seen.append(await done)
        break
    await work("middle")
    async for done in it:
        seen.append(await done)
    return sorted(seen)


@anywhere()
async def test_as_completed_with_a_failure():
    seen = []
    for c in asyncio.as_completed([only("a", 30), only("b", 2, KeyError("b")), only("c", 60)]):
        try:
            seen.append(await c)
        except KeyError as e:
            seen.append(repr(e))
            await work("handler")
    return sorted(seen)


@anywhere()
async def test_wait_first_exception_over_kept_handles():
    kept = {"x": [asyncio.create_task(only("a", 60)), asyncio.create_task(two("b"))]}
    kept["y"] = [asyncio.create_task(only("c", 6, ValueError("c")))]
    await work("one")
    await work("two")
    done, pending = await asyncio.wait([t for ts in kept.values() for t in ts], return_when=asyncio.FIRST_EXCEPTION)
    failed = [t for t in done if t.exception()]
    await work("three")
    out = [repr(t.exception()) for t in failed], kept["x"][0] in pending
    for t in pending:
        t.cancel()
    await asyncio.wait(kept["x"])
    return out, kept["x"][0].cancelled(), kept["x"][1].result()


@anywhere()
async def test_wait_for_in_shield_in_timeout():
    async with asyncio.timeout(100):
        inner = asyncio.create_task(asyncio.wait_for(two("x"), 90))
        r = await asyncio.shield(inner)
        await work("after")
    return r


@anywhere(late=True)
async def test_timeout_around_shield_leaves_inner_running():
    async def slow():
        await asyncio.sleep(0.3)
        return await two("slow")

    inner = asyncio.create_task(slow())
    try:
        async with asyncio.timeout(0.02):
            await asyncio.shield(inner)
    except TimeoutError:
        await work("late")
    await work("late2")
    return await inner


@anywhere(late=True)
async def test_wait_for_shield_of_coroutine():
    async def slow():
        await asyncio.sleep(0.2)
        return await two("slow")

    t = asyncio.create_task(slow())
    for _ in range(20):
        try:
            return await asyncio.wait_for(asyncio.shield(t), 0.05)
        except TimeoutError:
            await asyncio.sleep(0)
    return "never"


@anywhere()
async def test_reschedule():
    async with asyncio.timeout(None) as cm:
        await work("a")
        cm.reschedule(asyncio.get_running_loop().time() + 100)
        await work("b")
        x = await asyncio.gather(two("c"), two("d"))
        cm.reschedule(None)
        await work("e")
    return x, cm.expired(), cm.when()


@anywhere(late=True)
async def test_reschedule_to_the_past():
    try:
        async with asyncio.timeout(100) as cm:
            await work("a")
            cm.reschedule(asyncio.get_running_loop().time() - 1)
            await asyncio.sleep(50)
    except TimeoutError:
        await work("b")
        return cm.expired()


@anywhere(late=True)
async def test_reschedule_from_another_branch():
    async def pusher(cm):
        await work("p")
        cm.reschedule(asyncio.get_running_loop().time() - 1)
        await work("q")

    try:
        async with asyncio.timeout(100) as cm:
            t = asyncio.create_task(pusher(cm))
            await asyncio.sleep(50)
    except TimeoutError:
        await t
        return await work("b"), cm.expired()


async def make_group(names):
    group = asyncio.TaskGroup()
    await group.__aenter__()
    tasks = [group.create_task(two(n)) for n in names]
    return group, tasks


@anywhere()
async def test_group_made_in_helper():
    group, tasks = await make_group("abc")
    await work("middle")
    await group.__aexit__(None, None, None)
    return [t.result() for t in tasks]


@anywhere()
async def test_group_cancel_pattern():
    seen = []

    async def long(n):
        try:
            await work((n, "1"))
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append(await work((n, "cleanup")))
            raise

    try:
        async with asyncio.TaskGroup() as g:
            g.create_task(long("a"))
            g.create_task(long("b"))
            await work("x", 10)
            await work("y", 10)
            g.create_task(only("stop", 1, LookupError("stop")))
    except* LookupError:
        pass
    return sorted(seen)


class Service:
    def __init__(self):
        self.task = None
        self.log = []

    async def run(self, n):
        for i in range(3):
            self.log.append(await work((n, i)))
        return n

    async def start(self):
        self.task = asyncio.create_task(self.run("main"))
        await work("started")

    async def stop(self):
        return await self.task


@anywhere()
async def test_task_in_self():
    s = Service()
    await s.start()
    await work("m")
    r = await s.stop()
    return r, s.log, s.task.done()


@anywhere()
async def test_gather_of_bound_methods():
    s = [Service() for _ in range(3)]
    r = await asyncio.gather(*[x.run(i) for i, x in enumerate(s)])
    return r, [x.log for x in s]


@anywhere()
async def test_gather_dict_of_tasks():
    d = {n: asyncio.create_task(two(n)) for n in "abc"}
    await work("m")
    await asyncio.gather(*d.values())
    return {n: t.result() for n, t in d.items()}


@anywhere()
async def test_gather_return_exceptions_with_cancelled():
    async def long():
        try:
            await asyncio.sleep(60)
        finally:
            await work("cleanup")

    t = asyncio.create_task(long())

    async def canceller():
        await work("c1", 3)
        t.cancel("msg")
        await work("c2", 3)
        return "c"

    r = await asyncio.gather(two("a"), t, canceller(), return_exceptions=True)
    await work("end")
    return [(type(x).__name__, x.args) if isinstance(x, BaseException) else x for x in r]


@anywhere()
async def test_gather_with_duplicate():
    t = asyncio.create_task(two("a"))
    c = two("b")
    r = await asyncio.gather(t, c, t, c)
    return r, r[0] is r[2]


@anywhere()
async def test_gather_kept():
    g = asyncio.gather(two("a"), two("b"))
    await work("x")
    await work("y")
    return await g


@anywhere()
async def test_gather_of_gather():
    g = asyncio.gather(asyncio.gather(two("a"), two("b")), only("c", 10))
    await work("x")
    return await g


@anywhere()
async def test_gather_cancelled_by_sibling():
    seen = []

    async def long(n):
        try:
            await work((n, 1))
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append(await work((n, "cleanup")))
            raise

    g = asyncio.gather(long("a"), long("b"))
    await work("x", 10)
    await work("y", 10)
    g.cancel()
    try:
        await g
    except asyncio.CancelledError:
        await work("caught")
    return sorted(seen), g.done()


@anywhere()
async def test_uncancel():
    async def stubborn():
        seen = []
        for i in range(3):
            try:
                await work(("s", i))
                await asyncio.sleep(60)
            except asyncio.CancelledError as e:
                seen.append((e.args, asyncio.current_task().cancelling(), asyncio.current_task().uncancel()))
                await work(("caught", i))
        return seen

    t = asyncio.create_task(stubborn())
    for i in range(3):
        await work(("w", i), 20)
        await work(("w2", i), 20)
        t.cancel()
    return await t, t.cancelled(), t.cancelling()


@anywhere()
async def test_cancel_self():
    async def me():
        asyncio.current_task().cancel()
        try:
            await work("never")
        except asyncio.CancelledError:
            await work("caught")
        return asyncio.current_task().cancelling()

    t = asyncio.create_task(me())
    return await t


@anywhere()
async def test_cancel_root_from_branch():
    root = asyncio.current_task()

    async def child():
        await work("c", 5)
        root.cancel()
        await work("c2", 5)
        return "child"

    t = asyncio.create_task(child())
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await work("caught")
        root.uncancel()
    return await t, root.cancelling()


@anywhere()
async def test_task_cancelled_before_start():
    t = asyncio.create_task(two("never"))
    t.cancel()
    await work("x")
    r = await asyncio.gather(t, two("b"), return_exceptions=True)
    return repr(r[0]), r[1], t.cancelled()


@anywhere()
async def test_task_awaits_task_of_other_branch():
    t = asyncio.create_task(two("t"))

    async def waits(n):
        await work((n, "w"))
        return n, await t

    return await asyncio.gather(waits("a"), waits("b"), asyncio.shield(t))


@anywhere()
async def test_nested_groups_with_error_in_inner():
    out = []
    try:
        async with asyncio.TaskGroup() as outer:
            outer.create_task(two("o"))
            try:
                async with asyncio.TaskGroup() as inner:
                    inner.create_task(two("i"))
                    inner.create_task(only("bad", 3, ValueError("bad")))
            except* ValueError as g:
                out.append(repr(g))
                await work("handler")
                raise KeyError("more")  # noqa: B904
    except* KeyError as g:
        out.append([type(e).__name__ for e in g.exceptions])
        out.append(type(g.exceptions[0].__context__).__name__)
    await work("end")
    return out


@anywhere()
async def test_group_child_spawns():
    async with asyncio.TaskGroup() as g:
        results = []

        async def spawn(n):
            results.append(await work(n))
            if n < 4:
                g.create_task(spawn(2 * n + 1))
                g.create_task(spawn(2 * n + 2))

        g.create_task(spawn(0))
    return sorted(results)


@anywhere()
async def test_tasks_pass_through_queue():
    q = asyncio.Queue()

    async def producer():
        for n in "abc":
            q.put_nowait(asyncio.create_task(two(n)))
            await work(("p", n))
        await q.put(None)

    async def consumer():
        out = []
        while (t := await q.get()) is not None:
            out.append(await t)
            await work(("consumed", len(out)))
        return out

    async with asyncio.TaskGroup() as g:
        g.create_task(producer())
        c = g.create_task(consumer())
    return c.result()


@new
@anywhere()
async def test_queue_shutdown():
    q = asyncio.Queue()

    async def take(n):
        out = []
        try:
            while True:
                out.append(await q.get())
                await work(("took", out[-1]))
        except asyncio.QueueShutDown:
            await work((n, "down"))
        return len(out)

    async with asyncio.TaskGroup() as g:
        ts = [g.create_task(take(n)) for n in "ab"]
        for i in range(4):
            await q.put(i)
            await work(("put", i))
        q.shutdown()
    return sum(t.result() for t in ts)


@anywhere()
async def test_barrier_and_event_and_lock_in_one_object():
    class Room:
        def __init__(self):
            self.barrier, self.event, self.lock = asyncio.Barrier(3), asyncio.Event(), asyncio.Lock()
            self.seen = []

    room = Room()

    async def member(n):
        async with room.barrier:
            await work((n, "in"))
        async with room.lock:
            room.seen.append(await work((n, "locked")))
        if len(room.seen) == 3:
            room.event.set()
        await room.event.wait()
        return await work((n, "out"))

    return sorted(await asyncio.gather(*(member(n) for n in "abc"))), sorted(room.seen)


@anywhere()
async def test_barrier_abort():
    b = asyncio.Barrier(3)

    async def member(n):
        try:
            await work((n, 1))
            await b.wait()
        except asyncio.BrokenBarrierError:
            return await work((n, "broken"))

    ts = [asyncio.create_task(member(n)) for n in "ab"]
    await work("x", 10)
    await work("y", 10)
    await b.abort()
    return await asyncio.gather(*ts), b.broken


@anywhere()
async def test_condition_cancelled_waiter():
    c = asyncio.Condition()

    async def waits(n):
        async with c:
            try:
                await c.wait()
                return await work((n, "woken"))
            finally:
                await work((n, "leaving"))

    a, b = asyncio.create_task(waits("a")), asyncio.create_task(waits("b"))
    await work("x", 10)
    a.cancel()
    await work("y", 10)
    async with c:
        c.notify()
    r = await asyncio.gather(a, b, return_exceptions=True)
    return repr(r[0]), r[1], c.locked()


@anywhere()
async def test_lock_fifo_order():
    lock = asyncio.Lock()
    order = []

    async def w(n):
        async with lock:
            order.append(n)
            await work(n)

    async with lock:
        ts = [asyncio.create_task(w(n)) for n in "abcd"]
        await work("x", 10)
        await work("y", 10)
    await asyncio.wait(ts)
    return order


@anywhere()
async def test_many_cleanups_nested_finally():
    seen = []

    async def inner():
        try:
            try:
                await work("i")
                await asyncio.sleep(60)
            finally:
                seen.append(await work("f1"))
                seen.append(await work("f2"))
        finally:
            seen.append(await work("f3"))
            async with asyncio.TaskGroup() as g:
                g.create_task(two("g1"))
                g.create_task(two("g2"))

    t = asyncio.create_task(inner())
    await work("x", 10)
    await work("y", 10)
    t.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await t
    return seen, t.cancelled()


@anywhere()
async def test_cancel_becomes_error():
    async def turns():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as e:
            await work("t")
            raise ValueError("instead") from e

    t = asyncio.create_task(turns())
    await work("x", 10)
    t.cancel()
    r = await asyncio.gather(t, return_exceptions=True)
    return repr(r[0]), repr(r[0].__cause__), t.cancelled()


@anywhere()
async def test_cancel_reaches_nested_gather():
    seen = []

    async def leaf(n):
        try:
            await work((n, 0))
            await asyncio.sleep(60)
        finally:
            seen.append(await work((n, "f")))

    async def mid(n):
        try:
            await asyncio.gather(leaf((n, 1)), leaf((n, 2)))
        finally:
            seen.append(await work((n, "m")))

    t = asyncio.create_task(mid("a"))
    await work("x", 20)
    await work("y", 20)
    t.cancel()
    try:
        await t
    except asyncio.CancelledError:
        await work("done", 30)
    return sorted(map(str, seen))


@anywhere(late=True)
async def test_timeout_in_timeout():
    out = []
    try:
        async with asyncio.timeout(100) as o:
            try:
                async with asyncio.timeout(0.02) as i:
                    await work("a")
                    await asyncio.sleep(60)
            except TimeoutError:
                out.append(await work("inner"))
                out.append((i.expired(), o.expired()))
    except TimeoutError:
        out.append("outer")
    return out


@anywhere(late=True)
async def test_outer_timeout_fires_inside_inner():
    out = []
    try:
        async with asyncio.timeout(0.02) as o:
            try:
                async with asyncio.timeout(100) as i:
                    await work("a")
                    await asyncio.sleep(60)
            finally:
                out.append(await work("inner"))
                out.append((i.expired(), o.expired()))
    except TimeoutError:
        out.append("outer")
    return out


@anywhere(late=True)
async def test_wait_for_none_zero_negative():
    out = [await asyncio.wait_for(two("a"), None)]
    for t in (0, -1):
        try:
            out.append(await asyncio.wait_for(two(("b", t)), t))
        except TimeoutError as e:
            out.append(type(e.__cause__).__name__)
            await work(("caught", t))
    return out


@anywhere(late=True)
async def test_group_in_timeout_in_group():
    out = []

    async def forever(n):
        try:
            await work((n, 1))
            await asyncio.sleep(60)
        finally:
            out.append(await work((n, "f")))

    async with asyncio.TaskGroup() as outer:
        fine = outer.create_task(two("fine"))
        try:
            async with asyncio.timeout(0.05):
                async with asyncio.TaskGroup() as g:
                    g.create_task(forever("a"))
                    g.create_task(forever("b"))
        except TimeoutError:
            out.append(await work("late"))
    return sorted(map(str, out)), fine.result()


class Odd(Exception):
    def __init__(self, *, code):
        super().__init__(f"code {code}")
        self.code = code


def lines(e):
    return [(f.name, f.line) for f in traceback.extract_tb(e.__traceback__) if f.filename == __file__]


async def fails_with(e, n):
    await work(n)
    raise e


@anywhere()
async def test_same_exception_object_seen_by_two():
    async def fail():
        await work("f")
        raise Odd(code=1)

    t = asyncio.create_task(fail())

    async def catch(n):
        try:
            await t
        except Odd as e:
            await work((n, "h"))
            return e

    a, b = await asyncio.gather(catch("a"), catch("b"))
    await work("end")
    return a is b, a is t.exception(), a.code


@anywhere()
async def test_local_class_custom_init_across_branches():
    class Local(ValueError):
        def __init__(self, a, *, b):
            super().__init__("text")
            self.a, self.b = a, b

    async def fail(n):
        await work(n)
        raise Local(n, b=[n])

    rs = await asyncio.gather(fail(1), fail(2), return_exceptions=True)
    await work("m")
    return [(type(r) is Local, r.a, r.b, str(r)) for r in rs]


@anywhere()
async def test_raise_from_none_and_context():
    async def fail():
        try:
            await work("a")
            raise KeyError(1)
        except KeyError:
            await work("b")
            raise ValueError(2) from None

    try:
        await asyncio.gather(fail(), two("q"))
    except ValueError as e:
        await work("c", 10)
        return e.__suppress_context__, repr(e.__context__), e.__cause__


@anywhere()
async def test_finally_in_flight_in_two_branches():
    async def b(n):
        try:
            await work((n, 1))
            raise ValueError(n)
        finally:
            await work((n, "f1"))
            await work((n, "f2"))

    r = await asyncio.gather(b("a"), b("b"), return_exceptions=True)
    return [(repr(e), lines(e)) for e in r]


@anywhere()
async def test_exception_reraised_later():
    r = await asyncio.gather(fails_with(Odd(code=9), "a"), return_exceptions=True)
    await work("m")
    try:
        raise r[0]
    except Odd as e:
        await work("h")
        return lines(e), e.code


@anywhere(at_least=2)
async def test_more_branches_than_run_at_once():
    semaphore = asyncio.Semaphore(3)
    inside = []

    async def limited(name):
        async with semaphore:
            inside.append(name)
            assert len(inside) <= 3
            results = [await work((name, number), 0) for number in range(3)]
            inside.remove(name)
        return results[-1]

    return await asyncio.gather(*map(limited, range(12))), semaphore.locked(), inside


@anywhere()
async def test_a_gather_of_errors_whose_members_clean_up_when_it_is_cancelled():
    async def cleans(name):
        try:
            await asyncio.sleep(1000)
        finally:
            await two(name)

    async def cancels(task):
        await work("before")
        task.cancel()
        return await work("after")

    canceller = asyncio.create_task(cancels(asyncio.current_task()))
    try:
        await asyncio.gather(cleans("a"), cleans("b"), return_exceptions=True)
    except asyncio.CancelledError:
        asyncio.current_task().uncancel()
        return await canceller, await work("end")
