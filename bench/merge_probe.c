/* merge_probe.c - what merge_probe.py calls, without a struct to mirror in Python: tokens are
 * float32 [T, d], results a prunesid_status.   MIT licence. */
#include "prunesid.h"

#include <stdlib.h>

int probe_select(const float *tokens, size_t T, size_t d, size_t N, int scope, int32_t *kept,
    int32_t *representative, float *log_count, double *coverage);
int probe_represent(const float *tokens, size_t T, size_t d, size_t N, const int32_t *kept,
    int32_t *representative, float *log_count, double *coverage);
int probe_merge(const float *tokens, size_t T, size_t d, size_t N, const int32_t *kept,
    const int32_t *representative, double weight, float *merged);

/* The default's choice of N < T tokens, and what else it tells. */
int probe_select(const float *tokens, size_t T, size_t d, size_t N, int scope, int32_t *kept,
    int32_t *representative, float *log_count, double *coverage) {
    const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, N);
    const prunesid_input input = prunesid_input_init(tokens, PRUNESID_F32, T, d);
    prunesid_details details = prunesid_details_init();
    details.scope = (prunesid_scope)scope;
    details.representative = representative;
    details.log_count = log_count;
    const prunesid_status status = prunesid_select_alloc(&config, &input, kept, N, &details, NULL);
    *coverage = details.stats.coverage;
    return (int)status;
}

/* The same of another choice, among all of it. */
int probe_represent(const float *tokens, size_t T, size_t d, size_t N, const int32_t *kept,
    int32_t *representative, float *log_count, double *coverage) {
    const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, N);
    const prunesid_input input = prunesid_input_init(tokens, PRUNESID_F32, T, d);
    size_t n_bytes = 0;
    prunesid_status status = prunesid_workspace_size(&config, T, d, &n_bytes);
    if (status != PRUNESID_OK) return (int)status;
    void *const workspace = malloc(n_bytes);
    status = workspace == NULL ? PRUNESID_ERROR_ALLOCATION
                               : prunesid_represent(&config, &input, kept, NULL, workspace, n_bytes,
                                     representative, NULL, log_count, coverage);
    free(workspace);
    return (int)status;
}

int probe_merge(const float *tokens, size_t T, size_t d, size_t N, const int32_t *kept,
    const int32_t *representative, double weight, float *merged) {
    const prunesid_input input = prunesid_input_init(tokens, PRUNESID_F32, T, d);
    return (int)prunesid_merge(&input, kept, N, representative, weight, merged, d);
}
