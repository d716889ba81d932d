"""How much of the exchange of gradients hides behind computation on a slow network.

shaped_link.py LOCKSTEP [OPTION...]: `lockstep bench train OPTION...` (VGG, batch 64 unless told
otherwise) with a rank on each of two hosts (hosts.py), whose wire passes on 200 Mbit/s to 2 Gbit/s.
Prints what the bench prints: its report says how much of the communication was hidden. Figures of a
machine that is doing something else are worth nothing.
"""

import os
import subprocess
import sys

import hosts

RATES = ("200mbit", "500mbit", "1gbit", "2gbit", "unlimited")


def shape(host, rate):
    subprocess.run(host.command("tc", "qdisc", "del", "dev", "eth0", "root"),
                   stderr=subprocess.DEVNULL, check=False)
    if rate != "unlimited":
        host.call("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", rate, "burst",
                  "256kb", "latency", "50ms")


def main():
    reason = hosts.why_not()
    if reason:
        print("SKIP: no hosts can be made here: " + reason)
        return 77
    lockstep = os.path.abspath(sys.argv[1])
    options = sys.argv[2:] or ["--model", "vgg", "--batch-size", "64", "--threads", "1"]
    status = 0
    with hosts.two_with_sshd() as machines:
        for rate in RATES:
            for host in machines:
                shape(host, rate)
            print("--- " + rate, flush=True)
            line = ["mpirun", "--host", "algo-1,algo-2", "-np", "2", "--allow-run-as-root",
                    "--bind-to", "none", "-mca", "btl_tcp_if_include", "eth0", "-mca",
                    "oob_tcp_if_include", "eth0", lockstep, "bench", "train", *options]
            done = subprocess.run(machines[0].command(*line), check=False, timeout=300,
                                  env=dict(os.environ, HOME="/root"))
            status = status or done.returncode
    return status


if __name__ == "__main__":
    sys.exit(main())
