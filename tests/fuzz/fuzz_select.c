/* fuzz_select.c - bytes -> configuration, tokens and what is known of them -> a selection.   MIT
 * licence.
 *
 * Whatever the bytes, the answer is a status with nothing written, or exactly the promised distinct
 * ascending indices; and what follows from the groups and loadings that it names is what the
 * reference makes of them. Small images' components are held against the reference's. */
#define _XOPEN_SOURCE 700
#include "prunesid.h"

#ifdef __clang__ /* the fuzzer is to find its way through the header, not through the reference */
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)
#endif
#include "support.h"
#ifdef __clang__
#pragma clang attribute pop
#endif

#include "bytes.h"

enum { MAX_TOKENS = 160, MAX_GROUPS = 64, MAX_GUARDED = 16, MAX_PADDING = 5 };
enum { SMALL = 600 }; /* T d of what the reference's SVD, which is slow, looks at */

/* What rounding may decide otherwise: the reference sums in another order. */
static const double rounding = 1e-12;

static int near_tau(const prunesid_input *input, const ref_result *want) {
    const size_t T = input->n_tokens;
    for (size_t i = 0; i < T; i++)
        for (size_t j = 0; j < i; j++)
            if (want->group[i] == want->group[j] &&
                fabs(want->cosine[i * T + j] - want->tau) < rounding)
                return 1;
    return 0;
}

/* Our own loadings are float64, and shown as float32: an order that only the former knows, or a
 * loading that is not 0 there, 1e-50 say, of a token that is not all one number. */
static int hidden_order(const prunesid_input *input, const run *r, const double *x) {
    const size_t T = input->n_tokens, d = input->dim;
    if (input->scores != NULL || input->loadings != NULL) return 0;
    for (size_t i = 0; i < T; i++)
        for (size_t j = 1; j < d && r->details.loading[i] == 0.0f; j++)
            if (x[i * d + j] != x[i * d]) return 1;
    for (size_t i = 0; i < T; i++)
        for (size_t j = 0; j < i; j++)
            if (r->details.loading[i] == r->details.loading[j] && r->details.loading[i] > 0.0f)
                return 1;
    return 0;
}

/* The kept token that stands for another is the most similar one of its group, at float32's
 * rounding, or of all where its group keeps none. */
static void check_representatives(const prunesid_input *input, const run *r, const double *cosine) {
    const size_t T = input->n_tokens, first = input->first;
    const double slack = 4.0 * ((double)input->dim + 8.0) * 0x1p-24;
    for (size_t i = 0; i < T; i++) {
        const size_t stands = (size_t)r->details.representative[i] - first;
        double own = -2.0, any = -2.0;
        for (size_t j = 0; j < r->n_kept; j++) {
            const size_t other = (size_t)r->indices[j] - first;
            const double c = cosine[i * T + other];
            any = fmax(any, c);
            if (r->details.group[other] == r->details.group[i]) own = fmax(own, c);
        }
        must(r->details.state[i] == PRUNESID_KEPT ||
             cosine[i * T + stands] >= (own > -2.0 ? own : any) - slack);
    }
}

/* Every stage behind PSCA, from the groups and loadings that the selection names. */
static void check_against_reference(
    const prunesid_config *config, const prunesid_input *input, const run *r, const double *x) {
    const size_t T = input->n_tokens, K = r->details.stats.n_groups;
    prunesid_config its_config = *config;
    prunesid_input its_input = *input;
    float *const v = (float *)ref_new(T * (K + 1), sizeof *v);
    for (size_t i = 0; i < T && K > 0; i++)
        v[i * K + (size_t)r->details.group[i]] = r->details.loading[i];
    its_input.loadings = v;
    its_input.ld_loadings = its_config.n_groups = K;
    ref_result want = ref_select(&its_config, &its_input, x);
    const prunesid_stats *const stats = &r->details.stats;
    must(fabs(stats->rho - want.information.rho) <= rounding);
    must(fabs(stats->phi - want.information.phi) <= rounding);
    must(fabs(stats->tau - want.tau) <= rounding * (1.0 + (double)config->budget));
    must(r->n_kept == want.n_kept);
    if (K == 0 || !(near_tau(input, &want) || hidden_order(input, r, x))) {
        must(stats->n_survivors == want.n_survivors);
        must(memcmp(r->indices, want.indices, want.n_kept * sizeof *want.indices) == 0);
        must(memcmp(r->details.order, want.order, want.n_kept * sizeof *want.order) == 0);
        must(memcmp(r->details.state, want.state, T) == 0);
        for (size_t i = 0; i < T && K > 0;
             i++) /* where all loadings are 0 the group is the first */
            must(r->details.loading[i] == 0.0f || r->details.group[i] == want.group[i]);
    }
    check_representatives(input, r, want.cosine);
    ref_free(&want);
    free(v);
}

/* The components are orthonormal, carry what the reference's do, and the groups are theirs. */
static void check_components(
    const prunesid_config *config, const prunesid_input *input, const run *r, const double *x) {
    const size_t T = input->n_tokens, d = input->dim, K = r->details.stats.n_groups;
    const prunesid_rules *const rules = prunesid_preset_rules((size_t)r->details.stats.preset);
    guard workspace = guard_workspace(config, input), v = guard_new(T * K * sizeof(float), 0x11);
    const float *const loadings = (const float *)(const void *)v.data;
    must(prunesid_psca(config, input, workspace.data, workspace.n_bytes, (float *)(void *)v.data,
             NULL, NULL, NULL) == PRUNESID_OK);
    double *const a = ref_centred_sigmoid(x, T, d, rules->centring == PRUNESID_CENTRE_CHANNEL);
    double *const singular = (double *)ref_new(ref_min(T, d), sizeof *singular);
    free(ref_left_vectors(a, T, d, 0, singular));
    for (size_t i = 0; i < T; i++) {
        const float own = fabsf(loadings[i * K + (size_t)r->details.group[i]]);
        must(own == r->details.loading[i]);
        for (size_t k = 0; k < K; k++) must(fabsf(loadings[i * K + k]) <= own);
    }
    for (size_t k = 0; k < K && k < ref_min(T, d); k++) { /* |A^T v_k| is s_k, if s_k counts */
        double square = 0.0, length = 0.0;
        for (size_t i = 0; i < T; i++) length += pow((double)loadings[i * K + k], 2.0);
        for (size_t j = 0; j < d; j++) {
            double sum = 0.0;
            for (size_t i = 0; i < T; i++) sum += a[i * d + j] * (double)loadings[i * K + k];
            square += sum * sum;
        }
        must(length < 1.0 + 1e-4 && (length == 0.0 || length > 1.0 - 1e-4));
        must(length == 0.0 || fabs(sqrt(square) - singular[k]) <= 1e-4 * singular[0] + 1e-9);
        must(length > 0.0 || k > 0 || singular[0] <= 1e-6 * sqrt((double)(T * d)));
    }
    free(a);
    free(singular);
    guard_free(&workspace);
    guard_free(&v);
}

static void check(const prunesid_config *config, const prunesid_input *input, const run *r) {
    const size_t T = input->n_tokens, d = input->dim, item = dtype_bytes(input->dtype);
    unsigned char *const tight = (unsigned char *)ref_new(T * d, item);
    must(run_consistent(r, config, input));
    for (size_t i = 0; i < T; i++)
        memcpy(tight + i * d * item, (const unsigned char *)input->tokens + i * input->ld * item,
            d * item);
    double *const x = widen(tight, T * d, input->dtype);
    check_against_reference(config, input, r, x);
    if (T * d <= SMALL && input->loadings == NULL && r->details.stats.n_groups > 0)
        check_components(config, input, r, x);
    free(tight);
    free(x);
}

/* [T, ld] of which the padding is NaN and the rest any bits, or small numbers. */
static void *tokens_from(
    bytes *from, prunesid_dtype dtype, size_t T, size_t d, size_t ld, int raw) {
    const size_t n_bytes = dtype_bytes(dtype);
    float *const values = (float *)ref_new(T * d, sizeof *values);
    unsigned char *const rows = (unsigned char *)malloc(((T - 1) * ld + d) * n_bytes);
    must(rows != NULL);
    memset(rows, 0xFF, ((T - 1) * ld + d) * n_bytes);
    fill(from, values, T * d);
    void *const narrow = convert(values, T * d, dtype);
    for (size_t i = 0; i < T; i++)
        if (raw)
            take_raw(from, rows + i * ld * n_bytes, d * n_bytes);
        else
            memcpy(rows + i * ld * n_bytes, (unsigned char *)narrow + i * d * n_bytes, d * n_bytes);
    free(values);
    free(narrow);
    return rows;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    static float scores[MAX_TOKENS], loadings[MAX_TOKENS * MAX_GROUPS];
    static int32_t guarded[MAX_GUARDED];
    bytes from = {data, n_bytes};
    const size_t large = take(&from) % 64 == 63; /* so that KRYLOV has room, which takes long */
    const size_t T = 1 + (large ? 64 + take(&from) % 96 : take(&from) % 64);
    const size_t d = 1 + (large ? 64 + take(&from) % 64 : take(&from) % 32);
    const prunesid_preset preset = (prunesid_preset)(take(&from) % 5);
    prunesid_config config = prunesid_config_init(preset, take_two(&from) % 320);
    config.svd = (prunesid_svd)(take(&from) % 3);
    config.reserved = take(&from) % 8 ? config.reserved : take(&from);
    config.n_groups = take(&from) % 4 ? 0 : take(&from) % (MAX_GROUPS + 1);
    const size_t dtype = take(&from), ld = d + (take(&from) % 2 ? take(&from) % MAX_PADDING : 0);
    prunesid_input input = prunesid_input_init(NULL, (prunesid_dtype)(dtype % 3), T, d);
    input.ld = ld;
    input.first = take(&from) % 4 ? 0 : take(&from);
    input.n_protected = take(&from) % 4 ? 0 : take(&from) % MAX_GUARDED;
    input.protected_tokens = guarded;
    for (size_t i = 0, at = input.first; i < MAX_GUARDED; i++) {
        at += take(&from) % 17;
        guarded[i] = (int32_t)at;
    }
    input.scores = take(&from) % 2 ? scores : NULL;
    for (size_t i = 0; input.scores != NULL && i < T; i++) scores[i] = (float)take(&from) - 64.0f;
    input.loadings = take(&from) % 8 ? NULL : loadings;
    input.ld_loadings = MAX_GROUPS;
    if (input.loadings != NULL) fill(&from, loadings, T * MAX_GROUPS);
    void *const tokens = tokens_from(&from, input.dtype, T, d, ld, take(&from) % 2 != 0);
    input.tokens = tokens;
    if (dtype >= 250) input.dtype = (prunesid_dtype)3; /* there is none */
    size_t workspace_bytes;
    if (prunesid_workspace_size(&config, T, d, &workspace_bytes) == PRUNESID_OK) {
        run r = run_select(&config, &input);
        if (r.status == PRUNESID_OK)
            check(&config, &input, &r);
        else
            must(run_untouched(&r));
        run_free(&r);
    }
    free(tokens);
    return 0;
}
