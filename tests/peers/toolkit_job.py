"""Training jobs as the platform lays them out for the sagemaker-training toolkit."""

import json
import os
import shutil
import sys

import numpy as np

# The toolkit's console script, which images have as their entry point.
TRAIN = os.path.join(os.path.dirname(sys.executable), "train")
# Spellings the platform produces: every value a string, booleans, nothing, lists, unknown names.
ODD = {"flag": "true", "none": "null", "empty": "", "list": "[1, 2, \"x\"]", "weird": "it's $HOME",
       "nested": "{\"a\": 1, \"b\": [2, 3]}", "big": "12345678901234567890", "b": "7",
       "learning-rate": "1e-3", "batch_size": "\"16\"", "_tuning_objective_metric": "\"x:acc\""}


def write_json(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        json.dump(value, out)


def write_channel(base, name, rows, seed=None):
    random = np.random.RandomState(rows if seed is None else seed)
    folder = os.path.join(base, "input/data", name)
    os.makedirs(folder)
    np.savez(os.path.join(folder, name + ".npz"), labels=random.randint(0, 10, rows),
             data=random.rand(rows, 784).astype(np.float32))


def make_tree(base, lockstep, entry, hyperparameters, hosts=("localhost",), host=0, interface="lo"):
    """What /opt/ml of the host holds before the toolkit starts."""
    write_channel(base, "train", 64)
    write_channel(base, "test", 32)
    config = os.path.join(base, "input/config")
    channel = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated",
               "RecordWrapperType": "None"}
    write_json(os.path.join(config, "inputdataconfig.json"), {"train": channel, "test": channel})
    group = {"instance_group_name": "homogeneousCluster", "instance_type": "ml.c5.large",
             "hosts": list(hosts)}
    write_json(os.path.join(config, "resourceconfig.json"),
               {"current_host": hosts[host], "hosts": list(hosts), "instance_groups": [group],
                "current_group_name": "homogeneousCluster", "network_interface_name": interface})
    write_json(os.path.join(config, "hyperparameters.json"),
               dict(hyperparameters, sagemaker_program=json.dumps(entry)))
    os.makedirs(os.path.join(base, "output"))  # the platform's; without it the toolkit ends with 0
    code = os.path.join(base, "code")
    os.makedirs(code)
    if entry == "train.sh":
        with open(os.path.join(code, entry), "w", encoding="utf-8") as out:
            out.write("#!/bin/sh\nexec %s train \"$@\"\n" % lockstep)
    else:
        shutil.copy(lockstep, os.path.join(code, entry))


def environment(**more):
    """That of the toolkit's process."""
    kept = {k: v for k, v in os.environ.items()
            if not k.startswith(("SM_", "SAGEMAKER_", "OMPI_", "PMIX_"))}
    kept["PATH"] = os.path.dirname(sys.executable) + ":" + kept["PATH"]
    return dict(kept, **more)


def read(base, path):
    with open(os.path.join(base, path), encoding="utf-8") as file:
        return file.read()
