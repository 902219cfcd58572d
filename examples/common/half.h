/* half.h - 16-bit floating-point numbers, from and to wider ones.   MIT licence.
 *
 * f16 is IEEE 754 binary16, bf16 the upper half of a float; both are kept in a uint16_t. */
#ifndef HALF_H
#define HALF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float float_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t bits_from_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_from_f16(uint16_t half) {
    const int exponent = half >> 10 & 31, fraction = half & 1023;
    const float magnitude = exponent == 31  ? (fraction ? NAN : INFINITY)
                            : exponent == 0 ? ldexpf((float)fraction, -24)
                                            : ldexpf((float)(fraction + 1024), exponent - 25);
    return half & 0x8000 ? -magnitude : magnitude;
}

static inline float float_from_bf16(uint16_t half) {
    return float_from_bits((uint32_t)half << 16);
}

/* Nearest, ties to even, from the definition: the spacing at value is 2^(exponent - 10). */
static inline uint16_t f16_from_double(double value) {
    const uint16_t sign = signbit(value) ? 0x8000 : 0;
    const double magnitude = fabs(value);
    if (!(magnitude < 65520.0)) /* what rounds beyond 65504, or is no number */
        return (uint16_t)(sign | (isnan(value) ? 0x7E00 : 0x7C00));
    const int exponent = magnitude >= 0x1p-14 ? ilogb(magnitude) : -14;
    const double units = rint(ldexp(magnitude, 10 - exponent)); /* 0 .. 2048 */
    return (uint16_t)(sign | (uint16_t)(units + (double)(exponent + 14) * 1024.0));
}

/* Nearest, ties to even. */
static inline uint16_t bf16_from_float(float value) {
    const uint32_t bits = bits_from_float(value);
    if ((bits & 0x7FFFFFFF) > 0x7F800000)
        return (uint16_t)(bits >> 16 | 0x40); /* a NaN stays one */
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

#endif /* HALF_H */
