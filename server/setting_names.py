"""Names that are nearly those of settings: a misspelt setting has no effect, and nothing else would say so.

In: names of variables, and the names of all settings. Out: each misspelt one with the setting that is meant. The environment is full of
names of other programs, so only what is very near to a setting counts, and only while that setting has no value itself. The file `.env`
is ours: there a misspelt line counts in any case, as the right one above it, in a copy of .env.example, has another value.
"""

from collections.abc import Collection, Iterable
from difflib import SequenceMatcher
from typing import NamedTuple

LIKE = 0.85
"""How alike two names must be, from 0 to 1: one letter in six may differ."""
LIKE_OF_OURS = 0.8
"""The same for names that begin as no other program's do."""
OURS = ("WIX_",)
LONG = 8
"""Characters from which a name may differ by more than one letter."""

SHORT = 6
"""Characters from which one letter may differ: in a shorter one it makes another word."""


class Misspelt(NamedTuple):
    """A variable, and the setting that was probably meant."""

    name: str
    setting: str


def misspelt(
    environment: Iterable[str], file: Iterable[str], settings: Collection[str], having_value: Collection[str]
) -> list[Misspelt]:
    """The names, of the environment and of `.env`, that are nearly one of the settings; these are in capitals, as is *having_value*."""
    of_file = {name.upper(): name for name in file}
    upper = {**{name.upper(): name for name in environment}, **of_file}
    free = [setting for setting in settings if setting not in having_value]
    found = []
    for shown, name in sorted(upper.items()):
        meant = settings if shown in of_file else free
        likeness, near = max(((_likeness(shown, one), one) for one in meant), default=(0.0, ""))
        if shown not in settings and likeness >= (LIKE_OF_OURS if shown.startswith(OURS) else LIKE):
            found.append(Misspelt(name, near))
    return found


def _likeness(name: str, setting: str) -> float:
    """From 0 to 1; 1 where they differ by one letter, or only by `_` and `-`."""
    if name.replace("-", "").replace("_", "") == setting.replace("_", "") or _one_letter(name, setting):
        return 1
    if min(len(name), len(setting)) < LONG:
        return 0
    return SequenceMatcher(None, name, setting, autojunk=False).ratio()


def _one_letter(one: str, other: str) -> bool:
    """Whether one letter was left out, added or replaced, or two neighbours change places; the first letter is right."""
    if one[:1] != other[:1] or abs(len(one) - len(other)) > 1 or min(len(one), len(other)) < SHORT:
        return False
    start = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    rest, rest_of_other = one[start:], other[start:]
    return (
        rest[1:] == rest_of_other[1:]
        or rest[1:] == rest_of_other
        or rest == rest_of_other[1:]
        or (rest[:2] == rest_of_other[1::-1] and rest[2:] == rest_of_other[2:])
    )
