"""Chainer 7.8.1 on NumPy."""

import bench_common as common

args = common.arguments()

import chainer  # noqa: E402  (imported late: --first-step counts it)
import chainer.functions as F  # noqa: E402
import numpy as np  # noqa: E402
import nets_chainer as nets  # noqa: E402


def main():
    net = {"vgg": lambda: nets.VGG(10), "mlp": lambda: nets.MLP(1000, 10), "lenet": nets.LeNet,
           "regression": nets.Regression}[args.model]()
    x, t = common.batch(args)
    criterion = F.mean_squared_error if args.model == "regression" else F.softmax_cross_entropy
    t = t if args.model == "regression" else t.astype(np.int32)
    optimizer = chainer.optimizers.MomentumSGD(args.learning_rate, 0.9)
    optimizer.setup(net)
    optimizer.add_hook(chainer.optimizer_hooks.WeightDecay(5e-4))

    def step():
        loss = criterion(net(x), t)
        net.cleargrads()
        loss.backward()
        optimizer.update()

    common.measure(args, step, "chainer " + chainer.__version__)


main()
