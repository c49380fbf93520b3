// GateGrad: dx = dy where low < x < high, bounds included where `closed`; NaN of x lets nothing through.

extern "C" __global__ void gate_grad(const Real *dy, const Real *x, Real *dx, long long count, float low, float high, int closed) {
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x) {
        float v = get(x, i);
        bool through = closed ? (v >= low && v <= high) : (v > low && v < high);
        put(dx, i, through ? get(dy, i) : 0.0f);
    }
}

extern "C" __global__ void gate_grad_fours(const Real *dy, const Real *x, Real *dx, long long count, float low, float high, int closed) {
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x) {
        float4 v = get4(x, i), d = get4(dy, i);
#define GATE(f) if (!(closed ? (v.f >= low && v.f <= high) : (v.f > low && v.f < high))) d.f = 0.0f;
        GATE(x) GATE(y) GATE(z) GATE(w)
        put4(dx, i, d);
    }
}
