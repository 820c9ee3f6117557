#include "engine/simulate.hpp"

#include <pybind11/stl.h>

#include "bindings/activation_handle.hpp"
#include "bindings/arrays.hpp"
#include "bindings/register.hpp"

namespace fanin::bindings {
namespace {

engine::Sampling sampling_from(const std::string& method, const std::string& weights) {
  const bool haar = weights == "orthogonal";
  if (method == "weights")
    return haar ? engine::Sampling::haar_weights : engine::Sampling::gaussian_weights;
  return haar ? engine::Sampling::haar_exact : engine::Sampling::gaussian_exact;
}

py::tuple run(const std::string& method, const std::string& weights, const py::capsule& activation,
              const std::vector<i64>& widths, i64 inputs, double weight_var, double bias_var,
              const std::vector<double>& start, const py::bytes& key, i64 networks, int threads) {
  engine::Simulated what;
  what.sampling = sampling_from(method, weights);
  what.widths = widths;
  what.inputs = inputs;
  what.weight_var = weight_var;
  what.bias_var = bias_var;
  what.start = start;
  what.key = key_from(key);
  what.networks = networks;
  const py::ssize_t layers = py::ssize_t(widths.size());
  py::array_t<double> square({py::ssize_t(networks), layers, py::ssize_t(inputs)});
  py::array_t<double> product({py::ssize_t(networks), layers});
  py::array_t<double> gradient({py::ssize_t(networks), layers, py::ssize_t(inputs)});
  const engine::Measured out{square.mutable_data(), product.mutable_data(),
                             gradient.mutable_data()};
  const engine::Activation& phi = activation_in(activation);
  {
    const Released released;
    engine::simulate(what, phi, out, threads, {});
  }
  return py::make_tuple(square, product, gradient);
}

}  // namespace

void register_simulate(py::module_& m) {
  m.def("simulate", &run, py::arg("method"), py::arg("weights"), py::arg("activation"),
        py::arg("widths"), py::arg("inputs"), py::arg("weight_var"), py::arg("bias_var"),
        py::arg("start"), py::arg("key"), py::arg("networks"), py::arg("threads"));
}

}  // namespace fanin::bindings
