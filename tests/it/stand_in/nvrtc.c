/* A compiler that takes every source: whether kernels compile is tested with the real one. */
#include <stdlib.h>
#include <string.h>

int nvrtcCreateProgram(void **program, const char *source) { return (*program = strdup(source)) ? 0 : 1; }
int nvrtcDestroyProgram(void **program) { return free(*program), 0; }
int nvrtcCompileProgram(void *program, int number, const char *const *options) { return 0; }
int nvrtcGetCUBINSize(void *program, size_t *size) { return *size = 1, 0; }
int nvrtcGetCUBIN(void *program, char *code) { return *code = 0, 0; }
int nvrtcGetProgramLogSize(void *program, size_t *size) { return *size = 1, 0; }
int nvrtcGetProgramLog(void *program, char *log) { return *log = 0, 0; }
int nvrtcVersion(int *major, int *minor) { return *major = 13, *minor = 0, 0; }
