/* matrix_work.c - prunesid.h with its calls of sgemm counted.   MIT licence. */
#define BENCH_NAME "prunesid_bench"
#include "bench.h"

#define FORCE_OPENBLAS_COMPLEX_STRUCT /* keeps <complex.h> and its macro I out */
#include <cblas.h>

static double counted_flops, counted_ms;

static inline void counted_sgemm(enum CBLAS_ORDER order, enum CBLAS_TRANSPOSE ta,
    enum CBLAS_TRANSPOSE tb, int m, int n, int k, float alpha, const float *a, int lda,
    const float *b, int ldb, float beta, float *c, int ldc) {
    const uint64_t start = bench_clock_ns();
    cblas_sgemm(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    counted_ms += bench_ms_since(start);
    counted_flops += 2.0 * m * n * k;
}

#define cblas_sgemm counted_sgemm
#include "matrix_work.h"

prunesid_status matrix_work_of_select(
    const prunesid_config *config, const prunesid_tokens *tokens, matrix_work *out) {
    int32_t *const indices = (int32_t *)bench_allocate(tokens->n_tokens, sizeof *indices);
    prunesid_output kept = prunesid_output_init(indices);
    counted_flops = counted_ms = 0.0;
    const prunesid_status status = prunesid_select_alloc(config, tokens, NULL, NULL, &kept);
    free(indices);
    out->flops = counted_flops;
    out->ms = counted_ms;
    return status;
}
