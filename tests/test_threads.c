/* test_threads.c - one image over several workers, re-entrance, BLAS's threads.   MIT licence.
 *
 * PRUNESID_TEST_RUNS: how many random selections are shared, or made at once. */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include "support.h"

#include "threads.h"

#include <dlfcn.h>
#include <pthread.h>

enum { N_IMAGES = 6, MAX_THREADS = 8, N_ROUNDS = 4 };

static const size_t shapes[N_IMAGES][3] = {
    {100, 24, 16}, {320, 300, 64}, {300, 280, 33}, {200, 150, 64}, {320, 300, 64}, {150, 400, 12}};

typedef struct image {
    float *x;
    prunesid_config config;
    prunesid_input input;
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
        run r = run_select(&at->config, &at->input);
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
        at->config = prunesid_config_init(all_presets[i % N_ITEMS(all_presets)], shapes[i][2]);
        at->config.svd = i == 2 ? PRUNESID_SVD_EXACT : PRUNESID_SVD_KRYLOV;
        at->input = prunesid_input_init(at->x, PRUNESID_F32, shapes[i][0], shapes[i][1]);
        at->serial = run_select(&at->config, &at->input);
        if (at->serial.status != PRUNESID_OK) return -1;
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
            for (size_t i = 0; i < n; i++)
                assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
            for (size_t i = 0; i < n; i++) {
                CHECK(workers[i].n_different == 0, "thread %zu of %zu: %zu differ", i, n,
                    workers[i].n_different);
            }
        }
    }
}

enum { N_MIXED = 40, N_SELECTS = 10000 };

static image mixed[N_MIXED];

/* What each thread of many does with images of all kinds and shapes. */
static void *select_mixed(void *argument) {
    worker *const w = (worker *)argument;
    for (size_t i = w->first; i < n_runs(N_SELECTS); i += MAX_THREADS) {
        const image *const at = &mixed[i * 7 % N_MIXED];
        run r = run_select(&at->config, &at->input);
        w->n_different += !run_equal(&at->serial, &r);
        run_free(&r);
    }
    return NULL;
}

/* 10,000 selections over 8 threads. */
static void many_selections_at_once_give_the_serial_bits(void **unused) {
    worker workers[MAX_THREADS];
    uint64_t state = 12;
    (void)unused;
    for (size_t i = 0; i < N_MIXED; i++) {
        image *const at = &mixed[i];
        const size_t T = random_size(&state, 2, 160), d = random_size(&state, 1, 160);
        at->x = tokens_new((kind)(i % N_KINDS), T, d, i);
        at->config =
            prunesid_config_init(all_presets[i % N_ITEMS(all_presets)], random_size(&state, 2, 40));
        at->input = prunesid_input_init(at->x, PRUNESID_F32, T, d);
        at->serial = run_select(&at->config, &at->input);
        assert_int_equal(at->serial.status, PRUNESID_OK);
    }
    for (size_t i = 0; i < MAX_THREADS; i++) {
        workers[i].first = i;
        workers[i].n_different = 0;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, select_mixed, &workers[i]), 0);
    }
    for (size_t i = 0; i < MAX_THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        CHECK(workers[i].n_different == 0, "thread %zu: %zu differ", i, workers[i].n_different);
    }
    for (size_t i = 0; i < N_MIXED; i++) {
        run_free(&mixed[i].serial);
        free(mixed[i].x);
    }
}

/* ---- a batch ------------------------------------------------------------------------------ */

enum { N_BATCH = 64, BATCH_T = 48, BATCH_D = 20, BATCH_N = 9, N_POOLS = 3 };

/* What one number of workers made of it. */
typedef struct answer {
    prunesid_region regions[N_BATCH];
    guard indices, arrays[3]; /* group, loading, representative */
} answer;

static void answer_new(answer *a, const prunesid_input *all, size_t n_workers) {
    const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, (size_t)N_BATCH * BATCH_N);
    prunesid_plan plan;
    a->indices = guard_new((size_t)N_BATCH * BATCH_N * sizeof(int32_t), OUTPUT_FILL);
    for (size_t i = 0; i < 3; i++) a->arrays[i] = guard_new(all->n_tokens * 4, OUTPUT_FILL);
    for (size_t b = 0; b < N_BATCH; b++) {
        prunesid_region *const region = &a->regions[b];
        *region = prunesid_region_init(all, b * BATCH_T, BATCH_T, 0);
        region->low = 3;
        region->high = 30;
        region->details.group = (int32_t *)(void *)a->arrays[0].data + b * BATCH_T;
        region->details.loading = (float *)(void *)a->arrays[1].data + b * BATCH_T;
        region->details.representative = (int32_t *)(void *)a->arrays[2].data + b * BATCH_T;
    }
    prunesid_batch batch = prunesid_batch_init(&config, PRUNESID_BY_PHI, a->regions, N_BATCH);
    batch.config.threads.n_workers = n_workers;
    batch.config.threads.run = threads_run;
    assert_int_equal(prunesid_batch_plan(&batch, &plan), PRUNESID_OK);
    assert_int_equal(plan.n_kept, N_BATCH * BATCH_N);
    guard workspace = guard_new(plan.workspace_bytes, 0xFF);
    CHECK_STATUS(prunesid_batch_select(&batch, workspace.data, workspace.n_bytes,
                     (int32_t *)(void *)a->indices.data, plan.n_kept),
        PRUNESID_OK, "%zu workers", n_workers);
    guard_free(&workspace);
}

static void answer_free(answer *a) {
    guard_free(&a->indices);
    for (size_t i = 0; i < 3; i++) guard_free(&a->arrays[i]);
}

/* 64 images in one call, by their phi: the bits of one worker, and of each image alone. */
static void a_batch_gives_the_bits_of_one_worker(void **unused) {
    static const size_t n_workers[N_POOLS] = {1, 2, 4};
    static answer answers[N_POOLS];
    const size_t n_tokens = (size_t)N_BATCH * BATCH_T;
    float *const x = (float *)ref_new(n_tokens * BATCH_D, sizeof *x);
    const prunesid_input all = prunesid_input_init(x, PRUNESID_F32, n_tokens, BATCH_D);
    (void)unused;
    for (size_t b = 0; b < N_BATCH; b++) {
        float *const one = tokens_new((kind)(b % 5), BATCH_T, BATCH_D, 900 + b);
        memcpy(x + b * BATCH_T * BATCH_D, one, (size_t)BATCH_T * BATCH_D * sizeof *one);
        free(one);
    }
    for (size_t c = 0; c < N_POOLS; c++) answer_new(&answers[c], &all, n_workers[c]);
    for (size_t c = 1; c < N_POOLS; c++) {
        const answer *const one = &answers[0], *const many = &answers[c];
        assert_memory_equal(one->indices.data, many->indices.data, one->indices.n_bytes);
        for (size_t i = 0; i < 3; i++)
            assert_memory_equal(one->arrays[i].data, many->arrays[i].data, one->arrays[i].n_bytes);
        for (size_t b = 0; b < N_BATCH; b++) {
            assert_int_equal(one->regions[b].share, many->regions[b].share);
            assert_true(one->regions[b].details.stats.svd_residual ==
                        many->regions[b].details.stats.svd_residual);
        }
    }
    for (size_t b = 0; b < N_BATCH; b++) {
        const prunesid_region *const region = &answers[0].regions[b];
        const prunesid_config alone = prunesid_config_init(PRUNESID_AUTO, region->share);
        run r = run_select(&alone, &region->input);
        assert_int_equal(r.n_kept, region->n_kept);
        CHECK(
            memcmp(r.indices, region->indices, r.n_kept * sizeof *r.indices) == 0, "image %zu", b);
        run_free(&r);
    }
    for (size_t c = 0; c < N_POOLS; c++) answer_free(&answers[c]);
    free(x);
}

/* ---- one image over several workers ------------------------------------------------------- */

/* A pool of one thread that starts with what others do last. */
static void run_backwards(void (*task)(void *data, size_t i, size_t worker), void *data,
    size_t n_tasks, size_t n_workers, void *user) {
    size_t *const n_calls = (size_t *)user;
    ++*n_calls;
    for (size_t i = n_tasks; i-- > 0;) task(data, i, i % n_workers);
}

/* Random images of any dtype, under any preset, with scores or without. */
static void the_number_of_workers_does_not_matter(void **unused) {
    static const kind kinds[] = {KIND_REAL, KIND_SINKS, KIND_DUPLICATES, KIND_HOLES, KIND_GAUSS};
    enum { N_POOL = 4, FAR_TOO_MANY = 500 };
    size_t n_calls = 0, n_krylov = 0, n_refined = 0, n_exact = 0;
    threads_pool pool;
    (void)unused;
    threads_pool_start(&pool, N_POOL);
    for (size_t i = 0; i < n_runs(300); i++) {
        uint64_t state = 3000 + i;
        const size_t T = random_size(&state, 20, i % 4 == 0 ? 1200 : 500);
        const size_t d = random_size(&state, 20, i % 4 == 1 ? 700 : 250);
        const prunesid_dtype dtype = (prunesid_dtype)(i % 3);
        float *const x = tokens_new(kinds[random_bits(&state) % 5], T, d, i);
        float *const scores = scores_new(T, i);
        void *const tokens = convert(x, T * d, dtype);
        prunesid_config config = prunesid_config_init(
            all_presets[i / 3 % N_ITEMS(all_presets)], random_size(&state, 8, T < 100 ? 16 : 96));
        prunesid_input input = prunesid_input_init(tokens, dtype, T, d);
        input.scores = random_bits(&state) % 2 ? scores : NULL;
        const prunesid_scope scope = (prunesid_scope)(i / 3 % 2);
        run want = run_select_scope(&config, &input, scope);
        const prunesid_stats *const stats = &want.details.stats;
        CHECK(run_consistent(&want, &config, &input), "selection %zu", i);
        n_exact += stats->svd == PRUNESID_SVD_EXACT;
        n_refined += stats->svd == PRUNESID_SVD_KRYLOV && stats->n_refined > 0;
        n_krylov += stats->svd == PRUNESID_SVD_KRYLOV && stats->n_refined == 0;
        for (size_t n = 2; n <= N_POOL + 1; n++) {
            const int is_pool = n <= N_POOL && (n + i) % 2 == 0;
            config.threads.n_workers = n <= N_POOL ? n : FAR_TOO_MANY;
            config.threads.run = is_pool ? threads_run : run_backwards;
            config.threads.user = is_pool ? (void *)&pool : (void *)&n_calls;
            run got = run_select_scope(&config, &input, scope);
            CHECK(run_equal(&want, &got) && got.details.stats.n_refined == stats->n_refined,
                "selection %zu, %zu x %zu, %zu workers", i, T, d, config.threads.n_workers);
            run_free(&got);
        }
        run_free(&want);
        free(x);
        free(scores);
        free(tokens);
    }
    threads_pool_stop(&pool);
    print_message(
        "shared: %zu by Krylov alone, %zu refined, %zu by EXACT\n", n_krylov, n_refined, n_exact);
    assert_true(n_calls > 0 && n_krylov > n_exact);
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
        prunesid_config config = prunesid_config_init(PRUNESID_AUTO, shape[2]);
        const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, shape[0], shape[1]);
        config.svd = i % 2 ? PRUNESID_SVD_EXACT : PRUNESID_SVD_KRYLOV;
        set(1);
        run one = run_select(&config, &input);
        set(2);
        run two = run_select(&config, &input);
        set(1);
        assert_true(run_consistent(&one, &config, &input) && run_consistent(&two, &config, &input));
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
        cmocka_unit_test(many_selections_at_once_give_the_serial_bits),
        cmocka_unit_test(a_batch_gives_the_bits_of_one_worker),
        cmocka_unit_test(the_number_of_workers_does_not_matter),
        cmocka_unit_test(blas_threads_do_not_matter),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
