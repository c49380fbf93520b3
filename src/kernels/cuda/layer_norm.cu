// LayerNormDataGrad and LayerNormSums over rows [rows, width].

extern "C" __global__ void layer_norm_data_grad(const Real *dy, const Real *x, const float *scale, const float *mean,
                                                const float *inverse, Real *dx, int width) {
    __shared__ float means[2];
    size_t at = (size_t)blockIdx.x * width;
    float m = mean[blockIdx.x], r = inverse[blockIdx.x];
    float total = 0, product = 0;
    for (int i = threadIdx.x; i < width; i += blockDim.x) {
        float g = get(dy, at + i) * scale[i];
        total += g;
        product += g * ((get(x, at + i) - m) * r);
    }
    double totals = block_sum(total), products = block_sum(product);
    if (threadIdx.x == 0) {
        means[0] = (float)(totals / width);
        means[1] = (float)(products / width);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < width; i += blockDim.x) {
        float normal = (get(x, at + i) - m) * r;
        put(dx, at + i, r * (get(dy, at + i) * scale[i] - means[0] - normal * means[1]));
    }
}

// A block sums 32 columns, eight rows at a time; parts is [splits, 2, width].
extern "C" __global__ void layer_norm_sums_part(const Real *dy, const Real *x, const float *mean, const float *inverse, double *parts,
                                                int rows, int width) {
    __shared__ double sums[2][8][32];
    int lane = threadIdx.x % 32, line = threadIdx.x / 32, column = blockIdx.x * 32 + lane;
    double product = 0, total = 0;
    if (column < width)
        for (int row = blockIdx.y * 8 + line; row < rows; row += gridDim.y * 8) {
            size_t at = (size_t)row * width + column;
            float d = get(dy, at);
            product += (double)(d * ((get(x, at) - mean[row]) * inverse[row]));
            total += d;
        }
    sums[0][line][lane] = product;
    sums[1][line][lane] = total;
    __syncthreads();
    if (line < 2 && column < width) {
        double sum = 0;
        for (int i = 0; i < 8; i++) sum += sums[line][i][lane];
        parts[((size_t)blockIdx.y * 2 + line) * width + column] = sum;
    }
}

extern "C" __global__ void layer_norm_sums_whole(const double *parts, float *y, int width, int splits) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= 2 * width) return;
    double sum = 0;
    for (int split = 0; split < splits; split++) sum += parts[(size_t)split * 2 * width + i];
    y[i] = (float)sum;
}
