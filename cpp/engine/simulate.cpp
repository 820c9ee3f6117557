#include "engine/simulate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/fill.hpp"
#include "engine/frames.hpp"
#include "engine/gemm.hpp"
#include "engine/orthogonal.hpp"

namespace fanin::engine {
namespace {

/// Weights made at a time: this many bytes stay in the L2 cache between being drawn and being used.
/// A constant of the result: the parts of a sum over the inputs are added block by block.
constexpr i64 kBlockBytes = 256 * 1024;
/// Numbers handed to an activation at a time.
constexpr i64 kActivationRun = 512;

constexpr Element element_of(float) { return Element::f32; }
constexpr Element element_of(double) { return Element::f64; }

/// The stream of one layer of one network.
u128 layer_key(const Simulated& what, i64 network, i64 layer) {
  return fold(fold(what.key, Fold::number, u64(network)), Fold::number, u64(layer));
}

/// Normals of standard deviation `scale` at consecutive addresses.
template <class T>
void draw(u128 key, u64 first, i64 count, double scale, T* out) {
  const double arguments[] = {0.0, scale};
  Destination d;
  d.data = reinterpret_cast<char*>(out);
  d.element = element_of(T{});
  d.first = first;
  d.axes = {{count, i64(sizeof(T)), 1}};
  fill(plan("normal", arguments, d.element), {u64(key), u64(key >> 64), 0}, d, 1, {});
}

template <class T>
struct Workspace {
  std::vector<T> h, next, x, sum, block;
  std::vector<std::vector<T>> slopes;       ///< of every layer, for the way back
  std::vector<Frame> frames;                ///< exact sampling: span of the signals
  std::vector<std::vector<double>> images;  ///< ... and where the weights take it
  std::vector<double> normals;
  PackedLeft<T> packed;
  Buffer<T> scratch;
  Frame gradients;
};

/// One network: the layers forward, then backward.
template <class T>
class Network {
 public:
  Network(const Simulated& what, const Activation& phi, const Measured& out, Workspace<T>& memory,
          i64 network)
      : what_(what),
        phi_(phi),
        m_(memory),
        network_(network),
        depth_(i64(what.widths.size()) - 1),
        inputs_(what.inputs) {
    const i64 entries = network * (depth_ + 1);
    square_ = out.square + entries * inputs_;
    product_ = out.product + entries;
    gradient_ = out.gradient + entries * inputs_;
    m_.slopes.resize(std::size_t(depth_));
    m_.frames.resize(std::size_t(depth_) + 1);
    m_.images.resize(std::size_t(depth_) + 1);
  }

  void run() {
    start();
    for (i64 layer = 0;; ++layer) {
      measure(layer);
      if (layer == depth_) break;
      activate(layer);
      forward(layer + 1);
    }
    m_.h.resize(std::size_t(inputs_ * units(depth_)));
    draw(layer_key(what_, network_, depth_ + 1), 0, inputs_ * units(depth_), 1.0, m_.h.data());
    for (i64 layer = depth_;; --layer) {
      squares(m_.h.data(), units(layer), gradient_ + layer * inputs_);
      if (layer == 0) break;
      backward(layer);
      const T* slope = m_.slopes[std::size_t(layer - 1)].data();
      for (i64 i = 0; i < inputs_ * units(layer - 1); ++i) m_.h[std::size_t(i)] *= slope[i];
    }
  }

 private:
  i64 units(i64 layer) const { return what_.widths[std::size_t(layer)]; }

  void start() {
    const i64 n = units(0);
    m_.h.resize(std::size_t(inputs_ * n));
    m_.x.resize(std::size_t(inputs_ * n));
    draw(layer_key(what_, network_, 0), 0, inputs_ * n, 1.0, m_.x.data());
    std::fill(m_.h.begin(), m_.h.end(), T(0));
    for (i64 a = 0; a < inputs_; ++a)
      for (i64 b = 0; b <= a; ++b)
        panel_kernels<T>().add_multiple(T(what_.start[std::size_t(a * inputs_ + b)]),
                                        m_.x.data() + b * n, m_.h.data() + a * n, n);
  }

  void squares(const T* rows, i64 n, double* out) const {
    for (i64 a = 0; a < inputs_; ++a)
      out[a] = panel_kernels<T>().dot(rows + a * n, rows + a * n, n) / double(n);
  }

  void measure(i64 layer) {
    const i64 n = units(layer);
    double* const square = square_ + layer * inputs_;
    squares(m_.h.data(), n, square);
    if (inputs_ == 1) {
      product_[layer] = std::numeric_limits<double>::quiet_NaN();  // there are no pairs
      return;
    }
    // The products of all pairs: square of the sum less sum of the squares.
    m_.sum.assign(std::size_t(n), T(0));
    double own = 0;
    for (i64 a = 0; a < inputs_; ++a) {
      panel_kernels<T>().add_multiple(T(1), m_.h.data() + a * n, m_.sum.data(), n);
      own += square[a];
    }
    const double all = panel_kernels<T>().dot(m_.sum.data(), m_.sum.data(), n) / double(n);
    product_[layer] = (all - own) / double(inputs_ * (inputs_ - 1));
  }

  void activate(i64 layer) {
    const i64 count = inputs_ * units(layer);
    std::vector<T>& slopes = m_.slopes[std::size_t(layer)];
    slopes.resize(std::size_t(count));
    m_.x.resize(std::size_t(count));
    double at[kActivationRun], value[kActivationRun], slope[kActivationRun],
        curvature[kActivationRun];
    for (i64 from = 0; from < count; from += kActivationRun) {
      const i64 run = std::min(kActivationRun, count - from);
      for (i64 i = 0; i < run; ++i) at[i] = double(m_.h[std::size_t(from + i)]);
      phi_.apply(at, std::size_t(run), value, slope, curvature);
      for (i64 i = 0; i < run; ++i) {
        m_.x[std::size_t(from + i)] = T(value[i]);
        slopes[std::size_t(from + i)] = T(slope[i]);
      }
    }
  }

  /// h of `layer` from x of the one before.
  void forward(i64 layer) {
    const i64 before = units(layer - 1), here = units(layer);
    m_.h.resize(std::size_t(inputs_ * here));
    if constexpr (sizeof(T) == 4) {
      each_block(layer, [&](i64 from, i64 rows) {
        m_.packed.pack({m_.x.data() + from, before, 1}, inputs_, rows, Work());
        multiply(m_.packed, {m_.block.data(), here, 1}, here, m_.h.data(), here,
                 from == 0 ? Update::store : Update::add, m_.scratch);
      });
    } else {
      forward_exact(layer);
    }
    if (what_.bias_var > 0) {
      const u8 name[] = {'b', 'i', 'a', 's'};
      m_.sum.resize(std::size_t(here));
      draw(fold(layer_key(what_, network_, layer), Fold::name, name, 4), 0, here,
           std::sqrt(what_.bias_var), m_.sum.data());
      for (i64 a = 0; a < inputs_; ++a)
        panel_kernels<T>().add_multiple(T(1), m_.sum.data(), m_.h.data() + a * here, here);
    }
  }

  /// Gradient with respect to x of the layer before, in place of the one with respect to h of
  /// `layer`.
  void backward(i64 layer) {
    const i64 before = units(layer - 1), here = units(layer);
    m_.next.resize(std::size_t(inputs_ * before));
    if constexpr (sizeof(T) == 4) {
      m_.packed.pack({m_.h.data(), here, 1}, inputs_, here, Work());
      each_block(layer, [&](i64 from, i64 rows) {
        multiply(m_.packed, View<T>{m_.block.data(), here, 1}.transposed(), rows,
                 m_.next.data() + from, before, Update::store, m_.scratch);
      });
    } else {
      backward_exact(layer);
    }
    m_.h.swap(m_.next);
  }

  /// Rows of W_layer block by block, drawn again on the way back: cheaper than keeping them.
  template <class Use>
  void each_block(i64 layer, const Use& use) {
    const i64 before = units(layer - 1), here = units(layer);
    const u128 key = layer_key(what_, network_, layer);
    if (what_.sampling == Sampling::haar_weights) {
      m_.block.resize(std::size_t(before * here));
      HaarColumns matrix;
      matrix.source = {u64(key), u64(key >> 64), 0};
      matrix.rows = matrix.columns = matrix.last = here;
      matrix.gain = std::sqrt(what_.weight_var);
      sample_haar(matrix, {0}, m_.block.data(), here * here, here, 1, {});
      return use(0, before);
    }
    const i64 most = std::max<i64>(1, kBlockBytes / i64(sizeof(T)) / here);
    m_.block.resize(std::size_t(std::min(most, before) * here));
    for (i64 from = 0; from < before; from += most) {
      const i64 rows = std::min(most, before - from);
      draw(key, u64(from) * u64(here), rows * here, std::sqrt(what_.weight_var / double(before)),
           m_.block.data());
      use(from, rows);
    }
  }

  // X = R Q with orthonormal rows Q. Then X W = R (Q W), and Q W is s times standard normals
  // (Gaussian W) or a Haar frame (Haar W): the law of X W without W.
  void forward_exact(i64 layer) {
    const i64 before = units(layer - 1), here = units(layer);
    Frame& span = m_.frames[std::size_t(layer)];
    std::vector<double>& image = m_.images[std::size_t(layer)];
    span.of(m_.x.data(), inputs_, before);
    image.resize(std::size_t(span.rank() * here));
    draw(layer_key(what_, network_, layer), 0, span.rank() * here, 1.0, image.data());
    if (what_.sampling == Sampling::haar_exact) {
      Frame frame;
      frame.of(image.data(), span.rank(), here);
      std::copy(frame.vectors(), frame.vectors() + frame.rank() * here, image.begin());
    }
    combine(span, image.data(), here, scale(before), m_.h.data());
  }

  // D W^T, given Q W = s Z: the part in span Q is s D Z^T Q; the rest of W is independent of all
  // that happened in this layer, so that with D = R' Q' its part is s R' Z' projected off span Q,
  // Z' new normals. A Haar W maps the complement of span(Q W) to the complement of span Q by a Haar
  // map of its own.
  void backward_exact(i64 layer) {
    const i64 before = units(layer - 1), here = units(layer);
    const bool haar = what_.sampling == Sampling::haar_exact;
    const PanelKernels<double>& k = panel_kernels<double>();
    const Frame& span = m_.frames[std::size_t(layer)];
    const double* image = m_.images[std::size_t(layer)].data();
    const i64 rank = span.rank();

    std::vector<double> inside(std::size_t(inputs_ * rank));
    gemm<double>({m_.h.data(), here, 1}, View<double>{image, here, 1}.transposed(), inputs_, rank,
                 here, inside.data(), rank, Update::store, Work());
    if (haar)
      gemm<double>({inside.data(), rank, 1}, {image, here, 1}, inputs_, here, rank, m_.h.data(),
                   here, Update::subtract, Work());
    m_.gradients.of(m_.h.data(), inputs_, here);

    const i64 other = m_.gradients.rank();
    m_.normals.resize(std::size_t(other * before));
    const u8 name[] = {'b', 'a', 'c', 'k'};
    draw(fold(layer_key(what_, network_, layer), Fold::name, name, 4), 0, other * before, 1.0,
         m_.normals.data());
    span.remove_from(m_.normals.data(), other);
    const double* outside = m_.normals.data();
    Frame complement;
    if (haar) {
      span.remove_from(m_.normals.data(), other);
      complement.of(m_.normals.data(), other, before);
      outside = complement.vectors();
    }
    combine(m_.gradients, outside, before, scale(before), m_.next.data());
    for (i64 a = 0; a < inputs_; ++a)
      for (i64 r = 0; r < rank; ++r)
        k.add_multiple(scale(before) * inside[std::size_t(a * rank + r)],
                       span.vectors() + r * before, m_.next.data() + a * before, before);
  }

  double scale(i64 before) const {
    return std::sqrt(what_.sampling == Sampling::haar_exact ? what_.weight_var
                                                            : what_.weight_var / double(before));
  }

  /// out (inputs, n) = factor R images, R the coefficients of `frame`.
  void combine(const Frame& frame, const double* images, i64 n, double factor, double* out) const {
    std::fill(out, out + inputs_ * n, 0.0);
    for (i64 a = 0; a < inputs_; ++a)
      for (i64 r = 0; r < frame.rank(); ++r)
        panel_kernels<double>().add_multiple(factor * frame.coefficient(a, r), images + r * n,
                                             out + a * n, n);
  }

  const Simulated& what_;
  const Activation& phi_;
  Workspace<T>& m_;
  i64 network_, depth_, inputs_;
  double *square_, *product_, *gradient_;
};

template <class T>
bool run_all(const Simulated& what, const Activation& phi, const Measured& out, int threads,
             const Poll& poll) {
  double weights = 0;  // a nanosecond for each of them
  for (std::size_t l = 1; l < what.widths.size(); ++l)
    weights += double(what.widths[l - 1]) * double(what.widths[l]);
  threads = int(std::clamp<i64>(threads_for(threads, weights * double(what.networks)), 1,
                                std::max<i64>(what.networks, 1)));
  PerThread<Workspace<T>> workspaces(threads);
  return parallel_for(u64(what.networks), threads, false, poll, [&](u64 network) {
    Network<T>(what, phi, out, workspaces.own(), i64(network)).run();
  });
}

}  // namespace

bool simulate(const Simulated& what, const Activation& phi, const Measured& out, int threads,
              const Poll& poll) {
  return what.sampling == Sampling::gaussian_weights || what.sampling == Sampling::haar_weights
             ? run_all<float>(what, phi, out, threads, poll)
             : run_all<double>(what, phi, out, threads, poll);
}

}  // namespace fanin::engine
