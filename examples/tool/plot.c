/* plot.c - draws which patches of a photo were kept.   MIT licence. */
#include "plot.h"

#include "font.h"
#include "picture.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    MIN_WIDTH = 768,   /* of the picture: the legend's lines fit */
    LARGE_SIDE = 1600, /* above it the picture grows only where MIN_CELL demands it */
    MAX_SIDE = 16384,  /* of the picture */
    MIN_CELL = 8,      /* pixels of a patch: its frame stays visible */
    MAX_SWATCHES = 96, /* groups that the legend lists */
    TEXT_SCALE = 2,    /* pixels a font pixel, whole so that text is sharp; */
    TITLE_SCALE = 3,   /* the title's */
    LETTER_GAP = 1,    /* font pixels */
    TEXT_BYTES = 128,
    MARGIN = 20,
    LINE = 30,
    GAP = 24,      /* between two texts of a line */
    PARAGRAPH = 8, /* more than LINE between two blocks */
    SWATCH = 16,
    SWATCH_GAP = 8,
    SWATCH_COLUMN = 66 /* a swatch with its count */
};

typedef struct colour {
    unsigned char red, green, blue;
} colour;

static const double MIN_LUMA = 0.42; /* of a frame */

static const colour background = {24, 26, 31};
static const colour bright = {240, 242, 245};
static const colour muted = {164, 170, 180};

/* Pixels, row-major. Without pixels everything is measured and nothing drawn. */
typedef struct canvas {
    colour *pixels;
    size_t width, height;
} canvas;

/* Where the next text of the legend goes. */
typedef struct pen {
    canvas *on;
    size_t x, y;
} pen;

static int fail(char *error, size_t error_bytes, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, error_bytes, format, arguments);
    va_end(arguments);
    return -1;
}

/* ---- colours ------------------------------------------------------------------------------ */

static unsigned char to_byte(double value) {
    return (unsigned char)(value <= 0 ? 0 : value >= 1 ? 255 : value * 255 + 0.5);
}

/* The red channel of a hue in turns; green and blue are the same a third of a turn on each. */
static double hue_channel(double turns) {
    const double six = 6 * (turns - floor(turns));
    const double ramp = fabs(six - 3) - 1;
    return ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
}

/* The golden angle keeps neighbours in the list, and any first few, far apart in hue; lightness
 * tells apart those that come back near to an earlier hue. */
static colour group_colour(int32_t group) {
    static const double lightness[3] = {0.60, 0.74, 0.46};
    if (group < 0) return bright;
    const double hue = 0.98 + 0.38196601125 * group;
    const double light = lightness[group % 3];
    const double chroma = 0.95 * (1 - fabs(2 * light - 1));
    const double base = light - chroma / 2;
    const double red = base + chroma * hue_channel(hue);
    const double green = base + chroma * hue_channel(hue - 1.0 / 3);
    const double blue = base + chroma * hue_channel(hue - 2.0 / 3);
    /* Blue looks dark at any lightness: white is mixed in until it stands out on a dimmed patch. */
    const double luma = 0.299 * red + 0.587 * green + 0.114 * blue;
    const double white = luma < MIN_LUMA ? (MIN_LUMA - luma) / (1 - luma) : 0;
    const colour result = {to_byte(red + white * (1 - red)), to_byte(green + white * (1 - green)),
        to_byte(blue + white * (1 - blue))};
    return result;
}

/* A dropped patch: darker and nearly grey, but the scene can still be made out. */
static colour dimmed(colour from) {
    const double grey = (0.299 * from.red + 0.587 * from.green + 0.114 * from.blue) / 255;
    const colour result = {to_byte(0.35 * grey + 0.10 * from.red / 255 + 0.03),
        to_byte(0.35 * grey + 0.10 * from.green / 255 + 0.03),
        to_byte(0.35 * grey + 0.10 * from.blue / 255 + 0.03)};
    return result;
}

/* ---- shapes and text ---------------------------------------------------------------------- */

static void fill(canvas *on, size_t x, size_t y, size_t width, size_t height, colour with) {
    if (on->pixels == NULL) return;
    for (size_t row = y; row < y + height && row < on->height; row++)
        for (size_t column = x; column < x + width && column < on->width; column++)
            on->pixels[row * on->width + column] = with;
}

static void frame(
    canvas *on, size_t x, size_t y, size_t width, size_t height, size_t thickness, colour with) {
    fill(on, x, y, width, thickness, with);
    fill(on, x, y + height - thickness, width, thickness, with);
    fill(on, x, y, thickness, height, with);
    fill(on, x + width - thickness, y, thickness, height, with);
}

/* Draws text, or only measures it where there are no pixels; returns the column behind it. */
static size_t draw_text(
    canvas *on, size_t x, size_t y, const char *text, size_t scale, colour with) {
    for (; *text != '\0'; text++) {
        const font_glyph *const glyph = font_find(*text);
        const size_t width = glyph != NULL ? glyph->width : FONT_BLANK;
        for (size_t i = 0; glyph != NULL && i < FONT_ROWS * width; i++)
            if (glyph->rows[i / width] >> (width - 1 - i % width) & 1)
                fill(on, x + i % width * scale, y + i / width * scale, scale, scale, with);
        x += (width + LETTER_GAP) * scale;
    }
    return x;
}

/* ---- the photo ---------------------------------------------------------------------------- */

static int load_photo(const char *path, picture *out, char *error, size_t error_bytes) {
    struct stat what;
    if (stat(path, &what) == 0 && !S_ISREG(what.st_mode))
        return fail(error, error_bytes, "not a regular file"); /* opening a pipe would wait */
    FILE *const file = fopen(path, "rb");
    if (file == NULL) return fail(error, error_bytes, "%s", strerror(errno));
    const int status = picture_read(file, background.red, out, error, error_bytes);
    fclose(file);
    return status;
}

/* Averages blocks of 2 x 2 in place: what bilinear sampling alone would skip over. */
static void halve(picture *of) {
    const size_t width = (size_t)of->width / 2, height = (size_t)of->height / 2;
    const size_t stride = (size_t)of->width * 3;
    for (size_t y = 0; y < height; y++) {
        for (size_t x = 0; x < width * 3; x++) {
            const unsigned char *const from =
                of->rgb + 2 * y * stride + x / 3 * 6 + x % 3; /* upper left of the block */
            of->rgb[y * width * 3 + x] =
                (unsigned char)((from[0] + from[3] + from[stride] + from[stride + 3] + 2) / 4);
        }
    }
    of->width = (int)width;
    of->height = (int)height;
}

/* Where a pixel of the picture falls between two of the photo, pixel centres aligned. */
static int sample(size_t at, size_t n_out, int n_in, double *part) {
    const double place = ((double)at + 0.5) * n_in / (double)n_out - 0.5;
    const double inside = place < 0 ? 0 : place > n_in - 1 ? n_in - 1 : place;
    const int first = inside >= n_in - 1 && n_in > 1 ? n_in - 2 : (int)inside;
    *part = inside - first;
    return first;
}

static double photo_channel(const picture *of, int x, int y, int channel) {
    const int inside = x < of->width ? x : of->width - 1;
    const int row = y < of->height ? y : of->height - 1;
    return of->rgb[((size_t)row * (size_t)of->width + (size_t)inside) * 3 + (size_t)channel] /
           255.0;
}

static void draw_photo(canvas *on, const picture *from, size_t width, size_t height) {
    for (size_t y = 0; y < height; y++) {
        double down, right;
        const int row = sample(y, height, from->height, &down);
        for (size_t x = 0; x < width; x++) {
            const int column = sample(x, width, from->width, &right);
            unsigned char rgb[3];
            for (int c = 0; c < 3; c++) {
                const double above = (1 - right) * photo_channel(from, column, row, c) +
                                     right * photo_channel(from, column + 1, row, c);
                const double below = (1 - right) * photo_channel(from, column, row + 1, c) +
                                     right * photo_channel(from, column + 1, row + 1, c);
                rgb[c] = to_byte((1 - down) * above + down * below);
            }
            const colour mixed = {rgb[0], rgb[1], rgb[2]};
            on->pixels[y * on->width + x] = mixed;
        }
    }
}

/* ---- the picture -------------------------------------------------------------------------- */

typedef struct layout {
    size_t cell_width, cell_height; /* pixels of a patch */
    size_t width, height;           /* of the patches together */
} layout;

static size_t between(double value, size_t least, size_t most) {
    return value < (double)least ? least : value > (double)most ? most : (size_t)(value + 0.5);
}

/* Whole pixels a patch, so that every patch looks the same; the photo's shape as near as that
 * allows. */
static int choose_layout(const plot_request *request, const picture *of, layout *out) {
    const double rows = (double)request->n_rows, columns = (double)request->n_columns;
    const double photo_width = of->width, photo_height = of->height;
    const double shape = (photo_height / rows) / (photo_width / columns); /* of a patch */
    const double longest = columns > rows * shape ? columns : rows * shape;
    double cell = photo_width / columns;
    cell = cell * longest > LARGE_SIDE ? LARGE_SIDE / longest : cell;
    cell = cell * columns < MIN_WIDTH ? ceil(MIN_WIDTH / columns) : cell;
    out->cell_width = between(cell, MIN_CELL, MAX_SIDE);
    out->cell_height = between((double)out->cell_width * shape, MIN_CELL, MAX_SIDE);
    if (request->n_columns > MAX_SIDE / out->cell_width ||
        request->n_rows > MAX_SIDE / out->cell_height)
        return -1;
    out->width = request->n_columns * out->cell_width;
    out->height = request->n_rows * out->cell_height;
    return 0;
}

static void draw_patches(canvas *on, const plot_request *request, const layout *by) {
    const size_t smaller = by->cell_width < by->cell_height ? by->cell_width : by->cell_height;
    const size_t thickness = smaller / 12 + 1;
    size_t next = 0;
    for (size_t i = 0; i < request->n_rows * request->n_columns; i++) {
        const size_t x = i % request->n_columns * by->cell_width;
        const size_t y = i / request->n_columns * by->cell_height;
        if (next < request->n_kept && (size_t)request->indices[next] == i) {
            frame(on, x, y, by->cell_width, by->cell_height, thickness,
                group_colour(request->group[i]));
            next++;
            continue;
        }
        for (size_t p = 0; p < by->cell_width * by->cell_height; p++) {
            colour *const pixel =
                &on->pixels[(y + p / by->cell_width) * on->width + x + p % by->cell_width];
            *pixel = dimmed(*pixel);
        }
    }
}

/* ---- the legend --------------------------------------------------------------------------- */

static void start_line(pen *at) {
    if (at->x > MARGIN) {
        at->x = MARGIN;
        at->y += LINE;
    }
}

/* A text, on the next line if this one is full. */
static void put_text(pen *at, const char *text, size_t scale, colour with) {
    canvas nowhere = {NULL, 0, 0};
    const size_t width = draw_text(&nowhere, 0, 0, text, scale, with);
    if (at->x + width + MARGIN > at->on->width) start_line(at);
    at->x = draw_text(at->on, at->x, at->y, text, scale, with) + GAP;
}

static void put_group(pen *at, int32_t group, size_t n_kept) {
    char text[TEXT_BYTES];
    if (at->x + SWATCH_COLUMN > at->on->width) start_line(at);
    snprintf(text, sizeof text, "%zu", n_kept);
    fill(at->on, at->x, at->y, SWATCH, SWATCH, group_colour(group));
    draw_text(at->on, at->x + SWATCH + SWATCH_GAP, at->y + 1, text, TEXT_SCALE,
        n_kept > 0 ? bright : muted);
    at->x += SWATCH_COLUMN;
}

static void put_groups(pen *at, const plot_request *request) {
    char text[TEXT_BYTES];
    for (size_t k = 0; k < request->n_groups && k < MAX_SWATCHES; k++) {
        size_t n_kept = 0;
        for (size_t j = 0; j < request->n_kept; j++)
            n_kept += request->group[request->indices[j]] == (int32_t)k;
        put_group(at, (int32_t)k, n_kept);
    }
    if (request->n_groups > MAX_SWATCHES) {
        snprintf(text, sizeof text, "and %zu groups more", request->n_groups - MAX_SWATCHES);
        put_text(at, text, TEXT_SCALE, muted);
    }
}

/* Returns the row below the legend. */
static size_t draw_legend(canvas *on, const plot_request *request, size_t top) {
    pen at = {on, MARGIN, top + MARGIN};
    put_text(&at, request->title, TITLE_SCALE, bright);
    start_line(&at);
    at.y += PARAGRAPH;
    for (size_t i = 0; i < request->n_facts; i++)
        put_text(&at, request->facts[i], TEXT_SCALE, muted);
    start_line(&at);
    if (request->n_groups > 0) {
        put_text(&at, "frame: the token's group; number kept of each group:", TEXT_SCALE, muted);
        start_line(&at);
        at.y += PARAGRAPH;
        put_groups(&at, request);
        start_line(&at);
    }
    return at.y + MARGIN / 2;
}

/* ---- the file ----------------------------------------------------------------------------- */

static int draw_all(const plot_request *request, picture *of, const layout *by, plot_png *out,
    char *error, size_t error_bytes) {
    canvas on = {NULL, by->width > MIN_WIDTH ? by->width : MIN_WIDTH, 0};
    on.height = draw_legend(&on, request, by->height);
    on.pixels = (colour *)malloc(on.width * on.height * sizeof *on.pixels);
    if (on.pixels == NULL) return fail(error, error_bytes, "out of memory");
    fill(&on, 0, 0, on.width, on.height, background);
    while ((size_t)of->width >= 2 * by->width && (size_t)of->height >= 2 * by->height) halve(of);
    draw_photo(&on, of, by->width, by->height);
    draw_patches(&on, request, by);
    draw_legend(&on, request, by->height);
    const picture drawn = {(unsigned char *)on.pixels, (int)on.width, (int)on.height};
    out->bytes = picture_to_png(&drawn, &out->n_bytes, error, error_bytes);
    free(on.pixels);
    return out->bytes != NULL ? 0 : -1;
}

int plot_draw(const plot_request *request, plot_png *out, int *blames_photo, char *error,
    size_t error_bytes) {
    picture from = {NULL, 0, 0};
    layout by = {0, 0, 0, 0};
    int status = load_photo(request->photo, &from, error, error_bytes);
    *blames_photo = status != 0;
    if (status == 0 && choose_layout(request, &from, &by) != 0) {
        status =
            fail(error, error_bytes, "the picture would be above %d pixels wide or high", MAX_SIDE);
    }
    if (status == 0) status = draw_all(request, &from, &by, out, error, error_bytes);
    free(from.rgb);
    return status;
}
