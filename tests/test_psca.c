/* test_psca.c - principal components against Jacobi rotations in float64.   MIT licence.
 *
 * Error budgets, as the 2-norm of the difference of a unit column (signs aligned) or of what lies
 * outside the reference's subspace: EXACT 1e-6, which is float32 output; KRYLOV 1e-4 a column where
 * neighbouring singular values are 1 % apart, and 2e-5 for the subspace. Each test prints what it
 * found. */
#include "support.h"

typedef struct problem {
    prunesid_config config;
    prunesid_tokens tokens;
    double *a; /* centred sigmoid [T, d] */
    float *values;
    size_t K;
} problem;

static problem problem_new(
    kind what, prunesid_preset preset, size_t T, size_t d, size_t K, uint64_t seed) {
    problem p;
    p.values = tokens_new(what, T, d, seed);
    p.config = prunesid_config_init(preset, T, d, 4);
    p.config.n_groups = K;
    p.tokens = prunesid_tokens_view(p.values, PRUNESID_F32, T, d);
    p.K = K;
    double *const x = widen(p.values, T * d, PRUNESID_F32);
    p.a = ref_centred_sigmoid(x, T, d, preset == PRUNESID_PAPER);
    free(x);
    return p;
}

static void problem_free(problem *p) {
    free(p->a);
    free(p->values);
}

/* The loadings as columns [K, T] in float64. */
static double *loadings(const problem *p, prunesid_svd svd, uint64_t seed, prunesid_stats *stats) {
    const size_t T = p->config.n_tokens;
    prunesid_config config = p->config;
    config.svd = svd;
    config.seed = seed;
    guard workspace = guard_workspace(&config), v = guard_new(T * p->K * 4, 0xFF);
    memset(stats, 0, sizeof *stats);
    CHECK_STATUS(prunesid_loadings(&config, &p->tokens, workspace.data, workspace.n_bytes,
                     (float *)(void *)v.data, stats),
        PRUNESID_OK, "T = %zu, d = %zu, K = %zu", T, config.dim, p->K);
    double *const wide = widen(v.data, T * p->K, PRUNESID_F32);
    double *const columns = ref_transpose(wide, T, p->K);
    free(wide);
    guard_free(&workspace);
    guard_free(&v);
    return columns;
}

/* Largest deviation of V^T V from the identity; zero columns are allowed beyond rank. */
static double orthonormality(const double *columns, size_t T, size_t K, size_t rank) {
    double worst = 0.0;
    for (size_t i = 0; i < K; i++) {
        for (size_t j = 0; j <= i; j++) {
            const double want = i == j && i < rank ? 1.0 : 0.0;
            worst = fmax(worst, fabs(ref_dot(columns + i * T, columns + j * T, T) - want));
        }
    }
    return worst;
}

/* |v - sign u| of two columns. */
static double difference(const double *v, const double *u, size_t T) {
    const double sign = ref_dot(v, u, T) < 0.0 ? -1.0 : 1.0;
    double sum = 0.0;
    for (size_t i = 0; i < T; i++) {
        sum += (v[i] - sign * u[i]) * (v[i] - sign * u[i]);
    }
    return sqrt(sum);
}

/* What of v lies outside the span of the K columns u. */
static double outside(const double *v, const double *u, size_t T, size_t K) {
    double left[2048], sum = 0.0;
    memcpy(left, v, T * sizeof *left);
    for (size_t k = 0; k < K; k++) {
        const double c = ref_dot(v, u + k * T, T);
        for (size_t i = 0; i < T; i++) {
            left[i] -= c * u[k * T + i];
        }
    }
    sum = ref_dot(left, left, T);
    return sqrt(sum);
}

typedef struct budget {
    double orthonormality, column, subspace;
} budget;

static const budget exact_budget = {1e-6, 1e-6, 1e-6}, krylov_budget = {2e-6, 1e-4, 2e-5};

static void compare_with(
    const problem *p, const double *want, prunesid_svd svd, budget limit, budget *worst) {
    const size_t T = p->config.n_tokens, d = p->config.dim, K = p->K;
    prunesid_stats stats;
    double *const got = loadings(p, svd, 0, &stats);
    const double off = orthonormality(got, T, K, K);
    CHECK(off <= limit.orthonormality, "%zu x %zu, K = %zu: orthonormal to %g", T, d, K, off);
    worst->orthonormality = fmax(worst->orthonormality, off);
    for (size_t k = 0; k < K; k++) {
        const double column = difference(got + k * T, want + k * T, T);
        const double subspace = outside(got + k * T, want, T, K);
        CHECK(column <= limit.column && subspace <= limit.subspace,
            "%zu x %zu, K = %zu, method %d, column %zu: %g, subspace %g", T, d, K, (int)stats.svd,
            k, column, subspace);
        worst->column = fmax(worst->column, column);
        worst->subspace = fmax(worst->subspace, subspace);
    }
    free(got);
}

static void matches_jacobi(void **unused) {
    /* both sides of min(T, d) = 192, where KRYLOV starts, and K from 1 to min(T, d) */
    static const size_t shapes[][3] = {{1, 1, 1}, {2, 5, 1}, {40, 30, 1}, {40, 30, 7}, {30, 90, 12},
        {16, 64, 14}, {200, 96, 16}, {96, 200, 24}, {192, 240, 16}, {193, 240, 16}, {255, 300, 16},
        {256, 256, 16}, {257, 260, 16}, {300, 257, 8}, {500, 258, 48}, {260, 700, 1}};
    budget worst[2] = {{0, 0, 0}, {0, 0, 0}};
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(shapes); s++) {
        for (int centring = 0; centring < 2; centring++) {
            const size_t T = shapes[s][0], d = shapes[s][1], K = shapes[s][2];
            if (T == 1 && centring == 0) {
                continue; /* A is 0 */
            }
            problem p = problem_new(
                KIND_REAL, centring ? PRUNESID_QWEN2VL : PRUNESID_PAPER, T, d, K, 100 + s);
            if (d == 1) {
                problem_free(&p);
                continue;
            }
            double *const v = ref_left_vectors(p.a, T, d, K, NULL);
            double *const want = ref_transpose(v, T, K);
            compare_with(&p, want, PRUNESID_SVD_EXACT, exact_budget, &worst[0]);
            compare_with(&p, want, PRUNESID_SVD_KRYLOV, krylov_budget, &worst[1]);
            free(v);
            free(want);
            problem_free(&p);
        }
    }
    for (int i = 0; i < 2; i++) {
        print_message("%s: orthonormal to %.1g, columns to %.1g, subspace to %.1g\n",
            i ? "KRYLOV" : "EXACT", worst[i].orthonormality, worst[i].column, worst[i].subspace);
    }
}

static void matches_jacobi_on_real_tokens(void **unused) {
    static const char *const sets[] = {"rocket_vit384", "astronaut_swin512"};
    budget worst[2] = {{0, 0, 0}, {0, 0, 0}};
    (void)unused;
    for (int i = 0; i < 3; i++) {
        problem p;
        npy_array array = load_tokens(sets[i / 2], &p.tokens);
        const size_t T = p.tokens.n_tokens, d = p.tokens.dim;
        double *const x = widen(array.data, array.n_items, PRUNESID_F16);
        p.config = prunesid_config_init(i % 2 ? PRUNESID_LLAVA : PRUNESID_PAPER, T, d, 64);
        p.a = ref_centred_sigmoid(x, T, d, i % 2 == 0);
        p.K = p.config.n_groups = 48;
        double *const v = ref_left_vectors(p.a, T, d, p.K, NULL);
        double *const want = ref_transpose(v, T, p.K);
        compare_with(&p, want, PRUNESID_SVD_EXACT, exact_budget, &worst[0]);
        compare_with(&p, want, PRUNESID_SVD_KRYLOV, krylov_budget, &worst[1]);
        free(p.a);
        free(v);
        free(want);
        free(x);
        npy_free(&array);
    }
    print_message(
        "EXACT columns to %.1g, KRYLOV columns to %.1g\n", worst[0].column, worst[1].column);
}

/* Without a reference SVD: unit columns with a small residual, the Rayleigh quotients fall, and the
 * inertia of A A^T says that nothing above the last of them is missing. */
static void top_of_large_matrices(void **unused) {
    static const struct {
        size_t T, d, K;
        kind what;
    } cases[] = {{576, 1024, 16, KIND_REAL}, {576, 1024, 48, KIND_SINKS}, {300, 700, 16, KIND_REAL},
        {1024, 384, 16, KIND_REAL}, {576, 300, 1, KIND_REAL}, {700, 1024, 64, KIND_HOLES}};
    double worst[2] = {0.0, 0.0};
    (void)unused;
    for (size_t c = 0; c < N_ITEMS(cases); c++) {
        const size_t T = cases[c].T, d = cases[c].d, K = cases[c].K, n = ref_min(T, d);
        problem p =
            problem_new(cases[c].what, c % 2 ? PRUNESID_PAPER : PRUNESID_QWEN2VL, T, d, K, 200 + c);
        double *const a_columns = ref_transpose(p.a, T, d);
        double *const g = T <= d ? ref_gram(p.a, T, d) : ref_gram(a_columns, d, T);
        for (int svd = PRUNESID_SVD_KRYLOV; svd <= PRUNESID_SVD_EXACT; svd++) {
            const double limit = svd == PRUNESID_SVD_KRYLOV ? 1e-4 : 2e-6;
            double *const w = (double *)ref_new(d, sizeof *w);
            double lambda = INFINITY, residual = 0.0;
            prunesid_stats stats;
            double *const v = loadings(&p, (prunesid_svd)svd, 0, &stats);
            CHECK((int)stats.svd == svd, "case %zu used method %d", c, (int)stats.svd);
            CHECK((stats.svd_iterations > 0) == (svd == PRUNESID_SVD_KRYLOV), "case %zu", c);
            assert_true(orthonormality(v, T, K, K) <= 2e-6);
            for (size_t k = 0; k < K; k++) { /* A A^T v - lambda v */
                for (size_t j = 0; j < d; j++) {
                    w[j] = ref_dot(a_columns + j * T, v + k * T, T);
                }
                const double quotient = ref_dot(w, w, d);
                double sum = 0.0;
                CHECK(quotient <= lambda * (1.0 + 1e-6), "case %zu, component %zu", c, k);
                lambda = quotient;
                for (size_t i = 0; i < T; i++) {
                    const double r = ref_dot(p.a + i * d, w, d) - lambda * v[k * T + i];
                    sum += r * r;
                }
                residual = fmax(residual, sqrt(sum) / lambda);
            }
            CHECK(residual <= limit, "case %zu, method %d: residual %g", c, svd, residual);
            worst[svd] = fmax(worst[svd], residual);
            const size_t above = ref_count_above(g, n, lambda * (1.0 - 1e-5));
            CHECK(above == K, "case %zu, method %d: %zu above the last of %zu", c, svd, above, K);
            free(w);
            free(v);
        }
        free(a_columns);
        free(g);
        problem_free(&p);
    }
    print_message("largest residual: KRYLOV %.1g, EXACT %.1g\n", worst[0], worst[1]);
}

/* All of min(T, d) components, the weakest of which SKETCH may lose to rounding. */
static void every_component(void **unused) {
    static const size_t shapes[][2] = {{12, 20}, {20, 12}, {64, 65}};
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(shapes); s++) {
        for (int svd = PRUNESID_SVD_KRYLOV; svd <= PRUNESID_SVD_SKETCH; svd++) {
            const size_t T = shapes[s][0], d = shapes[s][1], K = ref_min(T, d);
            problem p = problem_new(KIND_GAUSS, PRUNESID_LLAVA, T, d, K, 300 + s);
            prunesid_stats stats;
            double *const v = loadings(&p, (prunesid_svd)svd, 0, &stats);
            /* centring per token costs a rank where d is the smaller side */
            size_t rank = T <= d ? K : K - 1;
            for (; svd == PRUNESID_SVD_SKETCH && v[(rank - 1) * T] == 0.0; rank--) {
            }
            const double off = orthonormality(v, T, rank, rank);
            CHECK(off <= (svd == PRUNESID_SVD_SKETCH ? 1e-3 : 1e-5),
                "%zu x %zu, method %d: orthonormal to %g", T, d, svd, off);
            CHECK(rank + 4 >= K, "%zu x %zu, method %d: rank %zu", T, d, svd, rank);
            free(v);
            problem_free(&p);
        }
    }
}

/* A = u (1, .., -1, ..) / 2 exactly: rank 1, whatever K asks for. */
static void zero_columns_beyond_the_rank(void **unused) {
    static const size_t shapes[][3] = {{40, 30, 7}, {30, 40, 30}, {300, 280, 9}, {290, 700, 24}};
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(shapes); s++) {
        for (int svd = PRUNESID_SVD_KRYLOV; svd <= PRUNESID_SVD_SKETCH; svd++) {
            const size_t T = shapes[s][0], d = shapes[s][1], K = shapes[s][2];
            problem p = problem_new(KIND_ZERO, PRUNESID_LLAVA, T, d, K, 0);
            prunesid_stats stats;
            double *const want = (double *)ref_new(T, sizeof *want);
            for (size_t i = 0; i < T; i++) { /* half the channels t, half -t */
                for (size_t j = 0; j < d / 2 * 2; j++) {
                    const float t = (float)sin((double)i);
                    p.values[i * d + j] = j % 2 ? t : -t;
                }
                want[i] = tanh((double)p.values[i * d + 1] / 2.0);
            }
            const double norm = sqrt(ref_dot(want, want, T));
            for (size_t i = 0; i < T; i++) {
                want[i] /= norm;
            }
            double *const v = loadings(&p, (prunesid_svd)svd, 0, &stats);
            CHECK(difference(v, want, T) <= (svd == PRUNESID_SVD_SKETCH ? 1e-5 : 1e-6),
                "shape %zu, method %d: %g", s, svd, difference(v, want, T));
            for (size_t i = T; i < T * K; i++) {
                CHECK(v[i] == 0.0, "shape %zu, method %d, column %zu", s, svd, i / T);
            }
            free(want);
            free(v);
            problem_free(&p);
        }
    }
}

static void all_zero_without_spread(void **unused) {
    static const size_t shapes[][3] = {{1, 1, 1}, {40, 30, 5}, {300, 280, 16}, {300, 1, 1}};
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(shapes); s++) {
        for (int i = 0; i < 6; i++) { /* each method on all-zero and on all-equal tokens */
            const size_t T = shapes[s][0], d = shapes[s][1], K = shapes[s][2];
            problem p = problem_new(i / 3 ? KIND_EQUAL : KIND_ZERO, PRUNESID_PAPER, T, d, K, 0);
            prunesid_stats stats;
            double *const v = loadings(&p, (prunesid_svd)(i % 3), 0, &stats);
            for (size_t j = 0; j < T * K; j++) {
                CHECK(v[j] == 0.0, "shape %zu, case %d: %g", s, i, v[j]);
            }
            free(v);
            problem_free(&p);
        }
    }
}

/* One strong component above many equal ones, of which K cuts off some: whatever LAPACK makes of
 * the equal ones, the strong one comes first and what follows is orthonormal or zero. */
static void equal_singular_values(void **unused) {
    static const size_t shapes[][2] = {{60, 90}, {120, 40}, {300, 270}};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(shapes) * 12; i++) {
        const size_t T = shapes[i / 12][0], d = shapes[i / 12][1], K = 1 + i % 12 * 3;
        problem p = problem_new(KIND_ONE_HOT, PRUNESID_PAPER, T, d, K, 0);
        for (size_t j = 0; j < T * d; j++) {
            p.values[j] += (j / d + j % d) % 2 ? 2.0f : -2.0f;
        }
        double *const x = widen(p.values, T * d, PRUNESID_F32);
        double *const a = ref_centred_sigmoid(x, T, d, 1);
        double *const want = ref_left_vectors(a, T, d, 1, NULL);
        for (int svd = PRUNESID_SVD_KRYLOV; svd <= PRUNESID_SVD_EXACT; svd++) {
            prunesid_stats stats;
            double *const v = loadings(&p, (prunesid_svd)svd, 0, &stats);
            size_t n_found = K;
            for (; n_found > 1 && v[(n_found - 1) * T] == 0.0 &&
                   ref_dot(v + (n_found - 1) * T, v + (n_found - 1) * T, T) == 0.0;
                 n_found--) {
            }
            CHECK(difference(v, want, T) <= 1e-5, "%zu x %zu, K = %zu, method %d: %g", T, d, K, svd,
                difference(v, want, T));
            CHECK(orthonormality(v, T, K, n_found) <= 1e-5, "%zu x %zu, K = %zu, method %d", T, d,
                K, svd);
            free(v);
        }
        free(x);
        free(a);
        free(want);
        problem_free(&p);
    }
}

/* Random tokens have a flat spectrum, which no few Krylov steps separate. */
static void flat_spectrum_falls_back(void **unused) {
    problem p = problem_new(KIND_GAUSS, PRUNESID_PAPER, 400, 600, 40, 400);
    prunesid_stats stats, exact_stats;
    (void)unused;
    double *const v = loadings(&p, PRUNESID_SVD_KRYLOV, 0, &stats);
    double *const exact = loadings(&p, PRUNESID_SVD_EXACT, 0, &exact_stats);
    assert_int_equal(stats.svd, PRUNESID_SVD_EXACT);
    assert_int_equal(stats.lapack_info, 0);
    assert_memory_equal(v, exact, 400 * 40 * sizeof *v);
    free(v);
    free(exact);
    problem_free(&p);
}

static void seeds(void **unused) {
    problem p = problem_new(KIND_REAL, PRUNESID_LLAVA, 320, 400, 12, 500);
    (void)unused;
    for (int svd = PRUNESID_SVD_KRYLOV; svd <= PRUNESID_SVD_SKETCH; svd++) {
        prunesid_stats stats;
        double *const a = loadings(&p, (prunesid_svd)svd, 7, &stats);
        double *const b = loadings(&p, (prunesid_svd)svd, 7, &stats);
        double *const c = loadings(&p, (prunesid_svd)svd, 8, &stats);
        assert_memory_equal(a, b, 320 * 12 * sizeof *a);
        assert_int_equal(memcmp(a, c, 320 * 12 * sizeof *a) == 0, svd == PRUNESID_SVD_EXACT);
        free(a);
        free(b);
        free(c);
    }
    problem_free(&p);
}

/* SKETCH: at least 0.9 of the energy that the exact components hold. */
static void sketch_captures_energy(void **unused) {
    static const size_t shapes[][3] = {{200, 96, 16}, {96, 200, 4}, {576, 200, 48}, {60, 50, 1}};
    double worst = 1.0;
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(shapes); s++) {
        const size_t T = shapes[s][0], d = shapes[s][1], K = shapes[s][2];
        problem p = problem_new(KIND_REAL, PRUNESID_LLAVA, T, d, K, 600 + s);
        double *const singular = (double *)ref_new(ref_min(T, d), sizeof *singular);
        double *const columns = ref_transpose(p.a, T, d);
        free(ref_left_vectors(p.a, T, d, K, singular));
        const double all = ref_dot(singular, singular, K);
        for (uint64_t seed = 0; seed < 4; seed++) {
            prunesid_stats stats;
            double *const v = loadings(&p, PRUNESID_SVD_SKETCH, seed, &stats);
            double energy = 0.0;
            assert_int_equal(stats.svd, PRUNESID_SVD_SKETCH);
            assert_true(orthonormality(v, T, K, K) <= 1e-5);
            for (size_t i = 0; i < d * K; i++) {
                const double c = ref_dot(columns + i / K * T, v + i % K * T, T);
                energy += c * c;
            }
            worst = fmin(worst, energy / all);
            CHECK(energy >= 0.9 * all && energy <= all * (1.0 + 1e-5), "shape %zu: %g", s,
                energy / all);
            free(v);
        }
        free(singular);
        free(columns);
        problem_free(&p);
    }
    print_message("least energy %.3f\n", worst);
}

static void stats_may_be_null(void **unused) {
    problem p = problem_new(KIND_REAL, PRUNESID_LLAVA, 30, 20, 3, 700);
    guard workspace = guard_workspace(&p.config), v = guard_new(30 * 3 * 4, 0);
    (void)unused;
    assert_int_equal(prunesid_loadings(&p.config, &p.tokens, workspace.data, workspace.n_bytes,
                         (float *)(void *)v.data, NULL),
        PRUNESID_OK);
    assert_false(guard_untouched(&v, 0));
    guard_free(&workspace);
    guard_free(&v);
    problem_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_jacobi),
        cmocka_unit_test(matches_jacobi_on_real_tokens),
        cmocka_unit_test(top_of_large_matrices),
        cmocka_unit_test(every_component),
        cmocka_unit_test(zero_columns_beyond_the_rank),
        cmocka_unit_test(all_zero_without_spread),
        cmocka_unit_test(equal_singular_values),
        cmocka_unit_test(flat_spectrum_falls_back),
        cmocka_unit_test(seeds),
        cmocka_unit_test(sketch_captures_energy),
        cmocka_unit_test(stats_may_be_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
