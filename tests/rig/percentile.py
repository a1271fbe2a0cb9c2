"""The value that a share of many does not exceed."""

import math
from collections.abc import Iterable


def percentile(values: Iterable[float], share: float) -> float:
    """The least of the values that this share of them (0.99) does not exceed; there must be some."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(share * len(ordered))) - 1]
