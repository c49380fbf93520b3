/* The runtime of CUDA 13 as ONNX Runtime's provider calls it, on the stand-in for a GPU. */
#define _GNU_SOURCE
#include "gpu.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static int made(void **handle) {
    *handle = calloc(1, 64);
    return *handle ? 0 : 2;
}

#define NOTHING(name) int name(void) { return 0; }
#define WORK(name) int name(void) { return gpu_work(KERNEL), 0; }
#define MAKE(name) int name(void **handle) { return made(handle); }
#define DROP(name) int name(void *handle) { return free(handle), 0; }

void **__cudaRegisterFatBinary(void *binary) { return calloc(1, 64); }
void __cudaRegisterFatBinaryEnd(void **handle) {}
void __cudaUnregisterFatBinary(void **handle) {}
void __cudaRegisterFunction(void) {}
void __cudaRegisterVar(void) {}
NOTHING(__cudaPushCallConfiguration)
int __cudaPopCallConfiguration(unsigned *grid, unsigned *block, size_t *shared, void **stream) {
    for (int i = 0; i < 3; i++) grid[i] = block[i] = 1;
    return *shared = 0, *stream = NULL, 0;
}
int __cudaGetKernel(void **kernel, const void *function) { return *kernel = (void *)function, 0; }
WORK(__cudaLaunchKernel)
WORK(cudaLaunchKernel)
WORK(cudaLaunchCooperativeKernel)
WORK(cudaLaunchKernelExC)
NOTHING(cudaFuncSetAttribute)
NOTHING(cudaKernelSetAttributeForDevice)
MAKE(cudaLibraryLoadData)
NOTHING(cudaLibraryUnload)
MAKE(cudaLibraryGetKernel)
int cudaFuncGetAttributes(char *found, const void *function) {
    memset(found, 0, 144);
    return *(int *)(found + 24) = 1024, 0; /* maxThreadsPerBlock */
}
int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks) { return *blocks = 2, 0; }
int cudaLaunchHostFunc(void *stream, void (*function)(void *), void *data) {
    gpu_work(HOST);
    if (!gpu_records()) function(data);
    return 0;
}

NOTHING(cudaSetDevice)
NOTHING(cudaDeviceSynchronize)
NOTHING(cudaGetLastError)
NOTHING(cudaPeekAtLastError)
int cudaGetDevice(int *device) { return *device = 0, 0; }
int cudaGetDeviceCount(int *number) { return *number = 1, 0; }
int cudaDriverGetVersion(int *version) { return *version = 13000, 0; }
int cudaRuntimeGetVersion(int *version) { return *version = 13000, 0; }
const char *cudaGetErrorName(int error) { return error == 2 ? "cudaErrorMemoryAllocation" : "cudaErrorUnknown"; }
const char *cudaGetErrorString(int error) { return error == 2 ? "out of memory" : "said by the stand-in"; }
/* cudaDeviceProp of CUDA 13 by the places of its fields. */
int cudaGetDeviceProperties(char *found, int device) {
    memset(found, 0, 1008);
    strcpy(found, "stand-in");
    size_t unused;
    gpu_memory(&unused, (size_t *)(found + 288));
    static const struct { int at, value; } fields[] = {
        {304, 65536}, {308, 32}, {320, 1024}, {324, 1024}, {328, 1024}, {332, 64}, {336, 2147483647}, {340, 65535}, {344, 65535},
        {360, 9}, {384, 132}, {588, 1}, {596, 62914560}, {604, 2048},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) *(int *)(found + fields[i].at) = fields[i].value;
    *(size_t *)(found + 296) = 49152;  /* sharedMemPerBlock */
    *(size_t *)(found + 352) = 65536;  /* totalConstMem */
    *(size_t *)(found + 624) = 233472; /* sharedMemPerMultiprocessor */
    *(size_t *)(found + 672) = 232448; /* sharedMemPerBlock where one opts in */
    return 0;
}
int cudaDeviceGetAttribute(int *value, int what, int device) {
    static const struct { int what, value; } known[] = {
        {1, 1024}, {8, 49152}, {10, 32}, {16, 132}, {39, 2048}, {75, 9}, {76, 0}, {97, 232448}, {115, 0},
    };
    *value = 1;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) *value = known[i].what == what ? known[i].value : *value;
    return 0;
}
int cudaGetDriverEntryPointByVersion(const char *name, void **function, unsigned version, unsigned long long flags, int *status) {
    *function = dlsym(RTLD_DEFAULT, name);
    if (status) *status = !*function;
    return 0;
}

MAKE(cudaEventCreate)
MAKE(cudaEventCreateWithFlags)
DROP(cudaEventDestroy)
int cudaEventElapsedTime(float *milliseconds) { return *milliseconds = 1, 0; }
NOTHING(cudaEventRecord)
NOTHING(cudaEventRecordWithFlags)
NOTHING(cudaEventSynchronize)
MAKE(cudaStreamCreate)
MAKE(cudaStreamCreateWithFlags)
DROP(cudaStreamDestroy)
NOTHING(cudaStreamWaitEvent)
/* cudaErrorStreamCaptureUnsupported */
int cudaStreamSynchronize(void *stream) { return gpu_records() ? 900 : 0; }
int cudaStreamIsCapturing(void *stream, int *records) { return *records = gpu_records(), 0; }
NOTHING(cudaStreamBeginCapture)
int cudaStreamEndCapture(void *stream, void **graph) { return made(graph); }
DROP(cudaGraphDestroy)
DROP(cudaGraphExecDestroy)
MAKE(cudaGraphInstantiate)
NOTHING(cudaGraphLaunch)

int cudaMalloc(void **at, size_t size) { return (*at = gpu_take(size)) ? 0 : 2; }
int cudaFree(void *at) { return gpu_give_back(at); }
int cudaFreeAsync(void *at, void *stream) { return gpu_work(MEMORY), gpu_give_back(at); }
int cudaMallocFromPoolAsync(void **at, size_t size, void *pool, void *stream) {
    gpu_work(MEMORY);
    return (*at = gpu_take(size)) ? 0 : 2;
}
int cudaMallocHost(void **at, size_t size) { return (*at = calloc(size, 1)) ? 0 : 2; }
int cudaHostAlloc(void **at, size_t size, unsigned flags) { return (*at = calloc(size, 1)) ? 0 : 2; }
DROP(cudaFreeHost)
int cudaMemGetInfo(size_t *unused, size_t *all) { return gpu_memory(unused, all), 0; }
MAKE(cudaMemPoolCreate)
DROP(cudaMemPoolDestroy)
int cudaMemPoolGetAttribute(void *pool, int what, unsigned long long *value) { return *value = 0, 0; }
NOTHING(cudaMemPoolSetAttribute)
NOTHING(cudaMemPoolTrimTo)
int cudaMemcpy(void *to, const void *from, size_t size, int kind) { return memmove(to, from, size), 0; }
int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *stream) {
    if (!gpu_records()) memmove(to, from, size);
    else if (!gpu_has(to) || !gpu_has(from)) gpu_work(COPY);
    return 0;
}
int cudaMemcpy2DAsync(char *to, size_t to_pitch, const char *from, size_t from_pitch, size_t width, size_t height, int kind, void *stream) {
    if (gpu_records() && (!gpu_has(to) || !gpu_has(from))) gpu_work(COPY);
    for (size_t row = 0; row < height && !gpu_records(); row++) memmove(to + row * to_pitch, from + row * from_pitch, width);
    return 0;
}
int cudaMemcpyFromSymbol(void *to, const void *symbol, size_t size, size_t at, int kind) { return memset(to, 0, size), 0; }
int cudaMemset(void *at, int byte, size_t size) { return memset(at, byte, size), 0; }
int cudaMemsetAsync(void *at, int byte, size_t size, void *stream) { return gpu_records() ? 0 : (memset(at, byte, size), 0); }
/* cudaPointerAttributes: type, device, devicePointer, hostPointer. */
int cudaPointerGetAttributes(char *found, const void *at) {
    memset(found, 0, 88);
    *(int *)found = gpu_has(at) ? 2 : 1;
    *(const void **)(found + 8) = at;
    return 0;
}
