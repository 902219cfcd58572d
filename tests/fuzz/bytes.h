/* bytes.h - what the fuzz targets read their input with, and complain by.   MIT licence. */
#ifndef BYTES_H
#define BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bytes {
    const uint8_t *at;
    size_t n;
} bytes;

/* The next byte; 0 once there is none. */
static inline size_t take(bytes *from) {
    if (from->n == 0) return 0;
    from->n--;
    return *from->at++;
}

/* The next two as one number. Never two takes in one expression: compilers differ in which comes
 * first, and a corpus has to mean the same to all. */
static inline size_t take_two(bytes *from) {
    const size_t low = take(from);
    return low | take(from) << 8;
}

/* The next n_bytes as they are, zeros once there are none. */
static inline void take_raw(bytes *from, void *to, size_t n_bytes) {
    const size_t n = from->n < n_bytes ? from->n : n_bytes;
    memset(to, 0, n_bytes);
    if (n > 0) memcpy(to, from->at, n);
    from->at += n;
    from->n -= n;
}

/* Small numbers that tie and repeat, from the bytes that are left. */
static inline void fill(const bytes *from, float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        x[i] = ((float)(from->n > 0 ? from->at[i % from->n] : 0) - 128.0f) / 32.0f;
}

#define must(condition) ((condition) ? (void)0 : complain(#condition, __FILE__, __LINE__))

static inline void complain(const char *condition, const char *file, int line) {
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

#endif /* BYTES_H */
