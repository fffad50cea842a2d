"""The bench's feature query in DuckDB's SQL, written as well as we can.

Rank every history row of a key, find with ASOF joins which ranks each request sees, unnest the ranks of the widest
frame once, equi-join them to the history and aggregate twice: by (request, value), then by request. Compared with
RANGE frames over lists this is the fastest formulation that we know (5x and more). Runs in a virtual environment
that holds DuckDB and nothing of ours.
"""

import duckdb
from worker import serve

TOP = "array_to_string(list_resize(list(v ORDER BY {n} DESC, v) FILTER ({n} > 0 AND v IS NOT NULL), 3, 'NULL'), ',')"
DISTINCT = "count(*) FILTER ({n} > 0 AND v IS NOT NULL)"

SQL = """
COPY (
WITH request AS MATERIALIZED (
    SELECT file_row_number AS r, reqId, epoch_ms(eventTime) AS t, pair_id, sku_id, user_id
    FROM read_parquet('{data}/flattenRequest.parquet', file_row_number = true)),

-- requests of a user: every row of the frame is a request itself
own AS MATERIALIZED (
    SELECT r, user_id, pair_id, row_number() OVER w AS n,
        count(*) OVER (PARTITION BY user_id ORDER BY t RANGE BETWEEN UNBOUNDED PRECEDING AND {d14} + 1 PRECEDING) AS
            old,
        row_number() OVER (ORDER BY user_id, t, r) - row_number() OVER w AS base
    FROM request WINDOW w AS (PARTITION BY user_id ORDER BY t, r)),
own_rank AS MATERIALIZED (SELECT base + n AS n, pair_id AS v FROM own),
own_seen AS (
    SELECT r, current_pair, end_n - n <= 10 AS in_rows, n >= range_n AS in_14d, n
    FROM (SELECT r, pair_id AS current_pair, base + n AS end_n, base + greatest(old + 1, n - {user_max} + 1) AS range_n,
            unnest(range(base + least(greatest(old + 1, n - {user_max} + 1), greatest(1, n - 10)), base + n + 1)) AS n
        FROM own)),
own_count AS (
    SELECT r, v, count(*) FILTER (in_rows) AS c_rows, count(*) FILTER (in_14d) AS c_14d,
        count(*) FILTER (in_rows AND v = current_pair) AS c_same
    FROM own_seen JOIN own_rank USING (n) GROUP BY r, v),
own_feature AS (
    SELECT r,
        count(DISTINCT coalesce(v, '')) FILTER (c_rows > 0) AS user_pairs_rows,
        coalesce(max(c_rows) FILTER (v IS NOT NULL) / sum(c_rows) FILTER (v IS NOT NULL), 0) AS user_pair_share_rows,
        coalesce(max(c_14d) FILTER (v IS NOT NULL) / sum(c_14d) FILTER (v IS NOT NULL), 0) AS user_pair_share_14d,
        count(DISTINCT coalesce(v, '')) FILTER (c_14d > 0) AS user_pairs_14d,
        sum(c_same)::BIGINT AS pair_count_rows
    FROM own_count GROUP BY r),

-- comments of a product: only comments and the request's own blank row are seen
comment AS MATERIALIZED (
    SELECT row_number() OVER (ORDER BY k, t, file_row_number) AS n, * FROM (
        SELECT sku_id AS k, epoch_ms(ingestionTime) AS t, comment_num, has_bad_comment, bad_comment_rate,
            file_row_number
        FROM read_parquet('{data}/bo_comment.parquet', file_row_number = true))),
comment_end AS (SELECT k, t, min(n) AS first, max(n) AS last FROM comment GROUP BY k, t),
comment_key AS (SELECT k, min(n) AS first FROM comment GROUP BY k),
comment_frame AS (
    SELECT q.r, q.t, e.last, coalesce(b.last + 1, f.first) AS range_n, f.first
    FROM request q ASOF JOIN comment_end e ON q.sku_id = e.k AND q.t >= e.t
    ASOF LEFT JOIN comment_end b ON q.sku_id = b.k AND q.t - {d64} > b.t
    JOIN comment_key f ON q.sku_id = f.k),
comment_seen AS (
    SELECT r, n >= range_n AS in_64d, comment_num::VARCHAR AS comment_num, has_bad_comment, bad_comment_rate,
        last - n < 10 AS in_rows
    FROM (SELECT r, last, greatest(range_n, last - {other_max} + 2) AS range_n, unnest(range(
            least(greatest(range_n, last - {other_max} + 2), greatest(first, last - 9)),
                last + 1)) AS n FROM comment_frame)
    JOIN comment USING (n)
    UNION ALL SELECT r, true, '0', '', 0, true FROM request),
rate_feature AS (
    SELECT r, max(bad_comment_rate) FILTER (in_64d) AS rate_max_64d,
        min(bad_comment_rate) FILTER (in_rows) AS rate_min_rows,
        min(bad_comment_rate) FILTER (in_64d) AS rate_min_64d FROM comment_seen GROUP BY r),
number_count AS (SELECT r, comment_num AS v, count(*) AS c FROM comment_seen WHERE in_64d GROUP BY r, v),
number_feature AS (SELECT r, {distinct_c} AS comment_nums_64d,
    {top_c} AS comment_num_top_64d FROM number_count GROUP BY r),
bad_count AS (SELECT r, has_bad_comment AS v, count(*) AS c FROM comment_seen WHERE in_64d GROUP BY r, v),
bad_feature AS (SELECT r, {distinct_c} AS has_bads_64d, {top_c} AS has_bad_top_64d FROM bad_count GROUP BY r),

-- actions on a pair: only actions and the request's own blank row are seen
history AS MATERIALIZED (
    SELECT row_number() OVER (ORDER BY k, t, file_row_number) AS n, * FROM (
        SELECT pair_id AS k, epoch_ms(ingestionTime) AS t, model_id, type, cate, br, file_row_number
        FROM read_parquet('{data}/bo_action.parquet', file_row_number = true))),
history_end AS (SELECT k, t, min(n) AS first, max(n) AS last FROM history GROUP BY k, t),
history_key AS (SELECT k, min(n) AS first FROM history GROUP BY k),
history_frame AS (
    SELECT q.r, q.t, e.last, coalesce(b.last + 1, f.first) AS range_n
    FROM request q ASOF JOIN history_end e ON q.pair_id = e.k AND q.t >= e.t
    ASOF LEFT JOIN history_end b ON q.pair_id = b.k AND q.t - {d14} > b.t
    JOIN history_key f ON q.pair_id = f.k),
seen AS (
    SELECT r, h.t >= f.t - {h10} AS in_10h, h.t >= f.t - {d7} AS in_7d, model_id, type, cate, br
    FROM (SELECT r, t, unnest(range(greatest(range_n, last - {other_max} + 2), last + 1)) AS n FROM history_frame) f
    JOIN history h USING (n)
    UNION ALL SELECT r, true, true, '', '', '', '' FROM request),
model_count AS (
    SELECT r, model_id AS v, count(*) AS c_14d, count(*) FILTER (in_7d) AS c_7d FROM seen GROUP BY r, v),
model_feature AS (SELECT r, {top_c_7d} AS model_top_7d, {distinct_c_14d} AS models_14d, {distinct_c_7d} AS models_7d
    FROM model_count GROUP BY r),
type_count AS (SELECT r, type AS v, count(*) AS c_14d, count(*) FILTER (in_7d) AS c_7d FROM seen GROUP BY r, v),
type_feature AS (SELECT r, {distinct_c_14d} AS types_14d, {top_c_7d} AS type_top_7d, {top_c_14d} AS type_top_14d
    FROM type_count GROUP BY r),
br_count AS (SELECT r, br AS v, count(*) AS c FROM seen WHERE in_10h GROUP BY r, v),
br_feature AS (SELECT r, {top_c} AS br_top_10h FROM br_count GROUP BY r),
cate_count AS (SELECT r, cate AS v, count(*) AS c FROM seen WHERE in_10h GROUP BY r, v),
cate_feature AS (SELECT r, {top_c} AS cate_top_10h FROM cate_count GROUP BY r),

-- look-ups: the last arrival of a key
label AS (SELECT reqId AS k, arg_max({{'v': actionValue}}, file_row_number).v AS label
    FROM read_parquet('{data}/action.parquet', file_row_number = true) GROUP BY reqId),
product AS (SELECT sku_id AS k, arg_max({{'a1': a1, 'a2': a2, 'a3': a3, 'br': br, 'cate': cate, 't': ingestionTime}},
    file_row_number) AS p FROM read_parquet('{data}/bo_product.parquet', file_row_number = true) GROUP BY sku_id),
person AS (SELECT user_id AS k, arg_max({{'age': age, 't': ingestionTime, 'sex': sex, 'level': user_lv_cd}},
    file_row_number)
    AS u FROM read_parquet('{data}/bo_user.parquet', file_row_number = true) GROUP BY user_id)

SELECT q.reqId AS request_1, make_timestamp_ms(q.t) AS event_time, q.reqId AS request_text, q.pair_id, q.sku_id,
    q.user_id,
    user_pairs_rows, user_pair_share_rows, user_pair_share_14d, user_pairs_14d,
    CASE WHEN q.pair_id IS NOT NULL THEN pair_count_rows END AS pair_count_rows,
    (dayofweek(make_timestamp_ms(q.t + 28800000)) + 1)::INTEGER AS day_of_week,
    CASE WHEN dayofweek(make_timestamp_ms(q.t + 28800000)) BETWEEN 1 AND 5 THEN 1 ELSE 0 END AS working_day,
    q.reqId AS request_2, label, p.a1 AS product_a1, p.a2 AS product_a2, p.a3 AS product_a3, p.br AS product_br,
    p.cate AS product_cate, p.t AS product_time, u.age AS user_age, u.t AS user_time, u.sex AS user_sex,
    u.level AS user_level, q.reqId AS request_3, rate_max_64d, rate_min_rows, rate_min_64d, comment_nums_64d,
        has_bads_64d,
    has_bad_top_64d, comment_num_top_64d, q.reqId AS request_4, br_top_10h, cate_top_10h, model_top_7d, models_14d,
    models_7d, types_14d, type_top_7d, type_top_14d
FROM request q
    JOIN own_feature USING (r) JOIN rate_feature USING (r) JOIN number_feature USING (r) JOIN bad_feature USING (r)
    JOIN model_feature USING (r) JOIN type_feature USING (r) JOIN br_feature USING (r) JOIN cate_feature USING (r)
    LEFT JOIN label ON q.reqId = label.k LEFT JOIN product ON q.sku_id = product.k LEFT JOIN person ON q.user_id =
        person.k
) TO '{out}' (FORMAT parquet)
"""

COUNTS = ("c", "c_7d", "c_14d")
DAY = 86_400_000
NAMES = {f"top_{name}": TOP.format(n=name) for name in COUNTS} | {
    f"distinct_{name}": DISTINCT.format(n=name) for name in COUNTS
}
SPANS = {"d14": 14 * DAY, "d64": 64 * DAY, "d7": 7 * DAY, "h10": 10 * DAY // 24}
UNLIMITED = 1 << 40


def start(threads):
    """A connection with the given number of threads, and the function that runs the query once."""
    connection = duckdb.connect(config={"threads": threads, "preserve_insertion_order": False})

    def run(data, out, maxsize):
        limits = {"user_max": 200, "other_max": 100} if maxsize else {"user_max": UNLIMITED, "other_max": UNLIMITED}
        connection.execute(SQL.format(data=data, out=out, **NAMES, **SPANS, **limits))

    return run, f"duckdb-{duckdb.__version__} rank join"


if __name__ == "__main__":
    serve(start)
