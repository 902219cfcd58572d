/* tool.h - one run of the tool, from its files to what is kept of them.   MIT licence.
 *
 *   command_line.c  which options there are
 *   inputs.c        loads and checks all files
 *   pruning.c       what is kept
 *   printing.c      says so
 *   outputs.c       writes files; plot.c draws one of them
 *   prunesid.c      runs the commands, in this order
 *   library.c       holds the one copy of the library's functions */
#ifndef TOOL_H
#define TOOL_H

#include "npy_save.h"

#include "command_line.h"
#include "plot.h"
#include "prunesid.h"

enum { CAUSE_BYTES = 256 };

/* What is pruned by itself, a part of a file: an image, a window of frames or a region. */
typedef struct image {
    size_t file;                      /* the number of its file */
    size_t number;                    /* of this image in its file */
    prunesid_information information; /* if it was measured */
} image;

typedef struct job {
    size_t command;
    const option_value *of; /* [N_OPTIONS] */
    char *const *paths;     /* [n_files] */
    size_t n_files;
    npy_array *files;      /* [n_files], each [B, T, d]; empty: no good */
    unsigned char *failed; /* [n_files] it is no good, or holds an image that is not */
    size_t n_tokens;       /* of all files */
    float *scores;         /* [n_tokens], or NULL */
    float *loadings;       /* [n_tokens, n_loadings], or NULL */
    size_t n_loadings;
    npy_array positions;   /* [T] or [sections, T], or empty; of the kept tokens in the end */
    int64_t next_position; /* where text goes on behind the kept tokens */
    prunesid_config config;
    prunesid_region *regions; /* [n_images] what there is to prune, less what failed; and */
    image *images;            /* where it is from */
    size_t n_images;
    int32_t *indices, *order, *group; /* [n_tokens] of the regions, which point here */
    size_t n_kept;                    /* of all regions */
} job;

/* Zeroed memory; a command-line tool has nothing better to do without it than to stop. */
void *allocate(size_t n_items, size_t item_bytes);

/* ---- inputs.c: each returns EXIT_OK, or EXIT_BAD_INPUT after an error is printed ------------ */

/* Loads what the command line names, and lists the regions. */
int load_inputs(job *all);

void free_inputs(job *all);

/* ---- pruning.c: likewise ------------------------------------------------------------------ */

/* The configuration of the command line, if its budgets leave room for a token. */
int make_config(job *all);

/* Step 3 of every image. What fails is reported and left out. */
int measure(job *all);

/* Every image with its own budget. What fails is reported and left out. */
int prune(job *all);

/* The position ids of the kept tokens, of these alone: what is in no region is left out. */
int move_positions(job *all);

/* ---- printing.c ---------------------------------------------------------------------------- */

/* tau as format says, or none where NMS had no threshold because nothing was pruned. */
const char *tau_text(
    const prunesid_stats *stats, const char *format, const char *none, char text[CAUSE_BYTES]);

/* EXIT_OK, or EXIT_BAD_INPUT if standard output takes no more. */
int print_selection(const job *all); /* select, plot */
int print_batch(const job *all);
int print_information(const job *all);

/* ---- outputs.c ----------------------------------------------------------------------------- */

/* Whether --grid gives the tokens of the file. */
int check_grid(const job *all);

/* Draws which patches of the photo were kept. */
int draw_picture(const job *all, plot_png *out);

/* Writes what is asked for beside where it belongs: nothing that was there is touched yet. */
int stage_outputs(const job *all, const plot_png *picture, npy_staged staged[N_OUTPUTS]);

/* Puts the files in their places. */
int commit_outputs(const job *all, npy_staged staged[N_OUTPUTS]);

#endif /* TOOL_H */
