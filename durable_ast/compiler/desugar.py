"""Rewrite the statements that suspend by themselves in terms of ``await``.

Input:   one statement of the user's that holds a suspension.
Output:  statements that mean the same, still in the user's form of the tree, to be lowered next.
Keeps:   evaluation order, the lines that a debugger sees, and every detail of the protocols
         (PEP 343, 492, 634, 654).

Each function takes `fresh`, which makes names that nothing else uses.
"""

import ast
from collections.abc import Callable
from typing import TypeAlias

from .build import assign, at, call, clear, constant, equals, load, negated, replaced, store
from .suspension import Suspensions

Fresh: TypeAlias = Callable[[str], str]

ANY_EXCEPTION = ".BaseException"
EXHAUSTED = ".StopAsyncIteration"


def while_(node: ast.While, fresh: Fresh) -> list[ast.stmt]:
    """``while TEST``, where TEST suspends: the test moves into the loop."""
    going = fresh("n")
    stop = at(assign(going, constant(False)), node.test)
    turn = at(ast.If(node.test, node.body, [stop]), node.test)
    loop = at(ast.While(at(load(going), node.test), [turn], node.orelse), node)
    return [at(assign(going, constant(True)), node.test), loop]


def for_(node: ast.For, fresh: Fresh) -> list[ast.stmt]:
    """``for TARGET in ...``, where TARGET suspends: it is assigned to in the body."""
    item = fresh("u")
    store_item = at(assign(node.target, load(item)), node.target)
    return [replaced(node, target=at(store(item), node.target), body=[store_item, *node.body])]


def async_for(node: ast.AsyncFor, after: ast.AST, fresh: Fresh) -> list[ast.stmt]:
    """``async for``: only the step itself may end the loop by StopAsyncIteration.  What comes after it is
    in the place of `after`."""
    iterator, item, going = fresh("it"), fresh("v"), fresh("n")
    step = at(assign(item, ast.Await(call(".anext", load(iterator)))), node.iter)
    stop = at(assign(going, constant(False)), node.iter)
    handler = at(ast.ExceptHandler(load(EXHAUSTED), None, [stop]), node.iter)
    body = [at(assign(node.target, load(item)), node.target), at(clear(item), node.target), *node.body]
    turn = at(ast.Try([step], [handler], body, []), node.iter)
    return [
        at(assign(iterator, call(".aiter", node.iter)), node.iter),
        at(assign(going, constant(True)), node.iter),
        at(ast.While(at(load(going), node.iter), [turn], node.orelse), node),
        at(clear(iterator), after),
    ]


def async_with_body(
    node: ast.AsyncWith, manager: str, unfailed: str, entered: str | None, fresh: Fresh
) -> list[ast.stmt]:
    """What follows ``__aenter__``: the body, and ``__aexit__`` on every way out of it."""
    item, rest = node.items[0], node.items[1:]
    body: list[ast.stmt] = [replaced(node, items=rest)] if rest else node.body
    place, target = item.context_expr, item.optional_vars
    if target is not None and entered is not None:
        body = [at(assign(target, load(entered)), target), *body]
    raised = fresh("h")
    leave = ast.Await(call(".aexit", load(manager), load(raised)))
    handler = ast.ExceptHandler(
        load(ANY_EXCEPTION),
        raised,
        [assign(unfailed, constant(False)), ast.If(negated(leave), [ast.Raise(None, None)], [])],
    )
    end = ast.If(load(unfailed), [ast.Expr(ast.Await(call(".aexit", load(manager), constant(None))))], [])
    inner = at(ast.Try(body, [at(handler, place)], [], []), place)
    return [
        at(assign(unfailed, constant(True)), place),
        at(ast.Try([inner], [], [], [at(end, place)]), place),
    ]


def match_(node: ast.Match, suspensions: Suspensions, fresh: Fresh) -> list[ast.stmt]:
    """``match``: select the case first, then run its body.

    Guards that suspend are evaluated between selections: names stay bound as in Python even when
    a guard fails.
    """
    chosen = fresh("k")
    statements: list[ast.stmt] = [at(assign(chosen, constant(0)), node)]
    subject: ast.expr = node.subject
    if suspensions.any(case.guard for case in node.cases if case.guard is not None):
        kept = fresh("s")
        statements.append(at(assign(kept, subject), subject))
        subject = at(load(kept), subject)
    group: list[ast.match_case] = []
    for number, case in enumerate(node.cases, 1):
        awaited = case.guard is not None and case.guard in suspensions
        select = at(assign(chosen, constant(number)), case.pattern)
        group.append(ast.match_case(case.pattern, None if awaited else case.guard, [select]))
        if awaited or number == len(node.cases):
            selection = at(ast.Match(subject, group), node)
            first = number == len(group)
            statements.append(selection if first else at(ast.If(equals(chosen, 0), [selection], []), node))
            group = []
        if awaited:
            assert case.guard is not None
            failed = ast.BoolOp(ast.And(), [equals(chosen, number), negated(case.guard)])
            reset = at(assign(chosen, constant(0)), case.guard)
            statements.append(at(ast.If(at(failed, case.guard), [reset], []), case.guard))
    dispatch: list[ast.stmt] = []
    for number, case in reversed(list(enumerate(node.cases, 1))):
        test = at(equals(chosen, number), case.pattern)
        dispatch = [at(ast.If(test, case.body, dispatch), case.pattern)]
    return statements + dispatch


def handler(node: ast.ExceptHandler, fresh: Fresh) -> ast.ExceptHandler:
    """An except clause whose body suspends: the exception gets a name of its own for as long as
    the body runs, whatever the user's name is bound to meanwhile."""
    raised = fresh("h")
    kind = node.type if node.type is not None else at(load(ANY_EXCEPTION), node)
    return at(ast.ExceptHandler(kind, raised, _named(node, raised)), node)


def _named(node: ast.ExceptHandler, raised: str) -> list[ast.stmt]:
    """The body of an except clause with its ``as`` name bound, and deleted at the end."""
    if node.name is None:
        return node.body
    bind = at(assign(node.name, load(raised)), node)
    unbind = [at(clear(node.name), node), at(ast.Delete([ast.Name(node.name, ast.Del())]), node)]
    return [bind, at(ast.Try(node.body, [], [], unbind), node)]


def handlers_in_turn(node: ast.Try, fresh: Fresh) -> ast.Try:
    """``try`` with an except clause whose type suspends: types are evaluated one by one."""
    raised = fresh("h")
    chain: list[ast.stmt] = [ast.Raise(None, None)]
    for clause in reversed(node.handlers):
        body = _named(clause, raised)
        if clause.type is None:
            chain = body
            continue
        test = at(call(".is_match", load(raised), clause.type), clause.type)
        chain = [at(ast.If(test, body, [at(statement, clause) for statement in chain]), clause)]
    catch_all = at(ast.ExceptHandler(load(ANY_EXCEPTION), raised, chain), node.handlers[0])
    return replaced(node, handlers=[catch_all])


def try_star(node: ast.TryStar, fresh: Fresh) -> list[ast.stmt]:
    """``except*``: the group is split clause by clause; what they raise, and what is left over, is
    raised together at the end (PEP 654)."""
    raised, state = fresh("h"), fresh("s")
    clauses: list[ast.stmt] = [at(assign(state, call(".star", load(raised))), node)]
    for clause in node.handlers:
        assert clause.type is not None
        clauses.extend(_star_clause(clause, state, fresh))
    catch_all = at(ast.ExceptHandler(load(ANY_EXCEPTION), raised, clauses), node)
    caught = at(ast.Try(node.body, [catch_all], node.orelse, []), node)
    again = at(
        ast.If(
            ast.BoolOp(ast.And(), [load(state), _method(state, "leftover")]),
            [_raised_again(ast.Attribute(load(state), "result", ast.Load()), [ast.Raise(None, None)], fresh)],
            [],
        ),
        node,
    )
    body: list[ast.stmt] = [at(clear(state), node), caught, again, at(clear(state), node)]
    return [at(ast.Try(body, [], [], node.finalbody), node)] if node.finalbody else body


def _star_clause(clause: ast.ExceptHandler, state: str, fresh: Fresh) -> list[ast.stmt]:
    assert clause.type is not None
    matched = ast.Attribute(load(state), "matched", ast.Load())
    inner, caught = fresh("h"), fresh("h")
    collect = ast.ExceptHandler(load(ANY_EXCEPTION), caught, [ast.Expr(_method(state, "collect", load(caught)))])
    run = _raised_again(matched, _named(clause, inner), fresh, inner)
    guarded = ast.Try([run], [collect], [], [])
    test = at(_method(state, "split", clause.type), clause.type)  # there the group is made, says its traceback
    return [at(ast.If(test, [guarded], []), clause)]


def _raised_again(exception: ast.expr, body: list[ast.stmt], fresh: Fresh, name: str | None = None) -> ast.stmt:
    """Run `body` as the handler of `exception`, which keeps its traceback and context."""
    name = name or fresh("h")
    repair = ast.Expr(call(".reentered", load(name)))
    catch = ast.ExceptHandler(load(ANY_EXCEPTION), name, [repair, *body])
    return ast.Try([ast.Raise(call(".reenter", exception), None)], [catch], [], [])


def _method(owner: str, name: str, *args: ast.expr) -> ast.Call:
    return call(ast.Attribute(load(owner), name, ast.Load()), *args)
