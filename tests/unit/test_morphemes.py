"""The analyser: it finds words, and only processes that check copy load it."""

import subprocess
import sys

from patience import PATIENCE_S

from processors.pages.morphemes import boundaries


def test_a_compound_is_one_word_and_has_short_parts() -> None:
    assert 2 not in boundaries("絶対音感の話")
    assert 2 in boundaries("絶対音感の話", short=True)


def test_the_edge_does_not_load_the_analyser() -> None:
    program = (
        "import sys\n"
        "import streams.edge.server, streams.edge.routes, streams.edge.services, streams.pictures.cards\n"
        "assert not [name for name in sys.modules if 'sudachi' in name]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE_S)
