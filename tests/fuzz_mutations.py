"""How valid input is damaged: trees of JSON, bytes, PNG and safetensors files, dictionaries of tensors.

Everything is drawn from a `random.Random`: a seeded one in the long form (`fuzz.py`), one that Hypothesis drives in the
short form (`test_fuzz.py`), so that both make the same damage. After damage inside a file its checksums and lengths are
mended again, so that it gets past the first parser. Read next: `fuzz_seeds.py`.
"""

from __future__ import annotations

import copy
import json
import math
import struct
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

import torch
from torch import Tensor

NUMBERS = (0, 1, -1, 2, 3, 7, 255, 256, 0.5, -0.5, 1.5, 1e-300, 1e9, -1e9, 1e300, math.nan, math.inf, -math.inf)
NUMBERS += (2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63, -(2**63), 10**30, 10**400)
TEXTS = (
    "",
    " ",
    "0",
    "-1",
    "nan",
    "a",
    "cat",
    "../../outside",
    "/etc/passwd",
    "C:\\x",
    "a\0b",
    "é\u202e",
    "\ud800",
    "9" * 300,
)
OTHERS = (None, True, False, [], {}, [[]], [0], [None], [[0, 0, 0, 0]], {"a": 0}, [1, 2, 3, 4], [math.nan] * 4)
EDGES = NUMBERS + TEXTS + OTHERS
DEEP = "a place for brackets in brackets"  # stands in a tree where its text gets more brackets than a stack holds
BIG_ENDIAN_EDGES = tuple(struct.pack(">I", n) for n in (0, 1, 2, 255, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1))


# ---- trees: what JSON holds, and dictionaries of tensors -----------------------------------------------------------


def slots(tree: Any) -> list[tuple[Any, Any]]:
    """Every (container, key or index) of a tree of dicts and lists."""
    found, waiting = [], [tree]
    while waiting:
        container = waiting.pop()
        keys = list(container) if isinstance(container, dict) else range(len(container))
        found += [(container, key) for key in keys]
        waiting += [container[key] for key in keys if isinstance(container[key], (dict, list))]
    return found


def mutate_tree(tree: Any, random: Random, most: int = 3) -> Any:
    """A copy with one to `most` changes: of a value, a key, an order, a depth."""
    tree = copy.deepcopy(tree)
    for _ in range(random.randint(1, most)):
        places = slots(tree)
        if not places:
            return random.choice(EDGES)
        container, key = by_level(places, random)
        random.choice((replaced, replaced, tweaked, tweaked, deleted, doubled, renamed, nested, moved))(
            container, key, places, random
        )
    return tree


def by_level(places: list[tuple[Any, Any]], random: Random) -> tuple[Any, Any]:
    """One of the places; of a long list of numbers not each number has the weight of a whole annotation's field."""
    short = [place for place in places if not (isinstance(place[0], list) and len(place[0]) > 4)]
    return random.choice(short if short and random.random() < 0.8 else places)


def replaced(container: Any, key: Any, places: Any, random: Random) -> None:
    container[key] = copy.deepcopy(random.choice(EDGES))


def tweaked(container: Any, key: Any, places: Any, random: Random) -> None:
    """Nearly the same value, or the same in another type."""
    value = container[key]
    if isinstance(value, Tensor):
        container[key] = mutate_tensor(value, random)
    elif isinstance(value, bool) or value is None:
        container[key] = not value
    elif isinstance(value, (int, float)):
        near = (value + 1, value - 1, -value, value * 1000, value // 2, value * 10**9, str(value), [value], 0)
        container[key] = random.choice(near)
    elif isinstance(value, str):
        cut = random.randint(0, len(value))
        other = chr(random.randint(0, 300))
        container[key] = random.choice((value[:cut], value[:cut] + other + value[cut + 1 :], value * 2, value.upper()))
    elif isinstance(value, list) and value:
        container[key] = random.choice((value[:-1], value + value[:1], value[::-1], value * 2, [value], value[:1]))
    else:
        container[key] = random.choice(EDGES)


def deleted(container: Any, key: Any, places: Any, random: Random) -> None:
    del container[key]


def doubled(container: Any, key: Any, places: Any, random: Random) -> None:
    if isinstance(container, list):
        container.insert(key, copy.deepcopy(container[key]))
    else:
        container[f"{key}_2"] = copy.deepcopy(container[key])


def renamed(container: Any, key: Any, places: Any, random: Random) -> None:
    if isinstance(container, dict):
        container[random.choice((*TEXTS, str(key).upper(), f"{key}s", f" {key}"))] = container.pop(key)
    else:
        random.shuffle(container)


def nested(container: Any, key: Any, places: Any, random: Random) -> None:
    value = container[key]
    container[key] = random.choice(([value], {"a": value}, [[value]], {str(key): value}, DEEP))


def moved(container: Any, key: Any, places: Any, random: Random) -> None:
    other, other_key = random.choice(places)
    try:
        container[key] = copy.deepcopy(other[other_key])
    except RecursionError:  # a tree that holds itself
        container[key] = None


def json_text(tree: Any, random: Random) -> bytes:
    """The tree as JSON; now and then with damage that only text can have."""
    text = json.dumps(tree).replace(
        f'"{DEEP}"', "[" * 5000 + "]" * 5000 if random.random() < 0.5 else "[" * 400 + "]" * 400
    )
    data = text.encode("utf-8")
    if random.random() < 0.1:
        data = mutate_bytes(data, random)
    return b"\xef\xbb\xbf" + data if random.random() < 0.02 else data


# ---- bytes ---------------------------------------------------------------------------------------------------------


def mutate_bytes(data: bytes, random: Random, most: int = 3, first: int | None = None) -> bytes:
    """Flips, cuts, splices, overwrites; first: only among so many bytes at the beginning."""
    changed = bytearray(data)
    for _ in range(random.randint(1, most)):
        length = len(changed) if first is None else min(first, len(changed))
        if not length:
            return bytes(random.randint(0, 255) for _ in range(8))
        at, span = random.randrange(length), random.choice((1, 1, 2, 4, 8, 64))
        kind = random.randrange(8)
        if kind < 2:
            changed[at] ^= 1 << random.randrange(8)
        elif kind == 2:
            changed[at] = random.choice((0, 1, 127, 128, 255, random.randint(0, 255)))
        elif kind == 3:
            edge = random.choice(BIG_ENDIAN_EDGES)
            changed[at : at + 4] = edge if random.random() < 0.5 else edge[::-1]
        elif kind == 4:
            del changed[at : at + span]
        elif kind == 5:
            changed[at:at] = changed[at : at + span]
        elif kind == 6:
            changed[at : at + span] = bytes(random.randint(0, 255) for _ in range(span))
        elif first is None:
            del changed[at:]
    return bytes(changed)


# ---- PNG -----------------------------------------------------------------------------------------------------------


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """(type, content) of each chunk of a whole PNG."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


def png_file(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """The chunks with right lengths and checksums."""
    parts = [
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def mutate_png(data: bytes, random: Random) -> bytes:
    """Damage inside a chunk, to its pixels before they are packed, or to the order of chunks; checksums are right."""
    chunks = png_chunks(data)
    n = random.randrange(len(chunks))
    name, content = chunks[n]
    kind = random.randrange(8)
    if kind < 2:  # width, height, bits, colour type, …
        n, (name, content) = 0, chunks[0]
        at = random.choice((0, 4, 8, 9, 10, 11, 12))
        new = random.choice(BIG_ENDIAN_EDGES) if at < 8 else bytes([random.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))])
        chunks[n] = (name, content[:at] + new + content[at + len(new) :])
    elif kind < 5:  # pixels
        n = next((i for i, chunk in enumerate(chunks) if chunk[0] == b"IDAT"), n)
        pixels = zlib.decompress(b"".join(content for name, content in chunks if name == b"IDAT"))
        pixels = (
            mutate_bytes(pixels, random, most=8)
            if random.random() < 0.7
            else bytes(random.choices(range(256), k=len(pixels)))
        )
        chunks = [chunk for i, chunk in enumerate(chunks) if chunk[0] != b"IDAT" or i == n]
        chunks[n] = (b"IDAT", zlib.compress(pixels))
    elif kind == 5:
        chunks[n] = (name, mutate_bytes(content, random))
    elif kind == 6:
        chunks[n] = (
            random.choice((b"PLTE", b"tRNS", b"IDAT", b"acTL", b"eXIf", b"zTXt", b"iCCP", name.swapcase())),
            content,
        )
    else:
        other = random.randrange(len(chunks))
        chunks[n], chunks[other] = chunks[other], chunks[n]
        chunks = random.choice((chunks, chunks[:-1], chunks + chunks[1:], chunks[: n + 1]))
    return png_file(chunks)


# ---- safetensors ---------------------------------------------------------------------------------------------------


def safetensors_parts(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header, as JSON gives it, and the numbers behind it."""
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def safetensors_file(header: Any, numbers: bytes) -> bytes:
    """With the right length of the header in front."""
    text = json.dumps(header).replace(f'"{DEEP}"', "[" * 5000).encode("utf-8")
    return struct.pack("<Q", len(text)) + text + numbers


# ---- tensors -------------------------------------------------------------------------------------------------------

DTYPES = (
    torch.float16,
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.int8,
    torch.uint8,
    torch.int16,
    torch.int32,
)
DTYPES += (torch.int64, torch.bool, torch.complex64)
RESHAPES: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda t: t[:-1],
    lambda t: torch.cat([t, t[:1]]),
    lambda t: t[:, :-1] if t.dim() > 1 else t[:0],
    lambda t: t[None],
    lambda t: t.unsqueeze(-1),
    lambda t: t[:, None] if t.dim() > 1 else t[None],
    lambda t: t.flatten(),
    lambda t: t.transpose(0, -1),
    lambda t: t.movedim(0, -1),
    lambda t: t.reshape(t.shape[0], -1),
    lambda t: t.sum(0),
    lambda t: t[0],
    lambda t: t[:0],
    lambda t: t.new_zeros(0),
    lambda t: t[..., ::2],
    lambda t: t.to_sparse(),
    lambda t: t.to("meta"),
    lambda t: t.expand(2, *t.shape),
)


def mutate_tensor(tensor: Tensor, random: Random) -> Any:
    """Another dtype, shape, order or a few other values; now and then something that is no tensor."""
    try:
        return changed_tensor(tensor, random)
    except (IndexError, RuntimeError, TypeError):  # this one has no such dimension, or its numbers no such value
        return tensor.new_zeros(random.choice(((), (0,), (1,), (2, 3), (0, 4), (1, 0, 0))))


def changed_tensor(tensor: Tensor, random: Random) -> Any:
    kind = random.randrange(10)
    if kind == 0:
        return random.choice((None, tensor.tolist(), tensor.numpy(), "a", 3, [tensor], {}, [], tensor.to_sparse))
    if kind < 3:
        return tensor.to(random.choice(DTYPES))
    if kind < 5:
        return random.choice(RESHAPES)(tensor)
    if kind < 7 and tensor.numel():
        changed = tensor.clone()
        for _ in range(random.randint(1, 3)):
            changed.view(-1)[random.randrange(changed.numel())] = fitting(random.choice(NUMBERS), changed.dtype)
        return changed
    scale = random.choice((-1, 0, 2, 255, 1 / 255, 0.01, 1000, 0.5))
    if kind == 7:
        return tensor * scale if tensor.dtype != torch.bool else ~tensor
    if kind == 8 and tensor.dim():
        return random.choice((tensor.flip(0), tensor.roll(1, 0), tensor.flip(-1), tensor.roll(1, -1)))
    return tensor + fitting(random.choice(NUMBERS), tensor.dtype)


def fitting(value: float, dtype: torch.dtype) -> float:
    """A number that torch can turn into this dtype: NaN is no integer, 10**400 no float."""
    if dtype.is_floating_point or dtype.is_complex:
        return float(max(-(10**300), min(10**300, value))) if isinstance(value, int) else value
    if dtype == torch.bool:
        return bool(value)
    limits = torch.iinfo(dtype)
    # not math.isfinite(value): it turns the value into a float, and 10**400 is none
    return limits.max if value != value else int(max(limits.min, min(limits.max, value)))
