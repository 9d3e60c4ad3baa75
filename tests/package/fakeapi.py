"""An API server over TLS with a few objects, for a cardinald in a box: lists, watches that stay open, and nothing else."""

import http.server
import json
import os
import ssl
import subprocess
import threading
import time
from urllib.parse import parse_qs, urlsplit

KINDS = {"nodes": "Node", "pods": "Pod", "resourcequotas": "ResourceQuota"}


def authority(folder, *names):
    """A CA and a certificate of it for these names: ca.crt, tls.crt, tls.key in the folder."""
    def openssl(*args):
        subprocess.run(("openssl",) + args, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=test authority")
    openssl("req", *key, "-keyout", "tls.key", "-out", "tls.csr", "-subj", "/CN=api")
    with open(os.path.join(folder, "ext"), "w", encoding="utf-8") as f:
        f.write("subjectAltName=" + ",".join(names) + "\n")
    openssl("x509", "-req", "-in", "tls.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "ext", "-out", "tls.crt")


class Api:
    def __init__(self, folder, objects, token):
        self.objects, self.token, self.refused, self.stopped = objects, token, 0, False
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(folder, "tls.crt"), os.path.join(folder, "tls.key"))
        # The handshake is the request's thread's, so that a client that breaks off does not stop the server.
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.server.handle_error = lambda *_: None
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.stopped = True
        self.server.shutdown()
        self.server.server_close()


def _handler(api):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def answer(self, status, body):
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def chunk(self, event):
            data = json.dumps(event).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()

        def do_GET(self):
            where = urlsplit(self.path)
            query = parse_qs(where.query)
            plural = where.path.rsplit("/", 1)[1]
            if self.headers.get("Authorization") != "Bearer " + api.token:
                api.refused += 1
                return self.answer(401, {"kind": "Status", "apiVersion": "v1", "code": 401})
            if plural not in KINDS:
                return self.answer(404, {"kind": "Status", "apiVersion": "v1", "code": 404})
            items = [dict(o, apiVersion="v1") for o in api.objects if o["kind"] == KINDS[plural]]
            if "watch" not in query:
                return self.answer(200, {"kind": KINDS[plural] + "List", "apiVersion": "v1",
                                         "metadata": {"resourceVersion": "10"}, "items": items})
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            if "sendInitialEvents" in query:
                for item in items:
                    self.chunk({"type": "ADDED", "object": item})
                self.chunk({"type": "BOOKMARK", "object": {"kind": KINDS[plural], "apiVersion": "v1", "metadata": {
                    "resourceVersion": "10", "annotations": {"k8s.io/initial-events-end": "true"}}}})
            while not api.stopped:
                time.sleep(0.1)
            self.wfile.write(b"0\r\n\r\n")

    return Handler
