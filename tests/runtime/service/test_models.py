import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.errors import BundleError, ServiceError, StorageError
from edgetl_runtime.service.models import ModelStore
from edgetl_runtime.service.record import ModelRecord, read_record
from edgetl_runtime.service.trial import Trial


def passes(order) -> Trial:
    return Trial("good")


@pytest.fixture
def store(tmp_path) -> ModelStore:
    """Its trials are passed at once; the real ones have tests of their own."""
    return ModelStore(tmp_path / "state", try_out=passes)


@pytest.fixture
def reopened(tmp_path):
    """The store as the next start finds it."""
    return lambda: ModelStore(tmp_path / "state", try_out=passes)


def sha256(bundle: Path) -> str:
    return Bundle.open(bundle).sha256


def test_an_installed_bundle_is_a_verified_copy(store, make_bundle, reopened):
    bundle = make_bundle("one")
    copy = store.install(bundle)
    assert copy.path == store.folder / "models" / sha256(bundle)
    shutil.rmtree(bundle)
    assert reopened().open().sha256 == copy.sha256


def test_a_zip_is_kept_as_a_folder(store, make_bundle, tmp_path):
    bundle = make_bundle("one")
    zipped = shutil.make_archive(str(tmp_path / "one"), "zip", bundle)
    assert store.install(zipped).sha256 == sha256(bundle)


def test_an_unknown_store_holds_no_model(store, wording):
    with pytest.raises(ServiceError, match=wording):
        store.open()


def test_a_new_model_is_provisional_until_it_has_proved_itself(store, make_bundle, reopened):
    store.install(make_bundle("one"))
    assert not reopened().record.committed
    store.commit(store.record.current)
    assert reopened().record.committed


def test_the_committed_model_is_what_an_update_can_go_back_to(store, make_bundle, reopened):
    one, two, three = (make_bundle(name) for name in ("one", "two", "three"))
    store.install(one)
    store.commit(store.record.current)
    store.install(two)
    store.install(three)
    assert reopened().record.current == sha256(three)
    assert reopened().record.previous == sha256(one)
    assert {path.name for path in (store.folder / "models").iterdir()} == {
        sha256(one),
        sha256(three),
    }


def test_three_starts_without_proof_bring_the_old_model_back(store, make_bundle, reopened, wording):
    one, two = make_bundle("one"), make_bundle("two")
    store.install(one)
    store.commit(store.record.current)
    store.install(two)
    for _ in range(3):
        assert reopened().begin() is None
    again = reopened()
    assert again.begin() == "it crashed the service 3 times"
    assert again.open().sha256 == sha256(one)
    with pytest.raises(BundleError, match=wording):
        again.install(two)


def test_starts_that_ended_well_count_for_nothing(store, make_bundle, reopened):
    store.install(make_bundle("one"))
    store.commit(store.record.current)
    store.install(make_bundle("two"))
    for _ in range(10):
        again = reopened()
        assert again.begin() is None
        again.end()


def test_a_model_without_a_past_stays_however_often_it_fails(store, make_bundle, reopened):
    store.install(make_bundle("one"))
    for _ in range(10):
        assert reopened().begin() is None
    assert reopened().revert(store.record.current, "bad outputs") is False
    assert reopened().open()


def test_there_is_one_step_back_and_then_a_person_decides(store, make_bundle):
    for name in ("one", "two", "three"):
        store.install(make_bundle(name))
        store.commit(store.record.current)
    assert store.revert(store.record.current, "bad outputs")
    assert not store.revert(store.record.current, "bad outputs")


def test_a_bad_bundle_is_refused_until_it_changes(store, make_bundle, wording):
    store.install(make_bundle("one"))
    store.commit(store.record.current)
    store.install(make_bundle("two"))
    store.revert(store.record.current, "its outputs are no probabilities")
    with pytest.raises(BundleError, match=wording):
        store.install(make_bundle("copy_of_two").parent / "two.bundle")
    assert store.install(make_bundle("two_again"))


@pytest.mark.parametrize("damage", [b"", b"\0" * 300, b'{"current": "', b"[" * 100_000])
def test_a_torn_record_leaves_the_other_copy(store, make_bundle, damage, reopened):
    store.install(make_bundle("one"))
    store.commit(store.record.current)
    (store.folder / "models.json").write_bytes(damage)
    assert reopened().record == store.record
    (store.folder / "models.copy.json").write_bytes(damage)
    assert reopened().open().sha256 == store.record.current


def test_without_any_record_both_models_are_found_again(store, make_bundle, reopened):
    store.install(make_bundle("one"))
    store.commit(store.record.current)
    store.install(make_bundle("two"))
    for file in store.folder.glob("*.json"):
        file.unlink()
    again = reopened()
    again.open()
    assert {again.record.current, again.record.previous} == {
        store.record.current,
        store.record.previous,
    }


def test_a_model_damaged_on_the_disk_is_replaced_by_the_one_before(store, make_bundle, reopened):
    store.install(make_bundle("one"))
    store.commit(store.record.current)
    two = store.install(make_bundle("two"))
    (two.path / two.variant().file).write_bytes(b"rot")
    again = reopened()
    assert again.open().manifest.provenance.name == "one"
    assert not two.path.exists()
    assert (
        again.install(make_bundle("two2").parent / "two.bundle").manifest.provenance.name == "two"
    )


def test_a_damaged_current_model_is_mended_by_its_bundle(store, make_bundle):
    bundle = make_bundle("one")
    copy = store.install(bundle)
    shutil.rmtree(copy.path / "golden")
    (copy.path / "bundle.json").unlink()
    assert store.install(bundle).sha256 == copy.sha256
    assert store.open().sha256 == copy.sha256


def test_what_a_killed_installation_left_is_cleared(store, make_bundle, reopened):
    copy = store.install(make_bundle("one"))
    (store.folder / "models" / f".{'1' * 64}.half").mkdir()
    (store.folder / "models" / ("0" * 64)).mkdir()
    (store.folder / ".models.json.x").touch()
    reopened().open()
    assert [path.name for path in (store.folder / "models").iterdir()] == [copy.sha256]
    assert not list(store.folder.glob(".models*"))


@pytest.mark.usefixtures("faulty_engine")
def test_a_bundle_that_crashes_its_trial_leaves_the_old_one(tmp_path, make_bundle, wording):
    store = ModelStore(tmp_path / "state")
    one, two = make_bundle("one"), make_bundle("two", "SIGSEGV")
    store.install(one)
    before = store.record
    with pytest.raises(BundleError, match=wording[0]):
        store.install(two)
    assert store.open().sha256 == before.current
    with pytest.raises(BundleError, match=wording[1]):
        store.install(two)


def test_a_bundle_that_could_not_be_tried_is_not_blamed(tmp_path, make_bundle, wording):
    store = ModelStore(tmp_path / "state", try_out=lambda order: Trial("unable", "no engine"))
    with pytest.raises(ServiceError, match=wording):
        store.install(make_bundle("one"))
    assert store.record == ModelRecord()


def test_a_damaged_bundle_changes_nothing(store, make_bundle, wording):
    store.install(make_bundle("one"))
    before = store.record
    two = make_bundle("two")
    (two / "labels.txt").write_bytes(b"a\nb\n")
    with pytest.raises(BundleError, match=wording):
        store.install(two)
    assert store.record == before == read_record(store.folder)


def test_a_bundle_swapped_between_check_and_copy_is_refused(store, make_bundle, tmp_path):
    """Another bundle takes the path after it was checked; nothing unverified may be kept."""
    one, two = make_bundle("one"), make_bundle("two", "OTHER")
    offered = Bundle.open(one)
    shutil.rmtree(one)
    two.rename(one)
    with pytest.raises(BundleError):
        store._keep(offered)
    assert list((store.folder / "models").iterdir()) == []


def test_a_full_disk_refuses_before_anything_is_copied(full_disk, make_bundle, wording):
    store = ModelStore(full_disk, try_out=passes)
    with pytest.raises(StorageError, match=wording):
        store.install(make_bundle("one"))
    assert store.record == ModelRecord()


def test_what_somebody_else_keeps_in_the_folder_stays(store, make_bundle, reopened):
    models = store.folder / "models"
    theirs = [models / "resnet" / "weights.bin", models / "notes.txt", models / ".hidden"]
    for path in theirs:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    store.install(make_bundle("one"))
    store.commit(store.record.current)
    store.install(make_bundle("two"))
    assert reopened().open()
    assert [path.read_text() for path in theirs] == ["mine"] * 3


def test_a_link_in_place_of_the_models_is_refused_and_not_emptied(tmp_path, wording):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / ("0" * 64)).write_text("mine")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "models").symlink_to(tmp_path / "precious")
    with pytest.raises(StorageError, match=wording):
        ModelStore(tmp_path / "state", try_out=passes)
    assert (tmp_path / "precious" / ("0" * 64)).read_text() == "mine"


def test_a_link_that_leads_nowhere_is_cleared_away(store, make_bundle, reopened):
    copy = store.install(make_bundle("one"))
    link = store.folder / "models" / ("0" * 64)
    link.symlink_to("nowhere")
    assert reopened().open().sha256 == copy.sha256
    assert not link.is_symlink()


def test_a_record_that_is_a_pipe_is_not_waited_for(store, make_bundle, reopened):
    store.install(make_bundle("one"))
    record = store.record
    (store.folder / "models.json").unlink()
    os.mkfifo(store.folder / "models.json")
    assert reopened().record == record
    store.commit(record.current)
    assert (store.folder / "models.json").is_file()


def test_a_state_folder_that_was_cleared_away_is_made_again(store, make_bundle):
    one = make_bundle("one")
    store.install(one)
    shutil.rmtree(store.folder)
    assert store.install(one).sha256 == store.open().sha256


def test_a_state_folder_that_cannot_be_made_again_is_one_error(store, make_bundle, wording):
    one = make_bundle("one")
    shutil.rmtree(store.folder)
    store.folder.touch()
    with pytest.raises(StorageError, match=wording[0]):
        store.install(one)
    with pytest.raises(StorageError, match=wording[1]):
        store.open()


KILL = """
import os, signal, sys
from pathlib import Path
from edgetl_runtime.bundle.reader import Bundle
from edgetl_runtime.service.models import ModelStore
from edgetl_runtime.service.trial import Trial

state, bundle, old, new = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.chmod", "shutil.rmtree"}

def install(kill_at):
    left = kill_at
    def count(event, arguments=()):
        nonlocal left
        if event in EVENTS or event == "fsync":
            if event == "open" and str(state) not in str(arguments[0]):
                return
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sync = os.fsync
    os.fsync = lambda descriptor: (count("fsync"), sync(descriptor), count("fsync"))
    sys.addaudithook(count)
    ModelStore(state, try_out=lambda order: Trial("good")).install(bundle)

def look():
    found = ModelStore(state, try_out=lambda order: Trial("good")).open().sha256
    names = {path.name for path in (state / "models").iterdir()}
    assert found in (old, new), found
    assert found == new or old in names, names
    os._exit(10 if found == new else 11)

def forked(function, *arguments):
    pid = os.fork()
    if pid == 0:
        function(*arguments)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

kept = Path(sys.argv[5])
outcomes = []
while True:
    os.system(f"rm -rf '{state}' && cp -a '{kept}' '{state}'")
    ended = forked(install, len(outcomes) + 1)
    found = forked(look)
    assert found in (10, 11), found
    if ended == 0:
        assert found == 10
        break
    assert ended == -signal.SIGKILL, ended
    outcomes.append(found)
assert outcomes == sorted(outcomes, reverse=True), outcomes
print(len(outcomes), outcomes.count(11), outcomes.count(10))
"""


def test_a_kill_at_any_file_operation_leaves_the_old_model_or_the_new_one(
    store, make_bundle, tmp_path, run_python
):
    one, two = make_bundle("one"), make_bundle("two")
    store.install(one)
    store.commit(store.record.current)
    kept = shutil.copytree(store.folder, tmp_path / "kept")
    done = run_python(KILL, store.folder, two, sha256(one), sha256(two), kept)
    assert done.returncode == 0, done.stderr
    kills, old, new = map(int, done.stdout.split())
    assert kills > 40
    assert old > 0
    assert new > 0


class Life(RuleBasedStateMachine):
    """Months of updates, crashes and damage: there is always a model once there was one."""

    offers: dict[str, Path]
    root: Path

    def __init__(self):
        super().__init__()
        shutil.rmtree(self.root, ignore_errors=True)
        self.store = ModelStore(self.root, try_out=self.judge)
        self.verdict = "good"
        self.began = False
        self.had_model = False

    def judge(self, order) -> Trial:
        return Trial(self.verdict, "because")

    @rule(name=st.sampled_from("abcd"), verdict=st.sampled_from(["good", "good", "bad", "unable"]))
    def install(self, name, verdict):
        self.verdict = verdict
        try:
            self.store.install(self.offers[name])
            self.had_model = True
        except (BundleError, ServiceError):
            assert verdict != "good" or sha256(self.offers[name]) in self.store.record.bad

    @precondition(lambda self: self.had_model)
    @rule()
    def start(self):
        self.store = ModelStore(self.root, try_out=self.judge)
        self.store.begin()
        self.store.open()
        self.began = True

    @precondition(lambda self: self.began)
    @rule()
    def prove(self):
        self.store.commit(self.store.record.current)

    @precondition(lambda self: self.had_model)
    @rule()
    def fail(self):
        before = self.store.record
        assert self.store.revert(self.store.record.current, "failed") == bool(before.previous)

    @precondition(lambda self: self.began)
    @rule()
    def stop(self):
        self.store.end()
        self.began = False

    @rule(copy=st.sampled_from(["models.json", "models.copy.json"]), size=st.integers(0, 40))
    def tear(self, copy, size):
        path = self.root / copy
        if path.exists():
            path.write_bytes(b"\0" * size)
            self.store = ModelStore(self.root, try_out=self.judge)

    @precondition(lambda self: self.store.record.previous)
    @rule()
    def rot(self):
        (self.root / "models" / self.store.record.current / "labels.txt").write_bytes(b"rot")

    @invariant()
    def there_is_a_model(self):
        if self.had_model:
            found = ModelStore(self.root, try_out=self.judge).open()
            assert found.sha256 in {sha256(bundle) for bundle in self.offers.values()}
            self.store = ModelStore(self.root, try_out=self.judge)
            record = self.store.record
            assert record.current == found.sha256
            assert record.current != record.previous
            assert record.current not in record.bad


def test_whatever_happens_there_is_a_model(make_bundle, tmp_path):
    Life.offers = {name: make_bundle(name) for name in "abcd"}
    Life.root = tmp_path / "life"
    case = Life.TestCase
    case.settings = settings(max_examples=30, stateful_step_count=15, deadline=None)
    case().runTest()
