/* bytes.h - what the fuzz targets read their input with.   MIT licence. */
#ifndef BYTES_H
#define BYTES_H

#include <stddef.h>
#include <stdint.h>

typedef struct bytes {
    const uint8_t *at;
    size_t n;
} bytes;

/* The next byte; 0 once there is none. */
static inline size_t take(bytes *from) {
    if (from->n == 0) {
        return 0;
    }
    from->n--;
    return *from->at++;
}

#endif /* BYTES_H */
