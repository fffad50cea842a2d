"""The bench's feature query in Spark SQL, written as well as we can.

Per stream one window pass ranks the history of a key and counts for each request which ranks it sees (the requests
ride along in the same sort); the ranks of the widest frame are unnested once and equi-joined to the history; values of
all columns are then counted in one aggregation and reduced per request. No collect_list over a window, no range join,
and no frame that slides: Spark aggregates such a frame anew for every row, which is quadratic in a hot key, where the
difference of two growing frames is not.
Runs in a virtual environment that holds PySpark and nothing of ours.
"""

import os
import shutil
import sys

from worker import serve

TOP = (
    "array_join(slice(concat(transform(array_sort(collect_list(CASE WHEN s = '{s}' AND {n} > 0 AND v IS NOT NULL THEN "
    "struct(-{n} AS c, v AS v) END)), x -> x.v), array_repeat('NULL', 3)), 1, 3), ',')"
)
DISTINCT = "count(CASE WHEN s = '{s}' AND {n} > 0 AND v IS NOT NULL THEN 1 END)"

OWN = """
WITH ranked AS (
    SELECT r, user_id, pair_id, row_number() OVER (PARTITION BY user_id ORDER BY t, r) AS n,
        count(*) OVER (PARTITION BY user_id ORDER BY t RANGE BETWEEN UNBOUNDED PRECEDING AND {before_d14} PRECEDING)
            AS old
    FROM request),
seen AS (
    SELECT r, user_id, pair_id AS current_pair, n AS end_n, greatest(old + 1, n - {user_max} + 1) AS range_n,
        explode(sequence(least(greatest(old + 1, n - {user_max} + 1), greatest(1L, n - 10L)), n)) AS n
    FROM ranked),
counted AS (
    SELECT r, v, count_if(end_n - n <= 10) AS c_rows, count_if(n >= range_n) AS c_14d,
        count_if(end_n - n <= 10 AND v = current_pair) AS c_same
    FROM seen JOIN (SELECT user_id, n, pair_id AS v FROM ranked) USING (user_id, n) GROUP BY r, v)
SELECT r,
    count(DISTINCT CASE WHEN c_rows > 0 THEN coalesce(v, '') END) AS user_pairs_rows,
    coalesce(max(CASE WHEN v IS NOT NULL THEN c_rows END) / sum(CASE WHEN v IS NOT NULL THEN c_rows END), 0D)
        AS user_pair_share_rows,
    coalesce(max(CASE WHEN v IS NOT NULL THEN c_14d END) / sum(CASE WHEN v IS NOT NULL THEN c_14d END), 0D)
        AS user_pair_share_14d,
    count(DISTINCT CASE WHEN c_14d > 0 THEN coalesce(v, '') END) AS user_pairs_14d,
    sum(c_same) AS pair_count_rows
FROM counted GROUP BY r
"""

RANKED = """
CREATE OR REPLACE TEMPORARY VIEW {name}_ranked AS
SELECT *, sum(is_history) OVER (PARTITION BY k ORDER BY t, is_request, place) AS n,
    sum(is_history) OVER (PARTITION BY k ORDER BY t RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - coalesce(sum(
        is_history) OVER (PARTITION BY k ORDER BY t RANGE BETWEEN UNBOUNDED PRECEDING AND {span} PRECEDING), 0)
        AS inside
FROM (
    SELECT {key} AS k, unix_millis(ingestionTime) AS t, 1L AS is_history, 0 AS is_request, place,
        {columns} FROM {table}
    UNION ALL SELECT {key}, t, 0L, 1, r, {blanks} FROM request)
"""

COMMENT = """
WITH frames AS (
    SELECT place AS r, k, n AS last, least(inside, {other_max} - 1) AS range_rows,
        explode(sequence(greatest(1L, least(n - least(inside, {other_max} - 1) + 1, n - 9)), n)) AS n
    FROM comment_ranked WHERE is_request = 1 AND n > 0),
seen AS (
    SELECT r, last - n < range_rows AS in_64d, last - n < 10 AS in_rows, comment_num, has_bad_comment, bad_comment_rate
    FROM frames JOIN (SELECT k, n, comment_num, has_bad_comment,
        bad_comment_rate FROM comment_ranked WHERE is_request = 0)
        USING (k, n)
    UNION ALL SELECT r, true, true, 0, '', 0F FROM request),
rate AS (
    SELECT r, max(CASE WHEN in_64d THEN bad_comment_rate END) AS rate_max_64d,
        min(CASE WHEN in_rows THEN bad_comment_rate END) AS rate_min_rows,
        min(CASE WHEN in_64d THEN bad_comment_rate END) AS rate_min_64d
    FROM seen GROUP BY r),
counted AS (
    SELECT r, s, v, count(*) AS c
    FROM (SELECT r, stack(2, 'number', string(comment_num), 'bad', has_bad_comment) AS (s, v) FROM seen WHERE in_64d)
    GROUP BY r, s, v),
top AS (
    SELECT r, {distinct_number_c} AS comment_nums_64d, {distinct_bad_c} AS has_bads_64d, {top_bad_c} AS has_bad_top_64d,
        {top_number_c} AS comment_num_top_64d FROM counted GROUP BY r)
SELECT * FROM rate JOIN top USING (r)
"""

ACTION = """
WITH frames AS (
    SELECT place AS r, k, t AS now, explode(sequence(n - least(inside, {other_max} - 1) + 1, n)) AS n
    FROM action_ranked WHERE is_request = 1 AND inside > 0),
seen AS (
    SELECT r, h.t >= now - {h10} AS in_10h, h.t >= now - {d7} AS in_7d, model_id, type, cate, br
    FROM frames JOIN (SELECT k, n, t, model_id, type, cate, br FROM action_ranked WHERE is_request = 0) h USING (k, n)
    UNION ALL SELECT r, true, true, '', '', '', '' FROM request),
counted AS (
    SELECT r, s, v, count(*) AS c_14d, count_if(in_7d) AS c_7d, count_if(in_10h) AS c_10h
    FROM (SELECT r, in_10h, in_7d, stack(4, 'model', model_id, 'type', type, 'cate', cate, 'br', br) AS (s,
        v) FROM seen)
    WHERE in_10h OR s IN ('model', 'type')
    GROUP BY r, s, v)
SELECT r, {top_br_c_10h} AS br_top_10h, {top_cate_c_10h} AS cate_top_10h, {top_model_c_7d} AS model_top_7d,
    {distinct_model_c_14d} AS models_14d, {distinct_model_c_7d} AS models_7d, {distinct_type_c_14d} AS types_14d,
    {top_type_c_7d} AS type_top_7d, {top_type_c_14d} AS type_top_14d
FROM counted GROUP BY r
"""

RESULT = """
WITH label AS (SELECT reqId AS k, max_by(struct(actionValue AS v), place).v AS label FROM label_table GROUP BY k),
product AS (SELECT sku_id AS k, max_by(struct(a1, a2, a3, br, cate, ingestionTime AS t), place) AS p
    FROM product_table GROUP BY k),
person AS (SELECT user_id AS k, max_by(struct(age, ingestionTime AS t, sex, user_lv_cd AS level), place) AS u
    FROM user_table GROUP BY k)
SELECT q.reqId AS request_1, timestamp_millis(q.t) AS event_time, q.reqId AS request_text, q.pair_id, q.sku_id,
    q.user_id,
    user_pairs_rows, user_pair_share_rows, user_pair_share_14d, user_pairs_14d,
    CASE WHEN q.pair_id IS NOT NULL THEN pair_count_rows END AS pair_count_rows,
    dayofweek(timestamp_millis(q.t)) AS day_of_week,
    CASE WHEN dayofweek(timestamp_millis(q.t)) BETWEEN 2 AND 6 THEN 1 ELSE 0 END AS working_day,
    q.reqId AS request_2, label, p.a1 AS product_a1, p.a2 AS product_a2, p.a3 AS product_a3, p.br AS product_br,
    p.cate AS product_cate, p.t AS product_time, u.age AS user_age, u.t AS user_time, u.sex AS user_sex,
    u.level AS user_level, q.reqId AS request_3, rate_max_64d, rate_min_rows, rate_min_64d, comment_nums_64d,
        has_bads_64d,
    has_bad_top_64d, comment_num_top_64d, q.reqId AS request_4, br_top_10h, cate_top_10h, model_top_7d, models_14d,
    models_7d, types_14d, type_top_7d, type_top_14d
FROM request q JOIN own_feature USING (r) JOIN comment_feature USING (r) JOIN action_feature USING (r)
    LEFT JOIN label ON q.reqId = label.k LEFT JOIN product ON q.sku_id = product.k LEFT JOIN person ON q.user_id =
        person.k
"""

DAY = 86_400_000
UNLIMITED = 1 << 40
NAMES = {
    f"{kind}_{s}_{n}": text.format(s=s, n=n)
    for kind, text in (("top", TOP), ("distinct", DISTINCT))
    for s in ("number", "bad", "model", "type", "cate", "br")
    for n in ("c", "c_10h", "c_7d", "c_14d")
}
SPANS = {"before_d14": 14 * DAY + 1, "d7": 7 * DAY, "h10": 10 * DAY // 24}


def start(threads, partitions, memory, options=None):
    """A warm local session with the given number of threads, and the function that runs the query once."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    import pyspark
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(f"local[{threads}]").appName("rival")
    settings = {
        "spark.driver.memory": memory,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "+08:00",
        "spark.sql.shuffle.partitions": str(partitions),
        **(options or {}),
    }
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")

    def run(data, out, maxsize):
        limits = {"user_max": 200, "other_max": 100} if maxsize else {"user_max": UNLIMITED, "other_max": UNLIMITED}
        limits = {name: f"{value}L" for name, value in limits.items()}
        texts = NAMES | SPANS | limits

        def read(table):
            # The arrival order is the order of the file's rows.
            return spark.read.parquet(f"{data}/{table}.parquet").selectExpr("*", "_metadata.row_index AS place")

        for view, table in (("comment_table", "bo_comment"), ("action_table", "bo_action"), ("label_table", "action")):
            read(table).createOrReplaceTempView(view)
        for view, table in (("product_table", "bo_product"), ("user_table", "bo_user")):
            read(table).createOrReplaceTempView(view)
        read("flattenRequest").selectExpr(
            "place AS r", "unix_millis(eventTime) AS t", "reqId", "pair_id", "sku_id", "user_id"
        ).createOrReplaceTempView("request")
        for name, key, columns, blanks, span in (
            ("comment", "sku_id", "comment_num, has_bad_comment, bad_comment_rate", "0, '', 0F", 64 * DAY + 1),
            ("action", "pair_id", "model_id, type, cate, br", "'', '', '', ''", 14 * DAY + 1),
        ):
            spark.sql(
                RANKED.format(name=name, key=key, columns=columns, blanks=blanks, span=span, table=f"{name}_table")
            )
        for view, text in (("own_feature", OWN), ("comment_feature", COMMENT), ("action_feature", ACTION)):
            spark.sql(text.format(**texts)).createOrReplaceTempView(view)
        shutil.rmtree(out, ignore_errors=True)
        spark.sql(RESULT).write.parquet(out)

    return run, f"spark-{pyspark.__version__} rank join"


if __name__ == "__main__":
    serve(start)
