"""What disks, networks and hands do to files, the same for the same seed."""

import random


def flip_bits(data: bytes, seed: int, most: int = 4) -> bytes:
    """Flips one to `most` bits."""
    rng = random.Random(f"bits {seed}")
    changed = bytearray(data)
    for _ in range(rng.randint(1, most)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(data: bytes, seed: int) -> bytes:
    """Loses the end."""
    rng = random.Random(f"cut {seed}")
    return data[: rng.randrange(len(data))]


def blank(data: bytes, seed: int) -> bytes:
    """Loses a stretch to zeros, as a disk does."""
    rng = random.Random(f"blank {seed}")
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.randint(1, max(1, len(data) // 4)))
    return data[:start] + bytes(stop - start) + data[stop:]


def overwrite(data: bytes, seed: int) -> bytes:
    """Loses a stretch to noise."""
    rng = random.Random(f"overwrite {seed}")
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.randint(1, max(1, len(data) // 4)))
    return data[:start] + rng.randbytes(stop - start) + data[stop:]


WAYS = (flip_bits, cut, blank, overwrite)
