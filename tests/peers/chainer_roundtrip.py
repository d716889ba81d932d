"""Files of lockstep open in the real Chainer and predict the same, and back.

chainer_roundtrip.py LOCKSTEP FIXTURES (the program; a folder with what Chainer predicted elsewhere,
which need not be there)
"""

import os
import subprocess
import sys
import tempfile

import numpy as np

import chainer
import chainer.links as L
import make_golden
from nets_chainer import MLP, VGG

LOCKSTEP, FIXTURES = sys.argv[1:]
TOLERANCE = 1e-4  # of the largest number of a row: logits near zero have no relative accuracy
CASES = {"mlp": (lambda: MLP(1000, 10), (784,)), "vgg": (lambda: VGG(10), (3, 32, 32))}


def lockstep(*arguments):
    done = subprocess.run([LOCKSTEP, *arguments], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, "%s\n%s" % (" ".join(arguments), done.stdout[-3000:])
    return done.stdout


def write_channel(folder, shape, rows, seed):
    random = np.random.RandomState(seed)
    os.makedirs(folder)
    np.savez(os.path.join(folder, "data.npz"), data=random.rand(rows, *shape).astype(np.float32),
             labels=random.randint(0, 10, rows).astype(np.int32))


def expect_same(found, wanted):
    assert found.shape == wanted.shape, (found.shape, wanted.shape)
    largest = np.abs(wanted).max(axis=1, keepdims=True)
    worst = (np.abs(found - wanted) / largest).max()
    assert worst <= TOLERANCE, "%g of the largest logit apart" % worst  # NaN is no agreement


def predicted_by_chainer(model, x):
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        return model.predictor(x).array


def predicted_by_lockstep(model_dir, x):
    np.save(os.path.join(model_dir, "..", "x.npy"), x)
    output = os.path.join(model_dir, "..", "y.npy")
    lockstep("predict", "--model-dir", model_dir,
             "--input", os.path.join(model_dir, "..", "x.npy"), "--output", output)
    return np.load(output)


def materialised(name):
    net, shape = CASES[name]
    model = L.Classifier(net())
    predicted_by_chainer(model, np.zeros((1,) + shape, np.float32))
    return model


def check_vgg_of_fixtures(folder):
    """The whole VGG has too many weights to come as a file: they come of their seed."""
    x = np.random.RandomState(41).rand(4, 3, 32, 32).astype(np.float32)
    model = make_golden.made(VGG(10), x, 40)
    model_dir = os.path.join(folder, "model")
    os.makedirs(model_dir)
    chainer.serializers.save_npz(os.path.join(model_dir, "model.npz"), model)
    logits = predicted_by_lockstep(model_dir, x)
    expect_same(logits, predicted_by_chainer(model, x))
    wanted = os.path.join(FIXTURES, "vgg_full_")
    if os.path.exists(wanted + "logits.npy"):
        np.testing.assert_array_equal(x, np.load(wanted + "input.npy"))
        expect_same(logits, np.load(wanted + "logits.npy"))


def check_from_lockstep(name, folder):
    """Trains a little here; Chainer loads model and snapshot strictly and predicts the same."""
    shape = CASES[name][1]
    write_channel(os.path.join(folder, "train"), shape, 96, 1)
    write_channel(os.path.join(folder, "test"), shape, 32, 2)
    model_dir, output = os.path.join(folder, "model"), os.path.join(folder, "output")
    lockstep("train", "--model", name, "--train", os.path.join(folder, "train"),
             "--test", os.path.join(folder, "test"), "--model-dir", model_dir,
             "--output-data-dir", output, "--checkpoint-dir", os.path.join(folder, "checkpoints"),
             "--snapshot-every", "1", "--epochs", "1", "--batch-size", "32",
             "--learning-rate", "0.01", "--optimizer", "momentum")
    x = np.random.RandomState(3).rand(5, *shape).astype(np.float32)
    model = materialised(name)
    chainer.serializers.load_npz(os.path.join(model_dir, "model.npz"), model)
    expect_same(predicted_by_lockstep(model_dir, x), predicted_by_chainer(model, x))
    check_snapshot(name, folder, model, x)


def check_snapshot(name, folder, model, x):
    """The snapshot of the last step holds the same weights, and the optimizer's state."""
    found = [os.path.join(parent, file) for parent, _, files in os.walk(folder)
             for file in files if file.startswith("snapshot_iter_3")]
    assert found, "no snapshot_iter_3 below %s" % folder
    loaded = materialised(name)
    chainer.serializers.load_npz(found[0], loaded, path="updater/model:main/")
    expect_same(predicted_by_chainer(loaded, x), predicted_by_chainer(model, x))
    optimizer = chainer.optimizers.MomentumSGD(0.01, 0.9).setup(loaded)
    chainer.serializers.load_npz(found[0], optimizer, path="updater/optimizer:main/")
    assert optimizer.t == 3, optimizer.t
    with np.load(found[0]) as snapshot:
        assert int(snapshot["updater/iteration"]) == 3
        assert sorted(snapshot["updater/iterator:main/order"]) == list(range(96))


def check_from_chainer(name, folder):
    """A model that Chainer has trained a few steps predicts the same here."""
    model = materialised(name)
    optimizer = chainer.optimizers.MomentumSGD(0.01).setup(model)
    random = np.random.RandomState(4)
    for _ in range(2):
        x = random.rand(8, *CASES[name][1]).astype(np.float32)
        optimizer.update(model, x, random.randint(0, 10, 8).astype(np.int32))
    for compression in (True, False):
        model_dir = os.path.join(folder, "chainer%d" % compression, "model")
        os.makedirs(model_dir)
        chainer.serializers.save_npz(os.path.join(model_dir, "model.npz"), model, compression)
        expect_same(predicted_by_lockstep(model_dir, x), predicted_by_chainer(model, x))


with tempfile.TemporaryDirectory() as temporary:
    check_vgg_of_fixtures(temporary)
for case in CASES:
    with tempfile.TemporaryDirectory() as temporary:
        check_from_lockstep(case, temporary)
        check_from_chainer(case, temporary)
    print("%s: agrees with Chainer %s in both directions" % (case, chainer.__version__))
