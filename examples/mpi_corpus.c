/* mpi_corpus.c - a corpus of images over ranks, under one dynamic budget.   MIT licence.
 *
 *     mpirun -n R mpi_corpus --keep N OUT_DIR A.npy B.npy ...
 *
 * Files are dealt to the ranks in turn. A rank finds the phi of its own; a sum in which each slot
 * has one writer, so that nothing is rounded, gives all of them to all ranks, and each works out
 * every budget: N on average, and the same whatever R is. OUT_DIR/A.kept.npy gets the int32 indices
 * kept of A. If a file is bad, no rank writes anything and all end with 1: every budget hangs on
 * every file. */
#include "npy_save.h"
#include "prunesid.h"
#include <mpi.h>

enum { MOST = 2048 }; /* files */
static struct {
    npy_array file;
    prunesid_input input;
    npy_staged staged;
} images[MOST]; /* a rank's own */
static char targets[MOST][512];
static double facts[2][MOST]; /* phi and T: 0 in every rank but one, until they are added up */
static size_t budgets[MOST], limits[MOST];
static char why[256]; /* npy_load.h and npy_save.h say here what went wrong */
static int rank, n_ranks;

static int complain(const char *path, const char *cause) {
    fprintf(stderr, "mpi_corpus: %s: %s\n", path, cause);
    return 1;
}

/* NULL, or what is wrong with the arguments. Two files of one name would share an output. */
static const char *parse(int argc, char **argv) {
    if (argc < 5 || argc - 4 > MOST || strcmp(argv[1], "--keep") != 0 ||
        argv[2][strspn(argv[2], "0123456789")] != '\0')
        return "--keep N OUT_DIR A.npy B.npy ...";
    const unsigned long N = strtoul(argv[2], NULL, 10);
    if (N < 1 || N > INT32_MAX) return "N must be between 1 and 2147483647";
    for (int f = 0; f < argc - 4; f++) {
        const char *slash = strrchr(argv[4 + f], '/'), *name = slash ? slash + 1 : argv[4 + f];
        const char *dot = strrchr(name, '.');
        const int length = dot != NULL ? (int)(dot - name) : (int)strlen(name);
        if (snprintf(targets[f], 512, "%s/%.*s.kept.npy", argv[3], length, name) >= 512)
            return "a name is too long";
        for (int i = 0; i < f; i++)
            if (strcmp(targets[i], targets[f]) == 0) return "two files have one name";
    }
    return NULL;
}

static int load(const char *path, int f) {
    npy_array *file = &images[f].file;
    if (npy_load(path, file, why, sizeof why) != 0) return complain(path, why);
    if (file->n_dims != 2 || file->kind != 'f') return complain(path, "not a [T, d] of floats");
    const size_t T = file->shape[0], d = file->shape[1];
    prunesid_input *input = &images[f].input;
    *input =
        prunesid_input_init(file->data, file->item_bytes == 2 ? PRUNESID_F16 : PRUNESID_F32, T, d);
    const prunesid_config any = prunesid_config_init(PRUNESID_AUTO, 1);
    prunesid_information about = {0};
    size_t n_bytes = 0;
    prunesid_status status = prunesid_workspace_size(&any, T, d, &n_bytes);
    void *workspace = malloc(n_bytes);
    if (status == PRUNESID_OK) status = prunesid_redundancy(input, workspace, n_bytes, &about);
    free(workspace);
    facts[0][f] = about.phi;
    facts[1][f] = (double)T;
    return status != PRUNESID_OK && complain(path, prunesid_status_string(status));
}

/* Prunes and writes a file that waits beside its place until all are known to be good. */
static int prune(const char *path, int f) {
    const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, budgets[f]);
    const prunesid_input *input = &images[f].input;
    const size_t n_kept = prunesid_n_kept(&config, input->n_tokens);
    int32_t *kept = malloc(n_kept * sizeof *kept);
    const prunesid_status status = prunesid_select_alloc(&config, input, kept, n_kept, NULL, NULL);
    int bad = status != PRUNESID_OK && complain(path, prunesid_status_string(status));
    npy_staged *to = &images[f].staged;
    if (!bad && npy_stage_array(targets[f], "<i4", 1, &n_kept, kept, to, why, sizeof why) != 0)
        bad = complain(targets[f], why);
    free(kept);
    return bad;
}

/* Whether any rank says so. All ranks meet here: none is to wait for one that has given up. */
static int anywhere(int bad) {
    MPI_Allreduce(MPI_IN_PLACE, &bad, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    return bad;
}

static int run(int n, char **paths, size_t N) {
    int bad = 0;
    for (int f = rank; f < n; f += n_ranks) bad |= load(paths[f], f);
    if (anywhere(bad)) return 1;
    MPI_Allreduce(MPI_IN_PLACE, facts, 2 * MOST, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    for (int f = 0; f < n; f++) limits[f] = (size_t)facts[1][f]; /* no more than it has */
    const prunesid_status status =
        prunesid_share(facts[0], (size_t)n, (size_t)n * N, NULL, limits, budgets);
    if (status != PRUNESID_OK) return complain("--keep", prunesid_status_string(status));
    for (int f = 0; f < n && rank == 0; f++)
        printf("phi %.3f, %3zu of %zu tokens: %s\n", facts[0][f], budgets[f], limits[f], paths[f]);
    for (int f = rank; f < n; f += n_ranks) bad |= prune(paths[f], f);
    bad = anywhere(bad);
    for (int f = rank; f < n; f += n_ranks)
        if (bad)
            npy_discard(&images[f].staged);
        else
            bad = npy_commit(&images[f].staged, why, 256) != 0 && complain(targets[f], why);
    return anywhere(bad);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    const char *cause = parse(argc, argv);
    if (cause != NULL && rank == 0) complain("usage", cause);
    const int result = cause != NULL ? 2 : run(argc - 4, argv + 4, strtoul(argv[2], NULL, 10));
    for (int f = 0; f < MOST; f++) npy_free(&images[f].file);
    MPI_Finalize();
    return result;
}
