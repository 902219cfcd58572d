/* minimal.c - tokens in, kept tokens out.   MIT licence. */
#include "prunesid.h"

#include <math.h>
#include <stdio.h>

enum { N_TOKENS = 96, DIM = 64, BUDGET = 12 };

/* Stands in for a vision encoder: six flat regions of an image with a little texture each. */
static void encode(float tokens[N_TOKENS][DIM]) {
    for (int i = 0; i < N_TOKENS; i++) {
        for (int c = 0; c < DIM; c++) {
            const float region = sinf(0.7f * (float)((i / 16 + 1) * (c + 1)));
            const float texture = sinf(1.3f * (float)(i * c));
            tokens[i][c] = region + 0.4f * texture;
        }
    }
}

int main(void) {
    static float tokens[N_TOKENS][DIM], kept_tokens[BUDGET][DIM];
    int32_t kept[BUDGET];
    encode(tokens);

    const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, BUDGET);
    const prunesid_input input = prunesid_input_init(tokens, PRUNESID_F32, N_TOKENS, DIM);
    prunesid_status status = prunesid_select_alloc(&config, &input, kept, BUDGET, NULL, NULL);
    const size_t n_kept = prunesid_n_kept(&config, N_TOKENS), row_bytes = sizeof *tokens;
    if (status == PRUNESID_OK)
        status = prunesid_gather(
            tokens, N_TOKENS, row_bytes, row_bytes, kept, n_kept, kept_tokens, row_bytes);
    if (status != PRUNESID_OK) {
        fprintf(stderr, "minimal: %s\n", prunesid_status_string(status));
        return 1;
    }

    printf("kept %zu of %d tokens:", n_kept, N_TOKENS);
    for (size_t j = 0; j < n_kept; j++) printf(" %d", (int)kept[j]);
    printf("\nkept_tokens is [%zu, %d] and goes to the language model\n", n_kept, DIM);
    return 0;
}
