/* compare_torch.c - what compare_torch.py calls: a selection and made-up tokens, without a struct
 * to mirror in Python.   MIT licence. */
#include "prunesid.h"
#include "tokens.h"

/* T, d, N, reserved, preset, SVD method: one array, so that Python builds it once. */
enum { CASE_TOKENS, CASE_DIM, CASE_BUDGET, CASE_RESERVED, CASE_PRESET, CASE_SVD, CASE_NUMBERS };

size_t compare_workspace_bytes(const size_t numbers[CASE_NUMBERS]);
int compare_select(const size_t numbers[CASE_NUMBERS], const float *tokens, const float *scores,
    void *workspace, size_t workspace_bytes, int32_t *kept);
int compare_tokens(float *tokens, size_t T, size_t d, uint64_t seed);
void compare_scores(float *scores, size_t T, uint64_t seed);
const char *compare_corename(void);

static prunesid_config config_of(const size_t numbers[CASE_NUMBERS]) {
    prunesid_config config = prunesid_config_init((prunesid_preset)numbers[CASE_PRESET],
        numbers[CASE_TOKENS], numbers[CASE_DIM], numbers[CASE_BUDGET]);
    config.reserved = numbers[CASE_RESERVED];
    config.svd = (prunesid_svd)numbers[CASE_SVD];
    return config;
}

size_t compare_workspace_bytes(const size_t numbers[CASE_NUMBERS]) {
    const prunesid_config config = config_of(numbers);
    return prunesid_workspace_size(&config);
}

/* A prunesid_status; kept has room for min(N - reserved, T). */
int compare_select(const size_t numbers[CASE_NUMBERS], const float *tokens, const float *scores,
    void *workspace, size_t workspace_bytes, int32_t *kept) {
    const prunesid_config config = config_of(numbers);
    const prunesid_tokens view =
        prunesid_tokens_view(tokens, PRUNESID_F32, config.n_tokens, config.dim);
    prunesid_output out = prunesid_output_init(kept);
    return (int)prunesid_select(&config, &view, scores, workspace, workspace_bytes, &out);
}

int compare_tokens(float *tokens, size_t T, size_t d, uint64_t seed) {
    return tokens_fill(tokens, T, d, seed);
}

void compare_scores(float *scores, size_t T, uint64_t seed) {
    tokens_fill_scores(scores, T, seed);
}

const char *compare_corename(void) {
    return openblas_get_corename();
}
