// Sums over a block, in an order that depends on nothing but its size.

// Sum of the values of a block of whole warps, in thread 0; elsewhere 0.
__device__ double block_sum(double value) {
    __shared__ double parts[32];
    for (int step = 16; step > 0; step /= 2) value += __shfl_down_sync(0xffffffff, value, step);
    __syncthreads();
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    double sum = 0;
    if (threadIdx.x == 0)
        for (int i = 0; i < (int)blockDim.x / 32; i++) sum += parts[i];
    return sum;
}

