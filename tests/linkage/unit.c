/* unit.c - one unit of a program; UNIT is the name of its function. Compiled as C and as C++,
 * inline or with PRUNESID_DECLARATIONS, under several standards. */
#include "prunesid.h"
#include "prunesid.h" /* a second include changes nothing */

#include "select.h"

#ifdef __cplusplus
extern "C" {
#endif

int UNIT(int32_t kept[BUDGET]);

int UNIT(int32_t kept[BUDGET]) {
    return select_tokens(kept);
}

#ifdef __cplusplus
}
#endif
