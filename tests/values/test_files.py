"""Open files go on at their position, in every mode."""

import gc
import pathlib
import tempfile

import pytest

from durable_ast import CheckpointException, DurableBackend, NotPersistableWarning, PauseForEventException, make_durable

# an instance that leaves memory lets go of its files as a process that dies does
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _no_files_for_the_next_test():
    yield
    gc.collect()


TEXT = "eins äöü\r\nzwei\r\ndrei\nvier\r"


@make_durable
async def reads(path, options, lines):
    opened = open(path, **options)  # noqa: SIM115
    for _ in range(lines):
        opened.readline()
    raise PauseForEventException("go")
    return opened.tell(), opened.read(), opened.newlines


@make_durable
async def reads_lines(path):
    seen = []
    with open(path) as opened:
        for line in opened:
            seen.append(line)
            raise PauseForEventException("go")
    return seen, opened.closed


@make_durable
async def writes(path, mode, options):
    with open(path, mode, **options) as opened:
        opened.write("one\ntwo\n" if "b" not in mode else b"one\ntwo\n")
        raise PauseForEventException("go")
        opened.write("three\n" if "b" not in mode else b"three\n")
        return opened.name, opened.mode


async def paused(program, *args, pauses=1, between=lambda: None):
    """What a program gives that leaves memory at its pauses."""
    backend = DurableBackend()
    for _ in range(pauses):
        with pytest.raises(PauseForEventException):
            await program(*args, orchestration_backend=backend, instance_id="it")
        backend.publish_event("it", "go")
    between()
    return await program(*args, orchestration_backend=backend, instance_id="it")


@pytest.mark.parametrize("newline", [None, "", "\n", "\r", "\r\n"])
@pytest.mark.parametrize("lines", [0, 1, 2, 9])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
async def test_reading_goes_on(tmp_path, newline, lines, encoding):
    path = tmp_path / "text"
    path.write_bytes(TEXT.encode(encoding))
    options = {"newline": newline, "encoding": encoding}
    with open(path, **options) as opened:
        for _ in range(lines):
            opened.readline()
        expected = opened.tell(), opened.read()
    assert (await paused(reads, path, options, lines))[:2] == expected


async def test_a_loop_over_the_lines_of_a_file_goes_on(tmp_path):
    path = tmp_path / "text"
    path.write_text("one\ntwo\nthree\n")
    assert await paused(reads_lines, path, pauses=3) == (["one\n", "two\n", "three\n"], True)


@pytest.mark.parametrize(
    ("mode", "options", "expected"),
    [
        ("w", {}, b"one\ntwo\nthree\n"),
        ("x", {}, b"one\ntwo\nthree\n"),
        ("w", {"newline": "\r\n"}, b"one\r\ntwo\r\nthree\r\n"),
        ("w", {"newline": ""}, b"one\ntwo\nthree\n"),
        ("w", {"encoding": "utf-16-le"}, "one\ntwo\nthree\n".encode("utf-16-le")),
        ("wb", {}, b"one\ntwo\nthree\n"),
        ("wb", {"buffering": 0}, b"one\ntwo\nthree\n"),
        ("a", {}, b"old\none\ntwo\nthree\n"),
        ("r+", {}, b"one\ntwo\nthree\n"),
        ("w+", {"buffering": 1}, b"one\ntwo\nthree\n"),
    ],
)
async def test_writing_goes_on(tmp_path, mode, options, expected):
    path = tmp_path / "text"
    if mode != "x":
        path.write_text("old\n")
    name, kept = await paused(writes, str(path), mode, options)
    assert path.read_bytes() == expected
    assert name == str(path) and kept.replace("b", "") == mode.replace("b", "").replace("w+", "rw+"[1:])


async def test_what_was_written_behind_the_position_stays(tmp_path):
    path = tmp_path / "text"
    await paused(writes, str(path), "w", {}, between=lambda: path.write_text("one\ntwo\n....................."))
    assert path.read_text() == "one\ntwo\nthree\n..............."


async def test_a_file_that_is_gone_is_named(tmp_path):
    path = tmp_path / "text"
    with pytest.raises(CheckpointException, match=r"/text was open in the instance and cannot be opened again"):
        await paused(writes, str(path), "w", {}, between=path.unlink)
    assert not path.exists()


@make_durable
async def opens_deleted(path):
    opened = open(path)  # noqa: SIM115
    path.unlink()
    await settled()
    text = opened.read()
    opened.close()
    return text


async def settled():
    pass


async def test_a_deleted_file_cannot_be_saved(tmp_path):
    path = tmp_path / "text"
    path.write_text("text")
    with pytest.warns(NotPersistableWarning, match="it was deleted or renamed"):
        assert await opens_deleted(path, orchestration_backend=DurableBackend(), instance_id="it") == "text"


@make_durable
async def works_in_a_folder():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "draft").write_text("text")
        raise PauseForEventException("go")
        return folder, (folder / "draft").read_text()


async def test_a_temporary_folder_stays_until_its_block_is_left():
    folder, text = await paused(works_in_a_folder)
    assert text == "text"
    assert not folder.exists()


@pytest.mark.parametrize("mode", ["w+", "w+b"])
async def test_a_temporary_file_keeps_what_is_in_it(mode):
    @make_durable
    async def collects(mode):
        with tempfile.TemporaryFile(mode) as opened:
            opened.write("one\n" if mode == "w+" else b"one\n")
            raise PauseForEventException("go")
            opened.write("two\n" if mode == "w+" else b"two\n")
            opened.seek(0)
            first = opened.readline()
            raise PauseForEventException("go")
            return first, opened.read(), opened.tell()

    one, two = ("one\n", "two\n") if mode == "w+" else (b"one\n", b"two\n")
    assert await paused(collects, mode, pauses=2) == (one, two, 8)


@pytest.mark.parametrize("newline", [None, "", "\n", "\r\n"])
async def test_newlines_are_what_was_asked_for_after_a_seek(newline):
    @make_durable
    async def goes_back(newline):
        with tempfile.TemporaryFile("w+", newline=newline) as opened:
            opened.write("one\r\ntwo\n")
            raise PauseForEventException("go")
            opened.seek(0)
            raise PauseForEventException("go")
            first = opened.readline()
            raise PauseForEventException("go")
            rest = opened.read()
            raise PauseForEventException("go")
            opened.write("three\n")
            opened.seek(0)
            return first, rest, opened.read()

    with tempfile.TemporaryFile("w+", newline=newline) as opened:
        opened.write("one\r\ntwo\n")
        opened.seek(0)
        first, rest = opened.readline(), opened.read()
        opened.write("three\n")
        opened.seek(0)
        assert await paused(goes_back, newline, pauses=4) == (first, rest, opened.read())
