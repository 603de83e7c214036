"""Labels as a file of lines."""

from collections.abc import Sequence

from edgetl_runtime.errors import ExportError

LABELS_FILE = "labels.txt"


def encode_labels(labels: Sequence[str]) -> bytes:
    """The bytes of `labels.txt`: one label a line, in the order of the output, UTF-8.

    Raises:
        ExportError: If a label is empty or holds a line break: readers would count one more.
    """
    for label in labels:
        if label.splitlines() != [label]:
            raise ExportError(f"the label {label!r} is not one line of text; rename it")
    return "".join(f"{label}\n" for label in labels).encode()
