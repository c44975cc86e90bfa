"""What `hearsay prep` does to a row, in Python: shipped to Spark's workers by
ops/spark/prep.py. Nothing but the standard library."""
