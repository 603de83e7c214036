"""Whether another processor plays this one."""

import os
import threading
from pathlib import Path


def is_emulated() -> bool:
    """Whether this process runs under qemu's user emulation, so that times mean nothing.

    qemu answers for /proc/self/exe as the emulated program would see it, but knows only that one
    spelling (`is_proc_myself` in linux-user/syscall.c): by way of the thread's folder, the kernel
    answers.
    """
    own = f"/proc/self/task/{threading.get_native_id()}/exe"
    try:
        return Path(os.readlink(own)).name.startswith("qemu-")
    except OSError:
        return False
