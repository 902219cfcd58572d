/* prunesid_llama.c - llama.cpp answers a prompt with pictures, and prunesid.h prunes these before
 * the language model sees them. See README.md.   MIT licence. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>

#include "names.h"
#include "session.h"

enum { COMMAND_RUN, COMMAND_COMPARE, RUN = 1u << COMMAND_RUN, COMPARE = 1u << COMMAND_COMPARE };
enum { MAX_KEEPS = 16 };

/* "32,64,128" into keeps [MAX_KEEPS]. How many, or 0 if it is no such list. */
static size_t parse_keeps(const char *text, size_t *keeps) {
    for (size_t n = 0; n < MAX_KEEPS; n++) {
        char *end = NULL;
        const long keep = strtol(text, &end, 10);
        if (*text < '0' || *text > '9' || keep < 1 || keep > INT32_MAX) return 0;
        keeps[n] = (size_t)keep;
        if (*end == '\0') return n + 1;
        if (*end != ',') return 0;
        text = end + 1;
    }
    return 0;
}

static int read_keeps(const option *rule, option_value *value) {
    size_t keeps[MAX_KEEPS];
    if (parse_keeps(value->text, keeps) > 0) return GO_ON;
    return report(rule->name, "%s is no list of 1 to %d budgets", value->text, MAX_KEEPS);
}

static int read_ratio(const option *rule, option_value *value) {
    const int status = option_real(rule, value);
    if (status != GO_ON || value->real <= 1.0) return status;
    return report(rule->name, "%s is above 1", value->text);
}

/* 0 as well: only the kept rows. */
static int read_weight(const option *rule, option_value *value) {
    return strcmp(value->text, "0") == 0 ? GO_ON : read_ratio(rule, value);
}

enum {
    OPTION_MODEL,
    OPTION_MMPROJ,
    OPTION_PROMPT,
    OPTION_KEEP,
    OPTION_RATIO,
    OPTION_KEEPS,
    OPTION_DYNAMIC,
    OPTION_PHI_REF,
    OPTION_PRESET,
    OPTION_MERGE,
    OPTION_NO_PRUNE,
    OPTION_PREDICT,
    OPTION_TURNS,
    OPTION_CONTEXT,
    OPTION_BATCH,
    OPTION_THREADS,
    N_OPTIONS
};

static const option table[N_OPTIONS] = {
    [OPTION_MODEL] = {"--model", "FILE.gguf", "the language model", option_text,
        .commands = RUN | COMPARE, .required = RUN | COMPARE},
    [OPTION_MMPROJ] = {"--mmproj", "FILE.gguf", "its vision part", option_text,
        .commands = RUN | COMPARE, .required = RUN | COMPARE},
    [OPTION_PROMPT] = {"--prompt", "TEXT", "with <__media__> where each image goes", option_text,
        .commands = RUN | COMPARE},
    [OPTION_KEEP] = {"--keep", "N", "visual tokens to keep of each image", option_count, 64,
        .least = 1, .commands = RUN},
    [OPTION_RATIO] = {"--ratio", "R", "or this part of them, up to 1", read_ratio, .commands = RUN},
    [OPTION_KEEPS] = {"--keep-list", "LIST", "budgets to compare, 32,64,128 say", read_keeps,
        .commands = COMPARE},
    [OPTION_DYNAMIC] = {"--dynamic", NULL, "more for varied images: needs --phi-ref", NULL,
        .commands = RUN},
    [OPTION_PHI_REF] = {"--phi-ref", "X", "the phi at which an image gets just N", option_real,
        .commands = RUN},
    [OPTION_PRESET] = {"--preset", "NAME", "the rules", option_choice, .choice = preset_name,
        .commands = RUN | COMPARE},
    [OPTION_MERGE] = {"--merge", "A",
        "this part of each kept row becomes the mean of what it stands for", read_weight,
        .commands = RUN | COMPARE},
    [OPTION_NO_PRUNE] = {"--no-prune", NULL, "only the model's own way", NULL, .commands = RUN},
    [OPTION_PREDICT] = {"--predict", "N", "tokens to generate, or to compare at", option_count, 16,
        .least = 1, .commands = RUN | COMPARE},
    [OPTION_TURNS] = {"--turns", "N", "runs each way in turn, of which medians are shown",
        option_count, 1, .least = 1, .commands = RUN},
    [OPTION_CONTEXT] = {"--ctx", "N", "tokens of context", option_count, 4096, .least = 64,
        .commands = RUN | COMPARE},
    [OPTION_BATCH] = {"--batch", "N", "tokens that are decoded at once", option_count, 512,
        .least = 1, .commands = RUN | COMPARE},
    [OPTION_THREADS] = {"--threads", "N", "threads of the engine", option_count, 2, .least = 1,
        .commands = RUN | COMPARE},
};

static const char *const commands[] = {"run", "compare", NULL};
static const char *const usages[] = {
    "run --model M.gguf --mmproj V.gguf IMAGE... [--prompt TEXT] [--keep N | --ratio R]",
    "compare --model M.gguf --mmproj V.gguf IMAGE... [--keep-list 32,64,128]"};

static int check(const options *given) {
    const option_value *const of = given->of;
    if (given->n_files == 0) return usage_error("no image");
    if (of[OPTION_KEEP].given && of[OPTION_RATIO].given)
        return usage_error("--keep and --ratio say the same thing");
    if (of[OPTION_DYNAMIC].given != of[OPTION_PHI_REF].given)
        return usage_error("--dynamic and --phi-ref go together");
    return GO_ON;
}

const options_program program = {.name = "prunesid_llama",
    .about = "Prunes the visual tokens of a model that llama.cpp runs.",
    .commands = commands,
    .usages = usages,
    .table = table,
    .n_options = N_OPTIONS,
    .check = check};

/* The prompt with a marker for every image, in front where it has none. malloc'd. */
static char *full_prompt(const char *prompt, size_t n_images) {
    const char *const marker = mtmd_default_marker();
    if (prompt == NULL) prompt = "Describe this.";
    const size_t n_bytes = strlen(prompt) + n_images * (strlen(marker) + 1) + 1;
    char *const text = calloc(n_bytes, 1);
    for (size_t i = 0; i < n_images && text != NULL && strstr(prompt, marker) == NULL; i++) {
        strcat(text, marker);
        strcat(text, "\n");
    }
    if (text == NULL) report("the prompt", "out of memory");
    return text != NULL ? strcat(text, prompt) : NULL;
}

static pruning pruning_of(const options *given, size_t budget) {
    const option_value *const of = given->of;
    pruning how = {prunesid_config_init((prunesid_preset)of[OPTION_PRESET].number, budget),
        of[OPTION_RATIO].given ? of[OPTION_RATIO].real : 0.0,
        of[OPTION_DYNAMIC].given ? of[OPTION_PHI_REF].real : 0.0,
        of[OPTION_MERGE].given ? of[OPTION_MERGE].real : 0.0};
    how.config.reserved = 0; /* the embeddings have no CLS row */
    return how;
}

/* Up to the answer's end, or that of the context. */
static int print_answer(session *s, const option_value *of, llama_pos n_past) {
    const struct llama_vocab *const vocab = llama_model_get_vocab(s->model);
    int status = EXIT_OK;
    for (size_t i = 0; i < of[OPTION_PREDICT].number && status == EXIT_OK; i++) {
        char piece[64];
        const llama_token token = session_likeliest(s);
        if (session_is_end(s, token)) break;
        const int32_t n = llama_token_to_piece(vocab, token, piece, sizeof piece, 0, false);
        if (n > 0) fwrite(piece, 1, (size_t)n, stdout);
        status = session_next(s, token, &n_past);
    }
    puts(status == GO_ON ? " (the context is full)" : "");
    return status == GO_ON ? EXIT_OK : status;
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median over turns of a number at that place of every outcome. */
static double median_of(const outcome *runs, size_t n, size_t place) {
    double *const values = malloc(n * sizeof *values), median = 0.0;
    if (values == NULL) return NAN;
    for (size_t i = 0; i < n; i++)
        memcpy(&values[i], (const char *)(runs + i) + place, sizeof *values);
    qsort(values, n, sizeof *values, by_value);
    median = values[n / 2];
    free(values);
    return median;
}

#define MEDIAN(runs, field) median_of(runs, n, offsetof(outcome, field))

static int run(session *s, const options *given, const mtmd_input_chunks *chunks) {
    const option_value *const of = given->of;
    const size_t n = of[OPTION_TURNS].number;
    const int prunes = !of[OPTION_NO_PRUNE].given;
    const pruning how = pruning_of(given, of[OPTION_KEEP].number);
    outcome *const full = calloc(n, sizeof *full), *const pruned = calloc(n, sizeof *pruned);
    int status = full != NULL && pruned != NULL ? EXIT_OK : report("turns", "out of memory");
    for (size_t i = 0; i < n && status == EXIT_OK; i++) {
        status = session_run(s, chunks, NULL, &full[i]);
        if (status == EXIT_OK && i + 1 == n) {
            printf("without pruning: ");
            status = print_answer(s, of, full[i].n_past);
        }
        if (status == EXIT_OK && prunes) status = session_run(s, chunks, &how, &pruned[i]);
        if (status == EXIT_OK && prunes && i + 1 == n) {
            printf("with pruning:    ");
            status = print_answer(s, of, pruned[i].n_past);
        }
    }
    if (status == EXIT_OK && !prunes) {
        printf("\n%zu visual tokens: encode %.1f ms, prefill %.1f ms, first token %.1f ms\n",
            full->n_before, MEDIAN(full, encode_ms), MEDIAN(full, prefill_ms),
            MEDIAN(full, first_ms));
    } else if (status == EXIT_OK) {
        printf("\n%-24s %12s %12s\n", "", "without", "with");
        printf("%-24s %12zu %12zu\n", "visual tokens", full->n_before, pruned->n_after);
        printf("%-24s %12s %12.3f\n", "rho", "", pruned->rho);
        printf("%-24s %9.1f ms %9.1f ms\n", "encode", MEDIAN(full, encode_ms),
            MEDIAN(pruned, encode_ms));
        printf("%-24s %12s %9.2f ms\n", "selection", "", MEDIAN(pruned, select_ms));
        printf("%-24s %9.1f ms %9.1f ms\n", "prefill, selection too", MEDIAN(full, prefill_ms),
            MEDIAN(pruned, prefill_ms));
        printf("%-24s %9.1f ms %9.1f ms\n", "time to first token", MEDIAN(full, first_ms),
            MEDIAN(pruned, first_ms));
        printf("prefill %.2f times as fast, the first token %.2f times; selection is %.2f %% of "
               "the time to it\n",
            MEDIAN(full, prefill_ms) / MEDIAN(pruned, prefill_ms),
            MEDIAN(full, first_ms) / MEDIAN(pruned, first_ms),
            100.0 * MEDIAN(pruned, select_ms) / MEDIAN(pruned, first_ms));
    }
    free(full);
    free(pruned);
    return status;
}

/* sum p log(p / q), of p = softmax(a) and q = softmax(b), in nats. */
static double divergence(const float *a, const float *b, size_t n) {
    double top_a = a[0], top_b = b[0], sum_a = 0.0, sum_b = 0.0, sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        top_a = fmax(top_a, a[i]);
        top_b = fmax(top_b, b[i]);
    }
    for (size_t i = 0; i < n; i++) {
        sum_a += exp(a[i] - top_a);
        sum_b += exp(b[i] - top_b);
    }
    for (size_t i = 0; i < n; i++) {
        const double log_p = a[i] - top_a - log(sum_a), log_q = b[i] - top_b - log(sum_b);
        sum += exp(log_p) * (log_p - log_q);
    }
    return sum > 0.0 ? sum : 0.0;
}

/* Compares at the first token and at each of the next ones of the full model's answer, up to its
 * end. */
typedef struct comparison {
    size_t n, n_agreed;
    double divergence, kept;
} comparison;

static int compare_image(session *s, const options *given, char *image, const size_t *keeps,
    size_t n_keeps, comparison *total) {
    const size_t n_vocab = session_n_vocab(s);
    size_t n_steps = given->of[OPTION_PREDICT].number;
    char *const prompt = full_prompt(given->of[OPTION_PROMPT].text, 1);
    float *const logits = malloc(n_steps * n_vocab * sizeof *logits);
    llama_token *const answer = malloc(n_steps * sizeof *answer);
    mtmd_input_chunks *const chunks = prompt != NULL && logits != NULL && answer != NULL
                                          ? session_chunks(s, prompt, &image, 1)
                                          : NULL;
    int status = chunks != NULL ? EXIT_OK : EXIT_BAD_INPUT;
    if (logits == NULL || answer == NULL)
        report("--predict", "out of memory for %zu distributions", n_steps);
    for (size_t k = 0; k <= n_keeps && status == EXIT_OK; k++) { /* 0: the full model */
        outcome out;
        const pruning how = pruning_of(given, k > 0 ? keeps[k - 1] : 1);
        status = session_run(s, chunks, k > 0 ? &how : NULL, &out);
        for (size_t i = 0; i < n_steps && status == EXIT_OK; i++) {
            if (k == 0) {
                memcpy(logits + i * n_vocab, session_logits(s), n_vocab * sizeof *logits);
                answer[i] = session_likeliest(s);
                if (session_is_end(s, answer[i])) n_steps = i + 1;
            } else {
                total[k - 1].n++;
                total[k - 1].n_agreed += session_likeliest(s) == answer[i];
                total[k - 1].divergence +=
                    divergence(logits + i * n_vocab, session_logits(s), n_vocab);
                total[k - 1].kept += (double)out.n_after / (double)out.n_before;
            }
            if (i + 1 < n_steps) status = session_next(s, answer[i], &out.n_past);
        }
    }
    if (status == GO_ON) status = report("--predict", "the answer does not fit the context");
    if (chunks != NULL) mtmd_input_chunks_free(chunks);
    free(prompt);
    free(logits);
    free(answer);
    return status;
}

static int compare(session *s, const options *given) {
    size_t keeps[MAX_KEEPS] = {32, 64, 128, 192}, n = 4;
    comparison total[MAX_KEEPS];
    if (given->of[OPTION_KEEPS].given) n = parse_keeps(given->of[OPTION_KEEPS].text, keeps);
    memset(total, 0, sizeof total);
    for (size_t f = 0; f < given->n_files; f++) {
        const int status = compare_image(s, given, given->files[f], keeps, n, total);
        if (status != EXIT_OK) return status;
    }
    printf("%8s %10s %16s %18s\n", "keep", "of them", "KL to the full", "same likeliest");
    for (size_t k = 0; k < n; k++) {
        const double of = (double)total[k].n;
        printf("%8zu %8.1f %% %11.4f nats %16.1f %%\n", keeps[k], 100.0 * total[k].kept / of,
            total[k].divergence / of, 100.0 * (double)total[k].n_agreed / of);
    }
    printf(
        "over %zu images, at %zu tokens of the full model's answers\n", given->n_files, total->n);
    return EXIT_OK;
}

int main(int argc, char **argv) {
    option_value values[N_OPTIONS];
    options given = {.of = values};
    int status = options_parse(argc, argv, &given);
    if (status != GO_ON) return status;
    session s;
    status = session_open(&s, values[OPTION_MODEL].text, values[OPTION_MMPROJ].text,
        (uint32_t)values[OPTION_CONTEXT].number, (int32_t)values[OPTION_BATCH].number,
        (int32_t)values[OPTION_THREADS].number);
    if (status == EXIT_OK && given.command == COMMAND_COMPARE) {
        status = compare(&s, &given);
    } else if (status == EXIT_OK) {
        char *const prompt = full_prompt(values[OPTION_PROMPT].text, given.n_files);
        mtmd_input_chunks *const chunks =
            prompt != NULL ? session_chunks(&s, prompt, given.files, given.n_files) : NULL;
        status = chunks != NULL ? run(&s, &given, chunks) : EXIT_BAD_INPUT;
        if (chunks != NULL) mtmd_input_chunks_free(chunks);
        free(prompt);
    }
    session_close(&s);
    return status == EXIT_OK ? finish_printing() : status;
}
