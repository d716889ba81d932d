"""Faults A1, A8, F1, F3, F4, F6, F10 over hosts: ranks that are killed, stopped or cut off with
their host.

lost_host.py LOCKSTEP lost|one-way|silent|resumed (the program, which checks). The hosts are namespaces
with an sshd each (hosts.py), the launcher is the real mpirun: two ranks on each, unless it says
otherwise.
"""

import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

import hosts

LOCKSTEP = os.path.abspath(sys.argv[1])
MPIRUN = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-mca", "btl_tcp_if_include", "eth0",
          "-mca", "oob_tcp_if_include", "eth0", "-x", "SM_OUTPUT_DIR"]
TRAIN = ["train", "--model", "mlp", "--hidden", "9,8", "--threads", "1", "--batch-size", "16",
         "--train", "/opt/ml/data", "--model-dir", "/opt/ml/model", "--output-data-dir",
         "/opt/ml/out", "--checkpoint-dir", "/opt/ml/checkpoints"]
ENDLESS = ["--epochs", "1000000", "--checkpoint-every", "1"]
STEPS = 1200  # of a job that ends, four an epoch
FINITE = ["--epochs", str(STEPS // 4), "--checkpoint-every", "17", "--reproducible", "True"]
# mpirun has a single code for all ranks: what each ended with lies on its host. A rank that is told
# to end has its own way with that, and the shell waits for it.
WRAP = ["sh", "-c", 'trap : TERM; "$@"; code=$?; '
        "echo $code > /opt/ml/code-$OMPI_COMM_WORLD_RANK; exit $code", "sh"]
DEAF = ("nft add table inet t && nft 'add chain inet t i { type filter hook input priority 0; }' && "
        "nft 'add rule inet t i iifname eth0 counter drop'")
MUTE = ("nft 'add chain inet t o { type filter hook output priority 0; }' && "
        "nft 'add rule inet t o oifname eth0 counter drop'")
SILENT = "has not been heard of for 7"


def write_data(base):
    """64 pictures of one colour each, as IDX files."""
    folder = os.path.join(base, "data")
    os.makedirs(folder)
    with open(os.path.join(folder, "train-images-idx3-ubyte"), "wb") as out:
        out.write(struct.pack(">4i", 0x803, 64, 6, 6) + b"".join(bytes([i]) * 36 for i in range(64)))
    with open(os.path.join(folder, "train-labels-idx1-ubyte"), "wb") as out:
        out.write(struct.pack(">2i", 0x801, 64) + bytes(i % 7 for i in range(64)))


def environment(pid):
    with open("/proc/%d/environ" % pid, "rb") as text:
        pairs = (entry.partition(b"=") for entry in text.read().split(b"\0"))
        return {name.decode(): value.decode() for name, _, value in pairs}


def own_number(pid):
    """The process's number on its host, which is what messages have."""
    with open("/proc/%d/status" % pid, encoding="utf-8") as status:
        return int(re.search(r"NSpid:.*\s(\d+)", status.read()).group(1))


def has_ended(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8") as stat:
            return ") Z " in stat.read()
    except OSError:
        return True


def expect_collectives(line, ranks):
    """The line ends with what each of them did last: "; last collectives: rank 1 in gather (no. 9);
    ranks 0, 2-3 behind ..."."""
    _, found, places = line.partition("; last collectives: ")
    assert found, line
    named = []
    for group in re.findall(r"(?:^|; )ranks? ([\d, -]+) (?:in|behind|before) ", places):
        for first, last in re.findall(r"(\d+)(?:-(\d+))?", group):
            named += range(int(first), int(last or first) + 1)
    assert sorted(named) == sorted(ranks), line


class Job:
    """On two hosts."""

    def __init__(self, folder):
        self.bases = [os.path.join(folder, "ml-%d" % i) for i in (1, 2)]
        for base in self.bases:
            write_data(base)
        self.said = open(os.path.join(folder, "said"), "w+", encoding="utf-8")
        self.machines = hosts.Cluster(folder, self.bases)
        for host in self.machines.hosts:
            host.call("/usr/sbin/sshd")
        self.mpirun = None
        self.pids = {}
        self.names = {}

    def launch(self, ranks, *options):
        """So many on each host; what an earlier job said and ended with is forgotten."""
        self.said.seek(0)
        self.said.truncate()
        for code in (os.path.join(base, name) for base in self.bases for name in os.listdir(base)
                     if name.startswith("code-")):
            os.remove(code)
        where = ["algo-%d:%d" % (i, many) for i, many in enumerate(ranks, 1)]
        self.mpirun = subprocess.Popen(
            self.machines.hosts[0].command(*MPIRUN, "-np", str(sum(ranks)), "--host",
                                           ",".join(where), *WRAP, LOCKSTEP, *TRAIN, *options),
            stdin=subprocess.DEVNULL, stdout=self.said, stderr=self.said,
            env=dict(os.environ, HOME="/root", SM_OUTPUT_DIR="/opt/ml"))

    def train_on_both(self, *options):
        """Until after the first epoch."""
        self.launch((2, 2), *options)
        hosts.wait_for(lambda: self.mpirun.poll() is not None or self.read(0, "out/log"), "an epoch")
        self.pids = {int(environment(pid)["OMPI_COMM_WORLD_RANK"]): pid
                     for host in self.machines.hosts for pid in host.processes("lockstep")}
        assert sorted(self.pids) == [0, 1, 2, 3], (self.pids, self.words())
        self.names = {rank: "rank %d (process %d on host algo-%d)" %
                            (rank, own_number(pid), 1 + rank // 2)
                      for rank, pid in self.pids.items()}

    def train_to_the_end(self, ranks, *options):
        """The SHA-256 of the weights, and at which step it went on."""
        self.launch(ranks, *options)
        assert self.mpirun.wait(timeout=120) == 0, self.words()
        words = self.words()
        by = "shm" if len(ranks) == 1 else "shm+mpi"
        assert "# processes: %d, exchanging gradients by %s\n" % (sum(ranks), by) in words, words
        hashes = re.findall(r", weights sha256 ([0-9a-f]{64})$", words, re.M)
        assert len(hashes) == 1, words
        resumed = re.findall(r"^# resumed from .* at iteration (\d+)", words, re.M)
        return hashes[0], int(resumed[0]) if resumed else 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.machines.close()
        if self.mpirun:
            self.mpirun.wait()
        self.said.close()

    def read(self, host, name):
        path = os.path.join(self.bases[host], name)
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8") as text:
            return text.read()

    def words(self):
        self.said.flush()
        with open(self.said.name, encoding="utf-8") as text:
            return text.read()

    def forget(self):
        """What earlier jobs left on the hosts."""
        for base in self.bases:
            for name in ("checkpoints", "model", "out"):
                shutil.rmtree(os.path.join(base, name), ignore_errors=True)

    def newest(self):
        """Step of the newest checkpoint."""
        names = os.listdir(os.path.join(self.bases[0], "checkpoints"))
        found = (re.fullmatch(r"checkpoint_(\d+)\.lsc", name) for name in names)
        return max((int(match.group(1)) for match in found if match), default=0)

    def expect_end(self, seconds):
        """Of all ranks, on both hosts."""
        end = time.monotonic() + seconds
        left = set(self.pids)
        while left and time.monotonic() < end:
            left = {rank for rank in left if not has_ended(self.pids[rank])}
            time.sleep(0.01)
        assert not left, "ranks %s are there after %d s\n%s" % (left, seconds, self.words())

    def expect_codes(self, survivors):
        """Each of them has ended itself, with 69."""
        def codes():
            return {rank: self.read(rank // 2, "code-%d" % rank) for rank in survivors}
        try:
            hosts.wait_for(lambda: all(codes().values()), "codes", 5)
        except TimeoutError:
            pass  # what is missing says more
        assert codes() == dict.fromkeys(survivors, "69\n"), (codes(), self.words())

    def expect_line(self, pattern):
        """The one line that mpirun passes on is that; the first host's failure file has it, too."""
        lines = re.findall(r"^lockstep: (.*)$", self.words(), re.M)
        assert len(lines) == 1 and re.match(pattern, lines[0]), self.words()
        expect_collectives(lines[0], self.pids)
        for rank in self.pids:
            assert "\n  rank %d, process " % rank in self.words(), self.words()
        assert self.read(0, "failure") == lines[0] + "\n", self.read(0, "failure")
        return lines[0]


def check_killed(job):
    """Its host's other rank is told like those of the first host."""
    job.train_on_both(*ENDLESS)
    os.kill(job.pids[3], signal.SIGKILL)
    job.expect_end(3.0)
    job.expect_codes((0, 1, 2))
    code = job.mpirun.wait(timeout=20)
    assert code in (69, 128 + signal.SIGKILL), code
    line = job.expect_line(re.escape(job.names[3]) + " has died")
    assert job.read(1, "failure") == "stopped because %s\n" % line, job.read(1, "failure")
    for host, rank in ((0, 1), (1, 2)):
        assert job.read(host, "out/log-rank-%d.txt" % rank).endswith(
            "\nlockstep: stopped because %s\n" % line), (rank, line)


def check_stopped(job):
    job.train_on_both(*ENDLESS)
    os.kill(job.pids[3], signal.SIGSTOP)
    job.expect_end(10.0)
    job.expect_codes((0, 1, 2))
    assert job.mpirun.wait(timeout=20) == 69
    line = job.expect_line(re.escape(job.names[3]) + " " + SILENT)
    assert job.read(1, "failure") == "stopped because %s\n" % line, job.read(1, "failure")


def expect_both_sides(job):
    """Each side names a rank of the other one. mpirun may not be able to pass on what the second
    has to say, and Open MPI's daemons may notice much later: it ends when it is told to."""
    job.expect_end(10.0)
    job.expect_codes((0, 1, 2, 3))
    sides = ["(%s|%s) " % tuple(re.escape(job.names[rank]) for rank in ranks)
             for ranks in ((2, 3), (0, 1))]
    hosts.wait_for(lambda: re.search("^lockstep: " + sides[0] + SILENT, job.words(), re.M),
                   "the reason", 5)
    for host, lost in enumerate(sides):
        failure = job.read(host, "failure")
        assert re.match(lost + SILENT, failure), failure
        expect_collectives(failure, job.pids)
    for rank in (1, 2, 3):
        assert re.search(r"\nlockstep: (stopped because )?" + sides[rank // 2] + SILENT + ".*\n$",
                         job.read(rank // 2, "out/log-rank-%d.txt" % rank)), rank
    if job.mpirun.poll() is None:
        job.machines.hosts[0].signal("mpirun", signal.SIGTERM)
    assert job.mpirun.wait(timeout=20) != 0


def check_cut(job):
    job.train_on_both(*ENDLESS)
    job.machines.hosts[1].call("ip", "link", "set", "eth0", "down")
    expect_both_sides(job)


def check_deaf(job, host):
    """What the others send it is lost, all of it; what it sends itself arrives."""
    job.train_on_both(*ENDLESS)
    job.machines.hosts[host].call("sh", "-c", DEAF)
    expect_both_sides(job)
    counted = subprocess.run(job.machines.hosts[host].command("nft", "list", "ruleset"), check=True,
                             capture_output=True, text=True).stdout
    assert re.search("counter packets [1-9]", counted), counted


def check_off(job):
    """Neither end of a connection hears that it is none: a host that loses its power."""
    job.train_on_both(*ENDLESS)
    job.machines.hosts[1].call("sh", "-c", DEAF + " && " + MUTE)
    expect_both_sides(job)


def check_healed(job):
    """Off for 3 s, which is within everyone's patience: the same bits."""
    unbroken, _ = job.train_to_the_end((2, 2), *FINITE)
    job.forget()
    job.train_on_both(*FINITE)
    job.machines.hosts[1].call("sh", "-c", DEAF + " && " + MUTE)
    time.sleep(1.0)  # for what was under way
    before = job.newest()
    assert before < STEPS - 17, "it ended too soon"
    time.sleep(2.0)
    assert job.newest() == before, "something gets through"
    job.machines.hosts[1].call("nft", "delete", "table", "inet", "t")
    assert job.mpirun.wait(timeout=120) == 0, job.words()
    assert unbroken in job.words(), job.words()
    print("cut off for 3 s at step %d of %d" % (before, STEPS))


def check_resumed(job):
    """On other numbers of ranks, on both hosts and on the first alone, with the bits of a job that
    nothing happened to."""
    checkpoints, kept = (os.path.join(job.bases[0], name) for name in ("checkpoints", "kept"))
    unbroken, resumed = job.train_to_the_end((2, 2), *FINITE)
    assert resumed == 0, job.words()
    job.forget()
    job.train_on_both(*FINITE)
    hosts.wait_for(lambda: job.newest() > STEPS // 8, "a checkpoint")
    os.kill(job.pids[3], signal.SIGKILL)
    job.expect_end(3.0)
    job.expect_codes((0, 1, 2))
    job.mpirun.wait(timeout=20)
    assert not os.path.exists(os.path.join(job.bases[0], "model/model.npz")), "it ended too soon"
    shutil.copytree(checkpoints, kept)
    for ranks in ((2, 1), (1, 2), (2,)):
        job.forget()
        shutil.copytree(kept, checkpoints)
        weights, resumed = job.train_to_the_end(ranks, *FINITE)
        assert weights == unbroken, (ranks, weights, unbroken)
        assert STEPS // 8 < resumed < STEPS, (ranks, resumed)
        print("went on at step %d with %s ranks" % (resumed, "+".join(map(str, ranks))))


CHECKS = {
    "lost": {"killed": check_killed, "stopped": check_stopped, "cut": check_cut},
    "one-way": {"the first hears nothing": lambda job: check_deaf(job, 0),
                "the second hears nothing": lambda job: check_deaf(job, 1)},
    "silent": {"off": check_off, "healed": check_healed},
    "resumed": {"resumed": check_resumed},
}


def main():
    reason = hosts.why_not()
    if not reason and sys.argv[2] in ("one-way", "silent") and shutil.which("nft") is None:
        reason = "no nft"
    if reason:
        print("SKIP: no hosts can be made here: " + reason)
        return 77
    for name, check in CHECKS[sys.argv[2]].items():
        with tempfile.TemporaryDirectory() as folder, Job(folder) as job:
            check(job)
            print(name, flush=True)
    print("OK")
    return 0


if __name__ == "__main__":
    sys.exit(main())
