"""Quotes another library's error message within one of our sentences."""

import re
from typing import Final

_LONGEST: Final = 200
# What ONNX Runtime puts before its words: a code; and the place in its source, with the function.
_CODE: Final = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : ")
_PLACE: Final = re.compile(r"[\w./-]*\b\w+\.(?:cc|cpp|h):\d+ (?:(?:\S+ )?[\w:~]+\([^()]*\)|\w+)")
# A sentence ends before a capital letter, so that `model.keras` and `3.11` end none.
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


def quote_error(error: BaseException) -> str:
    """The first sentences of an error on one line, as many as fit, without a dot at the end.

    A first sentence that is too long ends at a word.
    """
    text = _PLACE.sub(" ", _CODE.sub("", " ".join(str(error).split())))
    text = " ".join(text.split()) or type(error).__name__
    quoted = ""
    for sentence in _SENTENCE.split(text):
        if quoted and len(quoted) + len(sentence) > _LONGEST:
            break
        quoted = f"{quoted} {sentence}".strip()
    if len(quoted) > _LONGEST:
        return quoted[:_LONGEST].rsplit(" ", 1)[0].rstrip(" .:;,") + " ..."
    return quoted.rstrip(" .:;,")
