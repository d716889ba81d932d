"""Runs lockstep and a peer in turn, A B A B, on the same work, and prints medians and their ratio.

  compare.py LOCKSTEP PEER [--peers FOLDER] [--rounds 5] [--only WORK,...] [--mode MODE]
             [--threads 2] [--ranks 1] [--train CHANNEL]

PEER is torch, tensorflow, mxnet or chainer, installed by tests/peers/install FOLDER. With --ranks N
both sides run as N processes under mpirun that share each batch; --threads are those of each. A
machine that does other things drifts: only figures of alternating runs belong beside each other.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# name: (model, batch size, steps of one run)
WORKS = {"vgg-64": ("vgg", 64, 6), "mlp-64": ("mlp", 64, 200), "mlp-256": ("mlp", 256, 80),
         "lenet-64": ("lenet", 64, 60), "regression-32": ("regression", 32, 2000)}
OUR_MODELS = {"regression": "dnn"}  # where lockstep's name differs
LAUNCH = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]
MODES = {"torch": "eager", "tensorflow": "graph"}


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("lockstep")
    parser.add_argument("peer", choices=["torch", "tensorflow", "mxnet", "chainer"])
    parser.add_argument("--peers", default=os.environ.get("LOCKSTEP_PEERS_DIR", "build/peers"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--mode")
    parser.add_argument("--threads", type=int, default=2, help="of either side")
    parser.add_argument("--ranks", type=int, default=1, help="processes of either side; of the "
                        "peers torch can")
    parser.add_argument("--train", help="channel (npz or IDX) that both sides train on; without "
                        "it, made-up samples")
    return parser.parse_args()


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit("failed: %s\n%s" % (" ".join(command), done.stderr[-2000:]))
    return json.loads(done.stdout.strip().splitlines()[-1])


def commands(args, work, first_step):
    model, batch, steps = WORKS[work]
    shared = ["--batch-size", str(batch), "--threads", str(args.threads)]
    shared += ["--train", args.train] if args.train else []
    shared += ["--first-step"] if first_step else ["--steps", str(steps)]
    peer = [os.path.join(args.peers, args.peer, "bin", "python"),
            os.path.join(HERE, "bench_%s.py" % args.peer), "--model", model] + shared
    mode = args.mode or MODES.get(args.peer)
    ours = ["--model", OUR_MODELS.get(model, model)] + shared
    launch = LAUNCH + ["-np", str(args.ranks)] if args.ranks > 1 else []
    return (launch + [args.lockstep, "bench", "train", "--json"] + ours,
            launch + peer + (["--mode", mode] if mode else []))


def alternate(args, work, first_step, key):
    """Medians over the rounds of `key` (and of the memory) of lockstep and of the peer."""
    ours, theirs = commands(args, work, first_step)
    runs = {"ours": [], "theirs": []}
    for _ in range(args.rounds):
        runs["ours"].append(run(ours))
        runs["theirs"].append(run(theirs))
    return [(statistics.median(r[key] for r in runs[side]),
             statistics.median(r["peak_rss_mb"] for r in runs[side])) for side in runs]


def line(name, unit, ours, theirs):
    print("| %-24s | %10.3f %s | %10.3f %s | %7.2f | %6.0f | %6.0f |" % (
        name, ours[0], unit, theirs[0], unit, theirs[0] / ours[0], ours[1], theirs[1]), flush=True)


def main():
    args = arguments()
    only = args.only.split(",") if args.only else list(WORKS) + ["start-mlp", "start-vgg"]
    print("| work | lockstep | %s | ratio | MB | peer's MB |\n|---|---|---|---|---|---|" % args.peer)
    for work in only:
        if work.startswith("start-"):
            name = work[len("start-"):] + "-64"
            line(work, "ms", *alternate(args, name, True, "first_step_ms"))
        else:
            line(work, "ms", *alternate(args, work, False, "median_ms"))


if __name__ == "__main__":
    main()
