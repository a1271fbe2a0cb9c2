"""What can drift apart is tested not to: files and their tests, words and numbers that stand in two places."""

import ast
import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server import push_subscription, query, settings_table, unsubscribe, webhook, wire
from server.counter import Counter, Rules, State
from server.http import connection, descriptors, idle
from server.hub import disallowed, feed, heartbeat, rereads, site_lookup, unconfirmed
from server.live import admission, frames, websocket
from server.model import Sale, SaleStatus, SiteId
from server.notify import confirmations
from server.notify.audience import calls as audience_calls
from server.notify.audience import mailman
from server.notify.channels import push
from server.store import notify_requests, push_subscriptions
from server.store.budget import Budget
from server.store.timing import micros
from server.sync.targets import calls
from server.tell_me import posts
from server.wix import signature
from tests.rig.default_keys import key
from tests.rig.fake_reader import FakeReader, definition
from tests.rig.process import Run
from tests.rig.redis import SERVERS, RedisServer, free_port, until
from tests.rig.server import OTHER, SITE, TICKET
from tests.rig.server import until as until_async

ROOT = Path(__file__).parent.parent

UNTESTED = {
    "sandbox/errors.py": "a tree of names; each is raised in the tests of the modules that raise it",
    "sandbox/observer.py": "a protocol without code",
    "server/errors.py": "a tree of names; each is raised in the tests of those who raise it",
    "server/notify/announcement.py": "values without code",
    "server/notify/audience/mailman.py": "tests/mailman tests it against a real Mailman (scripts/test-notify)",
    "server/notify/channels/channel.py": "a protocol and values without code",
    "server/notify/timing.py": "values without code",
    "server/sync/stores.py": "a bundle of stores, without code of its own",
    "server/sync/targets/target.py": "a protocol without code",
    "server/sync/targets/pretix/target.py": "tests/pretix tests it against a real pretix (scripts/test-pretix)",
    "server/sync/targets/pretix/api.py": "tests/pretix tests it against a real pretix (scripts/test-pretix)",
    "server/sync/targets/pretix/items.py": "tests/pretix tests it against a real pretix (scripts/test-pretix)",
    "server/sync/targets/pretix/options.py": "tests/pretix tests it against a real pretix (scripts/test-pretix)",
    "server/sync/targets/pretix/quotas.py": "tests/pretix tests it against a real pretix (scripts/test-pretix)",
    "server/sync/targets/pretix/work.py": "tests/pretix tests it against a real pretix (scripts/test-pretix)",
}
"""Sources without a test file of their own, and why."""

SOURCELESS = {
    "tests/live/test_conformance.py": "RFC 6455 as a whole, which server/live/websocket.py and frames.py keep together",
    "tests/store/test_key_table.py": "the table of keys is the docstring of server/store/__init__.py",
    "tests/test_build_widget.py": "scripts/build-widget is a program, no module",
    "tests/test_house.py": "the house is not in one file",
    "tests/test_isolation.py": "deployments that share a Redis are kept apart by all that write to it or listen to it",
    "tests/test_journey.py": "from a signed webhook to a number on the page: the whole house at once",
    "tests/test_monitoring.py": "deploy/alerts.yaml and deploy/grafana-dashboard.json are no Python",
    "tests/test_own_rules.py": "what a web process shows of that which others publish and store, from end to end",
    "tests/test_redaction.py": "what is hidden stays so on its way through all of them",
    "tests/test_setup.py": "scripts/setup is no Python",
    "tests/test_shop_page.py": "sandbox/shop.html and its script are no Python",
    "tests/test_widget.py": "widget/ticket-counter.js is no Python",
    "tests/test_widget_announcer.py": "widget/src/announcer.js is no Python",
    "tests/test_widget_element.py": "widget/src/element.js is no Python",
    "tests/test_widget_connection.py": "the connection of widget/ticket-counter.js, which is no Python",
    "tests/test_widget_fallback.py": "the ways to connect of widget/ticket-counter.js, which is no Python",
    "tests/test_widget_line.py": "the connection of widget/ticket-counter.js, which is no Python",
    "tests/test_widget_size.py": "widget/ticket-counter.js is no Python",
    "tests/test_widget_types.py": "the widget's types are no Python",
    "tests/test_widget_sentences.py": "widget/src/words.js and sentence.js are no Python",
    "tests/test_widget_looks.py": "the looks of widget/ticket-counter.js, which is no Python",
    "tests/test_widget_readme.py": "widget/README.md is no Python",
    "tests/test_widget_words.py": "the sentences of widget/ticket-counter.js, which is no Python",
}
"""Tests of no single source file, and why."""

FLOORS = {
    # Forged and malicious tokens: keys taken for HMAC secrets, headers that must be understood ignored, nested ones that
    # end the process.
    "pyjwt[crypto]": (2, 15),
    # Addresses of a request that its Host header forged, and ranges of a file that cost the server more than the client.
    "starlette": (1, 3),
    # Answers of Redis given to another task after a cancelled call, and subscriptions of a cluster that never came back.
    "redis[hiredis]": (8, 1),
}
"""Versions below which a dependency has a known way in, and which kind: no lower version may be asked for."""

NOT_OURS = re.compile(
    # Registries: locks and scripts work with any mirror, and name none.
    r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|deb\.debian\.org"
    # Folders of one machine: no other machine has them.
    r"|(?<![\w.})-])/(?:work|root)/"
)


def tracked() -> list[str]:
    """Return the files of the repository, with those that are new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def says_nothing(path: Path) -> bool:
    """Tell whether a file holds only its docstring and what it passes on from others."""
    return all(
        isinstance(node, ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
        for node in ast.parse(path.read_text()).body
    )


def claims(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Find the test functions of a file, in classes too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            yield node


def test_each_source_has_its_tests() -> None:
    """A source file is tested by the test file of its name, in the folder of its name; the sandbox's are in tests/sandbox."""
    missing = []
    for path in sorted((*ROOT.glob("sandbox/**/*.py"), *ROOT.glob("server/**/*.py"))):
        source = path.relative_to(ROOT)
        if path.name == "__init__.py" and says_nothing(path):
            continue
        folders = source.parts[1:-1] if source.parts[0] == "server" else source.parts[:-1]
        if not ROOT.joinpath("tests", *folders, f"test_{source.name}").exists():
            missing.append(str(source))

    assert missing == sorted(UNTESTED)


def test_each_test_has_its_source() -> None:
    """A test file is named after what it tests: a source file of the server, the sandbox, or a reason in SOURCELESS.

    `test_y.py` and `test_y_aspect.py` test `y.py`. A file of tests/fire or tests/doors is one theme, of the whole
    house; one of tests/pretix or tests/mailman is what a real pretix or Mailman does with it, one of tests/deploy a part of deploy/,
    one of tests/frameworks what a tool of another language makes of the widget.
    one of tests/engines what browsers do with the widget.
    """
    homeless = []
    for path in sorted(ROOT.glob("tests/**/test_*.py")):
        test = path.relative_to(ROOT)
        if test.parts[1] in {"fire", "doors", "pretix", "mailman", "deploy", "engines", "frameworks"}:
            continue
        words = path.stem.split("_")[1:]
        sources = [Path(*test.parts[1:-1], "_".join(words[:end]) + ".py") for end in range(1, len(words) + 1)]
        if not any((ROOT / "server" / source).exists() or (ROOT / source).exists() for source in sources):
            homeless.append(str(test))

    assert homeless == sorted(SOURCELESS)


NAME = re.compile(r"\w+\.(?:py|lua)|\w+/")
"""A file or a folder on a map."""


def named_on_map(package: str) -> Iterator[str]:
    """Find the files and folders that a package's map, its docstring, names; answers their paths below the package.

    A line is `a.py  what it is`, or `a.py b.py`, or `folder/  what it is: a.py b.py`. Lines below that are indented more
    are the folder's too.
    """
    text = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text())) or ""
    folders: list[tuple[int, str]] = []
    for line in text.splitlines():
        first, *rest = re.split(r" {2,}", line.strip(), maxsplit=1)
        names = first.split()
        if not names or not all(map(NAME.fullmatch, names)):
            continue
        indent = len(line) - len(line.lstrip())
        while folders and folders[-1][0] >= indent:
            folders.pop()
        if names[0].endswith("/"):
            yield "".join(name for _, name in folders) + names[0]
            folders.append((indent, names[0]))
            names = [*names[1:], *(word for word in " ".join(rest).split() if NAME.fullmatch(word))]
        yield from ("".join(name for _, name in folders) + name for name in names)


PACKAGES = [
    "server",
    "sandbox",
    *(f"server/{name}" for name in ("cli", "http", "hub", "live", "redis", "refresh", "store", "wix")),
]


@pytest.mark.parametrize("package", PACKAGES)
def test_map_names_every_file(package: str) -> None:
    """The map in a package's docstring names each of its files, or for scripts their folder, and nothing else."""
    there = [Path(name).relative_to(package) for name in tracked() if name.startswith(f"{package}/")]
    files = {str(path) for path in there}
    folders = {f"{folder}/" for path in there for folder in path.parents[:-1]}
    named = set(named_on_map(package))

    assert sorted(named - files - folders) == []
    assert [
        str(path)
        for path in there
        if path.suffix in {".py", ".lua"} and path.name != "__init__.py" and str(path) not in named
        if path.suffix == ".py" or f"{path.parent}/" not in named
    ] == []


def test_each_test_is_run() -> None:
    """Every test file is among those of the normal run, or of a script of its own."""
    normal = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["testpaths"]
    longer = re.findall(r"testpaths=(\S+)", "".join(path.read_text() for path in ROOT.glob("scripts/test-*")))
    run = {file for path in (*normal, *longer) for one in ROOT.glob(path) for file in (one, *one.rglob("*.py"))}

    assert set(ROOT.glob("tests/**/test_*.py")) - run == set()
    assert {"fire", "doors", "pretix", "mailman", "deploy", "engines", "frameworks"} == {
        Path(path).name for path in longer
    }


def test_each_test_says_its_law() -> None:
    """Every test has a docstring of one sentence."""
    silent = [
        f"{path.relative_to(ROOT)}::{test.name}"
        for path in sorted(ROOT.glob("tests/**/test_*.py"))
        for test in claims(path)
        if not (ast.get_docstring(test) or "").strip().endswith(".")
    ]

    assert silent == []


def test_each_law_is_named() -> None:
    """Each law of the house (CONTRIBUTING.md) is proven by at least one test that names it."""
    numbered = re.findall(
        r"^(\d+)\. ", (ROOT / "CONTRIBUTING.md").read_text().partition("## The laws")[2], re.MULTILINE
    )
    named = {
        law
        for path in ROOT.glob("tests/**/test_*.py")
        for test in claims(path)
        for law in re.findall(r"[Ll]aw (\d+)", ast.get_docstring(test) or "")
    }

    assert len(numbered) == 18
    assert set(numbered) == named


def test_settings_in_readme() -> None:
    """The README's table of settings is the one that `ticket-counter settings` prints."""
    readme = (ROOT / "README.md").read_text()
    _, table, _ = re.split(r"<!-- /?settings -->\n", readme)

    assert table.strip() == settings_table.table().strip()


def test_map_in_readme() -> None:
    """The README's map is that of server/__init__.py."""
    _, shown, _ = re.split(r"<!-- /?map -->\n", (ROOT / "README.md").read_text())
    text = ast.get_docstring(ast.parse((ROOT / "server" / "__init__.py").read_text())) or ""
    _, _, drawn = text.partition("Where things are:\n\n")

    assert shown == f"```\n{textwrap.dedent(drawn).rstrip()}\n```\n"


def test_version_in_changelog() -> None:
    """The changelog's newest version is the one in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    newest = re.search(r"^## \[?v?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert newest is not None
    assert newest[1] == project["version"]


def locked(lock: str) -> dict[str, str]:
    """The version of each package of a lock that has a hash; a line may name extras."""
    lines = r"^([\w.-]+)(?:\[[\w,-]+\])?==([\d.]+)[^\n]* \\\n +--hash="
    return dict(re.findall(lines, (ROOT / lock).read_text(), re.MULTILINE))


def test_locks_hold_what_the_project_asks_for() -> None:
    """Every dependency of pyproject.toml is in the lock that is installed, with a hash."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["embedded"]]
    asked = {
        "requirements.lock": [*needed, *project["dependency-groups"]["build"]],
        "requirements-dev.lock": [*needed, *project["dependency-groups"]["dev"]],
    }

    for lock, requirements in asked.items():
        names = {re.split(r"[\[>=<~!; ]", requirement)[0].lower() for requirement in requirements}
        assert names - set(locked(lock)) == set(), f"run scripts/lock: not in {lock}"


LIMITS = {
    "Time": f"{signature.LEEWAY:.0f} s",
    "Token header": f"{signature.LONGEST_HEADER:,} characters",
    "Size": f"{webhook.LARGEST:,} bytes",
    "Incomplete bodies": f"{webhook.MOST_BUFFERED // 1_000_000} MB",
    "Slow body": f"{webhook.READ_WITHIN:.0f} s",
    "Redis unavailable": f"{webhook.ANSWER_WITHIN} s",
    "Request head": f"{connection.LONGEST_HEAD // 1024} KiB",
    "Slow head": f"{connection.HEAD_WITHIN:.0f} s",
    "Request body": f"{connection.HEAD_WITHIN:.0f} s",
    "Unread answer": f"{websocket.STUCK:.0f} s",
    "Idle connections": f"{idle.MOST:,};",
    "Viewers in one process": f"({admission.MAX_CONNECTIONS:,})",
    "Viewers from one address": f"({admission.MAX_CONNECTIONS_PER_ADDRESS})",
    "File descriptors": f"{descriptors.KEPT_BACK:,} (a quarter",
    "Query string": f"{query.LONGEST_QUERY:,} bytes, 1 to {query.MOST_TICKETS} GUIDs",
    "Unknown tickets": f"{Budget().first_reads} first reads",
    "Ids without a site, where several sites are known: asked for at once": (
        f"{site_lookup.MOST_ASKED:,} in one process, {site_lookup.MOST_ASKED_PER_ADDRESS} for one address"
    ),
    "The same, which no site has: remembered": (
        f"{site_lookup.MOST_UNKNOWN:,} in one process, for {site_lookup.UNKNOWN_FOR:.0f} s"
    ),
    "Unconfirmed ids of tickets and names of events, in memory and in Redis": f"{unconfirmed.MAX_UNCONFIRMED:,} in one process",
    "Unconfirmed ids of one address": f"{unconfirmed.MAX_PER_ADDRESS} at once",
    "Calls to Wix": f"{Budget().capacity + 60 * Budget().refill:.0f} in any minute",
    "Text of a counter": f"{wire.LONGEST_COUNTER:,} characters",
    "Forged version": f"{2 * feed.ROUND_EVERY:.0f} s",
    "Published counters that are not shown": f"once in {disallowed.READ_EVERY:.0f} s",
    "Stored counters that are not shown": f"once in {rereads.MARK_EVERY:.0f} s",
    "Message": f"{websocket.MAX_MESSAGE:,} bytes",
    "Frames of one message": f"{frames.MAX_FRAMES}",
    "Message rate": f"{websocket.MAX_RECEIVED} texts, pings and unasked pongs in {websocket.RECEIVED_WITHIN:.0f} s",
    "Stuck reader": f"{websocket.STUCK:.0f} s",
    "Unanswered ping": f"{heartbeat.BEAT_EVERY:.0f} s",
    "Unanswered close": f"{websocket.CLOSE_WITHIN:.0f} s",
    "Body of these": f"{posts.LARGEST:,} bytes, counted as they arrive; {posts.READ_WITHIN:.0f} s",
    "Endpoint of a browser": f"{push_subscription.LONGEST_ENDPOINT:,} characters",
    "Keys of a browser": f"in {push_subscription.KEY_BYTES} bytes, and {push_subscription.AUTH_BYTES} bytes",
    "A subscription counts": f"lasts {push_subscriptions.UNCONFIRMED_LASTS // 60} minutes",
    "Unconfirmed subscriptions of a site": f"{push_subscriptions.MOST_UNCONFIRMED:,}: a new one",
    "Unconfirmed subscriptions of one address": f" {push_subscriptions.MOST_OF_SENDER}, an IPv6",
    "Confirmed subscriptions of a site": f"{push_subscriptions.MOST:,}, each for {push_subscriptions.KEPT_FOR // 86_400} days",
    "First pushes to one browser": f"one in {push_subscriptions.ASKED_LASTS // 3600} hours",
    "First pushes in all": f"{confirmations.PER_SECOND:.0f} a second",
    "Messages to push services": f"{push.WITHIN:.0f} s;",
    "Token of a link to leave": f"up to {unsubscribe.LONGEST_TOKEN:,} characters",
    "Body of that POST": f"{unsubscribe.LARGEST:,} bytes, counted as they arrive, read and ignored; {unsubscribe.READ_WITHIN:.0f} s",
    "Redis unavailable for an opt-out": f"{unsubscribe.ANSWER_WITHIN:.0f} s",
    "Opt-outs on their way to the tool": f"{notify_requests.MOST_WAITING['opt-out']:,} of a site, one for each address and list; "
    f"the same is not asked of the tool twice in {notify_requests.DONE_LATELY / 60:.0f} minutes",
    "Sign-ups of one address on the Internet": f"{notify_requests.SIGN_UPS_OF_SENDER} in an hour",
    "Sign-ups of one recipient": f"once a day for an event, for {notify_requests.SIGN_UPS_OF_RECIPIENT} events at most",
    "Sign-ups on their way to the tool": f"{notify_requests.MOST_WAITING['sign-up']:,} of a site",
    "Answer of a marketing tool": f"{audience_calls.WITHIN:.0f} s, or {mailman.PAGE_WITHIN:.0f} s for a page of a long list; "
    f"{audience_calls.LARGEST // 1024**2} MiB",
    "Slow answer": f"{calls.WITHIN:.0f} s",
    "Answer": f"{calls.LARGEST // 1024**2} MiB",
    "Its words in errors and logs": f"{calls.LONGEST_WORDS} characters",
}
"""What SECURITY.md says of each door that has a number."""


def test_limits_in_security() -> None:
    """SECURITY.md tells the limits that hold, and names only files that there are."""
    text = (ROOT / "SECURITY.md").read_text()
    rows = {cells[1].strip(): cells[2] for line in text.splitlines() if len(cells := line.split("|")) > 3}
    files = set(re.findall(r"`((?:server|tests|widget|scripts)/[\w./-]+)`", text))

    assert [door for door, limit in LIMITS.items() if limit not in rows[door]] == []
    assert [name for name in files if not (ROOT / name).exists()] == []


PATH = re.compile(r"(?<![\w./:-])(?:bench|deploy|docs|sandbox|scripts|server|tests|widget)/(?:[\w./*-]*[\w/*])?")
"""A path from the root of the repository, in prose, in backticks or in a link; `*` stands for anything in a name."""

FILE = re.compile(r"(?:[\w-]+/)*[\w-]+\.(?:c|conf|css|html|js|lock|lua|md|py|svg|toml)")
"""The name of a file, with or without some of its folders."""

PLACEHOLDERS = {"server/x/y.py", "tests/x/test_y.py", "sync.toml", "notify.toml", "fr.toml"}
"""Paths of CONTRIBUTING.md in which x and y stand for any name, and the files that each deployment has of its own."""


def test_paths_in_pages() -> None:
    """Each path, each file name in backticks and each link to a file on any page is one that exists."""
    names = tracked()
    wrong = []
    for page in (ROOT / name for name in names if name.endswith(".md")):
        text = page.read_text()
        links = (link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link)
        words = {word for code in re.findall(r"`([^`\n]+)`", text) for word in code.split() if FILE.fullmatch(word)}
        found = [path for path in PATH.findall(text) if not any(ROOT.glob(path))]
        found += [link for link in links if not (page.parent / link).exists()]
        found += [word for word in words if not any(f"/{name}".endswith(f"/{word}") for name in names)]
        wrong += [f"{page.relative_to(ROOT)}: {path}" for path in found if path not in PLACEHOLDERS]

    assert wrong == []


def test_places_in_security() -> None:
    """Each row of SECURITY.md says where its limit is kept: files that exist, or the same as the row above it in its table."""
    wrong = []
    last = ""
    rows = 0
    for line in (ROOT / "SECURITY.md").read_text().splitlines():
        if not line.startswith("|"):
            last = ""
            continue
        *_, where, _ = (cell.strip() for cell in line.split("|"))
        if where in {"where", "---"}:
            continue
        rows += 1
        last = last if where == "the same" else where
        files = re.findall(r"`([^`]+)`", last)
        if not files or not all((ROOT / file).is_file() for file in files):
            wrong.append(line)

    assert wrong == []
    assert rows > len(LIMITS)


def test_wheel_holds_what_is_tracked(tmp_path: Path) -> None:
    """The wheel holds each file of the packages that git knows, redis.conf and its metadata, and nothing else."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [wheel] = tmp_path.iterdir()
    metadata = f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"

    assert {
        "redis.conf",
        *(name for name in tracked() if name.split("/")[0] in {"sandbox", "server", "widget"}),
        *(f"{metadata}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")),
    } == set(zipfile.ZipFile(wheel).namelist())


def test_dependencies_have_secure_minimum_versions() -> None:
    """No dependency may be so old that it lets in what was found in it since; the locks hold newer ones still."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = dict(requirement.split(">=") for requirement in project["dependencies"])
    found = locked("requirements.lock")

    def version(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in text.split("."))

    assert [name for name, floor in FLOORS.items() if version(asked[name]) < floor] == []
    assert [name for name, floor in FLOORS.items() if version(found[name.partition("[")[0]]) < floor] == []


def test_nothing_is_excused_from_the_security_rules() -> None:
    """Ruff's rules on security hold for the server and the sandbox; each exception is one line's, with its reason."""
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    excused = [
        *lint["ignore"],
        *(
            rule
            for where, rules in lint["per-file-ignores"].items()
            if "tests" not in where and "bench" not in where
            for rule in rules
        ),
    ]
    silent = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in (*ROOT.glob("server/**/*.py"), *ROOT.glob("sandbox/**/*.py"))
        for line in path.read_text().splitlines()
        if re.search(r"# noqa: (\w+, )*S\d{3}(?! - |, \w+ - )", line)
    ]

    assert ["ALL"] == lint["select"]
    assert [rule for rule in excused if re.match(r"S\d|S$", rule)] == []
    assert silent == []


def test_nothing_of_one_machine() -> None:
    """No file names a registry's host or a folder of the machine it was written on."""
    found = []
    for name in tracked():
        text = (ROOT / name).read_bytes().decode(errors="ignore")
        found += [f"{name}: {match[0]}" for match in NOT_OURS.finditer(text)]

    assert found == []


def test_procfile_commands_exist() -> None:
    """Each process of the Procfile is a command that exists."""
    processes = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())

    assert set(processes) == {"web", "worker", "redis"}
    assert os.access(ROOT / processes["redis"], os.X_OK)
    for name in ("web", "worker"):
        command = processes[name].rpartition("ticket-counter ")[2].split()
        program = "from server.cli import main; main()"
        subprocess.run([sys.executable, "-c", program, *command, "--help"], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("server", ["embedded", *SERVERS[1:]])
def test_procfile_redis(tmp_path: Path, server: str) -> None:
    """The Procfile's Redis is the machine's own if it has one, else the embedded one, and comes with our redis.conf."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in ("sh", "dirname", "mkdir", "redis-server"):
        found = shutil.which(program)
        if found and (program != "redis-server" or server == program):
            (programs / program).symlink_to(found)
    (programs / "python3").symlink_to(sys.executable)
    redis = RedisServer(tmp_path)
    process = subprocess.Popen(
        [ROOT / "scripts" / "redis", "--port", str(redis.port), "--dir", str(tmp_path)],
        cwd=tmp_path,
        env={"PATH": str(programs)},
        stdout=subprocess.DEVNULL,
    )
    try:
        until(redis._answers, lambda: f"scripts/redis does not answer; {process.poll()=}")

        assert redis.ask("CONFIG", "GET", "appendonly") == {"appendonly": "yes"}
        assert ("valkey_version" in redis.ask("INFO", "server")) == (server == "embedded")
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("server", SERVERS)
def test_redis_conf(redis_server: Callable[..., RedisServer], server: str) -> None:
    """Redis 7 and Valkey both accept redis.conf, and mean the same by it."""
    config = redis_server(server).ask(
        "CONFIG", "GET", "appendonly", "appendfsync", "maxmemory-policy", "bind", "client-output-buffer-limit"
    )

    assert config == {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "bind": "127.0.0.1",
        "client-output-buffer-limit": "normal 0 0 0 slave 268435456 67108864 60 pubsub 67108864 16777216 30",
    }


def test_sample_in_contract() -> None:
    """The counter in docs/contract.md has the members of a real one, in their order, and so has the table below it."""
    text = (ROOT / "docs" / "contract.md").read_text()
    sample = json.loads(re.findall(r"```json\n(.+?)```", text, re.DOTALL)[0])
    counter = Counter.of(
        definition(sample["ticket"], 3, sale=Sale(None, "2027-06-01T18:00:00Z", "Europe/Berlin")), None, Rules()
    )
    states = re.findall(r"^\| `(\w+)` \| [A-Z]", text.partition("| `state` | what may be said |")[2], re.MULTILINE)

    assert json.loads(wire.with_v(sample["v"], wire.counter_body(counter))) == sample
    assert (
        list(sample) == re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.+?) \|", text, re.MULTILINE)))[: len(sample)]
    )
    assert states == [str(state) for state in State]


async def test_subscriber_of_the_docs(redis_url: str, reads: FakeReader, command: Run) -> None:
    """Law 8: The example in docs/subscriber.py prints counters as documented, and `unknown` after RECONCILE + MAX_STALE."""
    program = (ROOT / "docs" / "subscriber.py").read_text()
    await reads.schedule.add_site(SiteId(SITE), reads.rules, everything=True)
    await reads.read(definition(TICKET, 3), definition(OTHER, 3, status=SaleStatus.ENDED))

    async def age(seconds: int) -> None:
        for ticket in (TICKET, OTHER):
            await reads.store.do("HINCRBY", key(SITE, "ticket", ticket), "read_at", -micros(seconds))

    def printed() -> list[tuple[str, str, int | None]]:
        counters = map(json.loads, subscriber.out.splitlines())
        return [(counter["ticket"], counter["state"], counter.get("unsold")) for counter in counters]

    subscriber = command(redis_url, SITE, TICKET, OTHER, program=program)
    await until_async(lambda: len(printed()) == 2)
    await reads.read(definition(TICKET, 2))
    await until_async(lambda: len(printed()) == 3)
    stored = await reads.store.do("HGET", key(SITE, "ticket", TICKET), "counter")
    assert json.loads(stored) == json.loads(subscriber.out.splitlines()[-1])
    await age(380)
    await asyncio.sleep(2)
    assert 3 == len(printed())
    await age(15)
    await until_async(lambda: len(printed()) == 4)
    await reads.read(definition(TICKET, 2))
    await until_async(lambda: len(printed()) == 5)

    low = [(TICKET, "low", 3), (TICKET, "low", 2), (TICKET, "unknown", None), (TICKET, "low", 2)]
    assert [low[0], (OTHER, "ended", None), *low[1:]] == printed()


def test_scripts_are_plain_sh() -> None:
    """Each script runs with any POSIX sh, is executable, and says first what it is for."""
    for path in sorted((ROOT / "scripts").iterdir()):
        first, second, *_ = path.read_text().splitlines()
        assert os.access(path, os.X_OK), path
        if "python" not in first:
            assert (first, second[:2]) == ("#!/bin/sh", "# "), path
            subprocess.run(["sh", "-n", path], check=True)


def test_free_port_is_not_the_kernel_s() -> None:
    """A port for a server that will restart is never one that the kernel gives to an outgoing connection."""
    assert all(10_000 <= free_port() < 22_000 for _ in range(10))
