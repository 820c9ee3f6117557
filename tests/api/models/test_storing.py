"""Whole models on disk: reliability checks F1 to F10 of files and folders of a plan."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save

import fanin
from fanin import Plan, PlanTensor
from fanin._models.values import Literal

#: Ten tensors of 40 kB, in order of their names.
TEN = Plan(
    "ten",
    tuple(PlanTensor(f"layer.{i}.weight", (100, 100), "he_normal") for i in range(10)),
    config={"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]},
)
SHARDS = [f"model-{number:05}-of-00004.safetensors" for number in range(1, 5)]
WHOLE = sorted([*SHARDS, "config.json", "model.safetensors.index.json"])


def write_shards(folder, **arguments):
    """Four shards of the ten tensors: three, three, three and one."""
    return TEN.write(folder, **{"seed": 3, "shard_size": "120KB", **arguments})


def hashes(folder):
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in os.listdir(folder)
    }


@pytest.fixture
def folder(tmp_path):
    """A folder with the four shards."""
    write_shards(tmp_path / "model")
    return tmp_path / "model"


# The files ------------------------------------------------


def test_a_folder_has_shards_an_index_and_the_config(folder):
    assert sorted(os.listdir(folder)) == WHOLE
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": 400_000}
    values = {}
    for tensor, name in index["weight_map"].items():
        held = load_file(folder / name)
        assert tensor in held
        values.update(held)
    assert sorted(values) == sorted(tensor.name for tensor in TEN.tensors)
    for tensor in TEN.tensors:
        expected = fanin.he_normal((100, 100), seed=fanin.Stream(3)[tensor.name])
        np.testing.assert_array_equal(values[tensor.name], expected)


def test_the_data_of_a_file_is_what_safetensors_saves(tmp_path):
    TEN.write(tmp_path / "x.safetensors", seed=3)
    raw = (tmp_path / "x.safetensors").read_bytes()
    theirs = save(load_file(tmp_path / "x.safetensors"))
    starts = [8 + int.from_bytes(content[:8], "little") for content in (raw, theirs)]
    assert raw[starts[0] :] == theirs[starts[1] :]


def test_config_json_is_never_replaced_and_says_the_dtype(tmp_path):
    folder = tmp_path / "model"
    write_shards(folder, dtype="bfloat16")
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    (folder / "config.json").write_text("mine")
    write_shards(folder, dtype="bfloat16")
    assert (folder / "config.json").read_text() == "mine"


def test_one_shard_is_a_file_of_the_usual_name(tmp_path):
    TEN.write(tmp_path / "model", seed=3)
    assert sorted(os.listdir(tmp_path / "model")) == ["config.json", "model.safetensors"]
    assert fanin.verify(tmp_path / "model").ok


def test_a_npy_file_holds_one_tensor(tmp_path):
    one = Plan("one", TEN.tensors[:1])
    one.write(tmp_path / "x.npy", seed=3)
    expected = fanin.he_normal((100, 100), seed=fanin.Stream(3)["layer.0.weight"])
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), expected)
    with pytest.raises(ValueError, match="holds one tensor, the plan has 10"):
        TEN.write(tmp_path / "y.npy", seed=3)
    with pytest.raises(ValueError, match="was not written by"):
        fanin.verify(save_without_metadata(tmp_path))


def save_without_metadata(tmp_path):
    (tmp_path / "theirs.safetensors").write_bytes(save({"x": np.zeros(3)}))
    return tmp_path / "theirs.safetensors"


@pytest.mark.parametrize(
    ("size", "sizes"),
    [("40KB", 10), (40_000, 10), (39_999, 10), ("79.9 kB", 10), ("80kb", 5), ("1MiB", 1)],
)
def test_shards_hold_as_much_as_fits_and_at_least_one_tensor(tmp_path, size, sizes):
    write_shards(tmp_path / "model", shard_size=size)
    assert len(list((tmp_path / "model").glob("*.safetensors"))) == sizes


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"shard_size": "5 parsecs"}, ValueError, "5GB"),
        ({"shard_size": 0}, ValueError, "at least a byte"),
        ({"shard_size": 1.5}, TypeError, "5GB"),
        ({"only": 0}, ValueError, "there is no shard 0: the plan makes 1 to 4"),
        ({"only": [1, 5]}, ValueError, "there is no shard 5"),
        ({"only": "1"}, TypeError, "numbers of shards"),
        ({"only": [True]}, TypeError, "numbers of shards"),
        ({"dtype": "int8"}, TypeError, "accepted: float32, bfloat16, float16, float64"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": "x"}, TypeError, "seed"),
        ({"threads": 0}, ValueError, "threads must be an int >= 1"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(tmp_path, arguments, kind, text):
    with pytest.raises(kind, match=text):
        write_shards(tmp_path / "model", **arguments)
    left = list((tmp_path / "model").iterdir()) if (tmp_path / "model").exists() else []
    assert left == []


@pytest.mark.parametrize("name", ["x.safetensors", "x.npy"])
@pytest.mark.parametrize("arguments", [{"shard_size": 100}, {"only": 1}])
def test_shards_are_for_folders(tmp_path, name, arguments):
    with pytest.raises(ValueError, match="for folders"):
        TEN.write(tmp_path / name, seed=0, **arguments)
    assert os.listdir(tmp_path) == []


# F2, F10: refusals, foreign files, names ------------------------------------------------


def test_files_of_another_model_in_the_folder_are_refused(tmp_path):
    # transformers would read model.safetensors and not the shards beside it.
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"another")
    (folder / "notes.txt").write_text("stay")
    with pytest.raises(FileExistsError, match="another model or size") as caught:
        write_shards(folder)
    assert caught.value.filename == str(folder / "model.safetensors")
    assert sorted(os.listdir(folder)) == ["model.safetensors", "notes.txt"]


def test_without_replace_a_folder_with_the_model_stays(folder):
    before = hashes(folder)
    with pytest.raises(FileExistsError):
        write_shards(folder, seed=4, replace=False)
    assert hashes(folder) == before
    write_shards(folder, seed=4)
    assert hashes(folder) != before


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "model").write_bytes(b"x")
    with pytest.raises(FileExistsError, match="no folder"):
        write_shards(tmp_path / "model")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(FileExistsError, match="no folder"):
        write_shards(tmp_path / "link")
    with pytest.raises(FileNotFoundError):
        write_shards(tmp_path / "none" / "model")


def test_a_disk_error_in_the_third_shard_leaves_the_first_two_and_nothing_half(
    tmp_path, monkeypatch
):
    sync, calls = os.fsync, []

    def fail(descriptor):
        calls.append(descriptor)
        # Two for each shard, after the one of the new folder's parent.
        if len(calls) == 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        write_shards(tmp_path / "model")
    assert caught.value.filename == str(tmp_path / "model" / SHARDS[2])
    assert sorted(os.listdir(tmp_path / "model")) == SHARDS[:2]


FULL = """
import errno, os, sys
from fanin import Plan
small = sys.argv[2]
open(os.path.join(small, "old.safetensors"), "wb").write(b"old")
plan = Plan.from_file(sys.argv[1])                 # ten tensors of 40 kB, in 200 kB
for name, most in [("old.safetensors", None), ("model", "120KB")]:
    try:
        plan.write(os.path.join(small, name), seed=3, shard_size=most)
    except OSError as error:
        print(errno.errorcode[error.errno], os.path.relpath(error.filename, small))
print(open(os.path.join(small, "old.safetensors")).read(), *sorted(os.listdir(small)))
print(*sorted(os.listdir(os.path.join(small, "model"))))
"""


def test_a_full_tmpfs_leaves_the_old_file_whole_shards_and_nothing_half(tmp_path):
    TEN.save(tmp_path / "plan.json")
    (tmp_path / "small").mkdir()
    # A file system of its own in a namespace of its own, gone with the process.
    mount = 'mount -t tmpfs -o size=200k none "$2" && exec "$0" -c "$3" "$1" "$2"'
    words = [sys.executable, str(tmp_path / "plan.json"), str(tmp_path / "small"), FULL]
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, *words],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "ENOSPC old.safetensors",
        f"ENOSPC model/{SHARDS[1]}",
        "old model old.safetensors",
        SHARDS[0],
    ]


def test_a_limit_of_the_process_names_the_shard(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError) as caught:
            write_shards(tmp_path / "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == str(tmp_path / "model" / SHARDS[0])
    assert os.listdir(tmp_path / "model") == []


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", "", "..", "a\0b", 3, None])
def test_an_index_that_names_files_elsewhere_is_refused(folder, name):
    index = {"metadata": {}, "weight_map": {"layer.0.weight": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    for read in (fanin.verify, Plan.like):
        with pytest.raises(ValueError, match="no name of a file"):
            read(folder)


# F7: resume ------------------------------------------------


def test_resume_keeps_whole_shards_and_writes_the_rest(folder):
    before = hashes(folder)
    kept = (folder / SHARDS[0]).stat().st_mtime_ns
    (folder / SHARDS[1]).unlink()
    (folder / ("." + SHARDS[1] + "." + 16 * "a" + ".tmp")).write_bytes(b"half")
    seen = []
    write_shards(folder, resume=True, progress=lambda done, total: seen.append((done, total)))
    assert hashes(folder) == before
    assert (folder / SHARDS[0]).stat().st_mtime_ns == kept
    assert seen[-1][0] == seen[-1][1]


@pytest.mark.parametrize("spoil", ["zero tail", "short", "long", "one bit"])
def test_resume_writes_a_spoiled_shard_again(folder, spoil):
    # Of the right size with a tail of zeros is what a preallocated file looks like.
    before = hashes(folder)
    content = bytearray((folder / SHARDS[2]).read_bytes())
    if spoil == "zero tail":
        content[-50_000:] = bytes(50_000)
    elif spoil == "short":
        del content[-1:]
    elif spoil == "long":
        content += b"x"
    else:
        content[-60_000] ^= 1
    (folder / SHARDS[2]).write_bytes(content)
    write_shards(folder, resume=True)
    assert hashes(folder) == before


@pytest.mark.parametrize("change", [{"seed": 4}, {"dtype": "bfloat16", "shard_size": "60KB"}])
def test_resume_with_another_seed_or_dtype_is_refused(folder, change):
    before = hashes(folder)
    (folder / SHARDS[1]).unlink()
    del before[SHARDS[1]]
    with pytest.raises(ValueError, match="another plan, seed or dtype"):
        write_shards(folder, resume=True, **change)
    assert hashes(folder) == before


def test_resume_of_one_file(tmp_path):
    path = tmp_path / "x.safetensors"
    TEN.write(path, seed=3, resume=True)
    whole, when = path.read_bytes(), path.stat().st_mtime_ns
    TEN.write(path, seed=3, resume=True)
    assert path.stat().st_mtime_ns == when
    path.write_bytes(whole[:-100] + bytes(100))
    TEN.write(path, seed=3, resume=True)
    assert path.read_bytes() == whole
    with pytest.raises(ValueError, match="another plan, seed or dtype"):
        TEN.write(path, seed=5, resume=True)


# F8: several writers ------------------------------------------------

WRITER = """
import sys
import fanin
plan = fanin.Plan.from_file(sys.argv[1])
only = [int(number) for number in sys.argv[3].split(",")]
plan.write(sys.argv[2], seed=3, shard_size="120KB", only=only)
"""


@pytest.mark.parametrize("parts", [["1,2,3,4"], ["1,3", "2,4"], ["1", "2", "3", "4"]])
def test_processes_on_disjoint_shards_write_what_one_writes(folder, tmp_path, parts):
    TEN.save(tmp_path / "plan.json")
    arguments = [str(tmp_path / "plan.json"), str(tmp_path / "together")]
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, *arguments, part]) for part in parts]
    assert [writer.wait(60) for writer in writers] == [0] * len(parts)
    assert hashes(tmp_path / "together") == hashes(folder)


def test_without_replace_a_writer_of_some_shards_minds_its_own(tmp_path):
    # Another writer may have ended before this one begins.
    folder = tmp_path / "model"
    for only in (3, [1, 4], 2):
        write_shards(folder, only=only, replace=False)
    assert fanin.verify(folder).ok
    before = hashes(folder)
    for only in ([4], [1, 2], None):
        with pytest.raises(FileExistsError, match="File exists"):
            write_shards(folder, only=only, replace=False)
    assert hashes(folder) == before


def test_without_replace_the_index_of_another_model_stays(tmp_path):
    folder = tmp_path / "model"
    others = tuple(PlanTensor(f"other.{i}", (100, 100), "he_normal") for i in range(10))
    Plan("other", others).write(folder, seed=3, shard_size="120KB", only=1)
    before = hashes(folder)
    with pytest.raises(FileExistsError) as caught:
        write_shards(folder, only=2, replace=False)
    assert caught.value.filename == str(folder / "model.safetensors.index.json")
    assert hashes(folder) == before


def test_without_replace_an_index_alone_stays(folder):
    for name in SHARDS:
        (folder / name).unlink()
    with pytest.raises(FileExistsError):
        write_shards(folder, replace=False)
    assert not any((folder / name).exists() for name in SHARDS)


def test_shards_that_are_missing_are_named_by_verify(tmp_path):
    write_shards(tmp_path / "model", only=[1, 4])
    found = fanin.verify(tmp_path / "model")
    assert not found.ok and not found
    assert found.missing == (SHARDS[1], SHARDS[2])
    assert found.first_difference is None
    assert str(found) == f"missing: {SHARDS[1]}, {SHARDS[2]}"
    (tmp_path / "model" / "model.safetensors.index.json").unlink()
    assert fanin.verify(tmp_path / "model").missing == (SHARDS[1], SHARDS[2])
    write_shards(tmp_path / "model", only=2)
    write_shards(tmp_path / "model", only=3)
    assert fanin.verify(tmp_path / "model").ok


# Verify ------------------------------------------------


@pytest.mark.parametrize("element", [0, 1, 9_999, 5_000])
def test_one_bit_names_the_tensor_and_the_element(folder, element, monkeypatch):
    monkeypatch.setattr("fanin.files._pieces.PIECE_BYTES", 4096)
    path = folder / SHARDS[1]
    entry = fanin.files.read_safetensors_header(path)[1]["layer.4.weight"]
    content = bytearray(path.read_bytes())
    content[entry.start + 4 * element] ^= 1
    content[-1] ^= 1  # a later one
    path.write_bytes(content)
    found = fanin.verify(folder)
    assert not found.ok
    first = found.first_difference
    assert (first.file, first.tensor) == (SHARDS[1], "layer.4.weight")
    assert first.index == divmod(element, 100)
    assert first.found != first.expected


def test_a_changed_seed_in_the_metadata_is_a_difference(tmp_path):
    path = tmp_path / "x.safetensors"
    TEN.write(path, seed=3)
    path.write_bytes(path.read_bytes().replace(b'\\"seed\\":\\"3\\"', b'\\"seed\\":\\"4\\"'))
    first = fanin.verify(path).first_difference
    assert (first.tensor, first.index) == ("layer.0.weight", (0, 0))


def test_shards_of_two_seeds_are_a_difference(folder, tmp_path):
    write_shards(tmp_path / "other", seed=4)
    (folder / SHARDS[3]).write_bytes((tmp_path / "other" / SHARDS[3]).read_bytes())
    found = fanin.verify(folder)
    assert not found.ok
    assert "seed 4" in str(found) and "seed 3" in str(found)


def test_a_file_under_another_shards_name_is_a_difference(folder):
    one, other = folder / SHARDS[0], folder / SHARDS[1]
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    found = fanin.verify(folder)
    assert not found.ok
    assert "by the index" in str(found)


def test_a_file_of_another_stream_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    TEN.write(path, seed=3)
    content = path.read_bytes()
    name = fanin.STREAM.encode()
    path.write_bytes(content.replace(name, b"fanin-0"))
    with pytest.raises(ValueError, match="it holds the stream fanin-0, this package draws"):
        fanin.verify(path)


def test_metadata_that_makes_no_sense_is_refused(tmp_path):
    for text in ("", "[]", "{", '{"stream": "' + fanin.STREAM + '"}', '{"plan": 3}', "[" * 100_000):
        header = json.dumps({"__metadata__": {"fanin": text}}).encode()
        (tmp_path / "x").write_bytes(len(header).to_bytes(8, "little") + header)
        with pytest.raises(ValueError, match="metadata of fanin cannot be read"):
            fanin.verify(tmp_path / "x")


def test_literals_are_compared_by_their_hash_and_named(tmp_path):
    path = tmp_path / "x.safetensors"
    values = Literal.of(np.linspace(0, 1, 12, dtype=np.float32))
    tensors = (*TEN.tensors[:2], PlanTensor("inv_freq", (12,), "literal", {"value": values}))
    Plan("x", tensors).write(path, seed=3, dtype="bfloat16")
    found = fanin.verify(path)
    assert found.ok and found.by_hash == ("inv_freq",)
    assert "compared by SHA-256: inv_freq" in str(found)
    entry = fanin.files.read_safetensors_header(path)[1]["inv_freq"]
    content = bytearray(path.read_bytes())
    content[entry.start] ^= 1
    path.write_bytes(content)
    found = fanin.verify(path)
    assert not found.ok
    assert (found.first_difference.tensor, found.first_difference.index) == ("inv_freq", None)


def test_a_hash_in_the_metadata_is_not_trusted_for_what_is_drawn(tmp_path):
    # Values that were changed together with every hash that a file could hold: still found.
    path = tmp_path / "x.safetensors"
    TEN.write(path, seed=3)
    metadata, entries = fanin.files.read_safetensors_header(path)
    assert "sha256" not in metadata["fanin"]
    content = bytearray(path.read_bytes())
    content[entries["layer.9.weight"].stop - 1] ^= 1
    path.write_bytes(content)
    assert fanin.verify(path).first_difference.index == (99, 99)


# F1: kills ------------------------------------------------

KILLED = """
import os, random, signal, sys, time
import fanin

folder = sys.argv[1]
tensors = tuple(fanin.PlanTensor(f"t{i}", (2048, 2048), "normal") for i in range(4))
plan = fanin.Plan("kills", tensors)            # 64 MB in four files

def write(resume, progress=None):
    plan.write(folder, seed=1, shard_size="17MB", resume=resume, threads=2, progress=progress)

def interrupted(at, stays):
    # Write in a child, and kill it when it has said that it passed that byte; if it `stays`
    # there, its file is not complete yet, else it is somewhere behind.
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        def progress(done, total):
            if done > at:
                os.write(tell, b"x")
                if stays:
                    signal.pause()
        write(False, progress)
        os._exit(0)
    os.close(tell)
    assert os.read(told, 1) == b"x"
    if not stays:
        time.sleep(random.uniform(0, 0.5 * seconds))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(told)

begin = time.perf_counter(); write(False); seconds = time.perf_counter() - begin
whole = {name: open(os.path.join(folder, name), "rb").read() for name in os.listdir(folder)}
random.seed(0)
for trial in range(int(sys.argv[2])):
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    stays = trial % 2 == 0
    interrupted(random.randrange(plan.nbytes), stays)
    present = os.listdir(folder)
    assert not stays or sum(name.endswith(".tmp") for name in present) == 1, present
    for name in present:
        if name in whole:
            assert open(os.path.join(folder, name), "rb").read() == whole[name], name
        else:
            assert name.endswith(".tmp"), name
    if trial % 5 == 0:
        write(True)
        assert {n: open(os.path.join(folder, n), "rb").read() for n in os.listdir(folder)} == whole
"""


def kills(tmp_path, trials):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "model"), str(trials)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_kill_9_leaves_whole_shards_and_resume_completes_them(tmp_path):
    kills(tmp_path, 10)


@pytest.mark.long
def test_fifty_kills_of_four_files(tmp_path):
    kills(tmp_path, 50)


# F3, F9 ------------------------------------------------


def test_every_shard_is_durable_before_the_index_is_there(tmp_path, monkeypatch):
    log = []
    replace, sync = os.replace, os.fsync

    def replaced(source, target, **named):
        log.append(target)
        replace(source, target, **named)

    def synced(descriptor):
        log.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        sync(descriptor)

    monkeypatch.setattr(os, "replace", replaced)
    monkeypatch.setattr(os, "fsync", synced)
    write_shards(tmp_path / "model")
    expected = ["folder"]  # the parent of the new folder
    for name in (*SHARDS, "model.safetensors.index.json"):
        expected += ["file", name, "folder"]
    # config.json is linked, not renamed.
    assert log == [*expected, "file", "folder"]


PEAK = """
import sys
import fanin

def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024

def plan(megabytes):
    rows = megabytes << 10
    tensors = (fanin.PlanTensor("x", (rows, 512), "normal"), fanin.PlanTensor("y", (rows, 512), "he_normal"))
    return fanin.Plan("large", tensors)

plan(1).write(sys.argv[1], seed=0, dtype="bfloat16", threads=2)
before = peak()
plan(int(sys.argv[2])).write(sys.argv[1], seed=0, dtype="bfloat16", threads=2)
print(peak() - before)
"""  # noqa: E501


@pytest.mark.parametrize(
    "megabytes", [128, pytest.param(2048, marks=pytest.mark.long)], ids=["256MB", "4GB"]
)
def test_a_model_is_never_in_memory(tmp_path, megabytes):
    path = tmp_path / "x.safetensors"
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path), str(megabytes)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    size = path.stat().st_size
    path.unlink()
    assert size > 2 * (megabytes << 20)
    # Two pieces of 4 MB; the rest is what two threads, their stacks and NumPy take.
    assert float(done.stdout) < 40
