"""A small kubelet: runs the containers of pods as processes, with exactly the command, arguments, environment, files, ports,
user and token that the stored Pod object says.

A pod has a network namespace with an address of its own; a container has a root of its own (the machine's /usr, read-only, with
the image's program in it), the pod's host name, the user and the capabilities of its security context, and its volumes at their
paths, written and renewed as kubelet does (a new folder, then `..data` is swapped). So nothing in an argument is rewritten.
What is different from a real node: the image is a program of this machine, resources are not limited, a container that ended is
started again after a second instead of ten.
"""

import base64
import fnmatch
import http.client
import json
import os
import posixpath
import shutil
import signal
import ssl
import subprocess
import threading
import time

import cluster
import kube

POD_NET = "10.244.0."
HOST_IP = POD_NET + "1"
SYNC_SECONDS = 0.5      # between looks at volumes; a kubelet takes up to a minute
RESTART_SECONDS = 1.0


class NotRunnable(Exception):
    """What a kubelet would show as the reason why a container waits."""


def pod_address(number):
    if not 2 <= number <= 254:
        raise NotRunnable("no address left for pod %d" % number)
    return POD_NET + str(number)


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=20)


def make_network():
    """What is the same in all stories of a run: the bridge that pods are on, and this machine's address there."""
    ip("link", "set", "lo", "up")
    ip("link", "add", "pods", "type", "bridge")
    ip("addr", "add", HOST_IP + "/24", "dev", "pods")
    ip("link", "set", "pods", "up")


class Image:
    """What stands in an image: its program, how it is started and as whom."""

    def __init__(self, program, path, entrypoint, user):
        self.program, self.path, self.entrypoint, self.user = program, path, entrypoint, user


# -- volumes -----------------------------------------------------------------------------------------------------


def picked(data, items, optional, what):
    """{path: bytes} of a ConfigMap's or Secret's data, all of it or the `items`."""
    if not items:
        return dict(data)
    out = {}
    for item in items:
        if item["key"] not in data:
            if optional:
                continue
            raise NotRunnable("%s has no key %s" % (what, item["key"]))
        out[item["path"]] = data[item["key"]]
    return out


def write_volume(folder, files, mode, group):
    """kubelet's atomic writer: a new folder, then the link `..data` is swapped; names of files are links through it."""
    data = posixpath.join(folder, "..data")
    current = os.readlink(data) if os.path.islink(data) else None
    if current is not None:
        have = {}
        for root, _, names in os.walk(os.path.join(folder, current)):
            for name in names:
                with open(os.path.join(root, name), "rb") as f:
                    have[os.path.relpath(os.path.join(root, name), os.path.join(folder, current))] = f.read()
        if have == files:
            return False
    stamp = "..%s.%d" % (time.strftime("%Y_%m_%d_%H_%M_%S"), time.monotonic_ns() % 1000000000)
    target = os.path.join(folder, stamp)
    os.makedirs(target)
    for path, content in files.items():
        full = os.path.join(target, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as f:
            f.write(content)
        os.chmod(full, mode | (0o040 if group is not None else 0))
        if group is not None:
            os.chown(full, -1, group)
    os.chmod(target, 0o755)
    os.symlink(stamp, data + ".tmp")
    os.rename(data + ".tmp", data)
    for top in {p.split("/", 1)[0] for p in files}:
        link = os.path.join(folder, top)
        if not os.path.islink(link):
            os.symlink(posixpath.join("..data", top), link)
    if current is not None:
        for name in os.listdir(folder):
            if not name.startswith("..") and name not in {p.split("/", 1)[0] for p in files}:
                os.unlink(os.path.join(folder, name))
        shutil.rmtree(os.path.join(folder, current), ignore_errors=True)
    return True


class Volumes:
    """The volumes of one pod, in a folder of its own."""

    def __init__(self, api, pod, folder):
        self._api, self._pod, self.folder = api, pod, folder
        self._tokens = {}       # (audience, seconds) -> (token, until)
        self._group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
        self.swaps = {}         # volume -> how often its content was renewed

    def path(self, name):
        return os.path.join(self.folder, name)

    def sync(self):
        for volume in self._pod["spec"].get("volumes") or []:
            name, folder = volume["name"], self.path(volume["name"])
            fresh = not os.path.isdir(folder)
            if fresh:
                os.makedirs(folder)
                os.chmod(folder, 0o777 if "emptyDir" in volume else 0o755)
            if "emptyDir" in volume:
                continue
            try:
                files, mode = self._content(volume)
            except (NotRunnable, kube.ApiError, OSError, http.client.HTTPException):
                if fresh:
                    shutil.rmtree(folder)
                    raise
                continue        # what is there stays, as with kubelet
            if write_volume(folder, files, mode, self._group) and not fresh:
                self.swaps[name] = self.swaps.get(name, 0) + 1

    def _content(self, volume):
        for kind in ("configMap", "secret", "projected", "downwardAPI"):
            if kind in volume:
                source = volume[kind]
                if kind == "projected":
                    files = {}
                    for part in source["sources"]:
                        (inner, value), = part.items()
                        files.update(self._source(inner, value))
                else:
                    files = self._source(kind, source)
                return files, source.get("defaultMode", 0o644)
        raise NotRunnable("volume %s is of a kind that this kubelet does not know: %s" % (volume["name"], sorted(volume)))

    def _source(self, kind, source):
        namespace = self._pod["metadata"]["namespace"]
        optional = source.get("optional", False)
        if kind in ("configMap", "secret"):
            name = source.get("name") or source.get("secretName")
            what = "%s %s/%s" % (kind, namespace, name)
            try:
                stored = self._api.get("/api/v1/namespaces/%s/%ss/%s" % (namespace, kind.lower(), name))
            except kube.ApiError as e:
                if e.code == 404 and optional:
                    return {}
                raise NotRunnable("%s: %s" % (what, e.text)) from e
            if kind == "secret":
                data = {k: base64.b64decode(v) for k, v in (stored.get("data") or {}).items()}
            else:
                data = {k: v.encode() for k, v in (stored.get("data") or {}).items()}
            return picked(data, source.get("items"), optional, what)
        if kind == "serviceAccountToken":
            return {source["path"]: self._token(source).encode()}
        if kind == "downwardAPI":
            return {i["path"]: field(self._pod, i["fieldRef"]["fieldPath"], {}).encode() for i in source["items"]}
        raise NotRunnable("a source of a kind that this kubelet does not know: " + kind)

    def _token(self, source):
        """A token of the pod's own account, bound to the pod, as kubelet asks for it; renewed after four fifths of its life."""
        audience, seconds = source.get("audience"), source.get("expirationSeconds", 3600)
        token, until = self._tokens.get((audience, seconds), (None, 0))
        if time.time() < until:
            return token
        m = self._pod["metadata"]
        answer = self._api.create(
            "/api/v1/namespaces/%s/serviceaccounts/%s/token" % (m["namespace"], self._pod["spec"].get("serviceAccountName", "default")),
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {
                **({"audiences": [audience]} if audience else {}), "expirationSeconds": seconds,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": m["name"], "uid": m["uid"]}}})
        token = answer["status"]["token"]
        self._tokens[audience, seconds] = (token, time.time() + 0.8 * seconds)
        return token


def field(pod, path, known):
    """The downward API's fields."""
    m = pod["metadata"]
    values = {"metadata.name": m["name"], "metadata.namespace": m["namespace"], "metadata.uid": m["uid"],
              "spec.nodeName": pod["spec"].get("nodeName", ""),
              "spec.serviceAccountName": pod["spec"].get("serviceAccountName", "default"), **known}
    if path not in values:
        raise NotRunnable("a field that this kubelet does not know: " + path)
    return values[path]


# -- containers --------------------------------------------------------------------------------------------------


class Container:
    """One container of a pod, started again when it ends unless the pod says otherwise."""

    def __init__(self, runner, spec):
        self.runner, self.spec, self.name = runner, spec, spec["name"]
        self.process = None
        self.restarts = -1
        self.ended_at = None
        self.started_at = None
        self.started = self.ready = False
        self.waiting = "ContainerCreating"
        self._probes = {}       # kind -> [next time, failures in a row, successes in a row]

    def image(self):
        images = self.runner.kubelet.images
        for pattern, image in images.items():
            if fnmatch.fnmatchcase(self.spec["image"], pattern):
                return image
        raise NotRunnable("ErrImagePull: %s" % self.spec["image"])

    def start(self):
        image, runner = self.image(), self.runner
        pod = runner.pod
        security = {**(pod["spec"].get("securityContext") or {}), **(self.spec.get("securityContext") or {})}
        user = security.get("runAsUser", image.user)
        if security.get("runAsNonRoot") and user == 0:
            raise NotRunnable("CreateContainerConfigError: container has runAsNonRoot and image will run as root")
        argv = (self.spec.get("command") or image.entrypoint) + (self.spec.get("args") if self.spec.get("args") is not None else [])
        env = self._environment(image)
        argv = [expand(a, env) for a in argv]
        self.restarts += 1
        root = os.path.join(runner.folder, "root-" + self.name)
        os.makedirs(root, exist_ok=True)
        script = self._script(root, image, security, user, env)
        path = os.path.join(runner.folder, "start-%s.sh" % self.name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(script)
        log = os.path.join(runner.kubelet.plane.logs, "%s-%s.log" % (pod["metadata"]["name"], self.name))
        self.process = cluster.Process(runner.kubelet.plane.options, self.name, [
            "nsenter", "--net=/run/netns/" + runner.net, "unshare", "--mount", "--uts", "--ipc", "sh", path, *argv], log)
        self.started_at = time.monotonic()
        self.started = "startupProbe" not in self.spec
        self.ready = self.started and "readinessProbe" not in self.spec
        self.waiting = None
        self._probes = {}

    def _environment(self, image):
        env = {"PATH": posixpath.dirname(image.path), "HOSTNAME": self.runner.pod["metadata"]["name"], **self.runner.kubelet.service_env()}
        for item in self.spec.get("env") or []:
            if "valueFrom" in item:
                source = item["valueFrom"]
                if "fieldRef" not in source:
                    raise NotRunnable("an environment from what this kubelet does not know: %s" % sorted(source))
                env[item["name"]] = field(self.runner.pod, source["fieldRef"]["fieldPath"],
                                          {"status.podIP": self.runner.ip, "status.hostIP": HOST_IP})
            else:
                env[item["name"]] = expand(item.get("value", ""), env)
        return env

    def _script(self, root, image, security, user, env):
        """Makes the root and changes into it; `$@` is the command line, which nothing here touches."""
        pod, volumes = self.runner.pod, self.runner.volumes
        lines = ["set -e", "hostname %s" % quoted(pod["spec"].get("hostname") or pod["metadata"]["name"]),
                 "mount --make-rprivate /", "mount -t tmpfs -o mode=755 root %s" % quoted(root), "cd %s" % quoted(root),
                 "mkdir -p usr/local/bin usr/sbin etc proc dev",
                 "for d in bin sbin lib lib64; do [ ! -e /$d ] || ln -s usr/$d $d; done",
                 "for d in bin lib lib64; do [ ! -d /usr/$d ] || { mkdir usr/$d; mount --rbind /usr/$d usr/$d; mount -o remount,bind,ro usr/$d; }; done",
                 "mount --rbind /dev dev", "mount -t proc proc proc",
                 "cp /etc/ld.so.cache etc/ 2>/dev/null || true",
                 "printf 'root:x:0:0::/:/none\\n' >etc/passwd",
                 # Names of Services, which a cluster's DNS would know; a bind mount, so that later ones are there too.
                 ": >etc/hosts", "mount --bind %s etc/hosts" % quoted(self.runner.kubelet.hosts_file),
                 "printf 'hosts: files\\n' >etc/nsswitch.conf",
                 ": >.%s" % quoted(image.path), "mount --bind %s .%s" % (quoted(image.program), quoted(image.path))]
        for mount in self.spec.get("volumeMounts") or []:
            source, target = volumes.path(mount["name"]), "." + mount["mountPath"]
            if mount.get("subPath"):
                raise NotRunnable("subPath is never refreshed, and this kubelet does not do it")
            lines += ["mkdir -p %s" % quoted(target), "mount --bind %s %s" % (quoted(source), quoted(target))]
            if mount.get("readOnly") or not self._writable(mount["name"]):
                lines.append("mount -o remount,bind,ro %s" % quoted(target))
        if security.get("readOnlyRootFilesystem"):
            lines.append("mount -o remount,ro %s" % quoted(root))
        groups = [str(g) for g in ([security["fsGroup"]] if "fsGroup" in security else []) + (security.get("supplementalGroups") or [])]
        drop = "ALL" in (security.get("capabilities") or {}).get("drop", [])
        words = ["setpriv", "--reuid=%d" % user, "--regid=%d" % security.get("runAsGroup", user),
                 "--groups=" + ",".join(groups) if groups else "--clear-groups"]
        if drop:
            words += ["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
        if security.get("allowPrivilegeEscalation") is False:
            words.append("--no-new-privs")
        given = " ".join(quoted("%s=%s" % pair) for pair in env.items())
        lines.append('exec chroot . /usr/bin/env -i %s /usr/bin/%s -- "$@"' % (given, " ".join(words)))
        return "\n".join(lines) + "\n"

    def _writable(self, volume):
        return any(v["name"] == volume and "emptyDir" in v for v in self.runner.pod["spec"].get("volumes") or [])

    def tick(self):
        """One look: has it ended, what do its probes say."""
        now = time.monotonic()
        if self.process is None:
            if self.ended_at is None or now - self.ended_at >= RESTART_SECONDS:
                try:
                    self.start()
                except NotRunnable as e:
                    self.waiting, self.ended_at = str(e), now
            return
        if self.process.ended():
            self.ready = False
            if self.runner.again(self.process.code):
                self.waiting = "CrashLoopBackOff: ended with %s" % self.process.code
                self.process, self.ended_at = None, now
            return
        if not self.started:
            if self._probe("startupProbe", now) == "ok":
                self.started = True
                self.ready = "readinessProbe" not in self.spec
            return
        verdict = self._probe("readinessProbe", now)
        if verdict is not None:
            self.ready = verdict == "ok"
        if self._probe("livenessProbe", now) == "failed":
            self.runner.note("Killing %s: its liveness probe fails" % self.name)
            self.process.stop(signal.SIGTERM, 5)

    def _probe(self, kind, now):
        """"ok" or "failed" when a threshold is reached, else None."""
        probe = self.spec.get(kind)
        if probe is None:
            return None
        state = self._probes.setdefault(kind, [self.started_at + probe.get("initialDelaySeconds", 0), 0, 0])
        if now < state[0]:
            return None
        # As kubelet, but not slower than twice a second: a story waits for it.
        state[0] = now + (probe.get("periodSeconds", 10) if kind == "livenessProbe" else 0.5)
        good = self._ask(probe)
        state[1], state[2] = (0, state[2] + 1) if good else (state[1] + 1, 0)
        if good:
            return "ok" if state[2] >= probe.get("successThreshold", 1) else None
        return "failed" if state[1] >= probe.get("failureThreshold", 3) else None

    def _ask(self, probe):
        get, timeout = probe.get("httpGet"), probe.get("timeoutSeconds", 1)
        if get is None:
            raise NotRunnable("a probe of a kind that this kubelet does not know: %s" % sorted(probe))
        port = get["port"] if isinstance(get["port"], int) else self.port(get["port"])
        host = get.get("host") or self.runner.ip
        try:
            if get.get("scheme") == "HTTPS":
                context = ssl._create_unverified_context()      # noqa: S323  (kubelet does not check it either)
                conn = http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
            else:
                conn = http.client.HTTPConnection(host, port, timeout=timeout)
            try:
                conn.request("GET", get.get("path", "/"), headers={"User-Agent": "kube-probe/1.36"})
                return 200 <= conn.getresponse().status < 400
            finally:
                conn.close()
        except (OSError, http.client.HTTPException):
            return False

    def port(self, name):
        for port in self.spec.get("ports") or []:
            if port.get("name") == name:
                return port["containerPort"]
        raise NotRunnable("container %s has no port %s" % (self.name, name))

    def status(self):
        process = self.process
        if process is None:
            state = {"waiting": {"reason": (self.waiting or "").split(":")[0], "message": self.waiting or ""}}
        elif process.ended():
            state = {"terminated": {"exitCode": process.code if process.code >= 0 else 128 - process.code}}
        else:
            state = {"running": {}}
        return {"name": self.name, "image": self.spec["image"], "imageID": "", "ready": bool(self.ready), "started": bool(self.started),
                "restartCount": max(self.restarts, 0), "state": state}


def expand(text, env):
    """$(NAME) as kubelet expands it; $$ is one $."""
    out, rest = "", text
    while "$" in rest:
        before, rest = rest.split("$", 1)
        out += before
        if rest.startswith("$"):
            out, rest = out + "$", rest[1:]
        elif rest.startswith("(") and ")" in rest and rest[1:rest.index(")")] in env:
            out, rest = out + env[rest[1:rest.index(")")]], rest[rest.index(")") + 1:]
        else:
            out += "$"
    return out + rest


def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


# -- pods --------------------------------------------------------------------------------------------------------


class PodRunner:
    """One pod: its namespace, its containers, and what is said of it in its status."""

    def __init__(self, kubelet, pod, number):
        self.kubelet, self.pod = kubelet, pod
        self.name, self.uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        self.ip, self.net = pod_address(number), "pod-%d" % number
        self.folder = os.path.join(kubelet.plane.dir, "pods", "%d-%s" % (number, self.name))
        os.makedirs(self.folder)
        self.volumes = Volumes(kubelet.api, pod, os.path.join(self.folder, "volumes"))
        self.containers = [Container(self, c) for c in pod["spec"]["containers"]]
        self.lost = threading.Event()       # its machine is gone: nothing is done and nothing is said
        self.stopping = threading.Event()
        self.notes = []
        self._told = None
        self._thread = threading.Thread(target=self._run, name=self.net, daemon=True)
        self._thread.start()

    def note(self, text):
        self.notes.append(text)

    def container(self, name):
        return next(c for c in self.containers if c.name == name)

    def again(self, code):
        policy = self.pod["spec"].get("restartPolicy", "Always")
        return not self.stopping.is_set() and (policy == "Always" or (policy == "OnFailure" and code != 0))

    def ready(self):
        return all(c.ready for c in self.containers)

    def kill(self):
        """kill -9 of all of it, and nobody starts it again: the machine is gone."""
        self.lost.set()
        for container in self.containers:
            if container.process is not None:
                container.process.kill()

    def stop(self):
        """At the story's end."""
        self.stopping.set()
        self.kill()
        self._thread.join(10)

    def _run(self):
        host = "veth" + self.net[4:]
        try:
            ip("netns", "add", self.net)
            ip("link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", self.net)
            ip("link", "set", host, "master", "pods", "up")
            for words in (("link", "set", "lo", "up"), ("addr", "add", self.ip + "/24", "dev", "eth0"), ("link", "set", "eth0", "up"),
                          ("route", "add", "default", "via", HOST_IP)):
                ip("-n", self.net, *words)
            self._live()
        except Exception as e:   # noqa: BLE001  (said by the story's verdict)
            self.kubelet.broken.append("pod %s: %r" % (self.name, e))
        finally:
            for container in self.containers:
                if container.process is not None:
                    container.process.kill()
            subprocess.run(["ip", "netns", "del", self.net], capture_output=True, check=False)

    def _live(self):
        volumes_at = 0.0
        mounted = False
        while not self.lost.is_set():
            if self.stopping.is_set():
                self._terminate()
                return
            if time.monotonic() >= volumes_at:
                try:
                    self.volumes.sync()
                    mounted = True
                except (NotRunnable, kube.ApiError, OSError, http.client.HTTPException) as e:
                    for container in self.containers:
                        if container.process is None:
                            container.waiting = "ContainerCreating: %s" % e
                volumes_at = time.monotonic() + SYNC_SECONDS
            if mounted:
                for container in self.containers:
                    container.tick()
            self._tell()
            self.lost.wait(0.1)

    def _terminate(self):
        """SIGTERM to all, and what does not listen within the grace period is killed; then the object goes."""
        grace = self.pod["spec"].get("terminationGracePeriodSeconds", 30)
        threads = [threading.Thread(target=c.process.stop, args=(signal.SIGTERM, grace)) for c in self.containers if c.process is not None]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.codes = {c.name: c.process.code for c in self.containers if c.process is not None}
        self.kubelet.codes.append((self.name, self.codes))
        try:
            self.kubelet.api.delete(kube.pod_path(self.pod["metadata"]["namespace"], self.name), grace=0, uid=self.uid)
        except kube.ApiError as e:
            if e.code not in (404, 409):
                raise

    def _tell(self):
        ended = [c for c in self.containers if c.process is not None and c.process.ended()]
        if len(ended) == len(self.containers):
            phase = "Succeeded" if all(c.process.code == 0 for c in ended) else "Failed"
        else:
            phase = "Running" if any(c.process is not None for c in self.containers) else "Pending"
        ready = "True" if phase == "Running" and self.ready() else "False"
        status = {"phase": phase, "podIP": self.ip, "podIPs": [{"ip": self.ip}], "hostIP": HOST_IP,
                  "containerStatuses": [c.status() for c in self.containers]}
        key = json.dumps([status, ready])
        if key == self._told:
            return
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        status["conditions"] = [{"type": t, "status": s, "lastTransitionTime": now} for t, s in (
            ("Initialized", "True"), ("Ready", ready), ("ContainersReady", ready), ("PodScheduled", "True"))]
        try:
            self.kubelet.api.patch(kube.pod_path(self.pod["metadata"]["namespace"], self.name, "status"), {"status": status},
                                   kube.STRATEGIC)
            self._told = key
        except kube.ApiError as e:
            if e.code != 404:
                raise


class Kubelet:
    """Runs the pods of some namespaces, on whatever node; those of users are run by the fake plugins. `images`: by a pattern of
    their name."""

    def __init__(self, plane, api, namespaces, images):
        self.plane, self.api, self.namespaces, self.images = plane, api, namespaces, images
        self.runners = {}       # uid -> PodRunner
        self.idle = False       # no pod is started; those that are to go, go
        self.broken = []
        self.codes = []         # (pod, {container: exit code}) of those that were asked to end
        self.hosts_file = plane._write("hosts", "127.0.0.1\tlocalhost\n")
        os.chmod(self.hosts_file, 0o644)
        self._number = 1
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubelet", daemon=True)

    def start(self):
        self._thread.start()
        return self

    def service_env(self):
        """What a kubelet tells each container of the API server."""
        return {"KUBERNETES_SERVICE_HOST": HOST_IP, "KUBERNETES_SERVICE_PORT": str(self.plane.ports["apiserver"])}

    def _run(self):
        while not self._stopped.wait(0.15):
            try:
                pods = self.api.get("/api/v1/pods", fieldSelector="spec.nodeName!=")["items"]
            except (OSError, http.client.HTTPException, kube.ApiError):
                continue
            mine = {p["metadata"]["uid"]: p for p in pods if p["metadata"]["namespace"] in self.namespaces}
            for uid, pod in mine.items():
                runner = self.runners.get(uid)
                if runner is None and not pod["metadata"].get("deletionTimestamp"):
                    if self.idle:
                        continue
                    self._number += 1
                    try:
                        self.runners[uid] = PodRunner(self, pod, self._number)
                    except (NotRunnable, OSError) as e:
                        self.broken.append("pod %s: %s" % (pod["metadata"]["name"], e))
                elif pod["metadata"].get("deletionTimestamp"):
                    if runner is None:
                        self._forget(pod)
                    elif not runner.lost.is_set():
                        runner.stopping.set()
            for uid, runner in list(self.runners.items()):
                if uid not in mine:
                    runner.kill()       # its object is gone
                    del self.runners[uid]

    def _forget(self, pod):
        try:
            self.api.delete(kube.pod_path(pod["metadata"]["namespace"], pod["metadata"]["name"]), grace=0)
        except kube.ApiError:
            pass

    def pods(self, prefix=""):
        return sorted((r for r in list(self.runners.values()) if r.name.startswith(prefix)), key=lambda r: r.name)

    def stop(self):
        self._stopped.set()
        self._thread.join(10)
        for runner in list(self.runners.values()):
            runner.stop()
