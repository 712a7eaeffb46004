"""Files made wrong by a seed: bytes, JSON and lines of text, as damage, other programs and malice would have them."""

import json
import random
import struct
from typing import Any

_HEADER = 400  # bytes at the beginning of a file, where most of the meaning lies
_NUMBERS = [
    *(struct.pack(kind, value) for kind in ("<h", ">h") for value in (-32768, -1, 0, 1, 7, 32767)),
    *(struct.pack(kind, value) for kind in ("<i", ">i") for value in (-(2**31), -1, 0, 30000, 2**31 - 1)),
    *(struct.pack(kind, value) for kind in ("<q", ">q") for value in (-(2**63), -1, 2**62, 2**63 - 1)),
    *(struct.pack(kind, value) for kind in ("<f", "<d") for value in (float("nan"), float("inf"), -1.0, 1e30, 1e-30)),
]
_ODD: list[Any] = [
    None,
    True,
    0,
    -1,
    1.0,
    2**63,
    10**400,
    float("nan"),
    float("inf"),
    -float("inf"),
    1e-308,
    "",
    "mean",
    "../../outside",
    "/etc/passwd",
    "[/x]",
    "\x1b[31m",
    "\ud800",
    "a\nb",
    "x" * 5000,
    "=1+1",
    "<script>alert(1)</script>",
    [],
    {},
    [[]],
    {"": None},
]
_WORDS = [
    b"0",
    b"-1",
    b"1e999",
    b"nan",
    b"inf",
    b"99999999999999999999",
    b'""',
    b"[]",
    b"{}",
    b"true",
    b"\x00",
    b"\xff\xfe",
    b"\x1b[2J",
    b"../..",
    "é".encode(),
    b"x" * 3000,
]


def of_bytes(data: bytes, rng: random.Random) -> bytes:
    """One to three changes of a binary file, most of them in its header."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        ahead = min(len(changed), _HEADER) if rng.random() < 0.7 else len(changed)
        at = rng.randrange(max(1, ahead))
        kind = rng.choice(("flip", "number", "number", "number", "cut", "drop", "insert", "double", "zeros"))
        if kind == "flip" and changed:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == "number":
            number = rng.choice(_NUMBERS)
            at -= at % len(number)
            changed[at : at + len(number)] = number
        elif kind == "cut":
            del changed[at:]
        elif kind == "drop":
            del changed[at : at + rng.randrange(1, 64)]
        elif kind == "insert":
            changed[at:at] = rng.randbytes(rng.randrange(1, 64))
        elif kind == "double":
            changed[at:at] = changed[at : at + rng.randrange(1, 256)]
        elif kind == "zeros":
            changed[at : at + 32] = bytes(len(changed[at : at + 32]))
    return bytes(changed)


def of_json(data: bytes, rng: random.Random) -> bytes:
    """JSON, or lines of JSON, with one or two values, keys or items changed; a fifth of the time as bytes."""
    if rng.random() < 0.2:
        return of_lines(data, rng) if rng.random() < 0.5 else of_bytes(data, rng)
    try:
        tree = json.loads(data)
    except ValueError:
        lines = data.split(b"\n")
        at = rng.randrange(max(1, len(lines) - 1))
        lines[at] = of_json(lines[at], rng) if lines[at] else b"[]"
        return b"\n".join(lines)
    for _ in range(rng.choice((1, 1, 2))):
        tree = _changed(tree, rng)
    if rng.random() < 0.02:
        return b"[" * 100000 + b"]" * 100000
    return json.dumps(tree).encode("utf-8", "surrogatepass")


def of_lines(data: bytes, rng: random.Random) -> bytes:
    """Text with a line changed, doubled, left out or cut, or the part of a line after its equals sign replaced."""
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    kind = rng.choice(("value", "value", "value", "word", "double", "drop", "cut", "join", "crlf"))
    if kind == "value" and b"=" in data:
        at = rng.choice([n for n, line in enumerate(lines) if b"=" in line])
        key, _, value = lines[at].partition(b"=")
        odd = rng.choice((*_WORDS, b"'" + value.strip() + b"'", b"[" + value + b"]", b"{ a =" + value + b"}"))
        lines[at] = key + b"= " + odd
    elif kind == "double":
        lines.insert(at, lines[at])
    elif kind == "drop":
        del lines[at]
    elif kind == "cut":
        lines[at:] = [lines[at][: rng.randrange(len(lines[at]) + 1)]]
    elif kind == "join" and at + 1 < len(lines):
        lines[at : at + 2] = [lines[at] + lines[at + 1]]
    elif kind == "crlf":
        return data.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", b"\x0b")))
    else:
        place = rng.randrange(len(lines[at]) + 1)
        lines[at] = lines[at][:place] + rng.choice(_WORDS) + lines[at][place:]
    return b"\n".join(lines)


def _changed(tree: Any, rng: random.Random) -> Any:
    """The tree with one node changed; how deep is chance."""
    if not isinstance(tree, dict | list) or not tree or rng.random() < 0.12:
        return rng.choice(_ODD)
    key = rng.choice(list(tree) if isinstance(tree, dict) else range(len(tree)))
    if isinstance(tree[key], dict | list) and rng.random() < 0.85:
        new = _changed(tree[key], rng)
        return {**tree, key: new} if isinstance(tree, dict) else [*tree[:key], new, *tree[key + 1 :]]
    kind = rng.choice(("value", "value", "value", "drop", "more", "name"))
    if isinstance(tree, list):
        more = {"drop": [], "more": [tree[key], tree[key]]}.get(kind, [rng.choice(_ODD)])
        return [*tree[:key], *more, *tree[key + 1 :]]
    rest = {name: value for name, value in tree.items() if name != key}
    if kind == "drop":
        return rest
    if kind == "name":
        return {**rest, str(rng.choice(_ODD)): tree[key]}
    if kind == "more":
        return {**tree, "unknown": rng.choice(_ODD)}
    return {**tree, key: rng.choice(_ODD)}
