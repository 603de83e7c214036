"""Numbers with their nouns, in sentences for people."""


def count_noun(number: int, noun: str) -> str:
    """`1 frame`, `2 frames`: for nouns whose plural ends in s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
