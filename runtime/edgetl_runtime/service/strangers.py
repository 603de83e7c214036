"""Who else could put another model, or another record of what is trusted, into a state folder."""

import os
import shlex
import stat

from edgetl_runtime.obstacles import name_user

_ROOT = 0


def find_stranger(folder: "str | os.PathLike[str]") -> str:
    """One sentence, with a remedy, if another user than this one and root may change a folder.

    A group may: with the umask of many systems each user has one of his own.

    Args:
        folder: Of the state; one that does not exist yet is made by this user.
    """
    try:
        about = os.stat(folder)
    except OSError:
        return ""
    shown = shlex.quote(os.fspath(folder))
    if about.st_uid not in (_ROOT, os.geteuid()):
        return (
            f"the state folder {folder} belongs to {name_user(about.st_uid)}, who can put another "
            f"model into it; choose another --state-dir, or: sudo chown -R "
            f"{name_user(os.geteuid())} {shown}"
        )
    if about.st_mode & stat.S_IWOTH:
        return (
            f"everybody may write to the state folder {folder}, and put another model into it; "
            f"remedy: chmod o-w {shown}"
        )
    return ""
