/* encoder.h - what the examples share: a made-up vision encoder, and checks.   MIT licence. */
#ifndef ENCODER_H
#define ENCODER_H

#include "prunesid.h"

#include <stdio.h>

/* In [-1, 1), the same for the same numbers. */
static inline float encoder_noise_(uint32_t seed, size_t i) {
    uint32_t x = seed * 0x9E3779B9u + (uint32_t)i * 0x85EBCA6Bu;
    x = (x ^ (x >> 16)) * 0x7FEB352Du;
    x = (x ^ (x >> 15)) * 0x846CA68Bu;
    x ^= x >> 16;
    return (float)(x >> 8) * 0x1p-23f - 1.0f;
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
            const float dy = y - encoder_noise_(seed, 2 * p) * 0.5f - 0.5f;
            const float dx = x - encoder_noise_(seed, 2 * p + 1) * 0.5f - 0.5f;
            if (dy * dy + dx * dx < nearest) {
                nearest = dy * dy + dx * dx;
                part = p;
            }
        }
        for (size_t c = 0; c < dim; c++) {
            const float common = encoder_noise_(1u, c);
            const float flat = encoder_noise_(seed + 1u, part * dim + c);
            const float rough = encoder_noise_(seed + 2u, i * dim + c);
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

#endif /* ENCODER_H */
