/* stream.c - frames that arrive one at a time.   MIT licence.
 *
 * A frame's budget is N phi / phi_ref, with phi_ref the mean of phi so far: rich frames get more,
 * about N on average, and nothing about past frames is kept but that mean. One workspace serves all
 * budgets up to the ceiling. */
#include "encoder.h"

#include <stdlib.h>

enum { SIDE = 8, TOKENS = SIDE * SIDE, DIM = 32, BUDGET = 8, LOW = 2, HIGH = 24, PLAIN = 10 };

typedef struct stream {
    double phi_mean; /* of n_frames */
    size_t n_frames;
    void *workspace;
    size_t workspace_bytes;
    size_t n_kept, n_least, n_most; /* for the report */
} stream;

/* A black screen at first, then scenes of 50 frames, one plainer, one richer. */
static void encode(float tokens[TOKENS][DIM], size_t frame) {
    const uint32_t scene = (uint32_t)(frame / 50);
    if (frame < PLAIN)
        encode_image(tokens[0], SIDE, SIDE, DIM, DIM, 0u, 1, 0.0f);
    else
        encode_image(tokens[0], SIDE, SIDE, DIM, DIM, scene, 2 + scene * 7 % 5,
            0.2f + 0.3f * (float)(scene % 6));
}

/* kept [HIGH]; *n_kept: how many of them. */
static int take_frame(stream *s, float tokens[TOKENS][DIM], int32_t *kept, size_t *n_kept) {
    prunesid_config config = prunesid_config_init(PRUNESID_AUTO, BUDGET);
    const prunesid_input frame = prunesid_input_init(tokens, PRUNESID_F32, TOKENS, DIM);
    prunesid_information about;
    prunesid_status status = prunesid_redundancy(&frame, s->workspace, s->workspace_bytes, &about);
    if (failed(status, "redundancy")) return 1;
    s->phi_mean += (about.phi - s->phi_mean) / (double)++s->n_frames;
    /* Nothing to compare with while all frames are plain: phi is 0, or rounding. */
    if (s->phi_mean > 1e-6)
        status = prunesid_budget(about.phi, s->phi_mean, BUDGET, LOW, HIGH, &config.budget);
    if (failed(status, "budget")) return 1;
    status = prunesid_select(&config, &frame, s->workspace, s->workspace_bytes, kept, HIGH, NULL);
    if (failed(status, "select")) return 1;
    *n_kept = prunesid_n_kept(&config, TOKENS);
    s->n_kept += *n_kept;
    s->n_least = *n_kept < s->n_least ? *n_kept : s->n_least;
    s->n_most = *n_kept > s->n_most ? *n_kept : s->n_most;
    return 0;
}

static int run(stream *s, size_t n_frames) {
    static float tokens[TOKENS][DIM];
    int32_t kept[HIGH];
    for (size_t frame = 0; frame < n_frames; frame++) {
        size_t n_kept = 0;
        encode(tokens, frame);
        if (take_frame(s, tokens, kept, &n_kept)) return 1;
        if (!holds(frame >= PLAIN || n_kept == BUDGET, "N while all frames are plain")) return 1;
        if (frame % 2000 == 25)
            printf("frame %5zu: %2zu tokens, mean phi so far %.3f\n", frame, n_kept, s->phi_mean);
    }
    const double mean = (double)s->n_kept / (double)s->n_frames;
    printf("%zu frames: %zu to %zu tokens each, %.2f on average for N = %d\n", s->n_frames,
        s->n_least, s->n_most, mean, BUDGET);
    printf("state between frames: %zu bytes, and a workspace of %zu that was never moved\n",
        sizeof s->phi_mean + sizeof s->n_frames, s->workspace_bytes);
    const int settled = n_frames >= 2000; /* the mean of phi, after a start that was all plain */
    return !holds(!settled || (mean > 0.9 * BUDGET && mean < 1.1 * BUDGET), "N on average") ||
           !holds(s->n_least >= LOW && s->n_most <= HIGH, "floor and ceiling");
}

/* stream [FRAMES] */
int main(int argc, char **argv) {
    const size_t n_frames = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 10000;
    const prunesid_config most = prunesid_config_init(PRUNESID_AUTO, HIGH);
    stream s = {.n_least = HIGH};
    if (n_frames == 0) return 2;
    if (failed(prunesid_workspace_size(&most, TOKENS, DIM, &s.workspace_bytes), "workspace_size"))
        return 1;
    s.workspace = malloc(s.workspace_bytes);
    const int result = run(&s, n_frames);
    free(s.workspace);
    return result;
}
