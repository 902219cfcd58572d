/* dlopen.c - the shared library, loaded by its path while the program runs: select_tokens by way of
 * pointers to what it exports, and by the inline functions of another unit. */
#include "prunesid.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static int (*version)(void);
static const char *(*status_string)(prunesid_status status);
static prunesid_config (*config_init)(prunesid_preset preset, size_t budget);
static prunesid_input (*input_init)(
    const void *tokens, prunesid_dtype dtype, size_t n_tokens, size_t dim);
static prunesid_status (*select_alloc)(const prunesid_config *config, const prunesid_input *input,
    int32_t *indices, size_t capacity, prunesid_details *details,
    const prunesid_allocator *allocator);

#define prunesid_config_init config_init
#define prunesid_input_init input_init
#define prunesid_select_alloc select_alloc
#include "select.h"

int unit_a(int32_t kept[BUDGET]);

/* A function of the library into a pointer to one, which C99 cannot cast to. */
#define LOAD(library, function, name)                                                              \
    do {                                                                                           \
        void *const symbol = dlsym(library, name);                                                 \
        if (symbol == NULL) {                                                                      \
            puts(dlerror());                                                                       \
            return 1;                                                                              \
        }                                                                                          \
        memcpy(&(function), &symbol, sizeof symbol);                                               \
    } while (0)

int main(void) {
    int32_t loaded[BUDGET], here[BUDGET];
    void *const library = dlopen(SHARED_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        puts(dlerror());
        return 1;
    }
    LOAD(library, version, "prunesid_version");
    LOAD(library, status_string, "prunesid_status_string");
    LOAD(library, config_init, "prunesid_config_init");
    LOAD(library, input_init, "prunesid_input_init");
    LOAD(library, select_alloc, "prunesid_select_alloc");
    if (version() != PRUNESID_VERSION) {
        puts("the library is of another version");
        return 1;
    }
    if (strcmp(status_string(PRUNESID_ERROR_NULL), "a required pointer is NULL") != 0 ||
        select_alloc(NULL, NULL, loaded, BUDGET, NULL, NULL) != PRUNESID_ERROR_NULL) {
        puts("a wrong status");
        return 1;
    }
    if (select_tokens(loaded) != 0 || unit_a(here) != 0 || memcmp(loaded, here, sizeof here) != 0) {
        puts("the library keeps other tokens");
        return 1;
    }
    return dlclose(library) != 0;
}
