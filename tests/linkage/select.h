/* select.h - one selection, the same in every unit that includes this after prunesid.h. */
#ifndef SELECT_H
#define SELECT_H

#include <stddef.h>
#include <stdint.h>

enum { N_TOKENS = 300, DIM = 40, BUDGET = 24 };

/* Keeps BUDGET of N_TOKENS made-up tokens; 0 or what went wrong. */
static int select_tokens(int32_t kept[BUDGET]) {
    static float tokens[N_TOKENS * DIM];
    uint32_t state = 1;
    for (size_t i = 0; i < N_TOKENS * DIM; i++) {
        state = state * 1664525u + 1013904223u;
        tokens[i] = (float)(state >> 8) / 8388608.0f - 1.0f;
    }
    prunesid_config config = prunesid_config_init(PRUNESID_AUTO, BUDGET);
    prunesid_input input = prunesid_input_init(tokens, PRUNESID_F32, N_TOKENS, DIM);
    return (int)prunesid_select_alloc(&config, &input, kept, BUDGET, NULL, NULL);
}

#endif
