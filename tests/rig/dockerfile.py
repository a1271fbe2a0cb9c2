"""A Dockerfile's instructions, and what they do, without Docker: files copied into a folder, commands run there.

`stages(text)` reads it; `build(stage, ...)` does what the first stage does.
"""

import fnmatch
import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Stage:
    """One stage: its instructions in order, each a word and the rest of its line."""

    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        """What stands behind each instruction of this kind."""
        return [rest for found, rest in self.instructions if found == word]

    def last(self, word: str) -> str:
        """What stands behind the last instruction of this kind."""
        return self.all(word)[-1]

    def command(self, word: str) -> list[str]:
        """The words of a command that is written as JSON; what stands before it (options) is left out."""
        return list(json.loads(re.search(r"\[.*\]", self.last(word))[0]))  # type: ignore[index]

    def environment(self) -> dict[str, str]:
        """The variables of ENV."""
        return dict(pair.split("=", 1) for rest in self.all("ENV") for pair in rest.split())


def stages(text: str) -> list[Stage]:
    """The stages of a Dockerfile, each from its FROM on."""
    lines = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)).splitlines()
    found: list[Stage] = []
    for line in filter(None, lines):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append(Stage())
        if found:
            found[-1].instructions.append((word, rest))
    return found


def build(stage: Stage, context: Path, ignore: str, folder: Path, places: dict[str, str], **more: Any) -> None:
    """Do the COPY and RUN instructions of a stage in *folder*; *places* are paths of the image, and where they are here.

    *ignore* is the text of the .dockerignore: the context has what its lines with a `!` allow.
    """
    allowed = [line[1:] for line in ignore.splitlines() if line.startswith("!")]
    for word, rest in stage.instructions:
        if word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                assert any(fnmatch.fnmatch(source, one) for one in allowed), f"{source} is not in the context"
                to = folder / target if target != "./" else folder / source
                to.parent.mkdir(parents=True, exist_ok=True)
                if (context / source).is_dir():
                    shutil.copytree(context / source, to, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(context / source, to)
        elif word == "RUN":
            command = rest
            for here, there in places.items():
                command = command.replace(here, there)
            subprocess.run(["/bin/sh", "-c", command], cwd=folder, check=True, **more)
