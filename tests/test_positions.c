/* test_positions.c - where tokens stand once others are gone: what each engine expects, typed in by
 * hand; then properties, and what is refused.   MIT licence. */
#include "support.h"

enum { MAX_TOKENS = 16, MAX_SPANS = 3, MAX_SECTIONS = 4, FILL = 0x39 };

/* ---- one call in guarded memory ----------------------------------------------------------- */

/* [n_sections, ld] of id_bytes, in exactly as many bytes as its last id needs. */
typedef struct table {
    guard memory;
    prunesid_position_ids view;
} table;

static table table_new(size_t id_bytes, size_t n_sections, size_t n_tokens, size_t ld) {
    const size_t n = (n_sections - 1) * ld + n_tokens;
    const table t = {guard_new(n * id_bytes, FILL), {NULL, id_bytes, n_sections, n_tokens, ld}};
    table copy = t;
    copy.view.ids = copy.memory.data;
    return copy;
}

static void table_set(table *t, size_t section, size_t i, int64_t id) {
    unsigned char *const at = t->memory.data + (section * t->view.ld + i) * t->view.id_bytes;
    const int32_t narrow = (int32_t)id;
    if (t->view.id_bytes == 8) {
        memcpy(at, &id, sizeof id);
    } else {
        memcpy(at, &narrow, sizeof narrow);
    }
}

static int64_t table_get(const table *t, size_t section, size_t i) {
    const unsigned char *const at = t->memory.data + (section * t->view.ld + i) * t->view.id_bytes;
    int32_t narrow;
    int64_t id;
    memcpy(&narrow, at, sizeof narrow);
    if (t->view.id_bytes == 4) return narrow;
    memcpy(&id, at, sizeof id);
    return id;
}

/* Whether what lies between the sections is as it was. */
static int gaps_untouched(const table *t) {
    for (size_t k = 0; k + 1 < t->view.n_sections; k++) {
        for (size_t b = t->view.n_tokens * t->view.id_bytes; b < t->view.ld * t->view.id_bytes;
             b++) {
            if (t->memory.data[k * t->view.ld * t->view.id_bytes + b] != FILL) return 0;
        }
    }
    return guard_intact(&t->memory);
}

/* ---- prompts by hand ---------------------------------------------------------------------- */

typedef struct prompt {
    const char *name;
    prunesid_position_policy policy;
    size_t n_sections, n_tokens;
    int64_t ids[MAX_SECTIONS][MAX_TOKENS];
    size_t n_spans;
    prunesid_span spans[MAX_SPANS];
    size_t n_rows;
    int32_t rows[MAX_TOKENS];
    int64_t want[MAX_SECTIONS][MAX_TOKENS];
    int64_t next;
} prompt;

#define KEEP PRUNESID_POSITIONS_KEEP
#define COMPACT PRUNESID_POSITIONS_COMPACT
#define RENUMBER PRUNESID_POSITIONS_RENUMBER

/* Two text tokens, an image of 2 x 3, two more. */
#define MIDDLE_T                                                                                   \
    { 0, 1, 2, 2, 2, 2, 2, 2, 5, 6 }
#define MIDDLE_H                                                                                   \
    { 0, 1, 2, 2, 2, 3, 3, 3, 5, 6 }
#define MIDDLE_W                                                                                   \
    { 0, 1, 2, 3, 4, 2, 3, 4, 5, 6 }
/* A text token, an image of 2 x 2, one of text, an image of 3 x 2, two of text. */
#define TWO_T                                                                                      \
    { 0, 1, 1, 1, 1, 3, 4, 4, 4, 4, 4, 4, 7, 8 }
#define TWO_H                                                                                      \
    { 0, 1, 1, 2, 2, 3, 4, 4, 5, 5, 6, 6, 7, 8 }
#define TWO_W                                                                                      \
    { 0, 1, 2, 1, 2, 3, 4, 5, 4, 5, 4, 5, 7, 8 }
/* An image of 2 x 3, three text tokens; and three text tokens, then the image. */
#define START_T                                                                                    \
    { 0, 0, 0, 0, 0, 0, 3, 4, 5 }
#define START_H                                                                                    \
    { 0, 0, 0, 1, 1, 1, 3, 4, 5 }
#define START_W                                                                                    \
    { 0, 1, 2, 0, 1, 2, 3, 4, 5 }
#define END_T                                                                                      \
    { 0, 1, 2, 3, 3, 3, 3, 3, 3 }
#define END_H                                                                                      \
    { 0, 1, 2, 3, 3, 3, 4, 4, 4 }
#define END_W                                                                                      \
    { 0, 1, 2, 3, 4, 5, 3, 4, 5 }
/* Two frames of 2 x 2 between single text tokens. */
#define VIDEO_T                                                                                    \
    { 0, 1, 1, 1, 1, 2, 2, 2, 2, 3 }
#define VIDEO_H                                                                                    \
    { 0, 1, 1, 2, 2, 1, 1, 2, 2, 3 }
#define VIDEO_W                                                                                    \
    { 0, 1, 2, 1, 2, 1, 2, 1, 2, 3 }
/* llama.cpp: an image chunk of 2 x 3 alone at n_past = 17: t, y, x, and a section of zeros. */
#define CHUNK_T                                                                                    \
    { 17, 17, 17, 17, 17, 17 }
#define CHUNK_Y                                                                                    \
    { 17, 17, 17, 18, 18, 18 }
#define CHUNK_X                                                                                    \
    { 17, 18, 19, 17, 18, 19 }
#define CHUNK_Z                                                                                    \
    { 0, 0, 0, 0, 0, 0 }
#define LINE                                                                                       \
    { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13 }

static const prompt prompts[] = {
    /* ---- KEEP: TensorRT-Edge-LLM, PruneSID's Qwen2-VL code, llama.cpp's M-RoPE */
    {"keep, image in the middle", KEEP, 3, 10, {MIDDLE_T, MIDDLE_H, MIDDLE_W}, 1, {{2, 6}}, 6,
        {0, 1, 3, 5, 8, 9}, {{0, 1, 2, 2, 5, 6}, {0, 1, 2, 3, 5, 6}, {0, 1, 3, 2, 5, 6}}, 7},
    {"keep, all of it", KEEP, 3, 10, {MIDDLE_T, MIDDLE_H, MIDDLE_W}, 1, {{2, 6}}, 10,
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {MIDDLE_T, MIDDLE_H, MIDDLE_W}, 7},
    {"keep, none of it", KEEP, 3, 10, {MIDDLE_T, MIDDLE_H, MIDDLE_W}, 1, {{2, 6}}, 4, {0, 1, 8, 9},
        {{0, 1, 5, 6}, {0, 1, 5, 6}, {0, 1, 5, 6}}, 7},
    {"keep, image at the start", KEEP, 3, 9, {START_T, START_H, START_W}, 1, {{0, 6}}, 5,
        {1, 3, 6, 7, 8}, {{0, 0, 3, 4, 5}, {0, 1, 3, 4, 5}, {1, 0, 3, 4, 5}}, 6},
    {"keep, image at the end", KEEP, 3, 9, {END_T, END_H, END_W}, 1, {{3, 6}}, 5, {0, 1, 2, 3, 7},
        {{0, 1, 2, 3, 3}, {0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}}, 6},
    {"keep, image at the end, none of it", KEEP, 3, 9, {END_T, END_H, END_W}, 1, {{3, 6}}, 3,
        {0, 1, 2}, {{0, 1, 2}, {0, 1, 2}, {0, 1, 2}}, 6},
    {"keep, two images", KEEP, 3, 14, {TWO_T, TWO_H, TWO_W}, 2, {{1, 4}, {6, 6}}, 8,
        {0, 1, 4, 5, 7, 8, 12, 13},
        {{0, 1, 1, 3, 4, 4, 7, 8}, {0, 1, 2, 3, 4, 5, 7, 8}, {0, 1, 2, 3, 5, 4, 7, 8}}, 9},
    {"keep, one section", KEEP, 1, 10, {LINE}, 1, {{2, 6}}, 6, {0, 1, 3, 5, 8, 9},
        {{0, 1, 3, 5, 8, 9}}, 10},
    {"keep, llama.cpp's chunk", KEEP, 4, 6, {CHUNK_T, CHUNK_Y, CHUNK_X, CHUNK_Z}, 1, {{0, 6}}, 2,
        {1, 3}, {{17, 17}, {17, 18}, {18, 17}, {0, 0}}, 20},
    {"keep, llama.cpp's chunk, all of it", KEEP, 4, 6, {CHUNK_T, CHUNK_Y, CHUNK_X, CHUNK_Z}, 1,
        {{0, 6}}, 6, {0, 1, 2, 3, 4, 5}, {CHUNK_T, CHUNK_Y, CHUNK_X, CHUNK_Z}, 20},
    {"keep, llama.cpp's chunk, none of it", KEEP, 4, 6, {CHUNK_T, CHUNK_Y, CHUNK_X, CHUNK_Z}, 1,
        {{0, 6}}, 0, {0}, {{0}}, 20},
    {"keep, four sections in a prompt", KEEP, 4, 10,
        {MIDDLE_T, MIDDLE_H, MIDDLE_W, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}, 1, {{2, 6}}, 5,
        {0, 1, 7, 8, 9}, {{0, 1, 2, 5, 6}, {0, 1, 3, 5, 6}, {0, 1, 4, 5, 6}, {0, 0, 0, 0, 0}}, 7},
    {"keep, no image at all", KEEP, 1, 4, {{7, 8, 9, 10}}, 0, {{0, 0}}, 4, {0, 1, 2, 3},
        {{7, 8, 9, 10}}, 11},

    /* ---- COMPACT: OpenVINO GenAI, 3-D positions */
    {"compact, the corner is kept", COMPACT, 3, 10, {MIDDLE_T, MIDDLE_H, MIDDLE_W}, 1, {{2, 6}}, 6,
        {0, 1, 3, 7, 8, 9}, {{0, 1, 2, 2, 5, 6}, {0, 1, 2, 3, 5, 6}, {0, 1, 3, 4, 5, 6}}, 7},
    {"compact, the corner is dropped", COMPACT, 3, 10, {MIDDLE_T, MIDDLE_H, MIDDLE_W}, 1, {{2, 6}},
        6, {0, 1, 3, 5, 8, 9}, {{0, 1, 2, 2, 4, 5}, {0, 1, 2, 3, 4, 5}, {0, 1, 3, 2, 4, 5}}, 6},
    {"compact, the first token alone", COMPACT, 3, 10, {MIDDLE_T, MIDDLE_H, MIDDLE_W}, 1, {{2, 6}},
        5, {0, 1, 2, 8, 9}, {{0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}}, 5},
    {"compact, all of it", COMPACT, 3, 10, {MIDDLE_T, MIDDLE_H, MIDDLE_W}, 1, {{2, 6}}, 10,
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {MIDDLE_T, MIDDLE_H, MIDDLE_W}, 7},
    {"compact, none of it", COMPACT, 3, 10, {MIDDLE_T, MIDDLE_H, MIDDLE_W}, 1, {{2, 6}}, 4,
        {0, 1, 8, 9}, {{0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3}}, 4},
    {"compact, image at the start", COMPACT, 3, 9, {START_T, START_H, START_W}, 1, {{0, 6}}, 5,
        {0, 1, 6, 7, 8}, {{0, 0, 2, 3, 4}, {0, 0, 2, 3, 4}, {0, 1, 2, 3, 4}}, 5},
    {"compact, image at the start, none of it", COMPACT, 3, 9, {START_T, START_H, START_W}, 1,
        {{0, 6}}, 3, {6, 7, 8}, {{0, 1, 2}, {0, 1, 2}, {0, 1, 2}}, 3},
    {"compact, image at the end", COMPACT, 3, 9, {END_T, END_H, END_W}, 1, {{3, 6}}, 5,
        {0, 1, 2, 3, 7}, {{0, 1, 2, 3, 3}, {0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}}, 5},
    {"compact, image at the end, none of it", COMPACT, 3, 9, {END_T, END_H, END_W}, 1, {{3, 6}}, 3,
        {0, 1, 2}, {{0, 1, 2}, {0, 1, 2}, {0, 1, 2}}, 3},
    /* the first image comes down by one, the second by two: its grid base is 3, the text's 5 */
    {"compact, two images", COMPACT, 3, 14, {TWO_T, TWO_H, TWO_W}, 2, {{1, 4}, {6, 6}}, 7,
        {0, 1, 5, 7, 8, 12, 13},
        {{0, 1, 2, 3, 3, 5, 6}, {0, 1, 2, 3, 4, 5, 6}, {0, 1, 2, 4, 3, 5, 6}}, 7},
    {"compact, two images, none of the first", COMPACT, 3, 14, {TWO_T, TWO_H, TWO_W}, 2,
        {{1, 4}, {6, 6}}, 6, {0, 5, 6, 11, 12, 13},
        {{0, 1, 2, 2, 5, 6}, {0, 1, 2, 4, 5, 6}, {0, 1, 2, 3, 5, 6}}, 7},
    {"compact, two images, none of the second", COMPACT, 3, 14, {TWO_T, TWO_H, TWO_W}, 2,
        {{1, 4}, {6, 6}}, 6, {0, 2, 3, 5, 12, 13},
        {{0, 1, 1, 3, 4, 5}, {0, 1, 2, 3, 4, 5}, {0, 2, 1, 3, 4, 5}}, 6},
    {"compact, two images, neither", COMPACT, 3, 14, {TWO_T, TWO_H, TWO_W}, 2, {{1, 4}, {6, 6}}, 4,
        {0, 5, 12, 13}, {{0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3}}, 4},
    {"compact, images side by side", COMPACT, 3, 10,
        {{0, 1, 1, 1, 1, 3, 3, 3, 3, 5}, {0, 1, 1, 2, 2, 3, 3, 4, 4, 5},
            {0, 1, 2, 1, 2, 3, 4, 3, 4, 5}},
        2, {{1, 4}, {5, 4}}, 5, {0, 1, 5, 6, 9},
        {{0, 1, 2, 2, 4}, {0, 1, 2, 2, 4}, {0, 1, 2, 3, 4}}, 5},
    {"compact, a video, held by its time", COMPACT, 3, 10, {VIDEO_T, VIDEO_H, VIDEO_W}, 1, {{1, 8}},
        4, {0, 1, 5, 9}, {{0, 1, 2, 3}, {0, 1, 1, 3}, {0, 1, 1, 3}}, 4},
    {"compact, a video without its second frame", COMPACT, 3, 10, {VIDEO_T, VIDEO_H, VIDEO_W}, 1,
        {{1, 8}}, 3, {0, 1, 9}, {{0, 1, 2}, {0, 1, 2}, {0, 1, 2}}, 3},
    {"compact, not from zero", COMPACT, 3, 4,
        {{30, 31, 31, 33}, {30, 31, 31, 33}, {30, 31, 32, 33}}, 1, {{1, 2}}, 3, {0, 1, 3},
        {{30, 31, 32}, {30, 31, 32}, {30, 31, 32}}, 33},
    {"compact, one section", COMPACT, 1, 10, {LINE}, 1, {{2, 6}}, 6, {0, 1, 3, 5, 8, 9},
        {{0, 1, 3, 5, 6, 7}}, 8},
    {"compact, four sections", COMPACT, 4, 6, {CHUNK_T, CHUNK_Y, CHUNK_X, CHUNK_Z}, 1, {{0, 6}}, 2,
        {0, 3}, {{17, 17}, {17, 18}, {17, 17}, {0, 0}}, 19},
    {"compact, four sections in a prompt", COMPACT, 4, 10,
        {MIDDLE_T, MIDDLE_H, MIDDLE_W, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}, 1, {{2, 6}}, 5,
        {0, 1, 2, 8, 9}, {{0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}, {0, 0, 0, 0, 0}}, 5},
    {"compact, four sections, none of it", COMPACT, 4, 6, {CHUNK_T, CHUNK_Y, CHUNK_X, CHUNK_Z}, 1,
        {{0, 6}}, 0, {0}, {{0}}, 17},

    /* ---- RENUMBER: OpenVINO GenAI 1-D, llama.cpp without M-RoPE */
    {"renumber, image in the middle", RENUMBER, 1, 10, {LINE}, 1, {{2, 6}}, 6, {0, 1, 3, 5, 8, 9},
        {{0, 1, 2, 3, 4, 5}}, 6},
    {"renumber, image at the start", RENUMBER, 1, 9, {LINE}, 1, {{0, 6}}, 5, {1, 3, 6, 7, 8},
        {{0, 1, 2, 3, 4}}, 5},
    {"renumber, image at the end", RENUMBER, 1, 9, {LINE}, 1, {{3, 6}}, 4, {0, 1, 2, 8},
        {{0, 1, 2, 3}}, 4},
    {"renumber, two images", RENUMBER, 1, 14, {LINE}, 2, {{1, 4}, {6, 6}}, 8,
        {0, 1, 4, 5, 7, 8, 12, 13}, {{0, 1, 2, 3, 4, 5, 6, 7}}, 8},
    {"renumber, all of it", RENUMBER, 1, 14, {LINE}, 2, {{1, 4}, {6, 6}}, 14,
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}, {LINE}, 14},
    {"renumber, none of it", RENUMBER, 1, 14, {LINE}, 2, {{1, 4}, {6, 6}}, 4, {0, 5, 12, 13},
        {{0, 1, 2, 3}}, 4},
    {"renumber, llama.cpp's chunk at n_past 41", RENUMBER, 1, 5, {{41, 42, 43, 44, 45}}, 1,
        {{0, 5}}, 3, {1, 2, 4}, {{41, 42, 43}}, 44},
    {"renumber, that chunk, none of it", RENUMBER, 1, 5, {{41, 42, 43, 44, 45}}, 1, {{0, 5}}, 0,
        {0}, {{0}}, 41},
    /* Transformers' and OpenVINO's [text, t, h, w]: a text, an image of 2 x 2, two texts */
    {"keep, text and three sections", KEEP, 4, 7,
        {{0, 1, 2, 3, 4, 5, 6}, {0, 1, 1, 1, 1, 3, 4}, {0, 1, 1, 2, 2, 3, 4},
            {0, 1, 2, 1, 2, 3, 4}},
        1, {{1, 4}}, 5, {0, 1, 4, 5, 6},
        {{0, 1, 2, 3, 4}, {0, 1, 1, 3, 4}, {0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}}, 5},
    {"compact, text and three sections", COMPACT, 4, 7,
        {{0, 1, 2, 3, 4, 5, 6}, {0, 1, 1, 1, 1, 3, 4}, {0, 1, 1, 2, 2, 3, 4},
            {0, 1, 2, 1, 2, 3, 4}},
        1, {{1, 4}}, 4, {0, 1, 5, 6}, {{0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3}}, 4},
    {"renumber, text and three sections", RENUMBER, 4, 7,
        {{0, 1, 2, 3, 4, 5, 6}, {0, 1, 1, 1, 1, 3, 4}, {0, 1, 1, 2, 2, 3, 4},
            {0, 1, 2, 1, 2, 3, 4}},
        1, {{1, 4}}, 4, {0, 3, 5, 6}, {{0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3}}, 4},
    {"renumber, four sections", RENUMBER, 4, 6, {CHUNK_T, CHUNK_Y, CHUNK_X, CHUNK_Z}, 1, {{0, 6}},
        3, {1, 3, 4}, {{17, 18, 19}, {17, 18, 19}, {17, 18, 19}, {0, 0, 0}}, 20},
    {"renumber, three sections", RENUMBER, 3, 10, {MIDDLE_T, MIDDLE_H, MIDDLE_W}, 1, {{2, 6}}, 6,
        {0, 1, 3, 5, 8, 9}, {{0, 1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}}, 6},
};

/* How a prompt's ids and its answer lie in memory. */
typedef enum lying { TIGHT, STRIDED, IN_PLACE, IN_PLACE_STRIDED, N_LYINGS } lying;

static void check_prompt(const prompt *p, size_t id_bytes, lying how) {
    const size_t ld = p->n_tokens + (how == STRIDED || how == IN_PLACE_STRIDED ? 3 : 0);
    const int in_place = how == IN_PLACE || how == IN_PLACE_STRIDED;
    table ids = table_new(id_bytes, p->n_sections, p->n_tokens, ld);
    table out = table_new(id_bytes, p->n_sections, p->n_rows, p->n_rows + (how == STRIDED ? 5 : 0));
    int64_t next = -77;
    for (size_t k = 0; k < p->n_sections; k++) {
        for (size_t i = 0; i < p->n_tokens; i++) table_set(&ids, k, i, p->ids[k][i]);
    }
    prunesid_position_ids view = in_place ? ids.view : out.view;
    view.n_tokens = p->n_rows;
    CHECK_STATUS(prunesid_positions(
                     p->policy, &ids.view, p->spans, p->n_spans, p->rows, p->n_rows, &view, &next),
        PRUNESID_OK, "%s, %zu bytes, %d", p->name, id_bytes, (int)how);
    const table *const got = in_place ? &ids : &out;
    for (size_t k = 0; k < p->n_sections; k++) {
        for (size_t j = 0; j < p->n_rows; j++) {
            CHECK(table_get(got, k, j) == p->want[k][j],
                "%s, %zu bytes, %d: section %zu, row %zu: %d", p->name, id_bytes, (int)how, k, j,
                (int)table_get(got, k, j));
        }
        for (size_t i = in_place ? p->n_rows : 0; i < p->n_tokens; i++) {
            assert_true(table_get(&ids, k, i) == p->ids[k][i]); /* what was not asked for */
        }
    }
    CHECK(next == p->next, "%s, %zu bytes, %d: next %d", p->name, id_bytes, (int)how, (int)next);
    assert_true(gaps_untouched(&ids) && gaps_untouched(&out));
    guard_free(&ids.memory);
    guard_free(&out.memory);
}

static void as_the_engines_have_it(void **unused) {
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(prompts); i++) {
        for (int how = 0; how < (int)N_LYINGS; how++) {
            check_prompt(&prompts[i], 4, (lying)how);
            check_prompt(&prompts[i], 8, (lying)how);
        }
    }
}

/* What is legal but borders on what is not. */
static void borders(void **unused) {
    static const prunesid_position_policy all[] = {KEEP, COMPACT, RENUMBER};
    const int64_t largest = ((int64_t)1 << 62) - 1;
    const int32_t rows[] = {0, 1};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(all); i++) {
        int64_t wide[2] = {largest - 1, largest}, next = -1;
        prunesid_position_ids ids = {wide, 8, 1, 2, 2};
        assert_int_equal(
            prunesid_positions(all[i], &ids, NULL, 0, rows, 2, &ids, &next), PRUNESID_OK);
        assert_true(wide[0] == largest - 1 && wide[1] == largest && next == largest + 1);

        int32_t narrow[2] = {INT32_MAX - 2, INT32_MAX - 1};
        prunesid_position_ids small = {narrow, 4, 1, 2, 2};
        assert_int_equal(
            prunesid_positions(all[i], &small, NULL, 0, rows, 2, &small, &next), PRUNESID_OK);
        assert_true(narrow[0] == INT32_MAX - 2 && narrow[1] == INT32_MAX - 1);
        assert_true(next == INT32_MAX);

        narrow[0] = INT32_MAX; /* nothing of it stays */
        small.n_tokens = 1;
        prunesid_position_ids none = {narrow + 1, 4, 1, 0, 0};
        const prunesid_span whole = {0, 1};
        assert_int_equal(
            prunesid_positions(all[i], &small, &whole, 1, rows, 0, &none, &next), PRUNESID_OK);
        assert_true(next == (all[i] == KEEP ? (int64_t)INT32_MAX + 1 : (int64_t)INT32_MAX));

        small.n_tokens = small.ld = 0; /* no prompt at all */
        assert_int_equal(
            prunesid_positions(all[i], &small, NULL, 0, rows, 0, &none, &next), PRUNESID_OK);
        assert_true(next == 0 && narrow[0] == INT32_MAX && narrow[1] == INT32_MAX - 1);
    }
}

/* ---- random prompts ----------------------------------------------------------------------- */

enum { MANY = 120 };

/* M-RoPE ids of text and grids, as Qwen2-VL's processor numbers them; with its rows. */
typedef struct random_prompt {
    size_t n_sections, n_tokens, n_spans, n_kept, n_rows;
    int64_t ids[MAX_SECTIONS][MANY];
    prunesid_span spans[MAX_SPANS];
    int32_t kept[MANY], rows[MANY];
    int has_text_behind[MAX_SPANS];
} random_prompt;

static random_prompt random_prompt_new(uint64_t *state, int keep_all) {
    static const size_t sections[] = {1, 3, 4};
    random_prompt p;
    size_t n_visual = 0;
    int64_t at = (int64_t)random_size(state, 0, 50);
    memset(&p, 0, sizeof p);
    p.n_sections = sections[random_size(state, 0, 2)];
    const size_t n_images = random_size(state, 0, MAX_SPANS);
    const size_t keep_one_in = random_size(state, 1, 4);
    for (size_t s = 0; s <= n_images; s++) {
        const size_t n_text = random_bits(state) % 4 ? random_size(state, 0, 6) : 0;
        if (s > 0) p.has_text_behind[s - 1] = n_text > 0;
        for (size_t i = 0; i < n_text; i++, at++) {
            for (size_t k = 0; k < p.n_sections && k < 3; k++) p.ids[k][p.n_tokens] = at;
            p.rows[p.n_rows++] = (int32_t)p.n_tokens++;
        }
        if (s == n_images) break;
        const size_t t = random_size(state, 1, 2), h = random_size(state, 1, 3);
        const size_t w = random_size(state, 1, 4);
        p.spans[p.n_spans].first = p.n_tokens;
        p.spans[p.n_spans++].n_tokens = t * h * w;
        const int none = random_bits(state) % 8 == 0;
        for (size_t i = 0; i < t * h * w; i++, n_visual++) {
            const int64_t grid[3] = {
                (int64_t)(i / (h * w)), (int64_t)(i / w % h), (int64_t)(i % w)};
            for (size_t k = 0; k < p.n_sections && k < 3; k++) {
                p.ids[k][p.n_tokens] = at + (p.n_sections == 1 ? (int64_t)i : grid[k]);
            }
            if (keep_all || (!none && random_bits(state) % keep_one_in == 0)) {
                p.kept[p.n_kept++] = (int32_t)n_visual;
                p.rows[p.n_rows++] = (int32_t)p.n_tokens;
            }
            p.n_tokens++;
        }
        at += (int64_t)(p.n_sections == 1 ? t * h * w : ref_max(t, ref_max(h, w)));
    }
    return p;
}

static int64_t largest_id(const random_prompt *p, const table *t, size_t n) {
    int64_t most = -1;
    for (size_t k = 0; k < p->n_sections; k++) {
        for (size_t j = 0; j < n; j++) {
            const int64_t id = table_get(t, k, j);
            most = id > most ? id : most;
        }
    }
    return most;
}

/* Runs p; out has ld 200. */
static int64_t run_prompt(
    const random_prompt *p, prunesid_position_policy policy, size_t id_bytes, table *out) {
    table ids = table_new(id_bytes, p->n_sections, p->n_tokens, p->n_tokens + 2);
    int64_t next = -1;
    *out = table_new(id_bytes, p->n_sections, p->n_rows, 200);
    for (size_t k = 0; k < p->n_sections; k++) {
        for (size_t i = 0; i < p->n_tokens; i++) table_set(&ids, k, i, p->ids[k][i]);
    }
    assert_int_equal(prunesid_positions(policy, &ids.view, p->spans, p->n_spans, p->rows, p->n_rows,
                         &out->view, &next),
        PRUNESID_OK);
    assert_true(gaps_untouched(out));
    if (policy != KEEP && p->n_rows > 0) assert_true(next == largest_id(p, out, p->n_rows) + 1);
    guard_free(&ids.memory);
    return next;
}

static void keep_gathers_columns(void **unused) {
    uint64_t state = 31;
    (void)unused;
    for (size_t n = 0; n < 2000; n++) {
        const random_prompt p = random_prompt_new(&state, 0);
        table out;
        int64_t most = -1;
        const int64_t next = run_prompt(&p, KEEP, n % 2 ? 4 : 8, &out);
        for (size_t k = 0; k < p.n_sections; k++) {
            for (size_t i = 0; i < p.n_tokens; i++) most = p.ids[k][i] > most ? p.ids[k][i] : most;
            for (size_t j = 0; j < p.n_rows; j++) {
                CHECK(table_get(&out, k, j) == p.ids[k][p.rows[j]], "prompt %zu", n);
            }
        }
        CHECK(next == most + 1 || p.n_tokens == 0, "prompt %zu: %d", n, (int)next);
        guard_free(&out.memory);
    }
}

static void renumber_is_consecutive(void **unused) {
    uint64_t state = 32;
    (void)unused;
    for (size_t n = 0; n < 2000; n++) {
        const random_prompt p = random_prompt_new(&state, 0);
        table out;
        const int64_t next = run_prompt(&p, RENUMBER, n % 2 ? 4 : 8, &out);
        const int64_t base = p.n_tokens > 0 ? p.ids[0][0] : 0;
        for (size_t k = 0; k < p.n_sections; k++) {
            int is_used = k < 3; /* a fourth section of zeros stays one */
            for (size_t i = 0; i < p.n_tokens; i++) is_used |= p.ids[k][i] != 0;
            for (size_t j = 0; j < p.n_rows; j++) {
                CHECK(table_get(&out, k, j) == (is_used ? base + (int64_t)j : 0), "prompt %zu", n);
            }
        }
        CHECK(next == base + (int64_t)p.n_rows, "prompt %zu: %d", n, (int)next);
        guard_free(&out.memory);
    }
}

/* Within a run of text or of one image's tokens, and within a section, distances are as before; each
 * image's base, or the text's, stands right behind the largest position in front of it. */
static void compact_moves_whole_pieces(void **unused) {
    uint64_t state = 33;
    size_t n_checked = 0;
    (void)unused;
    for (size_t n = 0; n < 3000; n++) {
        const random_prompt p = random_prompt_new(&state, 0);
        table out;
        run_prompt(&p, COMPACT, n % 2 ? 4 : 8, &out);
        int64_t drop = 0;
        for (size_t j = 0; j < p.n_rows; j++) { /* one drop for all sections, which only grows */
            const int64_t here = p.ids[0][p.rows[j]] - table_get(&out, 0, j);
            CHECK(here >= drop, "prompt %zu, row %zu", n, j);
            drop = here;
            CHECK(p.n_sections < 4 || table_get(&out, 3, j) == 0, "prompt %zu, row %zu", n, j);
            for (size_t k = 1; k < p.n_sections && k < 3; k++) {
                CHECK(p.ids[k][p.rows[j]] - table_get(&out, k, j) == drop, "prompt %zu, row %zu", n,
                    j);
            }
        }
        for (size_t s = 0; s < p.n_spans; s++) {
            const size_t begin = p.spans[s].first, end = begin + p.spans[s].n_tokens;
            size_t n_before = 0, n_inside = 0;
            for (size_t j = 0; j < p.n_rows; j++) {
                n_before += (size_t)p.rows[j] < begin;
                n_inside += (size_t)p.rows[j] >= begin && (size_t)p.rows[j] < end;
            }
            if (!p.has_text_behind[s] || n_before + n_inside == 0) continue;
            const size_t after = n_before + n_inside;
            CHECK(table_get(&out, 0, after) == largest_id(&p, &out, after) + 1,
                "prompt %zu, image %zu: %d", n, s, (int)table_get(&out, 0, after));
            n_checked++;
        }
        guard_free(&out.memory);
    }
    assert_true(n_checked > 1000);
}

static void compact_of_everything_changes_nothing(void **unused) {
    uint64_t state = 34;
    (void)unused;
    for (size_t n = 0; n < 2000; n++) {
        const random_prompt p = random_prompt_new(&state, 1);
        table compact, keep;
        assert_int_equal(p.n_rows, p.n_tokens);
        const int64_t next = run_prompt(&p, COMPACT, n % 2 ? 4 : 8, &compact);
        assert_true(next == run_prompt(&p, KEEP, n % 2 ? 4 : 8, &keep));
        for (size_t k = 0; k < p.n_sections; k++) {
            for (size_t i = 0; i < p.n_tokens; i++) {
                CHECK(table_get(&compact, k, i) == p.ids[k][i], "prompt %zu", n);
            }
        }
        guard_free(&compact.memory);
        guard_free(&keep.memory);
    }
}

/* ---- what is refused ---------------------------------------------------------------------- */

enum { E_TOKENS = 10, E_ROWS = 6, E_LD = 12 };

/* A valid call; each breaker breaks one thing in it. */
typedef struct call {
    prunesid_position_policy policy;
    int64_t ids[4 * E_LD], out[4 * E_LD]; /* the memory of either width */
    prunesid_span spans[2];
    int32_t rows[E_ROWS + 1];
    prunesid_position_ids in, to;
    int no_ids, no_in, no_out, no_to, no_spans, no_rows, no_next, shift_in, shift_out, same;
    size_t n_spans, n_rows;
} call;

static call call_new(size_t id_bytes) {
    static const int32_t rows[] = {0, 1, 3, 5, 8, 9};
    call c;
    memset(&c, 0, sizeof c);
    c.policy = COMPACT;
    for (int i = 0; i < 4 * E_LD; i++) {
        if (id_bytes == 8) c.ids[i] = i % E_LD;
        if (id_bytes == 4) ((int32_t *)(void *)c.ids)[i] = i % E_LD;
    }
    memset(c.out, FILL, sizeof c.out);
    c.spans[0].first = 2;
    c.spans[0].n_tokens = 2;
    c.spans[1].first = 4;
    c.spans[1].n_tokens = 4;
    memcpy(c.rows, rows, sizeof rows);
    c.n_spans = 2;
    c.n_rows = E_ROWS;
    c.in.id_bytes = c.to.id_bytes = id_bytes;
    c.in.n_sections = c.to.n_sections = 3;
    c.in.n_tokens = E_TOKENS;
    c.to.n_tokens = E_ROWS;
    c.in.ld = c.to.ld = E_LD;
    return c;
}

/* On an error the ids, the answer and the next position must be as they were. */
static prunesid_status call_run(call *c) {
    int64_t next = -5, before[4 * E_LD];
    memcpy(before, c->ids, sizeof before);
    c->in.ids = c->no_ids ? NULL : (unsigned char *)c->ids + c->shift_in;
    c->to.ids = c->no_out ? NULL : (unsigned char *)(c->same ? c->ids : c->out) + c->shift_out;
    const prunesid_status status = prunesid_positions(c->policy, c->no_in ? NULL : &c->in,
        c->no_spans ? NULL : c->spans, c->n_spans, c->no_rows ? NULL : c->rows, c->n_rows,
        c->no_to ? NULL : &c->to, c->no_next ? NULL : &next);
    if (status != PRUNESID_OK) {
        assert_memory_equal(before, c->ids, sizeof before);
        for (size_t i = 0; i < sizeof c->out; i++) {
            assert_int_equal(((unsigned char *)c->out)[i], FILL);
        }
        assert_true(next == -5);
    }
    return status;
}

static void set_id(call *c, size_t section, size_t i, int64_t id) {
    if (c->in.id_bytes == 8) {
        c->ids[section * E_LD + i] = id;
    } else {
        ((int32_t *)(void *)c->ids)[section * E_LD + i] = (int32_t)id;
    }
}

typedef void breaker(call *c);

static void break_in_null(call *c) {
    c->no_in = 1;
}
static void break_out_null(call *c) {
    c->no_to = 1;
}
static void break_ids_null(call *c) {
    c->no_ids = 1;
}
static void break_out_ids_null(call *c) {
    c->no_out = 1;
}
static void break_spans_null(call *c) {
    c->no_spans = 1;
}
static void break_rows_null(call *c) {
    c->no_rows = 1;
}
static void break_next_null(call *c) {
    c->no_next = 1;
}
static void break_policy(call *c) {
    c->policy = (prunesid_position_policy)3;
}
static void break_policy_below(call *c) {
    c->policy = (prunesid_position_policy)-1;
}
static void break_sections_none(call *c) {
    c->in.n_sections = c->to.n_sections = 0;
}
static void break_sections_two(call *c) {
    c->in.n_sections = c->to.n_sections = 2;
}
static void break_sections_five(call *c) {
    c->in.n_sections = c->to.n_sections = 5;
}
static void break_sections_many(call *c) {
    c->in.n_sections = c->to.n_sections = SIZE_MAX;
}
static void break_sections_differ(call *c) {
    c->to.n_sections = 4;
}
static void break_sections_fewer(call *c) {
    c->to.n_sections = 1;
}
static void break_id_bytes_three(call *c) {
    c->in.id_bytes = c->to.id_bytes = 3;
}
static void break_id_bytes_none(call *c) {
    c->in.id_bytes = c->to.id_bytes = 0;
}
static void break_id_bytes_differ(call *c) {
    c->to.id_bytes = 12 - c->to.id_bytes;
}
static void break_out_short(call *c) {
    c->to.n_tokens = E_ROWS - 1;
}
static void break_out_long(call *c) {
    c->to.n_tokens = E_ROWS + 1;
}
static void break_stride_in(call *c) {
    c->in.ld = E_TOKENS - 1;
}
static void break_stride_out(call *c) {
    c->to.ld = E_ROWS - 1;
}
static void break_stride_in_place(call *c) {
    c->same = 1;
    c->to.ld = E_ROWS;
}
static void break_alignment_in(call *c) {
    c->shift_in = 1;
}
static void break_alignment_out(call *c) {
    c->shift_out = 2;
}
static void break_negative_first(call *c) {
    set_id(c, 0, 0, -1);
}
static void break_negative_last(call *c) {
    set_id(c, 2, E_TOKENS - 1, INT32_MIN);
}
static void break_negative_dropped(call *c) {
    set_id(c, 1, 2, -3);
}
static void break_span_empty(call *c) {
    c->spans[1].n_tokens = 0;
}
static void break_span_overlap(call *c) {
    c->spans[1].first = 3;
}
static void break_span_descending(call *c) {
    c->spans[1].first = 0;
    c->spans[1].n_tokens = 1;
}
static void break_span_beyond(call *c) {
    c->spans[1].n_tokens = 7;
}
static void break_span_outside(call *c) {
    c->spans[1].first = E_TOKENS + 1;
}
static void break_span_wraps(call *c) {
    c->spans[1].n_tokens = SIZE_MAX - 2;
}
static void break_span_first_wraps(call *c) {
    c->spans[1].first = SIZE_MAX;
}
static void break_rows_twice(call *c) {
    c->rows[3] = c->rows[2];
}
static void break_rows_descending(call *c) {
    c->rows[3] = 2;
}
static void break_rows_negative(call *c) {
    c->rows[0] = -1;
}
static void break_rows_beyond(call *c) {
    c->rows[E_ROWS - 1] = E_TOKENS;
}
static void break_rows_huge(call *c) {
    c->rows[E_ROWS - 1] = INT32_MAX;
}
static void break_wide(call *c) {
    c->in.ld = SIZE_MAX / 8;
}
static void break_wide_out(call *c) {
    c->to.ld = SIZE_MAX - 3;
}

static void each_cause_has_its_status(void **unused) {
    static const struct {
        breaker *apply;
        prunesid_status status;
    } cases[] = {
        {break_in_null, PRUNESID_ERROR_NULL},
        {break_out_null, PRUNESID_ERROR_NULL},
        {break_ids_null, PRUNESID_ERROR_NULL},
        {break_out_ids_null, PRUNESID_ERROR_NULL},
        {break_spans_null, PRUNESID_ERROR_NULL},
        {break_rows_null, PRUNESID_ERROR_NULL},
        {break_next_null, PRUNESID_ERROR_NULL},
        {break_policy, PRUNESID_ERROR_POLICY},
        {break_policy_below, PRUNESID_ERROR_POLICY},
        {break_sections_none, PRUNESID_ERROR_POSITIONS},
        {break_sections_two, PRUNESID_ERROR_POSITIONS},
        {break_sections_five, PRUNESID_ERROR_POSITIONS},
        {break_sections_many, PRUNESID_ERROR_POSITIONS},
        {break_sections_differ, PRUNESID_ERROR_POSITIONS},
        {break_sections_fewer, PRUNESID_ERROR_POSITIONS},
        {break_id_bytes_three, PRUNESID_ERROR_POSITIONS},
        {break_id_bytes_none, PRUNESID_ERROR_POSITIONS},
        {break_id_bytes_differ, PRUNESID_ERROR_POSITIONS},
        {break_out_short, PRUNESID_ERROR_POSITIONS},
        {break_out_long, PRUNESID_ERROR_POSITIONS},
        {break_stride_in, PRUNESID_ERROR_STRIDE},
        {break_stride_out, PRUNESID_ERROR_STRIDE},
        {break_stride_in_place, PRUNESID_ERROR_STRIDE},
        {break_alignment_in, PRUNESID_ERROR_ALIGNMENT},
        {break_alignment_out, PRUNESID_ERROR_ALIGNMENT},
        {break_negative_first, PRUNESID_ERROR_POSITIONS},
        {break_negative_last, PRUNESID_ERROR_POSITIONS},
        {break_negative_dropped, PRUNESID_ERROR_POSITIONS},
        {break_span_empty, PRUNESID_ERROR_REGION},
        {break_span_overlap, PRUNESID_ERROR_REGION},
        {break_span_descending, PRUNESID_ERROR_REGION},
        {break_span_beyond, PRUNESID_ERROR_REGION},
        {break_span_outside, PRUNESID_ERROR_REGION},
        {break_span_wraps, PRUNESID_ERROR_REGION},
        {break_span_first_wraps, PRUNESID_ERROR_REGION},
        {break_rows_twice, PRUNESID_ERROR_INDEX},
        {break_rows_descending, PRUNESID_ERROR_INDEX},
        {break_rows_negative, PRUNESID_ERROR_INDEX},
        {break_rows_beyond, PRUNESID_ERROR_INDEX},
        {break_rows_huge, PRUNESID_ERROR_INDEX},
        {break_wide, PRUNESID_ERROR_OVERFLOW},
        {break_wide_out, PRUNESID_ERROR_OVERFLOW},
    };
    (void)unused;
    for (size_t i = 0; i < 6 * N_ITEMS(cases); i++) {
        call c = call_new(i % 2 ? 4 : 8);
        c.policy = (prunesid_position_policy)(i / 2 % 3);
        CHECK_STATUS(call_run(&c), PRUNESID_OK, "unbroken, %zu", i % 6);
        c = call_new(i % 2 ? 4 : 8);
        c.policy = (prunesid_position_policy)(i / 2 % 3);
        cases[i / 6].apply(&c);
        CHECK_STATUS(call_run(&c), cases[i / 6].status, "case %zu, %zu", i / 6, i % 6);
    }
}

static void ids_have_a_range(void **unused) {
    static const int64_t bad[] = {(int64_t)1 << 62, INT64_MAX, INT64_MIN, -1};
    (void)unused;
    for (size_t i = 0; i < 3 * E_TOKENS * N_ITEMS(bad); i++) {
        for (int policy = 0; policy < 3; policy++) {
            call c = call_new(8);
            c.policy = (prunesid_position_policy)policy;
            set_id(&c, i % 3, i / 3 % E_TOKENS, bad[i / 3 / E_TOKENS]);
            CHECK_STATUS(call_run(&c), PRUNESID_ERROR_POSITIONS, "case %zu", i);
        }
    }
}

/* What is behind a span stands above all that is before its end. */
static void compact_needs_ids_that_rise(void **unused) {
    (void)unused;
    for (int policy = 0; policy < 3; policy++) {
        call c = call_new(8);
        c.policy = (prunesid_position_policy)policy;
        set_id(&c, 1, E_TOKENS - 1, 7); /* the second span ends with 7 */
        CHECK_STATUS(call_run(&c), policy == COMPACT ? PRUNESID_ERROR_POSITIONS : PRUNESID_OK,
            "policy %d", policy);
    }
}

/* E_ROWS rows from base on; 64 bits have room. */
static void renumbered_ids_must_fit(void **unused) {
    (void)unused;
    for (int64_t base = (int64_t)INT32_MAX - 20; base <= INT32_MAX; base++) {
        for (size_t id_bytes = 4; id_bytes <= 8; id_bytes += 4) {
            call c = call_new(id_bytes);
            c.policy = RENUMBER;
            set_id(&c, 0, 0, base);
            const prunesid_status status = call_run(&c);
            if (id_bytes == 8 || base + E_ROWS <= INT32_MAX) {
                CHECK_STATUS(status, PRUNESID_OK, "base %d", (int)base);
            } else if (base + E_ROWS - 1 > INT32_MAX) {
                CHECK_STATUS(status, PRUNESID_ERROR_POSITIONS, "base %d", (int)base);
            }
        }
    }
}

/* ---- the rows of a prompt, and masks ------------------------------------------------------ */

static void rows_by_hand(void **unused) {
    static const struct {
        const char *name;
        size_t n_prompt, n_spans;
        prunesid_span spans[MAX_SPANS];
        size_t n_kept;
        int32_t kept[MAX_TOKENS];
        size_t n_rows;
        int32_t rows[MAX_TOKENS];
    } cases[] = {
        {"middle", 10, 1, {{2, 6}}, 2, {1, 3}, 6, {0, 1, 3, 5, 8, 9}},
        {"start", 9, 1, {{0, 6}}, 2, {0, 5}, 5, {0, 5, 6, 7, 8}},
        {"end", 9, 1, {{3, 6}}, 2, {0, 5}, 5, {0, 1, 2, 3, 8}},
        {"nothing but an image", 6, 1, {{0, 6}}, 2, {2, 4}, 2, {2, 4}},
        {"none kept", 10, 1, {{2, 6}}, 0, {0}, 4, {0, 1, 8, 9}},
        {"nothing left", 6, 1, {{0, 6}}, 0, {0}, 0, {0}},
        {"all kept", 10, 1, {{2, 6}}, 6, {0, 1, 2, 3, 4, 5}, 10, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
        {"two images", 14, 2, {{1, 4}, {6, 6}}, 4, {0, 3, 4, 9}, 8, {0, 1, 4, 5, 6, 11, 12, 13}},
        {"two images, none of the first", 14, 2, {{1, 4}, {6, 6}}, 2, {5, 8}, 6,
            {0, 5, 7, 10, 12, 13}},
        {"two images, none of the second", 14, 2, {{1, 4}, {6, 6}}, 2, {1, 2}, 6,
            {0, 2, 3, 5, 12, 13}},
        {"side by side", 8, 3, {{1, 2}, {3, 2}, {5, 3}}, 3, {1, 2, 6}, 4, {0, 2, 3, 7}},
        {"text only", 3, 0, {{0, 0}}, 0, {0}, 3, {0, 1, 2}},
        {"nothing at all", 0, 0, {{0, 0}}, 0, {0}, 0, {0}},
    };
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        guard rows = guard_new(cases[i].n_rows * 4, FILL);
        size_t n_rows = 99;
        CHECK_STATUS(prunesid_prompt_rows(cases[i].n_spans > 0 ? cases[i].spans : NULL,
                         cases[i].n_spans, cases[i].n_prompt, cases[i].kept, cases[i].n_kept,
                         (int32_t *)(void *)rows.data, &n_rows),
            PRUNESID_OK, "%s", cases[i].name);
        CHECK(n_rows == cases[i].n_rows, "%s: %zu", cases[i].name, n_rows);
        CHECK(memcmp(rows.data, cases[i].rows, rows.n_bytes) == 0, "%s", cases[i].name);
        guard_free(&rows);
    }
}

static void rows_of_random_prompts(void **unused) {
    uint64_t state = 35;
    (void)unused;
    for (size_t n = 0; n < 3000; n++) {
        const random_prompt p = random_prompt_new(&state, n % 7 == 0);
        guard rows = guard_new(p.n_rows * 4, FILL);
        size_t n_rows = 0;
        assert_int_equal(prunesid_prompt_rows(p.spans, p.n_spans, p.n_tokens, p.kept, p.n_kept,
                             (int32_t *)(void *)rows.data, &n_rows),
            PRUNESID_OK);
        CHECK(n_rows == p.n_rows, "prompt %zu: %zu, not %zu", n, n_rows, p.n_rows);
        CHECK(memcmp(rows.data, p.rows, rows.n_bytes) == 0, "prompt %zu", n);
        guard_free(&rows);
    }
}

static void rows_refuse(void **unused) {
    static const prunesid_span good[] = {{1, 4}, {6, 6}};
    static const prunesid_span overlap[] = {{1, 4}, {4, 6}}, empty[] = {{1, 0}, {6, 6}};
    static const prunesid_span beyond[] = {{1, 4}, {6, 9}}, descending[] = {{6, 6}, {1, 4}};
    static const prunesid_span outside[] = {{1, 4}, {15, 1}};
    static const prunesid_span wraps[] = {{1, 4}, {6, SIZE_MAX - 5}};
    static const int32_t kept[] = {0, 3, 9}, twice[] = {0, 3, 3}, falling[] = {3, 0, 9};
    static const int32_t high[] = {0, 3, 10}, negative[] = {-1, 3, 9};
    guard memory = guard_new(7 * 4, FILL);
    int32_t *const rows = (int32_t *)(void *)memory.data;
    size_t n = 99;
    (void)unused;
    const struct {
        prunesid_status got, want;
    } cases[] = {
        {prunesid_prompt_rows(NULL, 2, 14, kept, 3, rows, &n), PRUNESID_ERROR_NULL},
        {prunesid_prompt_rows(good, 2, 14, NULL, 3, rows, &n), PRUNESID_ERROR_NULL},
        {prunesid_prompt_rows(good, 2, 14, kept, 3, NULL, &n), PRUNESID_ERROR_NULL},
        {prunesid_prompt_rows(good, 2, 14, kept, 3, rows, NULL), PRUNESID_ERROR_NULL},
        {prunesid_prompt_rows(good, 2, (size_t)INT32_MAX + 1, kept, 3, rows, &n),
            PRUNESID_ERROR_DIMENSION},
        {prunesid_prompt_rows(overlap, 2, 14, kept, 3, rows, &n), PRUNESID_ERROR_REGION},
        {prunesid_prompt_rows(empty, 2, 14, kept, 3, rows, &n), PRUNESID_ERROR_REGION},
        {prunesid_prompt_rows(beyond, 2, 14, kept, 3, rows, &n), PRUNESID_ERROR_REGION},
        {prunesid_prompt_rows(outside, 2, 14, kept, 3, rows, &n), PRUNESID_ERROR_REGION},
        {prunesid_prompt_rows(wraps, 2, 14, kept, 3, rows, &n), PRUNESID_ERROR_REGION},
        {prunesid_prompt_rows(descending, 2, 14, kept, 3, rows, &n), PRUNESID_ERROR_REGION},
        {prunesid_prompt_rows(good, 2, 11, kept, 3, rows, &n), PRUNESID_ERROR_REGION},
        {prunesid_prompt_rows(good, 2, 14, twice, 3, rows, &n), PRUNESID_ERROR_INDEX},
        {prunesid_prompt_rows(good, 2, 14, falling, 3, rows, &n), PRUNESID_ERROR_INDEX},
        {prunesid_prompt_rows(good, 2, 14, high, 3, rows, &n), PRUNESID_ERROR_INDEX},
        {prunesid_prompt_rows(good, 2, 14, negative, 3, rows, &n), PRUNESID_ERROR_INDEX},
        {prunesid_prompt_rows(NULL, 0, 14, kept, 1, rows, &n), PRUNESID_ERROR_INDEX},
    };
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        CHECK_STATUS(cases[i].got, cases[i].want, "case %zu", i);
    }
    assert_true(guard_untouched(&memory, FILL) && n == 99);
    assert_int_equal(prunesid_prompt_rows(good, 2, 14, kept, 3, rows, &n), PRUNESID_OK);
    assert_int_equal(n, 7);
    guard_free(&memory);
}

static void masks(void **unused) {
    static const int32_t indices[] = {0, 3, 4, 8}, twice[] = {0, 3, 3, 8}, high[] = {0, 3, 4, 9};
    static const int32_t negative[] = {-1, 3, 4, 8};
    static const uint8_t want[9] = {1, 0, 0, 1, 1, 0, 0, 0, 1}, none[9] = {0};
    static const uint8_t all[4] = {1, 1, 1, 1};
    static const int32_t every[] = {0, 1, 2, 3};
    guard mask = guard_new(9, FILL), four = guard_new(4, FILL), empty = guard_new(0, FILL);
    (void)unused;
    assert_int_equal(prunesid_mask(NULL, 4, 9, mask.data), PRUNESID_ERROR_NULL);
    assert_int_equal(prunesid_mask(twice, 4, 9, mask.data), PRUNESID_ERROR_INDEX);
    assert_int_equal(prunesid_mask(high, 4, 9, mask.data), PRUNESID_ERROR_INDEX);
    assert_int_equal(prunesid_mask(negative, 4, 9, mask.data), PRUNESID_ERROR_INDEX);
    assert_int_equal(prunesid_mask(indices, 1, 0, mask.data), PRUNESID_ERROR_INDEX);
    assert_int_equal(prunesid_mask(indices, 4, 9, NULL), PRUNESID_ERROR_NULL);
    assert_true(guard_untouched(&mask, FILL));
    assert_int_equal(prunesid_mask(indices, 4, 9, mask.data), PRUNESID_OK);
    assert_memory_equal(mask.data, want, sizeof want);
    assert_int_equal(prunesid_mask(indices, 0, 9, mask.data), PRUNESID_OK);
    assert_memory_equal(mask.data, none, sizeof none);
    assert_int_equal(prunesid_mask(every, 4, 4, four.data), PRUNESID_OK);
    assert_memory_equal(four.data, all, sizeof all);
    assert_int_equal(prunesid_mask(indices, 0, 0, empty.data), PRUNESID_OK);
    guard_free(&mask);
    guard_free(&four);
    guard_free(&empty);
}

/* A selection, its rows, its positions and its mask: three images of a prompt from end to end. */
static void a_prompt_from_end_to_end(void **unused) {
    enum { EACH = 16, D = 8, N_TEXT = 3, PROMPT = 3 * EACH + 4 * N_TEXT };
    float *const x = tokens_new(KIND_REAL, 3 * EACH, D, 9);
    const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, 3 * EACH, D, 21);
    const prunesid_tokens tokens = prunesid_tokens_view(x, PRUNESID_F32, 3 * EACH, D);
    prunesid_region regions[3];
    prunesid_span spans[3];
    int32_t kept[21], rows[PROMPT], ids[PROMPT], out[PROMPT];
    uint8_t mask[3 * EACH];
    size_t n_rows = 0;
    int64_t next = 0;
    (void)unused;
    for (size_t r = 0; r < 3; r++) {
        regions[r] = prunesid_region_init(r * EACH, EACH, 0);
        spans[r].first = N_TEXT + r * (EACH + N_TEXT);
        spans[r].n_tokens = EACH;
    }
    for (int i = 0; i < PROMPT; i++) ids[i] = i;
    const size_t n_bytes = prunesid_regions_workspace_size(&config, PRUNESID_BY_PHI, regions, 3, 1);
    guard workspace = guard_new(n_bytes, 0xFF);
    assert_int_equal(prunesid_select_regions(&config, PRUNESID_BY_PHI, &tokens, regions, 3, NULL,
                         workspace.data, n_bytes, kept),
        PRUNESID_OK);
    assert_int_equal(prunesid_prompt_rows(spans, 3, PROMPT, kept, 21, rows, &n_rows), PRUNESID_OK);
    assert_int_equal(n_rows, 21 + 4 * N_TEXT);
    assert_int_equal(prunesid_mask(kept, 21, 3 * EACH, mask), PRUNESID_OK);
    const prunesid_position_ids in = {ids, 4, 1, PROMPT, PROMPT}, to = {out, 4, 1, n_rows, PROMPT};
    assert_int_equal(
        prunesid_positions(KEEP, &in, spans, 3, rows, n_rows, &to, &next), PRUNESID_OK);
    size_t j = 0, visual = 0;
    for (size_t i = 0; i < PROMPT; i++) {
        const int is_text = i % (EACH + N_TEXT) < N_TEXT;
        if (is_text || mask[visual]) {
            assert_true(j < n_rows && rows[j] == (int32_t)i && out[j] == (int32_t)i);
            j++;
        }
        visual += !is_text;
    }
    assert_true(j == n_rows && next == PROMPT);
    guard_free(&workspace);
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_engines_have_it),
        cmocka_unit_test(borders),
        cmocka_unit_test(keep_gathers_columns),
        cmocka_unit_test(renumber_is_consecutive),
        cmocka_unit_test(compact_moves_whole_pieces),
        cmocka_unit_test(compact_of_everything_changes_nothing),
        cmocka_unit_test(each_cause_has_its_status),
        cmocka_unit_test(ids_have_a_range),
        cmocka_unit_test(compact_needs_ids_that_rise),
        cmocka_unit_test(renumbered_ids_must_fit),
        cmocka_unit_test(rows_by_hand),
        cmocka_unit_test(rows_of_random_prompts),
        cmocka_unit_test(rows_refuse),
        cmocka_unit_test(masks),
        cmocka_unit_test(a_prompt_from_end_to_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
