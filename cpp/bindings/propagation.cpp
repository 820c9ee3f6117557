// Activations and their moments for Python. An activation travels as a capsule that owns it.
#include <pybind11/stl.h>

#include <algorithm>
#include <vector>

#include "bindings/activation_handle.hpp"
#include "bindings/arrays.hpp"
#include "bindings/register.hpp"
#include "engine/environment.hpp"
#include "engine/parallel.hpp"
#include "engine/solvers.hpp"
#include "engine/variance_map.hpp"

namespace fanin::bindings {
namespace {

using Array = py::array_t<double, py::array::c_style | py::array::forcecast>;

py::list activation_rows() {
  py::list rows;
  for (const ActivationRow& row : engine::activation_rows()) {
    const ActivationFacts& f = row.facts;
    py::dict parameters, entry;
    for (int i = 0; i < kParameters; ++i)
      if (f.parameter[i] != nullptr) parameters[f.parameter[i]] = f.standard[i];
    entry["name"] = f.name;
    entry["formula"] = f.formula;
    entry["source"] = f.source;
    entry["parameters"] = parameters;
    entry["parity"] = int(f.parity);
    entry["kinks"] = std::vector<double>(f.kink, f.kink + f.kinks);
    entry["degree"] = f.degree;
    rows.append(entry);
  }
  return rows;
}

py::capsule activation(const std::string& name, const std::vector<double>& parameters) {
  std::array<double, kParameters> all{};
  std::copy_n(parameters.begin(), std::min(parameters.size(), all.size()), all.begin());
  return capsule_of(new Owned(name, all));
}

/// Functions of activations that call functions of activations, at most: each takes stack.
constexpr int kMostNested = 8;

struct Nesting {
  Nesting() {
    if (depth == kMostNested) {
      PyErr_SetString(PyExc_RecursionError,
                      "the function of an activation asks for what is computed from that function; "
                      "it may use values of its argument only");
      throw py::error_already_set();
    }
    ++depth;
  }
  ~Nesting() { --depth; }
#if defined(__GLIBC__)
  [[gnu::tls_model("initial-exec")]]
#endif
  static thread_local int depth;
};
thread_local int Nesting::depth = 0;

/// values(x, curved) returns an array of three rows: phi, phi' and, if curved, phi''. The handle
/// holds it weakly, because the interpreter does not see what a capsule refers to and could never
/// collect an object whose method it is; who owns the handle keeps it.
py::capsule custom_activation(const py::function& values, std::vector<double> kinks, double unit,
                              double precision) {
  const auto shared =
      std::shared_ptr<py::weakref>(new py::weakref(values, py::handle()), [](const py::weakref* p) {
        const Held gil;
        delete p;
      });
  const auto evaluate = [shared](const double* x, std::size_t count, double* phi, double* slope,
                                 double* curvature) {
    const Held gil;
    const Nesting nesting;
    const py::object function = (*shared)();
    if (function.is_none()) throw py::value_error("the activation of this handle is gone");
    const Array rows =
        Array::ensure(call(function, Array(py::ssize_t(count), x), curvature != nullptr));
    if (!rows || rows.ndim() != 2 || rows.shape(0) != 3 || rows.shape(1) != py::ssize_t(count))
      throw py::value_error("the values of an activation have three rows");
    double* to[] = {phi, slope, curvature};
    for (int k = 0; k < (curvature != nullptr ? 3 : 2); ++k)
      std::copy_n(rows.data(k, 0), count, to[k]);
  };
  return capsule_of(new Owned(evaluate, std::move(kinks), unit, precision));
}

py::array_t<double> activation_values(const py::capsule& handle, const Array& x) {
  constexpr std::size_t chunk_values = 4096;
  const engine::Activation& a = activation_in(handle);
  const std::size_t count = std::size_t(x.size());
  py::array_t<double> out({py::ssize_t(3), py::ssize_t(count)});
  double* to = out.mutable_data();
  const double* from = x.data();
  const Released released;
  engine::parallel_for((count + chunk_values - 1) / chunk_values, a.row() == nullptr ? 1 : 0, true,
                       {}, [&](u64 chunk) {
                         const std::size_t first = std::size_t(chunk) * chunk_values,
                                           n = std::min(count - first, chunk_values);
                         a.apply(from + first, n, to + first, to + count + first,
                                 to + 2 * count + first);
                       });
  return out;
}

py::array_t<double> activation_moments(const py::capsule& handle, const Array& q,
                                       const std::vector<int>& which, int threads) {
  const engine::Activation& a = activation_in(handle);
  for (const int m : which)
    if (m < 0 || m >= kMoments) throw py::value_error("there is no moment of this number");
  py::array_t<double> out({py::ssize_t(which.size()), q.size()});
  double* to = out.mutable_data();
  const std::span<const double> at(q.data(), std::size_t(q.size()));
  const Released released;
  a.moments(at, which, to, threads);
  return out;
}

double activation_error(const py::capsule& handle, double q) {
  return activation_in(handle).quadrature_error(q);
}

engine::Column column(const Array& x) {
  return {x.data(), x.size() == 1 ? std::size_t(0) : std::size_t(1)};
}

/// weight and bias: one value or one a lane. A row of variances for each layer; `start` puts q
/// before them.
py::array_t<double> propagated_variances(const py::capsule& handle, const Array& q,
                                         const Array& weight, const Array& bias,
                                         const Array& factor, bool start, int threads) {
  const engine::Activation& a = activation_in(handle);
  const py::ssize_t count = q.size();
  for (const Array* given : {&weight, &bias})
    if (given->size() != count && given->size() != 1)
      throw py::value_error("weight and bias have one value or as many as q");
  py::array_t<double> out({factor.size() + start, count});
  double* const to = out.mutable_data();
  const std::span<const double> at(q.data(), std::size_t(count)),
      factors(factor.data(), std::size_t(factor.size()));
  const engine::Column scale = column(weight), shift = column(bias);
  const Released released;
  engine::propagate_variances(a, at, scale, shift, factors, start ? to + count : to,
                              start ? to : nullptr, threads);
  return out;
}

/// x: c, or 1 - c if `missing`; q1 and q2 have one value or as many, or one for each row and each
/// column of a table. Rows of the result: those wanted of covariance, slopes, gap.
py::array_t<double> activation_pairs(const py::capsule& handle, const Array& q1, const Array& q2,
                                     const Array& x, bool missing, const std::vector<bool>& wanted,
                                     int threads) {
  const Owned& owned = owned_by(handle);
  const py::ssize_t count = x.size();
  const bool table = count > 1 && q1.size() > 1 && q2.size() > 1 && q1.size() * q2.size() == count;
  for (const Array* given : {&q1, &q2})
    if (given->size() != count && given->size() != 1 && !table)
      throw py::value_error(
          "q1 and q2 have one value or as many as x, or one for each row and each column of it");
  if (wanted.size() != 3) throw py::value_error("wanted has three entries");
  py::array_t<double> out({py::ssize_t(std::count(wanted.begin(), wanted.end(), true)), count});
  double* next = count == 0 ? nullptr : out.mutable_data();
  double* rows[3] = {};
  for (std::size_t k = 0; k < 3 && next != nullptr; ++k)
    if (wanted[k]) rows[k] = next, next += count;
  const std::span<const double> at(x.data(), std::size_t(count));
  const std::span<const double> down(q1.data(), std::size_t(q1.size())),
      across(q2.data(), std::size_t(q2.size()));
  engine::Column first = column(q1), second = column(q2);
  const Released released;
  if (table && owned.covariances.closed() && rows[0] && !rows[1] && !rows[2])
    return owned.covariances.evaluate_table(down, across, at, missing, rows[0], threads), out;
  std::vector<double> repeated[2];
  if (table) {
    for (const double q : down) repeated[0].insert(repeated[0].end(), across.size(), q);
    for (std::size_t i = 0; i < down.size(); ++i)
      repeated[1].insert(repeated[1].end(), across.begin(), across.end());
    first = {repeated[0].data(), 1}, second = {repeated[1].data(), 1};
  }
  owned.covariances.evaluate(first, second, at, missing, {rows[0], rows[1], rows[2]}, threads);
  return out;
}

/// Roots and slopes, each of shape (lanes, most roots of a lane).
py::array_t<double> fixed_variances(const py::capsule& handle, const Array& weight_var,
                                    const Array& bias_var, int threads) {
  const engine::Activation& a = activation_in(handle);
  const py::ssize_t count = weight_var.size();
  if (bias_var.size() != count) throw py::value_error("weight_var and bias_var have one size");
  const std::span<const double> sw2(weight_var.data(), std::size_t(count)),
      sb2(bias_var.data(), std::size_t(count));
  std::vector<engine::Crossings> crossed;
  int most = 0;
  {
    const Released released;
    crossed = engine::crossings(a, sw2, sb2, threads);
    for (const engine::Crossings& lane : crossed)
      while (most < engine::kMostRoots && lane[std::size_t(most)] > 0) ++most;
  }
  py::array_t<double> out({py::ssize_t(2), count, py::ssize_t(most)});
  if (out.size() == 0) return out;
  double* const roots = out.mutable_data();
  const Released released;
  engine::fixed_variances(a, sw2, sb2, crossed, most, roots, roots + count * most, threads);
  return out;
}

/// 1 - c and weight_var E phi'(u) phi'(v), two rows.
py::array_t<double> fixed_correlations(const py::capsule& handle, const Array& q,
                                       const Array& weight_var, const Array& noise, int threads) {
  const Owned& owned = owned_by(handle);
  const py::ssize_t count = q.size();
  if (weight_var.size() != count || noise.size() != count)
    throw py::value_error("q, weight_var and noise have one size");
  py::array_t<double> out({py::ssize_t(2), count});
  double* const found = out.mutable_data();
  const auto span = [&](const Array& x) {
    return std::span<const double>(x.data(), std::size_t(count));
  };
  const auto at = span(q), sw2 = span(weight_var), extra = span(noise);
  const Released released;
  engine::fixed_correlations(owned.covariances, at, sw2, extra, found, found + count, threads);
  return out;
}

}  // namespace

void register_propagation(py::module_& m) {
  const py::call_guard<engine::SteadyFloatingPoint> steady;
  m.def("activation_rows", &activation_rows);
  m.def("activation", &activation, py::arg("name"), py::arg("parameters"), steady);
  m.def("custom_activation", &custom_activation, py::arg("values"), py::arg("kinks"),
        py::arg("unit"), py::arg("precision"), steady);
  m.def("activation_values", &activation_values, py::arg("handle"), py::arg("x"), steady);
  m.def("activation_moments", &activation_moments, py::arg("handle"), py::arg("q"),
        py::arg("which"), py::arg("threads"), steady);
  m.def("propagated_variances", &propagated_variances, py::arg("handle"), py::arg("q"),
        py::arg("weight"), py::arg("bias"), py::arg("factor"), py::arg("start"), py::arg("threads"),
        steady);
  m.def("activation_pairs", &activation_pairs, py::arg("handle"), py::arg("q1"), py::arg("q2"),
        py::arg("x"), py::arg("missing"), py::arg("wanted"), py::arg("threads"), steady);
  m.def("fixed_variances", &fixed_variances, py::arg("handle"), py::arg("weight_var"),
        py::arg("bias_var"), py::arg("threads"), steady);
  m.def("fixed_correlations", &fixed_correlations, py::arg("handle"), py::arg("q"),
        py::arg("weight_var"), py::arg("noise"), py::arg("threads"), steady);
  m.def("activation_error", &activation_error, py::arg("handle"), py::arg("q"), steady);
}

}  // namespace fanin::bindings
