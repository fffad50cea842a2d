"""Statistics are what numpy and DuckDB say, however the rows come in batches."""

from __future__ import annotations

import json
import math
import time

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from airflow_provider_mlfeat.tables import value_counts
from airflow_provider_mlfeat.tables.blocks import blocks
from airflow_provider_mlfeat.tables.histograms import BINS, HistogramBuilder
from airflow_provider_mlfeat.tables.statistics import (
    ColumnStatistics,
    StatisticsCollector,
    collect_statistics,
    type_words,
)


def random_table(seed: int, rows: int = 30_000) -> pa.Table:
    random = np.random.default_rng(seed)
    missing = random.random(rows) < 0.1
    doubles = random.normal(size=rows) * 10.0 ** random.integers(-3, 6)
    doubles[random.random(rows) < 0.01] = np.nan
    doubles[random.random(rows) < 0.05] = -0.0
    texts = pa.array(random.integers(0, 400, rows)).cast(pa.string())
    return pa.table(
        {
            "double": pa.array(doubles, mask=missing),
            "float": pa.array(random.normal(size=rows).astype(np.float32)),
            "int": pa.array(random.integers(-50, 50, rows).astype(np.int32), mask=missing),
            "short": pa.array(random.integers(-5, 5, rows).astype(np.int16)),
            "long": pa.array(random.integers(-(2**62), 2**62, rows), mask=missing),
            "text": pc.if_else(pa.array(random.random(rows) < 0.2), pa.scalar(None, pa.string()), texts),
            "flag": pa.array(random.random(rows) < 0.3, mask=missing),
            "day": pa.array(random.integers(0, 20_000, rows).astype(np.int32)).cast(pa.date32()),
            "moment": pa.array(random.integers(0, 2 * 10**12, rows)).cast(pa.timestamp("ms", "UTC")),
            "nothing": pa.nulls(rows, pa.float64()),
        }
    )


def statistics_of(table: pa.Table, batch: int | None = None) -> dict[str, ColumnStatistics]:
    found = collect_statistics(table.to_batches(max_chunksize=batch), table.schema)
    return {column.name: column for column in found}


@pytest.mark.parametrize("seed", range(4))
def test_figures_are_duckdbs(seed: int) -> None:
    table = random_table(seed)
    found = statistics_of(table)
    for name in table.column_names:
        column = found[name]
        rows, values, distinct = duckdb.sql(
            f'select count(*), count("{name}"), count(distinct "{name}") from "table"'
        ).fetchall()[0]
        assert (column.rows, column.rows - column.nulls, column.distinct) == (rows, values, distinct), name
        assert column.distinct_is_exact
        plain = f'"{name}" is not null' + (f' and not isnan("{name}")' if name in ("double", "float") else "")
        low, high = duckdb.sql(f'select min("{name}"), max("{name}") from "table" where {plain}').fetchall()[0]
        if name in ("day", "moment"):
            assert column.min is not None
            assert str(column.min)[:19] == str(low)[:19]
        else:
            assert (column.min, column.max) == (low, high), name
        top = duckdb.sql(f'select count(*) as n from "table" where "{name}" is not null group by "{name}"').fetchall()
        assert [count for _, count in column.top] == sorted((n for (n,) in top), reverse=True)[:20], name


@pytest.mark.parametrize("seed", range(4))
def test_means_are_exact(seed: int) -> None:
    table = random_table(seed)
    found = statistics_of(table)
    for name in ("int", "short", "long"):
        values = [value for value in table.column(name).to_pylist() if value is not None]
        assert found[name].mean == sum(values) / len(values)
    flags = [value for value in table.column("flag").to_pylist() if value is not None]
    assert found["flag"].mean == sum(flags) / len(flags)
    doubles = table.column("double").drop_null().to_numpy()
    doubles = doubles[~np.isnan(doubles)]
    assert found["double"].mean == pytest.approx(math.fsum(doubles) / len(doubles), rel=1e-12, abs=1e-15)
    assert found["double"].nans == len(table.column("double").drop_null()) - len(doubles)
    assert found["day"].mean is None
    assert found["nothing"].mean is None


@pytest.mark.parametrize("batch", [1, 7, 1_000, 29_999])
def test_batches_make_no_difference(batch: int) -> None:
    table = random_table(9, 3_000 if batch == 1 else 30_000)
    # As text, because NaN is not equal to itself.
    assert repr(statistics_of(table, batch)) == repr(statistics_of(table))


def test_batches_make_no_difference_beyond_one_block() -> None:
    random = np.random.default_rng(3)
    table = pa.table(
        {"n": random.normal(size=150_000), "t": pa.array(random.integers(0, 10**9, 150_000)).cast("string")}
    )
    assert statistics_of(table, 977) == statistics_of(table)


def test_blocks_have_one_size_and_all_rows() -> None:
    table = pa.table({"n": range(1_000)})
    sizes = [1, 0, 400, 99, 500]
    batches, start = [], 0
    for size in sizes:
        batches += table.slice(start, size).to_batches() or [pa.RecordBatch.from_pydict({"n": []}, table.schema)]
        start += size
    cut = list(blocks(batches, rows=64))
    assert [block.num_rows for block in cut] == [64] * 15 + [40]
    assert pa.Table.from_batches(cut).equals(table.combine_chunks())


@pytest.mark.parametrize("seed", range(6))
def test_histograms_are_numpys(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.normal(loc=random.normal() * 100, scale=10.0 ** random.integers(-6, 7), size=20_000)
    builder = HistogramBuilder(whole=False)
    for part in np.array_split(values, 13):
        builder.add(part)
    made = builder.finish()
    assert made is not None
    assert BINS // 2 < len(made.counts) <= BINS
    edges = made.low + made.width * np.arange(len(made.counts) + 1)
    assert list(made.counts) == np.histogram(values, edges)[0].tolist()
    assert made.low <= values.min() < made.low + made.width
    assert made.high - made.width <= values.max() < made.high


@pytest.mark.parametrize(
    "values",
    [[0.0], [5e-324, 1.0], [1e308, -1e308], [1e-300, 2e-300], [3.0, 3.0], [1e17, 1e17 + 64], [-1.0, 0.0], [1e-5, 1e12]],
)
def test_histograms_of_odd_ranges_keep_every_value(values: list[float]) -> None:
    builder = HistogramBuilder(whole=False)
    for value in values:
        builder.add(np.array([value]))
    made = builder.finish()
    assert made is not None
    assert sum(made.counts) == len(values)
    assert len(made.counts) <= BINS
    assert math.isfinite(made.low)
    assert made.width > 0


def test_bins_of_whole_numbers_are_never_narrower_than_one() -> None:
    made = statistics_of(pa.table({"n": [3, 4, 4, 7]}))["n"].histogram
    assert made is not None
    assert (made.low, made.width, made.counts) == (3.0, 1.0, (1, 2, 0, 0, 1))


def test_quantiles_of_small_tables_are_exact_and_of_large_ones_near() -> None:
    random = np.random.default_rng(1)
    small, large = random.normal(size=5_000), random.normal(size=200_000)
    exact = dict(statistics_of(pa.table({"n": small}))["n"].quantiles)
    assert exact[0.25] == np.quantile(small, 0.25, method="inverted_cdf")
    near = dict(statistics_of(pa.table({"n": large}))["n"].quantiles)
    for share, value in near.items():
        assert abs((large <= value).mean() - share) < 0.02


def test_infinities_are_values_without_a_place_in_mean_and_histogram() -> None:
    found = statistics_of(pa.table({"n": [1.0, math.inf, -math.inf, 3.0, math.nan, None]}))["n"]
    assert (found.min, found.max, found.mean, found.nans, found.nulls) == (-math.inf, math.inf, 2.0, 1, 1)
    assert found.distinct == 5
    assert found.histogram is not None
    assert sum(found.histogram.counts) == 2


def test_zero_has_one_sign() -> None:
    found = statistics_of(pa.table({"n": [0.0, -0.0, 0.0]}))["n"]
    assert (found.distinct, found.top) == (1, ((0.0, 3),))


def test_no_rows_and_no_values() -> None:
    table = pa.table({"n": pa.array([], pa.int64()), "t": pa.array([], pa.string())})
    for column in statistics_of(table).values():
        assert (column.rows, column.nulls, column.distinct, column.min, column.mean) == (0, 0, 0, None, None)
        assert column.histogram is None
        assert column.top == ()


def test_other_types_have_nulls_at_least() -> None:
    table = pa.table(
        {
            "list": pa.array([[1], None, []], pa.list_(pa.int64())),
            "decimal": pa.array([1, None, 3], pa.decimal128(9, 2)),
            "dictionary": pa.array(["a", None, "a"]).dictionary_encode(),
            "unsigned": pa.array([2**64 - 1, None, 0], pa.uint64()),
        }
    )
    found = statistics_of(table)
    assert {column.nulls for column in found.values()} == {1}
    assert found["list"].distinct is None
    assert (found["decimal"].min, found["decimal"].max, found["decimal"].mean) == (1.0, 3.0, 2.0)
    assert (found["dictionary"].type, found["dictionary"].top) == ("string", (("a", 2),))
    assert (found["unsigned"].distinct, found["unsigned"].max) == (2, 2**64 - 1)


def test_long_texts_are_cut() -> None:
    found = statistics_of(pa.table({"t": ["x" * 5_000, "y"]}))["t"]
    assert len(str(found.min)) < 250
    assert found.distinct == 2


@pytest.mark.parametrize("kind", ["number", "text", "moment"])
def test_distinct_values_are_estimated_beyond_the_limit(kind: str) -> None:
    random = np.random.default_rng(5)
    values = pa.array(random.integers(0, 10**12, 300_000))
    if kind == "text":
        values = values.cast(pa.string())
    if kind == "moment":
        values = values.cast(pa.timestamp("ms"))
    found = statistics_of(pa.table({"v": values}))["v"]
    assert not found.distinct_is_exact
    assert found.distinct == pytest.approx(len(values.unique()), rel=0.03)
    assert found.top == ()


def test_the_limit_itself_is_exact() -> None:
    table = pa.table({"v": list(range(100)) * 3})
    for limit, exact in ((100, True), (99, False)):
        collector = StatisticsCollector(table.schema, limit=limit)
        for block in blocks(table.to_batches(max_chunksize=50), rows=50):
            collector.add(block)
        found = collector.finish()[0]
        assert found.distinct_is_exact is exact
        assert found.distinct == 100


def test_frequent_values_are_found_among_many_rare_ones() -> None:
    random = np.random.default_rng(6)
    rare = random.integers(10, 10**15, 300_000)
    values = np.where(random.random(300_000) < 0.2, 7, np.where(random.random(300_000) < 0.05, 8, rare))
    found = statistics_of(pa.table({"v": values}))["v"]
    counted = {7: int((values == 7).sum()), 8: int((values == 8).sum())}
    assert [value for value, _ in found.top] == [7, 8]
    for value, count in found.top:
        assert counted[int(value)] - len(values) / value_counts.KEPT_VALUES <= count <= counted[int(value)]


def test_equal_texts_have_equal_hashes_wherever_they_stand() -> None:
    random = np.random.default_rng(8)
    texts = ["".join(map(chr, random.integers(32, 500, size))) for size in random.integers(0, 40, 2_000)]
    texts += ["", "a", "aa", "b" * 3_000_000, "ab", "ba"]
    array = pa.array(texts)
    hashes = value_counts.hash_values(array)
    assert len(set(hashes.tolist())) == len(set(texts))
    assert value_counts.hash_values(array.slice(1_500)).tolist() == hashes[1_500:].tolist()
    for place in (0, 1_000, len(texts) - 1):
        assert value_counts.hash_values(pa.array([texts[place]]))[0] == hashes[place]
    with_null = value_counts.hash_values(pa.array(["a", None, "", None]))
    assert with_null[1] == with_null[3]
    assert len(set(with_null.tolist())) == 3


def test_documents_come_back_through_strict_json() -> None:
    table = random_table(2)
    table = table.append_column("wild", pa.array([math.inf, -math.inf, math.nan] * 10_000))
    for column in collect_statistics(table.to_batches(), table.schema):
        text = json.dumps(column.to_document(), allow_nan=False)
        again = ColumnStatistics.from_document(json.loads(text))
        assert repr(again) == repr(column)


def test_types_are_named_in_the_languages_words() -> None:
    words = [type_words(field.type) for field in random_table(0, 10).schema]
    assert words == ["double", "float", "int", "smallint", "bigint", "string", "bool", "date", "timestamp", "double"]
    assert type_words(pa.list_(pa.int8())) == "list<item: int8>"


def test_a_core_does_a_million_cells_a_second() -> None:
    """A floor with much room: what is measured is several times as fast, and slow machines share their cores."""
    random = np.random.default_rng(4)
    table = pa.table(
        {"n": random.normal(size=200_000), "t": pa.array(random.integers(0, 10**9, 200_000)).cast("string")}
    )
    began = time.process_time()
    collect_statistics(table.to_batches(), table.schema)
    assert 400_000 / (time.process_time() - began) > 300_000
