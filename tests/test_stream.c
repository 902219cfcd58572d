/* test_stream.c - 10,000 frames through one workspace: budgets that follow the running mean of phi,
 * and results that are those of the frame alone.   MIT licence. */
#include "support.h"

enum {
    N_FRAMES = 10000,
    N_CALIBRATION = 3000, /* frames before the mean is held to its aim */
    EVERY = 16,           /* frames that are looked at again */
    N_SAMPLES = N_FRAMES / EVERY,
    T = 32,
    D = 12,
    AIM = 12,
    MOST = 28
};

/* ---- frames ------------------------------------------------------------------------------- */

/* A scene: what all its tokens share, and two sets of details between which it turns. */
typedef struct scene {
    double common[D], details[2][T][D], level;
    size_t left, length; /* frames until the next cut, and of all */
} scene;

/* The levels of successive scenes differ by the golden section: any few have nearly one mean. */
static scene scene_new(uint64_t *state, size_t number) {
    scene s;
    double norm = 0.0;
    s.left = s.length = 35 + number % 3 * 10;
    s.level = 0.3 + 0.4 * fmod((double)number * 0.6180339887498949, 1.0);
    for (size_t j = 0; j < D; j++) {
        s.common[j] = random_normal(state);
        norm += s.common[j] * s.common[j];
    }
    for (size_t j = 0; j < D; j++) s.common[j] *= sqrt(D / norm);
    for (size_t i = 0; i < 2 * T * D; i++)
        s.details[i / (T * D)][i / D % T][i % D] = random_normal(state);
    return s;
}

/* The next frame of s: its redundancy drifts, its content turns slowly. */
static void scene_frame(scene *s, float x[T * D]) {
    const double now = 6.283185307179586 * (double)s->left / (double)s->length;
    const double share = s->level + 0.1 * sin(2.0 * now);
    for (size_t i = 0; i < T * D; i++) {
        const size_t row = i / D, column = i % D;
        x[i] = (float)(share * s->common[column] +
                       (1.0 - share) * (cos(now) * s->details[0][row][column] +
                                           sin(now) * s->details[1][row][column]));
    }
    s->left--;
}

/* ---- the stream --------------------------------------------------------------------------- */

typedef struct sample {
    float x[T * D];
    double phi_ref, phi;
    size_t budget;
    run result;
} sample;

/* A running mean of phi. */
typedef struct calibration {
    double phi_mean;
    size_t n_frames;
} calibration;

/* What an engine does with a frame: phi, the mean, the budget, the selection. */
static run one_frame(
    const float *x, calibration *mean, prunesid_config *config, guard *workspace, double *phi) {
    const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, T, D);
    prunesid_information information = {0.0, 0.0, 0.0, 0};
    assert_int_equal(prunesid_redundancy(&input, workspace->data, workspace->n_bytes, &information),
        PRUNESID_OK);
    *phi = information.phi;
    mean->phi_mean += (information.phi - mean->phi_mean) / (double)++mean->n_frames;
    assert_int_equal(prunesid_budget(information.phi, mean->phi_mean, AIM, 1 + config->reserved,
                         MOST, &config->budget),
        PRUNESID_OK);
    run r = run_new(config, &input);
    r.status = prunesid_select(
        config, &input, workspace->data, workspace->n_bytes, r.indices, r.n_kept, &r.details);
    return r;
}

static void a_stream_of_frames(void **unused) {
    static sample samples[N_SAMPLES];
    static float x[T * D];
    uint64_t state = 1;
    scene now = scene_new(&state, 0);
    calibration mean = {0.0, 0};
    prunesid_config config = prunesid_config_init(PRUNESID_AUTO, MOST);
    const prunesid_input frame = prunesid_input_init(x, PRUNESID_F32, T, D);
    guard workspace = guard_workspace(&config, &frame); /* once, for all frames */
    double n_kept = 0.0, phi_sum = 0.0, phi_low = 2.0, phi_high = -2.0;
    size_t n_cuts = 0, n_least = MOST, n_most = 0;
    (void)unused;
    for (size_t f = 0; f < N_FRAMES; f++) {
        double phi;
        if (now.left == 0) now = scene_new(&state, ++n_cuts);
        scene_frame(&now, x);
        run r = one_frame(x, &mean, &config, &workspace, &phi);
        CHECK(run_consistent(&r, &config, &frame), "frame %zu: %s", f,
            prunesid_status_string(r.status));
        CHECK(guard_intact(&workspace), "frame %zu", f);
        CHECK(r.details.stats.phi == phi, "frame %zu", f);
        phi_sum += phi;
        CHECK(fabs(mean.phi_mean - phi_sum / (double)(f + 1)) < 1e-12, "frame %zu", f);
        if (f >= N_CALIBRATION) {
            n_kept += (double)r.n_kept;
            n_least = ref_min(n_least, r.n_kept);
            n_most = ref_max(n_most, r.n_kept);
        }
        phi_low = fmin(phi_low, phi);
        phi_high = fmax(phi_high, phi);
        if (f % EVERY == 0) {
            sample *const kept = &samples[f / EVERY];
            memcpy(kept->x, x, sizeof x);
            kept->phi = phi;
            kept->phi_ref = mean.phi_mean;
            kept->budget = config.budget;
            kept->result = r;
        } else {
            run_free(&r);
        }
    }
    const double mean_kept = n_kept / (N_FRAMES - N_CALIBRATION);
    CHECK(fabs(mean_kept - AIM) <= 0.01 * AIM, "%.4f tokens a frame", mean_kept);
    CHECK(n_cuts > 100 && phi_high - phi_low > 0.3 && n_most > n_least + AIM / 2,
        "the stream is dull: %zu cuts, phi %.2f to %.2f, %zu to %zu tokens", n_cuts, phi_low,
        phi_high, n_least, n_most);

    for (size_t s = N_SAMPLES; s-- > 0;) { /* again, alone, last first, in memory of their own */
        sample *const kept = &samples[s];
        prunesid_config alone = prunesid_config_init(PRUNESID_AUTO, 1);
        const prunesid_input input = prunesid_input_init(kept->x, PRUNESID_F32, T, D);
        guard fresh = guard_workspace(&alone, &input);
        prunesid_information found = {0.0, 0.0, 0.0, 0};
        assert_int_equal(
            prunesid_redundancy(&input, fresh.data, fresh.n_bytes, &found), PRUNESID_OK);
        CHECK(found.phi == kept->phi, "frame %zu", s * EVERY);
        assert_int_equal(
            prunesid_budget(found.phi, kept->phi_ref, AIM, 1, MOST, &alone.budget), PRUNESID_OK);
        CHECK(alone.budget == kept->budget, "frame %zu", s * EVERY);
        run r = run_select(&alone, &input);
        CHECK(run_equal(&r, &kept->result), "frame %zu", s * EVERY);
        guard_free(&fresh);
        run_free(&r);
        run_free(&kept->result);
    }
    assert_true(N_SAMPLES >= 500);
    guard_free(&workspace);
}

/* ---- the bound ---------------------------------------------------------------------------- */

/* No budget up to most needs more than a larger one. */
static void check_bound(prunesid_config config, const size_t shape[2], size_t most, size_t step) {
    size_t below = 0;
    for (size_t N = config.reserved + 1; N <= most;
         N += N + step <= most || N == most ? step : most - N) {
        size_t n_bytes = 0;
        config.budget = N;
        CHECK_STATUS(prunesid_workspace_size(&config, shape[0], shape[1], &n_bytes), PRUNESID_OK,
            "%zu x %zu, budget %zu", shape[0], shape[1], N);
        CHECK(n_bytes >= below,
            "%zu x %zu, budget %zu, preset %d, svd %d, reserved %zu, K %zu: %zu after %zu",
            shape[0], shape[1], N, (int)config.preset, (int)config.svd, config.reserved,
            config.n_groups, n_bytes, below);
        below = n_bytes;
    }
}

static void the_size_grows_with_the_budget(void **unused) {
    static const size_t shapes[][2] = {{1, 1}, {2, 9}, {16, 4}, {40, 300}, {256, 256}, {257, 257},
        {258, 400}, {300, 280}, {300, 1024}, {576, 1024}, {1024, 384}, {1200, 600}, {700, 3584}};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(shapes) * N_ITEMS(all_presets) * 2; i++) {
        const size_t *const shape = shapes[i / 2 / N_ITEMS(all_presets)], most = shape[0] + 9;
        prunesid_config config = prunesid_config_init(all_presets[i / 2 % N_ITEMS(all_presets)], 1);
        config.svd = (prunesid_svd)(i % 2);
        check_bound(config, shape, most, 1);
        config.reserved = i % 5;
        check_bound(config, shape, most, 7);
        config.reserved = shape[0] / 3;
        check_bound(config, shape, most, 7);
        config.reserved = 0;
        config.n_groups = 1 + shape[0] / 9;
        check_bound(config, shape, most, 7);
    }
}

static void the_bound_of_random_configurations(void **unused) {
    uint64_t state = 8;
    (void)unused;
    for (size_t i = 0; i < 300; i++) {
        const size_t shape[2] = {random_size(&state, 1, 1500), random_size(&state, 1, 1500)};
        prunesid_config config =
            prunesid_config_init(all_presets[random_bits(&state) % N_ITEMS(all_presets)], 1);
        config.svd = (prunesid_svd)random_size(&state, 0, 1);
        config.reserved = random_bits(&state) % 2 ? random_size(&state, 0, shape[0]) : 0;
        check_bound(
            config, shape, random_size(&state, 1, 2 * shape[0]), random_size(&state, 3, 17));
    }
}

static void the_bound_of_extremes(void **unused) {
    static const size_t shapes[][2] = {{16384, 1024}, {1, 100000}, {100000, 1}, {4096, 4096}};
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(shapes) * N_ITEMS(all_presets) * 2; i++) {
        const size_t *const shape = shapes[i / 2 / N_ITEMS(all_presets)];
        prunesid_config config =
            prunesid_config_init(all_presets[i / 2 % N_ITEMS(all_presets)], INT32_MAX);
        size_t bound = 0, n_bytes = 0;
        config.svd = (prunesid_svd)(i % 2);
        check_bound(config, shape, 9000, 500);
        assert_int_equal(prunesid_workspace_size(&config, shape[0], shape[1], &bound), PRUNESID_OK);
        for (config.budget = 2; config.budget < INT32_MAX; config.budget *= 2) {
            assert_int_equal(
                prunesid_workspace_size(&config, shape[0], shape[1], &n_bytes), PRUNESID_OK);
            CHECK(bound >= n_bytes, "%zu x %zu, budget %zu", shape[0], shape[1], config.budget);
        }
    }
}

/* Selections at every budget in memory of the bound's size, KRYLOV's own basis included. */
static void every_budget_runs_in_the_bound(void **unused) {
    static const size_t budgets[] = {298, 297, 250, 180, 120, 97, 96, 95, 64, 40, 17, 16, 3, 2, 1};
    float *const x = tokens_new(KIND_REAL, 300, 260, 2);
    const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, 300, 260);
    (void)unused;
    for (int svd = 0; svd < 2; svd++) {
        prunesid_config config = prunesid_config_init(PRUNESID_QWEN2VL, 298);
        config.svd = (prunesid_svd)svd;
        guard workspace = guard_workspace(&config, &input);
        for (size_t i = 0; i < N_ITEMS(budgets); i++) {
            config.budget = budgets[i];
            run want = run_select(&config, &input), r = run_new(&config, &input);
            r.status = prunesid_select(&config, &input, workspace.data, workspace.n_bytes,
                r.indices, r.n_kept, &r.details);
            CHECK(run_equal(&want, &r) && r.status == PRUNESID_OK, "budget %zu", config.budget);
            assert_true(guard_intact(&workspace));
            run_free(&r);
            run_free(&want);
        }
        guard_free(&workspace);
    }
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_of_frames),
        cmocka_unit_test(the_size_grows_with_the_budget),
        cmocka_unit_test(the_bound_of_random_configurations),
        cmocka_unit_test(the_bound_of_extremes),
        cmocka_unit_test(every_budget_runs_in_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
