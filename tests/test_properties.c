/* test_properties.c - what holds for any input: counts, bits, symmetry, memory.   MIT licence. */
#include "support.h"

/* ---- exact counts ------------------------------------------------------------------------- */

static void count_every_budget(kind what, size_t T, size_t d, size_t step, const float *scores) {
    float *const x = tokens_new(what, T, d, 1);
    prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, d);
    input.scores = scores;
    for (size_t i = 0; i < N_ITEMS(all_presets); i++) {
        for (size_t N = 1; N <= T + 50; N += N + 1 < T ? step : 1) {
            const prunesid_config config = prunesid_config_init(all_presets[i], N);
            if (N <= config.reserved) continue;
            run r = run_select(&config, &input);
            CHECK(run_consistent(&r, &config, &input),
                "kind %d, T = %zu, d = %zu, preset %zu, N = %zu: %s", (int)what, T, d, i, N,
                prunesid_status_string(r.status));
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
    for (size_t s = 0; s < N_ITEMS(shapes); s++)
        for (int k = 0; k < N_KINDS; k++)
            count_every_budget((kind)k, shapes[s][0], shapes[s][1], shapes[s][2], NULL);
}

static void exact_count_with_useless_scores(void **unused) {
    static const size_t sizes[] = {1, 5, 16, 100};
    float scores[100];
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
        float *const x = tokens_new((kind)k, 300, 270, 3);
        const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, 300, 270);
        for (size_t i = 0; i < 8; i++) {
            prunesid_config config = prunesid_config_init(PRUNESID_AUTO, 1 + i / 2 * 93);
            config.svd = i % 2 ? PRUNESID_SVD_EXACT : PRUNESID_SVD_KRYLOV;
            run r = run_select(&config, &input);
            CHECK(run_consistent(&r, &config, &input), "kind %d, method %zu, N = %zu: %s", k, i % 2,
                config.budget, prunesid_status_string(r.status));
            run_free(&r);
        }
        free(x);
    }
}

/* ---- same bits ---------------------------------------------------------------------------- */

static const size_t bit_shapes[][3] = {{60, 24, 9}, {100, 150, 40}, {320, 300, 64}};

/* Every shape with every method. */
enum { N_BIT_CASES = 6 };

static prunesid_config bit_config(size_t i, size_t *n_tokens, size_t *dim) {
    prunesid_config config = prunesid_config_init(PRUNESID_AUTO, bit_shapes[i / 2][2]);
    config.svd = i % 2 ? PRUNESID_SVD_EXACT : PRUNESID_SVD_KRYLOV;
    *n_tokens = bit_shapes[i / 2][0];
    *dim = bit_shapes[i / 2][1];
    return config;
}

static void same_bits_on_every_run(void **unused) {
    (void)unused;
    for (size_t i = 0; i < N_BIT_CASES; i++) {
        size_t T, d;
        const prunesid_config config = bit_config(i, &T, &d);
        float *const x = tokens_new(KIND_SINKS, T, d, 4);
        prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, d);
        run first = run_select(&config, &input);
        for (int fill = 0; fill <= 0x7F; fill += 0x7F) { /* guard_workspace fills with 0xFF */
            run again = run_new(&config, &input);
            guard workspace = guard_workspace(&config, &input);
            memset(workspace.data, fill, workspace.n_bytes);
            again.status = prunesid_select(&config, &input, workspace.data, workspace.n_bytes,
                again.indices, again.n_kept, &again.details);
            CHECK(run_equal(&first, &again), "case %zu, fill %d", i, fill);
            guard_free(&workspace);
            run_free(&again);
        }
        /* the same tokens elsewhere in memory, at every alignment of a float */
        float *const moved = (float *)ref_new(T * d + 16, sizeof *moved);
        for (size_t shift = 1; shift < 16; shift += 3) {
            memcpy(moved + shift, x, T * d * sizeof *x);
            input.tokens = moved + shift;
            run again = run_select(&config, &input);
            CHECK(run_equal(&first, &again), "case %zu, shift %zu", i, shift);
            run_free(&again);
        }
        free(moved);
        run_free(&first);
        free(x);
    }
}

/* Field by field: the padding between them may be anything. */
static int stats_equal(const prunesid_stats *a, const prunesid_stats *b) {
    return a->rho == b->rho && a->phi == b->phi && a->tau == b->tau && a->preset == b->preset &&
           a->n_groups == b->n_groups && a->n_survivors == b->n_survivors && a->svd == b->svd &&
           a->svd_steps == b->svd_steps && a->svd_residual == b->svd_residual &&
           a->lapack_info == b->lapack_info && a->ns_redundancy == b->ns_redundancy &&
           a->ns_matrix == b->ns_matrix && a->ns_svd == b->ns_svd && a->ns_nms == b->ns_nms &&
           a->ns_quotas == b->ns_quotas && a->coverage == b->coverage &&
           a->ns_represent == b->ns_represent;
}

/* Without details, or with one of their arrays. */
static void same_indices_whatever_is_asked(void **unused) {
    float *const x = tokens_new(KIND_REAL, 100, 40, 9);
    const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, 24);
    const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, 100, 40);
    guard workspace = guard_workspace(&config, &input);
    run all = run_select(&config, &input);
    (void)unused;
    for (int one = -1; one < N_OUTPUTS; one++) { /* -1: no details; 0: only the stats */
        run r = run_new(&config, &input);
        prunesid_details some = prunesid_details_init();
        some.order = one == 1 ? r.details.order : NULL;
        some.group = one == 2 ? r.details.group : NULL;
        some.state = one == 3 ? r.details.state : NULL;
        some.loading = one == 4 ? r.details.loading : NULL;
        some.representative = one == 5 ? r.details.representative : NULL;
        some.count = one == 6 ? r.details.count : NULL;
        some.log_count = one == 7 ? r.details.log_count : NULL;
        prunesid_stats stats = all.details.stats;
        stats.coverage = one >= 5 ? stats.coverage : 0.0;
        assert_int_equal(prunesid_select(&config, &input, workspace.data, workspace.n_bytes,
                             r.indices, r.n_kept, one < 0 ? NULL : &some),
            PRUNESID_OK);
        for (int i = 0; i < N_OUTPUTS; i++) { /* the indices, then the arrays */
            CHECK(i == 0 || i == one
                      ? memcmp(r.memory[i].data, all.memory[i].data, r.memory[i].n_bytes) == 0
                      : guard_untouched(&r.memory[i], OUTPUT_FILL),
                "asked for %d, output %d", one, i);
        }
        assert_true(one < 0 || stats_equal(&some.stats, &stats));
        run_free(&r);
    }
    run_free(&all);
    guard_free(&workspace);
    free(x);
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
            for (size_t i = 0; i < T * d; i++) x[i] = (float)wide[i];
            const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, 9);
            const prunesid_input as_float = prunesid_input_init(x, PRUNESID_F32, T, d);
            const prunesid_input as_narrow = prunesid_input_init(narrow, dtype, T, d);
            run a = run_select(&config, &as_float), b = run_select(&config, &as_narrow);
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
        for (size_t j = 0; j < T * ld; j++) spread[j] = j % ld < d ? x[j / ld * d + j % ld] : NAN;
        void *const tight = convert(x, T * d, dtype), *const padded =
                                                          convert(spread, T * ld, dtype);
        const prunesid_config config = prunesid_config_init(PRUNESID_PAPER, shape[2]);
        const prunesid_input input = prunesid_input_init(tight, dtype, T, d);
        prunesid_input view = prunesid_input_init(padded, dtype, T, d);
        view.ld = ld;
        run a = run_select(&config, &input), b = run_select(&config, &view);
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
    for (size_t i = 0; i < 2 * N_ITEMS(all_presets); i++) {
        const size_t T = i % 2 ? 120 : 300, d = i % 2 ? 40 : 280;
        uint64_t state = 7;
        float *const x = tokens_new(KIND_REAL, T, d, 30 + i);
        float *const moved = (float *)ref_new(T * d, sizeof *moved);
        float *const scores = scores_new(T, 9), *const moved_scores = scores_new(T, 9);
        int32_t *const to = (int32_t *)ref_new(T, sizeof *to);
        int32_t *const back = (int32_t *)ref_new(T, sizeof *back);
        for (size_t j = 0; j < T; j++) to[j] = (int32_t)j;
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
        const prunesid_config config = prunesid_config_init(all_presets[i / 2], 40);
        prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, d);
        prunesid_input permuted = prunesid_input_init(moved, PRUNESID_F32, T, d);
        input.scores = scores;
        permuted.scores = moved_scores;
        run a = run_select(&config, &input), b = run_select(&config, &permuted);
        for (size_t j = 0; j < a.n_kept; j++) back[j] = to[a.indices[j]];
        const double same = jaccard(back, a.n_kept, b.indices, b.n_kept, T);
        CHECK(same == 1.0, "preset %zu, T = %zu: Jaccard %g", i / 2, T, same);
        for (size_t j = 0; j < T; j++) {
            assert_int_equal(a.details.group[j], b.details.group[to[j]]);
            assert_int_equal(
                to[a.details.representative[j]], b.details.representative[(size_t)to[j]]);
        }
        CHECK(fabs(a.details.stats.coverage - b.details.stats.coverage) <= 1e-14, "preset %zu",
            i / 2);
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

/* first moves every index, in and out, and nothing else. */
static void indices_count_from_first(void **unused) {
    static const size_t firsts[] = {1, 999, (size_t)INT32_MAX - 100};
    static const int32_t guarded[] = {0, 7, 8, 99};
    float *const x = tokens_new(KIND_REAL, 100, 24, 12), *const scores = scores_new(100, 13);
    (void)unused;
    for (size_t i = 0; i < 2 * N_ITEMS(all_presets) * N_ITEMS(firsts); i++) {
        const size_t n_kept = i % 5 == 0 ? 100 : 20, first = firsts[i / 2 % N_ITEMS(firsts)];
        prunesid_config config = prunesid_config_init(all_presets[i / 2 / N_ITEMS(firsts)], n_kept);
        prunesid_input input = prunesid_input_init(x, PRUNESID_F32, 100, 24);
        int32_t numbers[N_ITEMS(guarded)];
        config.reserved = 0;
        input.scores = i % 2 ? scores : NULL;
        input.protected_tokens = guarded;
        input.n_protected = N_ITEMS(guarded);
        run want = run_select(&config, &input);
        for (size_t j = 0; j < N_ITEMS(guarded); j++) numbers[j] = guarded[j] + (int32_t)first;
        input.first = first;
        input.protected_tokens = numbers;
        run r = run_select(&config, &input);
        CHECK(run_consistent(&r, &config, &input), "case %zu", i);
        for (size_t j = 0; j < n_kept; j++) {
            r.indices[j] -= (int32_t)first;
            r.details.order[j] -= (int32_t)first;
        }
        for (size_t j = 0; j < 100; j++) r.details.representative[j] -= (int32_t)first;
        CHECK(run_equal(&want, &r), "case %zu", i);
        run_free(&want);
        run_free(&r);
    }
    free(x);
    free(scores);
}

/* ---- one stage after the other is a selection --------------------------------------------- */

/* order [n_kept]: what the stages keep, called one by one. Returns how many they fix: PAPER leaves
 * some to be filled up from the suppressed ones. *knows_as_much: whether the stages' loadings are a
 * selection's; prunesid_psca does not know which orders matter, so a selection may refine more. */
static size_t stages_in_a_row(const prunesid_config *config, const prunesid_input *input,
    const run *whole, int32_t *order, int *knows_as_much) {
    const size_t T = input->n_tokens, K = whole->details.stats.n_groups;
    const prunesid_stats *const stats = &whole->details.stats;
    guard workspace = guard_workspace(config, input);
    guard group = guard_new(T * 4, 0xEE), loading = guard_new(T * 4, 0xEE);
    guard picks = guard_new(T * 4, 0xEE), counts[3];
    for (size_t i = 0; i < 3; i++) counts[i] = guard_new(K * 4, 0xEE);
    int32_t *const members = (int32_t *)(void *)counts[0].data;
    int32_t *const survivors = (int32_t *)(void *)counts[1].data;
    int32_t *const quota = (int32_t *)(void *)counts[2].data;
    const int32_t *const pick = (const int32_t *)(const void *)picks.data;
    prunesid_information information = {0.0, 0.0, 0.0, 0};
    prunesid_stats found = prunesid_details_init().stats;

    assert_int_equal(
        prunesid_redundancy(input, workspace.data, workspace.n_bytes, &information), PRUNESID_OK);
    assert_true(information.rho == stats->rho && information.phi == stats->phi);
    assert_int_equal(prunesid_psca(config, input, workspace.data, workspace.n_bytes, NULL,
                         (int32_t *)(void *)group.data, (float *)(void *)loading.data, &found),
        PRUNESID_OK);
    assert_memory_equal(group.data, whole->details.group, T * 4);
    *knows_as_much = memcmp(loading.data, whole->details.loading, T * 4) == 0;
    assert_true(*knows_as_much || stats->n_refined > 0 || stats->svd_steps > 0);
    assert_true(found.preset == stats->preset && found.n_groups == K &&
                found.svd_steps == stats->svd_steps && found.n_refined <= stats->n_refined &&
                found.rho == 0.0 && found.tau == 0.0 && found.n_survivors == 0);
    const double tau = prunesid_threshold(config, input->scores != NULL, T, &information);
    assert_true(tau == stats->tau);
    assert_int_equal(prunesid_nms(config, input, (int32_t *)(void *)group.data,
                         (float *)(void *)loading.data, tau, workspace.data, workspace.n_bytes,
                         (int32_t *)(void *)picks.data, members, survivors),
        PRUNESID_OK);

    size_t n = 0, n_survivors = 0, n_members = 0;
    int32_t *const rest = (int32_t *)ref_new(T, sizeof *rest); /* without the protected ones */
    for (size_t p = 0; p < input->n_protected; p++) order[n++] = input->protected_tokens[p];
    for (size_t k = 0, at = 0, to = 0; k < K; k++) {
        const size_t end = at + (size_t)members[k];
        n_members += (size_t)members[k];
        n_survivors += (size_t)survivors[k];
        for (; at < end; at++) {
            const int32_t number = pick[at] + (int32_t)input->first;
            const int is_protected =
                ref_contains(input->protected_tokens, input->n_protected, (size_t)number);
            if (!is_protected) rest[to++] = number;
            members[k] -= is_protected;
            survivors[k] -= is_protected;
        }
    }
    assert_true(n_members == T && n_survivors == stats->n_survivors);
    assert_int_equal(prunesid_quotas(config, input, members, survivors, workspace.data,
                         workspace.n_bytes, quota),
        PRUNESID_OK);
    for (size_t k = 0, at = 0; k < K; at += (size_t)members[k++])
        for (size_t j = 0; j < (size_t)quota[k] && n < whole->n_kept; j++)
            order[n++] = rest[at + j];
    free(rest);
    guard_free(&workspace);
    guard_free(&group);
    guard_free(&loading);
    guard_free(&picks);
    for (size_t i = 0; i < 3; i++) guard_free(&counts[i]);
    return n;
}

/* With AUTO resolved by the scores, protected tokens, loadings of the engine, and first. */
static void stages_in_a_row_are_a_selection(void **unused) {
    static const size_t shapes[][3] = {{60, 24, 12}, {150, 300, 40}, {300, 280, 64}};
    const size_t n_cases = N_ITEMS(shapes) * N_ITEMS(all_presets) * 8;
    uint64_t state = 17;
    size_t n_as_much = 0;
    (void)unused;
    for (size_t i = 0; i < n_cases; i++) {
        const size_t way = i / N_ITEMS(all_presets);
        const size_t *const shape = shapes[way / 8], T = shape[0], d = shape[1], N = shape[2];
        prunesid_config config = prunesid_config_init(all_presets[i % N_ITEMS(all_presets)], N);
        float *const x = tokens_new((kind)(i % 5), T, d, 80 + i), *const scores = scores_new(T, i);
        prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, d);
        int32_t order[64], guarded[8];
        float *loadings = NULL;
        input.first = i % 3 * 500;
        input.scores = way % 2 ? scores : NULL;
        if (way / 2 % 2) {
            for (size_t j = 0, at = input.first; j < N_ITEMS(guarded); j++) {
                at += random_size(&state, 0, T / N_ITEMS(guarded) - 1);
                guarded[j] = (int32_t)at++;
            }
            input.protected_tokens = guarded;
            input.n_protected = N_ITEMS(guarded);
        }
        if (way / 4 % 2) {
            config.n_groups = 7;
            loadings = (float *)ref_new(T * 9, sizeof *loadings);
            for (size_t j = 0; j < T * 9; j++) loadings[j] = (float)random_normal(&state);
            input.loadings = loadings;
            input.ld_loadings = 9;
        }
        run whole = run_select(&config, &input);
        CHECK(run_consistent(&whole, &config, &input), "case %zu", i);
        int knows_as_much;
        const size_t n = stages_in_a_row(&config, &input, &whole, order, &knows_as_much);
        const int is_same = memcmp(order, whole.details.order, n * sizeof *order) == 0;
        CHECK(n > 0 && (is_same || !knows_as_much), "case %zu", i);
        n_as_much += (size_t)knows_as_much;
        CHECK(n == whole.n_kept || whole.details.stats.preset == PRUNESID_PAPER, "case %zu", i);
        run_free(&whole);
        free(x);
        free(scores);
        free(loadings);
    }
    print_message("%zu of %zu selections refined no more than the stages\n", n_as_much, n_cases);
    assert_true(n_as_much >= n_cases / 2);
}

/* ---- rules and workspace ------------------------------------------------------------------ */

static void every_preset_has_its_row(void **unused) {
    static const struct {
        const char *name;
        prunesid_centring centring;
        size_t least_groups;
        prunesid_tau_rule tau;
        prunesid_quota_rule quota;
        size_t reserved;
    } rows[] = {
        {"auto", PRUNESID_CENTRE_TOKEN, 4, PRUNESID_TAU_CELLS, PRUNESID_QUOTA_BOUNDED, 0},
        {"paper", PRUNESID_CENTRE_CHANNEL, 1, PRUNESID_TAU_PAIRS, PRUNESID_QUOTA_PROPORTIONAL, 0},
        {"llava", PRUNESID_CENTRE_TOKEN, 1, PRUNESID_TAU_PAIRS, PRUNESID_QUOTA_BOUNDED, 1},
        {"qwen2vl", PRUNESID_CENTRE_TOKEN, 4, PRUNESID_TAU_CELLS, PRUNESID_QUOTA_BOUNDED, 0},
    };
    size_t n = 0;
    (void)unused;
    while (prunesid_preset_rules(n) != NULL) n++;
    assert_true(n >= N_ITEMS(rows)); /* there may be more */
    assert_int_equal(n, N_ITEMS(all_presets));
    for (size_t i = 0; i < n; i++) {
        const prunesid_rules *const rules = prunesid_preset_rules(i);
        const prunesid_config config = prunesid_config_init((prunesid_preset)i, 9);
        assert_int_equal(all_presets[i], i);
        assert_true(strlen(rules->name) > 0 && strlen(rules->purpose) > 0);
        if (i < N_ITEMS(rows)) {
            assert_string_equal(rules->name, rows[i].name);
            assert_true(rules->centring == rows[i].centring && rules->tau == rows[i].tau &&
                        rules->quota == rows[i].quota && rules->reserved == rows[i].reserved &&
                        rules->least_groups == rows[i].least_groups);
        }
        assert_true(config.preset == all_presets[i] && config.reserved == rules->reserved &&
                    config.budget == 9 && config.n_groups == 0 &&
                    config.svd == PRUNESID_SVD_KRYLOV && config.clock_ns == NULL);
        assert_ptr_equal(rules, prunesid_preset_rules(i));
    }
    for (size_t i = n; i < n + 100; i++) assert_null(prunesid_preset_rules(i));
    assert_null(prunesid_preset_rules((size_t)-1));
    assert_null(prunesid_preset_rules((size_t)INT32_MIN));
}

/* Of an unknown preset, and with the numbers of a C programmer's mistakes. */
static void initialisers_check_nothing(void **unused) {
    const prunesid_config config = prunesid_config_init((prunesid_preset)77, SIZE_MAX);
    const prunesid_input input = prunesid_input_init(NULL, (prunesid_dtype)9, SIZE_MAX, 5);
    const prunesid_details details = prunesid_details_init();
    static const prunesid_stats no_stats;
    (void)unused;
    assert_true(config.preset == (prunesid_preset)77 && config.budget == SIZE_MAX &&
                config.reserved == 0 && config.n_groups == 0);
    assert_true(input.tokens == NULL && input.dtype == (prunesid_dtype)9 &&
                input.n_tokens == SIZE_MAX && input.dim == 5 && input.ld == 5 && input.first == 0 &&
                input.scores == NULL && input.loadings == NULL && input.ld_loadings == 0 &&
                input.protected_tokens == NULL && input.n_protected == 0);
    assert_true(details.order == NULL && details.group == NULL && details.state == NULL &&
                details.loading == NULL && details.scope == PRUNESID_SCOPE_ALL &&
                details.representative == NULL && details.count == NULL &&
                details.log_count == NULL);
    assert_true(stats_equal(&details.stats, &no_stats));
    assert_int_equal(prunesid_n_kept(NULL, 9), 0);
}

/* preset, K and the number to keep, as psca and n_kept tell them. */
static void config_resolves_by_rule(void **unused) {
    static const float scores[60];
    uint64_t state = 12;
    (void)unused;
    for (size_t i = 0; i < 2000; i++) {
        const size_t T = random_size(&state, 1, 60), d = random_size(&state, 1, 60);
        const size_t N = random_size(&state, 2, 90);
        const int has_scores = i % 2;
        const prunesid_preset preset = all_presets[i / 2 % N_ITEMS(all_presets)];
        const prunesid_preset resolved = ref_preset(preset, has_scores);
        prunesid_config config = prunesid_config_init(preset, N);
        float *const x = tokens_new(KIND_GAUSS, T, d, i);
        prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, d);
        prunesid_stats stats = prunesid_details_init().stats;
        input.scores = has_scores ? scores : NULL;
        guard workspace = guard_workspace(&config, &input);
        assert_int_equal(prunesid_n_kept(&config, T), ref_min(N - config.reserved, T));
        for (int is_set = 0; is_set < 2; is_set++) {
            config.n_groups = is_set ? 1 : 0;
            assert_int_equal(prunesid_psca(&config, &input, workspace.data, workspace.n_bytes, NULL,
                                 NULL, NULL, &stats),
                PRUNESID_OK);
            assert_int_equal(stats.preset, resolved);
            assert_int_equal(stats.n_groups, is_set ? 1 : ref_n_groups(N, T, d, resolved));
        }
        config.reserved = N;
        assert_int_equal(prunesid_n_kept(&config, T), 0);
        guard_free(&workspace);
        free(x);
    }
}

static size_t size_of(const prunesid_config *config, size_t n_tokens, size_t dim) {
    size_t n_bytes = 0;
    CHECK_STATUS(prunesid_workspace_size(config, n_tokens, dim, &n_bytes), PRUNESID_OK,
        "T = %zu, d = %zu, N = %zu", n_tokens, dim, config->budget);
    return n_bytes;
}

static void workspace_grows_with_tokens(void **unused) {
    static const size_t dims[] = {1, 24, 255, 257, 1024, 3584};
    static const size_t budgets[] = {1, 4, 64, 192, 1024, 5000};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(dims) * N_ITEMS(budgets) * N_ITEMS(all_presets) * 2; i++) {
        const size_t d = dims[i % 6];
        prunesid_config config = prunesid_config_init(all_presets[i / 72], budgets[i / 6 % 6]);
        size_t before = 0;
        config.svd = (prunesid_svd)(i / 36 % 2);
        config.reserved = 0;
        for (size_t T = 1; T <= 6000; T += T <= 290 ? 1 : T <= 1100 ? 7 : T / 7) {
            const size_t n_bytes = size_of(&config, T, d);
            CHECK(n_bytes > 0 && n_bytes >= before, "T = %zu, d = %zu, case %zu: %zu < %zu", T, d,
                i, n_bytes, before);
            before = n_bytes;
        }
        for (size_t T = 768; T <= 8 * 768; T += 768) /* where a task gets more tokens */
            CHECK(size_of(&config, T, d) <= size_of(&config, T + 1, d), "T = %zu, case %zu", T, i);
    }
}

/* The aim of the design: O(T (d + K)) bytes, and no T x T matrix. */
static void workspace_is_linear(void **unused) {
    const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, 64);
    const size_t once = size_of(&config, 32768, 256), twice = size_of(&config, 65536, 256);
    (void)unused;
    CHECK((double)twice < 2.1 * (double)once, "%zu, %zu", once, twice);
}

static uint64_t no_clock(void) {
    return 0;
}

/* Not on the clock; and a workspace for the shape does whatever else is known of the tokens. */
static void workspace_size_depends_on_rules_and_shape_alone(void **unused) {
    float *const x = tokens_new(KIND_REAL, 320, 300, 3), *const scores = scores_new(320, 4);
    const int32_t guarded[] = {3, 200};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(all_presets) * 8; i++) {
        const size_t way = i / N_ITEMS(all_presets);
        prunesid_config config =
            prunesid_config_init(all_presets[i % N_ITEMS(all_presets)], 10 + i);
        prunesid_input input = prunesid_input_init(x, PRUNESID_F32, 320, 300);
        const size_t n_bytes = size_of(&config, 320, 300);
        config.clock_ns = no_clock;
        assert_int_equal(size_of(&config, 320, 300), n_bytes);
        void *const half = convert(x, 320 * 300, PRUNESID_F16);
        input.scores = way % 2 ? scores : NULL;
        input.protected_tokens = way / 2 % 2 ? guarded : NULL;
        input.n_protected = way / 2 % 2 ? N_ITEMS(guarded) : 0;
        input.tokens = way / 4 ? half : x;
        input.dtype = way / 4 ? PRUNESID_F16 : PRUNESID_F32;
        run r = run_select(&config, &input); /* in exactly so many bytes */
        CHECK(run_consistent(&r, &config, &input), "case %zu", i);
        run_free(&r);
        free(half);
    }
    free(x);
    free(scores);
}

/* run_select gives exactly as many bytes as asked; here is one fewer. */
static void one_byte_fewer_fails(void **unused) {
    (void)unused;
    for (size_t i = 0; i < N_BIT_CASES; i++) {
        size_t T, d;
        const prunesid_config config = bit_config(i, &T, &d);
        float *const x = tokens_new(KIND_GAUSS, T, d, 8);
        const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, d);
        run whole = run_select(&config, &input), r = run_new(&config, &input);
        guard workspace = guard_workspace(&config, &input);
        assert_int_equal(whole.status, PRUNESID_OK);
        assert_int_equal(prunesid_select(&config, &input, workspace.data, workspace.n_bytes - 1,
                             r.indices, r.n_kept, &r.details),
            PRUNESID_ERROR_WORKSPACE_SHORT);
        assert_true(run_untouched(&r));
        guard_free(&workspace);
        run_free(&whole);
        run_free(&r);
        free(x);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_count_for_every_budget),
        cmocka_unit_test(exact_count_with_useless_scores),
        cmocka_unit_test(every_method_counts),
        cmocka_unit_test(same_bits_on_every_run),
        cmocka_unit_test(same_indices_whatever_is_asked),
        cmocka_unit_test(same_bits_from_every_dtype),
        cmocka_unit_test(padding_does_not_matter),
        cmocka_unit_test(permutation_permutes),
        cmocka_unit_test(indices_count_from_first),
        cmocka_unit_test(stages_in_a_row_are_a_selection),
        cmocka_unit_test(every_preset_has_its_row),
        cmocka_unit_test(initialisers_check_nothing),
        cmocka_unit_test(config_resolves_by_rule),
        cmocka_unit_test(workspace_grows_with_tokens),
        cmocka_unit_test(workspace_is_linear),
        cmocka_unit_test(workspace_size_depends_on_rules_and_shape_alone),
        cmocka_unit_test(one_byte_fewer_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
