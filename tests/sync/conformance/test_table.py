import shutil
import subprocess
import sys
from pathlib import Path

from docs.sqlite_target import SqliteTarget
from server.sync.conformance.suite import CHECKS
from server.sync.conformance.table import checks_table, table
from server.sync.targets import CLASSES, KINDS
from server.sync.targets.target import Abilities

ROOT = Path(__file__).parent.parent.parent.parent
PAGE = ROOT / "docs" / "adding-a-target.md"


def between(marker: str) -> str:
    """What stands in the page between these markers."""
    return PAGE.read_text().partition(f"<!-- {marker} -->\n")[2].partition(f"\n<!-- /{marker} -->")[0]


def test_words() -> None:
    """A row has each ability of a target: a number, or yes or no."""
    rows = table({"box-office": Abilities(parallel=4, deletes=True)}).splitlines()

    assert "| box-office | 4 | yes | yes | yes |" == rows[-1]
    assert 3 == len(rows)


def test_table_in_docs() -> None:
    """The page has what each kind of target, and the example, says of itself."""
    abilities = {kind: one.abilities for kind, one in KINDS.items()}  # type: ignore[attr-defined]

    assert table({**abilities, "sqlite (the example)": SqliteTarget.abilities}) == between("abilities")


def test_checks_in_docs() -> None:
    """The page lists every check, with what a target must do."""
    assert checks_table(CHECKS) == between("checks")


def test_one_file_and_one_line(tmp_path: Path) -> None:
    """The example's file and the line of the page are all that a further kind of target needs."""
    shutil.copytree(ROOT / "server", tmp_path / "server", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "docs" / "sqlite_target.py", tmp_path / "server/sync/targets/sqlite_target.py")
    init = tmp_path / "server/sync/targets/__init__.py"
    [line] = [line for line in PAGE.read_text().splitlines() if line.startswith('    "sqlite": ')]
    init.write_text(init.read_text().replace("CLASSES = {\n", f"CLASSES = {{\n{line}\n"))
    toml = PAGE.read_text().partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "sync.toml").write_text(toml)
    program = (
        "from pathlib import Path\n"
        "from server.sync.mapping_file.file import load\n"
        "from server.sync.targets import KINDS\n"
        "settings = load(Path('sync.toml'), {})['box-office']\n"
        "print(*KINDS, type(KINDS[settings.kind](settings, None)).__name__, len(settings.rules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "" == done.stderr
    assert f"sqlite {' '.join(CLASSES)} SqliteTarget 9\n" == done.stdout
