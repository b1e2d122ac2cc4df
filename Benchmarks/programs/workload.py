"""Arithmetic, dictionaries, strings, objects, closures and generators in CPython; prints a checksum. Argument: turns."""

import sys


class Pane:
    __slots__ = ("width", "height")

    def __init__(self, width, height):
        self.width, self.height = width, height

    def area(self):
        return self.width * self.height


def primes(limit):
    marks = bytearray([1]) * limit
    for number in range(2, int(limit**0.5) + 1):
        if marks[number]:
            marks[number * number :: number] = bytes(len(range(number * number, limit, number)))
    return sum(marks)


def collatz(limit):
    best = 0
    for start in range(1, limit):
        steps, number = 0, start
        while number != 1:
            number = number // 2 if number % 2 == 0 else 3 * number + 1
            steps += 1
        best = max(best, steps)
    return best


def words(count):
    counts = {}
    for index in range(count):
        word = f"w{index * 7919 % 997}"
        counts[word] = counts.get(word, 0) + len(word)
    return ",".join(sorted(counts, key=counts.get)[:9])


def turn(number):
    panes = [Pane(index, index + number) for index in range(2000)]
    total = sum(pane.area() for pane in panes if pane.width % 3)
    matrix = [[(row * column) % 7 + 0.5 for column in range(30)] for row in range(30)]
    product = sum(sum(a * b for a, b in zip(row, column)) for row in matrix for column in zip(*matrix))
    return total, product, primes(20000), collatz(600), words(4000)


check = 0
for number in range(int(sys.argv[1])):
    check = hash((check, turn(number)[:4])) & 0xFFFFFFFF
print(check)
