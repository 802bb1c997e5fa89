"""The Quix Streams peer: a batching sink that writes at each checkpoint.

It uses the processors' decode and fold. Quix Streams pins a version of pydantic that lpstream does not run with. So the
peer has its own virtual environment, in which lpstream's packages come after its own.
"""

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any

from streams.proof.bench.peers import FIRST, Job, run

VERSION = "3.28.1"
INSTALL_S = 300.0
CHECKPOINT_S = 5.0
ROOT = Path(__file__).resolve().parents[4]


class Quix:
    """The Quix Streams peer."""

    name = f"Quix Streams {VERSION}"

    def prepare(self, cache: Path) -> list[str]:
        """Make the virtual environment unless it exists; return the command line."""
        home = cache / f"quixstreams-{VERSION}"
        python = home / "bin" / "python"
        if not (home / "done").exists():
            shutil.rmtree(home, ignore_errors=True)
            run([sys.executable, "-m", "venv", str(home)], INSTALL_S)
            pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            run([*pip, f"quixstreams=={VERSION}"], INSTALL_S)
            packages = next((home / "lib").glob("python*/site-packages"))
            (packages / "lpstream.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ROOT}\n", encoding="utf-8")
            (home / "done").touch()
        state = cache / f"quix-state-{os.getpid()}"
        return [str(python), "-m", __name__, str(state)]

    def version(self) -> str:
        """Return the version of quixstreams."""
        return f"quixstreams {VERSION}"


def _client(job: Job) -> Any:
    from urllib.parse import urlsplit

    import clickhouse_connect

    at = urlsplit(job.clickhouse_url)
    return clickhouse_connect.get_client(
        host=at.hostname,
        port=at.port,
        username=job.clickhouse_user,
        password=job.clickhouse_password,
        database="lpstream",
        compress=False,
        autogenerate_session_id=False,
    )


def main(job: Job, state: str) -> None:
    """Run the peer, in its own virtual environment."""
    import numpy as np
    from quixstreams import Application  # type: ignore[import-not-found]
    from quixstreams.sinks import BatchingSink, SinkBatch  # type: ignore[import-not-found]

    from processors.heatmap.decode import Fold, decode

    client = _client(job)

    class Tables(BatchingSink):  # type: ignore[misc]
        """The sink: it writes a partition's records since the last checkpoint as rows of the five tables."""

        reported = False

        def add(self, *args: Any, **kwargs: Any) -> None:
            if not self.reported:
                sys.stdout.write(f"{FIRST}\n")
                sys.stdout.flush()
                self.reported = True
            super().add(*args, **kwargs)

        def write(self, batch: SinkBatch) -> None:
            token = f"{batch.topic}:{batch.partition}:{batch.start_offset}:{batch.size}"
            times = np.fromiter((item.timestamp for item in batch), np.int64, batch.size)
            fold = Fold()
            fold.add(decode([item.value or b"" for item in batch], times).columns)
            for table, rows in fold.tables().items():
                settings = {
                    "insert_deduplication_token": token,
                    "insert_deduplicate": 1,
                    "async_insert": 0,
                    "optimize_on_insert": 0,
                }
                client.insert_arrow(table, rows, settings=settings)

    app = Application(
        broker_address=job.kafka,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        commit_interval=CHECKPOINT_S,
        auto_create_topics=False,
        use_changelog_topics=False,
        state_dir=state,
        loglevel="WARNING",
    )
    topic = app.topic(job.topic, value_deserializer="bytes", key_deserializer="bytes")
    app.dataframe(topic).sink(Tables())
    app.run()


if __name__ == "__main__":
    main(Job.from_env(), sys.argv[1])
