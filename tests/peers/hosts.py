"""Hosts of a cluster as namespaces of this machine, for tests that need root and nothing else.

Each has a network, processes, mounts and a host name of its own; eth0 joins them. /etc, /opt, /root,
/run and /tmp are the machine's with changes that only the host sees and that end with it, so sshd,
keys, /etc/hosts and /opt/ml never touch the machine. The folder given for a host is its /opt/ml.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time

FACES = ("etc", "opt", "root", "run", "tmp")  # what a host may change, for itself
SSHD_CONFIG = """HostKey /etc/ssh/host_key
PermitRootLogin yes
UsePAM no
StrictModes no
"""
INIT = "sleep infinity & wait"  # process 1 buries those whose parents are gone
SETUP = """set -eu
mount -t tmpfs none "$1"
for face in %s; do
  mkdir "$1/$face" "$1/$face.work"
  mount -t overlay overlay -o "lowerdir=/$face,upperdir=$1/$face,workdir=$1/$face.work" "/$face"
  if [ $face = opt ]; then mkdir -p /opt/ml && mount --bind "$2" /opt/ml; fi
done
mount -t tmpfs none /dev/shm  # MPI's segments are told apart by host name and process id
mkdir -p /run/sshd ~root/.ssh /etc/ssh
rm -rf /tmp/ompi.* /tmp/done.* || true  # another job of the machine's may end meanwhile
cp "$3"/hosts /etc/hosts
cp "$3"/sshd_config "$3"/host_key /etc/ssh/
cp "$3"/id_rsa "$3"/id_rsa.pub "$3"/config ~root/.ssh/
cp "$3"/id_rsa.pub ~root/.ssh/authorized_keys
chmod 600 ~root/.ssh/* /etc/ssh/host_key
sed -i 's/^root:[^:]*:/root:*:/' /etc/shadow  # sshd lets nobody into a locked account
""" % " ".join(FACES)


def why_not():
    """Why there can be no hosts here, or ""."""
    if os.geteuid() != 0:
        return "not root"
    for program in ("/usr/sbin/sshd", "ssh", "ip", "mpirun"):
        if shutil.which(program) is None:
            return "no %s (tools/setup peers)" % program
    probe = ("mount -t tmpfs none /mnt && mkdir /mnt/a /mnt/b && ip link add eth0 type veth && "
             "mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/a,workdir=/mnt/b /etc")
    done = subprocess.run(["unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork",
                           "sh", "-c", probe], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else "no namespaces: " + done.stderr.strip()


class Host:
    """A host that is there from the constructor to close()."""

    def __init__(self, name):
        self.name = name
        # It dies with this process, and all in it die with it.
        self.holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--uts", "--ipc",
             "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", INIT],
            stderr=subprocess.DEVNULL)  # it grumbles when its child is killed
        children = "/proc/%d/task/%d/children" % (self.holder.pid, self.holder.pid)
        self.pid = wait_for(lambda: init_of(children), "namespaces")
        self.call("hostname", name)

    def command(self, *words):
        return ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "--", *words]

    def call(self, *words):
        subprocess.run(self.command(*words), check=True, timeout=60)

    def processes(self, name):
        """Those of that name here, as this process sees them."""
        space = os.readlink("/proc/%d/ns/pid" % self.pid)
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/comm" % pid, encoding="utf-8") as comm:
                    if comm.read().strip() != name:
                        continue
                if os.readlink("/proc/%s/ns/pid" % pid) == space:
                    found.append(int(pid))
            except OSError:
                pass  # it has ended meanwhile
        return found

    def signal(self, name, number):
        for pid in wait_for(lambda: self.processes(name), name):
            os.kill(pid, number)

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
        self.holder.wait()
        self.pid = 0


def init_of(path):
    with open(path, encoding="utf-8") as children:
        pid = children.read().strip()
    if not pid:
        return None
    with open("/proc/%s/comm" % pid, encoding="utf-8") as comm:
        return int(pid) if comm.read().strip() == "sh" else None


def wait_for(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise TimeoutError("waited %d s for %s" % (seconds, what))


class Cluster:
    """algo-1, algo-2 on one wire, or algo-1 alone; `folders` become their /opt/ml."""

    def __init__(self, folder, folders):
        self.hosts = []
        common = os.path.join(folder, "common")
        os.makedirs(common)
        self._write_common(common, len(folders))
        try:
            for number, base in enumerate(folders, 1):
                self.hosts.append(Host("algo-%d" % number))
                changes = os.path.join(folder, "changes-%d" % number)
                os.makedirs(changes)
                self.hosts[-1].call("sh", "-c", SETUP, "sh", changes, base, common)
            self._join()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self.hosts

    def __exit__(self, *_):
        self.close()

    def close(self):
        for host in self.hosts:
            host.close()

    @staticmethod
    def _write_common(common, count):
        names = "".join("10.77.0.%d algo-%d\n" % (i, i) for i in range(1, count + 1))
        for name, text in (("hosts", "127.0.0.1 localhost\n" + names),
                           ("sshd_config", SSHD_CONFIG),
                           ("config", "Host *\n  StrictHostKeyChecking no\n  LogLevel ERROR\n")):
            with open(os.path.join(common, name), "w", encoding="utf-8") as out:
                out.write(text)
        for name, kind in (("host_key", "ed25519"), ("id_rsa", "rsa")):
            subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f",
                            os.path.join(common, name)], check=True)

    def _join(self):
        first = self.hosts[0]
        # A single host holds both ends of its wire.
        peer = self.hosts[1] if len(self.hosts) > 1 else first
        far = ["name", "eth0" if peer is not first else "eth1", "netns", str(peer.pid)]
        subprocess.run(["nsenter", "-t", str(first.pid), "-n", "--", "ip", "link", "add", "eth0",
                        "type", "veth", "peer", *far], check=True)
        if peer is first:
            first.call("ip", "link", "set", "eth1", "up")
        for number, host in enumerate(self.hosts, 1):
            host.call("ip", "address", "add", "10.77.0.%d/24" % number, "dev", "eth0")
            for device in ("lo", "eth0"):
                host.call("ip", "link", "set", device, "up")


@contextlib.contextmanager
def two_with_sshd():
    """algo-1 and algo-2, which reach each other by ssh, with empty folders as /opt/ml."""
    with tempfile.TemporaryDirectory() as place:
        bases = [os.path.join(place, "ml-%d" % i) for i in (1, 2)]
        for base in bases:
            os.makedirs(base)
        with Cluster(place, bases) as machines:
            for host in machines:
                host.call("/usr/sbin/sshd")
            yield machines
