/* batch.c - 64 images over threads: the caller's own, or OpenMP's.   MIT licence.
 *
 * batch [THREADS]. A region is an image here; one that lies elsewhere has an input of its own.
 * Every worker has its part of the one workspace. Set OPENBLAS_NUM_THREADS=1: BLAS should not start
 * threads of its own. threads.h is what an engine with a thread pool writes for itself: a
 * prunesid_threads.run. */
#include "threads.h"
#include "encoder.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { IMAGES = 64, SIDE = 24, T = SIDE * SIDE, DIM = 192, BUDGET = 64, TIMES = 5 };

static float tokens[IMAGES * T][DIM];

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* kept [IMAGES * BUDGET]; *median: seconds for the whole batch. */
static int prune(prunesid_threads threads, int32_t *kept, double *median) {
    const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, BUDGET);
    const prunesid_input all = prunesid_input_init(tokens, PRUNESID_F32, IMAGES * T, DIM);
    prunesid_region images[IMAGES];
    double times[TIMES];
    for (size_t b = 0; b < IMAGES; b++) images[b] = prunesid_region_init(&all, b * T, T, BUDGET);
    prunesid_batch batch = prunesid_batch_init(&config, PRUNESID_FIXED, images, IMAGES);
    batch.config.threads = threads;
    prunesid_plan plan;
    if (failed(prunesid_batch_plan(&batch, &plan), "batch_plan")) return 1;
    void *workspace = malloc(plan.workspace_bytes);
    prunesid_status status = PRUNESID_OK;
    for (int i = 0; i < TIMES && status == PRUNESID_OK; i++) {
        const double begin = seconds();
        status =
            prunesid_batch_select(&batch, workspace, plan.workspace_bytes, kept, IMAGES * BUDGET);
        times[i] = seconds() - begin;
    }
    free(workspace);
    if (failed(status, "batch_select")) return 1;
    qsort(times, TIMES, sizeof *times, by_size);
    *median = times[TIMES / 2];
    return 0;
}

int main(int argc, char **argv) {
    static int32_t alone[IMAGES * BUDGET], kept[IMAGES * BUDGET];
    const size_t n_workers = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 2;
    const prunesid_threads one = {1, NULL, NULL}, own = {n_workers, threads_run, NULL};
    double time_alone = 0.0, time = 0.0;
    for (size_t b = 0; b < IMAGES; b++)
        encode_image(tokens[b * T], SIDE, SIDE, DIM, DIM, (uint32_t)b, 3 + b % 9, 1.0f);

    if (prune(one, alone, &time_alone)) return 1;
    printf("%d images of %d tokens, 1 thread: %.1f ms\n", IMAGES, T, 1e3 * time_alone);
    if (prune(own, kept, &time)) return 1;
    printf("%zu pthreads: %.1f ms, %.2f times as fast\n", n_workers, 1e3 * time, time_alone / time);
    if (!holds(memcmp(kept, alone, sizeof kept) == 0, "the same over pthreads")) return 1;
#ifdef _OPENMP
    const prunesid_threads openmp = {n_workers, NULL, NULL}; /* no run function: OpenMP's threads */
    memset(kept, 0, sizeof kept);
    if (prune(openmp, kept, &time)) return 1;
    printf("%zu OpenMP threads: %.1f ms, %.2f times as fast\n", n_workers, 1e3 * time,
        time_alone / time);
    if (!holds(memcmp(kept, alone, sizeof kept) == 0, "the same over OpenMP's threads")) return 1;
#endif
    return 0;
}
