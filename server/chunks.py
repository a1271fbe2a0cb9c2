"""Pieces of a sequence: what is asked for, written or closed in turn, so that other work has its turn between them."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

_T = TypeVar("_T")


def chunks(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """Cut a sequence into pieces of this size, the last one shorter."""
    return (items[start : start + size] for start in range(0, len(items), size))
