// CountedDropout: the same counted numbers as world/rng.rs; a pair of units shares one draw of 64 bits.

typedef unsigned long long u64;

__device__ u64 mix(u64 z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

// `threshold` is ratio·2^32: a unit is dropped when its 32 bits lie below.
extern "C" __global__ void counted_dropout(const Real *x, const long long *keys, Real *y, u64 rows, u64 width, u64 layer,
                                           u64 threshold, float scale) {
    const u64 golden = 0x9e3779b97f4a7c15ull;
    u64 pairs = (width + 1) / 2;
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < rows * pairs; i += (u64)gridDim.x * blockDim.x) {
        u64 row = i / pairs, pair = i - row * pairs;
        u64 key = mix((u64)keys[row] + golden);
        key = mix((((key << 17) | (key >> 47)) + golden) ^ mix(layer + golden));
        u64 bits = mix(key ^ mix((pair + 1) * golden));
        u64 at = row * width + pair * 2;
        put(y, at, (bits & 0xffffffffull) < threshold ? 0.0f : get(x, at) * scale);
        if (pair * 2 + 1 < width) put(y, at + 1, (bits >> 32) < threshold ? 0.0f : get(x, at + 1) * scale);
    }
}
