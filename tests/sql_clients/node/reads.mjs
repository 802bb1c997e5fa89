// Reads the analysts' views with @clickhouse/client, and prints a line a row.
import { createClient } from "@clickhouse/client";

const [address, password, query] = process.argv.slice(2);
for (const compressed of [false, true]) {
  const client = createClient({
    url: `http://${address}`, username: "analyst", password, database: "lpstream",
    compression: { response: compressed, request: compressed },
  });
  for (const row of await (await client.query({ query, format: "JSONEachRow" })).json()) {
    console.log(`row ${row.word} ${row.number} ${row.names} ${row.at} ${row.maybe === null}`);
  }
  await client.query({ query: "SELECT nothing FROM lp_windows" }).catch((error) => console.log(`error ${error.code}`));
  await client.close();
}
