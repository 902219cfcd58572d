/* picture.h - reads PNG and JPEG files that anybody may have made, and writes PNG.   MIT licence.
 *
 * The decoders are the system's libpng and libjpeg, which are mended where they are installed. What
 * a file claims is held against PICTURE_MAX_SIDE and PICTURE_MAX_PIXELS before memory is asked for:
 * no file takes more than 3 bytes a pixel, and 6 more while a progressive JPEG is read: 600 MB. */
#ifndef PICTURE_H
#define PICTURE_H

#include <stddef.h>
#include <stdio.h>

enum {
    PICTURE_MAX_SIDE = 16384,
    PICTURE_MAX_PIXELS = 1 << 26, /* 67 million */
    PICTURE_MAX_SCANS = 100       /* of a progressive JPEG, each of which is decoded whole */
};

typedef struct picture {
    unsigned char *rgb; /* [height, width, 3]; malloc'ed */
    int width, height;
} picture;

/* Reads file from its beginning; what is transparent is put on the given grey. 0, or -1 with the
 * cause, printable, in error and *out empty. A damaged or truncated file is an error as well. */
int picture_read(FILE *file, int grey, picture *out, char *error, size_t error_bytes);

/* A whole PNG file, malloc'ed, of n_bytes; NULL with the cause in error. */
unsigned char *picture_to_png(
    const picture *from, size_t *n_bytes, char *error, size_t error_bytes);

#endif /* PICTURE_H */
