"""scripts/build-widget: what it joins, what it refuses, and that what is committed is what it makes."""

import gzip
import subprocess
import sys
from pathlib import Path

import brotli  # type: ignore[import-untyped]
import pytest
from playwright.async_api import Page

SCRIPT = Path(__file__).parent.parent / "scripts" / "build-widget"


class Modules:
    """A folder of modules, and the file that they are built into."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "src"
        self.source.mkdir()
        self.out = folder / "ticket-counter.js"

    def build(self, *words: str, **modules: str) -> tuple[int, str]:
        """Write these modules and build them: the status, and what was printed as an error."""
        for name, text in modules.items():
            (self.source / f"{name}.js").write_text(text)
        run = subprocess.run(
            [sys.executable, SCRIPT, "--source", self.source, "--out", self.out, *words],
            check=False,
            capture_output=True,
            text=True,
        )
        return run.returncode, run.stderr


@pytest.fixture
def modules(tmp_path: Path) -> Modules:
    return Modules(tmp_path)


HOME = """/** Where an `import` may stand: "export" in a comment is none. */
export const HOME = `it\'s ${[1, 2].map((one) => `${one}/`).join("")} /* no comment */`;
export const [FIRST, SECOND] = [1, 2];
const hidden = /[/"]_name/.test("/_name");
export class Box {
  _inside = hidden;
  #own = 1;
  get _all() {
    return [this._inside, this.#own, "_outside", { _inside: 3 }._inside, 8 / 2 / 1];
  }
}
"""
ELEMENT = """import { HOME, FIRST } from "./home.js";
import { Box } from "./home.js";

const STYLE = `
  :host { color: red }
  [part=a]::after { content: "  " }`;
const { _all } = new Box();
globalThis.found = [HOME, FIRST, STYLE, _all];
"""


async def test_joined_script_does_what_its_modules_do(modules: Modules, page: Page) -> None:
    """The file does what the modules do, as a classic script and as a module, with no global name; only style sheets are shortened."""
    assert (0, "") == modules.build(home=HOME, element=ELEMENT)
    built = modules.out.read_text()
    found = []
    for kind in ("text/javascript", "module"):
        await page.goto("about:blank")
        before = await page.evaluate("Object.keys(window).length")
        await page.add_script_tag(content=built, type=kind)
        await page.add_script_tag(content=built, type=kind)
        await page.wait_for_function("window.found")
        found.append(await page.evaluate("found"))
        assert 1 == await page.evaluate("Object.keys(window).length") - before

    style = ':host{color:red}[part=a]::after{content:"  "}'
    expected = ["it's 1/,2/ /* no comment */".replace(",", ""), 1, style, [True, 1, "_outside", 3, 4]]
    assert [expected, expected] == found


def test_names_are_shortened(modules: Modules) -> None:
    """Names that begin with an underscore are short in the file; those in strings and regular expressions stay."""
    modules.build(home=HOME)
    built = modules.out.read_text()

    assert ("_inside" in built, "_all" in built) == (False, False)
    assert ('"_outside"' in built, '/[/"]_name/' in built) == (True, True)


def test_compressed_forms(modules: Modules) -> None:
    """Both compressed forms are of the file, and smaller than zlib makes it."""
    modules.build(home=HOME)
    built = modules.out.read_bytes()

    small, zipped = (modules.out.with_suffix(f".js.{end}").read_bytes() for end in ("br", "gz"))
    assert [built, built] == [brotli.decompress(small), gzip.decompress(zipped)]
    assert len(small) < len(zipped) <= len(gzip.compress(built, 9))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ({"other": "const a = 1;"}, "other: add it to MODULES in scripts/build-widget"),
        ({"home": "const a = 1;", "words": "let b, a = 2;"}, "words.js: home.js has a a, too"),
        ({"home": "export class A {}", "words": "const { x, y: [A] } = f();"}, "words.js: home.js has a A, too"),
        ({"home": "export const a = 1;", "words": 'import { b } from "./home.js";'}, "home.js before it exports no b"),
        (
            {"home": 'import { a } from "./words.js";', "words": "export const a = 1;"},
            "words.js before it exports no a",
        ),
        ({"words": 'import { a as b } from "./home.js";'}, "words.js: line 1: write `import { a, b } from"),
        ({"words": 'import * as home from "./home.js";'}, "words.js: line 1: write `import { a, b } from"),
        ({"words": "\nexport default 1;"}, "words.js: line 2: write `export const x = …`"),
        ({"words": "const a = 1;\nexport { a };"}, "words.js: line 2: write `export const x = …`"),
        ({"words": "export function a() {}"}, "words.js: line 1: write `export const x = …`"),
        ({"words": "function a() {}"}, "write `const name = () => …`: in a classic script a function here is a global"),
        ({"words": 'const a = () => import("./home.js");'}, "`import` stands where it cannot be joined"),
        ({"words": "const a = { _b: 1 }; f(a, '_b');"}, "_b stands in a string, too"),
        ({"words": "const a = `\n${1}`;"}, "a template of several lines is taken for a style sheet"),
        ({"words": "const a = ;"}, "the minifier does not understand the script"),
        ({"words": "const a = \u00a7;"}, "is not understood"),
    ],
)
def test_what_is_refused(modules: Modules, source: dict[str, str], told: str) -> None:
    """A source that cannot be joined is refused with the reason, and nothing is written."""
    status, error = modules.build(**source)

    assert (2, True, False) == (status, told in error, modules.out.exists()), error


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ("const t = []; const { e } = p({ e: t }); return m(t, e);", True),
        ("const t = []; const { e } = p({ e: q ? t : 1 }); return m(t, e);", True),
        ("const t = []; const { e } = p(q ? t : 1); return m(t, e);", False),
        ("const t = []; const { e } = p({ t: 1 }); return m(t, e);", False),
        ("const t = []; const { e } = p(q.t); return m(t, e);", False),
        ("const t = []; const g = () => t; const { e } = p(); return m(t, e, g);", False),
        ("const t = p(); const [e] = t; return m(t, e);", False),
    ],
)
def test_declarations_that_the_minifier_moves(modules: Modules, body: str, *, refused: bool) -> None:
    """A declaration that the minifier would move before one that it uses is refused; others are built."""
    status, error = modules.build(element=f"const f = (p, m, q) => {{ {body} }}; f(f, f); f(f, f);")

    assert (2 if refused else 0, refused) == (
        status,
        "the minifier moves the declaration of e before that of t" in error,
    )


def test_check(modules: Modules) -> None:
    """`--check` tells which file is not current, and writes nothing."""
    modules.build(home=HOME)
    current = modules.build("--check")
    modules.out.with_suffix(".js.br").write_bytes(brotli.compress(b"older"))
    other = modules.build("--check")
    modules.out.with_suffix(".js.gz").unlink()
    changed = modules.build("--check", home=HOME.replace("no comment", "none"))

    assert [(0, ""), 1, 1] == [current, other[0], changed[0]]
    assert "scripts/build-widget: ticket-counter.js.br is not current: run scripts/build-widget" in other[1]
    assert ": ticket-counter.js, ticket-counter.js.br, ticket-counter.js.gz is not current" in changed[1]
    assert "no comment" in modules.out.read_text()


def test_committed_widget_is_current() -> None:
    """The files that are served are what the modules make."""
    run = subprocess.run([sys.executable, SCRIPT, "--check"], check=False, capture_output=True, text=True)

    assert (0, "") == (run.returncode, run.stderr)
