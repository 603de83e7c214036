"""The damaged bundles that every reader must refuse: the device's, and the phone's page.

Imports nothing that a device has not. Each is made of the committed bundle, tiny.bundle.
"""

import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from edgetl_runtime.bundle.manifest import FORMAT_VERSION, READ_VERSIONS

Files = dict[str, bytes]
Change = Callable[[dict[str, Any]], object]

TINY: Final = Path(__file__).parent / "data" / "tiny.bundle"
FILES: Final[Files] = {
    str(file.relative_to(TINY)): file.read_bytes()
    for file in sorted(TINY.rglob("*"))
    if file.is_file()
}
OTHER_FORMATS: Final = [
    (FORMAT_VERSION + 1, "upgrade edgetl-runtime"),
    (min(READ_VERSIONS) - 1, "edgetl export"),
]
# Of a manifest that is sealed again, as a forger would; with a word of the device's refusal.
MISFITS: Final[list[tuple[Change, str]]] = [
    (lambda m: m.update(sound="yes"), "sound"),
    (lambda m: m["preprocessing"].update(mean=[1, 2, 3]), "mean"),
    (lambda m: m["variants"][0].update(delegate="gpu"), "delegate"),
    (lambda m: m.pop("labels"), "labels"),
    (lambda m: m["preprocessing"].update(resize="lanczos"), "lanczos"),
    (lambda m: m["preprocessing"].update(color="bgr"), "bgr"),
    (lambda m: m["preprocessing"].update(width_px=0), "input size"),
    (lambda m: m["preprocessing"].update(width_px=64), "preprocessing outputs"),
    (lambda m: m["preprocessing"].update(width_px=5000), "input size"),
    (lambda m: m["variants"][0]["input"].update(layout="nchw"), "preprocessing outputs"),
    (lambda m: m["variants"][0]["input"]["shape"].append(1), "preprocessing outputs"),
    (lambda m: m["variants"][0]["calibration"].update(temperature=0), "temperature"),
    (lambda m: m["variants"][0]["calibration"].update(reject_threshold=2), "reject_threshold"),
    (lambda m: m["variants"][0]["calibration"].update(reject_threshold=True), "reject_threshold"),
    (lambda m: m["variants"][0].update(engine="tensorrt"), "tensorrt"),
    (lambda m: m["variants"][0].update(sha256="0"), "sha256"),
    (lambda m: m["variants"][0].update(golden_tolerance=0), "golden_tolerance"),
    (lambda m: m["variants"][0].update(golden_tolerance=-0.0), "golden_tolerance"),
    (lambda m: m["variants"][0].update(golden_tolerance=float("nan")), "not valid"),
    (lambda m: m["variants"][0].update(golden_tolerance=10**400), "golden_tolerance"),
    (lambda m: m["variants"][0]["golden_scores"].pop(), "golden scores"),
    (lambda m: m["variants"][0]["golden_scores"][0].pop(), "golden scores"),
    (lambda m: m["variants"][0]["metrics"]["recall"].pop("gear"), "recall"),
    (lambda m: m["variants"][0]["metrics"]["recall"].update(nut=1.0), "recall"),
    (lambda m: m["variants"][0]["metrics"].update(label_shares={"gear": 1.0}), "shares"),
    (lambda m: m["variants"][0]["metrics"].update(top1=1.5), "top1"),
    (lambda m: m["golden"][0].update(input_sha256="F" * 64), "input_sha256"),
    (lambda m: m["golden"][0].pop("input_sha256"), "input_sha256"),
    (lambda m: m["labels_file"].update(bytes=float(m["labels_file"]["bytes"])), "bytes"),
    (lambda m: m["labels_file"].update(bytes=m["labels_file"]["bytes"] + 1), "it was cut"),
    (lambda m: m["labels_file"].update(bytes=0), "bytes"),
    (lambda m: m["provenance"].update(name="\ud800"), "not valid"),
    (lambda m: m["provenance"].update(name=None), "name"),
    (lambda m: m["provenance"]["versions"].update(numpy=2), "versions"),
    (lambda m: m.update(variants=[]), "no model"),
    (lambda m: m.update(format_version="1"), "format_version"),
    (lambda m: m.update(format_version=float(FORMAT_VERSION)), "format_version"),
    (lambda m: m.update(format_version=True), "format_version"),
    (lambda m: m.pop("format_version"), "format_version"),
    (lambda m: m.update(format_version=FORMAT_VERSION + 1, sound="yes"), "upgrade"),
]
_FEATURES: Final = {"offset": 8, "features": "AgAAAA=="}


def hide(**fields: Any) -> Change:
    """Gives the first variant hidden outputs."""
    return lambda m: m["variants"][0].update(hidden=_FEATURES | fields)


def remember(file: str, *, hidden: bool = True) -> Change:
    """Gives the first variant a memory, which is another file of the bundle."""

    def change(manifest: dict[str, Any]) -> None:
        stored = manifest["labels_file"] | {"file": file}
        manifest["variants"][0].update(memory=stored, hidden=_FEATURES if hidden else None)

    return change


def add_unknown(manifest: dict[str, Any]) -> None:
    """Gives every model one more output."""
    manifest.update(format_version=FORMAT_VERSION, unknown_label="unknown")
    for variant in manifest["variants"]:
        variant["output"]["shape"][1] += 1
        variant["golden_scores"] = [[*scores, 0.0] for scores in variant["golden_scores"]]


# Of format 4.
SOUND: Final[dict[str, Change]] = {
    "unknown": add_unknown,
    "features": hide(),
    "maps": hide(maps="AwAAAA==", map_channels=[16]),
    "memory": remember("labels.txt"),
}
MISFITS += [
    (lambda m: m.update(unknown_label="gear"), "that of the unknown"),
    (lambda m: m.update(unknown_label="unknown"), "output"),
    (lambda m: m.update(unknown_label=" "), "not empty"),
    (lambda m: (add_unknown(m), m.update(unknown_label="a\nb")), "control character"),
    (lambda m: m.update(unknown_label=None), "unknown_label"),
    (hide(offset=10**9), "hidden outputs"),
    (hide(offset=-1), "offset"),
    (hide(features=""), "hidden outputs"),
    (hide(features="Ag"), "not valid"),
    (hide(maps="AwAAAA=="), "hidden outputs"),
    (hide(map_channels=[16]), "hidden outputs"),
    (hide(maps="AwAAAA==", map_channels=[0]), "map_channels"),
    (hide(delegate="gpu"), "delegate"),
    (lambda m: m["variants"][2].update(hidden=_FEATURES), "hidden outputs"),
    (remember("../labels.txt"), "unsafe"),
    (remember("labels.txt", hidden=False), "memory"),
]
MISNUMBERED_LABELS: Final = [["gear", "nut"], ["gear", "spring", "washer", "nut"]]
NAMELESS_LABELS: Final = [
    *(["gear", "gear", "nut"], ["gear"], ["gear", "", "nut"], ["gear", " ", "nut"])
]
# To take the place of one: a control character, a line's end, one byte too many.
ODD_LABELS: Final = ["a\x00b", "a\nb", "a\x7fb", "a\x85b", "a\u2028b", "ä" * 128]
UNSAFE_PATHS: Final = [
    *("../labels.txt", "a/../../labels.txt", "/etc/passwd", "..\\labels.txt", "C:/labels.txt"),
    *("./labels.txt", "golden//0.png", "labels.txt\x00", "", "labels.txt/"),
]
NO_MANIFESTS: Final = [
    *(b"", b"null", b"[]", b"{", b"[" * 500_000, b'{"a":' * 500_000, b"\x00" * 100, b"3", b'"3"')
]


def seal(manifest: bytes) -> Files:
    """The bundle with another bundle.json, and the checksum that fits."""
    checksum = f"{hashlib.sha256(manifest).hexdigest()}  bundle.json\n"
    return FILES | {"bundle.json": manifest, "bundle.json.sha256": checksum.encode()}


def edit(change: Change) -> bytes:
    """bundle.json, changed."""
    manifest = json.loads(FILES["bundle.json"])
    change(manifest)
    return json.dumps(manifest).encode()


def nest_deeply() -> bytes:
    """bundle.json with an unknown key whose value is lists in lists."""
    bomb = b',"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    return FILES["bundle.json"].strip()[:-1] + bomb


def break_utf8() -> bytes:
    """bundle.json with a label that is not UTF-8."""
    return FILES["bundle.json"].replace(b'"gear"', b'"g\xff\xfer"', 1)


def bloat() -> bytes:
    """bundle.json of more than 20 megabytes."""
    return FILES["bundle.json"] + b" " * 20_000_000


def flip_a_bit(data: bytes) -> bytes:
    """The data with one bit changed in its middle."""
    damaged = bytearray(data)
    damaged[len(damaged) // 2] ^= 1
    return bytes(damaged)


def list_rewritten() -> Iterator[tuple[str, bytes]]:
    """bundle.json in other bytes, each refused though JSON readers differ on some of them."""
    data = FILES["bundle.json"]
    created = b'"created_utc": ""'
    yield "byte order mark", b"\xef\xbb\xbf" + data
    yield "something after it", data + b"x"
    yield "a zero byte after it", data + b"\x00"
    yield "a no-break space after it", data + "\u00a0".encode()
    yield "a comment", b"/* */" + data
    yield "a comma too many", data.strip()[:-1] + b",}"
    yield "a key twice, the wrong one first", data.replace(created, b'"created_utc":5,' + created)
    yield "a key twice, the wrong one last", data.replace(created, created + b',"created_utc":5')
    yield "a control character", data.replace(created, b'"created_utc": "\x01"')
    yield "half a pair", data.replace(created, b'"created_utc": "\\udc00\\ud800"')
    yield "single quotes", data.replace(created, b"'created_utc': ''")
    yield "a leading zero", data.replace(b'"format_version": ', b'"format_version": 0')
    yield "a plus", data.replace(b'"format_version": ', b'"format_version": +')
    yield "an exponent", data.replace(b'"format_version": 3', b'"format_version": 3e0')


def list_manifests() -> Iterator[tuple[str, bytes]]:
    """Every damaged bundle.json, with a name."""
    for number, (change, reason) in enumerate(MISFITS):
        yield f"misfit {number} {reason}", edit(change)
    for version, _ in OTHER_FORMATS:
        yield f"format {version}", edit(lambda m, v=version: m.update(format_version=v))
    for labels in [*MISNUMBERED_LABELS, *NAMELESS_LABELS]:
        yield f"labels {labels}", edit(lambda m, own=labels: m.update(labels=own))
    for label in ODD_LABELS:
        yield f"label {label!a}", rename_label(label)
    for path in UNSAFE_PATHS:
        yield f"path {path!a}", edit(lambda m, own=path: m["labels_file"].update(file=own))
    for data in NO_MANIFESTS:
        yield f"json {data[:8]!r}", data
    yield "nested deeply", nest_deeply()
    yield "not UTF-8", break_utf8()
    yield "20 megabytes", bloat()
    yield from list_rewritten()


def rename_label(label: str) -> bytes:
    """bundle.json with another name for its first label wherever it is named."""

    def change(manifest: dict[str, Any]) -> None:
        first = manifest["labels"][0]
        manifest["labels"][0] = label
        for variant in manifest["variants"]:
            for metrics in filter(None, (variant["metrics"], variant.get("test_metrics"))):
                for table in filter(None, (metrics["recall"], metrics.get("label_shares"))):
                    table[label] = table.pop(first)

    return edit(change)


def describe_file(name: str, data: bytes) -> dict[str, Any]:
    """The entry of a file in bundle.json."""
    return {"file": name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def fix_crc(archive: bytes) -> bytes:
    """A zip of stored files whose content was changed, with checksums that fit, as a forger would.

    A member's checksum is at byte 14 of its own header and at 16 of its entry in the directory
    (PKWARE's APPNOTE.TXT, 4.3.7 and 4.3.12).
    """
    fixed = bytearray(archive)
    at = archive.index(b"PK\x01\x02")
    while archive[at : at + 4] == b"PK\x01\x02":
        size, name, extra, comment = struct.unpack_from("<IHHH", archive, at + 24)
        (start,) = struct.unpack_from("<I", archive, at + 42)
        own_name, own_extra = struct.unpack_from("<HH", archive, start + 26)
        content = start + 30 + own_name + own_extra
        crc = struct.pack("<I", zlib.crc32(archive[content : content + size]))
        fixed[start + 14 : start + 18] = fixed[at + 16 : at + 20] = crc
        at += 46 + name + extra + comment
    return bytes(fixed)
