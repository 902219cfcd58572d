/* decoder.h - the layers of a Llama- or Qwen2-shaped decoder over BLAS, in float32.   MIT licence.
 *
 * What a prefill computes for x [S, hidden], in place, S tokens at positions 0 .. S - 1:
 *
 *   x += W_out attention(rope(Q), rope(K), V),  [Q K V] = W_qkv rmsnorm(x) + bias,  causal
 *   x += W_down (silu(gate) * up),              [gate up] = W_gate_up rmsnorm(x)
 *
 * Query head h reads key and value head h / (n_heads / n_kv_heads). RoPE turns the pairs
 * (c, c + head_dim / 2) by position * base^(-2 c / head_dim). Weights are [out, in], row-major, as
 * checkpoints store them. Queries go through attention in blocks, so that no S x S matrix is held,
 * and rows through the MLP likewise. ../tests/test_prefill.c holds it against plain float64. */
#ifndef DECODER_H
#define DECODER_H

#ifndef CBLAS_H
#define FORCE_OPENBLAS_COMPLEX_STRUCT /* keeps <complex.h> and its macro I out */
#include <cblas.h>
#endif
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    DECODER_LANES = 16,    /* floats that a loop works on at once: a constant count vectorises */
    DECODER_QUERIES = 256, /* rows of a block of attention */
    DECODER_ROWS = 512     /* rows of a block of the MLP */
};

typedef struct decoder_shape {
    size_t hidden, n_heads, n_kv_heads, mlp;
    double rope_base, norm_eps;
} decoder_shape;

typedef struct decoder_weights {
    const float *attention_norm; /* [hidden] */
    const float *qkv;            /* [decoder_qkv_width, hidden]: all of Q, then K, then V */
    const float *qkv_bias;       /* [decoder_qkv_width] or NULL */
    const float *out;            /* [hidden, hidden] */
    const float *mlp_norm;       /* [hidden] */
    const float *gate_up;        /* [2 mlp, hidden]: all of gate, then up */
    const float *down;           /* [hidden, mlp] */
} decoder_weights;

static inline size_t decoder_head_dim(const decoder_shape *shape) {
    return shape->hidden / shape->n_heads;
}

static inline size_t decoder_qkv_width(const decoder_shape *shape) {
    return (shape->n_heads + 2 * shape->n_kv_heads) * decoder_head_dim(shape);
}

static inline size_t decoder_least_(size_t a, size_t b) {
    return a < b ? a : b;
}

static inline size_t decoder_padded_(size_t n) {
    return (n + DECODER_LANES - 1) / DECODER_LANES * DECODER_LANES;
}

/* Floats of memory that decoder_run needs for S tokens. */
static inline size_t decoder_memory_floats(const decoder_shape *shape, size_t S) {
    return S * (decoder_head_dim(shape) + shape->hidden + decoder_qkv_width(shape)) +
           decoder_least_(S, DECODER_QUERIES) * decoder_padded_(S) +
           decoder_least_(S, DECODER_ROWS) * 2 * shape->mlp;
}

/* What the matrix products of one layer cost, the causal half of attention only. */
static inline double decoder_flops(const decoder_shape *shape, size_t S) {
    const double s = (double)S, hidden = (double)shape->hidden;
    const double weights =
        hidden * ((double)decoder_qkv_width(shape) + hidden) + 3.0 * hidden * (double)shape->mlp;
    return 2.0 * s * weights + 2.0 * s * (s + 1.0) * hidden;
}

/* y [m, out] = x [m, in] w^T + beta y. */
static inline void decoder_linear_(
    const float *x, size_t m, size_t in, const float *w, size_t out, float beta, float *y) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)m, (int)out, (int)in, 1.0f, x,
        (int)in, w, (int)in, beta, y, (int)out);
}

static inline void decoder_rmsnorm_(
    const float *x, size_t S, size_t hidden, const float *weight, double eps, float *y) {
    for (size_t i = 0; i < S; i++, x += hidden, y += hidden) {
        double sum = 0.0;
        for (size_t j = 0; j < hidden; j++) sum += (double)x[j] * (double)x[j];
        const float scale = (float)(1.0 / sqrt(sum / (double)hidden + eps));
        for (size_t j = 0; j < hidden; j++) y[j] = x[j] * scale * weight[j];
    }
}

/* e^x, 2^-126 at least, with a relative error of about (|x| + 3) 2^-24: 2^n by the exponent bits,
 * 2^f by its series. A loop of it vectorises, one of expf does not. */
static inline float decoder_exp_(float x) {
    float t = x * 1.44269504f, scale;
    t = t < -126.0f ? -126.0f : t;
    t = t > 126.0f ? 126.0f : t;
    const int32_t n = (int32_t)(t + 192.5f) - 192;
    const float f = t - (float)n;
    const uint32_t bits = (uint32_t)(n + 127) << 23;
    memcpy(&scale, &bits, sizeof scale);
    float p = 1.54035304e-4f;
    p = p * f + 1.33335581e-3f;
    p = p * f + 9.61812911e-3f;
    p = p * f + 5.55041087e-2f;
    p = p * f + 0.240226507f;
    p = p * f + 0.693147181f;
    return (p * f + 1.0f) * scale;
}

/* ---- rotary positions --------------------------------------------------------------------- */

/* turn: [S, head_dim / 2] cosines, then as many sines. */
static inline void decoder_fill_turn_(const decoder_shape *shape, size_t S, float *turn) {
    const size_t half = decoder_head_dim(shape) / 2;
    for (size_t c = 0; c < half; c++) {
        const double step = pow(shape->rope_base, -(double)c / (double)half);
        for (size_t i = 0; i < S; i++) {
            turn[i * half + c] = (float)cos((double)i * step);
            turn[(S + i) * half + c] = (float)sin((double)i * step);
        }
    }
}

/* Turns n_heads heads of each row; rows lie ld apart. */
static inline void decoder_rope_(
    float *x, size_t ld, size_t S, size_t n_heads, size_t head_dim, const float *turn) {
    const size_t half = head_dim / 2;
    for (size_t i = 0; i < S; i++) {
        const float *const cosine = turn + i * half, *const sine = turn + (S + i) * half;
        for (size_t h = 0; h < n_heads; h++) {
            float *const low = x + i * ld + h * head_dim, *const high = low + half;
            for (size_t c = 0; c < half; c++) {
                const float a = low[c], b = high[c];
                low[c] = a * cosine[c] - b * sine[c];
                high[c] = b * cosine[c] + a * sine[c];
            }
        }
    }
}

/* ---- attention ---------------------------------------------------------------------------- */

/* Softmax of the first n of row [n_columns]; the rest becomes 0. Whole lanes beyond are scratch. */
static inline void decoder_softmax_(float *row, size_t n, size_t n_columns) {
    float most[DECODER_LANES], sum[DECODER_LANES] = {0};
    const size_t n_padded = decoder_padded_(n);
    for (size_t j = n; j < n_padded; j++) row[j] = -1e30f;
    memcpy(most, row, sizeof most);
    for (size_t j = 0; j < n_padded; j += DECODER_LANES)
        for (size_t l = 0; l < DECODER_LANES; l++)
            most[l] = row[j + l] > most[l] ? row[j + l] : most[l];
    for (size_t l = 1; l < DECODER_LANES; l++) most[0] = most[l] > most[0] ? most[l] : most[0];
    for (size_t j = 0; j < n_padded; j += DECODER_LANES) {
        for (size_t l = 0; l < DECODER_LANES; l++) {
            row[j + l] = decoder_exp_(row[j + l] - most[0]);
            sum[l] += row[j + l];
        }
    }
    for (size_t l = 1; l < DECODER_LANES; l++) sum[0] += sum[l];
    for (size_t j = 0; j < n; j++) row[j] /= sum[0];
    for (size_t j = n; j < n_columns; j++) row[j] = 0.0f;
}

/* out [S, hidden] from qkv [S, decoder_qkv_width]. */
static inline void decoder_attention_(
    const decoder_shape *shape, const float *qkv, size_t S, float *scores, float *out) {
    const size_t head_dim = decoder_head_dim(shape), ld = decoder_qkv_width(shape);
    const size_t ld_scores = decoder_padded_(S);
    const float scale = (float)(1.0 / sqrt((double)head_dim));
    for (size_t h = 0; h < shape->n_heads; h++) {
        const size_t kv = h / (shape->n_heads / shape->n_kv_heads);
        const float *const keys = qkv + (shape->n_heads + kv) * head_dim;
        const float *const values = keys + shape->n_kv_heads * head_dim;
        for (size_t i = 0; i < S; i += DECODER_QUERIES) {
            const size_t n = decoder_least_(S - i, DECODER_QUERIES), n_keys = i + n;
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)n_keys, (int)head_dim,
                scale, qkv + i * ld + h * head_dim, (int)ld, keys, (int)ld, 0.0f, scores,
                (int)ld_scores);
            for (size_t q = 0; q < n; q++)
                decoder_softmax_(scores + q * ld_scores, i + q + 1, n_keys);
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, (int)head_dim,
                (int)n_keys, 1.0f, scores, (int)ld_scores, values, (int)ld, 0.0f,
                out + i * shape->hidden + h * head_dim, (int)shape->hidden);
        }
    }
}

/* ---- a layer ------------------------------------------------------------------------------ */

/* x [S, hidden] += down (silu(gate) * up) of normed [S, hidden]. */
static inline void decoder_mlp_(const decoder_shape *shape, const decoder_weights *w,
    const float *normed, size_t S, float *gate_up, float *x) {
    const size_t hidden = shape->hidden, mlp = shape->mlp;
    for (size_t i = 0; i < S; i += DECODER_ROWS) {
        const size_t n = decoder_least_(S - i, DECODER_ROWS);
        decoder_linear_(normed + i * hidden, n, hidden, w->gate_up, 2 * mlp, 0.0f, gate_up);
        for (size_t q = 0; q < n; q++) {
            float *const gate = gate_up + q * 2 * mlp;
            const float *const up = gate + mlp;
            for (size_t j = 0; j < mlp; j++)
                gate[j] = gate[j] / (1.0f + decoder_exp_(-gate[j])) * up[j];
        }
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, (int)hidden, (int)mlp, 1.0f,
            gate_up, (int)(2 * mlp), w->down, (int)mlp, 1.0f, x + i * hidden, (int)hidden);
    }
}

/* n_layers layers with the same weights, in memory of decoder_memory_floats. */
static inline void decoder_run(const decoder_shape *shape, const decoder_weights *w,
    size_t n_layers, float *x, size_t S, float *memory) {
    const size_t hidden = shape->hidden, head_dim = decoder_head_dim(shape);
    const size_t width = decoder_qkv_width(shape), n_turned = shape->n_heads + shape->n_kv_heads;
    float *const turn = memory, *const normed = turn + S * head_dim;
    float *const qkv = normed + S * hidden, *const scores = qkv + S * width;
    float *const gate_up = scores + decoder_least_(S, DECODER_QUERIES) * decoder_padded_(S);
    decoder_fill_turn_(shape, S, turn);
    for (size_t layer = 0; layer < n_layers; layer++) {
        decoder_rmsnorm_(x, S, hidden, w->attention_norm, shape->norm_eps, normed);
        for (size_t i = 0; w->qkv_bias != NULL && i < S; i++)
            memcpy(qkv + i * width, w->qkv_bias, width * sizeof *qkv);
        decoder_linear_(normed, S, hidden, w->qkv, width, w->qkv_bias != NULL ? 1.0f : 0.0f, qkv);
        decoder_rope_(qkv, width, S, n_turned, head_dim, turn);
        decoder_attention_(shape, qkv, S, scores, normed);
        decoder_linear_(normed, S, hidden, w->out, hidden, 1.0f, x);
        decoder_rmsnorm_(x, S, hidden, w->mlp_norm, shape->norm_eps, normed);
        decoder_mlp_(shape, w, normed, S, gate_up, x);
    }
}

#endif /* DECODER_H */
