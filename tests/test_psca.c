/* test_psca.c - principal components against one-sided Jacobi in float64.   MIT licence.
 *
 * ERROR BUDGETS. s_k are the singular values; g_k = |1 - (s_l/s_k)^2| with the neighbour s_l that
 * makes it smallest; u = 2^-24. A column's error is |v - w| of unit vectors, signs aligned.
 *   EXACT   u + 2^-53 min(T, d) (s_1/s_k)^2 / g_k: a float64 Gram matrix, float32 output
 *   KRYLOV  (sum_l c_kl^2)^(1/2) + 3 r + 6 u. c_kl = e_kl / |s_k^2 - s_l^2| is a pair's, by
 *           rounding, e_kl = c u (max(s_k^2, s_l^2) + s_k + s_l) + 2 u (s_k + s_l), times s_l / s_k
 *           where that is above 1; c is 3, or 6 where BLAS multiplies; r = 3e-5 is the residual at
 *           which it stops. It is the header's model
 * That is for columns that nothing depends on; what was refined is better. In one token 3 r is
 * 18 r / sqrt(T) at the most: 3e-5 in a loading, where T is 300. Two columns are orthonormal to
 * 2e-6 + (e_kl + u s_1^2) / (s_k s_l); or to their own budgets, where only one may be refined.
 * A budget above 0.1 says nothing of a single column; what the columns span is still held against
 * the gap behind the Kth. Whatever the method, a token's group has to be the reference's where its
 * two largest loadings are further apart than EXACT's budgets of their columns allow, spread over
 * the tokens as the loadings are. Each test prints what it found, and how many groups differ where
 * no budget forbids it. */
#include "support.h"

enum { N_METHODS = 2 }; /* PRUNESID_SVD_KRYLOV and PRUNESID_SVD_EXACT */
static const char *const method_names[N_METHODS] = {"KRYLOV", "EXACT"};

/* ---- a problem and its reference ---------------------------------------------------------- */

typedef struct problem {
    prunesid_config config;
    prunesid_input input;
    void *memory; /* of the tokens */
    size_t K;
    double *v;        /* [K, T] columns of the reference */
    double *singular; /* [min(T, d)] */
} problem;

static int centres_channels(prunesid_preset preset) {
    return prunesid_preset_rules((size_t)preset)->centring == PRUNESID_CENTRE_CHANNEL;
}

typedef double *left_vectors(const double *a, size_t T, size_t d, size_t K, double *singular);

/* ref_left_vectors by LAPACK, as good as float64 and many times as fast. */
static double *lapack_left_vectors(
    const double *a, size_t T, size_t d, size_t K, double *singular) {
    const size_t n = ref_min(T, d);
    const lapack_int rows = (lapack_int)d, columns = (lapack_int)T, least = (lapack_int)n;
    double *const copy = (double *)ref_new(T * d, sizeof *copy);
    double *const right = (double *)ref_new(d * n, sizeof *right);
    double *const left = (double *)ref_new(T * n, sizeof *left);
    double *const v = (double *)ref_new(T * K, sizeof *v);
    memcpy(copy, a, T * d * sizeof *copy);
    assert_int_equal(LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'S', rows, columns, copy, rows, singular,
                         right, rows, left, least),
        0);
    for (size_t i = 0; i < T; i++) memcpy(v + i * K, left + i * n, K * sizeof *v);
    free(copy);
    free(right);
    free(left);
    return v;
}

/* Takes values [T, d] and hands them to the library as dtype. */
static problem problem_by(left_vectors *reference, float *values, prunesid_dtype dtype,
    prunesid_preset preset, size_t T, size_t d, size_t K) {
    problem p;
    p.memory = convert(values, T * d, dtype);
    free(values);
    p.config = prunesid_config_init(preset, 4);
    p.config.n_groups = p.K = K;
    p.input = prunesid_input_init(p.memory, dtype, T, d);
    double *const x = widen(p.memory, T * d, dtype);
    double *const a = ref_centred_sigmoid(x, T, d, centres_channels(preset));
    p.singular = (double *)ref_new(ref_min(T, d), sizeof *p.singular);
    double *const v = reference(a, T, d, K, p.singular);
    p.v = ref_transpose(v, T, K);
    free(v);
    free(a);
    free(x);
    return p;
}

static problem problem_of(
    float *values, prunesid_dtype dtype, prunesid_preset preset, size_t T, size_t d, size_t K) {
    return problem_by(ref_left_vectors, values, dtype, preset, T, d, K);
}

static problem problem_new(
    kind what, prunesid_preset preset, size_t T, size_t d, size_t K, uint64_t seed) {
    return problem_of(tokens_new(what, T, d, seed), PRUNESID_F32, preset, T, d, K);
}

static void problem_free(problem *p) {
    free(p->v);
    free(p->singular);
    free(p->memory);
}

/* ---- what prunesid_psca makes of it ------------------------------------------------------- */

typedef struct components {
    prunesid_status status;
    float *rows;     /* [T, K] as written */
    double *columns; /* [K, T] */
    int32_t *group;  /* [T] */
    float *loading;  /* [T] */
    prunesid_stats stats;
} components;

static components run_psca(
    const prunesid_config *config, const prunesid_input *input, size_t K, prunesid_svd svd) {
    const size_t T = input->n_tokens;
    prunesid_config with = *config;
    with.svd = svd;
    guard workspace = guard_workspace(&with, input), v = guard_new(T * K * 4, 0xFF);
    guard group = guard_new(T * 4, 0xFF), loading = guard_new(T * 4, 0xFF);
    components c;
    memset(&c, 0xFF, sizeof c);
    c.status =
        prunesid_psca(&with, input, workspace.data, workspace.n_bytes, (float *)(void *)v.data,
            (int32_t *)(void *)group.data, (float *)(void *)loading.data, &c.stats);
    CHECK_STATUS(c.status, PRUNESID_OK, "%zu x %zu, K = %zu", T, input->dim, K);
    c.rows = (float *)ref_new(T * K, sizeof *c.rows);
    c.group = (int32_t *)ref_new(T, sizeof *c.group);
    c.loading = (float *)ref_new(T, sizeof *c.loading);
    memcpy(c.rows, v.data, T * K * 4);
    memcpy(c.group, group.data, T * 4);
    memcpy(c.loading, loading.data, T * 4);
    double *const wide = widen(c.rows, T * K, PRUNESID_F32);
    c.columns = ref_transpose(wide, T, K);
    free(wide);
    guard_free(&workspace);
    guard_free(&v);
    guard_free(&group);
    guard_free(&loading);
    return c;
}

static components components_of(const problem *p, prunesid_svd svd) {
    return run_psca(&p->config, &p->input, p->K, svd);
}

static void components_free(components *c) {
    free(c->rows);
    free(c->columns);
    free(c->group);
    free(c->loading);
}

static int components_equal(const components *a, const components *b, size_t T, size_t K) {
    return a->stats.svd == b->stats.svd && a->stats.svd_steps == b->stats.svd_steps &&
           a->stats.svd_residual == b->stats.svd_residual &&
           memcmp(a->rows, b->rows, T * K * sizeof *a->rows) == 0 &&
           memcmp(a->group, b->group, T * sizeof *a->group) == 0 &&
           memcmp(a->loading, b->loading, T * sizeof *a->loading) == 0;
}

/* ---- measures ----------------------------------------------------------------------------- */

/* Largest deviation of V^T V from the identity; columns from the rank on are zero. */
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
    for (size_t i = 0; i < T; i++) sum += (v[i] - sign * u[i]) * (v[i] - sign * u[i]);
    return sqrt(sum);
}

/* Of v, the length outside the span of the K columns u: the sine of its angle to it. */
static double outside(const double *v, const double *u, size_t T, size_t K) {
    double *const left = (double *)ref_new(T, sizeof *left);
    memcpy(left, v, T * sizeof *left);
    for (size_t k = 0; k < K; k++) {
        const double c = ref_dot(v, u + k * T, T);
        for (size_t i = 0; i < T; i++) left[i] -= c * u[k * T + i];
    }
    const double length = sqrt(ref_dot(left, left, T));
    free(left);
    return length;
}

static const double u32 = 0x1p-24, most_residual = 3e-5;

static size_t n_singular(const problem *p) {
    return ref_min(p->input.n_tokens, p->input.dim);
}

/* The header's |w_l . (E w_k)|. */
static double pair_noise(const problem *p, size_t k, size_t l) {
    const double a = p->singular[k], b = p->singular[l];
    const double noise = prunesid_kernels_of_processor_()->noise;
    return u32 * (noise * (fmax(a * a, b * b) + a + b) + 2.0 * (a + b));
}

/* How far column k may turn towards those of [from, to), k itself left out. */
static double turn(const problem *p, prunesid_svd svd, size_t k, size_t from, size_t to) {
    const double theta = p->singular[k] * p->singular[k], first = p->singular[0];
    double square = 0.0, least = theta;
    for (size_t l = from; l < to; l++) {
        const double gap = fabs(theta - p->singular[l] * p->singular[l]);
        const double growth = fmax(1.0, p->singular[l] / p->singular[k]);
        const double c = gap > 0.0 ? growth * pair_noise(p, k, l) / gap : INFINITY;
        if (l == k) continue;
        square += c * c;
        least = fmin(least, gap);
    }
    if (svd == PRUNESID_SVD_EXACT)
        return u32 + 0x1p-53 * (double)n_singular(p) * first * first / least;
    return sqrt(square) + 3.0 * most_residual + 6.0 * u32;
}

static double column_budget(const problem *p, prunesid_svd svd, size_t k) {
    return turn(p, svd, k, 0, n_singular(p));
}

static double subspace_budget(const problem *p, prunesid_svd svd, size_t k) {
    return turn(p, svd, k, p->K, n_singular(p));
}

/* How far columns k and l may be from orthogonal, or k from a unit vector. */
static double product_budget(const problem *p, const components *c, size_t k, size_t l) {
    if (c->stats.svd == PRUNESID_SVD_EXACT) return 2e-6;
    if (c->stats.n_refined > 0 && k != l)
        return column_budget(p, PRUNESID_SVD_KRYLOV, k) + column_budget(p, PRUNESID_SVD_KRYLOV, l);
    const double lengths = p->singular[k] * p->singular[l];
    return 2e-6 + (pair_noise(p, k, l) + u32 * p->singular[0] * p->singular[0]) / lengths;
}

/* The largest deviation of V^T V from the identity, over what it may be. */
static double check_orthonormal(const problem *p, const components *c, const char *what) {
    const size_t T = p->input.n_tokens;
    double worst = 0.0;
    for (size_t k = 0; k < p->K; k++) {
        for (size_t l = 0; l <= k; l++) {
            const double budget = product_budget(p, c, k, l);
            const double got = ref_dot(c->columns + k * T, c->columns + l * T, T);
            const double off = fabs(got - (k == l ? 1.0 : 0.0));
            CHECK(off <= budget, "%s, %s: columns %zu and %zu orthonormal to %g, budget %g", what,
                method_names[c->stats.svd], k, l, off, budget);
            worst = fmax(worst, off / budget);
        }
    }
    return worst;
}

/* What was found, by the method that finished. */
typedef struct tally {
    double orthonormality, column, subspace; /* the worst, over their budgets */
    size_t n_runs, n_refined, n_columns, n_compared;
    size_t n_tokens, n_clear, n_wrong, n_wrong_runs;
} tally;

static void print_tallies(const tally tallies[N_METHODS], const char *what) {
    for (int svd = 0; svd < N_METHODS; svd++) {
        const tally *const t = &tallies[svd];
        if (t->n_runs == 0) continue;
        print_message(
            "%s, %s: %zu runs (%zu refined), orthonormal to %.2g of the budget, %zu of %zu columns "
            "to %.2g of theirs, subspace to %.2g; another group: %zu of %zu tokens (%zu clear), "
            "%zu runs\n",
            what, method_names[svd], t->n_runs, t->n_refined, t->orthonormality, t->n_compared,
            t->n_columns, t->column, t->subspace, t->n_wrong, t->n_tokens, t->n_clear,
            t->n_wrong_runs);
    }
}

/* The groups and own loadings that came with the columns, and the reference's where that is clear
 * by the budgets of EXACT. */
static void check_groups(const problem *p, const components *c, const char *what, tally *t) {
    const prunesid_svd svd = PRUNESID_SVD_EXACT;
    const size_t T = p->input.n_tokens, K = p->K, before = t->n_wrong;
    double *const rows = ref_transpose(p->v, K, T), *const loading = (double *)ref_new(T, 8);
    double *const own_rows = ref_transpose(c->columns, K, T);
    int32_t *const want = (int32_t *)ref_new(T, sizeof *want);
    int32_t *const own = (int32_t *)ref_new(T, sizeof *own);
    ref_group(own_rows, T, K, own, loading);
    for (size_t i = 0; i < T; i++) {
        const double *const row = own_rows + i * K; /* float32: the largest may be several */
        CHECK((double)c->loading[i] == fabs(row[c->group[i]]), "%s, token %zu", what, i);
        CHECK((double)c->loading[i] == fabs(row[own[i]]), "%s, token %zu: group %d, not %d", what,
            i, c->group[i], own[i]);
    }
    ref_group(rows, T, K, want, loading);
    for (size_t i = 0; i < T; i++) { /* a turn moves loadings by what the row has, and by noise */
        const double *const row = rows + i * K;
        const double spread = sqrt(ref_dot(row, row, K)) + 4.0 / sqrt((double)T);
        const double mine = column_budget(p, svd, (size_t)want[i]);
        int clear = 1;
        for (size_t k = 0; k < K; k++) {
            const double open = (mine + column_budget(p, svd, k)) * spread;
            clear = clear && (k == (size_t)want[i] || loading[i] - fabs(row[k]) > open);
        }
        t->n_clear += (size_t)clear;
        t->n_wrong += c->group[i] != want[i];
        CHECK(!clear || c->group[i] == want[i], "%s, token %zu: group %d, the reference has %d",
            what, i, c->group[i], want[i]);
    }
    t->n_runs++;
    t->n_refined += c->stats.n_refined > 0;
    t->n_tokens += T;
    t->n_wrong_runs += t->n_wrong > before;
    free(rows);
    free(loading);
    free(own_rows);
    free(want);
    free(own);
}

/* Both methods on p: everything that the budgets above promise. */
static void check_methods(const problem *p, const char *what, tally tallies[N_METHODS]) {
    const size_t T = p->input.n_tokens, d = p->input.dim, K = p->K;
    for (int asked = 0; asked < N_METHODS; asked++) {
        components c = components_of(p, (prunesid_svd)asked);
        const prunesid_svd svd = c.stats.svd;
        tally *const t = &tallies[svd];
        t->orthonormality = fmax(t->orthonormality, check_orthonormal(p, &c, what));
        for (size_t k = 0; k < K; k++) {
            const double *const column = c.columns + k * T;
            const double budget = column_budget(p, svd, k), span = subspace_budget(p, svd, k);
            const double error = difference(column, p->v + k * T, T);
            const double angle = outside(column, p->v, T, K);
            CHECK(budget > 0.1 || error <= budget,
                "%s, %zu x %zu, %s: column %zu off by %g, budget %g", what, T, d, method_names[svd],
                k, error, budget);
            CHECK(span > 0.1 || angle <= span,
                "%s, %zu x %zu, %s: column %zu outside by %g, budget %g", what, T, d,
                method_names[svd], k, angle, span);
            t->n_compared += budget <= 0.1;
            t->column = fmax(t->column, budget <= 0.1 ? error / budget : 0.0);
            t->subspace = fmax(t->subspace, span <= 0.1 ? angle / span : 0.0);
        }
        t->n_columns += K;
        check_groups(p, &c, what, t);
        components_free(&c);
    }
}

/* ---- planted spectra ---------------------------------------------------------------------- */

typedef enum spectrum {
    DECAYING, /* equal steps of the logarithm from s_1 to s_K */
    FLAT,     /* every value a share gap below the one before */
    PAIRS,    /* two values a share gap apart, pairs in equal steps from s_1 to s_K */
    CLUSTER,  /* s_1, and all others of the K within K gaps above s_K */
    N_SPECTRA,
    CLUSTERS = N_SPECTRA, /* of two to six values a gap apart, 10 % between them */
    CUT,                  /* a cluster that goes on behind the Kth */
    N_ALL_SPECTRA
} spectrum;

static const char *const spectrum_names[N_SPECTRA] = {"decaying", "flat", "pairs", "cluster"};

typedef struct recipe {
    spectrum what;
    size_t T, d, K;
    prunesid_preset preset;
    double ratio, gap; /* s_K / s_1, and between neighbours */
} recipe;

/* s [n] falling from 1 (a cluster of wide gaps may reach above it); behind the Kth at least 10 %,
 * unless that is cut off, then 3 % a step: a long tail, as real tokens have. */
static void fill_spectrum(const recipe *p, double *s, size_t n) {
    const double K = (double)p->K, steps = fmax(K - 1.0, 1.0);
    for (size_t k = 0; k < n; k++) {
        const double at = (double)k;
        if (p->what == CUT && k > 0 && k < p->K + 4) {
            s[k] = p->ratio * pow(1.0 - p->gap, at - K + 1.0);
        } else if (p->what == CLUSTERS && k > 0 && k < p->K) { /* sizes 2 to 6 in turn: 20 */
            static const double before[] = {
                0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4};
            const size_t from_last = p->K - 1 - k;
            const double jumps = before[from_last % 20] + 5.0 * (double)(from_last / 20);
            s[k] = p->ratio * pow(1.0 + p->gap, (double)from_last) * pow(1.1, jumps);
        } else if (k >= p->K) {
            s[k] = s[p->K - 1] * 0.9 * pow(0.97, at - K);
        } else if (p->what == DECAYING) {
            s[k] = pow(p->ratio, at / steps);
        } else if (p->what == FLAT) {
            s[k] = pow(1.0 - p->gap, at);
        } else if (p->what == PAIRS) {
            const double pairs = fmax((double)((p->K - 1) / 2), 1.0);
            s[k] = pow(p->ratio, (double)(k / 2) / pairs) * (k % 2 ? 1.0 - p->gap : 1.0);
        } else {
            s[k] = k == 0 ? 1.0 : p->ratio * pow(1.0 - p->gap, at - K + 1.0);
        }
    }
}

/* n orthonormal rows of length m, of mean zero if balanced; if not the first is near (1, 1, ..). */
static double *orthonormal_rows(size_t n, size_t m, int balanced, uint64_t *state) {
    double *const q = (double *)ref_new(n * m, sizeof *q);
    for (size_t k = 0; k < n; k++) {
        double *const row = q + k * m;
        for (size_t i = 0; i < m; i++)
            row[i] = k == 0 && !balanced ? 1.0 + 0.1 * random_normal(state) : random_normal(state);
        for (int twice = 0; twice < 2; twice++) {
            double mean = 0.0;
            for (size_t i = 0; i < m; i++) mean += row[i] / (double)m;
            for (size_t i = 0; balanced && i < m; i++) row[i] -= mean;
            for (size_t p = 0; p < k; p++) {
                const double c = ref_dot(q + p * m, row, m);
                for (size_t i = 0; i < m; i++) row[i] -= c * q[p * m + i];
            }
        }
        const double norm = sqrt(ref_dot(row, row, m));
        for (size_t i = 0; i < m; i++) row[i] /= norm;
    }
    return q;
}

/* X with sigmoid(X) - mean = A = U S W^T, up to the rounding of X: A itself is taken the logit of.
 * u [n, T] are the left vectors as rows; s [n] is written. */
static float *compose(const recipe *p, const double *u, size_t n, double *s, uint64_t *state) {
    double *const w = orthonormal_rows(n, p->d, !centres_channels(p->preset), state);
    double *const a = (double *)ref_new(p->T * p->d, sizeof *a);
    float *const x = (float *)ref_new(p->T * p->d, sizeof *x);
    double largest = 0.0;
    fill_spectrum(p, s, n);
    for (size_t i = 0; i < p->T; i++) {
        for (size_t k = 0; k < n; k++) {
            const double strength = s[k] * u[k * p->T + i];
            for (size_t j = 0; j < p->d; j++) a[i * p->d + j] += strength * w[k * p->d + j];
        }
    }
    for (size_t i = 0; i < p->T * p->d; i++) largest = fmax(largest, fabs(a[i]));
    for (size_t k = 0; k < n; k++) s[k] *= 0.4 / largest;
    for (size_t i = 0; i < p->T * p->d; i++) {
        const double at = 0.5 + 0.4 / largest * a[i];
        x[i] = (float)log(at / (1.0 - at));
    }
    free(a);
    free(w);
    return x;
}

/* Components that are planted: the K, and up to 96 behind them. */
static size_t recipe_rank(const recipe *p) {
    return ref_min(ref_min(p->T, p->d) - 1, p->K + 96);
}

/* left and singular: what was planted, [n, T] and [n]; each may be NULL. */
static float *plant(const recipe *p, uint64_t seed, double **left, double **singular) {
    const size_t n = recipe_rank(p);
    uint64_t state = seed;
    double *const s = (double *)ref_new(n, sizeof *s);
    double *const u = orthonormal_rows(n, p->T, centres_channels(p->preset), &state);
    float *const x = compose(p, u, n, s, &state);
    if (left != NULL) *left = u;
    if (singular != NULL) *singular = s;
    if (left == NULL) free(u);
    if (singular == NULL) free(s);
    return x;
}

static problem planted(const recipe *p, uint64_t seed) {
    return problem_of(plant(p, seed, NULL, NULL), PRUNESID_F32, p->preset, p->T, p->d, p->K);
}

/* The reference finds what was planted, so it may judge: to float32's rounding of X. */
static void the_reference_finds_what_is_planted(void **unused) {
    static const recipe recipes[] = {{DECAYING, 60, 90, 12, PRUNESID_QWEN2VL, 0.01, 0.0},
        {DECAYING, 90, 60, 12, PRUNESID_PAPER, 0.1, 0.0},
        {PAIRS, 100, 100, 16, PRUNESID_LLAVA, 0.03, 0.01},
        {CLUSTER, 220, 120, 8, PRUNESID_QWEN2VL, 0.1, 0.001},
        {FLAT, 50, 70, 9, PRUNESID_PAPER, 0.0, 0.1}};
    double worst = 0.0;
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(recipes); i++) {
        const recipe *const p = &recipes[i];
        double *u, *s;
        float *const x = plant(p, 40 + i, &u, &s);
        problem found = problem_of(x, PRUNESID_F32, p->preset, p->T, p->d, p->K);
        assert_true(orthonormality(found.v, p->T, p->K, p->K) <= 1e-13);
        for (size_t k = 0; k < p->K; k++) { /* rounding X is noise in A, of a norm below u s_1 */
            const double noise = 0x1p-24 * s[0] / s[k], below = s[k + 1] / s[k];
            const double above = k > 0 ? s[k - 1] / s[k] : INFINITY;
            const double gap = fmin(1.0 - below * below, above * above - 1.0);
            const double error = difference(found.v + k * p->T, u + k * p->T, p->T);
            CHECK(fabs(found.singular[k] / s[k] - 1.0) <= noise && error <= 2.0 * noise / gap,
                "recipe %zu, column %zu: %g", i, k, error);
            worst = fmax(worst, error * gap / noise);
        }
        free(u);
        free(s);
        problem_free(&found);
    }
    print_message("planted columns are the reference's to %.2g u (s_1/s_k) / g_k\n", worst);
}

/* Every shape of spectrum, of matrix, both centrings, from s_K / s_1 = 0.3 to 0.01 and with
 * neighbours 10 %, 1 % and 0.1 % apart. */
static void planted_spectra(void **unused) {
    static const size_t sizes[][2] = {{210, 320}, {320, 210}, {240, 240}, {60, 90}, {90, 60}};
    static const double ratios[] = {0.3, 0.1, 0.03, 0.01}, gaps[] = {0.1, 0.01, 0.001};
    tally t[N_SPECTRA][N_METHODS];
    uint64_t seed = 1000;
    char what[128];
    (void)unused;
    memset(t, 0, sizeof t);
    for (size_t i = 0; i < N_SPECTRA * N_ITEMS(ratios) * N_ITEMS(gaps) * N_ITEMS(sizes); i++) {
        const size_t size = i % N_ITEMS(sizes), rest = i / N_ITEMS(sizes);
        const recipe p = {(spectrum)(rest % N_SPECTRA), sizes[size][0], sizes[size][1],
            size < 3 ? 16 : 8, seed % 2 ? PRUNESID_PAPER : PRUNESID_QWEN2VL,
            ratios[rest / N_SPECTRA % N_ITEMS(ratios)], gaps[rest / N_SPECTRA / N_ITEMS(ratios)]};
        if (p.what == DECAYING && p.gap < 0.1) continue; /* it has no gap of its own */
        if (p.what == FLAT && p.ratio < 0.3) continue;   /* nor this a ratio */
        snprintf(what, sizeof what, "%s, %zu x %zu, ratio %g, gap %g, preset %d",
            spectrum_names[p.what], p.T, p.d, p.ratio, p.gap, (int)p.preset);
        problem q = planted(&p, seed++);
        check_methods(&q, what, t[p.what]);
        problem_free(&q);
    }
    for (int s = 0; s < N_SPECTRA; s++) {
        print_tallies(t[s], spectrum_names[s]);
        assert_true(t[s][PRUNESID_SVD_KRYLOV].n_runs >= 6);
    }
}

/* K = 1, K near min(T, d), and a K that cuts through a cluster. */
static void any_number_of_components(void **unused) {
    static const recipe recipes[] = {{DECAYING, 210, 320, 1, PRUNESID_QWEN2VL, 0.0, 0.0},
        {CLUSTER, 320, 210, 1, PRUNESID_PAPER, 0.5, 0.01},
        {DECAYING, 40, 60, 39, PRUNESID_LLAVA, 0.1, 0.0},
        {DECAYING, 60, 40, 38, PRUNESID_PAPER, 0.1, 0.0},
        {FLAT, 50, 50, 47, PRUNESID_QWEN2VL, 0.0, 0.01},
        {DECAYING, 240, 210, 200, PRUNESID_QWEN2VL, 0.1, 0.0},
        {FLAT, 210, 240, 100, PRUNESID_PAPER, 0.0, 0.01},
        {DECAYING, 300, 400, 96, PRUNESID_QWEN2VL, 0.05, 0.0},
        {FLAT, 400, 260, 24, PRUNESID_LLAVA, 0.0, 0.002}};
    tally t[N_METHODS];
    (void)unused;
    memset(t, 0, sizeof t);
    for (size_t i = 0; i < N_ITEMS(recipes); i++) {
        char what[64];
        recipe p = recipes[i];
        p.ratio = p.ratio > 0.0 ? p.ratio : 0.8;
        snprintf(what, sizeof what, "recipe %zu, K = %zu", i, p.K);
        problem q = planted(&p, 500 + i);
        check_methods(&q, what, t);
        problem_free(&q);
    }
    print_tallies(t, "K");
}

/* Token centring of real tokens leaves one direction that all share far above the others. */
static void a_dominant_component(void **unused) {
    static const double ratios[] = {0.3, 0.1, 0.03, 0.01};
    tally t[N_METHODS];
    (void)unused;
    memset(t, 0, sizeof t);
    for (size_t i = 0; i < N_ITEMS(ratios) * 3; i++) {
        const recipe p = {CLUSTER, 280, 360, 16, PRUNESID_QWEN2VL, ratios[i / 3], 0.03};
        problem q = planted(&p, 600 + i);
        for (size_t k = 0; k < p.T; k++) /* it is about 1 / sqrt(T) in every token */
            assert_true(fabs(fabs(q.v[k]) * sqrt((double)p.T) - 1.0) <= 0.6);
        assert_true(q.singular[1] <= ratios[i / 3] * q.singular[0] * 1.6);
        check_methods(&q, "dominant", t);
        problem_free(&q);
    }
    print_tallies(t, "dominant");
}

/* Rows that are zero load on nothing, copies load alike. */
static void zero_and_duplicate_rows(void **unused) {
    static const size_t sizes[][2] = {{210, 320}, {320, 210}, {60, 90}, {90, 60}};
    tally t[N_METHODS];
    (void)unused;
    memset(t, 0, sizeof t);
    for (size_t s = 0; s < N_ITEMS(sizes); s++) {
        const size_t T = sizes[s][0], d = sizes[s][1];
        const recipe p = {DECAYING, T, d, 8, PRUNESID_QWEN2VL, 0.2, 0.0};
        float *const x = plant(&p, 700 + s, NULL, NULL);
        for (size_t i = 0; i < T; i++) {
            if (i % 7 == 2) memset(x + i * d, 0, d * sizeof *x);
            if (i % 7 == 5) memcpy(x + i * d, x + (i - 4) * d, d * sizeof *x);
        }
        problem q = problem_of(x, PRUNESID_F32, p.preset, T, d, p.K);
        check_methods(&q, "zero and duplicate rows", t);
        for (int svd = 0; svd < N_METHODS; svd++) {
            components c = components_of(&q, (prunesid_svd)svd);
            for (size_t i = 0; i < T * p.K; i++) {
                const size_t row = i / p.K;
                const double own = (double)c.rows[i];
                CHECK(row % 7 != 2 || fabs(own) <= 1e-7, "row %zu of zeros: %g", row, own);
                CHECK(row % 7 != 5 || fabs(own - (double)c.rows[i - 4 * p.K]) <= 1e-6,
                    "row %zu, a copy: %g", row, own);
            }
            components_free(&c);
        }
        problem_free(&q);
    }
    print_tallies(t, "zero and duplicate rows");
}

/* The indices of token i's two largest loadings on K columns u [K, T]. */
static void two_largest(
    const double *u, size_t T, size_t K, size_t i, size_t *first, size_t *second) {
    *first = fabs(u[i]) >= fabs(u[T + i]) ? 0 : 1;
    *second = 1 - *first;
    for (size_t k = 2; k < K; k++) {
        const double size = fabs(u[k * T + i]);
        if (size > fabs(u[*first * T + i])) {
            *second = *first;
            *first = k;
        } else if (size > fabs(u[*second * T + i])) {
            *second = k;
        }
    }
}

static void turn_tokens(double *u, size_t T, size_t n, size_t i, size_t j, double angle) {
    for (size_t k = 0; k < n; k++) {
        const double at_i = u[k * T + i], at_j = u[k * T + j];
        u[k * T + i] = cos(angle) * at_i + sin(angle) * at_j;
        u[k * T + j] = cos(angle) * at_j - sin(angle) * at_i;
    }
}

/* Turns token i and another one behind the first n_tied of the orthonormal columns u [n, T], which
 * stay that, until i's two largest loadings on the first K differ by a share off only. */
static void tie(double *u, size_t T, size_t K, size_t n, size_t i, size_t n_tied, double off) {
    size_t a, b, first, second;
    two_largest(u, T, K, i, &a, &b);
    for (size_t j = n_tied; j < T; j++) {
        const double same = u[a * T + i] * u[b * T + i] < 0.0 ? -1.0 : 1.0, by = same * (1.0 + off);
        const double angle =
            atan2(by * u[b * T + i] - u[a * T + i], u[a * T + j] - by * u[b * T + j]);
        turn_tokens(u, T, n, i, j, angle);
        two_largest(u, T, K, i, &first, &second);
        if ((first == a && second == b) || (first == b && second == a)) return;
        turn_tokens(u, T, n, i, j, -angle);
    }
    fail();
}

/* By which share of the larger the reference's two largest loadings of token i differ. */
static double margin(const problem *p, size_t i) {
    const size_t T = p->input.n_tokens;
    size_t first, second;
    two_largest(p->v, T, p->K, i, &first, &second);
    return 1.0 - fabs(p->v[second * T + i] / p->v[first * T + i]);
}

/* Tokens whose two largest loadings differ by a share of 1, 1e-1, .. 1e-7, and by rounding. Where
 * float32 leaves a group open float64 decides. */
static void near_ties(void **unused) {
    static const size_t sizes[][2] = {{210, 320}, {320, 210}, {240, 240}};
    enum { N_TIED = 20 };
    tally t[N_METHODS];
    size_t n_close = 0;
    (void)unused;
    memset(t, 0, sizeof t);
    for (size_t i = 0; i < 9 * N_ITEMS(sizes); i++) {
        const size_t *const size = sizes[i % N_ITEMS(sizes)], power = i / N_ITEMS(sizes);
        const recipe p = {DECAYING, size[0], size[1], 8, PRUNESID_QWEN2VL, 0.3, 0.0};
        const size_t n = recipe_rank(&p);
        const double off = power < 8 ? pow(10.0, -(double)power) : 0.0;
        uint64_t state = 800 + i;
        double *const s = (double *)ref_new(n, sizeof *s);
        double *const u = orthonormal_rows(n, p.T, 0, &state);
        for (size_t k = 0; k < N_TIED; k++) tie(u, p.T, p.K, n, k, N_TIED, off);
        float *const x = compose(&p, u, n, s, &state);
        problem q = problem_of(x, PRUNESID_F32, p.preset, p.T, p.d, p.K);
        for (size_t k = 0; k < N_TIED; k++) n_close += margin(&q, k) <= fmax(off, 1e-5);
        for (int svd = 0; svd < N_METHODS; svd++) {
            components c = components_of(&q, (prunesid_svd)svd);
            char what[64];
            snprintf(what, sizeof what, "%zu x %zu, ties to %g", p.T, p.d, off);
            check_groups(&q, &c, what, &t[c.stats.svd]);
            components_free(&c);
        }
        free(s);
        free(u);
        problem_free(&q);
    }
    for (int svd = 0; svd < N_METHODS; svd++) {
        print_message("near ties, %s: %zu runs; another group: %zu of %zu tokens (%zu clear)\n",
            method_names[svd], t[svd].n_runs, t[svd].n_wrong, t[svd].n_tokens, t[svd].n_clear);
    }
    assert_true(t[PRUNESID_SVD_KRYLOV].n_runs >= 6 && n_close >= 450);
}

/* ---- the error model ---------------------------------------------------------------------- */

/* The largest errors of columns over what the header's model allows: of one column in another, and
 * of one loading; as Krylov leaves them, and after a pass of refinement over A in float32 or 64. */
enum { N_PRECISIONS = 3 };
static const char *const precision_names[N_PRECISIONS] = {"Krylov", "refined", "in float64"};

typedef struct model {
    double pair[N_PRECISIONS], loading[N_PRECISIONS];
    size_t n_runs[N_PRECISIONS];
} model;

/* First order is what the model is of: up to here the second is below 5 % of it. */
static const double first_order = 0.05;

/* Of column k. The reference has all signs; those of the column are aligned. */
static void measure_column(
    const problem *p, const prunesid_job_ *job, size_t k, int precision, model *m) {
    const size_t T = p->input.n_tokens, K = p->K;
    const double *const noise = job->noise + k * job->ldV, *const want = p->v + k * T;
    const double outside = job->outside[k] * sqrt((double)T) / 6.0, s_k = p->singular[k];
    const double below = 1.0 - p->singular[k + 1] / s_k;
    const double gap = k > 0 ? fmin(below, p->singular[k - 1] / s_k - 1.0) : below;
    const double reference = 32.0 * 0x1p-53 * p->singular[0] / (s_k * gap); /* its own error */
    double *const v = (double *)ref_new(T, sizeof *v);
    int is_first_order = 1;
    for (size_t i = 0; i < T; i++) v[i] = job->V[i * job->ldV + k];
    const double sign = ref_dot(v, want, T) < 0.0 ? -1.0 : 1.0;
    for (size_t l = 0; l < K; l++) {
        if (l == k) continue;
        is_first_order = is_first_order && noise[l] <= first_order;
        if (noise[l] > first_order) continue;
        const double turned = fabs(ref_dot(v, p->v + l * T, T));
        m->pair[precision] = fmax(m->pair[precision], turned / (noise[l] + outside + reference));
    }
    for (size_t i = 0; i < T && is_first_order; i++) {
        const double bound = prunesid_loading_error_(job, i, k) + reference;
        m->loading[precision] = fmax(m->loading[precision], fabs(sign * v[i] - want[i]) / bound);
    }
    free(v);
}

/* What Krylov finds; and some of it after each of some passes of refinement. */
static void measure_model(const problem *p, size_t first, model *m) {
    guard workspace = guard_workspace(&p->config, &p->input);
    prunesid_stats stats = prunesid_details_init().stats;
    prunesid_job_ job;
    int info = 0;
    assert_int_equal(prunesid_open_(&p->config, &p->input, workspace.data, workspace.n_bytes, &job),
        PRUNESID_OK);
    assert_int_equal(prunesid_find_components_(&job, &stats), PRUNESID_OK);
    for (size_t k = 0; k < p->K && job.has_bounds; k++) measure_column(p, &job, k, 0, m);
    m->n_runs[0] += job.has_bounds != 0;
    if (job.has_bounds) {
        memset(job.is_open, 0, p->K);
        for (size_t k = first % p->K, n = 0; n < 5 && k < p->K; n++) job.is_open[k++] = 1;
    }
    for (int pass = 0; pass < 6 && job.has_bounds && prunesid_refine_(&job, &info) > 0; pass++) {
        const int precision = job.refiner.is_float64 ? 2 : 1;
        for (size_t k = 0; k < p->K; k++)
            if (job.is_refined[k]) measure_column(p, &job, k, precision, m);
        m->n_runs[precision]++;
    }
    assert_int_equal(info, 0);
    guard_free(&workspace);
}

static void check_model(const model *m, const char *what) {
    for (int i = 0; i < N_PRECISIONS; i++) {
        print_message(
            "%s, the error model, %s: %zu runs, a column in another %.2f of it, a loading %.2f\n",
            what, precision_names[i], m->n_runs[i], m->pair[i], m->loading[i]);
        assert_true(m->n_runs[i] > 0);
        assert_true(m->pair[i] <= 1.0 && m->loading[i] <= 1.0);
    }
}

/* ---- made-up and real tokens -------------------------------------------------------------- */

static void made_up_tokens(void **unused) {
    /* both sides of where KRYLOV starts, and K from 1 to min(T, d) */
    static const size_t shapes[][3] = {{2, 5, 1}, {40, 30, 1}, {40, 30, 7}, {30, 90, 12},
        {16, 64, 14}, {200, 96, 16}, {96, 200, 24}, {192, 240, 16}, {193, 240, 16}, {255, 300, 16},
        {256, 256, 16}, {257, 260, 16}, {300, 257, 8}, {500, 258, 48}, {260, 700, 1}};
    tally t[N_METHODS];
    (void)unused;
    memset(t, 0, sizeof t);
    for (size_t i = 0; i < 2 * N_ITEMS(shapes); i++) {
        const size_t *const shape = shapes[i / 2];
        problem p = problem_new(i % 4 < 2 ? KIND_REAL : KIND_SINKS,
            i % 2 ? PRUNESID_QWEN2VL : PRUNESID_PAPER, shape[0], shape[1], shape[2], 100 + i / 2);
        check_methods(&p, "made-up tokens", t);
        problem_free(&p);
    }
    print_tallies(t, "made-up tokens");
}

static void real_tokens(void **unused) {
    static const char *const sets[] = {"rocket_vit384", "chelsea_mlp384", "coffee_cat384"};
    model m;
    (void)unused;
    memset(&m, 0, sizeof m);
    for (size_t i = 0; i < N_ITEMS(sets); i++) {
        tally t[N_METHODS];
        prunesid_input input;
        npy_array array = load_tokens(sets[i], &input);
        memset(t, 0, sizeof t);
        for (int channels = 0; channels < 2; channels++) {
            float *const values = (float *)ref_new(array.n_items, sizeof *values);
            for (size_t j = 0; j < array.n_items; j++) values[j] = npy_float_at(&array, j);
            problem p = problem_of(values, PRUNESID_F16, channels ? PRUNESID_PAPER : PRUNESID_LLAVA,
                input.n_tokens, input.dim, 48);
            check_methods(&p, sets[i], t);
            measure_model(&p, 7 * i + 20 * (size_t)channels, &m);
            problem_free(&p);
        }
        print_tallies(t, sets[i]);
        assert_int_equal(t[PRUNESID_SVD_KRYLOV].n_runs, 2);
        npy_free(&array);
    }
    check_model(&m, "real tokens");
}

/* Without a reference SVD: unit columns with a small residual, the Rayleigh quotients fall, and the
 * inertia of A A^T says that nothing above the last of them is missing. */
static void top_of_large_matrices(void **unused) {
    static const struct {
        size_t T, d, K;
        kind what;
    } cases[] = {{576, 1024, 16, KIND_REAL}, {576, 1024, 48, KIND_SINKS}, {300, 700, 16, KIND_REAL},
        {1024, 384, 16, KIND_REAL}, {576, 300, 1, KIND_REAL}, {700, 1024, 64, KIND_HOLES}};
    double worst[N_METHODS] = {0.0, 0.0};
    (void)unused;
    for (size_t c = 0; c < N_ITEMS(cases); c++) {
        const size_t T = cases[c].T, d = cases[c].d, K = cases[c].K, n = ref_min(T, d);
        const prunesid_preset preset = c % 2 ? PRUNESID_PAPER : PRUNESID_QWEN2VL;
        float *const values = tokens_new(cases[c].what, T, d, 200 + c);
        double *const x = widen(values, T * d, PRUNESID_F32);
        double *const a = ref_centred_sigmoid(x, T, d, centres_channels(preset));
        double *const a_columns = ref_transpose(a, T, d);
        double *const g = T <= d ? ref_gram(a, T, d) : ref_gram(a_columns, d, T);
        double *const w = (double *)ref_new(d, sizeof *w);
        const prunesid_input input = prunesid_input_init(values, PRUNESID_F32, T, d);
        prunesid_config config = prunesid_config_init(preset, 4);
        config.n_groups = K;
        for (int svd = 0; svd < N_METHODS; svd++) {
            const double limit = svd == PRUNESID_SVD_KRYLOV ? 1e-4 : 2e-6;
            double lambda = INFINITY, residual = 0.0;
            components found = run_psca(&config, &input, K, (prunesid_svd)svd);
            const double *const v = found.columns;
            CHECK((int)found.stats.svd == svd, "case %zu by %d", c, (int)found.stats.svd);
            CHECK(orthonormality(v, T, K, K) <= 2e-6, "case %zu", c);
            for (size_t k = 0; k < K; k++) { /* A A^T v - lambda v */
                for (size_t j = 0; j < d; j++) w[j] = ref_dot(a_columns + j * T, v + k * T, T);
                const double quotient = ref_dot(w, w, d);
                double sum = 0.0;
                CHECK(quotient <= lambda * (1.0 + 1e-6), "case %zu, component %zu", c, k);
                lambda = quotient;
                for (size_t i = 0; i < T; i++) {
                    const double r = ref_dot(a + i * d, w, d) - lambda * v[k * T + i];
                    sum += r * r;
                }
                residual = fmax(residual, sqrt(sum) / lambda);
            }
            CHECK(residual <= limit, "case %zu, method %d: residual %g", c, svd, residual);
            worst[svd] = fmax(worst[svd], residual);
            const size_t above = ref_count_above(g, n, lambda * (1.0 - 1e-5));
            CHECK(above == K, "case %zu, method %d: %zu above the last of %zu", c, svd, above, K);
            components_free(&found);
        }
        free(x);
        free(a);
        free(a_columns);
        free(g);
        free(w);
        free(values);
    }
    print_message("largest residual: KRYLOV %.1g, EXACT %.1g\n", worst[0], worst[1]);
}

/* Cholesky QR of w rows of which some are spanned by others, too short, or zero: the Gram matrix of
 * what comes out is the identity, and what is left of each row is what the others do not span. */
static void a_block_of_less_rank(void **unused) {
    static const float rows[][4][4] = {{{3, 0, 0, 0}, {0, 2, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}},
        {{1, 2, 0, 0}, {2, 4, 0, 0}, {0, 0, 0, 0}, {-1, -2, 0, 0}},
        {{1, 0, 0, 0}, {1, 1, 0, 0}, {2, 1, 0, 0}, {0, 0, 0, 1}},
        {{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}},
        {{1, 0, 0, 0}, {0, 1e-4f, 0, 0}, {1e-7f, 0, 0, 0}, {0, 0, 0, 1e-4f}}};
    static const size_t ranks[] = {4, 1, 3, 0, 3};
    (void)unused;
    for (size_t c = 0; c < N_ITEMS(rows); c++) {
        float gram[16], mix[16] = {0};
        double elimination[32], left[4], shortest = 0.0;
        prunesid_krylov_ krylov;
        memset(&krylov, 0, sizeof krylov);
        krylov.gram = gram;
        krylov.mix = mix;
        krylov.elimination = elimination;
        for (size_t i = 0; i < 16; i++) {
            gram[i] = 0.0f;
            for (size_t j = 0; j < 4; j++) gram[i] += rows[c][i / 4][j] * rows[c][i % 4][j];
        }
        const size_t r = prunesid_invert_gram_(&krylov, 4, 1e-12, left, &shortest);
        CHECK(r == ranks[c], "case %zu: %zu", c, r);
        for (size_t i = 0; i < r * r; i++) {
            double dot = 0.0;
            for (size_t a = 0; a < 4; a++)
                for (size_t b = 0; b < 4; b++)
                    dot += (double)mix[i / r * 4 + a] * (double)gram[a * 4 + b] *
                           (double)mix[i % r * 4 + b];
            CHECK(fabs(dot - (i / r == i % r)) < 1e-5, "case %zu, [%zu]: %g", c, i, dot);
        }
        for (size_t i = 0; i < 4; i++)
            CHECK(fabs(left[i]) <= 1e-6 * (double)gram[0], "case %zu, row %zu: %g", c, i, left[i]);
        assert_true(r == 0 || shortest > 0.0);
    }
}

/* ---- what the default selects ------------------------------------------------------------- */

/* What float64's vectors select, by the library's own stages but for the verdict; and the least
 * difference, of two loadings of a token or of two tokens' largest, by which it does. */
static double select_by_reference(const problem *p, run *out) {
    const size_t T = p->input.n_tokens, K = p->K;
    guard workspace = guard_workspace(&p->config, &p->input);
    prunesid_stats stats = prunesid_details_init().stats;
    prunesid_information information;
    prunesid_job_ job;
    double least = INFINITY;
    memset(&information, 0, sizeof information);
    assert_int_equal(prunesid_open_(&p->config, &p->input, workspace.data, workspace.n_bytes, &job),
        PRUNESID_OK);
    assert_int_equal(prunesid_measure_redundancy_(&job, &information), PRUNESID_OK);
    stats.tau = prunesid_tau_(job.rules->tau, job.N, T, &information);
    stats.n_groups = K;
    for (size_t i = 0; i < T * K; i++) job.V[i / K * job.ldV + i % K] = p->v[i % K * T + i / K];
    job.has_bounds = 0;
    assert_int_equal(prunesid_group_tokens_(&job), 0);
    prunesid_choose_(&job, &stats);
    out->details.representative = NULL;
    prunesid_write_selection_(&job, &stats, out->indices, &out->details);
    for (size_t i = 0; i < T; i++) {
        size_t first, second;
        two_largest(p->v, T, K, i, &first, &second);
        least = fmin(least, fabs(p->v[first * T + i]) - fabs(p->v[second * T + i]));
        for (size_t j = 0; j < i; j++) least = fmin(least, fabs(job.key[i] - job.key[j]));
    }
    guard_free(&workspace);
    return least;
}

typedef struct verdicts {
    size_t n_krylov, n_refined, n_exact, n_undecided;
} verdicts;

/* The default selects what the reference does, unless that is undecided. */
static void check_selection(
    const problem *p, int wants_order, double decided, const char *what, verdicts *v) {
    run want = run_new(&p->config, &p->input), got = run_new(&p->config, &p->input);
    guard workspace = guard_workspace(&p->config, &p->input);
    const double least = select_by_reference(p, &want);
    const prunesid_stats *const stats = &got.details.stats;
    if (!wants_order) got.details.order = NULL;
    CHECK_STATUS(prunesid_select(&p->config, &p->input, workspace.data, workspace.n_bytes,
                     got.indices, got.n_kept, &got.details),
        PRUNESID_OK, "%s", what);
    v->n_exact += stats->svd == PRUNESID_SVD_EXACT;
    v->n_refined += stats->svd == PRUNESID_SVD_KRYLOV && stats->n_refined > 0;
    v->n_krylov += stats->svd == PRUNESID_SVD_KRYLOV && stats->n_refined == 0;
    v->n_undecided += least <= decided;
    for (size_t m = 0; m < 3 && least > decided; m++) { /* indices, order, group */
        CHECK((m == 1 && !wants_order) ||
                  memcmp(got.memory[m].data, want.memory[m].data, want.memory[m].n_bytes) == 0,
            "%s, by method %d, %zu refined, least difference %g: output %zu", what, (int)stats->svd,
            stats->n_refined, least, m);
    }
    guard_free(&workspace);
    run_free(&want);
    run_free(&got);
}

static void print_verdicts(const verdicts *v, const char *what) {
    print_message("%s: %zu by Krylov alone, %zu refined, %zu by EXACT; %zu undecided\n", what,
        v->n_krylov, v->n_refined, v->n_exact, v->n_undecided);
}

/* Neighbours 0.01 to 1 % apart, s_K / s_1 from 0.3 to 0.003, wide and narrow, few components, of
 * which all may be refined, and many. PRUNESID_TEST_RUNS says how many. */
static void planted_selections(void **unused) {
    static const prunesid_preset presets[] = {PRUNESID_QWEN2VL, PRUNESID_PAPER, PRUNESID_LLAVA};
    static const spectrum spectra[] = {CLUSTER, PAIRS, CLUSTERS, CUT};
    const size_t n = n_runs(60);
    verdicts v = {0, 0, 0, 0};
    model m;
    (void)unused;
    memset(&m, 0, sizeof m);
    for (size_t i = 0; i < n; i++) {
        uint64_t state = 5000 + i;
        char what[160];
        recipe r = {spectra[i % 4], random_size(&state, 200, 500), random_size(&state, 200, 500),
            random_size(&state, 8, i % 3 == 0 ? 12 : 64), presets[i / 4 % 3],
            0.3 * pow(0.01, random_unit(&state)), 0.01 * pow(0.01, random_unit(&state))};
        float *const x = plant(&r, random_bits(&state), NULL, NULL);
        problem p = problem_by(lapack_left_vectors, x, PRUNESID_F32, r.preset, r.T, r.d, r.K);
        p.config.budget = ref_min(4 * r.K, r.T * 3 / 4);
        snprintf(what, sizeof what,
            "run %zu, spectrum %d, %zu x %zu, K = %zu, preset %d, ratio %g, "
            "gap %g",
            i, (int)r.what, r.T, r.d, r.K, (int)r.preset, r.ratio, r.gap);
        check_selection(&p, i / 12 % 2 == 0, 1e-9, what, &v);
        measure_model(&p, i, &m);
        problem_free(&p);
    }
    print_verdicts(&v, "planted selections");
    check_model(&m, "planted selections");
    assert_true(v.n_undecided * 10 <= n);
}

/* 14 singular values within 0.02 %: a block of four vectors finds four of them fast, and then
 * nothing that a residual tells of. */
static void a_hidden_cluster(void **unused) {
    const recipe r = {CLUSTER, 617, 1065, 15, PRUNESID_QWEN2VL, 0.0065, 2e-4 / 13.0};
    verdicts v = {0, 0, 0, 0};
    (void)unused;
    for (size_t i = 0; i < 2; i++) {
        float *const x = plant(&r, 1039 + i, NULL, NULL);
        problem p = problem_by(lapack_left_vectors, x, PRUNESID_F32, r.preset, r.T, r.d, r.K);
        components c = components_of(&p, PRUNESID_SVD_KRYLOV);
        for (size_t k = 0; k < r.K; k++) {
            const double angle = outside(c.columns + k * r.T, p.v, r.T, r.K);
            CHECK(angle <= 1e-4, "seed %zu: column %zu is outside by %g", i, k, angle);
        }
        components_free(&c);
        p.config.budget = 60;
        check_selection(&p, 1, 1e-8, "a hidden cluster", &v);
        problem_free(&p);
    }
    print_verdicts(&v, "hidden cluster");
}

/* Of tokens with the same bits the lower index comes first, whatever rounding makes of their rows:
 * where the higher one is kept the lower is, and was picked before; by either method the same. */
static void equal_rows(void **unused) {
    static const size_t shapes[][3] = {{300, 420, 40}, {420, 300, 40}, {300, 420, 160},
        {420, 300, 240}, {90, 70, 30}, {577, 129, 96}};
    size_t n_both = 0;
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(shapes) * N_ITEMS(all_presets); i++) {
        const size_t *const shape = shapes[i / N_ITEMS(all_presets)], T = shape[0], d = shape[1];
        float *const x = tokens_new(KIND_DUPLICATES, T, d, 1200 + i);
        const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, d);
        prunesid_config config =
            prunesid_config_init(all_presets[i % N_ITEMS(all_presets)], shape[2]);
        size_t *const place = (size_t *)ref_new(T, sizeof *place);
        run runs[N_METHODS];
        for (int svd = 0; svd < N_METHODS; svd++) {
            config.svd = (prunesid_svd)svd;
            const run r = runs[svd] = run_select(&config, &input);
            CHECK(run_consistent(&r, &config, &input), "case %zu", i);
            for (size_t j = 0; j < T; j++) place[j] = T;
            for (size_t j = 0; j < r.n_kept; j++) place[r.details.order[j]] = j;
            for (size_t j = 3; j < T; j += 4) { /* copies of j / 2 */
                CHECK(place[j] == T || place[j / 2] < place[j],
                    "case %zu, method %d: %zu before its equal %zu", i, svd, j, j / 2);
                CHECK(r.details.group[j] == r.details.group[j / 2], "case %zu, %zu", i, j);
                n_both += place[j] < T;
            }
        }
        for (size_t m = 0; m < 4; m++) /* indices, order, group, state */
            CHECK(memcmp(runs[0].memory[m].data, runs[1].memory[m].data,
                      runs[0].memory[m].n_bytes) == 0,
                "case %zu, output %zu", i, m);
        for (int svd = 0; svd < N_METHODS; svd++) run_free(&runs[svd]);
        free(place);
        free(x);
    }
    assert_true(n_both > 20);
}

/* ---- at the end of the spectrum ----------------------------------------------------------- */

/* All of min(T, d) components: orthonormal but for the one that token centring takes. */
static void every_component(void **unused) {
    static const size_t shapes[][2] = {{12, 20}, {20, 12}, {64, 65}};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(shapes) * N_METHODS; i++) {
        const size_t T = shapes[i / 2][0], d = shapes[i / 2][1], K = ref_min(T, d);
        problem p = problem_new(KIND_GAUSS, PRUNESID_LLAVA, T, d, K, 300 + i / 2);
        components c = components_of(&p, (prunesid_svd)(i % 2));
        const double off = orthonormality(c.columns, T, K, T <= d ? K : K - 1);
        CHECK(off <= 1e-5, "%zu x %zu, method %zu: orthonormal to %g", T, d, i % 2, off);
        components_free(&c);
        problem_free(&p);
    }
}

/* A = u (1, .., -1, ..) / 2 exactly: rank 1, whatever K asks for. */
static void zero_columns_beyond_the_rank(void **unused) {
    static const size_t shapes[][3] = {{40, 30, 7}, {30, 40, 30}, {300, 280, 9}, {290, 700, 24}};
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(shapes); s++) {
        const size_t T = shapes[s][0], d = shapes[s][1], K = shapes[s][2];
        float *const values = (float *)ref_new(T * d, sizeof *values);
        double *const want = (double *)ref_new(T, sizeof *want);
        for (size_t i = 0; i < T; i++) { /* half the channels t, half -t */
            const float t = (float)sin((double)i);
            for (size_t j = 0; j < d / 2 * 2; j++) values[i * d + j] = j % 2 ? t : -t;
            want[i] = tanh((double)t / 2.0);
        }
        const double norm = sqrt(ref_dot(want, want, T));
        for (size_t i = 0; i < T; i++) want[i] /= norm;
        problem p = problem_of(values, PRUNESID_F32, PRUNESID_LLAVA, T, d, K);
        for (int svd = 0; svd < N_METHODS; svd++) {
            components c = components_of(&p, (prunesid_svd)svd);
            CHECK(difference(c.columns, want, T) <= 1e-6, "shape %zu, method %d: %g", s, svd,
                difference(c.columns, want, T));
            for (size_t i = T; i < T * K; i++)
                CHECK(c.columns[i] == 0.0, "shape %zu, method %d, column %zu", s, svd, i / T);
            for (size_t i = 0; i < T; i++) assert_int_equal(c.group[i], 0);
            components_free(&c);
        }
        free(want);
        problem_free(&p);
    }
}

static void all_zero_without_spread(void **unused) {
    static const size_t shapes[][3] = {{1, 1, 1}, {40, 30, 5}, {300, 280, 16}, {300, 1, 1}};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(shapes) * N_METHODS * 2; i++) { /* all zero, and all equal */
        const size_t *const shape = shapes[i / 4];
        problem p = problem_new(
            i % 4 / 2 ? KIND_EQUAL : KIND_ZERO, PRUNESID_PAPER, shape[0], shape[1], shape[2], 0);
        components c = components_of(&p, (prunesid_svd)(i % 2));
        for (size_t j = 0; j < shape[0] * shape[2]; j++)
            CHECK(c.rows[j] == 0.0f, "case %zu: %g", i, (double)c.rows[j]);
        for (size_t j = 0; j < shape[0]; j++) assert_true(c.group[j] == 0 && c.loading[j] == 0.0f);
        components_free(&c);
        problem_free(&p);
    }
}

/* One strong component above many equal ones, of which K cuts off some: whatever LAPACK makes of
 * the equal ones, the strong one comes first and what follows is orthonormal or zero. */
static void equal_singular_values(void **unused) {
    static const size_t shapes[][2] = {{60, 90}, {120, 40}, {300, 270}};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(shapes) * 12; i++) {
        const size_t T = shapes[i / 12][0], d = shapes[i / 12][1], K = 1 + i % 12 * 3;
        float *const values = tokens_new(KIND_ONE_HOT, T, d, 0);
        for (size_t j = 0; j < T * d; j++) values[j] += (j / d + j % d) % 2 ? 2.0f : -2.0f;
        problem p = problem_of(values, PRUNESID_F32, PRUNESID_PAPER, T, d, K);
        for (int svd = 0; svd < N_METHODS; svd++) {
            components c = components_of(&p, (prunesid_svd)svd);
            const double error = difference(c.columns, p.v, T);
            size_t n_found = K;
            while (n_found > 1 &&
                   ref_dot(c.columns + (n_found - 1) * T, c.columns + (n_found - 1) * T, T) == 0.0)
                n_found--;
            CHECK(error <= 1e-5, "%zu x %zu, K = %zu, method %d: %g", T, d, K, svd, error);
            CHECK(orthonormality(c.columns, T, K, n_found) <= 1e-5, "%zu x %zu, K = %zu, method %d",
                T, d, K, svd);
            components_free(&c);
        }
        problem_free(&p);
    }
}

/* Random tokens have a flat spectrum, which no few Krylov steps separate. */
static void flat_spectrum_falls_back(void **unused) {
    problem p = problem_new(KIND_GAUSS, PRUNESID_PAPER, 400, 600, 40, 400);
    components c = components_of(&p, PRUNESID_SVD_KRYLOV);
    components exact = components_of(&p, PRUNESID_SVD_EXACT);
    (void)unused;
    assert_int_equal(c.stats.svd, PRUNESID_SVD_EXACT);
    assert_int_equal(c.stats.lapack_info, 0);
    assert_memory_equal(c.rows, exact.rows, 400 * 40 * sizeof *c.rows);
    components_free(&c);
    components_free(&exact);
    problem_free(&p);
}

/* ---- the input ---------------------------------------------------------------------------- */

/* Rows [T, ld] of dtype with what lies behind column d full of NaN. */
static void *strided(const void *tight, prunesid_dtype dtype, size_t T, size_t d, size_t ld) {
    const size_t bytes = dtype_bytes(dtype);
    unsigned char *const out = (unsigned char *)ref_new(T * ld, bytes);
    memset(out, 0xFF, T * ld * bytes);
    for (size_t i = 0; i < T; i++)
        memcpy(out + i * ld * bytes, (const unsigned char *)tight + i * d * bytes, d * bytes);
    return out;
}

/* Each dtype against the reference of its own rounded values; the same values as float32, and rows
 * that are further apart, give the same bits. */
static void every_dtype_and_stride(void **unused) {
    static const prunesid_dtype dtypes[] = {PRUNESID_F32, PRUNESID_F16, PRUNESID_BF16};
    static const size_t sizes[][2] = {{210, 330}, {330, 210}, {41, 67}, {67, 41}};
    tally t[N_METHODS];
    (void)unused;
    memset(t, 0, sizeof t);
    for (size_t i = 0; i < N_ITEMS(dtypes) * N_ITEMS(sizes) * 2; i++) {
        const prunesid_dtype dtype = dtypes[i % 3];
        const size_t T = sizes[i / 6][0], d = sizes[i / 6][1];
        const recipe r = {DECAYING, T, d, 8, i / 3 % 2 ? PRUNESID_PAPER : PRUNESID_LLAVA, 0.3, 0};
        problem p = problem_of(plant(&r, 900 + i, NULL, NULL), dtype, r.preset, T, d, r.K);
        check_methods(&p, "dtypes", t);
        double *const wide = widen(p.memory, T * d, dtype);
        float *const same = (float *)ref_new(T * d, sizeof *same);
        void *const apart = strided(p.memory, dtype, T, d, d + 1 + i);
        for (size_t j = 0; j < T * d; j++) same[j] = (float)wide[j];
        for (int svd = 0; svd < N_METHODS; svd++) {
            prunesid_input other = prunesid_input_init(same, PRUNESID_F32, T, d);
            components want = components_of(&p, (prunesid_svd)svd);
            components as_f32 = run_psca(&p.config, &other, r.K, (prunesid_svd)svd);
            other = p.input;
            other.tokens = apart;
            other.ld = d + 1 + i;
            other.first = 1000 * i; /* where row 0 stands changes nothing */
            components with_ld = run_psca(&p.config, &other, r.K, (prunesid_svd)svd);
            CHECK(components_equal(&want, &as_f32, T, r.K), "case %zu, method %d", i, svd);
            CHECK(components_equal(&want, &with_ld, T, r.K), "case %zu, method %d", i, svd);
            components_free(&want);
            components_free(&as_f32);
            components_free(&with_ld);
        }
        free(wide);
        free(same);
        free(apart);
        problem_free(&p);
    }
    print_tallies(t, "dtypes");
}

/* Loadings that the engine has come back as they are, and no SVD is run. */
static void given_loadings(void **unused) {
    static const size_t shapes[][3] = {{1, 1, 1}, {30, 5, 5}, {210, 16, 19}, {50, 80, 97}};
    uint64_t state = 950;
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(shapes); s++) {
        const size_t T = shapes[s][0], K = shapes[s][1], ld = shapes[s][2], d = 24;
        float *const values = tokens_new(KIND_REAL, T, d, 951 + s);
        float *const v = (float *)ref_new(T * K, sizeof *v);
        for (size_t i = 0; i < T * K; i++) v[i] = (float)random_normal(&state);
        void *const apart = strided(v, PRUNESID_F32, T, K, ld);
        prunesid_config config = prunesid_config_init(PRUNESID_AUTO, 4);
        prunesid_input input = prunesid_input_init(values, PRUNESID_F32, T, d);
        config.n_groups = K;
        input.loadings = (const float *)apart;
        input.ld_loadings = ld;
        for (int svd = 0; svd < N_METHODS; svd++) {
            components c = run_psca(&config, &input, K, (prunesid_svd)svd);
            assert_memory_equal(c.rows, v, T * K * sizeof *v);
            assert_int_equal(c.stats.n_groups, K);
            assert_true(c.stats.svd_steps == 0 && c.stats.svd_residual == 0.0);
            assert_int_equal(c.stats.lapack_info, 0);
            components_free(&c);
        }
        free(values);
        free(v);
        free(apart);
    }
}

/* ---- what holds of every call ------------------------------------------------------------- */

/* The same bits again: with other rubbish in the workspace, at another address, and in a longer
 * workspace. */
static void the_same_bits_every_time(void **unused) {
    static const size_t sizes[][2] = {{210, 330}, {330, 210}, {60, 90}, {577, 300}};
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(sizes); s++) {
        const size_t T = sizes[s][0], d = sizes[s][1], K = 12;
        problem p = problem_new(KIND_REAL, PRUNESID_LLAVA, T, d, K, 960 + s);
        for (int svd = 0; svd < N_METHODS; svd++) {
            components want = components_of(&p, (prunesid_svd)svd);
            p.config.svd = (prunesid_svd)svd;
            for (int fill = 0; fill < 3; fill++) {
                static const int fills[] = {0, 0x7F, 0x3F};
                guard exact = guard_workspace(&p.config, &p.input);
                guard workspace = guard_new(exact.n_bytes + 48, fills[fill]);
                float *const v = (float *)ref_new(T * K, sizeof *v);
                CHECK_STATUS(prunesid_psca(&p.config, &p.input, workspace.data + 16 * fill,
                                 exact.n_bytes + 16, v, NULL, NULL, NULL),
                    PRUNESID_OK, "fill %d", fill);
                assert_memory_equal(v, want.rows, T * K * sizeof *v);
                free(v);
                guard_free(&exact);
                guard_free(&workspace);
            }
            components_free(&want);
        }
        problem_free(&p);
    }
}

/* Tokens in another order have the same loadings, to the budgets. */
static void the_order_of_tokens_does_not_matter(void **unused) {
    static const size_t sizes[][2] = {{210, 330}, {330, 210}, {60, 90}};
    double worst = 0.0;
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(sizes) * 2; s++) {
        const size_t T = sizes[s / 2][0], d = sizes[s / 2][1], K = 8;
        const recipe r = {DECAYING, T, d, K, s % 2 ? PRUNESID_PAPER : PRUNESID_QWEN2VL, 0.3, 0};
        problem p = planted(&r, 970 + s);
        float *const mixed = (float *)ref_new(T * d, sizeof *mixed);
        size_t *const from = (size_t *)ref_new(T, sizeof *from);
        uint64_t state = s;
        for (size_t i = 0; i < T; i++) from[i] = i;
        for (size_t i = T - 1; i > 0; i--) {
            const size_t j = random_size(&state, 0, i), swap = from[i];
            from[i] = from[j];
            from[j] = swap;
        }
        for (size_t i = 0; i < T; i++)
            memcpy(mixed + i * d, (const float *)p.memory + from[i] * d, d * sizeof *mixed);
        const prunesid_input input = prunesid_input_init(mixed, PRUNESID_F32, T, d);
        for (int svd = 0; svd < N_METHODS; svd++) {
            components a = components_of(&p, (prunesid_svd)svd);
            components b = run_psca(&p.config, &input, K, (prunesid_svd)svd);
            double *const back = (double *)ref_new(T, sizeof *back);
            for (size_t k = 0; k < K; k++) {
                const double budget = 2.0 * column_budget(&p, (prunesid_svd)svd, k);
                for (size_t i = 0; i < T; i++) back[from[i]] = b.columns[k * T + i];
                const double error = difference(back, a.columns + k * T, T);
                CHECK(error <= budget, "case %zu, method %d, column %zu: %g", s, svd, k, error);
                worst = fmax(worst, error / budget);
            }
            for (size_t i = 0; i < T; i++) {
                CHECK(a.group[from[i]] == b.group[i] || margin(&p, from[i]) <= 1e-4,
                    "case %zu, method %d, token %zu", s, svd, from[i]);
            }
            free(back);
            components_free(&a);
            components_free(&b);
        }
        free(mixed);
        free(from);
        problem_free(&p);
    }
    print_message("another order: %.2g of the budgets\n", worst);
}

static uint64_t ticks;

static uint64_t tick(void) {
    return ticks += 1000;
}

/* What is found is said, and what is another stage's stays 0. */
static void stats_say_what_was_done(void **unused) {
    static const float scores[320] = {1.0f};
    problem p = problem_new(KIND_REAL, PRUNESID_AUTO, 320, 300, 12, 980);
    const recipe narrow = {DECAYING, 90, 40, 12, PRUNESID_AUTO, 0.3, 0.0};
    problem small = planted(&narrow, 981);
    (void)unused;
    for (int i = 0; i < 16; i++) {
        const int svd = i % 2, with_clock = i / 2 % 2, with_scores = i / 4 % 2, krylov = i < 8;
        problem *const q = krylov ? &p : &small;
        q->config.clock_ns = with_clock ? tick : NULL;
        q->input.scores = with_scores ? scores : NULL;
        components c = components_of(q, (prunesid_svd)svd);
        const prunesid_stats *const stats = &c.stats;
        const int by_krylov = krylov && svd == PRUNESID_SVD_KRYLOV;
        assert_int_equal(stats->preset, with_scores ? PRUNESID_LLAVA : PRUNESID_QWEN2VL);
        assert_int_equal(stats->n_groups, 12);
        assert_int_equal(stats->svd, by_krylov ? PRUNESID_SVD_KRYLOV : PRUNESID_SVD_EXACT);
        assert_int_equal(stats->svd_steps > 0, by_krylov);
        assert_int_equal(stats->svd_residual > 0.0, by_krylov);
        assert_true(stats->svd_residual <= 1e-4);
        assert_int_equal(stats->lapack_info, 0);
        assert_int_equal(stats->ns_svd > 0, with_clock);
        assert_int_equal(stats->ns_matrix > 0, with_clock && by_krylov);
        assert_true(stats->ns_svd % 1000 == 0 && stats->ns_matrix % 1000 == 0);
        assert_true(stats->rho == 0.0 && stats->phi == 0.0 && stats->tau == 0.0);
        assert_int_equal(stats->n_survivors, 0);
        assert_int_equal(stats->ns_redundancy + stats->ns_nms + stats->ns_quotas, 0);
        components_free(&c);
    }
    problem_free(&p);
    problem_free(&small);
}

/* K by each preset's rule, where none is set. */
static void the_number_of_groups_by_rule(void **unused) {
    static const size_t budgets[] = {2, 3, 8, 40, 200, 1000};
    float *const x = tokens_new(KIND_REAL, 60, 45, 985);
    const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, 60, 45);
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(all_presets) * N_ITEMS(budgets); i++) {
        const prunesid_config config =
            prunesid_config_init(all_presets[i / N_ITEMS(budgets)], budgets[i % N_ITEMS(budgets)]);
        const prunesid_preset used = ref_preset(config.preset, 0);
        const size_t want = ref_n_groups(config.budget, 60, 45, used);
        components c = run_psca(&config, &input, want, PRUNESID_SVD_KRYLOV);
        assert_int_equal(c.stats.n_groups, want);
        assert_int_equal(c.stats.preset, used);
        components_free(&c);
    }
    free(x);
}

/* Each output alone, and none. */
static void every_output_is_optional(void **unused) {
    problem p = problem_new(KIND_REAL, PRUNESID_LLAVA, 220, 210, 9, 990);
    components want = components_of(&p, PRUNESID_SVD_KRYLOV);
    (void)unused;
    for (int i = 0; i < 16; i++) {
        guard workspace = guard_workspace(&p.config, &p.input);
        guard v = guard_new(220 * 9 * 4, 1), group = guard_new(220 * 4, 1);
        guard loading = guard_new(220 * 4, 1);
        prunesid_stats stats;
        CHECK_STATUS(prunesid_psca(&p.config, &p.input, workspace.data, workspace.n_bytes,
                         i & 1 ? (float *)(void *)v.data : NULL,
                         i & 2 ? (int32_t *)(void *)group.data : NULL,
                         i & 4 ? (float *)(void *)loading.data : NULL, i & 8 ? &stats : NULL),
            PRUNESID_OK, "outputs %d", i);
        assert_true(i & 1 ? memcmp(v.data, want.rows, v.n_bytes) == 0 : guard_untouched(&v, 1));
        assert_true(i & 2 ? memcmp(group.data, want.group, group.n_bytes) == 0
                          : guard_untouched(&group, 1));
        assert_true(i & 4 ? memcmp(loading.data, want.loading, loading.n_bytes) == 0
                          : guard_untouched(&loading, 1));
        assert_true(!(i & 8) || stats.svd_residual == want.stats.svd_residual);
        guard_free(&workspace);
        guard_free(&v);
        guard_free(&group);
        guard_free(&loading);
    }
    components_free(&want);
    problem_free(&p);
}

/* ---- errors ------------------------------------------------------------------------------- */

enum { BAD_T = 30, BAD_D = 20, BAD_K = 4 };

/* A good call, which is then spoilt. */
typedef struct call {
    float x[BAD_T * BAD_D], scores[BAD_T], loadings[BAD_T * BAD_K];
    int32_t guarded[3];
    prunesid_config config;
    prunesid_input input;
    const prunesid_config *config_at;
    const prunesid_input *input_at;
    unsigned char *workspace;
    size_t workspace_bytes;
} call;

static void give_loadings(call *c, size_t K, size_t ld) {
    c->config.n_groups = K;
    c->input.loadings = c->loadings;
    c->input.ld_loadings = ld;
}

static void guard_tokens(call *c, int32_t a, int32_t b, int32_t last) {
    c->guarded[0] = a;
    c->guarded[1] = b;
    c->guarded[2] = last;
    c->input.protected_tokens = c->guarded;
    c->input.n_protected = 3;
}

/* Does the change of that number and returns what prunesid_psca has to say of it; OK behind the
 * last. */
static prunesid_status spoil(call *c, int number) {
    const size_t beyond = (size_t)INT32_MAX + 1;
    int n = 0;
#define CHANGE(status, what)                                                                       \
    do {                                                                                           \
        if (number == n++) {                                                                       \
            what;                                                                                  \
            return status;                                                                         \
        }                                                                                          \
    } while (0)
    CHANGE(PRUNESID_ERROR_NULL, c->config_at = NULL);
    CHANGE(PRUNESID_ERROR_NULL, c->input_at = NULL);
    CHANGE(PRUNESID_ERROR_NULL, c->input.tokens = NULL);
    CHANGE(PRUNESID_ERROR_NULL, c->workspace = NULL);
    CHANGE(PRUNESID_ERROR_NULL, c->input.n_protected = 1);
    CHANGE(PRUNESID_ERROR_PRESET, c->config.preset = (prunesid_preset)N_ITEMS(all_presets));
    CHANGE(PRUNESID_ERROR_SVD, c->config.svd = (prunesid_svd)N_METHODS);
    CHANGE(PRUNESID_ERROR_DTYPE, c->input.dtype = (prunesid_dtype)3);
    CHANGE(PRUNESID_ERROR_EMPTY, c->input.n_tokens = 0);
    CHANGE(PRUNESID_ERROR_EMPTY, c->input.dim = 0);
    CHANGE(PRUNESID_ERROR_DIMENSION, c->input.n_tokens = beyond);
    CHANGE(PRUNESID_ERROR_DIMENSION, c->input.dim = c->input.ld = beyond);
    CHANGE(PRUNESID_ERROR_DIMENSION, c->input.first = (size_t)INT32_MAX);
    CHANGE(PRUNESID_ERROR_DIMENSION, give_loadings(c, 0, 0); c->input.first = beyond);
    CHANGE(PRUNESID_ERROR_OVERFLOW, c->input.ld = SIZE_MAX / 8);
    CHANGE(PRUNESID_ERROR_STRIDE, c->input.ld = BAD_D - 1);
    CHANGE(PRUNESID_ERROR_ALIGNMENT, c->input.tokens = (const char *)c->x + 2);
    CHANGE(PRUNESID_ERROR_ALIGNMENT, c->input.dtype = PRUNESID_F16;
           c->input.tokens = (const char *)c->x + 1);
    CHANGE(PRUNESID_ERROR_BUDGET, c->config.budget = 0);
    CHANGE(PRUNESID_ERROR_BUDGET, c->config.budget = beyond);
    CHANGE(PRUNESID_ERROR_RESERVED, c->config.reserved = c->config.budget);
    CHANGE(PRUNESID_ERROR_GROUPS, c->config.n_groups = BAD_D + 1);
    CHANGE(PRUNESID_ERROR_GROUPS, c->config.n_groups = beyond);
    CHANGE(PRUNESID_ERROR_GROUPS, give_loadings(c, 0, BAD_K));
    CHANGE(PRUNESID_ERROR_STRIDE, give_loadings(c, BAD_K, BAD_K - 1));
    CHANGE(PRUNESID_ERROR_OVERFLOW, give_loadings(c, BAD_K, SIZE_MAX / 8));
    CHANGE(PRUNESID_ERROR_LOADINGS_NOT_FINITE, give_loadings(c, BAD_K, BAD_K);
           c->loadings[0] = NAN);
    CHANGE(PRUNESID_ERROR_LOADINGS_NOT_FINITE, give_loadings(c, BAD_K, BAD_K);
           c->loadings[BAD_T * BAD_K - 1] = -INFINITY);
    CHANGE(PRUNESID_ERROR_PROTECTED_INDEX, guard_tokens(c, -1, 3, 7));
    CHANGE(PRUNESID_ERROR_PROTECTED_INDEX, guard_tokens(c, 1, 1, 7));
    CHANGE(PRUNESID_ERROR_PROTECTED_INDEX, guard_tokens(c, 1, 7, 3));
    CHANGE(PRUNESID_ERROR_PROTECTED_INDEX, guard_tokens(c, 1, 7, BAD_T));
    CHANGE(PRUNESID_ERROR_PROTECTED_INDEX, guard_tokens(c, 1, 7, 20); c->input.first = 2);
    CHANGE(PRUNESID_ERROR_PROTECTED_COUNT, guard_tokens(c, 1, 3, 7); c->config.budget = 2);
    CHANGE(PRUNESID_ERROR_TOKENS_NOT_FINITE, c->x[0] = INFINITY);
    CHANGE(PRUNESID_ERROR_TOKENS_NOT_FINITE, c->x[BAD_T * BAD_D / 2] = NAN);
    CHANGE(PRUNESID_ERROR_TOKENS_NOT_FINITE, c->x[BAD_T * BAD_D - 1] = -INFINITY);
    CHANGE(PRUNESID_ERROR_TOKENS_NOT_FINITE, give_loadings(c, BAD_K, BAD_K); c->x[5] = NAN);
    CHANGE(PRUNESID_ERROR_SCORES_NOT_FINITE, c->input.scores = c->scores; c->scores[9] = NAN);
    CHANGE(PRUNESID_ERROR_WORKSPACE_SHORT, c->workspace_bytes--);
    CHANGE(PRUNESID_ERROR_WORKSPACE_SHORT, c->workspace_bytes = 0);
    CHANGE(PRUNESID_ERROR_WORKSPACE_ALIGNMENT, c->workspace += 8);
    CHANGE(PRUNESID_ERROR_WORKSPACE_ALIGNMENT, c->workspace += 1);
#undef CHANGE
    return PRUNESID_OK;
}

/* Every cause has its status, and nothing is written then. */
static void refuses(void **unused) {
    float *const x = tokens_new(KIND_REAL, BAD_T, BAD_D, 995);
    int number = 0, refused = 1;
    (void)unused;
    for (; refused; number++) {
        call c;
        memset(&c, 0, sizeof c);
        memcpy(c.x, x, sizeof c.x);
        c.config = prunesid_config_init(PRUNESID_QWEN2VL, 12);
        c.input = prunesid_input_init(c.x, PRUNESID_F32, BAD_T, BAD_D);
        c.config_at = &c.config;
        c.input_at = &c.input;
        guard workspace = guard_workspace(&c.config, &c.input);
        c.workspace = workspace.data;
        c.workspace_bytes = workspace.n_bytes;
        guard v = guard_new(sizeof c.loadings, 0x21), group = guard_new(BAD_T * 4, 0x21);
        guard loading = guard_new(BAD_T * 4, 0x21), stats = guard_new(sizeof(prunesid_stats), 0x21);
        const prunesid_status want = spoil(&c, number);
        refused = want != PRUNESID_OK;
        CHECK_STATUS(prunesid_psca(c.config_at, c.input_at, c.workspace, c.workspace_bytes,
                         (float *)(void *)v.data, (int32_t *)(void *)group.data,
                         (float *)(void *)loading.data, (prunesid_stats *)(void *)stats.data),
            want, "change %d", number);
        CHECK(guard_untouched(&v, 0x21) == refused && guard_untouched(&group, 0x21) == refused &&
                  guard_untouched(&loading, 0x21) == refused &&
                  guard_untouched(&stats, 0x21) == refused,
            "change %d", number);
        guard_free(&workspace);
        guard_free(&v);
        guard_free(&group);
        guard_free(&loading);
        guard_free(&stats);
    }
    assert_true(number > 40);
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_finds_what_is_planted),
        cmocka_unit_test(a_block_of_less_rank),
        cmocka_unit_test(planted_spectra),
        cmocka_unit_test(any_number_of_components),
        cmocka_unit_test(a_dominant_component),
        cmocka_unit_test(zero_and_duplicate_rows),
        cmocka_unit_test(near_ties),
        cmocka_unit_test(made_up_tokens),
        cmocka_unit_test(real_tokens),
        cmocka_unit_test(top_of_large_matrices),
        cmocka_unit_test(planted_selections),
        cmocka_unit_test(a_hidden_cluster),
        cmocka_unit_test(equal_rows),
        cmocka_unit_test(every_component),
        cmocka_unit_test(zero_columns_beyond_the_rank),
        cmocka_unit_test(all_zero_without_spread),
        cmocka_unit_test(equal_singular_values),
        cmocka_unit_test(flat_spectrum_falls_back),
        cmocka_unit_test(every_dtype_and_stride),
        cmocka_unit_test(given_loadings),
        cmocka_unit_test(the_same_bits_every_time),
        cmocka_unit_test(the_order_of_tokens_does_not_matter),
        cmocka_unit_test(stats_say_what_was_done),
        cmocka_unit_test(the_number_of_groups_by_rule),
        cmocka_unit_test(every_output_is_optional),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
