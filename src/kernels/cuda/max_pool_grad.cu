// MaxPoolGrad: each output's gradient goes to the input that was the largest of its window.
//
// An input asks the windows that hold it, in their order, so that the sum has a fixed one. Positions are ONNX Runtime's `Indices`, in
// the whole flattened input. Spatial sizes stand in three dimensions, missing ones lead with size 1.

extern "C" __global__ void max_pool_grad(const Real *dy, const long long *indices, Real *dx, long long count, int d, int h, int w,
                                         int od, int oh, int ow, int kd, int kh, int kw, int sd, int sh, int sw, int dd, int dh,
                                         int dw, int pd, int ph, int pw) {
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (long long)gridDim.x * blockDim.x) {
        long long plane = i / ((long long)d * h * w);
        int rest = (int)(i - plane * d * h * w);
        int z = rest / (h * w), y = rest / w % h, x = rest % w;
        // The first window whose last tap reaches a place, and the last whose first tap does.
        int z0 = max(0, (z + pd - (kd - 1) * dd + sd - 1) / sd), z1 = min(od - 1, (z + pd) / sd);
        int y0 = max(0, (y + ph - (kh - 1) * dh + sh - 1) / sh), y1 = min(oh - 1, (y + ph) / sh);
        int x0 = max(0, (x + pw - (kw - 1) * dw + sw - 1) / sw), x1 = min(ow - 1, (x + pw) / sw);
        float sum = 0;
        for (int a = z0; a <= z1; a++)
            for (int b = y0; b <= y1; b++)
                for (int c = x0; c <= x1; c++) {
                    long long at = ((plane * od + a) * oh + b) * ow + c;
                    if (indices[at] == i) sum += get(dy, at);
                }
        put(dx, i, sum);
    }
}
