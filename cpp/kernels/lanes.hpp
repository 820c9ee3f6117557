// The SIMD vocabulary: native vectors on the GCC/Clang vector extensions, and the only intrinsics
// of the project (the AES round, the table look-up, the non-temporal store, the float16 conversion,
// fma, sqrt and the product of 32-bit halves).
//
// Every operation here is exact or correctly rounded, so all instruction sets give the same bits.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/types.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace fanin::FANIN_ISA {
namespace {

#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
inline constexpr int kVectorBytes = 32;
#else
inline constexpr int kVectorBytes = 16;
#endif

#if defined(__VAES__)
inline constexpr int kBlocksBytes = kVectorBytes;
#else
inline constexpr int kBlocksBytes = 16;
#endif

template <class T, int Bytes>
struct VectorOf {
  typedef T type __attribute__((vector_size(Bytes)));
};
template <class T>
using Lanes = typename VectorOf<T, kVectorBytes>::type;
template <class T>
inline constexpr int kLanes = kVectorBytes / int(sizeof(T));

using F32 = Lanes<float>;
using F64 = Lanes<double>;
using U32 = Lanes<u32>;
using I32 = Lanes<i32>;
using U64 = Lanes<u64>;
using I64 = Lanes<i64>;
using Half = VectorOf<u16, kVectorBytes / 2>::type;  ///< as many lanes as F32
using Bytes = VectorOf<u8, kVectorBytes / 4>::type;  ///< as many lanes as F32
using Blocks = VectorOf<u64, kBlocksBytes>::type;    ///< whole 16-byte blocks for the AES round

/// The integers of the same width as T.
template <class T>
struct BitsOf;
template <>
struct BitsOf<float> {
  using Unsigned = u32;
  using Signed = i32;
};
template <>
struct BitsOf<double> {
  using Unsigned = u64;
  using Signed = i64;
};
template <class T>
using UnsignedLanes = Lanes<typename BitsOf<T>::Unsigned>;
template <class T>
using SignedLanes = Lanes<typename BitsOf<T>::Signed>;

// ---- bits ---------------------------------------------------------------------------------------

template <class To, class From>
[[gnu::always_inline]] inline To bit_cast(From x) {
  static_assert(sizeof(To) == sizeof(From));
  return __builtin_bit_cast(To, x);
}

template <class T>
[[gnu::always_inline]] inline Lanes<T> splat(T x) {
  return x - Lanes<T>{};  // x - 0 is x for every x, so nothing is left of it; 0 + x is not, for -0
}

/// Lanes x, y, x, y, ...
template <class T>
[[gnu::always_inline]] inline Lanes<T> alternate(T x, T y) {
  T lanes[kLanes<T>];
  for (int i = 0; i < kLanes<T>; ++i) lanes[i] = i % 2 == 0 ? x : y;
  Lanes<T> v;
  __builtin_memcpy(&v, lanes, sizeof v);
  return v;
}

/// Where `mask` (all ones or all zeros a lane, the result of a comparison) takes a, else b.
template <class M, class V>
[[gnu::always_inline]] inline V select(M mask, V a, V b) {
  return mask ? a : b;
}

template <class V>
[[gnu::always_inline]] inline V minimum(V a, V b) {
  return a < b ? a : b;
}
template <class V>
[[gnu::always_inline]] inline V maximum(V a, V b) {
  return a > b ? a : b;
}

// ---- memory -------------------------------------------------------------------------------------

template <class V>
[[gnu::always_inline]] inline V load(const void* from) {
  V v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}

template <class V>
[[gnu::always_inline]] inline void store(void* to, V v) {
  __builtin_memcpy(to, &v, sizeof v);
}

/// Store past the caches; `to` is aligned to the vector. A plain store where the machine has none.
template <class V>
[[gnu::always_inline]] inline void store_past_cache(void* to, V v) {
#if defined(__x86_64__)
  if constexpr (sizeof(V) == 16) {
    _mm_stream_si128(static_cast<__m128i*>(to), bit_cast<__m128i>(v));
    return;
  }
#if defined(__AVX2__)
  if constexpr (sizeof(V) == 32) {
    _mm256_stream_si256(static_cast<__m256i*>(to), bit_cast<__m256i>(v));
    return;
  }
#endif
#if defined(__AVX512F__)
  if constexpr (sizeof(V) == 64) {
    _mm512_stream_si512(static_cast<__m512i*>(to), bit_cast<__m512i>(v));
    return;
  }
#endif
#endif
  store(to, v);
}

/// Orders the stores past the caches before whatever follows.
[[gnu::always_inline]] inline void fence_stores() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

// ---- arithmetic ---------------------------------------------------------------------------------

/// a * b + c, rounded once. Without the instruction this is the C library's exact fma. (As loops
/// over lanes, GCC 12 leaves some of them scalar inside large kernels: measured 3x slower.)
[[gnu::always_inline]] inline F32 fma(F32 a, F32 b, F32 c) {
#if defined(__AVX512F__)
  return bit_cast<F32>(
      _mm512_fmadd_ps(bit_cast<__m512>(a), bit_cast<__m512>(b), bit_cast<__m512>(c)));
#elif defined(__AVX2__)
  return bit_cast<F32>(
      _mm256_fmadd_ps(bit_cast<__m256>(a), bit_cast<__m256>(b), bit_cast<__m256>(c)));
#else
  F32 r;
  for (int i = 0; i < kLanes<float>; ++i) r[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return r;
#endif
}
[[gnu::always_inline]] inline F64 fma(F64 a, F64 b, F64 c) {
#if defined(__AVX512F__)
  return bit_cast<F64>(
      _mm512_fmadd_pd(bit_cast<__m512d>(a), bit_cast<__m512d>(b), bit_cast<__m512d>(c)));
#elif defined(__AVX2__)
  return bit_cast<F64>(
      _mm256_fmadd_pd(bit_cast<__m256d>(a), bit_cast<__m256d>(b), bit_cast<__m256d>(c)));
#else
  F64 r;
  for (int i = 0; i < kLanes<double>; ++i) r[i] = __builtin_fma(a[i], b[i], c[i]);
  return r;
#endif
}
[[gnu::always_inline]] inline F32 sqrt(F32 a) {
#if defined(__AVX512F__)
  return bit_cast<F32>(_mm512_maskz_sqrt_ps(0xffff, bit_cast<__m512>(a)));
#elif defined(__AVX2__)
  return bit_cast<F32>(_mm256_sqrt_ps(bit_cast<__m256>(a)));
#else
  F32 r;
  for (int i = 0; i < kLanes<float>; ++i) r[i] = __builtin_sqrtf(a[i]);
  return r;
#endif
}
[[gnu::always_inline]] inline F64 sqrt(F64 a) {
#if defined(__AVX512F__)
  return bit_cast<F64>(_mm512_maskz_sqrt_pd(0xff, bit_cast<__m512d>(a)));
#elif defined(__AVX2__)
  return bit_cast<F64>(_mm256_sqrt_pd(bit_cast<__m256d>(a)));
#else
  F64 r;
  for (int i = 0; i < kLanes<double>; ++i) r[i] = __builtin_sqrt(a[i]);
  return r;
#endif
}

/// x >> 8. With AVX-512 its bytes are moved: Intel's wide shifts take the unit that AES takes (port
/// 0), its shuffles the other one.
[[gnu::always_inline]] inline U32 without_low_byte(U32 x) {
#if defined(__AVX512BW__)
  const U32 from = bit_cast<U32>(
      _mm512_set4_epi32(int(0x800f0e0d), int(0x800b0a09), int(0x80070605), int(0x80030201)));
  return bit_cast<U32>(_mm512_shuffle_epi8(bit_cast<__m512i>(x), bit_cast<__m512i>(from)));
#else
  return x >> 8;
#endif
}

/// Products of the low halves of the lanes.
[[gnu::always_inline]] inline U64 multiply_low_halves(U64 a, U64 b) {
#if defined(__AVX512F__)
  return bit_cast<U64>(_mm512_maskz_mul_epu32(0xff, bit_cast<__m512i>(a), bit_cast<__m512i>(b)));
#elif defined(__AVX2__)
  return bit_cast<U64>(_mm256_mul_epu32(bit_cast<__m256i>(a), bit_cast<__m256i>(b)));
#elif defined(__x86_64__)
  return bit_cast<U64>(_mm_mul_epu32(bit_cast<__m128i>(a), bit_cast<__m128i>(b)));
#elif defined(__aarch64__)
  const auto low = [](U64 x) { return vmovn_u64(bit_cast<uint64x2_t>(x)); };
  return bit_cast<U64>(vmull_u32(low(a), low(b)));
#else
  return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

/// The low halves of the lanes of two vectors of U64, in order.
template <class V>
[[gnu::always_inline]] inline U32 low_halves(V a, V b) {
  const auto x = bit_cast<U32>(a), y = bit_cast<U32>(b);
  const auto picked = [&]<int... Lane>() { return __builtin_shufflevector(x, y, (2 * Lane)...); };
  if constexpr (sizeof(V) == 16)
    return picked.template operator()<0, 1, 2, 3>();
  else if constexpr (sizeof(V) == 32)
    return picked.template operator()<0, 1, 2, 3, 4, 5, 6, 7>();
  else
    return picked.template operator()<0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15>();
}

/// The lowest byte of each lane. (GCC 12 makes the conversion one lane at a time.)
[[gnu::always_inline]] inline Bytes low_bytes(U32 x) {
#if defined(__AVX512F__)
  return bit_cast<Bytes>(_mm512_maskz_cvtepi32_epi8(0xffff, bit_cast<__m512i>(x)));
#elif defined(__AVX2__)
  const __m256i lowest = _mm256_set_epi32(-1, -1, -1, 0x0c080400, -1, -1, -1, 0x0c080400);
  const __m256i four_each = _mm256_shuffle_epi8(bit_cast<__m256i>(x), lowest);
  const __m256i together = _mm256_set_epi32(7, 6, 5, 3, 2, 1, 4, 0);
  const U64 eight = bit_cast<U64>(_mm256_permutevar8x32_epi32(four_each, together));
  return bit_cast<Bytes>(u64(eight[0]));
#else
  return __builtin_convertvector(x, Bytes);
#endif
}

/// Half a vector at `from`, as lanes of 64 bits. (GCC 12 makes the conversions in two halves.)
[[gnu::always_inline]] inline F64 load_wide(const float* from) {
#if defined(__AVX512F__)
  return bit_cast<F64>(_mm512_maskz_cvtps_pd(0xff, _mm256_loadu_ps(from)));
#elif defined(__AVX2__)
  return bit_cast<F64>(_mm256_cvtps_pd(_mm_loadu_ps(from)));
#else
  return __builtin_convertvector(load<VectorOf<float, kVectorBytes / 2>::type>(from), F64);
#endif
}

/// The first or the second half of the lanes, as numbers of 64 bits.
template <int Which>
[[gnu::always_inline]] inline I64 widened(I32 x) {
  typename VectorOf<i32, kVectorBytes / 2>::type half;
  __builtin_memcpy(&half, reinterpret_cast<const char*>(&x) + Which * sizeof half, sizeof half);
#if defined(__AVX512F__)
  return bit_cast<I64>(_mm512_maskz_cvtepi32_epi64(0xff, bit_cast<__m256i>(half)));
#elif defined(__AVX2__)
  return bit_cast<I64>(_mm256_cvtepi32_epi64(bit_cast<__m128i>(half)));
#else
  return __builtin_convertvector(half, I64);
#endif
}

// ---- conversions (each correctly rounded, to nearest even) --------------------------------------

[[gnu::always_inline]] inline F32 to_float(I32 x) { return __builtin_convertvector(x, F32); }
[[gnu::always_inline]] inline F32 to_float(U32 x) { return __builtin_convertvector(x, F32); }

/// 64-bit integers: native with AVX-512DQ; elsewhere the halves are placed in the significands of
/// 2^84 and 2^52, so that only the last addition rounds.
[[gnu::always_inline]] inline F64 to_float(U64 x) {
#if defined(__AVX512DQ__) || defined(__aarch64__)
  return __builtin_convertvector(x, F64);
#else
  const F64 high = bit_cast<F64>((x >> 32) | 0x4530000000000000u) - 0x1.00000001p84;
  return high + bit_cast<F64>((x & 0xffffffffu) | 0x4330000000000000u);
#endif
}
[[gnu::always_inline]] inline F64 to_float(I64 x) {
#if defined(__AVX512DQ__) || defined(__aarch64__)
  return __builtin_convertvector(x, F64);
#else
  const U64 bits = bit_cast<U64>(x);
  const F64 high = bit_cast<F64>((bits >> 32) ^ 0x4530000080000000u) - 0x1.0000080100000p84;
  return high + bit_cast<F64>((bits & 0xffffffffu) | 0x4330000000000000u);
#endif
}

/// float32 -> bfloat16, ties to even; NaN stays NaN (quiet, sign and upper payload kept).
[[gnu::always_inline]] inline Half to_bfloat16(F32 x) {
  const U32 bits = bit_cast<U32>(x);
  const U32 rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const U32 quiet = (bits >> 16) | 0x40u;
  return __builtin_convertvector(x == x ? rounded : quiet, Half);
}

/// float32 -> float16, ties to even, subnormals kept.
[[gnu::always_inline]] inline Half to_float16(F32 x) {
#if defined(__AVX512F__)
  return bit_cast<Half>(
      _mm512_maskz_cvtps_ph(0xffff, bit_cast<__m512>(x), _MM_FROUND_TO_NEAREST_INT));
#elif defined(__F16C__) && defined(__AVX2__)
  return bit_cast<Half>(_mm256_cvtps_ph(bit_cast<__m256>(x), _MM_FROUND_TO_NEAREST_INT));
#else
  const U32 bits = bit_cast<U32>(x);
  const U32 sign = (bits >> 16) & 0x8000u;
  const U32 magnitude = bits & 0x7fffffffu;
  // Normal halves: rebias the exponent by -112 and round 13 bits away.
  const U32 normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  // Subnormal halves: adding 1/2 leaves multiples of 2^-24 in the low bits, rounded by the
  // addition.
  const U32 subnormal = bit_cast<U32>(bit_cast<F32>(magnitude) + 0.5f) - 0x3f000000u;
  const U32 infinity = U32{} + 0x7c00u;
  const U32 nan = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
  U32 half = select(magnitude < 0x38800000u, subnormal, normal);
  half = select(magnitude >= 0x47800000u, infinity, half);
  half = select(magnitude > 0x7f800000u, nan, half);
  return __builtin_convertvector(half | sign, Half);
#endif
}

// ---- the hook: small tables ---------------------------------------------------------------------

/// table[index mod N] in every lane, by permutations of vector registers. Elsewhere one load a
/// lane.
template <class T, int N>
[[gnu::always_inline]] inline Lanes<T> lookup(const T (&table)[N], UnsignedLanes<T> index) {
  static_assert(N == 8 || (N == 16 && sizeof(T) == 8));
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    const __m256 row = bit_cast<__m256>(load<typename VectorOf<T, 32>::type>(table));
    const __m512 twice = _mm512_maskz_broadcast_f32x8(0xffff, row);
    return bit_cast<Lanes<T>>(_mm512_maskz_permutexvar_ps(0xffff, bit_cast<__m512i>(index), twice));
  } else {
    const __m512d low = bit_cast<__m512d>(load<Lanes<T>>(table));
    if constexpr (N == 8) {
      return bit_cast<Lanes<T>>(_mm512_maskz_permutexvar_pd(0xff, bit_cast<__m512i>(index), low));
    } else {
      const __m512d high = bit_cast<__m512d>(load<Lanes<T>>(table + 8));
      return bit_cast<Lanes<T>>(_mm512_permutex2var_pd(low, bit_cast<__m512i>(index), high));
    }
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    const __m256 row = bit_cast<__m256>(load<Lanes<T>>(table));
    return bit_cast<Lanes<T>>(_mm256_permutevar8x32_ps(row, bit_cast<__m256i>(index)));
  } else {
    // Four doubles at a time as pairs of floats 2 i and 2 i + 1; the higher bits choose among the
    // fours.
    const __m256i pair = bit_cast<__m256i>((index << 1 | index << 33) + 0x100000000u);
    const auto four = [&](int first) {
      const __m256 row = bit_cast<__m256>(load<Lanes<T>>(table + first));
      return bit_cast<__m256d>(_mm256_permutevar8x32_ps(row, pair));
    };
    const auto choose = [&](__m256d low, __m256d high, int bit) {
      return _mm256_blendv_pd(low, high, bit_cast<__m256d>(index << (63 - bit)));
    };
    __m256d found = choose(four(0), four(4), 2);
    if constexpr (N == 16) found = choose(found, choose(four(8), four(12), 2), 3);
    return bit_cast<Lanes<T>>(found);
  }
#else
  Lanes<T> found;
  for (int i = 0; i < kLanes<T>; ++i) found[i] = table[index[i] % N];
  return found;
#endif
}

// ---- the hook: AES rounds, with the meaning of x86's aesenc and aesenclast ----------------------

#if defined(__VAES__) && defined(__AVX512F__)
[[gnu::always_inline]] inline Blocks aes_round(Blocks s, Blocks key) {
  return bit_cast<Blocks>(_mm512_aesenc_epi128(bit_cast<__m512i>(s), bit_cast<__m512i>(key)));
}
[[gnu::always_inline]] inline Blocks aes_last_round(Blocks s, Blocks key) {
  return bit_cast<Blocks>(_mm512_aesenclast_epi128(bit_cast<__m512i>(s), bit_cast<__m512i>(key)));
}
#elif defined(__VAES__) && defined(__AVX2__)
[[gnu::always_inline]] inline Blocks aes_round(Blocks s, Blocks key) {
  return bit_cast<Blocks>(_mm256_aesenc_epi128(bit_cast<__m256i>(s), bit_cast<__m256i>(key)));
}
[[gnu::always_inline]] inline Blocks aes_last_round(Blocks s, Blocks key) {
  return bit_cast<Blocks>(_mm256_aesenclast_epi128(bit_cast<__m256i>(s), bit_cast<__m256i>(key)));
}
#elif defined(__AES__) && defined(__x86_64__)
[[gnu::always_inline]] inline Blocks aes_round(Blocks s, Blocks key) {
  return bit_cast<Blocks>(_mm_aesenc_si128(bit_cast<__m128i>(s), bit_cast<__m128i>(key)));
}
[[gnu::always_inline]] inline Blocks aes_last_round(Blocks s, Blocks key) {
  return bit_cast<Blocks>(_mm_aesenclast_si128(bit_cast<__m128i>(s), bit_cast<__m128i>(key)));
}
#elif defined(__ARM_FEATURE_AES) || defined(__ARM_FEATURE_CRYPTO)
// AESE xors its key first, so it takes zero and the round key follows.
[[gnu::always_inline]] inline Blocks aes_round(Blocks s, Blocks key) {
  const uint8x16_t zero = vdupq_n_u8(0);
  return bit_cast<Blocks>(vaesmcq_u8(vaeseq_u8(bit_cast<uint8x16_t>(s), zero))) ^ key;
}
[[gnu::always_inline]] inline Blocks aes_last_round(Blocks s, Blocks key) {
  return bit_cast<Blocks>(vaeseq_u8(bit_cast<uint8x16_t>(s), vdupq_n_u8(0))) ^ key;
}
#else
/// Multiplication by x in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 (FIPS 197, 4.2).
constexpr u32 times_x(u32 a) { return ((a << 1) ^ ((a >> 7) * 0x11bu)) & 0xffu; }

struct AesTables {
  u8 sbox[256];
  u32 column[256];  ///< MixColumns of (S(x), 0, 0, 0), rows from the low byte on

  constexpr AesTables() : sbox(), column() {
    // Walk the powers of the generator 3 and of its inverse together: q is the inverse of p.
    u32 p = 1, q = 1;
    do {
      p = p ^ times_x(p);
      q ^= q << 1, q ^= q << 2, q ^= q << 4, q &= 0xffu;
      if (q & 0x80u) q ^= 0x09u;
      set(p, q);
    } while (p != 1);
    set(0, 0);
  }

  constexpr void set(u32 x, u32 inverse) {
    u32 s = inverse;
    for (int turn = 1; turn <= 4; ++turn)
      s ^= ((inverse << turn) | (inverse >> (8 - turn))) & 0xffu;
    s ^= 0x63u;
    sbox[x] = u8(s);
    column[x] = times_x(s) | (s << 8) | (s << 16) | ((times_x(s) ^ s) << 24);
  }
};
constexpr AesTables kAes;

/// Bytes of the state: row r, column c is byte r + 4 c; ShiftRows takes row r from column c + r.
constexpr u32 shifted_byte(const u32 (&s)[4], int column, int row) {
  return (s[(column + row) & 3] >> (8 * row)) & 0xffu;
}

inline Blocks aes_round(Blocks state, Blocks key) {
  u32 s[4], out[4];
  __builtin_memcpy(s, &state, 16);
  for (int c = 0; c < 4; ++c) {
    out[c] = 0;
    for (int r = 0; r < 4; ++r) {
      const u32 t = kAes.column[shifted_byte(s, c, r)];
      out[c] ^= r == 0 ? t : (t << (8 * r)) | (t >> (32 - 8 * r));
    }
  }
  return load<Blocks>(out) ^ key;
}
inline Blocks aes_last_round(Blocks state, Blocks key) {
  u32 s[4], out[4];
  __builtin_memcpy(s, &state, 16);
  for (int c = 0; c < 4; ++c) {
    out[c] = 0;
    for (int r = 0; r < 4; ++r) out[c] |= u32(kAes.sbox[shifted_byte(s, c, r)]) << (8 * r);
  }
  return load<Blocks>(out) ^ key;
}
#endif

}  // namespace
}  // namespace fanin::FANIN_ISA
