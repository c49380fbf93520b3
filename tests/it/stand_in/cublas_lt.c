/* cuBLASLt as ONNX Runtime's provider calls it, on the stand-in for a GPU. It is told with each product where to work. */
#include "gpu.h"
#include <stdlib.h>
#include <string.h>

#define WORK(name) int name(void) { return gpu_work(KERNEL), 0; }
#define NOTHING(name) int name(void) { return 0; }
#define MAKE(name) int name(void **handle) { return (*handle = calloc(1, 64)) ? 0 : 3; }
#define DROP(name) int name(void *handle) { return free(handle), 0; }

MAKE(cublasLtCreate)
DROP(cublasLtDestroy)
MAKE(cublasLtMatmulDescCreate)
DROP(cublasLtMatmulDescDestroy)
NOTHING(cublasLtMatmulDescSetAttribute)
MAKE(cublasLtMatmulPreferenceCreate)
DROP(cublasLtMatmulPreferenceDestroy)
NOTHING(cublasLtMatmulPreferenceSetAttribute)
MAKE(cublasLtMatrixLayoutCreate)
DROP(cublasLtMatrixLayoutDestroy)
NOTHING(cublasLtMatrixLayoutSetAttribute)
MAKE(cublasLtMatrixTransformDescCreate)
DROP(cublasLtMatrixTransformDescDestroy)
NOTHING(cublasLtMatmulAlgoInit)
NOTHING(cublasLtMatmulAlgoConfigSetAttribute)
int cublasLtMatmulAlgoGetHeuristic(void *handle, void *product, void *a, void *b, void *c, void *d, void *preference, int room,
                                   char *found, int *number) {
    return memset(found, 0, 64), *number = 1, 0;
}
WORK(cublasLtMatmul)
WORK(cublasLtMatrixTransform)
