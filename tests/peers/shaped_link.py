"""How much of the exchange of gradients hides behind computation on a slow network.

shaped_link.py LOCKSTEP [OPTION...]: `lockstep bench train OPTION...` (VGG, batch 64 unless told
otherwise) with a rank on each of two hosts (hosts.py), whose wire passes on 200 Mbit/s to 2 Gbit/s.
Prints a line a rate, of the median step, in milliseconds on the trace's one clock:

    sums      what the sums of gradients took, of each bucket from when the last rank came to it
    wire      what the link needs for these bytes at least
    hideable  what of the sums could run beside the computation: the last bucket is complete only
              when the backward pass ends, and nothing can travel before the first one is, so it is
              the smaller of the other buckets' sums and the time between these two moments, or
              half of the computation, of which the backward pass is more, where they lie closer
    hidden    what had passed of them when the last rank's backward pass ended, and its share of
              what could be
    used      of the time from the first bucket to the end of the backward pass, the share that the
              link needs at least for what it had carried by then: sums that take longer than they
              must hide no less time, and fewer bytes

and ends with 1 where one of these shares is below 80 %, the second on a link that has more to carry
than that time allows. Figures of a machine that is doing something else are
worth nothing.
"""

import collections
import json
import os
import statistics
import subprocess
import sys

import hosts

RATES = {"200mbit": 200e6, "500mbit": 500e6, "1gbit": 1e9, "2gbit": 2e9, "unlimited": None}
LEAST_SHARE = 0.8
TRACE = "/opt/ml/trace.json"

Step = collections.namedtuple("Step", "length sums wire hideable hidden used")


def shape(host, rate):
    subprocess.run(host.command("tc", "qdisc", "del", "dev", "eth0", "root"),
                   stderr=subprocess.DEVNULL, check=False)
    if rate != "unlimited":
        host.call("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", rate, "burst",
                  "256kb", "latency", "50ms")


def spans(events, rank, name):
    """(begin, end, bytes) in milliseconds, in order."""
    return sorted((e["ts"] / 1e3, (e["ts"] + e["dur"]) / 1e3, e["args"].get("bytes", 0))
                  for e in events if e["pid"] == rank and e["name"] == name)


def measure(events, bits_per_second):
    """One step of which these are the events of all ranks."""
    ranks = sorted({e["pid"] for e in events})
    sums = [spans(events, rank, "sum of gradients") for rank in ranks]
    assert sums[0] and len({len(of_rank) for of_rank in sums}) == 1, "ranks differ in their sums"
    buckets = [(max(s[0] for s in bucket), max(s[1] for s in bucket)) for bucket in zip(*sums)]
    computed = [spans(events, rank, "forward, backward")[-1] for rank in ranks]
    backward_end = max(s[1] for s in computed)
    window = max(backward_end - buckets[0][0], 0.5 * min(s[1] - s[0] for s in computed))
    took = [end - begin for begin, end in buckets]
    hidden = sum(max(0.0, min(end, backward_end) - begin) for begin, end in buckets)
    hideable = min(sum(took[:-1]), window)
    # Of two ranks each sends, and receives, as many bytes as there are.
    per_byte = 8e3 / bits_per_second if bits_per_second else 0.0
    wire = sum(s[2] for s in sums[0]) * per_byte
    carried = sum(s[2] * min(1.0, max(0.0, backward_end - begin) / (end - begin))
                  for s, (begin, end) in zip(sums[0], buckets))
    whole = spans(events, ranks[0], "step")[0]
    return Step(whole[1] - whole[0], sum(took), wire, hideable, min(hidden, hideable),
                carried * per_byte / (backward_end - buckets[0][0]))


def median_step(trace, rate):
    steps = collections.defaultdict(list)
    for event in trace["traceEvents"]:
        if event["ph"] == "X" and "step" in event["args"]:
            steps[event["args"]["step"]].append(event)
    measured = [measure(events, RATES[rate]) for events in steps.values()]
    return Step(*(statistics.median(values) for values in zip(*measured)))


def run(machines, lockstep, rate, options):
    """The steps behind those that warm up."""
    for host in machines:
        shape(host, rate)
    line = ["mpirun", "--host", "algo-1,algo-2", "-np", "2", "--allow-run-as-root",
            "--bind-to", "none", "-mca", "btl_tcp_if_include", "eth0", "-mca",
            "oob_tcp_if_include", "eth0", lockstep, "bench", "train", "--trace", TRACE,
            "--warm-up", "3", "--trace-steps", "4-1000000", *options]
    subprocess.run(machines[0].command(*line), check=True, timeout=600, stdout=sys.stderr,
                   env=dict(os.environ, HOME="/root"))
    text = subprocess.run(machines[0].command("cat", TRACE), check=True, capture_output=True)
    return median_step(json.loads(text.stdout), rate)


def main():
    reason = hosts.why_not()
    if reason:
        print("SKIP: no hosts can be made here: " + reason)
        return 77
    lockstep = os.path.abspath(sys.argv[1])
    options = sys.argv[2:] or ["--model", "vgg", "--batch-size", "64", "--threads", "1"]
    low = []
    print("%-10s %9s %9s %9s %9s %9s %6s  %s" % ("link", *Step._fields[:-1], "share", "used"),
          flush=True)
    with hosts.two_with_sshd() as machines:
        for rate in RATES:
            step = run(machines, lockstep, rate, options)
            share = step.hidden / step.hideable if step.hideable > 0.0 else 0.0
            print("%-10s %9.1f %9.1f %9.1f %9.1f %9.1f %4.0f %%  %2.0f %%" %
                  (rate, *step[:-1], 100.0 * share, 100.0 * step.used), flush=True)
            busy = step.wire > step.hideable
            if share < LEAST_SHARE or (busy and step.used < LEAST_SHARE):
                low.append(rate)
    if low:
        print("less than %.0f %% of what could be hidden or used was: %s" %
              (100.0 * LEAST_SHARE, ", ".join(low)))
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
