// QR factorisation by blocks of reflectors, with the same bits on every machine and thread count.
#pragma once
#include "engine/reflectors.hpp"

namespace fanin::engine {

/// a = q r with the diagonal of r real and >= 0, for `count` matrices one after the other, all
/// C-contiguous: a (rows, columns), q (rows, k), r (k, columns), k = min(rows, columns). A column
/// that depends on those before it has a 0 (or what rounding leaves) on the diagonal, and q is
/// orthonormal all the same. `r` may be null if rows >= columns. False if `poll` stopped it.
template <class T>
bool qr(const T* a, i64 count, i64 rows, i64 columns, bool complex, T* q, T* r, int threads,
        const Poll& poll);

}  // namespace fanin::engine
