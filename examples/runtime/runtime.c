/* runtime.c - a runtime with separate graphs, as with ONNX Runtime or OpenVINO.   MIT licence.
 *
 * The vision graph gives the rows [N, H] of all images of a prompt, and DeepStack planes [L, N, H];
 * a text graph the embeddings of the prompt. The language graph takes
 *     inputs_embeds [1, S, H]   input_ids [1, S]   attention_mask [1, past + S]
 *     position_ids [3, 1, S]    and L planes [1, S, H] that are zero at text
 * Pruning comes before it: all images of a prompt share one budget, and every array is gathered by
 * the same rows. A second turn goes on in the same KV cache, which holds the pruned rows. The
 * conversation is held once under each position policy, and once with the dropped tokens merged
 * into the kept ones, which a graph with a float mask then weighs.
 *   Each array is held against what a plain loop makes of it. */
#include "../encoder.h"

#include <math.h>
#include <string.h>

enum { TURNS = 2, IMAGES = 3, H = 192, PLANES = 2, BUDGET = 24, MERGE = 2 };
enum { PLACEHOLDER = 151655, MOST = 1024, CACHE = 2048 };

/* t h w patches before the 2 x 2 merge, and the text in front of each image and behind the last. */
static const size_t grids[TURNS][IMAGES][3] = {
    {{1, 36, 28}, {1, 16, 16}, {1, 44, 8}}, {{1, 24, 24}, {1, 20, 12}, {0, 0, 0}}};
static const size_t texts[TURNS][IMAGES + 1] = {{11, 3, 5, 17}, {4, 6, 9, 0}};

/* What the vision graph gives: rows of all images, one behind the other. */
static float visual[MOST][H], visual_planes[PLANES][MOST][H];

/* The language graph's inputs for one turn, before pruning and after it. */
typedef struct graph_inputs {
    size_t n; /* S */
    float embeds[MOST][H], planes[PLANES][MOST][H];
    int64_t ids[MOST], attention[MOST], positions[3][MOST];
} graph_inputs;

static graph_inputs full, pruned;

/* Of every key, those in the cache too: what a float mask adds to its attention logits. */
static float bias[CACHE];

typedef struct turn {
    prunesid_span spans[IMAGES];
    size_t n_images, n_visual, n_kept;
    int32_t kept[MOST], rows[MOST];
    int64_t begin, next; /* its first position, and the first behind it, unpruned */
} turn;

/* Text, image, text, ...: positions as Qwen2-VL has them, from position on. */
static void make_turn(size_t number, int64_t position, turn *t) {
    memset(&full, 0, sizeof full);
    memset(t, 0, sizeof *t);
    t->begin = position;
    for (size_t s = 0; s <= IMAGES; s++) {
        for (size_t i = 0; i < texts[number][s]; i++, full.n++, position++) {
            full.ids[full.n] = 1000 + (int64_t)full.n;
            for (size_t c = 0; c < H; c++)
                full.embeds[full.n][c] = encoder_noise(77u, full.n * H + c);
            for (int k = 0; k < 3; k++) full.positions[k][full.n] = position;
        }
        if (s == IMAGES || grids[number][s][0] == 0) continue;
        const size_t high = grids[number][s][1] / MERGE, wide = grids[number][s][2] / MERGE;
        const prunesid_span span = {full.n, high * wide};
        encode_image(visual[t->n_visual], high, wide, H, H, (uint32_t)(5 + 10 * number + s),
            3 + 4 * s, 0.4f * (float)s + 0.1f);
        for (size_t i = 0; i < span.n_tokens; i++, full.n++, t->n_visual++) {
            memcpy(full.embeds[full.n], visual[t->n_visual], sizeof visual[0]);
            for (size_t l = 0; l < PLANES; l++) {
                for (size_t c = 0; c < H; c++)
                    visual_planes[l][t->n_visual][c] = visual[t->n_visual][c] * (float)(l + 2);
                memcpy(full.planes[l][full.n], visual_planes[l][t->n_visual], sizeof visual[0]);
            }
            full.ids[full.n] = PLACEHOLDER;
            full.positions[0][full.n] = position;
            full.positions[1][full.n] = position + (int64_t)(i / wide);
            full.positions[2][full.n] = position + (int64_t)(i % wide);
        }
        t->spans[t->n_images++] = span;
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
        const size_t T = t->spans[s].n_tokens;
        prunesid_input image = prunesid_input_init(visual[first], PRUNESID_F32, T, H);
        image.first = first;
        regions[s] = prunesid_region_init(&image, 0, T, 0);
        regions[s].low = 4;
        first += T;
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
    pruned.n = n_rows;
    return status;
}

/* What a loop without the library makes of the rows. */
static int check_rows(const turn *t) {
    size_t v = 0, row = 0;
    for (size_t i = 0; i < full.n; i++) {
        int stays = full.ids[i] != PLACEHOLDER;
        for (size_t k = 0; k < t->n_kept && !stays; k++) stays = (size_t)t->kept[k] == v;
        v += full.ids[i] == PLACEHOLDER;
        if (!stays) continue;
        int same = memcmp(pruned.embeds[row], full.embeds[i], sizeof full.embeds[0]) == 0 &&
                   pruned.ids[row] == full.ids[i] && pruned.attention[row] == full.attention[i];
        for (size_t l = 0; l < PLANES; l++)
            same = same &&
                   memcmp(pruned.planes[l][row], full.planes[l][i], sizeof full.embeds[0]) == 0;
        if (!holds(same, "each row that stays, in order")) return 1;
        row++;
    }
    return !holds(row == pruned.n, "and no other");
}

/* pruned.positions. What follows is to stand at *next. */
static int place(prunesid_position_policy policy, const turn *t, int64_t *next) {
    int32_t rows[MOST];
    memcpy(rows, t->rows, sizeof rows);
    const prunesid_prompt prompt = {full.n, t->spans, t->n_images, rows, pruned.n};
    const prunesid_position_ids ids = {
        pruned.positions, sizeof pruned.positions[0][0], PRUNESID_LAYOUT_MROPE, MOST, 1};
    memcpy(pruned.positions, full.positions, sizeof pruned.positions);
    if (failed(prunesid_positions(policy, &prompt, &ids, next), "positions")) return 1;

    int64_t largest = t->begin - 1; /* the largest id so far */
    int64_t moved = 0;              /* by how much COMPACT moves what follows */
    size_t s = 0;                   /* images that lie before row i */
    for (size_t j = 0; j < pruned.n; j++) {
        const size_t i = (size_t)t->rows[j];
        for (; s < t->n_images && i >= t->spans[s].first + t->spans[s].n_tokens; s++)
            if (policy == PRUNESID_POSITIONS_COMPACT)
                moved = largest + 1 - full.positions[0][t->spans[s].first + t->spans[s].n_tokens];
        for (int k = 0; k < 3; k++)
            if (!holds(pruned.positions[k][j] == (policy == PRUNESID_POSITIONS_RENUMBER
                                                         ? t->begin + (int64_t)j
                                                         : full.positions[k][i] + moved),
                    "where each row stands"))
                return 1;
        for (int k = 0; k < 3; k++)
            if (pruned.positions[k][j] > largest) largest = pruned.positions[k][j];
    }
    return !holds(*next == (policy == PRUNESID_POSITIONS_KEEP ? t->next : largest + 1),
        "where what follows stands");
}

/* The visual rows become half themselves and half the mean of what they stand for, in the
 * embeddings and in each plane; their keys get ln(count), so that what stands for many is looked at
 * as if it were many.
 *   of_key  [S] written: the bias of this turn's keys */
static int merge(const turn *t, float *of_key) {
    static float merged[MOST][H], log_count[MOST];
    static int32_t representative[MOST];
    const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, t->n_kept);
    prunesid_input input = prunesid_input_init(visual, PRUNESID_F32, t->n_visual, H);
    size_t bytes = 0, total = 0;
    double coverage = 0.0;
    prunesid_status status = prunesid_workspace_size(&config, t->n_visual, H, &bytes);
    void *const workspace = malloc(bytes);
    if (status == PRUNESID_OK) /* a kept token may stand for tokens of other images too */
        status = prunesid_represent(&config, &input, t->kept, NULL, workspace, bytes,
            representative, NULL, log_count, &coverage);
    free(workspace);
    for (size_t l = 0; l <= PLANES && status == PRUNESID_OK; l++) { /* 0: the embeddings */
        float(*const rows)[H] = l == 0 ? pruned.embeds : pruned.planes[l - 1];
        input.tokens = l == 0 ? visual : visual_planes[l - 1];
        status = prunesid_merge(&input, t->kept, t->n_kept, representative, 0.5, merged, H);
        for (size_t row = 0, j = 0; row < pruned.n; row++)
            if (pruned.ids[row] == PLACEHOLDER) memcpy(rows[row], merged[j++], sizeof merged[0]);
    }
    if (failed(status, "represent or merge")) return 1;
    for (size_t row = 0, j = 0; row < pruned.n; row++)
        of_key[row] = pruned.ids[row] == PLACEHOLDER ? log_count[j++] : 0.0f;

    for (size_t row = 0, j = 0; row < pruned.n; row++) { /* the same by hand */
        double sum[H] = {0.0};
        size_t n = 0;
        if (pruned.ids[row] != PLACEHOLDER) continue;
        for (size_t i = 0; i < t->n_visual; i++) {
            if (representative[i] != t->kept[j]) continue;
            n++;
            for (size_t c = 0; c < H; c++) sum[c] += (double)visual[i][c];
        }
        for (size_t c = 0; c < H; c++) {
            const double want = 0.5 * ((double)visual[t->kept[j]][c] + sum[c] / (double)n);
            if (!holds(fabs(want - (double)pruned.embeds[row][c]) < 1e-6 &&
                           fabs(2.0 * want - (double)pruned.planes[0][row][c]) < 2e-6 &&
                           fabs(3.0 * want - (double)pruned.planes[1][row][c]) < 3e-6,
                    "half itself and half the mean, in its row"))
                return 1;
        }
        if (!holds(fabs(log((double)n) - (double)of_key[row]) < 1e-6, "ln(count), at its key"))
            return 1;
        total += n;
        j++;
    }
    printf("  %zu tokens stand for %zu, coverage %.3f\n", t->n_kept, total, coverage);
    return !holds(total == t->n_visual, "everything is stood for");
}

int main(void) {
    static const struct {
        const char *name;
        prunesid_position_policy policy;
        int merges;
    } ways[] = {{"ids as they were", PRUNESID_POSITIONS_KEEP, 0},
        {"ids compact", PRUNESID_POSITIONS_COMPACT, 0},
        {"ids renumbered", PRUNESID_POSITIONS_RENUMBER, 0},
        {"ids as they were, dropped tokens merged", PRUNESID_POSITIONS_KEEP, 1}};
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        size_t cache = 0;     /* rows that the KV cache holds: the pruned ones */
        int64_t position = 0; /* where the conversation goes on */
        printf("%s\n", ways[w].name);
        for (size_t number = 0; number < TURNS; number++) {
            static turn t;
            make_turn(number, position, &t);
            printf(" turn %zu: %zu rows, %zu of them visual\n", number, full.n, t.n_visual);
            if (select_turn(&t)) return 1;
            prunesid_prompt prompt = {full.n, t.spans, t.n_images, t.rows, 0};
            prunesid_status status = prunesid_prompt_rows(&prompt, t.kept, t.n_kept);
            if (status == PRUNESID_OK) status = gather_all(t.rows, prompt.n_rows);
            if (failed(status, "prompt_rows or gather")) return 1;
            if (check_rows(&t) || place(ways[w].policy, &t, &position)) return 1;
            if (!holds(cache + pruned.n <= CACHE, "the cache has room")) return 1;
            if (ways[w].merges && merge(&t, bias + cache)) return 1;
            /* Here the language graph runs: attention_mask is cache + S ones, or as floats
             * [1, 1, S, cache + S] the bias of each key beside the causal -infinity. */
            cache += pruned.n;
            printf("  the cache holds %zu rows, what follows stands at %lld: rope_delta %lld\n",
                cache, (long long)position, (long long)(position - (int64_t)cache));
        }
    }
    return 0;
}
