"""The command `fanin`, run as a user runs it: in a process of its own."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from fcntl import ioctl

import numpy as np
import pytest
from safetensors import safe_open

import fanin
from fanin._models.catalogue import MODELS
from fanin.cli import main
from fanin.cli._app import app
from fanin.files import read_safetensors_header


def run(*arguments, cwd=None, **environment):
    """Run the command; `environment` is added to ours."""
    return subprocess.run(
        [sys.executable, "-m", "fanin.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
        | environment,
    )


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    """The README's first command; its file is removed afterwards, it has 250 MB."""
    path = tmp_path_factory.mktemp("cli") / "gpt2.safetensors"
    done = run("init", "gpt2", "--out", path, "--dtype", "bfloat16", "--seed", 0)
    assert done.returncode == 0, done.stderr
    yield path, done
    path.unlink()


def test_gpt2_has_its_names_shapes_and_dtype(gpt2):
    path, _ = gpt2
    with safe_open(path, "numpy") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}
        dtypes = {file.get_slice(name).get_dtype() for name in file.keys()}
        metadata = file.metadata()
    assert shapes == {tensor.name: tensor.shape for tensor in MODELS["gpt2"].tensors()}
    assert dtypes == {"BF16"}
    assert metadata["format"] == "pt"
    assert json.loads(metadata["fanin"])["seed"] == "0"
    assert json.loads(metadata["fanin"])["stream"] == fanin.STREAM


def test_a_tensor_of_the_file_is_the_stateless_call_with_its_name(gpt2):
    path, _ = gpt2
    name = "transformer.h.7.mlp.c_proj.weight"
    expected = fanin.gpt2_residual((3072, 768), 12, seed=fanin.Stream(0)[name], dtype="bfloat16")
    with safe_open(path, "numpy") as file:
        np.testing.assert_array_equal(file.get_tensor(name), expected)


def test_the_table_groups_the_layers_and_shows_the_measured_std(gpt2):
    _, done = gpt2
    rows = [line.split() for line in done.stdout.splitlines()]
    found = {row[0]: row[1:] for row in rows if row and row[0].startswith(("transformer.", "*."))}
    # Two embeddings, four kinds of matrix in a block, the zeros and the ones.
    assert len(found) == 8
    residual = found["transformer.h.*.mlp.c_proj.weight"]
    assert residual[:5] == ["x12", "gpt2_residual", "(3072,", "768)", "0.004082"]
    # 28e6 values: relative standard error 1.3e-4, so 6 of them are below 1e-3.
    assert float(residual[5]) == pytest.approx(0.02 / np.sqrt(24), rel=1e-3)
    assert found["*.weight"] == ["x25", "ones", "(768,)", "0", "0", "1"]
    assert found["*.bias"] == ["x73", "zeros", "(768..3072,)", "0", "0", "0"]
    counts = [int(row[0][1:]) if row[0].startswith("x") else 1 for row in found.values()]
    assert sum(counts) == 148


def test_the_last_lines_are_the_totals(gpt2):
    path, done = gpt2
    what, numbers, rate = done.stdout.splitlines()[-3:]
    assert what == f"{path}: gpt2, bfloat16, seed 0, stream {fanin.STREAM}"
    size = f"{path.stat().st_size:,}"
    assert numbers == f"124,439,808 parameters in 148 tensors, {size} bytes"
    assert re.fullmatch(
        r"\d+\.\d+ s with write and fsync: [\d,]+ million parameters/s, \d+\.\d+ GB/s", rate
    )


def test_output_that_is_no_terminal_is_plain(gpt2):
    _, done = gpt2
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_threads_change_nothing_seed_and_dtype_do(tmp_path):
    path = tmp_path / "resnet50.safetensors"
    sums = {}
    for options in ("--threads 1", "--threads 3", "--seed 1", "--dtype float16", ""):
        done = run("init", "resnet50", "--quiet", *options.split(), cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        sums[options] = sha256(path)
        path.unlink()
    assert sums["--threads 1"] == sums["--threads 3"] == sums[""]
    assert len(set(sums.values())) == 3


def test_verbose_shows_every_tensor_and_an_old_file_is_replaced(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")
    done = run("init", "resnet50", "-v", "--force", "--out", path)
    path.unlink()
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^(?:resnet|classifier)\.", done.stdout, re.MULTILINE)) == 320
    assert "stream" in done.stdout and "(replaced)" in done.stdout


def test_a_file_that_exists_is_refused_without_force(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")
    done = run("init", "gpt2", "--out", path)
    assert done.returncode == 1
    assert done.stderr == f"fanin: {path}: exists; --force replaces it\n"
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("name", ["bf16", "bfloat16", "torch.bfloat16"])
def test_a_dtype_has_the_names_that_people_give_it(tmp_path, capsys, name):
    path = tmp_path / "x.safetensors"
    assert main(["init", "gpt2", *SMALL, "--dtype", name, "--out", str(path)]) == 0
    assert "gpt2, bfloat16, seed 0" in capsys.readouterr().out
    assert {entry.dtype.name for entry in read_safetensors_header(path)[1].values()} == {"bfloat16"}


def test_a_matrix_is_the_call_and_replaces_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["orthogonal", "30", "20", "--dtype", "fp16", "--seed", "7", "--gain", "2"]
    assert main(arguments) == 0
    wanted = fanin.orthogonal((30, 20), seed=7, dtype="float16", gain=2.0)
    np.testing.assert_array_equal(np.load("orthogonal.npy"), wanted)
    assert capsys.readouterr().out.startswith("orthogonal.npy: 30 x 20, float16, seed 7, stream")
    before = sha256(tmp_path / "orthogonal.npy")
    arguments[-1] = "3"
    assert main(arguments) == 1
    assert capsys.readouterr().err == "fanin: orthogonal.npy: exists; --force replaces it\n"
    assert sha256(tmp_path / "orthogonal.npy") == before
    assert main([*arguments, "--force", "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    assert sha256(tmp_path / "orthogonal.npy") != before


def test_list_names_every_model():
    done = run("init", "--list")
    assert done.returncode == 0
    first = [line.split()[0] for line in done.stdout.splitlines() if line.strip()]
    assert first[2:] == list(MODELS)
    assert "124.4 M" in done.stdout
    rows = json.loads(run("init", "--list", "--json").stdout)
    assert set(rows) == set(MODELS)
    assert rows["gpt2"]["parameters"] == 124_439_808 and rows["gpt2"]["sizes"]["layers"] == 12
    one = run("init", "gpt2", "--list")
    assert one.returncode == 2 and "`fanin plan gpt2` shows one" in one.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["init", "gpt3"], "no model 'gpt3', did you mean 'gpt2'?"),
        (["init"], "which model?"),
        (["init", "gpt2", "--dtype", "int8"], "no dtype 'int8'; accepted: float32"),
        (["init", "gpt2", "--seed", "-1"], "--seed -1: accepted is 0 to 2^128 - 1"),
        (["init", "gpt2", "--seed", str(2**128)], "accepted is 0 to 2^128 - 1"),
        (["init", "gpt2", "--seed", "x"], "--seed"),
        (["init", "gpt2", "--threads", "0"], "--threads"),
        (["init", "gpt2", "--out", "gpt2.pt"], "must end in .safetensors or .npy"),
        (["init", "gpt2", "--out", "a.safetensors", "--shard-size", "1GB"], "are for folders"),
        (["init", "gpt2", "--out", "a", "--shard-size", "1 parsec"], "--shard-size"),
        (["init", "gpt2", "--out", "a", "--only", "1-x"], "--only 1-x"),
        (["init", "gpt2", "--out", "a", "--only", "6-4"], "--only 6-4"),
        (["init", "gpt2", "--out", "a", "--only", "1-9999999999"], "--only 1-9999999999"),
        (["init", "gpt2", "--out", "a", "--only", "\u00b2"], "--only"),
        (["init", "gpt2", "--out", "a", "--shard-size", "9" * 400 + "GB"], "--shard-size"),
        (["init", "gpt2", "--size", "layers"], "--size layers"),
        (["init", "gpt2", "--size", "depth=2"], "gpt2 has no size 'depth'"),
        (["init", "plan.yaml"], "files are .toml, .json or .safetensors"),
        (["orthogonal", "3", "--dtype", "float8_e5m2"], "accepted: float32, float64, float16, bf"),
        (["orthogonal", "3", "--seed", "-1"], "--seed -1"),
        (["orthogonal", "3", "--gain", "nan"], "--gain nan"),
        (["orthogonal", "3", "--out", "q.pt"], "must end in .npy"),
        (["plan"], "which model?"),
        (["plan", "gtp2"], "did you mean 'gpt2'?"),
        (["verify"], "Missing argument"),
        (["init", "gpt2", "--nonsense"], "--nonsense"),
        (["nonsense"], "nonsense"),
    ],
)
def test_wrong_usage_is_one_line_and_2(tmp_path, arguments, text):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("fanin: ") and done.stderr.count("\n") == 1
    assert text in done.stderr
    assert os.listdir(tmp_path) == []


def test_a_failure_is_one_line_and_1(tmp_path):
    done = run("init", "gpt2", "--out", tmp_path / "none" / "gpt2.safetensors")
    assert done.returncode == 1
    assert done.stderr == f"fanin: {tmp_path / 'none'}: No such file or directory\n"


def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "gpt2.safetensors"
    path.write_bytes(b"old")
    limited = (
        "import resource, sys, fanin.cli;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20,) * 2);"
        f"sys.argv = ['fanin', 'init', 'gpt2', '--force', '--out', {str(path)!r}];"
        "sys.exit(fanin.cli.main())"
    )
    done = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"fanin: {path}: File too large\n"
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_one_line_and_removes_the_temporary_file(tmp_path, number):
    # A large model, so that the signal meets it while it writes.
    process = start(tmp_path, "gpt2-xl", hears_signals)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    said = "fanin: interrupted: nothing half is left\n" if number == signal.SIGINT else ""
    assert errors == said
    assert os.listdir(tmp_path) == []


def test_under_nohup_it_goes_on(tmp_path):
    process = start(tmp_path, "gpt2", ignore_hangup)  # small: it must be seen to end
    process.send_signal(signal.SIGHUP)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    (tmp_path / "gpt2.safetensors").unlink()


def ignore_hangup():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def hears_signals():
    """As a user's shell starts a command, also where the tests themselves run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def start(folder, model, preexec_fn):
    """The command, once its file is there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fanin.cli", "init", model, "--dtype", "bfloat16", "-q"],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=preexec_fn,
    )
    while not os.listdir(folder) and process.poll() is None:
        time.sleep(0.001)
    return process


def test_ctrl_c_in_any_command_says_so(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(fanin.runtime, "build_config", interrupted)
    assert main(["info"]) == 130
    assert capsys.readouterr() == ("", "fanin: interrupted\n")


def test_ctrl_c_while_packages_are_imported_says_so():
    # The import of the first of them presses it.
    code = (
        "import sys, fanin.cli, importlib.abc\n"
        "class Presses(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Presses()); sys.exit(fanin.cli.main(['info']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "fanin: interrupted\n")


#: What takes many seconds.
LONG = {
    "orthogonal": ["orthogonal", "12000"],
    "init": ["init", "gpt2-xl"],
    "propagate": ["propagate", "-a", "gelu", "-d", "20000000", "--weight-var", "1"],
}


@pytest.mark.timing
@pytest.mark.parametrize("command", LONG)
def test_ctrl_c_ends_a_long_command_within_200_ms(tmp_path, command):
    took = []
    for wait in (1.0, 1.3, 1.6, 2.0, 2.5):
        process = subprocess.Popen(
            [sys.executable, "-m", "fanin.cli", *LONG[command]],
            cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        time.sleep(wait)
        begin = time.perf_counter()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        took.append(time.perf_counter() - begin)
        assert process.returncode == 130, (wait, errors)
        assert errors.startswith("fanin: interrupted") and errors.count("\n") == 1
        assert os.listdir(tmp_path) == []
    # 200 ms to be heard; the interpreter takes some tens of ms to end.
    assert max(took) < 0.25, took


def on_a_terminal(folder, *arguments, columns=100, command=("-m", "fanin.cli")):
    """What the command writes to a terminal, without its escapes; the exit status."""
    parent, child = pty.openpty()
    ioctl(child, termios.TIOCSWINSZ, struct.pack("4H", 40, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, *command, *map(str, arguments)],
        cwd=folder, stdout=child, stderr=child, env=os.environ | {"TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(child)
    seen = b""
    while True:
        try:
            part = os.read(parent, 1 << 16)
        except OSError:  # Linux: the other end is closed
            break
        if not part:
            break
        seen += part
    os.close(parent)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode()), process.wait()


@pytest.mark.parametrize("patience, shows", [(0.05, True), (60.0, False)])
def test_what_takes_longer_than_its_patience_shows_that_it_goes_on(tmp_path, patience, shows):
    code = (
        "import sys, fanin.propagation, fanin.cli._console as console; from fanin.cli import main\n"
        f"console._PATIENCE = {patience}; least = fanin.propagation.critical\n"
        "def slow(*a, **k):\n"
        "    import time; time.sleep(0.4); return least(*a, **k)\n"
        "fanin.propagation.critical = slow; sys.exit(main(['phase', '-a', 'relu']))"
    )
    text, status = on_a_terminal(tmp_path, "-c", code, command=[])
    assert status == 0
    assert ("relu: the edge of chaos 0:00:00" in text) == shows
    assert "relu: the edge of chaos, chi = 1" in text


def test_marks_of_rich_in_a_path_are_a_path(tmp_path):
    path = tmp_path / "a[" / "b]" / "x[red].safetensors"
    path.parent.mkdir(parents=True)
    small = ("init", "gpt2", "--size", "layers=1", "--size", "width=64", "--out", path)
    done = run(*small)
    assert done.returncode == 0, done.stderr
    assert f"\n{path}: gpt2, float32, seed 0" in done.stdout
    text, status = on_a_terminal(tmp_path, *small, "--force", columns=200)
    assert status == 0 and "writing x[red].safetensors" in text


SMALL = ("--size", "layers=2", "--size", "width=64", "--size", "vocabulary=500")


def test_a_folder_gets_shards_their_index_and_the_config(tmp_path):
    folder = tmp_path / "model"
    done = run("init", "gpt2", *SMALL, "--out", folder, "--shard-size", "300KB", "--seed", 3)
    assert done.returncode == 0, done.stderr
    shards = sorted(path.name for path in folder.glob("*.safetensors"))
    assert len(shards) > 1
    assert sorted(os.listdir(folder)) == ["config.json", *shards, "model.safetensors.index.json"]
    again = run("init", "gpt2", *SMALL, "--out", folder, "--shard-size", "300KB", "--seed", 3)
    assert again.returncode == 1 and "--force" in again.stderr
    (folder / shards[0]).unlink()
    resumed = run(
        "init", "gpt2", *SMALL, "--out", folder, "--shard-size", "300KB", "--seed", 3, "--resume"
    )
    assert resumed.returncode == 0, resumed.stderr
    assert "to check what was there and to write the rest" in resumed.stdout
    assert "GB/s" not in resumed.stdout
    other = run("init", "gpt2", *SMALL, "--out", folder, "--shard-size", "300KB", "--resume")
    assert other.returncode == 1 and "another plan, seed or dtype" in other.stderr
    verified = run("verify", folder)
    assert verified.returncode == 0
    assert verified.stdout == f"{folder}: ok\n28 tensors, every byte as generated\n"


def test_two_commands_write_the_shards_of_one_folder(tmp_path):
    words = ["init", "gpt2", *SMALL, "--out", tmp_path / "model", "--shard-size", "300KB"]
    parts = [run(*words, "--only", only, "--json") for only in ("2-4", "1")]
    assert [done.returncode for done in parts] == [0, 0], parts
    facts = [json.loads(done.stdout) for done in parts]
    # Each tells of its part, whose numbers are 4 bytes each and whose files have headers.
    assert sum(fact["parameters"] for fact in facts) == 197_632
    assert all(0 < fact["bytes"] - 4 * fact["parameters"] < 20_000 for fact in facts)
    assert run("verify", tmp_path / "model", "-q").returncode == 0
    again = run(*words, "--only", "3")
    assert again.returncode == 1
    assert "model-00003-of-00004.safetensors: File exists; --force" in again.stderr


def test_verify_names_the_tensor_and_the_element_and_ends_with_1(tmp_path):
    path = tmp_path / "x.safetensors"
    done = run("init", "gpt2", *SMALL, "--out", path, "--json")
    facts = json.loads(done.stdout)
    assert facts["bytes"] == path.stat().st_size and facts["parameters"] == 197_632
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x40
    path.write_bytes(content)
    done = run("verify", path)
    assert done.returncode == 1
    assert done.stdout.startswith(f"{path}: NOT ok\nfirst difference: x.safetensors: ")
    assert "transformer.wte.weight[499, 63]" in done.stdout
    found = json.loads(run("verify", path, "--json").stdout)
    assert found["ok"] is False
    assert found["first_difference"]["index"] == [499, 63]
    quiet = run("verify", path, "-q")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (1, "", "")


def test_verify_of_a_strange_file_is_one_line(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"no such file")
    done = run("verify", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1 and "not a whole safetensors file" in done.stderr


@pytest.mark.parametrize("name", ["none.safetensors", "none", "none/none"])
def test_verify_of_a_file_that_is_not_there_is_an_error_and_no_difference(tmp_path, name):
    done = run("verify", tmp_path / name)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"fanin: {tmp_path / name}: No such file or directory\n"


def test_plan_shows_checks_and_saves(tmp_path):
    done = run("plan", "gpt2", *SMALL)
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"^transformer\.h\.\*\.attn\.c_proj\.weight +x2 +\(64, 64\) +float32 +gpt2_residual\(",
        done.stdout,
        re.MULTILINE,
    )
    assert done.stdout.endswith("\ngpt2: 197,632 parameters in 28 tensors, 790,528 bytes\n")
    data = json.loads(run("plan", "gpt2", *SMALL, "--json", "--dtype", "bfloat16").stdout)
    assert data["bytes"] == 2 * 197_632
    path = tmp_path / "plan.toml"
    assert run("plan", "gpt2", *SMALL, "--save", path, "-q").returncode == 0
    one, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    assert run("init", path, "--out", one, "-q").returncode == 0
    assert run("init", "gpt2", *SMALL, "--out", other, "-q").returncode == 0
    assert one.read_bytes() == other.read_bytes()
    path.write_text('[[tensors]]\nname = "a"\nshape = [3]\nscheme = "he_normal"\n')
    done = run("plan", path)
    assert done.returncode == 1
    assert "line 1: tensor 'a'" in done.stderr and "no fan" in done.stderr


def test_a_terminal_sees_a_progress_bar(tmp_path):
    text, status = on_a_terminal(tmp_path, "init", "resnet50")
    assert status == 0
    (tmp_path / "resnet50.safetensors").unlink()
    assert "writing resnet50.safetensors" in text
    assert "measuring resnet50.safetensors" in text
    assert re.search(r"\d+(\.\d+)?/\d+\.\d+ MB", text)
    # Nothing is wider than the terminal.
    assert max(len(line) for line in re.split(r"[\r\n]+", text)) <= 100


def test_tables_fit_a_terminal_of_80(tmp_path):
    for arguments in (["plan", "gpt2"], ["init", "--list"], ["init", "gpt2", *SMALL]):
        text, status = on_a_terminal(tmp_path, *arguments, columns=80)
        assert status == 0
        assert max(len(line.rstrip()) for line in re.split(r"[\r\n]+", text)) <= 80


def test_the_command_can_be_called_and_leaves_no_signal_handler(tmp_path, capsys):
    before = signal.getsignal(signal.SIGTERM)
    assert main(["init", "resnet50", "--out", str(tmp_path / "x.safetensors")]) == 0
    assert "25,557,032 parameters" in capsys.readouterr().out
    assert main(["init", "nonsense"]) == 2
    assert capsys.readouterr().err.startswith("fanin: ")
    assert signal.getsignal(signal.SIGTERM) is before
    (tmp_path / "x.safetensors").unlink()


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_it_says_how_to_install_it_and_ends_with_2(missing):
    code = (
        f"import sys; sys.modules[{missing!r}] = None; sys.argv = ['fanin', 'info'];"
        "from fanin.cli import main; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"fanin: the command needs the extra 'cli' ({missing} is missing): "
        "pip install 'fanin[cli]'\n"
    )


def test_the_console_script_is_installed():
    script = os.path.join(os.path.dirname(sys.executable), "fanin")
    done = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert done.stdout == f"fanin {fanin.__version__}\n"


def test_info_shows_what_runs():
    done = run("info")
    assert done.returncode == 0, done.stderr
    facts = dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in done.stdout.splitlines())
    assert facts["fanin"] == fanin.__version__
    assert facts["stream"] == fanin.STREAM
    assert facts["instruction set"] == fanin.runtime.isa()
    assert facts["available"].split(", ") == list(fanin.runtime.isas())
    assert int(facts["threads"]) == fanin.runtime.threads()
    assert facts["NumPy"] == np.__version__


@pytest.mark.parametrize("isa", fanin.runtime.isas())
def test_info_shows_the_instruction_set_that_is_forced(isa):
    assert re.search(rf"instruction set +{isa}\b", run("info", FANIN_ISA=isa).stdout)


def test_schemes_shows_every_scheme_with_formula_and_source():
    done = run("schemes")
    assert done.returncode == 0, done.stderr
    for name, row in fanin.schemes().items():
        assert re.search(rf"^{name} +{re.escape(row.formula)} +", done.stdout, re.MULTILINE), name
        assert row.source in done.stdout


def test_bench_draws_bars_beside_numpy_and_says_how(tmp_path):
    picture = tmp_path / "bars.png"
    done = run("bench", "--megabytes", 1, "--rounds", 1, "--threads", 1, "--plot", picture)
    assert done.returncode == 0, done.stderr
    case = re.search(r"^float32 normal.*(?:\n +\S.*)+", done.stdout, re.M)
    assert case, done.stdout
    ours = re.search(r" fanin +([\d.]+) +G/s +(█+)", case[0])
    theirs = re.search(r" NumPy .* ([\d.]+) +G/s +([█▉▊▋▌▍▎▏]+) +([\d.]+) x", case[0])
    assert ours and theirs, case[0]
    # Three figures of three digits each.
    assert float(theirs[3]) == pytest.approx(float(ours[1]) / float(theirs[1]), rel=0.02)
    assert len(theirs[2]) <= len(ours[2]) <= 24
    assert "arrays of 1 MB, least of 1 interleaved turns" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_bench_refuses_a_name_of_no_picture_before_it_runs(tmp_path):
    done = run("bench", "--megabytes", 1 << 40, "--plot", tmp_path / "bars.xyz")
    assert done.returncode == 2 and "must end in one of" in done.stderr


def test_a_reader_that_goes_away_is_no_traceback():
    command = [sys.executable, "-m", "fanin.cli", "schemes"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_help_names_every_command():
    for arguments in ([], ["--help"]):
        done = run(*arguments)
        assert done.returncode == 0
        commands = re.findall(r"^│ (\w+) ", done.stdout, re.MULTILINE)
        assert commands == [command.callback.__name__ for command in app.registered_commands]
