"""Ends what a run has started, whatever becomes of the run itself.

A process of its own at the other end of a pipe. The run writes `pid N` and `dir PATH` for everything it starts or
makes, and `gone N` when it has ended a process properly. When the pipe closes (a normal end, an exception, kill -9),
what is left is killed and the folders are removed. It runs in a session of its own, so Ctrl-C doesn't reach it.

    python3 reaper.py          (reads its orders on stdin)
"""

import os
import shutil
import signal
import subprocess
import sys
import time


def start_time(pid):
    """The kernel's start time of a process, so that a reused pid is never mistaken for ours. None: no such process."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as f:
            return f.read().rsplit(b")", 1)[1].split()[19]
    except (OSError, IndexError):
        return None


class Reaper:
    """The run's end of the pipe."""

    def __init__(self):
        self._proc = subprocess.Popen([sys.executable, os.path.abspath(__file__)], stdin=subprocess.PIPE,
                                      start_new_session=True)

    def _say(self, line):
        try:
            self._proc.stdin.write(line.encode() + b"\n")
            self._proc.stdin.flush()
        except OSError:
            pass

    def watch_process(self, pid):
        self._say("pid %d" % pid)

    def forget_process(self, pid):
        self._say("gone %d" % pid)

    def watch_dir(self, path):
        self._say("dir " + path)

    def keep_dir(self, path):
        self._say("keep " + path)

    def close(self):
        self._proc.stdin.close()
        self._proc.wait(20)


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pids, dirs = {}, []
    for line in sys.stdin:
        verb, _, rest = line.rstrip("\n").partition(" ")
        if verb == "pid":
            pids[int(rest)] = start_time(int(rest))
        elif verb == "gone":
            pids.pop(int(rest), None)
        elif verb == "dir":
            dirs.append(rest)
        elif verb == "keep" and rest in dirs:
            dirs.remove(rest)
    for pid, born in pids.items():
        if born is not None and start_time(pid) == born:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any(b is not None and start_time(p) == b for p, b in pids.items()):
        time.sleep(0.05)
    for path in dirs:
        shutil.rmtree(path, ignore_errors=True)


if __name__ == "__main__":
    main()
