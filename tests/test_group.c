/* test_group.c - grouping by the largest absolute loading.   MIT licence. */
#include "support.h"

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
            if (i % ld < K) {
                wide[i / ld * K + i % ld] = (double)v[i];
            }
        }
        ref_group(wide, T, K, want, want_loading);
        CHECK_STATUS(prunesid_group(
                         v, T, K, ld, (int32_t *)(void *)group.data, (float *)(void *)loading.data),
            PRUNESID_OK, "shape %zu", s);
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
    static const float v[2][3] = {{0.25f, -0.5f, 0.5f}, {-0.0f, 0.0f, -0.0f}};
    int32_t group[2];
    float loading[2];
    (void)unused;
    assert_int_equal(prunesid_group(v[0], 2, 3, 3, group, loading), PRUNESID_OK);
    assert_int_equal(group[0], 1);
    assert_true(loading[0] == 0.5f);
    assert_int_equal(group[1], 0);
    assert_false(signbit(loading[1]));
}

static void refuses(void **unused) {
    float v[6] = {1, 2, 3, 4, 5, 6};
    int32_t group[3] = {9, 9, 9};
    float loading[3] = {9, 9, 9};
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    (void)unused;
    assert_int_equal(prunesid_group(NULL, 3, 2, 2, group, loading), PRUNESID_ERROR_NULL);
    assert_int_equal(prunesid_group(v, 3, 2, 2, NULL, loading), PRUNESID_ERROR_NULL);
    assert_int_equal(prunesid_group(v, 3, 2, 2, group, NULL), PRUNESID_ERROR_NULL);
    assert_int_equal(prunesid_group(v, 0, 2, 2, group, loading), PRUNESID_ERROR_EMPTY);
    assert_int_equal(prunesid_group(v, 3, 0, 2, group, loading), PRUNESID_ERROR_EMPTY);
    assert_int_equal(prunesid_group(v, 3, 2, 1, group, loading), PRUNESID_ERROR_STRIDE);
    assert_int_equal(
        prunesid_group(v, (size_t)INT32_MAX + 1, 2, 2, group, loading), PRUNESID_ERROR_DIMENSION);
    const size_t wide = (size_t)INT32_MAX + 1;
    assert_int_equal(prunesid_group(v, 3, wide, wide, group, loading), PRUNESID_ERROR_DIMENSION);
    for (size_t place = 0; place < 6; place++) {
        const float good = v[place];
        v[place] = bad[place % 3];
        assert_int_equal(
            prunesid_group(v, 3, 2, 2, group, loading), PRUNESID_ERROR_LOADINGS_NOT_FINITE);
        v[place] = good;
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(group[i], 9);
        assert_true(loading[i] == 9.0f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_reference),
        cmocka_unit_test(signs_do_not_matter),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
