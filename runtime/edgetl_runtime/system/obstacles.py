"""Who may read or change a file or folder, and what to do where the wrong ones may."""

import difflib
import os
import shlex
import stat
from pathlib import Path

_ROOT = 0
_PIPE = "a named pipe (`edgetl-run camera BUNDLE --source - < PIPE` reads it)"


def find_obstacle(path: Path) -> str:
    """What keeps this user from reading a file or folder; empty if nothing does.

    Opens it for a moment, but nothing that could block: no pipe, no device.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        return _explain_absence(path, error)
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        if stat.S_ISFIFO(mode):
            return f"{_PIPE}, not a file"
        return f"{name_special(mode)}, not a file"
    try:
        if stat.S_ISDIR(mode):
            os.scandir(path).close()
        else:
            os.close(os.open(path, os.O_RDONLY))
    except PermissionError:
        return explain_rights(path)
    except OSError as error:
        return f"unreadable ({error.strerror})"
    return ""


def explain_rights(path: Path) -> str:
    """Says who owns a file that this user may not read."""
    status = path.stat()
    what = "folder" if stat.S_ISDIR(status.st_mode) else "file"
    owner = name_user(status.st_uid)
    return (
        f"this user ({name_user(os.geteuid())}) may not read the {what}: it is {owner}'s, with "
        f"rights {stat.filemode(status.st_mode)[1:]}; run as {owner}, or "
        f"`sudo chmod o+r{'x' if what == 'folder' else ''}` it"
    )


def name_user(uid: int) -> str:
    """The name of a user, or the number of one that has none."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def find_other_writer(folder: "str | os.PathLike[str]") -> str:
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
            f"the model; choose another --state-dir, or: sudo chown -R "
            f"{name_user(os.geteuid())} {shown}"
        )
    if about.st_mode & stat.S_IWOTH:
        return (
            f"every user can write to the state folder {folder} and replace the model; remedy: "
            f"chmod o-w {shown}"
        )
    return ""


def _explain_absence(path: Path, error: OSError | ValueError) -> str:
    if isinstance(error, PermissionError):
        return f"this user ({name_user(os.geteuid())}) may not look into {_find_closed(path)}"
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        return f"unreadable ({getattr(error, 'strerror', None) or error})"
    if path.is_symlink():
        return f"a broken link to {os.readlink(path)}"
    for parent in reversed(path.parents):
        if not os.path.exists(parent):
            return f"there is no folder {parent}"
        if not os.path.isdir(parent):
            return f"{parent} is a file, not a folder"
    return f"there is no such file{_suggest(path)}"


def _find_closed(path: Path) -> Path:
    """The first folder on the way that this user may not enter."""
    closed = (one for one in reversed(path.parents) if not os.access(one, os.X_OK))
    return next(closed, path.parent)


def _suggest(path: Path) -> str:
    try:
        names = os.listdir(path.parent)
    except OSError:
        return ""
    close = difflib.get_close_matches(path.name, names, 1, cutoff=0.8)
    return f" (did you mean {path.with_name(close[0])}?)" if close else ""


def name_special(mode: int) -> str:
    """What is neither file nor folder, by its mode: `a device`."""
    if stat.S_ISFIFO(mode):
        return "a named pipe"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
