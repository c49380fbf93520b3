// The numbers of an operator's own values, which are stored in 32 or 16 bits (REAL is 32, 16 for f16 or 17 for bfloat16) and computed
// with in f32. The instructions of f16 are written out: the compiler's header for them is not everywhere.

#if REAL == 32
typedef float Real;
typedef float4 Four;
__device__ float wide(float x) { return x; }
__device__ float narrow(float x) { return x; }
#else
typedef unsigned short Real;
typedef ushort4 Four;
#if REAL == 16
__device__ float wide(unsigned short x) {
    float y;
    asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
    return y;
}
__device__ unsigned short narrow(float x) {
    unsigned short y;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
    return y;
}
#else
__device__ float wide(unsigned short x) { return __uint_as_float((unsigned int)x << 16); }
// To the nearest, ties to even; what is no number stays none.
__device__ unsigned short narrow(float x) {
    unsigned int bits = __float_as_uint(x);
    if (x != x) return 0x7fc0;
    return (unsigned short)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
#endif
#endif

__device__ float get(const Real *x, size_t i) { return wide(x[i]); }
__device__ void put(Real *x, size_t i, float value) { x[i] = narrow(value); }

// Elements 4i … 4i + 3; x is aligned to four of them.
__device__ float4 get4(const Real *x, size_t i) {
    Four v = ((const Four *)x)[i];
    return make_float4(wide(v.x), wide(v.y), wide(v.z), wide(v.w));
}
__device__ void put4(Real *x, size_t i, float4 value) {
    Four v;
    v.x = narrow(value.x);
    v.y = narrow(value.y);
    v.z = narrow(value.z);
    v.w = narrow(value.w);
    ((Four *)x)[i] = v;
}
