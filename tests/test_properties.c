/* test_properties.c - what holds for any input: counts, bits, symmetry, memory.   MIT licence. */
#include "support.h"

/* ---- exact counts ------------------------------------------------------------------------- */

static void count_every_budget(kind what, size_t T, size_t d, size_t step, const float *scores) {
    float *const x = tokens_new(what, T, d, 1);
    const prunesid_tokens tokens = prunesid_tokens_view(x, PRUNESID_F32, T, d);
    for (size_t i = 0; i < N_ITEMS(all_presets); i++) {
        for (size_t N = 1; N <= T + 50; N += N + 1 < T ? step : 1) {
            prunesid_config config = prunesid_config_init(all_presets[i], T, d, N);
            if (N <= config.reserved) {
                continue;
            }
            run r = run_select(&config, &tokens, scores, NULL);
            CHECK(run_consistent(&r, &config), "kind %d, T = %zu, d = %zu, preset %zu, N = %zu: %s",
                (int)what, T, d, i, N, prunesid_status_string(r.status));
            run_free(&r);
        }
    }
    free(x);
}

static void exact_count_for_every_budget(void **unused) {
    static const size_t shapes[][3] = {/* T, d, step of N */
        {1, 1, 1}, {1, 7, 1}, {2, 1, 1}, {2, 3, 1}, {5, 1, 1}, {5, 24, 1}, {16, 1, 1}, {16, 24, 1},
        {16, 64, 1}, {100, 1, 7}, {100, 24, 3}, {100, 150, 23}, {576, 24, 97}, {576, 64, 191}};
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(shapes); s++) {
        for (int k = 0; k < N_KINDS; k++) {
            count_every_budget((kind)k, shapes[s][0], shapes[s][1], shapes[s][2], NULL);
        }
    }
}

static void exact_count_with_useless_scores(void **unused) {
    static const size_t sizes[] = {1, 5, 16, 100};
    float scores[576];
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(sizes); s++) {
        for (int style = 0; style < 4; style++) {
            for (size_t i = 0; i < sizes[s]; i++) {
                scores[i] = style == 0   ? 0.0f
                            : style == 1 ? (i % 20 == 3 ? 1.0f : 0.0f) /* five of 100 */
                            : style == 2 ? -1.0f - (float)i
                                         : 1.0f; /* all tie */
            }
            count_every_budget(KIND_REAL, sizes[s], 24, 1 + sizes[s] / 25, scores);
            count_every_budget(KIND_ZERO, sizes[s], 24, 1 + sizes[s] / 25, scores);
        }
    }
}

static void every_method_counts(void **unused) {
    (void)unused;
    for (int k = 0; k < N_KINDS; k++) {
        for (int svd = PRUNESID_SVD_KRYLOV; svd <= PRUNESID_SVD_SKETCH; svd++) {
            float *const x = tokens_new((kind)k, 300, 270, 3);
            const prunesid_tokens tokens = prunesid_tokens_view(x, PRUNESID_F32, 300, 270);
            for (size_t N = 1; N < 300; N += 93) {
                prunesid_config config = prunesid_config_init(PRUNESID_AUTO, 300, 270, N);
                config.svd = (prunesid_svd)svd;
                run r = run_select(&config, &tokens, NULL, NULL);
                CHECK(run_consistent(&r, &config), "kind %d, method %d, N = %zu: %s", k, svd, N,
                    prunesid_status_string(r.status));
                run_free(&r);
            }
            free(x);
        }
    }
}

/* ---- same bits ---------------------------------------------------------------------------- */

static const size_t bit_shapes[][3] = {{60, 24, 9}, {100, 150, 40}, {320, 300, 64}};

static void same_bits_on_every_run(void **unused) {
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(bit_shapes); s++) {
        for (int svd = PRUNESID_SVD_KRYLOV; svd <= PRUNESID_SVD_SKETCH; svd++) {
            const size_t T = bit_shapes[s][0], d = bit_shapes[s][1];
            float *const x = tokens_new(KIND_SINKS, T, d, 4);
            prunesid_config config = prunesid_config_init(PRUNESID_AUTO, T, d, bit_shapes[s][2]);
            prunesid_tokens tokens = prunesid_tokens_view(x, PRUNESID_F32, T, d);
            config.svd = (prunesid_svd)svd;
            run first = run_select(&config, &tokens, NULL, NULL);
            for (int fill = 0; fill <= 0x7F; fill += 0x7F) { /* guard_workspace fills with 0xFF */
                run again = run_new(&config);
                guard workspace = guard_new(prunesid_workspace_size(&config), fill);
                again.status = prunesid_select(
                    &config, &tokens, NULL, workspace.data, workspace.n_bytes, &again.out);
                CHECK(run_equal(&first, &again), "shape %zu, method %d, fill %d", s, svd, fill);
                guard_free(&workspace);
                run_free(&again);
            }
            /* the same tokens elsewhere in memory, at every alignment of a float */
            float *const moved = (float *)ref_new(T * d + 16, sizeof *moved);
            for (size_t shift = 1; shift < 16; shift += 3) {
                memcpy(moved + shift, x, T * d * sizeof *x);
                tokens.data = moved + shift;
                run again = run_select(&config, &tokens, NULL, NULL);
                CHECK(run_equal(&first, &again), "shape %zu, method %d, shift %zu", s, svd, shift);
                run_free(&again);
            }
            free(moved);
            run_free(&first);
            free(x);
        }
    }
}

/* Values that a 16-bit type holds give the same bits in float32 and in that type. */
static void same_bits_from_every_dtype(void **unused) {
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(bit_shapes); s++) {
        for (int t = PRUNESID_F16; t <= PRUNESID_BF16; t++) {
            const size_t T = bit_shapes[s][0], d = bit_shapes[s][1];
            const prunesid_dtype dtype = (prunesid_dtype)t;
            float *const x = tokens_new(KIND_REAL, T, d, 5);
            void *const narrow = convert(x, T * d, dtype);
            double *const wide = widen(narrow, T * d, dtype);
            for (size_t i = 0; i < T * d; i++) {
                x[i] = (float)wide[i];
            }
            const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, T, d, 9);
            const prunesid_tokens as_float = prunesid_tokens_view(x, PRUNESID_F32, T, d);
            const prunesid_tokens as_narrow = prunesid_tokens_view(narrow, dtype, T, d);
            run a = run_select(&config, &as_float, NULL, NULL);
            run b = run_select(&config, &as_narrow, NULL, NULL);
            CHECK(run_equal(&a, &b), "shape %zu, dtype %d", s, t);
            run_free(&a);
            run_free(&b);
            free(x);
            free(narrow);
            free(wide);
        }
    }
}

/* What lies between the rows is never read: it is NaN. */
static void padding_does_not_matter(void **unused) {
    static const size_t pads[] = {1, 3, 100};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(bit_shapes) * N_ITEMS(pads) * 3; i++) {
        const size_t *const shape = bit_shapes[i % 3];
        const size_t T = shape[0], d = shape[1], ld = d + pads[i / 3 % 3];
        const prunesid_dtype dtype = (prunesid_dtype)(i / 9);
        float *const x = tokens_new(KIND_REAL, T, d, 6);
        float *const spread = (float *)ref_new(T * ld, sizeof *spread);
        for (size_t j = 0; j < T * ld; j++) {
            spread[j] = j % ld < d ? x[j / ld * d + j % ld] : NAN;
        }
        void *const tight = convert(x, T * d, dtype), *const padded =
                                                          convert(spread, T * ld, dtype);
        const prunesid_config config = prunesid_config_init(PRUNESID_PAPER, T, d, shape[2]);
        const prunesid_tokens tokens = prunesid_tokens_view(tight, dtype, T, d);
        prunesid_tokens view = prunesid_tokens_view(padded, dtype, T, d);
        view.ld = ld;
        run a = run_select(&config, &tokens, NULL, NULL),
            b = run_select(&config, &view, NULL, NULL);
        CHECK(run_equal(&a, &b), "shape %zu, ld = %zu, dtype %d", i % 3, ld, (int)dtype);
        run_free(&a);
        run_free(&b);
        free(x);
        free(spread);
        free(tight);
        free(padded);
    }
}

/* ---- symmetries --------------------------------------------------------------------------- */

static void permutation_permutes(void **unused) {
    (void)unused;
    for (int i = 0; i < 8; i++) {
        const size_t T = i % 2 ? 120 : 300, d = i % 2 ? 40 : 280;
        uint64_t state = 7;
        float *const x = tokens_new(KIND_REAL, T, d, 30 + (uint64_t)i);
        float *const moved = (float *)ref_new(T * d, sizeof *moved);
        float *const scores = scores_new(T, 9), *const moved_scores = scores_new(T, 9);
        int32_t *const to = (int32_t *)ref_new(T, sizeof *to);
        int32_t *const back = (int32_t *)ref_new(T, sizeof *back);
        for (size_t j = 0; j < T; j++) {
            to[j] = (int32_t)j;
        }
        for (size_t j = T; j > 1; j--) {
            const size_t other = random_size(&state, 0, j - 1);
            const int32_t swap = to[other];
            to[other] = to[j - 1];
            to[j - 1] = swap;
        }
        for (size_t j = 0; j < T; j++) {
            memcpy(moved + (size_t)to[j] * d, x + j * d, d * sizeof *x);
            moved_scores[to[j]] = scores[j];
        }
        const prunesid_config config = prunesid_config_init(all_presets[i / 2], T, d, 40);
        const prunesid_tokens tokens = prunesid_tokens_view(x, PRUNESID_F32, T, d);
        const prunesid_tokens permuted = prunesid_tokens_view(moved, PRUNESID_F32, T, d);
        run a = run_select(&config, &tokens, scores, NULL);
        run b = run_select(&config, &permuted, moved_scores, NULL);
        for (size_t j = 0; j < a.out.n_kept; j++) {
            back[j] = to[a.out.indices[j]];
        }
        const double same = jaccard(back, a.out.n_kept, b.out.indices, b.out.n_kept, T);
        CHECK(same == 1.0, "preset %d, T = %zu: Jaccard %g", i / 2, T, same);
        for (size_t j = 0; j < T; j++) {
            assert_int_equal(a.out.group[j], b.out.group[to[j]]);
        }
        run_free(&a);
        run_free(&b);
        free(x);
        free(moved);
        free(scores);
        free(moved_scores);
        free(to);
        free(back);
    }
}

/* ---- configuration and workspace ---------------------------------------------------------- */

static void config_resolves_by_rule(void **unused) {
    uint64_t state = 12;
    (void)unused;
    for (int i = 0; i < 4000; i++) {
        const size_t T = random_size(&state, 1, 700), d = random_size(&state, 1, 700);
        const size_t N = random_size(&state, 2, 900);
        const int has_scores = i % 2;
        const prunesid_preset preset = all_presets[i / 2 % 4];
        prunesid_config config = prunesid_config_init(preset, T, d, N);
        assert_int_equal(config.reserved, preset == PRUNESID_LLAVA);
        assert_int_equal(prunesid_n_kept(&config), ref_min(N - config.reserved, T));
        const prunesid_config resolved = prunesid_config_resolve(&config, has_scores);
        assert_int_equal(resolved.preset, ref_preset(preset, has_scores));
        assert_int_equal(resolved.n_groups, ref_n_groups(N, T, d, ref_preset(preset, has_scores)));
        assert_int_equal(resolved.reserved, config.reserved);
        config.n_groups = 3;
        assert_int_equal(prunesid_config_resolve(&config, has_scores).n_groups, 3);
    }
}

static void workspace_grows_with_tokens(void **unused) {
    static const size_t dims[] = {1, 24, 255, 257, 1024, 3584};
    static const size_t budgets[] = {1, 4, 64, 192, 1024, 5000};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(dims) * N_ITEMS(budgets) * 12; i++) {
        const size_t d = dims[i % 6], N = budgets[i / 6 % 6];
        size_t before = 0;
        for (size_t T = 1; T <= 6000; T += T <= 290 ? 1 : T <= 1100 ? 7 : T / 7) {
            prunesid_config config = prunesid_config_init(all_presets[i / 36 % 4], T, d, N);
            config.svd = (prunesid_svd)(i / 144);
            config.reserved = 0;
            const size_t n_bytes = prunesid_workspace_size(&config);
            CHECK(n_bytes > 0 && n_bytes >= before,
                "T = %zu, d = %zu, N = %zu, case %zu: %zu < %zu", T, d, N, i, n_bytes, before);
            before = n_bytes;
        }
    }
}

/* The aim of the design: O(T (d + K)) bytes, and no T x T matrix. */
static void workspace_is_linear(void **unused) {
    size_t n_bytes[2];
    (void)unused;
    for (size_t i = 0; i < 2; i++) {
        const prunesid_config config =
            prunesid_config_init(PRUNESID_AUTO, i ? 65536 : 32768, 256, 64);
        n_bytes[i] = prunesid_workspace_size(&config);
    }
    CHECK((double)n_bytes[1] < 2.1 * (double)n_bytes[0], "%zu, %zu", n_bytes[0], n_bytes[1]);
}

static void workspace_size_depends_on_the_configuration_alone(void **unused) {
    static const int32_t none[1] = {0};
    prunesid_config config = prunesid_config_init(PRUNESID_AUTO, 576, 300, 64);
    const size_t n_bytes = prunesid_workspace_size(&config);
    (void)unused;
    config.seed = 99;
    config.clock_ns = NULL;
    config.protected_indices = none;
    assert_int_equal(prunesid_workspace_size(&config), n_bytes);
}

/* run_select gives exactly as many bytes as asked; here is one fewer. */
static void one_byte_fewer_fails(void **unused) {
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(bit_shapes); s++) {
        for (int svd = PRUNESID_SVD_KRYLOV; svd <= PRUNESID_SVD_SKETCH; svd++) {
            const size_t T = bit_shapes[s][0], d = bit_shapes[s][1];
            float *const x = tokens_new(KIND_GAUSS, T, d, 8);
            prunesid_config config = prunesid_config_init(PRUNESID_AUTO, T, d, 9);
            const prunesid_tokens tokens = prunesid_tokens_view(x, PRUNESID_F32, T, d);
            config.svd = (prunesid_svd)svd;
            run whole = run_select(&config, &tokens, NULL, NULL);
            assert_int_equal(whole.status, PRUNESID_OK);
            run_free(&whole);
            run r = run_new(&config);
            guard workspace = guard_workspace(&config);
            assert_int_equal(prunesid_select(&config, &tokens, NULL, workspace.data,
                                 workspace.n_bytes - 1, &r.out),
                PRUNESID_ERROR_WORKSPACE_SHORT);
            assert_true(guard_untouched(&r.memory[0], OUTPUT_FILL));
            guard_free(&workspace);
            run_free(&r);
            free(x);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_count_for_every_budget),
        cmocka_unit_test(exact_count_with_useless_scores),
        cmocka_unit_test(every_method_counts),
        cmocka_unit_test(same_bits_on_every_run),
        cmocka_unit_test(same_bits_from_every_dtype),
        cmocka_unit_test(padding_does_not_matter),
        cmocka_unit_test(permutation_permutes),
        cmocka_unit_test(config_resolves_by_rule),
        cmocka_unit_test(workspace_grows_with_tokens),
        cmocka_unit_test(workspace_is_linear),
        cmocka_unit_test(workspace_size_depends_on_the_configuration_alone),
        cmocka_unit_test(one_byte_fewer_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
