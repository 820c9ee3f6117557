"""Whole files on disk: reliability checks F1 to F6, F9, F10 and F12 of the writer."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors import deserialize, safe_open
from safetensors.numpy import load_file, save_file

from fanin import _core
from fanin.files import (
    Tensor,
    _pieces,
    _replacing,
    read_safetensors_header,
    write_npy,
    write_safetensors,
)

rng = np.random.default_rng(7)

# Every dtype, a scalar, an empty tensor, odd sizes, names out of order.
ARRAYS = {
    "weight": rng.random((100, 71), np.float32),
    "double": rng.random((30, 31)),
    "bfloat": rng.random(5001).astype(ml_dtypes.bfloat16),
    "half": rng.random((3, 5, 7)).astype(np.float16),
    "complex": (rng.random(701) + 1j).astype(np.complex64),
    "empty": np.zeros((0, 4), np.float32),
    "scalar": np.array(2.5, np.float32),
    "count": np.array(3, np.int64),
    "also a weight": rng.random(4099, np.float32),
}


IS_IN_MEMORY = _replacing.is_in_memory


@pytest.fixture(autouse=True)
def on_a_disk(monkeypatch):
    """Files are reserved as on a disk, wherever the folder of the tests lies."""
    monkeypatch.setattr(_replacing, "is_in_memory", lambda descriptor: False)


def tensor(name, array):
    """A tensor whose values are those of an array."""
    flat = array.reshape(-1)

    def fill(out, start):
        out[:] = flat[start : start + out.size]

    return Tensor(name, array.dtype, array.shape, fill)


def tensors(arrays=ARRAYS):
    return [tensor(name, array) for name, array in arrays.items()]


def temporaries(folder):
    return [name for name in os.listdir(folder) if name.endswith(".tmp")]


@pytest.fixture
def small_pieces(monkeypatch):
    """Cut the files into many pieces, through tensors and over their borders."""
    monkeypatch.setattr(_pieces, "PIECE_BYTES", 4096)


@pytest.fixture
def target(tmp_path):
    """A target that exists already."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")
    return path


def assert_untouched(path):
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


# The bytes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_file_has_the_bytes_of_the_safetensors_package(tmp_path, small_pieces, threads, metadata):
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    size = write_safetensors(ours, tensors(), metadata=metadata, threads=threads)
    save_file(ARRAYS, theirs, metadata=metadata)
    assert ours.read_bytes() == theirs.read_bytes()
    assert size == ours.stat().st_size


@pytest.mark.parametrize("name", ARRAYS)
def test_an_npy_file_has_the_bytes_of_numpy_save(tmp_path, small_pieces, name):
    array = ARRAYS[name]
    size = write_npy(tmp_path / "ours.npy", array.dtype, array.shape, tensor(name, array).fill)
    np.save(tmp_path / "theirs.npy", array)
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()
    assert size == (tmp_path / "ours.npy").stat().st_size


def test_the_order_given_does_not_matter(tmp_path, small_pieces):
    write_safetensors(tmp_path / "a", tensors())
    write_safetensors(tmp_path / "b", tensors()[::-1])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_metadata_is_sorted_and_read_back(tmp_path):
    metadata = {"format": "pt", "z": 'é\t"', "a": ""}
    write_safetensors(tmp_path / "x", tensors(), metadata=metadata)
    text = (tmp_path / "x").read_bytes()[8:]
    assert list(json.JSONDecoder().raw_decode(text.decode("latin-1"))[0]["__metadata__"]) == [
        "a",
        "format",
        "z",
    ]
    with safe_open(tmp_path / "x", "numpy") as file:
        assert file.metadata() == metadata
    assert read_safetensors_header(tmp_path / "x")[0] == metadata


def test_headers_are_aligned_and_files_can_be_mapped(tmp_path):
    write_safetensors(tmp_path / "x", tensors())
    _, entries = read_safetensors_header(tmp_path / "x")
    assert min(entry.start for entry in entries.values()) % 8 == 0
    assert all(entry.start % entry.dtype.itemsize == 0 for entry in entries.values())
    with safe_open(tmp_path / "x", "numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("weight"), ARRAYS["weight"])

    weight = ARRAYS["weight"]
    write_npy(tmp_path / "x.npy", weight.dtype, weight.shape, tensor("", weight).fill)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert mapped.offset % 64 == 0
    np.testing.assert_array_equal(mapped, weight)


def test_an_empty_file_is_a_file(tmp_path):
    write_safetensors(tmp_path / "x", [])
    assert load_file(tmp_path / "x") == {}
    assert read_safetensors_header(tmp_path / "x") == ({}, {})


@pytest.mark.parametrize("count", [2**31 + 5, 2**32 + 5])
def test_sizes_beyond_32_bits_keep_their_ends(tmp_path, monkeypatch, count):
    # A sparse file: only pieces in which something is marked reach the disk.
    marks = {0: 1, 2**31 - 1: 2, 2**31: 3, 2**32 - 1: 4, 2**32: 5, count - 1: 6}
    write = os.pwrite

    def fill(out, start):
        inside = {i: mark for i, mark in marks.items() if start <= i < start + out.size}
        if inside:
            out[:] = 0
        for index, mark in inside.items():
            out[index - start] = mark

    def write_marked(descriptor, data, offset):
        begin = offset - 4096
        near = any(begin <= index <= begin + len(data) + 8192 for index in marks)
        return write(descriptor, data, offset) if near else len(data)

    monkeypatch.setattr(_pieces, "PIECE_BYTES", 1 << 20)
    monkeypatch.setattr(
        os, "posix_fallocate", lambda descriptor, start, n: os.ftruncate(descriptor, n)
    )
    monkeypatch.setattr(os, "pwrite", write_marked)
    path = tmp_path / "large.npy"
    write_npy(path, np.uint8, (count,), fill)
    mapped = np.load(path, mmap_mode="r")
    assert mapped.shape == (count,)
    assert {index: int(mapped[index]) for index in marks if index < count} == {
        index: mark for index, mark in marks.items() if index < count
    }


def test_threads_write_disjoint_pieces_and_progress_ends_at_the_size(tmp_path, small_pieces):
    seen = []
    counts = np.zeros(50_000, np.int64)

    def fill(out, start):
        counts[start : start + out.size] += 1

    one = Tensor("x", np.dtype(np.float32), counts.shape, fill)
    size = write_safetensors(
        tmp_path / "x", [one], threads=3, progress=lambda done, total: seen.append((done, total))
    )
    assert (counts == 1).all()
    assert seen == sorted(seen)
    assert seen[-1] == (size, size)


# What is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["a", "a"], "two tensors are named 'a'"),
        ([""], "cannot be named ''"),
        (["__metadata__"], "cannot be named '__metadata__'"),
        (["\ud800"], "not valid Unicode"),
    ],
)
def test_names_that_no_header_can_hold_are_refused(target, names, text):
    one = np.zeros(1, np.float32)
    with pytest.raises(ValueError, match=text):
        write_safetensors(target, [tensor(name, one) for name in names])
    assert_untouched(target)


@pytest.mark.parametrize(
    "name", ["ä/ß 漢字 \U0001f600", 'quote " and \\', "line\nbreak\t\x01\x7f", "\0"]
)
def test_any_other_name_comes_back(tmp_path, name):
    array = np.arange(3, dtype=np.float32)
    write_safetensors(tmp_path / "x", [tensor(name, array)])
    np.testing.assert_array_equal(load_file(tmp_path / "x")[name], array)
    assert list(read_safetensors_header(tmp_path / "x")[1]) == [name]


def test_a_hundred_thousand_tensors_fit(tmp_path):
    one = np.ones(1, np.float32)
    write_safetensors(tmp_path / "x", [tensor(f"layer.{i}.bias", one) for i in range(100_000)])
    with safe_open(tmp_path / "x", "numpy") as file:
        assert len(file.keys()) == 100_000
        assert file.get_tensor("layer.99999.bias") == 1


def test_a_header_over_the_limit_is_refused_before_writing(target):
    one = np.zeros(1, np.float32)
    with pytest.raises(ValueError, match="safetensors accepts 100000000"):
        write_safetensors(target, [tensor(f"{i:0>100000}", one) for i in range(1000)])
    assert_untouched(target)


@pytest.mark.parametrize(
    "shape", [(2**62, 2), (2**61,), (3**55, 2**55), (-1,), (2.0,), (True,), ("2",), (2**80,)]
)
def test_shapes_that_no_file_can_hold_are_refused(target, shape):
    bad = Tensor("x", np.dtype(np.float32), shape, lambda out, start: None)
    with pytest.raises(ValueError, match=r"shape \("):
        write_safetensors(target, [bad])
    with pytest.raises(ValueError, match=r"shape \("):
        write_npy(target, np.float32, shape, bad.fill)
    assert_untouched(target)


def test_a_total_over_63_bits_is_refused(target):
    parts = [
        Tensor(name, np.dtype(np.float32), (2**60,), lambda out, start: None) for name in "abc"
    ]
    with pytest.raises(ValueError, match=r"over 2\*\*63 - 1"):
        write_safetensors(target, parts)
    assert_untouched(target)


@pytest.mark.parametrize("dtype", ["complex128", "float8_e3m4", ">f4", "S3", "O"])
def test_dtypes_that_safetensors_lacks_are_refused(target, dtype):
    bad = Tensor("x", np.dtype(getattr(ml_dtypes, dtype, dtype)), (3,), lambda out, start: None)
    with pytest.raises(TypeError, match=r"'x': safetensors has no dtype .* .accepted: uint64"):
        write_safetensors(target, [bad])
    assert_untouched(target)


@pytest.mark.parametrize("dtype", ["O", "S3", "f4,i2"])
def test_dtypes_that_are_no_numbers_are_refused(target, dtype):
    with pytest.raises(TypeError, match="is not bool, an integer, a float or complex"):
        write_npy(target, dtype, (3,), lambda out, start: None)
    assert_untouched(target)


@pytest.mark.parametrize("metadata", [{"seed": 0}, {1: "x"}])
def test_metadata_other_than_text_is_refused(target, metadata):
    with pytest.raises(TypeError, match="metadata must map str to str"):
        write_safetensors(target, tensors(), metadata=metadata)
    assert_untouched(target)


@pytest.mark.parametrize("threads", [0, -1, 1.5, True])
def test_threads_that_cannot_work_are_refused(target, threads):
    with pytest.raises(ValueError, match="threads must be an int >= 1"):
        write_safetensors(target, tensors(), threads=threads)
    assert_untouched(target)


def test_targets_that_are_no_files_are_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/null")
    before = sorted(os.listdir(tmp_path))
    for name in ("folder", "link", "folder/", "folder/.."):
        with pytest.raises(IsADirectoryError):
            write_safetensors(f"{tmp_path}/{name}", tensors())
    for name in ("pipe", "device"):
        with pytest.raises(OSError, match="device, pipe or socket"):
            write_safetensors(tmp_path / name, tensors())
    with pytest.raises(FileNotFoundError):
        write_safetensors(tmp_path / "none" / "x", tensors())
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError):
        write_safetensors(tmp_path / "file" / "x", tensors())
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "file"])


# Order, errors, signals ----------------------------------------------------------------------


def recorded(monkeypatch, name, log, before=lambda *arguments: None):
    """Log the calls of a function of `os`."""
    original = getattr(os, name)

    def wrapper(*arguments, **named):
        before(*arguments)
        log.append((name, *arguments))
        return original(*arguments, **named)

    monkeypatch.setattr(os, name, wrapper)


@pytest.mark.parametrize("kind", ["safetensors", "npy"])
def test_data_then_header_then_fsync_then_rename_then_fsync_of_the_folder(
    target, small_pieces, monkeypatch, kind
):
    log = []

    def no_header_yet(descriptor, data, offset):
        if offset:
            assert os.pread(descriptor, 8, 0) == bytes(8)

    recorded(monkeypatch, "pwrite", log, no_header_yet)
    for name in ("posix_fallocate", "fsync", "replace", "close"):
        recorded(monkeypatch, name, log)
    if kind == "npy":
        weight = ARRAYS["weight"]
        write_npy(target, weight.dtype, weight.shape, tensor("", weight).fill)
    else:
        write_safetensors(target, tensors())

    names = [call[0] for call in log]
    pieces = names.count("pwrite") - 1
    assert pieces > 3
    assert names == [
        "posix_fallocate",
        *["pwrite"] * (pieces + 1),
        "fsync",
        "replace",
        "fsync",
        "close",
        "close",
    ]
    descriptor, (file_sync, folder_sync) = (
        log[0][1],
        (i for i, n in enumerate(names) if n == "fsync"),
    )
    assert [call[3] == 0 for call in log[1 : pieces + 2]] == [False] * pieces + [True]
    assert log[file_sync][1] == descriptor
    assert log[folder_sync][1] not in (descriptor, None)
    assert log[-2:] == [("close", descriptor), ("close", log[folder_sync][1])]


def test_the_disk_begins_with_each_piece_as_soon_as_it_is_written(
    target, small_pieces, monkeypatch
):
    log = []
    start = _core.start_writing
    recorded(monkeypatch, "pwrite", log)
    recorded(monkeypatch, "fsync", log)

    def started(descriptor, at, count):
        log.append(("start", descriptor, at, count))
        start(descriptor, at, count)

    monkeypatch.setattr(_core, "start_writing", started)
    weight = ARRAYS["weight"]
    write_npy(target, weight.dtype, weight.shape, tensor("", weight).fill, threads=1)
    *pieces, _, _ = log
    assert len(pieces) > 6
    for (name, descriptor, data, at), told in zip(pieces[::2], pieces[1::2], strict=True):
        assert name == "pwrite"
        assert told == ("start", descriptor, at, data.nbytes)
    assert [call[0] for call in log[-2:]] == ["fsync", "fsync"]


def test_a_file_that_the_disk_cannot_begin_with_is_left_to_fsync():
    _core.start_writing(-1, 0, 1)
    receiver, sender = os.pipe()
    _core.start_writing(sender, 0, 1)
    os.close(receiver)
    os.close(sender)


def test_pages_of_a_tmpfs_with_room_are_not_taken_twice(small_pieces, monkeypatch):
    monkeypatch.setattr(_replacing, "is_in_memory", IS_IN_MEMORY)
    log = []
    recorded(monkeypatch, "posix_fallocate", log)
    weight = ARRAYS["weight"]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = os.path.join(folder, "x.npy")
        write_npy(path, weight.dtype, weight.shape, tensor("", weight).fill)
        np.testing.assert_array_equal(np.load(path), weight)
        assert log == []
        # One that is too large is refused by what the file system says, and takes no page.
        room = os.statvfs(folder)
        count = room.f_blocks * room.f_frsize // 4 + 1
        with pytest.raises(OSError, match="No space left on device for a file of"):
            write_npy(path, np.float32, (count,), lambda out, start: pytest.fail("generated"))
        assert log == []
        assert os.listdir(folder) == ["x.npy"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("name", ["posix_fallocate", "pwrite", "fsync", "replace"])
def test_an_error_of_the_disk_names_the_file_and_leaves_the_old_one(
    target, small_pieces, monkeypatch, name, code
):
    def fail(*arguments, **named):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, name, fail)
    with pytest.raises(OSError) as caught:
        write_safetensors(target, tensors(), threads=2)
    assert caught.value.errno == code
    assert caught.value.filename == os.fspath(target)
    assert_untouched(target)


def test_an_error_after_some_pieces_leaves_the_old_file(target, small_pieces, monkeypatch):
    write, calls = os.pwrite, []

    def fail_at_the_fifth(descriptor, data, offset):
        calls.append(offset)
        if len(calls) == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", fail_at_the_fifth)
    with pytest.raises(OSError, match="No space left") as caught:
        write_safetensors(target, tensors(), threads=2)
    assert caught.value.filename == os.fspath(target)
    assert_untouched(target)


def test_an_error_of_the_last_fsync_is_reported(target, monkeypatch):
    sync, calls = os.fsync, []

    def fail_at_the_folder(descriptor):
        calls.append(descriptor)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_at_the_folder)
    with pytest.raises(OSError, match="Input/output error"):
        write_safetensors(target, tensors())
    assert len(calls) == 2
    # The new file has its name; whether the name is on the disk is what the error says.
    assert set(load_file(target)) == set(ARRAYS)
    assert temporaries(target.parent) == []


@pytest.mark.parametrize("reserve", [True, False])
def test_a_file_over_the_limit_of_the_process_is_refused(
    target, small_pieces, monkeypatch, reserve
):
    if not reserve:
        # As on a file system that reserves nothing: the limit is met by a short write.
        monkeypatch.setattr(os, "posix_fallocate", lambda *arguments: None)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError) as caught:
            write_safetensors(target, tensors())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert caught.value.filename == os.fspath(target)
    assert_untouched(target)


def test_short_writes_go_on(tmp_path, small_pieces, monkeypatch):
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: write(fd, data[:1000], offset))
    write_safetensors(tmp_path / "x", tensors())
    save_file(ARRAYS, tmp_path / "y")
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_a_write_that_writes_nothing_is_an_error(target, monkeypatch):
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: 0)
    with pytest.raises(OSError, match="takes no more bytes"):
        write_safetensors(target, tensors())
    assert_untouched(target)


def test_a_file_system_that_reserves_nothing_will_do(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    write_safetensors(tmp_path / "x", tensors())
    assert set(load_file(tmp_path / "x")) == set(ARRAYS)


def test_an_error_of_a_fill_passes_through(target, small_pieces):
    def fill(out, start):
        if start > 5000:
            raise ArithmeticError("no such number")

    with pytest.raises(ArithmeticError, match="no such number"):
        write_npy(target, np.float32, (50_000,), fill, threads=2)
    assert_untouched(target)


def test_ctrl_c_removes_the_temporary_file(target, small_pieces):
    seen = []

    def fill(out, start):
        seen.append(temporaries(target.parent))
        if start == 3 * 4096 - 128:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        write_npy(target, np.uint8, (50_000_000,), fill, threads=2)
    assert len(seen[0]) == 1
    assert len(seen) < 12_000
    assert_untouched(target)


def test_the_old_file_is_whole_until_the_new_one_is(target, small_pieces):
    seen = set()

    def fill(out, start):
        seen.add(target.read_bytes())

    write_npy(target, np.float32, (50_000,), fill, threads=2)
    assert seen == {b"old"}
    assert np.load(target).shape == (50_000,)


KILLED = """
import os, random, signal, sys, time
import numpy as np
from safetensors.numpy import load_file
from fanin import files
from fanin.files import _pieces

folder, kind = sys.argv[1:]
path = os.path.join(folder, "big." + kind)
COUNT = 1 << 24                     # 64 MB of float32
random.seed(kind)

def values(out, start):
    out[:] = np.arange(start, start + out.size, dtype=np.float32)

def write(fill=values):
    if kind == "npy":
        files.write_npy(path, np.float32, (COUNT,), fill, threads=2)
    else:
        one = files.Tensor("x", np.dtype(np.float32), (COUNT,), fill)
        files.write_safetensors(path, [one], threads=2)

def load(name):
    return np.load(name) if kind == "npy" else load_file(name)["x"]

def interrupted(at, stays):
    # Write in a child, and kill it when it has said that it draws that element; if it `stays`
    # there, that one is never written, else the child is somewhere behind.
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        def fill(out, start):
            if start <= at < start + out.size:
                os.write(tell, b"x")
                if stays:
                    time.sleep(3600)
            values(out, start)
        write(fill)
        os._exit(0)
    os.close(tell)
    assert os.read(told, 1) == b"x"
    if not stays:
        time.sleep(random.uniform(0, seconds))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(told)

begin = time.perf_counter(); write(); seconds = time.perf_counter() - begin
whole = open(path, "rb").read()
for trial in range(25):
    old = random.choice([None, b"old content"])
    os.unlink(path)
    if old is not None:
        open(path, "wb").write(old)
    stays = trial % 2 == 0
    interrupted(random.randrange(COUNT), stays)
    now = open(path, "rb").read() if os.path.exists(path) else None
    assert now == old or now == whole, f"trial {trial}: a part under the target's name"
    rest = set(os.listdir(folder)) - {os.path.basename(path)}
    assert len(rest) <= 1 and all(name.endswith(".tmp") for name in rest), rest
    assert rest or not stays
    for name in rest:
        try:
            held = load(os.path.join(folder, name))
        except Exception:
            continue
        # Killed between the header and the name.
        assert not stays and np.array_equal(held, np.arange(COUNT, dtype=np.float32))
    if now is None:
        open(path, "wb").close()
write()
assert open(path, "rb").read() == whole
assert os.listdir(folder) == [os.path.basename(path)]
"""


@pytest.mark.parametrize("kind", ["safetensors", "npy"])
def test_kill_9_at_any_moment_leaves_the_old_file_or_the_new_one(tmp_path, kind):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), kind], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_two_writers_of_one_file_both_succeed(tmp_path, small_pieces):
    path = tmp_path / "x.npy"

    def write(value):
        for _ in range(20):
            write_npy(path, np.float32, (20_000,), lambda out, start: out.fill(value), threads=1)

    writers = [threading.Thread(target=write, args=(value,)) for value in (1.0, 2.0)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert np.unique(np.load(path)).tolist() in ([1.0], [2.0])
    assert os.listdir(tmp_path) == ["x.npy"]


# Security ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0, 0o666)])
def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_safetensors(tmp_path / "x", tensors())
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == mode


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o755])
def test_an_old_file_keeps_its_mode_and_is_private_until_then(target, mode):
    target.chmod(mode)
    seen = set()

    def fill(out, start):
        [temporary] = temporaries(target.parent)
        seen.add(stat.S_IMODE((target.parent / temporary).stat().st_mode))

    write_npy(target, np.float32, (9,), fill)
    assert seen == {0o600}
    assert stat.S_IMODE(target.stat().st_mode) == mode


@pytest.mark.parametrize("to", ["elsewhere", "nowhere"])
def test_a_link_is_replaced_and_not_followed(tmp_path, to):
    (tmp_path / "elsewhere").write_bytes(b"precious")
    link = tmp_path / "x"
    link.symlink_to(to)
    write_safetensors(link, tensors())
    assert not link.is_symlink()
    assert set(load_file(link)) == set(ARRAYS)
    assert (tmp_path / "elsewhere").read_bytes() == b"precious"
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "x"]


def test_temporary_names_are_random_and_opened_exclusively(tmp_path, monkeypatch):
    log = []
    recorded(monkeypatch, "open", log)
    for _ in range(2):
        write_safetensors(tmp_path / "x", tensors())
    created = [(name, flags) for _, name, flags, *_ in log if flags & os.O_CREAT]
    assert len({name for name, _ in created}) == 2
    for name, flags in created:
        assert os.path.basename(name) == name
        assert flags & os.O_EXCL and flags & os.O_NOFOLLOW and flags & os.O_CLOEXEC


def test_a_folder_that_is_swapped_for_a_link_changes_nothing(tmp_path):
    folder, moved, trap = (tmp_path / name for name in ("folder", "moved", "trap"))
    folder.mkdir()
    trap.mkdir()

    def fill(out, start):
        if start == 0:
            folder.rename(moved)
            folder.symlink_to(trap)

    write_npy(folder / "x.npy", np.float32, (9,), fill)
    assert os.listdir(trap) == []
    assert os.listdir(moved) == ["x.npy"]


READ_ONLY = """
import os, sys
import numpy as np
from fanin.files import write_npy

called = []
if os.geteuid() == 0:       # root may write anywhere
    os.setuid(65534)
try:
    write_npy(sys.argv[1], np.float32, (9,), lambda out, start: called.append(start))
except PermissionError as error:
    print(error.filename, called)
"""


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_generated():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        path = os.path.join(folder, "x.npy")
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, path], capture_output=True, text=True
        )
        os.chmod(folder, 0o755)
    assert (done.stdout, done.stderr) == (f"{path} []\n", "")


def test_leftovers_of_the_dead_are_removed_and_those_of_the_living_are_not(tmp_path):
    dead, living = (tmp_path / f".x.npy.{16 * digit}.tmp" for digit in "de")
    others = [tmp_path / name for name in (".x.npy.123.tmp", ".y.npy.0123456789abcdef.tmp")]
    for path in (dead, living, *others):
        path.write_bytes(b"")
    with living.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        write_npy(tmp_path / "x.npy", np.float32, (9,), lambda out, start: out.fill(1))
    assert sorted(os.listdir(tmp_path)) == sorted([living.name, "x.npy", *(p.name for p in others)])


def test_a_name_of_255_bytes_will_do(tmp_path):
    path = tmp_path / ("ä" * 127 + "x")
    write_npy(path, np.float32, (9,), lambda out, start: out.fill(1))
    assert os.listdir(tmp_path) == [path.name]


# Memory --------------------------------------------------------------------------------------

PEAK = """
import sys
import numpy as np
from fanin import files
from fanin.files import _pieces

def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024

def fill(out, start):
    out.fill(1)

files.write_npy(sys.argv[1], np.float32, (1000,), fill, threads=2)
before = peak()
files.write_npy(sys.argv[1], np.float32, (int(sys.argv[2]) << 18,), fill, threads=2)
print(peak() - before)
"""


def peak_megabytes(tmp_path: Path, megabytes: int) -> float:
    path = tmp_path / "x.npy"
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path), str(megabytes)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert path.stat().st_size == 128 + (megabytes << 20)
    path.unlink()
    return float(done.stdout)


def test_a_file_is_never_in_memory(tmp_path):
    # Two pieces of 4 MB; the rest is what two threads and their stacks take.
    assert peak_megabytes(tmp_path, 256) < 40


@pytest.mark.long
def test_four_gigabytes_are_never_in_memory(tmp_path):
    assert peak_megabytes(tmp_path, 4096) < 40


# Reading -------------------------------------------------------------------------------------


def with_header(text: bytes, data: bytes = b"") -> bytes:
    return len(text).to_bytes(8, "little") + text + data


ROW = b'"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(8),
        bytes(1000),
        (10**12).to_bytes(8, "little") + b"{}",
        with_header(b"{" + ROW + b"}", b"123"),
        with_header(b"{" + ROW + b"}", b"12345"),
        with_header(b"{" + ROW + b"," + ROW + b"}", b"1234"),
        with_header(
            b"{" + ROW + b',"y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"1234"
        ),
        with_header(b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', b"12345678"),
        with_header(b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', b"1234"),
        with_header(b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[4,8]}}', b"12345678"),
        with_header(b'{"x":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}', b"1234"),
        with_header(b'{"x":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}}', b"1234"),
        with_header(b'{"x":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}', b"1234"),
        with_header(b'{"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,-4]}}'),
        with_header(b'{"x":{"dtype":"F32","shape":[1]}}', b"1234"),
        with_header(b'{"x":3}'),
        with_header(b"[]"),
        with_header(b'{"__metadata__":{"a":1}}'),
        with_header(b'{"__metadata__":3}'),
        with_header(b"{]"),
        with_header(b'{"\xff":1}'),
        with_header(b'{"x":' + 100_000 * b"["),
        with_header(b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0.0,4]}}', b"1234"),
        with_header(b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}', b"1234"),
        with_header(b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"y":1}}', b"1234"),
        with_header(b'{"x":{"dtype":"F32","shape":[true],"data_offsets":[0,4]}}', b"1234"),
        with_header(b'{"x":{"dtype":"U8","shape":[1],"data_offsets":[false,true]}}', b"1"),
        with_header(b'{"\\ud800":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"1"),
        with_header(b'{"__metadata__":{"a":"\\ud800"}}'),
        with_header(b'{"x":{"dtype":["U8"],"shape":[1],"data_offsets":[0,1]}}', b"1"),
        with_header(b'{"x":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}', b"1"),
        with_header(b'{"x":{"dtype":"U8","shape":[9223372036854775807,4,0],"data_offsets":[0,0]}}'),
    ],
)
def test_what_is_no_whole_file_is_refused(tmp_path, content):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=str(path)):
        read_safetensors_header(path)


def test_the_good_file_beside_the_bad_ones_is_read(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(with_header(b"{" + ROW + b"}", b"1234"))
    assert list(read_safetensors_header(path)[1]) == ["x"]


FORMAT_DTYPES = (
    "U64 I64 F64 C64 F32 U32 I32 BF16 F16 U16 I16 F8_E5M2FNUZ F8_E4M3FNUZ F8_E8M0 F8_E4M3 F8_E5M2 "
    "I8 U8 F6_E3M2 F6_E2M3 F4 BOOL"
).split()
BYTES_OF_EIGHT = {"64": 64, "32": 32, "16": 16, "6": 6, "4": 4}


@pytest.mark.parametrize("name", FORMAT_DTYPES)
def test_every_dtype_of_the_format_is_read(tmp_path, name):
    digits = next((d for d in BYTES_OF_EIGHT if name.split("_")[0].endswith(d)), "")
    size = BYTES_OF_EIGHT.get(digits, 8)
    text = f'{{"x":{{"dtype":"{name}","shape":[2,4],"data_offsets":[0,{size}]}}}}'
    content = with_header(text.encode(), bytes(size))
    deserialize(content)  # the format's own reader takes it
    (tmp_path / "x").write_bytes(content)
    metadata, entries = read_safetensors_header(tmp_path / "x")
    assert metadata == {}
    assert entries["x"].shape == (2, 4)
    assert entries["x"].stop - entries["x"].start == size


def test_every_dtype_stands_where_the_package_puts_it(tmp_path):
    # The types that NumPy has; torch's are in tests/frameworks.
    names = (
        "bool uint8 int8 int16 uint16 float16 int32 uint32 float32 complex64 float64 int64 uint64"  # noqa: E501
    )
    arrays = {f"x.{name}": np.ones(8, name) for name in names.split()}
    save_file(arrays, tmp_path / "theirs")
    write_safetensors(tmp_path / "ours", tensors(arrays))
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_metadata_that_is_null_is_none(tmp_path):
    content = with_header(b'{"__metadata__":null,' + ROW + b"}", b"1234")
    deserialize(content)
    (tmp_path / "x").write_bytes(content)
    assert read_safetensors_header(tmp_path / "x")[0] == {}


@pytest.mark.timing
def test_a_crafted_shape_costs_its_length_and_no_more(tmp_path):
    # The product of 40,000 factors of 64 bits took seconds; it is refused at the second factor.
    shape = ",".join(["9223372036854775807"] * 40_000)
    text = f'{{"x":{{"dtype":"U8","shape":[{shape}],"data_offsets":[0,0]}}}}'
    (tmp_path / "x").write_bytes(with_header(text.encode()))
    begin = time.perf_counter()
    with pytest.raises(ValueError, match="40000 axes"):
        read_safetensors_header(tmp_path / "x")
    assert time.perf_counter() - begin < 0.5


def test_a_refused_shape_of_many_axes_is_shown_in_short(target):
    bad = Tensor("x", np.dtype(np.float32), (2**62,) * 100_000, lambda out, start: None)
    with pytest.raises(ValueError, match="100000 axes") as caught:
        write_safetensors(target, [bad])
    assert len(str(caught.value)) < 400


# Numbers of NumPy, many threads, files that must not be replaced ------------------------------


def test_numpy_ints_are_ints(tmp_path):
    weight = ARRAYS["weight"]
    ints = tuple(np.int32(size) for size in weight.shape)
    write_npy(tmp_path / "a.npy", weight.dtype, ints, tensor("", weight).fill, threads=np.int64(2))
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), weight)
    one = tensor("x", weight)._replace(shape=ints)
    write_safetensors(tmp_path / "a", [one], threads=np.uint8(1))
    np.testing.assert_array_equal(load_file(tmp_path / "a")["x"], weight)


def test_a_hundred_thousand_threads_are_as_many_as_there_are_pieces(tmp_path, small_pieces):
    write_safetensors(tmp_path / "x", tensors(), threads=100_000)
    save_file(ARRAYS, tmp_path / "y")
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


@pytest.mark.parametrize("allowed", [0, 1, 3])
def test_fewer_threads_than_asked_write_the_same_file(tmp_path, small_pieces, monkeypatch, allowed):
    start, started, seen = threading.Thread.start, [], []

    def limited(thread):
        if len(started) == allowed:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    size = write_safetensors(
        tmp_path / "x", tensors(), threads=8, progress=lambda done, total: seen.append(done)
    )
    monkeypatch.undo()
    save_file(ARRAYS, tmp_path / "y")
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()
    assert max(seen) == size


def test_without_replace_a_file_stays(target):
    with pytest.raises(FileExistsError) as caught:
        write_safetensors(target, tensors(), replace=False)
    assert caught.value.filename == os.fspath(target)
    assert_untouched(target)


@pytest.mark.parametrize("has_links", [True, False])
def test_without_replace_a_file_that_appears_meanwhile_stays(tmp_path, monkeypatch, has_links):
    path = tmp_path / "x.npy"
    if not has_links:
        monkeypatch.setattr(os, "link", no_links)

    def fill(out, start):
        path.write_bytes(b"old")

    with pytest.raises(FileExistsError) as caught:
        write_npy(path, np.float32, (9,), fill, replace=False)
    assert caught.value.filename == os.fspath(path)
    assert_untouched(path)


@pytest.mark.parametrize("has_links", [True, False])
def test_without_replace_a_new_file_is_whole_and_has_one_name(tmp_path, monkeypatch, has_links):
    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    write_safetensors(tmp_path / "x", tensors(), replace=False)
    assert os.listdir(tmp_path) == ["x"]
    assert (tmp_path / "x").stat().st_nlink == 1
    assert set(load_file(tmp_path / "x")) == set(ARRAYS)


def no_links(*arguments, **named):
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="is a device, pipe or socket"):
        read_safetensors_header(tmp_path / "x.safetensors")
