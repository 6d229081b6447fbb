"""A store of parcels in a folder, which does wrong what the test says."""

import json
import os
import subprocess
import sys
import time

action, wrong = sys.argv[1], os.environ.get("WRONG", "")
FOLDER = "parcels"


def answer(**line):
    print(json.dumps(line), flush=True)


def path(name):
    return os.path.join(FOLDER, name)


def content(name):
    with open(path(name)) as file:
        return file.read()


head = json.loads(sys.stdin.readline())
lines = [json.loads(line) for line in sys.stdin]
done = {"done": True}
if wrong == "fails":
    print("cannot log in at https://shop:hunter2@shop.example/api", file=sys.stderr)
    sys.exit(3)
if wrong == "hangs":
    child = subprocess.Popen(["sleep", "600"])
    with open("pids.new", "w") as file:
        file.write(f"{os.getpid()} {child.pid}")
    os.rename("pids.new", "pids")
    time.sleep(600)
if wrong == "noise":
    print("logging in …", flush=True)
if action in ("list", "verify"):
    assert head["dry_run"] or action == "verify" or os.path.exists(".unseed")
    known = sorted(os.listdir(FOLDER))
    wanted = [f"{line['values']['slug']}-{n}" for line in lines for n in range(3)]
    found = [name for name in wanted if name in known]
    for name in found:
        answer(entry=name, group="parcel", version=content(name))
    done["seen"] = len(found) if wrong == "all" else len(known)
    done["count"] = len(found) + (1 if wrong == "count" else 0)
elif action == "archive":
    for line in lines:
        answer(entry=line["entry"], version=content(line["entry"]), data=content(line["entry"]))
    done["count"] = len(lines)
elif action == "remove":
    for line in lines:
        name = line["entry"]
        if wrong == "changes" or (wrong == "changes once" and not os.path.exists("changed")):
            open("changed", "w").close()
            with open(path(name), "a") as file:
                file.write("!")
        if not os.path.exists(path(name)):
            answer(entry=name, outcome="gone")
        elif content(name) != line["version"]:
            answer(entry=name, outcome="changed")
        else:
            os.remove(path(name))
            answer(entry=name, outcome="removed")
    done["count"] = len(lines)
elif action == "restore":
    for line in lines:
        name = line["entry"]
        if os.path.exists(path(name)) and content(name) != line["data"]:
            answer(entry=name, outcome="conflict", reason="another parcel has this name")
            continue
        with open(path(name), "w") as file:
            file.write(line["data"])
        answer(entry=name, outcome="restored")
    done["count"] = len(lines)
if wrong != "cut":
    answer(**done)
