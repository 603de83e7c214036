"""What the tests of the workstation share."""

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from edgetl.cli import main
from tests.unbalanced import unbalance_channels

Said = tuple[int, str, str]


@pytest.fixture
def edgetl(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """The command in this process: exit code, stdout and stderr, native code's included."""

    def run(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["edgetl", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capfd.readouterr()
        code = stopped.value.code
        return (code if isinstance(code, int) else 0), said.out, said.err

    return run


@pytest.fixture(scope="session")
def exploding_run(tiny_run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose model says the same as another's, but quantizes badly."""
    from edgetl.networks.arrays import encode_weights
    from edgetl.run import Run

    folder = Path(shutil.copytree(tiny_run_folder, tmp_path_factory.mktemp("runs") / "exploding"))
    model: Any = Run.open(folder).load_model()
    backbone = next(layer for layer in model.layers if hasattr(layer, "layers"))
    unbalance_channels(backbone)
    weights = encode_weights(model)
    (folder / "weights.npz").write_bytes(weights)
    record = json.loads((folder / "run.json").read_text())
    record["model_sha256"] = hashlib.sha256(weights).hexdigest()
    (folder / "run.json").write_text(json.dumps(record))
    return folder
