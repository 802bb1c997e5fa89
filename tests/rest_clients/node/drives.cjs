// Drives a Kafka REST proxy with Confluent's own Node client, and prints a line of JSON for each call.
const KafkaRest = require("kafka-rest");

const [url, token, topic] = process.argv.slice(2);
const headers = token ? { Authorization: `Bearer ${token}` } : {};
const kafka = new KafkaRest({ url, headers, timeout: 20000 });
const schema = new KafkaRest.AvroSchema({ type: "record", name: "User", fields: [{ name: "name", type: "string" }] });
const missing = `${topic}-missing`;

const calls = [
  ["brokers", (done) => kafka.brokers.list(done), (brokers) => brokers.map((broker) => broker.id)],
  ["topics", (done) => kafka.topics.list(done), (topics) => topics.map((each) => each.name)],
  ["topic", (done) => kafka.topics.get(topic, done), (each) => [each.raw.name, each.raw.partitions.length]],
  ["partitions", (done) => kafka.topic(topic).partitions.list(done), (each) => each.map((one) => one.raw.partition)],
  ["partition", (done) => kafka.topic(topic).partitions.get(1, done), (each) => each.raw.partition],
  ["text", (done) => kafka.topic(topic).produce("one ラーメン", done)],
  ["bytes", (done) => kafka.topic(topic).produce({ key: Buffer.from([0, 255]), value: Buffer.from([1, 2]) }, done)],
  ["placed", (done) => kafka.topic(topic).produce({ value: "placed", partition: 2 }, done)],
  ["many", (done) => kafka.topic(topic).produce(["a", "b", "c"], done)],
  ["null", (done) => kafka.topic(topic).produce({ key: "k", value: null, partition: 0 }, done)],
  ["to partition", (done) => kafka.topic(topic).partition(1).produce("x", "y", done)],
  ["avro", (done) => kafka.topic(topic).produce(schema, { name: "Avro" }, done)],
  ["avro by id", (done) => kafka.topic(topic).produce(schema, { name: "Again" }, done)],
  ["wrong avro", (done) => kafka.topic(topic).produce(schema, { nome: "x" }, done)],
  ["missing topic", (done) => kafka.topics.get(missing, done)],
  ["missing partition", (done) => kafka.topic(topic).partitions.get(9, done)],
  ["produce to missing", (done) => kafka.topic(missing).produce("x", done)],
];

const next = () => {
  const call = calls.shift();
  if (!call) return;
  const [name, run, shown] = call;
  run((error, answer) => {
    const failed = error && { status: error.status, code: error.data && error.data.error_code, message: error.message };
    console.log(JSON.stringify({ name, error: failed || null, answer: error ? null : shown ? shown(answer) : answer }));
    next();
  });
};
next();
