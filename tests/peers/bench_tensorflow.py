"""TensorFlow 2: one tf.function a step, as a graph or compiled by XLA."""

import os

import bench_common as common

args = common.arguments(("graph", "xla"))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import tensorflow as tf  # noqa: E402  (imported late: --first-step counts it)

keras = tf.keras
layers = keras.layers


def vgg():
    net = [keras.Input((32, 32, 3))]
    for _, width, after in common.VGG_PLAN:
        net += [layers.Conv2D(width, 3, padding="same", use_bias=False),
                layers.BatchNormalization(epsilon=2e-5), layers.ReLU()]
        net.append(layers.MaxPool2D(2) if after == "pool" else layers.Dropout(after))
    return net + [layers.Flatten(), layers.Dropout(0.5), layers.Dense(512, use_bias=False),
                  layers.BatchNormalization(epsilon=2e-5), layers.ReLU(), layers.Dropout(0.5),
                  layers.Dense(10, use_bias=False)]


def mlp():
    return [keras.Input((784,)), layers.Dense(1000, "relu"), layers.Dense(1000, "relu"),
            layers.Dense(10)]


def lenet():
    return [keras.Input((28, 28, 1)), layers.Conv2D(20, 5), layers.MaxPool2D(2),
            layers.Conv2D(50, 5), layers.MaxPool2D(2), layers.Flatten(),
            layers.Dense(500, "relu"), layers.Dense(10)]


def regression():
    return [keras.Input((7,)), layers.Dense(10, "relu"), layers.Dense(10, "relu"),
            layers.Dense(1)]


def main():
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    net = keras.Sequential(
        {"vgg": vgg, "mlp": mlp, "lenet": lenet, "regression": regression}[args.model]())
    x, t = common.batch(args)
    x = tf.constant(x.transpose(0, 2, 3, 1) if x.ndim == 4 else x)
    t = tf.constant(t)
    weights = net.trainable_variables
    velocities = [tf.Variable(tf.zeros_like(w)) for w in weights]

    def loss_of(y):
        if args.model == "regression":
            return tf.reduce_mean(tf.square(y - t))
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(t, y))

    # The update by hand: Keras' optimizer costs more than the arithmetic of the small networks.
    @tf.function(jit_compile=args.mode == "xla")
    def train():
        with tf.GradientTape() as tape:
            loss = loss_of(net(x, training=True))
        for weight, velocity, gradient in zip(weights, velocities, tape.gradient(loss, weights)):
            velocity.assign(0.9 * velocity - args.learning_rate * (gradient + 5e-4 * weight))
            weight.assign_add(velocity)
        return loss

    common.measure(args, lambda: train().numpy(), "tensorflow " + tf.__version__)


main()
