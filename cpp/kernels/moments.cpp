// The moment table of one instruction set: activations, Gaussian sums, polynomials in q. The only
// symbol this object exports.
#include "kernels/moments.hpp"

namespace fanin::FANIN_ISA {
namespace {

/// The only registration of activations.
constexpr ActivationRow kActivations[] = {
    row<Linear>(),    row<Relu>(),        row<LeakyRelu>(), row<Absolute>(), row<SquaredRelu>(),
    row<Relu6>(),     row<Crelu>(),       row<Elu>(),       row<Selu>(),     row<Celu>(),
    row<Softplus>(),  row<Silu>(),        row<Gelu>(),      row<GeluTanh>(), row<Mish>(),
    row<Hardswish>(), row<Hardsigmoid>(), row<Hardtanh>(),  row<Tanh>(),     row<Sigmoid>(),
    row<Erf>(),       row<ErfScaled>(),   row<Softsign>(),  row<Atan>(),     row<Sin>(),
    row<Cos>(),       row<Gaussian>(),    row<Exp>(),       row<Step>(),     row<Sign>(),
};

}  // namespace

extern const MomentTable moments;
const MomentTable moments = {{kActivations, sizeof kActivations / sizeof kActivations[0]},
                             &gaussian_sums,
                             &signs,
                             &table_range,
                             &tabulated,
                             &power_series,
                             &contract,
                             &polynomials,
                             &polynomial_at,
                             &weighted_dot,
                             &bell_weights,
                             &mixture_sums,
                             &hermite_sums,
                             &sum_rows};

}  // namespace fanin::FANIN_ISA
