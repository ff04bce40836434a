"""Whole-string patterns with `*` and `?`, for settings that match names."""


class Glob:
    """`*` is any run of characters, `?` any one character, everything else itself. Case counts."""

    def __init__(self, text: str) -> None:
        if not isinstance(text, str) or not text:
            raise ValueError("a pattern must not be empty")
        self._pattern = text

    def matches(self, text: str) -> bool:
        """Whether the pattern covers all of `text`. Its cost is bounded by the product of both lengths."""
        pattern, p, at, star, taken = self._pattern, 0, 0, -1, 0
        while at < len(text):
            here = pattern[p] if p < len(pattern) else None
            if here == "*":
                star, taken = p, at
                p += 1
            elif here is not None and here in ("?", text[at]):
                p += 1
                at += 1
            elif star >= 0:
                # What follows the last star does not fit here: that star takes one character more.
                taken += 1
                p, at = star + 1, taken
            else:
                return False
        return not pattern[p:].strip("*")

    def __str__(self) -> str:
        return self._pattern
