"""A cluster as a chart meets it: RBAC, Pod Security, service accounts, the real controllers and a scheduler of its own; what the
real kube-controller-manager does is not imitated. Kubelet and kube-proxy are (chart_kubelet.py, ServiceProxy): they need machines.

All of it lives in a network namespace of its own (tests/e2e/run --chart makes it), so that addresses are those of a cluster.
"""

import base64
import ctypes
import http.client
import json
import os
import random
import shutil
import socket
import subprocess
import threading
import time

import chart_kubelet
import cluster
import kube
from harness import Failure, World, expect

CHART = os.environ.get("CARDINAL_CHART") or os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "charts", "cardinal"))
SERVICE_NET = "10.96.0.0/16"
CLONE_NEWNET = 0x40000000
API_NAMES = ("IP:" + chart_kubelet.HOST_IP, "IP:10.96.0.1", "DNS:kubernetes.default.svc")

AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
"""


def connect_in(netns, address):
    """A connection from within a pod's network namespace. A socket stays in the namespace that it was made in."""
    libc, out = ctypes.CDLL(None, use_errno=True), []

    def run():
        try:
            with open("/run/netns/" + netns, "rb") as f:
                if libc.setns(f.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            out.append(socket.create_connection(address, 10))
        except OSError as e:
            out.append(e)
    # A thread of its own ends in the namespace that it changed to, and nobody else is there.
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(out[0], OSError):
        raise out[0]
    return out[0]


def get_in(netns, port, path, timeout=10, body=None):
    """GET (or POST with a body) on a pod's loopback; (status, text), or (0, reason)."""
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        conn.sock = connect_in(netns, ("127.0.0.1", port))
        conn.request("GET" if body is None else "POST", path, body, {"Content-Type": "application/json"} if body else {})
        resp = conn.getresponse()
        return resp.status, resp.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as e:
        return 0, str(e)
    finally:
        conn.close()


class ServiceProxy:
    """kube-proxy: each ClusterIP is an address here, and what connects to it gets to a ready endpoint of the EndpointSlices.

    Names of Services are written into /etc/hosts of the pods, as a cluster's DNS would answer.
    """

    def __init__(self, api, hosts_file):
        self._api = api
        self._hosts_file = hosts_file
        self._hosts = None
        self._lock = threading.Lock()       # guards _endpoints
        self._endpoints = {}                # (ClusterIP, port) -> [(address, port)]
        self._listeners = {}
        self._addresses = set()
        self._stopped = threading.Event()
        self.connections = {}               # (ClusterIP, port) -> number
        self.refused = {}
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    def stop(self):
        self._stopped.set()
        self._thread.join(5)
        for listener in self._listeners.values():
            close(listener)

    def endpoints(self, ip, port):
        with self._lock:
            return list(self._endpoints.get((ip, port), []))

    def _run(self):
        while not self._stopped.wait(0.1):
            try:
                services = self._api.get("/api/v1/services")["items"]
                slices = self._api.get("/apis/discovery.k8s.io/v1/endpointslices")["items"]
            except (OSError, http.client.HTTPException, kube.ApiError):
                continue
            self._apply(services, slices)

    def _apply(self, services, slices):
        found = {}
        for service in services:
            m, spec = service["metadata"], service["spec"]
            ip = spec.get("clusterIP")
            if not ip or ip == "None" or m["name"] == "kubernetes":
                continue
            for port in spec["ports"]:
                found[ip, port["port"]] = [
                    (address, p["port"]) for s in slices
                    if s["metadata"]["namespace"] == m["namespace"] and s["metadata"].get("labels", {}).get("kubernetes.io/service-name") == m["name"]
                    for p in s.get("ports") or [] if p.get("name", "") == port.get("name", "")
                    for e in s.get("endpoints") or [] if e.get("conditions", {}).get("ready")
                    for address in e["addresses"]]
        with self._lock:
            self._endpoints = found
        names = "127.0.0.1\tlocalhost\n" + "".join(
            "%s\t%s\n" % (s["spec"]["clusterIP"], " ".join("%s.%s.svc%s" % (s["metadata"]["name"], s["metadata"]["namespace"], d)
                                                           for d in ("", ".cluster.local", ".example.internal")))
            for s in services if s["spec"].get("clusterIP") not in (None, "None"))
        if names != self._hosts:
            self._hosts = names
            with open(self._hosts_file, "r+", encoding="utf-8") as f:       # the same file, which containers have mounted
                f.truncate()
                f.write(names)
        for ip in {ip for ip, _ in found} - self._addresses:
            chart_kubelet.ip("addr", "replace", ip + "/32", "dev", "lo")
            self._addresses.add(ip)
        for key in set(found) - set(self._listeners):
            try:
                listener = socket.create_server(key, backlog=64)
            except OSError:
                continue        # one that ends, of a Service with this address before; tried again in a moment
            self._listeners[key] = listener
            threading.Thread(target=self._accept, args=(key, listener), daemon=True).start()
        for key in set(self._listeners) - set(found):
            close(self._listeners.pop(key))

    def _accept(self, key, listener):
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(key, conn), daemon=True).start()

    def _pass(self, key, conn):
        with self._lock:
            choices = list(self._endpoints.get(key, []))
        random.shuffle(choices)
        for address in choices:
            try:
                other = socket.create_connection(address, 2)
                break
            except OSError:
                continue        # kube-proxy does not try another; the client does, after a timeout that nobody here waits for
        else:
            self.refused[key] = self.refused.get(key, 0) + 1
            conn.close()
            return
        self.connections[key] = self.connections.get(key, 0) + 1
        threads = [threading.Thread(target=pump, args=pair, daemon=True) for pair in ((conn, other), (other, conn))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        conn.close()
        other.close()


def close(listener):
    """Also for the thread that waits in accept(), which would keep the address."""
    try:
        listener.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    listener.close()


def pump(source, target):
    try:
        while True:
            data = source.recv(65536)
            if not data:
                break
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for s in (source, target):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class ChartPlane(cluster.ControlPlane):
    """etcd, kube-apiserver with RBAC, kube-controller-manager and the cluster's own kube-scheduler."""

    # What writes itself to the objects is the stories' business; nodes have no kubelet that the controller could hear.
    CONTROLLERS = ("deployment-controller,replicaset-controller,serviceaccount-controller,serviceaccount-token-controller,"
                   "root-ca-certificate-publisher-controller,endpointslice-controller,garbage-collector-controller,"
                   "namespace-controller,disruption-controller,job-controller,resourcequota-controller,"
                   "clusterrole-aggregation-controller")

    def __init__(self, options, name, gates=""):
        super().__init__(options, name, gates)
        self.audit_policy = AUDIT_POLICY
        self.controllers = None

    def _stance(self):
        ca = self.options.certs["ca"]
        return ["--bind-address=0.0.0.0", "--advertise-address=" + chart_kubelet.HOST_IP, "--authorization-mode=Node,RBAC",
                "--service-cluster-ip-range=" + SERVICE_NET, "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                "--client-ca-file=" + ca, "--requestheader-client-ca-file=" + ca, "--requestheader-allowed-names=front-proxy",
                "--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                # The node controller would take the taint off; without kubelets it would find every node dead.
                "--disable-admission-plugins=TaintNodesByCondition"]

    def start(self):
        super().start()
        began = time.monotonic()
        self.controllers = self._spawn("kube-controller-manager", [
            "--kubeconfig=" + self.kubeconfig("admin"), "--controllers=" + self.CONTROLLERS, "--leader-elect=false",
            "--service-account-private-key-file=" + self.options.certs["account"], "--root-ca-file=" + self.options.certs["ca"],
            "--bind-address=127.0.0.1", "--secure-port=0", "--kube-api-qps=200", "--kube-api-burst=400",
            "--concurrent-deployment-syncs=2", "-v=1"],
            binary=os.path.join(self.options.chart_dir, "kube-controller-manager"))
        path = self._write("default-scheduler.json", json.dumps({
            "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": self.kubeconfig("kube-scheduler")}, "leaderElection": {"leaderElect": False}}))
        self._spawn("default-scheduler", ["--config=" + path, "--bind-address=127.0.0.1", "--secure-port=0", "-v=1"],
                    binary=os.path.join(self.options.bin_dir, "kube-scheduler"))
        api = self.api("admin")
        cluster.wait_for(self.controllers, "service account of namespace default", 60, lambda: answers(
            api, "/api/v1/namespaces/default/serviceaccounts/default"))
        self.seconds["controllers"] = time.monotonic() - began
        return self


def answers(api, path):
    try:
        return api.raw("GET", path, timeout=3.0)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


# -- helm --------------------------------------------------------------------------------------------------------


class Helm:
    """The real helm against the plane, as an administrator. Its home is a folder of the story."""

    def __init__(self, plane, program="helm"):
        self.plane = plane
        self.program = os.path.join(plane.options.chart_dir, program)
        self.kubeconfig = plane.kubeconfig("admin")

    def __call__(self, *words, timeout=180, fails=False):
        """Runs; returns stdout. With `fails` it has to fail, and the complaint is returned."""
        home = os.path.join(self.plane.dir, "helm-home")
        env = {"PATH": os.environ.get("PATH", ""), "HOME": home, "KUBECONFIG": self.kubeconfig, "HELM_DEBUG": "false"}
        done = subprocess.run([self.program, *words], capture_output=True, stdin=subprocess.DEVNULL, env=env, timeout=timeout, check=False)
        with open(os.path.join(self.plane.logs, "helm.log"), "ab") as log:
            log.write(("$ helm %s\n" % " ".join(words)).encode() + done.stdout + done.stderr)
        err = done.stderr.decode("utf-8", "replace")
        if fails:
            expect(done.returncode != 0, "helm %s should fail and does not", " ".join(words))
            return err
        expect(done.returncode == 0, "helm %s: %s", " ".join(words), err[-1500:])
        return done.stdout.decode("utf-8", "replace")


def listable(api):
    """[(group version, resource)] of everything that can be listed, by the server's own word."""
    out = []
    groups = ["/api/v1"] + ["/apis/" + v["groupVersion"] for g in api.get("/apis")["groups"] for v in [g["preferredVersion"]]]
    for path in groups:
        for resource in api.get(path)["resources"]:
            if "list" in resource["verbs"] and "/" not in resource["name"]:
                out.append((path, resource["name"]))
    return out


def everything(api, but=()):
    """{(path of the resource, namespace, name)} of all that is stored."""
    out = set()
    for path, resource in listable(api):
        if resource in but:
            continue
        for item in api.get(path + "/" + resource)["items"]:
            m = item["metadata"]
            out.add((path + "/" + resource, m.get("namespace", ""), m["name"]))
    return out


class ChartWorld(World):
    """A world whose cardinald and kube-scheduler come from the chart alone."""

    PLANE = ChartPlane
    NAMESPACE = "cardinal-system"
    RELEASE = "cardinal"

    def __init__(self, options, name, **more):
        super().__init__(options, name, **more)
        self.kubelet = self.proxy = self.helm = None
        self.refused_before_uninstall = None

    def __enter__(self):
        missing = [t for t in ("nsenter", "unshare", "setpriv", "chroot", "ip") if shutil.which(t) is None]
        expect(not missing and os.geteuid() == 0, "missing: %s (util-linux, iproute2), and root for namespaces", ", ".join(missing) or "nothing else")
        super().__enter__()
        try:
            self.helm = Helm(self.plane)
            self.kubelet = chart_kubelet.Kubelet(self.plane, self.plane.api("kubelet"), self.plugin.others, images(self.plane.options)).start()
            self.proxy = ServiceProxy(self.plane.api("proxy"), self.kubelet.hosts_file)
            self.namespace(self.NAMESPACE)
        except BaseException:
            self._end()
            raise
        return self

    def _end(self):
        for part in (self.kubelet, self.proxy):
            if part is not None:
                part.stop()
        super()._end()

    def namespace(self, name):
        """As an administrator who takes Pod Security seriously makes it; its pods are run as processes."""
        self.plugin.others.add(name)
        self.api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {
            "pod-security.kubernetes.io/" + mode: "restricted" for mode in ("enforce", "warn")}}})
        self.until("the service account of namespace " + name, 20,
                   lambda: answers(self.api, "/api/v1/namespaces/%s/serviceaccounts/default" % name))

    def until(self, what, seconds, probe):
        began = time.monotonic()
        while True:
            value = probe()
            if value:
                return value
            if time.monotonic() - began > seconds:
                raise Failure("%s: not within %g s%s" % (what() if callable(what) else what, seconds, self.state()))
            time.sleep(0.1)

    def state(self):
        """What the kubelet knows, for a failure's text."""
        lines = list(self.kubelet.broken) if self.kubelet else []
        for runner in self.kubelet.pods() if self.kubelet else ():
            for c in runner.containers:
                tail = c.process.tail(4) if c.process is not None else ""
                lines.append("%s/%s: %s, ready %s, restarts %d%s" % (
                    runner.name, c.name, c.waiting or ("running" if c.process and not c.process.ended() else "ended"), c.ready, c.restarts,
                    "\n    " + tail.replace("\n", "\n    ") if not c.ready and tail else ""))
        return "\n  " + "\n  ".join(lines) if lines else ""

    # -- the release --------------------------------------------------------------------------------------------

    def install(self, *words, chart=CHART, ready=True, verb="install"):
        """helm install (or upgrade) and, unless told otherwise, until all its pods are ready."""
        out = self.helm(verb, self.RELEASE, chart, "-n", self.NAMESPACE, *words)
        if ready:
            self.rolled_out()
        return out

    def upgrade(self, *words, **more):
        return self.install(*words, verb="upgrade", **more)

    def deployment(self):
        found = self.api.get("/apis/apps/v1/namespaces/%s/deployments" % self.NAMESPACE)["items"]
        expect(len(found) == 1, "%d Deployments in the release's namespace", len(found))
        return found[0]

    def rolled_out(self, seconds=90):
        """As `kubectl rollout status` sees it, and nobody of the old ones left."""
        def done():
            d = self.deployment()
            want, status = d["spec"]["replicas"], d.get("status") or {}
            return (status.get("observedGeneration") == d["metadata"]["generation"] and status.get("updatedReplicas", 0) == want
                    and status.get("replicas", 0) == want and status.get("readyReplicas", 0) == want
                    and len(self.replicas()) == want)
        self.until("the rollout of the release", seconds, done)

    def replicas(self):
        """The pods of the release as the kubelet runs them."""
        return [r for r in self.kubelet.pods() if not r.lost.is_set() and r.pod["metadata"]["namespace"] == self.NAMESPACE
                and any(c.name == "cardinald" for c in r.containers)]

    def leads(self, runner):
        return cluster_get(runner, "metrics", "/leadz")[0] == 200

    def leader(self, seconds=40):
        return self.until("a replica leads", seconds, lambda: next((r for r in self.replicas() if self.leads(r)), None))

    def look(self, path):
        leader = self.leader()
        return get_in(leader.net, self.extender_port, path)

    extender_port = 8080

    def metrics_of_pod(self, runner):
        status, text = cluster_get(runner, "metrics", "/metrics")
        expect(status == 200, "GET /metrics of %s: %s %s", runner.name, status, text[:200])
        return text

    def refused_calls(self):
        """403s of anybody's service account in the audit log: [who, verb, what]."""
        out = {}
        for e in self.plane.audit():
            who = e["user"].get("username", "")
            if (e.get("responseStatus") or {}).get("code") == 403 and who.startswith("system:serviceaccount:" + self.NAMESPACE + ":"):
                ref = e.get("objectRef") or {}
                out["%s %s %s%s" % (who.rsplit(":", 1)[1], e["verb"], ref.get("resource", e["requestURI"]),
                                    "/" + ref["subresource"] if ref.get("subresource") else "")] = e["requestURI"]
        return sorted(out)

    def _verdict(self):
        """What holds in every story with a release: the checks of all stories, no 403, and nothing that the kubelet stumbled over."""
        super()._verdict()
        expect(not self.kubelet.broken, "the kubelet: %s", self.kubelet.broken)
        refused = self.refused_calls() if self.refused_before_uninstall is None else self.refused_before_uninstall
        expect(not refused, "the API server refused calls of the release's accounts: %s", refused)


def cluster_get(runner, port, path):
    """GET at a named port of the cardinald of a pod."""
    number = runner.container("cardinald").port(port)
    try:
        conn = http.client.HTTPConnection(runner.ip, number, timeout=5)
        try:
            conn.request("GET", path)
            resp = conn.getresponse()
            return resp.status, resp.read().decode("utf-8", "replace")
        finally:
            conn.close()
    except (OSError, http.client.HTTPException) as e:
        return 0, str(e)


def images(options):
    """Patterns of image names, as the chart has them by default and after a registry of one's own."""
    image = chart_kubelet.Image
    return {"*/kube-scheduler:*": image(os.path.join(options.bin_dir, "kube-scheduler"), "/usr/local/bin/kube-scheduler", [], 0),
            "*/kube-scheduler@*": image(os.path.join(options.bin_dir, "kube-scheduler"), "/usr/local/bin/kube-scheduler", [], 0),
            "*/cardinald[:@]*": image(options.cardinald, "/usr/sbin/cardinald", ["/usr/sbin/cardinald"], 65532)}


def decode_secret(secret, key):
    return base64.b64decode(secret["data"][key])
