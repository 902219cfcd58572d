/* prunesid.c - the command-line tool: prunes the tokens in .npy files.   MIT licence.
 *
 * Every command loads and checks all of its input, then computes, writes its files beside their
 * places, prints, and last puts the files in place, so that an error leaves nothing half done. A
 * batch leaves out what is no good and says so. See prunesid --help. */
#include "tool.h"

#include <signal.h>

/* Files take their place last, when even the printing has succeeded: all of them or none. */
static int save_and_print(const job *all, const plot_png *picture) {
    npy_staged staged[N_OUTPUTS] = {{0}};
    int status = stage_outputs(all, picture, staged);
    if (status == EXIT_OK && !writes_to_output(all->of)) status = print_selection(all);
    if (status == EXIT_OK) status = commit_outputs(all, staged);
    for (size_t i = 0; i < N_OUTPUTS; i++) npy_discard(&staged[i]);
    return status;
}

/* select, and plot: which is select with a picture. */
static int run_one(job *all) {
    const int plots = all->command == COMMAND_PLOT;
    plot_png picture = {NULL, 0};
    int as_png = 0; /* which it is in any case */
    int status = plots ? read_ending(all, &as_png) : EXIT_OK;
    if (status == EXIT_OK) status = load_images(all);
    const size_t n_wanted = all->n_images;
    if (status == EXIT_OK && plots) status = check_grid(all);
    if (status == EXIT_OK) status = prune(all);
    if (status == EXIT_OK && all->n_images < n_wanted) status = EXIT_BAD_INPUT;
    if (status == EXIT_OK && all->positions.data != NULL) status = move_positions(all);
    if (status == EXIT_OK && plots) status = draw_picture(all, &picture);
    if (status == EXIT_OK) status = save_and_print(all, &picture);
    free(picture.bytes);
    return status;
}

static int run_batch(job *all) {
    if (all->of[OPTION_OUT_DIR].given || all->of[OPTION_JSONL].given) return run_stream(all);
    int status = load_images(all);
    if (status != EXIT_OK) return status;
    status = prune(all);
    if (status == EXIT_OK && all->n_images > 0) status = print_batch(all);
    for (size_t f = 0; f < all->n_files; f++)
        if (all->failed[f]) status = EXIT_BAD_INPUT;
    return status;
}

static int run_info(job *all) {
    int status = load_images(all);
    if (status == EXIT_OK) status = measure(all);
    if (status != EXIT_OK || all->n_images == 0) return EXIT_BAD_INPUT;
    return print_information(all);
}

static int run(const options *given) {
    static int (*const commands[N_COMMANDS])(job * all) = {[COMMAND_SELECT] = run_one,
        [COMMAND_BATCH] = run_batch,
        [COMMAND_INFO] = run_info,
        [COMMAND_PLOT] = run_one,
        [COMMAND_SWEEP] = run_sweep};
    job all = {.command = given->command,
        .of = given->of,
        .paths = given->files,
        .n_files = given->n_files};
    int status = make_config(&all);
    if (status == EXIT_OK) status = load_shared(&all);
    if (status == EXIT_OK) status = commands[given->command](&all);
    free_images(&all);
    free_shared(&all);
    return status;
}

int main(int argc, char **argv) {
    option_value values[N_OPTIONS];
    options given = {.of = values};
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is a failed write, not a death; */
    signal(SIGPIPE, SIG_IGN); /* and so is a reader that has gone */
    const int status = options_parse(argc, argv, &given);
    return status == GO_ON ? run(&given) : status;
}
