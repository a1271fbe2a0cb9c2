import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from server import logs
from server.logs import OutageLog, RepeatedWarning
from tests.rig.wix import ManualClock

WORD = "hush"
NAMES = ("", "httpx", "httpcore", "uvicorn", "websockets", "asyncio", "redis")


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Restore the logging of the process after each test."""
    root = logging.getLogger()
    handlers, levels = [*root.handlers], {name: logging.getLogger(name).level for name in NAMES}
    configured = structlog.get_config()
    yield
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    structlog.configure(**configured)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The logged lines; standard output must be empty."""
    out, err = capsys.readouterr()
    assert "" == out
    return [json.loads(line) for line in err.splitlines()]


def fail(secret: str) -> None:
    raise RuntimeError(f"it failed with {len(secret)}")


def test_json_form(capsys: pytest.CaptureFixture[str]) -> None:
    """An event is one line of JSON: its name, level, logger, time in UTC, and fields."""
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


def test_console_form(capsys: pytest.CaptureFixture[str]) -> None:
    """In the console form an event is one line of text, without colours if there is no terminal."""
    logs.set_up()

    logs.logger("run").info("listening", address="http://127.0.0.1:8000")

    [line] = capsys.readouterr().err.splitlines()
    assert "[info     ] listening" in line
    assert "address=http://127.0.0.1:8000" in line
    assert "\x1b" not in line


def test_library_logs_have_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    """A library's log through the standard library has the same form."""
    logs.set_up(form="json")

    logging.getLogger("redis").error("no %s", "answer")

    [line] = lines(capsys)
    assert ("no answer", "error", "redis") == (line["event"], line["level"], line["logger"])


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR"])
def test_level_limits_logs(capsys: pytest.CaptureFixture[str], level: str) -> None:
    """Nothing below the level is logged."""
    logs.set_up(level, "json")
    log = logs.logger("module")

    for log_at in (log.debug, log.info, log.warning, log.error):
        log_at("event")

    order = ["debug", "info", "warning", "error"]
    assert order[order.index(level.lower()) :] == [line["level"] for line in lines(capsys)]


@pytest.mark.parametrize("name", ["httpx", "httpcore.http11", "uvicorn.error", "websockets.server", "asyncio"])
def test_library_requests_are_not_logged(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """Libraries' INFO lines about requests, which hold URLs, are not logged even at DEBUG; their warnings are."""
    logs.set_up("DEBUG", "json")

    logging.getLogger(name).info("GET http://example.test/?email=ada@example.com")
    logging.getLogger(name).warning("slow")

    assert ["slow"] == [line["event"] for line in lines(capsys)]


def test_level_above_warning_holds_for_libraries(capsys: pytest.CaptureFixture[str]) -> None:
    """A level above WARNING holds for libraries too."""
    logs.set_up("ERROR", "json")

    logging.getLogger("httpx").warning("slow")

    assert [] == lines(capsys)


@pytest.mark.parametrize("form", ["console", "json"])
def test_secrets_are_masked(capsys: pytest.CaptureFixture[str], form: str) -> None:
    """A value whose name suggests a secret or personal data is masked, in any log."""
    logs.set_up(form=form)
    named = ["app_secret", "Token", "access_token", "authorization", "password", "wix_api_key", "email", "body"]

    logs.logger("module").info("event", **{name: f"hush-{name}" for name in named}, ticket="shown")

    err = capsys.readouterr().err
    assert "hush" not in err
    assert len(named) == err.count("***")
    assert "shown" in err


@pytest.mark.parametrize("form", ["console", "json"])
@pytest.mark.parametrize("break_", ["\n", "\r\n", "\x1b[2J", "\x85", "\u2028", "\0"])
def test_control_characters_are_escaped(capsys: pytest.CaptureFixture[str], form: str, break_: str) -> None:
    """A logged text can neither begin a line nor control a terminal, whether this program or a library logs it."""
    logs.set_up(form=form)
    text = f"refused{break_}2027-01-01 [info     ] sold_out"

    logs.logger("module").warning("wix_fault", error=text, tickets=(text,))
    logging.getLogger("redis").error(text)

    err = capsys.readouterr().err
    assert 2 == len(err.splitlines())
    assert break_ == "\n" or break_ not in err
    assert 3 == err.count("refused\\")


@pytest.mark.parametrize("form", ["console", "json"])
def test_traceback_without_values(capsys: pytest.CaptureFixture[str], form: str) -> None:
    """A bug is logged with its traceback, without the values of local variables."""
    logs.set_up(form=form)

    try:
        fail(secret=WORD * 2)
    except RuntimeError as error:
        logs.logger("run").error("part_ended", exc_info=error)

    err = capsys.readouterr().err
    assert "RuntimeError: it failed with 8" in err
    assert "in fail" in err
    assert WORD * 2 not in err


def test_set_up_again_replaces_form(capsys: pytest.CaptureFixture[str]) -> None:
    """A second set-up replaces the first: no line is printed twice."""
    logs.set_up(form="console")
    logs.set_up(form="json")

    logs.logger("module").info("event")

    assert ["event"] == [line["event"] for line in lines(capsys)]


def test_logger_made_before_set_up(capsys: pytest.CaptureFixture[str]) -> None:
    """A module's logger, made when the module is imported, follows a later set-up."""
    log = logs.logger("module")
    logs.set_up("WARNING", "json")

    log.info("quiet")
    log.warning("loud")

    assert ["loud"] == [line["event"] for line in lines(capsys)]


def test_invalid_unicode(capsys: pytest.CaptureFixture[str]) -> None:
    """A text that cannot be encoded as UTF-8 does not make logging fail."""
    logs.set_up(form="json")

    logs.logger("module").info("event", name="Gala \ud83c")

    assert ["Gala \ud83c"] == [line["name"] for line in lines(capsys)]


def test_context_variables(capsys: pytest.CaptureFixture[str]) -> None:
    """Context variables are on each line of the task, and are masked too."""
    logs.set_up(form="json")

    with structlog.contextvars.bound_contextvars(site="here", token="hush"):
        logs.logger("module").info("event")

    [line] = lines(capsys)
    assert ("here", "***") == (line["site"], line["token"])


def test_logs_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Logs go to standard error, so that standard output holds only what a command prints."""
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
    warning = RepeatedWarning(logs.logger("test"), "fault", 60, clock=clock)

    assert ["warning fault this"] == warned(warning, "this", "this")
    clock.advance(59)
    assert ["warning fault that"] == warned(warning, "this", "that")
    clock.advance(1)
    assert ["warning fault this"] == warned(warning, "this", "that")


def test_repeated_warning_resolved() -> None:
    """The end of a fault is logged once, and only if there was a warning; the next warning then comes at once."""
    warning = RepeatedWarning(logs.logger("test"), "fault", clock=ManualClock())
    warned(warning, "this")
    assert "this" in warning

    with capture_logs() as lines:
        for one in ("this", "this", "that"):
            warning.resolved(one, about=one)

    assert [("info", "fault_no_more", "this")] == [(one["log_level"], one["event"], one["about"]) for one in lines]
    assert "this" not in warning
    assert ["warning fault this"] == warned(warning, "this")


def test_repeated_warning_default_clock() -> None:
    """By the machine's clock, which may begin at 0, the first warning is logged at once."""
    assert ["warning fault "] == warned(RepeatedWarning(logs.logger("test"), "fault"), "", "")


def test_bug_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    """A bug is logged by its type and the lines where it was, and without its text, which may have personal data."""
    logs.set_up("INFO", "json")
    try:
        raise ValueError("reader@example.org")  # noqa: TRY301 - what a bug does
    except ValueError as error:
        logs.log_bug(logs.logger("test"), "notify_bug", error, campaign="gala")

    line = json.loads(capsys.readouterr().err)
    assert ("notify_bug", "ValueError", "gala", "error") == (
        line["event"],
        line["error"],
        line["campaign"],
        line["level"],
    )
    assert line["where"].startswith("test_logs.py:")
    assert "reader" not in json.dumps(line)


def test_outage_log() -> None:
    """An outage that lasts is told at once, after 1, 3, 7 and 15 minutes, then every 15 minutes, and once when it is over."""
    clock = ManualClock()
    outage = OutageLog(logs.logger("test"), "out", "back", clock=clock)
    with capture_logs() as lines:
        outage.works()
        for minute in range(46):
            outage.fault(minute=minute)
            clock.advance(60)
        outage.works(of="it")
        outage.works()

    told = [(one.get("minute"), one.get("times")) for one in lines if one["event"] == "out"]
    assert [(0, None), (1, 2), (3, 4), (7, 8), (15, 16), (30, 31), (45, 46)] == told
    assert [{"event": "back", "log_level": "info", "seconds": 46 * 60, "times": 46, "of": "it"}] == lines[-1:]
    assert outage.since is None


def test_outage_log_forgets() -> None:
    """An outage that concerns nobody any more is not told to be over."""
    outage = OutageLog(logs.logger("test"), "out", "back", clock=ManualClock())
    with capture_logs() as lines:
        outage.fault()
        assert (True, False) == (outage.forget(), outage.forget())
        outage.works()

    assert ["out"] == [one["event"] for one in lines]
