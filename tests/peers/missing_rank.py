"""Fault F7 over hosts: a process that is alone on its host and does not come to the start of a job.

missing_rank.py LOCKSTEP (the program). The hosts are namespaces with an sshd each (hosts.py), the
launcher is the real mpirun.
"""

import os
import re
import subprocess
import sys

import hosts

MPIRUN = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-mca", "btl_tcp_if_include", "eth0",
          "-mca", "oob_tcp_if_include", "eth0"]


def start(host, places, before, *options):
    """A job whose rank runs before[rank] first; exit status and what was said on stderr."""
    script = "case $OMPI_COMM_WORLD_RANK in %s esac; exec \"$@\"" % "".join(
        "%d) %s;;" % case for case in before.items())
    line = MPIRUN + ["--host", places, "sh", "-c", script, "sh", os.path.abspath(sys.argv[1]),
                     "train", "--train", "/opt/ml", "--model-dir", "/opt/ml/model", *options]
    done = subprocess.run(host.command(*line), capture_output=True, text=True, timeout=60,
                          check=False, env=dict(os.environ, HOME="/root", SM_OUTPUT_DIR="/opt/ml"))
    return done.returncode, done.stderr


def names_only(err, missing):
    """That the job's own words are one line, which names these and nobody else."""
    said = re.findall(r"lockstep: .*", err)
    wanted = ", ".join("rank %d (on host %s)" % one for one in missing)
    assert len(said) == 1 and said[0].startswith(
        "lockstep: " + wanted + " did not come to the start of the job within 2 s; "), err


def check(machines):
    absent, limit = "exec sleep 60", ("--join-timeout", "2")
    # The one on the other host, with rank 0 as the only one who can say it.
    code, err = start(machines[0], "algo-1,algo-2", {1: absent}, *limit)
    assert code == 69, (code, err)
    names_only(err, [(1, "algo-2")])
    # One of two there: its neighbour is not taken for missing, and leaves the word to rank 0.
    code, err = start(machines[0], "algo-1,algo-2:2", {2: absent}, *limit)
    assert code == 69, (code, err)
    names_only(err, [(2, "algo-2")])
    # Rank 0 itself: it is for the other host to say.
    code, err = start(machines[0], "algo-1,algo-2:2", {0: absent}, *limit)
    assert code == 69, (code, err)
    names_only(err, [(0, "algo-1")])
    # One that is late is waited for: what then ends the job is that there is no data.
    code, err = start(machines[0], "algo-1,algo-2", {1: "sleep 3"})
    assert code == 66 and "did not come" not in err, (code, err)


def main():
    reason = hosts.why_not()
    if reason:
        print("SKIP: no hosts can be made here: " + reason)
        return 77
    with hosts.two_with_sshd() as machines:
        check(machines)
    print("OK")
    return 0


if __name__ == "__main__":
    sys.exit(main())
