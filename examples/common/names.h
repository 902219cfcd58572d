/* names.h - what the library's choices are called on a command line.   MIT licence. */
#ifndef NAMES_H
#define NAMES_H

#include "prunesid.h"

/* By prunesid_preset; NULL behind the last. */
static inline const char *preset_name(size_t number) {
    const prunesid_rules *const rules = prunesid_preset_rules(number);
    return rules != NULL ? rules->name : NULL;
}

static inline const char *preset_purpose(size_t number) {
    return prunesid_preset_rules(number)->purpose;
}

/* By prunesid_svd; NULL behind the last. */
static inline const char *svd_name(size_t number) {
    static const char *const names[] = {
        [PRUNESID_SVD_KRYLOV] = "krylov", [PRUNESID_SVD_EXACT] = "exact"};
    return number < sizeof names / sizeof *names ? names[number] : NULL;
}

/* By prunesid_scope; NULL behind the last. */
static inline const char *scope_name(size_t number) {
    static const char *const names[] = {
        [PRUNESID_SCOPE_ALL] = "all", [PRUNESID_SCOPE_GROUP] = "group"};
    return number < sizeof names / sizeof *names ? names[number] : NULL;
}

#endif /* NAMES_H */
