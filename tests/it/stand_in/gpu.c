/* A driver of CUDA 13 without a device: it takes memory, copies, and says of everything else that it was done. Kernels compute nothing.
   STAND_IN_MEMORY is what the device has, in MiB; at the end a line of JSON goes into STAND_IN_REPORT. */
#define _GNU_SOURCE
#include "gpu.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef unsigned long long address;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct { char *at; size_t size; } pieces[1 << 14];
static size_t count, used, most, taken_while_recording;
static long kernels, recordings, replays;
static int records, has_part[16];

static size_t all(void) {
    const char *mib = getenv("STAND_IN_MEMORY");
    return (size_t)(mib ? atol(mib) : 80 << 10) << 20;
}

void *gpu_take(size_t size) {
    size = size ? size : 1;
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return NULL;
    pthread_mutex_lock(&lock);
    int fits = used + size <= all() && count < sizeof pieces / sizeof *pieces;
    if (fits) {
        pieces[count].at = at;
        pieces[count++].size = size;
        used += size;
        most = used > most ? used : most;
        taken_while_recording += records ? size : 0;
    }
    pthread_mutex_unlock(&lock);
    if (!fits) munmap(at, size);
    return fits ? at : NULL;
}

int gpu_give_back(void *at) {
    if (!at) return 0;
    size_t size = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < count && !size; i++) {
        if (pieces[i].at != at) continue;
        size = pieces[i].size;
        pieces[i] = pieces[--count];
        used -= size;
    }
    pthread_mutex_unlock(&lock);
    return size ? munmap(at, size) : 1;
}

int gpu_has(const void *at) {
    int found = 0;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < count && !found; i++) {
        found = (char *)at >= pieces[i].at && (char *)at < pieces[i].at + pieces[i].size;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

void gpu_memory(size_t *unused, size_t *total) {
    *total = all();
    *unused = *total - used;
}

int gpu_records(void) { return records; }

void gpu_work(enum part part) {
    if (records) has_part[part] = 1;
    __sync_fetch_and_add(&kernels, part == KERNEL && !records);
}

__attribute__((destructor)) static void report(void) {
    const char *path = getenv("STAND_IN_REPORT");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (!file) return;
    fprintf(file, "{\"most\": %zu, \"left\": %zu, \"kernels\": %ld, \"recordings\": %ld, \"replays\": %ld, \"taken_while_recording\": %zu}\n",
            most, used, kernels, recordings, replays, taken_while_recording);
    fclose(file);
}

static int made(void **handle) {
    *handle = calloc(1, 64);
    return *handle ? 0 : 2;
}

int cuInit(unsigned flags) { return 0; }
int cuDriverGetVersion(int *version) { return *version = 13000, 0; }
int cuDeviceGetCount(int *number) { return *number = 1, 0; }
int cuDeviceGet(int *device, int number) { return *device = number, 0; }
int cuDeviceGetName(char *name, int size, int device) { return snprintf(name, size, "stand-in"), 0; }
/* 75 and 76 are the compute capability, 16 the number of processors. */
int cuDeviceGetAttribute(int *value, int what, int device) { return *value = what == 75 ? 9 : what == 76 ? 0 : what == 16 ? 132 : 1, 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) { return made(context); }
int cuCtxSetCurrent(void *context) { return 0; }
/* NVRTC asks for tables that only the real driver has. */
int cuGetExportTable(const void **table, const void *id) { return *table = NULL, 500; }
int cuGetErrorName(int error, const char **text) { return *text = error == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_UNKNOWN", 0; }
int cuGetErrorString(int error, const char **text) { return *text = error == 2 ? "out of memory" : "said by the stand-in", 0; }

int cuStreamCreate(void **stream, unsigned flags) { return made(stream); }
int cuStreamSynchronize(void *stream) { return records ? 900 : 0; }
int cuStreamWaitEvent(void *stream, void *event, unsigned flags) { return 0; }
int cuEventCreate(void **event, unsigned flags) { return made(event); }
int cuEventRecord(void *event, void *stream) { return 0; }
int cuEventSynchronize(void *event) { return 0; }
int cuEventDestroy_v2(void *event) { return free(event), 0; }

int cuMemAlloc_v2(address *at, size_t size) { return (*at = (address)gpu_take(size)) ? 0 : 2; }
int cuMemFree_v2(address at) { return gpu_give_back((void *)at); }
int cuMemGetInfo_v2(size_t *unused, size_t *total) { return gpu_memory(unused, total), 0; }
int cuMemHostAlloc(void **at, size_t size, unsigned flags) { return (*at = calloc(size, 1)) ? 0 : 2; }
int cuMemFreeHost(void *at) { return free(at), 0; }
int cuMemcpyHtoDAsync_v2(address to, const void *from, size_t size, void *stream) {
    gpu_work(COPY);
    return memcpy((void *)to, from, size), 0;
}
int cuMemcpyDtoH_v2(void *to, address from, size_t size) { return memcpy(to, (void *)from, size), 0; }
int cuMemcpyDtoDAsync_v2(address to, address from, size_t size, void *stream) {
    if (!records) memmove((void *)to, (void *)from, size);
    return 0;
}
int cuMemsetD8_v2(address at, unsigned char byte, size_t size) { return memset((void *)at, byte, size), 0; }
int cuPointerGetAttribute(void *value, int what, address at) { return *(unsigned *)value = gpu_has((void *)at) ? 2 : 1, 0; }

int cuModuleLoadData(void **module, const void *code) { return made(module); }
int cuModuleGetFunction(void **function, void *module, const char *name) { return made(function); }
int cuLaunchKernel(void *function) { return gpu_work(KERNEL), 0; }

int cuStreamBeginCapture_v2(void *stream, int mode) {
    memset(has_part, 0, sizeof has_part);
    return records = 1, 0;
}
int cuStreamEndCapture(void *stream, void **graph) {
    records = 0;
    return made(graph);
}
/* A recorded graph has one part of each kind that it consists of. */
int cuGraphGetNodes(void *graph, void **nodes, size_t *number) {
    size_t found = 0;
    for (size_t kind = 0; kind < sizeof has_part / sizeof *has_part; kind++) {
        if (!has_part[kind]) continue;
        if (nodes) nodes[found] = (void *)(kind + 1);
        found++;
    }
    return *number = found, 0;
}
int cuGraphNodeGetType(void *node, int *kind) { return *kind = (int)(size_t)node - 1, 0; }
/* Both ends are memory of the host, by the places of srcMemoryType and dstMemoryType. */
int cuGraphMemcpyNodeGetParams(void *node, char *copy) { return *(int *)(copy + 32) = *(int *)(copy + 120) = 1, 0; }
int cuGraphInstantiateWithFlags(void **made_of, void *graph, unsigned long long flags) { return recordings++, made(made_of); }
int cuGraphLaunch(void *graph, void *stream) { return replays++, 0; }
int cuGraphDestroy(void *graph) { return free(graph), 0; }
int cuGraphExecDestroy(void *graph) { return free(graph), 0; }

/* Asked for by name only. */
int cuTensorMapEncodeTiled(void) { return 801; }
