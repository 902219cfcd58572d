/* compare_torch.c - what compare_torch.py calls: a selection and made-up tokens, without a struct
 * to mirror in Python.   MIT licence. */
#include "prunesid.h"
#include "tokens.h"

/* T, d, N, reserved, preset, SVD method: one array, so that Python builds it once. */
enum { CASE_TOKENS, CASE_DIM, CASE_BUDGET, CASE_RESERVED, CASE_PRESET, CASE_SVD, CASE_NUMBERS };

int compare_workspace_size(const size_t numbers[CASE_NUMBERS], size_t *n_bytes);
int compare_select(const size_t numbers[CASE_NUMBERS], const float *tokens, const float *scores,
    void *workspace, size_t workspace_bytes, int32_t *kept);
int compare_tokens(float *tokens, size_t T, size_t d, uint64_t seed);
void compare_scores(float *scores, size_t T, uint64_t seed);
const char *compare_corename(void);
const char *compare_status_string(int status);

static prunesid_config config_of(const size_t numbers[CASE_NUMBERS]) {
    prunesid_config config =
        prunesid_config_init((prunesid_preset)numbers[CASE_PRESET], numbers[CASE_BUDGET]);
    config.reserved = numbers[CASE_RESERVED];
    config.svd = (prunesid_svd)numbers[CASE_SVD];
    return config;
}

/* A prunesid_status. */
int compare_workspace_size(const size_t numbers[CASE_NUMBERS], size_t *n_bytes) {
    const prunesid_config config = config_of(numbers);
    return (int)prunesid_workspace_size(&config, numbers[CASE_TOKENS], numbers[CASE_DIM], n_bytes);
}

/* Likewise; kept has room for min(N - reserved, T). */
int compare_select(const size_t numbers[CASE_NUMBERS], const float *tokens, const float *scores,
    void *workspace, size_t workspace_bytes, int32_t *kept) {
    const prunesid_config config = config_of(numbers);
    prunesid_input input =
        prunesid_input_init(tokens, PRUNESID_F32, numbers[CASE_TOKENS], numbers[CASE_DIM]);
    input.scores = scores;
    const size_t n_kept = prunesid_n_kept(&config, input.n_tokens);
    return (int)prunesid_select(&config, &input, workspace, workspace_bytes, kept, n_kept, NULL);
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

const char *compare_status_string(int status) {
    return prunesid_status_string((prunesid_status)status);
}
