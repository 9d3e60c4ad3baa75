"""A small client of the Kubernetes API: what the end-to-end layer needs and nothing more.

Standard library only, so that the stories run on a bare Debian. One keep-alive connection per thread; a watch has a
connection of its own that another thread may cut, because that is the only way to end a blocking read in time.
"""

import http.client
import json
import socket
import ssl
import threading
import time
import urllib.parse

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"

# kube-apiserver drops idle connections after 90 s; a write on such a connection would fail although nothing is wrong.
IDLE_MAX = 45.0


class ApiError(Exception):
    """An answer of the API server that is not 2xx."""

    def __init__(self, method, path, code, body):
        self.code = code
        self.body = body if isinstance(body, dict) else {}
        self.reason = self.body.get("reason", "")
        self.text = self.body.get("message", str(body)[:300])
        super().__init__("%s %s: %d %s: %s" % (method, path, code, self.reason, self.text))


class Gone(Exception):
    """A watch cannot be resumed: the history between two events is lost (410)."""


class Endpoint:
    """Where a control plane listens and who we are there. Cheap to copy with another identity."""

    def __init__(self, host, port, ca_file, token, agent):
        self.host = host
        self.port = port
        self.ca_file = ca_file
        self.token = token
        self.agent = agent


class Api:
    """One identity at one API server. Safe from any thread."""

    def __init__(self, endpoint):
        self.endpoint = endpoint
        self._local = threading.local()
        self._epoch = 0
        self._tls = ssl.create_default_context(cafile=endpoint.ca_file)

    def drop_connections(self):
        """The API server was restarted: nobody's open connection leads anywhere."""
        self._epoch += 1

    def _connect(self, timeout):
        e = self.endpoint
        return http.client.HTTPSConnection(e.host, e.port, timeout=timeout, context=self._tls)

    def _headers(self, content_type=None):
        h = {"Authorization": "Bearer " + self.endpoint.token, "User-Agent": self.endpoint.agent,
             "Accept": "application/json"}
        if content_type:
            h["Content-Type"] = content_type
        return h

    def raw(self, method, path, body=None, content_type="application/json", timeout=30.0):
        """Send one request; returns (status, bytes). A read is repeated once on a connection that was cut."""
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
        for attempt in (0, 1):
            conn = getattr(self._local, "conn", None)
            if conn is None or time.monotonic() - self._local.used > IDLE_MAX or self._local.epoch != self._epoch:
                if conn is not None:
                    conn.close()
                conn = self._connect(timeout)
                self._local.conn, self._local.epoch = conn, self._epoch
            conn.timeout = timeout
            if conn.sock is not None:
                conn.sock.settimeout(timeout)
            try:
                conn.request(method, path, body=data, headers=self._headers(content_type if data else None))
                resp = conn.getresponse()
                payload = resp.read()
            except (OSError, http.client.HTTPException):
                conn.close()
                self._local.conn = None
                if method == "GET" and attempt == 0:
                    continue
                raise
            self._local.used = time.monotonic()
            return resp.status, payload
        raise AssertionError("not reached")

    def call(self, method, path, body=None, content_type="application/json", timeout=30.0):
        """Send one request and decode the answer; anything but 2xx is an ApiError."""
        status, payload = self.raw(method, path, body, content_type, timeout)
        try:
            answer = json.loads(payload) if payload else {}
        except ValueError:
            answer = payload.decode("utf-8", "replace")
        if not 200 <= status < 300:
            raise ApiError(method, path, status, answer)
        return answer

    def get(self, path, **query):
        return self.call("GET", with_query(path, query))

    def create(self, path, body):
        return self.call("POST", path, body)

    def patch(self, path, body, content_type=MERGE):
        return self.call("PATCH", path, body, content_type)

    def delete(self, path, grace=None, uid=None):
        options = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        return self.call("DELETE", path, options)

    def watch(self, path, **query):
        return Watch(self, path, query)


class Watch:
    """One resource watched from a list on, without a gap. Iterate `events()` in one thread, `stop()` from any.

    A connection that ends is resumed from the last resourceVersion seen. After 410 nobody can say what happened in
    between, and the readers of this history must not guess: it raises Gone, unless `may_relist` was set because the
    story knows that nothing did happen (the API server itself was away).
    """

    def __init__(self, api, path, query):
        self._api = api
        self._path = path
        self._query = query
        self._known = {}                # uid -> object as last told
        self.may_relist = False
        self._stopped = threading.Event()
        self._lock = threading.Lock()   # guards _conn
        self._conn = None
        self.rv = None

    def list(self):
        """List, remember the version to watch from, and return the items."""
        answer = self._api.get(self._path, **self._query)
        self.rv = answer["metadata"]["resourceVersion"]
        items = answer.get("items") or []
        self._known = {o["metadata"]["uid"]: o for o in items}
        return items

    def stop(self):
        self._stopped.set()
        with self._lock:
            if self._conn is not None and self._conn.sock is not None:
                try:
                    self._conn.sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def events(self):
        """Yield (type, object) until stopped."""
        while not self._stopped.is_set():
            try:
                yield from self._stream()
            except Gone:
                if not self.may_relist:
                    raise
                yield from self._relist()
            except (OSError, http.client.HTTPException, ValueError):
                self._stopped.wait(0.2)

    def _relist(self):
        """What changed between the last event and a fresh list, as events."""
        before = self._known
        try:
            items = self.list()
        except (ApiError, OSError, http.client.HTTPException):
            self._stopped.wait(0.2)
            return
        for uid, obj in before.items():
            if uid not in self._known:
                gone = dict(obj, metadata=dict(obj["metadata"], resourceVersion=self.rv))
                yield "DELETED", gone
        for obj in items:
            old = before.get(obj["metadata"]["uid"])
            if old is None or old["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
                yield ("ADDED" if old is None else "MODIFIED"), obj

    def _stream(self):
        query = dict(self._query, watch="1", resourceVersion=self.rv, allowWatchBookmarks="true", timeoutSeconds="900")
        api = self._api
        conn = api._connect(30.0)
        with self._lock:
            if self._stopped.is_set():
                return
            self._conn = conn
        try:
            conn.request("GET", with_query(self._path, query), headers=api._headers())
            resp = conn.getresponse()
            if resp.status == 410:
                raise Gone(self._path)
            if resp.status != 200:
                raise OSError("watch %s: HTTP %d" % (self._path, resp.status))
            conn.sock.settimeout(None)
            rest = b""
            while True:
                chunk = resp.read1(1 << 16)
                if not chunk:
                    return
                rest += chunk
                if b"\n" not in chunk:
                    continue
                lines = rest.split(b"\n")
                rest = lines.pop()
                for line in lines:
                    if not line:
                        continue
                    event = json.loads(line)
                    kind, obj = event["type"], event["object"]
                    if kind == "ERROR":
                        if obj.get("code") == 410:
                            raise Gone(self._path)
                        raise OSError("watch %s: %s" % (self._path, obj.get("message")))
                    self.rv = obj["metadata"]["resourceVersion"]
                    if kind == "BOOKMARK":
                        continue
                    if kind == "DELETED":
                        self._known.pop(obj["metadata"]["uid"], None)
                    else:
                        self._known[obj["metadata"]["uid"]] = obj
                    yield kind, obj
        finally:
            with self._lock:
                self._conn = None
            conn.close()


def with_query(path, query):
    return path + "?" + urllib.parse.urlencode(query) if query else path


def pod_path(namespace, name, sub=None):
    return "/api/v1/namespaces/%s/pods/%s%s" % (namespace, name, "/" + sub if sub else "")


def node_path(name, sub=None):
    return "/api/v1/nodes/%s%s" % (name, "/" + sub if sub else "")


def annotations(obj):
    return obj["metadata"].get("annotations") or {}


def labels(obj):
    return obj["metadata"].get("labels") or {}


def key_of(obj):
    """namespace/name, as people say it."""
    m = obj["metadata"]
    return "%s/%s" % (m.get("namespace", ""), m["name"])
