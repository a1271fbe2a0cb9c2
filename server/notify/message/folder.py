"""The organiser's folder of templates and texts: which files may be in it, and what its templates say.

In: a folder. Out: its templates as texts, read once: what was checked at the start is what is sent, whatever becomes of the files
later. A file that nothing would read is a fault, since it is most often one of ours that is misspelt.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import BaseLoader, Environment, TemplateNotFound

from server.errors import NotStarted
from server.toml_file.faults import did_you_mean, quoted

OURS = Path(__file__).parent / "templates"
HTML, TEXT = "sale_started.html.j2", "sale_started.txt.j2"


@dataclass(frozen=True, slots=True)
class Source:
    """What a template says, and its file."""

    text: str
    file: Path


class Sources(BaseLoader):
    """Gives Jinja templates that were read before."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = sources

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, None]:  # noqa: ARG002 - Jinja's
        """The text, the file and no way to see whether it has changed."""
        if template not in self._sources:
            raise TemplateNotFound(template)
        found = self._sources[template]
        return found.text, str(found.file), None


def read_templates(folder: Path | None) -> Mapping[str, Source]:
    """The templates of a folder by name; raises NotStarted with every fault."""
    if folder is None:
        return {}
    found, faults = _read(folder)
    if faults:
        raise NotStarted("\n".join(faults))
    return found


def folder_faults(folder: Path) -> list[str]:
    """What is wrong with the files of a folder; what a template says is not tried here (template_check.py)."""
    return _read(folder)[1]


def _read(folder: Path) -> tuple[dict[str, Source], list[str]]:
    if not folder.is_dir():
        return {}, [f"templates: {folder} is no folder"]
    found: dict[str, Source] = {}
    faults = []
    files = {file.relative_to(folder): file for file in sorted(folder.rglob("*")) if not file.is_dir()}
    for name, file in files.items():
        if file.suffix != ".j2" or _hidden(name):
            continue
        try:
            found[name.as_posix()] = Source(file.read_text("utf-8"), file)
        except UnicodeDecodeError as error:
            faults.append(f"{file}: it is not UTF-8 (byte {error.start + 1}): save it as UTF-8")
        except OSError as error:
            faults.append(f"{file}: it cannot be read: {error.strerror or type(error).__name__}")
    said = "".join(one.text for one in found.values())
    for name, file in files.items():
        used = name.as_posix() in {HTML, TEXT} or any(f"{mark}{name.as_posix()}{mark}" in said for mark in "\"'")
        text = file.suffix == ".toml" and len(name.parts) == 1  # languages.py checks these
        if not (used or text or _hidden(name)):
            cure = did_you_mean(name.as_posix(), (HTML, TEXT))
            faults.append(f"{file}: there is no template {quoted(name.as_posix())}, so nothing would read it. {cure}")
    return found, faults


def _hidden(name: Path) -> bool:
    """Files of editors and of systems, such as .DS_Store and `sale_started.txt.j2~`."""
    return name.name.endswith("~") or any(part.startswith(".") for part in name.parts)
