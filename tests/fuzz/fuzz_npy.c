/* fuzz_npy.c - any bytes as a .npy file: an array whose shape and size agree, or a cause.   MIT
 * licence. */
#include "npy_load.h"

#include <unistd.h>

#include "bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    static char path[64];
    if (path[0] == '\0') snprintf(path, sizeof path, "fuzz_npy.%ld.npy", (long)getpid());
    FILE *const file = fopen(path, "wb");
    if (file == NULL || fwrite(data, 1, n_bytes, file) != n_bytes || fclose(file) != 0) abort();
    npy_array array;
    char error[64] = "";
    double sum = 0.0;
    const int status = npy_load(path, &array, error, sizeof error);
    if (status == 0 ? array.data == NULL : array.data != NULL || error[0] == '\0') abort();
    for (size_t i = 0; status == 0 && i < array.n_items; i++)
        sum += array.kind == 'f' ? (double)npy_float_at(&array, i) : 0.0; /* reads every item */
    npy_free(&array);
    unlink(path);
    return sum == 0.123456789 ? 1 : 0;
}
