/* picture.c - PNG and JPEG by libpng and libjpeg.   MIT licence. */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700
#endif
#include "picture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>
#include <png.h>

enum { N_CHANNELS = 3 };

static int fail(char *error, size_t error_bytes, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, error_bytes, format, arguments);
    va_end(arguments);
    for (; error_bytes > 0 && *error != '\0'; error++) /* a library may quote the file */
        if (*error < ' ' || *error > '~') *error = '?';
    return -1;
}

/* Memory for the pixels, if there are not too many. */
static int make_room(picture *out, size_t width, size_t height, char *error, size_t error_bytes) {
    if (width == 0 || height == 0) return fail(error, error_bytes, "the picture is empty");
    if (width > PICTURE_MAX_SIDE || height > PICTURE_MAX_SIDE ||
        width * height > PICTURE_MAX_PIXELS)
        return fail(error, error_bytes,
            "%zu x %zu pixels are too many: at most %d a side and %d in all", width, height,
            PICTURE_MAX_SIDE, PICTURE_MAX_PIXELS);
    out->rgb = (unsigned char *)malloc(width * height * N_CHANNELS);
    if (out->rgb == NULL) return fail(error, error_bytes, "out of memory");
    out->width = (int)width;
    out->height = (int)height;
    return 0;
}

/* ---- PNG ----------------------------------------------------------------------------------- */

static int read_png(FILE *file, int grey, picture *out, char *error, size_t error_bytes) {
    const png_byte level = (png_byte)grey;
    const png_color below = {level, level, level};
    png_image image;
    int status = -1;
    memset(&image, 0, sizeof image);
    image.version = PNG_IMAGE_VERSION;
    if (png_image_begin_read_from_stdio(&image, file)) {
        status = make_room(out, image.width, image.height, error, error_bytes);
        image.format = PNG_FORMAT_RGB;
        if (status == 0 && !png_image_finish_read(&image, &below, out->rgb, 0, NULL)) status = -1;
    }
    if (image.warning_or_error != 0 && PNG_IMAGE_FAILED(image))
        status = fail(error, error_bytes, "not a readable PNG or JPEG image (%s)", image.message);
    png_image_free(&image);
    return status;
}

unsigned char *picture_to_png(
    const picture *from, size_t *n_bytes, char *error, size_t error_bytes) {
    char *bytes = NULL;
    png_image image;
    FILE *const file = open_memstream(&bytes, n_bytes);
    memset(&image, 0, sizeof image);
    image.version = PNG_IMAGE_VERSION;
    image.width = (png_uint_32)from->width;
    image.height = (png_uint_32)from->height;
    image.format = PNG_FORMAT_RGB;
    int good = file != NULL && png_image_write_to_stdio(&image, file, 0, from->rgb, 0, NULL);
    if (file != NULL && fclose(file) != 0) good = 0;
    if (good) return (unsigned char *)bytes;
    fail(error, error_bytes, "the PNG image cannot be made: %s",
        image.message[0] != '\0' ? image.message : "out of memory");
    free(bytes);
    return NULL;
}

/* ---- JPEG ---------------------------------------------------------------------------------- */

typedef struct jpeg_reader {
    struct jpeg_decompress_struct codec;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    char cause[JMSG_LENGTH_MAX];
} jpeg_reader;

static void give_up(j_common_ptr codec) {
    jpeg_reader *const reader = (jpeg_reader *)codec->client_data;
    reader->errors.format_message(codec, reader->cause);
    longjmp(reader->escape, 1);
}

/* A warning, below 0, means damage: what comes out is a guess. Padding between markers is none. */
static void take_message(j_common_ptr codec, int level) {
    if (level < 0 && codec->err->msg_code != JWRN_EXTRANEOUS_DATA) give_up(codec);
}

static void say_nothing(j_common_ptr codec) {
    (void)codec;
}

static void watch_scans(j_common_ptr codec) {
    jpeg_reader *const reader = (jpeg_reader *)codec->client_data;
    if (reader->codec.input_scan_number <= PICTURE_MAX_SCANS) return;
    snprintf(reader->cause, sizeof reader->cause, "more than %d scans", PICTURE_MAX_SCANS);
    longjmp(reader->escape, 1);
}

/* All that may leave by longjmp, in a function without variables that change. */
static int decode_jpeg(
    jpeg_reader *reader, FILE *file, picture *out, char *error, size_t error_bytes) {
    struct jpeg_decompress_struct *const codec = &reader->codec;
    if (setjmp(reader->escape) != 0)
        return fail(error, error_bytes, "not a readable PNG or JPEG image (%s)", reader->cause);
    jpeg_create_decompress(codec);
    codec->progress = &reader->progress;
    jpeg_stdio_src(codec, file);
    jpeg_read_header(codec, TRUE);
    if (make_room(out, codec->image_width, codec->image_height, error, error_bytes) != 0) return -1;
    codec->out_color_space = JCS_RGB;
    jpeg_start_decompress(codec);
    while (codec->output_scanline < codec->output_height) {
        JSAMPROW row = out->rgb + (size_t)codec->output_scanline * codec->output_width * N_CHANNELS;
        jpeg_read_scanlines(codec, &row, 1);
    }
    jpeg_finish_decompress(codec);
    return 0;
}

static int read_jpeg(FILE *file, picture *out, char *error, size_t error_bytes) {
    jpeg_reader *const reader = (jpeg_reader *)calloc(1, sizeof *reader);
    if (reader == NULL) return fail(error, error_bytes, "out of memory");
    reader->codec.err = jpeg_std_error(&reader->errors);
    reader->codec.client_data = reader; /* jpeg_create_decompress can fail, and keeps it */
    reader->errors.error_exit = give_up;
    reader->errors.emit_message = take_message;
    reader->errors.output_message = say_nothing;
    reader->progress.progress_monitor = watch_scans;
    const int status = decode_jpeg(reader, file, out, error, error_bytes);
    jpeg_destroy_decompress(&reader->codec);
    free(reader);
    return status;
}

/* ---- either -------------------------------------------------------------------------------- */

int picture_read(FILE *file, int grey, picture *out, char *error, size_t error_bytes) {
    static const unsigned char png[] = {0x89, 'P', 'N', 'G'}, jpeg[] = {0xFF, 0xD8};
    const picture none = {NULL, 0, 0};
    unsigned char start[sizeof png] = {0};
    int status;
    *out = none;
    const size_t n = fread(start, 1, sizeof start, file);
    rewind(file);
    if (n == sizeof png && memcmp(start, png, sizeof png) == 0)
        status = read_png(file, grey, out, error, error_bytes);
    else if (memcmp(start, jpeg, sizeof jpeg) == 0)
        status = read_jpeg(file, out, error, error_bytes);
    else
        status =
            fail(error, error_bytes, "not a readable PNG or JPEG image (it begins as neither)");
    if (status != 0) {
        free(out->rgb);
        *out = none;
    }
    return status;
}
