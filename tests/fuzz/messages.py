"""Mutations that keep a file's outer form: ONNX messages by field, programs and archives sealed again."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, EncodeError, Message
from onnx import ModelProto

from backends.sections import read_sections, write_sections
from dialects.diagnostics import CatenaError
from tests.fuzz.mutation import INTERESTING, WORDS, mutated_bytes, mutated_text

JSON_SECTIONS = ("metadata", "tensors", "debug")
_WHOLE = (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)


def mutated_model(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """A model with some of its fields changed, or else its bytes."""
    model = ModelProto()
    try:
        model.ParseFromString(data)
        if random.random() < 0.1:
            return mutated_bytes(random, data, corpus)
        for _ in range(random.choice((1, 1, 2, 3))):
            places = list(_places(model))
            if not places:
                return mutated_bytes(random, data, corpus)
            _change(random, *random.choice(places), places)
        return model.SerializeToString(deterministic=True)
    except (DecodeError, EncodeError, ValueError):
        return mutated_bytes(random, data, corpus)


def _places(message: Message) -> Iterator[tuple[Message, Any]]:
    for descriptor, value in message.ListFields():
        yield message, descriptor
        if descriptor.message_type is not None:
            for each in value if descriptor.is_repeated else (value,):
                yield from _places(each)


def _change(random: Random, message: Message, descriptor: Any, places: Sequence[tuple[Message, Any]]) -> None:
    """Change one field of a message: its value, or how often it is there."""
    name = descriptor.name
    if not descriptor.is_repeated:
        if random.random() < 0.2:
            message.ClearField(name)
        elif descriptor.message_type is None:
            setattr(message, name, _value(random, descriptor, getattr(message, name), places))
        return
    values = getattr(message, name)
    match random.randrange(4):
        case 0 if len(values):
            del values[random.randrange(len(values))]
        case 1 if len(values):
            values.extend([values[random.randrange(len(values))]])
        case 2 if len(values) > 1 and descriptor.message_type is not None:
            first, second = random.sample(range(len(values)), 2)
            values[first].CopyFrom(values[second])
        case _ if len(values) and descriptor.message_type is None:
            index = random.randrange(len(values))
            values[index] = _value(random, descriptor, values[index], places)
        case _:
            message.ClearField(name)


def _value(random: Random, descriptor: Any, old: Any, places: Sequence[tuple[Message, Any]]) -> Any:
    """Another value for a field of a plain type."""
    if descriptor.enum_type is not None:
        return random.choice(descriptor.enum_type.values).number
    match descriptor.cpp_type:
        case kind if kind in _WHOLE:
            new = random.choice((*INTERESTING, -1, -2, old + 1, old - 1, old * 2))
            return min(new, 2**31 - 1) if kind == FieldDescriptor.CPPTYPE_INT32 else min(new, 2**63 - 1)
        case FieldDescriptor.CPPTYPE_STRING:
            if descriptor.type == FieldDescriptor.TYPE_BYTES:
                return mutated_bytes(random, old, [old])
            # A name that is used elsewhere says more than noise.
            holder, other = random.choice(places)
            found = getattr(holder, other.name)
            texts = [each for each in (found if other.is_repeated else [found]) if isinstance(each, str)]
            return random.choice(texts) if texts else random.choice(WORDS).decode("latin-1")
        case _:
            return random.choice((0.0, -1.0, 1e30, float("inf"), float("nan"), old * 2))


def mutated_program(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """A program with one section changed and every checksum made right again; sometimes its bare bytes."""
    if random.random() < 0.1:
        return mutated_bytes(random, data, corpus)
    try:
        _, parts = read_sections(data, "")
        sections = {name: bytes(part) for name, part in parts.items()}
    except CatenaError:
        return mutated_bytes(random, data, corpus)
    name = random.choice(list(sections))
    change = mutated_text if name in JSON_SECTIONS else mutated_bytes
    sections[name] = change(random, sections[name], [*sections.values()])
    stream = io.BytesIO()
    write_sections([(each, (content,)) for each, content in sections.items()], stream)
    return stream.getvalue()


def mutated_archive(random: Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """A zip archive with a member changed and its checksum made right again; sometimes its bare bytes."""
    if random.random() < 0.3:
        return mutated_bytes(random, data, corpus)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:
        # Whatever zipfile says of bytes that a mutation made; they are changed as bytes then.
        return mutated_bytes(random, data, corpus)
    if not members:
        return mutated_bytes(random, data, corpus)
    name = random.choice(list(members))
    members[name] = mutated_bytes(random, members[name], [*members.values()])
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for each, content in members.items():
            archive.writestr(zipfile.ZipInfo(each), content)
    return stream.getvalue()
