"""The examples with agents do what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .test_examples import run


def lines(folder: Path, module: str, *words: str) -> list[str]:
    ran = run(folder, f"examples.agents.{module}", *words)
    assert ran.returncode in (0, 9) and not ran.stderr, ran.stderr
    return ran.stdout.splitlines()


def test_single(tmp_path: Path) -> None:
    answer = "Ghent: 12 degrees, 2 requests"
    first = lines(tmp_path, "single")
    assert first == ["the model is asked", "the thermometer in Ghent is read", "the model is asked", answer]
    assert lines(tmp_path, "single") == [answer]


def test_killed(tmp_path: Path) -> None:
    assert lines(tmp_path, "killed") == ["the model is asked", "page 0 is read", "page 1 is read", "page 2 is read"]
    answer = "read page 0, page 1, page 2, page 3, page 4"
    assert lines(tmp_path, "killed") == ["page 3 is read", "page 4 is read", answer]


def test_team(tmp_path: Path) -> None:
    first = lines(tmp_path, "team")
    assert first == ["plan: 2 questions", "look up: Is it old?", "look up: Is it big?"]
    assert lines(tmp_path, "team") == ["Old and big."]


def test_approval(tmp_path: Path) -> None:
    assert lines(tmp_path, "approval") == ["the model is asked", "waits for approval:pay-7"]
    question = "approval:pay-7 pay {'invoice': 7, 'amount': 12500}"
    assert lines(tmp_path, "approval", "list") == [question]
    assert lines(tmp_path, "approval") == ["waits for approval:pay-7"]
    assert lines(tmp_path, "approval", "yes") == [question]
    assert lines(tmp_path, "approval", "list") == []
    assert lines(tmp_path, "approval") == ["paid 12500", "Done: invoice 7 is paid"]
    assert lines(tmp_path, "approval") == ["Done: invoice 7 is paid"]


def test_a_provider_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENT_MODEL", raising=False)
    ran = run(tmp_path, "examples.agents.provider")
    assert ran.returncode == 1 and "set AGENT_MODEL" in ran.stderr


async def test_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ag_ui")
    import httpx

    monkeypatch.chdir(tmp_path)
    from examples.agents.page import app, wf

    asked = {"threadId": "t", "runId": "run-1", "state": None, "messages": [], "tools": [], "context": []}
    asked["messages"] = [{"id": "1", "role": "user", "content": "How warm is it?"}]
    transport = httpx.ASGITransport(app)
    async with wf, httpx.AsyncClient(transport=transport, base_url="http://page") as page:
        for _ in range(2):
            answer = await page.post("/talk", content=json.dumps({**asked, "forwardedProps": None}))
            events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
            assert events[-1]["type"] == "RUN_FINISHED"
        followed = await page.get("/follow/run-1")
        late = await page.get("/follow/run-1", headers={"Last-Event-ID": "2"})
    assert "twelve" in followed.text and followed.text.startswith("id: 1\n")
    assert late.text.startswith("id: 3\n") and followed.text.endswith(late.text)
