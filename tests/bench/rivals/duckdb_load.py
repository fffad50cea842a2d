"""DuckDB reading typed csv or Parquet into Parquet; NULL and times are written as LOAD DATA reads them."""

import duckdb
from worker import serve

TYPES = {
    "id": "BIGINT",
    "user_id": "VARCHAR",
    "at": "TIMESTAMP",
    "type": "VARCHAR",
    "price": "DOUBLE",
    "number": "INTEGER",
    "rate": "FLOAT",
    "day": "DATE",
    "session": "VARCHAR",
}


def start(threads):
    """A connection with the given number of threads, and the function that copies one file."""
    connection = duckdb.connect(config={"threads": threads})
    columns = "{" + ", ".join(f"'{name}': '{type_}'" for name, type_ in TYPES.items()) + "}"

    def run(source, out):
        read = f"read_parquet('{source}')"
        if source.endswith(".csv"):
            read = (
                f"read_csv('{source}', header = true, auto_detect = false, columns = {columns}, nullstr = ['', 'null'])"
            )
        connection.execute(f"COPY (SELECT * FROM {read}) TO '{out}' (FORMAT parquet, COMPRESSION snappy)")

    return run, f"duckdb-{duckdb.__version__} COPY"


if __name__ == "__main__":
    serve(start)
