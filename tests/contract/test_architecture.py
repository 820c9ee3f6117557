"""The rules of the codebase, read from its files: includes, symbols, imports, names, docstrings."""

import ast
import importlib
import inspect
import re
import shutil
import subprocess
import sys
import typing
from concurrent.futures import ThreadPoolExecutor

import pytest
import rooms
from package import FRAMEWORKS, modules

import fanin
from fanin._activations import moments

# ---- C++: rooms and includes ---------------------------------------------------------------------

INTRINSICS = {"immintrin.h", "arm_neon.h"}
OWN_ROOMS = {
    "core": {"core"},
    "kernels": {"core", "kernels"},
    "engine": {"core", "engine"},
    "bindings": {"core", "engine", "bindings"},
}


def sources(root, room):
    files = [p for p in (root / "cpp" / room).rglob("*") if p.suffix in (".hpp", ".cpp")]
    assert files
    return files


def includes(path):
    return re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', path.read_text(), re.MULTILINE)


def code_of(path):
    """The text without comments and string literals."""
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
    return re.sub(r'"(?:[^"\\\n]|\\.)*"', '""', text)


@pytest.mark.parametrize("room", OWN_ROOMS)
def test_rooms_include_in_one_direction_only(root, room):
    for path in sources(root, room):
        for mark, name in includes(path):
            if mark == '"':
                assert name.split("/")[0] in OWN_ROOMS[room], f"{path.name} includes {name}"


def test_core_and_kernels_are_freestanding(root):
    for room in ("core", "kernels"):
        for path in sources(root, room):
            allowed = {"cstdint", "cstddef"} | (INTRINSICS if path.name == "lanes.hpp" else set())
            assert {name for mark, name in includes(path) if mark == "<"} <= allowed, path.name


def test_kernels_call_no_library(root):
    # fma, sqrt and fabs have exactly defined results; nothing else of libm, std or the heap.
    forbidden = re.compile(
        r"\bstd::(?!(?:size|uintptr)_t\b)|\bthrow\b|\bnew\b|\bmalloc\b|#\s*pragma\s+omp|"
        r"\b__builtin_(?!fmaf?\b|sqrtf?\b|fabsf?\b|prefetch\b|memcpy\b|bit_cast\b|convertvector\b|shufflevector\b)\w+"
    )
    for path in sources(root, "kernels"):
        found = forbidden.findall(code_of(path))
        assert not found, f"{path.name}: {found}"


def test_only_lanes_knows_intrinsics(root):
    for path in (root / "cpp").rglob("*.[ch]pp"):
        if path.name not in ("lanes.hpp", "environment.hpp"):  # which saves and restores MXCSR
            assert not re.search(r"\b_mm\d*_|\bv\w+q_u8\b", code_of(path)), path.name


def test_only_parallel_knows_openmp(root):
    for path in (root / "cpp").rglob("*.[ch]pp"):
        if path.stem != "parallel":
            names = {name for _, name in includes(path)}
            assert "omp.h" not in names and "#pragma omp" not in code_of(path), path.name
            assert not re.search(r"\bomp_\w+", code_of(path)), path.name


def test_only_bindings_know_python(root):
    for room in ("core", "kernels", "engine"):
        for path in sources(root, room):
            assert not any("pybind" in name or "Python.h" in name for _, name in includes(path))


def test_no_file_is_long_and_no_line_is_wide(root):
    paths = [*(root / "cpp").rglob("*.[ch]pp"), *(root / "python" / "fanin").rglob("*.py")]
    for path in paths:
        lines = path.read_text("utf-8").splitlines()
        assert len(lines) <= 600, path.name
        # A line with a mark for mypy may be longer, as for ruff.
        wide = [line for line in lines if len(line.partition("  # type:")[0]) > 100]
        assert not wide, f"{path.name}: {wide[0]}"


def test_no_function_is_long(root):
    for path in (root / "python" / "fanin").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                # From the end of the docstring, if there is one.
                has_text = ast.get_docstring(node) is not None
                before = node.body[0].end_lineno if has_text else node.body[0].lineno - 1
                lines = node.end_lineno - before
                assert lines <= 55, f"{path.name}: {node.name} has {lines} lines of code"


def test_no_flag_changes_what_floating_point_means(root):
    text = "".join(
        p.read_text() for p in [root / "CMakeLists.txt", *(root / "cmake").glob("*.cmake")]
    )
    assert "-ffp-contract=off" in text
    for flag in ("-ffast-math", "-Ofast", "-march=native", "-funsafe-math", "-mtune=native"):
        assert flag not in text


def test_no_markers_are_left_behind(root):
    marker = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b|#if " + "0")
    for folder in ("cpp", "python", "tests", "tools", "cmake", "docs", "examples", "bench"):
        for path in (root / folder).rglob("*"):
            if path.suffix in (".py", ".hpp", ".cpp", ".cmake", ".md", ".pyi"):
                assert not marker.search(path.read_text()), path


# ---- C++: symbols --------------------------------------------------------------------------------

AVX512 = "-mavx512f -mavx512vl -mavx512dq -mavx512bw -mfma -mf16c -maes"
ISA_FLAGS = {
    "baseline": "",
    "avx2": "-mavx2 -mfma -mf16c -maes",
    "avx2_vaes": "-mavx2 -mfma -mf16c -maes -mvaes",
    "avx512_vaes": AVX512 + " -mvaes",
}
COMMON_FLAGS = (
    "-std=gnu++20 -O3 -ffp-contract=off -fno-math-errno -fno-trapping-math "
    "-fvisibility=hidden -fPIC -Wno-psabi"
)


#: What each file of kernels/ exports; the table of kernels.cpp refers to the others.
EXPORTS = {"kernels.cpp": "table", "panels.cpp": "panels", "moments.cpp": "moments"}


def test_every_kernel_file_has_one_export(root):
    assert {path.name for path in (root / "cpp" / "kernels").glob("*.cpp")} == set(EXPORTS)


@pytest.mark.long
@pytest.mark.parametrize("file", EXPORTS)
@pytest.mark.parametrize("isa", ISA_FLAGS)
def test_a_kernel_object_exports_its_table_and_nothing_else(root, isa, file, tmp_path):
    compiler, made = shutil.which("g++") or shutil.which("clang++"), tmp_path / "kernels.o"
    command = [compiler, *COMMON_FLAGS.split(), *ISA_FLAGS[isa].split(), f"-I{root / 'cpp'}"]
    command += [f"-DFANIN_ISA={isa}", f'-DFANIN_ISA_NAME="{isa}"']
    source = root / "cpp" / "kernels" / file
    subprocess.run([*command, "-c", str(source), "-o", str(made)], check=True)
    listing = subprocess.run(
        ["nm", "-C", str(made)], capture_output=True, text=True, check=True
    ).stdout
    symbols = [line.split(maxsplit=2 if line[0] != " " else 1) for line in listing.splitlines()]
    kinds = [(s[-2], s[-1]) for s in symbols]
    assert [name for kind, name in kinds if kind in "TDRBV"] == [f"fanin::{isa}::{EXPORTS[file]}"]
    assert not [name for kind, name in kinds if kind in "WwVvu"]
    sizes = subprocess.run(
        ["size", "-A", str(made)], capture_output=True, text=True, check=True
    ).stdout
    writable = re.findall(r"^\.(?:data|bss|tdata|tbss)\s+(\d+)", sizes, re.MULTILINE)
    assert writable and set(writable) == {
        "0"
    }  # .data.rel.ro, the table itself, is read-only when loaded
    undefined = {name for kind, name in kinds if kind == "U"}
    allowed = {"fma", "fmaf", "memcpy", "memset", "_GLOBAL_OFFSET_TABLE_"}
    if file == "kernels.cpp":
        allowed |= {f"fanin::{isa}::{name}" for name in EXPORTS.values()}
    assert undefined <= allowed


#: What the engine remembers between calls: the instruction set, the number of threads, the maker of
#: the CPU and from how many bytes on stores go past its caches, whether the process was forked and
#: the hook that tells; and, in every thread, how many libgomp has started.
REMEMBERED = {"chosen_stream_bytes", "chosen_threads", "cpu_here", "current", "fork_hook", "forked",
              "own", "worker_stack"}  # fmt: skip


def test_the_engine_remembers_nothing_but_its_settings(root, tmp_path):
    compiler = shutil.which("g++") or shutil.which("clang++")
    command = [compiler, "-std=gnu++20", "-O0", "-fopenmp", "-fPIC", "-Wno-psabi",
               f"-I{root / 'cpp'}", "-c"]  # fmt: skip
    sources = sorted((root / "cpp" / "engine").glob("*.cpp"))
    with ThreadPoolExecutor(2) as pool:
        for made in pool.map(
            lambda path: subprocess.run(
                [*command, str(path), "-o", str(tmp_path / f"{path.stem}.o")], capture_output=True
            ),
            sources,
        ):
            assert made.returncode == 0, made.stderr.decode()
    found = set()
    for path in tmp_path.glob("*.o"):
        listing = subprocess.run(
            ["objdump", "-tC", str(path)], capture_output=True, text=True, check=True
        ).stdout
        # Columns: address, flags, section, size, name. Tables of pointers are in .data.rel.ro,
        # which is read-only when loaded; DW.ref names are the compiler's, for exceptions.
        rows = re.findall(
            r"^[0-9a-f]+ .{7} \.(data|bss|tdata|tbss)(\S*)\t[0-9a-f]+ (.*)$", listing, re.MULTILINE
        )
        found |= {
            name.rpartition("::")[2]
            for section, rest, name in rows
            if name != f".{section}{rest}"
            and not rest.startswith(".rel.ro")
            and "DW.ref" not in name
        }
    assert found == REMEMBERED


def test_the_driver_of_other_machines_compiles(root):
    compiler = shutil.which("g++") or shutil.which("clang++")
    command = [compiler, "-std=gnu++20", "-fopenmp", "-Wno-psabi", f"-I{root / 'cpp'}"]
    driver = root / "tests" / "portable" / "driver.cpp"
    made = subprocess.run([*command, "-fsyntax-only", str(driver)], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr


# ---- Python: imports -----------------------------------------------------------------------------

PROBE = """
import ctypes, os, sys
import numpy, ml_dtypes
libm = ctypes.CDLL("libm.so.6")
def environment():
    # Rounding, masks, FTZ and DAZ of x87 and SSE; the sticky flags record any inexact operation.
    state = (ctypes.c_uint32 * 16)(); libm.fegetenv(state)
    return state[0], state[7] & ~0x3f
before = environment(), dict(os.environ), len(os.listdir("/proc/self/task"))
import fanin
after = environment(), dict(os.environ), len(os.listdir("/proc/self/task"))
print(before == after)
print([name for name in {frameworks} if name in sys.modules])
fanin.normal(3, seed=0)
print(len(os.listdir("/proc/self/task")) == before[2])
"""


def test_import_loads_no_framework_starts_no_thread_and_changes_no_setting():
    code = PROBE.format(frameworks=FRAMEWORKS)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["True", "[]", "True"]


def test_the_sampling_path_calls_no_libm(root):
    # Only + - * / and math.sqrt decide a value; names that would reach libm do not occur.
    reached = re.compile(
        r"\b(?:math|np|numpy)\.(?:log\w*|exp\w*|pow\w*|sin\w*|cos\w*|tan\w*|erf\w*|gamma|cbrt|hypot|float_power)\b"
    )
    sampling = {"_arrays", "_random", "_schemes"}
    ground = {"fanin._modes", "fanin._checks", "fanin._functions"}
    paths = rooms.modules(root / "python" / "fanin")
    for path in (p for m, p in paths.items() if m in ground or rooms.room_of(m) in sampling):
        found = reached.findall(re.sub(r'""".*?"""|#[^\n]*', "", path.read_text(), flags=re.DOTALL))
        assert not found, f"{path.name}: {found}"


def test_only_adapters_import_a_framework_at_their_top(root):
    for module, path in rooms.modules(root / "python" / "fanin").items():
        if rooms.room_of(module) not in rooms.ADAPTERS:
            eager = re.findall(r"^(?:import|from) (\w+)", path.read_text(), re.MULTILINE)
            frameworks = {"torch", "jax", "keras", "tensorflow", "dask", "scipy"}
            assert not set(eager) & frameworks, module


def test_the_columns_of_moments_are_those_of_the_core(root):
    text = (root / "cpp" / "core" / "moment_table.hpp").read_text()
    names = re.search(r"enum Moment : int \{(.*?)\}", text, re.DOTALL)[1]
    columns = re.findall(r"\bk(\w+)", names)
    assert len(columns) == 8
    for number, name in enumerate(columns):
        constant = re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()
        assert getattr(moments, constant) == number, name


# ---- Python: names and docstrings ----------------------------------------------------------------

MODULES = ["fanin", *modules()]


def public_objects():
    for name in sorted(n for n in dir(fanin) if not n.startswith("_")):
        value = getattr(fanin, name)
        if not inspect.ismodule(value):
            yield name, value


def test_no_public_name_is_hidden_by_a_module():
    before = {name: value for name, value in public_objects()}
    for module in MODULES:
        importlib.import_module(module)
    for name, value in before.items():
        assert getattr(fanin, name) is value, name


@pytest.mark.parametrize("name", [name for name, value in public_objects() if callable(value)])
def test_every_public_name_has_a_docstring_and_every_function_an_example(name):
    value = getattr(fanin, name)
    text = inspect.getdoc(value)
    assert text and len(text) > 40, f"fanin.{name} has no docstring"
    if not inspect.isclass(value):
        assert ">>>" in text, f"the docstring of fanin.{name} has no example"


@pytest.mark.parametrize("kind", [fanin.Generator, fanin.Stream], ids=lambda kind: kind.__name__)
def test_every_public_method_has_a_docstring(kind):
    for name, value in inspect.getmembers(kind):
        if not name.startswith("_"):
            assert inspect.getdoc(value), f"{kind.__name__}.{name}"


PUBLIC_MODULES = ("", ".diagnose", ".files", ".linalg", ".propagation", ".runtime")


def public_classes():
    """Every class that a public module lists, once."""
    found = {}
    for suffix in PUBLIC_MODULES:
        module = importlib.import_module("fanin" + suffix)
        for name in getattr(module, "__all__", [n for n in vars(module) if not n.startswith("_")]):
            value = getattr(module, name)
            if inspect.isclass(value) and value.__module__.partition(".")[0] == "fanin":
                found[value] = name
    return found


@pytest.mark.parametrize(("kind", "name"), public_classes().items(), ids=public_classes().values())
def test_a_public_class_says_where_users_import_it(kind, name):
    # Pickles name it: a file may move, this module may not.
    assert kind.__module__ in {"fanin" + suffix for suffix in PUBLIC_MODULES}
    assert getattr(importlib.import_module(kind.__module__), name) is kind


@pytest.mark.parametrize("kind", public_classes(), ids=public_classes().values())
def test_the_type_hints_of_a_public_class_can_be_read(kind):
    assert typing.get_type_hints(kind).keys() == inspect.get_annotations(kind).keys() | {
        name for base in kind.__mro__ for name in inspect.get_annotations(base)
    }


def test_dir_shows_public_names_only():
    assert dir(fanin) == sorted(fanin.__all__)
    assert not [name for name in dir(fanin) if name.startswith("_")]


def test_every_listed_name_is_there_after_import_fanin():
    code = "import fanin; print(fanin.files.Tensor, [hasattr(fanin, n) for n in fanin.__all__])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("<class 'fanin.files.Tensor'>") and "False" not in run.stdout
