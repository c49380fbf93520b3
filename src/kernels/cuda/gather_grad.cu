// GatherGrad: rows of dy are added at their indices, dx[o, index, i] = Σ dy[o, t, i] over the t that read it, in the order of t.
//
// dx is [outer, size, inner], dy [outer, count, inner]. `heads` links every t to the next one with the same index: `first[t]` says
// whether t is the first, so that one block adds each row, without atomics.

typedef long long i64;

extern "C" __global__ void gather_grad_zero(float *dx, i64 count) {
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (i64)gridDim.x * blockDim.x) dx[i] = 0.0f;
}

// next[t]: the next position with the same index, `count` where there is none; first[t]: whether none is before.
extern "C" __global__ void gather_grad_links(const i64 *indices, int *next, int *first, int count, i64 size) {
    int t = blockIdx.x;
    i64 wanted = indices[t] < 0 ? indices[t] + size : indices[t];
    __shared__ int following, before;
    if (threadIdx.x == 0) following = count, before = 0;
    __syncthreads();
    for (int u = threadIdx.x; u < count; u += blockDim.x) {
        i64 other = indices[u] < 0 ? indices[u] + size : indices[u];
        if (other != wanted) continue;
        if (u < t) before = 1;
        if (u > t) atomicMin(&following, u);
    }
    __syncthreads();
    if (threadIdx.x == 0) next[t] = following, first[t] = !before;
}

extern "C" __global__ void gather_grad_sum(const float *dy, const i64 *indices, const int *next, const int *first, float *dx, int count,
                                           i64 size, i64 inner) {
    int t = blockIdx.x;
    if (!first[t]) return;
    i64 row = indices[t] < 0 ? indices[t] + size : indices[t];
    if (row < 0 || row >= size) return;
    i64 outer = blockIdx.z;
    for (i64 i = (i64)blockIdx.y * blockDim.x + threadIdx.x; i < inner; i += (i64)gridDim.y * blockDim.x) {
        float sum = 0;
        for (int u = t; u < count; u = next[u]) sum += dy[(outer * count + u) * inner + i];
        dx[(outer * size + row) * inner + i] = sum;
    }
}
