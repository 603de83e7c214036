"""The site: one static folder, or a zip of it, that any web server can hand to a phone.

`index.html` lists the SHA-256 of every other file, and the page runs nothing and shows no label
before it has checked them. All but it and the service worker lie in a folder that is named by
their content, `v-<12 hex digits>`, so that files of two versions cannot mix.
"""

import base64
import gzip
import hashlib
import html
import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

import brotli
import msgspec

from edgetl_export.packing import check_target, write_files
from edgetl_export.phone.page import TOP, read_page
from edgetl_export.progress import track
from edgetl_runtime.bundle.manifest import Variant
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import BundleError

MARKER: Final = "edgetl-phone.json"
PREFERRED: Final = "litert-int8"
_VERSION_DIGITS: Final = 12
_BROTLI: Final = ".br"
_GZIP: Final = ".gz"
# Of files that are images already, both are larger.
_NOT_COMPRESSED: Final = (".png",)
_WEIGHTS_QUALITY: Final = 9
_HTML_SAFE: Final = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
# For the home screen: the page itself does not fetch them.
_ASIDE: Final = re.compile(r"icons/.*\.png")
# Of the two builds of LiteRT.js a phone fetches one.
_BUILDS: Final = ("litert/litert_wasm_internal.", "litert/litert_wasm_compat_internal.")

POLICY: Final = (
    "default-src 'none'; script-src 'self' blob: 'wasm-unsafe-eval'; worker-src 'self' blob:; "
    "connect-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'"
)
"""The content security policy: the page talks to where it came from, and to nothing else."""


class Site(msgspec.Struct, frozen=True):
    """A written site.

    Attributes:
        path: The folder or zip.
        version: Twelve hex digits over all files.
        variant: Name of the model file's variant.
        files: Number of files, without their compressed copies.
        bytes: Size of all that is in it.
        first_visit_bytes: What a phone fetches on its first visit, the larger of the two builds of
            LiteRT.js: with Brotli, and with gzip.
    """

    path: Path
    version: str
    variant: str
    files: int
    bytes: int
    first_visit_bytes: dict[str, int]


def write_site(
    bundle: Bundle, out: Path, *, variant: str | None = None, overwrite: bool = False
) -> Site:
    """Writes the page with one model file of a bundle.

    Args:
        bundle: The bundle.
        out: A folder, or a zip if it ends in `.zip`.
        variant: Name of the model file (default: `litert-int8`, else the first LiteRT file).
        overwrite: Replace an earlier site.

    Raises:
        BundleError: If the bundle has no such file, or it is not for LiteRT.
        ExportError: If this is a checkout in which the page was not built.
        StorageError: If `out` may not be replaced, or the disk refuses.
    """
    chosen = choose_variant(bundle, variant)
    page = read_page()
    check_target(out, marker=MARKER, overwrite=overwrite)
    content = _unpack(page) | _take(bundle, chosen)
    version = _digest(content | {name: page[name] for name in TOP})
    folder = f"v-{version}"
    listed = _list(content, bundle, chosen, version)
    top = {
        "index.html": _fill_index(page["index.html"], listed, content, folder),
        "sw.js": b"const SITE=" + _encode(listed) + b";\n" + page["sw.js"],
        "manifest.webmanifest": _describe_app(listed["name"], folder),
        MARKER: _encode({"version": version, "variant": chosen.name, "bundle": bundle.sha256}),
    }
    files = top | {f"{folder}/{name}": data for name, data in content.items()}
    compressed = _compress(files, page, folder)
    served = {".nojekyll": b"", "_headers": _describe_headers(folder)}
    everything = compressed | files | served
    write_files(everything, out, marker=MARKER, overwrite=overwrite)
    return Site(
        path=out,
        version=version,
        variant=chosen.name,
        files=len(files) + len(served),
        bytes=sum(map(len, everything.values())),
        first_visit_bytes={
            end.strip("."): _count_first_visit(files, compressed, end) for end in (_BROTLI, _GZIP)
        },
    )


def choose_variant(bundle: Bundle, name: str | None) -> Variant:
    """The model file for the page: `litert-int8` unless told, else the first for LiteRT.

    Raises:
        BundleError: If there is none, or the one that was asked for is not for LiteRT.
    """
    variants = bundle.manifest.variants
    usable = [one for one in variants if one.engine == "litert"]
    if name is not None:
        chosen = next((one for one in usable if one.name == name), None)
        if chosen is None:
            known = name in (one.name for one in variants)
            what = "is not a LiteRT file, and the page runs no other" if known else "is not there"
            raise BundleError(f"{name} {what}; {_suggest(usable, bundle)}")
        return chosen
    if not usable:
        raise BundleError(_suggest(usable, bundle))
    return next((one for one in usable if one.name == PREFERRED), usable[0])


def _suggest(usable: list[Variant], bundle: Bundle) -> str:
    if usable:
        return f"choose one of: {', '.join(one.name for one in usable)}"
    return f"{bundle.path} has no LiteRT file; export it again with: edgetl export"


def _unpack(page: Mapping[str, bytes]) -> dict[str, bytes]:
    """The page's files for the folder of its version; LiteRT.js travels compressed."""
    content = {"icons/icon.svg": _read_icon()}
    for name, data in page.items():
        if name.endswith(_BROTLI):
            content[name.removesuffix(_BROTLI)] = brotli.decompress(data)
        elif name not in TOP:
            content[name] = data
    return content


def _read_icon() -> bytes:
    return (resources.files("edgetl_runtime.serving") / "page" / "icon.svg").read_bytes()


def _take(bundle: Bundle, chosen: Variant) -> dict[str, bytes]:
    """What the page needs of the bundle, verified as it is read."""
    manifest = bundle.manifest
    memory = (chosen.memory,) if chosen.memory else ()
    stored = (chosen, *memory, *manifest.golden, manifest.labels_file, manifest.card)
    files = {one.file: bundle.read(one) for one in stored} | bundle.read_manifest()
    # In a folder of their own, so that no name in a bundle is that of a program.
    return {f"bundle/{name}": data for name, data in files.items()}


def _digest(files: Mapping[str, bytes]) -> str:
    whole = hashlib.sha256()
    for name, data in sorted(files.items()):
        whole.update(f"{name}\0{hashlib.sha256(data).hexdigest()}\n".encode())
    return whole.hexdigest()[:_VERSION_DIGITS]


def _list(
    content: Mapping[str, bytes], bundle: Bundle, chosen: Variant, version: str
) -> dict[str, Any]:
    provenance = bundle.manifest.provenance
    return {
        "version": version,
        "name": provenance.name or bundle.path.name.removesuffix(".zip").removesuffix(".bundle"),
        "variant": chosen.name,
        "files": {name: _describe_file(name, data) for name, data in sorted(content.items())},
    }


def _describe_file(name: str, data: bytes) -> dict[str, object]:
    known = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    return known | ({"aside": True} if _ASIDE.fullmatch(name) else {})


def _encode(value: object) -> bytes:
    """JSON that may also stand within HTML and JavaScript."""
    return json.dumps(value, separators=(",", ":")).translate(_HTML_SAFE).encode()


def _fill_index(
    template: bytes, listed: dict[str, Any], content: Mapping[str, bytes], folder: str
) -> bytes:
    text = template.decode()
    for name in ("app.js", "style.css"):
        digest = base64.b64encode(hashlib.sha256(content[name]).digest()).decode()
        text = text.replace(f"{{{{integrity {name}}}}}", f"sha256-{digest}")
    known = {
        "folder": folder,
        "name": html.escape(listed["name"]),
        "policy": POLICY,
        "site": _encode(listed).decode(),
    }
    for key, value in known.items():
        text = text.replace(f"{{{{{key}}}}}", value)
    return text.encode()


def _describe_app(name: str, folder: str) -> bytes:
    """The web manifest, by which a phone puts the page on its home screen."""
    icons = [("icon-192.png", "192x192", "any"), ("icon-512.png", "512x512", "any")]
    icons.append(("maskable-512.png", "512x512", "maskable"))
    manifest = {
        "id": "./",
        "name": name,
        "short_name": name[:12],
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#0c1113",
        "theme_color": "#0c1113",
        "icons": [
            {
                "src": f"{folder}/icons/{file}",
                "sizes": sizes,
                "type": "image/png",
                "purpose": purpose,
            }
            for file, sizes, purpose in icons
        ],
    }
    return json.dumps(manifest, indent=1).encode() + b"\n"


def _describe_headers(folder: str) -> bytes:
    """`_headers`, as Netlify and Cloudflare Pages read it; others ignore it."""
    return (
        "/*\n"
        f"  Content-Security-Policy: {POLICY}\n"
        "  X-Content-Type-Options: nosniff\n"
        "  Referrer-Policy: no-referrer\n"
        "/index.html\n  Cache-Control: no-cache\n"
        "/\n  Cache-Control: no-cache\n"
        "/sw.js\n  Cache-Control: no-cache\n"
        f"/{folder}/*\n  Cache-Control: public, max-age=31536000, immutable\n"
    ).encode()


def _compress(
    files: Mapping[str, bytes], page: Mapping[str, bytes], folder: str
) -> dict[str, bytes]:
    """Copies compressed with Brotli and gzip, where they are smaller."""
    compressed: dict[str, bytes] = {}
    for name, data in track(files.items(), "compressing the page", len(files)):
        if name.endswith(_NOT_COMPRESSED):
            continue
        built = page.get(f"{name.removeprefix(f'{folder}/')}{_BROTLI}")
        copies = {
            _BROTLI: built or brotli.compress(data, quality=_WEIGHTS_QUALITY),
            # Without a date, so that two sites of one bundle are equal.
            _GZIP: gzip.compress(data, 9, mtime=0),
        }
        smaller = {name + end: copy for end, copy in copies.items() if len(copy) < len(data)}
        compressed |= smaller
    return compressed


def _count_first_visit(
    files: Mapping[str, bytes], compressed: Mapping[str, bytes], end: str
) -> int:
    sizes = {
        name: len(compressed.get(name + end, data))
        for name, data in files.items()
        if not _ASIDE.fullmatch(name.partition("/")[2]) and name != MARKER
    }
    builds = [sum(size for name, size in sizes.items() if f"/{build}" in name) for build in _BUILDS]
    return sum(sizes.values()) - min(builds)
