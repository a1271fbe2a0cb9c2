"""An organiser's templates are tried in a process of their own."""

import io
import json
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from server.errors import NotStarted
from server.notify.message import template_check
from server.notify.message.folder import HTML, TEXT
from server.notify.message.template_check import checked_renderer, main
from tests.rig.mail_samples import UNSUBSCRIBE, announcement

ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
GOOD = "{{ page }} {{ address }} {{ unsubscribe }}\n"


def checked(own: Path | None) -> Any:
    return checked_renderer("Example Theatre", "1 Example Street", own=own)


def refused(own: Path) -> str:
    with pytest.raises(NotStarted) as error:
        checked(own)
    return str(error.value)


def test_a_template_without_an_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop without an end ends after the limit, and the fault names its file, not the one that was tried before."""
    monkeypatch.setattr(template_check, "WITHIN", 3.0)
    (tmp_path / TEXT).write_text(GOOD, "utf-8")
    (tmp_path / HTML).write_text(ENDLESS, "utf-8")
    began = time.monotonic()

    assert f"{tmp_path / HTML}: it takes too long: all templates together have 3 s" == refused(tmp_path)
    assert time.monotonic() - began < 30


def test_a_good_template_is_used(tmp_path: Path) -> None:
    """What passed the check is what messages are made of."""
    (tmp_path / TEXT).write_text(GOOD, "utf-8")

    assert UNSUBSCRIBE in checked(tmp_path).render(announcement(), "en", UNSUBSCRIBE).text


def test_without_templates_there_is_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own templates are tried here, also beside an organiser's texts: that costs no process."""
    monkeypatch.setattr("subprocess.Popen", None)

    assert False is checked(None).has_own_templates
    assert False is checked(tmp_path).has_own_templates


def test_secrets_are_not_for_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process gets nothing of the environment but what Python needs to start."""
    monkeypatch.setenv("NOTIFY_KEYS", "secret")
    monkeypatch.setenv("PYTHONUTF8", "1")

    assert "NOTIFY_KEYS" not in template_check._environment()
    assert "1" == template_check._environment()["PYTHONUTF8"]


def test_a_process_that_ends_otherwise_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed, or cannot be started, is told with what it was at."""
    (tmp_path / TEXT).write_text(GOOD, "utf-8")
    program = f'import os; print(\'{{"at": "x.j2"}}\', flush=True); os.kill(os.getpid(), {int(signal.SIGKILL)})'
    monkeypatch.setattr(template_check, "tied_to_parent", lambda _: [sys.executable, "-c", program])
    assert "x.j2: the check of it ended (killed by SIGKILL)" == refused(tmp_path)

    monkeypatch.setattr(template_check, "tied_to_parent", lambda _: [str(tmp_path / "nothing")])
    assert f"{tmp_path}: the templates cannot be checked: " in refused(tmp_path)


@pytest.mark.parametrize(("text", "fault"), [(GOOD, None), ("{{ nam }}", "'nam' is undefined")])
def test_what_the_process_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str, fault: str | None
) -> None:
    """It tells each file before it is tried, and then what is wrong, in lines of JSON, with limits of memory and time."""
    (tmp_path / TEXT).write_text(text, "utf-8")
    limits: list[int] = []
    monkeypatch.setattr("resource.setrlimit", lambda kind, _: limits.append(kind))
    asked = {"sender": "Example Theatre", "address": "1 Example Street", "own": str(tmp_path), "default": "en"}
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(asked)))
    main()
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert {"at": str(tmp_path / TEXT)} == told[0]
    assert [resource.RLIMIT_AS, resource.RLIMIT_CPU] == limits
    assert (fault or "") in told[-1].get("fault", "")
    assert (fault is None) == ("fault" not in told[-1])
