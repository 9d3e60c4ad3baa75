"""A wire on loopback that can be held: what the server says then arrives later, and nothing is lost.

TLS goes through as it is. For the watch of one client that is slower than everybody else's.
"""

import socket
import threading

CHUNK = 1 << 16


class Link:
    """Connections to 127.0.0.1:`port` that pass here; `hold()` keeps the server's bytes back until `let_go()`."""

    def __init__(self, to_port):
        self._to = to_port
        self._open = threading.Event()
        self._open.set()
        self._sockets = set()
        self._lock = threading.Lock()       # guards _sockets
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="link", daemon=True).start()

    def hold(self):
        self._open.clear()

    def let_go(self):
        self._open.set()

    def stop(self):
        self.let_go()
        self._listener.close()
        with self._lock:
            for s in self._sockets:
                s.close()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:                 # stopped
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                near.close()
                continue
            for s in (near, far):
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._sockets |= {near, far}
            for pair in ((near, far, None), (far, near, self._open)):
                threading.Thread(target=self._carry, args=pair, name="link", daemon=True).start()

    def _carry(self, source, sink, gate):
        try:
            while True:
                data = source.recv(CHUNK)
                if gate is not None:
                    gate.wait()
                if not data:
                    break
                sink.sendall(data)
        except (OSError, ValueError):
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
