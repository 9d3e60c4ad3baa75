"""Stories of the chart: the real helm installs it into a cluster with RBAC, and what it renders is run as it stands there."""

import base64
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import threading
import time

import chart_kubelet
import cluster
import kube
from chart_plane import API_NAMES, CHART, ChartWorld, answers, cluster_get, everything, get_in  # noqa: F401  (API_NAMES is for the runner)
from harness import NAMESPACE, Background, Failure, expect, gpu, make_node, plain, pod_object

SECRETS = "/api/v1/namespaces/%s/secrets/"
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"


def own_network():
    """Starts this run again in a network namespace of its own, where addresses of pods and Services can be a cluster's."""
    if os.environ.get("CARDINAL_E2E_NETNS"):
        # Names of network namespaces are files here: not those of the machine.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "netns", "/run"], check=True)
        chart_kubelet.make_network()
        return
    if os.geteuid() != 0:
        sys.exit("run: --chart needs root: it makes network and mount namespaces")
    os.environ["CARDINAL_E2E_NETNS"] = "1"
    os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, *sys.argv])


# -- what several stories need -----------------------------------------------------------------------------------


def webhook_calls(w):
    """How often the API server called the release's webhook, by its own count."""
    status, text = w.api.raw("GET", "/metrics")
    expect(status == 200, "GET /metrics of the API server: %d", status)
    return sum(float(n) for n in re.findall(
        r'^apiserver_admission_webhook_admission_duration_seconds_count\{name="vgpu\.hami\.io"[^}]*\} (\S+)', text.decode(), re.M))


def asked(w, name, *containers, **more):
    """A pod of a user, who does not know the scheduler's name."""
    return w.pod(name, *containers, scheduler=more.pop("scheduler", None), **more)


def webhook_listens(w, seconds=20):
    """The API server knows the webhook's configuration, and reaches it: a dry run comes back changed."""
    path = kube.pod_path(NAMESPACE, "").rstrip("/") + "?dryRun=All"
    last = []

    def changed():
        try:
            return w.api.create(path, pod_object("probe", gpu(), scheduler=None))["spec"]["schedulerName"] != "default-scheduler"
        except kube.ApiError as e:
            last[:] = [e.text]
            return False
    w.until(lambda: "the webhook changes a pod%s" % "".join("; " + t for t in last), seconds, changed)


def accounts(w):
    """{container: user name} of the release: cardinald's own from its token Secret, kube-scheduler's from the pod."""
    spec = w.deployment()["spec"]["template"]["spec"]
    prefix = "system:serviceaccount:%s:" % w.NAMESPACE
    out = {c["name"]: prefix + spec["serviceAccountName"] for c in spec["containers"]}
    for secret in w.api.get("/api/v1/namespaces/%s/secrets" % w.NAMESPACE)["items"]:
        name = secret["metadata"].get("annotations", {}).get("kubernetes.io/service-account.name")
        if secret["type"] == "kubernetes.io/service-account-token" and name:
            out["cardinald"] = prefix + name
    w.WRITER = out["cardinald"]
    return out


def writes(w, user):
    """{verb and resource} that a user did, and was let do."""
    out = set()
    for e in w.plane.audit():
        if e["user"].get("username") == user and (e.get("responseStatus") or {}).get("code", 0) < 300:
            ref = e.get("objectRef") or {}
            out.add("%s %s" % (e["verb"], ref.get("resource", "?") + ("/" + ref["subresource"] if ref.get("subresource") else "")))
    return out


def check_books(w):
    """The leading cardinald's ledger is what the API objects say, and none of the replicas had to mend its own."""
    w.leader()
    w.check_ledger()
    for runner in w.replicas():
        repairs = re.search(r"^cardinald_ledger_repairs_total\s+(\S+)", w.metrics_of_pod(runner), re.M)
        expect(repairs and float(repairs.group(1)) == 0, "repairs of %s: %s", runner.name, repairs and repairs.group(0))


def uninstalled(w, before, seconds=40):
    """helm uninstall, and after it nothing is there that was not there before the first install."""
    # Roles go before the processes do, and those ask on until they end.
    w.refused_before_uninstall = w.refused_calls()
    w.helm("uninstall", w.RELEASE, "-n", w.NAMESPACE)

    def left():
        return sorted(o for o in everything(w.api, but=("events",)) - before if o[1] != NAMESPACE or "pods" not in o[0])
    deadline = time.monotonic() + seconds
    while left():
        expect(time.monotonic() < deadline, "after helm uninstall there is still: %s", left()[:10])
        time.sleep(0.3)


def refused_create(w, pod):
    try:
        w.create(pod)
    except kube.ApiError as e:
        return e.text
    return None


# -- the stories -------------------------------------------------------------------------------------------------


PLAIN = (
    ("no-resources", [plain()], {}),
    ("cpu-only", [plain(resources={"limits": {"cpu": "1"}, "requests": {"cpu": "1"}})], {}),
    ("empty-resources", [plain(resources={})], {}),
    ("init", [plain()], {"init": [plain("setup")]}),
    ("annotated", [plain()], {"notes": {"company.example/note": "nvidia.com/gpu"}}),
)


def placed(options):
    """Installed with no values: pods pass the webhook, both programs of the leading replica, and run; plain pods never meet the webhook; nothing is left."""
    with ChartWorld(options, "chart-placed") as w:
        w.nodes(make_node("node-a", cards=2), make_node("node-b", cards=2))
        before = everything(w.api, but=("events",))
        w.install()
        who = accounts(w)
        expect(who["cardinald"] != who["kube-scheduler"], "both containers have the account %s", who["cardinald"])
        leader = w.leader()
        expect(sum(1 for r in w.replicas() if w.leads(r)) == 1 and len(w.replicas()) == 2, "%d replicas", len(w.replicas()))
        webhook_listens(w)
        calls = webhook_calls(w)
        asked(w, "wants", gpu(mem=4000))
        expect(w.get("wants")["spec"]["schedulerName"] == "hami-scheduler", "the webhook did not give the pod our scheduler")
        asked(w, "init-wants", plain(), init=[gpu("setup", mem=1000)])
        asked(w, "names-us", gpu(count=1, cores=30), scheduler="hami-scheduler")
        w.create_all([pod_object("many-%d" % i, gpu(mem=2000, cores=10), scheduler=None) for i in range(12)])
        w.settled(14)
        w.running("wants", "names-us")
        w.phase("init-wants", "Running")
        expect(webhook_calls(w) - calls == 15, "the API server called the webhook %g times for 15 pods", webhook_calls(w) - calls)
        calls = webhook_calls(w)
        for name, containers, more in PLAIN:
            asked(w, name, *containers, **more)
            w.bound(name)
        expect(webhook_calls(w) == calls, "pods without cards called the webhook %g times", webhook_calls(w) - calls)
        check_books(w)
        audit = writes(w, who["kube-scheduler"]), writes(w, who["cardinald"])
        expect("create pods/binding" in audit[1] and "update leases" in audit[0], "the writes: %s", audit)
        if tests_of(w):
            out = w.helm("test", w.RELEASE, "-n", w.NAMESPACE, "--timeout", "60s")
            expect(re.search(r"Phase:\s+Succeeded", out), "helm test: %s", out[-500:])
            w.notes.append("helm test: %d passed" % len(re.findall(r"Phase:\s+Succeeded", out)))
        w.notes.append("15 pods through the webhook, %d without a call" % len(PLAIN))
        for pod in w.api.get("/api/v1/namespaces/%s/pods" % NAMESPACE)["items"]:
            w.delete(pod["metadata"]["name"], grace=0)
        uninstalled(w, before)
        codes = [c for _, codes in w.kubelet.codes for c in codes.items()]
        expect(all(code == 0 for _, code in codes) and codes, "how the containers ended after SIGTERM: %s", codes)
        del leader


def tests_of(w):
    """Does the release have pods for `helm test`?"""
    return "helm.sh/hook: test" in w.helm("get", "hooks", w.RELEASE, "-n", w.NAMESPACE).replace('"', "")


def down(options):
    """All replicas dead with failurePolicy Fail: pods that ask for cards are refused with our name in the text, all others are made and bound."""
    with ChartWorld(options, "chart-down") as w:
        w.nodes(make_node("node-a"))
        w.install()
        accounts(w)
        webhook_listens(w)
        for runner in w.replicas():
            runner.kill()
        text = refused_create(w, pod_object("wants", gpu(), scheduler=None))
        expect(text and "vgpu.hami.io" in text, "a pod that asks for a card while nobody answers: %s", text)
        for name, containers, more in PLAIN:
            asked(w, name, *containers, **more)
            w.bound(name)
        w.notes.append("refused: " + text[:100])
        # The machines are given up: their pods go, and others come.
        for pod in w.api.get("/api/v1/namespaces/%s/pods" % w.NAMESPACE)["items"]:
            w.api.delete(kube.pod_path(w.NAMESPACE, pod["metadata"]["name"]), grace=0)
        began = time.monotonic()
        w.rolled_out()
        webhook_listens(w)
        asked(w, "wants", gpu(mem=1000))
        w.running("wants", seconds=60)
        w.notes.append("%.1f s from two new machines to a running pod" % (time.monotonic() - began))
        check_books(w)


def served_certificate(w, runner):
    """The certificate that a replica's webhook shows now (DER)."""
    port = runner.container("cardinald").port("webhook")
    context = ssl._create_unverified_context()      # noqa: S323  (what it is is the question)
    with cluster.socket.create_connection((runner.ip, port), 5) as raw, context.wrap_socket(raw) as s:
        return s.getpeercert(binary_form=True)


def failover(options):
    """kill -9 of the leading pair while pods come, and the certificate renewed by an upgrade meanwhile: no restart, the webhook goes on, nothing twice."""
    with ChartWorld(options, "chart-failover") as w:
        w.nodes(*[make_node("node-%d" % i, cards=4) for i in range(4)])
        w.install()
        accounts(w)
        first = w.leader()
        webhook_listens(w)
        stop, made, refusals = threading.Event(), [], []

        def users():
            n = 0
            while not stop.is_set():
                name = "pod-%d" % n
                text = refused_create(w, pod_object(name, gpu(mem=2000, cores=5), scheduler=None))
                if text is None:
                    made.append(name)
                    n += 1
                else:
                    refusals.append((time.monotonic(), text))
                time.sleep(0.25)
        with Background(users):
            try:
                w.until("some pods run", 30, lambda: w.count_running() > 4)
                # -9 to both programs of the leading pair; kubelet starts them again, as it would.
                killed = time.monotonic()
                ended = [c.process for c in first.containers]
                for process in ended:
                    process.kill()
                bound = w.count_bound()
                other = w.leader()      # the other one, or the same with new processes: who asks for the Lease first when it ends
                took = time.monotonic() - killed
                w.until("it binds", 30, lambda: w.count_bound() > bound + 1)
                gap = [t - killed for t, _ in refusals]
                expect(all(g < 5 for g in gap), "the webhook refused pods %.1f s after the kill: %s", max(gap or [0]), refusals[-1:])
                w.notes.append("kill -9 of the leading pair: %s leads after %.1f s, %d of %d creations refused, the last %.1f s after it"
                               % ("it again" if other is first else "the other", took, len(gap), len(gap) + len(made), max(gap or [0])))
                w.until("the killed pair is ready again", 40, lambda: first.ready())
                renewed(w, other, refusals)
            finally:
                stop.set()
        w.until("all pods run", 60, lambda: w.count_running() == len(made))
        check_books(w)
        w.notes.append("%d pods in all" % len(made))


def renewed(w, leader, refusals):
    """The chart's certificate comes to its end, and an upgrade renews it under the running replicas."""
    name = next(s["metadata"]["name"] for s in w.api.get("/api/v1/namespaces/%s/secrets" % w.NAMESPACE)["items"]
                if "cardinal.io/renew-from" in s["metadata"].get("annotations", {}))
    old = {r.name: served_certificate(w, r) for r in w.replicas()}
    restarts = {r.name: [c.restarts for c in r.containers] for r in w.replicas()}
    before = len(refusals)
    w.upgrade()
    expect({r.name: served_certificate(w, r) for r in w.replicas()} == old, "an upgrade far from the end made a new certificate")
    w.api.patch(SECRETS % w.NAMESPACE + name, {"metadata": {"annotations": {"cardinal.io/renew-from": "1"}}})
    began = time.monotonic()
    # Time would have changed nothing in the object; our hand did, which helm calls a conflict.
    w.upgrade("--force-conflicts", ready=False)
    calls = webhook_calls(w)
    w.until("each replica serves the new certificate", 20, lambda: all(served_certificate(w, r) != old.get(r.name) for r in w.replicas()))
    took = time.monotonic() - began
    bundle = base64.b64decode(w.api.get(WEBHOOKS)["items"][0]["webhooks"][0]["clientConfig"]["caBundle"])
    expect(bundle.count(b"BEGIN CERTIFICATE") == 2, "the bundle has %d authorities during the change", bundle.count(b"BEGIN CERTIFICATE"))
    w.until("the webhook is called with the new certificate", 20, lambda: webhook_calls(w) > calls + 4)
    now = {r.name: [c.restarts for c in r.containers] for r in w.replicas()}
    expect(now == restarts, "restarts: %s before, %s after", restarts, now)
    expect(len(refusals) == before, "pods were refused during the change: %s", refusals[before:])
    expiry = re.search(r"^cardinald_certificate_expiry_seconds(?:\{[^}]*\})? (\S+)", w.metrics_of_pod(leader), re.M)
    expect(expiry and float(expiry.group(1)) > 0, "the metric of the certificate's end: %s", expiry)
    w.notes.append("renewed certificate served after %.1f s by both without restart, no creation refused" % took)


def upgrade(options):
    """helm upgrade from the chart before: pods placed under it stay charged, others come meanwhile, no card is over; then back again."""
    with ChartWorld(options, "chart-upgrade") as w:
        w.nodes(make_node("node-a", cards=2), make_node("node-b", cards=2))
        before = everything(w.api, but=("events",))
        previous = previous_chart(w)
        w.install(chart=previous)
        accounts(w)
        webhook_listens(w)
        names = ["old-%d" % i for i in range(8)]
        w.create_all([pod_object(n, gpu(mem=8000, cores=10), scheduler=None) for n in names])
        w.running(*names, seconds=40)
        where = {n: w.allocated(n) for n in names}
        check_books(w)
        old = {r.name for r in w.replicas()}
        stop, made = threading.Event(), []

        def users():
            while not stop.is_set() and len(made) < 10:
                name = "new-%d" % len(made)
                if refused_create(w, pod_object(name, gpu(mem=2000, cores=2), scheduler=None)) is None:
                    made.append(name)
                time.sleep(0.5)
        with Background(users):
            try:
                w.upgrade("--set", "scheduler.defaultSchedulerPolicy.gpuSchedulerPolicy=binpack")
                expect(not old & {r.name for r in w.replicas()}, "the upgrade left pods of the release before")
                time.sleep(1)
            finally:
                stop.set()
        w.until("the pods that came meanwhile run", 60, lambda: w.count_running() == len(names) + len(made))
        expect({n: w.allocated(n) for n in names} == where, "an allocation changed")
        check_books(w)
        # 4 cards of 24,576 MiB: the room that is left is filled to the last share, and no further.
        room = sum((24576 - d["memoryMiB"]["used"]) // 4000 for cards in w.inventory().values() for d in cards.values())
        rest = ["rest-%d" % i for i in range(room + 1)]
        w.create_all([pod_object(n, gpu(mem=4000), scheduler=None) for n in rest])
        w.until("the room that is left is filled", 60, lambda: sum(1 for n in rest if (w.now(n) or {"spec": {}})["spec"].get("nodeName")) == room)
        w.helm("rollback", w.RELEASE, "1", "-n", w.NAMESPACE)
        w.rolled_out()
        check_books(w)
        w.notes.append("%d pods of the release before stay charged, %d came during the upgrade, %d fill the rest, one too many waits; and after the rollback"
                       % (len(names), len(made), room))
        for pod in w.api.get("/api/v1/namespaces/%s/pods" % NAMESPACE)["items"]:
            w.delete(pod["metadata"]["name"], grace=0)
        uninstalled(w, before)


def previous_chart(w):
    """The chart as it would have been published before: another version and labels."""
    folder = os.path.join(w.plane.dir, "previous")
    shutil.copytree(CHART, folder)
    path = os.path.join(folder, "Chart.yaml")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    text, n = re.subn(r"(?m)^version: .*$", "version: 0.0.9", text)
    expect(n == 1, "no version in Chart.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return folder


def remote(options):
    """kubeScheduler.enabled=false: a kube-scheduler elsewhere, with the snippet and the client certificate as NOTES say; without the certificate 403."""
    with ChartWorld(options, "chart-remote") as w:
        w.nodes(make_node("node-a", cards=2))
        files = os.path.join(w.plane.dir, "client")
        w.install("-f", os.path.join(CHART, "ci", "remote.yaml"), "--set", "scheduler.remote.clientFiles=" + files)
        accounts(w)
        webhook_listens(w)
        snippet = remote_scheduler(w, files)
        asked(w, "wants", gpu(mem=4000))
        w.running("wants", seconds=40)
        leader = w.leader()
        host, port = re.search(r"https://([0-9.]+):(\d+)", snippet).groups()
        w.until("the Service of the verbs selects the leader alone", 20, lambda: w.proxy.endpoints(host, int(port)) == [(leader.ip, int(port))])
        shown = remote_calls(files, host, int(port), re.search(r"serverName: (\S+)", snippet).group(1))
        expect(shown == {"with a certificate": 200, "without one": 403, "of another authority": 403}, "the verbs: %s", shown)
        for runner in w.replicas():
            number = runner.container("cardinald").port("webhook")
            expect(status_of(runner.ip, number, "/filter") == 404, "the webhook's listener has verbs")
        killed = time.monotonic()
        leader.container("cardinald").process.kill()
        other = w.leader()
        asked(w, "later", gpu(mem=4000))
        w.running("later", seconds=60)
        w.until("the Service follows the leader", 20, lambda: w.proxy.endpoints(host, int(port)) == [(other.ip, int(port))])
        w.notes.append("with the certificate 200, without 403; kill -9 of the leader to the next pod running %.1f s" % (time.monotonic() - killed))


def status_of(host, port, path):
    conn = http.client.HTTPSConnection(host, port, timeout=5, context=ssl._create_unverified_context())     # noqa: S323
    try:
        conn.request("POST", path, "{}", {"Content-Type": "application/json"})
        return conn.getresponse().status
    finally:
        conn.close()


def remote_scheduler(w, files):
    """The kube-scheduler of the cluster, with the snippet added to its configuration; returns the snippet."""
    os.makedirs(files)
    maps = w.api.get("/api/v1/namespaces/%s/configmaps" % w.NAMESPACE)["items"]
    snippet = next(m["data"]["config.yaml"] for m in maps if "config.yaml" in m.get("data", {}))
    secrets = {s["metadata"]["name"]: s for s in w.api.get("/api/v1/namespaces/%s/secrets" % w.NAMESPACE)["items"]}
    client = next(s for n, s in secrets.items() if n.endswith("-client"))
    serving = next(s for n, s in secrets.items() if n.endswith("-serving"))
    for key, secret in (("tls.crt", client), ("tls.key", client), ("ca.crt", serving)):
        with open(os.path.join(files, key), "wb") as f:
            f.write(base64.b64decode(secret["data"][key]))
    # What is there already in such a configuration: whom it calls, and an election of its own.
    config = snippet + "clientConnection: {kubeconfig: %s}\nleaderElection: {leaderElect: false}\n" % w.plane.kubeconfig("kube-scheduler")
    path = w.plane._write("remote-scheduler.yaml", config)
    port = cluster.free_port()
    w.plane.scheduler = w.plane._spawn("kube-scheduler", [
        "--config=" + path, "--bind-address=127.0.0.1", "--secure-port=%d" % port, "--tls-cert-file=" + w.plane.options.certs["cert"],
        "--tls-private-key-file=" + w.plane.options.certs["key"], "--authorization-always-allow-paths=/readyz", "-v=2"])
    cluster.wait_for(w.plane.scheduler, "/readyz", 60, lambda: cluster.http_get(port, "/readyz", w.plane.options.certs["ca"])[0] == 200)
    return snippet


def remote_calls(files, host, port, name):
    """What the verbs answer to whom."""
    def ask(pair):
        context = ssl.create_default_context(cafile=os.path.join(files, "ca.crt"))
        if pair:
            context.load_cert_chain(*pair)
        try:
            with cluster.socket.create_connection((host, port), 5) as raw, context.wrap_socket(raw, server_hostname=name) as s:
                body = json.dumps({"Pod": pod_object("asked", gpu()), "Nodes": None, "NodeNames": ["node-a"]}).encode()
                s.sendall(b"POST /filter HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
                          % (len(body), body))
                return int(s.makefile("rb").readline().split()[1])
        except (ssl.SSLError, ConnectionError, IndexError):
            return "refused"
    foreign = os.path.join(files, "foreign")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=kube-scheduler", "-keyout", foreign + ".key", "-out", foreign + ".crt"], check=True, capture_output=True, timeout=60)
    return {"with a certificate": ask((os.path.join(files, "tls.crt"), os.path.join(files, "tls.key"))), "without one": ask(None),
            "of another authority": ask((foreign + ".crt", foreign + ".key"))}


# -- every values file -------------------------------------------------------------------------------------------


def ci_files():
    folder = os.path.join(CHART, "ci")
    return [("default", None)] + sorted((f[:-5], os.path.join(folder, f)) for f in os.listdir(folder) if f.endswith(".yaml"))


def install_crds(w):
    """As cert-manager and prometheus-operator publish them."""
    folder = os.path.join(os.path.dirname(w.plane.options.chart_dir), "crds")
    names = [n for n in sorted(os.listdir(folder)) if n.endswith(".yaml")]
    expect(names, "no CustomResourceDefinitions in %s", folder)
    for name in names:
        with open(os.path.join(folder, name), "rb") as f:
            status, answer = w.api.raw("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?fieldManager=admin", f.read(), "application/yaml")
        expect(status == 201, "%s: %d %s", name, status, answer[:300])
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    w.until("the CustomResourceDefinitions", 30, lambda: all(any(
        c["type"] == "Established" and c["status"] == "True" for c in crd.get("status", {}).get("conditions") or [])
        for crd in w.api.get(path)["items"]))
    w.until("their objects can be listed", 30, lambda: all(
        answers(w.api, "/apis/%s/%s/%s" % (c["spec"]["group"], c["spec"]["versions"][0]["name"], c["spec"]["names"]["plural"]))
        for c in w.api.get(path)["items"]))


def manifest_objects(text):
    """[(kind, name)] of a rendered manifest, read without knowing YAML: the chart's own objects have both at the edge."""
    out = []
    for document in re.split(r"(?m)^---\s*$", text):
        kind, name = re.search(r"(?m)^kind: (\S+)", document), re.search(r"(?ms)^metadata:\n(?:  .*?\n)*?  name: (\S+)", document)
        if kind and name:
            out.append((kind.group(1), name.group(1).strip("\"'")))
    return out


# These go through everything in the short form too.
WHOLE = ("default", "remote", "cert-manager")


def values(options):
    """The defaults and every ci/*.yaml: installed, upgraded with the same and with other values, rolled back, uninstalled; each object accepted, nothing left."""
    with ChartWorld(options, "chart-values") as w:
        w.kubelet.idle = True               # what the server takes is the question here
        install_crds(w)
        for name in ("elsewhere", "monitoring"):        # own-names.yaml, monitoring.yaml
            w.namespace(name)
        files = ci_files()
        for name, _ in files:
            w.namespace("values-" + name)
        before = everything(w.api, but=("events",))
        counts = {}

        def cycle(item):
            name, path = item
            where = ["-n", "values-" + name]
            given = ["-f", path] if path else []
            w.helm("install", name, CHART, *where, *given)
            objects = manifest_objects(w.helm("get", "manifest", name, *where))
            stored = {n for _, _, n in everything(w.api, but=("events",)) - before}
            missing = [o for o in objects if o[1] not in stored]
            expect(not missing and len(objects) > 8, "%s: rendered and not stored: %s of %d", name, missing, len(objects))
            counts[name] = len(objects)
            if not options.long and name not in WHOLE:
                w.helm("uninstall", name, *where)
                return
            first = deployment_of(w, name, path)
            w.helm("upgrade", name, CHART, *where, *given)
            second = deployment_of(w, name, path)
            expect(second["spec"] == first["spec"], "%s: an upgrade with the same values restarts the pods", name)
            w.helm("upgrade", name, CHART, *where, *given, "--set", "scheduler.podAnnotations.changed=yes")
            third = deployment_of(w, name, path)
            expect(third["spec"] != first["spec"], "%s: an upgrade with other values changes nothing", name)
            w.helm("rollback", name, "1", *where)
            expect(deployment_of(w, name, path)["spec"] == first["spec"], "%s: the rollback does not lead back", name)
            w.helm("uninstall", name, *where)
        # Two at once, as there are processors.
        with cluster_pool(2) as pool:
            list(pool.map(cycle, files))
        deadline = time.monotonic() + 60
        while everything(w.api, but=("events",)) - before:
            left = sorted(everything(w.api, but=("events",)) - before)
            expect(time.monotonic() < deadline, "left behind: %s", left[:10])
            time.sleep(0.5)
        w.notes.append("%d values files (%s upgraded twice and rolled back), %d to %d objects each; nothing left of any" % (
            len(files), "all" if options.long else "%d" % len(WHOLE), min(counts.values()), max(counts.values())))


def cluster_pool(workers):
    from concurrent.futures import ThreadPoolExecutor
    return ThreadPoolExecutor(workers)


def deployment_of(w, name, path):
    namespace = "elsewhere" if path and "own-names" in path else "values-" + name
    found = w.api.get("/apis/apps/v1/namespaces/%s/deployments" % namespace)["items"]
    expect(len(found) == 1, "%s: %d Deployments", name, len(found))
    return found[0]


# -- every values file, run --------------------------------------------------------------------------------------


def sign(w, name, names, client=False):
    """A pair for some DNS names by the authority of the run: {key of a TLS Secret: base64}."""
    certs, base = w.plane.options.certs, os.path.join(w.plane.dir, "signed-" + name)
    with open(base + ".ext", "w", encoding="ascii") as f:
        f.write("extendedKeyUsage=%s\n" % ("clientAuth" if client else "serverAuth"))
        if names:
            f.write("subjectAltName=" + ",".join("DNS:" + n for n in names) + "\n")
    for step in (["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=" + name[:60], "-keyout", base + ".key",
                  "-out", base + ".csr"],
                 ["x509", "-req", "-in", base + ".csr", "-CA", certs["ca"], "-CAkey", certs["ca-key"], "-CAcreateserial", "-days", "2",
                  "-extfile", base + ".ext", "-out", base + ".crt"]):
        done = subprocess.run(["openssl", *step], capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
        expect(done.returncode == 0, "openssl: %s", done.stderr.decode()[-300:])
    out = {}
    for key, path in (("tls.crt", base + ".crt"), ("tls.key", base + ".key"), ("ca.crt", certs["ca"])):
        with open(path, "rb") as f:
            out[key] = base64.b64encode(f.read()).decode()
    return out


def store_secret(w, name, data, kind="kubernetes.io/tls"):
    path = SECRETS % w.NAMESPACE
    body = {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": {"name": name}, "data": data}
    try:
        w.api.create(path.rstrip("/"), body)
    except kube.ApiError as e:
        expect(e.code == 409, "%s", e)
        w.api.patch(path + name, {"data": data})


def act_as_cert_manager(w):
    """Certificates become Secrets, and the authority goes into the webhook's configuration, as cert-manager and its injector do."""
    made = 0
    for c in w.api.get("/apis/cert-manager.io/v1/namespaces/%s/certificates" % w.NAMESPACE)["items"]:
        spec = c["spec"]
        store_secret(w, spec["secretName"], sign(w, c["metadata"]["name"], spec.get("dnsNames"), "client auth" in (spec.get("usages") or [])))
        made += 1
    for hook in w.api.get(WEBHOOKS)["items"]:
        if hook["metadata"].get("annotations", {}).get("cert-manager.io/inject-ca-from", "").startswith(w.NAMESPACE + "/"):
            with open(w.plane.options.certs["ca"], "rb") as f:
                bundle = base64.b64encode(f.read()).decode()
            w.api.patch(WEBHOOKS + "/" + hook["metadata"]["name"], [
                {"op": "add", "path": "/webhooks/%d/clientConfig/caBundle" % i, "value": bundle} for i in range(len(hook["webhooks"]))],
                kube.JSON_PATCH)
    return made


def given(w, name):
    """What a values file expects to be there."""
    service = "%s-hami-scheduler" % w.RELEASE
    if "existing-secret" in name:
        names = ["%s%s.%s.svc" % (service, s, w.NAMESPACE) for s in ("", "-verbs")]
        store_secret(w, "given-certificate", sign(w, "given-" + name, names))
        with open(w.plane.options.certs["ca"], "rb") as f:
            store_secret(w, "given-clients", {"clients.crt": base64.b64encode(f.read()).decode()}, "Opaque")
    if name == "existing-device-config":
        w.api.create("/api/v1/namespaces/%s/configmaps" % w.NAMESPACE, {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "hami-scheduler-device"},
            "data": {"device-config.yaml": cluster.DEVICE_CONFIG}})


def runs(options):
    """The defaults and every ci/*.yaml: all replicas come up as processes, one leads, the books of all are there; certificates of cert-manager are renewed under one of them."""
    with ChartWorld(options, "chart-runs", check_ledger=False) as w:
        w.nodes(make_node("node-a", cards=2, labels={"node-role.kubernetes.io/control-plane": "", "cards": "on", "pool": "a"}))
        install_crds(w)
        w.namespace("monitoring")
        seconds = []
        for name, path in ci_files():
            w.NAMESPACE = "elsewhere" if name == "own-names" else "runs-" + name
            w.RELEASE = name
            w.namespace(w.NAMESPACE)
            given(w, name)
            began = time.monotonic()
            w.install(*(["-f", path] if path else []), ready=False)
            certificates = act_as_cert_manager(w) if "cert-manager" in name else 0
            try:
                w.rolled_out(60)
                w.leader(30)
            except Failure as e:
                raise Failure("%s: %s" % (name, e)) from e
            if name == "cert-manager":
                webhook_listens(w)
                old = {r.name: served_certificate(w, r) for r in w.replicas()}
                act_as_cert_manager(w)
                w.until("the renewed certificate is served", 20, lambda: all(served_certificate(w, r) != old[r.name] for r in w.replicas()))     # noqa: B023
                webhook_listens(w)
            expect("cert-manager" not in name or certificates >= 1, "%s: %d Certificates", name, certificates)
            seconds.append(time.monotonic() - began)
            expect(not w.refused_calls(), "%s: refused calls: %s", name, w.refused_calls())
            w.helm("uninstall", w.RELEASE, "-n", w.NAMESPACE)
            w.until("the pods of %s are gone" % name, 60, lambda: not w.replicas())
        w.notes.append("%d values files run, %.0f s at most until all replicas are ready and one leads" % (len(seconds), max(seconds)))


# -- rights ------------------------------------------------------------------------------------------------------


RBAC = "/apis/rbac.authorization.k8s.io/v1"
STEPS = ("it is ready", "it leads", "its pod has the role label", "a pod is bound and runs", "the event of a placement is there",
         "the events of a refused pod are counted", "a node lock that nobody holds is taken over")


def rules_of(w, user):
    """[(path of the role, index of the rule, rule)] of what is bound to an account."""
    account = user.rsplit(":", 1)[1]
    out = []
    for kind in ("clusterrolebindings", "rolebindings"):
        for binding in w.api.get(RBAC + "/" + kind)["items"]:
            if not any(s.get("name") == account and s.get("namespace") == w.NAMESPACE for s in binding.get("subjects") or []):
                continue
            ref = binding["roleRef"]
            path = RBAC + ("/clusterroles/" + ref["name"] if ref["kind"] == "ClusterRole"
                           else "/namespaces/%s/roles/%s" % (binding["metadata"]["namespace"], ref["name"]))
            out += [(path, i, rule) for i, rule in enumerate(w.api.get(path)["rules"])]
    return out


def refused_since(w, user, verb, resource, since):
    for e in w.plane.audit()[since:]:
        ref = e.get("objectRef") or {}
        what = ref.get("resource", "") + ("/" + ref["subresource"] if ref.get("subresource") else "")
        if e["user"].get("username") == user and (e.get("responseStatus") or {}).get("code") == 403 and e["verb"] == verb and what == resource:
            return True
    return False


def try_all(w, tag, refused, seconds=6, program="cardinald"):
    """Restarts a container, goes through STEPS, and says the first that fails; None if all of them hold. `refused` ends a wait early."""
    runner = w.replicas()[0]
    w.api.patch(kube.pod_path(w.NAMESPACE, runner.name), {"metadata": {"labels": {"hami.io/scheduler-role": None}}})
    container = runner.container(program)
    restarts = container.restarts
    container.process.kill()
    w.until(program + " is started again", 20, lambda: container.restarts > restarts and container.process is not None)
    pod, big, late = "try-" + tag, "big-" + tag, "late-" + tag

    def there(name, seconds):
        deadline = time.monotonic() + seconds
        grace = None
        while time.monotonic() < deadline:
            if checks[name]():
                return True
            # A refused call is tried again; a step that it breaks stays broken some seconds after it.
            if grace is None and refused():
                grace = time.monotonic() + (4 if name != STEPS[5] else 12)
            if grace is not None and time.monotonic() > grace:
                return checks[name]()
            time.sleep(0.1)
        return False
    checks = {
        STEPS[0]: lambda: cluster_get(runner, "metrics", "/readyz")[0] == 200,
        STEPS[1]: lambda: w.leads(runner),
        STEPS[2]: lambda: kube.labels(w.api.get(kube.pod_path(w.NAMESPACE, runner.name))).get("hami.io/scheduler-role") == "leader",
        STEPS[3]: lambda: ((w.now(pod) or {}).get("status") or {}).get("phase") == "Running",
        STEPS[4]: lambda: any(e["involvedObject"]["name"] == pod and e["reason"] == "BindingSucceed" for e in events()),
        STEPS[5]: lambda: ask_again() and any(
            e["involvedObject"]["name"] == big and e["reason"] == "FilteringFailed" and e.get("count", 1) > 1 for e in events()),
        STEPS[6]: lambda: ((w.now(late) or {}).get("status") or {}).get("phase") == "Running",
    }

    def events():
        return w.api.get("/api/v1/namespaces/%s/events" % NAMESPACE)["items"]

    def ask_again():
        """As kube-scheduler would later: the same refusal once more."""
        body = json.dumps({"Pod": w.get(big), "Nodes": None, "NodeNames": ["node-a"]})
        get_in(runner.net, w.extender_port, "/filter", body=body)
        return True
    for step in STEPS:
        if step == STEPS[3]:
            w.pod(pod, gpu(mem=100), scheduler="hami-scheduler")
            w.pod(big, gpu(mem=99999), scheduler="hami-scheduler")
        if step == STEPS[6]:
            w.lockless.add(late)
            w.plugin.plant_lock("node-a", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) + ",%s,nobody" % NAMESPACE)
            w.pod(late, gpu(mem=100), scheduler="hami-scheduler")
        if not there(step, seconds if step != STEPS[5] else 14):
            return step
    return None


def without(w, user, path, less, calls, tag):
    """What happens without a part of the rules: the step that fails or None, and which of `calls` were refused."""
    rules, since = w.api.get(path)["rules"], len(w.plane.audit())

    def refused():
        return [c for c in calls if refused_since(w, user, c[0], c[1], since)]
    w.api.patch(path, {"rules": [r for r in less if r["verbs"]]})
    time.sleep(0.3)
    try:
        return try_all(w, tag, refused), refused()
    finally:
        w.api.patch(path, {"rules": rules})


def rights_world(options, name, gates, verbs):
    """In a world of its own: the verbs of cardinald's rules one by one, and, if all `verbs` are meant, the rules too."""
    with ChartWorld(options, name, gates=gates) as w:
        w.locks_may_stay = True
        w.nodes(make_node("node-a", cards=4, split=100))
        w.install("--set", "scheduler.replicas=1", "--set", "scheduler.admissionWebhook.enabled=false")
        user = accounts(w)["cardinald"]
        found = try_all(w, "all", lambda: False, 30)
        expect(found is None, "with all its rights it fails at: %s", found)
        expect(not w.refused_calls(), "with all its rights calls are refused: %s", w.refused_calls())
        shown, wrong = [], []
        for path, index, rule in rules_of(w, user):
            rules, resource = w.api.get(path)["rules"], rule["resources"][0]
            for verb in ([None] if verbs is None else []) + [v for v in rule["verbs"] if verbs is None or v in verbs]:
                less = [dict(r) for r in rules]
                less[index] = {**rule, "verbs": [v for v in rule["verbs"] if v != verb and verb is not None]}
                step, refused = without(w, user, path, less, [(v, resource) for v in rule["verbs"] if verb in (None, v)], str(len(shown)))
                shown.append((verb or "all verbs", resource, step, bool(refused)))
                # A verb may stand in for another, as a list does for a watch; the rule as a whole does not.
                if not refused or (verb is None and step is None):
                    wrong.append(shown[-1])
        w.refused_before_uninstall = []
        with open(os.path.join(w.plane.logs, "rights.txt"), "w", encoding="utf-8") as f:
            f.write("".join("%s %s: step %s, refused %s\n" % row for row in shown))
        return shown, wrong


def scheduler_rights(options):
    """kube-scheduler's account: each verb on its Lease and each binding to a role that kube-schedulers have is needed."""
    with ChartWorld(options, "chart-rights-scheduler") as w:
        w.locks_may_stay = True
        w.nodes(make_node("node-a", cards=4, split=100))
        w.install("--set", "scheduler.replicas=1", "--set", "scheduler.admissionWebhook.enabled=false")
        user = accounts(w)["kube-scheduler"]
        found = try_all(w, "all", lambda: False, 30, "kube-scheduler")
        expect(found is None, "with all its rights it fails at: %s", found)
        shown, wrong = [], []

        def row(what, refused, since, *, step_needed=True):
            step = try_all(w, "s%d" % len(shown), lambda: False, 22, "kube-scheduler")
            shown.append("%s: %s" % (what, step or "no step fails"))
            if not refused(since) or (step is None and step_needed):
                wrong.append("%s; refused: %s" % (shown[-1], refused(since)))

        def any_refused(since):
            return any(e["user"].get("username") == user and (e.get("responseStatus") or {}).get("code") == 403 for e in w.plane.audit()[since:])
        for path, _, rule in rules_of(w, user):
            if "/namespaces/%s/" % w.NAMESPACE not in path:
                continue        # the server's own roles
            for verb in rule["verbs"]:
                rules, since = w.api.get(path)["rules"], len(w.plane.audit())
                w.api.patch(path, {"rules": [{**r, "verbs": [v for v in r["verbs"] if v != verb]} for r in rules]})
                row("%s %s" % (verb, rule["resources"][0]),
                    lambda since: refused_since(w, user, verb, rule["resources"][0], since), since)     # noqa: B023  (used within this turn)
                w.api.patch(path, {"rules": rules})
        for kind, one in (("clusterrolebindings", "ClusterRoleBinding"), ("rolebindings", "RoleBinding")):
            for binding in w.api.get(RBAC + "/" + kind)["items"]:
                m, role = binding["metadata"], binding["roleRef"]["name"]
                mine = any(s.get("name") == user.rsplit(":", 1)[1] and s.get("namespace") == w.NAMESPACE for s in binding.get("subjects") or [])
                if not mine or m.get("namespace") == w.NAMESPACE:
                    continue
                path, since = RBAC + ("/namespaces/%s" % m["namespace"] if "namespace" in m else "") + "/" + kind, len(w.plane.audit())
                w.api.delete(path + "/" + m["name"])
                time.sleep(0.3)
                # Without the authority's ConfigMap it goes on, and takes no client certificates of those who read its metrics.
                row(role, any_refused, since, step_needed=role != "extension-apiserver-authentication-reader")
                w.api.create(path, {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": one, "roleRef": binding["roleRef"],
                                    "metadata": {"name": m["name"], "labels": m.get("labels")}, "subjects": binding["subjects"]})
        w.refused_before_uninstall = []
        expect(not wrong and len(shown) >= 5, "not shown to be needed:\n  %s", "\n  ".join(wrong or shown))
        w.notes.append("; ".join(shown))


def rights(options):
    """Each rule of cardinald's account is needed (without it a named step fails) and each verb is used (without it a call is refused), on API servers with and without streamed lists."""
    shown, wrong = rights_world(options, "chart-rights", "", None)
    # Before 1.34 API servers don't stream lists, and the lists are asked for.
    older, unused = rights_world(options, "chart-rights-lists", "WatchList=false", ("list",))
    used = {row[:2] for row in older if row not in unused}
    wrong = [row for row in wrong if row[:2] not in used]
    expect(not wrong, "not shown to be needed:\n  %s", "\n  ".join("%s %s: step %s, refused %s" % row for row in wrong))
    rules = [r for r in shown if r[0] == "all verbs"]
    options.notes.append("%d rules: %s; %d verbs used" % (len(rules), ", ".join("%s (%s)" % (r[1], r[2]) for r in rules), len(shown) - len(rules)))


STORIES = {"chart-placed": placed, "chart-down": down, "chart-failover": failover, "chart-upgrade": upgrade, "chart-remote": remote,
           "chart-values": values, "chart-rights": rights, "chart-rights-scheduler": scheduler_rights, "chart-runs": runs}
LONG = ("chart-rights", "chart-rights-scheduler", "chart-down", "chart-runs")
