"""The classroom experiments run on stand-ins for their data, and end in a table and a plot."""

import importlib
import importlib.util
import pickle
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from edgetl.drawings import draw_part
from edgetl.options import check_options
from edgetl_export.progress import shown
from edgetl_runtime.errors import DatasetError, OptionsError, StorageError

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "transfer_learning"
SVG = "{http://www.w3.org/2000/svg}svg"
# The least that a head can be fitted by.
QUICK = ["--augment", "none", "--head-epochs", "3", "--l2", "0.03"]
BACKBONE = "mobilenet_v2_0.35"
NAMES_10 = "airplane automobile bird cat deer dog frog horse ship truck".split()


@pytest.fixture(scope="module")
def scripts():
    """Imports a script as Python does that runs it: its folder is on the path."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module
    # `photos`, `drawing` and the others are no names to leave behind.
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == FOLDER:
            del sys.modules[name]


@pytest.fixture(scope="module")
def pet_images(tmp_path_factory):
    """Two classes as the archive unpacks them, with one broken file."""
    root = tmp_path_factory.mktemp("cats") / "PetImages"
    for label, part in (("Cat", "gear"), ("Dog", "bolt")):
        write_photos(root / label, part, 14)
    (root / "Cat" / "666.jpg").write_bytes(b"no photo")
    return root.parent


@pytest.fixture(scope="module")
def raw_img(tmp_path_factory):
    """Three of the ten classes, under their Italian names."""
    root = tmp_path_factory.mktemp("animals") / "raw-img"
    for label, part in (("cane", "gear"), ("gatto", "bolt"), ("ragno", "washer")):
        write_photos(root / label, part, 10)
    return root


def write_photos(folder, part, count):
    folder.mkdir(parents=True)
    for seed in range(count):
        cv2.imwrite(str(folder / f"{seed}.jpg"), draw_part(part, seed, 64))


def write_cifar10(folder, records):
    """Files of the binary version; each class has one colour, which its number decides."""
    folder.mkdir()
    (folder / "batches.meta.txt").write_text("\n".join(NAMES_10) + "\n\n")
    for number, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        labels = np.arange(records) % 10
        (folder / f"{name}.bin").write_bytes(encode_records(labels[:, np.newaxis], number))
    return folder


def write_cifar100(folder, records):
    folder.mkdir()
    names = [f"kind{n:02d}" for n in range(100)]
    (folder / "fine_label_names.txt").write_text("\n".join(names) + "\n")
    for number, name in enumerate(("train", "test")):
        fine = np.arange(records) % 100
        # The coarse label comes first and does not count.
        labels = np.stack([fine // 5, fine], axis=1)
        (folder / f"{name}.bin").write_bytes(encode_records(labels, number))
    return folder


def encode_records(labels, seed):
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 40, (len(labels), 3, 32, 32), np.uint8)
    # Red tells the tens, green the ones: a swap of planes or of colours is seen.
    pixels[:, 0] += (20 * (labels[:, -1] % 10)).astype(np.uint8)[:, np.newaxis, np.newaxis]
    pixels[:, 1] += (20 * (labels[:, -1] // 10)).astype(np.uint8)[:, np.newaxis, np.newaxis]
    table = np.hstack([labels.astype(np.uint8), pixels.reshape(len(labels), -1)])
    return table.tobytes()


def table_rows(text, header):
    """Rows below a header, up to the first line that is no row: name -> cells."""
    lines = iter(text.splitlines())
    next(line for line in lines if line.startswith(header))
    rows = {}
    for line in lines:
        name, *cells = re.split(r"\s{2,}", line.strip())
        if not cells:
            break
        rows[name] = cells
    return rows


def check_plot(file, *texts):
    """A plot is an SVG, and has these texts as comments beside the glyphs."""
    content = file.read_text()
    assert ElementTree.fromstring(content).tag == SVG
    for text in texts:
        assert f"<!-- {text} -->" in content


def test_most_flowers_that_a_perceptron_never_saw_are_named_right(scripts, capsys, tmp_path):
    options = ["--heads", "mlp", "--optimizers", "sgd", "--epochs", "25"]
    scripts("iris").main([*options, "--out", str(tmp_path)])
    (right,) = re.findall(r"\((\d+) of 150\)", capsys.readouterr().out)
    assert int(right) / 150 > 0.9
    check_plot(tmp_path / "error.svg", "mlp, sgd", "training", "validation", "epoch")


def test_folds_are_equal_shares_of_every_species(scripts):
    iris = scripts("iris")
    flowers = iris.read_flowers(iris.FLOWERS)
    folds = iris.assign_folds(flowers.species, seed=0)
    counts = np.zeros((3, 5), int)
    np.add.at(counts, (flowers.species, folds), 1)
    assert flowers.lengths.shape == (150, 4)
    assert (counts == 10).all()


def test_a_head_is_the_same_with_the_same_seed(scripts):
    iris = scripts("iris")
    flowers = iris.read_flowers(iris.FLOWERS)
    one, other = (
        iris.judge(flowers, "linear", "sgd", epochs=2, seed=3).histories for _ in range(2)
    )
    assert [fold.curves for fold in one] == [fold.curves for fold in other]


def test_a_table_that_is_not_of_flowers_is_an_error_of_one_line(tmp_path):
    file = tmp_path / "prices.csv"
    file.write_text("a,b\n1,2\n")
    command = [sys.executable, str(FOLDER / "iris.py"), str(file)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith(f"iris.py: {file} cannot be used")
    assert result.stderr.count("\n") == 1
    assert not result.stdout


def test_networks_from_scratch_stand_beside_transfer_on_cifar10(
    scripts, weights_file, capsys, tmp_path
):
    data = write_cifar10(tmp_path / "cifar-10-batches-bin", 20)
    options = ["--epochs", "1", "--size", "32", "--photos-a-class", "4", *QUICK]
    options += ["--backbone", BACKBONE, "--weights", str(weights_file)]
    options += ["--out", str(tmp_path / "out")]
    # The parent of the folder will do.
    scripts("cifar10").main([str(data.parent), *options])
    printed = capsys.readouterr()
    rows = table_rows(printed.out, "variant")
    names = ["lenet from scratch", "cnn from scratch", "frozen backbone", "fine-tuned"]
    assert list(rows) == names
    assert [rows[name][0] for name in names[:3]] == ["all layers", "all layers", "the head"]
    assert all(re.fullmatch(r"[\d.]+%", cell) for row in rows.values() for cell in row[1:3])
    assert re.search(r"photos: \d+ train, \d+ val, 20 test", printed.out)
    assert "next: edgetl export" in printed.out
    assert printed.out.endswith(f"look at: {tmp_path / 'out' / 'curves.svg'}\n")
    check_plot(tmp_path / "out" / "curves.svg", "lenet from scratch (whole network)", "accuracy, %")


def test_cifar100_names_the_classes_that_are_confused(scripts, weights_file, capsys, tmp_path):
    data = write_cifar100(tmp_path / "cifar-100-binary", 300)
    options = ["--epochs", "1", "--size", "32", "--photos-a-class", "3", *QUICK]
    options += ["--backbone", BACKBONE, "--weights", str(weights_file)]
    options += ["--out", str(tmp_path / "out")]
    scripts("cifar100").main([str(data), *options])
    printed = capsys.readouterr().out
    assert list(table_rows(printed, "variant")) == ["frozen backbone", "fine-tuned"]
    confused = table_rows(printed, "class")
    assert 1 <= len(confused) <= 10
    assert all(name.startswith("kind") and "of 3" in row[1] for name, row in confused.items())
    check_plot(tmp_path / "out" / "curves.svg", "frozen backbone (head)")
    name, (named, *_) = next(iter(confused.items()))
    assert printed.endswith(f"look at: {tmp_path / 'out' / 'confused.svg'}\n")
    check_plot(tmp_path / "out" / "confused.svg", f"{name} as {named}", "photos of the class, %")


def test_a_record_becomes_a_picture_of_its_class_and_colours(scripts, tmp_path):
    cifar = scripts("cifar")
    data = write_cifar100(tmp_path / "cifar-100-binary", 300)
    folder = cifar.prepare(data, tmp_path / "out", cifar.CIFAR100, 0, 0)
    (file, *others) = (folder / "train" / "kind92").iterdir()
    blue, green, red = cv2.imread(str(file)).reshape(-1, 3).mean(axis=0)
    assert len(others) == 2
    # Fine label 92: red 20*2 and green 20*9 over noise of 20 on average.
    assert (round(blue, -1), round(green, -1), round(red, -1)) == (20, 200, 60)


def test_a_pickle_is_never_opened(scripts, tmp_path, wording):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    cifar = scripts("cifar")
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DatasetError, match=wording):
        cifar.prepare(folder, tmp_path / "out", cifar.CIFAR10, 0, 0)
    assert not (tmp_path / "sprung").exists()


def test_a_file_that_was_cut_off_is_refused(scripts, tmp_path, wording):
    cifar = scripts("cifar")
    data = write_cifar10(tmp_path / "data", 10)
    file = data / "data_batch_3.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DatasetError, match=wording):
        cifar.prepare(data, tmp_path / "out", cifar.CIFAR10, 0, 0)
    assert not (tmp_path / "out-photos").exists()


def test_heads_are_compared_on_cats_and_dogs_and_a_broken_file_is_named(
    scripts, pet_images, weights_file, capsys, tmp_path
):
    cats = scripts("cats_vs_dogs")
    options = ["--epochs", "3", "--size", "32", "--photos-a-class", "0", "--optimizers", "adam"]
    options += ["--backbone", BACKBONE, "--weights", str(weights_file)]
    options += ["--out", str(tmp_path / "out")]
    cats.main([str(pet_images), *options])
    printed = capsys.readouterr().out
    assert list(table_rows(printed, "head ")) == [setup.name for setup in cats.SETUPS]
    assert "skipped Cat/666.jpg" in printed
    assert re.search(r"best on validation: .* with adam; on \d+ test photos [\d.]+%", printed)
    assert printed.endswith(f"look at: {tmp_path / 'out' / 'loss.svg'}\n")
    check_plot(tmp_path / "out" / "loss.svg", "mlp, dropout", "adam")


def test_the_command_of_the_best_head_is_one_that_edgetl_takes(scripts):
    from edgetl.commands.flags import collect_flags
    from edgetl.commands.train import choose_options
    from edgetl.commands.train import train as command

    for setup in scripts("cats_vs_dogs").SETUPS:
        words = ["DATA", "--finetune", "none", "--output", "sigmoid", *setup.flags.split()]
        parameters = command.make_context("train", words).params
        known = {name: parameters[name] for name in parameters if name not in SWITCHES}
        options = choose_options(None, collect_flags(known))
        assert options.head == setup.head
        assert (options.training.l1, options.training.l2) == (setup.l1, setup.l2)


SWITCHES = {"data", "out", "config", "resume", "tensorboard", "overwrite", "as_json"}
SWITCHES |= {"board", "budget_ms", "find_lr"}


def test_three_classes_are_too_many_for_cats_and_dogs(
    scripts, raw_img, weights_file, tmp_path, wording
):
    options = ["--weights", str(weights_file), "--out", str(tmp_path / "out")]
    with pytest.raises(DatasetError, match=wording):
        scripts("cats_vs_dogs").main([str(raw_img), *options])


def test_feature_extraction_stands_beside_fine_tuning_on_animals(
    scripts, raw_img, weights_file, capsys, tmp_path, wording
):
    options = ["--epochs", "1", "--size", "32", "--photos-a-class", "9", *QUICK]
    options += ["--backbones", "mobilenet_v2_0.35", "--finetune", "none", "all"]
    options += ["--weights", str(weights_file), "--out", str(tmp_path / "out")]
    main = scripts("animals10").main
    main([str(raw_img.parent), *options])
    printed = capsys.readouterr()
    rows = table_rows(printed.out, "variant")
    assert list(rows) == ["mobilenet_v2_0.35 head", "mobilenet_v2_0.35 all"]
    plot = tmp_path / "out" / "accuracy-against-seconds.svg"
    assert printed.out.endswith(f"look at: {plot}\n")
    check_plot(plot, "head", "all", "mobilenet_v2_0.35")
    chosen = tmp_path / "out-photos"
    assert sorted(one.name for one in chosen.iterdir() if one.is_dir()) == ["cat", "dog", "spider"]
    assert len(list((chosen / "dog").iterdir())) == 9

    # The same command again finds what is finished; the table and the plot are the same.
    drawn = plot.read_bytes()
    main([str(raw_img), *options])
    again = capsys.readouterr()
    assert again.err.count("finished before") == 2
    assert again.out == printed.out
    assert plot.read_bytes() == drawn

    # Other options are not mistaken for it.
    with pytest.raises(StorageError, match=wording):
        main([str(raw_img), *options, "--augment", "light"])


def test_a_backbone_without_weights_is_left_out(scripts, weights_file, capsys, tmp_path, wording):
    keep = scripts("animals10").keep_available
    assert keep(["mobilenet_v2_0.35"], str(weights_file), 32) == ["mobilenet_v2_0.35"]
    with pytest.raises(Exception, match=wording):
        keep(["mobilenet_v2_0.35"], str(tmp_path / "none.h5"), 32)
    assert "leaving out mobilenet_v2_0.35" in capsys.readouterr().err


def test_an_interrupted_experiment_goes_on(scripts, raw_img, weights_file, capsys, tmp_path):
    from edgetl.training.workspace import is_resumable

    variants = scripts("variants")
    parser = variants.variant_parser_for("", "x", epochs=3, photos=0, size_px=32)
    words = ["--weights", str(weights_file), "--out", str(tmp_path), "--augment", "none"]
    chosen = parser.parse_args([str(raw_img), *words])
    variant = variants.Variant("a net", variants.scratch_options(chosen, "lenet", 32))

    def stop_in_third(items, description, total):
        for number, item in enumerate(items):
            if description.startswith("fitting") and number == 2:
                raise KeyboardInterrupt
            yield item

    with shown(stop_in_third), pytest.raises(KeyboardInterrupt):
        variants.train_variants(raw_img, [variant], chosen)
    assert is_resumable(tmp_path / "a-net")
    (outcome,) = variants.train_variants(raw_img, [variant], chosen)
    assert outcome.run.path == tmp_path / "a-net"
    assert not is_resumable(tmp_path / "a-net")


def test_vgg16_may_stay_frozen_under_a_dense_hidden_layer(scripts):
    variants = scripts("variants")
    parser = variants.variant_parser_for("", "x", epochs=3, photos=0, size_px=96)
    options = variants.transfer_options(
        parser.parse_args(["DATA", "--head", "mlp"]), "vgg16", "none"
    )
    check_options(options)
    assert (options.backbone, options.finetune, options.head.kind) == ("vgg16", "none", "mlp")
    assert "vgg16" in scripts("animals10").BACKBONES


@pytest.mark.parametrize("count", ["1", "2", "-3"])
def test_too_few_photos_a_class_are_refused(scripts, raw_img, count, tmp_path):
    with pytest.raises(DatasetError, match=f"--photos-a-class {count} is too few"):
        scripts("photos").choose_photos(raw_img, tmp_path / "out", int(count), 0)


def test_two_folders_of_one_class_are_refused(scripts, raw_img, tmp_path, wording):
    for name in ("cane", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
    photos, animals = scripts("photos"), scripts("animals10")
    with pytest.raises(DatasetError, match=wording):
        photos.choose_photos(tmp_path / "data", tmp_path / "out", 0, 0, animals.ENGLISH)


def test_an_unknown_augmentation_is_named(scripts, raw_img, weights_file, tmp_path, wording):
    words = [str(raw_img), "--weights", str(weights_file), "--out", str(tmp_path / "out")]
    words += ["--backbones", BACKBONE, "--augment", "wild"]
    with pytest.raises(OptionsError, match=wording):
        scripts("animals10").main(words)


def test_a_class_is_never_written_outside_its_folder(scripts, tmp_path, wording):
    cifar = scripts("cifar")
    data = write_cifar10(tmp_path / "data", 10)
    names = ["../../escaped", *NAMES_10[1:]]
    (data / "batches.meta.txt").write_text("\n".join(names))
    with pytest.raises(DatasetError, match=wording):
        cifar.prepare(data, tmp_path / "out", cifar.CIFAR10, 0, 0)
