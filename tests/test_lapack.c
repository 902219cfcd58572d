/* test_lapack.c - a LAPACK that fails.   MIT licence.
 *
 * The LAPACKE functions of this file, which are all that the header calls, stand before the
 * library's. */
#include "support.h"

typedef enum failure {
    NO_FAILURE,
    INFO_POSITIVE, /* of dsterf */
    INFO_NEGATIVE, /* not enough memory, says LAPACKE: of dstein and dsteqr */
    NAN_VALUES,    /* with info 0 */
    NAN_VECTORS,
    DSYTRD_FAILS,
    DORMTR_FAILS,
    DORGTR_FAILS,    /* after dstein has */
    DSTEIN_POSITIVE, /* of dstein alone, after which dsteqr is asked */
    DSTEIN_NAN
} failure;

static failure mode, now;
static int first_failure, n_failures, n_calls; /* n_failures calls fail from the first on */
static int n_rescues;                          /* calls of dsteqr */

/* The first call of every eigenvalue problem. */
lapack_int LAPACKE_dsytrd_work(int layout, char part, lapack_int n, double *matrix, lapack_int ld,
    double *diagonal, double *beside, double *tau, double *work, lapack_int n_work) {
    const int call = n_calls++ - first_failure;
    lapack_int info = 0;
    now = call >= 0 && call < n_failures ? mode : NO_FAILURE;
    assert_int_equal(layout, LAPACK_COL_MAJOR); /* row-major would allocate */
    LAPACK_dsytrd(&part, &n, matrix, &ld, diagonal, beside, tau, work, &n_work, &info);
    return now == DSYTRD_FAILS ? -1010 : info;
}

lapack_int LAPACKE_dsterf_work(lapack_int n, double *values, double *beside) {
    lapack_int info = 0;
    LAPACK_dsterf(&n, values, beside, &info);
    if (now == NAN_VALUES) values[0] = NAN;
    return now == INFO_POSITIVE ? 3 : info;
}

lapack_int LAPACKE_dormtr_work(int layout, char side, char part, char transpose, lapack_int m,
    lapack_int n, const double *matrix, lapack_int ld, const double *tau, double *vectors,
    lapack_int ld_vectors, double *work, lapack_int n_work) {
    lapack_int info = 0;
    assert_int_equal(layout, LAPACK_COL_MAJOR);
    LAPACK_dormtr(&side, &part, &transpose, &m, &n, matrix, &ld, tau, vectors, &ld_vectors, work,
        &n_work, &info);
    return now == DORMTR_FAILS ? -1010 : info;
}

lapack_int LAPACKE_dorgtr_work(int layout, char part, lapack_int n, double *matrix, lapack_int ld,
    const double *tau, double *work, lapack_int n_work) {
    lapack_int info = 0;
    assert_int_equal(layout, LAPACK_COL_MAJOR);
    LAPACK_dorgtr(&part, &n, matrix, &ld, tau, work, &n_work, &info);
    return now == DORGTR_FAILS ? -1010 : info;
}

lapack_int LAPACKE_dstein_work(int layout, lapack_int n, const double *diagonal,
    const double *beside, lapack_int n_found, const double *values, const lapack_int *block,
    const lapack_int *end, double *vectors, lapack_int ld, double *work, lapack_int *iwork,
    lapack_int *failed) {
    lapack_int info = 0;
    assert_int_equal(layout, LAPACK_COL_MAJOR);
    LAPACK_dstein(&n, diagonal, beside, &n_found, values, block, end, vectors, &ld, work, iwork,
        failed, &info);
    if (now == NAN_VECTORS || now == DSTEIN_NAN) vectors[n_found * ld - 1] = NAN;
    if (now == INFO_NEGATIVE) return -1010;
    return now == DSTEIN_POSITIVE || now == DORGTR_FAILS ? 1 : info;
}

lapack_int LAPACKE_dsteqr_work(int layout, char job, lapack_int n, double *diagonal, double *beside,
    double *vectors, lapack_int ld, double *work) {
    lapack_int info = 0;
    n_rescues++;
    assert_int_equal(layout, LAPACK_COL_MAJOR);
    LAPACK_dsteqr(&job, &n, diagonal, beside, vectors, &ld, work, &info);
    if (now == NAN_VECTORS) vectors[n * ld - 1] = NAN;
    return now == INFO_NEGATIVE ? -1010 : info;
}

/* ---- of refinement, once a pass ------------------------------------------------------------ */

typedef enum trouble { NO_TROUBLE, DGEQRF_FAILS, DORGQR_FAILS, DGESVJ_FAILS, DGESVJ_NAN } trouble;

static trouble pass_mode, pass_now;
static int first_bad_pass, n_passes;

lapack_int LAPACKE_dgeqrf_work(int layout, lapack_int m, lapack_int n, double *matrix,
    lapack_int ld, double *tau, double *work, lapack_int n_work) {
    lapack_int info = 0;
    pass_now = n_passes++ >= first_bad_pass ? pass_mode : NO_TROUBLE;
    assert_int_equal(layout, LAPACK_COL_MAJOR);
    LAPACK_dgeqrf(&m, &n, matrix, &ld, tau, work, &n_work, &info);
    return pass_now == DGEQRF_FAILS ? -1010 : info;
}

lapack_int LAPACKE_dorgqr_work(int layout, lapack_int m, lapack_int n, lapack_int k, double *matrix,
    lapack_int ld, const double *tau, double *work, lapack_int n_work) {
    lapack_int info = 0;
    assert_int_equal(layout, LAPACK_COL_MAJOR);
    LAPACK_dorgqr(&m, &n, &k, matrix, &ld, tau, work, &n_work, &info);
    return pass_now == DORGQR_FAILS ? -1010 : info;
}

lapack_int LAPACKE_dgesvj_work(int layout, char shape, char left, char right, lapack_int m,
    lapack_int n, double *matrix, lapack_int ld, double *values, lapack_int n_rows, double *vectors,
    lapack_int ld_vectors, double *work, lapack_int n_work) {
    lapack_int info = 0;
    assert_int_equal(layout, LAPACK_COL_MAJOR);
    LAPACK_dgesvj(&shape, &left, &right, &m, &n, matrix, &ld, values, &n_rows, vectors, &ld_vectors,
        work, &n_work, &info);
    if (pass_now == DGESVJ_NAN) matrix[n * ld - 1] = NAN;
    return pass_now == DGESVJ_FAILS ? 1 : info; /* it has not converged */
}

typedef struct problem {
    float *x;
    prunesid_config config;
    prunesid_input input;
} problem;

static problem problem_new(size_t T, size_t d, prunesid_svd svd) {
    problem p;
    p.x = tokens_new(KIND_REAL, T, d, 3);
    p.config = prunesid_config_init(PRUNESID_AUTO, 64);
    p.config.svd = svd;
    p.input = prunesid_input_init(p.x, PRUNESID_F32, T, d);
    return p;
}

static run run_with(const problem *p, failure how, int how_often) {
    mode = how;
    n_failures = how_often;
    n_calls = n_rescues = 0;
    return run_select(&p->config, &p->input);
}

static const failure failures[] = {INFO_POSITIVE, INFO_NEGATIVE, NAN_VALUES, NAN_VECTORS,
    DSYTRD_FAILS, DORMTR_FAILS, DORGTR_FAILS};

static void the_override_is_in_place(void **unused) {
    problem p = problem_new(100, 80, PRUNESID_SVD_EXACT);
    run r = run_with(&p, NO_FAILURE, 0);
    (void)unused;
    assert_true(run_consistent(&r, &p.config, &p.input));
    assert_int_equal(n_calls, 1);
    run_free(&r);
    free(p.x);
}

static void a_failure_writes_nothing(void **unused) {
    static const size_t shapes[][2] = {{100, 80}, {300, 280}};
    (void)unused;
    for (size_t i = 0; i < 2 * 2 * N_ITEMS(failures); i++) {
        problem p = problem_new(shapes[i % 2][0], shapes[i % 2][1], (prunesid_svd)(i / 2 % 2));
        run r = run_with(&p, failures[i / 4], 1000);
        CHECK_STATUS(r.status, PRUNESID_ERROR_LAPACK, "case %zu", i);
        CHECK(run_untouched(&r), "case %zu", i);
        run_free(&r);
        free(p.x);
    }
}

/* A tridiagonal problem whose eigenvalues cluster can defeat dstein: dsteqr finds the vectors then,
 * and keeps what dstein's would have kept, whatever the method. */
static void dstein_may_fail_alone(void **unused) {
    static const size_t shapes[][2] = {{100, 80}, {80, 100}, {300, 280}, {1, 5}, {40, 2}};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(shapes) * 2; i++) {
        const size_t T = shapes[i / 2][0];
        problem p = problem_new(T, shapes[i / 2][1], (prunesid_svd)(i % 2));
        p.config.budget = T < 64 ? T / 2 + 1 : 64;
        run want = run_with(&p, NO_FAILURE, 0);
        assert_int_equal(n_rescues, 0);
        for (int nan = 0; nan < 2; nan++) {
            run r = run_with(&p, nan ? DSTEIN_NAN : DSTEIN_POSITIVE, 1000);
            CHECK_STATUS(r.status, PRUNESID_OK, "case %zu", i);
            CHECK(run_consistent(&r, &p.config, &p.input), "case %zu", i);
            CHECK(n_rescues == n_calls, "case %zu: %d of %d", i, n_rescues, n_calls);
            assert_int_equal(r.details.stats.svd, want.details.stats.svd);
            assert_int_equal(r.details.stats.lapack_info, 0);
            for (size_t j = 0; j < want.n_kept; j++)
                CHECK(r.indices[j] == want.indices[j], "case %zu, index %zu", i, j);
            run_free(&r);
        }
        run_free(&want);
        free(p.x);
    }
}

static void psca_reports_it_too(void **unused) {
    enum { T = 100, K = 16 };
    problem p = problem_new(T, 80, PRUNESID_SVD_EXACT);
    guard workspace = guard_workspace(&p.config, &p.input), v = guard_new(T * K * 4, 0x21);
    guard group = guard_new(T * 4, 0x21), loading = guard_new(T * 4, 0x21);
    guard stats = guard_new(sizeof(prunesid_stats), 0x21);
    (void)unused;
    mode = NAN_VECTORS;
    n_failures = 1000;
    n_calls = 0;
    assert_int_equal(prunesid_psca(&p.config, &p.input, workspace.data, workspace.n_bytes,
                         (float *)(void *)v.data, (int32_t *)(void *)group.data,
                         (float *)(void *)loading.data, (prunesid_stats *)(void *)stats.data),
        PRUNESID_ERROR_LAPACK);
    assert_true(guard_untouched(&v, 0x21) && guard_untouched(&group, 0x21));
    assert_true(guard_untouched(&loading, 0x21) && guard_untouched(&stats, 0x21));
    guard_free(&workspace);
    guard_free(&v);
    guard_free(&group);
    guard_free(&loading);
    guard_free(&stats);
    free(p.x);
}

/* KRYLOV falls back to EXACT, which keeps what EXACT keeps, and says what LAPACK said. */
static void krylov_falls_back_when_its_own_call_fails(void **unused) {
    problem exact = problem_new(300, 280, PRUNESID_SVD_EXACT);
    problem p = problem_new(300, 280, PRUNESID_SVD_KRYLOV);
    run want = run_with(&exact, NO_FAILURE, 0);
    (void)unused;
    assert_int_equal(want.details.stats.lapack_info, 0);
    for (size_t i = 0; i < N_ITEMS(failures); i++) {
        run r = run_with(&p, failures[i], 1);
        assert_true(run_equal(&want, &r));
        assert_int_equal(r.details.stats.svd, PRUNESID_SVD_EXACT);
        CHECK(r.details.stats.lapack_info != 0, "failure %zu", i);
        assert_true(failures[i] != INFO_POSITIVE || r.details.stats.lapack_info == 3);
        assert_true(failures[i] != INFO_NEGATIVE || r.details.stats.lapack_info == -1010);
        run_free(&r);
    }
    run r = run_with(&p, NO_FAILURE, 0);
    assert_int_equal(r.details.stats.svd, PRUNESID_SVD_KRYLOV);
    assert_int_equal(r.details.stats.lapack_info, 0);
    run_free(&r);
    run_free(&want);
    free(p.x);
    free(exact.x);
}

/* Whichever of KRYLOV's calls it is that fails. */
static void any_call_may_fail(void **unused) {
    problem p = problem_new(300, 280, PRUNESID_SVD_EXACT);
    run exact = run_with(&p, NO_FAILURE, 0);
    (void)unused;
    p.config.svd = PRUNESID_SVD_KRYLOV;
    run whole = run_with(&p, NO_FAILURE, 0);
    const int n_whole = n_calls;
    assert_true(n_whole > 0);
    for (first_failure = 0; first_failure < n_whole; first_failure++) {
        run r = run_with(&p, INFO_POSITIVE, 1);
        CHECK_STATUS(r.status, PRUNESID_OK, "call %d of %d", first_failure, n_whole);
        assert_true(run_equal(&exact, &r) && r.details.stats.lapack_info == 3);
        run_free(&r);
    }
    first_failure = 0;
    run_free(&whole);
    run_free(&exact);
    free(p.x);
}

static prunesid_status psca_with(const problem *p, failure how) {
    guard workspace = guard_workspace(&p->config, &p->input);
    mode = how;
    n_failures = 1000;
    n_calls = n_passes = 0;
    const prunesid_status status = prunesid_psca(
        &p->config, &p->input, workspace.data, workspace.n_bytes, NULL, NULL, NULL, NULL);
    guard_free(&workspace);
    return status;
}

/* Whatever fails in whichever pass of refinement: EXACT's answer. */
static void refinement_falls_back(void **unused) {
    static const size_t shapes[][2] = {{300, 280}, {280, 300}};
    static const kind kinds[] = {KIND_SINKS, KIND_DUPLICATES, KIND_HOLES};
    int n_tried = 0;
    (void)unused;
    for (uint64_t seed = 0; seed < 40 && n_tried < 4; seed++) {
        const size_t *const shape = shapes[seed % 2];
        problem p = problem_new(shape[0], shape[1], PRUNESID_SVD_EXACT);
        free(p.x);
        p.x = tokens_new(kinds[seed / 2 % 3], shape[0], shape[1], 100 + seed);
        p.input.tokens = p.x;
        run exact = run_with(&p, NO_FAILURE, 0);
        p.config.svd = PRUNESID_SVD_KRYLOV;
        n_passes = 0;
        run whole = run_with(&p, NO_FAILURE, 0);
        const int n_whole = n_passes;
        assert_true(whole.details.stats.svd == PRUNESID_SVD_KRYLOV);
        assert_int_equal(whole.details.stats.n_refined > 0, n_whole > 0);
        for (int c = 0; c < 4 * n_whole; c++) {
            pass_mode = (trouble)(DGEQRF_FAILS + c % 4);
            first_bad_pass = c / 4;
            n_passes = 0;
            run r = run_with(&p, NO_FAILURE, 0);
            CHECK(run_equal(&exact, &r), "seed %d, case %d", (int)seed, c);
            assert_int_equal(r.details.stats.svd, PRUNESID_SVD_EXACT);
            assert_int_equal(r.details.stats.n_refined, 0);
            run_free(&r);
            first_failure = n_calls - 1; /* and EXACT, which was the last, as well */
            n_passes = 0;
            r = run_with(&p, INFO_POSITIVE, 1000);
            CHECK_STATUS(r.status, PRUNESID_ERROR_LAPACK, "seed %d, case %d", (int)seed, c);
            assert_true(run_untouched(&r));
            run_free(&r);
            assert_int_equal(psca_with(&p, NO_FAILURE), PRUNESID_OK);
            if (n_passes > first_bad_pass) { /* groups alone may need fewer of them */
                first_failure = n_calls - 1;
                assert_int_equal(psca_with(&p, INFO_POSITIVE), PRUNESID_ERROR_LAPACK);
            }
            first_failure = 0;
            pass_mode = NO_TROUBLE;
        }
        n_tried += n_whole > 0;
        run_free(&whole);
        run_free(&exact);
        free(p.x);
    }
    assert_true(n_tried > 0);
}

/* A failure inside one region: the others are what they would be, it says LAPACK. */
static void a_region_may_fail(void **unused) {
    enum { N_REGIONS = 4, EACH = 40, DIM = 24 };
    float *const x = tokens_new(KIND_REAL, N_REGIONS * EACH, DIM, 3);
    prunesid_config config = prunesid_config_init(PRUNESID_AUTO, 41);
    const prunesid_input image = prunesid_input_init(x, PRUNESID_F32, N_REGIONS * EACH, DIM);
    (void)unused;
    config.svd = PRUNESID_SVD_EXACT; /* one call a region */
    for (size_t i = 0; i < 3 * N_REGIONS * N_ITEMS(failures); i++) {
        const prunesid_sharing sharing = (prunesid_sharing)(i % 3);
        const size_t bad = i / 3 % N_REGIONS;
        prunesid_region regions[2][N_REGIONS];
        guard indices[2], groups[2];
        for (size_t c = 0; c < 2; c++) { /* without the failure, then with it */
            prunesid_batch batch = prunesid_batch_init(&config, sharing, regions[c], N_REGIONS);
            prunesid_plan plan;
            groups[c] = guard_new(image.n_tokens * sizeof(int32_t), OUTPUT_FILL);
            for (size_t r = 0; r < N_REGIONS; r++) {
                regions[c][r] = prunesid_region_init(&image, r * EACH, EACH, 7 + r);
                regions[c][r].details.group = (int32_t *)(void *)groups[c].data + r * EACH;
            }
            assert_int_equal(prunesid_batch_plan(&batch, &plan), PRUNESID_OK);
            indices[c] = guard_new(plan.n_kept * 4, OUTPUT_FILL);
            guard workspace = guard_new(plan.workspace_bytes, 0xFF);
            mode = failures[i / 3 / N_REGIONS];
            first_failure = (int)bad;
            n_failures = c == 1 ? 1 : 0;
            n_calls = 0;
            CHECK_STATUS(prunesid_batch_select(&batch, workspace.data, workspace.n_bytes,
                             (int32_t *)(void *)indices[c].data, plan.n_kept),
                c == 1 ? PRUNESID_ERROR_LAPACK : PRUNESID_OK, "case %zu", i);
            first_failure = 0;
            assert_int_equal(n_calls, N_REGIONS);
            guard_free(&workspace);
        }
        for (size_t r = 0, at = 0; r < N_REGIONS; at += regions[0][r++].n_kept) {
            const size_t n_bytes = regions[0][r].n_kept * 4;
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
            assert_true(regions[1][r].indices == NULL && regions[1][r].n_kept == 0);
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
    assert_true(run_consistent(&r, &p.config, &p.input));
    assert_int_equal(n_calls, 0);
    run_free(&r);
    free(p.x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_override_is_in_place),
        cmocka_unit_test(a_failure_writes_nothing),
        cmocka_unit_test(dstein_may_fail_alone),
        cmocka_unit_test(psca_reports_it_too),
        cmocka_unit_test(krylov_falls_back_when_its_own_call_fails),
        cmocka_unit_test(any_call_may_fail),
        cmocka_unit_test(refinement_falls_back),
        cmocka_unit_test(a_region_may_fail),
        cmocka_unit_test(keeping_everything_needs_no_lapack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
