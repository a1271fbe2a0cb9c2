"""The header Accept-Language: which of the languages that we have texts in a reader prefers.

In: the header, as any client may send it. Out: one of our languages. Source: RFC 9110, section 12.5.4; of a tag such as `de-AT` only
the language counts.
"""

from collections.abc import Collection

OLD = {"iw": "he"}
"""Codes that were replaced, and that some systems send still."""
MOST = 20
"""Languages of a header that are looked at."""


def preferred(header: str, known: Collection[str], otherwise: str = "en") -> str:
    """The known language that the reader likes best; *otherwise* where none of them is named."""
    best, best_quality = otherwise, 0.0
    for part in header.split(",", MOST)[:MOST]:
        tag, *parameters = (one.strip().lower() for one in part.split(";"))
        language = tag.partition("-")[0]
        language = OLD.get(language, language)
        quality = _quality(parameters)
        if language in known and quality > best_quality:
            best, best_quality = language, quality
    return best


def _quality(parameters: list[str]) -> float:
    """The weight from 0 to 1; 1 where there is none, 0 where it cannot be read."""
    for one in parameters:
        name, _, value = one.partition("=")
        if name.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
