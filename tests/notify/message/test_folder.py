"""The organiser's folder of templates and texts."""

from pathlib import Path

import pytest
from jinja2 import Environment, TemplateNotFound

from server.errors import NotStarted
from server.notify.message.folder import HTML, TEXT, Sources, folder_faults, read_templates


def test_templates_are_read_once(tmp_path: Path) -> None:
    """A template says what it said when it was checked, whatever becomes of its file."""
    (tmp_path / TEXT).write_text("before", "utf-8")
    loader = Sources(read_templates(tmp_path))
    (tmp_path / TEXT).write_text("after", "utf-8")

    assert ("before", str(tmp_path / TEXT), None) == loader.get_source(Environment(), TEXT)
    with pytest.raises(TemplateNotFound):
        loader.get_source(Environment(), HTML)
    assert {} == read_templates(None)


def test_what_may_be_in_the_folder(tmp_path: Path) -> None:
    """Our names, texts, what another template includes, and files of editors and systems are no faults."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "logo.html.j2").write_text("")
    (tmp_path / HTML).write_text("{% include 'parts/logo.html.j2' %}")
    for name in ("fr.toml", ".DS_Store", f"{HTML}~", f".{HTML}.swp"):
        (tmp_path / name).write_bytes(b"\xff")

    assert [] == folder_faults(tmp_path)
    assert {HTML, "parts/logo.html.j2"} == set(read_templates(tmp_path))


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("sale_start.html.j2", f"Did you mean {HTML}?"),
        ("sale_started.txt", f"Did you mean {TEXT}?"),
        ("parts.j2", f"There are {HTML}, {TEXT}."),
        ("fr.tml", f"There are {HTML}, {TEXT}."),
    ],
)
def test_a_file_that_nothing_reads_is_told(tmp_path: Path, name: str, cure: str) -> None:
    """A misspelt name is a fault with the name that was meant, as a misspelt key is."""
    (tmp_path / name).write_text("")
    [fault] = folder_faults(tmp_path)

    assert f'{tmp_path / name}: there is no template "{name}", so nothing would read it. {cure}' == fault


def test_a_template_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A template that is not UTF-8, or leads nowhere, is told by its file."""
    (tmp_path / TEXT).write_bytes(b"caf\xe9")
    (tmp_path / HTML).symlink_to(tmp_path / "nothing")
    with pytest.raises(NotStarted) as error:
        read_templates(tmp_path)

    assert f"{tmp_path / TEXT}: it is not UTF-8 (byte 4): save it as UTF-8" in str(error.value)
    assert f"{tmp_path / HTML}: it cannot be read: No such file or directory" in str(error.value)
