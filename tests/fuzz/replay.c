/* replay.c - runs a fuzz target over the files of a folder, without a fuzzer.   MIT licence.
 *
 *     fuzz_select_replay FOLDER */
#define _XOPEN_SOURCE 700
#include <dirent.h>
#include <stdio.h>

#include "bytes.h"

/* In memory of just its size, so that a sanitizer sees a read behind it. */
static int replay(const char *path) {
    FILE *const file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) return -1;
    const size_t n_bytes = (size_t)ftell(file);
    uint8_t *const data = (uint8_t *)malloc(n_bytes > 0 ? n_bytes : 1);
    rewind(file);
    const int good = data != NULL && fread(data, 1, n_bytes, file) == n_bytes;
    fclose(file);
    if (good) LLVMFuzzerTestOneInput(data, n_bytes);
    free(data);
    return good ? 0 : -1;
}

int main(int argc, char **argv) {
    char path[4096];
    size_t n = 0;
    DIR *const folder = argc == 2 ? opendir(argv[1]) : NULL;
    if (folder == NULL) return 2;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        printf("%s\n", path); /* the last one is the one that stops it */
        fflush(stdout);
        if (replay(path) != 0) return 2;
        n++;
    }
    closedir(folder);
    printf("%zu inputs\n", n);
    return n > 0 ? 0 : 1;
}
