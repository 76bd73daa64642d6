"""A CPython loop: numbers, strings, dictionaries, exceptions, threads, hashes, each with a known result."""

import hashlib
import json
import re
import select
import sys
import threading
import time


def wrong(what):
    print("WRONG", what, flush=True)
    sys.exit(1)


def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


class Account:
    def __init__(self):
        self.sum = 0

    def add(self, n):
        self.sum += n
        return self


def dive(n, dives):
    if n == 0:
        raise KeyError("bottom")
    try:
        dive(n - 1, dives)
    finally:
        dives.append(n)


def work(seed):
    if fibonacci(14) != 377:
        wrong("fibonacci")
    if pow(3, 400, 1000007) != 3**400 % 1000007:
        wrong("power")
    words = {f"word{i}": i * seed for i in range(300)}
    if sum(words.values()) != 44850 * seed or json.loads(json.dumps(words)) != words:
        wrong("dictionary")
    account = Account()
    for i in range(500):
        account.add(i)
    if account.sum != 124750:
        wrong("methods")
    dives = []
    try:
        dive(40, dives)
    except KeyError as error:
        if error.args != ("bottom",) or dives != list(range(1, 41)):
            wrong("exception")
    else:
        wrong("no exception")
    if hashlib.sha256(b"abc" * 1000).hexdigest()[:16] != DIGEST:
        wrong("digest")
    if re.sub(r"(\w)(\d+)", r"\2\1", "a1 b22 c333") != "1a 22b 333c":
        wrong("regular expression")
    if sum(x * 0.5 for x in range(1000)) != 249750.0 or sorted("possess") != list("eopssss"):
        wrong("floats or sorting")


DIGEST = hashlib.sha256(b"abc" * 1000).hexdigest()[:16]
rounds = 0
stop = False


def beside():
    while not stop:
        work(3)
        time.sleep(0.002)


thread = threading.Thread(target=beside)
thread.start()
work(2)
print("ready", flush=True)
told = 0.0
while True:
    work(rounds)
    rounds += 1
    now = time.monotonic()
    if now - told > 0.02:
        told = now
        print(rounds, flush=True)
        if select.select([0], [], [], 0)[0]:
            break
stop = True
thread.join()
print("SOUND", rounds, flush=True)
