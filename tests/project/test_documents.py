"""What the documents show is what happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .documents import ROOT, Session, fences

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_examples_of_a_document_hold(document: Path, tmp_path: Path) -> None:
    session = Session(tmp_path)
    for fence in fences(document):
        try:
            session.carry_out(fence)
        except AssertionError as error:
            raise AssertionError(f"{document.name}:{fence.line}: {error}") from None


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "CHANGELOG.md"], ids=lambda path: path.name)
def test_the_links_of_a_document_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]*)(?:#[^)]*)?\)", document.read_text()):
        assert not target or (document.parent / target).exists(), f"{document.name} links to {target}"


def test_a_document_that_says_what_is_not_so_is_found(tmp_path: Path) -> None:
    document = tmp_path / "wrong.md"
    document.write_text('```python one.py\nprint("one")\n```\n```console\n$ python one.py\ntwo\n```\n')
    session = Session(tmp_path)
    file, console = fences(document)
    session.carry_out(file)
    with pytest.raises(AssertionError, match="one"):
        session.carry_out(console)
