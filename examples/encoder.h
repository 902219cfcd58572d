/* encoder.h - what the examples share: a made-up vision encoder, and checks.   MIT licence. */
#ifndef ENCODER_H
#define ENCODER_H

#include "random.h"
#include "prunesid.h"

#include <stdio.h>
#include <stdlib.h>

/* Number i of a seed's, in (-1, 1). */
static inline float encoder_noise(uint32_t seed, size_t i) {
    uint64_t state = ((uint64_t)seed << 32) + i;
    return (float)random_uniform(&state);
}

/* tokens [n_rows * n_cols, dim], row stride ld: an image of n_parts flat parts. All tokens have
 * something in common, as those of a real encoder do. Texture grows from left to right, so that the
 * left is redundant and the right is not. */
static inline void encode_image(float *tokens, size_t n_rows, size_t n_cols, size_t dim, size_t ld,
    uint32_t seed, size_t n_parts, float texture) {
    for (size_t i = 0; i < n_rows * n_cols; i++) {
        const float y = (float)(i / n_cols) / (float)n_rows;
        const float x = (float)(i % n_cols) / (float)n_cols;
        size_t part = 0;
        float nearest = 100.0f;
        for (size_t p = 0; p < n_parts; p++) {
            const float dy = y - encoder_noise(seed, 2 * p) * 0.5f - 0.5f;
            const float dx = x - encoder_noise(seed, 2 * p + 1) * 0.5f - 0.5f;
            if (dy * dy + dx * dx < nearest) {
                nearest = dy * dy + dx * dx;
                part = p;
            }
        }
        for (size_t c = 0; c < dim; c++) {
            const float common = encoder_noise(1u, c);
            const float flat = encoder_noise(seed + 1u, part * dim + c);
            const float rough = encoder_noise(seed + 2u, i * dim + c);
            tokens[i * ld + c] = common + 0.8f * flat + texture * x * rough;
        }
    }
}

/* 1, with the cause on standard error, unless status is PRUNESID_OK. */
static inline int failed(prunesid_status status, const char *call) {
    if (status == PRUNESID_OK) return 0;
    fprintf(stderr, "%s: %s\n", call, prunesid_status_string(status));
    return 1;
}

/* good, and what should have been so on standard error if it is not. */
static inline int holds(int good, const char *what) {
    if (!good) fprintf(stderr, "this should hold, and does not: %s\n", what);
    return good;
}

/* Plans, allocates, selects; 1, with the cause on standard error, if that fails. An engine keeps
 * the workspace for its next batch, as batch.c does.
 *   kept  [capacity] written; *n_kept: how many of them */
static inline int select_batch(
    const prunesid_batch *batch, int32_t *kept, size_t capacity, size_t *n_kept) {
    prunesid_plan plan;
    if (failed(prunesid_batch_plan(batch, &plan), "batch_plan")) return 1;
    void *workspace = malloc(plan.workspace_bytes);
    const prunesid_status status =
        prunesid_batch_select(batch, workspace, plan.workspace_bytes, kept, capacity);
    free(workspace);
    *n_kept = plan.n_kept;
    return failed(status, "batch_select");
}

#endif /* ENCODER_H */
