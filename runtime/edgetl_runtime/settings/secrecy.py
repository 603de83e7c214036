"""Whether settings hold a secret, and whether a file that holds them is open to others."""

import os
import re
import stat
from typing import Final

from edgetl_runtime.options.option import list_options
from edgetl_runtime.settings.sections import Settings

# A password before the host, or a value of the query or path that is named like one.
_PASSWORD: Final = re.compile(
    r"\w+://([^@\s]*:[^@\s]+@|\S*(pass|pwd|token|key|secret|auth)\w*=)", re.IGNORECASE
)


def holds_secret(settings: Settings) -> bool:
    """Whether there is a token, or an address with what is likely a password."""
    for option in list_options(Settings).values():
        value = getattr(getattr(settings, option.section), option.name)
        if isinstance(value, str) and (option.is_secret or _PASSWORD.match(value)):
            return True
    return False


def is_open_to_others(file: "str | os.PathLike[str] | int") -> bool:
    """Whether a regular file may be read by everybody.

    Args:
        file: A path or a descriptor.
    """
    try:
        about = os.stat(file)
    except OSError:
        return False
    return stat.S_ISREG(about.st_mode) and bool(about.st_mode & stat.S_IROTH)
