"""Settings that a source does not use, to warn about."""

from edgetl_runtime.settings.sections import SourceSettings

_DEFAULTS = SourceSettings()
_CAMERAS = ("v4l2", "picamera")
# Which sources use a setting, by their modules' names.
_USERS = {
    "size": (*_CAMERAS, "pattern", "raw"),
    "fps": (*_CAMERAS, "pattern", "http"),
    "format": ("pipe", "raw"),
    "stride": ("raw",),
    "realtime": ("video",),
    "loop": ("video", "pictures"),
}
_SOURCES = {
    "v4l2": "a camera of this board",
    "picamera": "a Raspberry Pi camera",
    "http": "a camera over HTTP",
    "stream": "a network stream",
    "pipe": "JPEGs on standard input",
    "raw": "raw frames",
    "pattern": "the test pattern",
    "video": "a video",
    "pictures": "images",
}
_PACE = "; --every and --max-fps set the pace"


def describe_unused(module: str, settings: SourceSettings) -> tuple[str, ...]:
    """A sentence on the settings that differ from the defaults in vain, if there are any.

    Args:
        module: Name of the source's module, without its package.
        settings: All of them.
    """
    kind = "raw" if module == "pipe" and settings.format != "mjpeg" else module
    unused = [
        name
        for name, users in _USERS.items()
        if kind not in users and getattr(settings, name) != getattr(_DEFAULTS, name)
    ]
    if not unused:
        return ()
    flags = " and ".join(f"--{name}" for name in unused)
    verb = "is" if len(unused) == 1 else "are"
    return (f"{flags} {verb} not used for {_SOURCES[kind]}{_PACE if 'fps' in unused else ''}",)
