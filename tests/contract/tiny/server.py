"""A service as small as the contracts allow: /health, /ready, and /slow."""

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODE, SHA = os.environ["MODE"], os.environ["APP_SHA"]
SLOW = 0.5  # seconds


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/slow":
            time.sleep(SLOW)
        body = json.dumps({"status": "healthy", "sha": SHA}).encode()
        self.send_response(503 if self.path == "/ready" and MODE == "unready" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


sys.stdout.write(f"started {SHA}\n")
if MODE == "exits":
    time.sleep(0.2)  # so that it is seen running again, too
    sys.exit(3)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # process 1 has no default for it
ThreadingHTTPServer(("", 8000), Handler).serve_forever()
