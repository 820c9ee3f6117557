// The interpreter's lock, let go of and taken back by threads that may outlive the interpreter.
//
// An interpreter that ends unwinds every other thread that asks for the lock (pthread_exit). The
// unwinding ends the process where it meets a destructor, an OpenMP region or catch (...), and on
// its way drops references without the lock. So such a thread sleeps until the process ends.
#pragma once
#include <cxxabi.h>
#include <pybind11/pybind11.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "engine/parallel.hpp"

namespace fanin::bindings {

namespace py = pybind11;

[[noreturn]] inline void sleep_for_ever() {
  for (;;) pause();
}

/// call(), which may take the lock or run Python and owns nothing that has a destructor.
template <class Call>
auto unless_ending(Call&& call) {
#if defined(__GLIBCXX__)
  try {
    return call();
  } catch (abi::__forced_unwind&) {
    sleep_for_ever();
  }
#else
  return call();
#endif
}

inline bool interpreter_ends() {
#if PY_VERSION_HEX >= 0x030d0000
  return Py_IsFinalizing() != 0;
#else
  return _Py_IsFinalizing() != 0;
#endif
}

inline void take_back(PyThreadState* state) {
  unless_ending([&] { PyEval_RestoreThread(state); });
}

/// Asks Python for pending signals every 20 ms; true if one of them raised. For the thread of
/// `state`, which has let go of the lock.
class SignalPoll {
 public:
  explicit SignalPoll(PyThreadState* state) : state_(state) {}

  bool operator()() {
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < std::chrono::milliseconds(20)) return false;
    last_ = now;
    const engine::Listening deaf({});  // a handler may call the engine
    take_back(state_);
    const bool raised = unless_ending([] { return PyErr_CheckSignals() != 0; });
    PyEval_SaveThread();
    return raised;
  }

 private:
  PyThreadState* state_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

/// Lets go of the lock for its own lifetime. Loops of the engine hear signals meanwhile.
class Released {
 public:
  Released() : state_(PyEval_SaveThread()), listening_(SignalPoll(state_)) {}
  ~Released() { take_back(state_); }
  Released(const Released&) = delete;
  Released& operator=(const Released&) = delete;

 private:
  PyThreadState* const state_;
  const engine::Listening listening_;
};

/// Takes the lock for its own lifetime, in any thread.
class Held {
 public:
  Held() : deaf_({}) {
    // The thread that ends the interpreter has a state; no new ones are made any more.
    if (interpreter_ends() && PyGILState_GetThisThreadState() == nullptr) sleep_for_ever();
    unless_ending([&] { state_ = PyGILState_Ensure(); });
  }
  ~Held() { PyGILState_Release(state_); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

 private:
  PyGILState_STATE state_{};
  const engine::Listening deaf_;  ///< who holds the lock cannot take it to ask for signals
};

/// function(arguments...) in Python, under the lock.
template <class... Arguments>
py::object call(const py::object& function, Arguments&&... arguments) {
  const py::tuple packed = py::make_tuple(std::forward<Arguments>(arguments)...);
  PyObject* const result =
      unless_ending([&] { return PyObject_Call(function.ptr(), packed.ptr(), nullptr); });
  if (result == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(result);
}

}  // namespace fanin::bindings
