/* tool.h - one run of the tool, from its files to what is kept of them.   MIT licence.
 *
 *   command_line.c  which options there are
 *   inputs.c        loads and checks all files
 *   pruning.c       what is kept
 *   printing.c      says so
 *   outputs.c       writes files; plot.c draws one of them
 *   stream.c        a batch of any length, a few files at a time
 *   sweep.c         one image after the other with many budgets; curve.c draws what comes out
 *   prunesid.c      runs the commands, in this order
 *   library.c       holds the one copy of the library's functions */
#ifndef TOOL_H
#define TOOL_H

#include "npy_save.h"

#include "command_line.h"
#include "plot.h"
#include "prunesid.h"

enum { CAUSE_BYTES = 256 };

/* Of the JSON, as schema.json describes it: it grows when a member goes or means something else. */
enum { JSON_VERSION = 1 };

/* What is pruned by itself, a part of a file: an image, a window of frames or a region. */
typedef struct image {
    size_t file;                      /* the number of its file */
    size_t number;                    /* of this image in its file */
    prunesid_information information; /* if it was measured */
} image;

/* A file, whatever it is called. */
typedef struct place {
    dev_t device;
    ino_t number;
    const char *path;
    int is_link;
} place;

typedef struct places {
    place *at; /* [n], sorted */
    size_t n, room;
} places;

typedef struct job {
    size_t command;
    const option_value *of; /* [N_OPTIONS] */
    char *const *paths;     /* [n_files] */
    size_t n_files;
    npy_array *files;      /* [n_files], each [B, T, d]; empty: no good */
    unsigned char *failed; /* [n_files] it is no good, or holds an image that is not */
    size_t n_tokens;       /* of all files */
    size_t n_stacked;      /* images of the last file that was loaded, before --item took one */
    float *scores;         /* [n_tokens], or NULL */
    npy_array score_table; /* [images, T] of a stream, or empty; and how many rows are taken */
    size_t n_scored;
    int32_t *protected_tokens; /* [n_protected] ascending, of every image; or NULL */
    size_t n_protected;
    float *loadings; /* [n_tokens, n_loadings], or NULL */
    size_t n_loadings;
    npy_array positions;   /* [T] or [sections, T], or empty; of the kept tokens in the end */
    int64_t next_position; /* where text goes on behind the kept tokens */
    prunesid_config config;
    prunesid_region *regions; /* [n_images] what there is to prune, less what failed; and */
    image *images;            /* where it is from */
    size_t n_images;
    int32_t *indices, *order, *group; /* [n_tokens] of the regions, which point here */
    int32_t *representative, *count;  /* likewise, or NULL */
    size_t n_kept;                    /* of all regions */
    size_t n_common;                  /* bytes of the folder that a stream's files are all in; */
    places inputs;                    /* what its outputs must not take the place of */
    int names_by_path;                /* its outputs are called by what follows, not by the name */
    int has_budgets;                  /* --dynamic has been seen to: the regions have theirs */
} job;

/* batch and sweep. */
static inline int takes_many(const job *all) {
    return all->command == COMMAND_BATCH || all->command == COMMAND_SWEEP;
}

static inline int is_dynamic(const job *all) {
    return all->of[OPTION_DYNAMIC].given || all->of[OPTION_PHI_REF].given;
}

/* Zeroed memory; a command-line tool has nothing better to do without it than to stop. */
void *allocate(size_t n_items, size_t item_bytes);

/* ---- inputs.c: each returns EXIT_OK, or EXIT_BAD_INPUT after an error is printed ------------ */

/* What belongs to all images: the protected tokens. */
int load_shared(job *all);

/* Loads the files and what belongs to them, and lists the regions. */
int load_images(job *all);

/* The scores of all images of a stream, of which load_images then takes those of its files. */
int load_score_table(job *all);

/* Images and tokens of each of a file, as load_images will find them, by its header alone. Whether
 * they can be told. */
int peek_shape(const job *all, const char *path, size_t shape[2]);

/* Whether the table has rows for a file of that shape behind n_before others. */
int check_score_rows(const job *all, const char *path, const size_t shape[2], size_t n_before);

/* What is written of an array of tokens: "<f2", "<f4", or "<u2" for bfloat16. */
const char *tokens_descr(const npy_array *array);

/* What load_images loaded, and what load_shared did. */
void free_images(job *all);
void free_shared(job *all);

/* ---- pruning.c: likewise ------------------------------------------------------------------ */

uint64_t nanoseconds_now(void);

void *allocate_workspace(size_t n_bytes);

/* The configuration of the command line, if its budgets leave room for a token. */
int make_config(job *all);

/* The tokens that rule says of an image of n_tokens, with room for one beside the reserved ones. */
size_t budget_of(const job *all, const budget_rule *rule, size_t n_tokens);

/* --keep of an image of n_tokens. */
size_t budget_for(const job *all, size_t n_tokens);

/* An even grid over the raster, the protected tokens of input among them, in place of
 * prunesid_select: the same arguments, of details only the stats and what is asked for. */
prunesid_status select_evenly(const prunesid_config *config, const prunesid_input *input,
    void *workspace, size_t workspace_bytes, int32_t *indices, prunesid_details *details);

/* phi and tokens of n images to their budgets, as --dynamic or --phi-ref says. */
int choose_budgets(
    const job *all, const double *phi, const size_t *n_tokens, size_t n, size_t *budgets);

/* Nanoseconds of a selection. */
uint64_t selection_ns(const prunesid_stats *stats);

/* Takes image i out of the job. */
void drop_image(job *all, size_t i);

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

/* The list of files that failed, if there are any, as a member behind others. */
void print_failed(const job *all);

/* One image as an object of its own; a line, if file is not NULL, that begins with its file. */
void print_image(const job *all, size_t i, const char *file);

/* ---- outputs.c ----------------------------------------------------------------------------- */

/* What the ending of -o asks for, in any case: a plot is PNG; a curve is SVG, or PNG if that is how
 * its name ends. Another ending is an error. */
int read_ending(const job *all, int *as_png);

/* Whether --grid gives the tokens of the file. */
int check_grid(const job *all);

/* Draws which patches of the photo were kept. */
int draw_picture(const job *all, plot_png *out);

/* Writes what is asked for beside where it belongs: nothing that was there is touched yet. */
int stage_outputs(const job *all, const plot_png *picture, npy_staged staged[N_OUTPUTS]);

/* Puts the files in their places. */
int commit_outputs(const job *all, npy_staged staged[N_OUTPUTS]);

/* Stages the kept rows of n regions of a file, merged if that is asked for. 0, or -1 with cause. */
int stage_rows(const char *path, const job *all, const npy_array *file,
    const prunesid_region *regions, size_t n, npy_staged *out, char cause[CAUSE_BYTES]);

/* ---- stream.c, sweep.c: the commands that run by themselves -------------------------------- */

/* batch with --out-dir or --jsonl. */
int run_stream(job *all);

int run_sweep(job *all);

#endif /* TOOL_H */
