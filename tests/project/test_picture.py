"""The README's picture is what its script draws."""

from __future__ import annotations

import runpy
from pathlib import Path

ASSETS = Path(__file__).parents[2] / "assets"


def test_the_picture_is_up_to_date() -> None:
    draw = runpy.run_path(str(ASSETS / "draw.py"))["draw"]
    assert (ASSETS / "durable.svg").read_text() == draw(), "run `make picture`"
