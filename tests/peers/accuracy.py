"""Whether VGG learns here as it does in PyTorch: the same recipe, several seeds each.

  accuracy.py LOCKSTEP TRAIN.npz TEST.npz [--samples 5000] [--epochs 6] [--seeds 3]
              [--peers FOLDER] [--only lockstep|torch]

Prints the validation accuracy after the last epoch per seed, and ends with 1 where the mean here is
below the lowest of PyTorch's seeds. Takes about half an hour on 2 cores, most of it PyTorch's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))


def first_samples(path, count, target):
    with np.load(path) as channel:
        np.savez(target, data=channel["data"][:count], labels=channel["labels"][:count])


def train_lockstep(args, work, seed):
    output = os.path.join(work, "seed-%d" % seed)
    subprocess.run([args.lockstep, "train", "--model", "vgg", "--train", work + "/train", "--test",
                    work + "/test", "--epochs", str(args.epochs), "--seed", str(seed),
                    "--model-dir", output, "--output-data-dir", output],
                   check=True, stdout=subprocess.DEVNULL)
    with open(os.path.join(output, "log"), encoding="utf-8") as log:
        return [entry["validation/main/accuracy"] for entry in json.load(log)]


def train_torch(args, work, seed):
    done = subprocess.run([os.path.join(args.peers, "torch/bin/python"),
                           HERE + "/accuracy_torch.py", work + "/train/train.npz",
                           work + "/test/test.npz", "--epochs", str(args.epochs), "--seed",
                           str(seed)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])["accuracy"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("lockstep")
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--peers", default=os.environ.get("LOCKSTEP_PEERS_DIR", "build/peers"))
    parser.add_argument("--only", choices=["lockstep", "torch"])
    args = parser.parse_args()
    engines = {"lockstep": train_lockstep, "torch": train_torch}
    last = {}
    with tempfile.TemporaryDirectory() as work:
        for channel, path, count in (("train", args.train, args.samples),
                                     ("test", args.test, None)):
            os.mkdir(os.path.join(work, channel))
            first_samples(path, count, "%s/%s/%s.npz" % (work, channel, channel))
        for name, train in engines.items():
            if args.only not in (None, name):
                continue
            last[name] = []
            for seed in range(args.seeds):
                reached = train(args, work, seed)
                last[name].append(reached[-1])
                print(name, "seed", seed, " ".join("%.4f" % a for a in reached), flush=True)
            print("%s: %.4f to %.4f, mean %.4f" % (name, min(last[name]), max(last[name]),
                                                    statistics.mean(last[name])), flush=True)
    if len(last) < 2 or statistics.mean(last["lockstep"]) >= min(last["torch"]):
        return 0
    print("VGG learns worse here than with the worst of PyTorch's seeds")
    return 1


sys.exit(main())
