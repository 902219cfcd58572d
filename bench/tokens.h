/* tokens.h - made-up tokens that stress a selector as real ones do.   MIT licence.
 *
 * The tokens of the images in tests/data have an offset of about 0.8 a channel that all rows share,
 * singular values that fall about as k^-0.75 (neighbours 4 to 8 % apart up to the 16th, 2 % to the
 * 48th, 1 % to the 100th), and 2 % of rows with 30 times the norm that all point one way. So have
 * these. The same numbers on every machine, but for the last bits of the BLAS product. */
#ifndef TOKENS_H
#define TOKENS_H

#include "random.h"

#ifndef CBLAS_H
#define FORCE_OPENBLAS_COMPLEX_STRUCT /* keeps <complex.h> and its macro I out */
#include <cblas.h>
#endif
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Row i of left [T, rank]: normal numbers of falling strength, the row's variance sums to 1. */
static inline void tokens_fill_factors_(float *left, size_t T, size_t rank, uint64_t *state) {
    double total = 0.0;
    for (size_t k = 0; k < rank; k++) total += pow((double)k + 2.0, -1.5);
    for (size_t k = 0; k < rank; k++) {
        const double strength = pow((double)k + 2.0, -0.75) / sqrt(total);
        for (size_t i = 0; i < T; i++)
            left[i * rank + k] = (float)(strength * random_normal(state));
    }
}

/* x [T, d] = offset + left right + noise, every 48th row with the sinks' direction on top. 0, or -1
 * if there is no memory. */
static inline int tokens_fill(float *x, size_t T, size_t d, uint64_t seed) {
    const size_t least = T < d ? T : d, rank = least < 256 ? least : 256;
    float *const left = (float *)malloc(T * rank * sizeof *left);
    float *const right = (float *)malloc((rank + 2) * d * sizeof *right); /* and offset, sink */
    const int failed = left == NULL || right == NULL;
    if (!failed) {
        const float *const offset = right + rank * d, *const sink = offset + d;
        uint64_t state = seed;
        tokens_fill_factors_(left, T, rank, &state);
        for (size_t j = 0; j < (rank + 2) * d; j++) right[j] = (float)random_normal(&state);
        for (size_t i = 0; i < T; i++) {
            for (size_t j = 0; j < d; j++) {
                x[i * d + j] = 0.8f * offset[j] + 0.2f * (float)random_uniform(&state) +
                               (i % 48 == 41 ? 30.0f * sink[j] : 0.0f);
            }
        }
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)T, (int)d, (int)rank, 1.1f,
            left, (int)rank, right, (int)d, 1.0f, x, (int)d);
    }
    free(left);
    free(right);
    return failed ? -1 : 0;
}

/* scores [T]: positive and heavy-tailed, as the attention of a CLS row is. */
static inline void tokens_fill_scores(float *scores, size_t T, uint64_t seed) {
    uint64_t state = seed ^ UINT64_C(0x5c07e5);
    for (size_t i = 0; i < T; i++) scores[i] = (float)exp(2.0 * random_normal(&state));
}

#endif /* TOKENS_H */
