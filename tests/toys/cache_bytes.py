"""Bytes of a stored cache, counted by hand.

Args of all: key heads h, tokens n, numbers of a head d, bytes b a number and s a scale.
"""


def packed_bytes(count, codes_a_byte):
    return -(-count // codes_a_byte)


def groups_of(n, group):
    """Groups of at most as many tokens, all of one size, and what is left over."""
    size = max(1, n // max(1, -(-n // group)))
    return n // size, size, n % size


def bytes_of_exact(h, n, d, b):
    return 2 * h * n * d * b


def bytes_of_plain(bits, h, n, d, b, s, group=32):
    """A scale for each channel of a group of keys, and for each token's values."""
    groups, size, rest = groups_of(n, group)
    part = group if d % group == 0 else d
    keys = h * d * groups * (packed_bytes(size, 8 // bits) + 2 * s)
    values = h * n * (d // part) * (packed_bytes(part, 8 // bits) + 2 * s)
    return keys + values + h * rest * d * b


def bytes_of_zipcache(h, n, d, b, s, *, knows_question=True):
    """Places, codes and scales of two parts; without a question all tokens are in the finer one."""
    low = round(0.4 * n) if knows_question else 0
    total = h * d * b
    for k, codes in ((low, 4), (n - low, 2)):
        if k:
            total += 2 * h * k * packed_bytes(d, codes)
            total += 2 * s * h * (d + k)
            total += h * k * (1 if n <= 128 else 2)
    return total


def bytes_of_vidkv(h, n, d, b, s):
    """Wide channels in 2 bits, signs of the others, values in three codes; channels' places."""
    groups, size, rest = groups_of(n, 32)
    wide = round(d / 2)
    keys = h * groups * wide * (packed_bytes(size, 4) + 2 * s)
    keys += h * groups * (d - wide) * (packed_bytes(size, 8) + b)
    values = h * groups * d * (packed_bytes(size, 5) + b)
    return keys + values + bytes_of_exact(h, rest, d, b) + d
