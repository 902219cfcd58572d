/* test_select.c - end to end.   MIT licence.
 *
 * Real tokens against the float64 specification, and every output against the reference. */
#include "support.h"

/* ---- the specification's own expectations ------------------------------------------------- */

typedef struct tally {
    size_t n_cases, n_krylov; /* n_krylov: by Krylov to the end */
    size_t n_identical, n_same_order, n_same_groups;
    double least; /* Jaccard index of a kept set and the specification's */
} tally;

/* BLAS and processors differ in the last digits, and so may a token or two. */
static const double least_jaccard = 0.97;

static void compare_case(const char *set, const prunesid_input *tokens, const float *attention,
    const expected *e, prunesid_svd svd, tally *t) {
    prunesid_config config = prunesid_config_init(e->asked, e->budget);
    prunesid_input input = *tokens;
    config.svd = svd;
    assert_int_equal(config.reserved, e->reserved);
    assert_true(!e->has_scores || attention != NULL);
    input.scores = e->has_scores ? attention : NULL;
    run r = run_select(&config, &input);
    CHECK_STATUS(r.status, PRUNESID_OK, "%s, N = %zu", set, e->budget);
    assert_true(run_consistent(&r, &config, &input));
    const double j = jaccard(r.indices, r.n_kept, e->order, e->n_kept, e->n_tokens);
    const prunesid_stats *const stats = &r.details.stats;
    t->n_cases++;
    t->least = fmin(t->least, j);
    t->n_identical += j == 1.0;
    t->n_same_order += memcmp(r.details.order, e->order, e->n_kept * sizeof *e->order) == 0;
    t->n_same_groups += memcmp(r.details.group, e->group, e->n_tokens * sizeof *e->group) == 0;
    t->n_krylov += stats->svd == PRUNESID_SVD_KRYLOV;
    if (j < 1.0) {
        print_message("%s, asked %d, N = %zu, scores %zu, method %d: Jaccard %.4f\n", set,
            (int)e->asked, e->budget, e->has_scores, (int)svd, j);
    }
    CHECK(j >= least_jaccard, "%s, N = %zu", set, e->budget);
    CHECK(fabs(stats->rho - e->rho) <= 1e-12 && fabs(stats->phi - e->phi) <= 1e-12 &&
              fabs(stats->tau - e->tau) <= 1e-11,
        "%s, N = %zu: rho %.15g, tau %.15g", set, e->budget, stats->rho, stats->tau);
    assert_int_equal(stats->preset, e->preset);
    assert_int_equal(stats->n_groups, e->n_groups);
    run_free(&r);
}

static tally compare_sets(prunesid_svd svd) {
    tally t = {0, 0, 0, 0, 0, 1.0};
    for (size_t s = 0; s < N_ITEMS(all_sets); s++) {
        prunesid_input tokens;
        npy_array array = load_tokens(all_sets[s], &tokens), attention;
        const int has_attention = load(all_sets[s], "cls_attention.npy", &attention) == 0;
        size_t n_cases = 0;
        FILE *const file = expected_open(all_sets[s], "expected.txt", &n_cases);
        CHECK(file != NULL, "no expected.txt of %s", all_sets[s]);
        for (size_t c = 0; c < n_cases; c++) {
            expected e = expected_read(file);
            compare_case(all_sets[s], &tokens, has_attention ? (const float *)attention.data : NULL,
                &e, svd, &t);
            expected_free(&e);
        }
        fclose(file);
        npy_free(&array);
        if (has_attention) npy_free(&attention);
    }
    print_message("%zu cases (%zu by Krylov to the end), least Jaccard %.4f, %zu identical, %zu in "
                  "order, %zu with the same groups\n",
        t.n_cases, t.n_krylov, t.least, t.n_identical, t.n_same_order, t.n_same_groups);
    assert_int_equal(t.n_cases, 175);
    assert_true(t.n_identical + 1 >= t.n_cases && t.n_same_groups + 1 >= t.n_cases);
    return t;
}

static void krylov_keeps_what_the_exact_svd_keeps(void **unused) {
    (void)unused;
    const tally t = compare_sets(PRUNESID_SVD_KRYLOV);
    assert_true(t.n_krylov >= 170);
}

static void exact_keeps_what_the_exact_svd_keeps(void **unused) {
    (void)unused;
    const tally t = compare_sets(PRUNESID_SVD_EXACT);
    assert_int_equal(t.n_krylov, 0);
}

/* The default's sets, orders and groups are EXACT's, by every preset, with attention and without:
 * from PRUNESID_TEST_RUNS=1000 on for all of these budgets, else for some of them. */
static void the_default_selects_what_exact_selects(void **unused) {
    static const size_t budgets[] = {
        8, 12, 16, 20, 24, 32, 40, 48, 56, 64, 80, 96, 128, 160, 192, 224, 256};
    const size_t step = n_runs(1) < 1000 ? 13 : 1, n_presets = 2 * N_ITEMS(all_presets);
    size_t n = 0, n_krylov = 0, n_refined = 0, n_exact = 0;
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(all_sets); s++) {
        prunesid_input input;
        npy_array array = load_tokens(all_sets[s], &input), attention;
        const int has_attention = load(all_sets[s], "cls_attention.npy", &attention) == 0;
        for (size_t c = s % step; c < n_presets * N_ITEMS(budgets); c += step) {
            const size_t N = budgets[c / n_presets];
            prunesid_config config = prunesid_config_init(all_presets[c % n_presets / 2], N);
            if (N > input.n_tokens / 2 || (c % 2 && !has_attention)) continue;
            input.scores = c % 2 ? (const float *)attention.data : NULL;
            run got = run_select(&config, &input);
            config.svd = PRUNESID_SVD_EXACT;
            run want = run_select(&config, &input);
            const prunesid_stats *const stats = &got.details.stats;
            CHECK_STATUS(got.status, PRUNESID_OK, "%s, case %zu", all_sets[s], c);
            for (size_t m = 0; m < 4; m++) /* indices, order, group, state */
                CHECK(memcmp(got.memory[m].data, want.memory[m].data, got.memory[m].n_bytes) == 0,
                    "%s, preset %d, N = %zu, scores %zu: output %zu", all_sets[s],
                    (int)config.preset, N, c % 2, m);
            n++;
            n_exact += stats->svd == PRUNESID_SVD_EXACT;
            n_refined += stats->svd == PRUNESID_SVD_KRYLOV && stats->n_refined > 0;
            n_krylov += stats->svd == PRUNESID_SVD_KRYLOV && stats->n_refined == 0;
            run_free(&got);
            run_free(&want);
        }
        npy_free(&array);
        if (has_attention) npy_free(&attention);
    }
    print_message("%zu selections as EXACT's: %zu by Krylov alone, %zu refined, %zu by EXACT\n", n,
        n_krylov, n_refined, n_exact);
    assert_true(n >= 50 && n_exact * 10 <= n);
}

/* Mixed at random into 768 channels and bent, as a wider encoder's would be. */
static void krylov_keeps_what_exact_keeps_of_wide_tokens(void **unused) {
    static const size_t budgets[] = {32, 64, 128, 192};
    enum { D = 768 };
    uint64_t state = 11;
    size_t n_cases = 0, n_krylov = 0, n_identical = 0;
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(all_sets); s++) {
        prunesid_input tokens;
        npy_array array = load_tokens(all_sets[s], &tokens);
        if (tokens.dim > 384) {
            npy_free(&array);
            continue;
        }
        const size_t T = tokens.n_tokens, d = tokens.dim;
        double *const x = widen(array.data, array.n_items, PRUNESID_F16);
        double *const mix = (double *)ref_new(d * D, sizeof *mix);
        float *const wide = (float *)ref_new(T * D, sizeof *wide);
        double square = 0.0;
        for (size_t i = 0; i < d * D; i++) mix[i] = random_normal(&state);
        for (size_t i = 0; i < T * d; i++) square += x[i] * x[i];
        for (size_t i = 0; i < T; i++) {
            for (size_t j = 0; j < D; j++) {
                double y = 0.0;
                for (size_t c = 0; c < d; c++) y += x[i * d + c] * mix[c * D + j];
                y *= 2.0 / sqrt(square / (double)T);
                wide[i * D + j] = (float)(tanh(y) + 0.3 * y);
            }
        }
        const prunesid_input view = prunesid_input_init(wide, PRUNESID_F32, T, D);
        for (size_t b = 0; b < 2 * N_ITEMS(budgets); b++) {
            prunesid_config config =
                prunesid_config_init(b % 2 ? PRUNESID_PAPER : PRUNESID_QWEN2VL, budgets[b / 2]);
            run krylov = run_select(&config, &view);
            config.svd = PRUNESID_SVD_EXACT;
            run exact = run_select(&config, &view);
            const double j = jaccard(krylov.indices, krylov.n_kept, exact.indices, exact.n_kept, T);
            CHECK(j >= least_jaccard, "%s, N = %zu: Jaccard %.4f", all_sets[s], budgets[b / 2], j);
            n_identical += j == 1.0;
            n_cases++;
            n_krylov += krylov.details.stats.svd == PRUNESID_SVD_KRYLOV;
            run_free(&krylov);
            run_free(&exact);
        }
        npy_free(&array);
        free(x);
        free(mix);
        free(wide);
    }
    print_message("768 channels: %zu cases (%zu by Krylov to the end), %zu identical\n", n_cases,
        n_krylov, n_identical);
    assert_true(n_identical + 1 >= n_cases && 2 * n_krylov >= n_cases);
}

/* From given loadings nothing is approximate: the order, the groups and the reference's too. */
static void same_order_from_loadings(void **unused) {
    static const char *const names[] = {"llava_64", "paper_64", "qwen2vl_192"};
    size_t n_cases = 0;
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(all_sets) * N_ITEMS(names); i++) {
        const char *const set = all_sets[i / N_ITEMS(names)], *const name =
                                                                  names[i % N_ITEMS(names)];
        char file_name[64];
        size_t one = 0;
        snprintf(file_name, sizeof file_name, "expected_from_loadings_%s.txt", name);
        FILE *const file = expected_open(set, file_name, &one);
        if (file == NULL) continue;
        expected e = expected_read(file);
        prunesid_input input;
        npy_array array = load_tokens(set, &input), attention, v;
        snprintf(file_name, sizeof file_name, "loadings_%s.npy", name);
        assert_int_equal(load(set, file_name, &v), 0);
        assert_int_equal(load(set, "cls_attention.npy", &attention), 0);
        prunesid_config config = prunesid_config_init(e.preset, e.budget);
        config.n_groups = input.ld_loadings = v.shape[1];
        input.loadings = (const float *)v.data;
        input.scores = e.has_scores ? (const float *)attention.data : NULL;
        run r = run_select(&config, &input);
        assert_true(run_consistent(&r, &config, &input));
        assert_int_equal(r.n_kept, e.n_kept);
        CHECK(memcmp(r.details.order, e.order, e.n_kept * 4) == 0, "order of %s, %s", set, name);
        CHECK(memcmp(r.details.group, e.group, e.n_tokens * 4) == 0, "groups of %s, %s", set, name);
        assert_int_equal(r.details.stats.n_survivors, e.n_survivors);

        double *const x = widen(array.data, array.n_items, PRUNESID_F16);
        ref_result want = ref_select(&config, &input, x);
        CHECK(memcmp(want.order, e.order, e.n_kept * 4) == 0, "reference of %s, %s", set, name);
        ref_free(&want);
        free(x);
        run_free(&r);
        expected_free(&e);
        fclose(file);
        npy_free(&array);
        npy_free(&attention);
        npy_free(&v);
        n_cases++;
    }
    assert_int_equal(n_cases, 6);
}

/* ---- every output against the reference --------------------------------------------------- */

static void check_representatives(const run *r, const ref_result *want, const prunesid_input *input,
    prunesid_scope scope, const char *what) {
    const size_t T = input->n_tokens, first = input->first;
    const int32_t *const group = scope == PRUNESID_SCOPE_GROUP ? want->group : NULL;
    int32_t *const kept = (int32_t *)ref_new(r->n_kept, sizeof *kept);
    int32_t *const who = (int32_t *)ref_new(T, sizeof *who);
    int32_t *const count = (int32_t *)ref_new(r->n_kept, sizeof *count);
    for (size_t j = 0; j < r->n_kept; j++) kept[j] = r->indices[j] - (int32_t)first;
    const double coverage = ref_represent(want->cosine, T, kept, r->n_kept, group, who, count);
    for (size_t i = 0; i < T; i++) {
        const size_t stands = (size_t)r->details.representative[i] - first;
        const size_t best = (size_t)kept[who[i]];
        /* another token may stand for it only if its cosine is the same to rounding */
        CHECK(stands == best ||
                  (fabs(want->cosine[i * T + stands] - want->cosine[i * T + best]) <= 1e-15 &&
                      (group == NULL || (group[stands] == group[i]) == (group[best] == group[i]))),
            "%s, token %zu stands for %zu, not %zu: cosine %.17g, not %.17g", what, stands, i, best,
            want->cosine[i * T + stands], want->cosine[i * T + best]);
    }
    CHECK(fabs(r->details.stats.coverage - coverage) <= 1e-14, "%s: coverage off by %g", what,
        r->details.stats.coverage - coverage);
    free(kept);
    free(who);
    free(count);
}

/* How far a loading may be off: by float32's rounding, and by the residual at which KRYLOV stops,
 * 3e-5, of which one of T tokens has 18 / sqrt(T) at the most (test_psca.c). */
static double loading_budget(const prunesid_input *input) {
    return input->loadings != NULL ? 0.0 : 1e-6 + 18.0 * 3e-5 / sqrt((double)input->n_tokens);
}

static void compare(const prunesid_config *config, const prunesid_input *input, const char *what) {
    const size_t T = input->n_tokens;
    double *const x = widen(input->tokens, T * input->dim, PRUNESID_F32);
    ref_result want = ref_select(config, input, x);
    run r = run_select(config, input);
    CHECK_STATUS(r.status, PRUNESID_OK, "%s", what);
    CHECK(run_consistent(&r, config, input), "%s", what);
    CHECK(r.n_kept == want.n_kept, "%s: %zu, not %zu", what, r.n_kept, want.n_kept);
    CHECK(r.details.stats.n_groups == want.n_groups, "%s", what);
    CHECK(r.details.stats.n_survivors == want.n_survivors, "%s: %zu survivors, not %zu", what,
        r.details.stats.n_survivors, want.n_survivors);
    CHECK(fabs(r.details.stats.tau - want.tau) <= 1e-11, "%s", what);
    CHECK(memcmp(r.details.group, want.group, T * 4) == 0, "groups, %s", what);
    CHECK(memcmp(r.details.order, want.order, want.n_kept * 4) == 0, "order, %s", what);
    CHECK(memcmp(r.indices, want.indices, want.n_kept * 4) == 0, "indices, %s", what);
    CHECK(memcmp(r.details.state, want.state, T) == 0, "state, %s", what);
    for (size_t i = 0; i < T; i++) {
        const double error = fabs((double)r.details.loading[i] - want.loading[i]);
        CHECK(error <= loading_budget(input), "%s, loading of %zu: off by %g", what, i, error);
    }
    check_representatives(&r, &want, input, PRUNESID_SCOPE_ALL, what);
    run_free(&r);
    r = run_select_scope(config, input, PRUNESID_SCOPE_GROUP);
    CHECK(run_consistent(&r, config, input), "%s", what);
    check_representatives(&r, &want, input, PRUNESID_SCOPE_GROUP, what);
    run_free(&r);
    ref_free(&want);
    free(x);
}

/* Random shapes, budgets and loadings; no SVD, so every bit is decided. */
static void matches_reference_from_loadings(void **unused) {
    uint64_t state = 99;
    char what[128];
    (void)unused;
    for (int round = 0; round < 400; round++) {
        const size_t T = random_size(&state, 1, 120), d = random_size(&state, 1, 40);
        const size_t K = random_size(&state, 1, 30), N = random_size(&state, 2, T + 4);
        const kind of[] = {KIND_REAL, KIND_SINKS, KIND_HOLES, KIND_ONE_HOT, KIND_GAUSS};
        const kind k = of[random_bits(&state) % 5];
        float *const values = tokens_new(k, T, d, random_bits(&state));
        float *const v = (float *)ref_new(T * K, sizeof *v);
        float *const scores = scores_new(T, random_bits(&state));
        for (size_t i = 0; i < T * K; i++) /* a coarse grid, so that loadings tie */
            v[i] = (float)((int)random_size(&state, 0, 64) - 32) / 64.0f;
        for (size_t i = 0; i < T && round % 4 == 0; i++) scores[i] = i % 3 ? scores[i] : 0.0f;
        prunesid_config config =
            prunesid_config_init(all_presets[(size_t)round % N_ITEMS(all_presets)], N);
        prunesid_input input = prunesid_input_init(values, PRUNESID_F32, T, d);
        config.n_groups = input.ld_loadings = K;
        config.reserved = round % 5 == 0 ? 1 : config.reserved;
        input.loadings = v;
        input.scores = round / 4 % 2 ? scores : NULL;
        input.first = (size_t)round % 3 * 1000;
        snprintf(what, sizeof what, "round %d, T = %zu, d = %zu, K = %zu, N = %zu, kind %d", round,
            T, d, K, N, (int)k);
        compare(&config, &input, what);
        free(values);
        free(v);
        free(scores);
    }
}

static void protected_tokens(void **unused) {
    uint64_t state = 123;
    int32_t guarded[128];
    char what[128];
    (void)unused;
    for (int round = 0; round < 300; round++) {
        const size_t T = random_size(&state, 2, 100), d = 24, K = random_size(&state, 1, 12);
        const size_t reserved = (size_t)(round % 3 == 0);
        const size_t N = reserved + random_size(&state, 1, T + 2);
        float *const values = tokens_new(KIND_REAL, T, d, random_bits(&state));
        float *const v = (float *)ref_new(T * K, sizeof *v);
        prunesid_config config =
            prunesid_config_init(all_presets[(size_t)round % N_ITEMS(all_presets)], N);
        prunesid_input input = prunesid_input_init(values, PRUNESID_F32, T, d);
        const size_t most = ref_min(N - reserved, T);
        config.reserved = reserved;
        config.n_groups = input.ld_loadings = K;
        input.loadings = v;
        input.first = (size_t)round % 3 * 500;
        input.protected_tokens = guarded;
        for (size_t i = 0; i < T && input.n_protected < most; i++)
            if (random_bits(&state) % 4 == 0 || round % 7 == 0) /* every seventh: all it can */
                guarded[input.n_protected++] = (int32_t)(input.first + i);
        for (size_t i = 0; i < T * K; i++) v[i] = (float)random_normal(&state);
        snprintf(what, sizeof what, "round %d, T = %zu, K = %zu, N = %zu, %zu protected", round, T,
            K, N, input.n_protected);
        compare(&config, &input, what);
        free(values);
        free(v);
    }
}

/* With the SVD: EXACT below and KRYLOV above the size where it starts. */
static void matches_reference_with_svd(void **unused) {
    static const size_t shapes[][3] = {{1, 4, 1}, {5, 3, 2}, {16, 16, 7}, {100, 24, 12},
        {100, 24, 60}, {60, 200, 33}, {144, 64, 64}, {280, 270, 64}};
    char what[128];
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(shapes); s++) {
        for (size_t i = 0; i < 2 * N_ITEMS(all_presets); i++) {
            const prunesid_preset preset = all_presets[i / 2];
            const size_t T = shapes[s][0], d = shapes[s][1], N = shapes[s][2];
            float *const values = tokens_new(i % 2 ? KIND_SINKS : KIND_REAL, T, d, 800 + s);
            float *const scores = scores_new(T, s);
            prunesid_config config = prunesid_config_init(preset, N);
            prunesid_input input = prunesid_input_init(values, PRUNESID_F32, T, d);
            config.reserved = N > 1 ? config.reserved : 0;
            input.scores = preset == PRUNESID_LLAVA ? scores : NULL;
            snprintf(
                what, sizeof what, "T = %zu, d = %zu, N = %zu, preset %d", T, d, N, (int)preset);
            compare(&config, &input, what);
            free(values);
            free(scores);
        }
    }
}

/* A dropped copy is represented by what was kept of it; equal cosines go to the lower index. */
static void duplicates_are_represented_by_their_twin(void **unused) {
    enum { T = 40, D = 24 };
    float x[T * D], v[T];
    uint64_t state = 17;
    (void)unused;
    for (size_t i = 0; i < T; i++) { /* tokens 0..9 four times over, all in one group */
        v[i] = 1.0f - (float)i / 64.0f;
        for (size_t j = 0; j < D; j++)
            x[i * D + j] = i < 10 ? (float)random_normal(&state) : x[(i - 10) * D + j];
    }
    prunesid_config config = prunesid_config_init(PRUNESID_PAPER, 10);
    prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, D);
    config.n_groups = input.ld_loadings = 1;
    input.loadings = v;
    run r = run_select(&config, &input);
    assert_true(run_consistent(&r, &config, &input));
    for (size_t i = 0; i < T; i++)
        if (r.details.state[i % 10] == PRUNESID_KEPT)
            assert_int_equal(r.details.representative[i], i % 10);
    assert_int_equal(r.indices[0], 0);
    run_free(&r);
}

static void optional_outputs_may_be_null(void **unused) {
    float *const x = tokens_new(KIND_REAL, 50, 16, 2);
    const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, 9);
    const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, 50, 16);
    run full = run_select(&config, &input);
    (void)unused;
    for (size_t i = 0; i < 129; i++) { /* every combination of them, and no details at all */
        const size_t given = i < 128 ? i : 0;
        run r = run_new(&config, &input);
        guard workspace = guard_workspace(&config, &input);
        r.details.order = given & 1 ? r.details.order : NULL;
        r.details.group = given & 2 ? r.details.group : NULL;
        r.details.state = given & 4 ? r.details.state : NULL;
        r.details.loading = given & 8 ? r.details.loading : NULL;
        r.details.representative = given & 16 ? r.details.representative : NULL;
        r.details.count = given & 32 ? r.details.count : NULL;
        r.details.log_count = given & 64 ? r.details.log_count : NULL;
        assert_int_equal(prunesid_select(&config, &input, workspace.data, workspace.n_bytes,
                             r.indices, r.n_kept, i < 128 ? &r.details : NULL),
            PRUNESID_OK);
        const double coverage = given >= 16 ? full.details.stats.coverage : 0.0;
        assert_true(i == 128 || r.details.stats.coverage == coverage);
        for (size_t m = 0; m < N_OUTPUTS; m++) { /* what is not given is not touched */
            assert_true(
                m == 0 || (given >> (m - 1) & 1)
                    ? memcmp(r.memory[m].data, full.memory[m].data, r.memory[m].n_bytes) == 0
                    : guard_untouched(&r.memory[m], OUTPUT_FILL));
        }
        guard_free(&workspace);
        run_free(&r);
    }
    run_free(&full);
    free(x);
}

static uint64_t ticks;

static uint64_t tick(void) {
    return ticks += 1000;
}

static void clock_is_optional(void **unused) {
    float *const x = tokens_new(KIND_REAL, 300, 280, 2); /* KRYLOV: all stages are apart */
    prunesid_config config = prunesid_config_init(PRUNESID_AUTO, 9);
    const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, 300, 280);
    (void)unused;
    for (int with = 0; with < 2; with++) {
        config.clock_ns = with ? tick : NULL;
        run r = run_select(&config, &input);
        const prunesid_stats *const stats = &r.details.stats;
        const uint64_t stages[] = {stats->ns_redundancy, stats->ns_matrix, stats->ns_svd,
            stats->ns_nms, stats->ns_quotas, stats->ns_represent};
        for (size_t i = 0; i < N_ITEMS(stages); i++)
            CHECK((stages[i] > 0) == with && stages[i] % 1000 == 0, "stage %zu, clock %d", i, with);
        run_free(&r);
    }
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(krylov_keeps_what_the_exact_svd_keeps),
        cmocka_unit_test(exact_keeps_what_the_exact_svd_keeps),
        cmocka_unit_test(the_default_selects_what_exact_selects),
        cmocka_unit_test(krylov_keeps_what_exact_keeps_of_wide_tokens),
        cmocka_unit_test(same_order_from_loadings),
        cmocka_unit_test(matches_reference_from_loadings),
        cmocka_unit_test(protected_tokens),
        cmocka_unit_test(matches_reference_with_svd),
        cmocka_unit_test(duplicates_are_represented_by_their_twin),
        cmocka_unit_test(optional_outputs_may_be_null),
        cmocka_unit_test(clock_is_optional),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
