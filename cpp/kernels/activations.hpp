// Activations: phi, phi' and phi'' of each, and what is known of it. The list in moments.cpp
// is the only registration. Definitions: docs/numerics.md, "Activations".
#pragma once
#include "core/moment_table.hpp"
#include "kernels/special.hpp"

namespace fanin::FANIN_ISA {
namespace {

struct Values {
  F64 phi, slope, curvature;
};

constexpr Reach both(double distance) { return {distance, distance}; }

/// Defaults of an activation without parameters, kinks or closed forms, that changes over a length
/// of 1.
struct Smooth {
  static constexpr bool has_closed_moments = false;
  static double unit(const double*) { return 1.0; }
  static Reach reach(const double*) { return both(kInfinity); }
};
/// Distance at which e^-x is below the rounding of what it is a part of.
inline constexpr double kExponentialReach = 40;

constexpr ActivationFacts facts(const char* name, const char* formula, const char* source,
                                Parity parity) {
  return {name, formula, source, {}, {}, parity, 0, {}, 0};
}
constexpr ActivationFacts with_parameter(ActivationFacts f, const char* name, double standard) {
  f.parameter[0] = name;
  f.standard[0] = standard;
  return f;
}
constexpr ActivationFacts with_kinks(ActivationFacts f, double first) {
  f.kinks = 1;
  f.kink[0] = first;
  return f;
}
constexpr ActivationFacts with_kinks(ActivationFacts f, double first, double second) {
  f.kinks = 2;
  f.kink[0] = first;
  f.kink[1] = second;
  return f;
}
constexpr ActivationFacts of_degree(ActivationFacts f, int degree) {
  f.degree = degree;
  return f;
}

// ---- sigmoidal ----------------------------------------------------------------------------------

struct Tanh : Smooth {
  static constexpr ActivationFacts known = facts("tanh", "tanh(x)", "", Parity::odd);
  static Reach reach(const double*) { return both(0.5 * kExponentialReach); }
  static Values at(F64 x, const double*) {
    const F64 t = tanh(x);
    const F64 slope = 4.0 * logistic(2.0 * x).slope;
    return {t, slope, -2.0 * t * slope};
  }
};

struct Sigmoid : Smooth {
  static constexpr ActivationFacts known = facts("sigmoid", "1 / (1 + exp(-x))", "", Parity::none);
  static Reach reach(const double*) { return both(kExponentialReach); }
  static Values at(F64 x, const double*) {
    const Logistic s = logistic(x);
    return {s.value, s.slope, -s.slope * tanh(0.5 * x)};
  }
};

struct Erf : Smooth {
  static constexpr ActivationFacts known = facts("erf", "erf(x)", "", Parity::odd);
  static constexpr double kScale = 1.0;
  static Reach reach(const double*) { return both(8.0); }
  static Values at(F64 x, const double*) { return scaled(x, kScale); }
  static Values scaled(F64 x, double scale) {
    const F64 y = scale * x;
    const F64 slope = (scale * kTwoOverSqrtPi) * exp_negative(-(y * y));
    return {erf(y), slope, (-2.0 * scale * scale) * x * slope};
  }
};

struct ErfScaled : Erf {
  static constexpr ActivationFacts known = facts(
      "erf_scaled", "erf(sqrt(pi) / 2 * x), slope 1 at 0", "Pennington et al. 2017", Parity::odd);
  static constexpr double kScale = 0x1.c5bf891b4ef6bp-1;
  static Values at(F64 x, const double*) { return scaled(x, kScale); }
};

struct Softsign : Smooth {
  static constexpr ActivationFacts known =
      with_kinks(facts("softsign", "x / (1 + |x|)", "Bergstra et al. 2009", Parity::odd), 0.0);
  static Values at(F64 x, const double*) {
    const F64 down = 1.0 / (1.0 + absolute(x));
    const F64 slope = down * down;
    const F64 curvature = with_sign_of(2.0 * slope * down, -x);
    // x / (1 + |x|) of an infinite x is 1, as 1 - 1 / (1 + |x|).
    const F64 phi = select(absolute(x) > 1.0, with_sign_of(1.0 - down, x), x * down);
    return {phi, slope, select(x == 0.0, splat(0.0), curvature)};
  }
  /// 4/sqrt(pi) J(sqrt t), J(p) = integral over y > 0 of y^2 exp(-y^2 - 2 p y): Laplace's transform
  /// of 1/(1 + x)^2, and exp(-w x) as a mixture of Gaussians.
  static F64 density(F64 t) {
    constexpr double step = 0.125;  // the trapezoidal rule in log y leaves exp(-pi^2 / (2 step))
    const F64 p = sqrt(t), scale = 1.0 / (p + 0.5);
    F64 sum = {};
    for (int k = -104; k <= 34; ++k) {
      const F64 y = scale * exp(splat(step * k));
      sum = fma(y * y * y, exp_negative(-y * fma(splat(2.0), p, y)), sum);
    }
    return (2.0 * kTwoOverSqrtPi * step) * sum;
  }
};

struct Atan : Smooth {
  static constexpr ActivationFacts known = facts("atan", "atan(x)", "", Parity::odd);
  static double unit(const double*) { return 0.5; }  // poles at i and -i
  static Values at(F64 x, const double*) {
    const F64 slope = 1.0 / fma(x, x, splat(1.0));
    return {atan(x), slope, -2.0 * clamp(x, -1e150, 1e150) * slope * slope};
  }
  static F64 density(F64 t) { return exp_negative(-t); }
};

// ---- gated: x times a distribution function -----------------------------------------------------

/// x s with s the gate at x, from the gate's slope and curvature; -infinity times a gate of 0 is 0.
inline Values gated(F64 x, F64 gate, F64 slope, F64 curvature) {
  const F64 bounded = maximum(x, splat(-1e10));
  const F64 finite = minimum(bounded, splat(1e10));
  return {bounded * gate, fma(finite, slope, gate), fma(finite, curvature, 2.0 * slope)};
}

struct Silu : Smooth {
  static constexpr ActivationFacts known =
      with_parameter(facts("silu", "x / (1 + exp(-beta x))",
                           "Elfwing et al. 2018; Ramachandran et al. 2017", Parity::none),
                     "beta", 1.0);
  static double unit(const double* p) { return 1.0 / (p[0] < 0 ? -p[0] : p[0]); }
  static Reach reach(const double* p) { return both(kExponentialReach * unit(p)); }
  static Values at(F64 x, const double* p) {
    const F64 t = p[0] * x;
    const Logistic s = logistic(t);
    const F64 slope = p[0] * s.slope;
    return gated(x, s.value, slope, -p[0] * slope * tanh(0.5 * t));
  }
};

struct Gelu : Smooth {
  static constexpr ActivationFacts known = facts(
      "gelu", "x Phi(x) = x / 2 * (1 + erf(x / sqrt(2)))", "Hendrycks & Gimpel 2016", Parity::none);
  static Reach reach(const double*) { return both(10.0); }
  static Values at(F64 x, const double*) {
    const F64 density = normal_density(x);
    return gated(x, ndtr(x), density, -clamp(x, -1e10, 1e10) * density);
  }
};

struct GeluTanh : Smooth {
  static constexpr ActivationFacts known =
      facts("gelu_tanh", "x / 2 * (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))",
            "Hendrycks & Gimpel 2016", Parity::none);
  static Reach reach(const double*) { return both(8.0); }
  static Values at(F64 x, const double*) {
    constexpr double cubic = 0.044715,
                     root = 0x1.9884533d43651p+0;  // 2 sqrt(2/pi): twice tanh's argument
    const F64 b = clamp(x, -40.0, 40.0);
    const F64 square = b * b;
    const Logistic s = logistic(root * b * fma(splat(cubic), square, splat(1.0)));
    const F64 first = root * fma(splat(3.0 * cubic), square, splat(1.0));
    const F64 second = (6.0 * cubic * root) * b;
    const F64 slope = first * s.slope;
    return gated(x, s.value, slope, s.slope * fma(first * first, s.complement - s.value, second));
  }
};

struct Mish : Smooth {
  static constexpr ActivationFacts known =
      facts("mish", "x tanh(log(1 + exp(x)))", "Misra 2019", Parity::none);
  static Reach reach(const double*) { return both(kExponentialReach); }
  static Values at(F64 x, const double*) {
    // With e = exp(x): tanh(log(1 + e)) = n / (n + 2), n = e (e + 2).
    const F64 e = exp_negative(minimum(x, splat(40.0)));
    const F64 n = e * (e + 2.0);
    const F64 down = 1.0 / (n + 2.0);
    const F64 slope = 4.0 * e * (e + 1.0) * down * down;
    const F64 top = fma(fma(fma(splat(-2.0), e, splat(-3.0)), e, splat(2.0)), e, splat(2.0));
    return gated(x, n * down, slope, 4.0 * e * top * down * down * down);
  }
};

struct Hardswish : Smooth {
  static constexpr ActivationFacts known = with_kinks(
      facts("hardswish", "x clip(x + 3, 0, 6) / 6", "Howard et al. 2019", Parity::none), -3.0, 3.0);
  static Reach reach(const double*) { return both(3.0); }
  static Values at(F64 x, const double*) {
    const F64 gate = clamp(x + 3.0, 0.0, 6.0) * (1.0 / 6);
    const auto inside = absolute(x) < 3.0;
    const F64 slope =
        select(inside, fma(x, splat(1.0 / 3), splat(0.5)), select(x > 0.0, splat(1.0), splat(0.0)));
    return {maximum(x, splat(-4.0)) * gate, slope, select(inside, splat(1.0 / 3), splat(0.0))};
  }
};

// ---- rectifiers ---------------------------------------------------------------------------------

struct Softplus : Smooth {
  static constexpr ActivationFacts known = with_parameter(
      facts("softplus", "log(1 + exp(beta x)) / beta", "Dugas et al. 2001", Parity::none), "beta",
      1.0);
  static double unit(const double* p) { return 1.0 / (p[0] < 0 ? -p[0] : p[0]); }
  static Reach reach(const double* p) { return both(kExponentialReach * unit(p)); }
  static Values at(F64 x, const double* p) {
    const F64 t = p[0] * x;
    const Logistic s = logistic(t);
    const F64 rest = log1p(exp_negative(-absolute(t)));
    return {(maximum(t, splat(0.0)) + rest) / p[0], s.value, p[0] * s.slope};
  }
};

/// x > 0 ? a x : b (e^(x / c) - 1): elu, selu and celu.
inline Values exponential_unit(F64 x, double positive, double amplitude, double length) {
  const auto right = x > 0.0;
  const F64 t = minimum(x, splat(0.0)) / length;
  const F64 slope = (amplitude / length) * exp_negative(t);
  return {select(right, positive * x, amplitude * expm1(t)), select(right, splat(positive), slope),
          select(right, splat(0.0), slope / length)};
}

struct Elu : Smooth {
  static constexpr ActivationFacts known = with_kinks(
      with_parameter(
          facts("elu", "x if x > 0 else alpha (exp(x) - 1)", "Clevert et al. 2016", Parity::none),
          "alpha", 1.0),
      0.0);
  static Reach reach(const double*) { return {kExponentialReach, 0.0}; }
  static Values at(F64 x, const double* p) { return exponential_unit(x, 1.0, p[0], 1.0); }
};

struct Celu : Smooth {
  static constexpr ActivationFacts known = with_kinks(
      with_parameter(
          facts("celu", "x if x > 0 else alpha (exp(x / alpha) - 1)", "Barron 2017", Parity::none),
          "alpha", 1.0),
      0.0);
  static double unit(const double* p) { return p[0] < 0 ? -p[0] : p[0]; }
  static Reach reach(const double* p) { return {kExponentialReach * unit(p), 0.0}; }
  static Values at(F64 x, const double* p) { return exponential_unit(x, 1.0, p[0], p[0]); }
};

struct Selu : Smooth {
  static constexpr ActivationFacts known = with_kinks(
      facts("selu",
            "lambda (x if x > 0 else alpha (exp(x) - 1)), lambda 1.0507..., alpha 1.6732...",
            "Klambauer et al. 2017", Parity::none),
      0.0);
  static Reach reach(const double*) { return {kExponentialReach, 0.0}; }
  static Values at(F64 x, const double*) {
    constexpr double alpha = 1.6732632423543772848170429916717,
                     lambda = 1.0507009873554804934193349852946;
    return exponential_unit(x, lambda, lambda * alpha, 1.0);
  }
};

/// Straight between two kinks, constant outside: offset + rate x, clipped to [low, high].
template <class Own>
struct Clipped : Smooth {
  static Reach reach(const double*) { return {-Own::known.kink[0], Own::known.kink[1]}; }
  static Values at(F64 x, const double*) {
    const F64 slope = select(x > Own::known.kink[0], splat(Own::rate), splat(0.0));
    return {clamp(fma(x, splat(Own::rate), splat(Own::offset)), Own::low, Own::high),
            select(x < Own::known.kink[1], slope, splat(0.0)), splat(0.0)};
  }
};

struct Hardtanh : Clipped<Hardtanh> {
  static constexpr ActivationFacts known =
      with_kinks(facts("hardtanh", "clip(x, -1, 1)", "Collobert 2004", Parity::odd), -1.0, 1.0);
  static constexpr double rate = 1.0, offset = 0.0, low = -1.0, high = 1.0;
};
struct Relu6 : Clipped<Relu6> {
  static constexpr ActivationFacts known =
      with_kinks(facts("relu6", "clip(x, 0, 6)", "Krizhevsky 2010", Parity::none), 0.0, 6.0);
  static constexpr double rate = 1.0, offset = 0.0, low = 0.0, high = 6.0;
};
struct Hardsigmoid : Clipped<Hardsigmoid> {
  static constexpr ActivationFacts known = with_kinks(
      facts("hardsigmoid", "clip(x / 6 + 1/2, 0, 1)", "Howard et al. 2019", Parity::none), -3.0,
      3.0);
  static constexpr double rate = 1.0 / 6, offset = 0.5, low = 0.0, high = 1.0;
};

}  // namespace
}  // namespace fanin::FANIN_ISA
