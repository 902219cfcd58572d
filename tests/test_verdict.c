/* test_verdict.c - what the numbers decide: the error model's formulas, which columns they leave
 * open, and which orders matter; on loadings and bounds that are made by hand.   MIT licence. */
#include "support.h"

enum { T = 12, D = 40, K = 3 };

/* A job of T made-up tokens whose loadings, bounds and choice a test then writes. */
typedef struct bench {
    float *tokens;
    prunesid_config config;
    prunesid_input input;
    guard workspace;
    prunesid_job_ job;
} bench;

/* In place: the job points at what stands beside it. */
static void bench_open(bench *b) {
    uint64_t state = 7;
    b->tokens = malloc((size_t)T * D * sizeof *b->tokens);
    assert_non_null(b->tokens);
    for (size_t i = 0; i < (size_t)T * D; i++) b->tokens[i] = (float)random_uniform(&state);
    b->config = prunesid_config_init(PRUNESID_LLAVA, T - 1);
    b->config.reserved = 0;
    b->config.n_groups = K;
    b->input = prunesid_input_init(b->tokens, PRUNESID_F32, T, D);
    b->workspace = guard_workspace(&b->config, &b->input);
    assert_int_equal(
        prunesid_open_(&b->config, &b->input, b->workspace.data, b->workspace.n_bytes, &b->job),
        PRUNESID_OK);
    prunesid_information information;
    assert_int_equal(prunesid_measure_redundancy_(&b->job, &information), PRUNESID_OK);
    b->job.has_bounds = 1;
    b->job.n_columns = K;
    memset(b->job.noise, 0, K * b->job.ldV * sizeof(double));
    memset(b->job.outside, 0, K * sizeof(double));
    for (size_t i = 0; i < (size_t)T * b->job.ldV; i++) b->job.V[i] = 0.0;
    for (size_t i = 0; i < T; i++) b->job.V[i * b->job.ldV + i % K] = 0.5 + 0.01 * (double)i;
}

static void bench_close(bench *b) {
    guard_free(&b->workspace);
    free(b->tokens);
}

static double *loadings_of(const bench *b, size_t i) {
    return b->job.V + i * b->job.ldV;
}

/* The open columns, as bits. */
static unsigned open_columns(const bench *b) {
    unsigned bits = 0;
    for (size_t k = 0; k < K; k++) bits |= b->job.is_open[k] ? 1u << k : 0u;
    return bits;
}

static void check_near(double got, double want, const char *what) {
    CHECK(fabs(got - want) <= 1e-12 * fabs(want), "%s: %.17g, not %.17g", what, got, want);
}

/* ---- the model ---------------------------------------------------------------------------- */

static void the_error_of_a_pair(void **state) {
    bench b;
    (void)state;
    bench_open(&b);
    const double c = b.job.kernels->noise, u = 0x1p-24, theta = 9.0, other = 4.0;
    const double want = (c * u * (9.0 + 5.0) + 2.0 * u * 5.0) / 5.0;
    check_near(prunesid_pair_error_(&b.job, theta, other, u, u), want, "a pair");
    check_near(prunesid_pair_error_(&b.job, other, theta, u, u), want, "turned round");
    check_near(prunesid_pair_error_(&b.job, theta, other, 0.0, u), 2.0 * u, "of the entries alone");
    check_near(prunesid_pair_error_(&b.job, theta, theta, u, u), 1.0, "equal ones");
    check_near(prunesid_pair_error_(&b.job, theta, theta * (1.0 + 1e-7), u, u), 1.0, "nearly");
    check_near(prunesid_token_error_(&b.job, 4.0, u, 3.0 * u),
        (sqrt((double)D) / 4.0 * u + 6.0 * u) / 2.0, "a token");
    bench_close(&b);
}

/* Left and right vectors; with and without a residual; and a pair behind the guards. */
static void the_model_of_all_columns(void **state) {
    const double u = 0x1p-24, theta[] = {16.0, 4.0, 1.0, 0.5, 0.4, 0.3, 0.2, 0.1};
    bench b;
    (void)state;
    bench_open(&b);
    prunesid_krylov_ *krylov = &b.job.krylov;
    const double c = b.job.kernels->noise;
    memcpy(krylov->theta, theta, sizeof theta);
    memset(krylov->residual, 0, K * sizeof(double));
    krylov->n_theta = N_ITEMS(theta);
    b.job.n_columns = K + 4;
    for (int is_left = 0; is_left < 2; is_left++) {
        b.job.is_left = is_left;
        krylov->residual[1] = 0.0;
        prunesid_model_errors_(&b.job);
        for (size_t k = 0; k < K; k++)
            for (size_t l = 0; l < K + 4; l++) {
                double want =
                    l == k ? c * u : prunesid_pair_error_(&b.job, theta[k], theta[l], u, u);
                if (l < k && !is_left) want *= sqrt(theta[l] / theta[k]);
                check_near(b.job.noise[k * b.job.ldV + l], want, "a column in another");
            }
        const double behind = prunesid_pair_error_(&b.job, theta[1], theta[7], u, u);
        const double without = b.job.outside[1];
        check_near(without,
            6.0 * behind / sqrt((double)T) + prunesid_token_error_(&b.job, theta[1], u, u),
            "what is outside");
        krylov->residual[1] = 1e-3;
        prunesid_model_errors_(&b.job);
        CHECK(fabs(b.job.outside[1] - without - 18.0 * 1e-3 / (4.0 * sqrt((double)T))) < 1e-12,
            "a residual: %g", b.job.outside[1] - without);
    }
    /* What grows beyond a unit vector is one. */
    krylov->theta[1] = 16.0 * (1.0 - 1e-7);
    krylov->theta[2] = krylov->theta[1] * (1.0 - 1e-5);
    b.job.is_left = 0;
    prunesid_model_errors_(&b.job);
    check_near(b.job.noise[1 * b.job.ldV + 0], 1.0, "two that nothing tells apart");
    bench_close(&b);
}

static void the_error_of_a_loading(void **state) {
    bench b;
    (void)state;
    bench_open(&b);
    double *v = loadings_of(&b, 5), *noise = b.job.noise + 1 * b.job.ldV;
    b.job.n_columns = K + 2; /* two guards */
    for (size_t l = 0; l < K + 2; l++) {
        v[l] = l % 2 == 0 ? 0.1 * (double)(l + 1) : -0.1 * (double)(l + 1);
        noise[l] = 1e-3 * (double)(l + 2);
    }
    b.job.outside[1] = 0.25;
    double square = 0.0;
    for (size_t l = 0; l < K + 2; l++) square += v[l] * noise[l] * (v[l] * noise[l]);
    check_near(prunesid_loading_error_(&b.job, 5, 1), sqrt(square) + 0.25, "a loading");
    bench_close(&b);
}

/* ---- groups ------------------------------------------------------------------------------- */

/* Token 0 belongs to column 0; column 2 comes within so much of it, with either sign. */
static void which_groups_are_open(void **state) {
    const double error = 1e-6;
    bench b;
    (void)state;
    bench_open(&b);
    for (size_t k = 0; k < K; k++) b.job.outside[k] = error;
    assert_int_equal(prunesid_group_tokens_(&b.job), 0);
    assert_int_equal(open_columns(&b), 0);
    for (int sign = -1; sign <= 1; sign += 2) {
        double *v = loadings_of(&b, 0);
        v[0] = -sign * 0.5;
        v[2] = sign * (0.5 - 1.9 * error);
        assert_int_equal(prunesid_group_tokens_(&b.job), 2);
        assert_int_equal(open_columns(&b), 5);
        assert_int_equal(b.job.group[0], 0);
        v[2] = sign * (0.5 - 2.1 * error);
        assert_int_equal(prunesid_group_tokens_(&b.job), 0);
        v[2] = sign * (0.5 + 1.9 * error); /* now it is column 2's, and as open */
        assert_int_equal(prunesid_group_tokens_(&b.job), 2);
        assert_int_equal(b.job.group[0], 2);
        v[2] = v[0]; /* the lower column among equals */
        assert_int_equal(prunesid_group_tokens_(&b.job), 2);
        assert_int_equal(b.job.group[0], 0);
    }
    /* Each column has an error of its own. */
    loadings_of(&b, 0)[2] = 0.5 - 1e-5;
    assert_int_equal(prunesid_group_tokens_(&b.job), 0);
    b.job.outside[2] = 1e-5;
    assert_int_equal(prunesid_group_tokens_(&b.job), 2);
    b.job.outside[2] = error;
    b.job.outside[1] = 1e-5;
    assert_int_equal(prunesid_group_tokens_(&b.job), 0);
    /* What a guard has in the token counts. */
    b.job.n_columns = K + 1;
    loadings_of(&b, 0)[K] = 0.9;
    b.job.noise[2 * b.job.ldV + K] = 1.2e-5;
    assert_int_equal(prunesid_group_tokens_(&b.job), 2);
    assert_int_equal(open_columns(&b), 5);
    /* Three columns. */
    loadings_of(&b, 0)[1] = 0.5 - 1e-6;
    assert_int_equal(prunesid_group_tokens_(&b.job), 3);
    /* A token without loadings, and loadings that are exact, leave nothing open. */
    memset(loadings_of(&b, 0), 0, b.job.ldV * sizeof(double));
    assert_int_equal(prunesid_group_tokens_(&b.job), 0);
    loadings_of(&b, 0)[1] = loadings_of(&b, 0)[2] = 0.5;
    b.job.has_bounds = 0;
    assert_int_equal(prunesid_group_tokens_(&b.job), 0);
    bench_close(&b);
}

/* ---- orders ------------------------------------------------------------------------------- */

static void which_orders_matter(void **state) {
    const double every = -2.0, none = 2.0; /* tau: all are similar, or none is */
    bench b;
    (void)state;
    bench_open(&b);
    uint8_t *kept = b.job.state, *survives = b.job.survives;
    memset(survives, 0, T);
    kept[0] = kept[1] = PRUNESID_KEPT;
    assert_int_equal(prunesid_order_matters_(&b.job, 0, 1, every, 0), 0);
    assert_int_equal(prunesid_order_matters_(&b.job, 0, 1, every, 1), 1);
    kept[0] = kept[1] = PRUNESID_SUPPRESSED;
    assert_int_equal(prunesid_order_matters_(&b.job, 0, 1, every, 1), 0);
    kept[1] = PRUNESID_KEPT;
    assert_int_equal(prunesid_order_matters_(&b.job, 0, 1, none, 0), 1);
    survives[1] = 1;
    assert_int_equal(prunesid_order_matters_(&b.job, 0, 1, none, 0), 0);
    assert_int_equal(prunesid_order_matters_(&b.job, 0, 1, every, 0), 1);
    survives[0] = 1;
    assert_int_equal(prunesid_order_matters_(&b.job, 0, 1, none, 0), 1);
    bench_close(&b);
}

/* One group of all tokens by falling loading, of which the first are kept. */
static void stand_in_one_group(bench *b, size_t n_kept) {
    prunesid_job_ *job = &b->job;
    for (size_t i = 0; i < T; i++) {
        job->group[i] = 0;
        job->key[i] = 0.9 - 0.05 * (double)i;
        memset(loadings_of(b, i), 0, job->ldV * sizeof(double));
        loadings_of(b, i)[0] = job->key[i];
        job->state[i] = i < n_kept ? PRUNESID_KEPT : PRUNESID_OVER_QUOTA;
        job->rest.order[i] = (int32_t)i;
    }
    for (size_t k = 0; k < K; k++) job->rest.n_members[k] = job->rest.n_survivors[k] = 0;
    job->rest.n_members[0] = job->rest.n_survivors[0] = T;
}

/* Columns that the choice leaves open, of which none was before. */
static size_t opened_by_choice(const bench *b, int wants_order, int *has_changed) {
    memset(b->job.is_open, 0, K);
    return prunesid_check_choice_(&b->job, 0.5, wants_order, has_changed);
}

static void which_choices_are_open(void **state) {
    const double error = 1e-6;
    int has_changed = 0;
    bench b;
    (void)state;
    bench_open(&b);
    stand_in_one_group(&b, 5);
    b.job.outside[0] = error;
    assert_int_equal(opened_by_choice(&b, 0, &has_changed), 0);
    /* The last that is kept and the first that is not. */
    b.job.key[4] = b.job.key[5] + 1.9 * error;
    assert_int_equal(opened_by_choice(&b, 0, &has_changed), 1);
    assert_int_equal(open_columns(&b), 1);
    b.job.key[4] = b.job.key[5] + 2.1 * error;
    assert_int_equal(opened_by_choice(&b, 0, &has_changed), 0);
    /* Not next to each other: another that is kept stands between. */
    b.job.key[3] = b.job.key[5] + 1.8 * error;
    b.job.key[4] = b.job.key[5] + 1.5 * error;
    assert_int_equal(opened_by_choice(&b, 0, &has_changed), 1);
    /* Among those that are kept only if the order is asked for. */
    stand_in_one_group(&b, 5);
    b.job.key[1] = b.job.key[2] + error;
    assert_int_equal(opened_by_choice(&b, 0, &has_changed), 0);
    assert_int_equal(opened_by_choice(&b, 1, &has_changed), 1);
    /* EXACT's loadings have no bounds. */
    b.job.has_bounds = 0;
    assert_int_equal(opened_by_choice(&b, 1, &has_changed), 0);
    assert_int_equal(has_changed, 0);
    bench_close(&b);
}

/* Rows of the same bits get the loadings of the lower index, and leave nothing open. */
static void equal_rows_are_levelled(void **state) {
    int has_changed = 0;
    bench b;
    (void)state;
    bench_open(&b);
    stand_in_one_group(&b, 5);
    memcpy(b.tokens + 5 * D, b.tokens + 4 * D, D * sizeof(float));
    b.job.outside[0] = 1e-6;
    b.job.key[5] = b.job.key[4] + 1e-7; /* the copy has come out in front */
    loadings_of(&b, 5)[0] = b.job.key[5];
    assert_int_equal(opened_by_choice(&b, 0, &has_changed), 0);
    assert_int_equal(has_changed, 1);
    assert_memory_equal(loadings_of(&b, 5), loadings_of(&b, 4), b.job.ldV * sizeof(double));
    assert_true(fabs(loadings_of(&b, 4)[0] - b.job.key[4]) <= 0.0);
    bench_close(&b);
}

/* ---- clusters, and when to look ----------------------------------------------------------- */

static void set_ritz_values(bench *b, const double *values, size_t n) {
    b->job.krylov.n_pairs = n;
    for (size_t k = 0; k < n; k++) b->job.krylov.ritz.values[n - 1 - k] = values[k];
}

static void clusters(void **state) {
    const double apart[] = {9.0, 8.0, 7.0, 6.0, 5.0, 4.0}, inside[] = {9.0, 9.0 * (1.0 - 5e-3)};
    double values[6];
    bench b;
    (void)state;
    bench_open(&b);
    set_ritz_values(&b, apart, 6);
    assert_int_equal(prunesid_has_cluster_(&b.job, 2), 0);
    for (size_t at = 0; at < 5; at++) { /* two of them are one, from at on: it counts up to K */
        memcpy(values, apart, sizeof values);
        values[at + 1] = values[at] * (1.0 - 5e-3);
        set_ritz_values(&b, values, 6);
        assert_int_equal(prunesid_has_cluster_(&b.job, 2), at < K);
        assert_int_equal(prunesid_has_cluster_(&b.job, 3), 0);
        values[at + 1] = values[at] * (1.0 - 7e-3);
        set_ritz_values(&b, values, 6);
        assert_int_equal(prunesid_has_cluster_(&b.job, 2), 0);
    }
    set_ritz_values(&b, inside, 2); /* as many as were found */
    assert_int_equal(prunesid_has_cluster_(&b.job, 2), 1);
    assert_int_equal(prunesid_has_cluster_(&b.job, 3), 0);
    bench_close(&b);
}

static void when_to_look_again(void **state) {
    prunesid_krylov_ krylov;
    (void)state;
    memset(&krylov, 0, sizeof krylov);
    krylov.most = 100;
    krylov.count = 40;
    assert_int_equal(prunesid_next_test_(&krylov, 1.0), 40);
    assert_int_equal(prunesid_next_test_(&krylov, 1.1), 44);
    assert_int_equal(prunesid_next_test_(&krylov, 4.0), 44);
    assert_int_equal(prunesid_next_test_(&krylov, 4.1), 48);
    assert_int_equal(prunesid_next_test_(&krylov, 1e300), 100);
}

/* ---- refinement --------------------------------------------------------------------------- */

/* What two columns of S get of each other, and what a third one gets of neither. */
static void the_second_order_of_a_pass(void **state) {
    bench b;
    (void)state;
    bench_open(&b);
    prunesid_refiner_ *r = &b.job.refiner;
    r->n = 3;
    r->sigma[0] = 3.0;
    r->sigma[1] = 2.0;
    r->sigma[2] = 1.0;
    r->moved[0] = 1e-3;
    r->moved[1] = 2e-3;
    r->moved[2] = 0.0;
    const double pair = 1e-3 * 2e-3 * 9.0 / 5.0;
    check_near(prunesid_second_order_(&b.job, 0), pair, "the first");
    check_near(prunesid_second_order_(&b.job, 1), pair, "the second");
    check_near(prunesid_second_order_(&b.job, 2), 0.0, "one that has not moved");
    r->moved[2] = 1e3; /* beyond the gaps */
    check_near(prunesid_second_order_(&b.job, 0), sqrt(pair * pair + 1.0), "next to anything");
    bench_close(&b);
}

/* An open column that was refined, with more error left than rounding explains. */
static void refinement_comes_to_an_end(void **state) {
    int info = 0;
    bench b;
    (void)state;
    bench_open(&b);
    prunesid_refiner_ *r = &b.job.refiner;
    memset(b.job.is_open, 0, K);
    memset(b.job.is_refined, 0, K);
    b.job.is_open[0] = b.job.is_refined[0] = 1;
    r->n = 1;
    r->columns[0] = 0;
    r->error[0] = 1e-3;
    r->floor[0] = 1e-9;
    r->n_passes = 10;
    assert_int_equal(prunesid_refine_(&b.job, &info), -1);
    r->error[0] = 1e-10; /* that is all that float64 can say */
    r->is_float64 = 1;
    assert_int_equal(prunesid_refine_(&b.job, &info), 0);
    assert_int_equal(info, 0);
    bench_close(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_error_of_a_pair),
        cmocka_unit_test(the_model_of_all_columns),
        cmocka_unit_test(the_error_of_a_loading),
        cmocka_unit_test(which_groups_are_open),
        cmocka_unit_test(which_orders_matter),
        cmocka_unit_test(which_choices_are_open),
        cmocka_unit_test(equal_rows_are_levelled),
        cmocka_unit_test(clusters),
        cmocka_unit_test(when_to_look_again),
        cmocka_unit_test(the_second_order_of_a_pass),
        cmocka_unit_test(refinement_comes_to_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
