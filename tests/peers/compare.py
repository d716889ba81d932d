"""Runs lockstep and a peer in turn, A B A B, on the same work, and prints medians and their ratio.

  compare.py LOCKSTEP PEER [--peers FOLDER] [--rounds 5] [--only WORK,...] [--mode MODE]
             [--threads 2] [--ranks 1] [--train CHANNEL] [--device cuda] [--precision PRECISION,...]
             [--python PYTHON] [--json-lines FILE]

PEER is torch, tensorflow, mxnet or chainer, installed by tests/peers/install FOLDER. With --ranks N
both sides run as N processes under mpirun that share each batch; --threads are those of each. A
machine that does other things drifts: only figures of alternating runs belong beside each other.
On a GPU several modes and precisions of torch stand beside lockstep in the same precision; one that
does not run is said and the others go on.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
# name: (model, batch size, steps of one run)
WORKS = {"vgg-64": ("vgg", 64, 6), "mlp-64": ("mlp", 64, 200), "mlp-256": ("mlp", 256, 80),
         "lenet-64": ("lenet", 64, 60), "regression-32": ("regression", 32, 2000)}
# More samples a step than a CPU needs to be busy; such steps are short.
GPU_WORKS = {"vgg-64": ("vgg", 64, 100), "vgg-128": ("vgg", 128, 100), "vgg-512": ("vgg", 512, 50),
             "mlp-64": ("mlp", 64, 500), "mlp-256": ("mlp", 256, 500)}
OUR_MODELS = {"regression": "dnn"}  # where lockstep's name differs
OUR_PRECISIONS = {"tf32": ["--allow-tf32"], "bf16": ["--dtype", "bfloat16"]}
LAUNCH = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]
MODES = {"torch": "eager", "tensorflow": "graph"}


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("lockstep")
    parser.add_argument("peer", choices=["torch", "tensorflow", "mxnet", "chainer"])
    parser.add_argument("--peers", default=os.environ.get("LOCKSTEP_PEERS_DIR", "build/peers"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--mode", help="of the peer; several, with commas, on a GPU")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", default="", help="on a GPU, with torch: float32, tf32, bf16 "
                        "or several")
    parser.add_argument("--python", help="of the peer, instead of --peers")
    parser.add_argument("--json-lines", help="a file to append a JSON object to for each row")
    parser.add_argument("--threads", type=int, default=2, help="of either side")
    parser.add_argument("--ranks", type=int, default=1, help="processes of either side; of the "
                        "peers torch can")
    parser.add_argument("--train", help="channel (npz or IDX) that both sides train on; without "
                        "it, made-up samples")
    return parser.parse_args()


class Failed(Exception):
    pass


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed("failed: %s\n%s" % (" ".join(command), done.stderr[-2000:]))
    return json.loads(done.stdout.strip().splitlines()[-1])


def shared_arguments(args, work, first_step):
    """What both sides are told."""
    model, batch, steps = work
    shared = ["--batch-size", str(batch), "--threads", str(args.threads), "--device", args.device]
    shared += ["--train", args.train] if args.train else []
    return shared + (["--first-step"] if first_step else ["--steps", str(steps)])


def launch(args):
    return LAUNCH + ["-np", str(args.ranks)] if args.ranks > 1 else []


def our_command(args, work, first_step, precision):
    warm_up = ["--warm-up", "20"] if args.device == "cuda" else []
    return (launch(args) + [args.lockstep, "bench", "train", "--json", "--model",
                            OUR_MODELS.get(work[0], work[0])] +
            shared_arguments(args, work, first_step) + OUR_PRECISIONS.get(precision, []) + warm_up)


def peer_command(args, work, first_step, mode, precision):
    python = args.python or os.path.join(args.peers, args.peer, "bin", "python")
    command = [python, os.path.join(HERE, "bench_%s.py" % args.peer), "--model", work[0]]
    command += ["--warmup", "20"] if args.device == "cuda" else []
    command += ["--mode", mode] if mode else []
    command += ["--precision", precision] if precision else []
    return launch(args) + command + shared_arguments(args, work, first_step)


def alternate(args, ours, theirs, key):
    """Medians over the rounds of `key` (and of the memory) of lockstep and of the peer, and the
    peer's name."""
    runs = {"ours": [], "theirs": []}
    for _ in range(args.rounds):
        runs["ours"].append(run(ours))
        runs["theirs"].append(run(theirs))
    return [(statistics.median(r[key] for r in runs[side]),
             statistics.median(r["peak_rss_mb"] for r in runs[side])) for side in runs
            ] + [runs["theirs"][0]["peer"]]


def report(args, name, unit, ours, theirs, **settings):
    """Prints a row, and appends it to the file that was asked for."""
    shown = " ".join([name] + [value for value in settings.values() if args.device == "cuda"])
    print("| %-24s | %10.3f %s | %10.3f %s | %7.2f | %6.0f | %6.0f |" % (
        shown, ours[0], unit, theirs[0], unit, theirs[0] / ours[0], ours[1], theirs[1]), flush=True)
    if args.json_lines:
        row = dict(work=name, device=args.device, rounds=args.rounds, lockstep_ms=ours[0],
                   peer_ms=theirs[0], ratio=theirs[0] / ours[0], **settings)
        with open(args.json_lines, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def compare(args, name):
    """The rows of one work; whether all of them were measured."""
    works = GPU_WORKS if args.device == "cuda" else WORKS
    first_step = name.startswith("start-")
    work = works[name[len("start-"):] + "-64" if first_step else name]
    key = "first_step_ms" if first_step else "median_ms"
    modes = (args.mode or MODES.get(args.peer, "")).split(",")
    complete = True
    for mode, precision in itertools.product(modes, args.precision.split(",")):
        try:
            ours, theirs, peer = alternate(args, our_command(args, work, first_step, precision),
                                           peer_command(args, work, first_step, mode, precision),
                                           key)
        except Failed as failure:
            if args.device == "cpu":
                sys.exit(str(failure))
            print(failure, file=sys.stderr, flush=True)
            complete = False
            continue
        report(args, name, "ms", ours, theirs, peer=peer, mode=mode, precision=precision)
    return complete


def main():
    args = arguments()
    works = list(WORKS) + ["start-mlp", "start-vgg"] if args.device == "cpu" else list(GPU_WORKS)
    print("| work | lockstep | %s | ratio | MB | peer's MB |\n|---|---|---|---|---|---|" % args.peer)
    complete = [compare(args, name) for name in (args.only.split(",") if args.only else works)]
    sys.exit(0 if all(complete) else 1)


if __name__ == "__main__":
    main()
