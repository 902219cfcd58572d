/* matrix_work.h - how much of a selection is matrix products in BLAS.   MIT licence. */
#ifndef MATRIX_WORK_H
#define MATRIX_WORK_H

#include "prunesid.h"

/* The float32 products of one selection, counted where they are handed to BLAS. */
typedef struct matrix_work {
    double flops; /* 2 m n k each */
    double ms;    /* inside the calls, the clock's own cost included */
} matrix_work;

/* One selection, by a copy of the library of its own: counting does not touch what is timed. */
prunesid_status matrix_work_of_select(
    const prunesid_config *config, const prunesid_tokens *tokens, matrix_work *out);

#endif /* MATRIX_WORK_H */
