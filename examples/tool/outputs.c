/* outputs.c - files that are written whole, all of them or none.   MIT licence. */
#include "tool.h"

#include "names.h"

#include <strings.h>

/* ---- the picture -------------------------------------------------------------------------- */

int read_ending(const job *all, int *as_png) {
    const char *const path = all->of[OPTION_OUTPUT].text;
    const int may_be_svg = all->command == COMMAND_SWEEP;
    if (path == NULL) return EXIT_OK;
    const char *const folder = strrchr(path, '/');
    const char *const ending = strrchr(folder != NULL ? folder : path, '.');
    *as_png = !may_be_svg || (ending != NULL && strcasecmp(ending, ".png") == 0);
    if (ending == NULL || strcasecmp(ending, *as_png ? ".png" : ".svg") == 0) return EXIT_OK;
    return report(
        path, "a %s, not %s", may_be_svg ? "curve is .svg or .png" : "plot is .png", ending);
}

int check_grid(const job *all) {
    const size_t *const grid = all->of[OPTION_GRID].pair;
    if (grid[0] > all->n_tokens || grid[0] * grid[1] != all->n_tokens)
        return report(option_name(OPTION_GRID), "%s does not give the %zu tokens of %s",
            all->of[OPTION_GRID].text, all->n_tokens, all->paths[0]);
    return EXIT_OK;
}

int draw_picture(const job *all, plot_png *out) {
    enum { N_FACTS = 5 };
    const prunesid_region *const region = &all->regions[0];
    const prunesid_stats *const stats = &region->details.stats;
    char title[CAUSE_BYTES], texts[N_FACTS][2 * CAUSE_BYTES];
    char tau[CAUSE_BYTES], cause[CAUSE_BYTES];
    const char *facts[N_FACTS];
    snprintf(title, sizeof title, "%zu of %zu tokens kept", region->n_kept, all->n_tokens);
    const int evenly = all->of[OPTION_METHOD].number == METHOD_UNIFORM;
    snprintf(texts[0], sizeof texts[0], evenly ? "%s" : "preset %s",
        evenly ? method_name(METHOD_UNIFORM) : preset_name(stats->preset));
    snprintf(texts[1], sizeof texts[1], "rho %.3f", stats->rho);
    snprintf(texts[2], sizeof texts[2], "phi %.3f", stats->phi);
    snprintf(texts[3], sizeof texts[3], "tau %s", tau_text(stats, "%.3f", "none", tau));
    snprintf(texts[4], sizeof texts[4], "groups %zu", stats->n_groups);
    for (size_t i = 0; i < N_FACTS; i++) facts[i] = texts[i];
    const plot_request request = {.photo = all->of[OPTION_IMAGE].text,
        .n_rows = all->of[OPTION_GRID].pair[0],
        .n_columns = all->of[OPTION_GRID].pair[1],
        .group = region->details.group,
        .indices = region->indices,
        .n_kept = region->n_kept,
        .n_groups = stats->n_groups,
        .title = title,
        .facts = facts,
        .n_facts = N_FACTS};
    int blames_photo = 0;
    if (plot_draw(&request, out, &blames_photo, cause, sizeof cause) == 0) return EXIT_OK;
    return report(blames_photo ? request.photo : option_name(OPTION_GRID), "%s", cause);
}

/* ---- files -------------------------------------------------------------------------------- */

/* The kept rows of a region, whose indices count from input.first. */
static prunesid_status copy_rows(
    const job *all, const prunesid_region *region, size_t row_bytes, void *out) {
    const prunesid_input *const input = &region->input;
    if (all->of[OPTION_MERGE].given)
        return prunesid_merge(input, region->indices, region->n_kept,
            region->details.representative, all->of[OPTION_MERGE].real, out, input->dim);
    const char *const row_0 = (const char *)input->tokens - input->first * row_bytes;
    return prunesid_gather(row_0, input->first + input->n_tokens, row_bytes, row_bytes,
        region->indices, region->n_kept, out, row_bytes);
}

int stage_rows(const char *path, const job *all, const npy_array *file,
    const prunesid_region *regions, size_t n, npy_staged *out, char cause[CAUSE_BYTES]) {
    const size_t row_bytes = file->shape[2] * file->item_bytes;
    prunesid_status status = PRUNESID_OK;
    size_t shape[2] = {0, file->shape[2]};
    for (size_t r = 0; r < n; r++) shape[0] += regions[r].n_kept;
    char *const rows = (char *)allocate(shape[0], row_bytes), *to = rows;
    for (size_t r = 0; r < n && status == PRUNESID_OK; r++) {
        status = copy_rows(all, &regions[r], row_bytes, to);
        to += regions[r].n_kept * row_bytes;
    }
    snprintf(cause, CAUSE_BYTES, "%s", prunesid_status_string(status));
    const int result = status != PRUNESID_OK ? -1
                                             : npy_stage_array(path, tokens_descr(file), 2, shape,
                                                   rows, out, cause, CAUSE_BYTES);
    free(rows);
    return result;
}

static int stage_output(size_t which, const char *path, const job *all, const plot_png *picture,
    npy_staged *out, char cause[CAUSE_BYTES]) {
    const npy_array *const positions = &all->positions;
    switch (which) {
    case OPTION_INDICES:
        return npy_stage_array(path, "<i4", 1, &all->n_kept, all->indices, out, cause, CAUSE_BYTES);
    case OPTION_TOKENS:
        return stage_rows(path, all, &all->files[0], all->regions, all->n_images, out, cause);
    case OPTION_POSITIONS_OUT:
        return npy_stage_array(path, positions->item_bytes == 8 ? "<i8" : "<i4", positions->n_dims,
            positions->shape, positions->data, out, cause, CAUSE_BYTES);
    default:
        return npy_stage(path, picture->bytes, picture->n_bytes, "", 0, out, cause, CAUSE_BYTES);
    }
}

int stage_outputs(const job *all, const plot_png *picture, npy_staged staged[N_OUTPUTS]) {
    char cause[CAUSE_BYTES];
    for (size_t i = 0; i < N_OUTPUTS; i++) {
        const char *const path = all->of[output_options[i]].text;
        if (path == NULL) continue;
        if (stage_output(output_options[i], path, all, picture, &staged[i], cause) != 0)
            return report(path, "%s", cause);
        /* The command line cannot see that two ways to write a path mean one new file. */
        for (size_t j = 0; j < i; j++)
            if (staged[j].target != NULL && strcmp(staged[i].target, staged[j].target) == 0)
                return report(path, "%s and %s name the same file", option_name(output_options[j]),
                    option_name(output_options[i]));
    }
    return EXIT_OK;
}

int commit_outputs(const job *all, npy_staged staged[N_OUTPUTS]) {
    char cause[CAUSE_BYTES];
    size_t failed;
    if (npy_commit_all(staged, N_OUTPUTS, &failed, cause, CAUSE_BYTES) == 0) return EXIT_OK;
    return report(all->of[output_options[failed]].text, "%s", cause);
}
