/* reference.h - every stage in double precision, dense, slow and plain.   MIT licence.
 *
 * What the tests hold the header against. Matrices are row-major. Nothing is shared with the header
 * but its types and the rows of its preset table, which the specification's own expectations check;
 * the singular vectors come from Jacobi rotations, not from LAPACK. */
#ifndef REFERENCE_H
#define REFERENCE_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "prunesid.h"

/* Zeroed memory; a test that gets none cannot go on. */
static inline void *ref_new(size_t n_items, size_t item_bytes) {
    void *const memory = calloc(n_items > 0 ? n_items : 1, item_bytes);
    if (memory == NULL) abort();
    return memory;
}

static inline double ref_dot(const double *a, const double *b, size_t n) {
    double sum[4] = {0.0, 0.0, 0.0, 0.0}; /* four chains of additions are faster than one */
    for (size_t q = 0; q < n / 4; q++, a += 4, b += 4)
        for (size_t j = 0; j < 4; j++) sum[j] += a[j] * b[j];
    for (size_t j = 0; j < n % 4; j++) sum[j] += a[j] * b[j];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static inline size_t ref_min(size_t a, size_t b) {
    return a < b ? a : b;
}

static inline size_t ref_max(size_t a, size_t b) {
    return a > b ? a : b;
}

/* ---- PSCA ------------------------------------------------------------------------------- */

/* sigmoid(x) minus its mean per channel over tokens, or per token over channels. */
static inline double *ref_centred_sigmoid(const double *x, size_t T, size_t d, int per_channel) {
    double *const a = (double *)ref_new(T * d, sizeof *a);
    const size_t n_means = per_channel ? d : T, n_each = per_channel ? T : d;
    const size_t step_mean = per_channel ? 1 : d, step_each = per_channel ? d : 1;
    for (size_t i = 0; i < T * d; i++) a[i] = 1.0 / (1.0 + exp(-x[i]));
    for (size_t m = 0; m < n_means; m++) {
        double mean = 0.0;
        for (size_t e = 0; e < n_each; e++) mean += a[m * step_mean + e * step_each];
        mean /= (double)n_each;
        for (size_t e = 0; e < n_each; e++) a[m * step_mean + e * step_each] -= mean;
    }
    return a;
}

/* Gram matrix of the rows of a [n, m]: a a^T. */
static inline double *ref_gram(const double *a, size_t n, size_t m) {
    double *const g = (double *)ref_new(n * n, sizeof *g);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++)
            g[i * n + j] = g[j * n + i] = ref_dot(a + i * m, a + j * m, m);
    return g;
}

static inline double *ref_transpose(const double *a, size_t n, size_t m) {
    double *const t = (double *)ref_new(n * m, sizeof *t);
    for (size_t i = 0; i < n * m; i++) t[i % m * n + i / m] = a[i];
    return t;
}

/* Rows r [n, T], n = min(T, d), with r^T r = a a^T for a [T, d]: Householder's QR of a^T. The
 * largest column comes next, so that the rows fall off and few rotations are left to do. */
static inline double *ref_triangle(const double *a, size_t T, size_t d) {
    const size_t n = ref_min(T, d);
    double *const r = (double *)ref_new(n * T, sizeof *r);
    double *const work = (double *)ref_new(T * d, sizeof *work);
    double **const columns = (double **)ref_new(T, sizeof *columns); /* of a^T: rows of a */
    memcpy(work, a, T * d * sizeof *work);
    for (size_t i = 0; i < T; i++) columns[i] = work + i * d;
    for (size_t k = 0; k < n; k++) {
        double square = -1.0;
        for (size_t i = k; i < T; i++) {
            const double s = ref_dot(columns[i] + k, columns[i] + k, d - k);
            if (s > square) {
                double *const top = columns[i];
                columns[i] = columns[k];
                columns[k] = top;
                square = s;
            }
        }
        if (square == 0.0) break;
        double *const h = columns[k] + k; /* becomes the reflector */
        const double norm = h[0] > 0.0 ? -sqrt(square) : sqrt(square);
        r[k * T + (size_t)(columns[k] - work) / d] = norm;
        h[0] -= norm;
        const double scale = 2.0 / ref_dot(h, h, d - k);
        for (size_t i = k + 1; i < T; i++) {
            double *const x = columns[i] + k;
            const double c = scale * ref_dot(h, x, d - k);
            for (size_t j = 0; j < d - k; j++) x[j] -= c * h[j];
            r[k * T + (size_t)(columns[i] - work) / d] = x[0];
        }
    }
    free(work);
    free(columns);
    return r;
}

/* One-sided Jacobi: rotates the rows of r [n, T] until they are orthogonal to rounding. */
static inline void ref_orthogonalise(double *r, size_t n, size_t T) {
    const double enough = 0x1p-52 * sqrt((double)T);
    double *const squares = (double *)ref_new(n, sizeof *squares);
    int changed = 1;
    for (int sweep = 0; changed && sweep < 60; sweep++) {
        changed = 0;
        for (size_t k = 0; k < n; k++) squares[k] = ref_dot(r + k * T, r + k * T, T);
        for (size_t p = 0; p + 1 < n; p++) {
            for (size_t q = p + 1; q < n; q++) {
                double *const x = r + p * T, *const y = r + q * T;
                const double product = ref_dot(x, y, T);
                if (fabs(product) <= enough * sqrt(squares[p] * squares[q])) continue;
                const double zeta = (squares[q] - squares[p]) / (2.0 * product);
                const double t = (zeta < 0.0 ? -1.0 : 1.0) / (fabs(zeta) + hypot(1.0, zeta));
                const double c = 1.0 / sqrt(1.0 + t * t), s = c * t;
                for (size_t i = 0; i < T; i++) {
                    const double x_i = x[i], y_i = y[i];
                    x[i] = c * x_i - s * y_i;
                    y[i] = s * x_i + c * y_i;
                }
                squares[p] = fmax(squares[p] - t * product, 0.0);
                squares[q] += t * product;
                changed = 1;
            }
        }
    }
    free(squares);
}

/* The left singular vectors of a [T, d]: columns [T, K] by falling singular value, zero beyond the
 * numerical rank (1e-6 of the largest). singular [min(T, d)] or NULL. */
static inline double *ref_left_vectors(
    const double *a, size_t T, size_t d, size_t K, double *singular) {
    const size_t n = ref_min(T, d);
    double *const r = ref_triangle(a, T, d);
    double *const norms = (double *)ref_new(n, sizeof *norms);
    double *const v = (double *)ref_new(T * K, sizeof *v);
    double largest = 0.0;
    ref_orthogonalise(r, n, T);
    for (size_t k = 0; k < n; k++) norms[k] = sqrt(ref_dot(r + k * T, r + k * T, T));
    for (size_t k = 0; k < n; k++) {
        size_t top = 0;
        for (size_t j = 1; j < n; j++) top = norms[j] > norms[top] ? j : top;
        const double norm = norms[top];
        largest = fmax(largest, norm);
        for (size_t i = 0; k < K && norm > 1e-6 * largest && i < T; i++)
            v[i * K + k] = r[top * T + i] / norm;
        if (singular != NULL) singular[k] = norm;
        norms[top] = -1.0;
    }
    free(r);
    free(norms);
    return v;
}

/* How many eigenvalues of a symmetric g [n, n] lie above mu: the inertia of g - mu I. */
static inline size_t ref_count_above(const double *g, size_t n, double mu) {
    double *const l = (double *)ref_new(n * n, sizeof *l);
    double *const pivots = (double *)ref_new(n, sizeof *pivots);
    double *const row = (double *)ref_new(n, sizeof *row);
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            row[j] = g[i * n + j] - ref_dot(row, l + j * n, j);
            l[i * n + j] = row[j] / pivots[j];
        }
        pivots[i] = g[i * n + i] - mu - ref_dot(row, l + i * n, i);
        count += pivots[i] > 0.0;
    }
    free(l);
    free(pivots);
    free(row);
    return count;
}

/* First maximum of |v_i| -> group [T] and loading [T]. */
static inline void ref_group(const double *v, size_t T, size_t K, int32_t *group, double *loading) {
    for (size_t i = 0; i < T; i++) {
        group[i] = 0;
        for (size_t k = 1; k < K; k++)
            if (fabs(v[i * K + k]) > fabs(v[i * K + (size_t)group[i]])) group[i] = (int32_t)k;
        loading[i] = fabs(v[i * K + (size_t)group[i]]);
    }
}

/* ---- cosine, redundancy, threshold -------------------------------------------------------- */

/* [T, T] cosines; a zero row has cosine 0 to everything, itself included. */
static inline double *ref_cosine(const double *x, size_t T, size_t d) {
    double *const unit = (double *)ref_new(T * d, sizeof *unit);
    for (size_t i = 0; i < T; i++) {
        const double norm = sqrt(ref_dot(x + i * d, x + i * d, d));
        for (size_t j = 0; norm > 0.0 && j < d; j++) unit[i * d + j] = x[i * d + j] / norm;
    }
    double *const c = ref_gram(unit, T, d);
    free(unit);
    return c;
}

static inline prunesid_information ref_redundancy(const double *c, size_t T) {
    prunesid_information out = {0.0, 0.0, 0.0, 0};
    double above = 0.0, diagonal = 0.0;
    for (size_t i = 0; i < T; i++) {
        diagonal += c[i * T + i];
        out.n_nonzero += c[i * T + i] > 0.0;
        for (size_t j = i + 1; j < T; j++) above += c[i * T + j];
    }
    const double cells = (double)T * (double)T;
    out.rho = T > 1 ? above / ((cells - (double)T) / 2.0) : 0.0;
    out.rho_cells = (above + diagonal) / cells;
    out.phi = 1.0 - out.rho;
    return out;
}

/* preset: one that AUTO may stand for. */
static inline double ref_threshold(
    prunesid_information r, size_t N, size_t T, prunesid_preset preset) {
    if (prunesid_preset_rules((size_t)preset)->tau == PRUNESID_TAU_CELLS)
        return fmax(18.0 * (double)N / (double)T, 1.0) * r.rho_cells;
    return (double)N / 32.0 * r.rho;
}

/* ---- NMS ---------------------------------------------------------------------------------- */

/* Stable insertion sort of list by falling key. */
static inline void ref_sort_falling(int32_t *list, size_t n, const double *key) {
    for (size_t i = 1; i < n; i++) {
        const int32_t item = list[i];
        size_t j = i;
        for (; j > 0 && key[list[j - 1]] < key[item]; j--) list[j] = list[j - 1];
        list[j] = item;
    }
}

static inline int ref_contains(const int32_t *list, size_t n, size_t item) {
    for (size_t i = 0; i < n; i++)
        if ((size_t)list[i] == item) return 1;
    return 0;
}

/* One group -> out: survivors as picked (protected first, ascending), then the rest by score.
 * Returns its members; *n_survivors and *n_guarded (protected among them) are written. */
static inline size_t ref_nms(const int32_t *group, int32_t k, const double *score, const double *c,
    size_t T, double tau, const int32_t *guarded, size_t n_guarded, int32_t *out,
    size_t *n_survivors, size_t *n_guarded_here) {
    int32_t *const others = (int32_t *)ref_new(T, sizeof *others);
    int32_t *const rest = (int32_t *)ref_new(T, sizeof *rest);
    size_t n_others = 0, n_rest = 0, n = 0;
    for (size_t i = 0; i < T; i++)
        if (group[i] == k && ref_contains(guarded, n_guarded, i))
            out[n++] = (int32_t)i;
        else if (group[i] == k)
            others[n_others++] = (int32_t)i;
    *n_guarded_here = n;
    ref_sort_falling(others, n_others, score);
    for (size_t o = 0; o < n_others; o++) {
        const size_t i = (size_t)others[o];
        int survives = score[i] > 0.0;
        for (size_t s = 0; survives && s < n; s++) survives = c[i * T + (size_t)out[s]] <= tau;
        if (survives)
            out[n++] = others[o];
        else
            rest[n_rest++] = others[o];
    }
    *n_survivors = n;
    memcpy(out + n, rest, n_rest * sizeof *rest);
    free(others);
    free(rest);
    return n + n_rest;
}

/* ---- quotas ------------------------------------------------------------------------------- */

static inline int64_t ref_sum(const int64_t *v, size_t n) {
    int64_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += v[i];
    return sum;
}

/* Marks the index of the largest key among those not marked, the lower one first; n if none. */
static inline size_t ref_take_largest(const double *key, unsigned char *marked, size_t n) {
    size_t best = n;
    for (size_t i = 0; i < n; i++)
        if (!marked[i] && (best == n || key[i] > key[best])) best = i;
    if (best < n) marked[best] = 1;
    return best;
}

static inline void ref_quotas_proportional(
    const int64_t *survivors, size_t K, int64_t N, int64_t *n) {
    const int64_t total = ref_sum(survivors, K);
    double *const remainder = (double *)ref_new(K, sizeof *remainder);
    unsigned char *const marked = (unsigned char *)ref_new(K, 1);
    for (size_t k = 0; k < K; k++) {
        if (total <= N) {
            n[k] = survivors[k];
        } else {
            const double exact = (double)(N * survivors[k]) / (double)total;
            n[k] = (int64_t)floor(exact);
            remainder[k] = exact - floor(exact);
        }
    }
    for (int64_t left = total <= N ? 0 : N - ref_sum(n, K); left > 0; left--)
        n[ref_take_largest(remainder, marked, K)]++;
    free(remainder);
    free(marked);
}

static inline void ref_quotas_bounded(const int64_t *sizes, const int64_t *survivors, size_t K,
    int64_t N, int64_t reserved, int64_t *n) {
    int64_t *const low = (int64_t *)ref_new(K, sizeof *low);
    int64_t *const up = (int64_t *)ref_new(K, sizeof *up);
    double *const key = (double *)ref_new(K, sizeof *key);
    unsigned char *const marked = (unsigned char *)ref_new(K, 1);
    const int64_t cap = 5 * ((N + 63) / 64), n_members = ref_sum(sizes, K);
    const int64_t n_survivors = ref_sum(survivors, K);
    for (size_t k = 0; k < K; k++) {
        low[k] = sizes[k] < 1 ? sizes[k] : 1;
        up[k] = cap < sizes[k] ? cap : sizes[k];
        up[k] = up[k] < survivors[k] ? up[k] : survivors[k];
        key[k] = (double)survivors[k];
    }
    while (ref_sum(up, K) < N && ref_sum(up, K) < n_members)
        for (size_t k = 0; k < K; k++) up[k] += up[k] < sizes[k];
    const int64_t n_low = ref_sum(low, K);
    const int64_t other = N - n_low - reserved > 0 ? N - n_low - reserved : 0;
    const volatile float total = (float)(n_survivors > 1 ? n_survivors : 1), spare = (float)other;
    double share = 0.0, previous = 0.0;
    for (size_t k = 0; k < K; k++) {
        const volatile float part = (float)survivors[k] / total;
        share += (double)part;
        const volatile float rounded = (float)share;
        const volatile float product = rounded * spare;
        const double cumulative = rint((double)product);
        const int64_t wanted = (int64_t)(cumulative - previous) + low[k];
        n[k] = wanted < up[k] ? wanted : up[k];
        previous = cumulative;
    }
    const int64_t n_up = ref_sum(up, K), want = other + n_low < n_up ? other + n_low : n_up;
    for (size_t k; ref_sum(n, K) < want && (k = ref_take_largest(key, marked, K)) < K;) {
        const int64_t left = want - ref_sum(n, K), room = up[k] - n[k];
        n[k] += room < left ? room : left;
    }
    free(low);
    free(up);
    free(key);
    free(marked);
}

/* ---- select ------------------------------------------------------------------------------- */

typedef struct ref_result {
    size_t n_kept, n_groups, n_survivors;
    prunesid_information information;
    double tau;
    double *cosine;  /* [T, T] */
    double *loading; /* [T] */
    int32_t *order, *indices, *group;
    uint8_t *state;
} ref_result;

static inline void ref_free(ref_result *r) {
    free(r->cosine);
    free(r->loading);
    free(r->order);
    free(r->indices);
    free(r->group);
    free(r->state);
}

/* The rules AUTO stands for. */
static inline prunesid_preset ref_preset(prunesid_preset preset, int has_scores) {
    return preset != PRUNESID_AUTO ? preset : has_scores ? PRUNESID_LLAVA : PRUNESID_QWEN2VL;
}

static inline size_t ref_n_groups(size_t N, size_t T, size_t d, prunesid_preset preset) {
    const size_t least = prunesid_preset_rules((size_t)preset)->least_groups;
    return ref_max(1, ref_min(ref_min(ref_max(N / 4, least), T), d));
}

/* Lists the kept tokens' state, and their indices by rank; both lists count from first. */
static inline void ref_finish(ref_result *r, size_t T, size_t first) {
    size_t n = 0;
    for (size_t i = 0; i < r->n_kept; i++) r->state[r->order[i]] = PRUNESID_KEPT;
    for (size_t i = 0; i < T; i++)
        if (r->state[i] == PRUNESID_KEPT) r->indices[n++] = (int32_t)(first + i);
    for (size_t i = 0; i < r->n_kept; i++) r->order[i] += (int32_t)first;
}

/* picks [T]: group after group, each as ref_nms leaves it. */
static inline void ref_pick(ref_result *r, const int32_t *picks, const int64_t *sizes,
    const int64_t *survivors, const size_t *n_guarded, const double *score, size_t T, size_t K,
    size_t n_keep, const int64_t *quotas, int fill) {
    int32_t *const rest = (int32_t *)ref_new(T, sizeof *rest);
    size_t n_rest = 0, begin = 0;
    for (size_t k = 0; k < K; k++) {
        begin += n_guarded[k];
        for (size_t j = 0; j < (size_t)sizes[k]; j++) {
            const int32_t i = picks[begin + j];
            const int survives = (int64_t)j < survivors[k];
            r->state[i] = survives ? PRUNESID_OVER_QUOTA : PRUNESID_SUPPRESSED;
            if ((int64_t)j < quotas[k] && r->n_kept < n_keep)
                r->order[r->n_kept++] = i;
            else if (!survives)
                rest[n_rest++] = i;
        }
        begin += (size_t)sizes[k];
    }
    /* "descending" looks at the suppressed tokens of all groups by index, not by group */
    for (size_t i = 1; i < n_rest; i++) {
        for (size_t j = i; j > 0 && rest[j] < rest[j - 1]; j--) {
            const int32_t swap = rest[j];
            rest[j] = rest[j - 1];
            rest[j - 1] = swap;
        }
    }
    ref_sort_falling(rest, n_rest, score);
    for (size_t i = 0; fill && i < n_rest && r->n_kept < n_keep; i++)
        r->order[r->n_kept++] = rest[i];
    free(rest);
}

/* The whole selection of x [T, d], which is what input's tokens are in float64. */
static inline ref_result ref_select(
    const prunesid_config *config, const prunesid_input *input, const double *x) {
    const size_t T = input->n_tokens, d = input->dim, N = config->budget;
    const prunesid_preset preset = ref_preset(config->preset, input->scores != NULL);
    const prunesid_rules *const rules = prunesid_preset_rules((size_t)preset);
    const size_t n_guarded = input->n_protected;
    ref_result r;
    memset(&r, 0, sizeof r);
    r.cosine = ref_cosine(x, T, d);
    r.information = ref_redundancy(r.cosine, T);
    r.loading = (double *)ref_new(T, sizeof *r.loading);
    r.order = (int32_t *)ref_new(T, sizeof *r.order);
    r.indices = (int32_t *)ref_new(T, sizeof *r.indices);
    r.group = (int32_t *)ref_new(T, sizeof *r.group);
    r.state = (uint8_t *)ref_new(T, 1);
    if (N - config->reserved >= T) {
        for (size_t i = 0; i < T; i++) {
            r.group[i] = -1;
            r.order[i] = (int32_t)i;
        }
        r.n_kept = r.n_survivors = T;
        ref_finish(&r, T, input->first);
        return r;
    }
    const size_t K = config->n_groups > 0 ? config->n_groups : ref_n_groups(N, T, d, preset);
    double *v = NULL;
    if (input->loadings != NULL) {
        v = (double *)ref_new(T * K, sizeof *v);
        for (size_t i = 0; i < T * K; i++)
            v[i] = (double)input->loadings[i / K * input->ld_loadings + i % K];
    } else {
        double *const a = ref_centred_sigmoid(x, T, d, rules->centring == PRUNESID_CENTRE_CHANNEL);
        v = ref_left_vectors(a, T, d, K, NULL);
        free(a);
    }
    ref_group(v, T, K, r.group, r.loading);
    free(v);
    r.n_groups = K;
    r.tau = ref_threshold(r.information, N, T, preset);

    double *const score = (double *)ref_new(T, sizeof *score);
    for (size_t i = 0; i < T; i++)
        score[i] = input->scores != NULL ? (double)input->scores[i] : r.loading[i];
    int32_t *const guarded = (int32_t *)ref_new(n_guarded, sizeof *guarded);
    for (size_t i = 0; i < n_guarded; i++)
        guarded[i] = input->protected_tokens[i] - (int32_t)input->first;
    int32_t *const picks = (int32_t *)ref_new(T, sizeof *picks);
    int64_t *const sizes = (int64_t *)ref_new(3 * K, sizeof *sizes);
    int64_t *const survivors = sizes + K, *const quotas = sizes + 2 * K;
    size_t *const n_here = (size_t *)ref_new(K, sizeof *n_here);
    size_t begin = 0;
    for (size_t k = 0; k < K; k++) {
        size_t n_survivors = 0;
        const size_t n_members = ref_nms(r.group, (int32_t)k, score, r.cosine, T, r.tau, guarded,
            n_guarded, picks + begin, &n_survivors, &n_here[k]);
        sizes[k] = (int64_t)(n_members - n_here[k]);
        survivors[k] = (int64_t)(n_survivors - n_here[k]);
        r.n_survivors += n_survivors;
        begin += n_members;
    }
    for (size_t i = 0; i < n_guarded; i++) r.order[r.n_kept++] = guarded[i];
    const int64_t left = (int64_t)(N - n_guarded), reserved = (int64_t)config->reserved;
    const int proportional = rules->quota == PRUNESID_QUOTA_PROPORTIONAL;
    if (proportional)
        ref_quotas_proportional(survivors, K, left - reserved, quotas);
    else
        ref_quotas_bounded(sizes, survivors, K, left, reserved, quotas);
    ref_pick(&r, picks, sizes, survivors, n_here, score, T, K, N - config->reserved, quotas,
        proportional);
    ref_finish(&r, T, input->first);
    free(score);
    free(guarded);
    free(picks);
    free(sizes);
    free(n_here);
    return r;
}

/* ---- representatives and merging ---------------------------------------------------------- */

/* who [T]: for each token the place among kept [n_kept] of the one that is most like it, of its
 * group (of all, if that keeps none, or group is NULL); the first among equals, and itself if it is
 * kept. count [n_kept]. Returns the mean cosine. */
static inline double ref_represent(const double *cosine, size_t T, const int32_t *kept,
    size_t n_kept, const int32_t *group, int32_t *who, int32_t *count) {
    double sum = 0.0;
    memset(count, 0, n_kept * sizeof *count);
    for (size_t i = 0; i < T; i++) {
        size_t best = n_kept;
        for (int own = group != NULL; own >= 0 && best == n_kept; own--)
            for (size_t j = 0; j < n_kept; j++) {
                const double *const row = cosine + i * T;
                if (own && group[kept[j]] != group[i]) continue;
                if (best == n_kept || row[kept[j]] > row[kept[best]]) best = j;
            }
        for (size_t j = 0; j < n_kept; j++) best = (size_t)kept[j] == i ? j : best;
        who[i] = (int32_t)best;
        count[best]++;
        sum += (size_t)kept[best] == i ? 1.0 : cosine[i * T + (size_t)kept[best]];
    }
    return sum / (double)T;
}

/* One channel of the merged row of the kept token i, which has that place: x [T] of all tokens, who
 * as above. *size: the sum of what is summed, to which its rounding is relative. */
static inline double ref_merge(
    const double *x, size_t T, const int32_t *who, size_t place, size_t i, double a, double *size) {
    long double sum = 0.0L;
    size_t n = 0;
    *size = 0.0;
    for (size_t t = 0; t < T; t++) {
        if ((size_t)who[t] != place) continue;
        sum += (long double)x[t];
        *size += fabs(x[t]);
        n++;
    }
    const long double count = (long double)n;
    return (double)(((1.0L - (long double)a) * (long double)x[i] * count + (long double)a * sum) /
                    count);
}

/* ---- dynamic budgets ---------------------------------------------------------------------- */

/* clamp(c weight, low, high) with the c that makes the sum n_total, then largest remainders. */
static inline void ref_share(const double *weights, size_t B, size_t n_total, const size_t *low,
    const size_t *high, size_t *shares) {
    double *const wanted = (double *)ref_new(4 * B, sizeof *wanted);
    double *const exact = wanted + B, *const least = wanted + 2 * B, *const most = wanted + 3 * B;
    unsigned char *const settled = (unsigned char *)ref_new(B + 1, 1);
    double n_least = 0.0, n_most = 0.0, n_given = 0.0;
    size_t n_free = B;
    for (size_t b = 0; b < B; b++) {
        wanted[b] = fmax(weights[b], 0.0);
        least[b] = low != NULL ? (double)low[b] : 1.0;
        most[b] = high != NULL ? (double)high[b] : fmax((double)n_total, least[b]);
        n_least += least[b];
        n_most += most[b];
    }
    const double total = fmin(fmax((double)n_total, n_least), n_most);
    while (n_free > 0) {
        double left = total, weight = 0.0, below = 0.0, above = 0.0;
        size_t n_out = 0;
        for (size_t b = 0; b < B; b++) {
            left -= settled[b] ? exact[b] : 0.0;
            weight += settled[b] ? 0.0 : wanted[b];
        }
        for (size_t b = 0; b < B; b++) {
            if (!settled[b]) {
                exact[b] = left * (weight > 0.0 ? wanted[b] / weight : 1.0 / (double)n_free);
                below += exact[b] < least[b] ? least[b] - exact[b] : 0.0;
                above += exact[b] > most[b] ? exact[b] - most[b] : 0.0;
                n_out += exact[b] < least[b] || exact[b] > most[b];
            }
        }
        if (n_out == 0) break;
        const int floors = below >= above;
        for (size_t b = 0; b < B; b++) {
            if (!settled[b] && (floors ? exact[b] < least[b] : exact[b] > most[b])) {
                exact[b] = floors ? least[b] : most[b];
                settled[b] = 1;
                n_free--;
            }
        }
    }
    memset(settled, 0, B);
    for (size_t b = 0; b < B; b++) {
        shares[b] = (size_t)floor(exact[b] + 1e-9);
        n_given += (double)shares[b];
        settled[b] = (double)shares[b] >= most[b];
        exact[b] -= (double)shares[b];
    }
    for (; n_given < total; n_given += 1.0) {
        const size_t b = ref_take_largest(exact, settled, B);
        if (b == B) break;
        shares[b]++;
    }
    free(wanted);
    free(settled);
}

#endif /* REFERENCE_H */
