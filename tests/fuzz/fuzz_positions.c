/* fuzz_positions.c - bytes -> a prompt, its ids, and which rows stay.   MIT licence.
 *
 * Whatever the bytes, the answer is a status with nothing written, or the ids of the rows that
 * stay: as they were, consecutive, or all down by a distance that only grows. */
#include "support.h"

#include "bytes.h"

enum { MAX_PROMPT = 96, MAX_SPANS = 4, MAX_SECTIONS = 4, FILL = 0x39 };

static int64_t get_id(const prunesid_position_ids *ids, size_t section, size_t i) {
    const size_t at = (section * ids->section_stride + i * ids->token_stride) * ids->id_bytes;
    int32_t narrow;
    int64_t wide;
    memcpy(&narrow, (const char *)ids->ids + at, sizeof narrow);
    if (ids->id_bytes == 4) return narrow;
    memcpy(&wide, (const char *)ids->ids + at, sizeof wide);
    return wide;
}

static void put_id(const prunesid_position_ids *ids, size_t section, size_t i, int64_t id) {
    const size_t at = (section * ids->section_stride + i * ids->token_stride) * ids->id_bytes;
    const int32_t narrow = (int32_t)id;
    memcpy((char *)ids->ids + at, ids->id_bytes == 4 ? (const void *)&narrow : (const void *)&id,
        ids->id_bytes);
}

/* The grid's sections of a layout, and the number of all. */
static const size_t sections[][3] = {{1, 0, 1}, {3, 0, 3}, {4, 0, 3}, {4, 1, 4}};

static void check(prunesid_position_policy policy, const prunesid_prompt *prompt,
    const prunesid_position_ids *ids, int64_t was[MAX_SECTIONS][MAX_PROMPT], int64_t next) {
    const size_t *const of = sections[ids->layout];
    int64_t down = 0;
    for (size_t j = 0; j < prompt->n_rows; j++) {
        const size_t row = (size_t)prompt->rows[j];
        const int64_t before = down;
        if (policy == PRUNESID_POSITIONS_COMPACT) down = was[of[1]][row] - get_id(ids, of[1], j);
        must(down >= before && (prompt->n_rows < prompt->n_tokens || down == 0));
        for (size_t k = 0; k < of[0]; k++) {
            const int64_t id = get_id(ids, k, j);
            const int is_tag = k >= of[2];
            if (is_tag)
                must(id == was[k][row]);
            else if (k < of[1] || policy == PRUNESID_POSITIONS_RENUMBER)
                must(id == was[k][0] + (int64_t)j);
            else
                must(id == was[k][row] - down);
            must(is_tag || k < of[1] || (id >= 0 && id < next));
        }
    }
    for (size_t j = prompt->n_rows; j < prompt->n_tokens; j++) /* behind them nothing changes */
        for (size_t k = 0; k < of[0]; k++) must(get_id(ids, k, j) == was[k][j]);
}

/* Ids that rise, as an engine has them, or any at all. */
static void fill_ids(
    bytes *from, const prunesid_position_ids *ids, size_t n_sections, size_t n, int is_any) {
    const int64_t start = take(from) % 8       ? (int64_t)take(from)
                          : ids->id_bytes == 4 ? INT32_MAX - (int64_t)take(from)
                                               : ((int64_t)1 << 62) - (int64_t)take(from);
    for (size_t k = 0; k < n_sections; k++) {
        int64_t id = start;
        for (size_t i = 0; i < n; i++) {
            if (is_any)
                take_raw(from, &id, 8);
            else
                id += (int64_t)(take(from) % 3);
            put_id(ids, k, i, id);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    static int64_t was[MAX_SECTIONS][MAX_PROMPT];
    int32_t kept[MAX_PROMPT] = {0}, rows[MAX_PROMPT + 1];
    prunesid_span spans[MAX_SPANS];
    bytes from = {data, n_bytes};
    size_t n_visual = 0, n_kept = 0, end = 0;
    const size_t n_spans = take(&from) % (MAX_SPANS + 1), layout = take(&from) % 5;
    for (size_t s = 0; s < n_spans; s++) {
        spans[s].first = end + take(&from) % 8;
        spans[s].n_tokens = take(&from) % 16;
        end = spans[s].first + spans[s].n_tokens;
        n_visual += spans[s].n_tokens;
    }
    const size_t n = end + take(&from) % 8, keep_one_in = 1 + take(&from) % 5;
    for (size_t i = 0; i < n_visual && n_kept < MAX_PROMPT; i++)
        if (take(&from) % keep_one_in == 0) kept[n_kept++] = (int32_t)i;
    if (take(&from) % 16 == 0) kept[0] = (int32_t)take(&from) - 8;
    rows[MAX_PROMPT] = 0x39393939;
    prunesid_prompt prompt = {n, spans, n_spans, rows, 0};
    if (n > MAX_PROMPT || prunesid_prompt_rows(&prompt, kept, n_kept) != PRUNESID_OK) return 0;
    must(prompt.n_rows == n - n_visual + n_kept && rows[MAX_PROMPT] == 0x39393939);
    for (size_t j = 0; j < prompt.n_rows; j++)
        must(rows[j] >= 0 && (size_t)rows[j] < n && (j == 0 || rows[j] > rows[j - 1]));

    const size_t S = layout < 4 ? sections[layout][0] : 4, gap = take(&from) % 3;
    const int are_structs = take(&from) % 2;
    prunesid_position_ids ids = {NULL, take(&from) % 2 ? 4 : 8, (prunesid_layout)layout,
        are_structs ? 1 : n + gap, are_structs ? S + gap : 1};
    const size_t last = (S - 1) * ids.section_stride + (n > 0 ? n - 1 : 0) * ids.token_stride;
    guard memory = guard_new((last + 1) * ids.id_bytes, FILL);
    ids.ids = memory.data;
    fill_ids(&from, &ids, S, n, take(&from) % 4 == 0);
    for (size_t k = 0; k < S; k++)
        for (size_t i = 0; i < n; i++) was[k][i] = get_id(&ids, k, i);
    unsigned char *const before = (unsigned char *)ref_new(memory.n_bytes, 1);
    memcpy(before, memory.data, memory.n_bytes);
    const prunesid_position_policy policy = (prunesid_position_policy)(take(&from) % 4);
    int64_t next = -77;
    const prunesid_status status = prunesid_positions(policy, &prompt, &ids, &next);
    if (status == PRUNESID_OK) {
        must(layout < 4 && policy <= PRUNESID_POSITIONS_RENUMBER);
        check(policy, &prompt, &ids, was, next);
    } else {
        must(next == -77 && memcmp(before, memory.data, memory.n_bytes) == 0);
    }
    free(before);
    guard_free(&memory);
    return 0;
}
