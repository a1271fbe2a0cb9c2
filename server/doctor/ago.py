"""A duration in words, as short as a finding needs it."""

UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def ago(seconds: float) -> str:
    """How long ago: `3 min ago`."""
    for size, name in UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {name} ago"
    return "just now"


def many(number: int, word: str) -> str:
    """A number with its word: `1 ticket`, `2 tickets`."""
    return f"{number} {word if number == 1 else f'{word}s'}"
