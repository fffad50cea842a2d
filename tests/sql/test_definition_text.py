"""Definitions of tables as text."""

from __future__ import annotations

import pytest

from airflow_provider_mlfeat.sql.catalog import Catalog
from airflow_provider_mlfeat.sql.definition_text import create_table_text
from airflow_provider_mlfeat.sql.definitions import define
from airflow_provider_mlfeat.sql.syntax import parse_script

TEXT = """\
CREATE TABLE d.t (
    a string NOT NULL DEFAULT 'it\\'s',
    `b c` int DEFAULT -3,
    c timestamp DEFAULT NULL,
    `select` date DEFAULT '2020-05-01',
    e float DEFAULT 1.5,
    f bool DEFAULT true,
    INDEX (KEY = (a, `b c`), TS = c, TTL_TYPE = absorlat, TTL = (10h, 10)),
    INDEX (KEY = a, TTL = 1d)
) OPTIONS (partitionnum = 4, storage_mode = 'HDD', distribution = [('x', ['y'])]);
CREATE INDEX later ON d.t (a) OPTIONS (TS = c, TTL_TYPE = latest, TTL = 3);
CREATE INDEX plain ON d.t (`b c`);
"""


def built(text: str) -> Catalog:
    """The catalog after a script."""
    catalog = Catalog()
    catalog.add_database("d")
    for statement in parse_script(text):
        define(statement, catalog)
    return catalog


def test_the_text_is_the_script() -> None:
    assert create_table_text(built(TEXT).get_table("d", "t")) == TEXT


@pytest.mark.parametrize("text", [TEXT, "CREATE TABLE t (a int)", r"CREATE TABLE t (a string DEFAULT 'x\\y\n')"])
def test_carried_out_again_it_gives_an_equal_table(text: str) -> None:
    tables = built(text).tables()
    assert built("".join(map(create_table_text, tables))).tables() == tables
