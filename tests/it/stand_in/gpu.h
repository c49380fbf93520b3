/* What the stand-in for a GPU knows; `gpu.c` has it, the other libraries ask. */
#include <stddef.h>

/* Memory of the device: zeros of the host. None when the device is full. */
void *gpu_take(size_t size);
/* 0, or 1 where that was not taken. */
int gpu_give_back(void *at);
int gpu_has(const void *at);
void gpu_memory(size_t *unused, size_t *all);

/* What a recorded step may consist of, by its number in CUgraphNodeType. */
enum part { KERNEL = 0, COPY = 1, HOST = 3, MEMORY = 10 };
int gpu_records(void);
/* Something is given to the stream. */
void gpu_work(enum part part);
