"""The networks in Chainer, written from the description of the architecture."""

import chainer
import chainer.functions as F
import chainer.links as L

from bench_common import VGG_PLAN


class Block(chainer.Chain):
    """3x3 convolution without bias, batch normalisation, ReLU."""

    def __init__(self, width):
        super().__init__()
        with self.init_scope():
            self.conv = L.Convolution2D(None, width, 3, pad=1, nobias=True)
            self.bn = L.BatchNormalization(width)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class VGG(chainer.Chain):
    """Every width is multiplied by `scale`."""

    def __init__(self, classes=10, scale=1.0):
        super().__init__()
        with self.init_scope():
            for name, width, _ in VGG_PLAN:
                setattr(self, name, Block(int(width * scale)))
            self.fc1 = L.Linear(None, int(512 * scale), nobias=True)
            self.bn_fc1 = L.BatchNormalization(int(512 * scale))
            self.fc2 = L.Linear(None, classes, nobias=True)

    def forward(self, h):
        for name, _, after in VGG_PLAN:
            h = getattr(self, name)(h)
            h = F.max_pooling_2d(h, 2, stride=2) if after == "pool" else F.dropout(h, after)
        h = F.relu(self.bn_fc1(self.fc1(F.dropout(h, 0.5))))
        return self.fc2(F.dropout(h, 0.5))


class MLP(chainer.Chain):
    def __init__(self, units, classes):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(None, units)
            self.l2 = L.Linear(None, units)
            self.l3 = L.Linear(None, classes)

    def forward(self, x):
        return self.l3(F.relu(self.l2(F.relu(self.l1(x)))))


class SmallConv(chainer.Chain):
    """Two blocks of 8 and 16 channels, each pooled by 2, and a layer of 10 classes with bias."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.block1 = Block(8)
            self.block2 = Block(16)
            self.fc = L.Linear(None, 10)

    def forward(self, x):
        h = F.max_pooling_2d(self.block1(x), 2, stride=2)
        return self.fc(F.max_pooling_2d(self.block2(h), 2, stride=2))


class LeNet(chainer.Chain):
    """20 and 50 channels of 5x5, 500 units."""

    def __init__(self, classes=10):
        super().__init__()
        with self.init_scope():
            self.conv1 = L.Convolution2D(None, 20, 5)
            self.conv2 = L.Convolution2D(None, 50, 5)
            self.fc1 = L.Linear(None, 500)
            self.fc2 = L.Linear(None, classes)

    def forward(self, x):
        h = F.max_pooling_2d(self.conv1(x), 2, stride=2)
        h = F.max_pooling_2d(self.conv2(h), 2, stride=2)
        return self.fc2(F.relu(self.fc1(h)))


class Regression(chainer.Chain):
    """7-10-10-1."""

    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.l1 = L.Linear(7, 10)
            self.l2 = L.Linear(10, 10)
            self.l3 = L.Linear(10, 1)

    def forward(self, x):
        return self.l3(F.relu(self.l2(F.relu(self.l1(x)))))
