/* plot.h - draws which patches of a photo were kept.   MIT licence. */
#ifndef PLOT_H
#define PLOT_H

#include <stddef.h>
#include <stdint.h>

typedef struct plot_request {
    const char *photo;      /* PNG or JPEG file that the tokens were made of */
    size_t n_rows;          /* the grid: token i is the patch at row i / n_columns, */
    size_t n_columns;       /* column i % n_columns */
    const int32_t *group;   /* [n_rows * n_columns]; -1: in no group */
    const int32_t *indices; /* [n_kept] ascending */
    size_t n_kept;
    size_t n_groups;
    const char *title;        /* first line of the legend */
    const char *const *facts; /* [n_facts] short texts below the title */
    size_t n_facts;
} plot_request;

typedef struct plot_png {
    unsigned char *bytes; /* a whole PNG file; malloc'ed */
    size_t n_bytes;
} plot_png;

/* Draws the photo with dropped patches dimmed and kept ones framed in their group's colour, above a
 * legend. 0, or -1 with the cause in error; the cause is the photo's if *blames_photo is set, else
 * the grid's. */
int plot_draw(
    const plot_request *request, plot_png *out, int *blames_photo, char *error, size_t error_bytes);

#endif /* PLOT_H */
