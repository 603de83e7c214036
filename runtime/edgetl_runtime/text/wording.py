"""Numbers with their nouns or units, in sentences for people."""


def count_noun(number: int, noun: str, plural: str = "") -> str:
    """`1 frame`, `1,424 frames`; the plural of most nouns ends in s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def tell_joules(joules: float) -> str:
    """`2.12 mJ`, `1.76 J`."""
    return f"{joules:.3g} J" if joules >= 1 else f"{joules * 1e3:.3g} mJ"
