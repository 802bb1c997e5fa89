"""The allowlist for analysts: functions, tables, formats and settings. Everything else is refused.

`functions.txt` holds the functions of ClickHouse 26.9 that depend only on their arguments. It omits functions that
reach files, the network, dictionaries, other users, other tables, settings or the machine, functions that wait, and set
operations on polygons, whose memory the engine does not count. A function of a newer engine is refused until somebody
reviews and adds it.
"""

import os
import re
from importlib.resources import files

# first words of statements that read
READS = frozenset({"SELECT", "WITH", "SHOW", "DESCRIBE", "EXPLAIN", "EXISTS"})
FUNCTIONS = frozenset(files(__package__).joinpath("functions.txt").read_text("utf-8").lower().split()) | {
    # functions that the parser creates from syntax; system.functions does not list them
    "lambda", "exists", "grouping", "untuple", "countdistinct",
    # facts of the build and of the connection
    "revision", "currentdatabase", "current_database",
    # `system.settings` shows the same values
    "getsetting", "getsettingordefault",
}  # fmt: skip
# functions of the session; the server writes their values into the statement, because chDB has no users
SESSION = {
    "currentuser": "user", "current_user": "user", "user": "user", "displayname": "server",
    "hostname": "server", "fqdn": "server",
    "query_id": "query", "queryid": "query", "initial_query_id": "query", "initialqueryid": "query",
}  # fmt: skip
LONGEST_NAME = 128  # the combinators of a name are removed one by one
_COMBINATOR = re.compile(r"(?:if|array|map|state|merge|foreach|distinct|ordefault|ornull|resample|argmin|argmax)\Z")
TABLE_FUNCTIONS = frozenset(
    {
        "numbers", "numbers_mt", "zeros", "zeros_mt", "generateseries", "generate_series", "values", "null", "view",
        "sqlstandardvalues",  # (VALUES (1), (2)) AS t
    }
)  # fmt: skip
DATABASES = frozenset({"lpstream", "lpstream_warm", "information_schema", "INFORMATION_SCHEMA"})
SYSTEM_TABLES = frozenset(
    {
        "settings", "tables", "columns", "databases", "functions", "formats", "data_type_families", "one", "numbers",
        "numbers_mt", "parts", "time_zones", "contributors", "build_options", "table_engines", "table_functions",
        "collations", "keywords", "aggregate_function_combinators", "zeros", "zeros_mt", "codecs", "documentation",
        "licenses", "privileges", "database_engines", "current_roles", "enabled_roles", "merge_tree_settings",
        # tools that show a server's objects read them; here most are empty
        "clusters", "macros", "dictionaries", "replicas", "mutations", "projections", "data_skipping_indices",
        "parts_columns",
    }
)  # fmt: skip
# all formats but those that read a schema or a template from a file, or implement a protocol
FORMATS = frozenset(
    {
        "Null", "Values", "Vertical", "XML", "Markdown", "MD", "SQLInsert", "LineAsString", "RawBLOB", "TSKV",
        "Arrow", "ArrowStream", "Avro", "BSONEachRow", "MsgPack", "Native", "Npy", "ORC", "Parquet", "NDJSON", "JSONL",
        "RowBinary", "RowBinaryWithNames", "RowBinaryWithNamesAndTypes",
        "CSV", "CSVWithNames", "CSVWithNamesAndTypes", "Raw", "RawWithNames", "RawWithNamesAndTypes",
        "TSV", "TSVWithNames", "TSVWithNamesAndTypes", "TSVRaw", "TSVRawWithNames", "TSVRawWithNamesAndTypes",
        "TabSeparated", "TabSeparatedWithNames", "TabSeparatedWithNamesAndTypes",
        "TabSeparatedRaw", "TabSeparatedRawWithNames", "TabSeparatedRawWithNamesAndTypes",
        "JSON", "JSONStrings", "JSONColumns", "JSONColumnsWithMetadata", "JSONLines", "JSONObjectEachRow",
        "JSONCompact", "JSONCompactStrings", "JSONCompactColumns",
        "JSONEachRow", "JSONEachRowWithProgress", "JSONStringsEachRow", "JSONStringsEachRowWithProgress",
        "JSONCompactEachRow", "JSONCompactEachRowWithNames", "JSONCompactEachRowWithNamesAndTypes",
        "JSONCompactStringsEachRow", "JSONCompactStringsEachRowWithNames", "JSONCompactStringsEachRowWithNamesAndTypes",
        "JSONCompactEachRowWithProgress", "JSONCompactStringsEachRowWithProgress", "ODBCDriver2", "Hash",
        "CustomSeparated", "CustomSeparatedWithNames", "CustomSeparatedWithNamesAndTypes",
        "Pretty", "PrettyCompact", "PrettyCompactMonoBlock", "PrettyMonoBlock", "PrettyNoEscapes", "PrettySpace",
        "PrettyCompactNoEscapes", "PrettySpaceNoEscapes", "PrettyJSONEachRow", "PrettyJSONLines", "PrettyNDJSON",
    }
)  # fmt: skip
# ClickHouse ignores upper and lower case in a format's name
FORMAT_NAMES = {name.lower(): name for name in FORMATS}
# Settings for the format of a result and for its transport. None of them names a file, an address or
# a function, and none is a limit of `LIMITS`.
SETTINGS = re.compile(
    r"output_format_(?:pretty|json|csv|tsv|xml|parquet|arrow|orc|native|values|markdown|sql_insert|bson|msgpack|binary)_\w+"
    r"|output_format_(?:decimal_trailing_zeros|write_statistics|float_precision|parallel_formatting|enable_streaming)"
    r"|input_format_(?:csv|tsv|json_(?!max)|null|skip|defaults|allow|import|parquet|arrow|orc|native|parallel|with)_?\w+"
    r"|format_(?:csv|tsv|custom)_\w+|(?:date_time|interval)_(?:input|output|overflow)_\w+|bool_(?:true|false)_representation"
    r"|(?:optimize|query_plan|join|cast|compile|enable_optimize|partial_merge_join|read_in_order|group_by)_\w+"
    r"|(?:asterisk_include|formatdatetime|parsedatetime|prefer|force|aggregate_functions|aggregation_in_order)_\w+"
    r"|(?:distinct|result|set|sort|transfer)_overflow_mode|(?:union|intersect|except)_default_mode|totals_mode|final|extremes"
    r"|max_(?:rows|bytes)_(?:to_(?:group_by|sort|transfer)|in_(?:join|set|distinct))|max_insert_block_size|limit|offset"
    r"|describe_\w+|data_type_default_nullable|select_sequential_consistency|skip_unavailable_shards|add_http_cors_header"
    r"|log_(?:queries|query_threads|query_views|profile_events|processors_profiles)|send_logs_level"
    r"|transform_null_in|decimal_check_overflow|exact_rows_before_limit|short_circuit_function_evaluation"
    r"|empty_result_for_aggregation_by_\w+|any_join_distinct_right_table_keys|enable_positional_arguments"
    r"|network_(?:zstd_)?compression_(?:method|level)|session_timezone|use_uncompressed_cache|async_insert|wait_for_async_insert"
    r"|(?:http|connect|receive|send)_(?:\w+_)?timeout|send_progress_in_http_headers|enable_http_compression"
    r"|http_(?:wait_end_of_query|write_exception_in_output_format|zlib_compression_level|response_buffer_size"
    r"|headers_progress_interval_ms)|cancel_http_readonly_queries_on_client_close"
)
# labels for logs that this engine does not keep
LABELS = frozenset({"log_comment"})
# as in production: settings may change within the limits, and only temporary tables may be written
READONLY = "2"
# Limits that a query may lower. In ClickHouse 0 means "no limit", so 0 is refused.
LIMITS = {
    "max_execution_time": 30,
    "max_result_rows": 1_000_000,
    "max_result_bytes": 2**28,
    "max_rows_to_read": 2_000_000_000,
    "max_bytes_to_read": 200_000_000_000,
    "max_memory_usage": 1_000_000_000,
    "max_threads": os.cpu_count() or 1,
    "max_block_size": 65_409,
}
# Highest value that a query may set, where it is above the default limit. Grafana's plugin sets 65 s by default: its
# query time-out of 60 s, and 5 s that clickhouse-go adds.
HIGHEST = {"max_execution_time": 65}
# a client cannot change these
FIXED = {
    "timeout_overflow_mode": "throw",
    "read_overflow_mode": "throw",
    "allow_introspection_functions": "0",
    "format_display_secrets_in_show_and_select": "0",
    "implicit_select": "0",
    # data of a temporary table is read, not computed
    "input_format_values_interpret_expressions": "0",
    "input_format_values_deduce_templates_of_expressions": "0",
}


def allows_function(name: str) -> bool:
    """Return whether a scalar or aggregate function is allowed, aggregates also with combinators."""
    rest = name.lower()
    if rest in SESSION:
        return True
    if len(rest) > LONGEST_NAME:
        return False
    while rest not in FUNCTIONS:
        shorter = _COMBINATOR.sub("", rest)
        if shorter == rest:
            return False
        rest = shorter
    return True


def allows_table(name: str) -> bool:
    """Return whether a table is allowed. A name without database belongs to the query's database."""
    parts = name.split(".")
    if not all(re.fullmatch(r"\w+", part) for part in parts) or len(parts) > 2:
        return False
    if len(parts) == 1 or parts[0] in DATABASES:
        return True
    return parts[0] == "system" and parts[1] in SYSTEM_TABLES
