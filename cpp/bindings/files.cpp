// What Python's os module lacks for files.
#include <fcntl.h>

#include "bindings/gil.hpp"
#include "bindings/register.hpp"

namespace fanin::bindings {
namespace {

/// Lets the disk begin with these bytes of a file, and does not wait for it. Errors are left to
/// fsync, which reports those of every write before it.
void start_writing([[maybe_unused]] int descriptor, [[maybe_unused]] long long start,
                   [[maybe_unused]] long long count) {
#if defined(SYNC_FILE_RANGE_WRITE)
  const Released released;
  sync_file_range(descriptor, start, count, SYNC_FILE_RANGE_WRITE);
#endif
}

}  // namespace

void register_files(py::module_& m) {
  m.def("start_writing", &start_writing, py::arg("descriptor"), py::arg("start"), py::arg("count"));
}

}  // namespace fanin::bindings
