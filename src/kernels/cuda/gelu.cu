// Gelu and GeluGrad; `fours` is 1 where elements are taken four at a time, `count` counts what is taken.

#define ROOT 0.7978845608f
#define CUBIC 0.044715f

__device__ float bent(float x, int curved) {
    return curved ? 0.5f * x * (1.0f + tanhf(ROOT * x * (1.0f + CUBIC * x * x))) : x * normcdff(x);
}

__device__ float slope(float x, int curved) {
    if (!curved) return normcdff(x) + x * 0.3989422804f * expf(-0.5f * x * x);
    float square = CUBIC * x * x, t = tanhf(ROOT * x * (1.0f + square));
    return 0.5f * (1.0f + t + x * (1.0f - t * t) * ROOT * (1.0f + 3.0f * square));
}

extern "C" __global__ void gelu(const Real *x, Real *y, long long count, int fours, int curved) {
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x) {
        if (fours) {
            float4 v = get4(x, i);
            put4(y, i, make_float4(bent(v.x, curved), bent(v.y, curved), bent(v.z, curved), bent(v.w, curved)));
        } else {
            put(y, i, bent(get(x, i), curved));
        }
    }
}

extern "C" __global__ void gelu_grad(const Real *dy, const Real *x, Real *dx, long long count, int fours, int curved) {
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x) {
        if (fours) {
            float4 d = get4(dy, i), v = get4(x, i);
            d.x *= slope(v.x, curved);
            d.y *= slope(v.y, curved);
            d.z *= slope(v.z, curved);
            d.w *= slope(v.w, curved);
            put4(dx, i, d);
        } else {
            put(dx, i, get(dy, i) * slope(get(x, i), curved));
        }
    }
}
