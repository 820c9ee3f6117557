// Haar-distributed orthogonal and unitary matrices as products of sampled reflectors.
#pragma once
#include <vector>

#include "engine/reflectors.hpp"

namespace fanin::engine {

/// One tall matrix with orthonormal columns, or several of them.
///
/// The Householder vectors of the QR factorisation of a Gaussian matrix are themselves independent
/// Gaussian vectors of the lengths rows, rows - 1, ... (Stewart 1980), so they are sampled and no
/// matrix is factorised. With the phases that make the diagonal of R positive the result has
/// exactly Haar's law (Mezzadri 2007).
///
/// Reflector j of matrix `id` has its element i, for i < rows - j, at address j * pitch + i of the
/// normal law of the stream (key, id); pitch is `rows` numbers (two an element if complex) rounded
/// up to whole tiles of 32 words.
struct HaarColumns {
  Source source;              ///< its id is that of matrix 0
  i64 rows = 0, columns = 0;  ///< rows >= columns
  i64 first = 0, last = 0;    ///< the columns wanted
  int determinant = 0;        ///< +1 or -1 to fix it (rows == columns); 0 leaves it to chance
  bool complex = false;
  bool turned = false;  ///< `out` gets the transpose, which is not the adjoint
  double gain = 1;      ///< multiplies every value, rounded once to T
};

/// Told of the work done, by the thread that called.
using Progress = std::function<void(i64 done, i64 total)>;

/// Writes the wanted columns of matrix ids[b] to out + b * matrix_step, rows (if `turned`, columns)
/// at `step` numbers.
/// False if `poll` stopped it; then `out` is partly written. `progress` counts the blocks of one
/// large matrix.
template <class T>
bool sample_haar(const HaarColumns& wanted, const std::vector<u64>& ids, T* out, i64 matrix_step,
                 i64 step, int threads, const Poll& poll, const Progress& progress = {});

}  // namespace fanin::engine
