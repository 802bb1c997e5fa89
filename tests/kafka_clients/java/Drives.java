import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.utils.AppInfoParser;

/** Produces the lines of a file, or prints all committed records of topics. A line: codec, transaction, topic, key, base64. */
class Drives {
    public static void main(String[] args) throws Exception {
        System.setOut(new PrintStream(System.out, false, StandardCharsets.UTF_8));
        if (args[0].equals("produce")) {
            produce(args[1], Files.readAllLines(Path.of(args[2])));
        } else {
            consume(args[1], Arrays.asList(args).subList(2, args.length));
        }
        System.out.println("version\t" + AppInfoParser.getVersion());
        System.out.flush();
    }

    static void produce(String brokers, List<String> lines) throws Exception {
        Map<String, KafkaProducer<byte[], byte[]>> producers = new HashMap<>();
        KafkaProducer<byte[], byte[]> open = null;
        String running = "-";
        for (String line : lines) {
            String[] parts = line.split("\t");
            String transaction = parts[0] + " " + parts[1];
            if (open != null && !transaction.equals(running)) {
                end(open, running);
                open = null;
            }
            boolean transactional = !parts[1].equals("-");
            KafkaProducer<byte[], byte[]> producer = producers.get(parts[0] + transactional);
            if (producer == null) {
                producer = producer(brokers, parts[0], transactional);
                producers.put(parts[0] + transactional, producer);
            }
            if (transactional && open == null) {
                producer.beginTransaction();
                open = producer;
                running = transaction;
            }
            var sent = producer.send(new ProducerRecord<>(parts[2], parts[3].getBytes(StandardCharsets.UTF_8), Base64.getDecoder().decode(parts[4])));
            if (!transactional) {
                sent.get();
            }
        }
        if (open != null) {
            end(open, running);
        }
        producers.values().forEach(KafkaProducer::close);
    }

    static void end(KafkaProducer<byte[], byte[]> producer, String transaction) {
        producer.flush(); // aborted records reach the log too
        if (transaction.contains("abort")) {
            producer.abortTransaction();
        } else {
            producer.commitTransaction();
        }
    }

    static KafkaProducer<byte[], byte[]> producer(String brokers, String codec, boolean transactional) {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", brokers, "compression.type", codec));
        if (transactional) {
            settings.put("transactional.id", "java-" + codec + "-" + UUID.randomUUID());
        }
        var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
        if (transactional) {
            producer.initTransactions();
        }
        return producer;
    }

    static void consume(String brokers, List<String> topics) {
        Map<String, Object> settings = Map.of("bootstrap.servers", brokers, "isolation.level", "read_committed");
        try (var consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> places = new ArrayList<>();
            for (String topic : topics) {
                consumer.partitionsFor(topic).forEach(part -> places.add(new TopicPartition(topic, part.partition())));
            }
            consumer.assign(places);
            consumer.seekToBeginning(places);
            var ends = consumer.endOffsets(places);
            while (places.stream().anyMatch(place -> consumer.position(place) < ends.get(place))) {
                consumer.poll(Duration.ofMillis(200)).forEach(record -> System.out.println(String.join("\t", "record", record.topic(),
                    record.key() == null ? "" : new String(record.key(), StandardCharsets.UTF_8),
                    record.value() == null ? "" : Base64.getEncoder().encodeToString(record.value()))));
            }
        }
    }
}
