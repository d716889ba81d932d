"""Writes the golden files of the real ChainerMN: make_golden_chainermn.py FOLDER [--compare OTHER].

  chainermn_<net>_2ranks.npz   what make_golden.py has as traj_<net>_momentum_wd.npz, on two ranks:
      x (5, batch, ...), t (5, batch), of which each rank takes one half,
      call<k>/rank<r>/<model key> after call k = 0..5 of the multi-node optimizer's update.
      Call k is step k. Call 0, on the first batch as well, gives rank 0's parameters to rank 1,
      which had others, and updates none; but its forward moves each rank's running statistics.
With --compare every array must agree with the file of the same name there, to 1e-5, if there is
such a folder. Starts its own ranks (--rank) with mpirun.
"""

import importlib.util
import os
import shutil
import subprocess
import sys

import numpy as np

import chainer
import make_golden

RANKS = 2
# Under mpi4py's own runner a rank that fails ends the others, who would wait for it.
LAUNCH = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none",
          "-np", str(RANKS), sys.executable, "-m", "mpi4py", os.path.abspath(__file__)]


def write_ranks(folder, net, communicator, multi_node):
    model, x, t = make_golden.beginning(net)
    rank = communicator.rank
    if rank == 1:
        for parameter in model.params():
            parameter.array[...] += 0.01
    inner, hook = next(case[1:] for case in make_golden.cases() if case[0] == "momentum_wd")
    optimizer = multi_node(inner, communicator).setup(model)
    optimizer.add_hook(hook)
    half = x.shape[1] // RANKS
    mine = slice(rank * half, (rank + 1) * half)
    arrays = {}
    for call in range(len(x) + 1):
        step = max(call - 1, 0)
        optimizer.update(model, x[step][mine], t[step][mine])
        for name, value in chainer.serializers.npz.serialize(model).items():
            arrays["call%d/rank%d/%s" % (call, rank, name)] = np.array(value)
    assert optimizer.t == len(x), "call 0 was a step"
    of_ranks = communicator.gather_obj(arrays)
    if rank == 0:
        arrays = {name: value for part in of_ranks for name, value in part.items()}
        np.savez_compressed(os.path.join(folder, "chainermn_%s_%dranks.npz" % (net, RANKS)),
                            x=x, t=t, **arrays)


def be_rank(folder):
    import chainermn  # wants mpi4py, which wants MPI

    communicator = chainermn.create_communicator("naive")
    assert communicator.size == RANKS, communicator.size
    for net in make_golden.TRAINED:
        write_ranks(folder, net, communicator, chainermn.create_multi_node_optimizer)


def why_not():
    if importlib.util.find_spec("mpi4py") is None:
        return "the peer 'chainer' lacks mpi4py (run tests/peers/install again)"
    if shutil.which("mpirun") is None:
        return "no mpirun (tools/setup library)"
    return ""


def main():
    folder = sys.argv[1]
    if "--rank" in sys.argv:
        be_rank(folder)
        return 0
    reason = why_not()
    if reason:
        print("SKIP: " + reason)
        return 77
    os.makedirs(folder, exist_ok=True)
    subprocess.run([*LAUNCH, folder, "--rank"], check=True, stdin=subprocess.DEVNULL, timeout=200)
    if "--compare" in sys.argv:
        make_golden.compare(folder, sys.argv[3], ("chainermn_",), 1e-5, 1e-6)
    return 0


if __name__ == "__main__":
    sys.exit(main())
