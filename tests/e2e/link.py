"""A wire on loopback that can be held, or be slow: what the server says then arrives later, and nothing is lost.

TLS goes through as it is. For the watch of one client that is slower than everybody else's, and for a server whose every answer is late.
"""

import queue
import socket
import threading
import time

CHUNK = 1 << 16


class Link:
    """Connections to 127.0.0.1:`port` that pass here; `hold()` keeps the server's bytes back until `let_go()`, and with `late` each
    of them comes so many seconds after it was sent, none before the other."""

    def __init__(self, to_port):
        self._to = to_port
        self.late = 0.0
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
            held = queue.SimpleQueue()
            for run, args in ((self._carry, (near, far)), (self._take, (far, held)), (self._give, (held, near, far))):
                threading.Thread(target=run, args=args, name="link", daemon=True).start()

    def _carry(self, source, sink):
        try:
            while data := source.recv(CHUNK):
                sink.sendall(data)
        except (OSError, ValueError):
            pass
        _end(source, sink)

    @staticmethod
    def _take(far, held):
        data = b"more"
        while data:
            try:
                data = far.recv(CHUNK)
            except (OSError, ValueError):
                data = b""
            held.put((time.monotonic(), data))

    def _give(self, held, near, far):
        try:
            while True:
                since, data = held.get()
                self._wait(since)
                if not data:
                    break
                near.sendall(data)
        except (OSError, ValueError):
            pass
        _end(near, far)

    def _wait(self, since):
        while (left := since + self.late - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))     # so that it ends soon when the delay does
        self._open.wait()


def _end(*sockets):
    for s in sockets:
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
