/* cuDNN 9 as ONNX Runtime's provider and pipe call it, on the stand-in for a GPU. No algorithm wants memory to work in. */
#include "gpu.h"
#include <stdlib.h>
#include <string.h>

static int made(void **handle) {
    *handle = calloc(1, 64);
    return *handle ? 0 : 3;
}

#define WORK(name) int name(void) { return gpu_work(KERNEL), 0; }
#define NOTHING(name) int name(void) { return 0; }
#define MAKE(name) int name(void **handle) { return made(handle); }
#define DROP(name) int name(void *handle) { return free(handle), 0; }

size_t cudnnGetVersion(void) { return 91300; }
const char *cudnnGetErrorString(int status) { return "a status of the stand-in"; }
void cudnnGetLastErrorString(char *text, size_t size) { if (size) *text = 0; }
MAKE(cudnnCreate)
MAKE(cudnnCreateActivationDescriptor)
MAKE(cudnnCreateConvolutionDescriptor)
MAKE(cudnnCreateDropoutDescriptor)
MAKE(cudnnCreateFilterDescriptor)
MAKE(cudnnCreateLRNDescriptor)
MAKE(cudnnCreatePoolingDescriptor)
MAKE(cudnnCreateRNNDataDescriptor)
MAKE(cudnnCreateRNNDescriptor)
MAKE(cudnnCreateReduceTensorDescriptor)
MAKE(cudnnCreateTensorDescriptor)
DROP(cudnnDestroy)
DROP(cudnnDestroyActivationDescriptor)
DROP(cudnnDestroyConvolutionDescriptor)
DROP(cudnnDestroyDropoutDescriptor)
DROP(cudnnDestroyFilterDescriptor)
DROP(cudnnDestroyLRNDescriptor)
DROP(cudnnDestroyPoolingDescriptor)
DROP(cudnnDestroyRNNDataDescriptor)
DROP(cudnnDestroyRNNDescriptor)
DROP(cudnnDestroyReduceTensorDescriptor)
DROP(cudnnDestroyTensorDescriptor)
NOTHING(cudnnBackendFinalize)
NOTHING(cudnnBackendSetAttribute)
NOTHING(cudnnDeriveBNTensorDescriptor)
NOTHING(cudnnSetActivationDescriptor)
NOTHING(cudnnSetConvolutionGroupCount)
NOTHING(cudnnSetConvolutionMathType)
NOTHING(cudnnSetConvolutionNdDescriptor)
NOTHING(cudnnSetDropoutDescriptor)
NOTHING(cudnnSetFilterNdDescriptor)
NOTHING(cudnnSetLRNDescriptor)
NOTHING(cudnnSetPoolingNdDescriptor)
NOTHING(cudnnSetRNNDataDescriptor)
NOTHING(cudnnSetRNNDescriptor_v8)
NOTHING(cudnnSetReduceTensorDescriptor)
NOTHING(cudnnSetStream)
NOTHING(cudnnSetTensorNdDescriptor)
NOTHING(cudnnGetStream)

/* Algorithm 1 is deterministic for convolutions and both of their gradients. */
struct found { int algorithm, status; float milliseconds; size_t memory; int deterministic, math, reserved[3]; };
static int one(int room, int *number, struct found *found) {
    *number = room > 0;
    if (room > 0) *found = (struct found){.algorithm = 1, .milliseconds = 1, .deterministic = 1};
    return 0;
}
#define LIKELY(name) \
    int name(void *handle, void *a, void *b, void *of, void *c, int room, int *number, struct found *found) { return one(room, number, found); }
#define FIND(name) \
    int name(void *handle, void *a, const void *a_at, void *b, const void *b_at, void *of, void *c, void *c_at, int room, int *number, \
             struct found *found, void *memory, size_t size) { return gpu_work(KERNEL), one(room, number, found); }
LIKELY(cudnnGetConvolutionBackwardDataAlgorithm_v7)
LIKELY(cudnnGetConvolutionBackwardFilterAlgorithm_v7)
LIKELY(cudnnGetConvolutionForwardAlgorithm_v7)
FIND(cudnnFindConvolutionBackwardDataAlgorithmEx)
FIND(cudnnFindConvolutionBackwardFilterAlgorithmEx)
FIND(cudnnFindConvolutionForwardAlgorithmEx)
int cudnnGetConvolutionForwardWorkspaceSize(void *handle, void *x, void *w, void *of, void *y, int algorithm, size_t *size) {
    return *size = 0, 0;
}
#define NO_MEMORY(name) int name(void *handle, void *of, void *x, void *y, size_t *size) { return *size = 0, 0; }
NO_MEMORY(cudnnGetReductionIndicesSize)
NO_MEMORY(cudnnGetReductionWorkspaceSize)

/* The graphs of the backend: one engine for everything. Of attributes that are handles, 64-bit numbers and pointers an element has eight
   bytes, of others four; descriptors (15) were made by who asks, and there are no notes (11, 17). */
int cudnnBackendCreateDescriptor(int kind, void **handle) { return made(handle); }
DROP(cudnnBackendDestroyDescriptor)
int cudnnBackendGetAttribute(void *of, int name, int kind, long room, long *number, void *found) {
    long count = kind == 11 || kind == 17 ? 0 : room ? room : 1;
    if (number) *number = count;
    if (found && kind != 15) memset(found, 0, room * (kind == 0 || kind == 3 || kind == 5 || kind == 6 ? 8 : 4));
    return 0;
}

int cudnnDropoutGetStatesSize(void *handle, size_t *size) { return *size = 256, 0; }
int cudnnGetRNNTempSpaceSizes(void *handle, void *of, int mode, void *x, size_t *work, size_t *reserve) {
    return *work = 256, reserve ? *reserve = 0 : 0, 0;
}
/* Every matrix and bias lies at the start of the weights and has one element. */
int cudnnGetRNNWeightParams(void *handle, void *of, int layer, size_t size, char *weights, int which, void *matrix, char **matrix_at,
                            void *bias, char **bias_at) {
    return *matrix_at = *bias_at = weights, 0;
}
int cudnnGetTensorNdDescriptor(void *tensor, int room, int *kind, int *rank, int *dims, int *strides) {
    *kind = 0;
    *rank = room < 3 ? room : 3;
    for (int i = 0; i < *rank; i++) dims[i] = strides[i] = 1;
    return 0;
}

WORK(cudnnActivationForward)
WORK(cudnnAddTensor)
WORK(cudnnBackendExecute)
WORK(cudnnBatchNormalizationForwardInference)
WORK(cudnnBatchNormalizationForwardTraining)
WORK(cudnnConvolutionBackwardData)
WORK(cudnnConvolutionBackwardFilter)
WORK(cudnnConvolutionBiasActivationForward)
WORK(cudnnConvolutionForward)
WORK(cudnnLRNCrossChannelForward)
WORK(cudnnPoolingForward)
WORK(cudnnRNNForward)
WORK(cudnnReduceTensor)
WORK(cudnnSoftmaxForward)
