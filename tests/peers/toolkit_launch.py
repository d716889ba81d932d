"""The real sagemaker-training toolkit launches lockstep on a tree as the platform lays it out.

toolkit_launch.py LOCKSTEP (the program). The console script `train` of the toolkit is the image's
entry point; what it starts is train.sh (`exec lockstep train "$@"`), or the program under the name
`train`, which then stands for `lockstep train`.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np

LOCKSTEP = os.path.abspath(sys.argv[1])
TRAIN = os.path.join(os.path.dirname(sys.executable), "train")
# Spellings the platform produces: every value a string, booleans, nothing, lists, unknown names.
ODD = {"flag": "true", "none": "null", "empty": "", "list": "[1, 2, \"x\"]", "weird": "it's $HOME",
       "nested": "{\"a\": 1, \"b\": [2, 3]}", "big": "12345678901234567890", "b": "7",
       "learning-rate": "1e-3", "batch_size": "\"16\"", "_tuning_objective_metric": "\"x:acc\""}


def write_json(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        json.dump(value, out)


def make_tree(base, entry, hyperparameters):
    for name, rows in (("train", 64), ("test", 32)):
        random = np.random.RandomState(rows)
        folder = os.path.join(base, "input/data", name)
        os.makedirs(folder)
        np.savez(os.path.join(folder, name + ".npz"), labels=random.randint(0, 10, rows),
                 data=random.rand(rows, 784).astype(np.float32))
    config = os.path.join(base, "input/config")
    channel = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated",
               "RecordWrapperType": "None"}
    write_json(os.path.join(config, "inputdataconfig.json"), {"train": channel, "test": channel})
    write_json(os.path.join(config, "resourceconfig.json"),
               {"current_host": "localhost", "hosts": ["localhost"], "network_interface_name": "lo"})
    write_json(os.path.join(config, "hyperparameters.json"),
               dict(hyperparameters, sagemaker_program=json.dumps(entry)))
    os.makedirs(os.path.join(base, "output"))  # the platform's; without it the toolkit ends with 0
    code = os.path.join(base, "code")
    os.makedirs(code)
    if entry == "train.sh":
        with open(os.path.join(code, entry), "w", encoding="utf-8") as out:
            out.write("#!/bin/sh\nexec %s train \"$@\"\n" % LOCKSTEP)
    else:
        shutil.copy(LOCKSTEP, os.path.join(code, entry))


def launch(base):
    """Exit status and log of the toolkit."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SM_", "SAGEMAKER_"))}
    environment["SAGEMAKER_BASE_DIR"] = base
    environment["PATH"] = os.path.dirname(sys.executable) + ":" + environment["PATH"]
    done = subprocess.run([TRAIN], env=environment, stdout=subprocess.PIPE, cwd=base,
                          stderr=subprocess.STDOUT, text=True, timeout=240, check=False)
    return done.returncode, done.stdout


def check_success(entry, hyperparameters):
    with tempfile.TemporaryDirectory() as base:
        make_tree(base, entry, dict(hyperparameters, model="mlp", epochs="1"))
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
        make_tree(base, entry, {"model": "no-such-network", "epochs": "1"})
        status, log = launch(base)
        assert status == 1, (status, log[-4000:])
        with open(os.path.join(base, "output/failure"), encoding="utf-8") as failure:
            text = failure.read()
        assert "no-such-network" in text.splitlines()[0], text
        assert "ExecuteUserScriptError" not in text, text
        assert "ExitCode 64" in log, log[-4000:]
    print("%s: the failure text is ours: %s" % (entry, text.splitlines()[0]))


for program in ("train.sh", "train"):
    check_success(program, {})
    check_success(program, ODD)
    check_failure(program)
