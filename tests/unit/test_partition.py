"""The partitioner: keys get the same partition as in other Kafka clients."""

import aiokafka.partitioner
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.producer import murmur2, partition_of


@given(st.binary(max_size=100))
def test_the_hash_equals_aiokafkas_murmur2(key: bytes) -> None:
    assert murmur2(key) == aiokafka.partitioner.murmur2(key) & 0xFFFFFFFF


@pytest.mark.parametrize(  # from Kafka's own UtilsTest.testMurmur2
    ("key", "hashed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_equals_kafkas_own_examples(key: bytes, hashed: int) -> None:
    assert murmur2(key) == hashed & 0xFFFFFFFF
    assert partition_of(key, 12) == (hashed & 0x7FFFFFFF) % 12
