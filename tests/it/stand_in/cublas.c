/* cuBLAS as ONNX Runtime's provider calls it, on the stand-in for a GPU. A handle begins with the memory that it was given to work in. */
#include "gpu.h"
#include <stdlib.h>

/* A handle that was given no memory takes some, which becomes part of what is recorded. */
#define PRODUCT(name) int name(void **handle) { return gpu_work(*handle ? KERNEL : MEMORY), 0; }
#define NOTHING(name) int name(void) { return 0; }

int cublasCreate_v2(void **handle) { return (*handle = calloc(1, 64)) ? 0 : 3; }
int cublasDestroy_v2(void *handle) { return free(handle), 0; }
/* Another stream, and the handle forgets its memory. */
int cublasSetStream_v2(void **handle, void *stream) { return *handle = NULL, 0; }
/* CUBLAS_STATUS_INVALID_VALUE for memory that is not the device's or does not begin at a multiple of 256. */
int cublasSetWorkspace_v2(void **handle, char *memory, size_t size) {
    if (!gpu_has(memory) || !gpu_has(memory + size - 1) || (size_t)memory % 256) return 7;
    return *handle = memory, 0;
}
int cublasGetMathMode(void *handle, int *mode) { return *mode = 0, 0; }
NOTHING(cublasSetMathMode)
const char *cublasGetStatusName(int status) { return "a status of the stand-in"; }
const char *cublasGetStatusString(int status) { return "a status of the stand-in"; }
NOTHING(cublasScopy_v2)
NOTHING(cublasSscal_v2)
NOTHING(cublasSgeam)
NOTHING(cublasDgeam)
PRODUCT(cublasSgemm_v2)
PRODUCT(cublasDgemm_v2)
PRODUCT(cublasGemmEx)
PRODUCT(cublasSgemmBatched)
PRODUCT(cublasDgemmBatched)
PRODUCT(cublasGemmBatchedEx)
PRODUCT(cublasSgemmStridedBatched)
PRODUCT(cublasDgemmStridedBatched)
PRODUCT(cublasGemmStridedBatchedEx)
PRODUCT(cublasSgetrfBatched)
PRODUCT(cublasDgetrfBatched)
PRODUCT(cublasSgetriBatched)
PRODUCT(cublasDgetriBatched)
