/* llava15.c - LLaVA-1.5: one view of 24 x 24 patches, with the CLS row and without.   MIT licence.
 *
 * CLIP gives 577 rows, CLS first. The released PruneSID code counts the CLS row inside N and keeps
 * it: N = 64 leaves 63 patches and CLS. Engines that cut CLS off before the projector, as LLaVA
 * itself does, have 576 rows and keep 64 patches. */
#include "encoder.h"

#include <math.h>

enum { SIDE = 24, PATCHES = SIDE * SIDE, DIM = 1024, WIDTH = 4096, BUDGET = 64 };

static float tokens[1 + PATCHES][DIM];          /* of the vision tower, CLS first */
static float attention[1 + PATCHES];            /* of CLS to every row, itself first */
static uint16_t embeddings[1 + PATCHES][WIDTH]; /* of the projector, float16 */
static uint16_t prefix[BUDGET][WIDTH];          /* what the language model is given */

/* Attention looks at something right of the middle. */
static void encode(void) {
    encode_image(tokens[0], 1, 1, DIM, DIM, 7u, 1, 0.0f);
    encode_image(tokens[1], SIDE, SIDE, DIM, DIM, 8u, 9, 1.5f);
    float sum = attention[0] = 0.5f;
    for (int i = 0; i < PATCHES; i++) {
        const float dy = (float)(i / SIDE) - 11.0f, dx = (float)(i % SIDE) - 16.0f;
        attention[1 + i] = 0.05f + expf(-(dy * dy + dx * dx) / 40.0f);
        sum += attention[1 + i];
    }
    for (int i = 0; i <= PATCHES; i++) attention[i] /= sum;
    for (int i = 0; i <= PATCHES; i++)
        for (int c = 0; c < WIDTH; c++) embeddings[i][c] = (uint16_t)(i * 31 + c);
}

static int prune(int has_cls) {
    const size_t n_cls = has_cls ? 1 : 0;
    prunesid_config config = prunesid_config_init(PRUNESID_LLAVA, BUDGET);
    config.reserved = n_cls;

    /* CLS is no patch: tokens and scores begin behind it. */
    prunesid_input patches = prunesid_input_init(tokens[1], PRUNESID_F32, PATCHES, DIM);
    patches.scores = attention + 1;
    patches.first = n_cls; /* among the engine's rows, which come out */
    prunesid_details details = prunesid_details_init();
    int32_t rows[BUDGET] = {0}; /* row 0 is CLS, if there is one */
    prunesid_status status =
        prunesid_select_alloc(&config, &patches, rows + n_cls, BUDGET - n_cls, &details, NULL);
    if (failed(status, "select")) return 1;

    /* The embeddings have another width and type: rows serve whatever is stored by token. */
    const size_t n_kept = prunesid_n_kept(&config, PATCHES), n_rows = n_cls + n_kept;
    uint16_t(*matrix)[WIDTH] = has_cls ? embeddings : embeddings + 1;
    status = prunesid_gather(matrix, n_cls + PATCHES, sizeof *matrix, sizeof *matrix, rows, n_rows,
        prefix, sizeof *prefix);
    if (failed(status, "gather")) return 1;

    const float *of_row = has_cls ? attention : attention + 1;
    float seen = 0.0f;
    for (size_t j = n_cls; j < n_rows; j++) seen += of_row[rows[j]];
    printf("%s: %zu patches of %d, %zu rows to the language model\n",
        has_cls ? "with CLS" : "without CLS", n_kept, PATCHES, n_rows);
    printf("    K %zu, redundancy %.3f, threshold %.3f, CLS attention on the kept %.0f %%\n",
        details.stats.n_groups, details.stats.rho, details.stats.tau,
        100.0 * (double)(seen / (1.0f - attention[0])));

    if (!holds(n_rows == BUDGET, "N rows, CLS among them") ||
        !holds(!has_cls || rows[0] == 0, "CLS comes first"))
        return 1;
    for (size_t j = 0; j < n_rows; j++)
        if (!holds(prefix[j][0] == matrix[rows[j]][0], "the embedding of the kept row") ||
            !holds(j == 0 || rows[j] > rows[j - 1], "ascending rows"))
            return 1;
    return 0;
}

int main(void) {
    encode();
    return prune(1) || prune(0);
}
