"""Sites with other content, whose lists and hashes are right all the same."""

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgetl_export.phone.site import MARKER
from edgetl_runtime.bundle.reader import encode_checksum

LIST = re.compile(
    r'(?<=<script id="site" type="application/json">)\s*(\{.*?\})\s*(?=</script>)', re.S
)
MODEL = "bundle/litert-int8.tflite"


def find_folder(site: Path) -> Path:
    """The folder of the site's version."""
    version = json.loads((site / MARKER).read_bytes())["version"]
    return site / f"v-{version}"


def write(file: Path, data: bytes) -> None:
    """Writes a file, of which no compressed copy stays."""
    file.write_bytes(data)
    for end in (".br", ".gz"):
        file.with_name(file.name + end).unlink(missing_ok=True)


def flip_byte(file: Path) -> None:
    """Changes one bit in the middle, without a trace in any list."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    write(file, bytes(data))


def rewrite(site: Path, changes: Mapping[str, bytes], *, version: str = "") -> None:
    """Changes files of a version and lists them as `edgetl phone` would.

    Args:
        site: Its folder, in place.
        changes: By path within the folder of the version.
        version: Another one, 12 hex digits.
    """
    folder = find_folder(site)
    index = (site / "index.html").read_text()
    found = LIST.search(index)
    assert found
    listed = json.loads(found[1])
    for name, data in changes.items():
        index = index.replace(_integrity((folder / name).read_bytes()), _integrity(data))
        write(folder / name, data)
        listed["files"][name] |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    text = json.dumps(listed, separators=(",", ":"))
    program = (site / "sw.js").read_text().partition(";\n")[2]
    texts = {
        "index.html": LIST.sub(lambda _: text, index),
        "sw.js": f"const SITE={text};\n{program}",
        MARKER: (site / MARKER).read_text(),
        "manifest.webmanifest": (site / "manifest.webmanifest").read_text(),
    }
    old = listed["version"]
    for name, content in texts.items():
        write(site / name, content.replace(old, version or old).encode())
    folder.rename(site / f"v-{version or old}")


def change_manifest(site: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Changes the bundle.json of a site in place; its checksum is right."""
    manifest = json.loads((find_folder(site) / "bundle/bundle.json").read_bytes())
    change(manifest)
    data = json.dumps(manifest, indent=2).encode()
    rewrite(site, {"bundle/bundle.json": data, "bundle/bundle.json.sha256": encode_checksum(data)})


def rename_labels(site: Path, names: Mapping[str, str]) -> None:
    """Gives a site's labels other names, everywhere in its bundle."""
    labels = ("\n".join(names.values()) + "\n").encode()

    def rename(value: Any) -> Any:
        if isinstance(value, dict):
            return {names.get(key, key): rename(one) for key, one in value.items()}
        if isinstance(value, list):
            return [rename(one) for one in value]
        return names.get(value, value) if isinstance(value, str) else value

    def change(manifest: dict[str, Any]) -> None:
        manifest |= rename(manifest)
        stored = manifest["labels_file"]
        stored |= {"sha256": hashlib.sha256(labels).hexdigest(), "bytes": len(labels)}

    rewrite(site, {"bundle/labels.txt": labels})
    change_manifest(site, change)


def _integrity(data: bytes) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(data).digest()).decode()}"
