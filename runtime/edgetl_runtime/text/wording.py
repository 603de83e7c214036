"""Numbers with their nouns, in sentences for people."""


def count_noun(number: int, noun: str, plural: str = "") -> str:
    """`1 frame`, `1,424 frames`; the plural of most nouns ends in s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
