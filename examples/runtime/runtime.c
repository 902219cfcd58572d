/* runtime.c - a runtime with separate graphs, as with ONNX Runtime or OpenVINO.   MIT licence.
 *
 * A vision graph has given rows [N, H] of all images of a prompt, and DeepStack planes [L, N, H]; a
 * text graph the embeddings of the prompt. The language graph takes
 *     inputs_embeds [1, S, H]   input_ids [1, S]   attention_mask [1, S]   position_ids [3, 1, S]
 * and L planes [1, S, H] that are zero at text. Pruning comes before it: all images of the prompt
 * share one budget, and every array is gathered by the same rows. A second turn goes on in the same
 * KV cache, whose length is that of the pruned rows. At the end the dropped tokens are merged into
 * the kept ones, which a graph with a float mask can weigh.
 *   Each array is held against what a plain loop makes of it. */
#include "../encoder.h"

#include <math.h>
#include <string.h>

enum { TURNS = 2, IMAGES = 3, H = 192, PLANES = 2, BUDGET = 120, MERGE = 2 };
enum { PLACEHOLDER = 151655, MOST = 1024, CACHE = 2048 };

/* t h w patches before the 2 x 2 merge, and the text in front of each image and behind the last. */
static const size_t grids[TURNS][IMAGES][3] = {
    {{1, 28, 36}, {1, 16, 16}, {1, 8, 44}}, {{1, 24, 24}, {1, 12, 20}, {0, 0, 0}}};
static const size_t texts[TURNS][IMAGES + 1] = {{11, 3, 5, 17}, {4, 6, 9, 0}};

/* The inputs of one turn, before pruning and after it. */
typedef struct graph_inputs {
    size_t n; /* S */
    float embeds[MOST][H], planes[PLANES][MOST][H], mask[MOST];
    int64_t ids[MOST], attention[MOST], positions[3][MOST];
} graph_inputs;

static graph_inputs full, pruned;

/* A prompt's turn: where its ids begin, and what it holds. */
typedef struct turn {
    prunesid_span spans[IMAGES];
    size_t n_images, n_visual, n_kept;
    int32_t kept[MOST], rows[MOST];
    int64_t next; /* the first free position behind it, unpruned */
} turn;

/* Text, image, text, ...: positions as Qwen2-VL has them, from position on. */
static void make_turn(size_t number, int64_t position, turn *t) {
    memset(&full, 0, sizeof full);
    memset(t, 0, sizeof *t);
    for (size_t s = 0; s <= IMAGES; s++) {
        const size_t *const grid = s < IMAGES ? grids[number][s] : grids[1][IMAGES - 1];
        const size_t high = grid[1] / MERGE, wide = grid[2] / MERGE, T = grid[0] * high * wide;
        for (size_t i = 0; i < texts[number][s]; i++, full.n++, position++) {
            full.ids[full.n] = 1000 + position;
            for (size_t c = 0; c < H; c++)
                full.embeds[full.n][c] = encoder_noise(77u, full.n * H + c);
            for (int k = 0; k < 3; k++) full.positions[k][full.n] = position;
        }
        if (T == 0) continue;
        t->spans[t->n_images].first = full.n;
        t->spans[t->n_images++].n_tokens = T;
        t->n_visual += T;
        encode_image(full.embeds[full.n], high, wide, H, H, (uint32_t)(5 + 10 * number + s),
            (size_t)(3 + 4 * s), 0.4f * (float)s + 0.1f);
        for (size_t i = 0; i < T; i++, full.n++) {
            full.ids[full.n] = PLACEHOLDER;
            full.positions[0][full.n] = position;
            full.positions[1][full.n] = position + (int64_t)(i / wide);
            full.positions[2][full.n] = position + (int64_t)(i % wide);
            for (size_t l = 0; l < PLANES; l++)
                for (size_t c = 0; c < H; c++)
                    full.planes[l][full.n][c] = full.embeds[full.n][c] * (float)(l + 2);
        }
        position += (int64_t)(high > wide ? high : wide);
    }
    for (size_t i = 0; i < full.n; i++) full.attention[i] = 1;
    t->next = position;
}

/* Which visual tokens stay: all images under one total, more for the varied ones. */
static int select_turn(turn *t) {
    const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, BUDGET);
    prunesid_region regions[IMAGES];
    size_t first = 0;
    for (size_t s = 0; s < t->n_images; s++) {
        prunesid_input image = prunesid_input_init(
            full.embeds[t->spans[s].first], PRUNESID_F32, t->spans[s].n_tokens, H);
        image.first = first;
        regions[s] = prunesid_region_init(&image, 0, t->spans[s].n_tokens, 0);
        regions[s].low = 8;
        first += t->spans[s].n_tokens;
    }
    const prunesid_batch batch =
        prunesid_batch_init(&config, PRUNESID_BY_PHI, regions, t->n_images);
    if (select_batch(&batch, t->kept, MOST, &t->n_kept)) return 1;
    for (size_t s = 0; s < t->n_images; s++)
        printf("  image %zu: %zu of %zu tokens\n", s, regions[s].n_kept, regions[s].input.n_tokens);
    return !holds(t->n_kept == BUDGET, "the total is exact");
}

/* Every array of the graph by the same rows: one table, one loop. */
static prunesid_status gather_all(const int32_t *rows, size_t n_rows) {
    const struct {
        const void *from;
        void *to;
        size_t bytes;
    } arrays[] = {{full.embeds, pruned.embeds, sizeof full.embeds[0]},
        {full.planes[0], pruned.planes[0], sizeof full.planes[0][0]},
        {full.planes[1], pruned.planes[1], sizeof full.planes[0][0]},
        {full.ids, pruned.ids, sizeof full.ids[0]},
        {full.attention, pruned.attention, sizeof full.attention[0]}};
    prunesid_status status = PRUNESID_OK;
    for (size_t a = 0; a < sizeof arrays / sizeof *arrays && status == PRUNESID_OK; a++)
        status = prunesid_gather(arrays[a].from, full.n, arrays[a].bytes, arrays[a].bytes, rows,
            n_rows, arrays[a].to, arrays[a].bytes);
    return status;
}

/* What a loop without the library makes of the rows. */
static int check_rows(const turn *t) {
    size_t visual = 0, row = 0;
    for (size_t i = 0; i < full.n; i++) {
        int stays = full.ids[i] != PLACEHOLDER;
        for (size_t k = 0; k < t->n_kept && !stays; k++) stays = (size_t)t->kept[k] == visual;
        visual += full.ids[i] == PLACEHOLDER;
        if (!stays) continue;
        if (!holds(
                memcmp(pruned.embeds[row], full.embeds[i], sizeof full.embeds[0]) == 0 &&
                    memcmp(pruned.planes[1][row], full.planes[1][i], sizeof full.embeds[0]) == 0 &&
                    pruned.ids[row] == full.ids[i] && pruned.attention[row] == 1,
                "each row that stays, in order"))
            return 1;
        row++;
    }
    return !holds(row == pruned.n, "and no other");
}

/* pruned.positions under a policy. What follows is to stand at *next. */
static int place(prunesid_position_policy policy, const turn *t, int64_t *next) {
    static const char *const names[] = {"keep", "compact", "renumber"};
    int32_t rows[MOST];
    memcpy(rows, t->rows, sizeof rows);
    const prunesid_prompt prompt = {full.n, t->spans, t->n_images, rows, pruned.n};
    const prunesid_position_ids ids = {
        pruned.positions, sizeof pruned.positions[0][0], PRUNESID_LAYOUT_MROPE, MOST, 1};
    memcpy(pruned.positions, full.positions, sizeof pruned.positions);
    if (failed(prunesid_positions(policy, &prompt, &ids, next), "positions")) return 1;
    printf("  %-8s what follows stands at %lld, rope_delta %lld\n", names[policy], (long long)*next,
        (long long)(*next - (int64_t)pruned.n));
    int64_t largest = 0;
    for (size_t i = 0; i < pruned.n; i++) {
        for (int k = 0; k < 3; k++) {
            const int64_t id = pruned.positions[k][i];
            largest = id > largest ? id : largest;
            if (policy == PRUNESID_POSITIONS_KEEP &&
                !holds(id == full.positions[k][t->rows[i]], "kept ids are what they were"))
                return 1;
        }
    }
    return !holds(policy != PRUNESID_POSITIONS_KEEP || *next == t->next, "as without pruning") ||
           !holds(policy == PRUNESID_POSITIONS_KEEP || *next == largest + 1, "behind the largest");
}

/* Merged rows in place of the kept ones, and ln(count) in the float mask: what stands for many is
 * looked at as if it were many. */
static int merge(const turn *t) {
    static float visual[MOST][H], merged[MOST][H], log_count[MOST];
    static int32_t representative[MOST], count[MOST], numbers[MOST], indices[MOST];
    size_t n = 0, total = 0;
    for (size_t i = 0; i < full.n; i++)
        if (full.ids[i] == PLACEHOLDER) numbers[n++] = (int32_t)i;
    prunesid_status status = prunesid_gather(full.embeds, full.n, sizeof full.embeds[0],
        sizeof full.embeds[0], numbers, n, visual, sizeof visual[0]);
    prunesid_config config = prunesid_config_init(PRUNESID_AUTO, t->n_kept);
    const prunesid_input input = prunesid_input_init(visual, PRUNESID_F32, n, H);
    prunesid_details details = prunesid_details_init();
    details.representative = representative;
    details.count = count;
    details.log_count = log_count;
    if (status == PRUNESID_OK) /* all images as one, so that any kept token may stand for any */
        status = prunesid_select_alloc(&config, &input, indices, MOST, &details, NULL);
    if (status == PRUNESID_OK)
        status = prunesid_merge(&input, indices, t->n_kept, representative, 0.5, merged, H);
    if (failed(status, "select or merge")) return 1;
    for (size_t j = 0; j < t->n_kept; j++) {
        pruned.mask[j] = log_count[j]; /* additive, float: [1, 1, S, S] broadcast over queries */
        total += (size_t)count[j];
        if (!holds(fabs(log((double)count[j]) - (double)log_count[j]) < 1e-6, "ln(count)"))
            return 1;
    }
    printf("  merged: %zu tokens stand for %zu, coverage %.3f\n", t->n_kept, total,
        details.stats.coverage);
    for (size_t c = 0; c < H; c++) { /* the first row, by hand */
        double mean = 0.0;
        for (size_t i = 0; i < n; i++)
            if (representative[i] == indices[0]) mean += (double)visual[i][c] / (double)count[0];
        const double want = 0.5 * (double)visual[indices[0]][c] + 0.5 * mean;
        if (!holds(fabs(want - (double)merged[0][c]) < 1e-6, "half itself and half the mean"))
            return 1;
    }
    return !holds(total == n, "everything is stood for");
}

int main(void) {
    size_t cache = 0;     /* rows that the KV cache holds: the pruned ones */
    int64_t position = 0; /* where the conversation goes on */
    for (size_t number = 0; number < TURNS; number++) {
        static turn t;
        int64_t next = 0;
        make_turn(number, position, &t);
        printf("turn %zu: %zu rows, %zu of them visual\n", number, full.n, t.n_visual);
        if (select_turn(&t)) return 1;
        prunesid_prompt prompt = {full.n, t.spans, t.n_images, t.rows, 0};
        prunesid_status status = prunesid_prompt_rows(&prompt, t.kept, t.n_kept);
        pruned.n = prompt.n_rows;
        if (status == PRUNESID_OK) status = gather_all(t.rows, pruned.n);
        if (failed(status, "prompt_rows or gather")) return 1;
        if (check_rows(&t)) return 1;
        for (int policy = PRUNESID_POSITIONS_RENUMBER; policy >= PRUNESID_POSITIONS_KEEP; policy--)
            if (place((prunesid_position_policy)policy, &t, &next)) return 1;
        /* Here the language graph runs: past length cache, S = pruned.n, positions as kept. */
        cache += pruned.n;
        position = next;
        printf("  the cache holds %zu rows, the next turn begins at %lld\n", cache,
            (long long)position);
        if (!holds(position == t.next && cache <= CACHE, "turns follow on unpruned positions") ||
            merge(&t))
            return 1;
    }
    return 0;
}
