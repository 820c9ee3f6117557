// Householder reflectors I - v v^H with |v|^2 = 2, alone and in blocks.
//
// The product of a block is I - V T V^H with T^-1 = I + striu(V^H V): the UT form (Joffrain et al.
// 2006), whose diagonal is 1 because every column of V has norm sqrt(2).
#pragma once
#include "engine/gemm.hpp"

namespace fanin::engine {

/// Turns x (length elements) into the v of the reflector that maps it to a multiple of e_1, in
/// place. `sign` gets the phase that makes the diagonal of R positive: H x conj(sign) = |x| e_1. A
/// zero x counts as a positive one; a single element has v = 0, which leaves it alone. Returns |x|.
template <class T>
double make_reflector(T* x, i64 length, bool complex, T* sign);

/// Buffers of one task that applies a block.
template <class T>
struct BlockScratch {
  Buffer<T> packed, projected, combined;
};

template <class T>
using BlockPool = PerThread<BlockScratch<T>>;

/// Some reflectors in a row, H = H_0 H_1 ... . Reflector r acts on elements r and up of its
/// columns.
template <class T>
class BlockReflector {
 public:
  /// Row r of `vectors` (count, length), at `step` numbers, is reflector r; its first r elements
  /// are zero. They must stay until the last use. False if the poll stopped it.
  bool set(const T* vectors, i64 step, i64 count, i64 length, bool complex, const Work& work,
           BlockPool<T>& pool);

  /// c (length, columns) := H c, or H^H c; `columns` and `step` count numbers. With `top_is_zero`
  /// the first `count` rows of c count as zeros, whatever they hold.
  bool apply(T* c, i64 step, i64 columns, bool adjoint, bool top_is_zero, const Work& work,
             BlockPool<T>& pool) const;

  /// c (length, count) := H [diag(signs); 0], the columns from `first` to `last`, c at the first of
  /// them.
  void columns(const T* signs, i64 first, i64 last, T* c, i64 step, BlockScratch<T>& scratch) const;

 private:
  i64 ratio() const { return complex_ ? 2 : 1; }

  View<T> vectors_{};
  i64 count_ = 0, length_ = 0;
  bool complex_ = false;
  Buffer<T> gram_, inverse_;
  PackedLeft<T> whole_, lower_, inner_, inner_adjoint_,
      outer_;  ///< V^H; its rows below the top; T; T^H; V
};

extern template class BlockReflector<float>;
extern template class BlockReflector<double>;

}  // namespace fanin::engine
