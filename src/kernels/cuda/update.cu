// The optimizer step over all parameters, which lie one after the other in one stretch, each chunk of CHUNK elements in one parameter.
//
// `measure` reads (Σ g², R), `decide` adds the parts in their order and stops everything after a bad value, `update` writes. The rule of
// the optimizer stands in front of this text: `prepare` makes its constants for a parameter, `rule` moves one element.

#define CHUNK 4096
typedef long long i64;

struct Param {
    double lr, weight_decay, l1, l2, pull;
    i64 count, averaged;
};

// Factor on the loss in half precision: `scale` doubles after GROWTH good steps and is halved by one whose gradients are not finite, which
// is left out. Without it every such step is an error.
struct Scaler {
    double scale;
    i64 good;
};
#define GROWTH 2000

// *halt: 0 go on, 1 nothing is written any more, 2 this step is left out.

// What a step tells: the runtime reads it in runtime/device/optimizer.rs.
struct Slot {
    double norm, regularizer, clipped, scale;
    i64 bad;
    double terms[1];
};

__device__ float whole_gradient(const Param &p, float g, float w, float start) {
    float sign = w > 0.0f ? 1.0f : (w < 0.0f ? -1.0f : 0.0f);
    return g + ((float)p.l1 * sign + (float)p.l2 * w + (float)p.pull * (w - start));
}

extern "C" __global__ void measure(const Param *params, const int *owner, const i64 *at, const int *length, const float *weights,
                                   const float *starts, const float *grads, const Scaler *scaler, double *parts) {
    float unscale = scaler ? (float)(1.0 / scaler->scale) : 1.0f;
    const Param p = params[owner[blockIdx.x]];
    i64 from = at[blockIdx.x];
    double square = 0, penalty = 0;
    for (int i = threadIdx.x; i < length[blockIdx.x]; i += blockDim.x) {
        float w = weights[from + i], start = starts ? starts[from + i] : 0.0f;
        double g = whole_gradient(p, grads[from + i] * unscale, w, start), away = (double)w - start;
        square += g * g;
        penalty += p.l1 * fabs((double)w) + p.l2 / 2 * (double)w * w + p.pull / 2 * away * away;
    }
    square = block_sum(square);
    penalty = block_sum(penalty);
    if (threadIdx.x == 0) parts[2 * blockIdx.x] = square, parts[2 * blockIdx.x + 1] = penalty;
}

// One block of 1024 threads. `clip` is 0 where the norm is not clipped.
extern "C" __global__ void decide(const int *owner, const double *parts, int chunks, double clip, int terms, Slot *slot, i64 *halt,
                                  float *scale, Scaler *scaler) {
    double square = 0, penalty = 0;
    __shared__ int worst;
    if (threadIdx.x == 0) worst = 0x7fffffff;
    __syncthreads();
    for (int i = threadIdx.x; i < chunks; i += blockDim.x) {
        square += parts[2 * i];
        penalty += parts[2 * i + 1];
        if (!isfinite(parts[2 * i]) || !isfinite(parts[2 * i + 1])) atomicMin(&worst, owner[i]);
    }
    square = block_sum(square);
    penalty = block_sum(penalty);
    if (threadIdx.x != 0) return;
    double norm = sqrt(square), factor = 1;
    if (clip > 0 && norm > clip) factor = clip / (norm + 1e-6);
    slot->norm = norm;
    slot->regularizer = penalty;
    slot->clipped = factor < 1;
    slot->scale = 1;
    // 0: all is well; 1: a term of the loss; 2 + i: parameter i.
    i64 bad = worst == 0x7fffffff ? 0 : 2 + (i64)worst;
    for (int i = 0; i < terms; i++)
        if (!isfinite(slot->terms[i])) bad = 1;
    bool over = *halt == 1;
    slot->bad = over ? -1 : bad;
    if (!over) *halt = bad ? 1 : 0;
    if (scaler && !over) {
        slot->scale = scaler->scale;
        if (bad > 1 && scaler->scale > 1) {
            slot->bad = -2;
            *halt = 2;
            scaler->scale /= 2;
            scaler->good = 0;
        } else if (!bad && ++scaler->good == GROWTH) {
            scaler->scale *= 2;
            scaler->good = 0;
        }
    }
    *scale = (float)factor;
}

extern "C" __global__ void update(Param *params, const int *owner, const i64 *at, const int *length, float *weights, const float *starts,
                                  const float *grads, float *first, float *second, float *average, double decay, double factor,
                                  const i64 *halt, const float *scale, const Slot *slot) {
    if (*halt) return;
    __shared__ float constants[8];
    const Param p = params[owner[blockIdx.x]];
    if (threadIdx.x == 0) prepare(p.lr * factor, p.weight_decay, p.count, constants);
    __syncthreads();
    i64 from = at[blockIdx.x];
    float s = *scale, share = (float)(1.0 - decay), unscale = (float)(1.0 / slot->scale);
    bool plain = p.l1 == 0 && p.l2 == 0 && p.pull == 0;
    for (int i = threadIdx.x; i < length[blockIdx.x]; i += blockDim.x) {
        i64 k = from + i;
        float w = weights[k], g = grads[k] * unscale;
        if (!plain) g = whole_gradient(p, g, w, starts ? starts[k] : 0.0f);
        float a = first ? first[k] : 0.0f, b = second ? second[k] : 0.0f;
        rule(w, g * s, a, b, constants);
        weights[k] = w;
        if (first) first[k] = a;
        if (second) second[k] = b;
        if (average) {
            float old = average[k];
            average[k] = p.averaged == 0 ? w : (share < 0.5f ? old + share * (w - old) : w - (w - old) * (1.0f - share));
        }
    }
}

extern "C" __global__ void counted(Param *params, int count, const i64 *halt) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count && !*halt) params[i].count++, params[i].averaged++;
}

// Adds the terms of a batch to those of the step; each lies at a multiple of 64 elements.
extern "C" __global__ void collect(Slot *slot, const float *terms, int count, int first, const i64 *halt) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count && *halt != 1) slot->terms[i] = (first ? 0.0 : slot->terms[i]) + (double)terms[64 * i];
}

extern "C" __global__ void add(float *sum, const float *part, i64 count) {
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (i64)gridDim.x * blockDim.x) sum[i] += part[i];
}

// Running statistics take their next values.
extern "C" __global__ void advance(float *states, const float *next, i64 count, const i64 *halt) {
    if (*halt == 1) return;
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (i64)gridDim.x * blockDim.x) states[i] = next[i];
}

// And their average follows, after the optimizer.
extern "C" __global__ void follow(const float *states, float *average, i64 count, double decay, const i64 *averaged, const i64 *halt) {
    if (*halt) return;
    float share = (float)(1.0 - decay);
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (i64)gridDim.x * blockDim.x) {
        float w = states[i], old = average[i];
        average[i] = *averaged == 0 ? w : (share < 0.5f ? old + share * (w - old) : w - (w - old) * (1.0f - share));
    }
}

// The weights of the terms times the factor on the loss; each lies at a multiple of 64 elements.
extern "C" __global__ void scale_terms(float *weights, int count, const Scaler *scaler) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) weights[64 * i] *= (float)scaler->scale;
}
