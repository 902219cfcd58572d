/* test_faults.c - what an attack from outside found, and what mutants of the header survived: one
 * test each that fails without the mend.   MIT licence. */
#include "support.h"

#include <errno.h>

enum { WIDE = 200 }; /* channels: three of the pieces that a row is looked at in, and a rest */

/* Whichever column it is in, and though others follow. */
static void a_bad_element_is_found_in_any_column(void **unused) {
    enum { T = 3 };
    static const size_t widths[] = {1, 2, 15, 16, 17, 63, 64, 65, 66, 127, 128, 129, WIDE};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(widths) * 3; i++) {
        const size_t d = widths[i / 3], ld = d + i % 2;
        const prunesid_dtype dtype = (prunesid_dtype)(i % 3);
        for (size_t place = 0; place < T * d; place++) {
            float *const x = (float *)ref_new(T * ld, sizeof *x);
            size_t row = 99, column = 99;
            x[place / d * ld + place % d] = place % 2 ? NAN : -INFINITY;
            x[(T - 1) * ld + d - 1] = INFINITY;
            for (size_t r = 0; r < T && ld > d; r++) x[r * ld + d] = NAN; /* padding */
            void *const tokens = convert(x, T * ld, dtype);
            prunesid_input input = prunesid_input_init(tokens, dtype, T, d);
            input.ld = ld;
            assert_int_equal(
                prunesid_input_check(&input, &row, &column), PRUNESID_ERROR_TOKENS_NOT_FINITE);
            CHECK(row == place / d && column == place % d, "d = %zu, %zu: [%zu, %zu]", d, place,
                row, column);
            free(tokens);
            free(x);
        }
    }
}

/* Two kept tokens of the same bits: the lower index stands for a third. */
static void the_lower_index_represents_among_equals(void **unused) {
    enum { T = 24, D = 19 };
    (void)unused;
    for (int32_t first = 0; first < T; first++) {
        for (int32_t second = first + 1; second < T; second++) {
            float *const x = tokens_new(KIND_GAUSS, T, D, 5);
            const int32_t guarded[2] = {first, second};
            prunesid_config config = prunesid_config_init(PRUNESID_PAPER, 3);
            prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, D);
            float v[T];
            for (size_t i = 0; i < T; i++) v[i] = 1.0f;
            config.n_groups = input.ld_loadings = 1;
            input.loadings = v;
            input.protected_tokens = guarded;
            input.n_protected = 2;
            memcpy(x + second * D, x + first * D, D * sizeof *x);
            const int32_t third = first > 0 ? 0 : second < T - 1 ? T - 1 : 1;
            for (size_t j = 0; j < D; j++) /* nearly the same, but another token */
                x[third * D + (int32_t)j] = x[first * D + (int32_t)j] * 1.5f + 1e-3f * (float)j;
            run r = run_select(&config, &input);
            assert_true(run_consistent(&r, &config, &input));
            if (r.details.state[third] != PRUNESID_KEPT)
                CHECK(r.details.representative[third] == first, "%d and %d: %d stands for %d",
                    first, second, r.details.representative[third], third);
            run_free(&r);
            free(x);
        }
    }
}

/* In place a repeated or falling index would read what is overwritten already. */
static void gather_in_place_wants_rising_indices(void **unused) {
    static const int32_t bad[][3] = {{0, 0, 1}, {0, 1, 1}, {2, 2, 2}, {1, 0, 2}, {0, 2, 1}};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(bad); i++) {
        char rows[] = "abcdef", out[] = "......", wanted[] = "......";
        CHECK_STATUS(prunesid_gather(rows, 3, 2, 2, bad[i], 3, rows, 2), PRUNESID_ERROR_INDEX,
            "case %zu", i);
        assert_string_equal(rows, "abcdef");
        assert_int_equal(prunesid_gather(rows, 3, 2, 2, bad[i], 3, out, 2), PRUNESID_OK);
        for (size_t j = 0; j < 3; j++) memcpy(wanted + 2 * j, rows + 2 * bad[i][j], 2);
        assert_string_equal(out, wanted);
    }
    const int32_t good[] = {0, 1};
    char rows[] = "abcdef";
    CHECK_STATUS(prunesid_gather(rows, 3, 2, 2, good, 2, rows, 3), PRUNESID_ERROR_STRIDE, "%s",
        "in place with another stride");
}

/* More groups than tokens, from the engine's loadings: their counts have room of their own. The
 * step of .ci/run that poisons the workspace sees an overflow from one array into the next. */
static void more_groups_than_tokens(void **unused) {
    enum { T = 9, D = 7, MOST = 200 };
    uint64_t state = 4;
    (void)unused;
    for (size_t K = 1; K <= MOST; K += 1 + K / 8) {
        for (size_t p = 0; p < N_ITEMS(all_presets); p++) {
            float *const x = tokens_new(KIND_GAUSS, T, D, K);
            float *const v = (float *)ref_new(T * K, sizeof *v);
            prunesid_config config = prunesid_config_init(all_presets[p], 5);
            prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, D);
            for (size_t i = 0; i < T * K; i++) v[i] = (float)random_normal(&state);
            v[T * K - 1] = 100.0f; /* the last group has a member */
            config.n_groups = input.ld_loadings = K;
            input.loadings = v;
            double *const wide = widen(x, T * D, PRUNESID_F32);
            ref_result want = ref_select(&config, &input, wide);
            run r = run_select(&config, &input);
            assert_true(run_consistent(&r, &config, &input));
            assert_int_equal(r.details.group[T - 1], K - 1);
            CHECK(memcmp(r.details.order, want.order, want.n_kept * 4) == 0, "K = %zu", K);
            run_free(&r);
            ref_free(&want);
            free(wide);
            free(x);
            free(v);
        }
    }
}

/* A number that no budget leaves room for, in every way to share. */
static void reserved_rows_at_the_limits(void **unused) {
    static const size_t numbers[] = {INT32_MAX, (size_t)INT32_MAX + 1, SIZE_MAX - 1, SIZE_MAX};
    enum { T = 8, D = 3 };
    float x[T * D] = {0};
    const prunesid_input image = prunesid_input_init(x, PRUNESID_F32, T, D);
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(numbers) * 3; i++) {
        prunesid_region regions[2] = {
            prunesid_region_init(&image, 0, 4, 2), prunesid_region_init(&image, 4, 4, 2)};
        prunesid_config config = prunesid_config_init(PRUNESID_PAPER, INT32_MAX);
        prunesid_plan plan;
        config.reserved = numbers[i / 3];
        const prunesid_batch batch =
            prunesid_batch_init(&config, (prunesid_sharing)(i % 3), regions, 2);
        CHECK_STATUS(prunesid_batch_plan(&batch, &plan), PRUNESID_ERROR_RESERVED, "case %zu", i);
        assert_true(plan.n_kept == 0 && plan.workspace_bytes == 0);
        size_t n_bytes = 77;
        assert_int_equal(prunesid_workspace_size(&config, T, D, &n_bytes), PRUNESID_ERROR_RESERVED);
        assert_int_equal(n_bytes, 77);
        assert_int_equal(prunesid_n_kept(&config, T), 0);
    }
}

/* The sigmoid saturates long before exp overflows: no errno, and the bits of +-700. Where a
 * container or an emulator refuses what OpenBLAS asks for its first buffer, that leaves an errno:
 * the first image is done twice. */
static void huge_tokens_leave_errno_alone(void **unused) {
    static const size_t shapes[][2] = {{40, 24}, {24, 40}, {120, 100}};
    static const float sizes[] = {701.0f, 1e5f, 3e38f};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(shapes) * N_ITEMS(sizes) * 2; i++) {
        const size_t T = shapes[i / 6][0], d = shapes[i / 6][1];
        float *const x = tokens_new(KIND_GAUSS, T, d, i), *const y =
                                                              tokens_new(KIND_GAUSS, T, d, i);
        prunesid_config config = prunesid_config_init(PRUNESID_PAPER, 16);
        float *const v[2] = {(float *)ref_new(T * 4, 4), (float *)ref_new(T * 4, 4)};
        config.svd = (prunesid_svd)(i % 2);
        for (size_t e = 0; e < T * d; e += 3) {
            x[e] = copysignf(sizes[i / 2 % 3], x[e]);
            y[e] = copysignf(700.0f, y[e]);
        }
        for (size_t side = 0; side < 2; side++) {
            const prunesid_input input = prunesid_input_init(side == 0 ? x : y, PRUNESID_F32, T, d);
            guard workspace = guard_workspace(&config, &input);
            for (int is_first = i == 0; is_first >= 0; is_first--) {
                errno = 0;
                assert_int_equal(prunesid_psca(&config, &input, workspace.data, workspace.n_bytes,
                                     v[side], NULL, NULL, NULL),
                    PRUNESID_OK);
                assert_true(errno == 0 || is_first);
            }
            guard_free(&workspace);
        }
        CHECK(memcmp(v[0], v[1], T * 4 * sizeof *v[0]) == 0, "case %zu", i);
        free(v[0]);
        free(v[1]);
        free(x);
        free(y);
    }
}

/* What was in the workspace before is irrelevant: zeros, NaN, and what another image left. */
static void the_workspace_is_written_before_it_is_read(void **unused) {
    static const size_t shapes[][3] = {{50, 30, 12}, {30, 50, 12}, {130, 110, 20}, {9, 300, 4}};
    static const int fills[] = {0x00, 0xFF, 0x7F, 0x01};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(shapes) * N_ITEMS(all_presets); i++) {
        const size_t *const shape = shapes[i / N_ITEMS(all_presets)];
        float *const x = tokens_new(KIND_SINKS, shape[0], shape[1], i);
        const prunesid_config config =
            prunesid_config_init(all_presets[i % N_ITEMS(all_presets)], shape[2]);
        const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, shape[0], shape[1]);
        run want = run_select(&config, &input);
        guard workspace = guard_workspace(&config, &input);
        for (size_t f = 0; f <= N_ITEMS(fills); f++) {
            run r = run_new(&config, &input);
            if (f < N_ITEMS(fills)) memset(workspace.data, fills[f], workspace.n_bytes);
            r.status = prunesid_select(&config, &input, workspace.data, workspace.n_bytes,
                r.indices, r.n_kept, &r.details);
            CHECK(run_equal(&want, &r), "case %zu, fill %zu", i, f);
            run_free(&r);
        }
        guard_free(&workspace);
        run_free(&want);
        free(x);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bad_element_is_found_in_any_column),
        cmocka_unit_test(the_lower_index_represents_among_equals),
        cmocka_unit_test(gather_in_place_wants_rising_indices),
        cmocka_unit_test(more_groups_than_tokens),
        cmocka_unit_test(reserved_rows_at_the_limits),
        cmocka_unit_test(huge_tokens_leave_errno_alone),
        cmocka_unit_test(the_workspace_is_written_before_it_is_read),
    };
    return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
