"""From the JD sample's raw tables, through the feature SQL, to the numbers of the original pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_mlfeat.dataset.folder import Dataset
from airflow_provider_mlfeat.jobs.run import parse_spec, run
from tests.conformance.jd import NAMES, TRAINING, reference_rows
from tests.dataset.test_build import DATA_INFO
from tests.places import ROOT

SAMPLE = ROOT.parent / "shared" / "data" / "jd_sample"
SQL = ROOT / "dags" / "sql"

pytestmark = pytest.mark.skipif(not SAMPLE.exists(), reason="the JD sample is not beside this checkout")


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any]:
    """The feature set of the sample, with made-up labels: it has none."""
    folder = tmp_path_factory.mktemp("jd")
    requests = pq.read_table(SAMPLE / "flattenRequest_clean", columns=["reqId", "eventTime"])
    labels = pa.array([number % 37 == 0 for number in range(requests.num_rows)]).cast(pa.int32())
    action = requests.append_column("ingestionTime", requests.column("eventTime")).append_column("actionValue", labels)
    (folder / "action").mkdir()
    pq.write_table(action, folder / "action" / "action.parquet")

    def do(kind: str, **fields: Any) -> Any:
        return run(parse_spec({"kind": kind, "root": str(folder), **fields}))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFEAT_STATE", str(folder / "state"))
        do("create_tables", sql=(SQL / "jd_tables.sql").read_text(), database="jd")
        for table in ("bo_user", "bo_action", "bo_product", "bo_comment", "flattenRequest", "action"):
            place = SAMPLE / ("flattenRequest_clean" if table == "flattenRequest" else table)
            paths = [str(folder / "action" if table == "action" else place)]
            do("load_table", table=f"jd.{table}", paths=paths, load_id="once")
        sql = (SQL / "jd_features.sql").read_text()
        return str(folder), do("extract_features", sql=sql, feature_set="features", database="jd")


def test_the_faithful_profile_gives_the_original_numbers(extracted: tuple[str, Any], tmp_path: Path) -> None:
    root, features = extracted
    schema = parquet_schema(root, features)
    fields = [
        {"name": name, "column": column, "kind": "vocabulary"}
        for name, column in zip(NAMES, schema, strict=True)
        if name != "Label"
    ]
    asked = {"label_column": schema[NAMES.index("Label")], "profile": "faithful", "fields": fields, "leakage": "warn"}
    spec = {"kind": "build_dataset", "root": root, "feature_set": features.feature_set, "output": str(tmp_path)}
    result: Any = run(parse_spec({**spec, **asked}))
    dataset = Dataset.open(result.dataset)
    assert (dataset.folder / "data_info.txt").read_text() == DATA_INFO
    assert [field["name"] for field in dataset.manifest.fields] == list(TRAINING)
    assert dataset.manifest.plan_id == features.plan_id


def test_keys_are_those_of_features_computed_elsewhere(extracted: tuple[str, Any], tmp_path: Path) -> None:
    root, features = extracted
    spec = {"kind": "build_dataset", "root": root, "feature_set": features.feature_set, "output": str(tmp_path)}
    asked = {"label_column": "label", "profile": "faithful", "leakage": "warn"}
    result: Any = run(parse_spec({**spec, **asked}))
    dataset = Dataset.open(result.dataset)
    names = [name for name in NAMES if name != "Label"]
    rows, keys = dataset.features("test"), dataset.encoder.keys(dataset.features("test"))
    reference = reference_rows(SAMPLE)
    place = {name: number for number, name in enumerate(TRAINING)}
    kinds = [field.type for field in dataset.encoder.fields]
    for request, found in zip(rows.column("request_1").to_pylist(), keys.tolist(), strict=True):
        # The reference keeps floats widened, moments as milliseconds, and some whole numbers as doubles.
        values = [reference[request][place[name]] for name in names]
        typed = [
            value if value is None or kind.startswith("float") or kind == "string" else int(value)
            for value, kind in zip(values, kinds, strict=True)
        ]
        row = dict(zip(dataset.encoder.columns, typed, strict=True))
        assert dataset.encoder.keys_row(row).tolist() == found


def parquet_schema(root: str, features: Any) -> list[str]:
    """The columns of a feature set, in order."""
    from airflow_provider_mlfeat.tables.feature_sets import read_feature_set
    from airflow_provider_mlfeat.tables.store import TableStore

    return [name for name, _ in read_feature_set(TableStore(root), features.feature_set).columns]
