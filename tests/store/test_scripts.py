from pathlib import Path

import pytest

from server.redis.client import Script
from server.store import scripts

READ = {name: found for name, found in vars(scripts).items() if isinstance(found, Script)}


def test_included_files_come_first() -> None:
    """The text of a script is its file, after the files that its first line includes."""
    claim = scripts.read("claim")

    assert claim.text.startswith("-- clock:")
    assert claim.text.index("-- clock:") < claim.text.index("-- budget:") < claim.text.index("-- claim:")
    assert 40 == len(claim.sha)
    assert (claim.name, claim.text) == (scripts.CLAIM.name, scripts.CLAIM.text)


def test_script_constants_are_named_after_files() -> None:
    """The constant of each script is the name of its file in capitals."""
    assert {script.name.upper() for script in READ.values()} == set(READ)


@pytest.mark.parametrize("path", sorted(scripts.FOLDER.glob("*.lua")), ids=lambda path: path.stem)
def test_no_script_decodes_json(path: Path) -> None:
    """No file decodes JSON, which would break large integers and empty lists; each begins with its description."""
    text = path.read_text()

    assert "cjson" not in text
    assert f"-- {path.stem}: " in "\n".join(text.splitlines()[:2])


@pytest.mark.parametrize("path", sorted(scripts.FOLDER.glob("*.lua")), ids=lambda path: path.stem)
def test_every_lua_file_is_used(path: Path) -> None:
    """Every file in lua/ is part of a script."""
    assert any(path.read_text() in script.text for script in READ.values())
