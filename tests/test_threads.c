/* test_threads.c - re-entrance, and BLAS's own threads.   MIT licence. */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include "support.h"

#include <dlfcn.h>
#include <pthread.h>

enum { N_IMAGES = 6, MAX_THREADS = 8, N_ROUNDS = 4 };

static const size_t shapes[N_IMAGES][3] = {
    {100, 24, 16}, {320, 300, 64}, {300, 280, 33}, {200, 150, 64}, {320, 300, 64}, {150, 400, 12}};

typedef struct image {
    float *x;
    prunesid_config config;
    prunesid_tokens tokens;
    run serial;
} image;

static image images[N_IMAGES];

typedef struct worker {
    pthread_t thread;
    size_t first; /* image to start with */
    int same;     /* all threads prune the same image at the same time */
    size_t n_different;
} worker;

static void *work(void *argument) {
    worker *const w = (worker *)argument;
    for (size_t i = 0; i < N_ROUNDS * N_IMAGES; i++) {
        const image *const at = &images[w->same ? i % N_IMAGES : (w->first + i) % N_IMAGES];
        run r = run_select(&at->config, &at->tokens, NULL, NULL);
        w->n_different += !run_equal(&at->serial, &r);
        run_free(&r);
    }
    return NULL;
}

static int set_up(void **unused) {
    (void)unused;
    for (size_t i = 0; i < N_IMAGES; i++) {
        image *const at = &images[i];
        at->x = tokens_new(i % 2 ? KIND_SINKS : KIND_REAL, shapes[i][0], shapes[i][1], 50 + i);
        at->config =
            prunesid_config_init(all_presets[i % 4], shapes[i][0], shapes[i][1], shapes[i][2]);
        at->config.svd = i == 2 ? PRUNESID_SVD_SKETCH : PRUNESID_SVD_KRYLOV;
        at->tokens = prunesid_tokens_view(at->x, PRUNESID_F32, shapes[i][0], shapes[i][1]);
        at->serial = run_select(&at->config, &at->tokens, NULL, NULL);
        if (at->serial.status != PRUNESID_OK) {
            return -1;
        }
    }
    return 0;
}

static int tear_down(void **unused) {
    (void)unused;
    for (size_t i = 0; i < N_IMAGES; i++) {
        run_free(&images[i].serial);
        free(images[i].x);
    }
    return 0;
}

static void concurrent_runs_give_the_serial_bits(void **unused) {
    (void)unused;
    for (int same = 0; same < 2; same++) {
        for (size_t n = 2; n <= MAX_THREADS; n *= 2) {
            worker workers[MAX_THREADS];
            for (size_t i = 0; i < n; i++) {
                workers[i].first = i;
                workers[i].same = same;
                workers[i].n_different = 0;
                assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
            }
            for (size_t i = 0; i < n; i++) {
                assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
            }
            for (size_t i = 0; i < n; i++) {
                CHECK(workers[i].n_different == 0, "thread %zu of %zu: %zu differ", i, n,
                    workers[i].n_different);
            }
        }
    }
}

/* ---- a batch ------------------------------------------------------------------------------ */

enum { N_BATCH = 64, BATCH_T = 48, BATCH_D = 20, BATCH_N = 9 };

typedef struct batch_pool {
    pthread_mutex_t mutex;
    void (*task)(void *data, size_t i, size_t worker);
    void *data;
    size_t next, n_tasks;
} batch_pool;

typedef struct batch_worker {
    pthread_t thread;
    batch_pool *pool;
    size_t number;
} batch_worker;

static void *batch_work(void *argument) {
    const batch_worker *const w = (const batch_worker *)argument;
    for (;;) {
        assert_int_equal(pthread_mutex_lock(&w->pool->mutex), 0);
        const size_t i = w->pool->next++;
        assert_int_equal(pthread_mutex_unlock(&w->pool->mutex), 0);
        if (i >= w->pool->n_tasks) return NULL;
        w->pool->task(w->pool->data, i, w->number);
    }
}

static void run_batch(void (*task)(void *data, size_t i, size_t worker), void *data, size_t n_tasks,
    size_t n_workers, void *user) {
    batch_pool pool = {PTHREAD_MUTEX_INITIALIZER, task, data, 0, n_tasks};
    batch_worker workers[MAX_THREADS];
    (void)user;
    assert_true(n_workers <= MAX_THREADS && n_tasks == N_BATCH);
    for (size_t w = 0; w < n_workers; w++) {
        workers[w].pool = &pool;
        workers[w].number = w;
        assert_int_equal(pthread_create(&workers[w].thread, NULL, batch_work, &workers[w]), 0);
    }
    for (size_t w = 0; w < n_workers; w++) {
        assert_int_equal(pthread_join(workers[w].thread, NULL), 0);
    }
}

/* 64 images in one call, by their phi: the bits of one worker, and of each image alone. */
static void a_batch_gives_the_bits_of_one_worker(void **unused) {
    static const size_t n_workers[] = {1, 2, 4};
    const size_t n_tokens = (size_t)N_BATCH * BATCH_T, n_bytes = n_tokens * sizeof(int32_t);
    float *const x = (float *)ref_new(n_tokens * BATCH_D, sizeof *x);
    const prunesid_config config =
        prunesid_config_init(PRUNESID_AUTO, n_tokens, BATCH_D, (size_t)N_BATCH * BATCH_N);
    const prunesid_tokens tokens = prunesid_tokens_view(x, PRUNESID_F32, n_tokens, BATCH_D);
    static prunesid_region regions[3][N_BATCH];
    guard indices[3], arrays[3][3]; /* group, loading, representative */
    (void)unused;
    for (size_t b = 0; b < N_BATCH; b++) {
        float *const one = tokens_new((kind)(b % 5), BATCH_T, BATCH_D, 900 + b);
        memcpy(x + b * BATCH_T * BATCH_D, one, (size_t)BATCH_T * BATCH_D * sizeof *one);
        free(one);
    }
    for (size_t c = 0; c < 3; c++) {
        const prunesid_threads threads = {n_workers[c], run_batch, NULL};
        indices[c] = guard_new((size_t)N_BATCH * BATCH_N * sizeof(int32_t), OUTPUT_FILL);
        for (size_t a = 0; a < 3; a++) arrays[c][a] = guard_new(n_bytes, OUTPUT_FILL);
        for (size_t b = 0; b < N_BATCH; b++) {
            prunesid_region *const region = &regions[c][b];
            *region = prunesid_region_init(b * BATCH_T, BATCH_T, 0);
            region->low = 3;
            region->high = 30;
            region->out.group = (int32_t *)(void *)arrays[c][0].data + b * BATCH_T;
            region->out.loading = (float *)(void *)arrays[c][1].data + b * BATCH_T;
            region->out.representative = (int32_t *)(void *)arrays[c][2].data + b * BATCH_T;
        }
        guard workspace = guard_new(prunesid_regions_workspace_size(&config, PRUNESID_BY_PHI,
                                        regions[c], N_BATCH, n_workers[c]),
            0xFF);
        CHECK_STATUS(
            prunesid_select_regions(&config, PRUNESID_BY_PHI, &tokens, regions[c], N_BATCH,
                &threads, workspace.data, workspace.n_bytes, (int32_t *)(void *)indices[c].data),
            PRUNESID_OK, "%zu workers", n_workers[c]);
        guard_free(&workspace);
    }
    for (size_t c = 1; c < 3; c++) {
        assert_memory_equal(indices[0].data, indices[c].data, indices[0].n_bytes);
        for (size_t a = 0; a < 3; a++) {
            assert_memory_equal(arrays[0][a].data, arrays[c][a].data, n_bytes);
        }
        for (size_t b = 0; b < N_BATCH; b++) {
            assert_int_equal(regions[0][b].budget, regions[c][b].budget);
            assert_true(
                regions[0][b].out.stats.svd_residual == regions[c][b].out.stats.svd_residual);
        }
    }
    for (size_t b = 0; b < N_BATCH; b++) {
        const prunesid_config alone =
            prunesid_config_init(PRUNESID_AUTO, BATCH_T, BATCH_D, regions[0][b].budget);
        const prunesid_tokens view =
            prunesid_tokens_view(x + b * BATCH_T * BATCH_D, PRUNESID_F32, BATCH_T, BATCH_D);
        run r = run_select(&alone, &view, NULL, NULL);
        assert_int_equal(r.out.n_kept, regions[0][b].out.n_kept);
        for (size_t i = 0; i < r.out.n_kept; i++) {
            CHECK(regions[0][b].out.indices[i] == r.out.indices[i] + (int32_t)(b * BATCH_T),
                "image %zu", b);
        }
        run_free(&r);
    }
    for (size_t c = 0; c < 3; c++) {
        guard_free(&indices[c]);
        for (size_t a = 0; a < 3; a++) guard_free(&arrays[c][a]);
    }
    free(x);
}

typedef void set_threads(int);

/* What is kept, in which order and group, does not depend on BLAS's threads. */
static void blas_threads_do_not_matter(void **unused) {
    static const size_t large[][3] = {{576, 1024, 64}, {1024, 384, 192}, {576, 192, 64}};
    void *const symbol = dlsym(RTLD_DEFAULT, "openblas_set_num_threads");
    set_threads *set = NULL;
    (void)unused;
    if (symbol == NULL) {
        print_message("this BLAS is not OpenBLAS\n");
        skip();
    }
    memcpy(&set, &symbol, sizeof set);
    for (size_t i = 0; i < 2 * N_ITEMS(large); i++) {
        const size_t *const shape = large[i / 2];
        float *const x = tokens_new(KIND_REAL, shape[0], shape[1], 70 + i);
        prunesid_config config = prunesid_config_init(PRUNESID_AUTO, shape[0], shape[1], shape[2]);
        config.svd = (prunesid_svd)(i % 2);
        const prunesid_tokens tokens = prunesid_tokens_view(x, PRUNESID_F32, shape[0], shape[1]);
        set(1);
        run one = run_select(&config, &tokens, NULL, NULL);
        set(2);
        run two = run_select(&config, &tokens, NULL, NULL);
        set(1);
        assert_true(run_consistent(&one, &config) && run_consistent(&two, &config));
        for (size_t m = 0; m < 3; m++) { /* indices, order, group */
            CHECK(memcmp(one.memory[m].data, two.memory[m].data, one.memory[m].n_bytes) == 0,
                "case %zu, output %zu", i, m);
        }
        run_free(&one);
        run_free(&two);
        free(x);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(concurrent_runs_give_the_serial_bits),
        cmocka_unit_test(a_batch_gives_the_bits_of_one_worker),
        cmocka_unit_test(blas_threads_do_not_matter),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
