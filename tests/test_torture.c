/* test_torture.c - input that is hard on arithmetic, against the reference in double precision.
 * MIT licence.
 *
 * Error budgets, as they are tested here:
 *   rho        5e-13, absolute, from one token to 3,000
 *   tau        that of rho times N / 32, or times max(18 N / T, 1)
 *   loadings   EXACT: 4 u + u64 n s_1^2 / gap of the squares; n is min(T, d), gap to the nearest of
 *              them. KRYLOV: that, and 1e-6 + 18 residual / sqrt(T) with the residual 3e-5
 * PRUNESID_TEST_RUNS: how many random images. */
#include "support.h"

static const double rho_budget = 5e-13;

/* ---- images -------------------------------------------------------------------------------- */

/* Orthonormal columns, [n, k] with k <= n, by Gram and Schmidt, twice. */
static double *orthonormal_new(size_t n, size_t k, uint64_t *state) {
    double *const q = (double *)ref_new(k * n, sizeof *q); /* transposed */
    for (size_t c = 0; c < k; c++) {
        double *const own = q + c * n;
        for (size_t i = 0; i < n; i++) own[i] = random_normal(state);
        for (size_t twice = 0; twice < 2 * c; twice++) {
            const double *const other = q + twice % c * n;
            const double along = ref_dot(own, other, n);
            for (size_t i = 0; i < n; i++) own[i] -= along * other[i];
        }
        const double length = sqrt(ref_dot(own, own, n));
        for (size_t i = 0; i < n; i++) own[i] /= length;
    }
    double *const out = ref_transpose(q, k, n);
    free(q);
    return out;
}

/* Tokens whose sigmoid has about the given singular values, before it is centred. */
static float *planted_new(size_t T, size_t d, const double *s, size_t rank, uint64_t *state) {
    double *const u = orthonormal_new(T, rank, state), *const v = orthonormal_new(d, rank, state);
    float *const x = (float *)ref_new(T * d, sizeof *x);
    double most = 0.0;
    double *const a = (double *)ref_new(T * d, sizeof *a);
    for (size_t e = 0; e < T * d; e++) {
        for (size_t r = 0; r < rank; r++) a[e] += u[e / d * rank + r] * s[r] * v[e % d * rank + r];
        most = fmax(most, fabs(a[e]));
    }
    for (size_t e = 0; e < T * d; e++) {
        const double p = 0.5 + 0.4 * a[e] / most;
        x[e] = (float)log(p / (1.0 - p));
    }
    free(a);
    free(u);
    free(v);
    return x;
}

/* ---- components ---------------------------------------------------------------------------- */

/* Every loading of both methods, where the budget means anything. Returns the most of a budget. */
static double check_loadings(
    const prunesid_config *asked, const prunesid_input *input, const char *what) {
    const size_t T = input->n_tokens, d = input->dim, K = asked->n_groups, n = ref_min(T, d);
    double *const x = widen(input->tokens, T * d, input->dtype);
    double *const a = ref_centred_sigmoid(x, T, d, 1);
    double *const s = (double *)ref_new(n, sizeof *s), *const v = ref_left_vectors(a, T, d, K, s);
    float *const got = (float *)ref_new(T * K, sizeof *got);
    double most = 0.0;
    size_t n_compared = 0;
    for (int svd = 0; svd < 2; svd++) {
        prunesid_config config = *asked;
        prunesid_stats stats = {0};
        config.svd = (prunesid_svd)svd;
        guard workspace = guard_workspace(&config, input);
        CHECK_STATUS(prunesid_psca(&config, input, workspace.data, workspace.n_bytes, got, NULL,
                         NULL, &stats),
            PRUNESID_OK, "%s", what);
        guard_free(&workspace);
        for (size_t k = 0; k < K; k++) {
            double gap = k > 0 ? s[k - 1] * s[k - 1] - s[k] * s[k] : INFINITY, worst = 0.0;
            if (k + 1 < n) gap = fmin(gap, s[k] * s[k] - s[k + 1] * s[k + 1]);
            const double budget =
                4.0 * 0x1p-24 + 0x1p-53 * (double)n * s[0] * s[0] / gap +
                (stats.svd == PRUNESID_SVD_EXACT ? 0.0 : 1e-6 + 18.0 * 3e-5 / sqrt((double)T));
            if (!(budget < 1e-2) || s[k] < 1e-5 * s[0]) continue; /* float64 does not know either */
            for (size_t i = 0; i < T; i++)
                worst = fmax(worst, fabs(fabs((double)got[i * K + k]) - fabs(v[i * K + k])));
            CHECK(worst <= budget, "%s, method %d, column %zu: off by %g, budget %g", what,
                (int)stats.svd, k, worst, budget);
            most = fmax(most, worst / budget);
            n_compared++;
        }
    }
    CHECK(n_compared > 0, "%s", what);
    free(x);
    free(a);
    free(s);
    free(v);
    free(got);
    return most;
}

/* Singular values that fall by the same factor, down to 1e-12 of the first. */
static void condition_numbers(void **unused) {
    static const double conditions[] = {1e1, 1e3, 1e6, 1e9, 1e12};
    static const size_t shapes[][2] = {{60, 40}, {40, 60}, {90, 90}};
    double most = 0.0;
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(conditions) * N_ITEMS(shapes); i++) {
        const size_t T = shapes[i % 3][0], d = shapes[i % 3][1], rank = ref_min(T, d) - 1;
        double s[90];
        char what[64];
        uint64_t state = 60 + i;
        for (size_t r = 0; r < rank; r++)
            s[r] = pow(conditions[i / 3], -(double)r / (double)(rank - 1));
        float *const x = planted_new(T, d, s, rank, &state);
        prunesid_config config = prunesid_config_init(PRUNESID_PAPER, 24);
        const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, d);
        config.n_groups = 8;
        snprintf(what, sizeof what, "condition %g, %zu x %zu", conditions[i / 3], T, d);
        most = fmax(most, check_loadings(&config, &input, what));
        run r = run_select(&config, &input);
        CHECK(run_consistent(&r, &config, &input), "%s", what);
        run_free(&r);
        free(x);
    }
    print_message("loadings: at most %.2g of their budget\n", most);
}

/* One direction, or none: what is beyond the rank loads nothing, and all is kept that was asked. */
static void rank_one(void **unused) {
    static const size_t shapes[][2] = {{50, 30}, {30, 50}, {200, 150}, {2, 2}};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(shapes) * N_ITEMS(all_presets); i++) {
        const size_t T = shapes[i % 4][0], d = shapes[i % 4][1];
        const double one = 1.0;
        uint64_t state = i;
        float *const x = planted_new(T, d, &one, 1, &state);
        for (int flat = 0; flat < 2; flat++) {
            const prunesid_config config =
                prunesid_config_init(all_presets[i / 4], ref_max(T / 3, 2));
            const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, d);
            run r = run_select(&config, &input), again = run_select(&config, &input);
            CHECK(run_consistent(&r, &config, &input) && run_equal(&r, &again), "case %zu", i);
            run_free(&r);
            run_free(&again);
            for (size_t e = 0; e < T * d; e++) x[e] = 0.25f;
        }
        free(x);
    }
}

/* Mean over all tokens of the cosine to the nearest kept one. */
static double coverage(const run *r, const double *cosine, size_t T) {
    double sum = 0.0;
    for (size_t i = 0; i < T; i++) {
        double best = -1.0;
        for (size_t j = 0; j < r->n_kept; j++)
            best = fmax(best, cosine[i * T + (size_t)r->indices[j]]);
        sum += best;
    }
    return sum / (double)T;
}

/* Any basis of equal singular values is right: counts, determinism, and what is covered. */
static void repeated_singular_values(void **unused) {
    double least = 1.0;
    (void)unused;
    for (size_t i = 0; i < 24; i++) {
        const size_t T = 80, d = 60, n_equal = 2 + i % 12;
        double s[20];
        uint64_t state = 900 + i;
        for (size_t r = 0; r < N_ITEMS(s); r++)
            s[r] = r < n_equal ? 1.0 : 0.3 * pow(0.9, (double)r);
        float *const x = planted_new(T, d, s, N_ITEMS(s), &state);
        prunesid_config config = prunesid_config_init(all_presets[i % N_ITEMS(all_presets)], 20);
        const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, d);
        double *const wide = widen(x, T * d, PRUNESID_F32), *const c = ref_cosine(wide, T, d);
        run krylov = run_select(&config, &input), again = run_select(&config, &input);
        config.svd = PRUNESID_SVD_EXACT;
        run exact = run_select(&config, &input);
        assert_true(run_consistent(&krylov, &config, &input) && run_equal(&krylov, &again));
        assert_true(run_consistent(&exact, &config, &input));
        const double a = coverage(&krylov, c, T), b = coverage(&exact, c, T);
        CHECK(a >= 0.95 * b, "image %zu: KRYLOV covers %g, EXACT %g", i, a, b);
        least = fmin(least, a / b);
        run_free(&krylov);
        run_free(&again);
        run_free(&exact);
        free(wide);
        free(c);
        free(x);
    }
    print_message("coverage by KRYLOV over that by EXACT: at least %.3f\n", least);
}

/* ---- what must not matter ------------------------------------------------------------------ */

/* Whole powers of two change no bit of a cosine; with the engine's loadings nothing else counts. */
static void scaling_and_signs(void **unused) {
    static const int powers[] = {-100, -20, 3, 60, 100};
    (void)unused;
    for (size_t i = 0; i < 40; i++) {
        enum { T = 70, D = 24, K = 6 };
        uint64_t state = 40 + i;
        float *const x = tokens_new(i % 2 ? KIND_GAUSS : KIND_SINKS, T, D, i);
        float v[T * K], flipped[T * K];
        prunesid_config config = prunesid_config_init(all_presets[i % N_ITEMS(all_presets)], 20);
        prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, D);
        for (size_t e = 0; e < T * K; e++) v[e] = (float)random_normal(&state);
        for (size_t e = 0; e < T * K; e++) flipped[e] = e % K % 2 ? -v[e] : v[e];
        config.n_groups = input.ld_loadings = K;
        input.loadings = v;
        run want = run_select(&config, &input);
        input.loadings = flipped;
        run turned = run_select(&config, &input);
        assert_true(run_equal(&want, &turned));
        run_free(&turned);
        for (size_t p = 0; p < N_ITEMS(powers); p++) {
            for (size_t e = 0; e < T * D; e++) x[e] = ldexpf(x[e], powers[p]);
            run scaled = run_select(&config, &input);
            assert_true(run_consistent(&scaled, &config, &input));
            CHECK(fabs(scaled.details.stats.rho - want.details.stats.rho) <= rho_budget &&
                      memcmp(scaled.details.order, want.details.order, want.n_kept * 4) == 0,
                "image %zu, 2^%d", i, powers[p]);
            run_free(&scaled);
            for (size_t e = 0; e < T * D; e++) x[e] = ldexpf(x[e], -powers[p]);
        }
        run_free(&want);
        free(x);
    }
}

/* sigmoid(-x) is 1 - sigmoid(x): A changes its sign, and nothing else. */
static void all_signs_turned(void **unused) {
    (void)unused;
    for (size_t i = 0; i < 24; i++) {
        const size_t T = 90 + i, d = 70 + 3 * i;
        float *const x = tokens_new(i % 2 ? KIND_REAL : KIND_SINKS, T, d, 300 + i);
        prunesid_config config = prunesid_config_init(all_presets[i % N_ITEMS(all_presets)], 24);
        const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, d);
        run want = run_select(&config, &input);
        for (size_t e = 0; e < T * d; e++) x[e] = -x[e];
        run got = run_select(&config, &input);
        CHECK(fabs(got.details.stats.rho - want.details.stats.rho) <= rho_budget, "image %zu", i);
        CHECK(memcmp(got.details.group, want.details.group, T * 4) == 0, "image %zu", i);
        CHECK(memcmp(got.indices, want.indices, want.n_kept * 4) == 0, "image %zu", i);
        run_free(&want);
        run_free(&got);
        free(x);
    }
}

/* ---- images of any shape ------------------------------------------------------------------- */

/* From one token to 3,000 and one channel to 4,096; one token in fifty is 1000 times as long. */
static void random_images(void **unused) {
    static const kind kinds[] = {KIND_REAL, KIND_SINKS, KIND_DUPLICATES, KIND_HOLES, KIND_GAUSS,
        KIND_EQUAL, KIND_ONE_HOT, KIND_TINY};
    double most = 0.0;
    size_t n_krylov = 0, n_same = 0;
    (void)unused;
    for (size_t i = 0; i < n_runs(400); i++) {
        uint64_t state = 7000 + i;
        const size_t T = (size_t)exp(random_unit(&state) * log(3000.0) + 1e-9);
        const size_t room = 1200000 / T; /* 3,000 tokens have up to 400 channels, 290 up to 4,096 */
        const size_t d = (size_t)exp(random_unit(&state) * log((double)ref_min(room, 4096)) + 1e-9);
        const kind of = kinds[random_bits(&state) % N_ITEMS(kinds)];
        float *const x = tokens_new(of, T, d, i);
        prunesid_config config = prunesid_config_init(
            all_presets[i % N_ITEMS(all_presets)], random_size(&state, 2, ref_min(T + 3, 80)));
        const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, d);
        for (size_t e = 0; of == KIND_SINKS && e < T * d; e++)
            x[e] *= e / d % 50 == 7 ? 125.0f : 1.0f; /* 8 already */
        run r = run_select(&config, &input);
        CHECK(run_consistent(&r, &config, &input), "%zu x %zu, kind %d", T, d, (int)of);
        double *const sum = (double *)ref_new(d, sizeof *sum);
        size_t n_nonzero = 0;
        for (size_t t = 0; t < T; t++) { /* rho once more, another way */
            double square = 0.0;
            for (size_t j = 0; j < d; j++) square += pow((double)x[t * d + j], 2.0);
            n_nonzero += square > 0.0;
            for (size_t j = 0; square > 0.0 && j < d; j++)
                sum[j] += (double)x[t * d + j] / sqrt(square);
        }
        const double pairs = ref_dot(sum, sum, d) - (double)n_nonzero;
        const double rho = T > 1 ? pairs / ((double)T * (double)(T - 1)) : 0.0;
        const double off = fabs(rho - r.details.stats.rho);
        CHECK(off <= rho_budget, "%zu x %zu, kind %d: rho %g off", T, d, (int)of, off);
        most = fmax(most, off);
        if (r.details.stats.svd == PRUNESID_SVD_KRYLOV && r.details.stats.n_groups > 0) {
            config.svd = PRUNESID_SVD_EXACT;
            run exact = run_select(&config, &input);
            n_krylov++;
            n_same += memcmp(exact.indices, r.indices, r.n_kept * 4) == 0;
            run_free(&exact);
        }
        run_free(&r);
        free(sum);
        free(x);
    }
    print_message("rho off by at most %.2g; %zu of %zu images by KRYLOV keep what EXACT keeps\n",
        most, n_same, n_krylov);
    assert_int_equal(n_same, n_krylov);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(condition_numbers),
        cmocka_unit_test(rank_one),
        cmocka_unit_test(repeated_singular_values),
        cmocka_unit_test(scaling_and_signs),
        cmocka_unit_test(all_signs_turned),
        cmocka_unit_test(random_images),
    };
    return cmocka_run_group_tests_name("torture", tests, NULL, NULL);
}
