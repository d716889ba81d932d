"""Writes the golden files of the real Chainer: make_golden.py FOLDER [--compare OTHER_FOLDER].

  <net>_model.npz, _input.npy, _logits.npy, _softmax.npy   predictions in test mode
  traj_<net>_<optimizer>.npz                               five training steps, every array of each:
      x (5, batch, ...), t (5, batch), losses, accuracies, step<k>/<model key> for k = 0..5,
      step<k>/grad/<parameter> (mean gradient of step k, before hooks),
      step<k>/state/<parameter>/<v, m, ...> (the optimizer's)
With --compare every array must agree with the file of the same name there, to 1e-4, if there is such
a folder. make_golden_chainermn.py writes more files, beside these.
"""

import os
import sys

import numpy as np

import chainer
import chainer.functions as F
import chainer.links as L
from nets_chainer import MLP, SmallConv, VGG

hooks = chainer.optimizer_hooks
optimizers = chainer.optimizers
TRAINED = {"mlp": (lambda: MLP(16, 10), (12, 20)), "conv": (SmallConv, (6, 3, 8, 8))}


def fill(model, seed):
    """Draws every array from one generator, in the order of the sorted names."""
    arrays = chainer.serializers.npz.serialize(model)
    random = np.random.RandomState(seed)
    for name in sorted(arrays):
        shape = np.shape(arrays[name])
        if name.endswith("/N"):
            arrays[name] = np.int64(0)
            continue
        if name.endswith("/avg_var"):
            value = 0.5 + random.rand(*shape)
        elif name.endswith("/gamma"):
            value = 1 + 0.2 * random.randn(*shape)
        elif name.endswith(("/beta", "/avg_mean", "/b")):
            value = 0.1 * random.randn(*shape)
        else:
            value = random.randn(*shape) * np.sqrt(2.0 / np.prod(shape[1:]))
        arrays[name] = value.astype(np.float32)
    chainer.serializers.NpzDeserializer(arrays).load(model)


def made(net, sample, seed):
    """A Classifier of the net with known arrays; the first forward gives lazy layers a shape."""
    model = L.Classifier(net)
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        model.predictor(sample)
    fill(model, seed)
    return model


def write_prediction(folder, name, net, shape, seed, compression=True):
    x = np.random.RandomState(seed + 1).rand(*shape).astype(np.float32)
    model = made(net, x, seed)
    with chainer.using_config("train", False), chainer.no_backprop_mode():
        logits = model.predictor(x)
    path = os.path.join(folder, name)
    chainer.serializers.save_npz(path + "_model.npz", model, compression=compression)
    np.save(path + "_input.npy", x)
    np.save(path + "_logits.npy", logits.array)
    np.save(path + "_softmax.npy", F.softmax(logits).array)


def record(arrays, model, step):
    for name, value in chainer.serializers.npz.serialize(model).items():
        arrays["step%d/%s" % (step, name)] = np.array(value)
    for name, parameter in model.namedparams():
        for key, value in (parameter.update_rule.state or {}).items():
            arrays["step%d/state%s/%s" % (step, name, key)] = np.array(value)


def beginning(name, steps=5, seed=50):
    """Of the trajectories of this net: the model before the first step, and all batches."""
    net, shape = TRAINED[name]
    random = np.random.RandomState(seed + 7)
    x = random.rand(steps, *shape).astype(np.float32)
    t = random.randint(0, 10, (steps, shape[0])).astype(np.int32)
    model = made(net(), x[0], seed)
    for link in model.links():
        if isinstance(link, L.BatchNormalization):
            link.avg_mean[...] = 0
            link.avg_var[...] = 1
    return model, x, t


def write_trajectory(folder, net, name, optimizer, hook):
    model, x, t = beginning(net)
    optimizer.setup(model)
    if hook:
        optimizer.add_hook(hook)
    arrays = {"x": x, "t": t}
    record(arrays, model, 0)
    losses, accuracies = [], []
    for step in range(1, len(x) + 1):
        loss = model(x[step - 1], t[step - 1])
        losses.append(float(loss.array))
        accuracies.append(float(model.accuracy.array))
        model.cleargrads()
        loss.backward()
        for parameter_name, parameter in model.namedparams():
            arrays["step%d/grad%s" % (step, parameter_name)] = parameter.grad.copy()
        optimizer.update()
        record(arrays, model, step)
    arrays.update(losses=np.array(losses), accuracies=np.array(accuracies))
    np.savez_compressed(os.path.join(folder, "traj_%s_%s.npz" % (net, name)), **arrays)


def cases():
    """(name, optimizer, hook), fresh ones at each call."""
    return [("sgd", optimizers.SGD(0.1), None),
            ("momentum_wd", optimizers.MomentumSGD(0.05, 0.9), hooks.WeightDecay(5e-4)),
            ("adam", optimizers.Adam(), None),
            ("nag", optimizers.NesterovAG(0.05, 0.9), None),
            ("adamw", optimizers.Adam(weight_decay_rate=0.01), None),
            ("gradclip_sgd", optimizers.SGD(0.1), hooks.GradientClipping(0.5)),
            ("rmsprop", optimizers.RMSprop(), None),
            ("adagrad", optimizers.AdaGrad(0.01), None),
            ("adadelta", optimizers.AdaDelta(), None)]


def write_all(folder):
    os.makedirs(folder, exist_ok=True)
    write_prediction(folder, "mlp_100_10", MLP(100, 10), (8, 784), 10)
    write_prediction(folder, "mlp_100_10_uncompressed", MLP(100, 10), (8, 784), 10, False)
    write_prediction(folder, "vgg_w0125", VGG(10, 0.125), (6, 3, 32, 32), 20)
    write_prediction(folder, "smallconv", SmallConv(), (4, 3, 8, 8), 30)
    for net in TRAINED:
        for name, optimizer, hook in cases():
            write_trajectory(folder, net, name, optimizer, hook)


def arrays_of(path):
    loaded = np.load(path)
    return dict(loaded) if path.endswith(".npz") else {"": loaded}


def compare(folder, other, prefixes, rtol, atol):
    """Of the files with these prefixes, for other scripts write here too."""
    if not os.path.isdir(other):
        print("nothing to compare with at " + other)
        return
    names = sorted(name for name in os.listdir(folder) if name.startswith(prefixes))
    for name in names:
        ours, theirs = (arrays_of(os.path.join(where, name)) for where in (folder, other))
        assert ours.keys() == theirs.keys(), name
        for key, value in ours.items():
            np.testing.assert_allclose(value, theirs[key], rtol=rtol, atol=atol,
                                       err_msg="%s:%s" % (name, key))
    print("%d files agree with %s" % (len(names), other))


if __name__ == "__main__":
    write_all(sys.argv[1])
    if "--compare" in sys.argv:
        compare(sys.argv[1], sys.argv[3], ("mlp_", "vgg_", "smallconv_", "traj_"), 1e-4, 1e-5)
