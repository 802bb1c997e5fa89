"""Read the analysts' views as pandas, as Arrow and with SQLAlchemy, and print a line a row."""

import sys

import clickhouse_connect
import sqlalchemy
from clickhouse_connect.driver.external import ExternalData
from sqlalchemy.exc import DatabaseError

address, password, query = sys.argv[1:]
host, port = address.split(":")
client = clickhouse_connect.get_client(
    host=host, port=int(port), username="analyst", password=password, database="lpstream"
)
for row in client.query_df(query).to_dict("records"):
    print("row", row["word"], row["number"])
for row in client.query_arrow(query).to_pylist():
    print("row", row["word"], row["number"])
engine = sqlalchemy.create_engine(f"clickhousedb://analyst:{password}@{address}/lpstream")
with engine.connect() as connection:
    for row in connection.execute(sqlalchemy.text(query)):
        print("row", row.word, row.number)
    table = sqlalchemy.Table("lp_windows", sqlalchemy.MetaData(), autoload_with=connection)
    print("columns", table.columns.keys())
    try:
        connection.execute(sqlalchemy.text("SELECT nothing FROM lp_windows"))
    except DatabaseError as error:
        print("error", str(error.orig)[:60])
sent = ExternalData(file_name="ids.csv", data=b"1,a\n2,b\n", fmt="CSV", structure="number UInt64, word String")
print("external", client.query("SELECT groupArray(word) FROM ids", external_data=sent).result_rows)
client.command("CREATE TEMPORARY TABLE kept AS SELECT 5 AS n")
client.insert("kept", [[6], [7]], column_names=["n"])
print("session", client.query("SELECT sum(n) FROM kept", settings={"max_threads": 1}).result_rows)
