from pathlib import Path

import pytest

from server.errors import NotStarted
from server.toml_file.document import Document, read, refused, write_first

COMMAND = "ticket-counter things init"


def read_there(path: Path) -> Document:
    found = read(path, "THINGS_FILE", COMMAND)
    assert found is not None
    return found


def refusal(path: Path, *, required: bool = False) -> str:
    with pytest.raises(NotStarted) as caught:
        read(path, "THINGS_FILE", COMMAND, required=required)
    return str(caught.value)


@pytest.mark.parametrize("text", ["format = 1\n[a]\nb = 2\n", "\ufeffformat = 1\r\n[a]\r\nb = 2\r\n"])
def test_file_is_read(tmp_path: Path, text: str) -> None:
    """A file is read with the line of each key, also with a byte order mark and with the line ends of Windows."""
    path = tmp_path / "things.toml"
    path.write_bytes(text.encode())
    found = read_there(path)

    assert {"format": 1, "a": {"b": 2}} == found.tables
    assert (3, 2, 1) == (found.line("a", "b"), found.line("a", "c"), found.line("x"))
    found.check_format()
    assert not found.faults


def test_faults_have_the_line(tmp_path: Path) -> None:
    """A fault is told with the file and the line of its key; all of them make one error."""
    path = tmp_path / "things.toml"
    path.write_text("\nformat = 2\n[a]\nb = 2\n")
    found = read_there(path)
    found.check_format()
    found.faults.add("b is wrong", "a", "b")

    lines = [f"{path}:2: format is 2: this version reads format 1", f"{path}:4: b is wrong"]
    assert lines == found.faults.texts()
    assert f"the file {path} cannot be used:\n  {lines[0]}\n  {lines[1]}" == str(refused(path, *lines))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "format is missing: write format = 1 at the top"),
        ("format = true", "format is true: this version reads format 1"),
        ('format = "1"', 'format is "1": this version reads format 1'),
    ],
)
def test_wrong_format(tmp_path: Path, text: str, fault: str) -> None:
    """A file without the format of this version is told so."""
    path = tmp_path / "things.toml"
    path.write_text(text)
    found = read_there(path)
    found.check_format()

    assert [f"{path}:1: {fault}"] == found.faults.texts()


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A file that is missing, is a folder, or is no text is named with the setting and what to do."""
    path = tmp_path / "things.toml"

    assert read(path, "THINGS_FILE", COMMAND) is None
    assert f"the file {path}, which THINGS_FILE names, does not exist: `{COMMAND}` writes a first one" == refusal(
        path, required=True
    )
    assert f"{tmp_path}, which THINGS_FILE names, is a folder: name a file, such as {path}" == refusal(tmp_path)
    path.write_bytes(b"\xff\xfe")
    assert refusal(path).startswith(f"the file {path} cannot be read as UTF-8 text: ")
    assert refusal(path / "x").startswith(f"the file {path / 'x'} cannot be read: ")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a = 1\n\nb = c", "3: this is no TOML: Invalid value"),
        ('a = """\n\n', "3: this is no TOML: "),
        ("[a]\n[a]\n", "2: this is no TOML: a key or a table of this name stands above already: give it another name"),
        (f"a = {'[' * 100_000}", "1: it is nested too deeply"),
    ],
)
def test_broken_toml(tmp_path: Path, text: str, fault: str) -> None:
    """What is no TOML is told with its line."""
    path = tmp_path / "things.toml"
    path.write_text(text)

    assert refusal(path).startswith(f"the file {path} cannot be used:\n  {path}:{fault}")


def test_write_first(tmp_path: Path) -> None:
    """A first file is written where there is none, and never over one."""
    path = tmp_path / "things.toml"
    write_first(path, "ä = 1")

    assert "ä = 1" == path.read_text(encoding="utf-8")
    with pytest.raises(NotStarted, match="exists already, and is left as it is"):
        write_first(path, "")
    with pytest.raises(NotStarted, match="cannot be written"):
        write_first(tmp_path / "no" / "x", "")
