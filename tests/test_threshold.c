/* test_threshold.c - tau = lambda rho of each preset.   MIT licence. */
#include "support.h"

static void known_values(void **unused) {
    static const struct {
        prunesid_preset preset;
        int has_scores;
        size_t T, N;
        double rho, rho_cells, tau;
    } cases[] = {
        {PRUNESID_PAPER, 0, 576, 64, 0.25, 0.125, 0.5},
        {PRUNESID_PAPER, 1, 576, 64, 0.25, 0.125, 0.5},
        {PRUNESID_PAPER, 0, 576, 1, 0.5, 9.0, 1.0 / 64},
        {PRUNESID_LLAVA, 1, 576, 64, 0.25, 0.125, 0.5},
        {PRUNESID_LLAVA, 0, 576, 64, 0.25, 0.125, 0.5},
        {PRUNESID_LLAVA, 1, 576, 320, -0.5, 9.0, -5.0},
        {PRUNESID_QWEN2VL, 0, 576, 64, 9.0, 0.125, 0.25},
        {PRUNESID_QWEN2VL, 1, 576, 64, 9.0, 0.125, 0.25},
        {PRUNESID_QWEN2VL, 0, 576, 32, 9.0, 0.125, 0.125},
        {PRUNESID_QWEN2VL, 0, 576, 16, 9.0, 0.5, 0.5},
        {PRUNESID_QWEN2VL, 0, 18, 9, 9.0, -0.5, -4.5},
        {PRUNESID_AUTO, 0, 576, 64, 9.0, 0.125, 0.25},
        {PRUNESID_AUTO, 1, 576, 64, 0.25, 9.0, 0.5},
        {PRUNESID_AUTO, 1, 18, 64, 0.25, 9.0, 0.5},
    };
    (void)unused;
    for (size_t i = 0; i < N_ITEMS(cases); i++) {
        const prunesid_config config = prunesid_config_init(cases[i].preset, cases[i].N);
        const prunesid_information information = {
            cases[i].rho, cases[i].rho_cells, 1.0 - cases[i].rho, cases[i].T};
        const double tau =
            prunesid_threshold(&config, cases[i].has_scores, cases[i].T, &information);
        CHECK(tau == cases[i].tau, "case %zu: %.17g", i, tau);
    }
}

static void matches_reference(void **unused) {
    uint64_t state = 9;
    (void)unused;
    for (int i = 0; i < 4000; i++) {
        const prunesid_preset preset = all_presets[random_bits(&state) % N_ITEMS(all_presets)];
        const size_t T = random_size(&state, 1, 3000), N = random_size(&state, 1, 4000);
        const int has_scores = i % 2;
        const prunesid_config config = prunesid_config_init(preset, N);
        const prunesid_information information = {
            random_unit(&state) * 2.0 - 1.0, random_unit(&state), 0.0, T};
        const double want = ref_threshold(information, N, T, ref_preset(preset, has_scores));
        assert_true(fabs(prunesid_threshold(&config, has_scores, T, &information) - want) <=
                    4e-16 * fabs(want)); /* two roundings */
    }
}

static void what_has_no_threshold(void **unused) {
    const prunesid_information information = {0.25, 0.125, 0.75, 576};
    prunesid_config config = prunesid_config_init(PRUNESID_PAPER, 64);
    (void)unused;
    assert_true(prunesid_threshold(&config, 0, 576, &information) > 0.0);
    assert_true(prunesid_threshold(NULL, 0, 576, &information) == 0.0);
    assert_true(prunesid_threshold(&config, 0, 576, NULL) == 0.0);
    assert_true(prunesid_threshold(&config, 0, 0, &information) == 0.0);
    config.preset = (prunesid_preset)N_ITEMS(all_presets);
    assert_true(prunesid_threshold(&config, 0, 576, &information) == 0.0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(matches_reference),
        cmocka_unit_test(what_has_no_threshold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
