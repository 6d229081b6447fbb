#!/usr/bin/env python3
"""The sites of a bench as a store of unseed: list, archive, remove, verify, restore.

A site is a folder `sites/NAME` with a `site_config.json`. The program reads lines of JSON on standard input and answers
with lines of JSON; see docs/command-stores.md. It needs nothing but Python's standard library. With BENCH set to the
`bench` program it drops and restores sites with it; without, the folder is all there is of a site.
"""

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

SITES = os.environ.get("SITES", "sites")
DOMAIN = os.environ.get("SITES_DOMAIN", ".erp.example")
BENCH = os.environ.get("BENCH")


def answer(**line):
    print(json.dumps(line), flush=True)


def folder(name):
    # A name that could lead anywhere else is none of ours.
    if not name or "/" in name or name.startswith("."):
        raise SystemExit(f"no name of a site: {name!r}")
    return os.path.join(SITES, name)


def is_site(name):
    return os.path.isfile(os.path.join(SITES, name, "site_config.json"))


def sites():
    return sorted(name for name in os.listdir(SITES) if is_site(name))


def packed(name):
    """The folder of a site as a tar file whose bytes depend on nothing but its content."""
    def plain(member):
        member.mtime = member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.add(folder(name), arcname=name, filter=plain)
    return out.getvalue()


def version(name):
    return hashlib.sha256(packed(name)).hexdigest()


def list_sites(lines):
    """The sites of the tenants: their subdomain under our domain."""
    known = sites()
    wanted = {line["values"]["subdomain"] + DOMAIN for line in lines if line["values"].get("subdomain")}
    found = [name for name in known if name in wanted]
    for name in found:
        answer(entry=name, group="site", version=version(name))
    answer(done=True, count=len(found), seen=len(known))


def archive(lines):
    for line in lines:
        name = line["entry"]
        if not is_site(name):
            answer(entry=name, gone=True)
            continue
        data = packed(name)
        answer(entry=name, version=hashlib.sha256(data).hexdigest(), data=base64.b64encode(data).decode())
    answer(done=True, count=len(lines))


def remove(lines):
    for line in lines:
        name = line["entry"]
        if not is_site(name):
            answer(entry=name, outcome="gone")
        elif version(name) != line["version"]:
            answer(entry=name, outcome="changed")
        else:
            if BENCH:
                subprocess.run([BENCH, "drop-site", name, "--no-backup", "--force"], check=True, stdout=sys.stderr)
            drop(name)
            answer(entry=name, outcome="removed")
    answer(done=True, count=len(lines))


def drop(name):
    """Takes the folder away in one step, so that a site is there or not, then deletes what was in it."""
    gone = os.path.join(SITES, f".dropped-{name}")
    subprocess.run(["rm", "-rf", gone], check=True)
    if os.path.isdir(folder(name)):
        os.rename(folder(name), gone)
    subprocess.run(["rm", "-rf", gone], check=True)


def restore(lines):
    for line in lines:
        name = line["entry"]
        data = base64.b64decode(line["data"])
        if is_site(name):
            same = version(name) == line["version"]
            answer(entry=name, **({"outcome": "present"} if same else {"outcome": "conflict", "reason": "a site of this name exists"}))
            continue
        fresh = os.path.join(SITES, f".restored-{name}")
        subprocess.run(["rm", "-rf", fresh], check=True)
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            # Older versions of Python know no filters; what is unpacked is what this program packed.
            tar.extractall(fresh, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
        os.rename(os.path.join(fresh, name), folder(name))
        os.rmdir(fresh)
        answer(entry=name, outcome="restored")
    answer(done=True, count=len(lines))


ACTIONS = {"list": list_sites, "verify": list_sites, "archive": archive, "remove": remove, "restore": restore}


def main():
    head = json.loads(sys.stdin.readline())
    if head["format"] != "unseed.command/1" or head["action"] != sys.argv[1]:
        raise SystemExit(f"not what was asked for: {head}")
    ACTIONS[sys.argv[1]]([json.loads(line) for line in sys.stdin])


main()
