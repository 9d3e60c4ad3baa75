"""Stories of the documents: the commands of docs/operations are run as they stand there, in the order in which a reader meets them.

A block of shell in a page has a line above it: `<!-- tried: NAME -->`, and then it is run here by that name, or
`<!-- not tried: WHY -->`. What a reader has to put in (REGISTRY, REPOSITORY) is put in, and HAMi's chart is the stand-in below; nothing else is changed. scripts/chart-docs
sees to it that every block says which, and that every name is used here.
"""

import copy
import json
import os
import re
import subprocess
import time

import kube
from chart_plane import ChartPlane, ChartWorld, decode_secret
from harness import expect, gpu, make_node

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
PAGES = os.path.join(ROOT, "docs", "operations")
PUT_IN = {"REGISTRY": "registry.example", "REPOSITORY": "team/cardinald", "hami-charts/hami": "./hami-chart"}


def blocks(page):
    """{name: commands} of a page."""
    with open(os.path.join(PAGES, page), encoding="utf-8") as f:
        text = f.read()
    out = {}
    for indent, name, body in re.findall(r"^( *)<!-- tried: ([a-z-]+) -->\n *```sh\n(.*?)^ *```$", text, re.M | re.S):
        out[name] = "".join(line[len(indent):] if line.startswith(indent) else line for line in body.splitlines(True))
    return out


class Reader:
    """Somebody who follows a page: one shell a block, one folder for all."""

    def __init__(self, world, page):
        self.world, self.page, self.blocks = world, page, blocks(page)
        plane = world.plane
        self.folder = os.path.join(plane.dir, "reader")
        programs = os.path.join(self.folder, "bin")
        os.makedirs(programs)
        for name in ("charts", "scripts"):
            os.symlink(os.path.join(ROOT, name), os.path.join(self.folder, name))
        os.symlink(plane.options.cardinald, os.path.join(programs, "cardinald"))
        for name, folder in (("helm", plane.options.chart_dir), ("kubectl", plane.options.bin_dir)):
            os.symlink(os.path.join(folder, name), os.path.join(programs, name))
        self.env = {"PATH": programs + ":" + os.environ.get("PATH", ""), "HOME": self.folder, "KUBECONFIG": plane.kubeconfig("admin")}

    def at(self, page):
        """The same reader, in the same folder, at another page."""
        other = copy.copy(self)
        other.page, other.blocks = page, blocks(page)
        return other

    def run(self, name, timeout=120, change=None):
        """Runs the block, every command of which has to succeed; returns what it printed."""
        expect(name in self.blocks, "%s has no block '%s'", self.page, name)
        text = self.blocks[name]
        for word, value in {**PUT_IN, **(change or {})}.items():
            text = re.sub(r"\b%s\b" % word, value, text)
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=self.folder, env=self.env, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=timeout, check=False)
        out, err = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
        with open(os.path.join(self.world.plane.logs, "reader.log"), "a", encoding="utf-8") as log:
            log.write("--- %s: %s\n%s\n%s%s" % (self.page, name, text, out, err))
        expect(done.returncode == 0, "%s, block '%s': exit %d\n%s\n%s", self.page, name, done.returncode, text, (out + err)[-1500:])
        return out


def metric(text, name):
    found = re.search(r"^%s (\S+)$" % re.escape(name), text, re.M)
    expect(found, "no metric %s in:\n%s", name, text)
    return float(found.group(1))


class DocsPlane(ChartPlane):
    """The API server's own way to a Service (kubectl get --raw …/proxy) goes by Endpoints."""

    CONTROLLERS = ChartPlane.CONTROLLERS + ",endpoints-controller"


class DocsWorld(ChartWorld):
    PLANE = DocsPlane
    NAMESPACE = "cardinal"


def install(options):
    """docs/operations/install.md and upgrade.md from the first command to the last: a stranger's way to the first pod, and back."""
    with DocsWorld(options, "docs-install") as w:
        w.nodes(make_node("node-a", cards=2))
        reader = Reader(w, "install.md")
        reader.run("install")
        there = reader.run("there", timeout=300)
        expect(len(re.findall(r"^cardinal-hami-scheduler-\S+ +2/2 +Running", there, re.M)) == 2, "not two pods with 2/2:\n%s", there)
        w.leader()
        known = w.until("what is known", 10, lambda: reader.run("known"))
        expect("ok" in known and metric(known, "cardinald_devices") == 2, "of two cards cardinald knows:\n%s", known)
        first = reader.run("first")
        expect("hami-scheduler" in first, "the webhook gave the pod no scheduler:\n%s", first)
        w.until("the first pod runs", 20, lambda: w.api.get(kube.pod_path("default", "first"))["status"].get("phase") == "Running")
        before = w.api.get(kube.pod_path("default", "first"))["metadata"]["annotations"]

        trouble = reader.at("troubleshooting.md")
        expect("Running" in trouble.run("look"), "troubleshooting.md, block look")
        may = trouble.run("may")
        expect("pods/status" in may and may.rstrip().endswith("yes"), "troubleshooting.md, block may:\n%s", may)

        pages = reader.at("upgrade.md")
        with open(os.path.join(reader.folder, "values.yaml"), "w", encoding="utf-8") as f:
            f.write("scheduler:\n  bindTimeout: 12s\n  extender:\n    image: {registry: registry.example, repository: team/cardinald}\n")
        pages.run("upgrade", timeout=300)
        w.rolled_out()
        leader = w.leader()
        expect("cardinald_pods_charged 1\n" in w.metrics_of_pod(leader), "the new version does not count the pod that runs")
        pages.run("rollback", change={"REVISION": "1"})
        w.rolled_out()
        w.leader()
        after = w.api.get(kube.pod_path("default", "first"))["metadata"]["annotations"]
        expect(before == after, "an upgrade changed a running pod: %s to %s", before, after)

        reader.run("offline")
        with open(os.path.join(reader.folder, "device-config.yaml"), "w", encoding="utf-8") as f:
            f.write(w.api.get("/api/v1/namespaces/cardinal/configmaps/cardinal-hami-scheduler-device")["data"]["device-config.yaml"])
        reader.run("print")
        with open(os.path.join(reader.folder, "config.yaml"), encoding="utf-8") as f:
            expect("kind: KubeSchedulerConfiguration" in f.read(), "--print-scheduler-config")
        w.refused_before_uninstall = w.refused_calls()
        reader.run("away")
        w.until("the pods of the release are gone", 40, lambda: not w.replicas())


def remote(options):
    """install.md, for a kube-scheduler that is there already: the commands give its snippet and its files."""
    with DocsWorld(options, "docs-remote") as w:
        w.nodes(make_node("node-a", cards=2))
        reader = Reader(w, "install.md")
        reader.run("remote")
        w.rolled_out()
        reader.run("address")
        w.rolled_out()
        address = w.api.get("/api/v1/namespaces/cardinal/services/cardinal-hami-scheduler-verbs")["spec"]["clusterIP"]
        snippet = reader.run("snippet")
        expect("urlPrefix: https://%s:8443" % address in snippet, "the snippet has not the Service's address:\n%s", snippet)
        expect("cardinal-hami-scheduler-verbs.cardinal.svc" in snippet and "percentageOfNodesToScore: 100" in snippet, "the snippet:\n%s", snippet)
        reader.run("files")
        for secret, key in (("serving", "ca.crt"), ("client", "tls.crt"), ("client", "tls.key")):
            with open(os.path.join(reader.folder, key), "rb") as f:
                have = f.read()
            stored = w.api.get("/api/v1/namespaces/cardinal/secrets/cardinal-hami-scheduler-" + secret)
            expect(have == decode_secret(stored, key) and b"-----BEGIN" in have, "%s is not what the Secret has", key)


# A release that stands in HAMi's place: a real kube-scheduler that holds HAMi's Lease, an extender beside it that reads and writes
# HAMi's annotations (cardinald, with HAMi's flags), the ConfigMap that plugins read, a webhook without anybody behind it.
HAMI = {
    "Chart.yaml": "apiVersion: v2\nname: hami\nversion: 2.10.0\n",
    "values.yaml": "scheduler: {replicas: 1, admissionWebhook: {enabled: true, failurePolicy: Fail}}\nresourceName: nvidia.com/gpu\n",
    "templates/all.yaml": """\
apiVersion: v1
kind: ServiceAccount
metadata: {name: hami-scheduler}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: hami-scheduler}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: hami-scheduler, namespace: kube-system}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: hami-scheduler-device}
data:
  device-config.yaml: |
DEVICE_CONFIG
---
apiVersion: v1
kind: ConfigMap
metadata: {name: hami-scheduler}
data:
  config.yaml: |
    apiVersion: kubescheduler.config.k8s.io/v1
    kind: KubeSchedulerConfiguration
    leaderElection: {leaderElect: true, resourceName: hami-scheduler, resourceNamespace: kube-system}
    profiles: [{schedulerName: hami-scheduler}]
    extenders:
    - urlPrefix: http://127.0.0.1:8080
      filterVerb: filter
      bindVerb: bind
      nodeCacheCapable: true
      weight: 1
      httpTimeout: 30s
      managedResources:
      - {name: nvidia.com/gpu, ignoredByScheduler: true}
      - {name: nvidia.com/gpumem, ignoredByScheduler: true}
{{- if .Values.scheduler.admissionWebhook.enabled }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: hami-webhook}
webhooks:
- name: vgpu.hami.io
  admissionReviewVersions: [v1beta1, v1]
  sideEffects: None
  failurePolicy: {{ .Values.scheduler.admissionWebhook.failurePolicy }}
  objectSelector: {matchLabels: {through-hami: "yes"}}
  clientConfig: {service: {name: hami-scheduler, namespace: kube-system, path: /webhook}}
  rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods]}]
{{- end }}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: hami-scheduler}
spec:
  replicas: {{ .Values.scheduler.replicas }}
  selector: {matchLabels: {app: hami}}
  template:
    metadata: {labels: {app: hami, hami.io/webhook: ignore}}
    spec:
      serviceAccountName: hami-scheduler
      containers:
      - name: kube-scheduler
        image: registry.example/kube-scheduler:v1
        command: [kube-scheduler, --config=/config/config.yaml]
        volumeMounts: [{name: config, mountPath: /config}]
      - name: vgpu-scheduler-extender
        image: registry.example/cardinald:0
        args: [--scheduler-name=hami-scheduler, --device-config-file=/device/device-config.yaml, --node-scheduler-policy=binpack,
               --gpu-scheduler-policy=spread, --leader-elect=true, --leader-elect-resource-name=hami-scheduler,
               --leader-elect-resource-namespace=kube-system, --metrics-bind-address=, --debug, -v=4]
        volumeMounts: [{name: device, mountPath: /device}]
      volumes:
      - {name: config, configMap: {name: hami-scheduler}}
      - {name: device, configMap: {name: hami-scheduler-device}}
""",
}


class MigrationWorld(ChartWorld):
    PLANE = DocsPlane
    NAMESPACE = "kube-system"

    def namespace(self, name):
        """It is there already; its pods are run as processes."""
        self.plugin.others.add(name)

    def deployment(self):
        return self.api.get("/apis/apps/v1/namespaces/kube-system/deployments/cardinal-hami-scheduler")

    def hami(self, reader):
        """Installs what stands in HAMi's place, with helm, as a release that values can be asked of."""
        folder = os.path.join(reader.folder, "hami-chart")
        os.makedirs(os.path.join(folder, "templates"))
        rendered = self.helm("template", "hami", os.path.join(ROOT, "charts", "cardinal"), "-n", "kube-system", "-s", "templates/configmaps.yaml")
        text = rendered.split("device-config.yaml: |\n", 1)[1].split("\n---", 1)[0].rstrip("\n")
        for name, body in HAMI.items():
            with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                f.write(body.replace("DEVICE_CONFIG", text))
        self.helm("install", "hami", folder, "-n", "kube-system", "--set", "schedulerName=hami-scheduler,scheduler.nodeLockExpire=10m")
        self.until("HAMi's scheduler leads", 60, lambda: self.holder().startswith("hami-scheduler-"))

    def waits(self, name, old):
        """How long a pod waits for its node that is created when the old leader has let go of the Lease."""
        self.until("%s… lets go of the Lease" % old, 60, lambda: not self.holder().startswith(old))
        began = time.monotonic()
        self.pod(name, gpu(mem=4000), scheduler="hami-scheduler")
        self.bound(name, seconds=60)
        seconds = time.monotonic() - began
        self.running(name)
        return seconds

    def holder(self):
        try:
            lease = self.api.get("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/hami-scheduler")
        except kube.ApiError:
            return ""
        return lease["spec"].get("holderIdentity") or ""


def migrate(options):
    """docs/operations/migrate-from-hami.md, step by step and back: one Lease for both, no pod placed twice, none lost, and how long one waits."""
    with MigrationWorld(options, "docs-migrate") as w:
        w.nodes(make_node("node-a", cards=2), make_node("node-b", cards=2))
        reader = Reader(w, "migrate-from-hami.md")
        w.hami(reader)
        w.pod("before", gpu(mem=4000), scheduler="hami-scheduler")
        w.running("before", seconds=40)

        said = reader.run("read")
        expect("scheduler.nodeLockExpire: acts" in said, "migrate-from-hami said:\n%s", said)
        expect("readable" in reader.run("share"), "cardinald does not read HAMi's device configuration")
        pod = gpu_pod("through")
        pod["metadata"]["labels"] = {"through-hami": "yes"}
        refused = creation(w, pod)
        expect(refused is not None and "failed calling webhook" in refused, "HAMi's webhook without an endpoint should refuse: %s", refused)
        expect(reader.run("ignore").startswith("Fail\n"), "the policy of HAMi's webhook")
        w.until("HAMi's webhook is passed over", 20, lambda: creation(w, pod) is None)
        w.running("through", seconds=30)
        reader.run("beside")
        checked = reader.run("beside-check", timeout=300)
        expect(w.holder().startswith("hami-scheduler-") and w.holder() in checked, "HAMi's Lease has another holder:\n%s", checked)
        for name, want in (("nodes_with_cards", 2), ("devices", 4), ("pods_charged", 2), ("pods_fail_closed", 0), ("leading", 0)):
            have = metric(checked, "cardinald_" + name)
            expect(have == want, "cardinald_%s is %g, not %g:\n%s", name, have, want, checked)
        w.pod("beside", gpu(mem=4000), scheduler="hami-scheduler")
        w.running("beside", seconds=20)
        expect(all(not w.leads(r) for r in w.replicas()), "a replica leads beside HAMi")

        reader.run("hand-over")
        waited = w.waits("between", "hami-scheduler-")
        reader.run("hand-over-check")
        expect(w.holder().startswith("cardinal-hami-scheduler-"), "the Lease is held by %s", w.holder())
        leader = w.leader()
        expect("cardinald_pods_charged 4\n" in w.metrics_of_pod(leader), "not all pods are charged after the hand-over")
        w.check_ledger()

        w.refused_before_uninstall = w.refused_calls()
        reader.run("back")
        back = w.waits("back", "cardinal-hami-scheduler-")
        expect(w.holder().startswith("hami-scheduler-"), "the Lease is held by %s", w.holder())

        reader.run("beside")
        reader.run("beside-check", timeout=300)
        reader.run("hand-over")
        w.until("a replica of ours holds the Lease", 60, lambda: w.holder().startswith("cardinal-hami-scheduler-"))
        expect(policy(w) == "Ignore", "beside HAMi's webhook ours has the policy %s", policy(w))
        reader.run("stay", timeout=300)
        w.rolled_out()
        w.leader()
        w.check_ledger()
        expect(policy(w) == "Fail", "afterwards the webhook has the policy %s", policy(w))
        reader.run("out")
        w.pod("after", gpu(mem=4000), scheduler=None)
        w.running("after")
        w.check_ledger()
        w.notes.append("a pod created when the old leader let go was bound after %.1f s, on the way back after %.1f s" % (waited, back))


def policy(w):
    return w.api.get("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/cardinal-hami-webhook")["webhooks"][0]["failurePolicy"]


def gpu_pod(name):
    """A pod that asks for a share, as a plain object."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"schedulerName": "hami-scheduler", "containers": [gpu(mem=4000)]}}


def creation(w, pod):
    """None when the pod is stored (or was before), else the API server's words."""
    try:
        w.create(json.loads(json.dumps(pod)))
    except kube.ApiError as e:
        return None if e.code == 409 else str(e)
    return None


STORIES = {"docs-install": install, "docs-remote": remote, "docs-migrate": migrate}
LONG = ("docs-remote", "docs-migrate")
