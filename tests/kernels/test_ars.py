"""The generator: published known answers and an independent AES round, on every ISA."""

import numpy as np
import oracle
import pytest

from fanin import _core

# Counter / key / output; words of 32 bits in the order of the file, the lowest first.
# ars4x32 with 7 rounds: Random123 (commit 9545ff6413f2), tests/old_kat_vectors, lines 832, 833,
# 878,
# 1028 and 3085.
SEVEN_ROUNDS = """
00000001 00000000 00000000 00000000 / 00000001 00000000 00000000 00000000 / 3523162b dc14d20c 79184077 72184193
00000100 00000000 00000000 00000000 / 00000001 00000000 00000000 00000000 / 6fb6e62d 68b661a4 6f1280f3 22cdb932
886a3f24 d308a385 2e8a1913 44737003 / 00000001 00000000 00000000 00000000 / bb4006c7 33dbc0db 1ea0a1c9 7f9541e3
00000001 00000000 00000000 00000000 / 00000000 00000001 00000000 00000000 / b98fa0e7 cdd825ac c4a2942b 188df12b
e6212845 7713d038 cf6654be 6c0ce934 / 00000000 00000000 00000000 80000000 / 394a7bc3 4d049c56 b0e3d5a5 dcb070b5
"""  # noqa: E501
# tests/kat_vectors, lines 13 to 15 (10 rounds); the same inputs with 7 and 5 rounds were computed
# with
# Random123's own header.
COUNTERS_AND_KEYS = """
00000000 00000000 00000000 00000000 / 00000000 00000000 00000000 00000000
243f6a88 85a308d3 13198a2e 03707344 / a4093822 299f31d0 082efa98 ec4e6c89
ffffffff ffffffff ffffffff ffffffff / ffffffff ffffffff 00000000 00000000
"""
OUTPUTS = {
    10: """8d73ee19 506401ef 13c2dbe4 0cbe9c0d
           a516e7d6 8357ad74 5b59b3ec 8763fff3
           bb3743b1 9f635551 ecbc87fc a19478a9""",
    7: """dacf61ff c45798f3 113c7eeb 101e27f3
          d1df87af f67d43ba 4f66afdb 393dcb2d
          5e39c131 d1121a9c ba0a9803 9372482d""",
    5: """7ecce06f 7cdc3bca 15513c87 29d24c9b
          9150862d 525af535 6612f4fa e2a60648
          0fcfc4c7 82140584 dab4b992 337b8ef3""",
}


def parse(words: str) -> list[int]:
    return [int(word, 16) for word in words.split()]


def number(words: list[int]) -> int:
    return sum(word << 32 * place for place, word in enumerate(words))


def known_answers():
    known = [(7, *map(parse, line.split("/"))) for line in SEVEN_ROUNDS.strip().splitlines()]
    inputs = COUNTERS_AND_KEYS.strip().splitlines()
    for rounds, outputs in OUTPUTS.items():
        for line, output in zip(inputs, outputs.splitlines(), strict=True):
            known.append((rounds, *map(parse, line.split("/")), parse(output)))
    return known


KNOWN = known_answers()


def core_block(counter: int, key: int, rounds: int) -> list[int]:
    key_bytes = key.to_bytes(16, "little")
    return list(_core.debug.block(key_bytes, counter & oracle.MASK64, counter >> 64, rounds))


@pytest.mark.parametrize(("rounds", "counter", "key", "output"), KNOWN)
def test_published_blocks_come_out(isa, rounds, counter, key, output):
    assert core_block(number(counter), number(key), rounds) == output


@pytest.mark.parametrize(("rounds", "counter", "key", "output"), KNOWN)
def test_the_oracle_makes_the_published_blocks(rounds, counter, key, output):
    assert oracle.ars([number(counter)], number(key), rounds)[0].tolist() == output


def test_the_oracles_aes_round_encrypts_as_fips_197():
    # FIPS 197, appendix C.1: AES-128 with its own key schedule (section 5.2).
    schedule, constant = bytearray(range(16)), 1
    while len(schedule) < 16 * 11:
        last = bytes(schedule[-4:])
        if len(schedule) % 16 == 0:
            last = bytes(int(oracle.SBOX[b]) for b in last[1:] + last[:1])
            last = bytes([last[0] ^ constant]) + last[1:]
            constant = int(oracle.TWICE[constant])
        schedule += bytes(a ^ b for a, b in zip(schedule[-16:-12], last, strict=True))
    keys = np.frombuffer(bytes(schedule), np.uint8).reshape(11, 16)
    text = bytes.fromhex("00112233445566778899aabbccddeeff")
    state = np.frombuffer(text, np.uint8)[None] ^ keys[0]
    for round_key in keys[1:10]:
        state = oracle.aes_round(state, round_key)
    state = oracle.aes_last_round(state, keys[10])
    assert state.tobytes().hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"


@pytest.mark.parametrize("rounds", [5, 7, 10])
def test_random_blocks_equal_the_oracles(isa, rounds):
    rng = np.random.default_rng(rounds)
    for key_bytes in (rng.bytes(16), rng.bytes(16)):
        key = int.from_bytes(key_bytes, "little")
        counters = [int.from_bytes(rng.bytes(16), "little") for _ in range(2000)]
        expected = oracle.ars(counters, key, rounds).tolist()
        assert [core_block(counter, key, rounds) for counter in counters] == expected


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1, 2**127 + 12345])
def test_words_of_many_tiles_equal_the_oracles(isa, seed):
    key = oracle.seed_key(seed)
    words = _core.words(key.to_bytes(16, "little"), 3, 5, 640)
    assert np.array_equal(words, oracle.words(key, 5 * 32, 640 * 32, id=3))


# Around the block numbers where a narrower counter would carry.
@pytest.mark.parametrize("edge", [2**31, 2**32, 2**33, 2**62, 2**63])
def test_no_carry_is_lost_at_powers_of_two(isa, edge):
    key = oracle.seed_key(7)
    first_tile = edge // 8 - 3
    words = _core.words(key.to_bytes(16, "little"), 0, first_tile, 6)
    assert np.array_equal(words, oracle.words(key, 32 * first_tile, 32 * 6))


def test_the_last_tile_of_a_stream_keeps_its_id(isa):
    key = oracle.seed_key(7)
    last = 2**61 - 1
    words = _core.words(key.to_bytes(16, "little"), 9, last, 1)
    assert np.array_equal(words, oracle.words(key, 32 * last, 32, id=9))


def test_one_wrong_bit_of_a_weyl_constant_is_seen(isa, monkeypatch):
    monkeypatch.setattr(oracle, "WEYL_HIGH", oracle.WEYL_HIGH ^ 1)
    _, counter, key, output = KNOWN[0]
    assert oracle.ars([number(counter)], number(key))[0].tolist() != output
    assert core_block(number(counter), number(key), 7) == output
