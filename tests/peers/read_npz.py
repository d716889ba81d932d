"""Reads npz archives here and with NumPy in turn, and prints medians and their ratio.

read_npz.py LOCKSTEP [--rounds 7] [--pictures FOLDER]: the archives hold the 60,000 training pictures
of Fashion-MNIST (of the Debian package dataset-fashion-mnist), deflated and stored, and as float32 in
eight arrays. Both sides find them in the system's cache.
"""

import argparse
import gzip
import json
import os
import statistics
import subprocess
import tempfile
import time

import numpy as np

PICTURES = "/usr/share/datasets/fashion-mnist"


def idx(path, header, shape):
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header).reshape(shape)


def archives(folder, source):
    data = idx(os.path.join(source, "train-images-idx3-ubyte.gz"), 16, (-1, 28, 28))
    labels = idx(os.path.join(source, "train-labels-idx1-ubyte.gz"), 8, (-1,)).astype(np.int32)
    scaled = data[:20000].astype(np.float32) / 255
    parts = {"data_%d" % i: part for i, part in enumerate(np.array_split(scaled, 8))}
    for name, save, arrays in [
            ("deflated bytes", np.savez_compressed, {"data": data, "labels": labels}),
            ("deflated floats", np.savez_compressed, parts),
            ("stored bytes", np.savez, {"data": data, "labels": labels})]:
        path = os.path.join(folder, name.replace(" ", "-") + ".npz")
        save(path, **arrays)
        yield name, path, sum(array.nbytes for array in arrays.values()) / 1e6


def seconds_of_numpy(path):
    began = time.perf_counter()
    with np.load(path) as archive:
        for name in archive.files:
            archive[name]
    return time.perf_counter() - began


def seconds_of_ours(lockstep, path):
    done = subprocess.run([lockstep, "bench", "read", path, "--rounds", "1", "--json"], check=True,
                          capture_output=True, text=True)
    return json.loads(done.stdout)["median_ms"] / 1e3


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lockstep")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pictures", default=PICTURES)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, path, megabytes in archives(folder, args.pictures):
            seconds_of_numpy(path)
            pairs = [(seconds_of_ours(args.lockstep, path), seconds_of_numpy(path))
                     for _ in range(args.rounds)]
            ours, numpys = (statistics.median(side) for side in zip(*pairs))
            ratio = statistics.median(b / a for a, b in pairs)
            print("%-16s %6.1f MB  lockstep %6.0f MB/s  NumPy %s %5.0f MB/s  %.2f x" %
                  (name, megabytes, megabytes / ours, np.__version__, megabytes / numpys, ratio),
                  flush=True)


main()
