/* stream.c - frames that arrive one at a time.   MIT licence.
 *
 * A frame's budget is N phi / phi_ref, with phi_ref the mean of phi so far: rich frames get more,
 * about N on average, and nothing about past frames is kept but that mean. One workspace serves all
 * budgets up to the ceiling. */
#include "encoder.h"

#include <stdlib.h>

enum { SIDE = 8, TOKENS = SIDE * SIDE, DIM = 32, BUDGET = 8, LOW = 2, HIGH = 24, PLAIN = 10 };

typedef struct stream {
    prunesid_calibration calibration;
    void *workspace;
    size_t workspace_bytes;
    size_t n_frames, n_kept, n_least, n_most; /* for the report */
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

/* The budget of a frame of this phi, which joins the mean. */
static int choose_budget(stream *s, double phi, size_t *budget) {
    prunesid_status status = prunesid_calibrate(&s->calibration, phi);
    *budget = BUDGET;
    /* Nothing to compare with while all frames are plain: phi is 0, or rounding. */
    if (status == PRUNESID_OK && s->calibration.phi_mean > 1e-6)
        status = prunesid_budget(phi, s->calibration.phi_mean, BUDGET, LOW, HIGH, budget);
    return failed(status, "calibrate or budget");
}

/* kept [HIGH]; *n_kept: how many of them. */
static int take_frame(stream *s, float tokens[TOKENS][DIM], int32_t *kept, size_t *n_kept) {
    prunesid_config config = prunesid_config_init(PRUNESID_AUTO, TOKENS, DIM, HIGH);
    const prunesid_tokens view = prunesid_tokens_view(tokens, PRUNESID_F32, TOKENS, DIM);
    prunesid_information information;
    prunesid_output out = prunesid_output_init(kept);
    prunesid_status status =
        prunesid_redundancy(&config, &view, s->workspace, s->workspace_bytes, &information);
    if (failed(status, "redundancy") || choose_budget(s, information.phi, &config.budget)) return 1;
    status = prunesid_select(&config, &view, NULL, s->workspace, s->workspace_bytes, &out);
    if (failed(status, "select")) return 1;
    *n_kept = out.n_kept;
    s->n_frames++;
    s->n_kept += out.n_kept;
    s->n_least = out.n_kept < s->n_least ? out.n_kept : s->n_least;
    s->n_most = out.n_kept > s->n_most ? out.n_kept : s->n_most;
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
            printf("frame %5zu: %2zu tokens, mean phi so far %.3f\n", frame, n_kept,
                s->calibration.phi_mean);
    }
    const double mean = (double)s->n_kept / (double)s->n_frames;
    printf("%zu frames: %zu to %zu tokens each, %.2f on average for N = %d\n", s->n_frames,
        s->n_least, s->n_most, mean, BUDGET);
    printf("state between frames: %zu bytes, and a workspace of %zu that was never moved\n",
        sizeof s->calibration, s->workspace_bytes);
    const int settled = n_frames >= 2000; /* the mean of phi, after a start that was all plain */
    return !holds(!settled || (mean > 0.9 * BUDGET && mean < 1.1 * BUDGET), "N on average") ||
           !holds(s->n_least >= LOW && s->n_most <= HIGH, "floor and ceiling");
}

/* stream [FRAMES] */
int main(int argc, char **argv) {
    const size_t n_frames = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 10000;
    const prunesid_config most = prunesid_config_init(PRUNESID_AUTO, TOKENS, DIM, HIGH);
    if (n_frames == 0) return 2;
    stream s = {{0.0, 0}, NULL, prunesid_workspace_size(&most), 0, 0, HIGH, 0};
    s.workspace = malloc(s.workspace_bytes);
    if (s.workspace == NULL) return 1;
    const int result = run(&s, n_frames);
    free(s.workspace);
    return result;
}
