/* qwen2vl.c - Qwen2-VL: text, image, text, image, text, image, text.   MIT licence.
 *
 * Each image is pruned by itself, to its own budget. The text between the images stays. Then come
 * the rows of inputs_embeds, the M-RoPE ids under the three policies in use, and the DeepStack
 * planes of the models that have them. */
#include "encoder.h"

#include <math.h>
#include <string.h>

enum { IMAGES = 3, WIDTH = 512, PLANES = 3, BUDGET = 64 };
enum { VISUAL = 40 * 14 + 12 * 16 + 4 * 4, TEXT = 14 + 9 + 6 + 11, PROMPT = TEXT + VISUAL };

static const size_t grid[IMAGES][2] = {{40, 14}, {12, 16}, {4, 4}}; /* after the 2 x 2 merge */
static const size_t n_text[IMAGES + 1] = {14, 9, 6, 11};

static float embeds[PROMPT][WIDTH], pruned[PROMPT][WIDTH]; /* inputs_embeds, before and after */
static float planes[PLANES][VISUAL][WIDTH], pruned_planes[PLANES][VISUAL][WIDTH]; /* [L, T, H] */
static int64_t ids[3][PROMPT]; /* time, height, width */

/* Position ids as Qwen2-VL makes them; the first that is free behind the prompt. */
static int64_t make_prompt(prunesid_span *spans) {
    int64_t next = 0;
    size_t row = 0;
    for (size_t s = 0; s <= IMAGES; s++) {
        for (size_t i = 0; i < n_text[s]; i++, row++, next++) {
            embeds[row][0] = (float)row; /* some text */
            ids[0][row] = ids[1][row] = ids[2][row] = next;
        }
        if (s == IMAGES) break;
        const size_t high = grid[s][0], wide = grid[s][1];
        spans[s].first = row;
        spans[s].n_tokens = high * wide;
        encode_image(embeds[row], high, wide, WIDTH, WIDTH, 3u + (uint32_t)s, 6, 1.0f);
        for (size_t i = 0; i < high * wide; i++, row++) {
            ids[0][row] = next;
            ids[1][row] = next + (int64_t)(i / wide);
            ids[2][row] = next + (int64_t)(i % wide);
        }
        next += (int64_t)(high > wide ? high : wide);
    }
    return next;
}

/* The released code's rule: N of every 576 tokens, at least 16. */
static size_t qwen2vl_budget(size_t n_tokens) {
    const size_t n = (size_t)rint((double)n_tokens * BUDGET / 576.0);
    return n_tokens <= 16 ? n_tokens : n > 16 ? n : 16;
}

/* kept: numbers among the visual tokens of all images. */
static int prune(const prunesid_span *spans, int32_t *kept, size_t *n_kept) {
    const prunesid_config config = prunesid_config_init(PRUNESID_QWEN2VL, BUDGET);
    prunesid_region images[IMAGES];
    size_t first = 0;
    for (size_t s = 0; s < IMAGES; s++) { /* their rows lie apart: text is between them */
        const size_t T = spans[s].n_tokens;
        prunesid_input image = prunesid_input_init(embeds[spans[s].first], PRUNESID_F32, T, WIDTH);
        image.first = first;
        images[s] = prunesid_region_init(&image, 0, T, qwen2vl_budget(T));
        first += T;
    }
    const prunesid_batch batch = prunesid_batch_init(&config, PRUNESID_FIXED, images, IMAGES);
    if (select_batch(&batch, kept, VISUAL, n_kept)) return 1;
    for (size_t s = 0; s < IMAGES; s++)
        printf("image %zu: %zu x %zu, %zu of %zu tokens\n", s, grid[s][0], grid[s][1],
            images[s].n_kept, images[s].input.n_tokens);
    return !holds(images[0].n_kept == 62 && images[1].n_kept == 21, "T N / 576") ||
           !holds(images[2].n_kept == 16, "a small image stays whole");
}

/* The ids that stay, under each policy. next_before: where text went on before pruning. */
static int place(const prunesid_prompt *prompt, int64_t next_before) {
    static const char *const names[] = {"keep", "compact", "renumber"};
    static int64_t moved[3][PROMPT];
    const prunesid_position_ids three = {
        moved, sizeof moved[0][0], PRUNESID_LAYOUT_MROPE, PROMPT, 1};
    const size_t behind = prompt->spans[0].first + prompt->spans[0].n_tokens;
    for (int policy = PRUNESID_POSITIONS_KEEP; policy <= PRUNESID_POSITIONS_RENUMBER; policy++) {
        int64_t next = 0, largest = 0;
        size_t text = 0; /* the first row of text behind the first image */
        memcpy(moved, ids, sizeof moved);
        const prunesid_status status =
            prunesid_positions((prunesid_position_policy)policy, prompt, &three, &next);
        if (failed(status, "positions")) return 1;
        for (; (size_t)prompt->rows[text] < behind; text++)
            for (int k = 0; k < 3; k++)
                largest = moved[k][text] > largest ? moved[k][text] : largest;
        printf("%-8s  text behind image 0 at %lld, behind the prompt at %lld, rope_delta %lld\n",
            names[policy], (long long)moved[0][text], (long long)next,
            (long long)(next - (int64_t)prompt->n_rows));
        const int keeps = policy == PRUNESID_POSITIONS_KEEP;
        if (!holds(moved[0][text] == (keeps ? ids[0][prompt->rows[text]] : largest + 1),
                "text goes on behind the image") ||
            !holds(!keeps || next == next_before, "the prompt ends where it did") ||
            !holds(policy != PRUNESID_POSITIONS_RENUMBER || next == (int64_t)prompt->n_rows,
                "no gaps"))
            return 1;
    }
    return 0;
}

int main(void) {
    prunesid_span spans[IMAGES];
    static int32_t kept[VISUAL], rows[PROMPT];
    size_t n_kept = 0;
    const int64_t next = make_prompt(spans);
    for (size_t l = 0; l < PLANES; l++)
        encode_image(planes[l][0], 1, VISUAL, WIDTH, WIDTH, (uint32_t)(10 + l), 4, 1.0f);
    if (prune(spans, kept, &n_kept)) return 1;

    prunesid_prompt prompt = {PROMPT, spans, IMAGES, rows, 0};
    prunesid_status status = prunesid_prompt_rows(&prompt, kept, n_kept);
    const size_t bytes = sizeof embeds[0], n_rows = prompt.n_rows;
    if (status == PRUNESID_OK)
        status = prunesid_gather(embeds, PROMPT, bytes, bytes, rows, n_rows, pruned, bytes);
    for (size_t l = 0; l < PLANES && status == PRUNESID_OK; l++) /* visual rows only: by kept */
        status =
            prunesid_gather(planes[l], VISUAL, bytes, bytes, kept, n_kept, pruned_planes[l], bytes);
    if (failed(status, "prompt_rows or gather")) return 1;
    printf("prompt: %d rows, %zu stay, %d of them text\n", PROMPT, n_rows, TEXT);
    return !holds(n_rows == TEXT + n_kept, "all text stays") ||
           !holds(memcmp(pruned[n_rows - 1], embeds[PROMPT - 1], bytes) == 0, "to the end") ||
           !holds(memcmp(pruned_planes[2][9], planes[2][kept[9]], bytes) == 0, "planes") ||
           place(&prompt, next);
}
