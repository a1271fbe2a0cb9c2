import re
import tomllib
from pathlib import Path

import pytest

from server.sync.mapping_file.file import load
from server.sync.mapping_file.first_file import first_file, next_steps
from server.sync.mapping_file.kinds import TargetKind, kinds
from server.sync.mapping_file.target_reader import GENERAL
from tests.rig.sync_file import SECRET

KINDS = sorted(kinds())


def switched_on(text: str, *, needed: bool = False) -> str:
    """The file with the # of each setting removed, or only of those that a target needs."""
    head, _, rest = text.partition("\n\n")
    first, _, further = rest.partition("\n\n")
    parts = [head, _on(first), further if needed else _on(further)]
    return "\n\n".join(parts)


def _on(text: str) -> str:
    return re.sub(r"^#(?! |$)", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("kind", KINDS)
def test_first_file_says_nothing(tmp_path: Path, kind: str) -> None:
    """As it is written, the file has no target."""
    text = first_file(kinds()[kind])
    path = tmp_path / "sync.toml"
    path.write_text(text)

    assert {"format": 1} == tomllib.loads(text)
    assert {} == load(path, {})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [None, "old-shop-2"])
def test_first_file_switched_on(tmp_path: Path, kind: str, name: str | None) -> None:
    """With its settings switched on, all or only those that are needed, the file is right, and gives the same target."""
    text = first_file(kinds()[kind], name)
    target = name or f"{kind}-main"
    environ = {kinds()[kind].variable(target): SECRET}
    path = tmp_path / "sync.toml"

    path.write_text(switched_on(text))
    every = load(path, environ)[target]
    path.write_text(switched_on(text, needed=True))
    needed = load(path, environ)[target]

    assert every == needed
    assert {"your-event-slug": "your-event"} == every.events


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_is_explained(kind: str) -> None:
    """The file has every setting of its kind; each has an explanation on its line or the one above, but for parts of tables."""
    one = kinds()[kind]
    text = first_file(one)
    head, _, _ = text.partition(".fields]")
    lines = head.splitlines()
    settings = {
        line.split(" =")[0].lstrip("#"): number for number, line in enumerate(lines) if re.match(r"#[a-z_]+ =", line)
    }

    assert {*GENERAL, *one.settings, *one.further, one.secret} - {"fields", "options", "left_out"} == set(settings)
    assert [] == [
        key
        for key, number in settings.items()
        if key != "kind" and not lines[number - 1].startswith("# ") and "# " not in lines[number][1:]
    ]
    assert [f"#[targets.{kind}-main.{name}]" for name in ("fields", "options", "left_out")] == re.findall(
        r"^#\[targets\..*\.(?:fields|options|left_out)\]$", text, re.MULTILINE
    )


def test_kind_without_anything() -> None:
    """A kind without secret, settings and mapping has a first file too."""
    one = TargetKind("x", "", None, frozenset(), False, {}, frozenset(), {}, {}, {}, {}, {}, {})
    table = tomllib.loads(switched_on(first_file(one)))["targets"]["x-main"]

    assert {*GENERAL} - {"fields", "options", "left_out"} == set(table)


def test_next_steps() -> None:
    """After a first file its path, what to fill in, the variable of the secret and the next command are told."""
    steps = next_steps(kinds()["pretix"], Path("here/sync.toml"))

    for part in (
        "here/sync.toml is written",
        "fill in: organizer, url, events",
        "PRETIX_MAIN_TOKEN=…",
        "3. Run `ticket-counter sync plan",
    ):
        assert part in steps
    without = TargetKind("x", "", None, frozenset(), False, {}, frozenset(), {}, {}, {}, {}, {}, {})
    assert "  2. Run `ticket-counter sync plan" in next_steps(without, Path("sync.toml"))
