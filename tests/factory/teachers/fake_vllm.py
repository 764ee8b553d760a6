"""Stands in for `vllm serve` in tests: takes its arguments, answers /health, /v1/models and chats, and misbehaves.

It starts a worker process, as vLLM does. The environment variable FAKE_VLLM holds words: `refuse` (ends at once with
vLLM-like complaints), `stubborn` (ignores SIGTERM), `silent` (never healthy), `die=N` (its N-th chat kills it with
-9), `tidy=FILE` (its worker makes FILE some time after the server has ended).
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MISCHIEF = dict(word.partition("=")[::2] for word in os.environ.get("FAKE_VLLM", "").split())
LOG = """\
(EngineCore pid=123) ERROR 11-21 15:00:00 [core.py:1100] EngineCore failed to start.
(EngineCore pid=123) ERROR 11-21 15:00:00 [core.py:1100] Traceback (most recent call last):
(EngineCore pid=123) ERROR 11-21 15:00:00 [core.py:1100] ValueError: the model is too large
(APIServer pid=12) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""
SLEEPY = "import time; print('ready', flush=True); time.sleep(600)"
TIDY = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
sys.stdin.read()
time.sleep(0.5)
pathlib.Path(sys.argv[1]).touch()
"""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    chats = 0

    def do_GET(self) -> None:
        self.reply({} if self.path == "/health" else {"data": [{"id": options.served_model_name}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Handler.chats += 1
        if Handler.chats == int(MISCHIEF.get("die", 0)):
            os.kill(os.getpid(), signal.SIGKILL)
        message = {"content": f"<think>{os.getpid()}</think>{body['seed']}"}
        self.reply({"choices": [{"message": message, "finish_reason": "stop"}]})

    def reply(self, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("--port", type=int)
parser.add_argument("--served-model-name")
options, rest = parser.parse_known_args()

if "refuse" in MISCHIEF:
    sys.exit(LOG)
print("arguments", json.dumps(rest), flush=True)
if "stubborn" in MISCHIEF:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
worker = subprocess.Popen([sys.executable, "-c", TIDY if "tidy" in MISCHIEF else SLEEPY, MISCHIEF.get("tidy", "")],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE)
assert worker.stdout
worker.stdout.readline()
print("processes", os.getpid(), worker.pid, flush=True)
if "silent" in MISCHIEF:
    time.sleep(600)
ThreadingHTTPServer(("127.0.0.1", options.port), Handler).serve_forever()
