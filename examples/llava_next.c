/* llava_next.c - LLaVA-NeXT: a base view and 2 x 2 crops under one exact total.   MIT licence.
 *
 * The vision tower sees five pictures of 24 x 24 patches: the whole image made small, and its four
 * quarters. They come one after the other, but the language model reads the base view first and
 * then the image of 48 x 48 cells row by row, so that a row runs through two crops. Token i of crop
 * c is in row i / 24 and column i % 24 of a crop whose corner is at row 24 (c / 2) and column
 * 24 (c % 2): its cell is (24 (c / 2) + i / 24) * 48 + 24 (c % 2) + i % 24. Features that stay in
 * the order of the crops end up in the wrong cells. (An image_newline token, where the model has
 * them, follows the last kept token of a row of cells.) */
#include "encoder.h"

#include <string.h>

enum { SIDE = 24, VIEW = SIDE * SIDE, ACROSS = 2, CROPS = 4, WIDE = ACROSS * SIDE };
enum { VIEWS = 1 + CROPS, TOKENS = VIEWS * VIEW, CELLS = CROPS * VIEW, DIM = 512, BUDGET = 320 };

static float image[CELLS][DIM];   /* the cells in raster order, as if one tower had seen them all */
static float tokens[TOKENS][DIM]; /* base view, then crop after crop */
static float prefix[BUDGET][DIM];

static size_t cell_of(size_t crop, size_t i) {
    const size_t row = crop / ACROSS * SIDE + i / SIDE;
    const size_t column = crop % ACROSS * SIDE + i % SIDE;
    return row * WIDE + column;
}

static void encode(void) {
    encode_image(image[0], WIDE, WIDE, DIM, DIM, 3u, 12, 2.0f);
    for (size_t crop = 0; crop < CROPS; crop++)
        for (size_t i = 0; i < VIEW; i++)
            memcpy(tokens[(1 + crop) * VIEW + i], image[cell_of(crop, i)], sizeof image[0]);
    for (size_t i = 0; i < VIEW; i++) /* the base view sees the mean of 2 x 2 cells */
        for (size_t c = 0; c < DIM; c++) {
            float(*corner)[DIM] = image + i / SIDE * 2 * WIDE + i % SIDE * 2;
            tokens[i][c] =
                (corner[0][c] + corner[1][c] + corner[WIDE][c] + corner[WIDE + 1][c]) / 4;
        }
}

/* Kept token numbers in the order of the sequence: the base view, then the cells row by row. */
static void put_into_raster_order(const int32_t *kept, size_t n_kept, int32_t *sequence) {
    static int32_t at_cell[CELLS];
    size_t n = 0;
    for (size_t cell = 0; cell < CELLS; cell++) at_cell[cell] = -1;
    for (size_t j = 0; j < n_kept; j++) {
        const size_t token = (size_t)kept[j];
        if (token < VIEW)
            sequence[n++] = kept[j];
        else
            at_cell[cell_of(token / VIEW - 1, token % VIEW)] = kept[j];
    }
    for (size_t cell = 0; cell < CELLS; cell++)
        if (at_cell[cell] >= 0) sequence[n++] = at_cell[cell];
}

static int prune(prunesid_region *views, int32_t *kept) {
    const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, BUDGET);
    const prunesid_input all = prunesid_input_init(tokens, PRUNESID_F32, TOKENS, DIM);
    for (size_t v = 0; v < VIEWS; v++) {
        views[v] = prunesid_region_init(&all, v * VIEW, VIEW, 0);
        views[v].low = 16; /* a plain view keeps a little as well */
    }
    const prunesid_batch batch = prunesid_batch_init(&config, PRUNESID_BY_PHI, views, VIEWS);
    size_t n_kept = 0;
    return select_batch(&batch, kept, BUDGET, &n_kept);
}

int main(void) {
    prunesid_region views[VIEWS];
    int32_t kept[BUDGET], sequence[BUDGET];
    encode();
    if (prune(views, kept)) return 1;
    put_into_raster_order(kept, BUDGET, sequence);
    const prunesid_status status = prunesid_gather(
        tokens, TOKENS, sizeof *tokens, sizeof *tokens, sequence, BUDGET, prefix, sizeof *prefix);
    if (failed(status, "gather")) return 1;

    size_t total = 0, n_base = views[0].n_kept;
    for (size_t v = 0; v < VIEWS; v++) {
        total += views[v].n_kept;
        printf("%s %zu: phi %.3f, %zu of %d tokens\n", v == 0 ? "base" : "crop", v,
            views[v].details.stats.phi, views[v].n_kept, VIEW);
    }
    printf("%zu of %d in all; after the base view come cells", total, TOKENS);
    int64_t before = -1;
    for (size_t j = n_base; j < BUDGET; j++) {
        const size_t token = (size_t)sequence[j], crop = token / VIEW - 1;
        const size_t cell = cell_of(crop, token % VIEW);
        if (j < n_base + 6) printf(" (%zu,%zu)", cell / WIDE, cell % WIDE);
        if (!holds(memcmp(prefix[j], image[cell], sizeof *prefix) == 0, "features of the cell") ||
            !holds((int64_t)cell > before, "cells in raster order"))
            return 1;
        before = (int64_t)cell;
    }
    printf(" ...\n");

    return !holds(total == BUDGET, "the total is exact") ||
           !holds(memcmp(sequence, kept, n_base * sizeof *kept) == 0, "the base view first") ||
           !holds(cell_of(0, 24) == 48 && cell_of(1, 0) == 24 && cell_of(1, 25) == 73 &&
                      cell_of(2, 0) == 1152 && cell_of(3, 575) == 2303,
               "cells worked out by hand");
}
