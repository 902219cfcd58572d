/* video.c - 8 frames of 256 tokens to 136 in three ways.   MIT licence.
 *
 * Video-LLaVA has 2048 visual tokens, and the paper keeps 17 of every frame. Budgets by phi shift
 * the same total towards the frames that show more. A window of frames pruned as one region also
 * finds what repeats from frame to frame, which no frame by itself can show. */
#include "encoder.h"

enum { FRAMES = 8, SIDE = 16, FRAME = SIDE * SIDE, TOKENS = FRAMES * FRAME, DIM = 512 };
enum { BY_FRAME = 17, TOTAL = FRAMES * BY_FRAME, WINDOW = 4, WINDOWS = FRAMES / WINDOW };

static float tokens[TOKENS][DIM];

/* Four shots of a still scene with some noise, then four that change and get richer. */
static void encode(void) {
    for (size_t f = 0; f < FRAMES; f++) {
        float *frame = tokens[f * FRAME];
        if (f < 4) {
            encode_image(frame, SIDE, SIDE, DIM, DIM, 1u, 6, 0.4f);
            for (size_t i = 0; i < FRAME * DIM; i++)
                frame[i] += 0.05f * encoder_noise(100u + (uint32_t)f, i);
        } else {
            encode_image(frame, SIDE, SIDE, DIM, DIM, (uint32_t)f, 6, 0.5f * (float)(f - 2));
        }
    }
}

/* Prunes regions as sharing says and counts what is kept of each frame. */
static int prune(const char *name, prunesid_sharing sharing, prunesid_region *regions,
    size_t n_regions, size_t n_of_frame[FRAMES]) {
    int32_t kept[TOTAL];
    const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, TOTAL);
    const prunesid_batch batch = prunesid_batch_init(&config, sharing, regions, n_regions);
    size_t n_kept = 0;
    if (select_batch(&batch, kept, TOTAL, &n_kept) || !holds(n_kept == TOTAL, "the total"))
        return 1;

    for (size_t f = 0; f < FRAMES; f++) n_of_frame[f] = 0;
    for (size_t j = 0; j < n_kept; j++) {
        n_of_frame[kept[j] / FRAME]++;
        if (!holds(j == 0 || kept[j] > kept[j - 1], "numbers among all tokens, ascending"))
            return 1;
    }
    printf("%-22s", name);
    for (size_t f = 0; f < FRAMES; f++) printf(" %3zu", n_of_frame[f]);
    printf("   phi");
    for (size_t r = 0; r < n_regions; r++) printf(" %.2f", regions[r].details.stats.phi);
    printf("\n");
    return 0;
}

int main(void) {
    const prunesid_input all = prunesid_input_init(tokens, PRUNESID_F32, TOKENS, DIM);
    prunesid_region frames[FRAMES], windows[WINDOWS];
    size_t fixed[FRAMES], by_phi[FRAMES], jointly[FRAMES];
    encode();

    for (size_t f = 0; f < FRAMES; f++)
        frames[f] = prunesid_region_init(&all, f * FRAME, FRAME, BY_FRAME);
    if (prune("17 of every frame", PRUNESID_FIXED, frames, FRAMES, fixed)) return 1;

    for (size_t f = 0; f < FRAMES; f++) {
        frames[f].low = BY_FRAME / 2;
        frames[f].high = BY_FRAME * 2;
    }
    if (prune("by phi, 8 to 34", PRUNESID_BY_PHI, frames, FRAMES, by_phi)) return 1;

    for (size_t w = 0; w < WINDOWS; w++)
        windows[w] = prunesid_region_init(
            &all, w * WINDOW * FRAME, WINDOW * FRAME, (size_t)WINDOW * BY_FRAME);
    if (prune("68 of every 4 frames", PRUNESID_FIXED, windows, WINDOWS, jointly)) return 1;

    for (size_t f = 0; f < FRAMES; f++)
        if (!holds(fixed[f] == BY_FRAME, "17 of every frame") ||
            !holds(by_phi[f] >= BY_FRAME / 2 && by_phi[f] <= BY_FRAME * 2, "floor and ceiling"))
            return 1;
    return !holds(by_phi[7] > by_phi[0], "the rich frame gets more than the plain one") ||
           !holds(jointly[0] + jointly[1] + jointly[2] + jointly[3] == 68, "a window's budget");
}
