"""PyTorch's best modes: channels-last, fused optimizer, eager or compiled.

Under mpirun the processes share a batch through DistributedDataParallel over gloo.
"""

import os


import bench_common as common

args = common.arguments(("eager", "compile"))

import torch  # noqa: E402  (imported late: --first-step counts it)
from torch import nn  # noqa: E402


def vgg():
    layers, width_in = [], 3
    for _, width, after in common.VGG_PLAN:
        layers += [nn.Conv2d(width_in, width, 3, padding=1, bias=False),
                   nn.BatchNorm2d(width, eps=2e-5), nn.ReLU(inplace=True)]
        layers.append(nn.MaxPool2d(2) if after == "pool" else nn.Dropout(after))
        width_in = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.5),
                         nn.Linear(512, 512, bias=False), nn.BatchNorm1d(512, eps=2e-5),
                         nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(512, 10, bias=False))


def mlp():
    return nn.Sequential(nn.Linear(784, 1000), nn.ReLU(), nn.Linear(1000, 1000), nn.ReLU(),
                         nn.Linear(1000, 10))


def lenet():
    return nn.Sequential(nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(800, 500), nn.ReLU(),
                         nn.Linear(500, 10))


def regression():
    return nn.Sequential(nn.Linear(7, 10), nn.ReLU(), nn.Linear(10, 10), nn.ReLU(),
                         nn.Linear(10, 1))


def join_ranks():
    if common.ranks() == 1:
        return
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29517")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.distributed.init_process_group("gloo", rank=common.rank(), world_size=common.ranks())


def main():
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    join_ranks()
    model = {"vgg": vgg, "mlp": mlp, "lenet": lenet, "regression": regression}[args.model]()
    x, t = (torch.from_numpy(a) for a in common.batch(args))
    if x.dim() == 4:
        model = model.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    if common.ranks() > 1:
        model = nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    criterion = nn.MSELoss() if args.model == "regression" else nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.learning_rate, momentum=0.9,
                                weight_decay=5e-4, fused=True)
    forward = torch.compile(lambda a, b: criterion(model(a), b)) if args.mode == "compile" else (
        lambda a, b: criterion(model(a), b))

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = forward(x, t)
        loss.backward()
        optimizer.step()
        loss.item()

    common.measure(args, step, "torch " + torch.__version__)


main()
