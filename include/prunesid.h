/* prunesid.h - keep the visual tokens that matter, drop the rest, before prefill.   MIT licence.
 *
 * WHAT IT DOES
 *   X is a [T, d] matrix: the T visual tokens (d channels each) of one image, as a vision encoder
 *   or projector leaves them. PruneSID (arXiv 2603.09480) keeps N of them without any training:
 *     1. PSCA         A = sigmoid(X) - mean;  A^T = U S V^T;  V [T, K] holds the top K right
 *                     singular vectors of A^T                                      (Eq. 1 and 2)
 *     2. group        token i belongs to group g(i) = argmax_k |V_ik|                     (Eq. 3)
 *     3. redundancy   rho = mean of cos(x_i, x_j) over i < j;  phi = 1 - rho              (Eq. 4)
 *     4. threshold    tau = lambda rho,  lambda = N / 32                                  (Eq. 4)
 *     5. NMS          in each group, by falling score: a token survives if its cosine to every
 *                     survivor so far is at most tau
 *     6. quotas       the budget N is shared over the groups by their survivors
 *     7. dynamic      over a batch, N_b is proportional to phi_b: rich images get more
 *   And, not the paper's and only if asked for: 8. merge, each dropped token into the kept one that
 *   represents it.
 *
 * USE
 *   #include "prunesid.h"        everything is static inline; link -llapacke -lopenblas -lm
 *     prunesid_config config = prunesid_config_init(PRUNESID_AUTO, 64);
 *     prunesid_input input = prunesid_input_init(X, PRUNESID_F32, T, d);
 *     int32_t kept[64];
 *     prunesid_status status = prunesid_select_alloc(&config, &input, kept, 64, NULL, NULL);
 *     // kept[0 .. prunesid_n_kept(&config, T)) ascend; status is PRUNESID_OK or says what is wrong
 *   Without a heap call: give prunesid_select the memory that prunesid_workspace_size asks for.
 *   Many tiles, frames or images, over threads: BATCH. The prompt around them: AFTER. One stage
 *   alone: STAGES.
 *
 * HOW TO READ THIS FILE
 *   The interface comes first and ends with a line that says so. Behind it >>select runs the stages
 *   one after the other and so lists what follows; each stage is a section of its own, found by its
 *   tag: >>constants >>tools >>select >>rules >>checks >>workspace >>workers >>psca (with >>matrix
 *   >>basis >>krylov >>ritz >>verdict >>refine >>exact) >>redundancy >>group >>threshold >>nms
 *   >>quotas >>represent >>budgets >>batch >>merge >>prompt >>kernels. A section reads what stands
 *   above it and the prototypes that >>tools and >>select end and begin with.
 *
 * HOW TIES ARE BROKEN
 *   The lower index first: of two components for a token's group, of two tokens by score or as
 *   representatives, of two groups by survivors, of two remainders. Rows of the same bits have the
 *   same loadings and cosines. Where float64 itself cannot tell two of them apart, its own rounding
 *   decides.
 *
 * LINKAGE
 *   inline   Include the header in any number of units: every function is static inline.
 *   shared   Define PRUNESID_DECLARATIONS where it is included (prototypes only, no BLAS header is
 *            read), and compile one unit with PRUNESID_IMPLEMENTATION. A unit does one or the
 *            other; both in one is an #error. A unit that includes the functions reads some 110,000
 *            lines, nearly all of them LAPACKE's, and compiles in about 1.5 s.
 *   BLAS     Any cblas.h and lapacke.h do. BLIS's needs POSIX types (-std=gnu99, or
 *            _POSIX_C_SOURCE); ATLAS's has no extern "C": C++ includes it in such a block before.
 *   Macros, defined before the include:
 *     PRUNESID_API    in front of every public function of a shared copy; default nothing
 *     PRUNESID_SIMD   the most that the kernels use of a processor. x86-64: 0 SSE2 and BLAS, 1 AVX2
 *                     and FMA, 2 AVX-512; AArch64: 0 BLAS, 1 NEON; elsewhere 0. Default 2
 *     PRUNESID_CBLAS_H, PRUNESID_LAPACKE_H   the BLAS's headers; default <cblas.h>, <lapacke.h>;
 *                     MKL's are <mkl_cblas.h>, <mkl_lapacke.h>
 *
 * GUARANTEES
 *   - Exactly min(N - reserved, T) distinct ascending indices, for every T >= 1 and N > reserved.
 *   - The same bits on every run, whatever else is in the batch and however many workers there are.
 *     Nothing is random. A result is a function of the input, the build, the processor and the BLAS
 *     with its number of threads; the last two can reach the last bit of a loading.
 *   - No globals, heap (but in prunesid_select_alloc), stdio, locale, errno or change to OpenBLAS's
 *     threads. Re-entrant with distinct workspaces.
 *   - On any status but PRUNESID_OK nothing is written to an output but what says why: a plan, the
 *     place that prunesid_input_check names, a region's status. A batch whose regions fail one by
 *     one writes the others'.
 *   - Finiteness is tested on the bits, so -ffast-math does not defeat it.
 *
 * MEMORY
 *   Matrices are row-major, strides in elements, what ends in _bytes in bytes. The caller owns all
 *   memory, nothing is kept between calls. An array that is written overlaps no other, unless said.
 *   Every init function fills every field; a 0 that stands for a rule is said to.
 *
 * NUMERICS
 *   u = 2^-24 is half the distance from 1 to the next float32.
 *   rho, phi, tau and EXACT: float64. NMS and representatives decide as float64 does: by float32
 *   where its rounding bound allows. KRYLOV: float32, with a model of the error of every loading
 *   (>>verdict); where it leaves open a token's group, or an order of two loadings on which a
 *   kept token or an order that was asked for depends, the columns in question are refined in
 *   float64 until a bound closes, or float64 has no more to say (>>refine). So the default selects
 *   what a float64 SVD selects. Loadings are 0 for a component whose singular value is below 1e-6
 *   of the largest where EXACT finds them, for contrast below 1e-12, and maybe for one of equal
 *   singular values that K cuts through. A processor told to flush subnormal numbers does so with
 *   tokens.
 */
#if defined(PRUNESID_DECLARATIONS) || defined(PRUNESID_IMPLEMENTATION)
#if defined(PRUNESID_H) && !defined(PRUNESID_H_SHARED_)
#error "prunesid.h: this unit already has the inline functions; it cannot share a copy as well"
#endif
#define PRUNESID_H_SHARED_
#elif defined(PRUNESID_H_SHARED_)
#error "prunesid.h: this unit already shares a copy; define PRUNESID_DECLARATIONS here as well"
#endif

#ifndef PRUNESID_API
#define PRUNESID_API /* in front of every public function of a shared copy: LINKAGE */
#endif
#ifdef PRUNESID_H_SHARED_
#define PRUNESID_PUBLIC_ PRUNESID_API
#else
#define PRUNESID_PUBLIC_ static inline
#endif

#ifndef PRUNESID_H
#define PRUNESID_H
#include <stddef.h>
#include <stdint.h>

#define PRUNESID_VERSION_MAJOR 0 /* of this header */
#define PRUNESID_VERSION_MINOR 2 /* until MAJOR counts, types may change with it */
#define PRUNESID_VERSION_PATCH 0 /* types stay as they are */
/* The three as one number: 10203 is 1.2.3. */
#define PRUNESID_VERSION                                                                           \
    (PRUNESID_VERSION_MAJOR * 10000 + PRUNESID_VERSION_MINOR * 100 + PRUNESID_VERSION_PATCH)
#define PRUNESID_ALIGNMENT 16 /* of a workspace, in bytes: what malloc gives on 64-bit machines */

#ifdef __cplusplus
extern "C" {
#endif

/* PRUNESID_VERSION of the functions: of a library that was linked or loaded, maybe not that of the
 * header. Before 1.0 types may change with MINOR: compare version / 100. */
PRUNESID_PUBLIC_ int prunesid_version(void);

/* ==== STATUS ============================================================================== */

/* One status, one cause. PRUNESID_OK is 0; the errors keep clear of the -1, -2, ... of engines.
 * Every array has to be aligned as its type asks; ALIGNMENT is looked for in those that come from
 * other memory as a rule: tokens, scores, loadings, position ids and the out of a merge. */
#define PRUNESID_STATUS_TABLE(X)                                                                   \
    X(PRUNESID_OK, 0, "ok")                                                                        \
    X(PRUNESID_ERROR_NULL, -101, "a required pointer is NULL")                                     \
    X(PRUNESID_ERROR_PRESET, -102, "unknown preset")                                               \
    X(PRUNESID_ERROR_SVD, -103, "unknown SVD method")                                              \
    X(PRUNESID_ERROR_DTYPE, -104, "unknown token dtype")                                           \
    X(PRUNESID_ERROR_EMPTY, -105, "there are no tokens, no channels, no regions or no shares")     \
    X(PRUNESID_ERROR_DIMENSION, -106, "a dimension does not fit a 32-bit LAPACK integer")          \
    X(PRUNESID_ERROR_OVERFLOW, -107, "a size does not fit size_t, or a total exceeds 2^53")        \
    X(PRUNESID_ERROR_STRIDE, -108, "a stride is smaller than what it strides over")                \
    X(PRUNESID_ERROR_ALIGNMENT, -109, "the data is not aligned to its element")                    \
    X(PRUNESID_ERROR_BUDGET, -110, "the budget must be between 1 and 2147483647")                  \
    X(PRUNESID_ERROR_RESERVED, -111, "the reserved rows leave no room in the budget")              \
    X(PRUNESID_ERROR_GROUPS, -112, "the number of groups is out of range")                         \
    X(PRUNESID_ERROR_GROUP_INDEX, -113, "a token's group is out of range")                         \
    X(PRUNESID_ERROR_PROTECTED_INDEX, -114, "a protected index is out of range or not ascending")  \
    X(PRUNESID_ERROR_PROTECTED_COUNT, -115, "there are more protected tokens than tokens to keep") \
    X(PRUNESID_ERROR_TOKENS_NOT_FINITE, -116, "a token is not finite")                             \
    X(PRUNESID_ERROR_SCORES_NOT_FINITE, -117, "a score is not finite")                             \
    X(PRUNESID_ERROR_LOADINGS_NOT_FINITE, -118, "a loading is not finite")                         \
    X(PRUNESID_ERROR_CAPACITY, -119, "the array of indices is shorter than what is kept")          \
    X(PRUNESID_ERROR_WORKSPACE_SHORT, -120, "the workspace is too short")                          \
    X(PRUNESID_ERROR_WORKSPACE_ALIGNMENT, -121, "the workspace is not aligned to 16 bytes")        \
    X(PRUNESID_ERROR_ALLOCATION, -122, "the allocator returned no memory")                         \
    X(PRUNESID_ERROR_LAPACK, -123, "LAPACK's eigenvalue solver failed")                            \
    X(PRUNESID_ERROR_PHI, -124, "a phi or their sum is not finite, or a reference not positive")   \
    X(PRUNESID_ERROR_LIMITS, -125, "a floor is above its ceiling or above 2147483647")             \
    X(PRUNESID_ERROR_INDEX, -126, "an index is out of range or not ascending")                     \
    X(PRUNESID_ERROR_COUNTS, -127, "a group's survivors are negative or more than its members")    \
    X(PRUNESID_ERROR_TAU, -128, "the threshold is not finite")                                     \
    X(PRUNESID_ERROR_SHARING, -129, "unknown way to share a budget")                               \
    X(PRUNESID_ERROR_SPAN, -130, "a span is empty, out of range or not behind the one before")     \
    X(PRUNESID_ERROR_TOTAL, -131, "the floors add up to more than the budget")                     \
    X(PRUNESID_ERROR_THREADS, -132, "no workers, or several and nothing to run them")              \
    X(PRUNESID_ERROR_NOT_RUN, -133, "the caller's threads did not run this region")                \
    X(PRUNESID_ERROR_POLICY, -134, "unknown position policy")                                      \
    X(PRUNESID_ERROR_LAYOUT, -135, "unknown layout or width of position ids")                      \
    X(PRUNESID_ERROR_POSITIONS, -136, "a position id is out of range or in the span before it")    \
    X(PRUNESID_ERROR_SCOPE, -137, "unknown scope of representatives")                              \
    X(PRUNESID_ERROR_REPRESENTATIVE, -138, "a representative is not one of the kept tokens")       \
    X(PRUNESID_ERROR_WEIGHT, -139, "the weight of a merge must be between 0 and 1")

/* What a call comes to: PRUNESID_OK, or what was wrong. */
typedef enum prunesid_status {
#define PRUNESID_X_(name, value, text) name = value,
    PRUNESID_STATUS_TABLE(PRUNESID_X_)
#undef PRUNESID_X_
} prunesid_status;

/* A constant text, "unknown status" for any other number. */
PRUNESID_PUBLIC_ const char *prunesid_status_string(prunesid_status status);

/* ==== RULES =============================================================================== */

/* Which mean is taken off sigmoid(X). */
typedef enum prunesid_centring {
    PRUNESID_CENTRE_CHANNEL, /* each channel's over the tokens: Eq. 1 */
    PRUNESID_CENTRE_TOKEN    /* each token's over its channels: the released code */
} prunesid_centring;

/* What tau is made of. */
typedef enum prunesid_tau_rule {
    PRUNESID_TAU_PAIRS, /* N / 32 times rho, the mean over pairs i < j: Eq. 4 */
    PRUNESID_TAU_CELLS  /* max(18 N / T, 1) times the upper triangle, diagonal included, over T T */
} prunesid_tau_rule;

/* How the groups share the budget; see prunesid_quotas. */
typedef enum prunesid_quota_rule {
    PRUNESID_QUOTA_PROPORTIONAL, /* by survivors, largest remainders: the paper */
    PRUNESID_QUOTA_BOUNDED       /* 1 to 5 ceil(N / 64) a group: the released code */
} prunesid_quota_rule;

/* One row a preset: enumerator, number, name, centring, least K, tau, quotas, reserved, what for.
 * K, the number of groups, is floor(N / 4), at least the row's and at most min(T, d). AUTO becomes
 * LLAVA where scores are given and QWEN2VL where not, and reserves nothing: its row is for tables.
 * The score is the engine's importance if it gives one, else the loading. A new preset is a new
 * row. */
#define PRUNESID_PRESET_TABLE(X)                                                                   \
    X(PRUNESID_AUTO, 0, "auto", PRUNESID_CENTRE_TOKEN, 4, PRUNESID_TAU_CELLS,                      \
        PRUNESID_QUOTA_BOUNDED, 0, "llava's rules if there are scores, else qwen2vl's")            \
    X(PRUNESID_PAPER, 1, "paper", PRUNESID_CENTRE_CHANNEL, 1, PRUNESID_TAU_PAIRS,                  \
        PRUNESID_QUOTA_PROPORTIONAL, 0, "the paper's text")                                        \
    X(PRUNESID_LLAVA, 2, "llava", PRUNESID_CENTRE_TOKEN, 1, PRUNESID_TAU_PAIRS,                    \
        PRUNESID_QUOTA_BOUNDED, 1, "the released LLaVA code: N counts the CLS row")                \
    X(PRUNESID_QWEN2VL, 3, "qwen2vl", PRUNESID_CENTRE_TOKEN, 4, PRUNESID_TAU_CELLS,                \
        PRUNESID_QUOTA_BOUNDED, 0, "the released Qwen2-VL code")

/* Whose rules a configuration follows. */
typedef enum prunesid_preset {
#define PRUNESID_X_(preset, value, name, centring, least, tau, quota, reserved, purpose)           \
    preset = value,
    PRUNESID_PRESET_TABLE(PRUNESID_X_)
#undef PRUNESID_X_
} prunesid_preset;

/* A row of the table: the rules of one preset. */
typedef struct prunesid_rules {
    const char *name;           /* the preset's, as in "llava" */
    prunesid_centring centring; /* of sigmoid(X) */
    size_t least_groups;        /* K is no less, where T and d allow */
    prunesid_tau_rule tau;      /* what the threshold is made of */
    prunesid_quota_rule quota;  /* how the groups share the budget */
    size_t reserved;            /* what prunesid_config_init puts into the configuration */
    const char *purpose;        /* a line on what it is for */
} prunesid_rules;

/* The row of a preset; NULL for a number behind the last, so that a loop from 0 finds them all. */
PRUNESID_PUBLIC_ const prunesid_rules *prunesid_preset_rules(size_t preset);

/* How the K principal components are found. Both give the same tokens; EXACT is the reference. */
typedef enum prunesid_svd {
    /* Block Krylov in float32 until the residual says converged, and float64 for the columns that
     * what is asked for depends on; EXACT where that cannot do it, or K is a large part of
     * min(T, d). */
    PRUNESID_SVD_KRYLOV = 0,
    PRUNESID_SVD_EXACT = 1 /* float64 Gram matrix on the smaller side, LAPACK for its top K
                            * eigenvectors */
} prunesid_svd;

/* Who does the work. */
typedef struct prunesid_threads {
    size_t n_workers; /* >= 1 */
    /* Calls task(data, i, worker) once for every i < n_tasks, with a worker < n_workers that no two
     * calls have at the same time, and returns when all are done; its n_workers may be fewer than
     * those above. NULL: OpenMP, if the unit is compiled with it; one worker needs neither. */
    void (*run)(void (*task)(void *data, size_t i, size_t worker), void *data, size_t n_tasks,
        size_t n_workers, void *user);
    void *user; /* handed to run */
} prunesid_threads;

/* Rules and budget, for any number of images. Made by prunesid_config_init; any field may be
 * changed before use. */
typedef struct prunesid_config {
    prunesid_preset preset;     /* whose rules */
    size_t budget;              /* N: tokens to keep, reserved and protected ones included */
    size_t reserved;            /* rows inside N that are not tokens (a CLS row); the preset's */
    size_t n_groups;            /* K; default 0: by the preset's rule */
    prunesid_svd svd;           /* default PRUNESID_SVD_KRYLOV */
    prunesid_threads threads;   /* that share the work on one image; default 1: the caller's */
    uint64_t (*clock_ns)(void); /* a clock for stats.ns_*; default NULL: they stay 0 */
} prunesid_config;

/* Every field filled as said above; nothing is checked before it is used. */
PRUNESID_PUBLIC_ prunesid_config prunesid_config_init(prunesid_preset preset, size_t budget);

/* ==== INPUT =============================================================================== */

/* What an element of the tokens is. */
typedef enum prunesid_dtype {
    PRUNESID_F32 = 0, /* IEEE 754 binary32 */
    PRUNESID_F16 = 1, /* IEEE 754 binary16, as uint16_t */
    PRUNESID_BF16 = 2 /* the upper half of a binary32, as uint16_t */
} prunesid_dtype;

/* One image: its tokens, and what else is known of them. Only read. */
typedef struct prunesid_input {
    const void *tokens;              /* [T, d]; row i starts at element i * ld; finite */
    prunesid_dtype dtype;            /* of every element; tokens is aligned to it */
    size_t n_tokens;                 /* T */
    size_t dim;                      /* d, channels that are read of every row */
    size_t ld;                       /* row stride in elements, >= d: rows may carry more planes */
    size_t first;                    /* the number of row 0: indices, in and out, count from it */
    const float *scores;             /* [T] importance, finite; NULL: the loadings */
    const float *loadings;           /* [T, K] of the engine's own SVD, finite, signs do not matter;
                                      * NULL: ours. K is config.n_groups, which must be set then */
    size_t ld_loadings;              /* their row stride in elements, >= K */
    const int32_t *protected_tokens; /* [n_protected] ascending indices, always kept; or NULL */
    size_t n_protected;              /* 0 without any */
} prunesid_input;

/* ld = d, first = 0, and neither scores, loadings nor protected tokens. */
PRUNESID_PUBLIC_ prunesid_input prunesid_input_init(
    const void *tokens, prunesid_dtype dtype, size_t n_tokens, size_t dim);

/* OK, or the first thing wrong with the tokens: NULL, EMPTY, DIMENSION, DTYPE, STRIDE, OVERFLOW,
 * ALIGNMENT, or TOKENS_NOT_FINITE: then the first such element's place goes to *row and *column
 * (either may be NULL). Scores and loadings are not looked at; as tokens of their own they can be.
 * Cost: one read. */
PRUNESID_PUBLIC_ prunesid_status prunesid_input_check(
    const prunesid_input *input, size_t *row, size_t *column);

/* ==== SELECT ============================================================================== */

/* What became of a token. */
typedef enum prunesid_state {
    PRUNESID_KEPT = 0,       /* one of the indices */
    PRUNESID_OVER_QUOTA = 1, /* survived NMS, but its group's quota was full */
    PRUNESID_SUPPRESSED = 2  /* too similar to a survivor, or its score was not positive */
} prunesid_state;

/* Figures of one selection. */
typedef struct prunesid_stats {
    double rho, phi;        /* Eq. 4; 1 - rho */
    double tau;             /* threshold; 0 where nothing was pruned (n_groups is 0 then) */
    prunesid_preset preset; /* whose rules were used: AUTO resolved */
    size_t n_groups;        /* K; 0 where nothing was pruned */
    size_t n_survivors;     /* tokens that NMS left, protected ones included */
    double coverage;        /* mean over all T tokens of the cosine to the representative, 1 for a
                             * kept one: what was lost. 0 if no representatives were asked for */
    prunesid_svd svd;       /* the method used: EXACT where KRYLOV gave up */
    int svd_steps;          /* block Krylov steps; 0 where EXACT came at once */
    double svd_residual;    /* KRYLOV: max_k |A A^T v_k - s_k^2 v_k| / s_k^2; else 0 */
    size_t n_refined;       /* columns of V that float64 had to tell apart; 0 for EXACT */
    int lapack_info; /* what LAPACK said when KRYLOV gave up because of it; -1000: success, with
                             * NaN in the answer; else 0 */
    /* Nanoseconds of each stage, by config.clock_ns. PSCA is two of them: making A, and its SVD;
     * where EXACT comes at once ns_svd has both. Groups and the rest of details are in none. */
    uint64_t ns_redundancy, ns_matrix, ns_svd, ns_nms, ns_quotas, ns_represent;
} prunesid_stats;

/* Which of the kept tokens may stand for a dropped one. */
typedef enum prunesid_scope {
    PRUNESID_SCOPE_ALL = 0,  /* all */
    PRUNESID_SCOPE_GROUP = 1 /* those of its group, or all if that keeps none */
} prunesid_scope;

/* What else a selection tells. The arrays are the caller's; each may be NULL. */
typedef struct prunesid_details {
    int32_t *order; /* [n_kept] the kept tokens as picked: protected ones, then by group */
    int32_t *group; /* [T] group of each token, -1 where nothing was pruned */
    uint8_t *state; /* [T] prunesid_state of each token */
    float *loading; /* [T] |V_i,g(i)|, 0 where nothing was pruned */
    /* Representatives, for prunesid_merge and for masks; found if one of the three is not NULL. */
    prunesid_scope scope;    /* read: who may be one; default PRUNESID_SCOPE_ALL */
    int32_t *representative; /* [T] the kept token that stands for each: itself if it is kept, else
                              * the one with the largest cosine as float64 has it, the lower index
                              * first among equals. Rows of zeros, padding say, have the cosine
                              * 0 with all: leave them out of the input */
    int32_t *count;          /* [n_kept] tokens that each kept one stands for, itself among them */
    float *log_count;        /* [n_kept] ln count. Added to the attention logits of a kept token's
                              * key, a column of the mask, it makes it weigh as much as all did */
    prunesid_stats stats;    /* written */
} prunesid_details;

/* No arrays, PRUNESID_SCOPE_ALL, stats all 0. */
PRUNESID_PUBLIC_ prunesid_details prunesid_details_init(void);

/* min(N - reserved, T): how many indices prunesid_select writes; 0 if N <= reserved. */
PRUNESID_PUBLIC_ size_t prunesid_n_kept(const prunesid_config *config, size_t n_tokens);

/* *bytes of workspace for prunesid_select and every stage on T tokens of d channels: O(T (d + K)),
 * and min(T, d)^2 float64 for EXACT. Exact, and grows with T and with N, so that those of the
 * largest do for all. Whether there are scores, and which clock, does not matter.
 * Status: OK, NULL, EMPTY, DIMENSION, OVERFLOW, PRESET, SVD, BUDGET, RESERVED, GROUPS,
 *   THREADS. */
PRUNESID_PUBLIC_ prunesid_status prunesid_workspace_size(
    const prunesid_config *config, size_t n_tokens, size_t dim, size_t *bytes);

/* Selects n_kept = min(N - reserved, T) tokens; if that is T, without any SVD.
 *   config     protected tokens are kept first, count inside N, and suppress their near-duplicates;
 *              the quotas share what they leave
 *   input      a token with a score of 0 or less never survives NMS, but may fill a quota that
 *              survivors leave open
 *   workspace  prunesid_workspace_size bytes, aligned to PRUNESID_ALIGNMENT; its content is
 *              irrelevant before and after
 *   indices    [capacity >= n_kept] written: ascending, counted from input->first
 *   details    NULL, or arrays and stats to be written
 * Cost: KRYLOV about 4 T d m flops with m about 2 K + 6 b basis vectors in blocks of b = 4;
 *   EXACT T d min(T, d) float64 flops and 4/3 min(T, d)^3 for the eigenvectors. NMS at most
 *   d (pairs inside groups) flops, none if tau >= 1; representatives as prunesid_represent.
 * Status: NULL, the configuration's (PRESET, SVD, BUDGET, RESERVED, GROUPS, THREADS), the input's
 *   (EMPTY, DIMENSION, OVERFLOW, DTYPE, STRIDE, ALIGNMENT, *_NOT_FINITE, PROTECTED_*), CAPACITY,
 *   SCOPE, WORKSPACE_*, LAPACK. */
PRUNESID_PUBLIC_ prunesid_status prunesid_select(const prunesid_config *config,
    const prunesid_input *input, void *workspace, size_t workspace_bytes, int32_t *indices,
    size_t capacity, prunesid_details *details);

/* Where prunesid_select_alloc takes its workspace from. */
typedef struct prunesid_allocator {
    void *(*allocate)(size_t n_bytes, void *user); /* aligned to PRUNESID_ALIGNMENT, or NULL */
    void (*release)(void *memory, void *user);     /* never called with NULL */
    void *user;                                    /* handed to both */
} prunesid_allocator;

/* prunesid_select with a workspace from allocator (NULL: malloc and free), released again.
 * Status: prunesid_select's but WORKSPACE_*, and ALLOCATION. */
PRUNESID_PUBLIC_ prunesid_status prunesid_select_alloc(const prunesid_config *config,
    const prunesid_input *input, int32_t *indices, size_t capacity, prunesid_details *details,
    const prunesid_allocator *allocator);

/* ==== DYNAMIC: the information-aware ratio ================================================ */

/* How much of an image is said twice, and how much is not. */
typedef struct prunesid_information {
    double rho;       /* Eq. 4: mean of cos(x_i, x_j) over i < j; 0 if T is 1 */
    double rho_cells; /* the same sum with the diagonal, over all T * T cells: PRUNESID_TAU_CELLS */
    double phi;       /* 1 - rho */
    size_t n_nonzero; /* rows that are not all zero */
} prunesid_information;

/* Budgets of n shares: clamp(c max(w_b, 0), low_b, high_b) with the c that makes their sum the
 * total as far as the limits allow, then largest remainders, the lower index first among equals.
 * The paper's dynamic ratio: w = phi, total = B N.
 *   weights  [n] finite                  low   [n] floors, or NULL: 1 each
 *   total    up to 2^53 (sums are of      high  [n] ceilings, or NULL: the total each, or the
 *            float64)                          floor where that is larger
 *   shares   [n] written
 * Cost: O(n) a pass: two or three, at most n, to settle limits, and 62 to round.
 * Status: OK, NULL, EMPTY (n is 0), OVERFLOW, PHI (a weight), LIMITS. */
PRUNESID_PUBLIC_ prunesid_status prunesid_share(const double *weights, size_t n_shares,
    size_t total, const size_t *low, const size_t *high, size_t *shares);

/* The budget of one image whatever else is in its batch: clamp(round(N max(phi, 0) / phi_ref), low,
 * min(high, 2147483647)), halves to even; phi_ref is a mean phi of your images. prunesid_select
 * needs a low of 1 + reserved at least.
 * Status: OK, NULL, BUDGET (N is 0 or too large), PHI, LIMITS. */
PRUNESID_PUBLIC_ prunesid_status prunesid_budget(
    double phi, double phi_ref, size_t budget, size_t low, size_t high, size_t *out);

/* ==== BATCH: tiles, frames, windows, images in one call ==================================== */

/* Where the budgets of a batch's regions come from. */
typedef enum prunesid_sharing {
    PRUNESID_FIXED = 0,   /* each region has its own budget */
    PRUNESID_BY_SIZE = 1, /* config.budget for all, shared in proportion to their tokens */
    PRUNESID_BY_PHI = 2 /* config.budget for all, in proportion to phi: rich regions get more. Rows
                           * of zeros are like nothing else, so that a blank tile has phi 1: leave
                           * padding out, or weigh phi by information.n_nonzero and pass FIXED */
} prunesid_sharing;

/* What is pruned by itself: a tile, a frame, a window of frames, an image. */
typedef struct prunesid_region {
    prunesid_input input;     /* its own tokens, of any shape and dtype; input.first is its place */
    size_t budget;            /* N_r of FIXED; 0: the configuration's */
    size_t low, high;         /* floor and ceiling of a shared budget; default 0, SIZE_MAX */
    prunesid_details details; /* arrays of its own, and its stats; default none */
    /* Written by prunesid_batch_select: */
    prunesid_status status; /* its own */
    size_t share;           /* the N_r that it was given; 0 if it failed */
    int32_t *indices;       /* [n_kept] its part of the indices; NULL if it failed */
    size_t n_kept;          /* 0 if it failed */
} prunesid_region;

/* Regions and their rules. */
typedef struct prunesid_batch {
    /* The rules of every region; budget: N of all together if shared; threads: workers that take a
     * region each, or share every one if there are more of them than regions. */
    prunesid_config config;
    prunesid_sharing sharing; /* where the regions' budgets come from */
    prunesid_region *regions; /* [n_regions] */
    size_t n_regions;         /* >= 1 */
} prunesid_batch;

/* What a batch needs. */
typedef struct prunesid_plan {
    size_t n_kept;          /* indices of all regions, whatever their tokens turn out to be */
    size_t workspace_bytes; /* for all workers */
    size_t region;          /* the one at fault, if the status is one region's; else n_regions */
} prunesid_plan;

/* A region of rows [at, at + n_tokens) of an image: first, scores, loadings and the protected
 * tokens that lie there go with them. Of a whole image: at = 0, n_tokens = image->n_tokens. Rows
 * that are not all the image's make a region without tokens, and a list of protected tokens that
 * does not ascend in the image goes along as it is: every call refuses these. */
PRUNESID_PUBLIC_ prunesid_region prunesid_region_init(
    const prunesid_input *image, size_t at, size_t n_tokens, size_t budget);

/* A batch of these four; nothing is checked before it is used. */
PRUNESID_PUBLIC_ prunesid_batch prunesid_batch_init(const prunesid_config *config,
    prunesid_sharing sharing, prunesid_region *regions, size_t n_regions);

/* What prunesid_batch_select will keep and needs, or why it would refuse. FIXED keeps the sum of
 * min(N_r - reserved, T_r); the others N without each region's reserved rows, or all that the
 * ceilings allow. Reads no token.
 * Status: those of prunesid_select that tell on a shape, and SHARING, LIMITS, TOTAL, THREADS. The
 *   plan is written whatever it is, if there is a batch: region says whose fault it was. */
PRUNESID_PUBLIC_ prunesid_status prunesid_batch_plan(
    const prunesid_batch *batch, prunesid_plan *plan);

/* Prunes every region as prunesid_select does, to the same bits whatever the others and the
 * workers.
 *   workspace  plan.workspace_bytes, aligned to PRUNESID_ALIGNMENT
 *   indices    [capacity >= plan.n_kept] written, region after region, each ascending and counted
 *              from its input.first; they ascend throughout if the regions do
 * A shared N_r is at least low, and reserved and the protected ones, or 1 more; at most high, and
 * T_r + reserved. Within these the total is exactly N. BY_PHI reads the tokens once more, for phi.
 * Every worker calls config.clock_ns.
 * Status: those of prunesid_select and of prunesid_batch_plan, and NOT_RUN. A region whose tokens
 *   or SVD fail does not stop the others: its status says why, its n_kept is 0, its arrays and its
 *   place among the indices are left alone, and under BY_PHI the others share all of N but its
 *   reserved rows; the first such status is returned. Any other error leaves everything alone. */
PRUNESID_PUBLIC_ prunesid_status prunesid_batch_select(const prunesid_batch *batch, void *workspace,
    size_t workspace_bytes, int32_t *indices, size_t capacity);

/* Only step 3 of every region, for budgets of another kind: share phi times something else, or take
 * prunesid_budget of each, and go on with FIXED.
 *   information  [n_regions] written, where a region's status is OK
 * Status: those of prunesid_batch_plan and of prunesid_redundancy, and NOT_RUN; regions[r].status
 *   is written, nothing else of a region. */
PRUNESID_PUBLIC_ prunesid_status prunesid_batch_redundancy(const prunesid_batch *batch,
    void *workspace, size_t workspace_bytes, prunesid_information *information);

/* ==== AFTER: the rows and positions that stay ============================================= */

/* out row j = rows row indices[j] (in [0, n_rows)), of row_bytes bytes. out may be rows itself,
 * with the same stride, when indices ascend strictly. Of several planes, as in DeepStack's [L, T,
 * H], gather each.
 * Status: OK, NULL, STRIDE (a stride < row_bytes, or two of them in place), INDEX, OVERFLOW. */
PRUNESID_PUBLIC_ prunesid_status prunesid_gather(const void *rows, size_t n_rows, size_t row_bytes,
    size_t row_stride_bytes, const int32_t *indices, size_t n_indices, void *out,
    size_t out_stride_bytes);

/* Kept rows and what stands behind them: out row j = (1 - a) x_i + a mean of the rows that token
 * i = indices[j] represents, itself among them. Sums are of float64, rounded once, to nearest even.
 *   rows            any features of the tokens as an input: their pointer, dtype, T, width, row
 *                   stride, and first, from which indices and representatives count. Its scores,
 *                   loadings and protected tokens are not looked at. Of several planes, as in
 *                   DeepStack's [L, T, H], merge each
 *   indices         [n_kept] ascending
 *   representative  [T] of details, or of prunesid_represent; a kept token is its own
 *   weight          a in [0, 1]; 1 / 2 is a good one; 0 gathers
 *   out             [n_kept, width] of rows' dtype, written; row stride ld_out >= width. Or
 *                   rows->tokens themselves, with their stride: the merged rows come first then, as
 *                   by prunesid_gather, and what is behind them is not as it was
 * Elements that are not finite are not looked for. They reach their own channel of the one row that
 * they are merged into; a row that stands for itself alone is copied bit by bit.
 * Cost: reads rows once; 2 n_kept T comparisons of int32, for every 1024 channels n_kept T more; no
 *   workspace, 12 KiB of the stack.
 * Status: OK, NULL, the input's (EMPTY, DIMENSION, OVERFLOW, DTYPE, STRIDE, ALIGNMENT; ld_out's
 *   too), WEIGHT, INDEX, REPRESENTATIVE. */
PRUNESID_PUBLIC_ prunesid_status prunesid_merge(const prunesid_input *rows, const int32_t *indices,
    size_t n_kept, const int32_t *representative, double weight, void *out, size_t ld_out);

/* Visual tokens in a row of a prompt: the placeholders of an image. */
typedef struct prunesid_span {
    size_t first, n_tokens; /* rows [first, first + n_tokens), at least one */
} prunesid_span;

/* A prompt before pruning, and which of its rows stay. For an image alone: one span over all, and
 * the kept indices as rows. */
typedef struct prunesid_prompt {
    size_t n_tokens;            /* text and visual tokens */
    const prunesid_span *spans; /* [n_spans] ascending, without overlap */
    size_t n_spans;             /* 0 without visual tokens */
    int32_t *rows; /* [n_rows] ascending rows that stay; room for n_tokens - visual + kept ones */
    size_t n_rows; /* as prunesid_prompt_rows or the caller counts them */
} prunesid_prompt;

/* prompt->rows and n_rows: all text, and the visual tokens kept.
 *   kept  [n_kept] ascending numbers of visual tokens, counted through span after span
 * Status: OK, NULL, DIMENSION, SPAN, INDEX. */
PRUNESID_PUBLIC_ prunesid_status prunesid_prompt_rows(
    prunesid_prompt *prompt, const int32_t *kept, size_t n_kept);

/* What the ids of a token are. */
typedef enum prunesid_layout {
    PRUNESID_LAYOUT_1D = 0,    /* one id */
    PRUNESID_LAYOUT_MROPE = 1, /* t, h, w */
    /* t, y, x and a tag that stays what it is (llama.cpp: 0, or the number of the image) */
    PRUNESID_LAYOUT_MROPE_TAG = 2,
    /* text, t, h, w (Transformers, OpenVINO): the text's become consecutive under every policy */
    PRUNESID_LAYOUT_TEXT_MROPE = 3
} prunesid_layout;

/* Position ids: section s of token i is ids[s * section_stride + i * token_stride], in [0, 2^62), a
 * tag whatever it is. Sections one after the other: (n, 1). Structs of four, as llama.cpp has them:
 * (1, 4). */
typedef struct prunesid_position_ids {
    void *ids;                           /* read and written */
    size_t id_bytes;                     /* 4: int32_t, 8: int64_t */
    prunesid_layout layout;              /* which sections there are */
    size_t section_stride, token_stride; /* in ids; >= 1 */
} prunesid_position_ids;

/* Where tokens stand once others are gone. */
typedef enum prunesid_position_policy {
    PRUNESID_POSITIONS_KEEP = 0, /* as before */
    /* As before; what follows a span, text or a second image, moves down to go on behind the
     * largest kept position. Its ids have to be above the span's, as in every engine. */
    PRUNESID_POSITIONS_COMPACT = 1,
    PRUNESID_POSITIONS_RENUMBER = 2 /* consecutive */
} prunesid_position_policy;

/* In place: the ids of the prompt's tokens become, in their first n_rows places, those of the rows
 * that stay. *next: where what follows the prompt goes on: the largest id + 1, tags and text's
 * apart; under KEEP also of the ids that are gone. An engine's rope_delta is *next less the rows
 * that its cache then holds: n_rows, and those of the turns before.
 * Status: OK, NULL, POLICY, LAYOUT, STRIDE (0, or sections that overlap), OVERFLOW, ALIGNMENT,
 *   DIMENSION, SPAN, INDEX, POSITIONS. */
PRUNESID_PUBLIC_ prunesid_status prunesid_positions(prunesid_position_policy policy,
    const prunesid_prompt *prompt, const prunesid_position_ids *ids, int64_t *next);

/* ==== STAGES: each alone, in a workspace of prunesid_workspace_size ======================== */

/* Redundancy (Eq. 4): rho and phi of one image in O(T d), from |sum_i x_i / |x_i||. Zero rows count
 * as orthogonal to everything. Any workspace for T tokens of d channels does.
 * Status: OK, NULL, the input's errors, WORKSPACE_*. */
PRUNESID_PUBLIC_ prunesid_status prunesid_redundancy(const prunesid_input *input, void *workspace,
    size_t workspace_bytes, prunesid_information *information);

/* PSCA and groups (Eq. 1 to 3), from input->loadings if there are any.
 *   loadings  [T, K] written: unit columns by falling singular value, signs arbitrary; 0 beyond the
 *             numerical rank; or NULL. K is stats->n_groups, or what config.n_groups is set to
 *   group     [T] written: argmax_k |V_ik|, the first among equals; or NULL
 *   loading   [T] written: |V_i,group|; or NULL
 *   stats     or NULL: n_groups, preset, svd*, n_refined, lapack_info, ns_matrix and ns_svd are
 *             found, the rest is 0; with input->loadings no SVD is run
 * Status: as prunesid_select but CAPACITY and SCOPE: all of the input is checked, used or not. */
PRUNESID_PUBLIC_ prunesid_status prunesid_psca(const prunesid_config *config,
    const prunesid_input *input, void *workspace, size_t workspace_bytes, float *loadings,
    int32_t *group, float *loading, prunesid_stats *stats);

/* tau = lambda rho (Eq. 4), by config's preset, for T tokens. has_scores tells AUTO what it is. 0
 * for NULL, an unknown preset or no tokens. */
PRUNESID_PUBLIC_ double prunesid_threshold(const prunesid_config *config, int has_scores,
    size_t n_tokens, const prunesid_information *information);

/* NMS inside each of K groups (config.n_groups, or the rule's).
 *   group    [T] in [0, K)
 *   loading  [T] finite: the scores, where input->scores is NULL; or NULL, where it is not
 *   order    [T] written: group after group; in each the survivors as picked, protected ones first,
 *            then the rest by falling score, the lower index first among equals; counted from 0
 *   n_members, n_survivors  [K] written: tokens of each group, and those that survive
 * Status: as prunesid_select but CAPACITY, SCOPE and LAPACK, and GROUP_INDEX, LOADINGS_NOT_FINITE
 *   (of loading; input->loadings are not read), TAU. */
PRUNESID_PUBLIC_ prunesid_status prunesid_nms(const prunesid_config *config,
    const prunesid_input *input, const int32_t *group, const float *loading, double tau,
    void *workspace, size_t workspace_bytes, int32_t *order, int32_t *n_members,
    int32_t *n_survivors);

/* Shares config.budget over K groups by the preset's rule.
 *   PROPORTIONAL  n_k = floor(N v_k / sum v), the largest remainders up; v_k itself if sum v <= N
 *   BOUNDED       1 to 5 ceil(N / 64) a group, cumulative float32 rounding, fill by falling
 *                 survivors
 *   input     its shape, and its protected tokens, which are taken off the budget; no token is
 *             read, but pointers and scores are checked as everywhere
 *   n_members, n_survivors  [K] without the protected tokens
 *   quota     [K] written; the sum may differ from the tokens to keep: the first that many in group
 *             order are kept, or the best-scored suppressed ones fill up (PROPORTIONAL)
 * Status: OK, NULL, the configuration's and the input's errors but TOKENS_ and LOADINGS_NOT_FINITE,
 *   COUNTS, WORKSPACE_*. */
PRUNESID_PUBLIC_ prunesid_status prunesid_quotas(const prunesid_config *config,
    const prunesid_input *input, const int32_t *n_members, const int32_t *n_survivors,
    void *workspace, size_t workspace_bytes, int32_t *quota);

/* Representatives of any choice of tokens, an even grid's say: what details would tell of it.
 *   indices  [prunesid_n_kept(config, T)] the kept tokens, ascending, counted from input->first
 *   group    [T] in [0, K): each token looks among the kept ones of its group, or among all where
 *            that keeps none; NULL: among all
 *   representative, count, log_count  as in details; each may be NULL
 *   coverage  as in stats; or NULL
 * Cost: 2 T n_kept d float32 flops, over K with groups of one size; 2 d float64 flops for every
 *   token, and for every cosine that float32 cannot tell from its largest: T n_kept at the worst,
 *   where all tokens are nearly the same.
 * Status: as prunesid_select but CAPACITY, SCOPE, LAPACK and LOADINGS_NOT_FINITE, and INDEX,
 *   GROUP_INDEX. */
PRUNESID_PUBLIC_ prunesid_status prunesid_represent(const prunesid_config *config,
    const prunesid_input *input, const int32_t *indices, const int32_t *group, void *workspace,
    size_t workspace_bytes, int32_t *representative, int32_t *count, float *log_count,
    double *coverage);

#ifdef __cplusplus
}
#endif
#endif /* PRUNESID_H: stop here if you only want the interface */

#if !defined(PRUNESID_H_DEFINED_) &&                                                               \
    (!defined(PRUNESID_H_SHARED_) || defined(PRUNESID_IMPLEMENTATION))
#define PRUNESID_H_DEFINED_

#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#ifndef PRUNESID_CBLAS_H
#define PRUNESID_CBLAS_H <cblas.h>
#endif
#ifndef PRUNESID_LAPACKE_H
#define PRUNESID_LAPACKE_H <lapacke.h>
#endif

/* Opaque types keep <complex.h> and its macro I out. A unit that calls complex BLAS or LAPACK
 * itself includes their headers before this one. */
#ifndef CBLAS_H
#ifndef FORCE_OPENBLAS_COMPLEX_STRUCT
#define FORCE_OPENBLAS_COMPLEX_STRUCT
#endif
#include PRUNESID_CBLAS_H
#endif
#ifndef _LAPACKE_H_
#ifndef LAPACK_COMPLEX_CUSTOM
#define LAPACK_COMPLEX_CUSTOM
struct prunesid_complex_float_;
struct prunesid_complex_double_;
#define lapack_complex_float struct prunesid_complex_float_
#define lapack_complex_double struct prunesid_complex_double_
#endif
#include PRUNESID_LAPACKE_H
#endif

#define PRUNESID_PRIVATE_ static inline
#define PRUNESID_TRY_(call)                                                                        \
    do {                                                                                           \
        const prunesid_status status_ = (call);                                                    \
        if (status_ != PRUNESID_OK) return status_;                                                \
    } while (0)

/* ---- >>constants: every size and threshold, and where it comes from ----------------------- */

#define PRUNESID_U_ 5.9604644775390625e-8    /* u = 2^-24: relative rounding of float32 */
#define PRUNESID_U64_ 1.1102230246251565e-16 /* 2^-53: of float64 */
#define PRUNESID_WHOLE_ 9007199254740992.0   /* 2^53: whole numbers up to here are float64 */

/* Floats of a cache line, and of the widest vector: what a row is padded to. */
#define PRUNESID_LANES_ 16

/* Rows that stay in cache while products meet them more than once: 24 of 1040 floats are 98 KiB,
 * too much for a first level cache, but well inside a second level one of 256 KiB beside 4 rows of
 * the other operand or of the result (17 KiB). So the large operand comes from further away once
 * only. A multiple of the rows that a tile of the kernels takes. */
#define PRUNESID_ROWS_ 24

/* The most tasks that one pass over the tokens is cut into: enough for 16 workers, and little
 * enough memory for what each of them adds up. */
#define PRUNESID_CHUNKS_ 16

/* Rows or columns of A that EXACT holds at once in float64: 64 of d = 1024 fill half of an L2. */
#define PRUNESID_PANEL_ 64

/* Floats of A up to which it is near: 8 MB, which a last-level cache holds. There left vectors,
 * that read A twice a step but are shorter where T < d, beat right ones, that read it once, by 6 %
 * at 576 x 1024; beyond, reading ahead pays. */
#define PRUNESID_NEAR_FLOATS_ ((size_t)1 << 21)

/* b: vectors that a step adds at the most. Measured: fewer vectors to convergence with 4 than with
 * 8, for every K; and as many registers of sums. */
#define PRUNESID_BLOCK_ 4

/* The Krylov space of K components needs about 2 K + K / 8 + 5 b vectors until the residual is
 * small (measured on tokens): it is for where min(T, d) has room for 2 K + 6 b, and is given up at
 * 2 K + 24 b. */
#define PRUNESID_FIRST_TEST_ 6
#define PRUNESID_LAST_TEST_ 24

/* What a step takes off the residual at the least, once it falls: measured on tokens. */
#define PRUNESID_STEP_GAIN_ 4.0

/* b or more Ritz values closer together than this may hide more (see prunesid_has_cluster_): in
 * that case the next b vectors of the cluster come with (width steps)^2 of the strength of the
 * first, less than the residual that counts as converged where the width is below 3e-3 of s. */
#define PRUNESID_CLUSTER_ 6e-3

/* Steps after the second start that then follows: it holds 1 / sqrt(n) of what is hidden, and a
 * step multiplies that by theta_k over what is left of the spectrum. */
#define PRUNESID_SECOND_START_ 3

/* Cholesky QR of a block in float32 loses u kappa^2 of orthogonality (Yamamoto, Nakatsukasa,
 * Yanagisawa, Fukaya 2015); a scaled pivot is at least 1 / kappa^2. At 1e-5 the first pass is off
 * by 6e-3 at the most, and the second by u. */
#define PRUNESID_LEAST_PIVOT_ 1e-5

/* "Twice is enough" (Giraud, Langou, Rozloznik 2005) while the second projection leaves most of a
 * unit vector: one of length 1e-2, squared 1e-4, has lost two digits and is spanned already. */
#define PRUNESID_LEAST_SECOND_ 1e-4

/* Projection and QR are done again, up to 4 times, until none of a block's vectors gets longer than
 * twice its length: what it has of Q, u, grows as it does. */
#define PRUNESID_CLEAN_ 0.25
#define PRUNESID_ROUNDS_ 4

/* A direction of the product below 1e-6 of the longest, squared 1e-12, is 16 u of it: rounding. */
#define PRUNESID_LEAST_FIRST_ 1e-12

/* Converged: residual <= 3e-5 theta. What that leaves open of a loading is in the error model, and
 * refined where it matters; two more steps for all images would cost more than they save. */
#define PRUNESID_RESIDUAL_ 3e-5

/* float32 cannot resolve a Ritz value below u of the first. */
#define PRUNESID_RESOLVED_ 1e-7

/* The error model of >>verdict, in u: of our own products and of BLAS's, which sum more terms into
 * one number, twice the largest seen over real tokens; and of A's entries. */
#define PRUNESID_NOISE_ 3.0
#define PRUNESID_NOISE_BLAS_ 6.0
#define PRUNESID_ENTRY_NOISE_ 2.0

/* The largest of many entries of a random vector, over 1 / sqrt(T) of its length; and how much the
 * length may exceed residual / theta: eigenvalues outside of the basis are below 2/3 theta. */
#define PRUNESID_PEAK_ 6.0
#define PRUNESID_OUTSIDE_ 3.0

/* Loadings of equal rows differ by no more. */
#define PRUNESID_ALIKE_ 1e-3

/* Ritz vectors behind the Kth: those that the test for clusters looks at, and of them the guards
 * that V holds, since the error model weighs what they have in a token. */
#define PRUNESID_PAIRS_BEHIND_ (2 * PRUNESID_BLOCK_ - 1)
#define PRUNESID_GUARDS_ 4

/* Refined at once: at most 16 columns (memory and time of a pass), Ritz vectors behind the Kth
 * among them; those within 1e-4 of each other, which one correction would not tell apart; and
 * passes, each of which takes half a digit or more off the error, the first 4 with the Ritz vectors
 * at hand. */
#define PRUNESID_MOST_REFINED_ 16
#define PRUNESID_APART_ 1e-4
#define PRUNESID_PASSES_ 10
#define PRUNESID_PASSES_ALONE_ 4

/* Channels at a time on the stack: 8 KiB of float64, and a row of d = 1024 is one piece. */
#define PRUNESID_PIECE_ 1024

/* Rows of A in float64 at a time: 4 of d = 1024 are a first level cache's 32 KiB. */
#define PRUNESID_PASS_ROWS_ 4

/* Eigenvalues of a Gram matrix below 1e-14 of the first are its rounding (100 u64); squared
 * singular values below 1e-12 of the first have lost half of the digits and count as 0. */
#define PRUNESID_LEAST_EIGENVALUE_ 1e-14
#define PRUNESID_LEAST_SQUARE_ 1e-12

/* Contrast (A's root mean square) below 1e-12 is the rounding of the means. */
#define PRUNESID_LEAST_CONTRAST_ 1e-12

/* A share that is a whole number but for rounding is one. */
#define PRUNESID_WHOLE_SHARE_ 1e-9

/* float32 holds the product of two rows if that of their lengths is in (1e-24, 1e30). */
#define PRUNESID_LEAST_SCALE_ 1e-30
#define PRUNESID_MOST_SCALE_ 1e24

/* Ranks a protected token above every float32 score. */
#define PRUNESID_PROTECTED_KEY_ 1e300

/* ---- >>tools: what several sections use ---------------------------------------------------- */

PRUNESID_PRIVATE_ size_t prunesid_min_(size_t a, size_t b) {
    return a < b ? a : b;
}

PRUNESID_PRIVATE_ size_t prunesid_max_(size_t a, size_t b) {
    return a > b ? a : b;
}

/* a b, or SIZE_MAX if it does not fit; SIZE_MAX stays SIZE_MAX. */
PRUNESID_PRIVATE_ size_t prunesid_multiply_size_(size_t a, size_t b) {
    return b != 0 && a > SIZE_MAX / b ? SIZE_MAX : a * b;
}

/* Panels: for (at = 0; (size = prunesid_panel_(at, n)) > 0; at += size). */
PRUNESID_PRIVATE_ size_t prunesid_panel_(size_t at, size_t n) {
    return prunesid_min_(n - at, PRUNESID_PANEL_);
}

PRUNESID_PRIVATE_ int prunesid_is_finite32_(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits & 0x7f800000u) != 0x7f800000u;
}

PRUNESID_PRIVATE_ int prunesid_all_finite32_(const float *x, size_t n) {
    int finite = 1;
    for (size_t i = 0; i < n; i++) finite &= prunesid_is_finite32_(x[i]);
    return finite;
}

PRUNESID_PRIVATE_ int prunesid_is_finite64_(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits & 0x7ff0000000000000u) != 0x7ff0000000000000u;
}

PRUNESID_PRIVATE_ int prunesid_all_finite64_(const double *x, size_t n) {
    int finite = 1;
    for (size_t i = 0; i < n; i++) finite &= prunesid_is_finite64_(x[i]);
    return finite;
}

/* |x| and x as numbers whose order is theirs, from the bits: a processor that is told to takes
 * subnormal numbers for zeros. */
PRUNESID_PRIVATE_ uint32_t prunesid_magnitude_key_(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffffu;
}

PRUNESID_PRIVATE_ double prunesid_value_key_(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits >> 31 ? -(double)prunesid_magnitude_key_(x) : (double)bits;
}

/* One place of a ranking. */
typedef struct prunesid_rank_ {
    double key;
    int32_t index;
} prunesid_rank_;

PRUNESID_PRIVATE_ int prunesid_ranks_before_(const prunesid_rank_ *a, const prunesid_rank_ *b) {
    return a->key > b->key || (a->key >= b->key && a->index < b->index);
}

/* By falling key, the lower index first among equals. Shell's sort: qsort may allocate. */
PRUNESID_PRIVATE_ void prunesid_sort_ranking_(prunesid_rank_ *ranking, size_t n) {
    size_t gap = 1;
    while (gap < n / 3) gap = 3 * gap + 1;
    for (; gap > 0; gap /= 3)
        for (size_t i = gap; i < n; i++) {
            const prunesid_rank_ moved = ranking[i];
            size_t hole = i;
            while (hole >= gap && prunesid_ranks_before_(&moved, &ranking[hole - gap])) {
                ranking[hole] = ranking[hole - gap];
                hole -= gap;
            }
            ranking[hole] = moved;
        }
}

/* ---- prototypes of the kernels, which stand last -------------------------------------------- */

/* The inner loops, for one instruction set; what each computes stands in front of its body. */
typedef struct prunesid_kernels_ {
    void (*widen)(prunesid_dtype dtype, const unsigned char *from, size_t n, float *out);
    void (*sigmoid_sum)(const float *x, size_t n, float *out, double *sums);
    void (*sigmoid_centred)(const float *x, size_t n, float *out);
    double (*unit)(const float *x, size_t n, double *sums);
    float (*dot)(const float *x, const float *y, size_t n);
    double (*dot64)(const float *x, const float *y, size_t n);
    void (*widen64)(const float *x, size_t n, double *out);
    void (*scale)(const float *x, size_t n, double factor, float *out);
    void (*add)(const float *x, size_t n, double *sums);
    void (*sigmoid64)(const float *x, size_t n, const double *mean, double *out);
    void (*pass64)(const double *a, size_t n, size_t d, const double *w, double *y, double *z);
    double noise; /* of its products, see >>verdict */
    /* Of X, and of Y, that a tile of the products takes; 0: there are none, BLAS multiplies. */
    size_t rows, y_rows, columns;
    size_t lanes; /* partial sums that rows_by_rows adds up for one number */
    void (*rows_by_rows)(size_t m, size_t n, size_t k, const float *x, size_t ldx, const float *y,
        size_t ldy, float *out, size_t ldo);
    void (*rows_by_far_rows)(size_t m, size_t n, size_t k, const float *x, size_t ldx,
        const float *y, size_t ldy, float *out, size_t ldo);
    void (*rows_by_columns)(size_t m, size_t n, size_t k, const float *x, size_t ldx,
        const float *y, size_t ldy, int add, float *out, size_t ldo);
} prunesid_kernels_;

/* The best set that this processor has, at most PRUNESID_SIMD. */
PRUNESID_PRIVATE_ const prunesid_kernels_ *prunesid_kernels_of_processor_(void);

/* x . y in float64: neither 1e30 nor 1e-38 squared leaves its range. */
PRUNESID_PRIVATE_ double prunesid_dot64_(const float *x, const float *y, size_t n);

/* 1 / (1 + e^-x) in float64; never touches errno. */
PRUNESID_PRIVATE_ double prunesid_sigmoid64_(double x);

/* out [m, n] = X [m, k] Y^T, with Y [n, k] and k a multiple of PRUNESID_LANES_, for few rows m.
 * is_far: Y comes from memory, and more of it right behind. */
PRUNESID_PRIVATE_ void prunesid_rows_by_rows_(const prunesid_kernels_ *kernels, size_t m, size_t n,
    size_t k, const float *x, size_t ldx, const float *y, size_t ldy, int is_far, float *out,
    size_t ldo);

/* out [m, n] = X [m, k] Y, or += where add is set, with Y [k, n] and n a multiple of
 * PRUNESID_LANES_, for few rows m. */
PRUNESID_PRIVATE_ void prunesid_rows_by_columns_(const prunesid_kernels_ *kernels, size_t m,
    size_t n, size_t k, const float *x, size_t ldx, const float *y, size_t ldy, int add, float *out,
    size_t ldo);

/* C [m, n] = op(A) op(B), or += where add is set, in float64. */
PRUNESID_PRIVATE_ void prunesid_dgemm_(int transpose_a, int transpose_b, size_t m, size_t n,
    size_t k, const double *a, size_t lda, const double *b, size_t ldb, int add, double *c,
    size_t ldc);

/* ---- >>select: the stages in order ---------------------------------------------------------- */

/* The token matrix X and what is asked of it, resolved; and where everything lies. */
typedef struct prunesid_job_ prunesid_job_;

/* Tokens by group: in order, group after group; in each the survivors as picked, then the rest. */
typedef struct prunesid_grouping_ {
    int32_t *order;       /* [n] */
    int32_t *n_members;   /* [K] */
    int32_t *n_survivors; /* [K] */
} prunesid_grouping_;

/* >>checks: what is wrong with an image but what its numbers are. */
PRUNESID_PRIVATE_ prunesid_status prunesid_check_image_(
    const prunesid_config *config, const prunesid_input *input);

PRUNESID_PRIVATE_ prunesid_status prunesid_check_scope_(const prunesid_details *details);

/* >>workspace: checks everything that needs no token and lays out the workspace. */
PRUNESID_PRIVATE_ prunesid_status prunesid_open_(const prunesid_config *config,
    const prunesid_input *input, void *workspace, size_t workspace_bytes, prunesid_job_ *job);

/* >>redundancy: rho and phi, and 1 / |x_i| for NMS. */
PRUNESID_PRIVATE_ prunesid_status prunesid_measure_redundancy_(
    const prunesid_job_ *job, prunesid_information *information);

/* >>psca: V; and better where it is open. */
PRUNESID_PRIVATE_ prunesid_status prunesid_find_components_(
    prunesid_job_ *job, prunesid_stats *stats);
PRUNESID_PRIVATE_ int prunesid_improve_components_(
    prunesid_job_ *job, prunesid_stats *stats, prunesid_status *status);

/* >>group: each token's group and loading, from V or the engine's loadings. */
PRUNESID_PRIVATE_ prunesid_status prunesid_take_loadings_(const prunesid_job_ *job);
PRUNESID_PRIVATE_ size_t prunesid_group_tokens_(const prunesid_job_ *job);
PRUNESID_PRIVATE_ size_t prunesid_check_choice_(
    const prunesid_job_ *job, double tau, int wants_order, int *has_changed);

/* >>threshold */
PRUNESID_PRIVATE_ double prunesid_tau_(
    prunesid_tau_rule rule, size_t N, size_t T, const prunesid_information *information);

/* >>nms: fills the grouping; then, without the protected tokens, another one. */
PRUNESID_PRIVATE_ void prunesid_suppress_(const prunesid_job_ *job, const int32_t *group,
    const double *key, double tau, const prunesid_grouping_ *out);
PRUNESID_PRIVATE_ int prunesid_is_similar_(
    const prunesid_job_ *job, size_t i, size_t j, double tau);
PRUNESID_PRIVATE_ void prunesid_set_protected_aside_(
    const prunesid_job_ *job, const prunesid_grouping_ *all, const prunesid_grouping_ *rest);

/* >>quotas, and who fills them: the kept tokens as picked, and each token's state. */
PRUNESID_PRIVATE_ void prunesid_share_quotas_(
    const prunesid_job_ *job, const int32_t *n_members, const int32_t *n_survivors, int32_t *quota);
PRUNESID_PRIVATE_ void prunesid_pick_(
    const prunesid_job_ *job, const prunesid_grouping_ *rest, const double *key);

/* >>represent: who stands for whom, of the tokens that job->state keeps. */
PRUNESID_PRIVATE_ void prunesid_find_representatives_(
    const prunesid_job_ *job, const int32_t *group);
PRUNESID_PRIVATE_ double prunesid_write_representatives_(
    const prunesid_job_ *job, int32_t *representative, int32_t *count, float *log_count);

/* What EXACT needs: float64 on the smaller side, n = min(T, d). */
typedef struct prunesid_eigen_ {
    double *values, *vectors; /* [n], [k, n]: the top k eigenpairs by rising value */
    double *work;             /* [44, n] scratch of LAPACK */
    lapack_int *iwork;        /* [3, n] */
} prunesid_eigen_;

typedef struct prunesid_exact_ {
    double *mean;      /* [max(T, d)] of sigmoid(X), of each token or channel */
    double *panel;     /* [PANEL, max(T, d)] part of A */
    double *product;   /* [PANEL, K] a panel times the eigenvectors */
    double *gram;      /* [n, n] A A^T or A^T A */
    uint8_t *contrast; /* [n] whether a row of the Gram matrix is not zero */
    prunesid_eigen_ eigen;
} prunesid_exact_;

/* Orthonormal vectors, as rows. */
typedef struct prunesid_basis_ {
    float *vectors; /* [count, sp] */
    size_t count;
    double shortest; /* squared length of the shortest before it was made a unit vector */
} prunesid_basis_;

/* What KRYLOV needs. A vector is a row: of T numbers (left) or of d (right), padded to sp. */
typedef struct prunesid_krylov_ {
    size_t most;         /* of the basis */
    size_t count;        /* m: of the basis so far */
    size_t n_pairs;      /* Ritz pairs that were found */
    double *channel_sum; /* [n_chunks, d] of sigmoid(X) over the tokens of a chunk */
    float *channel_mean; /* [d] */
    float *A;            /* [T, dp] */
    float *Q;            /* [most, sp] the basis */
    float *Y;            /* [most, Tp] Q A^T, if Q is of right vectors */
    float *part;         /* [n_chunks, b, sp] of the product, likewise */
    float *halfway;      /* [b, dp] the newest vectors times A, if they are left ones */
    float *product;      /* [b, sp] of the newest vectors; then what Q does not span of it */
    float *candidate;    /* [b, max(sp, Tp)] the next vectors, half made */
    float *coefficient;  /* [b, most] of a block in the basis */
    float *gram;         /* [b, b] of a block */
    double
        *elimination; /* [b, 2 b] the same in float64, and beside it what makes it the identity */
    float *mix;       /* [b, b] that in float32 */
    float *H;         /* [most, most] Q A^T A Q^T, or Q A A^T Q^T; lower triangle */
    double *H64;      /* [most, most] its copy, for LAPACK to destroy */
    double *theta;    /* [n_theta <= K + PAIRS_BEHIND] the first Ritz values */
    size_t n_theta;
    double *residual;     /* [K + PAIRS_BEHIND] of each Ritz pair */
    double *left_out;     /* [most] squared length of what Q will not get of each one's product */
    prunesid_eigen_ ritz; /* most, most */
} prunesid_krylov_;

/* Some columns of V in float64: S, n of them, by rank. */
typedef struct prunesid_refiner_ {
    size_t n, n_passes;
    int32_t *columns; /* [n] */
    uint8_t *is_in;   /* [most] whether a Ritz vector is in S */
    double *W, *Z;    /* [n, d] right vectors; times A^T A, and then what has to be added to them */
    double *Y;        /* [n, T] the left ones */
    double *scratch;  /* [n, d], in the place of part */
    double *turn;     /* [n, n] */
    double *sigma;    /* [n] singular values */
    double *moved;    /* [n] how far a pass moved each left vector */
    double *error;    /* [n] and what it left of that */
    double *floor;    /* [n] the rounding's part of the error, which no pass can help */
    double *shift;    /* [most] what W is to get, in the basis */
    double *along;    /* [K] what a left vector gets of V's columns */
    float *coefficient; /* [n, most] in the basis */
    double *mean;       /* [d] of the channels */
    double *rows;       /* [n_chunks, 4, d] of A */
    double *part;       /* [n_chunks, n, d] of Z */
    double *work;       /* of LAPACK */
    double scale;       /* of residuals in float32 */
    int is_float64;     /* A's entries in passes: else float32 ones */
} prunesid_refiner_;

/* What representatives need, when all else is done. */
typedef struct prunesid_nearest_ {
    int32_t *kept, *dropped; /* [n_kept] and [T] at most: tokens, group after group */
    int32_t *begin;          /* [K + 1] where each group's kept ones do */
    float *unit;             /* [n_kept, dp] kept rows over their lengths, in that order */
    float *panel;            /* [n_chunks, ROWS, dp] the same of some dropped ones, for each task */
    float *product;          /* [n_chunks, n_kept, ROWS] the cosines of the two */
    int32_t *who;            /* [T] the representative of each */
    int32_t *tally;          /* [T] how many each stands for */
    double *cosine;          /* [T] to its representative */
} prunesid_nearest_;

struct prunesid_job_ {
    const prunesid_input *x;
    const prunesid_rules *rules;
    const prunesid_kernels_ *kernels;
    const prunesid_threads *threads;
    uint64_t (*clock_ns)(void);
    prunesid_preset preset; /* AUTO resolved */
    prunesid_svd svd;
    size_t T, d, N, K;
    size_t n_reserved, n_kept;
    size_t n, Tp, dp,
        sp;            /* min(T, d); T and d padded, and which of the two Krylov's vectors have */
    int is_left;       /* which vectors Krylov works with */
    int exact_at_once; /* asked for, or cheaper */
    double *inverse;   /* [T] 1 / |x_i|, 0 for a zero row */
    double *unit_sum;  /* [n_chunks, d] of x_i / |x_i| over the tokens of a chunk */
    float *row;        /* [n_chunks, d] a token in float32, of each task */
    size_t ldV;        /* K + GUARDS */
    size_t n_columns;  /* of V: K, and the guards if they are known */
    double *V;         /* [T, ldV] */
    double *key;       /* [T] by which a token ranks: its score or loading */
    double *error;     /* [T] of its loading, where that is asked for */
    double *noise;   /* [K, ldV] how far column l may have got into column k: the verdict's model */
    double *outside; /* [K] and the rest of the error of any loading in column k */
    uint8_t *is_refined;     /* [K] */
    uint8_t *is_open;        /* [K] */
    int has_bounds;          /* those are set: V is not from EXACT or the engine */
    float *loading;          /* [T] */
    int32_t *group;          /* [T] */
    int32_t *picked;         /* [T] the kept tokens in the order of their choice */
    int32_t *cursor;         /* [K] where a group goes on while tokens are dealt out */
    int32_t *quota;          /* [K] */
    uint8_t *state;          /* [T] */
    uint8_t *survives;       /* [T] NMS, by a group of its own; of tokens that are not protected */
    prunesid_rank_ *ranking; /* [max(T, K)] scratch */
    prunesid_grouping_ all, rest; /* with and without the protected tokens */
    /* These lie in the same bytes: the first two are done when NMS begins, and all when
     * representatives are looked for. */
    prunesid_exact_ exact;
    prunesid_krylov_ krylov;
    prunesid_refiner_ refiner;
    prunesid_nearest_ nearest;
    float *widened; /* [T, d] the tokens in float32, where they are not: in A's place */
};

PRUNESID_PRIVATE_ uint64_t prunesid_now_(const prunesid_job_ *job) {
    return job->clock_ns != NULL ? job->clock_ns() : 0;
}

/* After n_kept tokens are marked in job->state, and stood in order in job->picked. */
PRUNESID_PRIVATE_ void prunesid_write_selection_(const prunesid_job_ *job,
    const prunesid_stats *stats, int32_t *indices, prunesid_details *details) {
    const int was_pruned = stats->n_groups > 0;
    const int32_t first = (int32_t)job->x->first;
    size_t n = 0;
    for (size_t i = 0; i < job->T; i++)
        if (job->state[i] == PRUNESID_KEPT) indices[n++] = first + (int32_t)i;
    if (details == NULL) return;
    details->stats = *stats;
    for (size_t j = 0; j < n && details->order != NULL; j++)
        details->order[j] = first + job->picked[j];
    for (size_t i = 0; i < job->T; i++) {
        if (details->group != NULL) details->group[i] = was_pruned ? job->group[i] : -1;
        if (details->loading != NULL) details->loading[i] = was_pruned ? job->loading[i] : 0.0f;
        if (details->state != NULL) details->state[i] = job->state[i];
    }
    if (details->representative == NULL && details->count == NULL && details->log_count == NULL)
        return;
    const uint64_t started = prunesid_now_(job);
    const int in_group = details->scope == PRUNESID_SCOPE_GROUP && was_pruned;
    prunesid_find_representatives_(job, in_group ? job->group : NULL);
    details->stats.coverage = prunesid_write_representatives_(
        job, details->representative, details->count, details->log_count);
    details->stats.ns_represent = prunesid_now_(job) - started;
}

PRUNESID_PRIVATE_ void prunesid_keep_all_(const prunesid_job_ *job) {
    for (size_t i = 0; i < job->T; i++) {
        job->state[i] = PRUNESID_KEPT;
        job->picked[i] = (int32_t)i;
    }
}

/* NMS, quotas and the choice, from groups and keys. */
PRUNESID_PRIVATE_ void prunesid_choose_(const prunesid_job_ *job, prunesid_stats *stats) {
    const uint64_t grouped = prunesid_now_(job);
    if (job->x->scores != NULL)
        for (size_t i = 0; i < job->T; i++) job->key[i] = prunesid_value_key_(job->x->scores[i]);
    prunesid_suppress_(job, job->group, job->key, stats->tau, &job->all);
    stats->n_survivors = 0;
    for (size_t k = 0; k < job->K; k++) stats->n_survivors += (size_t)job->all.n_survivors[k];
    const uint64_t suppressed = prunesid_now_(job);
    prunesid_set_protected_aside_(job, &job->all, &job->rest);
    prunesid_share_quotas_(job, job->rest.n_members, job->rest.n_survivors, job->quota);
    prunesid_pick_(job, &job->rest, job->key);
    stats->ns_nms += suppressed - grouped;
    stats->ns_quotas += prunesid_now_(job) - suppressed;
}

/* All but the checks. The stages in the paper's order, each on what the one before has left. */
PRUNESID_PRIVATE_ prunesid_status prunesid_run_stages_(
    prunesid_job_ *job, int32_t *indices, prunesid_details *details) {
    prunesid_information information;
    prunesid_status status = PRUNESID_OK;
    prunesid_stats stats;
    memset(&stats, 0, sizeof stats);
    stats.preset = job->preset;
    stats.svd = job->svd;

    const uint64_t started = prunesid_now_(job);
    PRUNESID_TRY_(prunesid_measure_redundancy_(job, &information));
    stats.rho = information.rho;
    stats.phi = information.phi;
    stats.ns_redundancy = prunesid_now_(job) - started;

    const int has_loadings = job->x->loadings != NULL;
    if (has_loadings) /* even where all is kept: they are checked here */
        PRUNESID_TRY_(prunesid_take_loadings_(job));
    if (job->n_kept == job->T) {
        prunesid_keep_all_(job);
        stats.n_survivors = job->T;
        prunesid_write_selection_(job, &stats, indices, details);
        return PRUNESID_OK;
    }
    stats.n_groups = job->K;
    stats.tau = prunesid_tau_(job->rules->tau, job->N, job->T, &information);
    if (!has_loadings) PRUNESID_TRY_(prunesid_find_components_(job, &stats));
    const int wants_order = details != NULL && details->order != NULL;
    const int by_loadings = !has_loadings && job->x->scores == NULL;
    for (;;) { /* until all that is asked for is clear */
        int has_changed = 0;
        size_t n_open = has_loadings ? 0 : prunesid_group_tokens_(job);
        prunesid_choose_(job, &stats);
        if (by_loadings)
            n_open += prunesid_check_choice_(job, stats.tau, wants_order, &has_changed);
        if (has_changed) continue;
        if (n_open == 0 || !prunesid_improve_components_(job, &stats, &status)) break;
    }
    PRUNESID_TRY_(status);
    prunesid_write_selection_(job, &stats, indices, details);
    return PRUNESID_OK;
}

PRUNESID_PUBLIC_ prunesid_status prunesid_select(const prunesid_config *config,
    const prunesid_input *input, void *workspace, size_t workspace_bytes, int32_t *indices,
    size_t capacity, prunesid_details *details) {
    prunesid_job_ job;
    PRUNESID_TRY_(prunesid_open_(config, input, workspace, workspace_bytes, &job));
    if (indices == NULL) return PRUNESID_ERROR_NULL;
    if (capacity < job.n_kept) return PRUNESID_ERROR_CAPACITY;
    if (details != NULL) PRUNESID_TRY_(prunesid_check_scope_(details));
    return prunesid_run_stages_(&job, indices, details);
}

PRUNESID_PUBLIC_ prunesid_status prunesid_select_alloc(const prunesid_config *config,
    const prunesid_input *input, int32_t *indices, size_t capacity, prunesid_details *details,
    const prunesid_allocator *allocator) {
    size_t bytes = 0;
    if (config == NULL || input == NULL) return PRUNESID_ERROR_NULL;
    if (allocator != NULL && (allocator->allocate == NULL || allocator->release == NULL))
        return PRUNESID_ERROR_NULL;
    PRUNESID_TRY_(prunesid_check_image_(config, input));
    PRUNESID_TRY_(prunesid_workspace_size(config, input->n_tokens, input->dim, &bytes));
    void *const memory = allocator != NULL ? allocator->allocate(bytes, allocator->user)
                                           : malloc(bytes + PRUNESID_ALIGNMENT);
    if (memory == NULL) return PRUNESID_ERROR_ALLOCATION;
    char *workspace = (char *)memory;
    if (allocator == NULL) /* malloc aligns to 8 on some 32-bit machines */
        workspace += ((uintptr_t)0 - (uintptr_t)memory) % PRUNESID_ALIGNMENT;
    const prunesid_status status =
        prunesid_select(config, input, workspace, bytes, indices, capacity, details);
    if (allocator != NULL)
        allocator->release(memory, allocator->user);
    else
        free(memory);
    return status;
}

PRUNESID_PUBLIC_ prunesid_details prunesid_details_init(void) {
    prunesid_details details;
    memset(&details, 0, sizeof details);
    return details;
}

/* ---- >>rules -------------------------------------------------------------------------------- */

PRUNESID_PUBLIC_ const prunesid_rules *prunesid_preset_rules(size_t preset) {
#define PRUNESID_X_(preset, value, name, centring, least, tau, quota, reserved, purpose)           \
    {name, centring, least, tau, quota, reserved, purpose},
    static const prunesid_rules rows[] = {PRUNESID_PRESET_TABLE(PRUNESID_X_)};
#undef PRUNESID_X_
    return preset < sizeof rows / sizeof *rows ? &rows[preset] : NULL;
}

PRUNESID_PUBLIC_ prunesid_config prunesid_config_init(prunesid_preset preset, size_t budget) {
    const prunesid_rules *rules = prunesid_preset_rules(preset);
    const size_t reserved = rules != NULL ? rules->reserved : 0;
    const prunesid_config config = {
        preset, budget, reserved, 0, PRUNESID_SVD_KRYLOV, {1, NULL, NULL}, NULL};
    return config;
}

/* AUTO is one of the others. */
PRUNESID_PRIVATE_ prunesid_preset prunesid_resolve_preset_(prunesid_preset preset, int has_scores) {
    if (preset != PRUNESID_AUTO) return preset;
    return has_scores ? PRUNESID_LLAVA : PRUNESID_QWEN2VL;
}

PRUNESID_PRIVATE_ size_t prunesid_n_groups_(
    const prunesid_config *config, const prunesid_rules *rules, size_t T, size_t d) {
    if (config->n_groups > 0) return config->n_groups;
    const size_t K = prunesid_max_(config->budget / 4, rules->least_groups);
    return prunesid_max_(prunesid_min_(K, prunesid_min_(T, d)), 1);
}

PRUNESID_PUBLIC_ size_t prunesid_n_kept(const prunesid_config *config, size_t n_tokens) {
    if (config == NULL || config->budget <= config->reserved) return 0;
    return prunesid_min_(config->budget - config->reserved, n_tokens);
}

/* ---- >>checks: the view of the tokens, and what is wrong with an argument ------------------- */

PRUNESID_PUBLIC_ int prunesid_version(void) {
    return PRUNESID_VERSION;
}

PRUNESID_PUBLIC_ const char *prunesid_status_string(prunesid_status status) {
    switch (status) {
#define PRUNESID_X_(name, value, text)                                                             \
    case name:                                                                                     \
        return text;
        PRUNESID_STATUS_TABLE(PRUNESID_X_)
#undef PRUNESID_X_
    }
    return "unknown status";
}

PRUNESID_PUBLIC_ prunesid_input prunesid_input_init(
    const void *tokens, prunesid_dtype dtype, size_t n_tokens, size_t dim) {
    const prunesid_input input = {tokens, dtype, n_tokens, dim, dim, 0, NULL, NULL, 0, NULL, 0};
    return input;
}

PRUNESID_PRIVATE_ size_t prunesid_item_bytes_(prunesid_dtype dtype) {
    return dtype == PRUNESID_F32 ? sizeof(float) : sizeof(uint16_t);
}

/* Channels [j, j + n) of token i as float32: in place for F32, else converted into buffer [n]. */
PRUNESID_PRIVATE_ const float *prunesid_float_row_(const prunesid_kernels_ *kernels,
    const prunesid_input *x, size_t i, size_t j, size_t n, float *buffer) {
    const size_t at = i * x->ld + j;
    if (x->dtype == PRUNESID_F32) return (const float *)x->tokens + at;
    kernels->widen(x->dtype, (const unsigned char *)x->tokens + at * sizeof(uint16_t), n, buffer);
    return buffer;
}

/* The same for task c, in its own buffer. */
PRUNESID_PRIVATE_ const float *prunesid_row_(
    const prunesid_job_ *job, size_t i, size_t j, size_t n, size_t c) {
    return prunesid_float_row_(job->kernels, job->x, i, j, n, job->row + c * job->d);
}

PRUNESID_PRIVATE_ int prunesid_is_misaligned_(const void *data, size_t item_bytes) {
    return (uintptr_t)data % item_bytes != 0;
}

PRUNESID_PRIVATE_ int prunesid_ascends_(
    const int32_t *indices, size_t n, size_t first, size_t end) {
    for (size_t j = 0; j < n; j++) {
        if (indices[j] < 0 || (size_t)indices[j] < first || (size_t)indices[j] >= end) return 0;
        if (j > 0 && indices[j] <= indices[j - 1]) return 0;
    }
    return 1;
}

PRUNESID_PRIVATE_ prunesid_status prunesid_check_shape_(size_t T, size_t d, size_t ld) {
    if (T == 0 || d == 0) return PRUNESID_ERROR_EMPTY;
    if (T > INT32_MAX || d > INT32_MAX) return PRUNESID_ERROR_DIMENSION;
    if (ld < d) return PRUNESID_ERROR_STRIDE;
    const size_t bytes = prunesid_multiply_size_(T, prunesid_multiply_size_(ld, sizeof(float)));
    return bytes > SIZE_MAX / 2 ? PRUNESID_ERROR_OVERFLOW : PRUNESID_OK;
}

PRUNESID_PRIVATE_ prunesid_status prunesid_check_data_(const void *data, size_t item_bytes) {
    if (data == NULL) return PRUNESID_ERROR_NULL;
    return prunesid_is_misaligned_(data, item_bytes) ? PRUNESID_ERROR_ALIGNMENT : PRUNESID_OK;
}

PRUNESID_PRIVATE_ prunesid_status prunesid_check_tokens_(const prunesid_input *x) {
    PRUNESID_TRY_(prunesid_check_shape_(x->n_tokens, x->dim, x->ld));
    if (x->first > INT32_MAX - x->n_tokens) return PRUNESID_ERROR_DIMENSION;
    if ((unsigned)x->dtype > PRUNESID_BF16) return PRUNESID_ERROR_DTYPE;
    return prunesid_check_data_(x->tokens, prunesid_item_bytes_(x->dtype));
}

PRUNESID_PUBLIC_ prunesid_status prunesid_input_check(
    const prunesid_input *input, size_t *row, size_t *column) {
    const prunesid_kernels_ *kernels = prunesid_kernels_of_processor_();
    float buffer[PRUNESID_PANEL_];
    if (input == NULL) return PRUNESID_ERROR_NULL;
    PRUNESID_TRY_(prunesid_check_tokens_(input));
    for (size_t i = 0; i < input->n_tokens; i++)
        for (size_t at = 0, n; (n = prunesid_panel_(at, input->dim)) > 0; at += n) {
            const float *x = prunesid_float_row_(kernels, input, i, at, n, buffer);
            for (size_t j = 0; j < n; j++) {
                if (prunesid_is_finite32_(x[j])) continue;
                if (row != NULL) *row = i;
                if (column != NULL) *column = at + j;
                return PRUNESID_ERROR_TOKENS_NOT_FINITE;
            }
        }
    return PRUNESID_OK;
}

PRUNESID_PRIVATE_ prunesid_status prunesid_check_threads_(const prunesid_threads *threads) {
    if (threads->n_workers == 0) return PRUNESID_ERROR_THREADS;
#ifndef _OPENMP
    if (threads->n_workers > 1 && threads->run == NULL) return PRUNESID_ERROR_THREADS;
#endif
    return PRUNESID_OK;
}

PRUNESID_PRIVATE_ prunesid_status prunesid_check_config_(const prunesid_config *config) {
    if (prunesid_preset_rules(config->preset) == NULL) return PRUNESID_ERROR_PRESET;
    if ((unsigned)config->svd > PRUNESID_SVD_EXACT) return PRUNESID_ERROR_SVD;
    if (config->budget == 0 || config->budget > INT32_MAX) return PRUNESID_ERROR_BUDGET;
    if (config->reserved >= config->budget) return PRUNESID_ERROR_RESERVED;
    PRUNESID_TRY_(prunesid_check_threads_(&config->threads));
    return config->n_groups > INT32_MAX ? PRUNESID_ERROR_GROUPS : PRUNESID_OK;
}

PRUNESID_PRIVATE_ prunesid_status prunesid_check_protected_(
    const prunesid_input *x, size_t n_kept) {
    const int32_t *indices = x->protected_tokens;
    if (x->n_protected == 0) return PRUNESID_OK;
    if (indices == NULL) return PRUNESID_ERROR_NULL;
    if (x->n_protected > n_kept) return PRUNESID_ERROR_PROTECTED_COUNT;
    const int fits = prunesid_ascends_(indices, x->n_protected, x->first, x->first + x->n_tokens);
    return fits ? PRUNESID_OK : PRUNESID_ERROR_PROTECTED_INDEX;
}

/* Components of our own are at most min(T, d); of the engine's, at least as many as a row holds. */
PRUNESID_PRIVATE_ prunesid_status prunesid_check_groups_(
    const prunesid_config *config, const prunesid_input *x) {
    const size_t K = config->n_groups;
    if (x->loadings == NULL)
        return K <= prunesid_min_(x->n_tokens, x->dim) ? PRUNESID_OK : PRUNESID_ERROR_GROUPS;
    if (K == 0) return PRUNESID_ERROR_GROUPS;
    PRUNESID_TRY_(prunesid_check_shape_(x->n_tokens, K, x->ld_loadings));
    return prunesid_check_data_(x->loadings, sizeof(float));
}

PRUNESID_PRIVATE_ prunesid_status prunesid_check_image_(
    const prunesid_config *config, const prunesid_input *input) {
    PRUNESID_TRY_(prunesid_check_config_(config));
    PRUNESID_TRY_(prunesid_check_tokens_(input));
    PRUNESID_TRY_(prunesid_check_protected_(input, prunesid_n_kept(config, input->n_tokens)));
    PRUNESID_TRY_(prunesid_check_groups_(config, input));
    return input->scores != NULL ? prunesid_check_data_(input->scores, sizeof(float)) : PRUNESID_OK;
}

PRUNESID_PRIVATE_ prunesid_status prunesid_check_scope_(const prunesid_details *details) {
    return (unsigned)details->scope > PRUNESID_SCOPE_GROUP ? PRUNESID_ERROR_SCOPE : PRUNESID_OK;
}

PRUNESID_PRIVATE_ prunesid_status prunesid_check_workspace_(
    size_t needed, const void *workspace, size_t bytes) {
    if (workspace == NULL) return PRUNESID_ERROR_NULL;
    if (prunesid_is_misaligned_(workspace, PRUNESID_ALIGNMENT))
        return PRUNESID_ERROR_WORKSPACE_ALIGNMENT;
    return bytes < needed ? PRUNESID_ERROR_WORKSPACE_SHORT : PRUNESID_OK;
}

/* ---- >>workers: one image over several ------------------------------------------------------- */

/* A part of the rows of a matrix, the work of one task. There are as many for any number of
 * workers, and what they find is added up in their order. */
typedef struct prunesid_chunk_ {
    size_t begin, end;
} prunesid_chunk_;

PRUNESID_PRIVATE_ size_t prunesid_chunk_rows_(size_t n) {
    const size_t step = 2 * PRUNESID_ROWS_ * PRUNESID_CHUNKS_;
    return prunesid_max_((n + step - 1) / step * 2 * PRUNESID_ROWS_, 8 * PRUNESID_ROWS_);
}

PRUNESID_PRIVATE_ size_t prunesid_n_chunks_(size_t n) {
    return (n + prunesid_chunk_rows_(n) - 1) / prunesid_chunk_rows_(n);
}

/* The most chunks that n rows or fewer are cut into: there may be fewer of more rows. */
PRUNESID_PRIVATE_ size_t prunesid_most_chunks_(size_t n) {
    return prunesid_min_((n - 1) / (8 * PRUNESID_ROWS_) + 1, PRUNESID_CHUNKS_);
}

PRUNESID_PRIVATE_ prunesid_chunk_ prunesid_chunk_at_(size_t n, size_t c) {
    const size_t rows = prunesid_chunk_rows_(n);
    const prunesid_chunk_ chunk = {c * rows, prunesid_min_(n, (c + 1) * rows)};
    return chunk;
}

/* Hands n_tasks tasks to the workers. */
PRUNESID_PRIVATE_ void prunesid_run_tasks_(const prunesid_threads *threads,
    void (*task)(void *data, size_t i, size_t worker), void *data, size_t n_tasks) {
    const size_t n_workers = prunesid_min_(threads->n_workers, n_tasks);
    if (n_workers > 1 && threads->run != NULL) {
        threads->run(task, data, n_tasks, n_workers, threads->user);
        return;
    }
#ifdef _OPENMP
#pragma omp parallel for num_threads((int)n_workers) schedule(dynamic, 1) if (n_workers > 1)
    for (ptrdiff_t i = 0; i < (ptrdiff_t)n_tasks; i++)
        task(data, (size_t)i, (size_t)omp_get_thread_num());
#else
    for (size_t i = 0; i < n_tasks; i++) task(data, i, 0);
#endif
}

/* The tasks of one job, each of which is to be done once: a pool may leave out some, or do some
 * twice, but that can only cost time. */
typedef struct prunesid_work_ {
    const prunesid_job_ *job;
    void (*task)(const prunesid_job_ *job, const void *data, size_t c);
    const void *data;
    size_t n_tasks;
    uint8_t is_begun[PRUNESID_CHUNKS_];
} prunesid_work_;

PRUNESID_PRIVATE_ void prunesid_work_task_(void *data, size_t c, size_t worker) {
    prunesid_work_ *work = (prunesid_work_ *)data;
    (void)worker;
    if (c >= work->n_tasks || work->is_begun[c]) return;
    work->is_begun[c] = 1;
    work->task(work->job, work->data, c);
}

/* task(job, data, c) for the chunks c < n_tasks, in any order, over the job's workers. */
PRUNESID_PRIVATE_ void prunesid_share_work_(const prunesid_job_ *job,
    void (*task)(const prunesid_job_ *job, const void *data, size_t c), const void *data,
    size_t n_tasks) {
    prunesid_work_ work = {job, task, data, n_tasks, {0}};
    prunesid_run_tasks_(job->threads, prunesid_work_task_, &work, n_tasks);
    for (size_t c = 0; c < n_tasks; c++) prunesid_work_task_(&work, c, 0);
}

/* ---- >>workspace ---------------------------------------------------------------------------- */

typedef struct prunesid_arena_ {
    unsigned char *base; /* NULL while only the size is asked for */
    size_t used, peak;   /* SIZE_MAX / 2 once something did not fit */
} prunesid_arena_;

PRUNESID_PRIVATE_ void *prunesid_take_(prunesid_arena_ *arena, size_t n, size_t item_bytes) {
    const size_t at = arena->used;
    const size_t bytes = prunesid_multiply_size_(n, item_bytes);
    const int fits = at <= SIZE_MAX / 4 && bytes <= SIZE_MAX / 4;
    arena->used = fits ? at + (bytes + 63) / 64 * 64 : SIZE_MAX / 2;
    arena->peak = prunesid_max_(arena->used, arena->peak);
    return arena->base != NULL && fits ? arena->base + at : NULL;
}

#define PRUNESID_TAKE_(array, type, n) array = (type *)prunesid_take_(arena, n, sizeof(type))

/* A workspace need only be aligned to 16 bytes; vectors that straddle cache lines cost double. */
PRUNESID_PRIVATE_ prunesid_arena_ prunesid_arena_init_(void *workspace) {
    prunesid_arena_ arena = {(unsigned char *)workspace, 64 - PRUNESID_ALIGNMENT, 0};
    if (workspace != NULL) arena.used = (size_t)(0 - (uintptr_t)workspace) % 64;
    return arena;
}

/* n up to an odd multiple of 16: rows an even number of cache lines apart compete for a cache's
 * sets, at up to twice the time. */
PRUNESID_PRIVATE_ size_t prunesid_padded_(size_t n) {
    return ((n + PRUNESID_LANES_ - 1) / PRUNESID_LANES_ | 1) * PRUNESID_LANES_;
}

/* Vectors of the basis before its Ritz pairs are looked at for the first time. */
PRUNESID_PRIVATE_ size_t prunesid_krylov_least_(size_t K) {
    return 2 * K + K / 8 + (PRUNESID_FIRST_TEST_ - 1) * PRUNESID_BLOCK_;
}

PRUNESID_PRIVATE_ size_t prunesid_krylov_most_(size_t K, size_t n) {
    return prunesid_min_(2 * K + PRUNESID_LAST_TEST_ * PRUNESID_BLOCK_, n);
}

/* The largest number of components up to K for which the smaller side has room for a basis. */
PRUNESID_PRIVATE_ size_t prunesid_krylov_groups_(size_t K, size_t n) {
    const size_t room = PRUNESID_FIRST_TEST_ * PRUNESID_BLOCK_;
    return n > room ? prunesid_min_(K, (n - room) / 2) : 0;
}

PRUNESID_PRIVATE_ void prunesid_take_eigen_(
    prunesid_arena_ *arena, size_t n, size_t k, prunesid_eigen_ *eigen) {
    PRUNESID_TAKE_(eigen->values, double, n);
    PRUNESID_TAKE_(eigen->vectors, double, prunesid_multiply_size_(n, k));
    PRUNESID_TAKE_(eigen->work, double, prunesid_multiply_size_(44, n));
    PRUNESID_TAKE_(eigen->iwork, lapack_int, prunesid_multiply_size_(3, n));
}

PRUNESID_PRIVATE_ void prunesid_take_grouping_(
    prunesid_arena_ *arena, size_t T, size_t K, prunesid_grouping_ *grouping) {
    PRUNESID_TAKE_(grouping->order, int32_t, T);
    PRUNESID_TAKE_(grouping->n_members, int32_t, K);
    PRUNESID_TAKE_(grouping->n_survivors, int32_t, K);
}

PRUNESID_PRIVATE_ void prunesid_take_exact_(prunesid_arena_ *arena, prunesid_job_ *job) {
    prunesid_exact_ *exact = &job->exact;
    const size_t larger = prunesid_max_(job->T, job->d), n = job->n;
    PRUNESID_TAKE_(exact->mean, double, larger);
    PRUNESID_TAKE_(exact->panel, double, prunesid_multiply_size_(PRUNESID_PANEL_, larger));
    PRUNESID_TAKE_(exact->product, double, prunesid_multiply_size_(PRUNESID_PANEL_, job->K));
    PRUNESID_TAKE_(exact->gram, double, prunesid_multiply_size_(n, n));
    PRUNESID_TAKE_(exact->contrast, uint8_t, n);
    prunesid_take_eigen_(arena, n, job->K, &exact->eigen);
}

/* For K components, or, if EXACT comes at once for so many, for the most that Krylov would find:
 * a smaller budget needs no more room then. */
PRUNESID_PRIVATE_ void prunesid_take_krylov_(prunesid_arena_ *arena, prunesid_job_ *job) {
    prunesid_krylov_ *krylov = &job->krylov;
    const size_t k = prunesid_krylov_groups_(job->K, job->n);
    const size_t b = PRUNESID_BLOCK_, m = prunesid_krylov_most_(k, job->n);
    krylov->most = m;
    const size_t n_chunks = prunesid_most_chunks_(job->T), T = job->T, d = job->d, sp = job->sp;
    const size_t longer = prunesid_max_(sp, job->Tp);
    PRUNESID_TAKE_(krylov->A, float, prunesid_multiply_size_(T, job->dp)); /* first: job->widened */
    PRUNESID_TAKE_(krylov->channel_sum, double, prunesid_multiply_size_(n_chunks, d));
    PRUNESID_TAKE_(krylov->channel_mean, float, d);
    PRUNESID_TAKE_(krylov->Q, float, prunesid_multiply_size_(m, sp));
    if (!job->is_left) {
        PRUNESID_TAKE_(krylov->Y, float, prunesid_multiply_size_(m, job->Tp));
        PRUNESID_TAKE_(krylov->part, float, prunesid_multiply_size_(n_chunks * b, sp));
    }
    PRUNESID_TAKE_(krylov->halfway, float, prunesid_multiply_size_(b, job->dp));
    PRUNESID_TAKE_(krylov->product, float, prunesid_multiply_size_(b, sp));
    PRUNESID_TAKE_(krylov->candidate, float, prunesid_multiply_size_(b, longer));
    PRUNESID_TAKE_(krylov->coefficient, float, prunesid_multiply_size_(b, m));
    PRUNESID_TAKE_(krylov->gram, float, b *b);
    PRUNESID_TAKE_(krylov->elimination, double, 2 * b * b);
    PRUNESID_TAKE_(krylov->mix, float, b *b);
    PRUNESID_TAKE_(krylov->H, float, prunesid_multiply_size_(m, m));
    PRUNESID_TAKE_(krylov->H64, double, prunesid_multiply_size_(m, m));
    PRUNESID_TAKE_(krylov->theta, double, k + PRUNESID_PAIRS_BEHIND_);
    PRUNESID_TAKE_(krylov->residual, double, k + PRUNESID_PAIRS_BEHIND_);
    PRUNESID_TAKE_(krylov->left_out, double, m);
    prunesid_take_eigen_(arena, m, m, &krylov->ritz);
}

PRUNESID_PRIVATE_ size_t prunesid_refiner_most_(size_t K) {
    return prunesid_min_(K + PRUNESID_GUARDS_, PRUNESID_MOST_REFINED_);
}

/* Numbers of scratch that LAPACK gets. */
PRUNESID_PRIVATE_ size_t prunesid_refiner_work_(size_t T, size_t d) {
    return T + d + 64 * PRUNESID_MOST_REFINED_; /* dgesvj: T + n; dgeqrf in blocks of 64: 64 n */
}

PRUNESID_PRIVATE_ void prunesid_take_refiner_(prunesid_arena_ *arena, prunesid_job_ *job) {
    prunesid_refiner_ *r = &job->refiner;
    const size_t T = job->T, d = job->d, most = job->krylov.most;
    const size_t n = prunesid_refiner_most_(prunesid_krylov_groups_(job->K, job->n));
    const size_t n_chunks = prunesid_most_chunks_(T);
    PRUNESID_TAKE_(r->columns, int32_t, n);
    PRUNESID_TAKE_(r->is_in, uint8_t, most);
    PRUNESID_TAKE_(r->W, double, prunesid_multiply_size_(n, d));
    PRUNESID_TAKE_(r->Z, double, prunesid_multiply_size_(n, d));
    PRUNESID_TAKE_(r->Y, double, prunesid_multiply_size_(n, T));
    PRUNESID_TAKE_(r->turn, double, prunesid_multiply_size_(n, n));
    PRUNESID_TAKE_(r->sigma, double, n);
    PRUNESID_TAKE_(r->moved, double, n);
    PRUNESID_TAKE_(r->error, double, n);
    PRUNESID_TAKE_(r->floor, double, n);
    PRUNESID_TAKE_(r->shift, double, most);
    PRUNESID_TAKE_(r->along, double, job->K);
    PRUNESID_TAKE_(r->coefficient, float, prunesid_multiply_size_(n, most));
    PRUNESID_TAKE_(r->mean, double, d);
    PRUNESID_TAKE_(r->rows, double, prunesid_multiply_size_(4 * n_chunks, d));
    PRUNESID_TAKE_(r->part, double, prunesid_multiply_size_(n_chunks * n, d));
    PRUNESID_TAKE_(r->work, double, prunesid_refiner_work_(T, d));
    r->scratch = r->part; /* parts are added up before anything is turned */
}

PRUNESID_PRIVATE_ void prunesid_take_nearest_(prunesid_arena_ *arena, prunesid_job_ *job) {
    prunesid_nearest_ *nearest = &job->nearest;
    const size_t rows = prunesid_most_chunks_(job->T) * PRUNESID_ROWS_;
    PRUNESID_TAKE_(nearest->kept, int32_t, job->n_kept);
    PRUNESID_TAKE_(nearest->dropped, int32_t, job->T);
    PRUNESID_TAKE_(nearest->begin, int32_t, job->K + 1);
    PRUNESID_TAKE_(nearest->unit, float, prunesid_multiply_size_(job->n_kept, job->dp));
    PRUNESID_TAKE_(nearest->panel, float, prunesid_multiply_size_(rows, job->dp));
    PRUNESID_TAKE_(nearest->product, float, prunesid_multiply_size_(rows, job->n_kept));
    PRUNESID_TAKE_(nearest->who, int32_t, job->T);
    PRUNESID_TAKE_(nearest->tally, int32_t, job->T);
    PRUNESID_TAKE_(nearest->cosine, double, job->T);
}

/* What prunesid_redundancy needs: the beginning of every workspace. */
PRUNESID_PRIVATE_ void prunesid_take_redundancy_(prunesid_arena_ *arena, prunesid_job_ *job) {
    PRUNESID_TAKE_(job->inverse, double, job->T);
    const size_t n_chunks = prunesid_most_chunks_(job->T);
    PRUNESID_TAKE_(job->unit_sum, double, prunesid_multiply_size_(n_chunks, job->d));
    PRUNESID_TAKE_(job->row, float, prunesid_multiply_size_(n_chunks, job->d));
}

PRUNESID_PRIVATE_ void prunesid_lay_out_(prunesid_arena_ *arena, prunesid_job_ *job) {
    const size_t T = job->T, K = job->K;
    prunesid_take_redundancy_(arena, job);
    PRUNESID_TAKE_(job->V, double, prunesid_multiply_size_(T, job->ldV));
    PRUNESID_TAKE_(job->error, double, T);
    PRUNESID_TAKE_(job->key, double, T);
    PRUNESID_TAKE_(job->noise, double, prunesid_multiply_size_(K, job->ldV));
    PRUNESID_TAKE_(job->outside, double, K);
    PRUNESID_TAKE_(job->is_refined, uint8_t, K);
    PRUNESID_TAKE_(job->is_open, uint8_t, K);
    PRUNESID_TAKE_(job->loading, float, T);
    PRUNESID_TAKE_(job->group, int32_t, T);
    PRUNESID_TAKE_(job->picked, int32_t, T);
    PRUNESID_TAKE_(job->cursor, int32_t, K);
    PRUNESID_TAKE_(job->quota, int32_t, K);
    PRUNESID_TAKE_(job->state, uint8_t, T);
    PRUNESID_TAKE_(job->survives, uint8_t, T);
    PRUNESID_TAKE_(job->ranking, prunesid_rank_, prunesid_max_(T, K));
    prunesid_take_grouping_(arena, T, K, &job->all);
    prunesid_take_grouping_(arena, T, K, &job->rest);

    const size_t shared = arena->used;
    prunesid_take_nearest_(arena, job);
    arena->used = shared;
    PRUNESID_TAKE_(job->widened, float, prunesid_multiply_size_(T, job->dp));
    if (K > job->n) return; /* loadings of the engine: no SVD of ours */
    arena->used = shared;
    prunesid_take_exact_(arena, job);
    if (job->svd == PRUNESID_SVD_EXACT) return;
    arena->used = shared;
    prunesid_take_krylov_(arena, job);
    prunesid_take_refiner_(arena, job);
}

/* Everything of a job that does not lie in the workspace; preset is not AUTO. */
PRUNESID_PRIVATE_ void prunesid_resolve_(
    const prunesid_config *config, prunesid_preset preset, size_t T, size_t d, prunesid_job_ *job) {
    memset(job, 0, sizeof *job);
    job->preset = preset;
    job->rules = prunesid_preset_rules(preset);
    job->kernels = prunesid_kernels_of_processor_();
    job->threads = &config->threads;
    job->clock_ns = config->clock_ns;
    job->svd = config->svd;
    job->T = T;
    job->d = d;
    job->N = config->budget;
    job->K = prunesid_n_groups_(config, job->rules, T, d);
    job->n_columns = job->K;
    job->ldV = job->K + PRUNESID_GUARDS_;
    job->n_reserved = config->reserved;
    job->n_kept = prunesid_n_kept(config, T);
    job->n = prunesid_min_(T, d);
    job->Tp = prunesid_padded_(T);
    job->dp = prunesid_padded_(d);
    job->is_left = T < d && T * d <= PRUNESID_NEAR_FLOATS_;
    job->sp = job->is_left ? job->Tp : job->dp;
    job->exact_at_once =
        config->svd == PRUNESID_SVD_EXACT || prunesid_krylov_groups_(job->K, job->n) < job->K;
}

PRUNESID_PUBLIC_ prunesid_status prunesid_workspace_size(
    const prunesid_config *config, size_t n_tokens, size_t dim, size_t *bytes) {
    size_t most = 0;
    if (config == NULL || bytes == NULL) return PRUNESID_ERROR_NULL;
    PRUNESID_TRY_(prunesid_check_config_(config));
    PRUNESID_TRY_(prunesid_check_shape_(n_tokens, dim, dim));
    for (int has_scores = 0; has_scores < 2; has_scores++) { /* AUTO may turn out to be either */
        const prunesid_preset preset = prunesid_resolve_preset_(config->preset, has_scores);
        prunesid_arena_ arena = prunesid_arena_init_(NULL);
        prunesid_job_ job;
        prunesid_resolve_(config, preset, n_tokens, dim, &job);
        prunesid_lay_out_(&arena, &job);
        most = prunesid_max_(most, arena.peak);
    }
    if (most > SIZE_MAX / 4) return PRUNESID_ERROR_OVERFLOW;
    *bytes = most;
    return PRUNESID_OK;
}

PRUNESID_PRIVATE_ prunesid_status prunesid_open_(const prunesid_config *config,
    const prunesid_input *input, void *workspace, size_t workspace_bytes, prunesid_job_ *job) {
    size_t needed = 0;
    if (config == NULL || input == NULL) return PRUNESID_ERROR_NULL;
    PRUNESID_TRY_(prunesid_check_image_(config, input));
    PRUNESID_TRY_(prunesid_workspace_size(config, input->n_tokens, input->dim, &needed));
    PRUNESID_TRY_(prunesid_check_workspace_(needed, workspace, workspace_bytes));
    if (input->scores != NULL && !prunesid_all_finite32_(input->scores, input->n_tokens))
        return PRUNESID_ERROR_SCORES_NOT_FINITE;
    prunesid_arena_ arena = prunesid_arena_init_(workspace);
    prunesid_resolve_(config, prunesid_resolve_preset_(config->preset, input->scores != NULL),
        input->n_tokens, input->dim, job);
    prunesid_lay_out_(&arena, job);
    job->x = input;
    return PRUNESID_OK;
}

/* ---- >>psca: Eq. 1 and 2 ---------------------------------------------------------------------
 * V holds the top K left singular vectors of A [T, d]. They are found as right ones, eigenvectors
 * of A^T A, which V is A times; or, where that is cheaper, as they are, eigenvectors of A A^T.
 * Every vector is a row, so that products read A as it lies: a right one, q, has d numbers and its
 * other side y = q A^T has T; a left one has T, and q A has d.
 * In the order in which it runs: the matrix; a basis; the Krylov space that it grows into; the Ritz
 * vectors in that; a verdict on them; what the verdict asks for, refined; and the exact way. */

/* -- >>matrix: A = sigmoid(X) - mean in float32 -- */

/* Task c: the tokens of chunk c. */
PRUNESID_PRIVATE_ void prunesid_matrix_task_(const prunesid_job_ *job, const void *data, size_t c) {
    const prunesid_krylov_ *krylov = &job->krylov;
    const size_t d = job->d, ld = job->dp;
    const int by_channel = job->rules->centring == PRUNESID_CENTRE_CHANNEL;
    const prunesid_chunk_ chunk = prunesid_chunk_at_(job->T, c);
    double *sum = krylov->channel_sum + c * d;
    (void)data;
    memset(sum, 0, d * sizeof(double));
    for (size_t i = chunk.begin; i < chunk.end; i++) {
        const float *x = prunesid_row_(job, i, 0, d, c);
        float *a = krylov->A + i * ld;
        if (by_channel)
            job->kernels->sigmoid_sum(x, d, a, sum);
        else
            job->kernels->sigmoid_centred(x, d, a);
        memset(a + d, 0, (ld - d) * sizeof(float));
    }
}

/* Task c: those tokens, less the channels' means. */
PRUNESID_PRIVATE_ void prunesid_centre_task_(const prunesid_job_ *job, const void *data, size_t c) {
    const prunesid_krylov_ *krylov = &job->krylov;
    const prunesid_chunk_ chunk = prunesid_chunk_at_(job->T, c);
    (void)data;
    for (size_t i = chunk.begin; i < chunk.end; i++)
        for (size_t j = 0; j < job->d; j++) krylov->A[i * job->dp + j] -= krylov->channel_mean[j];
}

PRUNESID_PRIVATE_ void prunesid_make_matrix_(const prunesid_job_ *job) {
    const prunesid_krylov_ *krylov = &job->krylov;
    const size_t n_chunks = prunesid_n_chunks_(job->T);
    prunesid_share_work_(job, prunesid_matrix_task_, NULL, n_chunks);
    if (job->rules->centring != PRUNESID_CENTRE_CHANNEL) return;
    for (size_t j = 0; j < job->d; j++) {
        double sum = 0.0;
        for (size_t c = 0; c < n_chunks; c++) sum += krylov->channel_sum[c * job->d + j];
        krylov->channel_mean[j] = (float)(sum / (double)job->T);
    }
    prunesid_share_work_(job, prunesid_centre_task_, NULL, n_chunks);
}

/* -- >>basis: orthonormal rows -- */

/* out [w, w] = the Gram matrix of the rows of block [w, sp]. */
PRUNESID_PRIVATE_ void prunesid_block_gram_(
    const prunesid_job_ *job, const float *block, size_t w, float *out) {
    const size_t ld = job->sp;
    prunesid_rows_by_rows_(job->kernels, w, w, ld, block, ld, block, ld, 0, out, w);
}

/* mix [r, w]: orthonormal combinations of w rows with the Gram matrix krylov->gram, by pivoted
 * Gauss-Jordan steps (Cholesky QR). Leaves out rows of a squared length up to least, and rows that
 * those before span. The number r of them; left [w]: the squared length of what they do not span of
 * each row; *shortest: the least squared length of what was not yet spanned of one taken in. */
PRUNESID_PRIVATE_ size_t prunesid_invert_gram_(
    const prunesid_krylov_ *krylov, size_t w, double least, double *left, double *shortest) {
    double *g = krylov->elimination;
    const size_t ld = 2 * w;
    int is_taken[PRUNESID_BLOCK_] = {0};
    size_t r = 0;
    memset(g, 0, w * ld * sizeof(double));
    for (size_t i = 0; i < w; i++) {
        const double square = (double)krylov->gram[i * w + i];
        g[i * ld + w + i] = square > least ? 1.0 / sqrt(square) : 0.0;
    }
    for (size_t i = 0; i < w; i++)
        for (size_t j = 0; j < w; j++)
            g[i * ld + j] = (double)krylov->gram[i * w + j] * g[i * ld + w + i] * g[j * ld + w + j];
    for (; r < w; r++) {
        size_t best = w;
        double longest = 0.0; /* what is left of a row: the first one takes the largest direction */
        for (size_t i = 0; i < w; i++) {
            const double pivot = g[i * ld + i], square = pivot * (double)krylov->gram[i * w + i];
            if (!(pivot > PRUNESID_LEAST_PIVOT_) || square <= longest) continue;
            longest = square;
            best = i;
        }
        if (best == w) break;
        const double *row = g + best * ld;
        const double pivot = row[best];
        const double scale = 1.0 / sqrt(pivot);
        *shortest = r == 0 || longest < *shortest ? longest : *shortest;
        for (size_t j = 0; j < w; j++) krylov->mix[r * w + j] = (float)(row[w + j] * scale);
        for (size_t i = 0; i < w; i++) {
            const double factor = i != best ? g[i * ld + best] / pivot : 0.0;
            for (size_t j = 0; j < ld; j++) g[i * ld + j] -= factor * row[j];
        }
        g[best * ld + best] = 0.0;
        is_taken[best] = 1;
    }
    for (size_t i = 0; i < w; i++) {
        const double square = (double)krylov->gram[i * w + i];
        const double part = is_taken[i] ? 0.0 : square > least ? g[i * ld + i] : 1.0;
        left[i] = part > 0.0 ? part * square : 0.0;
    }
    return r;
}

/* out: an orthonormal basis of the rows of block [w, sp]; see prunesid_invert_gram_. */
PRUNESID_PRIVATE_ prunesid_basis_ prunesid_orthonormalise_(const prunesid_job_ *job,
    const float *block, size_t w, double least, double *left, float *out) {
    const prunesid_krylov_ *krylov = &job->krylov;
    const size_t ld = job->sp;
    prunesid_basis_ basis = {out, 0, 0.0};
    prunesid_block_gram_(job, block, w, krylov->gram);
    basis.count = prunesid_invert_gram_(krylov, w, least, left, &basis.shortest);
    if (basis.count > 0)
        prunesid_rows_by_columns_(
            job->kernels, basis.count, ld, w, krylov->mix, w, block, ld, 0, out, ld);
    return basis;
}

/* block [w, sp] -= (block Q^T) Q; krylov->coefficient [w, m] = -block Q^T, as it was. */
PRUNESID_PRIVATE_ void prunesid_project_out_(
    const prunesid_job_ *job, const prunesid_basis_ *Q, float *block, size_t w) {
    float *c = job->krylov.coefficient;
    const size_t m = Q->count, ld = job->sp;
    if (m == 0) return;
    prunesid_rows_by_rows_(job->kernels, w, m, ld, block, ld, Q->vectors, ld, 0, c, m);
    for (size_t i = 0; i < w * m; i++) c[i] = -c[i];
    prunesid_rows_by_columns_(job->kernels, w, ld, m, c, m, Q->vectors, ld, 1, block, ld);
}

/* -- >>krylov: the space of a block B, B A^T A, B (A^T A)^2, ..., or with A A^T -- */

/* A product of w rows with A^T A or A A^T. */
typedef struct prunesid_pass_ {
    const float *q; /* [w, sp]; NULL: y is given */
    float *y;       /* q A^T [w, Tp], or q A [w, dp] */
    size_t w;
} prunesid_pass_;

/* Right vectors, task c: the tokens of chunk c, read once: a panel stays in cache while it meets q
 * and then y. Its part of y A goes to a place of its own. */
PRUNESID_PRIVATE_ void prunesid_right_task_(const prunesid_job_ *job, const void *data, size_t c) {
    const prunesid_pass_ *pass = (const prunesid_pass_ *)data;
    const prunesid_krylov_ *krylov = &job->krylov;
    const prunesid_kernels_ *kernels = job->kernels;
    const size_t w = pass->w, Tp = job->Tp, dp = job->dp;
    const size_t panel = kernels->rows > 0 ? PRUNESID_ROWS_ : 4 * PRUNESID_ROWS_;
    const int is_far = job->T * dp > PRUNESID_NEAR_FLOATS_;
    const prunesid_chunk_ chunk = prunesid_chunk_at_(job->T, c);
    float *part = krylov->part + c * PRUNESID_BLOCK_ * dp;
    for (size_t r = chunk.begin, n; r < chunk.end; r += n) {
        const float *a = krylov->A + r * dp;
        float *y = pass->y + r;
        n = prunesid_min_(chunk.end - r, panel);
        if (pass->q != NULL)
            prunesid_rows_by_rows_(kernels, w, n, dp, pass->q, dp, a, dp, is_far, y, Tp);
        prunesid_rows_by_columns_(kernels, w, dp, n, y, Tp, a, dp, r > chunk.begin, part, dp);
    }
}

/* Left vectors, task c: the channels of chunk c of q A. */
PRUNESID_PRIVATE_ void prunesid_left_task_(const prunesid_job_ *job, const void *data, size_t c) {
    const prunesid_pass_ *pass = (const prunesid_pass_ *)data;
    const prunesid_chunk_ chunk = prunesid_chunk_at_(job->dp, c);
    prunesid_rows_by_columns_(job->kernels, pass->w, chunk.end - chunk.begin, job->T, pass->q,
        job->sp, job->krylov.A + chunk.begin, job->dp, 0, pass->y + chunk.begin, job->dp);
}

/* And then: the tokens of chunk c of (q A) A^T. */
PRUNESID_PRIVATE_ void prunesid_left_again_task_(
    const prunesid_job_ *job, const void *data, size_t c) {
    const prunesid_pass_ *pass = (const prunesid_pass_ *)data;
    const prunesid_chunk_ chunk = prunesid_chunk_at_(job->T, c);
    prunesid_rows_by_rows_(job->kernels, pass->w, chunk.end - chunk.begin, job->dp, pass->y,
        job->dp, job->krylov.A + chunk.begin * job->dp, job->dp, 0,
        job->krylov.product + chunk.begin, job->sp);
}

/* krylov->product [w, sp] = q A^T A or q A A^T; if q is NULL, y A or y A^T. Parts are added in
 * their order. */
PRUNESID_PRIVATE_ void prunesid_multiply_by_A_(
    const prunesid_job_ *job, const float *q, float *y, size_t w) {
    const prunesid_krylov_ *krylov = &job->krylov;
    const size_t n_chunks = prunesid_n_chunks_(job->T), n = w * job->sp;
    const prunesid_pass_ pass = {q, y, w};
    if (job->is_left) {
        if (q != NULL)
            prunesid_share_work_(job, prunesid_left_task_, &pass, prunesid_n_chunks_(job->dp));
        prunesid_share_work_(job, prunesid_left_again_task_, &pass, n_chunks);
        return;
    }
    prunesid_share_work_(job, prunesid_right_task_, &pass, n_chunks);
    memcpy(krylov->product, krylov->part, n * sizeof(float));
    for (size_t c = 1; c < n_chunks; c++) {
        const float *part = krylov->part + c * PRUNESID_BLOCK_ * job->sp;
        for (size_t i = 0; i < n; i++) krylov->product[i] += part[i];
    }
}

/* Where the other side of basis vector i goes: kept where V is made of it. */
PRUNESID_PRIVATE_ float *prunesid_other_side_(const prunesid_job_ *job, size_t i) {
    return job->is_left ? job->krylov.halfway : job->krylov.Y + i * job->Tp;
}

/* krylov->product [b, sp] = a start block: an orthonormal basis of random numbers, a function of
 * seed, times A or A^T, once more times A^T A or A A^T. The first vectors of a basis should be
 * close to those of the largest singular values: roundings relative to these reach all other pairs
 * by way of what the first block misses, (s_k / s_1)^2 of it instead of s_k / s_1. How many rows it
 * has. */
PRUNESID_PRIVATE_ size_t prunesid_start_krylov_(const prunesid_job_ *job, uint64_t seed) {
    const prunesid_krylov_ *krylov = &job->krylov;
    const size_t b = PRUNESID_BLOCK_, ld = job->is_left ? job->dp : job->Tp;
    float *start = prunesid_other_side_(job, krylov->count);
    double left[PRUNESID_BLOCK_];
    uint64_t state = seed;
    memset(krylov->product, 0, b * job->sp * sizeof(float));
    for (size_t i = 0; i < b * ld; i++) { /* splitmix64, top 24 bits, in [-1, 1) */
        uint64_t z = (state += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        start[i] = (float)((int32_t)((z ^ (z >> 31)) >> 40) - 8388608) / 8388608.0f;
    }
    prunesid_multiply_by_A_(job, NULL, start, b);
    const prunesid_basis_ basis =
        prunesid_orthonormalise_(job, krylov->product, b, 0.0, left, krylov->candidate);
    if (basis.count > 0) prunesid_multiply_by_A_(job, basis.vectors, start, basis.count);
    return basis.count;
}

/* The squared length of the longest of w rows. */
PRUNESID_PRIVATE_ double prunesid_longest_square_(
    const prunesid_job_ *job, const float *block, size_t w) {
    double longest = 0.0;
    for (size_t j = 0; j < w; j++) {
        const float *row = block + j * job->sp;
        const double square = prunesid_dot64_(row, row, job->sp);
        longest = square > longest ? square : longest;
    }
    return longest;
}

/* One step: what Q does not span of the product, w rows, made orthonormal, joins Q; the product is
 * then that of the newcomers, its coefficients in Q are new rows of H, and what Q does not span of
 * it is left. How many joined: 0 if there are no more directions. is_start: the product is not that
 * of Q's newest vectors. *least is set by the first step. */
PRUNESID_PRIVATE_ size_t prunesid_grow_basis_(
    const prunesid_job_ *job, prunesid_basis_ *Q, size_t w, int is_start, double *least) {
    const prunesid_krylov_ *krylov = &job->krylov;
    const size_t m = Q->count, most = krylov->most;
    double left[PRUNESID_BLOCK_], again[PRUNESID_BLOCK_];
    prunesid_basis_ candidate =
        prunesid_orthonormalise_(job, krylov->product, w, *least, left, krylov->candidate);
    prunesid_basis_ newest = {Q->vectors + m * job->sp, candidate.count, 0.0};
    int is_lost = 0; /* a direction is, to rounding */
    for (int round = 0;
         round < PRUNESID_ROUNDS_ && newest.count > 0 && newest.shortest < PRUNESID_CLEAN_;
         round++) {
        if (round > 0)
            memcpy(candidate.vectors, newest.vectors, newest.count * job->sp * sizeof(float));
        prunesid_project_out_(job, Q, candidate.vectors, newest.count);
        candidate.count = newest.count;
        newest = prunesid_orthonormalise_(
            job, candidate.vectors, candidate.count, PRUNESID_LEAST_SECOND_, again, newest.vectors);
        is_lost |= newest.count < candidate.count;
    }
    for (size_t i = 0; i < w && !is_start; i++) {
        const double square = (double)prunesid_dot64_(
            krylov->product + i * job->sp, krylov->product + i * job->sp, job->sp);
        krylov->left_out[m - w + i] += left[i] + (is_lost ? PRUNESID_LEAST_SECOND_ * square : 0.0);
    }
    if (newest.count == 0) return 0;
    Q->count = m + newest.count;
    memset(krylov->left_out + m, 0, newest.count * sizeof(double));
    prunesid_multiply_by_A_(job, newest.vectors, prunesid_other_side_(job, m), newest.count);
    if (m == 0)
        *least =
            PRUNESID_LEAST_FIRST_ * prunesid_longest_square_(job, krylov->product, newest.count);
    prunesid_project_out_(job, Q, krylov->product, newest.count);
    for (size_t i = 0; i < newest.count; i++)
        for (size_t j = 0; j < Q->count; j++)
            krylov->H[(m + i) * most + j] = -krylov->coefficient[i * Q->count + j];
    return newest.count;
}

/* -- eigenpairs of a small symmetric matrix -- */

/* LAPACK's eigenvectors of a tridiagonal matrix, turned back. info as LAPACK has it. */
PRUNESID_PRIVATE_ lapack_int prunesid_tridiagonal_vectors_(const prunesid_eigen_ *eigen, double *g,
    size_t n, size_t found, const double *values, double *vectors) {
    double *diagonal = eigen->work, *beside = diagonal + n, *tau = beside + n;
    double *work = tau + 2 * n;
    lapack_int *block = eigen->iwork, *failed = block + n, *iwork = failed + n;
    const lapack_int size = (lapack_int)n;
    for (size_t i = 0; i < n; i++) block[i] = 1; /* all in one, which ends at n */
    lapack_int info = LAPACKE_dstein_work(LAPACK_COL_MAJOR, size, diagonal, beside,
        (lapack_int)found, values, block, &size, vectors, size, work, iwork, failed);
    if (info == 0 && prunesid_all_finite64_(vectors, found * n))
        return LAPACKE_dormtr_work(LAPACK_COL_MAJOR, 'L', 'L', 'N', size, (lapack_int)found, g,
            size, tau, vectors, size, work, 40 * size);
    /* Inverse iteration can fail in a cluster: QR finds all the vectors, in place of g. */
    info = LAPACKE_dorgtr_work(LAPACK_COL_MAJOR, 'L', size, g, size, tau, work, 40 * size);
    if (info == 0)
        info = LAPACKE_dsteqr_work(LAPACK_COL_MAJOR, 'V', size, diagonal, beside, g, size, work);
    memcpy(vectors, g + (n - found) * n, found * n * sizeof(double));
    return info;
}

#define PRUNESID_INFO_NOT_FINITE_ (-1000) /* LAPACK's info for success, with NaN in the answer */
#define PRUNESID_INFO_TOO_MANY_ (-1001)   /* columns to be refined; no word of LAPACK's */

/* The k largest eigenpairs of g [n, n], whose upper triangle is read and destroyed; those that are
 * rounding become 0. In place of dsyevr, whose bisection costs three times dsterf. 0, or what
 * LAPACK said. */
PRUNESID_PRIVATE_ int prunesid_top_eigenpairs_(
    const prunesid_eigen_ *eigen, double *g, size_t n, size_t k) {
    double *values = eigen->values, *diagonal = eigen->work, *beside = diagonal + n;
    double *tau = beside + n, *beside_copy = tau + n, *work = beside_copy + n;
    const lapack_int size = (lapack_int)n; /* row-major upper is column-major lower */
    lapack_int info = LAPACKE_dsytrd_work(
        LAPACK_COL_MAJOR, 'L', size, g, size, diagonal, beside, tau, work, 40 * size);
    if (info != 0) return (int)info;
    memcpy(values, diagonal, n * sizeof(double));
    memcpy(beside_copy, beside, (n - 1) * sizeof(double));
    info = LAPACKE_dsterf_work(size, values, beside_copy);
    if (info != 0) return (int)info;
    if (!prunesid_all_finite64_(values, n)) return PRUNESID_INFO_NOT_FINITE_;
    memmove(values, values + n - k, k * sizeof(double));
    const double least = PRUNESID_LEAST_EIGENVALUE_ * values[k - 1];
    size_t found = 0;
    while (found < k && values[k - 1 - found] > least) found++;
    const size_t n_zero = k - found;
    memset(values, 0, n_zero * sizeof(double));
    memset(eigen->vectors, 0, n_zero * n * sizeof(double));
    double *vectors = eigen->vectors + n_zero * n;
    info = prunesid_tridiagonal_vectors_(eigen, g, n, found, values + n_zero, vectors);
    if (info != 0) return (int)info;
    return prunesid_all_finite64_(vectors, found * n) ? 0 : PRUNESID_INFO_NOT_FINITE_;
}

/* -- >>ritz: the eigenpairs of H are those of A A^T as far as Q holds them -- */

PRUNESID_PRIVATE_ int prunesid_find_ritz_pairs_(prunesid_job_ *job, size_t n_pairs) {
    prunesid_krylov_ *krylov = &job->krylov;
    const size_t m = krylov->count;
    krylov->n_pairs = prunesid_min_(n_pairs, m);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j <= i; j++)
            krylov->H64[j * m + i] = (double)krylov->H[i * krylov->most + j];
    return prunesid_top_eigenpairs_(&krylov->ritz, krylov->H64, m, krylov->n_pairs);
}

/* By rank, 0 the largest: theta, and the coefficients [m] in Q. */
PRUNESID_PRIVATE_ double prunesid_ritz_value_(const prunesid_job_ *job, size_t rank) {
    return job->krylov.ritz.values[job->krylov.n_pairs - 1 - rank];
}

PRUNESID_PRIVATE_ const double *prunesid_ritz_coefficients_(const prunesid_job_ *job, size_t rank) {
    return job->krylov.ritz.vectors + (job->krylov.n_pairs - 1 - rank) * job->krylov.count;
}

/* V = the Ritz vectors that were found, a block of b at a time by way of krylov->candidate:
 * combinations of Q, or of Y over the singular value. */
PRUNESID_PRIVATE_ void prunesid_make_ritz_vectors_(prunesid_job_ *job) {
    const prunesid_krylov_ *krylov = &job->krylov;
    const size_t m = krylov->count, ld = job->Tp;
    const float *from = job->is_left ? krylov->Q : krylov->Y;
    job->n_columns = prunesid_min_(krylov->n_pairs, job->ldV);
    for (size_t at = 0; at < job->n_columns; at += PRUNESID_BLOCK_) {
        const size_t w = prunesid_min_(job->n_columns - at, PRUNESID_BLOCK_);
        for (size_t c = 0; c < w; c++) {
            const double *y = prunesid_ritz_coefficients_(job, at + c);
            const double theta = prunesid_ritz_value_(job, at + c);
            const double scale = job->is_left ? 1.0 : theta > 0.0 ? 1.0 / sqrt(theta) : 0.0;
            for (size_t i = 0; i < m; i++) krylov->coefficient[c * m + i] = (float)(y[i] * scale);
        }
        prunesid_rows_by_columns_(
            job->kernels, w, ld, m, krylov->coefficient, m, from, ld, 0, krylov->candidate, ld);
        for (size_t i = 0; i < job->T; i++)
            for (size_t c = 0; c < w; c++)
                job->V[i * job->ldV + at + c] = (double)krylov->candidate[c * ld + i];
    }
}

/* The residual of Ritz pair k is |y E|, y its part in the newest w vectors of Q and E [w, sp] what
 * Q does not span of their product; and what was left out before. residual [K], rank 0 first. The
 * largest over what it may be. */
PRUNESID_PRIVATE_ double prunesid_find_residuals_(const prunesid_job_ *job, size_t w) {
    const prunesid_krylov_ *krylov = &job->krylov;
    const size_t K = job->K, m = krylov->count;
    const double last = prunesid_ritz_value_(job, K - 1);
    double excess = 0.0;
    if (w > 0) prunesid_block_gram_(job, krylov->product, w, krylov->gram);
    for (size_t k = 0; k < krylov->n_pairs; k++) {
        const double theta = prunesid_ritz_value_(job, k);
        const double *y = prunesid_ritz_coefficients_(job, k), *newest = y + m - w;
        double square = 0.0;
        for (size_t i = 0; i < m; i++) square += y[i] * y[i] * krylov->left_out[i];
        for (size_t i = 0; i < w; i++)
            for (size_t j = 0; j < w; j++)
                square += newest[i] * (double)krylov->gram[i * w + j] * newest[j];
        const double residual = square > 0.0 ? sqrt(square) : 0.0;
        krylov->residual[k] = residual;
        if (k >= K && theta + residual < last) continue; /* its eigenvalue is none of the K */
        if (residual > excess * PRUNESID_RESIDUAL_ * theta)
            excess = residual / (PRUNESID_RESIDUAL_ * theta);
    }
    return excess;
}

/* A block finds b vectors of a cluster of eigenvalues at once, and the next b of them only as fast
 * as the cluster is wide (Li and Zhang 2015): with n >= b of the Ritz values that close together,
 * the first of them among the K, more may be hidden, and no residual tells. */
PRUNESID_PRIVATE_ int prunesid_has_cluster_(const prunesid_job_ *job, size_t n) {
    for (size_t k = 0; k < job->K && k + n <= job->krylov.n_pairs; k++) {
        const double first = prunesid_ritz_value_(job, k);
        if (first - prunesid_ritz_value_(job, k + n - 1) < PRUNESID_CLUSTER_ * first) return 1;
    }
    return 0;
}

/* The basis size at which to look again: an eigenvalue problem costs as much as several steps, so
 * not before the gain of every step promises success. */
PRUNESID_PRIVATE_ size_t prunesid_next_test_(const prunesid_krylov_ *krylov, double excess) {
    size_t m = krylov->count;
    while (excess > 1.0 && m < krylov->most) {
        m += PRUNESID_BLOCK_;
        excess /= PRUNESID_STEP_GAIN_;
    }
    return m;
}

/* Block Krylov with full reorthogonalisation. Not converged: when the basis is full, or float32
 * cannot resolve the Kth. 0, or what LAPACK said. */
PRUNESID_PRIVATE_ int prunesid_run_krylov_(
    prunesid_job_ *job, prunesid_stats *stats, int *converged) {
    prunesid_krylov_ *krylov = &job->krylov;
    const size_t K = job->K, b = PRUNESID_BLOCK_;
    prunesid_basis_ Q = {krylov->Q, 0, 0.0};
    size_t w, test_at = prunesid_krylov_least_(K);
    double least = 0.0; /* squared length up to which a new direction is rounding */
    int is_start = 1, has_started_again = 0;
    *converged = 0;
    krylov->count = 0;
    w = prunesid_start_krylov_(job, 0);
    while (w > 0 && Q.count + b <= krylov->most) {
        w = prunesid_grow_basis_(job, &Q, w, is_start, &least);
        is_start = 0;
        krylov->count = Q.count;
        stats->svd_steps++;
        if (Q.count < K) continue;
        const int is_full = Q.count + b > krylov->most;
        if (Q.count < test_at && !is_full && w > 0) continue;
        const int info = prunesid_find_ritz_pairs_(job, K + PRUNESID_PAIRS_BEHIND_);
        if (info != 0) return info;
        const double first = prunesid_ritz_value_(job, 0);
        if (!(prunesid_ritz_value_(job, K - 1) > PRUNESID_RESOLVED_ * first)) return 0;
        const double excess = prunesid_find_residuals_(job, w);
        if (excess <= 1.0 && !has_started_again && prunesid_has_cluster_(job, b)) {
            if (is_full) return 0;
            for (size_t i = 0; i < w; i++)
                krylov->left_out[Q.count - w + i] = (double)krylov->gram[i * w + i];
            w = prunesid_start_krylov_(job, 1);
            is_start = has_started_again = 1;
            test_at = Q.count + PRUNESID_SECOND_START_ * b;
            continue;
        }
        if (excess <= 1.0) {
            if (prunesid_has_cluster_(job, 2 * b)) return 0; /* two starts find no more than that */
            *converged = 1;
            prunesid_make_ritz_vectors_(job);
            for (size_t k = 0; k < K; k++) {
                const double relative = krylov->residual[k] / prunesid_ritz_value_(job, k);
                if (relative > stats->svd_residual) stats->svd_residual = relative;
            }
            return 0;
        }
        test_at = prunesid_next_test_(krylov, excess);
    }
    return 0;
}

/* -- >>verdict: what do the numbers decide? --
 *
 * What is computed is not what is there. Let (theta_k, w_k) be exact eigenpairs of A^T A (s_k^2 =
 * theta_k), and w'_k what was found. To first order w'_k = w_k + sum_l c_kl w_l with
 *     c_kl = w_l . (E w_k) / (theta_k - theta_l),
 * E being all the roundings on the way (Davis and Kahan 1970 bound the same by norms). The model,
 * which is an assumption: roundings are independent of each other and of the vectors (Higham and
 * Mary 2019), so that a pair sees its own sum of them and not the norm of E:
 *     |w_l . (E w_k)| <= c u_p (max(theta_k, theta_l) + s_k + s_l) + 2 u_e (s_k + s_l).
 * u_p is the rounding of products with A, relative to the larger of the two vectors; c = 3 for our
 * own products and 6 for those of BLAS. (It would be relative to s_1 if the first vector of the
 * basis were not as close to its own as prunesid_start_krylov_ makes it.) u_e is that of A's
 * entries, of numbers up to 1: each is off by 0.45 u_e in the mean and 2 u_e at the most, so that a
 * sum of them over unit vectors is off by 0.45 (s_k^2 + s_l^2)^(1/2), and 2 (s_k + s_l) is more
 * than four of its standard deviations. Krylov has u_p = u_e = u, >>refine float64's for the first,
 * and then for both. l goes over the K and the pairs that were found behind them.
 *   Outside of the basis the residual r_k takes the place of E: Rayleigh and Ritz separate what is
 * inside. What is outside is taken to have eigenvalues of at most 2/3 theta_k, so that |c_k,out| <=
 * 3 |r_k| / theta_k, and to be spread over the tokens like a random vector: at most 6 / sqrt(T) of
 * it in one. Two things could hide there: a vector behind the K that is not found yet, and may
 * belong among them, whose residual counts as one of the K's then (prunesid_find_residuals_); and
 * more of a cluster than a block finds at once (prunesid_has_cluster_).
 *   A token's loading, (A w_k)_i / s_k, is then off by at most
 *     (sum_l (c_kl V_il)^2)^(1/2) + 18 |r_k| / (theta_k sqrt(T)) + (sqrt(d) / 4 u_p + 2 u_e) / s_k,
 * and where two loadings that have to be told apart are not so by their two errors, their columns
 * are refined.
 *   test_psca holds the errors that it measures against all of this, before refinement and after
 * each pass of it: up to 0.6 of the bound have been seen, over real tokens and over planted spectra
 * (gaps of 0.01 to 1 %, s_K / s_1 down to 0.003); 0.9 with BLAS's products. */

/* |c_kl|, at most 1. */
PRUNESID_PRIVATE_ double prunesid_pair_error_(
    const prunesid_job_ *job, double theta_k, double theta_l, double u_products, double u_entries) {
    const double larger = theta_k > theta_l ? theta_k : theta_l, gap = fabs(theta_k - theta_l);
    const double roots = sqrt(theta_k) + sqrt(theta_l);
    const double pair = job->kernels->noise * u_products * (larger + roots) +
                        PRUNESID_ENTRY_NOISE_ * u_entries * roots;
    return pair < gap ? pair / gap : 1.0;
}

/* What one loading's own roundings leave of it: A_i is sqrt(d) / 2 long at most, and the rounding
 * of its product with w half of u_p |A_i| |w|. */
PRUNESID_PRIVATE_ double prunesid_token_error_(
    const prunesid_job_ *job, double theta, double u_products, double u_entries) {
    return (sqrt((double)job->d) / 4.0 * u_products + PRUNESID_ENTRY_NOISE_ * u_entries) /
           sqrt(theta);
}

/* Fills row k of job->noise, |c_kl| but for its growth; and gives what the Ritz vectors behind
 * those in V may add to a loading, and its own roundings. */
PRUNESID_PRIVATE_ double prunesid_model_column_(
    const prunesid_job_ *job, size_t k, double u_products, double u_entries) {
    const double *theta = job->krylov.theta;
    double *noise = job->noise + k * job->ldV, behind = 0.0;
    for (size_t l = 0; l < job->krylov.n_theta; l++) {
        const double pair = prunesid_pair_error_(job, theta[k], theta[l], u_products, u_entries);
        if (l < job->n_columns)
            noise[l] = l == k ? job->kernels->noise * u_products : pair;
        else
            behind += pair * pair;
    }
    return PRUNESID_PEAK_ * sqrt(behind / (double)job->T) +
           prunesid_token_error_(job, theta[k], u_products, u_entries);
}

/* Fills job->noise, |c_kl|, and job->outside. */
PRUNESID_PRIVATE_ void prunesid_model_errors_(const prunesid_job_ *job) {
    const double *theta = job->krylov.theta, *residual = job->krylov.residual;
    const double spread = PRUNESID_PEAK_ * PRUNESID_OUTSIDE_ / sqrt((double)job->T);
    for (size_t k = 0; k < job->K; k++) {
        double *noise = job->noise + k * job->ldV;
        job->outside[k] = spread * residual[k] / theta[k] +
                          prunesid_model_column_(job, k, PRUNESID_U_, PRUNESID_U_);
        /* V is A w / s_k where w is a right vector: what is off along l grows by s_l / s_k. */
        for (size_t l = 0; l < k && !job->is_left; l++) {
            noise[l] *= sqrt(theta[l] / theta[k]);
            noise[l] = noise[l] < 1.0 ? noise[l] : 1.0;
        }
    }
}

/* How far V[i, k] may be off. */
PRUNESID_PRIVATE_ double prunesid_loading_error_(const prunesid_job_ *job, size_t i, size_t k) {
    const double *v = job->V + i * job->ldV, *noise = job->noise + k * job->ldV;
    double square = 0.0;
    for (size_t l = 0; l < job->n_columns; l++) square += noise[l] * v[l] * noise[l] * v[l];
    return sqrt(square) + job->outside[k];
}

PRUNESID_PRIVATE_ void prunesid_mark_open_(const prunesid_job_ *job, size_t k, size_t *n_marked) {
    if (job->is_open[k]) return;
    job->is_open[k] = 1;
    ++*n_marked;
}

/* -- >>refine: what the verdict asks for, in float64 --
 *
 * Columns S, as right vectors W [S, d]. A pass computes Y = W A^T and Z = Y A in float64, token by
 * token. Jacobi's SVD of Y (Demmel and Veselic 1992: each singular value and vector to its own
 * relative accuracy) separates what is inside S and gives V's columns; R = Z - theta W is what is
 * outside of S. It is taken off as Newton's method does for eigenvectors (Davidson 1975): along
 * each of the other Ritz vectors over its own distance, theta_k - theta_j, and what none of them
 * holds over theta_k. V's columns get at once what they miss of other columns of V; the rest is
 * their error, to first order, and the next pass, with W corrected, measures what is left.
 *   Most of the error is that of float32 products, so the first passes take A's entries as they
 * are, in float32: that costs one read of A, and no sigmoid. Once what is left is below what those
 * entries leave open, passes compute them from the tokens, in float64. Both have the bound of the
 * verdict, with the residual's part replaced by what was measured. The first passes know the Ritz
 * vectors that Krylov ended with; if these are not enough, all of the basis are found. */

/* out [n, d] in float64 = the right vectors that combine Q by c [n, m]: c Q, or (c Q) A. */
PRUNESID_PRIVATE_ void prunesid_combine_basis_(const prunesid_job_ *job, size_t n, double *out) {
    const prunesid_krylov_ *krylov = &job->krylov;
    const size_t m = krylov->count, b = PRUNESID_BLOCK_, sp = job->sp, dp = job->dp;
    for (size_t at = 0; at < n; at += b) {
        const size_t w = prunesid_min_(n - at, b);
        const float *c = job->refiner.coefficient + at * krylov->most;
        float *right = krylov->candidate;
        prunesid_rows_by_columns_(
            job->kernels, w, sp, m, c, krylov->most, krylov->Q, sp, 0, right, sp);
        if (job->is_left) {
            prunesid_rows_by_columns_(
                job->kernels, w, dp, job->T, right, sp, krylov->A, dp, 0, krylov->halfway, dp);
            right = krylov->halfway;
        }
        for (size_t i = 0; i < w; i++)
            for (size_t j = 0; j < job->d; j++)
                out[(at + i) * job->d + j] = (double)right[i * dp + j];
    }
}

/* S: the open columns, and every Ritz vector that is not clearly apart from one of them. 0 if these
 * are too many. */
PRUNESID_PRIVATE_ int prunesid_choose_columns_(prunesid_job_ *job) {
    prunesid_refiner_ *r = &job->refiner;
    const size_t m = job->krylov.n_pairs, most = prunesid_refiner_most_(job->K);
    r->n = 0;
    memset(r->is_in, 0, job->krylov.most);
    for (size_t j = 0; j < m; j++)
        r->is_in[j] = j < job->K && (job->is_open[j] || job->is_refined[j]);
    for (int grew = 1; grew;) {
        grew = 0;
        for (size_t k = 0; k < m; k++)
            for (size_t j = 0; j < m && r->is_in[k]; j++) {
                const double theta = prunesid_ritz_value_(job, k);
                const double other = prunesid_ritz_value_(job, j);
                if (r->is_in[j] || fabs(theta - other) > PRUNESID_APART_ * (theta + other))
                    continue;
                r->is_in[j] = 1;
                grew = 1;
            }
    }
    for (size_t j = 0; j < m; j++) {
        if (!r->is_in[j]) continue;
        if (r->n == most) return 0;
        r->columns[r->n++] = (int32_t)j;
    }
    return 1;
}

/* r->mean [d]: of sigmoid(X) over the tokens. */
PRUNESID_PRIVATE_ void prunesid_find_channel_means64_(const prunesid_job_ *job) {
    const prunesid_refiner_ *r = &job->refiner;
    double *sum = r->scratch;
    memset(r->mean, 0, job->d * sizeof(double));
    memset(sum, 0, job->d * sizeof(double));
    for (size_t i = 0; i < job->T; i++) {
        const float *x = prunesid_row_(job, i, 0, job->d, 0);
        job->kernels->sigmoid64(x, job->d, r->mean, r->rows);
        for (size_t j = 0; j < job->d; j++) sum[j] += r->rows[j];
    }
    for (size_t j = 0; j < job->d; j++) r->mean[j] = sum[j] / (double)job->T;
}

/* Turns rows [n, length] by the rows of turn [n, n]. */
PRUNESID_PRIVATE_ void prunesid_turn_(
    const double *turn, size_t n, size_t length, double *rows, double *scratch) {
    prunesid_dgemm_(0, 0, n, length, n, turn, n, rows, length, 0, scratch, length);
    memcpy(rows, scratch, n * length * sizeof(double));
}

/* Task c: the tokens of chunk c: Y's part, and its part of Z. */
PRUNESID_PRIVATE_ void prunesid_refine_task_(const prunesid_job_ *job, const void *data, size_t c) {
    const prunesid_refiner_ *r = &job->refiner;
    const size_t d = job->d, T = job->T, rows = PRUNESID_PASS_ROWS_;
    const int by_channel = job->rules->centring == PRUNESID_CENTRE_CHANNEL;
    const prunesid_chunk_ chunk = prunesid_chunk_at_(T, c);
    double *a = r->rows + c * (rows * d), *part = r->part + c * r->n * d;
    (void)data;
    memset(part, 0, r->n * d * sizeof(double));
    for (size_t at = chunk.begin, n; at < chunk.end; at += n) {
        n = prunesid_min_(chunk.end - at, rows);
        for (size_t i = 0; i < n; i++) {
            if (!r->is_float64) {
                job->kernels->widen64(job->krylov.A + (at + i) * job->dp, d, a + i * d);
                continue;
            }
            const float *x = prunesid_row_(job, at + i, 0, d, c);
            job->kernels->sigmoid64(x, d, by_channel ? r->mean : NULL, a + i * d);
        }
        for (size_t k = 0; k < r->n; k++)
            job->kernels->pass64(a, n, d, r->W + k * d, r->Y + k * T + at, part + k * d);
    }
}

/* Z = W A^T A and Y = W A^T. */
PRUNESID_PRIVATE_ void prunesid_pass64_(const prunesid_job_ *job) {
    const prunesid_refiner_ *r = &job->refiner;
    const size_t n_chunks = prunesid_n_chunks_(job->T), n = r->n * job->d;
    prunesid_share_work_(job, prunesid_refine_task_, NULL, n_chunks);
    memcpy(r->Z, r->part, n * sizeof(double));
    for (size_t c = 1; c < n_chunks; c++)
        for (size_t i = 0; i < n; i++) r->Z[i] += r->part[c * n + i];
}

/* r->coefficient [n, m] = R Q^T, of R [n, d] in Z; or (R A^T) Q^T. Times r->scale. */
PRUNESID_PRIVATE_ void prunesid_project_residuals_(const prunesid_job_ *job) {
    const prunesid_refiner_ *r = &job->refiner;
    const prunesid_krylov_ *krylov = &job->krylov;
    const size_t d = job->d, sp = job->sp, dp = job->dp;
    for (size_t at = 0; at < r->n; at += PRUNESID_BLOCK_) {
        const size_t w = prunesid_min_(r->n - at, PRUNESID_BLOCK_);
        float *residual = krylov->halfway, *c = r->coefficient + at * krylov->most;
        memset(residual, 0, w * dp * sizeof(float));
        for (size_t i = 0; i < w; i++)
            for (size_t j = 0; j < d; j++)
                residual[i * dp + j] = (float)(r->Z[(at + i) * d + j] * r->scale);
        if (job->is_left) {
            memset(krylov->candidate, 0, w * sp * sizeof(float));
            prunesid_rows_by_rows_(
                job->kernels, w, job->T, dp, residual, dp, krylov->A, dp, 0, krylov->candidate, sp);
            residual = krylov->candidate;
        }
        prunesid_rows_by_rows_(
            job->kernels, w, krylov->count, sp, residual, sp, krylov->Q, sp, 0, c, krylov->most);
    }
}

/* Of column k of S, with its coefficients: those of its correction in their place; Y's row gets at
 * once what it misses of V's other columns. */
PRUNESID_PRIVATE_ void prunesid_correct_column_(const prunesid_job_ *job, size_t k) {
    const prunesid_refiner_ *r = &job->refiner;
    const prunesid_krylov_ *krylov = &job->krylov;
    const size_t d = job->d, m = krylov->count;
    const int has_all = krylov->n_pairs == m;
    float *c = r->coefficient + k * krylov->most;
    const double *residual = r->Z + k * d;
    const double theta = r->sigma[k] * r->sigma[k];
    double inside = 0.0, all = 0.0, taken = 0.0, left = 0.0, second = 0.0;
    for (size_t j = 0; j < d; j++) all += residual[j] * residual[j];
    memset(r->shift, 0, m * sizeof(double));
    memset(r->along, 0, job->K * sizeof(double));
    for (size_t j = 0; j < krylov->n_pairs; j++) { /* along Ritz vector j */
        const double value = prunesid_ritz_value_(job, j);
        const double *e = prunesid_ritz_coefficients_(job, j);
        double along = 0.0, noise = 0.0;
        if (!(value > 0.0)) continue;
        for (size_t i = 0; i < m; i++) along += e[i] * (double)c[i];
        along /= r->scale;
        if (job->is_left) along /= sqrt(value); /* of the unit right vector */
        inside += along * along;
        const double step = r->is_in[j] ? 0.0 : along / (theta - value);
        const double more = (step - along / theta) / (job->is_left ? sqrt(value) : 1.0);
        for (size_t i = 0; i < m; i++) r->shift[i] += more * e[i];
        const double turn = step * sqrt(value / theta);
        if (has_all || j >= job->K || (size_t)r->columns[k] >= job->K) {
            left += turn * turn;
            continue;
        }
        r->along[j] = turn;
        taken += turn * turn;
        for (size_t l = 0; l < job->n_columns; l++) {
            const double of_j = job->noise[j * job->ldV + l];
            noise += of_j * of_j;
        }
        second += fabs(turn) * sqrt(noise);
    }
    for (size_t i = 0; i < m; i++) c[i] = (float)(r->shift[i] * r->scale);
    for (size_t i = 0; i < job->T && taken > 0.0; i++) {
        const double *v = job->V + i * job->ldV;
        double sum = 0.0;
        for (size_t j = 0; j < job->K; j++) sum += r->along[j] * v[j];
        r->Y[k * job->T + i] += sum;
    }
    /* What no Ritz vector holds has eigenvalues of 2/3 theta at the most, as in the verdict, or up
     * to that of the last one that was found. */
    double apart = theta / PRUNESID_OUTSIDE_;
    const double last = prunesid_ritz_value_(job, krylov->n_pairs - 1);
    if (!has_all && theta - last < apart) apart = theta - last;
    if (apart < PRUNESID_U_ * theta) apart = PRUNESID_U_ * theta;
    const double rest = all > inside ? (all - inside) / (apart * apart) : 0.0;
    r->moved[k] = sqrt(taken + left + rest);
    r->error[k] = sqrt(left + rest) + second;
}

/* R [n, d] in Z becomes the corrections of W, and V's columns get theirs along the Ritz vectors of
 * V. r->moved [n]: how far all of them move Y's unit rows; r->error [n]: by how much V is then off,
 * to first order of what it did not get, to second of what it got. */
PRUNESID_PRIVATE_ void prunesid_correct_(const prunesid_job_ *job) {
    const prunesid_refiner_ *r = &job->refiner;
    const size_t d = job->d;
    prunesid_project_residuals_(job);
    for (size_t k = 0; k < r->n; k++) prunesid_correct_column_(job, k);
    prunesid_combine_basis_(job, r->n, r->scratch);
    for (size_t k = 0; k < r->n; k++)
        for (size_t j = 0; j < d; j++)
            r->Z[k * d + j] =
                r->scratch[k * d + j] / r->scale + r->Z[k * d + j] / (r->sigma[k] * r->sigma[k]);
}

/* What column k of S gets of the others by way of what is outside of both. */
PRUNESID_PRIVATE_ double prunesid_second_order_(const prunesid_job_ *job, size_t k) {
    const prunesid_refiner_ *r = &job->refiner;
    const double theta = r->sigma[k] * r->sigma[k];
    double square = 0.0;
    for (size_t l = 0; l < r->n; l++) {
        const double other = r->sigma[l] * r->sigma[l], gap = fabs(theta - other);
        const double pair = r->moved[k] * r->moved[l] * (theta > other ? theta : other);
        if (l != k) square += pair < gap ? pair / gap * (pair / gap) : 1.0;
    }
    return sqrt(square);
}

/* The bound of a refined column, by the model of the verdict. The part of a unit vector that is
 * rounding's, which no pass can help. */
PRUNESID_PRIVATE_ double prunesid_model_refined_(const prunesid_job_ *job, size_t k) {
    const prunesid_refiner_ *r = &job->refiner;
    const size_t column = (size_t)r->columns[k];
    const double *noise = job->noise + column * job->ldV;
    double square = 0.0;
    job->outside[column] =
        PRUNESID_PEAK_ / sqrt((double)job->T) * (r->error[k] + prunesid_second_order_(job, k)) +
        prunesid_model_column_(
            job, column, PRUNESID_U64_, r->is_float64 ? PRUNESID_U64_ : PRUNESID_U_);
    for (size_t l = 0; l < job->n_columns; l++) square += noise[l] * noise[l];
    return sqrt(square);
}

/* One pass over S: V's columns and their bounds, W corrected. 0, or what LAPACK said. */
PRUNESID_PRIVATE_ int prunesid_refine_once_(prunesid_job_ *job) {
    prunesid_refiner_ *r = &job->refiner;
    const size_t n = r->n, d = job->d, T = job->T, K = job->K;
    const lapack_int n_work = (lapack_int)prunesid_refiner_work_(T, d);
    lapack_int info = LAPACKE_dgeqrf_work(LAPACK_COL_MAJOR, (lapack_int)d, (lapack_int)n, r->W,
        (lapack_int)d, r->sigma, r->work, n_work);
    if (info == 0)
        info = LAPACKE_dorgqr_work(LAPACK_COL_MAJOR, (lapack_int)d, (lapack_int)n, (lapack_int)n,
            r->W, (lapack_int)d, r->sigma, r->work, n_work);
    if (info != 0) return (int)info;
    prunesid_pass64_(job);
    info = LAPACKE_dgesvj_work(LAPACK_COL_MAJOR, 'G', 'U', 'V', (lapack_int)T, (lapack_int)n, r->Y,
        (lapack_int)T, r->sigma, (lapack_int)n, r->turn, (lapack_int)n, r->work, n_work);
    if (info != 0) return (int)info;
    if (!prunesid_all_finite64_(r->sigma, n) || !prunesid_all_finite64_(r->Y, n * T) ||
        !(r->sigma[n - 1] > 0.0))
        return PRUNESID_INFO_NOT_FINITE_;
    prunesid_turn_(r->turn, n, d, r->W, r->scratch);
    prunesid_turn_(r->turn, n, d, r->Z, r->scratch);
    for (size_t k = 0; k < n; k++)
        for (size_t j = 0; j < d; j++)
            r->Z[k * d + j] -= r->sigma[k] * r->sigma[k] * r->W[k * d + j];
    /* float32 products of residuals: scaled, so that they do not end below its range. */
    r->scale = 1.0 / (r->sigma[0] * r->sigma[0]);
    prunesid_correct_(job);
    for (size_t k = 0; k < n; k++) {
        const size_t column = (size_t)r->columns[k];
        job->krylov.theta[column] = r->sigma[k] * r->sigma[k];
        for (size_t j = 0; j < d; j++) r->W[k * d + j] += r->Z[k * d + j];
        if (column >= K) continue;
        for (size_t i = 0; i < T; i++) job->V[i * job->ldV + column] = r->Y[k * T + i];
        job->is_refined[column] = 1;
    }
    for (size_t k = 0; k < n; k++)
        if ((size_t)r->columns[k] < K) r->floor[k] = prunesid_model_refined_(job, k);
    return 0;
}

/* Begins with S from Krylov's vectors. 0, or what LAPACK said, or that S is too large. */
PRUNESID_PRIVATE_ int prunesid_begin_refining_(prunesid_job_ *job) {
    prunesid_refiner_ *r = &job->refiner;
    const size_t m = job->krylov.count, most = job->krylov.most;
    if (!prunesid_choose_columns_(job)) return PRUNESID_INFO_TOO_MANY_;
    for (size_t k = 0; k < r->n; k++)
        for (size_t i = 0; i < m; i++)
            r->coefficient[k * most + i] =
                (float)prunesid_ritz_coefficients_(job, (size_t)r->columns[k])[i];
    prunesid_combine_basis_(job, r->n, r->W);
    r->n_passes = 0;
    r->is_float64 = 0;
    return 0;
}

/* Another pass if it can help: 1; 0 if float64 has nothing more to say; or -1: only EXACT can, and
 * what LAPACK said if it was that. */
PRUNESID_PRIVATE_ int prunesid_refine_(prunesid_job_ *job, int *info) {
    prunesid_refiner_ *r = &job->refiner;
    const size_t all = job->krylov.count;
    int is_new = 0, is_done = 1, said = 0;
    for (size_t k = 0; k < job->K; k++) is_new |= job->is_open[k] && !job->is_refined[k];
    for (size_t k = 0; k < r->n; k++) {
        const size_t column = (size_t)r->columns[k];
        is_done &= column >= job->K || !job->is_open[column] || r->error[k] <= r->floor[k];
    }
    if (!is_new && is_done && r->is_float64) return 0;
    if (!is_new && r->n_passes == PRUNESID_PASSES_) return -1;
    if (job->x->dtype != PRUNESID_F32) prunesid_make_matrix_(job); /* NMS had A */
    if (is_new) {
        said = prunesid_begin_refining_(job);
    } else if (is_done) { /* that is all that A in float32 can say */
        r->is_float64 = 1;
        if (job->rules->centring == PRUNESID_CENTRE_CHANNEL) prunesid_find_channel_means64_(job);
    } else if (r->n_passes == PRUNESID_PASSES_ALONE_ && job->krylov.n_pairs < all) {
        said = prunesid_find_ritz_pairs_(job, all);
    }
    if (said == 0) said = prunesid_refine_once_(job);
    r->n_passes++;
    if (said != 0 && said != PRUNESID_INFO_TOO_MANY_) *info = said;
    return said == 0 ? 1 : -1;
}

/* -- >>exact: float64, by the Gram matrix of the smaller side -- */

/* exact->mean: of sigmoid(X), of each channel over tokens or of each token over channels. */
PRUNESID_PRIVATE_ void prunesid_find_means64_(const prunesid_job_ *job) {
    const size_t T = job->T, d = job->d;
    const int by_channel = job->rules->centring == PRUNESID_CENTRE_CHANNEL;
    const size_t n_means = by_channel ? d : T, over = by_channel ? T : d;
    double *mean = job->exact.mean;
    memset(mean, 0, n_means * sizeof(double));
    for (size_t i = 0; i < T; i++) {
        const float *row = prunesid_row_(job, i, 0, d, 0);
        for (size_t j = 0; j < d; j++)
            mean[by_channel ? j : i] += prunesid_sigmoid64_((double)row[j]);
    }
    for (size_t k = 0; k < n_means; k++) mean[k] /= (double)over;
}

/* exact->panel [size, n] = the rows of A from at on if channels are the smaller side; else its
 * columns, as rows. */
PRUNESID_PRIVATE_ void prunesid_make_panel64_(const prunesid_job_ *job, size_t at, size_t size) {
    const prunesid_exact_ *exact = &job->exact;
    const int by_channel = job->rules->centring == PRUNESID_CENTRE_CHANNEL;
    const int on_channels = job->d <= job->T;
    const size_t i_first = on_channels ? at : 0, i_end = on_channels ? at + size : job->T;
    const size_t j_first = on_channels ? 0 : at, n_columns = on_channels ? job->d : size;
    for (size_t i = i_first; i < i_end; i++) {
        const float *row = prunesid_row_(job, i, j_first, n_columns, 0);
        for (size_t j = 0; j < n_columns; j++) {
            const double mean = exact->mean[by_channel ? j_first + j : i];
            const double a = prunesid_sigmoid64_((double)row[j]) - mean;
            exact->panel[on_channels ? (i - at) * job->n + j : j * job->n + i] = a;
        }
    }
}

/* exact->gram, upper triangle, summed over panels; its trace. */
PRUNESID_PRIVATE_ double prunesid_make_gram64_(const prunesid_job_ *job) {
    const prunesid_exact_ *exact = &job->exact;
    const size_t n = job->n, long_side = prunesid_max_(job->T, job->d);
    double trace = 0.0;
    for (size_t at = 0, size; (size = prunesid_panel_(at, long_side)) > 0; at += size) {
        prunesid_make_panel64_(job, at, size);
        for (size_t j = 0, w; (w = prunesid_panel_(j, n)) > 0; j += w)
            prunesid_dgemm_(1, 0, j + w, w, size, exact->panel, n, exact->panel + j, n, at > 0,
                exact->gram + j, n);
    }
    for (size_t i = 0; i < n; i++) {
        exact->contrast[i] = exact->gram[i * n + i] > 0.0;
        trace += exact->gram[i * n + i];
    }
    return trace;
}

/* V from the first rank eigenvectors W: of A A^T they are V, where A has contrast; of A^T A,
 * V = A W / s, a panel at a time. The other columns are 0. */
PRUNESID_PRIVATE_ void prunesid_make_exact_vectors_(const prunesid_job_ *job, size_t rank) {
    const prunesid_exact_ *exact = &job->exact;
    const size_t T = job->T, d = job->d, K = job->K, n = job->n;
    const double *values = exact->eigen.values, *vectors = exact->eigen.vectors;
    if (d > T) {
        for (size_t k = 0; k < rank; k++)
            for (size_t i = 0; i < T; i++)
                if (exact->contrast[i]) job->V[i * job->ldV + k] = vectors[(K - 1 - k) * n + i];
        return;
    }
    for (size_t at = 0, size; (size = prunesid_panel_(at, T)) > 0; at += size) {
        prunesid_make_panel64_(job, at, size);
        prunesid_dgemm_(0, 1, size, K, d, exact->panel, d, vectors, d, 0, exact->product, K);
        for (size_t i = 0; i < size; i++)
            for (size_t k = 0; k < rank; k++)
                job->V[(at + i) * job->ldV + k] =
                    exact->product[i * K + K - 1 - k] / sqrt(values[K - 1 - k]);
    }
}

/* Squaring costs half of the 16 digits: smaller singular values count as 0. */
PRUNESID_PRIVATE_ int prunesid_run_exact_(const prunesid_job_ *job) {
    const prunesid_exact_ *exact = &job->exact;
    const size_t K = job->K;
    memset(job->V, 0, job->T * job->ldV * sizeof(double));
    prunesid_find_means64_(job);
    const double cells = (double)job->T * (double)job->d;
    const double trace = prunesid_make_gram64_(job);
    if (trace <= cells * PRUNESID_LEAST_CONTRAST_ * PRUNESID_LEAST_CONTRAST_) return 0;
    const int info = prunesid_top_eigenpairs_(&exact->eigen, exact->gram, job->n, K);
    if (info != 0) return info;
    const double least = PRUNESID_LEAST_SQUARE_ * exact->eigen.values[K - 1];
    size_t rank = 0;
    while (rank < K && exact->eigen.values[K - 1 - rank] > least) rank++;
    prunesid_make_exact_vectors_(job, rank);
    return 0;
}

/* -- and all together -- */

/* Fills job->V and what stats says of it; job->has_bounds if it is float32's. */
PRUNESID_PRIVATE_ prunesid_status prunesid_find_exact_components_(
    prunesid_job_ *job, prunesid_stats *stats) {
    const uint64_t started = prunesid_now_(job);
    job->has_bounds = 0;
    job->n_columns = job->K;
    stats->n_refined = 0;
    stats->svd = PRUNESID_SVD_EXACT;
    stats->svd_residual = 0.0;
    const int info = prunesid_run_exact_(job);
    stats->ns_svd += prunesid_now_(job) - started;
    return info == 0 && prunesid_all_finite64_(job->V, job->T * job->ldV) ? PRUNESID_OK
                                                                          : PRUNESID_ERROR_LAPACK;
}

PRUNESID_PRIVATE_ int prunesid_has_finite_columns_(const prunesid_job_ *job) {
    int is_finite = 1;
    for (size_t i = 0; i < job->T; i++)
        is_finite &= prunesid_all_finite64_(job->V + i * job->ldV, job->n_columns);
    return is_finite;
}

PRUNESID_PRIVATE_ prunesid_status prunesid_find_components_(
    prunesid_job_ *job, prunesid_stats *stats) {
    const uint64_t started = prunesid_now_(job);
    int has_converged = 0;
    stats->svd = job->svd;
    if (job->exact_at_once) return prunesid_find_exact_components_(job, stats);
    prunesid_make_matrix_(job);
    const uint64_t made = prunesid_now_(job);
    stats->ns_matrix = made - started;
    stats->lapack_info = prunesid_run_krylov_(job, stats, &has_converged);
    stats->ns_svd = prunesid_now_(job) - made;
    if (!has_converged || !prunesid_has_finite_columns_(job))
        return prunesid_find_exact_components_(job, stats);
    job->has_bounds = 1;
    memset(job->is_refined, 0, job->K);
    job->refiner.n = job->refiner.n_passes = 0;
    job->krylov.n_theta = job->krylov.n_pairs;
    for (size_t k = 0; k < job->krylov.n_theta; k++)
        job->krylov.theta[k] = prunesid_ritz_value_(job, k);
    prunesid_model_errors_(job);
    return PRUNESID_OK;
}

/* Whether V has changed since it was looked at: what is open has been refined. */
PRUNESID_PRIVATE_ int prunesid_improve_components_(
    prunesid_job_ *job, prunesid_stats *stats, prunesid_status *status) {
    const uint64_t started = prunesid_now_(job);
    const int more = prunesid_refine_(job, &stats->lapack_info);
    stats->n_refined = job->refiner.n;
    stats->ns_svd += prunesid_now_(job) - started;
    if (more < 0) *status = prunesid_find_exact_components_(job, stats);
    return more != 0 && *status == PRUNESID_OK;
}

PRUNESID_PUBLIC_ prunesid_status prunesid_psca(const prunesid_config *config,
    const prunesid_input *input, void *workspace, size_t workspace_bytes, float *loadings,
    int32_t *group, float *loading, prunesid_stats *stats) {
    prunesid_job_ job;
    prunesid_stats found;
    PRUNESID_TRY_(prunesid_open_(config, input, workspace, workspace_bytes, &job));
    PRUNESID_TRY_(prunesid_input_check(input, NULL, NULL));
    memset(&found, 0, sizeof found);
    found.preset = job.preset;
    found.svd = job.svd;
    found.n_groups = job.K;
    prunesid_status status = PRUNESID_OK;
    if (input->loadings != NULL) {
        PRUNESID_TRY_(prunesid_take_loadings_(&job));
    } else {
        PRUNESID_TRY_(prunesid_find_components_(&job, &found));
        while (
            prunesid_group_tokens_(&job) > 0 && prunesid_improve_components_(&job, &found, &status))
            continue;
        PRUNESID_TRY_(status);
    }
    for (size_t i = 0; i < job.T; i++) {
        for (size_t k = 0; k < job.K && loadings != NULL; k++)
            loadings[i * job.K + k] = input->loadings != NULL
                                          ? input->loadings[i * input->ld_loadings + k]
                                          : (float)job.V[i * job.ldV + k];
        if (group != NULL) group[i] = job.group[i];
        if (loading != NULL) loading[i] = job.loading[i];
    }
    if (stats != NULL) *stats = found;
    return PRUNESID_OK;
}

/* ---- >>redundancy: Eq. 4 -------------------------------------------------------------------- */

/* Task c: 1 / |x_i| of the tokens of chunk c, and the sum of x_i / |x_i|. */
PRUNESID_PRIVATE_ void prunesid_unit_task_(const prunesid_job_ *job, const void *data, size_t c) {
    const prunesid_chunk_ chunk = prunesid_chunk_at_(job->T, c);
    double *sum = job->unit_sum + c * job->d;
    (void)data;
    memset(sum, 0, job->d * sizeof(double));
    for (size_t i = chunk.begin; i < chunk.end; i++) {
        const float *row = prunesid_row_(job, i, 0, job->d, c);
        job->inverse[i] = job->kernels->unit(row, job->d, sum);
        if (job->inverse[i] < 0.0) return; /* the other tasks' tokens are looked at all the same */
    }
}

/* With s = |sum_i x_i / |x_i||^2 and z nonzero rows, the sum of cosines over i < j is (s - z) / 2,
 * and with the diagonal (s + z) / 2. Fills job->inverse as well. */
PRUNESID_PRIVATE_ prunesid_status prunesid_measure_redundancy_(
    const prunesid_job_ *job, prunesid_information *information) {
    const size_t n_chunks = prunesid_n_chunks_(job->T);
    const double T = (double)job->T;
    double z = 0.0, s = 0.0;
    prunesid_share_work_(job, prunesid_unit_task_, NULL, n_chunks);
    for (size_t c = 0; c < n_chunks; c++) {
        const prunesid_chunk_ chunk = prunesid_chunk_at_(job->T, c);
        for (size_t i = chunk.begin; i < chunk.end; i++) {
            if (job->inverse[i] < 0.0) return PRUNESID_ERROR_TOKENS_NOT_FINITE;
            z += job->inverse[i] > 0.0 ? 1.0 : 0.0;
        }
    }
    for (size_t j = 0; j < job->d; j++) {
        double sum = job->unit_sum[j];
        for (size_t c = 1; c < n_chunks; c++) sum += job->unit_sum[c * job->d + j];
        s += sum * sum;
    }
    const double rounding = 2.0 * PRUNESID_U64_ * T * z; /* T roundings in each of the d sums */
    const double pairs = fabs(s - z) > rounding ? s - z : 0.0;
    const double rho = job->T > 1 ? pairs / (T * (T - 1.0)) : 0.0;
    information->rho = rho < 1.0 ? rho : 1.0; /* rounding as well */
    information->rho_cells = (s + z) / (2.0 * T * T);
    information->phi = 1.0 - information->rho;
    information->n_nonzero = (size_t)z;
    return PRUNESID_OK;
}

PRUNESID_PUBLIC_ prunesid_status prunesid_redundancy(const prunesid_input *input, void *workspace,
    size_t workspace_bytes, prunesid_information *information) {
    prunesid_job_ job;
    const prunesid_threads one_worker = {1, NULL, NULL};
    prunesid_arena_ size = prunesid_arena_init_(NULL), arena = prunesid_arena_init_(workspace);
    if (input == NULL || information == NULL) return PRUNESID_ERROR_NULL;
    PRUNESID_TRY_(prunesid_check_tokens_(input));
    memset(&job, 0, sizeof job);
    job.x = input;
    job.kernels = prunesid_kernels_of_processor_();
    job.threads = &one_worker;
    job.T = input->n_tokens;
    job.d = input->dim;
    prunesid_take_redundancy_(&size, &job);
    if (size.peak > SIZE_MAX / 4) return PRUNESID_ERROR_OVERFLOW;
    PRUNESID_TRY_(prunesid_check_workspace_(size.peak, workspace, workspace_bytes));
    prunesid_take_redundancy_(&arena, &job);
    return prunesid_measure_redundancy_(&job, information);
}

/* ---- >>group: Eq. 3 ------------------------------------------------------------------------- */

/* Group and loading of every token, from loadings of the engine's. */
PRUNESID_PRIVATE_ prunesid_status prunesid_take_loadings_(const prunesid_job_ *job) {
    for (size_t i = 0; i < job->T; i++) {
        const float *v = job->x->loadings + i * job->x->ld_loadings;
        size_t best = 0;
        if (!prunesid_all_finite32_(v, job->K)) return PRUNESID_ERROR_LOADINGS_NOT_FINITE;
        for (size_t k = 1; k < job->K; k++)
            if (prunesid_magnitude_key_(v[k]) > prunesid_magnitude_key_(v[best])) best = k;
        job->group[i] = (int32_t)best;
        job->loading[i] = fabsf(v[best]);
        job->key[i] = prunesid_value_key_(job->loading[i]);
    }
    return PRUNESID_OK;
}

/* Group and loading of every token, and job->is_open for the columns of those whose largest loading
 * is not clearly the largest. How many columns are. */
PRUNESID_PRIVATE_ size_t prunesid_group_tokens_(const prunesid_job_ *job) {
    const size_t K = job->K;
    double worst = 0.0, tail = 0.0; /* no loading is off by more than worst |v| + tail */
    size_t n_marked = 0;
    memset(job->is_open, 0, K);
    for (size_t k = 0; k < K; k++) {
        const double *noise = job->noise + k * job->ldV;
        for (size_t l = 0; l < job->n_columns && job->has_bounds; l++)
            worst = noise[l] > worst ? noise[l] : worst;
        tail = job->outside[k] > tail ? job->outside[k] : tail;
    }
    for (size_t i = 0; i < job->T; i++) {
        const double *v = job->V + i * job->ldV;
        size_t first = 0;
        double second = 0.0, square = v[0] * v[0];
        for (size_t k = 1; k < K; k++) {
            const double a = fabs(v[k]), b = fabs(v[first]);
            square += a * a;
            second = a > b ? b : a > second ? a : second;
            if (a > b) first = k;
        }
        job->group[i] = (int32_t)first;
        job->key[i] = fabs(v[first]);
        job->loading[i] = (float)job->key[i];
        if (!job->has_bounds || K == 1) continue;
        for (size_t k = K; k < job->n_columns; k++) square += v[k] * v[k];
        const double most = worst * sqrt(square) + tail;
        if (job->key[i] - second > 2.0 * most || !(job->key[i] > 0.0)) continue;
        const double lowest = job->key[i] - prunesid_loading_error_(job, i, first);
        for (size_t k = 0; k < K; k++) {
            if (k == first || fabs(v[k]) + most < lowest) continue;
            if (fabs(v[k]) + prunesid_loading_error_(job, i, k) < lowest) continue;
            prunesid_mark_open_(job, first, &n_marked);
            prunesid_mark_open_(job, k, &n_marked);
        }
    }
    return n_marked;
}

PRUNESID_PRIVATE_ void prunesid_mark_pair_(
    const prunesid_job_ *job, size_t i, size_t j, size_t *n_marked) {
    prunesid_mark_open_(job, (size_t)job->group[i], n_marked);
    prunesid_mark_open_(job, (size_t)job->group[j], n_marked);
}

/* Rows of the same bits have the same loadings, whatever rounding makes of them. */
PRUNESID_PRIVATE_ int prunesid_are_same_(const prunesid_job_ *job, size_t i, size_t j) {
    const size_t item = prunesid_item_bytes_(job->x->dtype), stride = job->x->ld * item;
    const unsigned char *rows = (const unsigned char *)job->x->tokens;
    const double larger = job->key[i] > job->key[j] ? job->key[i] : job->key[j];
    if (fabs(job->key[i] - job->key[j]) > PRUNESID_ALIKE_ * larger) return 0;
    return memcmp(rows + i * stride, rows + j * stride, job->d * item) == 0;
}

/* Those of the lower index. Whether they were others. */
PRUNESID_PRIVATE_ int prunesid_level_(const prunesid_job_ *job, size_t i, size_t j) {
    const size_t low = prunesid_min_(i, j), high = prunesid_max_(i, j);
    if (!(fabs(job->key[i] - job->key[j]) > 0.0)) return 0;
    memcpy(job->V + high * job->ldV, job->V + low * job->ldV, job->ldV * sizeof(double));
    return 1;
}

/* Whether it matters that token i comes before j, next to it by loading: one of them is kept and
 * the other is not, or their group has one of them as a survivor of NMS and not the other; or both
 * are kept and somebody wants to know in which order. NMS lets a survivor and another in any order
 * be what they are, if they are not similar: then it is somebody else who suppresses. */
PRUNESID_PRIVATE_ int prunesid_order_matters_(
    const prunesid_job_ *job, size_t i, size_t j, double tau, int wants_order) {
    if (job->state[i] == job->state[j]) return job->state[i] == PRUNESID_KEPT && wants_order;
    return job->survives[i] == job->survives[j] || prunesid_is_similar_(job, i, j, tau);
}

/* A ranking of n tokens by loading, in job->ranking, and whether the order of two neighbours is
 * open and matters. How many columns that marks; *has_changed: V. */
PRUNESID_PRIVATE_ size_t prunesid_check_ranking_(
    const prunesid_job_ *job, size_t n, double tau, int wants_order, int *has_changed) {
    size_t n_marked = 0;
    double largest = 0.0;
    for (size_t c = 0; c < n; c++) {
        const size_t i = (size_t)job->ranking[c].index;
        job->ranking[c].key = job->key[i];
        job->error[i] = 0.0;
        if (job->has_bounds) job->error[i] = prunesid_loading_error_(job, i, (size_t)job->group[i]);
        largest = job->error[i] > largest ? job->error[i] : largest;
    }
    prunesid_sort_ranking_(job->ranking, n);
    for (size_t c = 1; c < n; c++) {
        const size_t j = (size_t)job->ranking[c].index;
        for (size_t b = c; b-- > 0;) { /* those in front of it, as far as errors reach */
            const size_t i = (size_t)job->ranking[b].index;
            const double ahead = job->key[i] - job->key[j];
            if (ahead > job->error[j] + largest && ahead > PRUNESID_ALIKE_ * job->key[i]) break;
            if (!prunesid_order_matters_(job, i, j, tau, wants_order)) continue;
            if (prunesid_are_same_(job, i, j)) { /* and what is in front of i has been looked at */
                *has_changed |= prunesid_level_(job, i, j);
                break;
            }
            if (job->has_bounds && ahead <= job->error[i] + job->error[j])
                prunesid_mark_pair_(job, i, j, &n_marked);
        }
    }
    return n_marked;
}

/* After a choice by loadings: marks the columns of tokens whose order is not clear and matters, in
 * each group, and among those that fill up, which come from all groups. */
PRUNESID_PRIVATE_ size_t prunesid_check_choice_(
    const prunesid_job_ *job, double tau, int wants_order, int *has_changed) {
    size_t n_marked = 0, begin = 0, n_rest = 0;
    *has_changed = 0;
    for (size_t k = 0; k < job->K; k++) {
        const size_t n = (size_t)job->rest.n_members[k];
        for (size_t c = 0; c < n; c++) {
            const int32_t i = job->rest.order[begin + c];
            job->ranking[c].index = i;
            job->survives[i] = c < (size_t)job->rest.n_survivors[k];
        }
        n_marked += prunesid_check_ranking_(job, n, tau, wants_order, has_changed);
        begin += n;
    }
    if (job->rules->quota != PRUNESID_QUOTA_PROPORTIONAL) return n_marked;
    begin = 0;
    for (size_t k = 0; k < job->K; k++) {
        const size_t n = (size_t)job->rest.n_members[k];
        for (size_t c = (size_t)job->rest.n_survivors[k]; c < n; c++)
            job->ranking[n_rest++].index = job->rest.order[begin + c];
        begin += n;
    }
    return n_marked + prunesid_check_ranking_(job, n_rest, tau, wants_order, has_changed);
}

/* ---- >>threshold: Eq. 4 --------------------------------------------------------------------- */

PRUNESID_PRIVATE_ double prunesid_tau_(
    prunesid_tau_rule rule, size_t N, size_t T, const prunesid_information *information) {
    if (rule == PRUNESID_TAU_PAIRS) return (double)N / 32.0 * information->rho;
    const double lambda = 18.0 * (double)N / (double)T;
    return (lambda > 1.0 ? lambda : 1.0) * information->rho_cells;
}

PRUNESID_PUBLIC_ double prunesid_threshold(const prunesid_config *config, int has_scores,
    size_t n_tokens, const prunesid_information *information) {
    if (config == NULL || information == NULL || n_tokens == 0) return 0.0;
    const prunesid_preset preset = prunesid_resolve_preset_(config->preset, has_scores);
    if (prunesid_preset_rules(preset) == NULL) return 0.0;
    return prunesid_tau_(prunesid_preset_rules(preset)->tau, config->budget, n_tokens, information);
}

/* ---- >>nms ---------------------------------------------------------------------------------- */

/* The rows whose cosines count, in float32. */
PRUNESID_PRIVATE_ const float *prunesid_float_token_(const prunesid_job_ *job, size_t i) {
    return job->x->dtype == PRUNESID_F32 ? (const float *)job->x->tokens + i * job->x->ld
                                         : job->widened + i * job->d;
}

PRUNESID_PRIVATE_ void prunesid_widen_tokens_(const prunesid_job_ *job) {
    for (size_t i = 0; i < job->T && job->x->dtype != PRUNESID_F32; i++)
        prunesid_float_row_(job->kernels, job->x, i, 0, job->d, job->widened + i * job->d);
}

/* cos(x_i, x_j), whatever the dtype to the same bits. */
PRUNESID_PRIVATE_ double prunesid_cosine64_(const prunesid_job_ *job, size_t i, size_t j) {
    float buffers[2][PRUNESID_PIECE_];
    double sum = 0.0;
    for (size_t at = 0, n; at < job->d; at += n) {
        n = prunesid_min_(job->d - at, PRUNESID_PIECE_);
        const float *x = prunesid_float_row_(job->kernels, job->x, i, at, n, buffers[0]);
        const float *y = prunesid_float_row_(job->kernels, job->x, j, at, n, buffers[1]);
        sum += job->kernels->dot64(x, y, n);
    }
    return sum * job->inverse[i] * job->inverse[j];
}

/* cos(x_i, x_j) within (d + 8) 2 u; 0, and nothing is found, where float32 cannot hold it. */
PRUNESID_PRIVATE_ int prunesid_cosine32_(
    const prunesid_job_ *job, size_t i, size_t j, double *cosine) {
    const double scale = job->inverse[i] * job->inverse[j];
    if (!(scale > PRUNESID_LEAST_SCALE_ && scale < PRUNESID_MOST_SCALE_)) return 0;
    const float *x = prunesid_float_token_(job, i), *y = prunesid_float_token_(job, j);
    *cosine = (double)job->kernels->dot(x, y, job->d) * scale;
    return 1;
}

/* cos(x_i, x_j) > tau, as float64 has it: by float32 where its rounding leaves no doubt. */
PRUNESID_PRIVATE_ int prunesid_is_similar_(
    const prunesid_job_ *job, size_t i, size_t j, double tau) {
    const double bound = ((double)job->d + 8.0) * 2.0 * PRUNESID_U_;
    double cosine;
    if (prunesid_cosine32_(job, i, j, &cosine) && fabs(cosine - tau) > bound) return cosine > tau;
    return prunesid_cosine64_(job, i, j) > tau;
}

/* Deals the tokens out to job->ranking, group after group, each to be ranked by score. */
PRUNESID_PRIVATE_ void prunesid_deal_out_(
    const prunesid_job_ *job, const int32_t *group, const double *key, int32_t *n_members) {
    const prunesid_input *x = job->x;
    memset(n_members, 0, job->K * sizeof(int32_t));
    for (size_t i = 0; i < job->T; i++) n_members[group[i]]++;
    for (size_t k = 0; k < job->K; k++)
        job->cursor[k] = k > 0 ? job->cursor[k - 1] + n_members[k - 1] : 0;
    for (size_t i = 0, p = 0; i < job->T; i++) {
        prunesid_rank_ *place = &job->ranking[job->cursor[group[i]]++];
        const int is_protected =
            p < x->n_protected && (size_t)x->protected_tokens[p] - x->first == i;
        place->key = is_protected ? PRUNESID_PROTECTED_KEY_ : key[i];
        place->index = (int32_t)i;
        p += is_protected ? 1 : 0;
    }
}

/* One group of n, ranked: out [n] = its survivors as picked, then the rest. How many survive. The
 * rest gathers at the front of the ranking, over places that are done with. */
PRUNESID_PRIVATE_ size_t prunesid_suppress_group_(
    const prunesid_job_ *job, prunesid_rank_ *ranking, size_t n, double tau, int32_t *out) {
    size_t n_survivors = 0, n_rest = 0;
    for (size_t c = 0; c < n; c++) {
        const prunesid_rank_ candidate = ranking[c];
        const size_t i = (size_t)candidate.index;
        const int is_protected = candidate.key >= PRUNESID_PROTECTED_KEY_;
        int survives = candidate.key > 0.0;
        for (size_t s = 0; s < n_survivors && survives && tau < 1.0 && !is_protected; s++)
            survives = !prunesid_is_similar_(job, i, (size_t)out[s], tau);
        if (survives)
            out[n_survivors++] = candidate.index;
        else
            ranking[n_rest++] = candidate;
    }
    for (size_t c = 0; c < n_rest; c++) out[n_survivors + c] = ranking[c].index;
    return n_survivors;
}

/* What the tasks of NMS go by. */
typedef struct prunesid_suppression_ {
    const prunesid_grouping_ *out;
    double tau;
} prunesid_suppression_;

/* Task c: every CHUNKS-th group; job->cursor has their ends. */
PRUNESID_PRIVATE_ void prunesid_suppress_task_(
    const prunesid_job_ *job, const void *data, size_t c) {
    const prunesid_suppression_ *by = (const prunesid_suppression_ *)data;
    for (size_t k = c; k < job->K; k += PRUNESID_CHUNKS_) {
        const size_t n = (size_t)by->out->n_members[k], begin = (size_t)job->cursor[k] - n;
        prunesid_sort_ranking_(job->ranking + begin, n);
        by->out->n_survivors[k] = (int32_t)prunesid_suppress_group_(
            job, job->ranking + begin, n, by->tau, by->out->order + begin);
    }
}

/* job->inverse is ready; job->widened is filled here if pairs matter: none does where tau >= 1. */
PRUNESID_PRIVATE_ void prunesid_suppress_(const prunesid_job_ *job, const int32_t *group,
    const double *key, double tau, const prunesid_grouping_ *out) {
    const prunesid_suppression_ by = {out, tau};
    if (tau < 1.0) prunesid_widen_tokens_(job);
    prunesid_deal_out_(job, group, key, out->n_members);
    prunesid_share_work_(
        job, prunesid_suppress_task_, &by, prunesid_min_(job->K, PRUNESID_CHUNKS_));
}

/* Protected tokens are kept: what they leave is what the quotas share. They stand first in their
 * groups, and all survive. */
PRUNESID_PRIVATE_ void prunesid_set_protected_aside_(
    const prunesid_job_ *job, const prunesid_grouping_ *all, const prunesid_grouping_ *rest) {
    const prunesid_input *x = job->x;
    size_t n = 0;
    memset(job->state, PRUNESID_SUPPRESSED, job->T);
    memcpy(rest->n_members, all->n_members, job->K * sizeof(int32_t));
    memcpy(rest->n_survivors, all->n_survivors, job->K * sizeof(int32_t));
    for (size_t p = 0; p < x->n_protected; p++) {
        const int32_t i = x->protected_tokens[p] - (int32_t)x->first;
        rest->n_members[job->group[i]]--;
        rest->n_survivors[job->group[i]]--;
        job->state[i] = PRUNESID_KEPT;
        job->picked[p] = i;
    }
    for (size_t c = 0; c < job->T; c++)
        if (job->state[all->order[c]] != PRUNESID_KEPT) rest->order[n++] = all->order[c];
}

PRUNESID_PUBLIC_ prunesid_status prunesid_nms(const prunesid_config *config,
    const prunesid_input *input, const int32_t *group, const float *loading, double tau,
    void *workspace, size_t workspace_bytes, int32_t *order, int32_t *n_members,
    int32_t *n_survivors) {
    prunesid_job_ job;
    prunesid_information information;
    PRUNESID_TRY_(prunesid_open_(config, input, workspace, workspace_bytes, &job));
    const float *scores = input->scores != NULL ? input->scores : loading;
    if (group == NULL || scores == NULL || order == NULL || n_members == NULL ||
        n_survivors == NULL)
        return PRUNESID_ERROR_NULL;
    for (size_t i = 0; i < job.T; i++)
        if (group[i] < 0 || (size_t)group[i] >= job.K) return PRUNESID_ERROR_GROUP_INDEX;
    if (!prunesid_is_finite64_(tau)) return PRUNESID_ERROR_TAU;
    if (!prunesid_all_finite32_(scores, job.T)) return PRUNESID_ERROR_LOADINGS_NOT_FINITE;
    PRUNESID_TRY_(prunesid_measure_redundancy_(&job, &information)); /* norms; are they finite? */
    const prunesid_grouping_ out = {order, n_members, n_survivors};
    for (size_t i = 0; i < job.T; i++) job.key[i] = prunesid_value_key_(scores[i]);
    prunesid_suppress_(&job, group, job.key, tau, &out);
    return PRUNESID_OK;
}

/* ---- >>quotas ------------------------------------------------------------------------------- */

/* Largest remainders: the `wanted` largest of n numbers in [0, 1) round up; -1 stays. */
typedef struct prunesid_remainders_ {
    double (*of)(const void *context, size_t i);
    const void *context;
    size_t n;
    double below, cut; /* above cut all round up; of those in (below, cut], which are equal to
                        * 2^-60, the first n_equal */
    double n_equal;
} prunesid_remainders_;

PRUNESID_PRIVATE_ double prunesid_n_remainders_above_(const prunesid_remainders_ *r, double cut) {
    double n = 0.0;
    for (size_t i = 0; i < r->n; i++) n += r->of(r->context, i) > cut ? 1.0 : 0.0;
    return n;
}

/* Finds the cut by bisection: in no memory at all. */
PRUNESID_PRIVATE_ void prunesid_cut_remainders_(prunesid_remainders_ *r, double wanted) {
    r->below = -1.0;
    r->cut = 1.0;
    for (int halving = 0; halving < 61; halving++) {
        const double middle = r->below + (r->cut - r->below) / 2.0;
        if (prunesid_n_remainders_above_(r, middle) <= wanted)
            r->cut = middle;
        else
            r->below = middle;
    }
    r->n_equal = wanted - prunesid_n_remainders_above_(r, r->cut);
}

/* 1 if number i, the next in order, rounds up, else 0. */
PRUNESID_PRIVATE_ size_t prunesid_rounds_up_(prunesid_remainders_ *r, size_t i) {
    const double remainder = r->of(r->context, i);
    if (remainder > r->cut) return 1;
    if (remainder <= r->below || r->n_equal <= 0.0) return 0;
    r->n_equal -= 1.0;
    return 1;
}

typedef struct prunesid_proportion_ {
    const int32_t *n_survivors;
    double N, total; /* of the survivors */
} prunesid_proportion_;

/* N v_k / sum v. The divisor is volatile: no 1 / total under -ffast-math. */
PRUNESID_PRIVATE_ double prunesid_exact_quota_(const prunesid_proportion_ *p, size_t k) {
    const volatile double total = p->total;
    return p->N * (double)p->n_survivors[k] / total;
}

PRUNESID_PRIVATE_ double prunesid_quota_remainder_(const void *context, size_t k) {
    const double exact = prunesid_exact_quota_((const prunesid_proportion_ *)context, k);
    return exact - (double)(int32_t)exact;
}

PRUNESID_PRIVATE_ void prunesid_share_proportionally_(
    const prunesid_job_ *job, const int32_t *n_survivors, size_t N, int32_t *quota) {
    size_t total = 0, given = 0;
    memcpy(quota, n_survivors, job->K * sizeof(int32_t));
    for (size_t k = 0; k < job->K; k++) total += (size_t)n_survivors[k];
    if (total <= N) return;
    const prunesid_proportion_ proportion = {n_survivors, (double)N, (double)total};
    for (size_t k = 0; k < job->K; k++) {
        quota[k] = (int32_t)prunesid_exact_quota_(&proportion, k);
        given += (size_t)quota[k];
    }
    prunesid_remainders_ r = {prunesid_quota_remainder_, &proportion, job->K, 0.0, 0.0, 0.0};
    prunesid_cut_remainders_(&r, (double)(N - given));
    for (size_t k = 0; k < job->K; k++) quota[k] += (int32_t)prunesid_rounds_up_(&r, k);
}

/* What BOUNDED goes by. */
typedef struct prunesid_bounds_ {
    const int32_t *n_members, *n_survivors; /* [K] */
    size_t cap;                             /* 5 ceil(N / 64) */
    size_t raise;                           /* of every ceiling */
} prunesid_bounds_;

/* The most that group k may give: min(cap, survivors) raised, but not above its members. */
PRUNESID_PRIVATE_ size_t prunesid_ceiling_(const prunesid_bounds_ *bounds, size_t k) {
    const size_t up = prunesid_min_((size_t)bounds->n_survivors[k], bounds->cap) + bounds->raise;
    return prunesid_min_(up, (size_t)bounds->n_members[k]);
}

/* Raises all ceilings by the least whole number that lets N fit; their sum. */
PRUNESID_PRIVATE_ size_t prunesid_raise_ceilings_(prunesid_bounds_ *bounds, size_t K, size_t N) {
    for (;;) {
        size_t sum = 0;
        for (size_t k = 0; k < K; k++) sum += prunesid_ceiling_(bounds, k);
        if (sum >= N) return sum;               /* no later than all members are in */
        bounds->raise += (N - sum + K - 1) / K; /* one more is worth K at most */
    }
}

/* The released code: one a group; of the others by survivors, rounding the running share, which is
 * summed in float64 and rounded to float32; at most the ceiling; then the groups with the most
 * survivors are filled. */
PRUNESID_PRIVATE_ void prunesid_share_bounded_(const prunesid_job_ *job, const int32_t *n_members,
    const int32_t *n_survivors, size_t N, int32_t *quota) {
    const size_t K = job->K;
    prunesid_bounds_ bounds = {n_members, n_survivors, 5 * ((N + 63) / 64), 0};
    size_t all_members = 0, all_survivors = 0, n_floors = 0;
    for (size_t k = 0; k < K; k++) {
        all_members += (size_t)n_members[k];
        all_survivors += (size_t)n_survivors[k];
        n_floors += n_members[k] > 0 ? 1 : 0;
    }
    const size_t ceilings = prunesid_raise_ceilings_(&bounds, K, prunesid_min_(N, all_members));
    const size_t taken = n_floors + job->n_reserved;
    const size_t others = N > taken ? N - taken : 0;
    const size_t wanted = prunesid_min_(others + n_floors, ceilings);
    const volatile float divisor = (float)prunesid_max_(all_survivors, 1); /* as above */
    double running = 0.0, before = 0.0;
    size_t given = 0;
    for (size_t k = 0; k < K; k++) {
        const float part = (float)n_survivors[k] / divisor;
        running += (double)part;
        const float product = (float)running * (float)others;
        const double after = rint((double)product);
        const size_t n = (size_t)(after - before) + (n_members[k] > 0 ? 1 : 0);
        quota[k] = (int32_t)prunesid_min_(n, prunesid_ceiling_(&bounds, k));
        given += (size_t)quota[k];
        before = after;
        job->ranking[k].key = (double)n_survivors[k];
        job->ranking[k].index = (int32_t)k;
    }
    prunesid_sort_ranking_(job->ranking, K);
    for (size_t c = 0; c < K && given < wanted; c++) {
        const size_t k = (size_t)job->ranking[c].index;
        const size_t room = prunesid_ceiling_(&bounds, k) - (size_t)quota[k];
        const size_t more = prunesid_min_(room, wanted - given);
        quota[k] += (int32_t)more;
        given += more;
    }
}

/* Of N, protected and reserved rows are not in the groups. */
PRUNESID_PRIVATE_ void prunesid_share_quotas_(const prunesid_job_ *job, const int32_t *n_members,
    const int32_t *n_survivors, int32_t *quota) {
    const size_t N = job->N - job->x->n_protected;
    if (job->rules->quota == PRUNESID_QUOTA_PROPORTIONAL)
        prunesid_share_proportionally_(job, n_survivors, N - job->n_reserved, quota);
    else
        prunesid_share_bounded_(job, n_members, n_survivors, N, quota);
}

/* Takes the groups' quotas until n_kept tokens are picked; where they end before, the best-scored
 * suppressed tokens fill up. */
PRUNESID_PRIVATE_ void prunesid_pick_(
    const prunesid_job_ *job, const prunesid_grouping_ *rest, const double *key) {
    size_t n = job->x->n_protected, n_suppressed = 0, begin = 0;
    for (size_t k = 0; k < job->K; k++) {
        const size_t n_members = (size_t)rest->n_members[k];
        for (size_t c = 0; c < n_members; c++) {
            const int32_t i = rest->order[begin + c];
            if (c < (size_t)job->quota[k] && n < job->n_kept) {
                job->state[i] = PRUNESID_KEPT;
                job->picked[n++] = i;
            } else if (c < (size_t)rest->n_survivors[k]) {
                job->state[i] = PRUNESID_OVER_QUOTA;
            } else {
                job->ranking[n_suppressed].key = key[i];
                job->ranking[n_suppressed++].index = i;
            }
        }
        begin += n_members;
    }
    if (n == job->n_kept) return;
    prunesid_sort_ranking_(job->ranking, n_suppressed);
    for (size_t c = 0; n < job->n_kept; c++) {
        job->state[job->ranking[c].index] = PRUNESID_KEPT;
        job->picked[n++] = job->ranking[c].index;
    }
}

PRUNESID_PUBLIC_ prunesid_status prunesid_quotas(const prunesid_config *config,
    const prunesid_input *input, const int32_t *n_members, const int32_t *n_survivors,
    void *workspace, size_t workspace_bytes, int32_t *quota) {
    prunesid_job_ job;
    PRUNESID_TRY_(prunesid_open_(config, input, workspace, workspace_bytes, &job));
    if (n_members == NULL || n_survivors == NULL || quota == NULL) return PRUNESID_ERROR_NULL;
    for (size_t k = 0; k < job.K; k++)
        if (n_survivors[k] < 0 || n_survivors[k] > n_members[k]) return PRUNESID_ERROR_COUNTS;
    prunesid_share_quotas_(&job, n_members, n_survivors, quota);
    return PRUNESID_OK;
}

/* ---- >>represent: the kept token that is most like each ------------------------------------- */

PRUNESID_PRIVATE_ size_t prunesid_group_of_(const int32_t *group, size_t i) {
    return group != NULL ? (size_t)group[i] : 0;
}

/* The tokens that are kept, or those that are not, group after group, ascending in each; begin
 * [K + 1]: where each group does. */
PRUNESID_PRIVATE_ void prunesid_sort_by_group_(
    const prunesid_job_ *job, const int32_t *group, int is_kept, int32_t *begin, int32_t *sorted) {
    memset(begin, 0, (job->K + 1) * sizeof(int32_t));
    memset(job->cursor, 0, job->K * sizeof(int32_t));
    for (size_t i = 0; i < job->T; i++)
        if ((job->state[i] == PRUNESID_KEPT) == is_kept) begin[prunesid_group_of_(group, i) + 1]++;
    for (size_t k = 0; k < job->K; k++) begin[k + 1] += begin[k];
    for (size_t i = 0; i < job->T; i++) {
        const size_t k = prunesid_group_of_(group, i);
        if ((job->state[i] == PRUNESID_KEPT) == is_kept)
            sorted[begin[k] + job->cursor[k]++] = (int32_t)i;
    }
}

/* x_i / |x_i| in float32, padded with zeros, by task c. */
PRUNESID_PRIVATE_ void prunesid_write_unit_(
    const prunesid_job_ *job, size_t i, size_t c, float *out) {
    const float *row = prunesid_row_(job, i, 0, job->d, c);
    job->kernels->scale(row, job->d, job->inverse[i], out);
    memset(out + job->d, 0, (job->dp - job->d) * sizeof(float));
}

/* Task c: a chunk of the kept rows. */
PRUNESID_PRIVATE_ void prunesid_kept_unit_task_(
    const prunesid_job_ *job, const void *data, size_t c) {
    const prunesid_chunk_ chunk = prunesid_chunk_at_(job->n_kept, c);
    (void)data;
    for (size_t u = chunk.begin; u < chunk.end; u++)
        prunesid_write_unit_(job, (size_t)job->nearest.kept[u], c, job->nearest.unit + u * job->dp);
}

/* Token j may represent token i. */
PRUNESID_PRIVATE_ void prunesid_propose_(const prunesid_job_ *job, int32_t i, int32_t j) {
    const double cosine = prunesid_cosine64_(job, (size_t)i, (size_t)j);
    int32_t *who = &job->nearest.who[i];
    double *nearest = &job->nearest.cosine[i];
    if (*who >= 0 && (cosine < *nearest || (cosine <= *nearest && j > *who))) return;
    *who = j;
    *nearest = cosine;
}

/* The representatives of n <= ROWS tokens of group k. A cosine in float32 is within u for each term
 * of a partial sum, 4 u to add these up, and u for each of the two unit rows; and least is rounded.
 * What lies within twice that of the largest may be the largest. */
PRUNESID_PRIVATE_ void prunesid_represent_tokens_(
    const prunesid_job_ *job, size_t c, size_t k, const int32_t *tokens, size_t n) {
    const prunesid_nearest_ *nearest = &job->nearest;
    const double terms = (double)job->dp / (double)job->kernels->lanes;
    const double doubt = 2.0 * (terms + 8.0) * PRUNESID_U_;
    float *panel = nearest->panel + c * PRUNESID_ROWS_ * job->dp;
    float *product = nearest->product + c * PRUNESID_ROWS_ * job->n_kept;
    float least[PRUNESID_ROWS_];
    size_t begin = (size_t)nearest->begin[k], end = (size_t)nearest->begin[k + 1];
    if (begin == end) { /* its group keeps none */
        begin = 0;
        end = job->n_kept;
    }
    for (size_t r = 0; r < n; r++)
        prunesid_write_unit_(job, (size_t)tokens[r], c, panel + r * job->dp);
    prunesid_rows_by_rows_(job->kernels, end - begin, n, job->dp, nearest->unit + begin * job->dp,
        job->dp, panel, job->dp, 0, product, PRUNESID_ROWS_);
    for (size_t r = 0; r < n; r++) {
        float most = product[r];
        for (size_t u = 1; u < end - begin; u++) {
            const float cosine = product[u * PRUNESID_ROWS_ + r];
            most = cosine > most ? cosine : most;
        }
        least[r] = (float)((double)most - doubt);
        nearest->who[tokens[r]] = -1;
    }
    for (size_t u = 0; u < end - begin; u++)
        for (size_t r = 0; r < n; r++)
            if (product[u * PRUNESID_ROWS_ + r] >= least[r])
                prunesid_propose_(job, tokens[r], nearest->kept[begin + u]);
}

/* Task c: a chunk of the dropped tokens, in panels of one group. */
PRUNESID_PRIVATE_ void prunesid_represent_task_(
    const prunesid_job_ *job, const void *data, size_t c) {
    const int32_t *group = (const int32_t *)data, *dropped = job->nearest.dropped;
    const prunesid_chunk_ chunk = prunesid_chunk_at_(job->T - job->n_kept, c);
    for (size_t at = chunk.begin, n; at < chunk.end; at += n) {
        const size_t k = prunesid_group_of_(group, (size_t)dropped[at]);
        const size_t most = prunesid_min_(chunk.end - at, PRUNESID_ROWS_);
        n = 1;
        while (n < most && prunesid_group_of_(group, (size_t)dropped[at + n]) == k) n++;
        prunesid_represent_tokens_(job, c, k, dropped + at, n);
    }
}

PRUNESID_PRIVATE_ void prunesid_find_representatives_(
    const prunesid_job_ *job, const int32_t *group) {
    const prunesid_nearest_ *nearest = &job->nearest;
    for (size_t i = 0; i < job->T; i++) {
        nearest->who[i] = (int32_t)i;
        nearest->cosine[i] = 1.0;
    }
    if (job->n_kept == job->T) return;
    prunesid_sort_by_group_(job, group, 0, nearest->begin, nearest->dropped);
    prunesid_sort_by_group_(job, group, 1, nearest->begin, nearest->kept);
    prunesid_share_work_(job, prunesid_kept_unit_task_, NULL, prunesid_n_chunks_(job->n_kept));
    prunesid_share_work_(
        job, prunesid_represent_task_, group, prunesid_n_chunks_(job->T - job->n_kept));
}

/* What they are, to arrays that may be NULL; returns coverage. */
PRUNESID_PRIVATE_ double prunesid_write_representatives_(
    const prunesid_job_ *job, int32_t *representative, int32_t *count, float *log_count) {
    const prunesid_nearest_ *nearest = &job->nearest;
    const int32_t first = (int32_t)job->x->first;
    double sum = 0.0;
    memset(nearest->tally, 0, job->T * sizeof(int32_t));
    for (size_t i = 0; i < job->T; i++) {
        nearest->tally[nearest->who[i]]++;
        sum += nearest->cosine[i];
        if (representative != NULL) representative[i] = first + nearest->who[i];
    }
    for (size_t i = 0, j = 0; i < job->T; i++) {
        if (job->state[i] != PRUNESID_KEPT) continue;
        if (count != NULL) count[j] = nearest->tally[i];
        if (log_count != NULL) log_count[j] = (float)log((double)nearest->tally[i]);
        j++;
    }
    const double coverage = sum / (double)job->T;
    return coverage < 1.0 ? coverage : 1.0; /* rounding */
}

PRUNESID_PUBLIC_ prunesid_status prunesid_represent(const prunesid_config *config,
    const prunesid_input *input, const int32_t *indices, const int32_t *group, void *workspace,
    size_t workspace_bytes, int32_t *representative, int32_t *count, float *log_count,
    double *coverage) {
    prunesid_job_ job;
    prunesid_information information;
    PRUNESID_TRY_(prunesid_open_(config, input, workspace, workspace_bytes, &job));
    if (indices == NULL) return PRUNESID_ERROR_NULL;
    const size_t first = input->first;
    if (!prunesid_ascends_(indices, job.n_kept, first, first + job.T)) return PRUNESID_ERROR_INDEX;
    for (size_t i = 0; i < job.T && group != NULL; i++)
        if (group[i] < 0 || (size_t)group[i] >= job.K) return PRUNESID_ERROR_GROUP_INDEX;
    PRUNESID_TRY_(prunesid_measure_redundancy_(&job, &information)); /* norms; are they finite? */
    memset(job.state, PRUNESID_SUPPRESSED, job.T);
    for (size_t j = 0; j < job.n_kept; j++) job.state[(size_t)indices[j] - first] = PRUNESID_KEPT;
    prunesid_find_representatives_(&job, group);
    const double mean = prunesid_write_representatives_(&job, representative, count, log_count);
    if (coverage != NULL) *coverage = mean;
    return PRUNESID_OK;
}

/* ---- >>budgets: the information-aware ratio ------------------------------------------------- */

#define PRUNESID_OPEN_ SIZE_MAX /* a share that has not met a limit */

/* Water filling: shares that meet a limit are settled at it, the others take what is left in
 * proportion to their weights. */
typedef struct prunesid_filling_ {
    const double *weights;
    const size_t *low, *high;
    const size_t *settled; /* PRUNESID_OPEN_, or the limit that it met */
    size_t n;
    double asked; /* the total that was asked for: the ceiling of who has none */
    double left, open_weight, n_open; /* of the open ones: what they take, sum of weights, count */
} prunesid_filling_;

PRUNESID_PRIVATE_ double prunesid_floor_of_(const prunesid_filling_ *f, size_t b) {
    return f->low != NULL ? (double)f->low[b] : 1.0;
}

PRUNESID_PRIVATE_ double prunesid_ceiling_of_(const prunesid_filling_ *f, size_t b) {
    const int has_own = f->high != NULL && (double)f->high[b] < PRUNESID_WHOLE_;
    const double low = prunesid_floor_of_(f, b);
    return has_own ? (double)f->high[b] : f->asked > low ? f->asked : low;
}

PRUNESID_PRIVATE_ double prunesid_weight_of_(const prunesid_filling_ *f, size_t b) {
    return f->weights[b] > 0.0 ? f->weights[b] : 0.0;
}

/* volatile: the share is the same wherever this is inlined, under -ffast-math too. */
PRUNESID_PRIVATE_ double prunesid_exact_share_(const prunesid_filling_ *f, size_t b) {
    if (f->settled[b] != PRUNESID_OPEN_) return (double)f->settled[b];
    const volatile double own = prunesid_weight_of_(f, b), weight = f->open_weight;
    const volatile double part = weight > 0.0 ? own / weight : 1.0 / f->n_open;
    const volatile double share = f->left * part;
    return share;
}

PRUNESID_PRIVATE_ double prunesid_whole_share_(const prunesid_filling_ *f, size_t b) {
    return floor(prunesid_exact_share_(f, b) + PRUNESID_WHOLE_SHARE_);
}

/* -1: no room for more. */
PRUNESID_PRIVATE_ double prunesid_share_remainder_(const void *context, size_t b) {
    const prunesid_filling_ *f = (const prunesid_filling_ *)context;
    const double whole = prunesid_whole_share_(f, b);
    return whole < prunesid_ceiling_of_(f, b) ? prunesid_exact_share_(f, b) - whole : -1.0;
}

/* Checks weights and limits, and clamps the total between the sums of the limits. */
PRUNESID_PRIVATE_ prunesid_status prunesid_check_filling_(
    const prunesid_filling_ *f, double *total) {
    double floors = 0.0, ceilings = 0.0, sum = 0.0;
    if (f->asked > PRUNESID_WHOLE_) return PRUNESID_ERROR_OVERFLOW;
    if (!prunesid_all_finite64_(f->weights, f->n)) return PRUNESID_ERROR_PHI;
    for (size_t b = 0; b < f->n; b++) {
        const double low = prunesid_floor_of_(f, b);
        if (low > (double)INT32_MAX || (f->high != NULL && low > (double)f->high[b]))
            return PRUNESID_ERROR_LIMITS;
        floors += low;
        ceilings += prunesid_ceiling_of_(f, b);
        sum += prunesid_weight_of_(f, b);
    }
    if (!prunesid_is_finite64_(sum)) return PRUNESID_ERROR_PHI;
    *total = f->asked > floors ? f->asked : floors;
    *total = *total < ceilings ? *total : ceilings;
    return PRUNESID_OK;
}

/* One pass: what the open ones take of total, and then settles those that violate the limits of the
 * side whose violation is larger, so that the other side stays feasible. Whether any did. */
PRUNESID_PRIVATE_ int prunesid_settle_(prunesid_filling_ *f, double total, size_t *settled) {
    double under = 0.0, over = 0.0;
    f->left = total;
    f->open_weight = f->n_open = 0.0;
    for (size_t b = 0; b < f->n; b++) {
        const int is_open = settled[b] == PRUNESID_OPEN_;
        f->left -= is_open ? 0.0 : (double)settled[b];
        f->open_weight += is_open ? prunesid_weight_of_(f, b) : 0.0;
        f->n_open += is_open ? 1.0 : 0.0;
    }
    for (size_t b = 0; b < f->n; b++) {
        const double share = prunesid_exact_share_(f, b);
        const double low = prunesid_floor_of_(f, b), high = prunesid_ceiling_of_(f, b);
        if (settled[b] != PRUNESID_OPEN_) continue;
        under += share < low ? low - share : 0.0;
        over += share > high ? share - high : 0.0;
    }
    if (!(under > 0.0) && !(over > 0.0)) return 0;
    for (size_t b = 0; b < f->n; b++) {
        const double share = prunesid_exact_share_(f, b);
        const double low = prunesid_floor_of_(f, b), high = prunesid_ceiling_of_(f, b);
        if (settled[b] != PRUNESID_OPEN_) continue;
        if (under >= over && share < low) settled[b] = (size_t)low;
        if (under < over && share > high) settled[b] = (size_t)high;
    }
    return 1;
}

/* shares[b] is what b has been settled at, PRUNESID_OPEN_ as long as that is open. */
PRUNESID_PUBLIC_ prunesid_status prunesid_share(const double *weights, size_t n_shares,
    size_t total, const size_t *low, const size_t *high, size_t *shares) {
    prunesid_filling_ f = {weights, low, high, shares, n_shares, (double)total, 0.0, 0.0, 0.0};
    double feasible = 0.0, wanted = 0.0;
    if (weights == NULL || shares == NULL) return PRUNESID_ERROR_NULL;
    if (n_shares == 0) return PRUNESID_ERROR_EMPTY;
    PRUNESID_TRY_(prunesid_check_filling_(&f, &feasible));
    for (size_t b = 0; b < n_shares; b++) shares[b] = PRUNESID_OPEN_;
    while (prunesid_settle_(&f, feasible, shares)) continue;
    wanted = feasible;
    for (size_t b = 0; b < n_shares; b++) wanted -= prunesid_whole_share_(&f, b);
    prunesid_remainders_ r = {prunesid_share_remainder_, &f, n_shares, 0.0, 0.0, 0.0};
    prunesid_cut_remainders_(&r, wanted);
    for (size_t b = 0; b < n_shares; b++) {
        const size_t more = prunesid_rounds_up_(&r, b);
        shares[b] = (size_t)prunesid_whole_share_(&f, b) + more;
    }
    return PRUNESID_OK;
}

PRUNESID_PUBLIC_ prunesid_status prunesid_budget(
    double phi, double phi_ref, size_t budget, size_t low, size_t high, size_t *out) {
    if (out == NULL) return PRUNESID_ERROR_NULL;
    if (budget == 0 || budget > INT32_MAX) return PRUNESID_ERROR_BUDGET;
    if (!prunesid_is_finite64_(phi) || !prunesid_is_finite64_(phi_ref) || phi_ref <= 0.0)
        return PRUNESID_ERROR_PHI;
    if (low > high || low > INT32_MAX) return PRUNESID_ERROR_LIMITS;
    const size_t most = prunesid_min_(high, INT32_MAX);
    const double n = phi > 0.0 ? rint((double)budget * phi / phi_ref) : 0.0;
    *out = n <= (double)low ? low : n >= (double)most ? most : (size_t)n;
    return PRUNESID_OK;
}

/* ---- >>batch -------------------------------------------------------------------------------- */

PRUNESID_PUBLIC_ prunesid_region prunesid_region_init(
    const prunesid_input *image, size_t at, size_t n_tokens, size_t budget) {
    prunesid_region region;
    prunesid_input *part = &region.input;
    const int fits = at <= image->n_tokens && n_tokens <= image->n_tokens - at;
    const size_t row = fits ? at : 0;
    memset(&region, 0, sizeof region);
    region.budget = budget;
    region.high = SIZE_MAX;
    *part = *image;
    part->n_tokens = fits ? n_tokens : 0; /* which the plan refuses */
    part->first = image->first + row;
    if (image->tokens != NULL)
        part->tokens = (const unsigned char *)image->tokens +
                       row * image->ld * prunesid_item_bytes_(image->dtype);
    if (image->scores != NULL) part->scores = image->scores + row;
    if (image->loadings != NULL) part->loadings = image->loadings + row * image->ld_loadings;
    if (image->protected_tokens == NULL ||
        !prunesid_ascends_(image->protected_tokens, image->n_protected, image->first,
            image->first + image->n_tokens))
        return region; /* what is wrong with them stays wrong */
    part->n_protected = 0;
    for (size_t p = 0; p < image->n_protected; p++) {
        const size_t index = (size_t)image->protected_tokens[p];
        if (index < part->first || index - part->first >= n_tokens) continue;
        if (part->n_protected == 0) part->protected_tokens = image->protected_tokens + p;
        part->n_protected++;
    }
    return region;
}

PRUNESID_PUBLIC_ prunesid_batch prunesid_batch_init(const prunesid_config *config,
    prunesid_sharing sharing, prunesid_region *regions, size_t n_regions) {
    const prunesid_batch batch = {*config, sharing, regions, n_regions};
    return batch;
}

/* What a region may take of a shared budget, and needs at the most. */
typedef struct prunesid_demand_ {
    size_t low, high; /* reserved rows included */
    size_t n_kept;    /* of its own budget, if FIXED */
    size_t bytes;     /* of workspace */
} prunesid_demand_;

PRUNESID_PRIVATE_ prunesid_config prunesid_region_config_(
    const prunesid_batch *batch, size_t budget) {
    prunesid_config config = batch->config;
    config.budget = budget;
    if (config.threads.n_workers <= batch->n_regions) config.threads.n_workers = 1;
    return config;
}

PRUNESID_PRIVATE_ size_t prunesid_own_budget_(
    const prunesid_batch *batch, const prunesid_region *region) {
    return region->budget > 0 ? region->budget : batch->config.budget;
}

PRUNESID_PRIVATE_ prunesid_status prunesid_find_demand_(
    const prunesid_batch *batch, const prunesid_region *region, prunesid_demand_ *demand) {
    const prunesid_input *x = &region->input;
    const int is_fixed = batch->sharing == PRUNESID_FIXED;
    const size_t reserved = batch->config.reserved;
    PRUNESID_TRY_(prunesid_check_tokens_(x));
    const size_t most = x->n_tokens + reserved;
    const size_t least = reserved + prunesid_max_(x->n_protected, 1);
    const size_t low = prunesid_max_(region->low, least);
    if (!is_fixed && low > region->high) return PRUNESID_ERROR_LIMITS;
    demand->low = prunesid_min_(low, most);
    demand->high = prunesid_min_(region->high, most);
    const size_t ceiling = prunesid_min_(demand->high, batch->config.budget);
    const prunesid_config config =
        prunesid_region_config_(batch, is_fixed ? prunesid_own_budget_(batch, region) : ceiling);
    PRUNESID_TRY_(prunesid_check_image_(&config, x));
    PRUNESID_TRY_(prunesid_check_scope_(&region->details));
    PRUNESID_TRY_(prunesid_workspace_size(&config, x->n_tokens, x->dim, &demand->bytes));
    demand->n_kept = prunesid_n_kept(&config, x->n_tokens);
    return PRUNESID_OK;
}

/* One call on a batch: its arrays [n_regions] lie in front of the workers' memory. */
typedef struct prunesid_run_ {
    const prunesid_batch *batch;
    int shares_regions;          /* every region over all workers, else each worker takes regions */
    size_t n_workers;            /* with memory of their own */
    size_t worker_bytes;         /* for the most demanding region */
    size_t worker_stride;        /* from worker to worker, >= worker_bytes */
    unsigned char *memory;       /* of worker 0 */
    size_t *low, *high, *budget; /* of each region */
    size_t *place;               /* where its indices begin */
    double *weight;              /* by which budgets are shared */
    uint8_t *was_run;            /* whether its task came back, in this pass */
    prunesid_information *information; /* of each region, in the first pass */
    int32_t *indices;                  /* of all, in the second */
} prunesid_run_;

/* Bytes of workspace, or a number above SIZE_MAX / 4. */
PRUNESID_PRIVATE_ size_t prunesid_lay_out_run_(prunesid_run_ *run, void *workspace) {
    const size_t n = run->batch->n_regions;
    prunesid_arena_ memory = prunesid_arena_init_(workspace), *arena = &memory;
    PRUNESID_TAKE_(run->low, size_t, n);
    PRUNESID_TAKE_(run->high, size_t, n);
    PRUNESID_TAKE_(run->budget, size_t, n);
    PRUNESID_TAKE_(run->place, size_t, n);
    PRUNESID_TAKE_(run->weight, double, n);
    PRUNESID_TAKE_(run->was_run, uint8_t, n);
    PRUNESID_TAKE_(run->information, prunesid_information, n);
    const size_t shared = memory.used;
    PRUNESID_TAKE_(run->memory, unsigned char, run->worker_bytes);
    run->worker_stride = memory.used - shared;
    const size_t others = prunesid_multiply_size_(run->n_workers - 1, run->worker_stride);
    return others > SIZE_MAX / 4 ? SIZE_MAX : memory.used + others;
}

/* Checks a batch, sums up what its regions need, and fills run but for the workspace. */
PRUNESID_PRIVATE_ prunesid_status prunesid_plan_run_(
    const prunesid_batch *batch, prunesid_run_ *run, prunesid_plan *plan) {
    const int is_fixed = batch->sharing == PRUNESID_FIXED;
    const size_t n = batch->n_regions, N = batch->config.budget;
    size_t n_kept = 0, floors = 0, ceilings = 0;
    memset(run, 0, sizeof *run);
    memset(plan, 0, sizeof *plan);
    plan->region = n;
    if (n == 0) return PRUNESID_ERROR_EMPTY;
    if (batch->regions == NULL) return PRUNESID_ERROR_NULL;
    if ((unsigned)batch->sharing > PRUNESID_BY_PHI) return PRUNESID_ERROR_SHARING;
    PRUNESID_TRY_(prunesid_check_threads_(&batch->config.threads));
    if (batch->config.reserved >= INT32_MAX) return PRUNESID_ERROR_RESERVED;
    const size_t least = batch->config.reserved + 1;
    const prunesid_config shared =
        prunesid_region_config_(batch, is_fixed ? least : prunesid_min_(N, INT32_MAX));
    PRUNESID_TRY_(prunesid_check_config_(&shared)); /* what is wrong here is no region's fault */
    for (size_t r = 0; r < n; r++) {
        prunesid_demand_ demand;
        plan->region = r;
        PRUNESID_TRY_(prunesid_find_demand_(batch, &batch->regions[r], &demand));
        run->worker_bytes = prunesid_max_(run->worker_bytes, demand.bytes);
        n_kept += demand.n_kept;
        floors += demand.low;
        ceilings += demand.high;
    }
    plan->region = n;
    if (!is_fixed && (double)N > PRUNESID_WHOLE_) return PRUNESID_ERROR_OVERFLOW;
    if (!is_fixed && floors > N) return PRUNESID_ERROR_TOTAL;
    run->batch = batch;
    /* With more workers than regions all of them share one after the other. */
    run->shares_regions = batch->config.threads.n_workers > n;
    run->n_workers = run->shares_regions ? 1 : batch->config.threads.n_workers;
    const size_t bytes = prunesid_lay_out_run_(run, NULL);
    if (bytes > SIZE_MAX / 4) return PRUNESID_ERROR_OVERFLOW;
    plan->workspace_bytes = bytes;
    plan->n_kept = is_fixed ? n_kept : prunesid_min_(ceilings, N) - n * batch->config.reserved;
    return PRUNESID_OK;
}

PRUNESID_PUBLIC_ prunesid_status prunesid_batch_plan(
    const prunesid_batch *batch, prunesid_plan *plan) {
    prunesid_run_ run;
    if (batch == NULL || plan == NULL) return PRUNESID_ERROR_NULL;
    return prunesid_plan_run_(batch, &run, plan);
}

PRUNESID_PRIVATE_ prunesid_status prunesid_open_run_(const prunesid_batch *batch, void *workspace,
    size_t workspace_bytes, prunesid_run_ *run, prunesid_plan *plan) {
    if (batch == NULL) return PRUNESID_ERROR_NULL;
    PRUNESID_TRY_(prunesid_plan_run_(batch, run, plan));
    PRUNESID_TRY_(prunesid_check_workspace_(plan->workspace_bytes, workspace, workspace_bytes));
    prunesid_lay_out_run_(run, workspace);
    return PRUNESID_OK;
}

/* A task of either pass is called with this; what it may not touch it leaves alone. */
PRUNESID_PRIVATE_ unsigned char *prunesid_begin_task_(
    const prunesid_run_ *run, size_t r, size_t worker) {
    if (r >= run->batch->n_regions || worker >= run->n_workers || run->was_run[r]) return NULL;
    run->was_run[r] = 1;
    return run->memory + worker * run->worker_stride;
}

PRUNESID_PRIVATE_ void prunesid_redundancy_task_(void *data, size_t r, size_t worker) {
    const prunesid_run_ *run = (const prunesid_run_ *)data;
    unsigned char *memory = prunesid_begin_task_(run, r, worker);
    if (memory == NULL) return;
    prunesid_region *region = &run->batch->regions[r];
    region->status =
        prunesid_redundancy(&region->input, memory, run->worker_bytes, &run->information[r]);
}

PRUNESID_PRIVATE_ void prunesid_select_task_(void *data, size_t r, size_t worker) {
    const prunesid_run_ *run = (const prunesid_run_ *)data;
    unsigned char *memory = prunesid_begin_task_(run, r, worker);
    if (memory == NULL) return;
    prunesid_region *region = &run->batch->regions[r];
    if (region->status != PRUNESID_OK) return; /* it failed in the first pass */
    const prunesid_config config = prunesid_region_config_(run->batch, run->budget[r]);
    const size_t n_kept = prunesid_n_kept(&config, region->input.n_tokens);
    int32_t *indices = run->indices + run->place[r];
    region->status = prunesid_select(
        &config, &region->input, memory, run->worker_bytes, indices, n_kept, &region->details);
    if (region->status != PRUNESID_OK) return;
    region->share = run->budget[r];
    region->indices = indices;
    region->n_kept = n_kept;
}

/* Runs a pass over the workers; a region that they leave out has failed. */
PRUNESID_PRIVATE_ void prunesid_run_pass_(
    prunesid_run_ *run, void (*task)(void *data, size_t r, size_t worker)) {
    const prunesid_batch *batch = run->batch;
    const size_t n = batch->n_regions;
    prunesid_threads threads = batch->config.threads;
    threads.n_workers = run->n_workers;
    memset(run->was_run, 0, n);
    prunesid_run_tasks_(&threads, task, run, n);
    for (size_t r = 0; r < n; r++)
        if (!run->was_run[r] && batch->regions[r].status == PRUNESID_OK)
            batch->regions[r].status = PRUNESID_ERROR_NOT_RUN;
}

PRUNESID_PRIVATE_ prunesid_status prunesid_first_failure_(const prunesid_batch *batch) {
    for (size_t r = 0; r < batch->n_regions; r++) PRUNESID_TRY_(batch->regions[r].status);
    return PRUNESID_OK;
}

/* run->budget: what each region gets. One that failed already keeps nothing. */
PRUNESID_PRIVATE_ prunesid_status prunesid_share_run_(const prunesid_run_ *run) {
    const prunesid_batch *batch = run->batch;
    const size_t n = batch->n_regions, reserved = batch->config.reserved;
    for (size_t r = 0; r < n; r++) {
        const prunesid_region *region = &batch->regions[r];
        const int is_by_size = batch->sharing == PRUNESID_BY_SIZE;
        prunesid_demand_ demand;
        PRUNESID_TRY_(prunesid_find_demand_(batch, region, &demand));
        const int has_failed = region->status != PRUNESID_OK;
        run->budget[r] = prunesid_own_budget_(batch, region);
        run->low[r] = has_failed ? reserved : demand.low;
        run->high[r] = has_failed ? reserved : demand.high;
        run->weight[r] = is_by_size   ? (double)region->input.n_tokens
                         : has_failed ? 0.0
                                      : run->information[r].phi;
    }
    if (batch->sharing == PRUNESID_FIXED) return PRUNESID_OK;
    return prunesid_share(run->weight, n, batch->config.budget, run->low, run->high, run->budget);
}

PRUNESID_PUBLIC_ prunesid_status prunesid_batch_select(const prunesid_batch *batch, void *workspace,
    size_t workspace_bytes, int32_t *indices, size_t capacity) {
    prunesid_run_ run;
    prunesid_plan plan;
    PRUNESID_TRY_(prunesid_open_run_(batch, workspace, workspace_bytes, &run, &plan));
    if (indices == NULL) return PRUNESID_ERROR_NULL;
    if (capacity < plan.n_kept) return PRUNESID_ERROR_CAPACITY;
    for (size_t r = 0; r < batch->n_regions; r++) {
        batch->regions[r].status = PRUNESID_OK;
        batch->regions[r].share = 0;
        batch->regions[r].indices = NULL;
        batch->regions[r].n_kept = 0;
    }
    memset(run.information, 0, batch->n_regions * sizeof *run.information);
    if (batch->sharing == PRUNESID_BY_PHI) prunesid_run_pass_(&run, prunesid_redundancy_task_);
    PRUNESID_TRY_(prunesid_share_run_(&run));
    for (size_t r = 0, place = 0; r < batch->n_regions; r++) {
        const prunesid_config config = prunesid_region_config_(batch, run.budget[r]);
        run.place[r] = place;
        place += prunesid_n_kept(&config, batch->regions[r].input.n_tokens);
    }
    run.indices = indices;
    prunesid_run_pass_(&run, prunesid_select_task_);
    return prunesid_first_failure_(batch);
}

PRUNESID_PUBLIC_ prunesid_status prunesid_batch_redundancy(const prunesid_batch *batch,
    void *workspace, size_t workspace_bytes, prunesid_information *information) {
    prunesid_run_ run;
    prunesid_plan plan;
    PRUNESID_TRY_(prunesid_open_run_(batch, workspace, workspace_bytes, &run, &plan));
    if (information == NULL) return PRUNESID_ERROR_NULL;
    for (size_t r = 0; r < batch->n_regions; r++) batch->regions[r].status = PRUNESID_OK;
    run.information = information;
    prunesid_run_pass_(&run, prunesid_redundancy_task_);
    return prunesid_first_failure_(batch);
}

/* ---- >>merge: the rows that stay, and what they take with them ------------------------------- */

PRUNESID_PUBLIC_ prunesid_status prunesid_gather(const void *rows, size_t n_rows, size_t row_bytes,
    size_t row_stride_bytes, const int32_t *indices, size_t n_indices, void *out,
    size_t out_stride_bytes) {
    const unsigned char *from = (const unsigned char *)rows;
    unsigned char *to = (unsigned char *)out;
    if (rows == NULL || out == NULL || (indices == NULL && n_indices > 0))
        return PRUNESID_ERROR_NULL;
    if (row_stride_bytes < row_bytes || out_stride_bytes < row_bytes) return PRUNESID_ERROR_STRIDE;
    if (rows == out && row_stride_bytes != out_stride_bytes) return PRUNESID_ERROR_STRIDE;
    if (prunesid_multiply_size_(n_rows, row_stride_bytes) > SIZE_MAX / 2 ||
        prunesid_multiply_size_(n_indices, out_stride_bytes) > SIZE_MAX / 2)
        return PRUNESID_ERROR_OVERFLOW;
    for (size_t j = 0; j < n_indices; j++) {
        if (indices[j] < 0 || (size_t)indices[j] >= n_rows) return PRUNESID_ERROR_INDEX;
        if (rows == out && j > 0 && indices[j] <= indices[j - 1]) return PRUNESID_ERROR_INDEX;
    }
    for (size_t j = 0; j < n_indices; j++)
        memmove(to + j * out_stride_bytes, from + (size_t)indices[j] * row_stride_bytes, row_bytes);
    return PRUNESID_OK;
}

/* x as a 16-bit number with so many bits of fraction and that bias of the exponent: the nearest,
 * the even one of two. By integers, which -ffast-math and flushed subnormals leave alone. */
PRUNESID_PRIVATE_ uint16_t prunesid_round16_(double x, int n_fraction, int bias) {
    const uint32_t infinity = 0x7fffu >> n_fraction << n_fraction;
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t sign = (uint32_t)(bits >> 48) & 0x8000u;
    const uint64_t fraction = bits & 0xfffffffffffffu;
    if (!prunesid_is_finite64_(x))
        return (uint16_t)(sign | infinity | (fraction != 0 ? 1u << (n_fraction - 1) : 0u));
    const int exponent = (int)(bits >> 52 & 0x7ffu) - 1023 + bias;
    const int shift = 52 - n_fraction + (exponent < 1 ? 1 - exponent : 0);
    if (shift > 53) return (uint16_t)sign; /* below half of the smallest */
    const uint64_t whole = fraction | (uint64_t)1 << 52, half = (uint64_t)1 << (shift - 1);
    const uint64_t rest = whole & (2 * half - 1);
    uint64_t rounded = whole >> shift; /* 2^n_fraction counts as one more exponent */
    rounded += rest > half || (rest == half && rounded % 2 == 1) ? 1 : 0;
    rounded += (uint64_t)(exponent > 1 ? exponent - 1 : 0) << n_fraction;
    return (uint16_t)(sign | (rounded < infinity ? (uint32_t)rounded : infinity));
}

PRUNESID_PRIVATE_ void prunesid_store_(
    prunesid_dtype dtype, const double *from, size_t n, unsigned char *to) {
    for (size_t j = 0; j < n; j++) {
        if (dtype == PRUNESID_F32) {
            const float single = (float)from[j];
            memcpy(to + j * sizeof single, &single, sizeof single);
        } else {
            const int is_f16 = dtype == PRUNESID_F16;
            const uint16_t half = prunesid_round16_(from[j], is_f16 ? 10 : 7, is_f16 ? 15 : 127);
            memcpy(to + j * sizeof half, &half, sizeof half);
        }
    }
}

/* to = ((1 - a) count row i + a times the sum of the rows that it represents) / count. Of 16-bit
 * rows and a = 1/2 all but the division is exact, so that halfway stays halfway. */
PRUNESID_PRIVATE_ void prunesid_merge_row_(const prunesid_input *rows,
    const int32_t *representative, size_t i, size_t count, double weight, unsigned char *to) {
    const prunesid_kernels_ *kernels = prunesid_kernels_of_processor_();
    const double n_rows = (double)count, own = (1.0 - weight) * n_rows + weight;
    float buffer[PRUNESID_PIECE_];
    double sum[PRUNESID_PIECE_];
    for (size_t at = 0, n; at < rows->dim; at += n) {
        n = prunesid_min_(rows->dim - at, PRUNESID_PIECE_);
        memset(sum, 0, n * sizeof *sum);
        for (size_t t = 0, left = count - 1; left > 0; t++) {
            if (representative[t] != representative[i] || t == i) continue;
            kernels->add(prunesid_float_row_(kernels, rows, t, at, n, buffer), n, sum);
            left--;
        }
        const float *x = prunesid_float_row_(kernels, rows, i, at, n, buffer);
        for (size_t j = 0; j < n; j++) sum[j] = (own * (double)x[j] + weight * sum[j]) / n_rows;
        prunesid_store_(rows->dtype, sum, n, to + at * prunesid_item_bytes_(rows->dtype));
    }
}

/* Whether each of the n tokens has one of the indices, and each of these itself. */
PRUNESID_PRIVATE_ int prunesid_are_represented_(
    const int32_t *representative, size_t n, size_t first, const int32_t *indices, size_t n_kept) {
    size_t n_own = 0;
    for (size_t i = 0; i < n; i++) {
        const int32_t who = representative[i];
        if (who < 0 || (size_t)who < first || (size_t)who - first >= n) return 0;
        if (representative[(size_t)who - first] != who) return 0;
        n_own += (size_t)who - first == i ? 1 : 0;
    }
    for (size_t j = 0; j < n_kept; j++)
        if (representative[(size_t)indices[j] - first] != indices[j]) return 0;
    return n_own == n_kept;
}

PRUNESID_PUBLIC_ prunesid_status prunesid_merge(const prunesid_input *rows, const int32_t *indices,
    size_t n_kept, const int32_t *representative, double weight, void *out, size_t ld_out) {
    if (rows == NULL || representative == NULL || (indices == NULL && n_kept > 0))
        return PRUNESID_ERROR_NULL;
    PRUNESID_TRY_(prunesid_check_tokens_(rows));
    const size_t T = rows->n_tokens, item = prunesid_item_bytes_(rows->dtype);
    const int is_in_place = out == rows->tokens;
    PRUNESID_TRY_(prunesid_check_data_(out, item));
    if (ld_out < rows->dim || (is_in_place && ld_out != rows->ld)) return PRUNESID_ERROR_STRIDE;
    const size_t stride = prunesid_multiply_size_(ld_out, item);
    if (prunesid_multiply_size_(n_kept, stride) > SIZE_MAX / 2) return PRUNESID_ERROR_OVERFLOW;
    if (!prunesid_is_finite64_(weight) || weight < 0.0 || weight > 1.0)
        return PRUNESID_ERROR_WEIGHT;
    if (!prunesid_ascends_(indices, n_kept, rows->first, rows->first + T))
        return PRUNESID_ERROR_INDEX;
    if (!prunesid_are_represented_(representative, T, rows->first, indices, n_kept))
        return PRUNESID_ERROR_REPRESENTATIVE;
    /* In place each is merged where it stands: the rows that others need are not kept ones. */
    for (size_t j = 0; j < n_kept; j++) {
        const size_t i = (size_t)indices[j] - rows->first;
        const unsigned char *from = (const unsigned char *)rows->tokens + i * rows->ld * item;
        unsigned char *to = (unsigned char *)out + (is_in_place ? i : j) * stride;
        size_t count = 0;
        for (size_t t = 0; t < T; t++) count += representative[t] == indices[j] ? 1 : 0;
        if (count > 1 && weight > 0.0)
            prunesid_merge_row_(rows, representative, i, count, weight, to);
        else
            memmove(to, from, rows->dim * item);
    }
    for (size_t j = 0; j < n_kept && is_in_place; j++)
        memmove((unsigned char *)out + j * stride,
            (const unsigned char *)out + ((size_t)indices[j] - rows->first) * stride,
            rows->dim * item);
    return PRUNESID_OK;
}

/* ---- >>prompt: the prompt and the positions that stay ---------------------------------------- */

PRUNESID_PRIVATE_ size_t prunesid_span_end_(const prunesid_span *span) {
    return span->first + span->n_tokens;
}

PRUNESID_PRIVATE_ prunesid_status prunesid_check_prompt_(const prunesid_prompt *prompt) {
    const size_t n = prompt->n_tokens;
    size_t end = 0;
    if (prompt->spans == NULL && prompt->n_spans > 0) return PRUNESID_ERROR_NULL;
    if (n > INT32_MAX) return PRUNESID_ERROR_DIMENSION;
    for (size_t s = 0; s < prompt->n_spans; s++) {
        const prunesid_span *span = &prompt->spans[s];
        if (span->n_tokens == 0 || span->first < end || span->first > n ||
            span->n_tokens > n - span->first)
            return PRUNESID_ERROR_SPAN;
        end = prunesid_span_end_(span);
    }
    return PRUNESID_OK;
}

PRUNESID_PUBLIC_ prunesid_status prunesid_prompt_rows(
    prunesid_prompt *prompt, const int32_t *kept, size_t n_kept) {
    size_t n_visual = 0;
    if (prompt == NULL) return PRUNESID_ERROR_NULL;
    PRUNESID_TRY_(prunesid_check_prompt_(prompt));
    if (prompt->rows == NULL || (kept == NULL && n_kept > 0)) return PRUNESID_ERROR_NULL;
    for (size_t s = 0; s < prompt->n_spans; s++) n_visual += prompt->spans[s].n_tokens;
    if (!prunesid_ascends_(kept, n_kept, 0, n_visual)) return PRUNESID_ERROR_INDEX;
    size_t n = 0, row = 0, visual = 0, j = 0;
    for (size_t s = 0; s < prompt->n_spans; s++) {
        const prunesid_span *span = &prompt->spans[s];
        while (row < span->first) prompt->rows[n++] = (int32_t)row++;
        for (; row < prunesid_span_end_(span); row++, visual++) {
            if (j == n_kept || (size_t)kept[j] != visual) continue;
            prompt->rows[n++] = (int32_t)row;
            j++;
        }
    }
    while (row < prompt->n_tokens) prompt->rows[n++] = (int32_t)row++;
    prompt->n_rows = n;
    return PRUNESID_OK;
}

/* The sections of a layout: those of the grid are [grid, grid_end), what stands before them is the
 * text's, what stands behind them a tag. */
typedef struct prunesid_sections_ {
    size_t n, grid, grid_end;
} prunesid_sections_;

PRUNESID_PRIVATE_ prunesid_sections_ prunesid_layout_sections_(prunesid_layout layout) {
    static const prunesid_sections_ of[] = {{1, 0, 1}, {3, 0, 3}, {4, 0, 3}, {4, 1, 4}};
    return of[layout];
}

PRUNESID_PRIVATE_ int64_t prunesid_get_id_(
    const prunesid_position_ids *ids, size_t section, size_t i) {
    const size_t at = section * ids->section_stride + i * ids->token_stride;
    return ids->id_bytes == 8 ? ((const int64_t *)ids->ids)[at] : ((const int32_t *)ids->ids)[at];
}

PRUNESID_PRIVATE_ void prunesid_set_id_(
    const prunesid_position_ids *ids, size_t section, size_t i, int64_t id) {
    const size_t at = section * ids->section_stride + i * ids->token_stride;
    if (ids->id_bytes == 8)
        ((int64_t *)ids->ids)[at] = id;
    else
        ((int32_t *)ids->ids)[at] = (int32_t)id;
}

PRUNESID_PRIVATE_ prunesid_status prunesid_check_ids_(
    const prunesid_position_ids *ids, size_t n_tokens) {
    if ((unsigned)ids->layout > PRUNESID_LAYOUT_TEXT_MROPE) return PRUNESID_ERROR_LAYOUT;
    if (ids->id_bytes != 4 && ids->id_bytes != 8) return PRUNESID_ERROR_LAYOUT;
    const size_t section_steps = prunesid_layout_sections_(ids->layout).n - 1;
    const size_t token_steps = prunesid_max_(n_tokens, 1) - 1;
    const size_t across = prunesid_multiply_size_(section_steps, ids->section_stride);
    const size_t along = prunesid_multiply_size_(token_steps, ids->token_stride);
    if (across > SIZE_MAX / 64 || along > SIZE_MAX / 64) return PRUNESID_ERROR_OVERFLOW;
    if (ids->token_stride == 0 || ids->section_stride == 0) return PRUNESID_ERROR_STRIDE;
    const int are_apart =
        section_steps == 0 || ids->section_stride > along || ids->token_stride > across;
    if (!are_apart) return PRUNESID_ERROR_STRIDE;
    return prunesid_check_data_(ids->ids, ids->id_bytes);
}

/* One walk over the prompt: where every id goes, written if asked to. Behind the largest id so far,
 * as it was (before) and as it is now (after), what follows goes on; at the end of a span COMPACT
 * moves it down by the difference. */
PRUNESID_PRIVATE_ prunesid_status prunesid_move_ids_(prunesid_position_policy policy,
    const prunesid_prompt *prompt, const prunesid_position_ids *ids, int writes, int64_t *next) {
    const prunesid_sections_ sections = prunesid_layout_sections_(ids->layout);
    const int is_compact = policy == PRUNESID_POSITIONS_COMPACT;
    const int renumbers = policy == PRUNESID_POSITIONS_RENUMBER;
    const size_t n = prompt->n_tokens;
    int64_t first[4] = {0, 0, 0, 0};
    for (size_t k = 0; k < sections.n && n > 0; k++) first[k] = prunesid_get_id_(ids, k, 0);
    int64_t before = first[sections.grid], after = before;
    int has_kept = 0; /* a row whose ids after lies behind; not before: where the prompt begins */
    int64_t down = 0, fence = 0; /* how far what follows moves; where it must not be in front of */
    for (size_t i = 0, j = 0, s = 0; i < n; i++) {
        const int stays = j < prompt->n_rows && (size_t)prompt->rows[j] == i;
        for (size_t k = 0; k < sections.grid_end; k++) {
            const int64_t id = prunesid_get_id_(ids, k, i);
            const int is_grid = k >= sections.grid;
            if (id < 0 || id >> 62 != 0) return PRUNESID_ERROR_POSITIONS;
            if (is_grid && is_compact && id < fence) return PRUNESID_ERROR_POSITIONS;
            if (is_grid && id >= before) before = id + 1;
            if (!stays) continue;
            const int64_t moved = renumbers || !is_grid ? first[k] + (int64_t)j : id - down;
            if (ids->id_bytes == 4 && moved > INT32_MAX) return PRUNESID_ERROR_POSITIONS;
            if (is_grid && (moved >= after || !has_kept)) after = moved + 1;
            has_kept |= is_grid;
            if (writes) prunesid_set_id_(ids, k, j, moved);
        }
        for (size_t k = sections.grid_end; k < sections.n && stays && writes; k++)
            prunesid_set_id_(ids, k, j, prunesid_get_id_(ids, k, i));
        j += stays ? 1 : 0;
        if (s < prompt->n_spans && i + 1 == prunesid_span_end_(&prompt->spans[s])) {
            down = is_compact ? before - after : 0;
            fence = before;
            s++;
        }
    }
    *next = policy == PRUNESID_POSITIONS_KEEP ? before : after;
    return PRUNESID_OK;
}

PRUNESID_PUBLIC_ prunesid_status prunesid_positions(prunesid_position_policy policy,
    const prunesid_prompt *prompt, const prunesid_position_ids *ids, int64_t *next) {
    int64_t unused;
    if (prompt == NULL || ids == NULL || next == NULL) return PRUNESID_ERROR_NULL;
    if ((unsigned)policy > PRUNESID_POSITIONS_RENUMBER) return PRUNESID_ERROR_POLICY;
    PRUNESID_TRY_(prunesid_check_prompt_(prompt));
    PRUNESID_TRY_(prunesid_check_ids_(ids, prompt->n_tokens));
    if (prompt->rows == NULL && prompt->n_rows > 0) return PRUNESID_ERROR_NULL;
    if (!prunesid_ascends_(prompt->rows, prompt->n_rows, 0, prompt->n_tokens))
        return PRUNESID_ERROR_INDEX;
    /* Once to refuse, before anything is written. */
    PRUNESID_TRY_(prunesid_move_ids_(policy, prompt, ids, 0, &unused));
    return prunesid_move_ids_(policy, prompt, ids, 1, next);
}

/* ---- >>kernels ---------------------------------------------------------------------------- */

/* First one body each for the loops over a row: compilers vectorise them for every instruction set
 * by themselves. Then the products, which they do not: a tile of each is written out for every set,
 * in a block of its own. It ends with a function that returns that set's kernels, or those of the
 * next best set if the processor lacks it. A new set is one more such block, in front of the
 * function that takes the best, which then begins with it. In front of each kernel stands what it
 * computes as a scalar loop. */
#ifdef __GNUC__
#define PRUNESID_INLINE_ static inline __attribute__((always_inline))
#else
#define PRUNESID_INLINE_ static inline
#endif

/* Exact for every binary16, subnormal ones by an integer: a processor may flush binary32's. */
PRUNESID_INLINE_ float prunesid_from_f16_(uint16_t half) {
    const uint32_t sign = ((uint32_t)half & 0x8000u) << 16;
    const uint32_t rest = (uint32_t)half & 0x7fffu;
    float x = (float)(int32_t)rest * 5.9604644775390625e-8f; /* 2^-24 */
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t normal = 0u - (rest >= 0x0400u), special = 0u - (rest >= 0x7c00u);
    const uint32_t shifted = (rest << 13) + 0x38000000u + (special & 0x38000000u);
    bits = sign | (bits & ~normal) | (shifted & normal); /* branches would not vectorise */
    memcpy(&x, &bits, sizeof x);
    return x;
}

PRUNESID_INLINE_ float prunesid_from_bf16_(uint16_t upper) {
    const uint32_t bits = (uint32_t)upper << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* for j < n: out[j] = (float)from[j], halves of dtype F16 or BF16. They are read as bytes, since
 * the caller's type for them may be one of its own. */
PRUNESID_INLINE_ void prunesid_widen_(
    prunesid_dtype dtype, const unsigned char *from, size_t n, float *out) {
    uint16_t half[PRUNESID_LANES_] = {0};
    float lane[PRUNESID_LANES_];
    size_t j = 0;
    for (; j + PRUNESID_LANES_ <= n; j += PRUNESID_LANES_) {
        memcpy(half, from + j * sizeof *half, sizeof half);
        if (dtype == PRUNESID_F16)
            for (size_t l = 0; l < PRUNESID_LANES_; l++) lane[l] = prunesid_from_f16_(half[l]);
        else
            for (size_t l = 0; l < PRUNESID_LANES_; l++) lane[l] = prunesid_from_bf16_(half[l]);
        memcpy(out + j, lane, sizeof lane);
    }
    for (; j < n; j++) {
        memcpy(half, from + j * sizeof *half, sizeof *half);
        out[j] = dtype == PRUNESID_F16 ? prunesid_from_f16_(*half) : prunesid_from_bf16_(*half);
    }
}

/* 1 / (1 + e^-x) within 2^-23; 2^t = 2^n 2^f by a minimax polynomial. Clamping and rounding by
 * integers survive -ffast-math, and vectorise with SSE2 under plain -O2. */
PRUNESID_INLINE_ float prunesid_sigmoid_(float x) {
    float t = x * -1.44269504f, scale;
    uint32_t bits;
    memcpy(&bits, &t, sizeof bits);
    int32_t magnitude = (int32_t)(bits & 0x7fffffffu);
    magnitude = magnitude < 0x42fc0000 ? magnitude : 0x42fc0000; /* |t| <= 126 */
    bits = (bits & 0x80000000u) | (uint32_t)magnitude;
    memcpy(&t, &bits, sizeof t);
    const int32_t n = (int32_t)(t + 192.5f) - 192;
    const float f = t - (float)n;
    bits = (uint32_t)(n + 127) << 23;
    memcpy(&scale, &bits, sizeof scale);
    float p = (1.53458118e-4f * f + 1.339993122e-3f) * f + 9.618488958e-3f;
    p = ((p * f + 5.550328777e-2f) * f + 0.240226469f) * f + 0.693147206f;
    p = p * f + 1.0f;
    return 1.0f / (1.0f + p * scale);
}

/* for j < n: out[j] = sigmoid(x[j]), sums[j] += out[j]. The lanes are an array of their own, since
 * out and x could overlap for all that the compiler knows. */
PRUNESID_INLINE_ void prunesid_sigmoid_sum_(const float *x, size_t n, float *out, double *sums) {
    float lane[PRUNESID_LANES_];
    size_t j = 0;
    for (; j + PRUNESID_LANES_ <= n; j += PRUNESID_LANES_) {
        for (size_t l = 0; l < PRUNESID_LANES_; l++) lane[l] = prunesid_sigmoid_(x[j + l]);
        for (size_t l = 0; l < PRUNESID_LANES_; l++) sums[j + l] += (double)lane[l];
        memcpy(out + j, lane, sizeof lane);
    }
    for (; j < n; j++) {
        out[j] = prunesid_sigmoid_(x[j]);
        sums[j] += (double)out[j];
    }
}

/* for j < n: out[j] = sigmoid(x[j]);  mean = sum of out / n;  for j < n: out[j] -= mean. */
PRUNESID_INLINE_ void prunesid_sigmoid_centred_(const float *x, size_t n, float *out) {
    double sum[PRUNESID_LANES_] = {0};
    float lane[PRUNESID_LANES_];
    size_t j = 0;
    for (; j + PRUNESID_LANES_ <= n; j += PRUNESID_LANES_) {
        for (size_t l = 0; l < PRUNESID_LANES_; l++) lane[l] = prunesid_sigmoid_(x[j + l]);
        for (size_t l = 0; l < PRUNESID_LANES_; l++) sum[l] += (double)lane[l];
        memcpy(out + j, lane, sizeof lane);
    }
    for (; j < n; j++) {
        out[j] = prunesid_sigmoid_(x[j]);
        sum[0] += (double)out[j];
    }
    for (size_t l = 1; l < PRUNESID_LANES_; l++) sum[0] += sum[l];
    const float mean = (float)(sum[0] / (double)n);
    for (j = 0; j + PRUNESID_LANES_ <= n; j += PRUNESID_LANES_)
        for (size_t l = 0; l < PRUNESID_LANES_; l++) out[j + l] -= mean;
    for (; j < n; j++) out[j] -= mean;
}

/* 1 / (1 + e^-x) in float64; the clamp keeps exp from touching errno. */
PRUNESID_PRIVATE_ double prunesid_sigmoid64_(double x) {
    x = x < -700.0 ? -700.0 : x;
    x = x > 700.0 ? 700.0 : x;
    return 1.0 / (1.0 + exp(-x));
}

/* for j < n: sum += x[j] y[j], in float64: neither 1e30 nor 1e-38 squared leaves its range. */
PRUNESID_INLINE_ double prunesid_dot64_(const float *x, const float *y, size_t n) {
    double lane[PRUNESID_LANES_] = {0};
    double sum = 0.0;
    size_t j = 0;
    for (; j + PRUNESID_LANES_ <= n; j += PRUNESID_LANES_)
        for (size_t l = 0; l < PRUNESID_LANES_; l++) lane[l] += (double)x[j + l] * (double)y[j + l];
    for (; j < n; j++) sum += (double)x[j] * (double)y[j];
    for (size_t l = 0; l < PRUNESID_LANES_; l++) sum += lane[l];
    return sum;
}

/* for j < n: out[j] = x[j] factor. */
PRUNESID_INLINE_ void prunesid_scale_(const float *x, size_t n, double factor, float *out) {
    float lane[PRUNESID_LANES_];
    size_t j = 0;
    for (; j + PRUNESID_LANES_ <= n; j += PRUNESID_LANES_) {
        for (size_t l = 0; l < PRUNESID_LANES_; l++) lane[l] = (float)((double)x[j + l] * factor);
        memcpy(out + j, lane, sizeof lane);
    }
    for (; j < n; j++) out[j] = (float)((double)x[j] * factor);
}

/* for j < n: sums[j] += x[j]. */
PRUNESID_INLINE_ void prunesid_add_(const float *x, size_t n, double *sums) {
    size_t j = 0;
    for (; j + PRUNESID_LANES_ <= n; j += PRUNESID_LANES_)
        for (size_t l = 0; l < PRUNESID_LANES_; l++) sums[j + l] += (double)x[j + l];
    for (; j < n; j++) sums[j] += (double)x[j];
}

/* sigmoid(x) within 4 u64: 1 / (1 + 2^n e^r) with |r| <= ln 2 / 2, e^r by Taylor's sum up to r^13.
 * Adding 1.5 2^52 rounds to a whole number, which the bits then hold; it comes back by way of
 * another such sum, since -ffast-math would cancel the same one. Every lane has 64 bits, so that
 * all of it vectorises. */
PRUNESID_INLINE_ double prunesid_fast_sigmoid64_(float x) {
    uint32_t sign, size;
    memcpy(&size, &x, sizeof size);
    sign = size & 0x80000000u;
    size &= 0x7fffffffu;
    size = (int32_t)size < 0x442f0000 ? size : 0x442f0000u; /* |x| <= 700 */
    size |= sign;
    memcpy(&x, &size, sizeof x);
    const double t = -(double)x;
    double whole = t * 1.4426950408889634 + 6755399441055744.0, scale;
    uint64_t bits;
    memcpy(&bits, &whole, sizeof bits);
    const uint64_t moved = bits - 0x4338000000000000u + 0x4330000000000800u; /* 2^52 + 2048 + n */
    memcpy(&whole, &moved, sizeof whole);
    whole -= 4503599627372544.0;
    bits = (bits + 1023u) << 52;
    memcpy(&scale, &bits, sizeof scale);
    const double r = (t - whole * 6.93147180369123816490e-01) - whole * 1.90821492927058770002e-10;
    double p = r * (1.0 / 6227020800.0) + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    return 1.0 / (1.0 + p * scale);
}

/* for j < n: out[j] = sigmoid(x[j]) in float64, less mean[j], or less their own mean if that is
 * NULL. */
PRUNESID_INLINE_ void prunesid_sigmoid64_row_(
    const float *x, size_t n, const double *mean, double *out) {
    double sum[PRUNESID_LANES_] = {0};
    double lane[PRUNESID_LANES_];
    size_t j = 0;
    for (; j + PRUNESID_LANES_ <= n; j += PRUNESID_LANES_) {
        for (size_t l = 0; l < PRUNESID_LANES_; l++) lane[l] = prunesid_fast_sigmoid64_(x[j + l]);
        for (size_t l = 0; l < PRUNESID_LANES_; l++) sum[l] += lane[l];
        memcpy(out + j, lane, sizeof lane);
    }
    for (; j < n; j++) {
        out[j] = prunesid_fast_sigmoid64_(x[j]);
        sum[0] += out[j];
    }
    for (size_t l = 1; l < PRUNESID_LANES_; l++) sum[0] += sum[l];
    const double own = sum[0] / (double)n;
    if (mean != NULL)
        for (j = 0; j < n; j++) out[j] -= mean[j];
    else
        for (j = 0; j < n; j++) out[j] -= own;
}

/* for j < n: out[j] = x[j] */
PRUNESID_INLINE_ void prunesid_widen64_(const float *x, size_t n, double *out) {
    double lane[PRUNESID_LANES_];
    size_t j = 0;
    for (; j + PRUNESID_LANES_ <= n; j += PRUNESID_LANES_) {
        for (size_t l = 0; l < PRUNESID_LANES_; l++) lane[l] = (double)x[j + l];
        memcpy(out + j, lane, sizeof lane);
    }
    for (; j < n; j++) out[j] = (double)x[j];
}

/* Four rows of a [n <= 4, d]: y[i] = a_i . w;  for j < d: z[j] += sum over i of y[i] a_ij. */
PRUNESID_INLINE_ void prunesid_pass64_rows_(
    const double *a, size_t n, size_t d, const double *w, double *y, double *z) {
    double sum[4][8] = {{0}};
    double own[4] = {0};
    const double *row[4];
    size_t j = 0;
    for (size_t i = 0; i < 4; i++) row[i] = a + prunesid_min_(i, n - 1) * d;
    for (; j + 8 <= d; j += 8)
        for (size_t l = 0; l < 8; l++) {
            sum[0][l] += row[0][j + l] * w[j + l];
            sum[1][l] += row[1][j + l] * w[j + l];
            sum[2][l] += row[2][j + l] * w[j + l];
            sum[3][l] += row[3][j + l] * w[j + l];
        }
    for (size_t i = 0; i < n; i++) {
        for (size_t l = 0; l < 8; l++) own[i] += sum[i][l];
        for (size_t p = j; p < d; p++) own[i] += row[i][p] * w[p];
        y[i] = own[i];
    }
    for (j = 0; j < d; j++)
        z[j] += own[0] * row[0][j] + own[1] * row[1][j] + own[2] * row[2][j] + own[3] * row[3][j];
}

/* for j < n: sums[j] += x[j] / |x|. Returns 1 / |x|, 0 for a zero row, -1 for one that is not
 * finite: the squares' sum in float64 is finite exactly if every element is. */
PRUNESID_INLINE_ double prunesid_unit_(const float *x, size_t n, double *sums) {
    const double square = prunesid_dot64_(x, x, n);
    const double inverse = square > 0.0 ? 1.0 / sqrt(square) : 0.0;
    size_t j = 0;
    if (!prunesid_is_finite64_(square)) return -1.0;
    for (; j + PRUNESID_LANES_ <= n; j += PRUNESID_LANES_)
        for (size_t l = 0; l < PRUNESID_LANES_; l++) sums[j + l] += (double)x[j + l] * inverse;
    for (; j < n; j++) sums[j] += (double)x[j] * inverse;
    return inverse;
}

/* for j < n: sum += x[j] y[j], in float32: within (n + 8) u |x| |y|. */
PRUNESID_INLINE_ float prunesid_dot_(const float *x, const float *y, size_t n) {
    float lane[2 * PRUNESID_LANES_] = {0};
    float sum = 0.0f;
    size_t j = 0;
    for (; j + 2 * PRUNESID_LANES_ <= n; j += 2 * PRUNESID_LANES_)
        for (size_t l = 0; l < 2 * PRUNESID_LANES_; l++) lane[l] += x[j + l] * y[j + l];
    for (; j < n; j++) sum += x[j] * y[j];
    for (size_t l = 0; l < 2 * PRUNESID_LANES_; l++) sum += lane[l];
    return sum;
}

/* Products of BLAS, row-major: C [m, n] = op(A) op(B), or += where add is set, in boxes of
 * m n k <= 2^18. OpenBLAS starts no threads for these, so that the bits depend on the operands
 * alone; it costs the same, within 5 %. */
typedef struct prunesid_box_ {
    size_t i, j, p; /* where it begins in m, n and k */
    size_t m, n, k; /* how far it reaches */
} prunesid_box_;

/* The box of that number; those of one place in C follow one another. 0 behind the last. */
PRUNESID_PRIVATE_ int prunesid_box_at_(
    size_t number, size_t m, size_t n, size_t k, prunesid_box_ *box) {
    if (m == 0 || n == 0 || k == 0) return 0;
    const size_t rows = prunesid_min_(m, 64), columns = prunesid_min_(n, 64);
    const size_t depth = prunesid_min_(k, ((size_t)1 << 18) / (rows * columns));
    const size_t along_k = (k - 1) / depth + 1, along_n = (n - 1) / columns + 1;
    box->p = number % along_k * depth;
    box->j = number / along_k % along_n * columns;
    box->i = number / along_k / along_n * rows;
    if (box->i >= m) return 0;
    box->m = prunesid_min_(m - box->i, rows);
    box->n = prunesid_min_(n - box->j, columns);
    box->k = prunesid_min_(k - box->p, depth);
    return 1;
}

PRUNESID_PRIVATE_ void prunesid_sgemm_(int transpose_a, int transpose_b, size_t m, size_t n,
    size_t k, const float *a, size_t lda, const float *b, size_t ldb, int add, float *c,
    size_t ldc) {
    prunesid_box_ at;
    for (size_t number = 0; prunesid_box_at_(number, m, n, k, &at); number++)
        cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans,
            transpose_b ? CblasTrans : CblasNoTrans, (int)at.m, (int)at.n, (int)at.k, 1.0f,
            a + (transpose_a ? at.p * lda + at.i : at.i * lda + at.p), (int)lda,
            b + (transpose_b ? at.j * ldb + at.p : at.p * ldb + at.j), (int)ldb,
            add || at.p > 0 ? 1.0f : 0.0f, c + at.i * ldc + at.j, (int)ldc);
}

PRUNESID_PRIVATE_ void prunesid_dgemm_(int transpose_a, int transpose_b, size_t m, size_t n,
    size_t k, const double *a, size_t lda, const double *b, size_t ldb, int add, double *c,
    size_t ldc) {
    prunesid_box_ at;
    for (size_t number = 0; prunesid_box_at_(number, m, n, k, &at); number++)
        cblas_dgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans,
            transpose_b ? CblasTrans : CblasNoTrans, (int)at.m, (int)at.n, (int)at.k, 1.0,
            a + (transpose_a ? at.p * lda + at.i : at.i * lda + at.p), (int)lda,
            b + (transpose_b ? at.j * ldb + at.p : at.p * ldb + at.j), (int)ldb,
            add || at.p > 0 ? 1.0 : 0.0, c + at.i * ldc + at.j, (int)ldc);
}

/* Our own products are for few rows m, where BLAS would take longer to pack Y than to multiply by
 * it. Both are within (k + 8) u |x| |y|.
 * ROWS rows of Y at a time meet all of X, tile after tile. */

/* out [m, n] = X [m, k] Y [n, k]^T, k a multiple of 16. */
PRUNESID_PRIVATE_ void prunesid_rows_by_rows_(const prunesid_kernels_ *kernels, size_t m, size_t n,
    size_t k, const float *x, size_t ldx, const float *y, size_t ldy, int is_far, float *out,
    size_t ldo) {
    if (kernels->rows == 0) {
        prunesid_sgemm_(0, 1, m, n, k, x, ldx, y, ldy, 0, out, ldo);
        return;
    }
    for (size_t at = 0; at < n; at += PRUNESID_ROWS_)
        for (size_t i = 0; i < m; i += kernels->rows)
            for (size_t j = at; j < prunesid_min_(n, at + PRUNESID_ROWS_); j += kernels->y_rows)
                (is_far ? kernels->rows_by_far_rows : kernels->rows_by_rows)(
                    m - i, n - j, k, x + i * ldx, ldx, y + j * ldy, ldy, out + i * ldo + j, ldo);
}

/* out [m, n] = X [m, k] Y [k, n], or += where add is set, n a multiple of 16. */
PRUNESID_PRIVATE_ void prunesid_rows_by_columns_(const prunesid_kernels_ *kernels, size_t m,
    size_t n, size_t k, const float *x, size_t ldx, const float *y, size_t ldy, int add, float *out,
    size_t ldo) {
    if (kernels->rows == 0) {
        prunesid_sgemm_(0, 0, m, n, k, x, ldx, y, ldy, add, out, ldo);
        return;
    }
    for (size_t p = 0; p < k; p += PRUNESID_ROWS_)
        for (size_t i = 0; i < m; i += kernels->rows)
            for (size_t j = 0; j < n; j += kernels->columns)
                kernels->rows_by_columns(m - i, n - j, prunesid_min_(k - p, PRUNESID_ROWS_),
                    x + i * ldx + p, ldx, y + p * ldy + j, ldy, add || p > 0, out + i * ldo + j,
                    ldo);
}

PRUNESID_PRIVATE_ const prunesid_kernels_ *prunesid_kernels_portable_(void) {
    static const prunesid_kernels_ kernels = {prunesid_widen_, prunesid_sigmoid_sum_,
        prunesid_sigmoid_centred_, prunesid_unit_, prunesid_dot_, prunesid_dot64_,
        prunesid_widen64_, prunesid_scale_, prunesid_add_, prunesid_sigmoid64_row_,
        prunesid_pass64_rows_, PRUNESID_NOISE_BLAS_, 0, 0, 0, 1, NULL, NULL, NULL};
    return &kernels;
}

/* The kernels with a body above, compiled once more for a target. */
#define PRUNESID_BODIES_FOR_(target, set)                                                          \
    target void prunesid_sigmoid_sum_##set(const float *x, size_t n, float *out, double *sums) {   \
        prunesid_sigmoid_sum_(x, n, out, sums);                                                    \
    }                                                                                              \
    target void prunesid_sigmoid_centred_##set(const float *x, size_t n, float *out) {             \
        prunesid_sigmoid_centred_(x, n, out);                                                      \
    }                                                                                              \
    target double prunesid_unit_##set(const float *x, size_t n, double *sums) {                    \
        return prunesid_unit_(x, n, sums);                                                         \
    }                                                                                              \
    target float prunesid_dot_##set(const float *x, const float *y, size_t n) {                    \
        return prunesid_dot_(x, y, n);                                                             \
    }                                                                                              \
    target double prunesid_dot64_##set(const float *x, const float *y, size_t n) {                 \
        return prunesid_dot64_(x, y, n);                                                           \
    }                                                                                              \
    target void prunesid_widen64_##set(const float *x, size_t n, double *out) {                    \
        prunesid_widen64_(x, n, out);                                                              \
    }                                                                                              \
    target void prunesid_scale_##set(const float *x, size_t n, double factor, float *out) {        \
        prunesid_scale_(x, n, factor, out);                                                        \
    }                                                                                              \
    target void prunesid_add_##set(const float *x, size_t n, double *sums) {                       \
        prunesid_add_(x, n, sums);                                                                 \
    }                                                                                              \
    target void prunesid_sigmoid64_row_##set(                                                      \
        const float *x, size_t n, const double *mean, double *out) {                               \
        prunesid_sigmoid64_row_(x, n, mean, out);                                                  \
    }                                                                                              \
    target void prunesid_pass64_rows_##set(                                                        \
        const double *a, size_t n, size_t d, const double *w, double *y, double *z) {              \
        prunesid_pass64_rows_(a, n, d, w, y, z);                                                   \
    }

/* Tiles: intrinsics, since compilers do not fuse a * b + c under -std=c99, and one body for each
 * set, since a C function cannot take a type. Loops over the sums are unrolled, to keep these in
 * registers. What lies beyond m and n is read from a place that exists, and not stored. */
#define PRUNESID_UNROLL_ _Pragma("GCC unroll 8")

#ifndef PRUNESID_SIMD
#define PRUNESID_SIMD 2
#endif
#if PRUNESID_SIMD > 0 && defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>

/* Asks for what lies so many floats behind y, which is where the next tile begins: rows of a page
 * each defeat a processor's own guesses. There may be nothing, so it is no pointer's place. 14 % of
 * a product with a matrix in memory; in cache it would cost 10 %. */
PRUNESID_INLINE_ void prunesid_fetch_ahead_(const float *y, size_t floats) {
    _mm_prefetch((const char *)((uintptr_t)y + floats * sizeof(float)), _MM_HINT_T0);
}

/* ---- AVX2 and FMA, and F16C, which every processor with AVX2 has: 12 of the 16 registers hold
 * sums ---- */
#define PRUNESID_AVX2_ __attribute__((target("avx2,fma,f16c"))) static inline
PRUNESID_BODIES_FOR_(PRUNESID_AVX2_, avx2_)

/* sums[c] = the lanes of vc added up: ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)). */
__attribute__((always_inline)) PRUNESID_AVX2_ void prunesid_add_lanes_avx2_(
    __m256 v0, __m256 v1, __m256 v2, __m256 v3, float sums[4]) {
    const __m256 fours = _mm256_hadd_ps(_mm256_hadd_ps(v0, v1), _mm256_hadd_ps(v2, v3));
    const __m128 low = _mm256_castps256_ps128(fours), high = _mm256_extractf128_ps(fours, 1);
    _mm_storeu_ps(sums, _mm_add_ps(low, high));
}

/* As prunesid_widen_, with the processor's own conversions. */
PRUNESID_AVX2_ void prunesid_widen_avx2_(
    prunesid_dtype dtype, const unsigned char *from, size_t n, float *out) {
    size_t j = 0;
    for (; j + 8 <= n; j += 8) {
        __m128i half;
        memcpy(&half, from + j * sizeof(uint16_t), sizeof half);
        const __m256i upper = _mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16);
        _mm256_storeu_ps(
            out + j, dtype == PRUNESID_F16 ? _mm256_cvtph_ps(half) : _mm256_castsi256_ps(upper));
    }
    prunesid_widen_(dtype, from + j * sizeof(uint16_t), n - j, out + j);
}

/* for c < min(m, 4), r < min(n, 3): out[c ldo + r] = 0;
 *     for p < k: out[c ldo + r] += x[c ldx + p] y[r ldy + p] */
__attribute__((always_inline)) PRUNESID_AVX2_ void prunesid_rows_by_rows_tile_avx2_(size_t m,
    size_t n, size_t k, const float *x, size_t ldx, const float *y, size_t ldy, int is_far,
    float *out, size_t ldo) {
    const float *x_row[4], *y_row[3];
    __m256 sum[4][3];
    for (size_t r = 0; r < 3; r++) y_row[r] = y + prunesid_min_(r, n - 1) * ldy;
    PRUNESID_UNROLL_ for (size_t c = 0; c < 4; c++) {
        x_row[c] = x + prunesid_min_(c, m - 1) * ldx;
        sum[c][0] = sum[c][1] = sum[c][2] = _mm256_setzero_ps();
    }
    for (size_t p = 0; p < k; p += 8) {
        const __m256 y0 = _mm256_loadu_ps(y_row[0] + p);
        const __m256 y1 = _mm256_loadu_ps(y_row[1] + p);
        const __m256 y2 = _mm256_loadu_ps(y_row[2] + p);
        for (size_t r = 0; r < 3 && is_far; r++) prunesid_fetch_ahead_(y_row[r] + p, 3 * ldy);
        PRUNESID_UNROLL_ for (size_t c = 0; c < 4; c++) {
            const __m256 xc = _mm256_loadu_ps(x_row[c] + p);
            sum[c][0] = _mm256_fmadd_ps(xc, y0, sum[c][0]);
            sum[c][1] = _mm256_fmadd_ps(xc, y1, sum[c][1]);
            sum[c][2] = _mm256_fmadd_ps(xc, y2, sum[c][2]);
        }
    }
    PRUNESID_UNROLL_ for (size_t r = 0; r < 3; r++) {
        float sums[4];
        prunesid_add_lanes_avx2_(sum[0][r], sum[1][r], sum[2][r], sum[3][r], sums);
        PRUNESID_UNROLL_ for (size_t c = 0; c < 4; c++) {
            if (c < m && r < n) out[c * ldo + r] = sums[c];
        }
    }
}

PRUNESID_AVX2_ void prunesid_rows_by_rows_avx2_(size_t m, size_t n, size_t k, const float *x,
    size_t ldx, const float *y, size_t ldy, float *out, size_t ldo) {
    prunesid_rows_by_rows_tile_avx2_(m, n, k, x, ldx, y, ldy, 0, out, ldo);
}

PRUNESID_AVX2_ void prunesid_rows_by_far_rows_avx2_(size_t m, size_t n, size_t k, const float *x,
    size_t ldx, const float *y, size_t ldy, float *out, size_t ldo) {
    prunesid_rows_by_rows_tile_avx2_(m, n, k, x, ldx, y, ldy, 1, out, ldo);
}

/* for c < min(m, 4), j < min(n, 24): if (!add) out[c ldo + j] = 0;
 *     for p < k: out[c ldo + j] += x[c ldx + p] y[p ldy + j] */
PRUNESID_AVX2_ void prunesid_rows_by_columns_avx2_(size_t m, size_t n, size_t k, const float *x,
    size_t ldx, const float *y, size_t ldy, int add, float *out, size_t ldo) {
    const float *x_row[4];
    const size_t j1 = n > 8 ? 8 : 0, j2 = n > 16 ? 16 : 0;
    __m256 sum[4][3];
    PRUNESID_UNROLL_ for (size_t c = 0; c < 4; c++) {
        const float *old = out + prunesid_min_(c, m - 1) * ldo;
        x_row[c] = x + prunesid_min_(c, m - 1) * ldx;
        sum[c][0] = add ? _mm256_loadu_ps(old) : _mm256_setzero_ps();
        sum[c][1] = add ? _mm256_loadu_ps(old + j1) : _mm256_setzero_ps();
        sum[c][2] = add ? _mm256_loadu_ps(old + j2) : _mm256_setzero_ps();
    }
    for (size_t p = 0; p < k; p++) {
        const __m256 y0 = _mm256_loadu_ps(y + p * ldy);
        const __m256 y1 = _mm256_loadu_ps(y + p * ldy + j1);
        const __m256 y2 = _mm256_loadu_ps(y + p * ldy + j2);
        PRUNESID_UNROLL_ for (size_t c = 0; c < 4; c++) {
            const __m256 xc = _mm256_set1_ps(x_row[c][p]);
            sum[c][0] = _mm256_fmadd_ps(xc, y0, sum[c][0]);
            sum[c][1] = _mm256_fmadd_ps(xc, y1, sum[c][1]);
            sum[c][2] = _mm256_fmadd_ps(xc, y2, sum[c][2]);
        }
    }
    PRUNESID_UNROLL_ for (size_t c = 0; c < 4; c++) {
        if (c < m) _mm256_storeu_ps(out + c * ldo, sum[c][0]);
        if (c < m && n > 8) _mm256_storeu_ps(out + c * ldo + 8, sum[c][1]);
        if (c < m && n > 16) _mm256_storeu_ps(out + c * ldo + 16, sum[c][2]);
    }
}

PRUNESID_PRIVATE_ const prunesid_kernels_ *prunesid_kernels_avx2_(void) {
    static const prunesid_kernels_ kernels = {prunesid_widen_avx2_, prunesid_sigmoid_sum_avx2_,
        prunesid_sigmoid_centred_avx2_, prunesid_unit_avx2_, prunesid_dot_avx2_,
        prunesid_dot64_avx2_, prunesid_widen64_avx2_, prunesid_scale_avx2_, prunesid_add_avx2_,
        prunesid_sigmoid64_row_avx2_, prunesid_pass64_rows_avx2_, PRUNESID_NOISE_, 4, 3, 24, 8,
        prunesid_rows_by_rows_avx2_, prunesid_rows_by_far_rows_avx2_,
        prunesid_rows_by_columns_avx2_};
    const int has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return has ? &kernels : prunesid_kernels_portable_();
}

/* ---- AVX-512: 24 of the 32 registers hold sums ----
 * VL, which only the Xeon Phi lacks, lets 256 bits be added in any of them: without it clang keeps
 * all sums in the lower 16, and half of them in memory. */
#define PRUNESID_AVX512_ __attribute__((target("avx512f,fma,f16c"))) static inline
#define PRUNESID_AVX512VL_ __attribute__((target("avx512f,avx512vl,fma,f16c"))) static inline
PRUNESID_BODIES_FOR_(PRUNESID_AVX512_, avx512_)

/* Lanes l and l + 8 added up; masked with all bits set, since gcc 12 warns of the unmasked form. */
__attribute__((always_inline)) PRUNESID_AVX512VL_ __m256 prunesid_halve_(__m512 v) {
    const __m512d pairs = _mm512_castps_pd(v);
    const __m256d low = _mm512_maskz_extractf64x4_pd(15, pairs, 0);
    const __m256d high = _mm512_maskz_extractf64x4_pd(15, pairs, 1);
    return _mm256_add_ps(_mm256_castpd_ps(low), _mm256_castpd_ps(high));
}

/* for c < min(m, 4), r < min(n, 6): out[c ldo + r] = 0;
 *     for p < k: out[c ldo + r] += x[c ldx + p] y[r ldy + p] */
__attribute__((always_inline)) PRUNESID_AVX512VL_ void prunesid_rows_by_rows_tile_avx512_(size_t m,
    size_t n, size_t k, const float *x, size_t ldx, const float *y, size_t ldy, int is_far,
    float *out, size_t ldo) {
    const float *x_row[4], *y_row[6];
    __m512 sum[6][4];
    for (size_t c = 0; c < 4; c++) x_row[c] = x + prunesid_min_(c, m - 1) * ldx;
    PRUNESID_UNROLL_ for (size_t r = 0; r < 6; r++) {
        y_row[r] = y + prunesid_min_(r, n - 1) * ldy;
        sum[r][0] = sum[r][1] = sum[r][2] = sum[r][3] = _mm512_setzero_ps();
    }
    for (size_t p = 0; p < k; p += 16) {
        const __m512 x0 = _mm512_loadu_ps(x_row[0] + p), x1 = _mm512_loadu_ps(x_row[1] + p);
        const __m512 x2 = _mm512_loadu_ps(x_row[2] + p), x3 = _mm512_loadu_ps(x_row[3] + p);
        PRUNESID_UNROLL_ for (size_t r = 0; r < 6; r++) {
            __m512 yr = _mm512_loadu_ps(y_row[r] + p);
            if (is_far) prunesid_fetch_ahead_(y_row[r] + p, 6 * ldy);
            __asm__("" : "+v"(yr)); /* gcc would load it anew for each sum, in twice the time */
            sum[r][0] = _mm512_fmadd_ps(x0, yr, sum[r][0]);
            sum[r][1] = _mm512_fmadd_ps(x1, yr, sum[r][1]);
            sum[r][2] = _mm512_fmadd_ps(x2, yr, sum[r][2]);
            sum[r][3] = _mm512_fmadd_ps(x3, yr, sum[r][3]);
        }
    }
    PRUNESID_UNROLL_ for (size_t r = 0; r < 6; r++) {
        float sums[4];
        prunesid_add_lanes_avx2_(prunesid_halve_(sum[r][0]), prunesid_halve_(sum[r][1]),
            prunesid_halve_(sum[r][2]), prunesid_halve_(sum[r][3]), sums);
        PRUNESID_UNROLL_ for (size_t c = 0; c < 4; c++) {
            if (c < m && r < n) out[c * ldo + r] = sums[c];
        }
    }
}

PRUNESID_AVX512VL_ void prunesid_rows_by_rows_avx512_(size_t m, size_t n, size_t k, const float *x,
    size_t ldx, const float *y, size_t ldy, float *out, size_t ldo) {
    prunesid_rows_by_rows_tile_avx512_(m, n, k, x, ldx, y, ldy, 0, out, ldo);
}

PRUNESID_AVX512VL_ void prunesid_rows_by_far_rows_avx512_(size_t m, size_t n, size_t k,
    const float *x, size_t ldx, const float *y, size_t ldy, float *out, size_t ldo) {
    prunesid_rows_by_rows_tile_avx512_(m, n, k, x, ldx, y, ldy, 1, out, ldo);
}

/* for c < min(m, 4), j < min(n, 96): if (!add) out[c ldo + j] = 0;
 *     for p < k: out[c ldo + j] += x[c ldx + p] y[p ldy + j] */
PRUNESID_AVX512_ void prunesid_rows_by_columns_avx512_(size_t m, size_t n, size_t k, const float *x,
    size_t ldx, const float *y, size_t ldy, int add, float *out, size_t ldo) {
    const float *x_row[4];
    float *out_row[4];
    size_t at[6];
    __m512 sum[6][4];
    for (size_t c = 0; c < 4; c++) {
        x_row[c] = x + prunesid_min_(c, m - 1) * ldx;
        out_row[c] = out + prunesid_min_(c, m - 1) * ldo;
    }
    PRUNESID_UNROLL_ for (size_t v = 0; v < 6; v++) {
        at[v] = 16 * v < n ? 16 * v : 0;
        PRUNESID_UNROLL_ for (size_t c = 0; c < 4; c++) {
            sum[v][c] = add ? _mm512_loadu_ps(out_row[c] + at[v]) : _mm512_setzero_ps();
        }
    }
    for (size_t p = 0; p < k; p++) {
        const __m512 x0 = _mm512_set1_ps(x_row[0][p]), x1 = _mm512_set1_ps(x_row[1][p]);
        const __m512 x2 = _mm512_set1_ps(x_row[2][p]), x3 = _mm512_set1_ps(x_row[3][p]);
        PRUNESID_UNROLL_ for (size_t v = 0; v < 6; v++) {
            const __m512 yv = _mm512_loadu_ps(y + p * ldy + at[v]);
            sum[v][0] = _mm512_fmadd_ps(x0, yv, sum[v][0]);
            sum[v][1] = _mm512_fmadd_ps(x1, yv, sum[v][1]);
            sum[v][2] = _mm512_fmadd_ps(x2, yv, sum[v][2]);
            sum[v][3] = _mm512_fmadd_ps(x3, yv, sum[v][3]);
        }
    }
    PRUNESID_UNROLL_ for (size_t v = 0; v < 6; v++) {
        PRUNESID_UNROLL_ for (size_t c = 0; c < 4; c++) {
            if (c < m && 16 * v < n) _mm512_storeu_ps(out_row[c] + at[v], sum[v][c]);
        }
    }
}

PRUNESID_PRIVATE_ const prunesid_kernels_ *prunesid_kernels_avx512_(void) {
    static const prunesid_kernels_ kernels = {prunesid_widen_avx2_, prunesid_sigmoid_sum_avx512_,
        prunesid_sigmoid_centred_avx512_, prunesid_unit_avx512_, prunesid_dot_avx512_,
        prunesid_dot64_avx512_, prunesid_widen64_avx512_, prunesid_scale_avx512_,
        prunesid_add_avx512_, prunesid_sigmoid64_row_avx512_, prunesid_pass64_rows_avx512_,
        PRUNESID_NOISE_, 4, 6, 96, 16, prunesid_rows_by_rows_avx512_,
        prunesid_rows_by_far_rows_avx512_, prunesid_rows_by_columns_avx512_};
    const int has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl");
    return has && PRUNESID_SIMD > 1 ? &kernels : prunesid_kernels_avx2_();
}

PRUNESID_PRIVATE_ const prunesid_kernels_ *prunesid_kernels_of_processor_(void) {
    return prunesid_kernels_avx512_();
}

/* ---- NEON with FMA, which every AArch64 processor has: 16 of the 32 registers hold sums, enough
 * for two units of 4 cycles; with 24, gcc 12 has to put some into memory ----
 * The loops over a row are the portable ones: this is what those are compiled for. Not for
 * big-endian ones, where vectors that are copied and vectors that are loaded differ. */
#elif PRUNESID_SIMD > 0 && defined(__GNUC__) && defined(__aarch64__) && !defined(__AARCH64EB__)
#include <arm_neon.h>

/* As prunesid_widen_, with the processor's own conversions. */
PRUNESID_PRIVATE_ void prunesid_widen_neon_(
    prunesid_dtype dtype, const unsigned char *from, size_t n, float *out) {
    size_t j = 0;
    for (; j + 4 <= n; j += 4) {
        uint16x4_t half;
        memcpy(&half, from + j * sizeof(uint16_t), sizeof half);
        const float32x4_t upper = vreinterpretq_f32_u32(vshll_n_u16(half, 16));
        vst1q_f32(
            out + j, dtype == PRUNESID_F16 ? vcvt_f32_f16(vreinterpret_f16_u16(half)) : upper);
    }
    prunesid_widen_(dtype, from + j * sizeof(uint16_t), n - j, out + j);
}

/* for c < min(m, 4), r < min(n, 4): out[c ldo + r] = 0;
 *     for p < k: out[c ldo + r] += x[c ldx + p] y[r ldy + p] */
PRUNESID_PRIVATE_ void prunesid_rows_by_rows_neon_(size_t m, size_t n, size_t k, const float *x,
    size_t ldx, const float *y, size_t ldy, float *out, size_t ldo) {
    const float *x_row[4], *y_row[4];
    float32x4_t sum[4][4];
    for (size_t c = 0; c < 4; c++) x_row[c] = x + prunesid_min_(c, m - 1) * ldx;
    PRUNESID_UNROLL_ for (size_t r = 0; r < 4; r++) {
        y_row[r] = y + prunesid_min_(r, n - 1) * ldy;
        sum[r][0] = sum[r][1] = sum[r][2] = sum[r][3] = vdupq_n_f32(0.0f);
    }
    for (size_t p = 0; p < k; p += 4) {
        const float32x4_t x0 = vld1q_f32(x_row[0] + p), x1 = vld1q_f32(x_row[1] + p);
        const float32x4_t x2 = vld1q_f32(x_row[2] + p), x3 = vld1q_f32(x_row[3] + p);
        PRUNESID_UNROLL_ for (size_t r = 0; r < 4; r++) {
            const float32x4_t yr = vld1q_f32(y_row[r] + p);
            sum[r][0] = vfmaq_f32(sum[r][0], x0, yr);
            sum[r][1] = vfmaq_f32(sum[r][1], x1, yr);
            sum[r][2] = vfmaq_f32(sum[r][2], x2, yr);
            sum[r][3] = vfmaq_f32(sum[r][3], x3, yr);
        }
    }
    PRUNESID_UNROLL_ for (size_t r = 0; r < 4; r++) {
        float sums[4]; /* (0 + 1) + (2 + 3) of each */
        vst1q_f32(
            sums, vpaddq_f32(vpaddq_f32(sum[r][0], sum[r][1]), vpaddq_f32(sum[r][2], sum[r][3])));
        PRUNESID_UNROLL_ for (size_t c = 0; c < 4; c++) {
            if (c < m && r < n) out[c * ldo + r] = sums[c];
        }
    }
}

/* For n >= 16; for c < min(m, 4), j < 16: if (!add) out[c ldo + j] = 0;
 *     for p < k: out[c ldo + j] += x[c ldx + p] y[p ldy + j] */
PRUNESID_PRIVATE_ void prunesid_rows_by_columns_neon_(size_t m, size_t n, size_t k, const float *x,
    size_t ldx, const float *y, size_t ldy, int add, float *out, size_t ldo) {
    const float *x_row[4];
    float *out_row[4];
    float32x4_t sum[4][4];
    (void)n;
    for (size_t c = 0; c < 4; c++) {
        x_row[c] = x + prunesid_min_(c, m - 1) * ldx;
        out_row[c] = out + prunesid_min_(c, m - 1) * ldo;
    }
    PRUNESID_UNROLL_ for (size_t v = 0; v < 4; v++) {
        PRUNESID_UNROLL_ for (size_t c = 0; c < 4; c++) {
            sum[v][c] = add ? vld1q_f32(out_row[c] + 4 * v) : vdupq_n_f32(0.0f);
        }
    }
    for (size_t p = 0; p < k; p++) {
        const float32x4_t x0 = vdupq_n_f32(x_row[0][p]), x1 = vdupq_n_f32(x_row[1][p]);
        const float32x4_t x2 = vdupq_n_f32(x_row[2][p]), x3 = vdupq_n_f32(x_row[3][p]);
        PRUNESID_UNROLL_ for (size_t v = 0; v < 4; v++) {
            const float32x4_t yv = vld1q_f32(y + p * ldy + 4 * v);
            sum[v][0] = vfmaq_f32(sum[v][0], x0, yv);
            sum[v][1] = vfmaq_f32(sum[v][1], x1, yv);
            sum[v][2] = vfmaq_f32(sum[v][2], x2, yv);
            sum[v][3] = vfmaq_f32(sum[v][3], x3, yv);
        }
    }
    PRUNESID_UNROLL_ for (size_t v = 0; v < 4; v++) {
        PRUNESID_UNROLL_ for (size_t c = 0; c < 4; c++) {
            if (c < m) vst1q_f32(out_row[c] + 4 * v, sum[v][c]);
        }
    }
}

PRUNESID_PRIVATE_ const prunesid_kernels_ *prunesid_kernels_of_processor_(void) {
    static const prunesid_kernels_ kernels = {prunesid_widen_neon_, prunesid_sigmoid_sum_,
        prunesid_sigmoid_centred_, prunesid_unit_, prunesid_dot_, prunesid_dot64_,
        prunesid_widen64_, prunesid_scale_, prunesid_add_, prunesid_sigmoid64_row_,
        prunesid_pass64_rows_, PRUNESID_NOISE_, 4, 4, 16, 4, prunesid_rows_by_rows_neon_,
        prunesid_rows_by_rows_neon_, prunesid_rows_by_columns_neon_};
    return &kernels;
}

#else /* another architecture: an #elif in front of this line, with its block and this */
PRUNESID_PRIVATE_ const prunesid_kernels_ *prunesid_kernels_of_processor_(void) {
    return prunesid_kernels_portable_();
}
#endif

#undef PRUNESID_ALIKE_
#undef PRUNESID_APART_
#undef PRUNESID_AVX2_
#undef PRUNESID_AVX512VL_
#undef PRUNESID_AVX512_
#undef PRUNESID_BLOCK_
#undef PRUNESID_BODIES_FOR_
#undef PRUNESID_CHUNKS_
#undef PRUNESID_CLUSTER_
#undef PRUNESID_FIRST_TEST_
#undef PRUNESID_GUARDS_
#undef PRUNESID_PAIRS_BEHIND_
#undef PRUNESID_INFO_NOT_FINITE_
#undef PRUNESID_INFO_TOO_MANY_
#undef PRUNESID_INLINE_
#undef PRUNESID_LANES_
#undef PRUNESID_LAST_TEST_
#undef PRUNESID_LEAST_CONTRAST_
#undef PRUNESID_LEAST_EIGENVALUE_
#undef PRUNESID_LEAST_FIRST_
#undef PRUNESID_LEAST_PIVOT_
#undef PRUNESID_LEAST_SCALE_
#undef PRUNESID_LEAST_SECOND_
#undef PRUNESID_CLEAN_
#undef PRUNESID_ROUNDS_
#undef PRUNESID_LEAST_SQUARE_
#undef PRUNESID_NEAR_FLOATS_
#undef PRUNESID_MOST_REFINED_
#undef PRUNESID_MOST_SCALE_
#undef PRUNESID_NOISE_
#undef PRUNESID_NOISE_BLAS_
#undef PRUNESID_ENTRY_NOISE_
#undef PRUNESID_OPEN_
#undef PRUNESID_OUTSIDE_
#undef PRUNESID_PANEL_
#undef PRUNESID_PASSES_
#undef PRUNESID_PASSES_ALONE_
#undef PRUNESID_PASS_ROWS_
#undef PRUNESID_PEAK_
#undef PRUNESID_PIECE_
#undef PRUNESID_PRIVATE_
#undef PRUNESID_PROTECTED_KEY_
#undef PRUNESID_RESIDUAL_
#undef PRUNESID_RESOLVED_
#undef PRUNESID_ROWS_
#undef PRUNESID_SECOND_START_
#undef PRUNESID_STEP_GAIN_
#undef PRUNESID_TAKE_
#undef PRUNESID_TRY_
#undef PRUNESID_U64_
#undef PRUNESID_UNROLL_
#undef PRUNESID_U_
#undef PRUNESID_WHOLE_
#undef PRUNESID_WHOLE_SHARE_

#endif /* PRUNESID_H_DEFINED_ */
#undef PRUNESID_PUBLIC_
