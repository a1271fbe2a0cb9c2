import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import typer

from server import settings
from server.cli.start import errors_as_lines, exit_with_error, interruptible, load_settings, log_advice, redis_url
from server.errors import NotStarted, WixUnavailable
from tests.rig.commands import logs_as_before


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """The tests' own logs are set up as before."""
    with logs_as_before():
        yield


def test_error_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    """An error of errors.py is one line on standard error, and exit status 2."""
    with pytest.raises(typer.Exit) as ended, errors_as_lines():
        raise NotStarted("no such thing: do this")

    assert 2 == ended.value.exit_code
    assert ("", "ticket-counter: no such thing: do this\n") == capsys.readouterr()


def test_bug() -> None:
    """Any other error is a bug, and passes."""
    with pytest.raises(ZeroDivisionError), errors_as_lines():
        raise ZeroDivisionError


def test_exit_with_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A command may end itself in the same way."""
    with pytest.raises(typer.Exit):
        exit_with_error("wrong")

    assert "ticket-counter: wrong\n" == capsys.readouterr().err


@pytest.mark.parametrize(("error", "text"), [((), "nothing was written"), (("one was written",), "one was written")])
def test_interruptible(error: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl+C is exit status 130, and a line that says what was written: in the words of whoever knows it best."""
    with pytest.raises(typer.Exit) as ended, interruptible("nothing was written"):
        raise KeyboardInterrupt(*error)

    assert 130 == ended.value.exit_code
    assert f"ticket-counter: interrupted: {text}\n" == capsys.readouterr().err


def test_error_with_its_cure(capsys: pytest.CaptureFixture[str]) -> None:
    """An error is a line, and its cure, where the text does not say it, is a line below."""
    for hint, wanted in (("", "ticket-counter: it failed\n"), ("mend it", "ticket-counter: it failed\n  mend it\n")):
        with pytest.raises(typer.Exit) as ended, errors_as_lines():
            raise WixUnavailable("it failed", hint=hint)

        assert 2 == ended.value.exit_code
        assert wanted == capsys.readouterr().err


def test_redis_of_nobody(tmp_path: Path) -> None:
    """Without REDIS_URL and without a `serve` the error names the folder that was looked at, and what to do."""
    with pytest.raises(NotStarted) as found:
        redis_url(settings.load(redis_url=None, data_dir=tmp_path))

    assert (
        f"no `ticket-counter serve` runs with DATA_DIR={tmp_path}, and REDIS_URL is not set: "
        "start `serve`, or set DATA_DIR or REDIS_URL as they are for the server" == str(found.value)
    )
    assert "redis://r:1/0" == redis_url(settings.load(redis_url="redis://r:1/0", data_dir=tmp_path))


@pytest.mark.parametrize(
    ("quiet", "given", "level"),
    [(False, None, logging.INFO), (True, None, logging.ERROR), (True, "DEBUG", logging.DEBUG)],
)
def test_level_of_logs(quiet: bool, given: str | None, level: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that a person reads logs only errors, unless LOG_LEVEL is set."""
    monkeypatch.delenv("LOG_LEVEL", raising=False)
    if given:
        monkeypatch.setenv("LOG_LEVEL", given)
    load_settings(quiet)

    assert level == logging.getLogger().level


def test_advice_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that serves logs a warning for each setting that is probably not what was meant, with its cure."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("MAX_CONECTIONS=5\n")
    found = settings.load(public_url="http://counter.example")

    with structlog.testing.capture_logs() as logs:
        log_advice(found)

    assert [("unknown_setting", "MAX_CONECTIONS"), ("public_url_without_tls", "PUBLIC_URL")] == [
        (line["event"], line["setting"]) for line in logs
    ]
    assert "MAX_CONECTIONS is no setting" == logs[0]["what"]
    assert "rename it to MAX_CONNECTIONS" in logs[0]["hint"]
