"""The encoder's file, and an encoder that runs where this package is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from airflow_provider_mlfeat.dataset.encoder import Encoder, Field, Vocabulary
from airflow_provider_mlfeat.dataset.fitting import EncoderFitter
from airflow_provider_mlfeat.errors import UserError
from tests.dataset.tables import visits
from tests.places import ROOT

FIELDS = (
    Field("shop", "shop", "vocabulary", min_frequency=2),
    Field("shop hashed", "shop", "hash", rows=7, salt="s"),
    Field("amount", "amount", "bucket", buckets=10),
    Field("hour", "at", "part", part="hour", zone="+08:00"),
    Field("items", "items", "value", transform="standard"),
)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    table = visits(500)
    fitter = EncoderFitter(FIELDS, table.schema, plan_id="p" * 64)
    fitter.add(table)
    return fitter.finish()


def test_it_comes_back_as_it_was(encoder: Encoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "encoder.bin")
    loaded = Encoder.load(tmp_path / "encoder.bin")
    assert loaded.fingerprint == encoder.fingerprint
    assert (loaded.fields, loaded.plan_id, loaded.sizes) == (encoder.fields, encoder.plan_id, encoder.sizes)
    table = visits(100, seed=1)
    for ours, theirs in zip(encoder.encode(table), loaded.encode(table), strict=True):
        assert (ours == theirs).all()
    assert list(tmp_path.iterdir()) == [tmp_path / "encoder.bin"]


def test_its_description_is_a_line_of_json(encoder: Encoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "encoder.bin")
    title, description = (tmp_path / "encoder.bin").read_bytes().split(b"\n", 2)[:2]
    document = json.loads(description)
    assert title == b"mlfeat encoder"
    assert document["fields"][0] == {
        "column": "shop",
        "kind": "vocabulary",
        "min_frequency": 2,
        "name": "shop",
        "size": encoder.sizes[0],
        "type": "string",
    }


def test_the_fingerprint_is_of_all_that_matters(encoder: Encoder) -> None:
    fields, vocabularies = encoder.fields, encoder.vocabularies
    others = [
        Encoder(fields, vocabularies, "q" * 64, encoder.seed),
        Encoder(fields, vocabularies, encoder.plan_id, 11),
        Encoder(fields[1:], {}, encoder.plan_id),
        Encoder(fields, {"shop": Vocabulary(vocabularies["shop"].keys[::-1])}, encoder.plan_id),
    ]
    assert len({one.fingerprint for one in [encoder, *others]}) == 5


def test_a_damaged_file_is_refused(encoder: Encoder, tmp_path: Path) -> None:
    path = tmp_path / "encoder.bin"
    with pytest.raises(UserError, match="there is no encoder at"):
        Encoder.load(path)
    encoder.save(path)
    whole = path.read_bytes()
    for damaged, message in (
        (b"PAR1" + whole, "is no encoder's file"),
        (whole[:-3], "is damaged: it ends too early"),
        (whole + b"0", "is damaged: it is longer than it says"),
        (whole[:-1] + bytes([whole[-1] ^ 1]), "the vocabulary of field 'shop' was changed"),
        (whole.replace(b'"fields"', b'"fie"ds"'), "its description cannot be read"),
        (whole.replace(b'"version":1', b'"version":2'), "of version 2; this release reads 1"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=message):
            Encoder.load(path)


def test_a_large_vocabulary_is_found_in_both_ways() -> None:
    keys = np.random.default_rng(0).integers(0, 2**64, 300_000, np.uint64, endpoint=False)
    keys[:3] = [0, 2**64 - 1, 1]
    vocabulary = Vocabulary(np.unique(keys))
    asked = np.concatenate((vocabulary.keys[::7], keys[:5], np.array([2, 2**63], np.uint64)))
    rows = vocabulary.rows(asked)
    place = {key: row for row, key in enumerate(vocabulary.keys.tolist(), 2)}
    assert rows.tolist() == [place.get(key, 0) for key in asked.tolist()]
    find = vocabulary.finder()
    assert [find(key) for key in asked[:2000].tolist()] == rows[:2000].tolist()
    assert [find(key) for key in asked[-7:].tolist()] == rows[-7:].tolist()
    assert Vocabulary(np.zeros(0, np.uint64)).rows(asked[:2]).tolist() == [0, 0]


PROGRAM = """
import sys
class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pydantic", "numba", "airflow", "torch", "pandas", "deltalake"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refusing())
import pyarrow.parquet as pq
from airflow_provider_mlfeat.dataset.encoder import Encoder
encoder, table = Encoder.load(sys.argv[1]), pq.read_table(sys.argv[2])
ids, values = encoder.encode(table)
for row, one, value in zip(table.to_pylist(), ids, values):
    alone = encoder.encode_row(row)
    assert alone.ids.tolist() == one.tolist() and alone.values.tobytes() == value.tobytes()
ids.tofile(sys.argv[3])
"""


# Another Python, for instance one with numpy 1.26, may be given to prove the same there.
@pytest.mark.parametrize("python", [sys.executable, os.environ.get("MLFEAT_OTHER_PYTHON")], ids=["this", "other"])
def test_it_runs_with_numpy_arrow_and_xxhash_alone(encoder: Encoder, tmp_path: Path, python: str | None) -> None:
    if python is None:
        pytest.skip("MLFEAT_OTHER_PYTHON names no Python with another numpy, pyarrow and xxhash")
    table = visits(300, seed=2)
    encoder.save(tmp_path / "encoder.bin")
    pq.write_table(table, tmp_path / "rows.parquet")
    command = [python, "-c", PROGRAM, *(str(tmp_path / name) for name in ("encoder.bin", "rows.parquet", "ids"))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "ids").read_bytes() == encoder.encode(table).ids.tobytes()
