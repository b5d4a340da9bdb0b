"""What the integrations share: a worker process, the jobs of a file, and outcomes as rows of Parquet.

Only the standard library and pyarrow are needed.
"""
