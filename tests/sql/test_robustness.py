"""Damaged texts: whatever a text is, the answer is a plan or an error that knows its place."""

from __future__ import annotations

import random
from itertools import pairwise

from airflow_provider_mlfeat.sql.errors import SqlError
from airflow_provider_mlfeat.sql.format import format_sql
from airflow_provider_mlfeat.sql.syntax import tokenize
from tests.sql.planning import plan

_TEXTS = [
    """SELECT t.id, sum(big) OVER w AS s, lag(text, 1) OVER w
    FROM t LAST JOIN u ORDER BY u.at_time ON t.id = u.id AND t.ts >= u.at_time
    WINDOW w AS (UNION t PARTITION BY t.key ORDER BY ts ROWS_RANGE BETWEEN 1d OPEN PRECEDING AND CURRENT ROW
    MAXSIZE 5 EXCLUDE CURRENT_TIME INSTANCE_NOT_IN_WINDOW)""",
    """SELECT id, sum(big) OVER w AS s, lag(text, 1) OVER w FROM t WINDOW w AS
    (UNION t PARTITION BY t.key ORDER BY ts ROWS BETWEEN 5 PRECEDING AND CURRENT ROW)""",
    """WITH a AS (SELECT id, key FROM t WHERE text LIKE 'a%' ESCAPE '#')
    SELECT key, count(*) AS c FROM a GROUP BY key HAVING count(*) > 1L LIMIT 3""",
    """SELECT CASE WHEN flag THEN CAST(id AS string) ELSE 'x' END, map(1, 'a')[1] AS m, -0x1F + 1.5f,
    id NOT IN (1, 2), id BETWEEN 1 AND 2, !flag FROM t LIMIT 3""",
    "CREATE TABLE x (a int NOT NULL DEFAULT 3, b timestamp, INDEX(KEY=(a), TS=b, TTL=10h)) OPTIONS (PARTITIONNUM=4)",
    "DEPLOY d OPTIONS (RANGE_BIAS='10d', LONG_WINDOWS='w:1d') SELECT id FROM t CONFIG (values = [(1, 'a'), (2, 'b')])",
    """LOAD DATA INFILE 'a' INTO TABLE t OPTIONS (format='csv', header=true); SET @@session.sync_job = true;
    SHOW JOBS LIKE '1'""",
]
_PIECES = [*"()[],*-!?;@.", "over", "as", "union", "1s", "'x", "`", "/*", "--", "1e", "0xz", "case", "window", "日"]


def _damaged(generator: random.Random, text: str) -> str:
    """The text with a few tokens left out, repeated, exchanged or put in."""
    ends = [0, *(token.end + 1 for token in tokenize(text))]
    words = [text[start:end] for start, end in pairwise(ends)]
    for _ in range(generator.choice((1, 2, 4))):
        place = generator.randrange(len(words))
        match generator.randrange(4):
            case 0:
                words[place] = ""
            case 1:
                words.insert(place, generator.choice(words))
            case 2:
                words[place] = generator.choice(words)
            case 3:
                words.insert(place, f" {generator.choice(_PIECES)} ")
    return "".join(words)


def test_damaged_texts_never_crash() -> None:
    generator = random.Random(20260101)
    outcomes = {"planned": 0, "formatted": 0, "refused": 0}
    for _ in range(1500):
        text = _damaged(generator, generator.choice(_TEXTS))
        try:
            plan(text)
            outcomes["planned"] += 1
        except SqlError as error:
            outcomes["refused"] += 1
            if error.position is None or not str(error):
                raise AssertionError(f"an error without a place for {text!r}") from error
        try:
            formatted = format_sql(text)
        except SqlError:
            continue
        outcomes["formatted"] += 1
        if format_sql(formatted) != formatted:
            raise AssertionError(f"formatting again changes {text!r}")
    assert min(outcomes.values()) > 10
