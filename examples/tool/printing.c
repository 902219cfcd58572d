/* printing.c - what was kept, as JSON or for people.   MIT licence. */
#include "tool.h"

#include "names.h"
#include "utf8.h"

const char *tau_text(
    const prunesid_stats *stats, const char *format, const char *none, char text[CAUSE_BYTES]) {
    snprintf(text, CAUSE_BYTES, format, stats->tau);
    return stats->n_groups > 0 ? text : none;
}

/* ---- JSON --------------------------------------------------------------------------------- */

static void print_list(const char *name, const int32_t *values, size_t n_values) {
    printf(", \"%s\": [", name);
    for (size_t i = 0; i < n_values; i++) printf(i > 0 ? ", %d" : "%d", (int)values[i]);
    putchar(']');
}

/* The preset whose rules were used, or that there were none. */
static const char *rules_name(const job *all, const prunesid_stats *stats) {
    return all->of[OPTION_METHOD].number == METHOD_UNIFORM ? method_name(METHOD_UNIFORM)
                                                           : preset_name(stats->preset);
}

/* Without the braces around it. */
static void print_fields(const job *all, const prunesid_region *region) {
    const prunesid_stats *const stats = &region->details.stats;
    char tau[CAUSE_BYTES];
    printf("\"tokens\": %zu, \"dim\": %zu, \"budget\": %zu, \"preset\": \"%s\", \"reserved\": %zu",
        region->input.n_tokens, region->input.dim, region->share, rules_name(all, stats),
        all->config.reserved);
    printf(", \"keep\": %zu, \"groups\": %zu, \"rho\": %.17g, \"phi\": %.17g, \"tau\": %s"
           ", \"survivors\": %zu",
        region->n_kept, stats->n_groups, stats->rho, stats->phi,
        tau_text(stats, "%.17g", "null", tau), stats->n_survivors);
    print_list("indices", region->indices, region->n_kept);
    print_list("order", region->details.order, region->n_kept);
    print_list("group", region->details.group, region->input.n_tokens);
    if (!all->of[OPTION_REPRESENT].given) return;
    print_list("representative", region->details.representative, region->input.n_tokens);
    print_list("count", region->details.count, region->n_kept);
    printf(", \"coverage\": %.17g", stats->coverage);
}

void print_image(const job *all, size_t i, const char *file) {
    putchar('{');
    if (file != NULL) {
        const size_t item = all->images[i].number + all->of[OPTION_ITEM].number;
        printf("\"version\": %d, \"file\": ", JSON_VERSION);
        utf8_print_json(stdout, file);
        printf(", \"item\": %zu, ", item);
    }
    print_fields(all, &all->regions[i]);
    printf(file != NULL ? "}\n" : "}");
}

static void print_budgets(const job *all) {
    printf("\"budgets\": [");
    for (size_t i = 0; i < all->n_images; i++)
        printf(i > 0 ? ", %zu" : "%zu", all->regions[i].share);
    putchar(']');
}

static void print_positions(const job *all) {
    const npy_array *const positions = &all->positions;
    const size_t n = all->n_kept;
    printf(positions->n_dims == 1 ? ", \"positions\": " : ", \"positions\": [");
    for (size_t i = 0; i < positions->n_items; i++)
        printf("%s%lld%s",
            i % n > 0 ? ", "
            : i > 0   ? ", ["
                      : "[",
            (long long)npy_integer_at(positions, i), i % n == n - 1 ? "]" : "");
    printf("%s, \"next_position\": %lld", positions->n_dims == 1 ? "" : "]",
        (long long)all->next_position);
}

static void print_selection_json(const job *all) {
    putchar('{');
    if (all->of[OPTION_REGIONS].given) {
        print_budgets(all);
        print_list("indices", all->indices, all->n_kept);
        printf(", \"regions\": [");
        for (size_t r = 0; r < all->n_images; r++) {
            printf("%s{\"first\": %zu, ", r > 0 ? ", " : "", all->regions[r].input.first);
            print_fields(all, &all->regions[r]);
            putchar('}');
        }
        putchar(']');
    } else {
        print_fields(all, &all->regions[0]);
    }
    if (all->positions.data != NULL) print_positions(all);
    printf("}\n");
}

void print_failed(const job *all) {
    const char *between = ", \"failed\": [";
    int any = 0;
    for (size_t f = 0; f < all->n_files; f++) {
        if (!all->failed[f]) continue;
        printf("%s", between);
        utf8_print_json(stdout, all->paths[f]);
        between = ", ";
        any = 1;
    }
    if (any) putchar(']');
}

/* The images that are good, whose they are, and the files that are not good or hold one that is
 * not. */
static void print_batch_json(const job *all) {
    putchar('{');
    print_budgets(all);
    printf(", \"images\": [");
    for (size_t i = 0; i < all->n_images; i++) {
        if (i > 0) printf(", ");
        print_image(all, i, NULL);
    }
    printf("], \"files\": [");
    for (size_t i = 0; i < all->n_images; i++) {
        if (i > 0) printf(", ");
        utf8_print_json(stdout, all->paths[all->images[i].file]);
    }
    printf("], \"version\": %d", JSON_VERSION);
    print_failed(all);
    printf("}\n");
}

/* ---- for people --------------------------------------------------------------------------- */

static void print_summary(const job *all, const prunesid_region *region) {
    const prunesid_stats *const stats = &region->details.stats;
    char tau[CAUSE_BYTES];
    printf("kept       %zu of %zu tokens of %zu channels in %.1f ms\n", region->n_kept,
        region->input.n_tokens, region->input.dim, 1e-6 * (double)selection_ns(stats));
    printf("preset     %s, budget %zu, reserved %zu\n", rules_name(all, stats), region->share,
        all->config.reserved);
    printf("rho, phi   %.4f, %.4f\n", stats->rho, stats->phi);
    printf("tau        %s\n", tau_text(stats, "%.4f", "none", tau));
    printf("groups     %zu\n", stats->n_groups);
    printf("survivors  %zu\n", stats->n_survivors);
    if (all->of[OPTION_REPRESENT].given) printf("coverage   %.4f\n", stats->coverage);
    printf("indices   ");
    for (size_t i = 0; i < region->n_kept; i++) printf(" %d", (int)region->indices[i]);
    putchar('\n');
}

static void print_selection_summary(const job *all) {
    for (size_t r = 0; r < all->n_images; r++) {
        const prunesid_input *const input = &all->regions[r].input;
        if (all->of[OPTION_REGIONS].given) {
            printf("%sregion %zu: ", r > 0 ? "\n" : "", r);
            utf8_print(stdout, all->paths[0]);
            printf(", tokens %zu to %zu\n", input->first, input->first + input->n_tokens - 1);
        }
        print_summary(all, &all->regions[r]);
    }
    if (all->positions.data != NULL)
        printf("positions  %s, the next is %lld\n", policy_name(all->of[OPTION_POLICY].number),
            (long long)all->next_position);
}

static void print_batch_summary(const job *all) {
    for (size_t i = 0; i < all->n_images; i++) {
        printf("%simage %zu: ", i > 0 ? "\n" : "", i);
        utf8_print(stdout, all->paths[all->images[i].file]);
        putchar('\n');
        print_summary(all, &all->regions[i]);
    }
}

static void print_values(const npy_array *array) {
    double sum = 0, least = npy_float_at(array, 0), most = least;
    for (size_t i = 0; i < array->n_items; i++) {
        const double value = npy_float_at(array, i);
        sum += value;
        least = value < least ? value : least;
        most = value > most ? value : most;
    }
    printf("values     mean %.4g, from %.4g to %.4g\n", sum / (double)array->n_items, least, most);
}

/* ---- of each command ---------------------------------------------------------------------- */

int print_selection(const job *all) {
    if (all->of[OPTION_JSON].given)
        print_selection_json(all);
    else
        print_selection_summary(all);
    return finish_printing();
}

int print_batch(const job *all) {
    if (all->of[OPTION_JSON].given)
        print_batch_json(all);
    else
        print_batch_summary(all);
    return finish_printing();
}

int print_information(const job *all) {
    const prunesid_input *const input = &all->regions[0].input;
    const prunesid_information *const found = &all->images[0].information;
    const char *const dtype = input->dtype == PRUNESID_F16    ? "float16"
                              : input->dtype == PRUNESID_BF16 ? "bfloat16"
                                                              : "float32";
    if (all->of[OPTION_JSON].given) {
        printf("{\"tokens\": %zu, \"dim\": %zu, \"dtype\": \"%s\", \"rho\": %.17g"
               ", \"phi\": %.17g, \"nonzero\": %zu}\n",
            input->n_tokens, input->dim, dtype, found->rho, found->phi, found->n_nonzero);
    } else {
        printf("tokens     %zu of %zu channels, %s, %zu image\n", input->n_tokens, input->dim,
            dtype, all->n_images);
        printf("rho, phi   %.4f, %.4f\n", found->rho, found->phi);
        printf("nonzero    %zu tokens\n", found->n_nonzero);
        print_values(&all->files[0]);
    }
    return finish_printing();
}
