"""The steps of docs/production.md, as far as they run without cluster, container engine and cloud.

`kubectl create secret … --dry-run=client` builds each secret from the files that `prepare` writes. The page's table
"How each step is proven" names these tests.
"""

import base64
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
import yaml
from moto import mock_aws
from production_tools import ROOT, run, tool
from test_clickhouse_files import parse_all
from test_kubernetes import OVERLAYS, RECOMMENDED, REGIONS, built

from infra.tenants import Tenants
from streams.runtime.settings import Settings

PAGE = (ROOT / "docs" / "production.md").read_text("utf-8")
KUBERNETES = ROOT / "infra" / "kubernetes"
GIVEN = {"S3_ACCESS_KEY_ID": "id", "S3_SECRET_ACCESS_KEY": "key", "OIDC_CLIENT_ID": "c", "OIDC_CLIENT_SECRET": "s"}
# made by Strimzi from the KafkaUser and the Kafka resource
BY_STRIMZI = {"lpstream-worker", "lpstream-cluster-ca-cert"}
CERTIFICATES = ("lp", "studio", "tls")


def shown(start: str) -> list[str]:
    """Return the commands of the page's code blocks that begin with these words."""
    return [line.strip() for line in PAGE.splitlines() if line.startswith("    ") and line.strip().startswith(start)]


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run `prepare` in a folder of its own, and add certificates as an operator would."""
    folder = tmp_path_factory.mktemp("kubernetes")
    shutil.copy2(KUBERNETES / "prepare", folder)
    subprocess.run([folder / "prepare"], env=os.environ | GIVEN, check=True, capture_output=True)
    made = folder / "secrets"
    if openssl := shutil.which("openssl"):
        for name in CERTIFICATES:
            words = f"req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN={name} -keyout {name}.key -out {name}.crt"
            subprocess.run([openssl, *words.split()], cwd=made, check=True, capture_output=True)
        shutil.copy2(made / "tls.crt", made / "ca.crt")
    (made / "providers.json").write_text("[]", "utf-8")
    (made / "openai_key").write_text("key", "utf-8")
    return made


def created(secrets: Path) -> dict[str, dict[str, str]]:
    """Return the secrets that the page's commands create: their values by key."""
    found = {}
    for command in shown("kubectl -n lpstream create secret"):
        words = shlex.split(command)
        made = run(tool("kubectl"), *words[1:], "--dry-run=client", "-o", "yaml", cwd=secrets)
        item = yaml.safe_load(made)
        found[item["metadata"]["name"]] = {k: base64.b64decode(v).decode() for k, v in item["data"].items()}
    return found


def wanted(manifests: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Return the secrets that the manifests read, with the keys that they name."""
    found: dict[str, set[str]] = {}

    def look(node: Any, parent: str = "") -> None:
        if isinstance(node, list):
            for each in node:
                look(each, parent)
        if not isinstance(node, dict):
            return
        if parent in ("secret", "secretRef", "secretKeyRef", "tls") and (
            name := node.get("secretName", node.get("name"))
        ):
            keys = {item["key"] for item in node.get("items", ())} | ({node["key"]} if "key" in node else set())
            found.setdefault(str(name), set()).update(keys)
        for key, value in node.items():
            look(value, key)

    look([item for item in manifests if item["kind"] != "ConfigMap"])
    return {name: keys for name, keys in found.items() if name not in BY_STRIMZI}


def test_the_documented_secrets_are_those_that_the_manifests_read(secrets: Path) -> None:
    if not (secrets / "lp.crt").exists():
        pytest.skip("openssl is not on this machine: it makes the certificates of this test")
    made = created(secrets)
    needed = {**wanted(built("us-west1")), **{k: v for k, v in wanted(built(RECOMMENDED)).items() if k == "providers"}}
    assert set(made) == set(needed)
    for name, keys in needed.items():
        assert keys <= set(made[name]), name


def test_a_secret_has_every_file_that_a_process_reads(secrets: Path) -> None:
    made = created(secrets) if (secrets / "lp.crt").exists() else pytest.skip("openssl is not on this machine")
    text = json.dumps(built(RECOMMENDED))
    read = set(re.findall(r"/run/secrets/lpstream/([\w.]+)", text)) - {"kafka_password", "kafka_ca.crt"}
    assert read <= set(made["lpstream"])
    assert set(re.findall(r"/run/secrets/login/([\w.]+)", text)) <= set(made["studio-login"])
    users = "".join(
        (ROOT / "infra" / "clickhouse" / name).read_text("utf-8")
        for name in ("users.d/writer.xml", "users.d/analyst.xml", "config.d/regions.xml")
    )
    assert set(re.findall(r'from_env="(\w+)"', users)) == set(made["clickhouse-users"])


def test_the_prepared_files_are_usable_as_they_are(secrets: Path) -> None:
    of_operator = {"providers.json", "openai_key"}
    prepared = [
        file for file in secrets.iterdir() if file.suffix not in (".crt", ".key") and file.name not in of_operator
    ]
    values = {file.name: file.read_text("utf-8") for file in prepared}
    assert not [
        name
        for name, value in values.items()
        if value.endswith("\n") and name not in ("clickhouse-users.env", "tenants.toml")
    ]
    assert len(values["studio_secret"]) >= 32
    assert len(base64.urlsafe_b64decode(values["cookie_secret"])) == 32
    assert values["redis_password"].isalnum()
    tenants = Tenants.load(secrets / "tenants.toml")
    for token, role in (("operator_token", "operator"), ("metrics_token", "metrics")):
        caller = tenants.caller(values[token])
        assert caller is not None and caller.role == role
    assert all(file.stat().st_mode & 0o077 == 0 for file in prepared)


def test_prepare_keeps_files_and_asks_for_keys_of_others(tmp_path: Path) -> None:
    shutil.copy2(KUBERNETES / "prepare", tmp_path)
    before = {}
    for _ in range(2):
        subprocess.run([tmp_path / "prepare"], env=os.environ | GIVEN, check=True, capture_output=True)
        files = {file.name: file.read_bytes() for file in (tmp_path / "secrets").iterdir()}
        assert not before or files == before
        before = files
    (tmp_path / "secrets" / "client_id").unlink()
    bare = {name: value for name, value in os.environ.items() if name not in GIVEN}
    done = subprocess.run([tmp_path / "prepare"], env=bare, check=False, capture_output=True, text=True)
    assert done.returncode != 0 and "OIDC_CLIENT_ID" in done.stderr


def test_the_pages_commands_work_one_after_the_other() -> None:
    folder = ROOT
    for command in shown(""):
        for path in re.findall(r"(?:^|[\s=<(]|file://)(infra/[\w./-]+)", command):
            exists = (folder / path).exists() or path.startswith("infra/kubernetes/secrets")
            assert exists, f"{command}: {path} is not in {folder}"
        if command.startswith("cd "):
            folder = (folder / command.split()[1]).resolve()
    assert folder == ROOT


def test_no_command_shows_a_secret_in_its_arguments() -> None:
    for command in shown("kubectl") + shown("docker") + shown("aws"):
        assert "--from-literal" not in command and "--password" not in command, command


def test_regions_are_created_with_the_password_from_standard_input(tmp_path: Path) -> None:
    (command,) = shown("kubectl -n lpstream exec -i")
    client = tmp_path / "clickhouse-client"
    client.write_text('#!/bin/sh\necho "$CLICKHOUSE_PASSWORD $*"\ncat\n', "utf-8")
    client.chmod(0o755)
    secret = tmp_path / "password"
    secret.write_text("pass-word", "utf-8")
    command = re.sub(r"^kubectl .*? -- ", "", command).replace(
        "infra/kubernetes/secrets/clickhouse_password", str(secret)
    )
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    first, _, rest = done.stdout.partition("\n")
    assert first == "pass-word --user lpstream --multiquery"
    assert rest == (ROOT / "infra" / "clickhouse" / "regions.sql").read_text("utf-8")


def test_no_secret_reaches_the_repository_or_the_image() -> None:
    for folder in ("infra/kubernetes/secrets", "infra/compose/secrets"):
        assert f"{folder}/" in (ROOT / ".gitignore").read_text("utf-8").splitlines()
        ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
        assert str(Path(folder).parent) in ignored


@pytest.mark.parametrize("region", [RECOMMENDED, *REGIONS])
def test_every_region_starts_with_the_settings_of_its_manifests(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = next(
        item["data"] for item in built(region) if item["kind"] == "ConfigMap" and item["metadata"]["name"] == "settings"
    )
    for name in [name for name in os.environ if name.startswith("LPSTREAM_")]:
        monkeypatch.delenv(name)
    for name, value in values.items():
        if not name.endswith("_FILE"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("LPSTREAM_KAFKA_PASSWORD", "p")
    settings = Settings()
    assert settings.production and settings.clickhouse_replicated
    hosts = {
        rule["host"] for item in built(region) if item["kind"] == "Ingress" for rule in item["spec"].get("rules", ())
    }
    assert urlsplit(settings.api_base_url).hostname in hosts
    names = {
        each["dnsName"] for item in built(region) if item["kind"] == "DNSEndpoint" for each in item["spec"]["endpoints"]
    }
    assert str(urlsplit(settings.page_base_url).hostname).removeprefix(f"{region}.") in names


def test_the_studio_is_reached_only_through_the_login() -> None:
    manifests = built(RECOMMENDED)
    paths = [
        (path["path"], path["backend"]["service"]["name"])
        for item in manifests
        if item["kind"] == "Ingress"
        for rule in item["spec"].get("rules", ())
        for path in rule.get("http", {}).get("paths", ())  # without: the default backend, nginx
    ]
    assert paths == [("/studio", "login"), ("/oauth2", "login")]
    assert all(item["spec"]["tls"] for item in manifests if item["kind"] == "Ingress")
    policy = next(
        item for item in manifests if item["kind"] == "NetworkPolicy" and item["metadata"]["name"] == "studio"
    )
    pods = [
        each["podSelector"]["matchLabels"]
        for rule in policy["spec"]["ingress"]
        for each in rule["from"]
        if "podSelector" in each
    ]
    assert {each["app.kubernetes.io/component"] for each in pods} == {"login", "prometheus"}


def test_documented_folders_and_images_exist() -> None:
    for folder in re.findall(r"^\| `(overlays/[\w-]+|plan-sizes|regions)`", PAGE, re.MULTILINE):
        assert (KUBERNETES / folder / "kustomization.yaml").exists(), folder
    targets = set(re.findall(r"--target (\w+)", "\n".join(shown("docker build"))))
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE))
    assert targets == {"lpstream", "browser"} <= stages
    pushed = {word.rsplit("/", 1)[-1] for line in shown("docker push") for word in line.split()[-1:]}
    built_here = {word.rsplit("/", 1)[-1] for line in shown("docker build") for word in re.findall(r"-t (\S+)", line)}
    overlay = yaml.safe_load((OVERLAYS / RECOMMENDED / "kustomization.yaml").read_text("utf-8"))
    registry = re.search(r"export REGISTRY=(\S+)", PAGE)
    assert registry is not None
    assert {f"{registry[1]}/{name}" for name in pushed} == {
        f"{item['newName']}:{item['newTag']}" for item in overlay["images"]
    }
    assert pushed == built_here


def test_the_image_contains_every_file_that_its_recipe_copies() -> None:
    kept = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    for source in re.findall(r"^COPY (?!--from)(\S+) ", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE):
        assert source == "." or f"!{source}" in kept, source
    for path in re.findall(r"/app/([\w./-]+\.txt|infra/[\w-]+)", (ROOT / "Dockerfile").read_text("utf-8")):
        assert (ROOT / path).exists(), path
        assert f"!{path.split('/', maxsplit=1)[0]}" in kept, path


def test_the_images_browser_gets_its_arguments_without_its_sandbox(tmp_path: Path) -> None:
    fake = tmp_path / "chromium"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', "utf-8")
    fake.chmod(0o755)
    done = subprocess.run(
        [ROOT / "infra" / "chromium-in-container", "--headless", "a b"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["--no-sandbox", "--headless", "a b"]


@mock_aws
def test_s3_accepts_the_replication_of_pages_to_two_regions() -> None:
    rules = json.loads((ROOT / "infra" / "s3" / "replication.json").read_text("utf-8"))
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    buckets = {rule["Destination"]["Bucket"].rsplit(":", 1)[-1] for rule in rules["Rules"]}
    home = re.search(r"--bucket (\S+)", "\n".join(shown("aws s3api")))
    assert home is not None
    for bucket in (home[1], *buckets):
        client.create_bucket(Bucket=bucket)
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    client.put_bucket_replication(Bucket=home[1], ReplicationConfiguration=rules)
    assert len(client.get_bucket_replication(Bucket=home[1])["ReplicationConfiguration"]["Rules"]) == len(
        rules["Rules"]
    )
    copied = {(rule["Filter"]["Prefix"], rule["Destination"]["Bucket"].rsplit(":", 1)[-1]) for rule in rules["Rules"]}
    assert copied == {
        (prefix, bucket) for prefix in ("pages/", "variants/", "assets/", "snippets/") for bucket in buckets
    }
    assert len(buckets) == 2


@mock_aws
def test_route_53_accepts_the_health_check() -> None:
    (command,) = shown("aws route53 create-health-check")
    words = shlex.split(command)
    config: dict[str, Any] = dict(
        word.split("=") for word in words[words.index("--health-check-config") + 1].split(",")
    )
    every_s, times = int(config["RequestInterval"]), int(config["FailureThreshold"])
    assert f"{every_s * times} s" in PAGE  # how long the check needs
    typed = {"RequestInterval": every_s, "FailureThreshold": times, "EnableSNI": config["EnableSNI"] == "true"}
    client = boto3.client("route53", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    reference = words[words.index("--caller-reference") + 1]
    made = client.create_health_check(CallerReference=reference, HealthCheckConfig=config | typed)
    # the path that nginx answers only while an edge does
    assert made["HealthCheck"]["HealthCheckConfig"]["ResourcePath"] == "/readyz"
    hosts = {rule["host"] for item in built("us-west1") if item["kind"] == "Ingress" for rule in item["spec"]["rules"]}
    assert config["FullyQualifiedDomainName"] in hosts


def test_the_stand_in_bucket_finds_a_page_by_its_path() -> None:
    script = """
const { handler } = require(process.argv[1]);
const ask = async (uri, origin) => (await handler({ Records: [{ cf: { request: { uri, origin } } }] })).uri;
Promise.all([ask("/lp/t1-a.b", { s3: {} }), ask("/lp/t1-a.b", { custom: {} }), ask("/assets/x.png", { s3: {} }),
  ask("/lp/../x", { s3: {} })]).then((found) => console.log(JSON.stringify(found)));
"""
    node = shutil.which("node") or pytest.skip("node is not on this machine")
    done = run(node, "-e", script, ROOT / "infra" / "s3" / "replica-path.js")
    assert json.loads(done) == ["/pages/t1-a.b/index.html", "/lp/t1-a.b", "/assets/x.png", "/lp/../x"]


def commands() -> list[str]:
    """Return every command of the page's code blocks."""
    return [line.strip() for line in PAGE.splitlines() if re.match(r"    [a-z.][\w./-]*(?: |$)", line)]


def test_every_documented_command_is_in_the_table_of_proofs() -> None:
    table = PAGE[PAGE.index("## How each step is proven") :]
    steps = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    begins = [words.rstrip("…").strip() for step in steps for words in re.findall(r"`([^`]+)`", step)]
    assert len(commands()) > 25
    assert [line for line in commands() if not any(line.startswith(begin) for begin in begins)] == []
    before = PAGE[: PAGE.index("## How each step is proven")]
    assert [begin for begin in begins if begin not in before] == []


def test_the_tests_that_the_table_names_exist() -> None:
    table = PAGE[PAGE.index("## How each step is proven") :]
    for path in re.findall(r"`((?:tests|infra|streams)/[\w./-]+)`", table):
        assert (ROOT / path).exists(), path


def test_kubectl_has_each_documented_subcommand() -> None:
    kubectl = tool("kubectl")
    lines = [line for line in commands() if line.startswith("kubectl")]
    for call in {part.strip() for line in lines for part in re.split(r"&&|\|", line) if "kubectl" in part}:
        words = [word for word in shlex.split(call.replace("…", "x")) if word not in ("-n", "lpstream")][1:]
        options = [word.split("=")[0] for word in words if word.startswith("--")]
        shown_help = run(kubectl, *[word for word in words[:2] if re.fullmatch(r"[a-z]+", word)][:1], "--help")
        assert "Usage:" in shown_help
        if words[0] not in ("create", "exec"):
            assert all(option in shown_help for option in options), (call, options)


def test_documented_objects_are_in_the_manifests() -> None:
    made = {(item["kind"], item["metadata"]["name"]) for item in built(RECOMMENDED)}
    kinds = {"deploy": "Deployment", "sts": "StatefulSet", "svc": "Service", "scaledobject": "ScaledObject"}
    named = re.findall(r"\b(deploy|sts|svc|scaledobject)/([a-z-]+)", "\n".join(commands()) + PAGE)
    assert len(named) >= 4
    assert {(kinds[kind], name) for kind, name in named} <= made
    assert ("Job", "migrate") in made
    # Altinity's operator names the pod of a replica chi-{installation}-{cluster}-{shard}-{replica}-0
    store = next(item for item in built(RECOMMENDED) if item["kind"] == "ClickHouseInstallation")
    cluster = store["spec"]["configuration"]["clusters"][0]["name"]
    assert f"chi-{store['metadata']['name']}-{cluster}-0-0-0" in PAGE
    assert f"http://api.{store['metadata']['namespace']}:8081" in PAGE and ("Service", "api") in made


def test_the_engine_parses_the_documented_sql() -> None:
    pytest.importorskip("chdb")
    verbs = "RENAME|ALTER TABLE|INSERT INTO|CREATE TABLE|DROP DATABASE|BACKUP|RESTORE|SELECT \\w+,|SYSTEM SYNC"
    quoted = re.findall(r"``(.+?)``|`([^`]+)`", PAGE.replace("\n  ", " "))
    texts = [(two or one).strip() for two, one in quoted]
    shown_sql = [
        text
        for text in texts
        if re.match(rf"(?:{verbs}) \S+", text) and text not in ("CREATE TABLE … AS", "SYSTEM SYNC REPLICA")
    ]
    assert len(shown_sql) >= 6
    bucket = "S3('http://x/', 'a', 'b')"
    spoken = {
        "S3(…)": bucket,
        "ON CLUSTER … ": "ON CLUSTER 'c' ",
        "RESTORE DATABASE …": f"RESTORE DATABASE d FROM {bucket}",
        "…": "x",
    }
    for words, sql in spoken.items():
        shown_sql = [text.replace(words, sql) for text in shown_sql]
    assert parse_all(shown_sql) == {}
