"""Which run a call means."""

import dataclasses
import datetime
import inspect

import pytest

from durable_ast.workflow.ids import IdTemplate, bound_arguments, default_id


def id_of(template, function, *args, **kwargs):
    signature = inspect.signature(function)
    return IdTemplate(template, signature).id_of(bound_arguments(signature, args, kwargs))


def ship(shop, order="none", **options): ...


def strict(shop, order): ...


@dataclasses.dataclass
class Order:
    id: str
    lines: list[int]


def test_arguments_are_bound_as_python_binds_them():
    assert id_of("ship-{shop}-{order}", ship, "eu", "7") == "ship-eu-7"
    assert id_of("ship-{shop}-{order}", ship, order="7", shop="eu") == "ship-eu-7"
    assert id_of("ship-{shop}-{order}", ship, "eu") == "ship-eu-none"


def test_attributes_items_and_formats():
    order = Order("o-1", [5, 6])
    assert id_of("{order.id}", strict, "eu", order) == "o-1"
    assert id_of("{order.lines[1]:03d}", strict, "eu", order) == "006"
    assert id_of("{order!r}", strict, "eu", "x") == "'x'"


def test_a_format_may_name_an_argument():
    assert id_of("{order:{shop}}", strict, "05d", 7) == "00007"
    with pytest.raises(ValueError, match="names 'width', which is no parameter"):
        IdTemplate("{order:{width}}", inspect.signature(strict))


def test_an_unknown_conversion_is_refused_at_once():
    with pytest.raises(ValueError, match=r"malformed: .*'z'"):
        IdTemplate("{order!z}", inspect.signature(strict))


@pytest.mark.parametrize(
    ("template", "options"),
    [
        ("{order.number}", {}),
        ("{order[0]}", {}),
        ("{order:d}", {}),
        ("{note}", {"other": 1}),
        ("{order.__class__.x}", {}),
    ],
)
def test_an_argument_that_does_not_have_what_the_id_names_is_told(template, options):
    with pytest.raises(ValueError, match=r"the run id names \{") as caught:
        id_of(template, ship, "eu", None, **options)
    assert template.strip("{}") in str(caught.value)


def test_a_dictionary_replaces_no_other_argument():
    assert id_of("{shop}", ship, "bob", {"shop": "eve"}) == "bob"
    assert id_of("{shop}", ship, "bob", note="x") == "bob"
    assert id_of("{shop}/{note}", ship, "bob", note="x") == "bob/x"


@pytest.mark.parametrize("template", ["{shop}-{order}", "{shop}::{order}", "{shop}{order}", "x{shop}%{order}y"])
def test_different_arguments_have_different_ids(template):
    pieces = ["", "a", "-", ":", "%", "%2D", "a-b", "::", "a:", ":a", "a%", "-a"]
    ids = {id_of(template, strict, one, two) for one in pieces for two in pieces}
    assert len(ids) == len(pieces) ** 2


def test_a_last_argument_stays_as_it_is():
    assert id_of("order-{order}", strict, "eu", "ord-100%") == "order-ord-100%"


def test_an_unknown_parameter_is_refused_at_once():
    with pytest.raises(
        ValueError, match="'shp', which is no parameter of the workflow; its parameters are: shop, order"
    ):
        IdTemplate("{shp}", inspect.signature(strict))
    with pytest.raises(ValueError, match="malformed"):
        IdTemplate("{shop", inspect.signature(strict))


def test_an_argument_without_text_is_refused():
    with pytest.raises(ValueError, match=r"name an attribute of it, as in \{order.id\}"):
        id_of("{order}", strict, "eu", object())
    with pytest.raises(ValueError, match="is not the same in another process"):
        id_of("{order}", strict, "eu", [lambda: 1])


def test_sets_have_one_id():
    words = {f"word {number}" for number in range(50)}
    again = {f"word {number}" for number in reversed(range(50))}
    assert id_of("{order}", strict, "eu", words) == id_of("{order}", strict, "eu", again)


def test_without_a_template():
    assert default_id("shop", "ship", {"order": 7, "day": datetime.date(2024, 1, 2)}) == "shop-ship-7-2024-01-02"
    assert default_id("shop", "ship", {}) == "shop-ship"
    assert default_id("s", "f", {"a": "x-y", "b": "z"}) != default_id("s", "f", {"a": "x", "b": "y-z"})
    one = default_id("s", "f", {"a": {"k": [1] * 1000}})
    assert one != default_id("s", "f", {"a": {"k": [1] * 1001}}) and len(one) < 50
    with pytest.raises(ValueError, match=r"call .run\(run_id"):
        default_id("s", "f", {"a": lambda: 1})
