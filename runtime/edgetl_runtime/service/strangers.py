"""Other users who could replace the model, or the record of trust, in a state folder."""

import os
import shlex
import stat

from edgetl_runtime.system.obstacles import name_user

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
            f"the state folder {folder} belongs to {name_user(about.st_uid)}, who could replace "
            f"the model; choose another --state-dir, or: sudo chown -R {name_user(os.geteuid())} "
            f"{shown}"
        )
    if about.st_mode & stat.S_IWOTH:
        return (
            f"every user can write to the state folder {folder} and replace the model; remedy: "
            f"chmod o-w {shown}"
        )
    return ""
