/* layout.c - prints what check_ctypes.py compares with: where the fields of two structs are, and
 * which tokens select_tokens keeps. */
#include "prunesid.h"

#include <stdio.h>

#include "select.h"

#define FIELD(type, field) printf(#type " " #field " %zu\n", offsetof(type, field))
#define SIZE(type) printf(#type " sizeof %zu\n", sizeof(type))

int main(void) {
    int32_t kept[BUDGET];
    FIELD(prunesid_config, preset);
    FIELD(prunesid_config, budget);
    FIELD(prunesid_config, reserved);
    FIELD(prunesid_config, n_groups);
    FIELD(prunesid_config, svd);
    FIELD(prunesid_config, threads.n_workers);
    FIELD(prunesid_config, threads.run);
    FIELD(prunesid_config, threads.user);
    FIELD(prunesid_config, clock_ns);
    SIZE(prunesid_config);
    FIELD(prunesid_input, tokens);
    FIELD(prunesid_input, dtype);
    FIELD(prunesid_input, n_tokens);
    FIELD(prunesid_input, dim);
    FIELD(prunesid_input, ld);
    FIELD(prunesid_input, first);
    FIELD(prunesid_input, scores);
    FIELD(prunesid_input, loadings);
    FIELD(prunesid_input, ld_loadings);
    FIELD(prunesid_input, protected_tokens);
    FIELD(prunesid_input, n_protected);
    SIZE(prunesid_input);
    printf("version %d\n", PRUNESID_VERSION);
    if (select_tokens(kept) != 0) return 1;
    for (size_t i = 0; i < BUDGET; i++) printf("kept %d\n", (int)kept[i]);
    return 0;
}
