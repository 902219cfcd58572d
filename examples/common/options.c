/* options.c - the command line of a program, read by a table.   MIT licence. */
#include "options.h"

#include "utf8.h"

#include <errno.h>
#include <float.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- errors ------------------------------------------------------------------------------- */

static int has_progress; /* a line without an end is on the terminal */

void show_progress(const char *format, ...) {
    va_list arguments;
    if (has_progress) fputs("\r\033[K", stderr); /* the line is emptied */
    has_progress = format != NULL && isatty(STDERR_FILENO);
    if (!has_progress) return;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
}

/* "PROGRAM: CAUSE", or with a subject between them; whatever bytes they hold, one line. */
static void print_error(const char *subject, const char *format, va_list arguments) {
    char cause[4096];
    vsnprintf(cause, sizeof cause, format, arguments);
    show_progress(NULL);
    fprintf(stderr, "%s: ", program.name);
    if (subject != NULL) {
        utf8_print(stderr, subject);
        fputs(": ", stderr);
    }
    utf8_print(stderr, cause);
    fputc('\n', stderr);
}

int report(const char *subject, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_error(subject, format, arguments);
    va_end(arguments);
    return EXIT_BAD_INPUT;
}

int usage_error(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_error(NULL, format, arguments);
    va_end(arguments);
    fprintf(stderr, "try: %s --help\n", program.name);
    return EXIT_USAGE;
}

int finish_printing(void) {
    return fflush(stdout) == 0 && !ferror(stdout)
               ? EXIT_OK
               : report("standard output", "%s", strerror(errno));
}

/* ---- what was meant ----------------------------------------------------------------------- */

enum { LONGEST_NAME = 31 };

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Letters to insert, delete or replace to make b of a. */
static size_t edit_distance(const char *a, const char *b) {
    size_t row[LONGEST_NAME + 1];
    const size_t n = strlen(b);
    if (n > LONGEST_NAME) return SIZE_MAX;
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            const size_t replaced = diagonal + (a[i] != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = smaller(replaced, smaller(diagonal, row[j]) + 1);
        }
    }
    return row[n];
}

/* The known name nearest to what was typed, NULL if none is near. */
typedef struct suggestion {
    const char *typed, *name;
    size_t distance;
} suggestion;

/* About a third of the letters may be wrong. */
static suggestion suggestion_for(const char *typed) {
    const suggestion none = {typed, NULL, (strlen(typed + strspn(typed, "-")) + 1) / 3 + 1};
    return none;
}

static void suggest(suggestion *best, const char *name) {
    const size_t distance = edit_distance(best->typed, name);
    if (distance >= best->distance) return;
    best->name = name;
    best->distance = distance;
}

/* "a, b or c" */
static void list_choices(const char *(*choice)(size_t number), char *text, size_t n_bytes) {
    size_t length = 0;
    text[0] = '\0';
    for (size_t i = 0; choice(i) != NULL && length < n_bytes; i++)
        length += (size_t)snprintf(text + length, n_bytes - length, "%s%s",
            i == 0                  ? ""
            : choice(i + 1) == NULL ? " or "
                                    : ", ",
            choice(i));
}

static const char *command_name(size_t number) {
    return program.commands[number];
}

/* ---- values ------------------------------------------------------------------------------- */

int option_text(const option *rule, option_value *value) {
    (void)rule;
    (void)value;
    return GO_ON;
}

/* Too large a number is a number all the same: it saturates and fails its range check. */
int option_count(const option *rule, option_value *value) {
    const char *const text = value->text;
    const char *const digits = text + (*text == '-' || *text == '+');
    char *end;
    errno = 0;
    const long long number = strtoll(text, &end, 10);
    if (*digits < '0' || *digits > '9' || *end != '\0')
        return usage_error("%s: '%s' is not a whole number", rule->name, text);
    if (number < (long long)rule->least || number > INT_MAX)
        return report(rule->name, "must be between %zu and %d", rule->least, INT_MAX);
    value->number = (size_t)number;
    return GO_ON;
}

int option_real(const option *rule, option_value *value) {
    const char *const text = value->text;
    char *end;
    value->real = strtod(text, &end);
    if (end == text || *end != '\0' || strchr(" \t\n\v\f\r", *text) != NULL)
        return usage_error("%s: '%s' is not a number", rule->name, text);
    if (!(value->real > 0 && value->real <= DBL_MAX))
        return report(rule->name, "must be positive and finite");
    return GO_ON;
}

int option_choice(const option *rule, option_value *value) {
    char choices[256];
    suggestion best = suggestion_for(value->text);
    for (size_t i = 0; rule->choice(i) != NULL; i++) {
        if (strcmp(value->text, rule->choice(i)) == 0) {
            value->number = i;
            return GO_ON;
        }
        suggest(&best, rule->choice(i));
    }
    list_choices(rule->choice, choices, sizeof choices);
    if (best.name != NULL)
        return usage_error("%s: unknown choice '%s': did you mean %s? There are %s", rule->name,
            value->text, best.name, choices);
    return usage_error("%s: unknown choice '%s': %s", rule->name, value->text, choices);
}

/* ---- --help ------------------------------------------------------------------------------- */

enum { HELP_COLUMN = 20, HELP_WIDTH = 96 };

/* Words from column on, folded at HELP_WIDTH; returns the column behind them. */
static size_t print_words(const char *text, size_t column) {
    while (*text != '\0') {
        const size_t length = strcspn(text, " ");
        if (column > HELP_COLUMN && column + 1 + length > HELP_WIDTH) {
            printf("\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        }
        column += (size_t)printf("%s%.*s", column > HELP_COLUMN ? " " : "", (int)length, text);
        text += length + (text[length] == ' ');
    }
    return column;
}

/* "--name VALUE", or the choices as a|b|c; returns the column behind it. */
static size_t print_usage(const option *rule) {
    size_t column = (size_t)printf("  %s", rule->name);
    if (rule->choice == NULL && rule->value != NULL) column += (size_t)printf(" %s", rule->value);
    for (size_t i = 0; rule->choice != NULL && rule->choice(i) != NULL; i++)
        column += (size_t)printf("%c%s", i == 0 ? ' ' : '|', rule->choice(i));
    return column;
}

static void print_option(const option *rule) {
    char text[320];
    const size_t length = print_usage(rule);
    if (length >= HELP_COLUMN)
        printf("\n%*s", HELP_COLUMN, "");
    else
        printf("%*s", HELP_COLUMN - (int)length, "");
    const size_t column = print_words(rule->help, HELP_COLUMN);
    text[0] = '\0';
    if (rule->choice != NULL)
        snprintf(text, sizeof text, "(default %s)", rule->choice(rule->number));
    else if (rule->number > 0)
        snprintf(text, sizeof text, "(default %zu)", rule->number);
    print_words(text, column);
    putchar('\n');
    for (size_t i = 0; rule->purpose != NULL && rule->choice(i) != NULL; i++)
        printf("%*s%-9s %s\n", HELP_COLUMN, "", rule->choice(i), rule->purpose(i));
}

/* Of one command, or of the whole program: NULL. */
static int print_help(const size_t *command) {
    puts(program.about);
    if (program.usages != NULL) puts("\nusage:");
    for (size_t i = 0; program.usages != NULL && program.commands[i] != NULL; i++)
        if (command == NULL || *command == i) printf("  %s\n", program.usages[i]);
    if (command != NULL) puts("\noptions:");
    for (size_t i = 0; i < program.n_options; i++) {
        const option *const rule = &program.table[i];
        if (command != NULL && !(rule->commands >> *command & 1)) continue;
        if (command == NULL && rule->heading != NULL) printf("\n%s\n", rule->heading);
        print_option(rule);
    }
    printf("\n  -h, --help%s\n", program.version != NULL ? "      -V, --version" : "");
    if (program.notes != NULL) printf("\n%s\n", program.notes);
    puts("\nExit status: 0 done, 1 a bad file or value, 2 a usage error.");
    return finish_printing();
}

/* ---- arguments ---------------------------------------------------------------------------- */

/* --help and --version: GO_ON if argument is neither. */
static int take_question(const char *argument, const size_t *command) {
    if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) return print_help(command);
    if (program.version == NULL ||
        (strcmp(argument, "--version") != 0 && strcmp(argument, "-V") != 0))
        return GO_ON;
    printf("%s %s\n", program.name, program.version);
    return finish_printing();
}

/* The option that argument names, as "--name" or "--name=value"; n_options if none. */
static size_t find_option(const char *argument, size_t length) {
    size_t i = 0;
    while (i < program.n_options && (strlen(program.table[i].name) != length ||
                                        strncmp(argument, program.table[i].name, length) != 0))
        i++;
    return i;
}

static int unknown_option(const char *argument, size_t length) {
    char name[LONGEST_NAME + 1];
    snprintf(name, sizeof name, "%.*s", (int)smaller(length, LONGEST_NAME), argument);
    suggestion best = suggestion_for(name);
    for (size_t i = 0; i < program.n_options; i++) suggest(&best, program.table[i].name);
    if (best.name != NULL)
        return usage_error("unknown option '%s': did you mean %s?", argument, best.name);
    return usage_error("unknown option '%s'", argument);
}

/* Takes the option at argv[*at], and its value; *at moves behind it. */
static int take_option(int argc, char **argv, int *at, options *out) {
    const char *const argument = argv[(*at)++];
    const size_t length = strcspn(argument, "="), which = find_option(argument, length);
    if (which == program.n_options) return unknown_option(argument, length);
    const option *const rule = &program.table[which];
    option_value *const value = &out->of[which];
    if (value->given) return usage_error("%s is given twice", rule->name);
    value->given = 1;
    if (rule->read == NULL) {
        value->number = 1;
        return argument[length] == '\0' ? GO_ON : usage_error("%s takes no value", rule->name);
    }
    value->text = argument[length] == '=' ? argument + length + 1 : *at < argc ? argv[(*at)++] : "";
    return *value->text != '\0' ? GO_ON : usage_error("%s needs a value", rule->name);
}

/* Splits argv into options and files. Files move to the front of argv. */
static int take_arguments(int argc, char **argv, options *out) {
    int only_files = 0;
    for (int at = 0; at < argc;) {
        int status = GO_ON;
        if (!only_files && strcmp(argv[at], "--") == 0) {
            only_files = 1;
            at++;
        } else if (!only_files && argv[at][0] == '-' && argv[at][1] != '\0') {
            status = take_question(argv[at], program.commands != NULL ? &out->command : NULL);
            if (status == GO_ON) status = take_option(argc, argv, &at, out);
        } else if (program.commands == NULL) {
            status = usage_error("unexpected argument '%s'", argv[at]);
        } else {
            out->files[out->n_files++] = argv[at++];
        }
        if (status != GO_ON) return status;
    }
    return GO_ON;
}

static int take_command(const char *argument, options *out) {
    char choices[256];
    suggestion best = suggestion_for(argument);
    for (size_t i = 0; program.commands[i] != NULL; i++) {
        if (strcmp(argument, program.commands[i]) == 0) {
            out->command = i;
            return GO_ON;
        }
        suggest(&best, program.commands[i]);
    }
    if (best.name != NULL)
        return usage_error("unknown command '%s': did you mean %s?", argument, best.name);
    list_choices(command_name, choices, sizeof choices);
    return usage_error("unknown command '%s': %s", argument, choices);
}

/* "help", alone or with a command behind it; GO_ON if argv asks for neither. */
static int take_help(int argc, char **argv, options *out) {
    if (strcmp(argv[1], "help") != 0) return take_question(argv[1], NULL);
    if (argc == 2) return print_help(NULL);
    const int status = take_command(argv[2], out);
    return status == GO_ON ? print_help(&out->command) : status;
}

/* Options that the command does not take, or needs and has not. */
static int check_command(const options *given) {
    const char *const command = program.commands[given->command];
    for (size_t i = 0; i < program.n_options; i++) {
        const option *const rule = &program.table[i];
        if (given->of[i].given && !(rule->commands >> given->command & 1))
            return usage_error("%s is not an option of %s", rule->name, command);
        if (!given->of[i].given && (rule->required >> given->command & 1))
            return usage_error("%s needs %s", command, rule->name);
    }
    return GO_ON;
}

static int read_values(options *given) {
    int status = GO_ON;
    for (size_t i = 0; i < program.n_options && status == GO_ON; i++)
        if (given->of[i].text != NULL)
            status = program.table[i].read(&program.table[i], &given->of[i]);
    return status;
}

int options_parse(int argc, char **argv, options *out) {
    const int has_commands = program.commands != NULL;
    int status = GO_ON;
    out->command = out->n_files = 0;
    for (size_t i = 0; i < program.n_options; i++) {
        const option_value none = {.number = program.table[i].number};
        out->of[i] = none;
    }
    if (has_commands && argc < 2) {
        char choices[256];
        list_choices(command_name, choices, sizeof choices);
        return usage_error("no command: %s", choices);
    }
    if (has_commands) status = take_help(argc, argv, out);
    if (has_commands && status == GO_ON) status = take_command(argv[1], out);
    out->files = argv + 1 + has_commands;
    if (status == GO_ON) status = take_arguments(argc - 1 - has_commands, out->files, out);
    if (status == GO_ON && program.check != NULL) status = program.check(out);
    if (status == GO_ON && has_commands) status = check_command(out);
    if (status == GO_ON) status = read_values(out);
    return status;
}
