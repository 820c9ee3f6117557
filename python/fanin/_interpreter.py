"""Refuses to be imported in a sub-interpreter: the compiled core would wait there for ever for the
main interpreter's lock, which its binding library takes at import."""

import importlib

for _name in ("_interpreters", "_xxsubinterpreters"):  # since Python 3.13, and before
    try:
        _interpreters = importlib.import_module(_name)
    except ImportError:
        continue
    if _interpreters.get_current() != _interpreters.get_main():
        raise ImportError("fanin works in the main interpreter only, not in a sub-interpreter")
    break
