// SoftmaxGrad over rows [rows, width]; `log` is 1 for a LogSoftmax.

__device__ float part(float d, float y, int log) { return log ? d : d * y; }
__device__ float whole(float d, float y, float sum, int log) { return log ? d - expf(y) * sum : y * (d - sum); }

// A warp for each row.
extern "C" __global__ void softmax_grad_warps(const Real *dy, const Real *y, Real *dx, int rows, int width, int log) {
    int row = blockIdx.x * 8 + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    size_t at = (size_t)row * width;
    float sum = 0;
    for (int i = lane; i < width; i += 32) sum += part(get(dy, at + i), get(y, at + i), log);
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffff, sum, step);
    for (int i = lane; i < width; i += 32) put(dx, at + i, whole(get(dy, at + i), get(y, at + i), sum, log));
}

// A block for each row.
extern "C" __global__ void softmax_grad_blocks(const Real *dy, const Real *y, Real *dx, int rows, int width, int log) {
    __shared__ float shared;
    size_t at = (size_t)blockIdx.x * width;
    float mine = 0;
    for (int i = threadIdx.x; i < width; i += blockDim.x) mine += part(get(dy, at + i), get(y, at + i), log);
    double sum = block_sum(mine);
    if (threadIdx.x == 0) shared = (float)sum;
    __syncthreads();
    for (int i = threadIdx.x; i < width; i += blockDim.x) put(dx, at + i, whole(get(dy, at + i), get(y, at + i), shared, log));
}
