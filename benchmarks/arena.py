"""Our page and its peers in one browser: a folder, its server, and the page that times them."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
from data import test_data

from edgetl_export.phone.site import write_site
from edgetl_runtime.bundle.reader import Bundle
from tests.browsers.browser import Browser
from tests.browsers.chromium import Chromium, camera_flags
from tests.browsers.film import write_film
from tests.browsers.firefox import Firefox
from tests.browsers.webkit import WebKit

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "benchmarks" / "browser"
PHONE = ROOT / "phone" / "node_modules"
FRAME_PX = (640, 480)
INT8 = "litert-int8"


@contextmanager
def start(name: str, work: Path) -> Iterator[Browser]:
    """A browser with an empty profile and a fake camera."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = start_with(name, Path(profile), work)
        try:
            yield browser
        finally:
            browser.close()


def start_with(name: str, profile: Path, work: Path) -> Browser:
    if name == "chromium":
        film = work / "film.y4m"
        return Chromium(profile, camera_flags(film if film.exists() else write_film(film)))
    return {"firefox": Firefox, "webkit": WebKit}[name](profile)


def write(bundle: Bundle, folder: Path) -> Path:
    """The page of a bundle, in `site` of the folder."""
    site = folder / "site"
    write_site(bundle, site, variant=INT8, overwrite=True)
    return site


def build_peers(bundle: Bundle, folder: Path) -> None:
    """Puts the peers and what they need beside the page."""
    if not (PEERS / "node_modules").is_dir():
        sys.exit("the peers are not installed; run: cd benchmarks/browser && npm ci")
    bundle_scripts(folder)
    links = {
        "arena.html": PEERS / "arena.html",
        "arena.js": PEERS / "arena.js",
        "litert": PHONE / "@litertjs" / "core" / "wasm",
        "mediapipe": PEERS / "node_modules" / "@mediapipe" / "tasks-vision",
        "onnx": PEERS / "node_modules" / "onnxruntime-web" / "dist",
        "model.tflite": bundle.path / bundle.variant(INT8).file,
        "model.onnx": bundle.path / bundle.variant("onnx-int8").file,
    }
    for name, target in links.items():
        link(folder / name, target)
    picture = cv2.imread(str(sorted((test_data() / "photos").iterdir())[0]))
    cv2.imwrite(str(folder / "frame.png"), cv2.resize(picture, FRAME_PX))


def bundle_scripts(folder: Path) -> None:
    """Each peer as one classic script, since LiteRT.js needs `importScripts`."""
    scripts = [PEERS / f"{name}.js" for name in ("litert", "mediapipe", "onnx")]
    # onnxruntime-web asks where its module is, and is told otherwise.
    compile_scripts(folder, scripts, "iife", "--log-override:empty-import-meta=silent")
    compile_scripts(folder, [PEERS / "mediapipe_client.js"], "esm")


def compile_scripts(folder: Path, scripts: list[Path], form: str, *options: str) -> None:
    # The page's own LiteRT.js.
    environment = os.environ | {"NODE_PATH": str(PHONE)}
    own = ["--bundle", f"--format={form}", f"--outdir={folder}", "--log-level=warning"]
    command = [PHONE / ".bin" / "esbuild", *scripts, *own, *options]
    subprocess.run(command, check=True, env=environment)


def link(path: Path, target: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)
