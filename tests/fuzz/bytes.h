/* bytes.h - what the fuzz targets read their input with, and complain by.   MIT licence. */
#ifndef BYTES_H
#define BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

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

/* Small numbers that tie and repeat, from the bytes that are left. */
static inline void fill(const bytes *from, float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        x[i] = ((float)(from->n > 0 ? from->at[i % from->n] : 0) - 128.0f) / 32.0f;
}

static inline void must(int condition) {
    if (!condition) abort();
}

#endif /* BYTES_H */
