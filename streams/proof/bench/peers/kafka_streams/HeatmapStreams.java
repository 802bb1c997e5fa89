import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;

/**
 * The heatmap worker's work in Kafka Streams: Processor API, Jackson's streaming parser, sums under packed long keys
 * in open hash maps, RowBinary into ClickHouse, a commit for each bucket. One stream thread, at least once.
 */
public final class HeatmapStreams {
    static final String[] DEVICES = {"", "mobile", "tablet", "desktop"};
    static final int WINDOW_MS = 5_000;
    static final int MAX_PIXEL = 65_535;
    static final int MAX_EDGE = 65_536;

    static String setting(String name) {
        return System.getenv("LPSTREAM_BENCH_" + name);
    }

    public static void main(String[] args) {
        Properties config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, setting("GROUP"));
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, setting("KAFKA"));
        config.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
        config.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
        config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        // buckets ask for their commits themselves: nothing may be committed that is not inserted
        config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 86_400_000L);
        config.put(StreamsConfig.STATE_DIR_CONFIG, args[0]);
        config.put("auto.offset.reset", "earliest");
        Topology topology = new Topology();
        topology.addSource("events", setting("TOPIC"));
        topology.addProcessor("fold", Fold::new, "events");
        KafkaStreams streams = new KafkaStreams(topology, config);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(5))));
        streams.start();
    }

    /** One partition: its open bucket. */
    static final class Fold implements Processor<byte[], byte[], Void, Void> {
        static boolean said;
        final int most = Integer.parseInt(setting("BUCKET_RECORDS"));
        final Beacon beacon = new Beacon();
        final ClickHouse clickhouse = new ClickHouse();
        ProcessorContext<Void, Void> context;
        Tables tables = new Tables();
        long bucket = -1;
        int records;
        String first;

        @Override
        public void init(ProcessorContext<Void, Void> context) {
            this.context = context;
            context.schedule(Duration.ofSeconds(1), PunctuationType.WALL_CLOCK_TIME, now -> {
                if (records > 0 && now / WINDOW_MS > bucket + 1) {
                    flush();
                }
            });
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            if (!said) {
                System.out.println("lpstream-bench: first record");
                said = true;
            }
            long index = record.timestamp() / WINDOW_MS;
            if (records > 0 && (index > bucket || records >= most)) {
                flush();
            }
            if (records++ == 0) {
                bucket = index;
                first = context.recordMetadata().map(at -> at.partition() + ":" + at.offset()).orElse("?");
            }
            if (record.value() != null && record.value().length > 0 && beacon.parse(record.value())) {
                beacon.mendClock(record.timestamp());
                tables.add(beacon);
            }
        }

        void flush() {
            tables.insert(clickhouse, setting("TOPIC") + ":" + first + ":" + records);
            tables = new Tables();
            records = 0;
            context.commit();
        }
    }

    /** A beacon, parsed into arrays that are used again. */
    static final class Beacon {
        static final JsonFactory JSON = new JsonFactory();
        String lp;
        String type;
        int schema, seq, device, viewportW, viewportH, pageW, pageH, events;
        long t0, depth;
        final long[] dt = new long[500], x = new long[500], y = new long[500], dwell = new long[500];
        final boolean[] fixed = new boolean[500];
        final long[] indices = new long[500];
        final List<String> names = new ArrayList<>();
        final List<long[]> bounds = new ArrayList<>();

        /** False for what is no beacon; the worker would send it to the dead-letter topic. */
        boolean parse(byte[] value) {
            lp = type = null;
            names.clear();
            bounds.clear();
            int[] lengths = new int[5];
            try (JsonParser json = JSON.createParser(value)) {
                if (json.nextToken() != JsonToken.START_OBJECT) {
                    return false;
                }
                while (json.nextToken() == JsonToken.FIELD_NAME) {
                    String name = json.currentName();
                    json.nextToken();
                    field(json, name, lengths);
                }
            } catch (IOException | ArrayIndexOutOfBoundsException error) {
                return false;
            }
            if (lp == null || type == null || schema != 1 || device == 0 || pageW < 1 || viewportW < 1) {
                return false;
            }
            events = type.length();
            Arrays.fill(fixed, 0, events, false);
            for (int at = 0; at < lengths[4]; at++) {
                fixed[(int) indices[at]] = true;
            }
            return lengths[0] == events && lengths[1] == events && lengths[2] == events && lengths[3] == events;
        }

        private void field(JsonParser json, String name, int[] lengths) throws IOException {
            switch (name) {
                case "schema" -> schema = json.getIntValue();
                case "lp_id" -> lp = json.getText();
                case "seq" -> seq = json.getIntValue();
                case "device" -> device = Arrays.asList(DEVICES).indexOf(json.getText());
                case "viewport_w" -> viewportW = json.getIntValue();
                case "viewport_h" -> viewportH = json.getIntValue();
                case "page_w" -> pageW = json.getIntValue();
                case "page_h" -> pageH = json.getIntValue();
                case "t0" -> t0 = json.getLongValue();
                case "depth" -> depth = json.getLongValue();
                case "type" -> type = json.getText();
                case "dt" -> lengths[0] = longs(json, dt);
                case "x" -> lengths[1] = longs(json, x);
                case "y" -> lengths[2] = longs(json, y);
                case "dwell" -> lengths[3] = longs(json, dwell);
                case "fixed" -> lengths[4] = longs(json, indices);
                case "sections" -> sections(json);
                default -> json.skipChildren();
            }
        }

        private static int longs(JsonParser json, long[] into) throws IOException {
            int count = 0;
            while (json.nextToken() != JsonToken.END_ARRAY) {
                into[count++] = json.getLongValue();
            }
            return count;
        }

        private void sections(JsonParser json) throws IOException {
            while (json.nextToken() != JsonToken.END_ARRAY) {
                json.nextToken();
                names.add(json.getText());
                long top = json.nextLongValue(0);
                long bottom = json.nextLongValue(0);
                bounds.add(new long[] {clamp(top, MAX_EDGE), clamp(bottom, MAX_EDGE)});
                json.nextToken();
            }
        }

        void mendClock(long timestamp) {
            long last = t0;
            for (int at = 0; at < events; at++) {
                last = Math.max(last, t0 + dt[at]);
            }
            if (last - timestamp < -86_400_000L || last - timestamp > 300_000L) {
                t0 += timestamp - last;
            }
        }
    }

    static long clamp(long value, long most) {
        return Math.max(0, Math.min(most, value));
    }

    /** The five tables of one bucket. A group is (lp, window, device); other keys begin with a group's number. */
    static final class Tables {
        static final String CLICKS = "crd";
        final Map<String, Integer> lps = new HashMap<>();
        final List<String> lpIds = new ArrayList<>();
        final Map<String, Integer> names = new HashMap<>();
        final List<String> nameList = new ArrayList<>();
        final Map<List<Integer>, long[]> views = new HashMap<>();
        final LongSums groups = new LongSums(8);
        final LongSums cells = new LongSums(2);
        final LongSums bands = new LongSums(2);
        final LongSums sections = new LongSums(3);

        void add(Beacon beacon) {
            int lp = lps.computeIfAbsent(beacon.lp, id -> {
                lpIds.add(id);
                return lps.size();
            });
            if (beacon.seq == 0) {
                int group = group(lp, beacon.t0, beacon.device);
                groups.values[group * 8]++;
                int pageH = Math.min(beacon.pageH, MAX_EDGE);
                List<Integer> size =
                    List.of(group, beacon.pageW & -16, pageH & -16, beacon.viewportW & -16, beacon.viewportH & -16);
                views.computeIfAbsent(size, one -> new long[1])[0]++;
            }
            long depth = Math.min(beacon.depth, MAX_EDGE);
            for (int at = 0; at < beacon.events; at++) {
                char kind = beacon.type.charAt(at);
                int group = group(lp, beacon.t0 + beacon.dt[at], beacon.device);
                count(group, kind);
                if (kind == 's') {
                    depth = scrolled(beacon, at, group, depth);
                } else if (kind != 'g') {
                    touched(beacon, at, group, kind);
                }
            }
        }

        private int group(int lp, long time, int device) {
            return groups.find((long) lp << 32 | time / WINDOW_MS << 2 | device);
        }

        private void count(int group, char kind) {
            long[] counts = groups.values;
            int base = group * 8;
            counts[base + 1]++;
            if (CLICKS.indexOf(kind) >= 0) {
                counts[base + 2]++;
            }
            int column = "..rdmsg".indexOf(kind) + 1;
            if (column > 0) {
                counts[base + column]++;
            }
        }

        private long scrolled(Beacon beacon, int at, int group, long depth) {
            long top = clamp(beacon.y[at], MAX_PIXEL);
            long bottom = Math.min(top + beacon.viewportH, Math.min(beacon.pageH, MAX_EDGE));
            if (bottom <= top) {
                return depth;
            }
            long dwell = beacon.dwell[at];
            if (dwell > 0) {
                for (long band = top / 100; band <= (bottom - 1) / 100; band++) {
                    bands.add((long) group << 10 | band, 1, dwell);
                }
            }
            for (long band = (depth + 99) / 100; band * 100 < bottom; band++) {
                bands.add((long) group << 10 | band, 0, 1);
            }
            for (int one = 0; one < beacon.names.size(); one++) {
                long from = beacon.bounds.get(one)[0], to = beacon.bounds.get(one)[1];
                boolean reached = depth <= from && from < bottom;
                long shown = from < bottom && top < to && from < to ? dwell : 0;
                if (reached || shown > 0) {
                    long key = section(group, beacon.names.get(one));
                    sections.add(key, 1, reached ? 1 : 0);
                    sections.add(key, 2, shown);
                }
            }
            return Math.max(depth, bottom);
        }

        private void touched(Beacon beacon, int at, int group, char kind) {
            boolean fixed = beacon.fixed[at];
            long x = clamp(beacon.x[at], MAX_PIXEL), y = clamp(beacon.y[at], MAX_PIXEL);
            long across = Math.min(127, 128 * x / (fixed ? beacon.viewportW : beacon.pageW));
            long code = "crdm".indexOf(kind) + 1;
            long key = (((long) group << 3 | code) << 1 | (fixed ? 1 : 0)) << 19 | across << 12 | y >> 4;
            int row = cells.find(key) * 2;
            cells.values[row]++;
            cells.values[row + 1] += beacon.dwell[at];
            if (kind != 'm' && !fixed) {
                for (int one = 0; one < beacon.names.size(); one++) {
                    if (beacon.bounds.get(one)[0] <= y && y < beacon.bounds.get(one)[1]) {
                        sections.add(section(group, beacon.names.get(one)), 0, 1);
                    }
                }
            }
        }

        private long section(int group, String name) {
            int code = names.computeIfAbsent(name, one -> {
                nameList.add(one);
                return names.size();
            });
            return (long) group << 31 | code;
        }

        void insert(ClickHouse clickhouse, String token) {
            Rows rows = new Rows();
            for (int at = 0; at < cells.size; at++) {
                long key = cells.keys[at];
                shared(rows, (int) (key >> 23)).int8((int) (key >> 20 & 7)).int8((int) (key >> 19 & 1));
                rows.int8((int) (key >> 12 & 127)).int16((int) (key & 4095)).int64s(cells.values, at * 2, 2);
            }
            clickhouse.insert("heatmap_cells", rows, token);
            for (int at = 0; at < bands.size; at++) {
                shared(rows, (int) (bands.keys[at] >> 10)).int16((int) (bands.keys[at] & 1023));
                rows.int64s(bands.values, at * 2, 2);
            }
            clickhouse.insert("heatmap_scroll", rows, token);
            for (int at = 0; at < sections.size; at++) {
                long key = sections.keys[at];
                shared(rows, (int) (key >> 31)).text(nameList.get((int) (key & Integer.MAX_VALUE)));
                rows.int64s(sections.values, at * 3, 3);
            }
            clickhouse.insert("heatmap_sections", rows, token);
            for (int at = 0; at < groups.size; at++) {
                shared(rows, at).int64s(groups.values, at * 8, 8);
                rows.int8(0).int8(0); // no goals by kind: two empty arrays
            }
            clickhouse.insert("heatmap_windows", rows, token);
            views.forEach((size, counted) -> {
                shared(rows, size.get(0));
                for (int pixels : size.subList(1, 5)) {
                    rows.int32(pixels);
                }
                rows.int64s(counted, 0, 1);
            });
            clickhouse.insert("heatmap_views", rows, token);
        }

        private Rows shared(Rows rows, int group) {
            long key = groups.keys[group];
            long window = key >> 2 & ((1 << 30) - 1);
            return rows.text(lpIds.get((int) (key >> 32))).int32((int) (window * 5)).int8((int) (key & 3));
        }
    }

    /** Sums under long keys, numbered as they come: an open hash map. */
    static final class LongSums {
        final int width;
        long[] keys = new long[1 << 10];
        long[] values;
        int[] slots = new int[1 << 11];
        int size;

        LongSums(int width) {
            this.width = width;
            values = new long[keys.length * width];
        }

        /** Number of the key, new or known. */
        int find(long key) {
            int mask = slots.length - 1;
            int slot = hash(key) & mask;
            while (slots[slot] != 0) {
                if (keys[slots[slot] - 1] == key) {
                    return slots[slot] - 1;
                }
                slot = slot + 1 & mask;
            }
            if (size == keys.length) {
                grow();
                return find(key);
            }
            keys[size] = key;
            slots[slot] = ++size;
            return size - 1;
        }

        void add(long key, int column, long value) {
            int at = find(key) * width + column; // first: it may put a larger array in the place of `values`
            values[at] += value;
        }

        private void grow() {
            keys = Arrays.copyOf(keys, size * 2);
            values = Arrays.copyOf(values, size * 2 * width);
            slots = new int[size * 4];
            for (int at = 0; at < size; at++) {
                int slot = hash(keys[at]) & slots.length - 1;
                while (slots[slot] != 0) {
                    slot = slot + 1 & slots.length - 1;
                }
                slots[slot] = at + 1;
            }
        }

        private static int hash(long key) {
            long mixed = key * 0x9E3779B97F4A7C15L;
            return (int) (mixed ^ mixed >>> 32);
        }
    }

    /** RowBinary. */
    static final class Rows {
        byte[] bytes = new byte[1 << 16];
        int length;

        private void room(int more) {
            if (length + more > bytes.length) {
                bytes = Arrays.copyOf(bytes, Math.max(length + more, bytes.length * 2));
            }
        }

        Rows int8(int value) {
            room(1);
            bytes[length++] = (byte) value;
            return this;
        }

        Rows int16(int value) {
            return int8(value).int8(value >> 8);
        }

        Rows int32(int value) {
            return int16(value).int16(value >> 16);
        }

        void int64s(long[] values, int from, int count) {
            for (int at = from; at < from + count; at++) {
                int32((int) values[at]).int32((int) (values[at] >> 32));
            }
        }

        Rows text(String value) {
            byte[] encoded = value.getBytes(StandardCharsets.UTF_8);
            int left = encoded.length;
            while (left > 127) {
                int8(left & 127 | 128);
                left >>= 7;
            }
            int8(left);
            room(encoded.length);
            System.arraycopy(encoded, 0, bytes, length, encoded.length);
            length += encoded.length;
            return this;
        }
    }

    /** Inserts over HTTP, each known by its token. */
    static final class ClickHouse {
        static final HttpClient HTTP = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

        void insert(String table, Rows rows, String token) {
            if (rows.length == 0) {
                return;
            }
            String query = "INSERT INTO lpstream." + table + " (* EXCEPT (days_late)) FORMAT RowBinary";
            String url = setting("CLICKHOUSE_URL") + "/?query=" + URLEncoder.encode(query, StandardCharsets.UTF_8)
                + "&async_insert=0&optimize_on_insert=0&insert_deduplicate=1&insert_deduplication_token="
                + URLEncoder.encode(token, StandardCharsets.UTF_8);
            HttpRequest request = HttpRequest.newBuilder(URI.create(url))
                .header("X-ClickHouse-User", setting("CLICKHOUSE_USER"))
                .header("X-ClickHouse-Key", setting("CLICKHOUSE_PASSWORD"))
                .POST(HttpRequest.BodyPublishers.ofByteArray(rows.bytes, 0, rows.length))
                .build();
            rows.length = 0;
            try {
                HttpResponse<String> answer = HTTP.send(request, HttpResponse.BodyHandlers.ofString());
                if (answer.statusCode() != 200) {
                    throw new IllegalStateException(table + ": " + answer.statusCode() + " " + answer.body());
                }
            } catch (IOException | InterruptedException error) {
                throw new IllegalStateException(table + ": " + error, error);
            }
        }
    }
}
