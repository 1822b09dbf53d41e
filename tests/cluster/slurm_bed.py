#!/usr/bin/env python3
"""A real Slurm of several virtual nodes on one machine, for the tests: ``slurm_bed.py up|down|status|env [FOLDER]``.

Needs root and Debian's packages (``apt-get install --no-install-recommends slurm-wlm slurmctld slurmd slurm-client
munge``, with accounting also ``slurmdbd mariadb-server``). Several slurmd run on one host, each with its own node name
and port, every daemon listens on 127.0.0.1, and everything else lives in FOLDER. ``up`` twice changes nothing; ``down``
ends only processes that ``up`` started (pid and start time are compared).
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

NEEDED = ("sbatch", "squeue", "slurmctld", "slurmd", "munged")
NEEDED_FOR_ACCOUNTING = ("slurmdbd", "mariadbd", "mariadb-install-db", "sacctmgr")
CPUS, GPUS, MEMORY_MB = 4, 2, 4096
PATIENCE_S = 600
"""How long the tests wait for what must come. Such waits end by themselves: this only ends what hangs."""
_SBIN = "/usr/sbin:/usr/local/sbin"
_HOSTS_LOCK = "/tmp/.drg-slurm-bed.hosts.lock"


def lacking(*, accounting: bool = False) -> str | None:
    """Why no bed can be made here, or None."""
    if os.geteuid() != 0:
        return "a Slurm test bed needs root"
    path = f"{os.environ.get('PATH', '')}:{_SBIN}"
    wanted = NEEDED + (NEEDED_FOR_ACCOUNTING if accounting else ())
    absent = [name for name in wanted if shutil.which(name, path=path) is None]
    return f"a Slurm test bed needs {', '.join(absent)} (Debian packages)" if absent else None


def _start_time(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; None when it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if text[0] == "Z" else text[19]


def _wait(seconds: float, what: str, ready: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not ready after {seconds:.0f} s")
        time.sleep(0.1)


@dataclass
class Bed:
    """One cluster.

    Parameters
    ----------
    folder : everything the daemons write
    accounting : with slurmdbd and MariaDB, so that sacct works
    user_signal : a preempted job gets the signal of ``--signal`` at the start of its grace time, not only SIGTERM
    port : first of the ports it listens on (up to 10 + nodes, and 100 for srun)
    """

    folder: Path
    accounting: bool = False
    user_signal: bool = False
    port: int = 16800
    nodes: int = 2
    max_array: int = 1001
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def conf(self) -> Path:
        return self.folder / "etc" / "slurm.conf"

    @property
    def env(self) -> dict[str, str]:
        """What a client's environment needs."""
        return {"SLURM_CONF": str(self.conf)}

    def run(
        self, *command: object, check: bool = True, env: dict[str, str] | None = None, seconds: float = PATIENCE_S
    ) -> str:
        """Output of a client command (which may be ``sbatch -W``, and last as long as its job)."""
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, timeout=seconds, check=False,
            env=os.environ | self.env | (env or {}),
        )  # fmt: skip
        if check and done.returncode:
            raise RuntimeError(f"{command}: {done.returncode}: {done.stdout} {done.stderr}")
        return done.stdout

    def _answers(self, *command: object) -> bool:
        try:
            self.run(*command, seconds=10)
        except (RuntimeError, subprocess.TimeoutExpired):
            return False
        return True

    # -- processes ---------------------------------------------------------------------------------------------------

    @property
    def _pids(self) -> Path:
        return self.folder / "pids.json"

    def _recorded(self) -> dict[str, tuple[int, str]]:
        try:
            return {name: (pid, start) for name, (pid, start) in json.loads(self._pids.read_text()).items()}
        except FileNotFoundError:
            return {}

    def alive(self, name: str) -> bool:
        """Whether the daemon that ``up`` started still runs."""
        pid, start = self._recorded().get(name, (0, ""))
        return pid > 0 and _start_time(pid) == start

    def _spawn(self, name: str, command: Sequence[object], env: dict[str, str] | None = None) -> None:
        if self.alive(name):
            return
        with open(self.folder / "log" / f"{name}.out", "ab") as out:
            process = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                env=os.environ | {"PATH": f"{os.environ['PATH']}:{_SBIN}"} | self.env | (env or {}),
            )  # fmt: skip
        start = _start_time(process.pid) or ""
        self._pids.write_text(json.dumps(self._recorded() | {name: (process.pid, start)}))

    def stop_daemon(self, name: str, *, how: signal.Signals = signal.SIGTERM) -> None:
        """End one daemon of ours."""
        pid, start = self._recorded().get(name, (0, ""))
        if not pid or _start_time(pid) != start:
            return
        os.kill(pid, how)
        try:
            _wait(15, name, lambda: _start_time(pid) != start)
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
        if shutil.which("true"):  # reap, when it is a child of this very process
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                pass

    # -- configuration -----------------------------------------------------------------------------------------------

    def _slurm_conf(self) -> str:
        folder, host = self.folder, socket.gethostname().partition(".")[0]
        names = f"node[1-{self.nodes}]"
        lines = {
            "ClusterName": "bed",
            "SlurmctldHost": f"{host}(127.0.0.1)",
            "SlurmctldPort": self.port,
            "SrunPortRange": f"{self.port + 100}-{self.port + 299}",
            "CommunicationParameters": "NoInAddrAny,NoCtldInAddrAny",  # listen on 127.0.0.1 alone
            "SlurmUser": "root",
            "SlurmdUser": "root",
            "AuthType": "auth/munge",
            # cred_expire is also how long a requeued job waits before it may start again (120 s unless told)
            "AuthInfo": f"socket={folder}/munge/munge.socket,cred_expire=5",
            "CredType": "cred/munge",
            "StateSaveLocation": f"{folder}/state",
            "SlurmdSpoolDir": f"{folder}/spool/%n",
            "SlurmctldPidFile": f"{folder}/run/slurmctld.pid",
            "SlurmdPidFile": f"{folder}/run/slurmd-%n.pid",
            "SlurmctldLogFile": f"{folder}/log/slurmctld.log",
            "SlurmdLogFile": f"{folder}/log/slurmd-%n.log",
            "ProctrackType": "proctrack/linuxproc",
            "TaskPlugin": "task/none",
            "JobAcctGatherType": "jobacct_gather/linux",
            "JobAcctGatherFrequency": "task=2",
            "JobAcctGatherParams": "OverMemoryKill",
            "SwitchType": "switch/none",
            "MpiDefault": "none",
            "MailProg": "/bin/true",
            "ReturnToService": 2,
            "SchedulerType": "sched/backfill",
            "SchedulerParameters": "sched_interval=1,bf_interval=1,requeue_delay=1,batch_sched_delay=1",
            "SelectType": "select/cons_tres",
            "SelectTypeParameters": "CR_CPU_Memory",
            "DefMemPerCPU": 256,
            "PreemptType": "preempt/partition_prio",
            "PreemptMode": "REQUEUE",
            "GresTypes": "gpu",
            "KillWait": 5,
            "MinJobAge": 300,
            "MaxArraySize": self.max_array,
            "FirstJobId": self.port,  # beds share this host, where ports and sockets are named by job ids
            "SlurmdTimeout": 20,
            "MessageTimeout": 30,
            "JobRequeue": 1,
            "SlurmdParameters": "config_overrides",  # believe this file, not the machine's own cores
            "JobCompType": "jobcomp/filetxt",
            "JobCompLoc": f"{folder}/log/jobcomp.txt",
        }
        if self.user_signal:
            lines["SlurmctldParameters"] = "preempt_send_user_signal"
        if self.accounting:
            lines |= {
                "AccountingStorageType": "accounting_storage/slurmdbd",
                "AccountingStorageHost": "127.0.0.1",
                "AccountingStoragePort": self.port + 1,
                "AccountingStoragePass": f"{folder}/munge/munge.socket",  # AuthInfo is not used towards slurmdbd
                "AccountingStorageTRES": "gres/gpu",
                "AccountingStorageEnforce": "associations",
            }
        else:
            lines["AccountingStorageType"] = "accounting_storage/none"
        text = [f"{key}={value}" for key, value in lines.items()]
        for i in range(1, self.nodes + 1):
            port = self.port + 9 + i
            text.append(
                f"NodeName=node{i} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={CPUS} Boards=1 "
                f"SocketsPerBoard=1 CoresPerSocket={CPUS} ThreadsPerCore=1 RealMemory={MEMORY_MB} Gres=gpu:{GPUS}"
            )
        # jobs of "high" preempt those of "low", and nobody's else: tests that run side by side leave each other alone
        for name, tier, rest in (
            ("cpu", 1, " Default=YES PreemptMode=OFF"), ("low", 1, " GraceTime=8"), ("high", 100, " PreemptMode=OFF")
        ):  # fmt: skip
            text.append(
                f"PartitionName={name} Nodes={names}{rest} PriorityTier={tier} MaxTime=01:00:00 DefaultTime=00:10:00"
            )
        return "\n".join(text) + "\n"

    def _configure(self) -> None:
        folder = self.folder
        for name in ("etc", "log", "state", "run", "dev", "munge", "spool", "pmix"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for place in (folder, folder / "munge"):
            place.chmod(0o755)
        etc = folder / "etc"
        self.conf.write_text(self._slurm_conf())
        (etc / "cgroup.conf").write_text("CgroupAutomount=no\n")
        for i in range(GPUS):  # devices with the numbers of /dev/null; plain files leave CUDA_VISIBLE_DEVICES empty
            if not (folder / "dev" / f"nvidia{i}").exists():
                os.mknod(folder / "dev" / f"nvidia{i}", 0o20666, os.makedev(1, 3))
        gres = [f"NodeName=node{i} Name=gpu File={folder}/dev/nvidia[0-{GPUS - 1}]\n" for i in range(1, self.nodes + 1)]
        (etc / "gres.conf").write_text("".join(gres))
        for i in range(1, self.nodes + 1):
            node = etc / f"node{i}"
            node.mkdir(exist_ok=True)
            (folder / "spool" / f"node{i}").mkdir(exist_ok=True)
            (folder / "pmix" / f"node{i}").mkdir(mode=0o1777, exist_ok=True)
            for name in ("slurm.conf", "gres.conf", "cgroup.conf"):
                if not (node / name).is_symlink():
                    (node / name).symlink_to(f"../{name}")
            # mpi/pmix makes a folder per step and user: two nodes on one host would meet in /tmp
            (node / "mpi.conf").write_text(f"PMIxCliTmpDirBase={folder}/pmix/node{i}\n")
        if self.accounting:
            self._configure_accounting()

    def _configure_accounting(self) -> None:
        folder, host = self.folder, socket.gethostname().partition(".")[0]
        lines = {
            "AuthType": "auth/munge", "AuthInfo": f"socket={folder}/munge/munge.socket", "DbdHost": host,
            "DbdAddr": "127.0.0.1", "DbdPort": self.port + 1, "SlurmUser": "root",
            "PidFile": f"{folder}/run/slurmdbd.pid", "LogFile": f"{folder}/log/slurmdbd.log",
            "StorageType": "accounting_storage/mysql", "StorageHost": "localhost", "StorageUser": "root",
            "StorageLoc": "slurm_acct",
        }  # fmt: skip
        path = folder / "etc" / "slurmdbd.conf"
        path.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        path.chmod(0o600)

    def _hosts(self, *, present: bool) -> None:
        """One marked line in /etc/hosts, so that node names resolve (torchrun, MPI host files).

        Everybody on this machine reads that file: it is only appended to, and a line is taken out under a lock, by one
        write of a text that was read under it.
        """
        mark = f"# slurm-bed {self.folder}"
        names = " ".join(f"node{i}" for i in range(1, self.nodes + 1))
        with open(_HOSTS_LOCK, "w") as lock, open("/etc/hosts", "r+") as hosts:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lines = hosts.read().splitlines(keepends=True)
            ours = [line for line in lines if line.rstrip().endswith(mark)]
            if present and not ours:
                hosts.write(f"127.0.0.1 {names} {mark}\n")  # at the end, where reading has left off
            elif ours and not present:
                kept = "".join(line for line in lines if line not in ours)
                hosts.seek(0)
                hosts.write(kept)
                hosts.truncate()

    # -- up and down -------------------------------------------------------------------------------------------------

    def _up_munge(self) -> None:
        munge = self.folder / "munge"
        key = munge / "munge.key"
        if not key.exists():
            key.touch(0o600)
            key.write_bytes(secrets.token_bytes(128))
        self._spawn("munged", [
            "munged", "--foreground", "--force", f"--socket={munge}/munge.socket", f"--key-file={key}",
            f"--log-file={munge}/munged.log", f"--pid-file={munge}/munged.pid", f"--seed-file={munge}/munge.seed",
            "--num-threads=2",
        ])  # fmt: skip
        _wait(10, "munge", lambda: self._answers("munge", "-S", munge / "munge.socket", "-n"))

    def _up_accounting(self) -> None:
        base = self.folder / "mysql"
        base.mkdir(exist_ok=True)
        sock = base / "mysqld.sock"
        if not (base / "data" / "mysql").is_dir():
            self.run(
                "mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={base}/data",
                "--auth-root-authentication-method=normal", "--skip-test-db",
            )  # fmt: skip
        self._spawn("mariadbd", [
            "mariadbd", "--no-defaults", "--user=root", f"--datadir={base}/data", f"--socket={sock}",
            f"--pid-file={base}/mysqld.pid", "--skip-networking", "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=64M", "--innodb-lock-wait-timeout=900", "--innodb-flush-log-at-trx-commit=2",
        ])  # fmt: skip
        client = ("--no-defaults", f"--socket={sock}", "-u", "root")
        _wait(30, "MariaDB", lambda: self._answers("mariadb-admin", *client, "ping"))
        self.run("mariadb", *client, "-e", "CREATE DATABASE IF NOT EXISTS slurm_acct")
        self._spawn("slurmdbd", ["slurmdbd", "-D"], {"MYSQL_UNIX_PORT": str(sock)})
        _wait(30, "slurmdbd", lambda: self._answers("sacctmgr", "-n", "show", "cluster"))
        if "bed" not in self.run("sacctmgr", "-n", "show", "cluster", "format=cluster"):
            self.run("sacctmgr", "-i", "add", "cluster", "bed")
            self.run("sacctmgr", "-i", "add", "account", "lab", "Cluster=bed", "Description=lab", "Organization=lab")
            self.run("sacctmgr", "-i", "add", "user", "root", "Account=lab", "AdminLevel=Admin", check=False)

    def up_node(self, number: int) -> None:
        """Start one slurmd."""
        conf = self.folder / "etc" / f"node{number}" / "slurm.conf"
        self._spawn(f"slurmd{number}", ["slurmd", "-D", "-N", f"node{number}", "-f", conf])

    def _nodes_ready(self) -> bool:
        states = self.run("sinfo", "-h", "-N", "-p", "cpu", "-o", "%t").split()
        if any(state.startswith(("drain", "down", "inval")) for state in states):
            self.run("scontrol", "update", f"NodeName=node[1-{self.nodes}]", "State=RESUME", check=False)
        return len(states) == self.nodes and all(state in ("idle", "mix", "alloc", "comp") for state in states)

    def up(self) -> None:
        """Start what is not running; returns when every node takes jobs."""
        self._configure()
        self._hosts(present=True)
        self._up_munge()
        if self.accounting:
            self._up_accounting()
        self._spawn("slurmctld", ["slurmctld", "-D", "-i", "-f", self.conf])
        _wait(30, "slurmctld", lambda: self._answers("scontrol", "ping"))
        for number in range(1, self.nodes + 1):
            self.up_node(number)
        _wait(60, "nodes", self._nodes_ready)

    def down(self) -> None:
        """End what ``up`` started, and the jobs on it."""
        recorded = self._recorded()
        if self.alive("slurmctld"):
            self.run("scancel", "--user=root", "--signal=KILL", "--full", check=False)
            self.run("scancel", "--user=root", check=False)
            time.sleep(1)
        order = [*(n for n in recorded if n.startswith("slurmd") and n != "slurmdbd"), "slurmctld", "slurmdbd"]
        for name in [*order, "mariadbd", "munged"]:
            self.stop_daemon(name)
        self._pids.unlink(missing_ok=True)
        self._hosts(present=False)

    def status(self) -> str:
        """One line a daemon, then sinfo."""
        recorded = self._recorded()
        lines = [f"{name} {'up' if self.alive(name) else 'DEAD'} pid {recorded[name][0]}" for name in recorded]
        return "\n".join([*lines, self.run("sinfo", "-N", "-l", check=False)]) if lines else "down"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("up", "down", "status", "env"))
    parser.add_argument("folder", nargs="?", type=Path, default=Path("/tmp/drg-slurm-bed"))
    parser.add_argument("--accounting", action="store_true", help="with slurmdbd and MariaDB")
    parser.add_argument("--user-signal", action="store_true", help="preempt_send_user_signal")
    parser.add_argument("--port", type=int, default=16800)
    parser.add_argument("--max-array", type=int, default=1001)
    chosen = parser.parse_args()
    bed = Bed(
        chosen.folder.absolute(), accounting=chosen.accounting, user_signal=chosen.user_signal, port=chosen.port,
        max_array=chosen.max_array,
    )  # fmt: skip
    why = lacking(accounting=chosen.accounting)
    if why and chosen.verb == "up":
        print(f"no test bed: {why}", file=sys.stderr)
        return 3
    if chosen.verb == "up":
        started = time.monotonic()
        bed.up()
        print(f"up after {time.monotonic() - started:.1f} s: export SLURM_CONF={bed.conf}")
    elif chosen.verb == "down":
        bed.down()
    else:
        print(bed.status() if chosen.verb == "status" else f"export SLURM_CONF={bed.conf}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
