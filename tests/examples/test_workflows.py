"""The examples of the decorator API: each runs alone, is killed in the middle, and goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def start(folder: Path, example: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / f"{example}.py"), *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, example: str, *words: str) -> list[str]:
    process = start(folder, example, *words)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out.splitlines()


def killed_after(folder: Path, example: str, line: str) -> list[str]:
    """What it printed until it was killed, just after that line."""
    process = start(folder, example)
    lines: list[str] = []
    assert process.stdout is not None
    for text in process.stdout:
        lines.append(text.rstrip("\n"))
        if lines[-1] == line:
            break
    process.kill()
    _, err = process.communicate()
    assert lines[-1:] == [line], err
    return lines


def test_pipeline(tmp_path: Path) -> None:
    killed_after(tmp_path, "pipeline", "make an invoice for 42@example.com")
    invoice = "Invoice(customer='42@example.com', amount=49.99)"
    assert run(tmp_path, "pipeline") == [
        "make an invoice for 42@example.com",
        "send 49.99 to 42@example.com",
        invoice,
        f"{invoice} again, and nothing runs",
    ]


def test_retries(tmp_path: Path) -> None:
    killed_after(tmp_path, "retries", "attempt 2")
    rest = run(tmp_path, "retries")
    assert rest in (["attempt 3", "attempt 4", "/data is ok"], ["attempt 4", "/data is ok"])


def test_loop(tmp_path: Path) -> None:
    killed_after(tmp_path, "loop", "push 5")
    assert run(tmp_path, "loop") == ["push 5", "push 6", "push 7", "[0, 10, 20, 30, 40, 50, 60, 70]"]


def test_in_memory(tmp_path: Path) -> None:
    again = "HTTPS://EXAMPLE.COM again, and nothing runs"
    assert run(tmp_path, "in_memory") == ["fetched https://example.com in attempt 3", "HTTPS://EXAMPLE.COM", again]
    assert not list(tmp_path.iterdir())


def test_approval(tmp_path: Path) -> None:
    pytest.importorskip("starlette")
    killed_after(tmp_path, "approval", "100 waits for an answer")
    assert run(tmp_path, "approval", "yes")[-2:] == ["fulfill 100", "fulfilled, approved by Alice"]


def test_the_web_page_of_the_approval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("starlette")
    pytest.importorskip("httpx")
    code = """
    import asyncio
    from starlette.testclient import TestClient
    from examples.approval import app, wf

    with TestClient(app) as client:
        assert client.post("/orders/7").json() == {"run": "order-7"}
        while client.get("/orders/7").json()["status"] != "WAITING":
            pass
        assert client.get("/orders/7").json()["waits_for"] == ["approval"]
        assert client.post("/approve/order-7", json={"approved": False}).json() == {"taken": True}
        while client.get("/orders/7").json()["status"] != "SUCCESS":
            pass
        assert client.post("/approve/order-7", json={"approved": True}).json() == {"taken": False}
    """
    import textwrap

    command = [sys.executable, "-c", textwrap.dedent(code)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=60)


def test_taskiq_broker(tmp_path: Path) -> None:
    pytest.importorskip("taskiq")
    killed_after(tmp_path, "taskiq_broker", "save [42, 43]")
    assert run(tmp_path, "taskiq_broker") == ["save [42, 43]", "saved 85", "saved 85"]


def test_redis_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("redis")
    keys = request.getfixturevalue("redis_keys")
    monkeypatch.setenv("REDIS_URL", keys.url)
    monkeypatch.setenv("REDIS_PREFIX", keys.name)
    killed_after(tmp_path, "redis_store", "transform 7")
    assert run(tmp_path, "redis_store") == ["transform 7", "transformed 7"]
