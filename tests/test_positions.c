/* test_positions.c - the rows of a prompt, and where tokens stand once others are gone: what each
 * engine expects, typed in by hand; then properties, and what is refused.   MIT licence. */
#include "support.h"

enum { MAX_TOKENS = 120, MAX_SPANS = 3, MAX_SECTIONS = 4, MAX_ROWS = 14, FILL = 0x39 };

#define KEEP PRUNESID_POSITIONS_KEEP
#define COMPACT PRUNESID_POSITIONS_COMPACT
#define RENUMBER PRUNESID_POSITIONS_RENUMBER
#define EVERY 3 /* of these */
#define D1 PRUNESID_LAYOUT_1D
#define MROPE PRUNESID_LAYOUT_MROPE
#define TAGGED PRUNESID_LAYOUT_MROPE_TAG
#define TEXT PRUNESID_LAYOUT_TEXT_MROPE

static const prunesid_position_policy all_policies[] = {KEEP, COMPACT, RENUMBER};

/* By layout: all sections, and those of the grid. */
static const struct {
    size_t n, grid, grid_end;
} sections[] = {{1, 0, 1}, {3, 0, 3}, {4, 0, 3}, {4, 1, 4}};

/* ---- one call in guarded memory ----------------------------------------------------------- */

/* A prompt before anything is gone. */
typedef struct scene {
    size_t n_tokens;
    int64_t ids[MAX_SECTIONS][MAX_TOKENS];
    size_t n_spans;
    prunesid_span spans[MAX_SPANS];
} scene;

enum { N_WAYS = 12 };

/* How n tokens of a layout lie in memory, in the given of N_WAYS; ids is left open. */
static prunesid_position_ids ids_view(prunesid_layout layout, size_t n, size_t way) {
    const size_t S = sections[layout].n;
    const size_t strides[N_WAYS / 2][2] = {
        {ref_max(n, 1), 1}, {n + 3, 1}, {1, S}, {1, S + 2}, {2 * n + 5, 2}, {3, 3 * S + 1}};
    const prunesid_position_ids view = {
        NULL, way % 2 ? 4 : 8, layout, strides[way / 2][0], strides[way / 2][1]};
    return view;
}

static unsigned char *id_at(const prunesid_position_ids *ids, size_t section, size_t i) {
    return (unsigned char *)ids->ids +
           (section * ids->section_stride + i * ids->token_stride) * ids->id_bytes;
}

static void set_id(const prunesid_position_ids *ids, size_t section, size_t i, int64_t id) {
    const int32_t narrow = (int32_t)id;
    if (ids->id_bytes == 8)
        memcpy(id_at(ids, section, i), &id, sizeof id);
    else
        memcpy(id_at(ids, section, i), &narrow, sizeof narrow);
}

static int64_t get_id(const prunesid_position_ids *ids, size_t section, size_t i) {
    int32_t narrow;
    int64_t id;
    memcpy(&narrow, id_at(ids, section, i), sizeof narrow);
    if (ids->id_bytes == 4) return narrow;
    memcpy(&id, id_at(ids, section, i), sizeof id);
    return id;
}

/* The ids of the rows that stay go to out, where what follows goes on is returned. What lies behind
 * them and between the ids is left alone. */
static int64_t move(const scene *s, prunesid_layout layout, prunesid_position_policy policy,
    const int32_t *rows, size_t n_rows, size_t way, int64_t out[][MAX_TOKENS]) {
    const size_t S = sections[layout].n, n = s->n_tokens;
    prunesid_position_ids ids = ids_view(layout, n, way);
    const size_t last = (S - 1) * ids.section_stride + (ref_max(n, 1) - 1) * ids.token_stride;
    guard memory = guard_new((last + 1) * ids.id_bytes, FILL);
    int32_t its_rows[MAX_TOKENS];
    const prunesid_prompt prompt = {n, s->spans, s->n_spans, its_rows, n_rows};
    int64_t next = -77;
    memcpy(its_rows, rows, n_rows * sizeof *rows);
    ids.ids = memory.data;
    for (size_t i = 0; i < S * n; i++) set_id(&ids, i % S, i / S, s->ids[i % S][i / S]);
    assert_int_equal(prunesid_positions(policy, &prompt, &ids, &next), PRUNESID_OK);
    assert_memory_equal(its_rows, rows, n_rows * sizeof *rows);
    for (size_t i = 0; i < S * n; i++) {
        const size_t k = i % S, j = i / S;
        out[k][j] = get_id(&ids, k, j);
        assert_true(j < n_rows || out[k][j] == s->ids[k][j]);
        memset(id_at(&ids, k, j), FILL, ids.id_bytes);
    }
    assert_true(guard_untouched(&memory, FILL));
    guard_free(&memory);
    return next;
}

/* ---- prompts by hand ---------------------------------------------------------------------- */

/* two texts, an image of 2 x 3, two texts */
static const scene middle = {10,
    {{0, 1, 2, 2, 2, 2, 2, 2, 5, 6}, {0, 1, 2, 2, 2, 3, 3, 3, 5, 6},
        {0, 1, 2, 3, 4, 2, 3, 4, 5, 6}},
    1, {{2, 6}}};
/* a text, an image of 2 x 2, a text, an image of 3 x 2, two texts */
static const scene two = {14,
    {{0, 1, 1, 1, 1, 3, 4, 4, 4, 4, 4, 4, 7, 8}, {0, 1, 1, 2, 2, 3, 4, 4, 5, 5, 6, 6, 7, 8},
        {0, 1, 2, 1, 2, 3, 4, 5, 4, 5, 4, 5, 7, 8}},
    2, {{1, 4}, {6, 6}}};
/* an image of 2 x 3, three texts */
static const scene start = {9,
    {{0, 0, 0, 0, 0, 0, 3, 4, 5}, {0, 0, 0, 1, 1, 1, 3, 4, 5}, {0, 1, 2, 0, 1, 2, 3, 4, 5}}, 1,
    {{0, 6}}};
/* three texts, an image of 2 x 3 */
static const scene end = {9,
    {{0, 1, 2, 3, 3, 3, 3, 3, 3}, {0, 1, 2, 3, 3, 3, 4, 4, 4}, {0, 1, 2, 3, 4, 5, 3, 4, 5}}, 1,
    {{3, 6}}};
/* a text, two images of 2 x 2, a text; with tags */
static const scene beside = {10,
    {{0, 1, 1, 1, 1, 3, 3, 3, 3, 5}, {0, 1, 1, 2, 2, 3, 3, 4, 4, 5}, {0, 1, 2, 1, 2, 3, 4, 3, 4, 5},
        {0, 7, 7, 7, 7, 9, 8, 9, 9, 0}},
    2, {{1, 4}, {5, 4}}};
/* a text, two frames of 2 x 2, a text */
static const scene video = {10,
    {{0, 1, 1, 1, 1, 2, 2, 2, 2, 3}, {0, 1, 1, 2, 2, 1, 1, 2, 2, 3},
        {0, 1, 2, 1, 2, 1, 2, 1, 2, 3}},
    1, {{1, 8}}};
/* a text, an image of 1 x 2, a text, from 30 on */
static const scene late = {4, {{30, 31, 31, 33}, {30, 31, 31, 33}, {30, 31, 32, 33}}, 1, {{1, 2}}};
/* llama.cpp's chunk of 2 x 3 at n_past 17: t, y, x and zeros */
static const scene chunk = {
    6, {{17, 17, 17, 17, 17, 17}, {17, 17, 17, 18, 18, 18}, {17, 18, 19, 17, 18, 19}}, 1, {{0, 6}}};
/* Transformers and OpenVINO: text, t, h, w of a text, an image of 2 x 2, two texts */
static const scene text = {7,
    {{0, 1, 2, 3, 4, 5, 6}, {0, 1, 1, 1, 1, 3, 4}, {0, 1, 1, 2, 2, 3, 4}, {0, 1, 2, 1, 2, 3, 4}}, 1,
    {{1, 4}}};
/* of one section: an image in the middle, at the start, at the end; two; llama.cpp's chunk; none */
static const scene line_middle = {10, {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}}, 1, {{2, 6}}};
static const scene line_start = {9, {{0, 1, 2, 3, 4, 5, 6, 7, 8}}, 1, {{0, 6}}};
static const scene line_end = {9, {{0, 1, 2, 3, 4, 5, 6, 7, 8}}, 1, {{3, 6}}};
static const scene line_two = {
    14, {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}}, 2, {{1, 4}, {6, 6}}};
static const scene line_chunk = {5, {{41, 42, 43, 44, 45}}, 1, {{0, 5}}};
static const scene line_text = {4, {{7, 8, 9, 10}}, 0, {{0, 0}}};
/* what is legal but borders on what is not */
#define LARGEST (((int64_t)1 << 62) - 1)
static const scene largest = {2, {{LARGEST - 1, LARGEST}}, 0, {{0, 0}}};
static const scene largest32 = {2, {{INT32_MAX - 2, INT32_MAX - 1}}, 0, {{0, 0}}};
static const scene last32 = {1, {{INT32_MAX}}, 1, {{0, 1}}};
static const scene falling = {3, {{5, 3, 6}}, 1, {{0, 2}}}; /* ids that nobody has */
static const scene nothing = {0, {{0}}, 0, {{0, 0}}};

static const struct {
    const scene *of;
    prunesid_layout layout;
    int policy;
    size_t n_rows;
    int32_t rows[MAX_ROWS];
    int64_t want[MAX_SECTIONS][MAX_ROWS], next;
} cases[] = {
    /* KEEP: TensorRT-Edge-LLM, PruneSID's Qwen2-VL code, llama.cpp's M-RoPE */
    {&middle, MROPE, KEEP, 6, {0, 1, 3, 5, 8, 9},
        {{0, 1, 2, 2, 5, 6}, {0, 1, 2, 3, 5, 6}, {0, 1, 3, 2, 5, 6}}, 7},
    {&middle, MROPE, KEEP, 10, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
        {{0, 1, 2, 2, 2, 2, 2, 2, 5, 6}, {0, 1, 2, 2, 2, 3, 3, 3, 5, 6},
            {0, 1, 2, 3, 4, 2, 3, 4, 5, 6}},
        7},
    {&middle, MROPE, KEEP, 4, {0, 1, 8, 9}, {{0, 1, 5, 6}, {0, 1, 5, 6}, {0, 1, 5, 6}}, 7},
    {&start, MROPE, KEEP, 5, {1, 3, 6, 7, 8}, {{0, 0, 3, 4, 5}, {0, 1, 3, 4, 5}, {1, 0, 3, 4, 5}},
        6},
    {&end, MROPE, KEEP, 5, {0, 1, 2, 3, 7}, {{0, 1, 2, 3, 3}, {0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}}, 6},
    {&end, MROPE, KEEP, 3, {0, 1, 2}, {{0, 1, 2}, {0, 1, 2}, {0, 1, 2}}, 6},
    {&two, MROPE, KEEP, 8, {0, 1, 4, 5, 7, 8, 12, 13},
        {{0, 1, 1, 3, 4, 4, 7, 8}, {0, 1, 2, 3, 4, 5, 7, 8}, {0, 1, 2, 3, 5, 4, 7, 8}}, 9},
    {&line_middle, D1, KEEP, 6, {0, 1, 3, 5, 8, 9}, {{0, 1, 3, 5, 8, 9}}, 10},
    {&line_text, D1, KEEP, 4, {0, 1, 2, 3}, {{7, 8, 9, 10}}, 11},
    {&chunk, TAGGED, KEEP, 2, {1, 3}, {{17, 17}, {17, 18}, {18, 17}}, 20},
    {&chunk, TAGGED, KEEP, 6, {0, 1, 2, 3, 4, 5},
        {{17, 17, 17, 17, 17, 17}, {17, 17, 17, 18, 18, 18}, {17, 18, 19, 17, 18, 19}}, 20},
    {&chunk, TAGGED, KEEP, 0, {0}, {{0}}, 20},
    {&middle, TAGGED, KEEP, 5, {0, 1, 7, 8, 9}, {{0, 1, 2, 5, 6}, {0, 1, 3, 5, 6}, {0, 1, 4, 5, 6}},
        7},
    {&beside, TAGGED, KEEP, 5, {0, 3, 6, 8, 9},
        {{0, 1, 3, 3, 5}, {0, 2, 3, 4, 5}, {0, 1, 4, 4, 5}, {0, 7, 8, 9, 0}}, 6},
    {&text, TEXT, KEEP, 5, {0, 1, 4, 5, 6},
        {{0, 1, 2, 3, 4}, {0, 1, 1, 3, 4}, {0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}}, 5},

    /* COMPACT: OpenVINO GenAI's 3-D positions; the corner is kept, then dropped */
    {&middle, MROPE, COMPACT, 6, {0, 1, 3, 7, 8, 9},
        {{0, 1, 2, 2, 5, 6}, {0, 1, 2, 3, 5, 6}, {0, 1, 3, 4, 5, 6}}, 7},
    {&middle, MROPE, COMPACT, 6, {0, 1, 3, 5, 8, 9},
        {{0, 1, 2, 2, 4, 5}, {0, 1, 2, 3, 4, 5}, {0, 1, 3, 2, 4, 5}}, 6},
    {&middle, MROPE, COMPACT, 5, {0, 1, 2, 8, 9},
        {{0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}}, 5},
    {&middle, MROPE, COMPACT, 10, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
        {{0, 1, 2, 2, 2, 2, 2, 2, 5, 6}, {0, 1, 2, 2, 2, 3, 3, 3, 5, 6},
            {0, 1, 2, 3, 4, 2, 3, 4, 5, 6}},
        7},
    {&middle, MROPE, COMPACT, 4, {0, 1, 8, 9}, {{0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3}}, 4},
    {&start, MROPE, COMPACT, 5, {0, 1, 6, 7, 8},
        {{0, 0, 2, 3, 4}, {0, 0, 2, 3, 4}, {0, 1, 2, 3, 4}}, 5},
    {&start, MROPE, COMPACT, 3, {6, 7, 8}, {{0, 1, 2}, {0, 1, 2}, {0, 1, 2}}, 3},
    {&end, MROPE, COMPACT, 5, {0, 1, 2, 3, 7}, {{0, 1, 2, 3, 3}, {0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}},
        5},
    {&end, MROPE, COMPACT, 3, {0, 1, 2}, {{0, 1, 2}, {0, 1, 2}, {0, 1, 2}}, 3},
    /* the first image brings the next down by one, that what follows by two: 4 to 3, 7 to 5 */
    {&two, MROPE, COMPACT, 7, {0, 1, 5, 7, 8, 12, 13},
        {{0, 1, 2, 3, 3, 5, 6}, {0, 1, 2, 3, 4, 5, 6}, {0, 1, 2, 4, 3, 5, 6}}, 7},
    {&two, MROPE, COMPACT, 6, {0, 5, 6, 11, 12, 13},
        {{0, 1, 2, 2, 5, 6}, {0, 1, 2, 4, 5, 6}, {0, 1, 2, 3, 5, 6}}, 7},
    {&two, MROPE, COMPACT, 6, {0, 2, 3, 5, 12, 13},
        {{0, 1, 1, 3, 4, 5}, {0, 1, 2, 3, 4, 5}, {0, 2, 1, 3, 4, 5}}, 6},
    {&two, MROPE, COMPACT, 4, {0, 5, 12, 13}, {{0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3}}, 4},
    {&beside, MROPE, COMPACT, 5, {0, 1, 5, 6, 9},
        {{0, 1, 2, 2, 4}, {0, 1, 2, 2, 4}, {0, 1, 2, 3, 4}}, 5},
    /* a video is held by its time, and shrinks without its second frame */
    {&video, MROPE, COMPACT, 4, {0, 1, 5, 9}, {{0, 1, 2, 3}, {0, 1, 1, 3}, {0, 1, 1, 3}}, 4},
    {&video, MROPE, COMPACT, 3, {0, 1, 9}, {{0, 1, 2}, {0, 1, 2}, {0, 1, 2}}, 3},
    {&late, MROPE, COMPACT, 3, {0, 1, 3}, {{30, 31, 32}, {30, 31, 32}, {30, 31, 32}}, 33},
    {&line_middle, D1, COMPACT, 6, {0, 1, 3, 5, 8, 9}, {{0, 1, 3, 5, 6, 7}}, 8},
    {&chunk, TAGGED, COMPACT, 2, {0, 3}, {{17, 17}, {17, 18}, {17, 17}}, 19},
    {&chunk, TAGGED, COMPACT, 0, {0}, {{0}}, 17},
    {&middle, TAGGED, COMPACT, 5, {0, 1, 2, 8, 9},
        {{0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}}, 5},
    {&beside, TAGGED, COMPACT, 5, {0, 1, 5, 6, 9},
        {{0, 1, 2, 2, 4}, {0, 1, 2, 2, 4}, {0, 1, 2, 3, 4}, {0, 7, 9, 8, 0}}, 5},
    {&text, TEXT, COMPACT, 4, {0, 1, 5, 6},
        {{0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3}}, 4},

    /* RENUMBER: OpenVINO GenAI's 1-D positions, llama.cpp without M-RoPE */
    {&line_middle, D1, RENUMBER, 6, {0, 1, 3, 5, 8, 9}, {{0, 1, 2, 3, 4, 5}}, 6},
    {&line_start, D1, RENUMBER, 5, {1, 3, 6, 7, 8}, {{0, 1, 2, 3, 4}}, 5},
    {&line_end, D1, RENUMBER, 4, {0, 1, 2, 8}, {{0, 1, 2, 3}}, 4},
    {&line_two, D1, RENUMBER, 8, {0, 1, 4, 5, 7, 8, 12, 13}, {{0, 1, 2, 3, 4, 5, 6, 7}}, 8},
    {&line_two, D1, RENUMBER, 14, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13},
        {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}}, 14},
    {&line_two, D1, RENUMBER, 4, {0, 5, 12, 13}, {{0, 1, 2, 3}}, 4},
    {&line_chunk, D1, RENUMBER, 3, {1, 2, 4}, {{41, 42, 43}}, 44},
    {&line_chunk, D1, RENUMBER, 0, {0}, {{0}}, 41},
    {&middle, MROPE, RENUMBER, 6, {0, 1, 3, 5, 8, 9},
        {{0, 1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}}, 6},
    {&chunk, TAGGED, RENUMBER, 3, {1, 3, 4}, {{17, 18, 19}, {17, 18, 19}, {17, 18, 19}}, 20},
    {&beside, TAGGED, RENUMBER, 4, {2, 5, 6, 9},
        {{0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3}, {7, 9, 8, 0}}, 4},
    {&text, TEXT, RENUMBER, 4, {0, 3, 5, 6},
        {{0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2, 3}}, 4},

    {&largest, D1, EVERY, 2, {0, 1}, {{LARGEST - 1, LARGEST}}, LARGEST + 1},
    {&largest32, D1, EVERY, 2, {0, 1}, {{INT32_MAX - 2, INT32_MAX - 1}}, INT32_MAX},
    {&last32, D1, KEEP, 0, {0}, {{0}}, (int64_t)INT32_MAX + 1},
    {&last32, D1, COMPACT, 0, {0}, {{0}}, INT32_MAX},
    {&last32, D1, RENUMBER, 0, {0}, {{0}}, INT32_MAX},
    {&falling, D1, COMPACT, 2, {1, 2}, {{3, 4}}, 5},
    {&falling, D1, COMPACT, 2, {0, 2}, {{5, 6}}, 7},
    {&falling, D1, COMPACT, 1, {2}, {{5}}, 6},
    {&nothing, D1, EVERY, 0, {0}, {{0}}, 0},
};

static void as_the_engines_have_it(void **unused) {
    static int64_t got[MAX_SECTIONS][MAX_TOKENS];
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(cases) * 3 * N_WAYS; i++) {
        const size_t c = i / N_WAYS / 3, way = i % N_WAYS, n = cases[c].n_rows;
        const int policy = (int)(i / N_WAYS % 3);
        const prunesid_layout layout = cases[c].layout;
        if (cases[c].policy != EVERY && cases[c].policy != policy) continue;
        if (cases[c].of == &largest && way % 2) continue; /* not in 32 bits */
        const int64_t next =
            move(cases[c].of, layout, (prunesid_position_policy)policy, cases[c].rows, n, way, got);
        CHECK(next == cases[c].next, "case %zu, way %zu: next %d", c, way, (int)next);
        for (size_t k = 0; k < sections[layout].n; k++) {
            for (size_t j = 0; j < n; j++) {
                CHECK(got[k][j] == cases[c].want[k][j], "case %zu, way %zu: [%zu, %zu] is %d", c,
                    way, k, j, (int)got[k][j]);
            }
        }
    }
}

/* ---- random prompts ----------------------------------------------------------------------- */

/* M-RoPE ids of text and grids, as Qwen2-VL's processor numbers them; with its rows. */
typedef struct random_prompt {
    scene scene;
    prunesid_layout layout;
    size_t n_kept, n_rows;
    int32_t kept[MAX_TOKENS], rows[MAX_TOKENS];
    int has_text_behind[MAX_SPANS];
} random_prompt;

static void random_token(random_prompt *p, int64_t at, const int64_t grid[3], int64_t tag) {
    scene *const s = &p->scene;
    for (size_t k = 0; k < 3; k++) s->ids[sections[p->layout].grid + k][s->n_tokens] = at + grid[k];
    if (p->layout == TAGGED) s->ids[3][s->n_tokens] = tag;
    if (p->layout == TEXT) s->ids[0][s->n_tokens] = (int64_t)s->n_tokens + 3;
    s->n_tokens++;
}

static random_prompt random_prompt_new(uint64_t *state, int keep_all) {
    static const int64_t origin[3] = {0, 0, 0};
    random_prompt p;
    scene *const s = &p.scene;
    size_t n_visual = 0;
    int64_t at = (int64_t)random_size(state, 0, 50);
    memset(&p, 0, sizeof p);
    p.layout = (prunesid_layout)random_size(state, 0, 3);
    const size_t n_images = random_size(state, 0, MAX_SPANS);
    const size_t keep_one_in = random_size(state, 1, 4);
    for (size_t image = 0; image <= n_images; image++) {
        const size_t n_text = random_bits(state) % 4 ? random_size(state, 0, 6) : 0;
        if (image > 0) p.has_text_behind[image - 1] = n_text > 0;
        for (size_t i = 0; i < n_text; i++) {
            p.rows[p.n_rows++] = (int32_t)s->n_tokens;
            random_token(&p, at++, origin, 0);
        }
        if (image == n_images) break;
        const size_t t = random_size(state, 1, 2), h = random_size(state, 1, 3);
        const size_t w = random_size(state, 1, 4);
        const int none = random_bits(state) % 8 == 0;
        s->spans[s->n_spans].first = s->n_tokens;
        s->spans[s->n_spans++].n_tokens = t * h * w;
        for (size_t i = 0; i < t * h * w; i++, n_visual++) {
            const int64_t grid[3] = {p.layout == D1 ? (int64_t)i : (int64_t)(i / (h * w)),
                (int64_t)(i / w % h), (int64_t)(i % w)};
            if (keep_all || (!none && random_bits(state) % keep_one_in == 0)) {
                p.kept[p.n_kept++] = (int32_t)n_visual;
                p.rows[p.n_rows++] = (int32_t)s->n_tokens;
            }
            random_token(&p, at, grid, (int64_t)random_size(state, 0, 9));
        }
        at += (int64_t)(p.layout == D1 ? t * h * w : ref_max(t, ref_max(h, w)));
    }
    return p;
}

static int64_t behind_largest(prunesid_layout layout, int64_t ids[][MAX_TOKENS], size_t n) {
    int64_t next = 0;
    for (size_t k = sections[layout].grid; k < sections[layout].grid_end; k++)
        for (size_t j = 0; j < n; j++) next = ids[k][j] >= next ? ids[k][j] + 1 : next;
    return next;
}

/* Tags stay, and the text's ids become consecutive. Those of the grid stay (KEEP), become
 * consecutive (RENUMBER), or come down by one distance in all sections, which only grows: by none
 * where nothing is gone, else so that the text behind an image goes on behind what is kept.
 * Returns how often there was one. */
static size_t check_policy(random_prompt *p, prunesid_position_policy policy, size_t way) {
    static int64_t ids[MAX_SECTIONS][MAX_TOKENS];
    const scene *const s = &p->scene;
    const size_t grid = sections[p->layout].grid, n = s->n_tokens;
    const int64_t next = move(s, p->layout, policy, p->rows, p->n_rows, way, ids);
    int64_t down = 0;
    size_t n_behind = 0;
    for (size_t j = 0; j < p->n_rows; j++) {
        const size_t row = (size_t)p->rows[j];
        const int64_t before = down;
        if (policy == COMPACT) down = s->ids[grid][row] - ids[grid][j];
        assert_true(down >= before && (p->n_rows < n || down == 0));
        for (size_t k = 0; k < sections[p->layout].n; k++) {
            const int is_tag = k >= sections[p->layout].grid_end;
            const int is_consecutive = !is_tag && (k < grid || policy == RENUMBER);
            const int64_t was = s->ids[k][row] - (is_tag ? 0 : down);
            assert_true(ids[k][j] == (is_consecutive ? s->ids[k][0] + (int64_t)j : was));
        }
    }
    const int64_t base = n > 0 ? s->ids[grid][0] : 0;
    assert_true(next == (policy == KEEP         ? behind_largest(p->layout, p->scene.ids, n)
                            : p->n_rows == 0    ? base
                            : policy == COMPACT ? behind_largest(p->layout, ids, p->n_rows)
                                                : base + (int64_t)p->n_rows));
    for (size_t i = 0; policy == COMPACT && i < s->n_spans; i++) {
        size_t after = 0;
        while (
            after < p->n_rows && (size_t)p->rows[after] < s->spans[i].first + s->spans[i].n_tokens)
            after++;
        if (!p->has_text_behind[i] || after == 0) continue;
        assert_true(ids[grid][after] == behind_largest(p->layout, ids, after));
        n_behind++;
    }
    return n_behind;
}

static void check_rows(
    const scene *s, const int32_t *kept, size_t n_kept, const int32_t *want, size_t n_rows) {
    guard rows = guard_new(n_rows * sizeof *want, FILL);
    prunesid_prompt prompt = {s->n_tokens, s->n_spans > 0 ? s->spans : NULL, s->n_spans,
        (int32_t *)(void *)rows.data, 99};
    assert_int_equal(prunesid_prompt_rows(&prompt, kept, n_kept), PRUNESID_OK);
    assert_int_equal(prompt.n_rows, n_rows);
    assert_memory_equal(rows.data, want, rows.n_bytes);
    guard_free(&rows);
}

static void random_prompts(void **unused) {
    uint64_t state = 31;
    size_t n = 0;
    (void)unused;
    for (size_t i = 0; i < 3000; i++) {
        random_prompt p = random_prompt_new(&state, i % 4 == 0);
        check_rows(&p.scene, p.kept, p.n_kept, p.rows, p.n_rows);
        for (size_t k = 0; k < 3; k++) n += check_policy(&p, all_policies[k], (i + k) % N_WAYS);
    }
    assert_true(n > 1000);
}

static void rows_by_hand(void **unused) {
    static const struct {
        const scene *of;
        size_t n_kept;
        int32_t kept[MAX_ROWS];
        size_t n_rows;
        int32_t rows[MAX_ROWS];
    } by_hand[] = {
        {&middle, 2, {1, 3}, 6, {0, 1, 3, 5, 8, 9}},
        {&middle, 0, {0}, 4, {0, 1, 8, 9}},
        {&middle, 6, {0, 1, 2, 3, 4, 5}, 10, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
        {&start, 2, {0, 5}, 5, {0, 5, 6, 7, 8}},
        {&end, 2, {0, 5}, 5, {0, 1, 2, 3, 8}},
        {&chunk, 2, {2, 4}, 2, {2, 4}},
        {&chunk, 0, {0}, 0, {0}},
        {&two, 4, {0, 3, 4, 9}, 8, {0, 1, 4, 5, 6, 11, 12, 13}},
        {&two, 2, {5, 8}, 6, {0, 5, 7, 10, 12, 13}},
        {&two, 2, {1, 2}, 6, {0, 2, 3, 5, 12, 13}},
        {&beside, 4, {1, 3, 4, 6}, 6, {0, 2, 4, 5, 7, 9}},
        {&line_text, 0, {0}, 4, {0, 1, 2, 3}},
        {&nothing, 0, {0}, 0, {0}},
    };
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(by_hand); i++) {
        check_rows(
            by_hand[i].of, by_hand[i].kept, by_hand[i].n_kept, by_hand[i].rows, by_hand[i].n_rows);
    }
}

/* ---- what is refused ---------------------------------------------------------------------- */

enum { E_TOKENS = 10, E_ROWS = 6, E_KEPT = 2, E_STRIDE = 12 };

/* A valid call of either function: two texts, images of two and four tokens, two texts. */
typedef struct call {
    prunesid_position_policy policy;
    prunesid_prompt prompt, *prompt_at;
    prunesid_position_ids ids, *ids_at;
    prunesid_span spans[2];
    int32_t rows[E_ROWS], kept[E_KEPT], *kept_at;
    int64_t next, *next_at, memory[MAX_SECTIONS * E_STRIDE]; /* of either width */
} call;

static void call_init(call *c, prunesid_position_policy policy, size_t id_bytes) {
    static const prunesid_span spans[] = {{2, 2}, {4, 4}};
    static const int32_t rows[] = {0, 1, 3, 5, 8, 9}, kept[] = {1, 3};
    memset(c, 0, sizeof *c);
    memcpy(c->spans, spans, sizeof spans);
    memcpy(c->rows, rows, sizeof rows);
    memcpy(c->kept, kept, sizeof kept);
    c->policy = policy;
    c->prompt.n_tokens = E_TOKENS;
    c->prompt.spans = c->spans;
    c->prompt.n_spans = 2;
    c->prompt.rows = c->rows;
    c->prompt.n_rows = E_ROWS;
    c->prompt_at = &c->prompt;
    c->ids.ids = c->memory;
    c->ids.id_bytes = id_bytes;
    c->ids.layout = MROPE;
    c->ids.section_stride = E_STRIDE;
    c->ids.token_stride = 1;
    c->ids_at = &c->ids;
    c->kept_at = c->kept;
    c->next_at = &c->next;
    for (size_t i = 0; i < 3 * E_TOKENS; i++) set_id(&c->ids, i % 3, i / 3, (int64_t)(i / 3));
}

/* What is refused leaves everything as it was. */
static prunesid_status call_run(call *c, int of_rows) {
    call before;
    memcpy(&before, c, sizeof before);
    const prunesid_status status =
        of_rows ? prunesid_prompt_rows(c->prompt_at, c->kept_at, E_KEPT)
                : prunesid_positions(c->policy, c->prompt_at, c->ids_at, c->next_at);
    if (status != PRUNESID_OK) assert_memory_equal(&before, c, sizeof before);
    return status;
}

static void *shifted(call *c, size_t n_bytes) {
    return (unsigned char *)c->memory + n_bytes;
}

enum { BOTH, POSITIONS, ROWS }; /* what refuses it */

/* Breaks one thing; what it should be refused with, OK behind the last. */
static prunesid_status break_call(call *c, size_t number, int *who) {
#define BREAK(which, status, statement)                                                            \
    do {                                                                                           \
        if (number-- == 0) {                                                                       \
            statement;                                                                             \
            *who = which;                                                                          \
            return PRUNESID_ERROR_##status;                                                        \
        }                                                                                          \
    } while (0)
    BREAK(BOTH, NULL, c->prompt_at = NULL);
    BREAK(BOTH, NULL, c->prompt.spans = NULL);
    BREAK(BOTH, NULL, c->prompt.rows = NULL);
    BREAK(POSITIONS, NULL, c->ids_at = NULL);
    BREAK(POSITIONS, NULL, c->ids.ids = NULL);
    BREAK(POSITIONS, NULL, c->next_at = NULL);
    BREAK(ROWS, NULL, c->kept_at = NULL);
    BREAK(BOTH, DIMENSION, c->prompt.n_tokens = (size_t)INT32_MAX + 1);
    BREAK(BOTH, SPAN, c->spans[1].n_tokens = 0);
    BREAK(BOTH, SPAN, c->spans[1].first = 3);
    BREAK(BOTH, SPAN, (c->spans[1].first = 0, c->spans[1].n_tokens = 1));
    BREAK(BOTH, SPAN, c->spans[1].n_tokens = 7);
    BREAK(BOTH, SPAN, c->prompt.n_tokens = 7);
    BREAK(BOTH, SPAN, c->spans[1].first = E_TOKENS + 1);
    BREAK(BOTH, SPAN, c->spans[1].n_tokens = SIZE_MAX - 2);
    BREAK(BOTH, SPAN, c->spans[1].first = SIZE_MAX);
    BREAK(POSITIONS, POLICY, c->policy = (prunesid_position_policy)3);
    BREAK(POSITIONS, POLICY, c->policy = (prunesid_position_policy)-1);
    BREAK(POSITIONS, LAYOUT, c->ids.layout = (prunesid_layout)4);
    BREAK(POSITIONS, LAYOUT, c->ids.layout = (prunesid_layout)-1);
    BREAK(POSITIONS, LAYOUT, c->ids.id_bytes = 3);
    BREAK(POSITIONS, LAYOUT, c->ids.id_bytes = 0);
    BREAK(POSITIONS, LAYOUT, c->ids.id_bytes = 16);
    BREAK(POSITIONS, STRIDE, c->ids.section_stride = 0);
    BREAK(POSITIONS, STRIDE, c->ids.token_stride = 0);
    BREAK(POSITIONS, STRIDE, c->ids.section_stride = E_TOKENS - 1);
    BREAK(POSITIONS, STRIDE, (c->ids.section_stride = 1, c->ids.token_stride = 2));
    BREAK(POSITIONS, STRIDE,
        (c->ids.layout = TAGGED, c->ids.section_stride = 1, c->ids.token_stride = 3));
    BREAK(POSITIONS, OVERFLOW, c->ids.section_stride = SIZE_MAX / 8);
    BREAK(POSITIONS, OVERFLOW, c->ids.token_stride = SIZE_MAX - 3);
    BREAK(POSITIONS, ALIGNMENT, c->ids.ids = shifted(c, 1));
    BREAK(POSITIONS, ALIGNMENT, c->ids.ids = shifted(c, 2));
    BREAK(POSITIONS, POSITIONS, set_id(&c->ids, 0, 0, -1));
    BREAK(POSITIONS, POSITIONS, set_id(&c->ids, 2, E_TOKENS - 1, INT32_MIN));
    BREAK(POSITIONS, POSITIONS, set_id(&c->ids, 1, 2, -3)); /* of one that is gone */
    BREAK(POSITIONS, INDEX, c->rows[3] = c->rows[2]);
    BREAK(POSITIONS, INDEX, c->rows[3] = 2);
    BREAK(POSITIONS, INDEX, c->rows[0] = -1);
    BREAK(POSITIONS, INDEX, c->rows[E_ROWS - 1] = E_TOKENS);
    BREAK(POSITIONS, INDEX, c->rows[E_ROWS - 1] = INT32_MAX);
    BREAK(ROWS, INDEX, c->kept[1] = c->kept[0]);
    BREAK(ROWS, INDEX, c->kept[1] = 0);
    BREAK(ROWS, INDEX, c->kept[1] = 6);
    BREAK(ROWS, INDEX, c->kept[0] = -1);
    BREAK(ROWS, INDEX, c->prompt.n_spans = 0);
#undef BREAK
    return PRUNESID_OK;
}

static void each_cause_has_its_status(void **unused) {
    (void)unused;
    for (size_t i = 0; i < 6; i++) {
        prunesid_status want = PRUNESID_ERROR_NULL;
        for (size_t number = 0; want != PRUNESID_OK; number++) {
            int who = BOTH;
            call c;
            call_init(&c, all_policies[i / 2], i % 2 ? 4 : 8);
            want = break_call(&c, number, &who);
            if (who != ROWS) CHECK_STATUS(call_run(&c, 0), want, "positions, case %zu", number);
            if (who != POSITIONS) CHECK_STATUS(call_run(&c, 1), want, "rows, case %zu", number);
            assert_true(want != PRUNESID_OK || c.prompt.n_rows == E_ROWS);
        }
    }
}

static void ids_have_a_range(void **unused) {
    static const int64_t bad[] = {LARGEST + 1, INT64_MAX, INT64_MIN, -1};
    (void)unused;
    for (size_t i = 0; i < 3 * 3 * E_TOKENS * N_ITEMS(bad); i++) {
        call c;
        call_init(&c, all_policies[i % 3], 8);
        set_id(&c.ids, i / 3 % 3, i / 9 % E_TOKENS, bad[i / 9 / E_TOKENS]);
        CHECK_STATUS(call_run(&c, 0), PRUNESID_ERROR_POSITIONS, "case %zu", i);
    }
}

/* What is behind a span stands above all that is before its end: the second one ends with 7. */
static void compact_needs_ids_that_rise(void **unused) {
    (void)unused;
    for (size_t i = 0; i < 3; i++) {
        call c;
        call_init(&c, all_policies[i], 8);
        set_id(&c.ids, 1, E_TOKENS - 1, 7);
        CHECK_STATUS(call_run(&c, 0),
            all_policies[i] == COMPACT ? PRUNESID_ERROR_POSITIONS : PRUNESID_OK, "policy %zu", i);
    }
}

/* E_ROWS consecutive ids from base on, of a section or of the text's; 64 bits have room. */
static void renumbered_ids_must_fit(void **unused) {
    (void)unused;
    for (int64_t base = (int64_t)INT32_MAX - 20; base <= INT32_MAX; base++) {
        for (size_t i = 0; i < 4; i++) {
            call c;
            call_init(&c, i / 2 ? RENUMBER : KEEP, i % 2 ? 4 : 8);
            c.ids.layout = i / 2 ? MROPE : TEXT;
            set_id(&c.ids, 0, 0, base);
            CHECK_STATUS(call_run(&c, 0),
                i % 2 == 0 || base + E_ROWS - 1 <= INT32_MAX ? PRUNESID_OK
                                                             : PRUNESID_ERROR_POSITIONS,
                "base %d, %zu", (int)base, i);
        }
    }
}

/* ---- all together ------------------------------------------------------------------------- */

/* A selection, its rows and its positions: three images of a prompt from end to end. */
static void a_prompt_from_end_to_end(void **unused) {
    enum { EACH = 16, D = 8, N_TEXT = 3, N_KEPT = 21, PROMPT = 3 * EACH + 4 * N_TEXT };
    float *const x = tokens_new(KIND_REAL, 3 * EACH, D, 9);
    const prunesid_input image = prunesid_input_init(x, PRUNESID_F32, 3 * EACH, D);
    const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, N_KEPT);
    prunesid_region regions[3];
    prunesid_span spans[3];
    int32_t kept[N_KEPT], rows[PROMPT], ids[PROMPT];
    prunesid_prompt prompt = {PROMPT, spans, 3, rows, 0};
    const prunesid_position_ids view = {ids, sizeof ids[0], D1, 1, 1};
    prunesid_plan plan;
    int64_t next = 0;
    (void)unused;
    for (size_t r = 0; r < 3; r++) {
        regions[r] = prunesid_region_init(&image, r * EACH, EACH, 0);
        spans[r].first = N_TEXT + r * (EACH + N_TEXT);
        spans[r].n_tokens = EACH;
    }
    for (int i = 0; i < PROMPT; i++) ids[i] = i;
    const prunesid_batch batch = prunesid_batch_init(&config, PRUNESID_BY_PHI, regions, 3);
    assert_int_equal(prunesid_batch_plan(&batch, &plan), PRUNESID_OK);
    guard workspace = guard_new(plan.workspace_bytes, 0xFF);
    assert_int_equal(prunesid_batch_select(&batch, workspace.data, workspace.n_bytes, kept, N_KEPT),
        PRUNESID_OK);
    assert_int_equal(prunesid_prompt_rows(&prompt, kept, N_KEPT), PRUNESID_OK);
    assert_int_equal(prompt.n_rows, N_KEPT + 4 * N_TEXT);
    assert_int_equal(prunesid_positions(KEEP, &prompt, &view, &next), PRUNESID_OK);
    for (size_t j = 0, i = 0, n_kept = 0; i < PROMPT; i++) {
        const size_t at = i % (EACH + N_TEXT);
        const int is_text = at < N_TEXT;
        const size_t visual = i / (EACH + N_TEXT) * EACH + at - N_TEXT;
        if (!is_text && (n_kept == N_KEPT || (size_t)kept[n_kept] != visual)) continue;
        assert_true(rows[j] == (int32_t)i && ids[j] == (int32_t)i);
        n_kept += !is_text;
        j++;
    }
    assert_true(next == PROMPT);
    guard_free(&workspace);
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_engines_have_it),
        cmocka_unit_test(rows_by_hand),
        cmocka_unit_test(random_prompts),
        cmocka_unit_test(each_cause_has_its_status),
        cmocka_unit_test(ids_have_a_range),
        cmocka_unit_test(compact_needs_ids_that_rise),
        cmocka_unit_test(renumbered_ids_must_fit),
        cmocka_unit_test(a_prompt_from_end_to_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
