"""Trains Chainer's CIFAR VGG in PyTorch by the notebook's recipe and prints the accuracy reached.

MomentumSGD 0.05 with momentum 0.9, weight decay 5e-4 on every parameter, batches of 64, LeCun
normal weights; pictures as float32 in 0..1, neither cropped nor flipped.
"""

import argparse
import json

import numpy as np
import torch
from torch import nn

import bench_common as common


def vgg():
    layers, width_in = [], 3
    for _, width, after in common.VGG_PLAN:
        layers += [nn.Conv2d(width_in, width, 3, padding=1, bias=False),
                   nn.BatchNorm2d(width, eps=2e-5), nn.ReLU()]
        layers.append(nn.MaxPool2d(2) if after == "pool" else nn.Dropout(after))
        width_in = width
    net = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.5), nn.Linear(512, 512, bias=False),
                        nn.BatchNorm1d(512, eps=2e-5), nn.ReLU(), nn.Dropout(0.5),
                        nn.Linear(512, 10, bias=False))
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            fan_in = module.weight[0].numel()
            nn.init.normal_(module.weight, std=fan_in ** -0.5)
    return net.to(memory_format=torch.channels_last)


def load(path):
    with np.load(path) as channel:
        x, t = channel["data"], channel["labels"]
    x = x.astype(np.float32) / (255 if x.dtype == np.uint8 else 1)
    return torch.from_numpy(x), torch.from_numpy(t.astype(np.int64))


def accuracy(net, x, t):
    net.eval()
    with torch.no_grad():
        right = sum(int((net(x[i:i + 64]).argmax(1) == t[i:i + 64]).sum())
                    for i in range(0, len(x), 64))
    net.train()
    return right / len(x)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    net, (x, t), (test_x, test_t) = vgg(), load(args.train), load(args.test)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    criterion = nn.CrossEntropyLoss()
    reached = []
    for _ in range(args.epochs):
        order = torch.randperm(len(x))
        for rows in order.split(64):
            optimizer.zero_grad()
            batch = x[rows].contiguous(memory_format=torch.channels_last)
            criterion(net(batch), t[rows]).backward()
            optimizer.step()
        reached.append(accuracy(net, test_x, test_t))
    print(json.dumps({"peer": "torch " + torch.__version__, "seed": args.seed,
                      "accuracy": reached}))


main()
