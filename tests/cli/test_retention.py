"""Deleting what has ended, and what the store says of its size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Ran

Cli = Callable[..., Ran]


@pytest.fixture
def ended(cli: Cli) -> Cli:
    """With two instances that have ended, and one that waits."""
    for name in ("o-1", "p-1"):
        cli("run", "shop:fetch", "4", "--id", name)
    cli("run", "shop:order", "2", "--id", "o-2")
    return cli


def ids(cli: Cli) -> list[str]:
    return sorted(item["id"] for item in cli("ls", "--json").data)


def test_what_has_ended_long_ago_is_deleted(ended: Cli) -> None:
    assert ended("vacuum", "--older-than", "1h", "--json").data == {"deleted": 0, "history_only": False}
    assert ended("vacuum", "--older-than", "0s", "--prefix", "p-").out == "deleted 1 instance\n"
    assert ids(ended) == ["o-1", "o-2"]
    assert ended("vacuum", "--older-than", "0s").out == "deleted 1 instance\n"
    assert ids(ended) == ["o-2"]


def test_the_history_is_deleted_alone(cli: Cli, folder: Path) -> None:
    source = (folder / "shop.py").read_text().replace("@make_durable\n", '@make_durable(history="all")\n')
    (folder / "shop.py").write_text(source)
    cli("run", "shop:order", "2", "--id", "o-1")
    cli("send", "o-1", "approved", "true")
    cli("run", "shop:order", "--id", "o-1")
    assert len(cli("show", "o-1", "--history", "--json").data) > 1
    assert cli("sizes", "--json").data["history"] > 0
    assert cli("vacuum", "--older-than", "0s", "--history-only").out == "deleted the history of 1 instance\n"
    assert len(cli("show", "o-1", "--history", "--json").data) == 1
    assert cli("sizes", "--json").data["history"] == 0


def test_what_may_go_on_is_not_deleted(ended: Cli) -> None:
    refused = ended("vacuum", "--older-than", "0s", "--status", "waiting")
    assert refused.code == 2
    assert "may go on" in refused.err


@pytest.mark.parametrize("text", ["7", "7 days", "-7d", "x"])
def test_a_length_of_time_that_is_none(ended: Cli, text: str) -> None:
    refused = ended("vacuum", f"--older-than={text}")
    assert (refused.code, "no length of time" in refused.err) == (2, True)


def test_instances_are_deleted_by_their_ids(ended: Cli) -> None:
    missing = ended("delete", "o-1", "o-9")
    assert missing.code == 1
    assert missing.err.splitlines() == ["error: there is no instance o-9", "nothing was deleted"]
    assert ended("delete", "o-1", "o-2").out == "deleted o-1, o-2\n"
    assert ids(ended) == ["p-1"]


def test_sizes(ended: Cli) -> None:
    told = ended("sizes", "--largest", "1", "--json").data
    assert {status: facts["instances"] for status, facts in told["status"].items()} == {"SUCCESS": 2, "WAITING": 1}
    assert [item["id"] for item in told["largest"]] == ["o-2"]
    assert told["file"] > 0
    shown = ended("sizes").out
    assert "waiting" in shown and "o-2" in shown and "the file has" in shown
