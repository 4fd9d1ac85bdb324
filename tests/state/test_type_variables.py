"""What is said of a type variable or an alias is evaluated when it is asked for, not when it is saved."""

import sys

import pytest

from durable_ast.state.snapshot import dumps, loads

LAZY = """
class Box:
    T = int
    type Item = T
    def put[Kind: T, *Rest](self, item: Kind): ...
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax is new in Python 3.12")
def test_saving_evaluates_nothing():
    namespace = {"__name__": "made_here"}
    exec(LAZY, namespace)
    box = namespace["Box"]
    alias, (kind, rest) = box.Item, box.put.__type_params__
    again, (same_kind, same_rest) = loads(dumps((alias, (kind, rest))))
    box.T = str
    assert (alias.__value__, kind.__bound__) == (str, str)
    assert (again.__value__, same_kind.__bound__) == (int, int)
    assert [str(again), repr(same_kind), repr(same_rest)] == ["Item", "Kind", "Rest"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax is new in Python 3.12")
def test_what_cannot_be_made_again_is_refused_when_it_is_saved():
    namespace = {"__name__": "made_here", "word": "global"}
    exec("def put[Kind: word](item: Kind): ...", namespace)
    with pytest.raises(SyntaxError):
        dumps(namespace["put"].__type_params__)
