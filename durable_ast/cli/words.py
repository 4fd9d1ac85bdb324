"""How facts are put into words and colours."""

from __future__ import annotations

from rich.text import Text

from ..state.schema import Status

_STYLES = {
    Status.SUCCESS: "good",
    Status.ERROR: "bad",
    Status.CANCELLED: "bad",
    Status.PARKED: "bad",
    Status.RUNNING: "running",
}


def status_text(status: Status) -> Text:
    """A status in its colour."""
    return Text(status.value.lower(), style=_STYLES.get(status, "waiting"))


def shortened(text: str, width: int) -> str:
    """A text cut to a width, with the number of characters that are left out.

    >>> shortened("abcdefghij" * 10, 30)
    'abcdefghijab ... 88 more'
    """
    if len(text) <= width:
        return text
    kept = width - 18
    return f"{text[:kept]} ... {len(text) - kept:,} more"
