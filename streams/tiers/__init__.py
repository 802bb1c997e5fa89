"""Days on their way through the tiers: hot in ClickHouse, warm on S3, cold on Glacier.

Where each day is can be told from what is there, so that a run that was cut off anywhere is finished by the next one:
the partitions of the hot tables, the tables of lpstream_warm and their objects, and `tier_objects`, whose rows are
steps that objects have taken. A move, of one day of one table:

1. an object's table is made and filled from the day's partitions; nobody reads it yet;
2. count, sums and hashes of its rows, read back from S3, are held against the partitions';
3. the step `published` is noted: from this moment the views read the object, and not the partitions;
4. queries that began before are waited for;
5. the partitions are held against the object once more, `dropping` is noted, they are dropped, `settled` is noted.

Events that come late for a day that is moved land in partitions of their own (the number of days late is part of their
name), are read there at once, and are moved by a later run to an object of their own.
"""
