"""What a careful person writes in Python to remove the keys of test tenants: SCAN in large steps, one regular expression,
a set of ids, UNLINK; and an archive of DUMP and PTTL before it, with pipelines.

usage: redis.py SOCKET      a Redis that `cargo xtask bench --store redis` has filled; its keys are removed
"""
import os
import re
import sys
import tempfile
import time

# This file has the name of the module that it needs.
sys.path = [folder for folder in sys.path if os.path.abspath(folder or ".") != os.path.dirname(os.path.abspath(__file__))]
import redis

SHAPE = re.compile(rb"(?:tenant:|sess:|cache:resp:)([0-9a-f-]{36}):|cache:branding:(.+)$")
STEP = 10_000


def doomed_values(client):
    """Every hundredth tenant stays; ids are read from the keys themselves, so that nothing is computed twice."""
    ids, names = set(), set()
    for key in client.scan_iter(match=b"cache:branding:*", count=STEP):
        name = key.rsplit(b":", 1)[1]
        if int(name[1:]) % 100:
            names.add(name)
    ordered = sorted(names)
    for start in range(0, len(ordered), STEP):
        pipeline = client.pipeline(transaction=False)
        for name in ordered[start : start + STEP]:
            pipeline.hget(b"cache:branding:" + name, "tenant")
        ids.update(pipeline.execute())
    return ids, names


def steps(client, ids, names):
    cursor = 0
    while True:
        cursor, keys = client.scan(cursor, count=STEP)
        chosen = []
        for key in keys:
            found = SHAPE.match(key)
            if found and (found.group(1) in ids if found.group(1) else found.group(2) in names):
                chosen.append(key)
        yield chosen
        if cursor == 0:
            return


def remove(client, ids, names):
    return sum(client.unlink(*keys) for keys in steps(client, ids, names) if keys)


def archive(client, ids, names):
    count = 0
    with tempfile.TemporaryFile() as out:
        for keys in steps(client, ids, names):
            pipeline = client.pipeline(transaction=False)
            for key in keys:
                pipeline.dump(key)
                pipeline.pttl(key)
            answers = pipeline.execute() if keys else []
            for key, payload, left in zip(keys, answers[::2], answers[1::2]):
                out.write(len(key).to_bytes(4, "big") + key + left.to_bytes(8, "big", signed=True))
                out.write(len(payload).to_bytes(4, "big") + payload)
                count += 1
        out.flush()
        os.fsync(out.fileno())
    return count


def main():
    client = redis.Redis(unix_socket_path=sys.argv[1], username="keeper", password="keeper", socket_timeout=None)
    values = doomed_values(client)
    for name, job in (("archive", archive), ("remove", remove)):
        start = time.perf_counter()
        count = job(client, *values)
        print(f"{name:8} {time.perf_counter() - start:8.3f} s   {count} keys", flush=True)


main()
