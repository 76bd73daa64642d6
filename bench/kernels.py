"""Kernels for the possession benchmark, each with a result that is printed: the same in every run."""

import json
import re
import sys


def nbody(steps):
    bodies = [[float(i), float(i * i % 7), float(i % 3), 0.0, 0.0, 0.0, 1.0 + i] for i in range(5)]
    for _ in range(steps):
        for i, one in enumerate(bodies):
            for other in bodies[i + 1 :]:
                dx, dy, dz = one[0] - other[0], one[1] - other[1], one[2] - other[2]
                force = 0.001 / (dx * dx + dy * dy + dz * dz + 0.1) ** 1.5
                one[3] -= dx * other[6] * force
                one[4] -= dy * other[6] * force
                one[5] -= dz * other[6] * force
                other[3] += dx * one[6] * force
                other[4] += dy * one[6] * force
                other[5] += dz * one[6] * force
        for one in bodies:
            one[0] += 0.001 * one[3]
            one[1] += 0.001 * one[4]
            one[2] += 0.001 * one[5]
    return f"{bodies[0][0]:.12f}"


def fannkuch(n):
    permutation, count, most, checksum, sign = list(range(n)), list(range(n)), 0, 0, 1
    while True:
        first = permutation[0]
        if first:
            flips, copy = 1, permutation[:]
            while True:
                copy[: first + 1] = reversed(copy[: first + 1])
                first = copy[0]
                if not first:
                    break
                flips += 1
            most = max(most, flips)
            checksum += sign * flips
        if sign == 1:
            permutation[0], permutation[1] = permutation[1], permutation[0]
            sign = -1
            continue
        permutation[1], permutation[2] = permutation[2], permutation[1]
        sign = 1
        for i in range(2, n):
            if count[i]:
                count[i] -= 1
                break
            if i == n - 1:
                return f"{checksum} {most}"
            count[i] = i
            permutation.insert(i + 1, permutation.pop(0))


class Node:
    __slots__ = ("key", "left", "right")

    def __init__(self, key):
        self.key, self.left, self.right = key, None, None

    def add(self, key):
        if key < self.key:
            if self.left:
                self.left.add(key)
            else:
                self.left = Node(key)
        elif self.right:
            self.right.add(key)
        else:
            self.right = Node(key)

    def depth(self):
        return 1 + max(self.left.depth() if self.left else 0, self.right.depth() if self.right else 0)


def tree(count):
    root, x = Node(500000), 7
    for _ in range(count):
        x = (x * 1103515245 + 12345) % 1000003
        root.add(x)
    return root.depth()


def text(count):
    record = [{"id": n, "name": f"name {n}", "tags": ["a", "b", str(n % 7)]} for n in range(count)]
    back = json.loads(json.dumps(record))
    found = re.findall(r"name (\d*7)\b", json.dumps(back))
    return f"{len(found)} {sum(map(int, found))}"


def generators(count):
    def numbers():
        yield from range(count)

    return sum(n * n for n in numbers() if n % 3)


def exceptions(count):
    caught = 0
    for n in range(count):
        try:
            if n % 3:
                raise ValueError(n)
        except ValueError as error:
            caught += error.args[0] % 5
    return caught


for _ in range(int(sys.argv[1])):
    print(nbody(1200), fannkuch(7), tree(6000), text(3000), generators(150000), exceptions(60000))
