/* test_picture.c - pictures that come from outside: what is read, and what is refused.   MIT
 * licence.
 *
 * PRUNESID_TEST_RUNS: how many damaged pictures are tried. */
#include "support.h"

#include "picture.h"

#include <jpeglib.h>

enum { WIDTH = 37, HEIGHT = 23, N_PIXELS = WIDTH * HEIGHT, CAUSE_BYTES = 256, GREY = 24 };

static unsigned char pixels[N_PIXELS * 3];

/* A smooth picture: JPEG keeps it nearly as it is. */
static int set_up(void **unused) {
    (void)unused;
    for (size_t i = 0; i < N_PIXELS; i++) {
        pixels[3 * i] = (unsigned char)(40 + 4 * (i % WIDTH));
        pixels[3 * i + 1] = (unsigned char)(60 + 5 * (i / WIDTH));
        pixels[3 * i + 2] = 128;
    }
    return 0;
}

typedef struct bytes {
    unsigned char *data;
    size_t n;
} bytes;

static bytes png_new(void) {
    const picture from = {pixels, WIDTH, HEIGHT};
    char cause[CAUSE_BYTES] = "";
    bytes png = {NULL, 0};
    png.data = picture_to_png(&from, &png.n, cause, sizeof cause);
    CHECK(png.data != NULL, "%s", cause);
    return png;
}

typedef enum progress { BASELINE, PROGRESSIVE, MANY_SCANS } progress;

static bytes jpeg_new(progress how, int n_channels) {
    static jpeg_scan_info scans[1 + 63 * 3]; /* DC, then each coefficient of each channel */
    struct jpeg_compress_struct codec;
    struct jpeg_error_mgr errors;
    unsigned long n_bytes = 0;
    bytes jpeg = {NULL, 0};
    codec.err = jpeg_std_error(&errors);
    jpeg_create_compress(&codec);
    jpeg_mem_dest(&codec, &jpeg.data, &n_bytes);
    codec.image_width = WIDTH / (unsigned)(n_channels == 4 ? 2 : 1);
    codec.image_height = HEIGHT;
    codec.input_components = n_channels;
    codec.in_color_space = n_channels == 1 ? JCS_GRAYSCALE : n_channels == 4 ? JCS_CMYK : JCS_RGB;
    jpeg_set_defaults(&codec);
    jpeg_set_quality(&codec, 95, TRUE);
    if (how == PROGRESSIVE) jpeg_simple_progression(&codec);
    if (how == MANY_SCANS) {
        const jpeg_scan_info first = {3, {0, 1, 2}, 0, 0, 0, 0};
        scans[0] = first;
        for (int i = 0; i < 63 * 3; i++) {
            const jpeg_scan_info one = {1, {i % 3}, 1 + i / 3, 1 + i / 3, 0, 0};
            scans[1 + i] = one;
        }
        codec.scan_info = scans;
        codec.num_scans = N_ITEMS(scans);
    }
    jpeg_start_compress(&codec, TRUE);
    while (codec.next_scanline < codec.image_height) {
        JSAMPROW row = pixels + (size_t)codec.next_scanline * WIDTH * (n_channels == 1 ? 1 : 3);
        jpeg_write_scanlines(&codec, &row, 1);
    }
    jpeg_finish_compress(&codec);
    jpeg_destroy_compress(&codec);
    jpeg.n = (size_t)n_bytes;
    return jpeg;
}

/* In a buffer of just that size, so that a sanitizer sees a read behind it. */
static int read_bytes(const void *data, size_t n, picture *out, char cause[CAUSE_BYTES]) {
    FILE *const file = tmpfile();
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, n, file), n);
    rewind(file);
    strcpy(cause, "");
    const int status = picture_read(file, GREY, out, cause, CAUSE_BYTES);
    fclose(file);
    if (status == 0) {
        assert_true(out->rgb != NULL && out->width > 0 && out->height > 0);
        assert_string_equal(cause, "");
    } else {
        assert_true(out->rgb == NULL && cause[0] != '\0' && strlen(cause) < CAUSE_BYTES);
        for (const char *at = cause; *at != '\0'; at++) assert_true(*at >= ' ' && *at <= '~');
    }
    return status;
}

static void refuse(const bytes *from, const char *wanted) {
    char cause[CAUSE_BYTES];
    picture got;
    CHECK(read_bytes(from->data, from->n, &got, cause) == -1, "%s", wanted);
    CHECK(strstr(cause, wanted) != NULL, "'%s', not '%s'", cause, wanted);
}

/* ---- what is read -------------------------------------------------------------------------- */

static void png_comes_back_as_it_was(void **unused) {
    char cause[CAUSE_BYTES];
    bytes png = png_new();
    picture got;
    (void)unused;
    assert_int_equal(read_bytes(png.data, png.n, &got, cause), 0);
    assert_true(got.width == WIDTH && got.height == HEIGHT);
    assert_memory_equal(got.rgb, pixels, sizeof pixels);
    free(got.rgb);
    free(png.data);
}

/* A transparent pixel and a white one, 8 bits of grey and of alpha each. */
static void transparency_shows_the_grey_below(void **unused) {
    static const unsigned char png[] = {0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00,
        0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x08,
        0x04, 0x00, 0x00, 0x00, 0x5e, 0x2b, 0xb7, 0x01, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x44, 0x41,
        0x54, 0x78, 0x9c, 0x63, 0x60, 0x60, 0xf8, 0xff, 0x1f, 0x00, 0x03, 0x02, 0x01, 0xff, 0xe6,
        0x77, 0x0b, 0xae, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};
    char cause[CAUSE_BYTES];
    picture got;
    (void)unused;
    if (read_bytes(png, sizeof png, &got, cause) == 0) {
        assert_true(got.width == 2 && got.height == 1);
        assert_true(got.rgb[0] == GREY && got.rgb[1] == GREY && got.rgb[2] == GREY);
        assert_int_equal(got.rgb[3], 255);
        free(got.rgb);
    } else {
        CHECK(0, "%s", cause);
    }
}

static void jpeg_comes_back_nearly_as_it_was(void **unused) {
    char cause[CAUSE_BYTES];
    (void)unused;
    for (int i = 0; i < 2; i++) {
        bytes jpeg = jpeg_new(i == 0 ? BASELINE : PROGRESSIVE, 3);
        picture got;
        CHECK(read_bytes(jpeg.data, jpeg.n, &got, cause) == 0, "%s", cause);
        assert_true(got.width == WIDTH && got.height == HEIGHT);
        for (size_t b = 0; b < sizeof pixels; b++)
            CHECK(abs(got.rgb[b] - pixels[b]) <= 16, "byte %zu: %d, not %d", b, got.rgb[b],
                pixels[b]);
        free(got.rgb);
        free(jpeg.data);
    }
    bytes grey = jpeg_new(BASELINE, 1);
    picture got;
    assert_int_equal(read_bytes(grey.data, grey.n, &got, cause), 0);
    for (size_t i = 0; i < N_PIXELS; i++)
        assert_true(got.rgb[3 * i] == got.rgb[3 * i + 1] && got.rgb[3 * i] == got.rgb[3 * i + 2]);
    free(got.rgb);
    free(grey.data);
}

/* ---- what is refused ----------------------------------------------------------------------- */

static void set_32(unsigned char *at, unsigned long value) {
    for (int i = 0; i < 4; i++) at[i] = (unsigned char)(value >> (24 - 8 * i) & 255);
}

/* The sum of a chunk, as PNG has it. */
static unsigned long crc_of(const unsigned char *data, size_t n) {
    unsigned long crc = 0xFFFFFFFF;
    for (size_t i = 0; i < 8 * n; i++) {
        if (i % 8 == 0) crc ^= data[i / 8];
        crc = crc & 1 ? crc >> 1 ^ 0xEDB88320 : crc >> 1;
    }
    return crc ^ 0xFFFFFFFF;
}

/* What a file claims is not believed: it would take gigabytes. */
static void too_large_a_picture(void **unused) {
    static const unsigned long sizes[][2] = {
        {PICTURE_MAX_SIDE + 1, 1}, {1, PICTURE_MAX_SIDE + 1}, {16384, 4097}, {65000, 65000}};
    bytes png = png_new(), jpeg = jpeg_new(BASELINE, 3);
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(sizes); i++) {
        set_32(png.data + 16, sizes[i][0]);
        set_32(png.data + 20, sizes[i][1]);
        set_32(png.data + 29, crc_of(png.data + 12, 17));
        refuse(&png, "pixels are too many: at most 16384 a side and 67108864 in all");
    }
    for (size_t at = 0; at + 9 < jpeg.n; at++) { /* SOF0: length, bits, height, width */
        if (jpeg.data[at] != 0xFF || jpeg.data[at + 1] != 0xC0) continue;
        memset(jpeg.data + at + 5, 0xFD, 4);
        break;
    }
    refuse(&jpeg, "65021 x 65021 pixels are too many");
    free(png.data);
    free(jpeg.data);
}

static void what_is_no_picture(void **unused) {
    static unsigned char text[] = "GIF89a", nothing[] = "";
    const bytes cases[] = {{text, 6}, {nothing, 0}, {nothing, 1}};
    bytes inks = jpeg_new(BASELINE, 4);
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(cases); i++) refuse(&cases[i], "not a readable PNG or JPEG");
    refuse(&inks, "not a readable PNG or JPEG image (Unsupported color conversion request)");
    free(inks.data);
}

static void every_truncation_is_an_error(void **unused) {
    bytes all[] = {png_new(), jpeg_new(BASELINE, 3), jpeg_new(PROGRESSIVE, 3)};
    char cause[CAUSE_BYTES];
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(all); i++) {
        const size_t tail = i == 0 ? 12 : 2; /* IEND, or the last marker: no pixel is missing */
        for (size_t n = 0; n + tail < all[i].n; n++) {
            picture got;
            CHECK(read_bytes(all[i].data, n, &got, cause) == -1, "picture %zu, %zu bytes", i, n);
        }
        free(all[i].data);
    }
}

/* A scan costs a few bytes and a pass over the whole picture. */
static void too_many_scans(void **unused) {
    bytes jpeg = jpeg_new(MANY_SCANS, 3);
    (void)unused;
    refuse(&jpeg, "not a readable PNG or JPEG image (more than 100 scans)");
    free(jpeg.data);
}

/* Bytes changed at random: a picture or a cause, and no more memory than was promised. */
static void damaged_pictures(void **unused) {
    bytes all[] = {png_new(), jpeg_new(BASELINE, 3), jpeg_new(PROGRESSIVE, 3)};
    size_t n_read = 0;
    (void)unused;
    for (size_t i = 0; i < n_runs(3000); i++) {
        const bytes *const from = &all[i % N_ITEMS(all)];
        unsigned char *const copy = (unsigned char *)ref_new(from->n, 1);
        char cause[CAUSE_BYTES];
        uint64_t state = i;
        picture got;
        memcpy(copy, from->data, from->n);
        for (size_t c = random_size(&state, 1, 4); c > 0; c--)
            copy[random_size(&state, 2, from->n - 1)] = (unsigned char)random_bits(&state);
        n_read += read_bytes(copy, from->n, &got, cause) == 0;
        free(got.rgb);
        free(copy);
    }
    print_message("%zu of %zu damaged pictures were read\n", n_read, n_runs(3000));
    for (size_t i = 0; i < N_ITEMS(all); i++) free(all[i].data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_comes_back_as_it_was),
        cmocka_unit_test(transparency_shows_the_grey_below),
        cmocka_unit_test(jpeg_comes_back_nearly_as_it_was),
        cmocka_unit_test(too_large_a_picture),
        cmocka_unit_test(what_is_no_picture),
        cmocka_unit_test(every_truncation_is_an_error),
        cmocka_unit_test(too_many_scans),
        cmocka_unit_test(damaged_pictures),
    };
    return cmocka_run_group_tests_name("picture", tests, set_up, NULL);
}
