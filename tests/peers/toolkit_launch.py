"""The real sagemaker-training toolkit launches lockstep on a tree as the platform lays it out.

toolkit_launch.py LOCKSTEP (the program). What the toolkit starts is train.sh (`exec lockstep train
"$@"`), or the program under the name `train`, which then stands for `lockstep train`.
"""

import os
import subprocess
import sys
import tempfile

import numpy as np

import toolkit_job

LOCKSTEP = os.path.abspath(sys.argv[1])


def launch(base):
    """Exit status and log of the toolkit."""
    done = subprocess.run([toolkit_job.TRAIN], cwd=base, stdout=subprocess.PIPE,
                          env=toolkit_job.environment(SAGEMAKER_BASE_DIR=base),
                          stderr=subprocess.STDOUT, text=True, timeout=240, check=False)
    return done.returncode, done.stdout


def check_success(entry, hyperparameters):
    with tempfile.TemporaryDirectory() as base:
        toolkit_job.make_tree(base, LOCKSTEP, entry,
                              dict(hyperparameters, model="mlp", epochs="1"))
        status, log = launch(base)
        assert status == 0, log[-4000:]
        for path in ("output/success", "model/model.npz", "output/data/log",
                     "output/data/accuracy.png", "output/data/loss.png", "output/data/cg.dot"):
            assert os.path.exists(os.path.join(base, path)), path + "\n" + log[-4000:]
        assert not os.path.exists(os.path.join(base, "output/failure"))
        with np.load(os.path.join(base, "model/model.npz")) as model:
            assert model["predictor/l1/W"].shape == (1000, 784)
    print("%s: trained, with %d hyperparameters" % (entry, len(hyperparameters)))


def check_failure(entry):
    """Our own line is the failure text; the toolkit keeps it and exits 1."""
    with tempfile.TemporaryDirectory() as base:
        toolkit_job.make_tree(base, LOCKSTEP, entry, {"model": "no-such-network", "epochs": "1"})
        status, log = launch(base)
        assert status == 1, (status, log[-4000:])
        text = toolkit_job.read(base, "output/failure")
        assert "no-such-network" in text.splitlines()[0], text
        assert "ExecuteUserScriptError" not in text, text
        assert "ExitCode 64" in log, log[-4000:]
    print("%s: the failure text is ours: %s" % (entry, text.splitlines()[0]))


for program in ("train.sh", "train"):
    check_success(program, {})
    check_success(program, toolkit_job.ODD)
    check_failure(program)
