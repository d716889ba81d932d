"""PyTorch's best modes: channels-last, fused optimizer, eager or compiled.

Under mpirun the processes share a batch through DistributedDataParallel over gloo. On a GPU
(--device cuda) a step begins by copying the batch from pinned memory, as training does, and
--mode graph replays a whole step, recorded once as a CUDA graph; compile is max-autotune, which
records CUDA graphs as well.
"""

import os


import bench_common as common

args = common.arguments(("eager", "compile", "graph"), devices=("cpu", "cuda"),
                        precisions=("float32", "tf32", "bf16"))
if args.mode == "graph" and args.device != "cuda":
    raise SystemExit("bench_torch.py: --mode graph wants --device cuda")

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


def settle_precision():
    """Of what is computed in float32 without autocast."""
    if args.device == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = args.precision == "tf32"
        torch.set_float32_matmul_precision("high" if args.precision == "tf32" else "highest")


class Batch:
    """x and t where the network computes; refresh() copies them there again."""

    def __init__(self, x, t):
        self.device = torch.device(args.device)
        self.host = [x, t]
        if self.device.type == "cuda":
            self.host = [tensor.pin_memory() for tensor in self.host]
        self.x, self.t = (tensor.to(self.device) for tensor in self.host)

    def refresh(self):
        if self.device.type == "cuda":
            self.x.copy_(self.host[0], non_blocking=True)
            self.t.copy_(self.host[1], non_blocking=True)


def recorded(step):
    """A function that replays step(), recorded behind a few steps as they are."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(5):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()

    def replay():
        graph.replay()
        return loss
    return replay


def main():
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    settle_precision()
    join_ranks()
    model = {"vgg": vgg, "mlp": mlp, "lenet": lenet, "regression": regression}[args.model]()
    x, t = (torch.from_numpy(a) for a in common.batch(args))
    if x.dim() == 4:
        model = model.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    model = model.to(args.device)
    batch = Batch(x, t)
    if common.ranks() > 1:
        model = nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    criterion = nn.MSELoss() if args.model == "regression" else nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.learning_rate, momentum=0.9,
                                weight_decay=5e-4, fused=True)

    def forward(a, b):
        with torch.autocast(args.device, torch.bfloat16, enabled=args.precision == "bf16"):
            return criterion(model(a), b)

    if args.mode == "compile":
        forward = torch.compile(forward, mode="max-autotune" if args.device == "cuda" else None)

    def compute():
        optimizer.zero_grad(set_to_none=True)
        loss = forward(batch.x, batch.t)
        loss.backward()
        optimizer.step()
        return loss

    if args.mode == "graph":
        compute = recorded(compute)

    def step():
        batch.refresh()
        compute().item()

    def device_mb():
        return torch.cuda.max_memory_allocated() / 2**20 if args.device == "cuda" else None

    common.measure(args, step, "torch " + torch.__version__, device_mb)


main()
