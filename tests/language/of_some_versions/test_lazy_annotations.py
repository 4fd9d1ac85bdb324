"""Annotations that are evaluated when they are asked for (PEP 649), with names that are not there."""

import annotationlib

from tests.effects import step
from tests.everywhere import everywhere


@everywhere()
async def test_names_that_only_type_checkers_know():
    class Parcel:
        weight: Weight = 1  # noqa: F821
        count: int = 2

    def weigh(parcel: Parcel, unit: Unit | None = None) -> int:  # noqa: F821
        return parcel.weight

    before = texts(Parcel)["weight"], texts(weigh)["unit"]
    await step(1)
    return before, (texts(Parcel)["weight"], texts(weigh)["unit"]), weigh(Parcel()), [*texts(Parcel)]


def texts(annotated):
    return annotationlib.get_annotations(annotated, format=annotationlib.Format.STRING)


@everywhere()
async def test_a_class_that_names_itself():
    class Node:
        following: Node | None = None

    await step(1)
    kinds = Node.__annotations__
    await step(2)
    return kinds["following"] == (Node | None), Node().following
