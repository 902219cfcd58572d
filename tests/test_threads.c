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
        cmocka_unit_test(blas_threads_do_not_matter),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
