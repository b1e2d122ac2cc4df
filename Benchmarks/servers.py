"""Throughput of servers: redis under redis-benchmark, nginx under ab. The server runs in the engine, the clients
natively and on the same machine; servers take turns, so that a neighbouring pair of runs has met the same noise. Two figures:
requests a second, and the server's processor time per request, which other programs on the machine disturb less."""

import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import time

import measure

NGINX = """
worker_processes 1; daemon off; master_process on; pid {place}/nginx.pid; error_log {place}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {place}/a; proxy_temp_path {place}/b; fastcgi_temp_path {place}/c;
  uwsgi_temp_path {place}/d; scgi_temp_path {place}/e; keepalive_requests 1000000;
  server {{ listen 127.0.0.1:{port}; root {place}; location /small {{ return 200 "hello\\n"; }} }}
}}
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_for(port, process):
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            if process.poll() is not None:
                return False
            time.sleep(0.05)
    return False


class Server:
    """A server process in one engine. `spent` is the processor time of it and its children once it has ended."""

    def __init__(self, words, port):
        self.port = port
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True)
        self.ready = wait_for(port, self.process)

    def end(self):
        """Ends the server and returns its processor time in seconds."""
        before = os.times()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system


def redis(prefix, place, test, requests):
    port = free_port()
    server = Server(
        prefix + [shutil.which("redis-server"), "--port", str(port), "--save", "", "--dir", str(place)], port)
    command = ["redis-benchmark", "-p", str(port), "-n", str(requests), "-c", "50", "-t", test, "--csv"]
    return measured(server, command, r'^"[^"]*","([0-9.]+)"', requests)


def nginx(prefix, place, path, requests):
    port = free_port()
    configuration = place / "nginx.conf"
    configuration.write_text(NGINX.format(place=place, port=port))
    (place / "large").write_bytes(bytes(65536))
    server = Server(prefix + [shutil.which("nginx", path="/usr/sbin:/usr/bin"), "-c", str(configuration)], port)
    command = ["ab", "-q", "-k", "-n", str(requests), "-c", "32", f"http://127.0.0.1:{port}/{path}"]
    return measured(server, command, r"^Requests per second:\s+([0-9.]+)", requests)


def measured(server, command, pattern, requests):
    """Requests a second as the client says, and the server's processor seconds per request. None when it fails."""
    if not server.ready:
        server.end()
        return None
    # The client's own time must not be counted as a child's between the two looks at os.times().
    answer = subprocess.run(command, capture_output=True, text=True, timeout=300)
    spent = server.end()
    rates = [float(rate) for rate in re.findall(pattern, answer.stdout, re.MULTILINE)]
    return (statistics.geometric_mean(rates), spent / requests) if rates else None


LOADS = [
    ("redis set", redis, "set", 60000), ("redis get", redis, "get", 60000), ("redis lpush", redis, "lpush", 60000),
    ("nginx 6 bytes", nginx, "small", 40000), ("nginx 64 KiB", nginx, "large", 20000)]


def throughput(engines, runs, quick):
    """Prints, for each load and engine, throughput as a part of native and processor time as a multiple."""
    missing = [name for name in ("redis-server", "redis-benchmark", "ab") if not shutil.which(name)]
    if missing:
        print(f"\nservers: not measured, {', '.join(missing)} missing")
        return None
    others = [name for name in engines if name != "native"]
    print("\nservers: throughput, part of native; in brackets processor time per request, multiple of native")
    print(f"{'':16}{'native':>12}" + "".join(f"{name:>20}" for name in others))
    report = {}
    for name, load, what, requests in LOADS:
        figures = {engine: [] for engine in engines}
        for _ in range(runs):
            for engine, prefix in engines.items():
                place = measure.PRIVATE / "server"
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir()
                place.chmod(0o755)
                figures[engine].append(load(prefix, place, what, requests // 10 if quick else requests))
        report[name] = print_load(name, figures, others)
    return report


def print_load(name, figures, others):
    native = [pair for pair in figures["native"] if pair]
    if not native:
        print(f"{name:16}failed natively")
        return None
    line = f"{name:16}{statistics.median(rate for rate, _ in native):9.0f} /s"
    result = {}
    for engine in others:
        pairs = [(mine, his) for mine, his in zip(figures[engine], figures["native"]) if mine and his]
        if not pairs:
            line += f"{'failed':>20}"
            continue
        part = statistics.median(mine[0] / his[0] for mine, his in pairs)
        multiple = statistics.median(mine[1] / max(his[1], 1e-9) for mine, his in pairs)
        line += f"{part * 100:9.0f} % ({multiple:4.2f} ×)"
        result[engine] = {"throughput": part, "processor": multiple}
    print(line, flush=True)
    return result
