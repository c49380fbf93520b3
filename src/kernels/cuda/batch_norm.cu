// BatchNormStatistics, BatchNormApply, BatchNormSums and BatchNormDataGrad over [N, C, plane].
//
// Sums of a channel are taken in f64 by `splits` blocks, each over a fixed part of its elements, and added in the order of the parts, so
// that the bits depend on nothing but the shape. `fours` is 1 where planes are multiples of four elements.

typedef unsigned int u32;

// Elements of a channel go to the blocks of its row of the grid in turns of a block's width.
struct Walk {
    u32 count, plane, channel, channels, at, step;
    __device__ Walk(u32 images, u32 channels, u32 plane)
        : count(images * plane), plane(plane), channel(blockIdx.y), channels(channels),
          at(blockIdx.x * blockDim.x + threadIdx.x), step(gridDim.x * blockDim.x) {}
    // Position in the tensor of element i of the channel.
    __device__ size_t place(u32 i) const {
        u32 image = i / plane;
        return ((size_t)image * channels + channel) * plane + (i - image * plane);
    }
};

// Σ x and Σ x² of a channel, in f64: there is no cancellation to fear in 53 bits.
extern "C" __global__ void statistics_part(const Real *x, double *parts, u32 images, u32 channels, u32 plane, u32 fours) {
    double sum = 0, square = 0;
    if (fours) {
        Walk walk(images, channels, plane / 4);
        for (u32 i = walk.at; i < walk.count; i += walk.step) {
            float4 v = get4(x, walk.place(i));
            sum += ((double)v.x + v.y) + ((double)v.z + v.w);
            square += ((double)v.x * v.x + (double)v.y * v.y) + ((double)v.z * v.z + (double)v.w * v.w);
        }
    } else {
        Walk walk(images, channels, plane);
        for (u32 i = walk.at; i < walk.count; i += walk.step) {
            double v = get(x, walk.place(i));
            sum += v;
            square += v * v;
        }
    }
    sum = block_sum(sum);
    square = block_sum(square);
    if (threadIdx.x == 0) {
        double *out = parts + ((size_t)blockIdx.y * gridDim.x + blockIdx.x) * 2;
        out[0] = sum;
        out[1] = square;
    }
}

extern "C" __global__ void statistics_whole(const double *parts, float *y, u32 channels, u32 splits, double count) {
    u32 c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    double sum = 0, square = 0;
    for (u32 i = 0; i < splits; i++) {
        sum += parts[((size_t)c * splits + i) * 2];
        square += parts[((size_t)c * splits + i) * 2 + 1];
    }
    double mean = sum / count, variance = square / count - mean * mean;
    y[c] = (float)mean;
    y[channels + c] = variance > 0 ? (float)variance : (variance <= 0 ? 0.0f : (float)variance);
}

extern "C" __global__ void apply(const Real *x, const float *scale, const float *bias, const float *statistics, Real *y, u32 count,
                                 u32 channels, u32 plane, float epsilon, u32 fours) {
    u32 width = fours ? plane / 4 : plane;
    for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        u32 c = (i / width) % channels;
        float mean = statistics[c], gain = scale[c] / sqrtf(statistics[channels + c] + epsilon), shift = bias[c];
        if (fours) {
            float4 v = get4(x, i);
            v.x = gain * (v.x - mean) + shift;
            v.y = gain * (v.y - mean) + shift;
            v.z = gain * (v.z - mean) + shift;
            v.w = gain * (v.w - mean) + shift;
            put4(y, i, v);
        } else {
            put(y, i, gain * (get(x, i) - mean) + shift);
        }
    }
}

// Σ dy·(x − μ) and Σ dy of a channel.
extern "C" __global__ void sums_part(const Real *dy, const Real *x, const float *mean, double *parts, u32 images, u32 channels,
                                     u32 plane, u32 fours) {
    double product = 0, total = 0;
    float m = mean[blockIdx.y];
    if (fours) {
        Walk walk(images, channels, plane / 4);
        for (u32 i = walk.at; i < walk.count; i += walk.step) {
            size_t at = walk.place(i);
            float4 d = get4(dy, at), v = get4(x, at);
            total += ((double)d.x + d.y) + ((double)d.z + d.w);
            product += ((double)d.x * (v.x - m) + (double)d.y * (v.y - m)) + ((double)d.z * (v.z - m) + (double)d.w * (v.w - m));
        }
    } else {
        Walk walk(images, channels, plane);
        for (u32 i = walk.at; i < walk.count; i += walk.step) {
            size_t at = walk.place(i);
            float d = get(dy, at);
            total += d;
            product += (double)d * (get(x, at) - m);
        }
    }
    product = block_sum(product);
    total = block_sum(total);
    if (threadIdx.x == 0) {
        double *out = parts + ((size_t)blockIdx.y * gridDim.x + blockIdx.x) * 2;
        out[0] = product;
        out[1] = total;
    }
}

extern "C" __global__ void sums_whole(const double *parts, const float *variance, float *y, u32 channels, u32 splits, float epsilon) {
    u32 c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    double product = 0, total = 0;
    for (u32 i = 0; i < splits; i++) {
        product += parts[((size_t)c * splits + i) * 2];
        total += parts[((size_t)c * splits + i) * 2 + 1];
    }
    y[c] = (float)(product / sqrt((double)(variance[c] + epsilon)));
    y[channels + c] = (float)total;
}

extern "C" __global__ void data_grad(const Real *dy, const Real *x, const float *scale, const float *mean, const float *variance,
                                     const float *sums, Real *dx, u32 count, u32 channels, u32 plane, float part, float epsilon,
                                     u32 fours) {
    u32 width = fours ? plane / 4 : plane;
    for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        u32 c = (i / width) % channels;
        float inverse = 1.0f / sqrtf(variance[c] + epsilon), gain = scale[c] * inverse, m = mean[c];
        float slope = -gain * inverse * sums[c] * part, shift = -gain * sums[channels + c] * part;
        if (fours) {
            float4 d = get4(dy, i), v = get4(x, i);
            d.x = gain * d.x + slope * (v.x - m) + shift;
            d.y = gain * d.y + slope * (v.y - m) + shift;
            d.z = gain * d.z + slope * (v.z - m) + shift;
            d.w = gain * d.w + slope * (v.w - m) + shift;
            put4(dx, i, d);
        } else {
            put(dx, i, gain * get(dy, i) + slope * (get(x, i) - m) + shift);
        }
    }
}
