"""A real control plane on loopback: etcd, kube-apiserver, kube-scheduler, and cardinald beside them.

Every story gets one of its own. Nothing here knows what the stories are about; it starts processes in the right order,
waits for each in bounded time, and ends them all. Each component has a token of its own, so that the audit log says
who wrote what.
"""

import base64
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time

import kube

# Identities at the API server. All are masters: what each of them may do is the chart's business, who did it is ours.
USERS = ("admin", "cardinald", "kube-scheduler", "plugin", "reader", "kubelet", "proxy")

RESOURCES = ("nvidia.com/gpu", "nvidia.com/gpumem", "nvidia.com/gpumem-percentage", "nvidia.com/gpucores",
             "nvidia.com/priority")

SCHEDULER_NAME = "cardinal-scheduler"

# The `nvidia` part of HAMi's own file, with its chart's values (contract nvidia.md 2).
DEVICE_CONFIG = """\
nvidia:
  resourceCountName: nvidia.com/gpu
  resourceMemoryName: nvidia.com/gpumem
  resourceMemoryPercentageName: nvidia.com/gpumem-percentage
  resourceCoreName: nvidia.com/gpucores
  resourcePriorityName: nvidia.com/priority
  overwriteEnv: false
  defaultMemory: 0
  defaultCores: 0
  defaultGPUNum: 1
  memoryFactor: 1
  deviceSplitCount: 10
  deviceMemoryScaling: 1
  deviceCoreScaling: 1
  gpuCorePolicy: default
  libCudaLogLevel: 1
  runtimeClassName: ""
  migProfileAllowlist:
    - models: [ "A30" ]
      profiles: [ "1g.6gb", "2g.12gb", "4g.24gb" ]
"""

def _ascend(chip, word, memory, cores, cpus, *templates, **more):
    name = "huawei.com/" + word
    return {"chipName": chip, "commonWord": word, "resourceName": name, "resourceMemoryName": name + "-memory",
            "resourceCoreName": name + "-core", "memoryAllocatable": memory, "memoryCapacity": memory, "memoryFactor": 1,
            "aiCore": cores, "aiCPU": cpus, **more,
            "templates": [{"name": n, "memory": m, "aiCore": c, "aiCPU": p} for n, m, c, p in templates]}


def _iluvatar(word):
    name = "iluvatar.ai/" + word
    return {"chipName": word, "commonWord": word, "resourceCountName": name + "-vgpu", "resourceMemoryName": name + ".vMem",
            "resourceCoreName": name + ".vCore"}


# The other makers' sections of the same file (vendors-a.md and vendors-b.md, parts 2 and b): JSON is YAML.
OTHER_SECTIONS = {
    "cambricon": {"resourceCountName": "cambricon.com/vmlu", "resourceMemoryName": "cambricon.com/mlu.smlu.vmemory",
                  "resourceCoreName": "cambricon.com/mlu.smlu.vcore"},
    "hygon": {"resourceCountName": "hygon.com/dcunum", "resourceMemoryName": "hygon.com/dcumem",
              "resourceCoreName": "hygon.com/dcucores", "memoryFactor": 1},
    "metax": {"resourceCountName": "metax-tech.com/gpu", "resourceVCountName": "metax-tech.com/sgpu",
              "resourceVMemoryName": "metax-tech.com/vmemory", "resourceVCoreName": "metax-tech.com/vcore",
              "sgpuTopologyAware": False},
    "enflame": {"resourceNameGCU": "enflame.com/gcu", "resourceNameDRSGCU": "enflame.com/drs-gcu",
                "resourceNameGCUMemory": "enflame.com/gcu-memory", "resourceNameGCUCore": "enflame.com/gcu-core"},
    "mthreads": {"resourceCountName": "mthreads.com/vgpu", "resourceMemoryName": "mthreads.com/sgpu-memory",
                 "resourceCoreName": "mthreads.com/sgpu-core"},
    "kunlun": {"resourceCountName": "kunlunxin.com/xpu", "resourceVCountName": "kunlunxin.com/vxpu",
               "resourceVMemoryName": "kunlunxin.com/vxpu-memory"},
    "awsneuron": {"resourceCountName": "aws.amazon.com/neuron", "resourceCoreName": "aws.amazon.com/neuroncore"},
    "amd": {"resourceCountName": "amd.com/gpu", "resourceMemoryName": "amd.com/gpumem", "resourceCoreName": "amd.com/gpucores"},
    "vastai": {"resourceCountName": "vastaitech.com/va"},
    "biren": {"resourceCountName": "birentech.com/gpu"},
    "iluvatars": [_iluvatar(w) for w in ("MR-V100", "MR-V50", "BI-V150", "BI-V100")],
    "vnpus": {"hamiVnpuCore": False, "configs": [
        _ascend("910B3", "Ascend910B3", 65536, 20, 7, ("vir05_1c_16g", 16384, 5, 1), ("vir10_3c_32g", 32768, 10, 3)),
        _ascend("910B4-1", "Ascend910B4-1", 65536, 20, 7, ("vir05_1c_16g", 16384, 5, 1), ("vir10_3c_32g", 32768, 10, 3)),
        _ascend("910B4", "Ascend910B4", 32768, 20, 7, ("vir05_1c_8g", 8192, 5, 1), ("vir10_3c_16g", 16384, 10, 3)),
        _ascend("310P3", "Ascend310P", 21527, 8, 7, ("vir01", 3072, 1, 1), ("vir02", 6144, 2, 2), ("vir04", 12288, 4, 4),
                memoryCapacity=24576),
        _ascend("Ascend910", "Ascend910C", 65536, 20, 7, ("vir05_1c_16g", 16384, 5, 1), ("vir10_3c_32g", 32768, 10, 3),
                superPod=True)]},
}

# What the chart hands to the extender and takes from kube-scheduler's own count: all names but four that nodes
# advertise and kube-scheduler checks itself (vendors-a.md 2.3, 4.3).
NATIVE = ("cambricon.com/mlu.smlu.vmemory", "cambricon.com/mlu.smlu.vcore", "mthreads.com/sgpu-memory", "mthreads.com/sgpu-core")


def _names(value):
    if isinstance(value, dict):
        return [v for k, v in value.items() if k.startswith("resource")] + [n for v in value.values() for n in _names(v)]
    return [n for v in value for n in _names(v)] if isinstance(value, list) else []


ALL_RESOURCES = (*RESOURCES, *(n for n in _names(OTHER_SECTIONS) if n not in NATIVE))
ALL_CONFIG = DEVICE_CONFIG + "".join("%s: %s\n" % (k, json.dumps(v)) for k, v in OTHER_SECTIONS.items())

AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  # What a patch of a node does to a lock is only in its body.
  - level: Request
    users: [cardinald]
    verbs: [patch]
    resources:
      - group: ""
        resources: [nodes]
  - level: Metadata
    verbs: [create, update, patch, delete]
    resources:
      - group: ""
        resources: [pods, pods/status, pods/binding, nodes, nodes/status]
      - group: coordination.k8s.io
        resources: [leases]
  - level: None
"""


class StartError(Exception):
    """A component did not come up in time, or died; the text says which, and where its log is."""


class Options:
    """What a run is made of: where the binaries are and where it may write."""

    def __init__(self, bin_dir, cardinald, work_dir, reaper, verbosity=4):
        self.bin_dir = bin_dir
        self.cardinald = cardinald
        self.work_dir = work_dir
        self.reaper = reaper
        self.verbosity = verbosity
        self.certs = None
        self.long = False       # the storms in their full size
        self.notes = []         # what the story that runs now wants said beside its result


def free_port():
    """A port that nobody listens on right now. Racy by nature; a lost race is a StartError with the log's name.

    It is below those that the system gives to connections, so that none of them takes it before its server starts, or
    while the server is away to be started again.
    """
    for _ in range(200):
        port = random.randrange(16000, 28000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise StartError("no port between 16000 and 28000 is free")


def make_certificates(folder, names=()):
    """One authority and one server pair for 127.0.0.1 (and more `names`), for the API server and for the webhook alike.

    One self-signed certificate would do for TLS, but a caBundle that is not the server's own certificate is what
    users have.
    """
    os.makedirs(folder)
    ca, pair = os.path.join(folder, "ca"), os.path.join(folder, "server")
    with open(pair + ".ext", "w", encoding="ascii") as f:
        f.write("subjectAltName=%s\nextendedKeyUsage=serverAuth\n" % ",".join(("IP:127.0.0.1", "DNS:localhost", *names)))
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    # kube-apiserver reads an EC key for service accounts in its old form only, which `req -newkey` does not write.
    account = os.path.join(folder, "account.key")
    steps = (
        ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", account],
        ["req", "-x509", *key, "-days", "2", "-subj", "/CN=e2e-ca", "-keyout", ca + ".key", "-out", ca + ".crt"],
        ["req", *key, "-subj", "/CN=e2e-server", "-keyout", pair + ".key", "-out", pair + ".csr"],
        ["x509", "-req", "-in", pair + ".csr", "-CA", ca + ".crt", "-CAkey", ca + ".key", "-CAcreateserial",
         "-days", "2", "-extfile", pair + ".ext", "-out", pair + ".crt"],
    )
    for step in steps:
        done = subprocess.run(["openssl", *step], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        if done.returncode != 0:
            raise StartError("openssl %s: %s" % (step[0], done.stderr.decode()[-300:]))
    return {"ca": ca + ".crt", "cert": pair + ".crt", "key": pair + ".key", "account": account,
            "ca-key": ca + ".key"}


class Process:
    """One child with its log file."""

    def __init__(self, options, name, argv, log, env=None):
        self.name = name
        self.log = log
        self._reaper = options.reaper
        env = {"PATH": os.environ.get("PATH", ""), "HOME": os.environ.get("HOME", "/"), "TZ": "UTC", **(env or {})}
        for extra in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"):
            if extra in os.environ:
                env[extra] = os.environ[extra]
        with open(log, "ab") as out:
            self._popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env,
                                           start_new_session=True)
        self.pid = self._popen.pid
        self._reaper.watch_process(self.pid)

    def ended(self):
        return self._popen.poll() is not None

    @property
    def code(self):
        return self._popen.returncode

    def kill(self):
        self.stop(signal.SIGKILL, 10)

    def stop(self, sig=signal.SIGTERM, seconds=10.0):
        """Send a signal and wait; what does not listen is killed. Returns the seconds it took."""
        began = time.monotonic()
        if not self.ended():
            self._popen.send_signal(sig)
            try:
                self._popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait(10)
        self._reaper.forget_process(self.pid)
        return time.monotonic() - began

    def rss_mib(self):
        """(now, peak) resident memory, or (0, 0) when it is gone."""
        try:
            with open("/proc/%d/status" % self.pid, encoding="ascii") as f:
                text = f.read()
        except OSError:
            return 0.0, 0.0
        now, peak = re.search(r"VmRSS:\s+(\d+)", text), re.search(r"VmHWM:\s+(\d+)", text)
        return (int(now.group(1)) / 1024 if now else 0.0, int(peak.group(1)) / 1024 if peak else 0.0)

    def cpu_seconds(self):
        """Processor time so far; says more than the clock does when the machine has other work."""
        try:
            with open("/proc/%d/stat" % self.pid, "rb") as f:
                fields = f.read().rsplit(b")", 1)[1].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def tail(self, lines=12):
        try:
            with open(self.log, "rb") as f:
                f.seek(0, os.SEEK_END)
                f.seek(max(0, f.tell() - 8192))
                return b"\n".join(f.read().splitlines()[-lines:]).decode("utf-8", "replace")
        except OSError:
            return ""


def http_get(port, path, ca=None, timeout=3.0):
    """GET on loopback; (status, text), or (0, reason) when nobody answers."""
    try:
        if ca:
            conn = http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout,
                                               context=ssl.create_default_context(cafile=ca))
        else:
            conn = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        try:
            conn.request("GET", path)
            resp = conn.getresponse()
            return resp.status, resp.read().decode("utf-8", "replace")
        finally:
            conn.close()
    except (OSError, http.client.HTTPException) as e:
        return 0, str(e)


def wait_for(process, what, seconds, probe):
    """Poll `probe` until it is true; a dead process or a deadline is a StartError with the end of its log."""
    deadline = time.monotonic() + seconds
    pause = 0.02
    while not probe():
        if process.ended():
            raise StartError("%s ended with %s before %s; log %s:\n%s"
                             % (process.name, process.code, what, process.log, process.tail()))
        if time.monotonic() > deadline:
            raise StartError("%s: no %s within %g s; log %s:\n%s"
                             % (process.name, what, seconds, process.log, process.tail()))
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


class ControlPlane:
    """etcd and kube-apiserver, ready for use, with an empty cluster. The rest is started when a story wants it."""

    def __init__(self, options, name, gates=""):
        """gates: feature gates of kube-apiserver, as its flag has them."""
        self.options = options
        self.gates = gates
        self.dir = os.path.join(options.work_dir, name)
        self.logs = os.path.join(self.dir, "logs")
        os.makedirs(self.logs)
        self.etcd = self.apiserver = self.scheduler = self.cardinald = None
        self.etcd_url = None
        self.ports = {}
        self.seconds = {}
        self.resources, self.device_config, self.audit_policy = RESOURCES, DEVICE_CONFIG, AUDIT_POLICY
        self._processes = []
        self._apis = []

    # -- parts ------------------------------------------------------------------------------------------------

    def start(self):
        """etcd, then kube-apiserver; both ready, and the default namespace there."""
        began = time.monotonic()
        data = os.path.join(self.dir, "etcd")
        client, peer = free_port(), free_port()
        url, peer_url = "http://127.0.0.1:%d" % client, "http://127.0.0.1:%d" % peer
        self.etcd = self._spawn("etcd", [
            "--name=e2e", "--data-dir=" + data, "--unsafe-no-fsync", "--log-level=warn",
            "--listen-client-urls=" + url, "--advertise-client-urls=" + url,
            "--listen-peer-urls=" + peer_url, "--initial-advertise-peer-urls=" + peer_url,
            "--initial-cluster=e2e=" + peer_url])
        wait_for(self.etcd, "/health", 30, lambda: http_get(client, "/health")[0] == 200)
        self.seconds["etcd"] = time.monotonic() - began
        self.etcd_url = url
        self._start_apiserver()
        self.seconds["apiserver"] = time.monotonic() - began - self.seconds["etcd"]
        return self

    def restart_apiserver(self, away=0.0):
        """Kill kube-apiserver and start it again at the same address `away` seconds later."""
        self.apiserver.kill()
        time.sleep(away)
        for api in self._apis:
            api.drop_connections()
        self._start_apiserver()

    def start_witness(self):
        """A second kube-apiserver over the same etcd that no story kills: who watches there misses nothing."""
        return self._start_apiserver("witness")

    def _start_apiserver(self, part="apiserver"):
        certs = self.options.certs
        port = self.ports.setdefault(part, free_port())
        tokens = self._write("tokens.csv", "".join('token-%s,%s,%s,"system:masters"\n' % (u, u, u) for u in USERS))
        policy = self._write("audit-policy.yaml", self.audit_policy)
        witness = part == "witness"
        log = "witness" if witness else "kube-apiserver"
        audit = "audit-witness.log" if witness else "audit.log"
        process = self._spawn(log, [
            "--etcd-servers=" + self.etcd_url, "--secure-port=%d" % port,
            "--tls-cert-file=" + certs["cert"], "--tls-private-key-file=" + certs["key"],
            "--cert-dir=" + self.dir, "--token-auth-file=" + tokens, "--service-account-key-file=" + certs["account"],
            "--service-account-signing-key-file=" + certs["account"], "--allow-privileged=true", *self._stance(),
            "--audit-policy-file=" + policy, "--audit-log-path=" + os.path.join(self.logs, audit), "-v=1",
            *(["--feature-gates=" + self.gates] if self.gates else [])],
            binary=os.path.join(self.options.bin_dir, "kube-apiserver"))
        if not witness:
            self.apiserver = process
        api = self.api("admin", part)

        def answers(path):
            try:
                return api.raw("GET", path, timeout=3.0)[0] == 200
            except (OSError, http.client.HTTPException):
                return False
        wait_for(process, "/readyz", 90, lambda: answers("/readyz"))
        wait_for(process, "namespace default", 30, lambda: answers("/api/v1/namespaces/default"))

    def _stance(self):
        """Where the API server listens and whom it trusts: here on loopback, and everybody."""
        return ["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
                "--authorization-mode=AlwaysAllow", "--service-cluster-ip-range=10.0.0.0/24",
                "--service-account-issuer=https://localhost",
                # No controller manager makes service accounts here, and nobody takes the not-ready taint off again.
                "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
                "--enable-priority-and-fairness=false", "--max-requests-inflight=0", "--max-mutating-requests-inflight=0"]

    def start_scheduler(self, percentage=None, timeout="30s", seconds=60, backoff=None, rate=200):
        """kube-scheduler as released, with cardinald as its extender (which must be up: its port is asked for).

        percentage  percentageOfNodesToScore of both profiles; None leaves kube-scheduler's default
        backoff     seconds that it lets a refused pod rest, at first and at most; None: 1 and 10, its defaults
        rate        calls a second that it allows itself; twice as many at once
        """
        began = time.monotonic()
        config = {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": self.kubeconfig("kube-scheduler"), "qps": rate, "burst": 2 * rate},
            "leaderElection": {"leaderElect": False},
            **({} if backoff is None else {"podInitialBackoffSeconds": backoff, "podMaxBackoffSeconds": backoff}),
            "profiles": [{"schedulerName": n, **({} if percentage is None else {"percentageOfNodesToScore": percentage})}
                         for n in (SCHEDULER_NAME, "default-scheduler")],
            "extenders": [{
                "urlPrefix": "http://127.0.0.1:%d" % self.ports["extender"],
                "filterVerb": "filter", "prioritizeVerb": "prioritize", "bindVerb": "bind",
                "nodeCacheCapable": True, "weight": 1, "httpTimeout": timeout,
                "managedResources": [{"name": r, "ignoredByScheduler": True} for r in self.resources],
            }],
        }
        path = self._write("scheduler.json", json.dumps(config, indent=1))
        port = free_port()
        self.ports["scheduler"] = port
        self.scheduler = self._spawn("kube-scheduler", [
            "--config=" + path, "--bind-address=127.0.0.1", "--secure-port=%d" % port,
            "--tls-cert-file=" + self.options.certs["cert"], "--tls-private-key-file=" + self.options.certs["key"],
            "--authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics", "-v=2"])
        ca = self.options.certs["ca"]
        wait_for(self.scheduler, "/readyz", seconds, lambda: http_get(port, "/readyz", ca)[0] == 200)
        self.seconds["scheduler"] = time.monotonic() - began

    def start_cardinald(self, *flags, wait=True, seconds=30):
        """cardinald against this API server. After a kill it comes back on the same extender port, as in a pod."""
        began = time.monotonic()
        if self.options.cardinald is None:
            raise StartError("no cardinald binary: give --cardinald=PATH or set CARDINALD")
        certs = self.options.certs
        log = os.path.join(self.logs, "cardinald.log")
        offset = os.path.getsize(log) if os.path.exists(log) else 0
        given = {f.split("=", 1)[0] for f in flags}
        argv = ["--kubeconfig=" + self.kubeconfig("cardinald"),
                "--listen-extender=127.0.0.1:%d" % self.ports.get("extender", 0),
                "--listen-webhook=127.0.0.1:%d" % self.ports.get("webhook", 0),
                "--metrics-bind-address=127.0.0.1:0",
                "--cert_file=" + certs["cert"], "--key_file=" + certs["key"],
                "--scheduler-name=" + SCHEDULER_NAME,
                "--device-config-file=" + self._write("device-config.yaml", self.device_config),
                "--score-max=100", "--bind-timeout=20s", "-v=%d" % self.options.verbosity]
        argv = [a for a in argv if a.split("=", 1)[0] not in given] + list(flags)
        self.cardinald = self._spawn("cardinald", argv, binary=self.options.cardinald)

        def listening():
            with open(log, "rb") as f:
                f.seek(offset)
                found = parse_listening(f.read().decode("utf-8", "replace"))
            self.ports.update(found)
            return {"extender", "metrics"} <= set(found)
        wait_for(self.cardinald, "log line msg=listening", seconds, listening)
        if wait:
            wait_for(self.cardinald, "/readyz on the metrics listener", seconds,
                     lambda: http_get(self.ports["metrics"], "/readyz")[0] == 200)
        self.seconds["cardinald"] = time.monotonic() - began

    # -- access -----------------------------------------------------------------------------------------------

    def api(self, user, part="apiserver"):
        api = kube.Api(kube.Endpoint("127.0.0.1", self.ports[part], self.options.certs["ca"],
                                     "token-" + user, "e2e-" + user))
        self._apis.append(api)
        return api

    def kubeconfig(self, user, port=None):
        """Path of a kubeconfig in JSON (which is YAML) for one of USERS; `port`: by way of a link there."""
        with open(self.options.certs["ca"], "rb") as f:
            ca = base64.b64encode(f.read()).decode()
        return self._write("%s%s.kubeconfig" % (user, "" if port is None else "-%d" % port), json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "e2e",
            "clusters": [{"name": "e2e", "cluster": {"server": "https://127.0.0.1:%d" % (port or self.ports["apiserver"]),
                                                     "certificate-authority-data": ca}}],
            "users": [{"name": user, "user": {"token": "token-" + user}}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": user}}]}, indent=1))

    def audit(self):
        """The API server's audit events so far, oldest first (writes to pods, nodes and Leases only)."""
        events = []
        try:
            with open(os.path.join(self.logs, "audit.log"), encoding="utf-8") as f:
                for line in f:
                    if line.endswith("\n"):
                        events.append(json.loads(line))
        except OSError:
            pass
        return events

    def sanitizer_reports(self):
        """What a sanitizer said in any log of a cardinald: [(log, line)]."""
        out = []
        for name in sorted(os.listdir(self.logs)):
            if name.startswith("cardinald"):
                with open(os.path.join(self.logs, name), encoding="utf-8", errors="replace") as f:
                    out += [(name, line) for line in parse_sanitizer(f.read())]
        return out

    # -- end --------------------------------------------------------------------------------------------------

    def stop(self):
        """End everything, last started first. The control plane keeps nothing, so it is killed outright."""
        for process in reversed(self._processes):
            ours = process.name == "cardinald"
            process.stop(signal.SIGTERM if ours else signal.SIGKILL, 10.0)
        self._processes = []
        shutil.rmtree(os.path.join(self.dir, "etcd"), ignore_errors=True)

    def _spawn(self, name, argv, binary=None):
        path = binary or os.path.join(self.options.bin_dir, name)
        process = Process(self.options, name, [path, *argv], os.path.join(self.logs, name + ".log"))
        self._processes.append(process)
        return process

    def _write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, 0o600)
        return path


def parse_sanitizer(log):
    """The lines in which a sanitizer says what it found."""
    return re.findall(r"^.*(?:(?:ERROR|WARNING|SUMMARY): \w+Sanitizer|runtime error: ).*$", log, re.M)


def parse_listening(log):
    """Ports from the last complete line that tells them: `msg=listening extender=127.0.0.1:40123 webhook=... metrics=...`.

    Lenient about quotes, order and spaces; strict about having a port.
    """
    found = {}
    for line in log.splitlines(keepends=True):
        if not line.endswith("\n") or not re.search(r'msg="?listening', line):
            continue
        for name, port in re.findall(r'\b(extender|webhook|metrics)"?[=:]\s*"?[^\s",]*:(\d+)\b', line):
            found[name] = int(port)
    return found
