"""The widget's types, with TypeScript and with React's types (scripts/setup-typescript installs them)."""

import json
import subprocess
from pathlib import Path
from shutil import copy

import pytest

ROOT = Path(__file__).parent.parent.parent
WIDGET = ROOT / "widget"
PAGE = """
import type {} from "./ticket-counter";
const one = document.querySelector("ticket-counter");
const left: number | null | undefined = one?.counter?.unsold;
one?.addEventListener("ticket-counter", function (event) { const state: "low" | string = event.counter.state; this.counter; });
document.addEventListener("ticket-counter", ({ counter }) => counter.prices.map(({ amount }) => amount.length));
one?.addEventListener("click", (event) => event.clientX);
const made = document.createElement("ticket-counter");
made.hidden = left === 0;
"""
JSX = """
import type {} from "./ticket-counter.react";
export const counter = (many: boolean) => (
  <ticket-counter ticket="1" show-name={many || undefined} show-price="" text-low-one="The last one" className="big" key="1">
    Tickets
  </ticket-counter>
);
"""


@pytest.fixture(scope="module")
def tools() -> Path:
    """Where TypeScript is installed."""
    run = subprocess.run([ROOT / "scripts" / "setup-typescript"], check=True, stdout=subprocess.PIPE, text=True)
    return Path(run.stdout.strip()) / "node_modules"


def compiled(tools: Path, *words: str | Path) -> tuple[int, str]:
    """The compiler's status and what it says."""
    run = subprocess.run(
        ["node", tools / "typescript" / "bin" / "tsc", *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return run.returncode, run.stdout


def of_page(tools: Path, folder: Path, text: str, react: str = "@types/react") -> tuple[int, str]:
    """Compile a page's script strictly, beside the widget's types and with these types of React."""
    (folder / "page.tsx").write_text(text)
    for path in WIDGET.glob("*.d.ts"):
        copy(path, folder)
    paths = {
        "react": [str(tools / react)],
        "react/*": [str(tools / react / "*")],
        "csstype": [str(tools / "csstype")],
        "prop-types": [str(tools / "@types" / "prop-types")],
    }
    options = {
        "strict": True,
        "noEmit": True,
        "jsx": "react-jsx",
        "target": "es2022",
        "lib": ["es2022", "dom", "dom.iterable"],
        "module": "es2022",
        "moduleResolution": "bundler",
        "types": [],
        "paths": paths,
    }
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "include": ["*.ts", "*.tsx"]}))
    return compiled(tools, "-p", folder)


def test_sources(tools: Path) -> None:
    """The widget's modules have no error of types."""
    assert (0, "") == compiled(tools, "-p", WIDGET / "tsconfig.json")


def test_typescript(tools: Path, tmp_path: Path) -> None:
    """A page in TypeScript knows the element, its counter and its event."""
    assert (0, "") == of_page(tools, tmp_path, PAGE)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (PAGE + "made.counter = null;", "read-only property"),
        (PAGE + "made.counter?.left;", "'left' does not exist"),
        (JSX.replace('ticket="1"', "ticket={1}"), "'number' is not assignable to type 'string'"),
        (JSX.replace("many || undefined", "many"), "not assignable to type"),
        (JSX.replace("ticket=", "tikcet="), "'tikcet' does not exist"),
    ],
)
def test_mistakes_are_errors(tools: Path, tmp_path: Path, text: str, fault: str) -> None:
    """A name or a value that the element does not have is an error."""
    status, said = of_page(tools, tmp_path, text)

    assert (2, True) == (status, fault in said), said


@pytest.mark.parametrize("react", ["@types/react", "react18types"])
def test_react(tools: Path, tmp_path: Path, react: str) -> None:
    """React 18 and 19 know the tag with its attributes, own wording too, beside those of every element."""
    assert (0, "") == of_page(tools, tmp_path, JSX, react)


def test_custom_elements_manifest(tools: Path) -> None:
    """custom-elements.json is as its schema wants it."""
    script = """
      const [tools, file] = process.argv.slice(1);
      const Ajv = require(tools + "/ajv").default;
      const check = new Ajv({ strict: false }).compile(require(tools + "/custom-elements-manifest/schema.json"));
      check(require(file));
      console.log(JSON.stringify(check.errors));
    """
    run = subprocess.run(
        ["node", "-e", script, tools, WIDGET / "custom-elements.json"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )

    assert json.loads(run.stdout) is None, run.stdout
