/* test_group.c - groups by the largest absolute loading, of given loadings.   MIT licence.
 *
 * What is refused, and groups from an SVD of our own, are in test_psca. */
#include "support.h"

enum { DIM = 3 };

/* prunesid_psca on loadings [T, K] with rows ld apart. */
static void group_of(
    const float *v, size_t T, size_t K, size_t ld, int32_t *group, float *loading) {
    float *const x = tokens_new(KIND_REAL, T, DIM, 1);
    prunesid_config config = prunesid_config_init(PRUNESID_PAPER, 1);
    prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, DIM);
    config.n_groups = K;
    input.loadings = v;
    input.ld_loadings = ld;
    guard workspace = guard_workspace(&config, &input);
    CHECK_STATUS(prunesid_psca(&config, &input, workspace.data, workspace.n_bytes, NULL, group,
                     loading, NULL),
        PRUNESID_OK, "T = %zu, K = %zu, ld = %zu", T, K, ld);
    guard_free(&workspace);
    free(x);
}

static void matches_reference(void **unused) {
    uint64_t state = 1;
    static const size_t shapes[][3] = {
        {1, 1, 1}, {7, 3, 3}, {16, 1, 4}, {33, 300, 301}, {576, 16, 16}, {50, 80, 97}};
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(shapes); s++) {
        const size_t T = shapes[s][0], K = shapes[s][1], ld = shapes[s][2];
        guard group = guard_new(T * 4, 0), loading = guard_new(T * 4, 0);
        float *const v = (float *)ref_new(T * ld, sizeof *v);
        double *const wide = (double *)ref_new(T * K, sizeof *wide);
        int32_t *const want = (int32_t *)ref_new(T, sizeof *want);
        double *const want_loading = (double *)ref_new(T, sizeof *want_loading);
        for (size_t i = 0; i < T * ld; i++) { /* coarse, so that ties of both signs occur */
            v[i] = i % ld < K ? (float)random_size(&state, 0, 16) / 8.0f - 1.0f : NAN;
            if (i % ld < K) wide[i / ld * K + i % ld] = (double)v[i];
        }
        ref_group(wide, T, K, want, want_loading);
        group_of(v, T, K, ld, (int32_t *)(void *)group.data, (float *)(void *)loading.data);
        for (size_t i = 0; i < T; i++) {
            const int32_t k = ((int32_t *)(void *)group.data)[i];
            CHECK(k == want[i], "shape %zu, token %zu: %d, not %d", s, i, k, want[i]);
            assert_true((double)((float *)(void *)loading.data)[i] == want_loading[i]);
        }
        guard_free(&group);
        guard_free(&loading);
        free(v);
        free(wide);
        free(want);
        free(want_loading);
    }
}

static void signs_do_not_matter(void **unused) {
    static const float v[3][3] = {
        {0.25f, -0.5f, 0.5f}, {-0.0f, 0.0f, -0.0f}, {1e-38f, -3e38f, 3e38f}};
    int32_t group[3];
    float loading[3];
    (void)unused;
    group_of(v[0], 3, 3, 3, group, loading);
    assert_int_equal(group[0], 1);
    assert_true(loading[0] == 0.5f);
    assert_int_equal(group[1], 0);
    assert_false(signbit(loading[1]));
    assert_int_equal(group[2], 1);
    assert_true(loading[2] == v[2][2]);
}

/* Groups and loadings of a whole selection are those of the stage. */
static void select_groups_alike(void **unused) {
    enum { T = 90, K = 7 };
    float *const x = tokens_new(KIND_REAL, T, DIM, 1), v[T * K], loading[T];
    int32_t group[T];
    uint64_t state = 2;
    (void)unused;
    for (size_t i = 0; i < T * K; i++) v[i] = (float)random_normal(&state);
    group_of(v, T, K, K, group, loading);
    prunesid_config config = prunesid_config_init(PRUNESID_PAPER, 20);
    prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, DIM);
    config.n_groups = K;
    input.loadings = v;
    input.ld_loadings = K;
    run r = run_select(&config, &input);
    assert_true(run_consistent(&r, &config, &input));
    assert_memory_equal(r.details.group, group, sizeof group);
    assert_memory_equal(r.details.loading, loading, sizeof loading);
    run_free(&r);
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_reference),
        cmocka_unit_test(signs_do_not_matter),
        cmocka_unit_test(select_groups_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
