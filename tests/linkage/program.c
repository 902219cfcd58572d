/* program.c - calls two units of one program and compares what they kept. */
#include "prunesid.h"

#include <stdio.h>
#include <string.h>

#include "select.h"

#ifdef __cplusplus
extern "C" {
#endif
int unit_a(int32_t kept[BUDGET]);
int unit_b(int32_t kept[BUDGET]);
#ifdef __cplusplus
}
#endif

int main(void) {
    if (prunesid_version() != PRUNESID_VERSION) {
        puts("the functions are of another version");
        return 1;
    }
    int32_t here[BUDGET], a[BUDGET], b[BUDGET];
    if (select_tokens(here) != 0 || unit_a(a) != 0 || unit_b(b) != 0) {
        puts("a selection failed");
        return 1;
    }
    if (memcmp(here, a, sizeof a) != 0 || memcmp(here, b, sizeof b) != 0) {
        puts("two units keep different tokens");
        return 1;
    }
    return 0;
}
