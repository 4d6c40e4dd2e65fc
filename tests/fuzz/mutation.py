"""Mutations of bytes, of text, and of messages: from a random generator, always the same for the same state of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

LARGEST = 1 << 16
"""Bytes that a mutated input has at most."""
INTERESTING = (0, 1, 2, 3, 7, 8, 16, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63)
TOKEN = re.compile(rb"[A-Za-z_][\w.-]*|\d+(?:\.\d+)?|\"[^\"\n]*\"|\s+|.", re.DOTALL)
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
WORDS = (
    *(str(each).encode() for each in INTERESTING),
    *(b"-1", b"1e400", b"nan", b"inf", b"-0.0", b"0x", b"0xffffffffffffffffffff", b"9" * 40, b"true", b"[]", b"{}"),
    *(b"[[[[[[[[", b"((((((((", b"\xc3\xa9", b"\xf0\x9f\x92\xa5", b"\x00", b"\xff", b"\\", b"'''", b'"""', b'""'),
    *(b"#", b"=", b"\r\n", b"-", b"<>"),
)

Mutator = Callable[[Random, bytes, Sequence[bytes]], bytes]
"""A changed input from one of a corpus; the whole corpus is given for splicing."""


def mutated_bytes(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """One to four changes of single bytes, numbers and ranges."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 2, 4))):
        random.choice(_CHANGES)(random, changed, corpus)
    return bytes(changed[:LARGEST])


def mutated_text(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """Changes of tokens, numbers and lines, now and then of bytes."""
    if random.random() < 0.1:
        return mutated_bytes(random, data, corpus)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        data = random.choice(_TEXT_CHANGES)(random, data, corpus)
    return data[:LARGEST]


def _span(random: Random, size: int, longest: int = 64) -> tuple[int, int]:
    start = random.randrange(size + 1)
    return start, min(size, start + random.choice((1, 1, 2, 4, 8, random.randint(1, longest))))


def _flip(random: Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _byte(random: Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] = random.randrange(256)


def _number(random: Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    width = random.choice((1, 2, 4, 8))
    if len(data) >= width:
        start = random.randrange(len(data) - width + 1)
        old = int.from_bytes(data[start : start + width], "little")
        new = random.choice((random.choice(INTERESTING), old + 1, old - 1, old * 2, -old))
        data[start : start + width] = (new % (1 << 8 * width)).to_bytes(width, "little")


def _delete(random: Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    start, end = _span(random, len(data))
    del data[start:end]


def _repeat(random: Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    start, end = _span(random, len(data))
    data[end:end] = data[start:end] * random.choice((1, 1, 2, 16))


def _insert(random: Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    start = random.randrange(len(data) + 1)
    data[start:start] = random.choice((random.choice(WORDS), random.randbytes(random.randint(1, 8))))


def _cut(random: Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    del data[random.randrange(len(data) + 1) :]


def _splice(random: Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    other = random.choice(corpus)
    start, end = _span(random, len(other), 512)
    at, until = _span(random, len(data), 512)
    data[at:until] = other[start:end]


_CHANGES = (_flip, _flip, _byte, _number, _number, _delete, _repeat, _insert, _cut, _splice)


def _token(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """A token replaced by another one, doubled, or left out."""
    tokens = TOKEN.findall(data)
    if not tokens:
        return random.choice(WORDS)
    index = random.randrange(len(tokens))
    others = TOKEN.findall(random.choice(corpus)) or [b""]
    tokens[index] = random.choice(
        (b"", tokens[index] * 2, random.choice(WORDS), random.choice(others), random.choice(tokens))
    )
    return b"".join(tokens)


def _digits(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """A number replaced by one nearby or at a border."""
    found = list(NUMBER.finditer(data))
    if not found:
        return data
    match = random.choice(found)
    new = random.choice(WORDS[: len(INTERESTING) + 8])
    if match.group().isdigit() and len(match.group()) < 18 and random.random() < 0.5:
        new = str(int(match.group()) + random.choice((-1, 1, 2, 10))).encode()
    return data[: match.start()] + new + data[match.end() :]


def _line(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """A line left out, doubled, moved, or taken from elsewhere."""
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    index = random.randrange(len(lines))
    match random.randrange(4):
        case 0:
            del lines[index]
        case 1:
            lines.insert(index, lines[index])
        case 2:
            lines.insert(random.randrange(len(lines)), lines.pop(index))
        case _:
            lines.insert(index, random.choice(random.choice(corpus).splitlines(keepends=True) or [b""]))
    return b"".join(lines)


def _nest(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """Brackets around a place, a few or very many."""
    opening, closing = random.choice(((b"(", b")"), (b"[", b"]"), (b"{", b"}"), (b"<", b">"), (b'"', b'"')))
    start, end = _span(random, len(data))
    depth = random.choice((1, 1, 2, 8, 3000))
    return data[:start] + opening * depth + data[start:end] + closing * random.choice((depth, 1)) + data[end:]


_TEXT_CHANGES = (_token, _token, _token, _digits, _digits, _line, _line, _nest)
