"""The drawing process: work that never ends stops nobody else."""

import pytest

from schemas.errors import Retryable
from streams.pictures.drawing import DrawingProcess


async def test_work_over_its_processor_time_ends_and_the_next_work_runs() -> None:
    process = DrawingProcess(most_cpu_s=0.2)
    try:
        with pytest.raises(Retryable):
            await process.run(sum, range(10**9))
        assert await process.run(sum, range(10)) == 45
    finally:
        process.close()
