"""Deterministic data in the shape of the JD challenge: requests, actions, comments, products, users and labels.

Keys follow Zipf's law with exponent 0.9 (the commonest holds about 5 % of the rows at full scale), half of the
requests tie with an action on key and time, rows lie in no order, and NULLs are present. With `skew` one key holds a
fifth of the rows of every event table.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

FORMAT = 2  # part of the folder's name: raise it when the data changes
CACHE = Path(__file__).resolve().parents[2] / ".mlfeat" / "bench" / "data"
DAY = 86_400_000
FIRST_TIME = 1_454_284_800_000  # 2016-02-01
SPAN = 75 * DAY

# The tables in the language's own types, in the order of the files' columns.
TABLES: dict[str, tuple[tuple[str, str], ...]] = {
    "flattenRequest": (
        *(("reqId", "string"), ("eventTime", "timestamp"), ("main_id", "string"), ("pair_id", "string")),
        *(("user_id", "string"), ("sku_id", "string"), ("time", "bigint"), ("split_id", "int"), ("time1", "string")),
    ),
    "bo_action": (
        *(("ingestionTime", "timestamp"), ("pair_id", "string"), ("time", "bigint"), ("model_id", "string")),
        *(("type", "string"), ("cate", "string"), ("br", "string")),
    ),
    "bo_comment": (
        *(("ingestionTime", "timestamp"), ("dt", "bigint"), ("sku_id", "string"), ("comment_num", "int")),
        *(("has_bad_comment", "string"), ("bad_comment_rate", "float")),
    ),
    "bo_product": (
        *(("ingestionTime", "timestamp"), ("sku_id", "string"), ("a1", "string"), ("a2", "string")),
        *(("a3", "string"), ("cate", "string"), ("br", "string")),
    ),
    "bo_user": (
        *(("ingestionTime", "timestamp"), ("user_id", "string"), ("age", "string"), ("sex", "string")),
        *(("user_lv_cd", "string"), ("user_reg_tm", "bigint")),
    ),
    "action": (
        ("reqId", "string"),
        ("eventTime", "timestamp"),
        ("ingestionTime", "timestamp"),
        ("actionValue", "int"),
    ),
}
_ARROW = {"string": pa.string(), "timestamp": pa.timestamp("ms"), "bigint": pa.int64()}
_ARROW |= {"int": pa.int32(), "float": pa.float32()}


@dataclass(frozen=True)
class Size:
    """How much data, and how it is spread.

    :param scale: 1 is 100,000 requests, 1,000,000 actions and 200,000 comments; keys shrink with it.
    :param skew: share of the rows of every event table that one key holds; 0 leaves it to Zipf.
    :param seed: seed of every draw.
    """

    scale: float = 1.0
    skew: float = 0.0
    seed: int = 20160201

    @property
    def requests(self) -> int:
        return max(20, round(100_000 * self.scale))

    @property
    def actions(self) -> int:
        return max(50, round(1_000_000 * self.scale))

    @property
    def comments(self) -> int:
        return max(30, round(200_000 * self.scale))

    @property
    def name(self) -> str:
        return f"v{FORMAT}-" + "-".join(f"{key}{value}" for key, value in asdict(self).items())


def folder(size: Size, cache: Path = CACHE) -> Path:
    """The folder that holds one parquet file per table of `size`; written on first use."""
    target = cache / size.name
    if not target.is_dir():
        aside = cache / f"{size.name}.{os.getpid()}"
        aside.mkdir(parents=True)
        try:
            for name, table in generate(size).items():
                pq.write_table(table, aside / f"{name}.parquet")
            aside.rename(target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return target


def generate(size: Size) -> dict[str, pa.Table]:
    """All tables of `size`; equal sizes give equal tables."""
    random = np.random.default_rng(size.seed)
    pairs, users, skus = (max(5, round(count * size.scale)) for count in (50_000, 10_000, 3_700))
    user_of_pair, sku_of_pair = random.integers(0, users, pairs), random.integers(0, skus, pairs)
    user_names, sku_names = _names(200_000, users), _names(5_000, skus)
    pair_names = pc.binary_join_element_wise(user_names.take(user_of_pair), sku_names.take(sku_of_pair), "_")

    action_pair = _zipf(random, pairs, size.actions, size.skew)
    action_time = FIRST_TIME + random.integers(0, SPAN // 1000, size.actions) * 1000
    request_pair = _zipf(random, pairs, size.requests, size.skew)
    request_time = FIRST_TIME + random.integers(0, SPAN // 1000, size.requests) * 1000
    # Half of the requests happen at the very time of an action with the same key.
    tied = random.permutation(size.requests)[: size.requests // 2]
    partners = random.integers(0, size.actions, len(tied))
    request_pair[tied], request_time[tied] = action_pair[partners], action_time[partners]

    request_user = user_names.take(user_of_pair[request_pair])
    time_text = pc.strftime(pa.array(request_time, pa.timestamp("ms")), format="%Y-%m-%d %H:%M:%S")
    number = pa.array(np.arange(size.requests)).cast(pa.string())
    labelled = np.sort(random.permutation(size.requests)[: size.requests * 3 // 10])
    request_id = pc.binary_join_element_wise(pair_names.take(request_pair), number, time_text, "_")
    comment_sku = _zipf(random, skus, size.comments, size.skew, commonest=int(sku_of_pair[0]))
    comment_time = FIRST_TIME + random.integers(0, SPAN // 1000, size.comments) * 1000
    products = random.permutation(skus)[: max(2, skus * 3 // 10)]
    known_users = random.permutation(users)[: max(2, users * 9 // 10)]

    columns: dict[str, list[object]] = {
        "flattenRequest": [
            *(request_id, request_time, number, pair_names.take(request_pair), request_user),
            sku_names.take(sku_of_pair[request_pair]),
            *(request_time, random.integers(1, 4, size.requests), time_text),
        ],
        "bo_action": [
            *(action_time, pair_names.take(action_pair), action_time),
            _category(random, size.actions, 300, nulls=0.02, blank=True),
            *(_category(random, size.actions, count, nulls=0.01) for count in (6, 9, 450)),
        ],
        "bo_comment": [
            *(comment_time, comment_time, sku_names.take(comment_sku)),
            _holes(random, random.integers(0, 5, size.comments), 0.02),
            _category(random, size.comments, 2, nulls=0.02),
            _holes(random, np.round(random.random(size.comments) * 0.3, 4), 0.02),
        ],
        "bo_product": [
            np.full(len(products), FIRST_TIME + SPAN),
            sku_names.take(products),
            *(_category(random, len(products), count, nulls=0.02) for count in (4, 3, 3, 8, 100)),
        ],
        "bo_user": [
            FIRST_TIME - random.integers(0, 3_000, len(known_users)) * DAY,
            user_names.take(known_users),
            *(_category(random, len(known_users), count, nulls=0.02) for count in (7, 3, 5)),
            FIRST_TIME - random.integers(0, 3_000, len(known_users)) * DAY,
        ],
        "action": [
            *(request_id.take(labelled), request_time[labelled], request_time[labelled]),
            random.integers(0, 2, len(labelled)),
        ],
    }
    return {name: _table(name, arrays) for name, arrays in columns.items()}


def _table(name: str, arrays: list[object]) -> pa.Table:
    types = [(column, _ARROW[type_name]) for column, type_name in TABLES[name]]
    return pa.table(
        [(array if isinstance(array, pa.Array) else pa.array(array)).cast(kind, safe=False)
         for array, (_, kind) in zip(arrays, types, strict=True)],
        schema=pa.schema(types),
    )  # fmt: skip


def _names(first: int, count: int) -> pa.Array:
    return pa.array(np.arange(first, first + count)).cast(pa.string())


def _zipf(random: np.random.Generator, keys: int, rows: int, skew: float, commonest: int = 0) -> np.ndarray:
    """`rows` keys drawn by Zipf's law; then `commonest` is put in so many of them that it holds the share `skew`."""
    weight = np.arange(1, keys + 1) ** -0.9
    drawn = np.searchsorted(np.cumsum(weight) / weight.sum(), random.random(rows), side="right").clip(0, keys - 1)
    if skew:
        drawn[random.permutation(rows)[: round(rows * skew)]] = commonest
    return drawn


def _category(random: np.random.Generator, rows: int, count: int, nulls: float, blank: bool = False) -> pa.Array:
    """Texts of the numbers 1…count, the small ones commoner; number 1 is the empty text when `blank`."""
    texts = ["" if blank and number == 1 else str(number) for number in range(1, count + 1)]
    return _holes(random, pa.array(texts).take(_zipf(random, count, rows, 0.0)), nulls)


def _holes(random: np.random.Generator, values: object, share: float) -> pa.Array:
    """`values` with NULL in the given share of places."""
    array = values if isinstance(values, pa.Array) else pa.array(values)
    return pc.if_else(pa.array(random.random(len(array)) >= share), array, pa.scalar(None, array.type))
