"""MXNet 1.9.1: a hybridised Gluon network with static memory."""

import os

import bench_common as common

args = common.arguments()
os.environ.setdefault("OMP_NUM_THREADS", str(args.threads))

import mxnet as mx  # noqa: E402  (imported late: --first-step counts it)
from mxnet import autograd, gluon  # noqa: E402

nn = gluon.nn


def vgg(net):
    for _, width, after in common.VGG_PLAN:
        net.add(nn.Conv2D(width, 3, padding=1, use_bias=False),
                nn.BatchNorm(epsilon=2e-5), nn.Activation("relu"))
        net.add(nn.MaxPool2D(2) if after == "pool" else nn.Dropout(after))
    net.add(nn.Dropout(0.5), nn.Dense(512, use_bias=False), nn.BatchNorm(epsilon=2e-5),
            nn.Activation("relu"), nn.Dropout(0.5), nn.Dense(10, use_bias=False))


def mlp(net):
    net.add(nn.Dense(1000, activation="relu"), nn.Dense(1000, activation="relu"), nn.Dense(10))


def lenet(net):
    net.add(nn.Conv2D(20, 5), nn.MaxPool2D(2), nn.Conv2D(50, 5), nn.MaxPool2D(2),
            nn.Dense(500, activation="relu"), nn.Dense(10))


def regression(net):
    net.add(nn.Dense(10, activation="relu"), nn.Dense(10, activation="relu"), nn.Dense(1))


def main():
    net = nn.HybridSequential()
    {"vgg": vgg, "mlp": mlp, "lenet": lenet, "regression": regression}[args.model](net)
    net.initialize(mx.init.Xavier())
    net.hybridize(static_alloc=True, static_shape=True)
    criterion = gluon.loss.L2Loss() if args.model == "regression" else (
        gluon.loss.SoftmaxCrossEntropyLoss())
    x, t = (mx.nd.array(a) for a in common.batch(args))
    trainer = gluon.Trainer(net.collect_params(), "sgd", {
        "learning_rate": args.learning_rate, "momentum": 0.9, "wd": 5e-4})

    def step():
        with autograd.record():
            loss = criterion(net(x), t)
        loss.backward()
        trainer.step(args.batch_size)
        loss.wait_to_read()
        mx.nd.waitall()

    common.measure(args, step, "mxnet " + mx.__version__)


main()
