"""The moves of days through the tiers: hot in ClickHouse, warm on S3, cold on Glacier.

The stores themselves show where each day is: the partitions of the hot tables, the tables of lpstream_warm and their
objects, and `tier_objects`, whose rows are the steps of objects. So the next run finishes a run that was interrupted
anywhere. A move of one day of one table has these steps:

1. Record that the object begins, create its table and fill it from the day's partitions. No view reads it yet.
2. Read count, sums and hashes of its rows from S3 and compare them with the partitions.
3. Record the step `published`: from now on the views read the object instead of the partitions.
4. Wait for queries that began before.
5. Compare the partitions with the object again, record `dropping`, drop them, record `settled`.

Events that come late for a moved day land in separate partitions (the number of days late is part of the name). The
views read them there at once. A later run moves them to a separate object.
"""
