/* test_lapack.c - a LAPACK that fails: LAPACKE_dsterf_work, LAPACKE_dstein_work and LAPACKE_dsteqr_work
 * of this file stand before the library's.   MIT licence. */
#include "support.h"

typedef enum failure {
    NO_FAILURE,
    INFO_POSITIVE,
    INFO_NEGATIVE, /* not enough memory, says LAPACKE */
    NAN_VALUES,    /* with info 0 */
    NAN_VECTORS,
    DSTEIN_POSITIVE, /* of dstein alone, after which dsteqr is asked */
    DSTEIN_NAN
} failure;

static failure mode, now;
static int first_failure, n_failures, n_calls; /* n_failures calls fail from the first on */
static int n_rescues;                          /* calls of dsteqr */

lapack_int LAPACKE_dsterf_work(lapack_int n, double *values, double *beside) {
    const int call = n_calls++ - first_failure;
    lapack_int info = 0;
    now = call >= 0 && call < n_failures ? mode : NO_FAILURE;
    LAPACK_dsterf(&n, values, beside, &info);
    if (now == NAN_VALUES) {
        values[0] = NAN;
    }
    return now == INFO_POSITIVE ? 3 : info;
}

lapack_int LAPACKE_dstein_work(int layout, lapack_int n, const double *diagonal,
    const double *beside, lapack_int n_found, const double *values, const lapack_int *block,
    const lapack_int *end, double *vectors, lapack_int ld, double *work, lapack_int *iwork,
    lapack_int *failed) {
    lapack_int info = 0;
    assert_int_equal(layout, LAPACK_COL_MAJOR); /* row-major would allocate */
    LAPACK_dstein(&n, diagonal, beside, &n_found, values, block, end, vectors, &ld, work, iwork,
        failed, &info);
    if (now == NAN_VECTORS || now == DSTEIN_NAN) {
        vectors[n_found * ld - 1] = NAN;
    }
    return now == INFO_NEGATIVE ? -1010 : now == DSTEIN_POSITIVE ? 1 : info;
}

lapack_int LAPACKE_dsteqr_work(int layout, char job, lapack_int n, double *diagonal, double *beside,
    double *vectors, lapack_int ld, double *work) {
    lapack_int info = 0;
    n_rescues++;
    assert_int_equal(layout, LAPACK_COL_MAJOR); /* row-major would allocate */
    LAPACK_dsteqr(&job, &n, diagonal, beside, vectors, &ld, work, &info);
    if (now == NAN_VECTORS) {
        vectors[n * ld - 1] = NAN;
    }
    return now == INFO_NEGATIVE ? -1010 : info;
}

typedef struct problem {
    float *x;
    prunesid_config config;
    prunesid_tokens tokens;
} problem;

static problem problem_new(size_t T, size_t d, prunesid_svd svd) {
    problem p;
    p.x = tokens_new(KIND_REAL, T, d, 3);
    p.config = prunesid_config_init(PRUNESID_AUTO, T, d, 64);
    p.config.svd = svd;
    p.tokens = prunesid_tokens_view(p.x, PRUNESID_F32, T, d);
    return p;
}

static run run_with(const problem *p, failure how, int how_often) {
    mode = how;
    n_failures = how_often;
    n_calls = n_rescues = 0;
    return run_select(&p->config, &p->tokens, NULL, NULL);
}

static const failure failures[] = {INFO_POSITIVE, INFO_NEGATIVE, NAN_VALUES, NAN_VECTORS};

static void the_override_is_in_place(void **unused) {
    problem p = problem_new(100, 80, PRUNESID_SVD_EXACT);
    run r = run_with(&p, NO_FAILURE, 0);
    (void)unused;
    assert_true(run_consistent(&r, &p.config));
    assert_int_equal(n_calls, 1);
    run_free(&r);
    free(p.x);
}

static void a_failure_writes_nothing(void **unused) {
    static const size_t shapes[][2] = {{100, 80}, {300, 280}};
    (void)unused;
    for (size_t i = 0; i < 3 * 2 * N_ITEMS(failures); i++) {
        problem p = problem_new(shapes[i % 2][0], shapes[i % 2][1], (prunesid_svd)(i / 2 % 3));
        run r = run_with(&p, failures[i / 6], 1000);
        CHECK_STATUS(r.status, PRUNESID_ERROR_LAPACK, "case %zu", i);
        for (size_t m = 0; m < 6; m++) {
            assert_true(guard_untouched(&r.memory[m], OUTPUT_FILL));
        }
        run_free(&r);
        free(p.x);
    }
}

/* A tridiagonal problem whose eigenvalues cluster can defeat dstein: dsteqr finds the vectors then, and
 * keeps what dstein's would have kept, whatever the method. */
static void dstein_may_fail_alone(void **unused) {
    static const size_t shapes[][2] = {{100, 80}, {80, 100}, {300, 280}, {1, 5}, {40, 2}};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(shapes) * 3; i++) {
        problem p = problem_new(shapes[i / 3][0], shapes[i / 3][1], (prunesid_svd)(i % 3));
        p.config.budget = shapes[i / 3][0] < 64 ? shapes[i / 3][0] / 2 + 1 : 64;
        run want = run_with(&p, NO_FAILURE, 0);
        assert_int_equal(n_rescues, 0);
        for (int nan = 0; nan < 2; nan++) {
            run r = run_with(&p, nan ? DSTEIN_NAN : DSTEIN_POSITIVE, 1000);
            CHECK_STATUS(r.status, PRUNESID_OK, "case %zu", i);
            CHECK(run_consistent(&r, &p.config), "case %zu", i);
            CHECK(n_rescues == n_calls, "case %zu: %d of %d", i, n_rescues, n_calls);
            assert_int_equal(r.out.stats.svd, want.out.stats.svd);
            assert_int_equal(r.out.stats.lapack_info, 0);
            for (size_t j = 0; j < want.out.n_kept; j++) {
                CHECK(r.out.indices[j] == want.out.indices[j], "case %zu, index %zu", i, j);
            }
            run_free(&r);
        }
        run_free(&want);
        free(p.x);
    }
}

static void loadings_report_it_too(void **unused) {
    problem p = problem_new(100, 80, PRUNESID_SVD_EXACT);
    guard workspace = guard_workspace(&p.config), v = guard_new(100 * 64 * 4, 0x21);
    prunesid_stats stats, before;
    (void)unused;
    memset(&stats, 0x21, sizeof stats);
    before = stats;
    mode = NAN_VECTORS;
    n_failures = 1000;
    n_calls = 0;
    assert_int_equal(prunesid_loadings(&p.config, &p.tokens, workspace.data, workspace.n_bytes,
                         (float *)(void *)v.data, &stats),
        PRUNESID_ERROR_LAPACK);
    assert_true(guard_untouched(&v, 0x21));
    assert_memory_equal(&stats, &before, sizeof stats);
    guard_free(&workspace);
    guard_free(&v);
    free(p.x);
}

/* KRYLOV falls back to EXACT, which keeps what EXACT keeps, and says what LAPACK said. */
static void krylov_falls_back_when_its_own_call_fails(void **unused) {
    problem exact = problem_new(300, 280, PRUNESID_SVD_EXACT);
    problem p = problem_new(300, 280, PRUNESID_SVD_KRYLOV);
    run want = run_with(&exact, NO_FAILURE, 0);
    (void)unused;
    assert_int_equal(want.out.stats.lapack_info, 0);
    for (size_t i = 0; i < N_ITEMS(failures); i++) {
        run r = run_with(&p, failures[i], 1);
        assert_true(run_equal(&want, &r));
        assert_int_equal(r.out.stats.svd, PRUNESID_SVD_EXACT);
        CHECK(r.out.stats.lapack_info != 0, "failure %zu", i);
        assert_true(failures[i] != INFO_POSITIVE || r.out.stats.lapack_info == 3);
        assert_true(failures[i] != INFO_NEGATIVE || r.out.stats.lapack_info == -1010);
        run_free(&r);
    }
    run r = run_with(&p, NO_FAILURE, 0);
    assert_int_equal(r.out.stats.svd, PRUNESID_SVD_KRYLOV);
    assert_int_equal(r.out.stats.lapack_info, 0);
    run_free(&r);
    run_free(&want);
    free(p.x);
    free(exact.x);
}

/* Whichever call it is that fails: KRYLOV falls back, SKETCH has nothing to fall back on. */
static void any_call_may_fail(void **unused) {
    problem p = problem_new(300, 280, PRUNESID_SVD_EXACT);
    run exact = run_with(&p, NO_FAILURE, 0);
    (void)unused;
    for (int sketch = 0; sketch < 2; sketch++) {
        p.config.svd = sketch ? PRUNESID_SVD_SKETCH : PRUNESID_SVD_KRYLOV;
        run whole = run_with(&p, NO_FAILURE, 0);
        const int n_whole = n_calls;
        assert_true(n_whole > 0);
        for (first_failure = 0; first_failure < n_whole; first_failure++) {
            run r = run_with(&p, INFO_POSITIVE, 1);
            CHECK_STATUS(r.status, sketch ? PRUNESID_ERROR_LAPACK : PRUNESID_OK, "call %d of %d",
                first_failure, n_whole);
            assert_true(sketch || (run_equal(&exact, &r) && r.out.stats.lapack_info == 3));
            run_free(&r);
        }
        first_failure = 0;
        run_free(&whole);
    }
    run_free(&exact);
    free(p.x);
}

/* A failure inside one region: the others are what they would be, it says LAPACK. */
static void a_region_may_fail(void **unused) {
    enum { N_REGIONS = 4, EACH = 40, DIM = 24 };
    float *const x = tokens_new(KIND_REAL, N_REGIONS * EACH, DIM, 3);
    prunesid_config config = prunesid_config_init(PRUNESID_AUTO, N_REGIONS * EACH, DIM, 41);
    const prunesid_tokens tokens = prunesid_tokens_view(x, PRUNESID_F32, config.n_tokens, DIM);
    (void)unused;
    config.svd = PRUNESID_SVD_EXACT; /* one call a region */
    for (size_t i = 0; i < 3 * N_REGIONS * N_ITEMS(failures); i++) {
        const prunesid_sharing sharing = (prunesid_sharing)(i % 3);
        const size_t bad = i / 3 % N_REGIONS;
        prunesid_region regions[2][N_REGIONS];
        guard indices[2], groups[2];
        for (size_t c = 0; c < 2; c++) { /* without the failure, then with it */
            groups[c] = guard_new(config.n_tokens * sizeof(int32_t), OUTPUT_FILL);
            for (size_t r = 0; r < N_REGIONS; r++) {
                regions[c][r] = prunesid_region_init(r * EACH, EACH, 7 + r);
                regions[c][r].out.group = (int32_t *)(void *)groups[c].data + r * EACH;
            }
            indices[c] = guard_new(
                prunesid_regions_n_kept(&config, sharing, regions[c], N_REGIONS) * 4, OUTPUT_FILL);
            guard workspace = guard_new(
                prunesid_regions_workspace_size(&config, sharing, regions[c], N_REGIONS, 1), 0xFF);
            mode = failures[i / 3 / N_REGIONS];
            first_failure = (int)bad;
            n_failures = c == 1 ? 1 : 0;
            n_calls = 0;
            CHECK_STATUS(
                prunesid_select_regions(&config, sharing, &tokens, regions[c], N_REGIONS, NULL,
                    workspace.data, workspace.n_bytes, (int32_t *)(void *)indices[c].data),
                c == 1 ? PRUNESID_ERROR_LAPACK : PRUNESID_OK, "case %zu", i);
            first_failure = 0;
            assert_int_equal(n_calls, N_REGIONS);
            guard_free(&workspace);
        }
        for (size_t r = 0, at = 0; r < N_REGIONS; at += regions[0][r++].out.n_kept) {
            const size_t n_bytes = regions[0][r].out.n_kept * 4;
            const unsigned char *const got = indices[1].data + at * 4;
            const unsigned char *const group = groups[1].data + r * EACH * 4;
            const prunesid_status want = r == bad ? PRUNESID_ERROR_LAPACK : PRUNESID_OK;
            CHECK_STATUS(regions[1][r].status, want, "case %zu, region %zu", i, r);
            if (r != bad) {
                assert_memory_equal(got, indices[0].data + at * 4, n_bytes);
                assert_memory_equal(group, groups[0].data + r * EACH * 4, EACH * 4);
                continue;
            }
            for (size_t b = 0; b < n_bytes; b++) assert_int_equal(got[b], OUTPUT_FILL);
            for (size_t b = 0; b < EACH * 4; b++) assert_int_equal(group[b], OUTPUT_FILL);
            assert_true(regions[1][r].out.indices == NULL && regions[1][r].out.n_kept == 0);
        }
        for (size_t c = 0; c < 2; c++) {
            guard_free(&indices[c]);
            guard_free(&groups[c]);
        }
    }
    free(x);
}

static void keeping_everything_needs_no_lapack(void **unused) {
    problem p = problem_new(50, 40, PRUNESID_SVD_EXACT);
    run r = run_with(&p, INFO_POSITIVE, 1000);
    (void)unused;
    assert_true(run_consistent(&r, &p.config));
    assert_int_equal(n_calls, 0);
    run_free(&r);
    free(p.x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_override_is_in_place),
        cmocka_unit_test(a_failure_writes_nothing),
        cmocka_unit_test(dstein_may_fail_alone),
        cmocka_unit_test(loadings_report_it_too),
        cmocka_unit_test(krylov_falls_back_when_its_own_call_fails),
        cmocka_unit_test(any_call_may_fail),
        cmocka_unit_test(a_region_may_fail),
        cmocka_unit_test(keeping_everything_needs_no_lapack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
