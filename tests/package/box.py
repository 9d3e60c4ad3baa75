"""A box to run the image's root file system in: read-only, a user without a name outside, no capabilities, no new
privileges, a filter of system calls, and nothing of the host but what is bound into it. Made of bwrap and setpriv."""

import ctypes
import ctypes.util
import os
import re
import select
import signal
import socket
import subprocess
import tempfile
import time

UID = 65532
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
EQUAL, MASKED_EQ = 4, 7  # of libseccomp's enum scmp_compare
EPERM = 1


class Compare(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


class Filter:
    """A seccomp filter by libseccomp."""

    def __init__(self, default):
        self.lib = ctypes.CDLL(ctypes.util.find_library("seccomp") or "libseccomp.so.2")
        self.lib.seccomp_init.restype = ctypes.c_void_p
        self.lib.seccomp_rule_add_array.argtypes = [
            ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(Compare)]
        self.lib.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
        self.rules = self.lib.seccomp_init(ctypes.c_uint32(default))
        if not self.rules:
            raise OSError("libseccomp gave no filter")

    def add(self, action, name, *compares):
        """False: this machine has no call of that name."""
        number = self.lib.seccomp_syscall_resolve_name(name.encode())
        if number == -1:
            return False
        rc = self.lib.seccomp_rule_add_array(self.rules, action, number, len(compares), (Compare * len(compares))(*compares))
        if rc != 0:
            raise OSError("libseccomp: rule for %s: %d" % (name, rc))
        return True

    def file(self):
        out = tempfile.TemporaryFile()
        if self.lib.seccomp_export_bpf(self.rules, out.fileno()) != 0:
            raise OSError("libseccomp: no program")
        out.seek(0)
        return out


def no_writes():
    """Whoever opens a file for writing, or makes, renames or removes one, is killed."""
    rules = Filter(ALLOW)
    for call, flags in (("open", 1), ("openat", 2)):
        for bit in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC):
            rules.add(KILL, call, Compare(flags, MASKED_EQ, bit, bit))
    for call in ("creat", "openat2", "mkdir", "mkdirat", "unlink", "unlinkat", "rmdir", "rename", "renameat", "renameat2",
                 "link", "linkat", "symlink", "symlinkat", "mknod", "mknodat", "truncate", "ftruncate", "chmod",
                 "fchmodat", "chown", "fchownat", "utimensat", "setxattr", "memfd_create"):
        rules.add(KILL, call)
    return rules


def of_unit(allowed, denied, families):
    """What systemd makes of SystemCallFilter=, RestrictAddressFamilies= and MemoryDenyWriteExecute=yes: what is not
    allowed answers EPERM."""
    rules = Filter(ERRNO | EPERM)
    write, execute = 2, 4  # PROT_WRITE, PROT_EXEC
    for call in sorted(allowed - denied):
        if call == "mmap":
            rules.add(ALLOW, call, Compare(2, MASKED_EQ, write, 0))
            rules.add(ALLOW, call, Compare(2, MASKED_EQ, write | execute, write))
        elif call in ("mprotect", "pkey_mprotect"):
            rules.add(ALLOW, call, Compare(2, MASKED_EQ, execute, 0))
        elif call == "socket":
            for family in families:
                rules.add(ALLOW, call, Compare(0, EQUAL, int(getattr(socket, family)), 0))
        else:
            rules.add(ALLOW, call)
    return rules


class Box:
    """One program in the tree. With `say` it waits for that line of its log."""

    def __init__(self, tree, args, binds=(), proc=True, network=True, rules=None, env=(), root=False):
        command = []
        if os.getuid() == 0:
            command += ["setpriv", "--reuid=%d" % UID, "--regid=%d" % UID, "--clear-groups", "--bounding-set=-all",
                        "--inh-caps=-all", "--no-new-privs"]
        command += ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv",
                    "--unshare-user", "--uid", "0" if root else str(UID), "--gid", "0" if root else str(UID),
                    "--cap-drop", "ALL", "--setenv", "PATH", "/usr/sbin", "--ro-bind", tree, "/", "--chdir", "/"]
        if network:
            command.append("--share-net")
        if proc:
            command += ["--proc", "/proc"]
        for name, value in env:
            command += ["--setenv", name, value]
        # A bind needs a place: /run is a read-only tmpfs, so that there can be places that the tree does not have.
        if any(inside.startswith("/run/") for _, inside in binds):
            command += ["--tmpfs", "/run"]
        for outside, inside in binds:
            command += ["--ro-bind", outside, inside]
        if "--tmpfs" in command:
            command += ["--remount-ro", "/run"]
        keep = []
        if rules is not None:
            program = rules.file()
            keep.append(program.fileno())
            command += ["--seccomp", str(program.fileno())]
        self.text = ""
        self.child = subprocess.Popen(command + list(args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, pass_fds=keep, start_new_session=True)
        if rules is not None:
            program.close()

    def read(self, until=None, seconds=20):
        """Its output up to a line that matches, or to its end; None if neither came in time."""
        end = time.monotonic() + seconds
        fd = self.child.stdout.fileno()
        while True:
            found = re.search(until, self.text) if until else None
            if found:
                return found
            left = end - time.monotonic()
            if left <= 0 or not select.select([fd], [], [], left)[0]:
                return None
            part = os.read(fd, 65536)
            if not part:
                return re.search(until, self.text) if until else True
            self.text += part.decode(errors="replace")

    def status(self, seconds=20):
        """Exit status, as a shell would have it; what is left of the output is in text."""
        self.read(seconds=seconds)
        try:
            code = self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return None
        return code if code >= 0 else 128 - code

    def inner(self):
        """The program's own pid outside: bwrap's child's child."""
        pid = self.child.pid
        for _ in range(200):
            kids = _children(pid)
            if not kids:
                time.sleep(0.02)
                continue
            pid = kids[0]
            with open("/proc/%d/comm" % pid, encoding="utf-8") as f:
                if f.read().strip() != "bwrap":
                    return pid
        return None

    def signal(self, number):
        os.kill(self.inner(), number)

    def kill(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGKILL)
            self.child.wait()
        self.child.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()


def _children(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid), encoding="utf-8") as f:
            return [int(x) for x in f.read().split()]
    except OSError:
        return []
