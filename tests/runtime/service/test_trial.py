import threading
import time

import pytest

from edgetl_runtime.service.trial import Trial, TrialOrder, try_bundle

pytestmark = pytest.mark.usefixtures("faulty_engine")


def test_a_sound_bundle_passes(make_bundle):
    assert try_bundle(TrialOrder(str(make_bundle("sound")))) == Trial("good")


@pytest.mark.parametrize("fault", ["SIGSEGV", "SIGILL", "SIGBUS", "SIGKILL"])
def test_an_engine_that_dies_takes_the_child_only(make_bundle, fault):
    trial = try_bundle(TrialOrder(str(make_bundle("bad", fault))))
    assert trial == Trial("bad", f"the engine died in the trial ({fault})")


def test_what_the_engine_said_last_is_part_of_the_reason(make_bundle):
    trial = try_bundle(TrialOrder(str(make_bundle("bad", "STDERR"))))
    assert trial.verdict == "bad"
    assert trial.reason.endswith("(SIGABRT); it said: engine says no")


def test_a_trial_that_hangs_is_killed(make_bundle):
    trial = try_bundle(TrialOrder(str(make_bundle("bad", "HANG"))), timeout_s=2)
    assert trial == Trial("bad", "the trial took longer than 2 s")


def test_a_model_that_wants_all_memory_is_bad(make_bundle):
    order = TrialOrder(str(make_bundle("bad", "MEMORY")), memory_bytes=8 * 2**30)
    assert try_bundle(order) == Trial("bad", "it needs more memory than is available")


def test_a_model_with_other_scores_is_bad(edit):
    def change(manifest):
        golden = manifest["variants"][0]["golden_scores"]
        golden[0] = [1 - score for score in golden[0]]

    trial = try_bundle(TrialOrder(str(edit(change))))
    assert trial.verdict == "bad"
    assert "do not use this model" in trial.reason


def test_a_stop_ends_a_trial_and_blames_nobody(make_bundle):
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    began_s = time.monotonic()
    trial = try_bundle(TrialOrder(str(make_bundle("slow", "HANG"))), stop=stop)
    assert trial == Trial("unable", "the trial was stopped")
    assert time.monotonic() - began_s < 30


def test_systemd_ending_all_processes_blames_nobody(make_bundle):
    trial = try_bundle(TrialOrder(str(make_bundle("ended", "SIGTERM"))))
    assert trial == Trial("unable", "the trial was stopped")


def test_a_bundle_that_is_gone_and_a_variant_that_it_never_had_blame_nobody(make_bundle, tmp_path):
    assert try_bundle(TrialOrder(str(tmp_path / "missing"))).verdict == "unable"
    trial = try_bundle(TrialOrder(str(make_bundle("sound")), variant="odd"))
    assert trial.verdict == "unable"
    assert "has no variant odd" in trial.reason


CONFINED = """
import resource, sys
from edgetl_runtime.service.trial import TrialOrder, try_bundle
resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, 8 * 2**30))
print(try_bundle(TrialOrder(sys.argv[1], memory_bytes=2**50)))
"""


@pytest.mark.parametrize(
    ("fault", "trial"),
    [
        ("", Trial("good")),
        ("MEMORY", Trial("unable", "it needs more memory than is available")),
        ("SIGABRT", Trial("unable", "the engine died in the trial (SIGABRT)")),
        ("SIGILL", Trial("bad", "the engine died in the trial (SIGILL)")),
    ],
)
def test_less_address_space_than_the_machine_has_condemns_no_bundle(
    make_bundle, run_python, fault, trial
):
    done = run_python(CONFINED, make_bundle("any", fault))
    assert done.stdout == f"{trial}\n", done.stderr


def test_a_fault_of_our_own_condemns_no_bundle(make_bundle, tmp_path):
    broken = "import sys\nsys.modules['edgetl_runtime.bundle.golden_frames'] = None\n"
    (tmp_path / "faulty_engine" / "sitecustomize.py").write_text(broken)
    trial = try_bundle(TrialOrder(str(make_bundle("sound"))))
    assert trial.verdict == "unable"
    assert "edgetl_runtime.bundle.golden_frames" in trial.reason


def test_an_engine_that_is_not_installed_says_nothing_about_the_bundle(make_bundle, tmp_path):
    hide = "import sys\nsys.modules['ai_edge_litert'] = sys.modules['tflite_runtime'] = None\n"
    (tmp_path / "faulty_engine" / "sitecustomize.py").write_text(hide)
    trial = try_bundle(TrialOrder(str(make_bundle("sound"))))
    assert trial.verdict == "unable"
    assert "not installed" in trial.reason


def test_modules_in_the_current_folder_are_not_run(make_bundle, tmp_path, monkeypatch):
    for name in ("random", "cv2", "msgspec", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('run from the current folder')")
    monkeypatch.chdir(tmp_path)
    assert try_bundle(TrialOrder(str(make_bundle("sound")))) == Trial("good")


def test_ctrl_c_in_a_trial_is_one_interrupt_and_no_more(tiny, run_python):
    """The thread that talks with the child must not find its pipes closed."""
    code = """
import os, signal, sys, threading, time
from edgetl_runtime.service.trial import TrialOrder, try_bundle

threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    try_bundle(TrialOrder(sys.argv[1], None, None, None, None))
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = run_python(code, tiny)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
