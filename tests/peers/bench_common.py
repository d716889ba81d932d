"""What every peer benchmark shares: the work, the clock and the JSON line.

Each bench_<peer>.py times the same training steps as `lockstep bench train`: forward, backward and
optimizer on one batch that is already in memory, float32. It prints one JSON object with
median_ms, min_ms, images_per_s, peak_rss_mb and the settings.
"""

import argparse
import glob
import gzip
import json
import os
import resource
import statistics
import time

PROCESS_START = time.perf_counter()

# Width of the output and shape of one sample; None marks the regression (mean squared error).
WORKS = {
    "vgg": {"sample": (3, 32, 32), "classes": 10},
    "mlp": {"sample": (784,), "classes": 10},
    "lenet": {"sample": (1, 28, 28), "classes": 10},
    "regression": {"sample": (7,), "classes": None},
}
# (name, width, what follows the block: dropout ratio or pooling) of the CIFAR VGG.
VGG_PLAN = [
    ("block1_1", 64, 0.3), ("block1_2", 64, "pool"),
    ("block2_1", 128, 0.4), ("block2_2", 128, "pool"),
    ("block3_1", 256, 0.4), ("block3_2", 256, 0.4), ("block3_3", 256, "pool"),
    ("block4_1", 512, 0.4), ("block4_2", 512, 0.4), ("block4_3", 512, "pool"),
    ("block5_1", 512, 0.4), ("block5_2", 512, 0.4), ("block5_3", 512, "pool"),
]


def rank():
    return int(os.environ.get("OMPI_COMM_WORLD_RANK", "0"))


def ranks():
    return int(os.environ.get("OMPI_COMM_WORLD_SIZE", "1"))


def arguments(modes=("default",), devices=("cpu",), precisions=("float32",)):
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=sorted(WORKS), default="vgg")
    parser.add_argument("--train", help="directory of a channel (npz or IDX) whose first samples "
                        "make the batch; without it, random numbers")
    parser.add_argument("--batch-size", type=int, default=64, help="of all processes together")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mode", choices=modes, default=modes[0])
    parser.add_argument("--device", choices=devices, default=devices[0])
    parser.add_argument("--precision", choices=precisions, default=precisions[0],
                        help="of matrix products and convolutions")
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--first-step", action="store_true",
                        help="time from process start to the end of the first step instead")
    parser.add_argument("--json", action="store_true", help="accepted; the output is always JSON")
    return parser.parse_args()


def idx(pattern, header):
    import numpy as np
    path = glob.glob(pattern)[0]
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)


def channel_batch(args, sample):
    import numpy as np
    archives = glob.glob(args.train + "/*.npz")
    if archives:
        with np.load(archives[0]) as channel:
            x, t = channel["data"][:args.batch_size], channel["labels"][:args.batch_size]
    else:
        t = idx(args.train + "/*labels-idx1-ubyte*", 8)[:args.batch_size]
        x = idx(args.train + "/*images-idx3-ubyte*", 16)[:args.batch_size * int(np.prod(sample))]
    x = x.reshape(args.batch_size, *sample)
    scale = 255 if x.dtype == np.uint8 else 1
    return x.astype(np.float32) / np.float32(scale), t.astype(np.int64)


def made_up_batch(args, work):
    import numpy as np
    random = np.random.RandomState(7)
    x = random.rand(args.batch_size, *work["sample"]).astype(np.float32)
    if work["classes"] is None:
        return x, random.rand(args.batch_size, 1).astype(np.float32)
    return x, random.randint(0, work["classes"], args.batch_size).astype(np.int64)


def batch(args):
    """This process's part of one batch: pictures in 0..1 (or features) and labels (or targets), as
    NumPy arrays."""
    work = WORKS[args.model]
    x, t = channel_batch(args, work["sample"]) if args.train else made_up_batch(args, work)
    return x[rank()::ranks()], t[rank()::ranks()]


def process_age_ms():
    """Since the kernel started this process: counts the interpreter and every import."""
    with open("/proc/self/stat") as stat:
        started = int(stat.read().rsplit(")", 1)[1].split()[19])
    return 1e3 * (time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK"))


def measure(args, step, peer, device_mb=lambda: None):
    """Times step(), which must return only when its work is done, and prints the JSON object.
    device_mb() is the most memory of a GPU that was in use, in MB."""
    report = {"peer": peer, "mode": args.mode, "model": args.model, "device": args.device,
              "precision": args.precision,
              "batch_size": args.batch_size, "threads": args.threads, "ranks": ranks()}
    if args.first_step:
        step()
        report["first_step_ms"] = process_age_ms()
    else:
        for _ in range(args.warmup):
            step()
        times = []
        for _ in range(args.steps):
            began = time.perf_counter()
            step()
            times.append(1e3 * (time.perf_counter() - began))
        median = statistics.median(times)
        report.update(steps=args.steps, median_ms=median, min_ms=min(times),
                      images_per_s=1e3 * args.batch_size / median)
    if rank() > 0:
        return
    report["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if device_mb() is not None:
        report["peak_device_mb"] = device_mb()
    print(json.dumps(report))
