"""Reads the parts of a data set as one table with pyarrow and prints its schema and rows as JSON."""

import json
import sys

import pyarrow.dataset
import pyarrow.parquet

folder = sys.argv[1]
table = pyarrow.dataset.dataset(folder, format="parquet").to_table()
again = pyarrow.parquet.read_table(folder)
assert table.equals(again.select(table.column_names)), "two ways to read it differ"
table.validate(full=True)
schema = {field.name: str(field.type) for field in table.schema}
rows = table.sort_by([("id", "ascending"), ("index", "ascending")]).to_pylist()
for row in rows:
    thumbnail = row.pop("thumbnail")
    row["thumbnail_bytes"] = thumbnail and list(thumbnail)
json.dump({"schema": schema, "rows": rows}, sys.stdout)
