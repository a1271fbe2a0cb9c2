import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from server import logs
from server.logs import RepeatedWarning
from tests.rig.wix import ManualClock

WORD = "hush"
NAMES = ("", "httpx", "httpcore", "uvicorn", "websockets", "asyncio", "redis")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Logging is one for the whole process: it is put back as it was."""
    root = logging.getLogger()
    handlers, levels = [*root.handlers], {name: logging.getLogger(name).level for name in NAMES}
    configured = structlog.get_config()
    yield
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    structlog.configure(**configured)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was logged, line by line; nothing goes to standard output."""
    out, err = capsys.readouterr()
    assert "" == out
    return [json.loads(line) for line in err.splitlines()]


def fails(secret: str) -> None:
    raise RuntimeError(f"it failed with {len(secret)}")


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    """An event is one line of JSON: its name, its level, who says it, when in UTC, and what it is about."""
    logs.set_up(form="json")

    logs.logger("webhook").warning("webhook_forged", reason="no\ntoken", size=7)

    [line] = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert {
        "event": "webhook_forged",
        "level": "warning",
        "logger": "webhook",
        "reason": "no\ntoken",
        "size": 7,
    } == line


def test_console(capsys: pytest.CaptureFixture[str]) -> None:
    """For people an event is one line of text, without colours where no terminal is."""
    logs.set_up()

    logs.logger("run").info("listening", address="http://127.0.0.1:8000")

    [line] = capsys.readouterr().err.splitlines()
    assert "[info     ] listening" in line
    assert "address=http://127.0.0.1:8000" in line
    assert "\x1b" not in line


def test_libraries_alike(capsys: pytest.CaptureFixture[str]) -> None:
    """What a library says through the standard library looks as ours does."""
    logs.set_up(form="json")

    logging.getLogger("redis").error("no %s", "answer")

    [line] = lines(capsys)
    assert ("no answer", "error", "redis") == (line["event"], line["level"], line["logger"])


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR"])
def test_level(capsys: pytest.CaptureFixture[str], level: str) -> None:
    """Nothing below the level is logged."""
    logs.set_up(level, "json")
    log = logs.logger("room")

    for say in (log.debug, log.info, log.warning, log.error):
        say("event")

    order = ["debug", "info", "warning", "error"]
    assert order[order.index(level.lower()) :] == [line["level"] for line in lines(capsys)]


@pytest.mark.parametrize("name", ["httpx", "httpcore.http11", "uvicorn.error", "websockets.server", "asyncio"])
def test_libraries_are_quiet(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """What libraries say of each request is not logged, even at DEBUG: it holds addresses; their warnings are."""
    logs.set_up("DEBUG", "json")

    logging.getLogger(name).info("GET http://example.test/?email=ada@example.com")
    logging.getLogger(name).warning("slow")

    assert ["slow"] == [line["event"] for line in lines(capsys)]


def test_libraries_do_not_lower_the_level(capsys: pytest.CaptureFixture[str]) -> None:
    """A level above WARNING holds for libraries too."""
    logs.set_up("ERROR", "json")

    logging.getLogger("httpx").warning("slow")

    assert [] == lines(capsys)


@pytest.mark.parametrize("form", ["console", "json"])
def test_secrets_are_masked(capsys: pytest.CaptureFixture[str], form: str) -> None:
    """A value under a name that smells of a secret or a person is not printed, whoever logs it."""
    logs.set_up(form=form)
    named = ["app_secret", "Token", "access_token", "authorization", "password", "wix_api_key", "email", "body"]

    logs.logger("room").info("event", **{name: f"hush-{name}" for name in named}, ticket="told")

    err = capsys.readouterr().err
    assert "hush" not in err
    assert len(named) == err.count("***")
    assert "told" in err


@pytest.mark.parametrize("form", ["console", "json"])
@pytest.mark.parametrize("break_", ["\n", "\r\n", "\x1b[2J", "\x85", "\u2028", "\0"])
def test_no_line_is_forged(capsys: pytest.CaptureFixture[str], form: str, break_: str) -> None:
    """What others say cannot begin a line of its own or speak to a terminal, in ours or in a library's words."""
    logs.set_up(form=form)
    told = f"refused{break_}2027-01-01 [info     ] sold_out"

    logs.logger("room").warning("wix_fault", error=told, tickets=(told,))
    logging.getLogger("redis").error(told)

    err = capsys.readouterr().err
    assert 2 == len(err.splitlines())
    assert break_ == "\n" or break_ not in err
    assert 3 == err.count("refused\\")


@pytest.mark.parametrize("form", ["console", "json"])
def test_traces(capsys: pytest.CaptureFixture[str], form: str) -> None:
    """A bug shows with its trace, and without the values that its code held."""
    logs.set_up(form=form)

    try:
        fails(secret=WORD * 2)
    except RuntimeError as error:
        logs.logger("run").error("part_ended", exc_info=error)

    err = capsys.readouterr().err
    assert "RuntimeError: it failed with 8" in err
    assert "in fails" in err
    assert WORD * 2 not in err


def test_set_up_twice(capsys: pytest.CaptureFixture[str]) -> None:
    """Set up again, the last form is the only one: no line is printed twice."""
    logs.set_up(form="console")
    logs.set_up(form="json")

    logs.logger("room").info("event")

    assert ["event"] == [line["event"] for line in lines(capsys)]


def test_loggers_made_before(capsys: pytest.CaptureFixture[str]) -> None:
    """A room's logger is made when its file is imported, and follows what is set up later."""
    log = logs.logger("room")
    logs.set_up("WARNING", "json")

    log.info("quiet")
    log.warning("loud")

    assert ["loud"] == [line["event"] for line in lines(capsys)]


def test_half_an_emoji(capsys: pytest.CaptureFixture[str]) -> None:
    """A text that is no UTF-8 does not stop what logs it."""
    logs.set_up(form="json")

    logs.logger("room").info("event", name="Gala \ud83c")

    assert ["Gala \ud83c"] == [line["name"] for line in lines(capsys)]


def test_context(capsys: pytest.CaptureFixture[str]) -> None:
    """What is bound to the task is on each of its lines, masked alike."""
    logs.set_up(form="json")

    with structlog.contextvars.bound_contextvars(site="here", token="hush"):
        logs.logger("room").info("event")

    [line] = lines(capsys)
    assert ("here", "***") == (line["site"], line["token"])


def test_standard_error_is_asked_at_set_up(capsys: pytest.CaptureFixture[str]) -> None:
    """Logs go to standard error, so that standard output is left to what a command prints for programs."""
    logs.set_up()

    assert [sys.stderr] == [getattr(handler, "stream", None) for handler in logging.getLogger().handlers]


# -- repeated warnings --


def warned(warning: RepeatedWarning, *of: str) -> list[str]:
    """Warn of each, and return the lines that were logged."""
    with capture_logs() as lines:
        for one in of:
            warning.warn(one, about=one)
    return [f"{line['log_level']} {line['event']} {line['about']}" for line in lines]


def test_repeated_warning() -> None:
    """A fault that lasts is logged at once, and again when the time has passed; each key has its own time."""
    clock = ManualClock()
    warning = RepeatedWarning(logs.logger("test"), "amiss", 60, clock=clock)

    assert ["warning amiss this"] == warned(warning, "this", "this")
    clock.move(59)
    assert ["warning amiss that"] == warned(warning, "this", "that")
    clock.move(1)
    assert ["warning amiss this"] == warned(warning, "this", "that")


def test_repeated_warning_resolved() -> None:
    """The end of a fault is logged once, and only if there was a warning; the next warning then comes at once."""
    warning = RepeatedWarning(logs.logger("test"), "amiss", clock=ManualClock())
    warned(warning, "this")
    assert "this" in warning

    with capture_logs() as lines:
        for one in ("this", "this", "that"):
            warning.resolved(one, about=one)

    assert [("info", "amiss_no_more", "this")] == [(one["log_level"], one["event"], one["about"]) for one in lines]
    assert "this" not in warning
    assert ["warning amiss this"] == warned(warning, "this")


def test_repeated_warning_default_clock() -> None:
    """By the machine's clock, which may begin at 0, the first warning is logged at once."""
    assert ["warning amiss "] == warned(RepeatedWarning(logs.logger("test"), "amiss"), "", "")
