"""JSON samples with one member changed, and any JSON value to put there."""

import copy
from typing import Any

from hypothesis import strategies as st

TEXTS = st.text(st.characters(exclude_categories=()), max_size=20)
"""Any text that JSON can hold, halves of emoji too."""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)

MISSING = object()


def changed(sample: dict[str, Any], *path: str | int, to: Any = MISSING) -> dict[str, Any]:
    """The sample with another value at that path, or without it."""
    found = copy.deepcopy(sample)
    holder: Any = found
    for step in path[:-1]:
        holder = holder[step]
    if to is MISSING:
        del holder[path[-1]]
    else:
        holder[path[-1]] = to
    return found


def paths(value: Any, *before: str | int) -> list[tuple[str | int, ...]]:
    """The path of every member of a JSON value, however deep."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [one for step, inner in steps for one in ((*before, step), *paths(inner, *before, step))]
