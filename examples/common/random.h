/* random.h - repeatable random numbers: splitmix64.   MIT licence.
 *
 * The state is any number, the seed; the same seed gives the same numbers on every machine. */
#ifndef RANDOM_H
#define RANDOM_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

static inline uint64_t random_bits(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* In [0, 1). */
static inline double random_unit(uint64_t *state) {
    return (double)(random_bits(state) >> 11) * 0x1p-53;
}

/* In (-1, 1). */
static inline double random_uniform(uint64_t *state) {
    return ((double)(random_bits(state) >> 11) + 0.5) * 0x1p-52 - 1.0;
}

/* Of mean 0 and variance 1. */
static inline double random_normal(uint64_t *state) {
    const double radius = sqrt(-2.0 * log(0.5 + 0.5 * random_uniform(state)));
    return radius * cos(3.141592653589793 * random_uniform(state));
}

/* In [low, high]. */
static inline size_t random_size(uint64_t *state, size_t low, size_t high) {
    return low + (size_t)(random_bits(state) % (high - low + 1));
}

#endif /* RANDOM_H */
