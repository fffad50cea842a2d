"""The encoder's file: a line that says what it is, a line of JSON, and the vocabularies' keys as plain numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from airflow_provider_mlfeat import files
from airflow_provider_mlfeat.dataset.encoder.fields import Field
from airflow_provider_mlfeat.dataset.encoder.vocabulary import Vocabulary
from airflow_provider_mlfeat.errors import UserError

if TYPE_CHECKING:
    from airflow_provider_mlfeat.dataset.encoder.encoder import Encoder

ENCODER_FILE = "encoder.bin"
VERSION = 1
_FIRST_LINE = b"mlfeat encoder\n"
_KEY_BYTES = 8

Made = TypeVar("Made", bound="Encoder")


def document_of(encoder: Encoder) -> dict[str, Any]:
    """What an encoder is, as JSON; its SHA-256 is the encoder's fingerprint."""
    return {
        "version": VERSION,
        "seed": encoder.seed,
        "plan_id": encoder.plan_id,
        "fields": [field.to_document() for field in encoder.fields],
        "vocabularies": [
            {"field": field.name, "keys": len(vocabulary), "sha256": vocabulary.digest}
            for field in encoder.fields
            if (vocabulary := encoder.vocabularies.get(field.name)) is not None
        ],
    }


def save(encoder: Encoder, path: Path) -> None:
    """Write an encoder's file in one step."""
    document = document_of(encoder)
    with files.staged_file(path) as staging, staging.open("wb") as file:
        file.write(_FIRST_LINE + files.canonical_json(document).encode() + b"\n")
        for entry in document["vocabularies"]:
            file.write(encoder.vocabularies[entry["field"]].keys.tobytes())


def load(encoder_type: type[Made], path: Path) -> Made:
    """Read an encoder's file and check it against its own digests."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"there is no encoder at {path}") from None
    if not content.startswith(_FIRST_LINE):
        raise UserError(f"{path} is no encoder's file")
    end = content.find(b"\n", len(_FIRST_LINE))
    try:
        document = json.loads(content[len(_FIRST_LINE) : end])
    except ValueError:
        raise UserError(f"{path} is damaged: its description cannot be read") from None
    if document["version"] != VERSION:
        raise UserError(f"{path} is an encoder of version {document['version']}; this release reads {VERSION}")
    vocabularies, place = {}, end + 1
    for entry in document["vocabularies"]:
        stop = place + entry["keys"] * _KEY_BYTES
        if stop > len(content):
            raise UserError(f"{path} is damaged: it ends too early")
        vocabulary = Vocabulary(np.frombuffer(content, "<u8", entry["keys"], place))
        if vocabulary.digest != entry["sha256"]:
            raise UserError(f"{path} is damaged: the vocabulary of field '{entry['field']}' was changed")
        vocabularies[entry["field"]] = vocabulary
        place = stop
    if place != len(content):
        raise UserError(f"{path} is damaged: it is longer than it says")
    fields = [Field.from_document(field) for field in document["fields"]]
    return encoder_type(fields, vocabularies, document["plan_id"], document["seed"])
