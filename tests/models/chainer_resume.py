"""The real Chainer's trainer resumes a snapshot of lockstep, strictly, and trains on.

chainer_resume.py SNAPSHOT_WRITER (the program of that name)
"""

import os
import subprocess
import sys
import tempfile
import warnings

import numpy as np

import chainer
import chainer.functions as F
import chainer.links as L
from chainer import training
from chainer.training import extensions


# name: (optimizer, what a schedule changes, and what it was, states of a parameter). Chainer's
# AdaDelta has no rate.
OPTIMIZERS = {
    "sgd": (lambda: chainer.optimizers.SGD(0.05), "lr", 0.05, []),
    "momentum": (lambda: chainer.optimizers.MomentumSGD(0.05, 0.9), "lr", 0.05, ["v"]),
    "nag": (lambda: chainer.optimizers.NesterovAG(0.05, 0.9), "lr", 0.05, ["v"]),
    "adam": (lambda: chainer.optimizers.Adam(), "alpha", 0.001, ["m", "v"]),
    "rmsprop": (lambda: chainer.optimizers.RMSprop(0.05), "lr", 0.05, ["ms"]),
    "adagrad": (lambda: chainer.optimizers.AdaGrad(0.05), "lr", 0.05, ["h"]),
    "adadelta": (lambda: chainer.optimizers.AdaDelta(), None, 1.0, ["msdx", "msg"]),
}


class Block(chainer.Chain):
    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution2D(3, 4, 3, pad=1, nobias=True)
            self.bn = L.BatchNormalization(4)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class Net(chainer.Chain):
    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.block1_1 = Block()
            self.fc1 = L.Linear(144, 3)

    def forward(self, x):
        return self.fc1(self.block1_1(x))


def make_trainer(name, out):
    model = L.Classifier(Net())
    make, rate = OPTIMIZERS[name][:2]
    optimizer = make().setup(model)
    random = np.random.RandomState(1)
    data = [(random.rand(3, 6, 6).astype(np.float32), np.int32(i % 3)) for i in range(10)]
    iterator = chainer.iterators.SerialIterator(data, 4)
    trainer = training.Trainer(training.StandardUpdater(iterator, optimizer), (3, "epoch"), out)
    trainer.extend(extensions.Evaluator(
        chainer.iterators.SerialIterator(data, 4, repeat=False, shuffle=False), model))
    if rate:
        trainer.extend(extensions.ExponentialShift(rate, 0.5), trigger=(1, "epoch"))
    trainer.extend(extensions.snapshot(), trigger=(1, "epoch"))
    trainer.extend(extensions.LogReport())
    if extensions.PlotReport.available():
        trainer.extend(extensions.PlotReport(["main/loss", "validation/main/loss"], "epoch",
                                             file_name="loss.png"))
        trainer.extend(extensions.PlotReport(["main/accuracy", "validation/main/accuracy"],
                                             "epoch", file_name="accuracy.png"))
    trainer.extend(extensions.PrintReport(["epoch", "main/loss"], out=open(os.devnull, "w")))
    return trainer, model, optimizer


def check(name, writer, folder):
    path = os.path.join(folder, "snapshot_iter_5")
    rate, base, states = OPTIMIZERS[name][1:]
    subprocess.run([writer, name, str(base), path], check=True)
    trainer, model, optimizer = make_trainer(name, folder)
    chainer.serializers.load_npz(path, trainer)
    snapshot = np.load(path)
    for key, param in model.namedparams():
        np.testing.assert_array_equal(param.array, snapshot["updater/model:main" + key])
        assert sorted(param.update_rule.state or {}) == states, param.update_rule.state
        for state, array in (param.update_rule.state or {}).items():
            np.testing.assert_array_equal(
                array, snapshot["updater/optimizer:main%s/%s" % (key, state)])
        assert param.update_rule.t == 5
    iterator = trainer.updater.get_iterator("main")
    assert (trainer.updater.iteration, optimizer.t, iterator.epoch) == (5, 5, 1)
    assert iterator.current_position == 8 and abs(iterator.epoch_detail - 1.8) < 1e-12
    assert [item for item in iterator._state.order] == list(range(9, -1, -1))
    trainer.run()
    assert iterator.epoch == 3 and optimizer.t == trainer.updater.iteration > 5
    log = trainer.get_extension("LogReport").log
    assert [entry["epoch"] for entry in log] == [1, 2, 3], log
    assert log[0]["main/loss"] == 1.5
    if rate:  # one shift before, two since
        assert abs(getattr(optimizer, rate) - base / 8) < 1e-9, getattr(optimizer, rate)


warnings.simplefilter("error", UserWarning)  # a statistic or trigger that could not be restored
warnings.filterwarnings("ignore", message=".*[Mm]atplotlib.*")
for case in OPTIMIZERS:
    with tempfile.TemporaryDirectory() as temporary:
        check(case, sys.argv[1], temporary)
    print("%s: Chainer %s trains on" % (case, chainer.__version__))
