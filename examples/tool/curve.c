/* curve.c - draws what a sweep over budgets found.   MIT licence.
 *
 * The picture is said once, in lines, dots and texts, and goes to SVG or to pixels. */
#define _XOPEN_SOURCE 700

#include "curve.h"

#include "font.h"
#include "picture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WIDTH = 760,
    HEIGHT = 540,
    LEFT = 64, /* the panels */
    RIGHT = 736,
    TOP = 96,
    BOTTOM = 356,
    LOW_TOP = 412,
    LOW_BOTTOM = 492,
    PNG_SCALE = 2, /* pixels of a unit */
    TEXT_BYTES = 160
};

static const unsigned ink = 0x1f2328, faint = 0xd8dee4, muted = 0x59636e, blue = 0x0969da,
                      pale = 0x80b3ee, ochre = 0x9a6700, red = 0xcf222e;

typedef enum anchor { ANCHOR_START, ANCHOR_MIDDLE, ANCHOR_END } anchor;

/* Where it is drawn: one of the two. */
typedef struct surface {
    FILE *svg;
    picture pixels;
} surface;

/* ---- pixels ------------------------------------------------------------------------------- */

static void blend(surface *on, int x, int y, double part, unsigned colour) {
    if (x < 0 || y < 0 || x >= on->pixels.width || y >= on->pixels.height || part <= 0) return;
    unsigned char *const at =
        on->pixels.rgb + ((size_t)y * (size_t)on->pixels.width + (size_t)x) * 3;
    for (int c = 0; c < 3; c++) {
        const double wanted = colour >> (16 - 8 * c) & 255;
        at[c] = (unsigned char)(at[c] + (wanted - at[c]) * (part < 1 ? part : 1) + 0.5);
    }
}

/* A stroke with round ends, in pixels; a dash is as long as its gap, 0: none. A pixel is covered as
 * far as its centre is inside. */
static void stroke(surface *on, double x1, double y1, double x2, double y2, double half,
    double dash, unsigned colour) {
    const double dx = x2 - x1, dy = y2 - y1, square = dx * dx + dy * dy, reach = half + 1;
    const int left = (int)floor(fmin(x1, x2) - reach), right = (int)ceil(fmax(x1, x2) + reach);
    const int top = (int)floor(fmin(y1, y2) - reach), bottom = (int)ceil(fmax(y1, y2) + reach);
    for (int y = top; y <= bottom; y++) {
        for (int x = left; x <= right; x++) {
            const double px = x + 0.5 - x1, py = y + 0.5 - y1;
            const double along = square > 0 ? fmin(1, fmax(0, (px * dx + py * dy) / square)) : 0;
            const double distance = hypot(px - along * dx, py - along * dy);
            if (dash > 0 && fmod(along * sqrt(square), 2 * dash) > dash) continue;
            blend(on, x, y, half + 0.5 - distance, colour);
        }
    }
}

static int letters_width(const char *text) {
    int width = 0;
    for (; *text != '\0'; text++) {
        const font_glyph *const glyph = font_find(*text);
        width += (glyph != NULL ? glyph->width : FONT_BLANK) + 1;
    }
    return width - 1;
}

/* y is the line that the letters stand on. */
static void letters(
    surface *on, double x, double y, const char *text, anchor from, unsigned colour) {
    enum { SCALE = 2, ABOVE = 7 };
    int left = (int)lrint(x) - (from == ANCHOR_START    ? 0
                                   : from == ANCHOR_END ? letters_width(text) * SCALE
                                                        : letters_width(text) * SCALE / 2);
    for (; *text != '\0'; text++) {
        const font_glyph *const glyph = font_find(*text);
        const int width = glyph != NULL ? glyph->width : FONT_BLANK;
        for (int i = 0; glyph != NULL && i < FONT_ROWS * width * SCALE * SCALE; i++) {
            const int row = i / (width * SCALE * SCALE), inside = i % (width * SCALE * SCALE);
            const int column = inside / (SCALE * SCALE), spot = inside % (SCALE * SCALE);
            if (glyph->rows[row] >> (width - 1 - column) & 1)
                blend(on, left + column * SCALE + spot % SCALE,
                    (int)lrint(y) + (row - ABOVE) * SCALE + spot / SCALE, 1, colour);
        }
        left += (width + 1) * SCALE;
    }
}

/* ---- either ------------------------------------------------------------------------------- */

static void draw_line(surface *on, double x1, double y1, double x2, double y2, double width,
    double dash, unsigned colour) {
    if (on->svg == NULL) {
        stroke(on, x1 * PNG_SCALE, y1 * PNG_SCALE, x2 * PNG_SCALE, y2 * PNG_SCALE,
            width * PNG_SCALE / 2, dash * PNG_SCALE, colour);
        return;
    }
    fprintf(on->svg,
        "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#%06x\" "
        "stroke-width=\"%.1f\" stroke-linecap=\"round\"",
        x1, y1, x2, y2, colour, width);
    if (dash > 0) fprintf(on->svg, " stroke-dasharray=\"%.1f\"", dash);
    fputs("/>\n", on->svg);
}

static void draw_dot(surface *on, double x, double y, double radius, unsigned colour) {
    if (on->svg == NULL) {
        stroke(on, x * PNG_SCALE, y * PNG_SCALE, x * PNG_SCALE, y * PNG_SCALE, radius * PNG_SCALE,
            0, colour);
        return;
    }
    fprintf(on->svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"#%06x\"/>\n", x, y, radius,
        colour);
}

/* A text of our own, without a file's name in it: nothing has to be escaped. */
static void draw_text(
    surface *on, double x, double y, const char *text, anchor from, unsigned colour) {
    static const char *const names[] = {
        [ANCHOR_START] = "start", [ANCHOR_MIDDLE] = "middle", [ANCHOR_END] = "end"};
    if (on->svg == NULL) {
        letters(on, x * PNG_SCALE, y * PNG_SCALE, text, from, colour);
        return;
    }
    fprintf(on->svg, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" fill=\"#%06x\">%s</text>\n", x,
        y, names[from], colour, text);
}

/* ---- the picture -------------------------------------------------------------------------- */

/* 1, 2 or 5 times a power of ten, about a sixth of range. */
static double tick_step(double range) {
    const double least = range / 7, power = pow(10, floor(log10(least)));
    return power * (least <= power ? 1 : least <= 2 * power ? 2 : least <= 5 * power ? 5 : 10);
}

typedef struct axes {
    double x_range, y_range; /* both begin at 0 */
    double top, bottom;
} axes;

static double at_x(const axes *of, double budget) {
    return LEFT + (RIGHT - LEFT) * budget / of->x_range;
}

static double at_y(const axes *of, double value) {
    return of->bottom - (of->bottom - of->top) * value / of->y_range;
}

static void draw_axes(surface *on, const axes *of, double y_step, double y_unit, const char *format,
    int has_numbers) {
    char text[TEXT_BYTES];
    const double x_step = fmax(1, tick_step(of->x_range)); /* whole tokens */
    for (double y = 0; y <= of->y_range * 1.0001; y += y_step) {
        draw_line(on, LEFT, at_y(of, y), RIGHT, at_y(of, y), 1, 0, faint);
        snprintf(text, sizeof text, format, y * y_unit);
        draw_text(on, LEFT - 8, at_y(of, y) + 4, text, ANCHOR_END, muted);
    }
    for (double x = 0; x <= of->x_range * 1.0001; x += x_step) {
        draw_line(on, at_x(of, x), of->bottom, at_x(of, x), of->bottom + 4, 1, 0, muted);
        snprintf(text, sizeof text, "%.0f", x);
        if (has_numbers) draw_text(on, at_x(of, x), of->bottom + 18, text, ANCHOR_MIDDLE, muted);
    }
    draw_line(on, LEFT, of->bottom, RIGHT, of->bottom, 1, 0, muted);
}

typedef double (*member)(const curve_point *of);

static double coverage_of(const curve_point *of) {
    return of->coverage;
}

static double least_coverage_of(const curve_point *of) {
    return of->least_coverage;
}

static double left_of(const curve_point *of) {
    return of->left;
}

static double ms_of(const curve_point *of) {
    return of->select_ms;
}

static double most_ms_of(const curve_point *of) {
    return of->most_ms;
}

static void draw_curve(surface *on, const axes *of, const curve_request *request, member value,
    double width, double dash, double radius, unsigned colour) {
    const curve_point *const points = request->points;
    for (size_t i = 1; i < request->n_points; i++)
        draw_line(on, at_x(of, points[i - 1].budget), at_y(of, value(&points[i - 1])),
            at_x(of, points[i].budget), at_y(of, value(&points[i])), width, dash, colour);
    for (size_t i = 0; i < request->n_points && radius > 0; i++)
        draw_dot(on, at_x(of, points[i].budget), at_y(of, value(&points[i])), radius, colour);
}

/* A sample of a line and what it is; returns where the next may begin. */
static double draw_key(
    surface *on, double x, double y, const char *text, double dash, unsigned colour) {
    draw_line(on, x, y - 4, x + 24, y - 4, 2, dash, colour);
    draw_text(on, x + 32, y, text, ANCHOR_START, ink);
    return x + 32 + 7.2 * (double)strlen(text) + 18;
}

static void draw_all(surface *on, const curve_request *request) {
    const curve_point *const last = &request->points[request->n_points - 1];
    const int many = request->n_images > 1;
    const double x_range = last->budget > request->n_tokens ? last->budget : request->n_tokens;
    char text[TEXT_BYTES];
    double most_ms = 1e-3;
    for (size_t i = 0; i < request->n_points; i++)
        most_ms = fmax(most_ms, request->points[i].most_ms);
    const double ms_step = tick_step(most_ms * 2);
    const axes upper = {x_range, 1, TOP, BOTTOM};
    const axes lower = {x_range, ms_step * ceil(most_ms / ms_step), LOW_TOP, LOW_BOTTOM};
    draw_text(on, LEFT, 32, request->title, ANCHOR_START, ink);
    double x = draw_key(on, LEFT, 62, many ? "coverage, median" : "coverage", 0, blue);
    if (many) x = draw_key(on, x, 62, "of the worst image", 0, pale);
    draw_key(on, x, 62, "share of the prefill's tokens that is left", 4, ochre);
    draw_axes(on, &upper, 0.2, 100, "%.0f%%", 0);
    draw_curve(on, &upper, request, left_of, 1.5, 4, 0, ochre);
    if (many) draw_curve(on, &upper, request, least_coverage_of, 1.5, 0, 2.5, pale);
    draw_curve(on, &upper, request, coverage_of, 2, 0, 3.5, blue);
    if (request->bend < request->n_points) {
        const curve_point *const bend = &request->points[request->bend];
        const double at = at_x(&upper, bend->budget);
        draw_line(on, at, TOP, at, BOTTOM, 1, 3, red);
        draw_dot(on, at, at_y(&upper, bend->coverage), 5, red);
        snprintf(text, sizeof text, "bends at %.0f: coverage %.2f, prefill %.0f%%", bend->budget,
            bend->coverage, 100 * bend->left);
        if (at < (LEFT + RIGHT) / 2)
            draw_text(on, at + 8, BOTTOM - 10, text, ANCHOR_START, red);
        else
            draw_text(on, at - 8, BOTTOM - 10, text, ANCHOR_END, red);
    }
    draw_text(on, LEFT, LOW_TOP - 14,
        many ? "ms of a selection, median and slowest" : "ms of a selection", ANCHOR_START, ink);
    draw_axes(on, &lower, ms_step, 1,
        ms_step < 0.001  ? "%.4f"
        : ms_step < 0.01 ? "%.3f"
        : ms_step < 1    ? "%.2f"
                         : "%.0f",
        1);
    if (many) draw_curve(on, &lower, request, most_ms_of, 1, 0, 2, pale);
    draw_curve(on, &lower, request, ms_of, 1.5, 0, 2.5, blue);
    draw_text(on, (LEFT + RIGHT) / 2, LOW_BOTTOM + 38, "tokens to keep", ANCHOR_MIDDLE, ink);
}

static unsigned char *draw_svg(
    const curve_request *request, size_t *n_bytes, char *error, size_t error_bytes) {
    char *text = NULL;
    surface on = {open_memstream(&text, n_bytes), {0}};
    if (on.svg != NULL) {
        fprintf(on.svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
            "viewBox=\"0 0 %d %d\" font-family=\"Helvetica, Arial, sans-serif\" "
            "font-size=\"13\">\n<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n",
            WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT);
        draw_all(&on, request);
        fputs("</svg>\n", on.svg);
        if (fclose(on.svg) == 0) return (unsigned char *)text;
    }
    snprintf(error, error_bytes, "out of memory");
    free(text);
    return NULL;
}

static unsigned char *draw_png(
    const curve_request *request, size_t *n_bytes, char *error, size_t error_bytes) {
    const size_t size = (size_t)WIDTH * HEIGHT * PNG_SCALE * PNG_SCALE * 3;
    surface on = {NULL, {(unsigned char *)malloc(size), WIDTH * PNG_SCALE, HEIGHT * PNG_SCALE}};
    if (on.pixels.rgb == NULL) {
        snprintf(error, error_bytes, "out of memory");
        return NULL;
    }
    memset(on.pixels.rgb, 255, size);
    draw_all(&on, request);
    unsigned char *const bytes = picture_to_png(&on.pixels, n_bytes, error, error_bytes);
    free(on.pixels.rgb);
    return bytes;
}

unsigned char *curve_draw(
    const curve_request *request, int as_png, size_t *n_bytes, char *error, size_t error_bytes) {
    return as_png ? draw_png(request, n_bytes, error, error_bytes)
                  : draw_svg(request, n_bytes, error, error_bytes);
}
