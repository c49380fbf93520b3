// GateGrad: dx = dy where low < x < high, bounds included where `closed`; NaN of x lets nothing through.

extern "C" __global__ void gate_grad(const float *dy, const float *x, float *dx, long long count, float low, float high, int closed) {
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x) {
        float v = x[i];
        bool through = closed ? (v >= low && v <= high) : (v > low && v < high);
        dx[i] = through ? dy[i] : 0.0f;
    }
}

extern "C" __global__ void gate_grad_fours(const float4 *dy, const float4 *x, float4 *dx, long long count, float low, float high,
                                           int closed) {
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x) {
        float4 v = x[i], d = dy[i];
#define GATE(f) if (!(closed ? (v.f >= low && v.f <= high) : (v.f > low && v.f < high))) d.f = 0.0f;
        GATE(x) GATE(y) GATE(z) GATE(w)
        dx[i] = d;
    }
}
