"""What `edgetl phone` writes: complete, the same for the same bundle, good under any path."""

import gzip
import hashlib
import json
import re
import shutil
import zipfile
from pathlib import Path

import brotli
import msgspec
import pytest

import edgetl
from edgetl_export.phone.site import POLICY, write_site
from edgetl_runtime.bundle.reader import Bundle, encode_checksum, encode_manifest
from edgetl_runtime.errors import BundleError, StorageError
from tests.edgetl.command import edgetl as run
from tests.fingerprint import fingerprint
from tests.phone.conftest import TINY

ONLY_ONNX = ("onnx-float32", "onnx-int8")


def read_list(site: Path) -> dict:
    """The list of files that index.html carries."""
    text = (site / "index.html").read_text()
    found = re.search(r'<script id="site" type="application/json">\s*(.*?)\s*</script>', text)
    assert found
    return json.loads(found[1])


def without(names: tuple[str, ...], out: Path) -> Bundle:
    """The tiny bundle without some of its variants."""
    shutil.copytree(TINY, out)
    manifest = Bundle.open(TINY).manifest
    kept = tuple(one for one in manifest.variants if one.name not in names)
    data = encode_manifest(msgspec.structs.replace(manifest, variants=kept))
    (out / "bundle.json").write_bytes(data)
    (out / "bundle.json.sha256").write_bytes(encode_checksum(data))
    return Bundle.open(out)


def test_the_list_names_every_file_of_the_version_with_its_hash(site):
    listed = read_list(site)
    folder = site / f"v-{listed['version']}"
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in (".br", ".gz")
    }
    assert listed["files"].keys() == files.keys()
    for name, data in files.items():
        assert listed["files"][name]["sha256"] == hashlib.sha256(data).hexdigest()
        assert listed["files"][name]["bytes"] == len(data)
    assert listed["variant"] == "litert-int8"
    assert {"bundle/litert-int8.tflite", "bundle/bundle.json", "worker.js"} <= files.keys()
    assert not any(name.endswith(".onnx") for name in files)


def test_compressed_copies_hold_the_same_bytes(site):
    unpack = {".br": brotli.decompress, ".gz": gzip.decompress}
    copies = [path for path in site.rglob("*") if path.suffix in unpack]
    assert {path.with_suffix("").suffix for path in copies} >= {".js", ".wasm", ".json", ".html"}
    for path in copies:
        assert unpack[path.suffix](path.read_bytes()) == path.with_suffix("").read_bytes()
        assert path.stat().st_size < path.with_suffix("").stat().st_size


def test_two_sites_of_one_bundle_are_equal(site, tmp_path):
    write_site(Bundle.open(TINY), tmp_path / "again")
    assert fingerprint(tmp_path / "again") == fingerprint(site)


def test_a_zip_holds_the_same_files(site, tmp_path):
    write_site(Bundle.open(TINY), tmp_path / "site.zip")
    with zipfile.ZipFile(tmp_path / "site.zip") as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert files == {
        path.relative_to(site).as_posix(): path.read_bytes()
        for path in site.rglob("*")
        if path.is_file()
    }


def test_another_variant_is_another_version(site, tmp_path):
    other = write_site(Bundle.open(TINY), tmp_path / "site", variant="litert-float32")
    assert other.variant == "litert-float32"
    assert other.version != read_list(site)["version"]
    assert (tmp_path / f"site/v-{other.version}/bundle/litert-float32.tflite").is_file()


def test_no_address_leaves_the_folder(site):
    text = (site / "index.html").read_text()
    addresses = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert addresses
    assert not [one for one in addresses if one.startswith("/") or ":" in one or ".." in one]
    manifest = json.loads((site / "manifest.webmanifest").read_text())
    assert manifest["start_url"] == manifest["scope"] == "./"
    for icon in manifest["icons"]:
        assert (site / icon["src"]).is_file()


def test_the_policy_allows_no_other_origin(site):
    assert POLICY in (site / "index.html").read_text()
    assert POLICY in (site / "_headers").read_text()
    assert "http" not in POLICY
    assert "*" not in POLICY


def test_static_hosts_get_what_they_read(site):
    assert (site / ".nojekyll").read_bytes() == b""
    version = read_list(site)["version"]
    assert (
        f"/v-{version}/*\n  Cache-Control: public, max-age=31536000, immutable"
        in (site / "_headers").read_text()
    )


def test_licences_of_what_is_shipped_lie_beside_it(site):
    text = (site / f"v-{read_list(site)['version']}" / "LICENSES.txt").read_text()
    for name in ("@litertjs/core 2", "ajv", "fflate", "idb", "Apache License", "MIT"):
        assert name in text


def test_a_site_is_not_replaced_unless_told(tmp_path, wording):
    out = tmp_path / "site"
    write_site(Bundle.open(TINY), out)
    with pytest.raises(StorageError, match=wording):
        write_site(Bundle.open(TINY), out)
    write_site(Bundle.open(TINY), out, variant="litert-float32", overwrite=True)
    assert read_list(out)["variant"] == "litert-float32"


def test_a_folder_of_something_else_is_never_replaced(tmp_path, wording):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/thesis.txt").write_text("all my work")
    with pytest.raises(StorageError, match=wording):
        write_site(Bundle.open(TINY), tmp_path / "precious", overwrite=True)
    assert (tmp_path / "precious/thesis.txt").read_text() == "all my work"


def test_a_variant_that_the_page_cannot_run_is_refused_with_those_that_it_can(tmp_path, wording):
    with pytest.raises(BundleError, match=wording):
        write_site(Bundle.open(TINY), tmp_path / "site", variant="onnx-int8")
    assert not (tmp_path / "site").exists()


def test_without_int8_the_first_litert_file_is_taken(tmp_path):
    bundle = without(("litert-int8",), tmp_path / "b")
    assert write_site(bundle, tmp_path / "site").variant == "litert-float32"


def test_a_bundle_without_a_litert_file_is_refused(tmp_path, wording):
    bundle = without(("litert-int8", "litert-float32"), tmp_path / "b")
    with pytest.raises(BundleError, match=wording):
        write_site(bundle, tmp_path / "site")


def test_a_name_with_markup_stays_text(tmp_path):
    copy = Path(shutil.copytree(TINY, tmp_path / "b"))
    manifest = Bundle.open(TINY).manifest
    name = '</script><script>alert("1")</script>&amp;'
    made = msgspec.structs.replace(manifest.provenance, name=name)
    data = encode_manifest(msgspec.structs.replace(manifest, provenance=made))
    (copy / "bundle.json").write_bytes(data)
    (copy / "bundle.json.sha256").write_bytes(encode_checksum(data))
    write_site(Bundle.open(copy), tmp_path / "site")
    text = (tmp_path / "site/index.html").read_text()
    assert "<script>alert" not in text
    assert read_list(tmp_path / "site")["name"] == name
    assert json.loads((tmp_path / "site/manifest.webmanifest").read_text())["name"] == name


def test_python_writes_the_same_site(site, tmp_path):
    written = edgetl.Bundle.open(TINY).to_phone(tmp_path / "site")
    assert written.path == tmp_path / "site"
    assert fingerprint(tmp_path / "site") == fingerprint(site)


def test_the_command_says_how_to_publish_and_what_a_visit_takes(page, tmp_path):
    done = run("phone", TINY, "--out", tmp_path / "site")
    assert done.returncode == 0
    assert "publish: " in done.stdout
    assert "GitHub Pages" in done.stdout
    assert f"next: edgetl phone {TINY} --serve" in done.stdout
    described = json.loads(run("phone", TINY, "--out", tmp_path / "b.zip", "--json").stdout)
    assert described["path"] == str(tmp_path / "b.zip")
    assert described["first_visit_bytes"]["br"] < described["first_visit_bytes"]["gz"]
