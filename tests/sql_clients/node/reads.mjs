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
const client = createClient({
  url: `http://${address}`, username: "analyst", password, database: "lpstream", session_id: "node",
  clickhouse_settings: { max_threads: "1" },
});
await client.command({ query: "CREATE TEMPORARY TABLE words (n UInt8, word String)" });
await client.insert({ table: "words", values: [{ n: 1, word: "そば" }], format: "JSONEachRow" });
const kept = await client.query({ query: "SELECT *, getSetting('max_threads') AS threads FROM words", format: "JSONEachRow" });
console.log(`kept ${JSON.stringify(await kept.json())}`);
await client.close();
