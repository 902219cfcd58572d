/* test_prefill.c - the decoder that bench/prunesid_prefill times, against plain float64.
 * MIT licence. */
#include "support.h"

#include "../bench/decoder.h"

/* Any shape that exercises an edge: heads that share keys, a bias, several blocks, one token. */
typedef struct prefill_case {
    size_t n_tokens, hidden, n_heads, n_kv_heads, mlp, has_bias, n_layers;
} prefill_case;

static const prefill_case cases[] = {
    {1, 8, 2, 2, 12, 0, 1},
    {17, 24, 3, 1, 40, 1, 2},
    {64, 32, 4, 4, 24, 0, 3},
    {300, 32, 4, 2, 40, 1, 1},
    {777, 16, 2, 1, 20, 1, 2},
};

static float *normal_floats(size_t n, double mean, double scale, uint64_t *state) {
    float *const values = (float *)ref_new(n, sizeof *values);
    for (size_t i = 0; i < n; i++) values[i] = (float)(mean + scale * random_normal(state));
    return values;
}

/* ---- the reference: one sum a line, in float64 --------------------------------------------- */

static double *ref_norm(const double *x, size_t S, size_t hidden, const float *weight, double eps) {
    double *const y = (double *)ref_new(S * hidden, sizeof *y);
    for (size_t i = 0; i < S; i++) {
        double sum = 0.0;
        for (size_t j = 0; j < hidden; j++) sum += x[i * hidden + j] * x[i * hidden + j];
        for (size_t j = 0; j < hidden; j++) {
            y[i * hidden + j] =
                x[i * hidden + j] / sqrt(sum / (double)hidden + eps) * (double)weight[j];
        }
    }
    return y;
}

/* A new [S, out] = x [S, in] w^T + bias. */
static double *ref_linear(
    const double *x, size_t S, size_t in, const float *w, size_t out, const float *bias) {
    double *const y = (double *)ref_new(S * out, sizeof *y);
    for (size_t i = 0; i < S; i++) {
        for (size_t o = 0; o < out; o++) {
            double sum = bias != NULL ? (double)bias[o] : 0.0;
            for (size_t j = 0; j < in; j++) sum += x[i * in + j] * (double)w[o * in + j];
            y[i * out + o] = sum;
        }
    }
    return y;
}

/* Turns one head at a position, as a product of complex numbers. */
static void ref_rope(double *head, size_t head_dim, size_t position, double base) {
    for (size_t c = 0; c < head_dim / 2; c++) {
        const double angle = (double)position * pow(base, -2.0 * (double)c / (double)head_dim);
        const double re = head[c], im = head[c + head_dim / 2];
        head[c] = re * cos(angle) - im * sin(angle);
        head[c + head_dim / 2] = re * sin(angle) + im * cos(angle);
    }
}

static double *ref_attention(const decoder_shape *shape, const double *qkv, size_t S) {
    const size_t n_heads = shape->n_heads, hd = shape->hidden / n_heads;
    const size_t width = (n_heads + 2 * shape->n_kv_heads) * hd;
    double *const out = (double *)ref_new(S * shape->hidden, sizeof *out);
    double *const p = (double *)ref_new(S, sizeof *p);
    for (size_t i = 0; i < S * n_heads; i++) {
        const size_t row = i / n_heads, h = i % n_heads;
        const size_t kv = h * shape->n_kv_heads / n_heads;
        double most = -INFINITY, sum = 0.0;
        for (size_t j = 0; j <= row; j++) {
            p[j] = 0.0;
            for (size_t c = 0; c < hd; c++)
                p[j] += qkv[row * width + h * hd + c] * qkv[j * width + (n_heads + kv) * hd + c];
            p[j] /= sqrt((double)hd);
            most = fmax(most, p[j]);
        }
        for (size_t j = 0; j <= row; j++) {
            p[j] = exp(p[j] - most);
            sum += p[j];
        }
        for (size_t c = 0; c < hd; c++) {
            double mixed = 0.0;
            for (size_t j = 0; j <= row; j++)
                mixed += p[j] / sum * qkv[j * width + (n_heads + shape->n_kv_heads + kv) * hd + c];
            out[row * shape->hidden + h * hd + c] = mixed;
        }
    }
    free(p);
    return out;
}

static void ref_add(double *x, double *y, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] += y[i];
    free(y);
}

static void ref_layer(const decoder_shape *shape, const decoder_weights *w, double *x, size_t S) {
    const size_t hidden = shape->hidden, n_heads = shape->n_heads, hd = hidden / n_heads;
    const size_t n_turned = n_heads + shape->n_kv_heads,
                 width = n_turned * hd + shape->n_kv_heads * hd;
    double *normed = ref_norm(x, S, hidden, w->attention_norm, shape->norm_eps);
    double *const qkv = ref_linear(normed, S, hidden, w->qkv, width, w->qkv_bias);
    for (size_t i = 0; i < S * n_turned; i++) {
        const size_t row = i / n_turned, h = i % n_turned;
        ref_rope(qkv + row * width + h * hd, hd, row, shape->rope_base);
    }
    double *const attended = ref_attention(shape, qkv, S);
    ref_add(x, ref_linear(attended, S, hidden, w->out, hidden, NULL), S * hidden);
    free(normed);
    normed = ref_norm(x, S, hidden, w->mlp_norm, shape->norm_eps);
    double *const gate = ref_linear(normed, S, hidden, w->gate_up, shape->mlp, NULL);
    double *const up =
        ref_linear(normed, S, hidden, w->gate_up + shape->mlp * hidden, shape->mlp, NULL);
    for (size_t i = 0; i < S * shape->mlp; i++) gate[i] = gate[i] / (1.0 + exp(-gate[i])) * up[i];
    ref_add(x, ref_linear(gate, S, shape->mlp, w->down, hidden, NULL), S * hidden);
    free(normed);
    free(qkv);
    free(attended);
    free(gate);
    free(up);
}

/* ---- tests -------------------------------------------------------------------------------- */

/* Weights large enough that softmax and silu leave their linear range. */
static void test_layers_match_the_reference(void **unused) {
    (void)unused;
    for (size_t c = 0; c < N_ITEMS(cases); c++) {
        const prefill_case *const one = &cases[c];
        const decoder_shape shape = {
            one->hidden, one->n_heads, one->n_kv_heads, one->mlp, 10000.0, 1e-5};
        const size_t S = one->n_tokens, n = S * one->hidden, width = decoder_qkv_width(&shape);
        uint64_t state = c + 1;
        const double scale = 1.5 / sqrt((double)one->hidden);
        float *const parts[7] = {
            normal_floats(one->hidden, 1.0, 0.3, &state),
            normal_floats(width * one->hidden, 0.0, scale, &state),
            normal_floats(width, 0.0, 0.5, &state),
            normal_floats(one->hidden * one->hidden, 0.0, scale, &state),
            normal_floats(one->hidden, 1.0, 0.3, &state),
            normal_floats(2 * one->mlp * one->hidden, 0.0, scale, &state),
            normal_floats(one->hidden * one->mlp, 0.0, scale, &state),
        };
        const decoder_weights weights = {parts[0], parts[1], one->has_bias ? parts[2] : NULL,
            parts[3], parts[4], parts[5], parts[6]};
        float *const x = normal_floats(n, 0.0, 1.0, &state);
        double *const wanted = widen(x, n, PRUNESID_F32);
        guard memory = guard_new(decoder_memory_floats(&shape, S) * sizeof(float), 0xFF);
        double error = 0.0, size = 0.0;

        decoder_run(&shape, &weights, one->n_layers, x, S, (float *)(void *)memory.data);
        for (size_t layer = 0; layer < one->n_layers; layer++)
            ref_layer(&shape, &weights, wanted, S);
        for (size_t i = 0; i < n; i++) {
            error += ((double)x[i] - wanted[i]) * ((double)x[i] - wanted[i]);
            size += wanted[i] * wanted[i];
        }
        CHECK(sqrt(error / size) < 1e-6, "case %zu: relative error %.2e", c, sqrt(error / size));
        for (size_t i = 0; i < n; i++) {
            CHECK(fabs((double)x[i] - wanted[i]) < 1e-4, "case %zu: x[%zu] is %.9g, not %.9g", c, i,
                (double)x[i], wanted[i]);
        }
        guard_free(&memory);
        for (size_t i = 0; i < 7; i++) free(parts[i]);
        free(wanted);
        free(x);
    }
}

/* A token sees nothing that comes after it. */
static void test_attention_is_causal(void **unused) {
    (void)unused;
    enum { S = 40, HIDDEN = 16, MLP = 12, CHANGED = 23 };
    const decoder_shape shape = {HIDDEN, 2, 1, MLP, 10000.0, 1e-5};
    uint64_t state = 5;
    float *const norm = normal_floats(HIDDEN, 1.0, 0.1, &state);
    float *const w = normal_floats(2 * HIDDEN * HIDDEN + 2 * MLP * HIDDEN, 0.0, 0.3, &state);
    const decoder_weights weights = {norm, w, NULL, w, norm, w, w};
    float *const x = normal_floats((size_t)S * HIDDEN, 0.0, 1.0, &state);
    float *const y = (float *)ref_new((size_t)S * HIDDEN, sizeof *y);
    float *const memory = (float *)ref_new(decoder_memory_floats(&shape, S), sizeof *memory);
    memcpy(y, x, (size_t)S * HIDDEN * sizeof *y);
    y[CHANGED * HIDDEN] += 1.0f;
    decoder_run(&shape, &weights, 2, x, S, memory);
    decoder_run(&shape, &weights, 2, y, S, memory);
    assert_memory_equal(x, y, (size_t)CHANGED * HIDDEN * sizeof *x);
    assert_memory_not_equal(x + (S - 1) * HIDDEN, y + (S - 1) * HIDDEN, HIDDEN * sizeof *x);
    free(norm);
    free(w);
    free(x);
    free(y);
    free(memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers_match_the_reference),
        cmocka_unit_test(test_attention_is_causal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
