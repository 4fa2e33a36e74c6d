"""Builds MEBIBYTES of small objects, then sums them. usage: objects.py MEBIBYTES"""
import gc
import sys

gc.disable()  # or all that there is would be looked at again and again, natively too

COUNT = (int(sys.argv[1]) << 20) // (32 + 8)  # an int of up to 60 bits, and the list's pointer
numbers = [n * 2654435761 % 1000000007 + (1 << 40) for n in range(COUNT)]
print(len(numbers), sum(numbers), sum(numbers[::-4097]))
words = {f"key {n}": (n, str(n * n)) for n in range(0, COUNT, 100)}
print(len(words), sum(pair[0] for pair in words.values()), len("".join(p[1] for p in words.values())))
