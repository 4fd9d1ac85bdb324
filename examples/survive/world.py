"""The outside world of the billing run: a bank, a price list and a postman.

Every call appends a line to the file that ``TRACES`` names, so that afterwards one can count how
often each thing has really happened, whoever was killed in between.
"""

from __future__ import annotations

import os
import time

PRICES = {"tea": 450, "coffee": 620, "mug": 890, "kettle": 3990, "filter": 210, "spoon": 175}
PATIENCE = float(os.environ.get("WORLD_PATIENCE", "0.03"))
"""Seconds that each call takes."""


class CardDeclined(Exception):
    """The bank says no."""


def quote(item: str) -> int:
    _happens(f"quote {item}")
    return PRICES[item]


def charge(card: str, cents: int) -> None:
    _happens(f"charge {card} {cents}")
    if card.endswith("0000"):
        raise CardDeclined(f"card {card} has expired")


def remind(customer: str, reason: str) -> None:
    _happens(f"remind {customer}: {reason}")


def send_letter(name: str, text: str) -> None:
    _happens(f"letter to {name}")


def open_batch(month: str) -> str:
    _happens(f"open batch {month}")
    return f"batch of {month}"


def close_batch(batch: str) -> None:
    _happens(f"close {batch}")


def _happens(what: str) -> None:
    time.sleep(PATIENCE / 2)
    with open(os.environ["TRACES"], "a") as file:
        file.write(f"{what}\n")
    time.sleep(PATIENCE / 2)
