"""Stands before `sites.py`: looks at the edge at every step, and ends unseed where the test says so."""

import os
import re
import signal
import socket
import subprocess
import sys

action = sys.argv[1]


def origins():
    port = int(re.search(r":(\d+)/", os.environ["EDGE_URL"]).group(1))
    with socket.create_connection(("127.0.0.1", port), timeout=30) as link:
        link.sendall(b"KEYS origin:*\r\nPING\r\n")
        answer = b""
        while b"+PONG" not in answer:
            answer += link.recv(65536)
    return [name.decode() for name in re.findall(rb"\r\norigin:([^\r]*)\r\n", answer)]


def look(when):
    for name in origins():
        if not os.path.isfile(f"sites/{name}.erp.example/site_config.json"):
            with open("violations.log", "a") as log:
                log.write(f"{action} {when}: origin:{name} points at no site\n")


def end(when):
    if os.environ.get("KILL_AT") == f"{action}:{when}":
        os.kill(os.getppid(), signal.SIGKILL)
        sys.exit(1)


look("before")
end("before")
done = subprocess.run([sys.executable, "sites.py", action], input=sys.stdin.buffer.read(), stdout=subprocess.PIPE)
look("after")
end("after")
sys.stdout.buffer.write(done.stdout)
sys.exit(done.returncode)
