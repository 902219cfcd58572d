/* test_nms.c - suppression inside groups against the dense reference.   MIT licence. */
#include "support.h"

typedef struct problem {
    prunesid_config config;
    prunesid_input input; /* without scores */
    const double *x;      /* the same tokens */
    const int32_t *group;
    const float *scores;
    const double *cosine; /* or NULL: made from x */
} problem;

/* The reference's order, members and survivors of every group. */
static void reference(
    const problem *p, double tau, int32_t *order, int32_t *members, int32_t *survivors) {
    const size_t T = p->input.n_tokens, n_guarded = p->input.n_protected;
    double *const own = p->cosine == NULL ? ref_cosine(p->x, T, p->input.dim) : NULL;
    double *const score = (double *)ref_new(T, sizeof *score);
    int32_t *const guarded = (int32_t *)ref_new(n_guarded, sizeof *guarded);
    size_t begin = 0;
    for (size_t i = 0; i < T; i++) score[i] = (double)p->scores[i];
    for (size_t i = 0; i < n_guarded; i++)
        guarded[i] = p->input.protected_tokens[i] - (int32_t)p->input.first;
    for (size_t k = 0; k < p->config.n_groups; k++) {
        size_t n_survivors = 0, n_guarded_here = 0;
        const size_t n_members = ref_nms(p->group, (int32_t)k, score, own != NULL ? own : p->cosine,
            T, tau, guarded, n_guarded, order + begin, &n_survivors, &n_guarded_here);
        members[k] = (int32_t)n_members;
        survivors[k] = (int32_t)n_survivors;
        begin += n_members;
    }
    free(own);
    free(score);
    free(guarded);
}

/* Runs both, with the scores as loadings and as the input's own, and compares everything. */
static void compare(const problem *p, double tau, const char *what) {
    const size_t T = p->input.n_tokens, K = p->config.n_groups;
    float *const unused = (float *)ref_new(T, sizeof *unused); /* loadings that scores supersede */
    guard want[3] = {guard_new(T * 4, 0), guard_new(K * 4, 0), guard_new(K * 4, 0)};
    guard workspace = guard_workspace(&p->config, &p->input);
    reference(p, tau, (int32_t *)(void *)want[0].data, (int32_t *)(void *)want[1].data,
        (int32_t *)(void *)want[2].data);
    for (int has_scores = 0; has_scores < 2; has_scores++) {
        guard got[3] = {guard_new(T * 4, 0xEE), guard_new(K * 4, 0xEE), guard_new(K * 4, 0xEE)};
        prunesid_input input = p->input;
        input.scores = has_scores ? p->scores : NULL;
        CHECK_STATUS(prunesid_nms(&p->config, &input, p->group, has_scores ? unused : p->scores,
                         tau, workspace.data, workspace.n_bytes, (int32_t *)(void *)got[0].data,
                         (int32_t *)(void *)got[1].data, (int32_t *)(void *)got[2].data),
            PRUNESID_OK, "%s", what);
        for (size_t i = 0; i < N_ITEMS(got); i++) {
            CHECK(
                memcmp(got[i].data, want[i].data, want[i].n_bytes) == 0, "%s, output %zu", what, i);
            guard_free(&got[i]);
        }
    }
    free(unused);
    guard_free(&workspace);
    for (size_t i = 0; i < N_ITEMS(want); i++) guard_free(&want[i]);
}

typedef struct made {
    problem p;
    float *values, *scores;
    void *data;
    double *x, *cosine;
    int32_t *group;
} made;

static made made_new(kind what, prunesid_dtype dtype, size_t T, size_t d, size_t K, uint64_t seed) {
    made m;
    uint64_t state = seed;
    m.values = tokens_new(what, T, d, seed);
    m.data = convert(m.values, T * d, dtype);
    m.x = widen(m.data, T * d, dtype);
    m.cosine = ref_cosine(m.x, T, d);
    m.scores = scores_new(T, seed);
    m.group = (int32_t *)ref_new(T, sizeof *m.group);
    for (size_t i = 0; i < T; i++) m.group[i] = (int32_t)(random_bits(&state) % K);
    m.p.config = prunesid_config_init(PRUNESID_PAPER, 1);
    m.p.config.n_groups = K;
    m.p.input = prunesid_input_init(m.data, dtype, T, d);
    m.p.x = m.x;
    m.p.group = m.group;
    m.p.scores = m.scores;
    m.p.cosine = m.cosine;
    return m;
}

static void made_free(made *m) {
    free(m->values);
    free(m->data);
    free(m->x);
    free(m->cosine);
    free(m->scores);
    free(m->group);
}

static void matches_reference(void **unused) {
    static const double taus[] = {-2.0, -0.3, -0.01, 0.03, 0.3, 0.7, 0.97, 1.0 - 1e-6, 1.0, 1.5};
    static const size_t shapes[][3] = {
        {1, 1, 1}, {2, 3, 1}, {60, 24, 4}, {200, 64, 7}, {90, 300, 2}};
    static const kind kinds[] = {
        KIND_REAL, KIND_SINKS, KIND_HOLES, KIND_GAUSS, KIND_HUGE, KIND_TINY, KIND_DUPLICATES};
    char where[96];
    (void)unused;
    for (size_t c = 0; c < N_ITEMS(kinds) * N_ITEMS(shapes) * 3; c++) {
        const kind what = kinds[c / 3 / N_ITEMS(shapes)];
        const size_t s = c / 3 % N_ITEMS(shapes), *const shape = shapes[s];
        const prunesid_dtype dtype = (prunesid_dtype)(c % 3);
        if (what == KIND_HUGE && dtype == PRUNESID_F16) continue; /* does not fit */
        made m = made_new(what, dtype, shape[0], shape[1], ref_min(shape[2], shape[0]), 11 + s);
        for (size_t i = 0; i < N_ITEMS(taus); i++) {
            if (what == KIND_DUPLICATES && taus[i] == 1.0)
                continue; /* cosines of 1 and beside it */
            snprintf(where, sizeof where, "kind %d, shape %zu, dtype %d, tau %g", (int)what, s,
                (int)dtype, taus[i]);
            compare(&m.p, taus[i], where);
        }
        made_free(&m);
    }
}

/* A cosine a hair above or below tau is decided as in float64. */
static void decides_near_tau(void **unused) {
    static const double hairs[] = {1e-7, -1e-7, 1e-9, -1e-9, 1e-12, -1e-12};
    made m = made_new(KIND_REAL, PRUNESID_F32, 120, 48, 3, 21);
    uint64_t state = 4;
    char what[96];
    (void)unused;
    for (int i = 0; i < 300; i++) {
        const size_t a = random_size(&state, 0, 119), b = random_size(&state, 0, 119);
        const double cosine = m.cosine[a * 120 + b];
        for (size_t h = 0; a != b && h < N_ITEMS(hairs); h++) {
            snprintf(what, sizeof what, "cosine of %zu and %zu, %g", a, b, hairs[h]);
            compare(&m.p, cosine + hairs[h], what);
        }
    }
    made_free(&m);
}

/* Tokens e0 and cos e0 + sin e1 in one group: the second survives if and only if cos <= tau. */
static void one_pair_near_tau(void **unused) {
    (void)unused;
    for (int i = 0; i < 400; i++) {
        const double tau = -0.999 + 1.998 * i / 399.0;
        const float x[4] = {3.0f, 0.0f, (float)(7.0 * tau), (float)(7.0 * sqrt(1.0 - tau * tau))};
        const double wide[4] = {3.0, 0.0, (double)x[2], (double)x[3]};
        const int32_t group[2] = {0, 0};
        const float scores[2] = {2.0f, 1.0f};
        problem p = {prunesid_config_init(PRUNESID_PAPER, 1),
            prunesid_input_init(x, PRUNESID_F32, 2, 2), wide, group, scores, NULL};
        p.config.n_groups = 1;
        compare(&p, tau, "pair"); /* rounding x has moved the cosine about 1e-8 off tau */
    }
}

static void ties_and_useless_scores(void **unused) {
    made m = made_new(KIND_DUPLICATES, PRUNESID_F32, 100, 32, 3, 31);
    uint64_t state = 8;
    (void)unused;
    for (int round = 0; round < 40; round++) {
        for (size_t i = 0; i < 100; i++) /* few values, both signs, both zeros */
            m.scores[i] = ((float)random_size(&state, 0, 8) - 3.0f) * (round % 2 ? 1.0f : -0.5f);
        compare(&m.p, 0.2, "ties at 0.2");
        compare(&m.p, 0.9, "ties at 0.9");
        compare(&m.p, 2.0, "ties at 2");
    }
    memset(m.scores, 0, 100 * sizeof *m.scores);
    compare(&m.p, 0.5, "all scores zero");
    for (size_t i = 0; i < 100; i++) m.scores[i] = i % 2 ? 1e-45f : 3e38f;
    compare(&m.p, 0.5, "the extremes of float32");
    made_free(&m);
}

/* Their numbers count from the input's first, those of the order from 0. */
static void protected_tokens_survive(void **unused) {
    static const int32_t guarded[] = {0, 3, 4, 50, 51, 52, 99};
    static const double taus[] = {-2.0, 0.0, 0.2, 0.6, 1.0};
    static const size_t firsts[] = {0, 1, 1000, (size_t)INT32_MAX - 100};
    int32_t numbers[N_ITEMS(guarded)];
    made m = made_new(KIND_REAL, PRUNESID_F32, 100, 32, 4, 41);
    (void)unused;
    m.p.input.protected_tokens = numbers;
    m.p.input.n_protected = N_ITEMS(guarded);
    m.p.config.budget = 20;
    m.scores[3] = 0.0f;
    m.scores[50] = -1.0f;
    for (size_t i = 0; i < N_ITEMS(taus) * N_ITEMS(firsts); i++) {
        m.p.input.first = firsts[i / N_ITEMS(taus)];
        for (size_t j = 0; j < N_ITEMS(guarded); j++)
            numbers[j] = guarded[j] + (int32_t)m.p.input.first;
        compare(&m.p, taus[i % N_ITEMS(taus)], "protected");
    }
    made_free(&m);
}

static void empty_groups_and_one_group(void **unused) {
    made m = made_new(KIND_REAL, PRUNESID_F32, 64, 32, 8, 51);
    (void)unused;
    for (size_t i = 0; i < 64; i++) m.group[i] = i % 2 ? 7 : 2;
    compare(&m.p, 0.3, "empty groups");
    memset(m.group, 0, 64 * sizeof *m.group);
    compare(&m.p, 0.3, "one group");
    made_free(&m);
}

/* n_groups 0 is the rule's number, for AUTO that of the preset that the scores make it. */
static void groups_by_the_rule(void **unused) {
    made m = made_new(KIND_REAL, PRUNESID_F32, 64, 32, 4, 71);
    guard order = guard_new(64 * 4, 0xEE), members = guard_new(4 * 4, 0xEE);
    guard survivors = guard_new(4 * 4, 0xEE);
    (void)unused;
    m.p.config = prunesid_config_init(PRUNESID_AUTO, 11); /* K: 11 / 4, or the 4 of QWEN2VL */
    for (int has_scores = 0; has_scores < 2; has_scores++) {
        guard workspace = guard_workspace(&m.p.config, &m.p.input);
        prunesid_input input = m.p.input;
        input.scores = has_scores ? m.scores : NULL;
        for (int32_t most = 1; most < 6; most++) {
            for (int32_t i = 0; i < 64; i++) m.group[i] = i % most;
            const int fits = most <= (has_scores ? 2 : 4);
            CHECK_STATUS(prunesid_nms(&m.p.config, &input, m.group, m.scores, 0.3, workspace.data,
                             workspace.n_bytes, (int32_t *)(void *)order.data,
                             (int32_t *)(void *)members.data, (int32_t *)(void *)survivors.data),
                fits ? PRUNESID_OK : PRUNESID_ERROR_GROUP_INDEX, "%d groups, scores %d", (int)most,
                has_scores);
        }
        guard_free(&workspace);
    }
    guard_free(&order);
    guard_free(&members);
    guard_free(&survivors);
    made_free(&m);
}

static void padded_rows(void **unused) {
    made m = made_new(KIND_REAL, PRUNESID_F32, 64, 32, 4, 61);
    float *const padded = (float *)ref_new(64 * 45, sizeof *padded);
    (void)unused;
    for (size_t i = 0; i < (size_t)64 * 45; i++)
        padded[i] = i % 45 < 32 ? m.values[i / 45 * 32 + i % 45] : NAN;
    m.p.input.tokens = padded;
    m.p.input.ld = 45;
    compare(&m.p, 0.3, "padded");
    free(padded);
    made_free(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_reference),
        cmocka_unit_test(decides_near_tau),
        cmocka_unit_test(one_pair_near_tau),
        cmocka_unit_test(ties_and_useless_scores),
        cmocka_unit_test(protected_tokens_survive),
        cmocka_unit_test(empty_groups_and_one_group),
        cmocka_unit_test(groups_by_the_rule),
        cmocka_unit_test(padded_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
