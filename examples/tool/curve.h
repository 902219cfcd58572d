/* curve.h - draws what a sweep over budgets found.   MIT licence. */
#ifndef CURVE_H
#define CURVE_H

#include <stddef.h>

/* One budget; medians over the images, and the image that is worst off. */
typedef struct curve_point {
    double budget, keep, coverage, survivors, select_ms;
    double share; /* of an image that was asked for, 0: a number was */
    double left;  /* of the prefill's tokens, 0 to 1 */
    double least_coverage, most_ms;
    size_t n_images; /* that have this budget */
} curve_point;

typedef struct curve_request {
    const curve_point *points; /* [n_points] by rising budget, at least one */
    size_t n_points;
    size_t n_images; /* of several, the worst is drawn too */
    size_t bend;     /* the point where the curve bends; n_points: none */
    double n_tokens; /* of an image: the axis ends there or at the last point */
    const char *title;
} curve_request;

/* A whole file, malloc'ed, of *n_bytes: SVG, or PNG. NULL with the cause in error. */
unsigned char *curve_draw(
    const curve_request *request, int as_png, size_t *n_bytes, char *error, size_t error_bytes);

#endif /* CURVE_H */
