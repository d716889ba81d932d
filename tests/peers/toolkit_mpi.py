"""The real sagemaker-training toolkit launches lockstep with MPI, under its own line of mpirun.

toolkit_mpi.py LOCKSTEP (the program). Hosts are namespaces with an sshd each (hosts.py). The toolkit
waits half a minute after every job that ends well, so jobs run beside each other.
"""

import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import hosts
import toolkit_job

LOCKSTEP = os.path.abspath(sys.argv[1])
MPI = {"sagemaker_mpi_enabled": "true", "sagemaker_mpi_num_of_processes_per_host": "2"}
# What the weights of a job end as may not depend on who runs it.
TRAINING = {"model": "mlp", "reproducible": "true", "lanes": "4", "batch-size": "16",
            "epochs": "2", "hidden": "[30, 20]"}
ODD = {k: v for k, v in toolkit_job.ODD.items() if k != "batch_size"}


class Job:
    """The toolkit on every host of a cluster of its own."""

    def __init__(self, folder, hyperparameters, count=1, entry="train.sh", prepare=None):
        self.bases = [os.path.join(folder, "ml-%d" % i) for i in range(1, count + 1)]
        self.folder = folder
        self.names = ["algo-%d" % i for i in range(1, count + 1)]
        for i, base in enumerate(self.bases):
            toolkit_job.make_tree(base, LOCKSTEP, entry, dict(MPI, **hyperparameters),
                                  hosts=self.names, host=i, interface="eth0")
            os.makedirs(os.path.join(base, "checkpoints"))
        if prepare:
            prepare(self.bases)
        self.runs = 0

    def cluster(self):
        self.runs += 1
        return hosts.Cluster(os.path.join(self.folder, "run-%d" % self.runs), self.bases)

    def start(self, host, number=0):
        log = open(self.log_path(number), "w", encoding="utf-8")
        with log:
            return subprocess.Popen(
                host.command(toolkit_job.TRAIN), stdout=log, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=toolkit_job.environment(HOME="/root"))

    def run(self, to_wait_for=None):
        """Exit status of the first host's toolkit; waits for those of all hosts, or of so many."""
        with self.cluster() as machines:
            started = [self.start(host, i) for i, host in enumerate(machines)]
            try:
                return [process.wait(timeout=200) for process in started[:to_wait_for]][0]
            except subprocess.TimeoutExpired:
                raise AssertionError("no end" + self.tail()) from None

    def run_first(self):
        """The same for a job that fails: the toolkit tells the other hosts nothing of it."""
        return self.run(1)

    def log_path(self, number=0):
        return os.path.join(self.folder, "log-%d" % number)

    def log(self, number=0):
        with open(self.log_path(number), encoding="utf-8") as log:
            return log.read()

    def tail(self):
        """What the hosts said, less the long lists of variables."""
        text = ""
        for i, name in enumerate(self.names):
            if not os.path.exists(self.log_path(i)):
                continue
            kept = [line[:300] for line in self.log(i).splitlines() if not line.startswith("SM_")]
            text += "\n".join(["", "--- " + name] + kept[-60:])
        return text

    def has(self, path):
        return os.path.exists(os.path.join(self.bases[0], path))


def weights(log):
    found = re.findall(r"weights sha256 ([0-9a-f]{64})", log)
    assert len(found) == 1, (found, log[-4000:])
    return found[0]


def plain_weights(folder, hyperparameters):
    """What one process without any launcher ends with."""
    base = os.path.join(folder, "plain")
    toolkit_job.make_tree(base, LOCKSTEP, "train.sh", hyperparameters)
    done = subprocess.run([LOCKSTEP, "train"], env=toolkit_job.environment(SAGEMAKER_BASE_DIR=base),
                          capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return weights(done.stdout)


def check_success(folder, entry, more):
    hyperparameters = dict(TRAINING, **more)
    job = Job(folder, hyperparameters, entry=entry)
    assert job.run() == 0, job.tail()
    for path in ("output/success", "model/model.npz", "output/data/log", "output/data/loss.png"):
        assert job.has(path), path + job.tail()
    assert not job.has("output/failure")
    log = job.log()
    assert "mpirun --host algo-1:2 -np 2 --allow-run-as-root --display-map" in log, job.tail()
    assert "# processes: 2, exchanging gradients by shm" in log, job.tail()
    assert weights(log) == plain_weights(folder, hyperparameters), job.tail()
    return "%s: two ranks end with the weights of one process" % entry


def check_failure(folder):
    job = Job(folder, dict(TRAINING, model="no-such-network"))
    assert job.run() == 1, job.tail()
    text = toolkit_job.read(job.bases[0], "output/failure")
    assert "no-such-network" in text.splitlines()[0] and "ExecuteUserScript" not in text, text
    assert "ExitCode 64" in job.log(), job.tail()
    assert not job.has("output/success") and not job.has("model/model.npz")
    return "failure: the text is ours, the exit code 64 is reported"


def check_signal(folder):
    """Neither the toolkit's end nor mpirun's costs more than what is behind a checkpoint."""
    hyperparameters = dict(TRAINING, epochs="400")
    job = Job(folder, hyperparameters)
    manifest = os.path.join(job.bases[0], "checkpoints")
    with job.cluster() as (host,):
        toolkit = job.start(host)
        try:
            hosts.wait_for(lambda: any(f.endswith(".lsc") for f in os.listdir(manifest)),
                           "a checkpoint" + job.tail())
            host.signal("train", signal.SIGTERM)  # kills it; what it started hears nothing
            assert toolkit.wait(timeout=30) in (143, -signal.SIGTERM), job.tail()
        finally:
            toolkit.kill()
        assert len(host.processes("lockstep")) == 2, job.tail()
        assert not job.has("model/model.npz"), job.tail()
        host.signal("mpirun", signal.SIGTERM)
        hosts.wait_for(lambda: not host.processes("lockstep"), "the ranks' end")
    # mpirun leaves its ranks a second and passes on no more of their words.
    saved = "saved" if job.has("model/model.npz") else "could not save in time"
    assert job.run() == 0, job.tail()
    assert re.search(r"# resumed from .* at iteration [1-9]", job.log()), job.tail()
    assert weights(job.log()) == plain_weights(folder, hyperparameters), job.tail()
    return "SIGTERM: the toolkit ends alone; under mpirun's, ranks %s; all goes on as unbroken" % saved


def check_two_hosts(folder):
    """Every rank is told that it runs on algo-1; what counts is where it does."""
    hyperparameters = dict(TRAINING, **ODD)
    job = Job(folder, hyperparameters, count=2)
    assert job.run() == 0, job.tail()
    assert "mpirun --host algo-1:2,algo-2:2 -np 4 " in job.log(), job.tail()
    assert "# processes: 4, exchanging gradients by shm+mpi" in job.log(), job.tail()
    assert job.has("output/success") and job.has("model/model.npz"), job.tail()
    # The first host writes for all, whatever the others have for folders, but for the ranks' logs.
    assert os.listdir(os.path.join(job.bases[1], "checkpoints")) == [], job.tail()
    logs = sorted(os.listdir(os.path.join(job.bases[1], "output/data")))
    assert logs == ["log-rank-2.txt", "log-rank-3.txt"], (logs, job.tail())
    assert not os.path.exists(os.path.join(job.bases[1], "model/model.npz")), job.tail()
    assert weights(job.log()) == plain_weights(folder, hyperparameters), job.tail()
    return "two hosts: four ranks end with the weights of one process"


def check_other_data(folder):
    """Told apart before the first step, by name of the host."""
    def change(bases):
        shutil.rmtree(os.path.join(bases[1], "input/data/train"))
        toolkit_job.write_channel(bases[1], "train", 64, seed=7)

    job = Job(folder, TRAINING, count=2, prepare=change)
    expect_failure(job, 76, ["the ranks do not train the same: the training data is 64 samples",
                             " on rank 0 at algo-1, 64 samples", " on rank 2 at algo-2"])
    assert not job.has("model/model.npz")
    return "two hosts: other data on one is told apart"


def ledger_of_all(samples):
    """What the log must have of an epoch that used each sample once (engine/train/ledger.h)."""
    bits = 2 ** 64 - 1

    def mix(value):
        value = (value + 0x9E3779B97F4A7C15) & bits
        value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & bits
        value = ((value ^ value >> 27) * 0x94D049BB133111EB) & bits
        return value ^ value >> 31

    return "%032x" % sum(map(mix, range(samples)))


def check_sharded(folder):
    """As with ShardedByS3Key: the hosts' ranks share what their host has."""
    def change(bases):
        shutil.rmtree(os.path.join(bases[1], "input/data/train"))
        toolkit_job.write_channel(bases[1], "train", 41, seed=7)

    hyperparameters = {k: v for k, v in TRAINING.items() if k not in ("reproducible", "lanes")}
    job = Job(folder, dict(hyperparameters, data="sharded"), count=2, prepare=change)
    assert job.run() == 0, job.tail()
    assert "# data: 105 training samples, 32 for validation" in job.log(), job.tail()
    assert "# parts: sharded 32+32+20+21, by process" in job.log(), job.tail()
    with open(os.path.join(job.bases[0], "output/data/log"), encoding="utf-8") as log:
        ledgers = [entry["ledger"] for entry in json.load(log)]
    assert ledgers == [ledger_of_all(105)] * 2, (ledgers, ledger_of_all(105))
    return "two hosts: each with a part of the data"


def check_missing_data(folder):
    job = Job(folder, TRAINING, count=2,
              prepare=lambda bases: shutil.rmtree(os.path.join(bases[1], "input/data/train")))
    expect_failure(job, 66, ["rank 2", "/opt/ml/input/data/train"])
    return "two hosts: data that one of them lacks"


def check_too_many_ranks(folder):
    job = Job(folder, dict(TRAINING, lanes="2"), count=2)
    expect_failure(job, 64, ["4 processes for a batch of 16, which runs as 2 lanes"])
    return "two hosts: more ranks than a batch has parts"


def expect_failure(job, code, words):
    """The job ends with our exit code in the toolkit's log, our line in every host's failure file,
    of which the platform shows one."""
    assert job.run_first() == 1, job.tail()
    for base in job.bases:
        text = toolkit_job.read(base, "output/failure")
        for word in words:
            assert word in text.splitlines()[0], text + job.tail()
    assert "ExitCode %d\n" % code in job.log(), job.tail()
    assert not job.has("output/success"), job.tail()


def check_late_host(folder):
    """The toolkit waits for a host that is late; nothing of ours has begun then.

    Hosts need not have the same number of ranks.
    """
    job = Job(folder, dict(TRAINING, sagemaker_mpi_num_processes="3"), count=2)
    with job.cluster() as machines:
        first = job.start(machines[0])
        hosts.wait_for(lambda: job.log().count("Cannot connect to host algo-2") > 2, "waiting")
        assert first.poll() is None and not machines[0].processes("lockstep"), job.tail()
        second = job.start(machines[1], 1)
        assert first.wait(timeout=150) == 0, job.tail()
        second.kill()
    assert "# processes: 3, exchanging gradients by shm+mpi" in job.log(), job.tail()
    assert weights(job.log()) == plain_weights(folder, TRAINING), job.tail()
    return "two hosts: one that is late is waited for"


CHECKS = {
    "one-host": [("success", check_success, "train.sh", ODD), ("program", check_success, "train", {}),
                 ("failure", check_failure), ("signal", check_signal)],
    "two-hosts": [("two", check_two_hosts), ("other", check_other_data), ("sharded", check_sharded),
                  ("missing", check_missing_data), ("many", check_too_many_ranks),
                  ("late", check_late_host)],
}


def main():
    reason = hosts.why_not()
    if reason:
        print("SKIP: no hosts can be made here: " + reason)
        return 77
    checks = CHECKS[sys.argv[2]]
    failures = 0
    with tempfile.TemporaryDirectory() as place, concurrent.futures.ThreadPoolExecutor(3) as pool:
        begun = {}
        for name, check, *arguments in checks:
            folder = os.path.join(place, name)
            os.makedirs(folder)
            begun[pool.submit(check, folder, *arguments)] = name
        for done in concurrent.futures.as_completed(begun):
            try:
                print(done.result(), flush=True)
            except Exception as error:  # the others go on
                print("FAILED: %s: %s: %s" % (begun[done], type(error).__name__, error), flush=True)
                failures += 1
    return 1 if failures else 0


sys.exit(main())
