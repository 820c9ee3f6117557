// Elementary functions for the constants of a call: the same bits on every machine.
#pragma once
#include <cstddef>

namespace fanin::engine {

/// One of the kernels' float64 functions at one point, within its range.
double evaluate(const char* function, double x);
/// The same at many points.
void evaluate(const char* function, const double* in, double* out, std::size_t count);

/// log x and x^y for x > 0.
double logarithm(double x);
double power(double x, double y);

/// e^x for every x: 0 below -745, infinite above 709.78.
double exponential(double x);

/// The same at many points.
void logarithms(const double* in, double* out, std::size_t count);
void exponentials(const double* in, double* out, std::size_t count);

/// P(Z > x) of the unit normal for every x: 0 above 38.4, below the smallest double.
double upper_tail(double x);

}  // namespace fanin::engine
