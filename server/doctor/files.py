"""The files that settings name: sync.toml and notify.toml, read as the worker reads them.

In: the settings. Out: a finding of each file, with all its faults. Nothing is asked of the systems that they name.
"""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

from server.doctor.deployment import Deployment
from server.doctor.finding import Finding
from server.errors import NotStarted
from server.settings import Settings, environment
from server.sync.mapping_file import file as mapping_file


async def check(deployment: Deployment) -> AsyncIterator[Finding]:
    """Whether the files can be used."""
    settings = deployment.settings
    for name, path, load, lost in (
        ("sync", settings.sync_file, _sync, "ticket definitions are kept in no other system"),
        ("notify", settings.notify_file, _notify, "no one is told when tickets go on sale"),
    ):
        if path is not None and (path.exists() or f"{name}_file" in settings.model_fields_set):
            yield _read(name, path, settings, load, lost)


def _read(name: str, path: Path, settings: Settings, load: Callable[[Settings], bool], lost: str) -> Finding:
    try:
        used = load(settings)
    except NotStarted as error:
        return Finding.fault(name, str(error), f"the counter runs without it: {lost}", "mend the file or the settings")
    if used and not settings.everything:
        return Finding.fault(
            name,
            f"the file {path} needs every ticket to be read, and TRACK is {settings.track}",
            f"the counter runs without it: {lost}",
            f"set TRACK=all, or set {name.upper()}_FILE to another file",
        )
    return Finding.ok(name, f"the file {path} can be used" if used else f"the file {path} names nothing to be done")


def _sync(settings: Settings) -> bool:
    return bool(mapping_file.load(settings.mapping_file(), environment(), required=settings.sync_file_is_set))


def _notify(settings: Settings) -> bool:
    # Imported only here: its libraries take memory that other checks do not need.
    from server.notify.file.file import load  # noqa: PLC0415

    return load(settings, settings.pages_url, environment()) is not None
