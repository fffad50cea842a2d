"""pandas reading typed csv into Parquet."""

import pandas as pd
from worker import serve

TYPES = {
    "id": "int64",
    "user_id": "str",
    "type": "str",
    "price": "float64",
    "number": "int32",
    "rate": "float32",
    "session": "str",
}


def start(threads):
    """The function that converts one file; pandas reads with one thread."""

    def run(source, out):
        frame = pd.read_csv(
            source, dtype=TYPES, parse_dates=["at", "day"], na_values=["", "null"], keep_default_na=False
        )
        frame["day"] = frame["day"].dt.date
        frame.to_parquet(out)

    return run, f"pandas-{pd.__version__} read_csv, to_parquet"


if __name__ == "__main__":
    serve(start)
