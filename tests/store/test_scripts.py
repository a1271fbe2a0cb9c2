from pathlib import Path

import pytest

from server.redis.client import Script
from server.store import scripts

READ = {name: found for name, found in vars(scripts).items() if isinstance(found, Script)}


def test_files() -> None:
    """A script is its file, after those that its first line names."""
    claim = scripts.read("claim")

    assert claim.text.startswith("-- clock:")
    assert claim.text.index("-- clock:") < claim.text.index("-- budget:") < claim.text.index("-- claim:")
    assert 40 == len(claim.sha)
    assert (claim.name, claim.text) == (scripts.CLAIM.name, scripts.CLAIM.text)


def test_names() -> None:
    """A script's constant is the name of its file in capitals."""
    assert {name.upper() for name in (script.name for script in READ.values())} == set(READ)


@pytest.mark.parametrize("path", sorted(scripts.FOLDER.glob("*.lua")), ids=lambda path: path.stem)
def test_plain(path: Path) -> None:
    """No script decodes JSON, which would break large integers and empty lists, and each says what it is first."""
    text = path.read_text()

    assert "cjson" not in text
    assert f"-- {path.stem}: " in "\n".join(text.splitlines()[:2])


@pytest.mark.parametrize("path", sorted(scripts.FOLDER.glob("*.lua")), ids=lambda path: path.stem)
def test_used(path: Path) -> None:
    """Every file in lua/ is part of a script."""
    assert any(path.read_text() in script.text for script in READ.values())
