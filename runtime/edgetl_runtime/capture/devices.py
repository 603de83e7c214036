"""Why a camera's device cannot be opened, in words that say what to do."""

import array
import errno
import fcntl
import glob
import os
import stat
import struct

from edgetl_runtime.system.obstacles import name_user

# videodev2.h: _IOR('V', 0, struct v4l2_capability), _IOWR('V', 8, struct v4l2_requestbuffers).
_QUERYCAP, _CAPABILITY_BYTES = 0x80685600, 104
_REQBUFS, _BUFFERS = 0xC0145608, struct.Struct("=5I")
_CAPTURE, _CAPTURE_PLANES, _HAS_DEVICE_CAPS = 0x1, 0x1000, 0x80000000
_VIDEO_CAPTURE, _MMAP = 1, 1
_GONE = (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ENOTDIR)
_BUSY = "another program is using it; stop that first (`fuser -v {device}` shows it)"


def explain_failure(device: str) -> str:
    """Looks at a device, such as /dev/video0, that OpenCV did not open."""
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return _explain(device, error)
    try:
        return _ask(descriptor).format(device=device)
    finally:
        os.close(descriptor)


def _explain(device: str, error: OSError) -> str:
    if error.errno in _GONE:
        others = ", ".join(sorted(glob.glob("/dev/video*"))[:8])
        return (
            f"there is no {device}, {f'but {others}' if others else 'nor any other camera'}; is it "
            "plugged in? "
            "(`v4l2-ctl --list-devices` lists cameras)"
        )
    if error.errno == errno.EBUSY:
        return _BUSY.format(device=device)
    if error.errno in (errno.EACCES, errno.EPERM):
        return _explain_rights(device)
    return f"{device} cannot be opened ({error.strerror})"


def _explain_rights(device: str) -> str:
    user = name_user(os.geteuid())
    group = _find_group(device)
    if group is None:
        return f"this user ({user}) may not open {device}"
    return (
        f"this user ({user}) may not open {device}, which belongs to the group {group}: "
        f"`sudo usermod -aG {group} {user}`, then log in again"
    )


def _find_group(device: str) -> str | None:
    """The group that may use a device; None where there is none, or root's."""
    import grp

    try:
        status = os.stat(device)
        name = grp.getgrgid(status.st_gid).gr_name
    except (OSError, KeyError):
        return None
    return name if status.st_mode & stat.S_IRGRP and status.st_gid else None


def _ask(descriptor: int) -> str:
    """What the driver itself says of an open device; {device} stands for it."""
    capability = array.array("B", bytes(_CAPABILITY_BYTES))
    try:
        fcntl.ioctl(descriptor, _QUERYCAP, capability)
    except OSError:
        return "{device} is not a camera (`v4l2-ctl --list-devices` lists cameras)"
    capabilities, of_device = struct.unpack_from("=2I", capability, 84)
    if capabilities & _HAS_DEVICE_CAPS:
        capabilities = of_device
    if not capabilities & (_CAPTURE | _CAPTURE_PLANES):
        return (
            "{device} belongs to a camera or decoder, but is not its video device; try its "
            "neighbours (`v4l2-ctl --list-devices` lists them)"
        )
    try:
        buffers = array.array("B", _BUFFERS.pack(1, _VIDEO_CAPTURE, _MMAP, 0, 0))
        fcntl.ioctl(descriptor, _REQBUFS, buffers)
    except OSError as error:
        if error.errno == errno.EBUSY:
            return _BUSY
    return (
        "{device} is a camera, but OpenCV gets no frames from it: it may be in use, or use a "
        "format that OpenCV does not support (`v4l2-ctl -d {device} --all` tells more)"
    )
