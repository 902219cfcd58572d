/* fuzz_picture.c - any bytes as a picture: pixels, or a printable cause.   MIT licence. */
#define _XOPEN_SOURCE 700
#include "picture.h"

#include "bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    volatile unsigned char pixel = 0; /* every one is read */
    char cause[64] = "";
    picture got;
    uint8_t *const copy = (uint8_t *)malloc(n_bytes + 1);
    if (copy == NULL) return 0;
    if (n_bytes > 0) memcpy(copy, data, n_bytes);
    FILE *const file = fmemopen(copy, n_bytes > 0 ? n_bytes : 1, "rb");
    must(file != NULL);
    const int status = picture_read(file, 24, &got, cause, sizeof cause);
    fclose(file);
    must(status == 0 ? got.rgb != NULL : got.rgb == NULL && cause[0] != '\0');
    for (const char *at = cause; *at != '\0'; at++) must(*at >= ' ' && *at <= '~');
    for (size_t i = 0; status == 0 && i < 3 * (size_t)got.width * (size_t)got.height; i++)
        pixel = got.rgb[i];
    (void)pixel;
    free(got.rgb);
    free(copy);
    return 0;
}
