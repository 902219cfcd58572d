/* prunesid.h - keep the visual tokens that matter, drop the rest, before prefill.   MIT licence.
 *
 * WHAT IT DOES
 *   X is a [T, d] matrix: the T visual tokens (d channels each) of one image, as a vision encoder
 *   or projector leaves them. PruneSID (arXiv 2603.09480) keeps N of them without any training:
 *     1. PSCA         A = sigmoid(X) - mean;  A^T = U S V^T;  V [T, K] holds the top K right singular
 *                     vectors of A^T. Token i belongs to group g(i) = argmax_k |V_ik|    (Eq. 1 to 3)
 *     2. redundancy   rho = mean of cos(x_i, x_j) over i < j;  phi = 1 - rho              (Eq. 4)
 *     3. threshold    tau = lambda rho,  lambda = N / 32                                  (Eq. 4)
 *     4. NMS          in each group, by falling score: a token survives if its cosine to every
 *                     survivor so far is at most tau
 *     5. quotas       the budget N is shared over the groups by their survivors
 *     6. dynamic      over a batch, N_b is proportional to phi_b: rich images get more
 *
 * USE
 *   #include "prunesid.h"        everything is static inline; link -llapacke -lopenblas -lm
 *     prunesid_config config = prunesid_config_init(PRUNESID_AUTO, T, d, 64);
 *     prunesid_tokens tokens = prunesid_tokens_view(X, PRUNESID_F32, T, d);
 *     int32_t kept[64];
 *     prunesid_output out = prunesid_output_init(kept);
 *     prunesid_status status = prunesid_select_alloc(&config, &tokens, NULL, NULL, &out);
 *     // kept[0 .. out.n_kept) are ascending token indices; status is 0 or says what is wrong
 *   Without a heap call: give prunesid_select the memory that prunesid_workspace_size asks for.
 *   Many tiles, frames or images, over threads: prunesid_select_regions. One stage alone: STAGES.
 *
 * ONE SHARED COPY
 *   Define PRUNESID_DECLARATIONS to get prototypes only (no BLAS header is read), and compile one
 *   unit with PRUNESID_IMPLEMENTATION; a unit uses this or the inline functions, not both.
 *   PRUNESID_API (default: nothing) is put in front of every public function. PRUNESID_SIMD
 *   (default 2) is the most that the kernels use of an x86-64 processor: 0 SSE2 and BLAS, 1 AVX2
 *   and FMA, 2 AVX-512. Elsewhere it is 0.
 *
 * GUARANTEES
 *   - Exactly min(N - reserved, T) distinct ascending indices, for every T >= 1 and N > reserved.
 *   - The same bits on every run, for every batch size and number of our threads: what is random is
 *     a function of config.seed, and no product calls OpenBLAS's threads. OPENBLAS_NUM_THREADS (by
 *     LAPACK's dsytrd) and the processor may now and then change the last bit of a loading.
 *   - No globals, heap (but in *_alloc), stdio, locale, errno or change to OpenBLAS's threads.
 *     Re-entrant with distinct workspaces.
 *   - On any status but PRUNESID_OK nothing is written to an output.
 *   - Finiteness is tested on the bits, so -ffast-math does not defeat it.
 *
 * MEMORY
 *   Matrices are row-major, strides in elements, what ends in _bytes in bytes. The caller owns all
 *   memory, nothing is kept between calls. An array that is written overlaps no other, unless said.
 *
 * NUMERICS
 *   rho, phi, tau and EXACT: float64. NMS decides as float64 does: by float32 where its rounding
 *   bound (d + 8) 2^-23 allows. KRYLOV: float32 with a residual stop; where that leaves open which of
 *   a token's loadings is the largest, EXACT decides (up to min(T, d) = 1024; 9 of 465 images of 576
 *   tokens when measured). What may still differ is the order of two tokens whose loadings agree to
 *   1e-5: one token in one of about 500 selections. Loadings are 0 for a component whose singular
 *   value is below 1e-6 of the largest, for contrast below 1e-12, and maybe for one of equal singular
 *   values that K cuts through. A processor told to flush subnormal numbers does so with tokens. */
#if defined(PRUNESID_DECLARATIONS) || defined(PRUNESID_IMPLEMENTATION)
#if defined(PRUNESID_H) && !defined(PRUNESID_H_SHARED_)
#error "prunesid.h: this unit already has the inline functions; it cannot share a copy as well"
#endif
#define PRUNESID_H_SHARED_
#elif defined(PRUNESID_H_SHARED_)
#error "prunesid.h: this unit already shares a copy; define PRUNESID_DECLARATIONS here as well"
#endif

#ifndef PRUNESID_API
#define PRUNESID_API
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

#define PRUNESID_VERSION_MAJOR 0
#define PRUNESID_VERSION_MINOR 1
#define PRUNESID_VERSION_PATCH 0
#define PRUNESID_ALIGNMENT 16 /* of a workspace, in bytes: what malloc gives */

#ifdef __cplusplus
extern "C" {
#endif

/* ---- >>types ---------------------------------------------------------------------------- */

/* One status, one cause. PRUNESID_OK is 0, every error is negative. */
#define PRUNESID_STATUS_TABLE(X)                                                                   \
    X(PRUNESID_OK, 0, "ok")                                                                        \
    X(PRUNESID_ERROR_NULL, -1, "a required pointer is NULL")                                       \
    X(PRUNESID_ERROR_PRESET, -2, "unknown preset")                                                 \
    X(PRUNESID_ERROR_SVD, -3, "unknown SVD method")                                                \
    X(PRUNESID_ERROR_DTYPE, -4, "unknown token dtype")                                             \
    X(PRUNESID_ERROR_EMPTY, -5, "there are no tokens, no channels or no images")                   \
    X(PRUNESID_ERROR_DIMENSION, -6, "a dimension does not fit a 32-bit LAPACK integer")            \
    X(PRUNESID_ERROR_OVERFLOW, -7, "the size in bytes does not fit size_t")                        \
    X(PRUNESID_ERROR_SHAPE, -8, "the tokens' shape is not the configuration's")                    \
    X(PRUNESID_ERROR_STRIDE, -9, "the row stride is smaller than the row")                         \
    X(PRUNESID_ERROR_ALIGNMENT, -10, "the data is not aligned to its element")                     \
    X(PRUNESID_ERROR_BUDGET, -11, "the budget must be between 1 and 2147483647")                   \
    X(PRUNESID_ERROR_RESERVED, -12, "the reserved rows leave no room in the budget")               \
    X(PRUNESID_ERROR_GROUPS, -13, "the number of groups is out of range")                          \
    X(PRUNESID_ERROR_GROUP_INDEX, -14, "a token's group is out of range")                          \
    X(PRUNESID_ERROR_PROTECTED_INDEX, -15, "a protected index is out of range or not ascending")   \
    X(PRUNESID_ERROR_PROTECTED_COUNT, -16, "there are more protected tokens than tokens to keep")  \
    X(PRUNESID_ERROR_TOKENS_NOT_FINITE, -17, "a token is not finite")                              \
    X(PRUNESID_ERROR_SCORES_NOT_FINITE, -18, "a score is not finite")                              \
    X(PRUNESID_ERROR_LOADINGS_NOT_FINITE, -19, "a loading is not finite")                          \
    X(PRUNESID_ERROR_WORKSPACE_SHORT, -20, "the workspace is too short")                           \
    X(PRUNESID_ERROR_WORKSPACE_ALIGNMENT, -21, "the workspace is not aligned to 16 bytes")         \
    X(PRUNESID_ERROR_ALLOCATION, -22, "the allocator returned no memory")                          \
    X(PRUNESID_ERROR_LAPACK, -23, "LAPACK's eigenvalue solver failed")                             \
    X(PRUNESID_ERROR_PHI, -24, "a phi or their sum is not finite, or a reference not positive")    \
    X(PRUNESID_ERROR_LIMITS, -25, "a floor is above its ceiling or above 2147483647")              \
    X(PRUNESID_ERROR_INDEX, -26, "an index is out of range")                                       \
    X(PRUNESID_ERROR_COUNTS, -27, "a group's survivors are negative or more than its members")     \
    X(PRUNESID_ERROR_TAU, -28, "the threshold is not finite")                                      \
    X(PRUNESID_ERROR_SHARING, -29, "unknown way to share a budget")                                \
    X(PRUNESID_ERROR_REGION, -30, "a region is empty, out of range or not behind the one before")  \
    X(PRUNESID_ERROR_TOTAL, -31, "the floors add up to more than the budget")                      \
    X(PRUNESID_ERROR_THREADS, -32, "no workers, nothing to run them, or a task that was not run")  \
    X(PRUNESID_ERROR_POLICY, -33, "unknown position policy")                                       \
    X(PRUNESID_ERROR_POSITIONS, -34, "position ids of a wrong shape, or an id out of range")

typedef enum prunesid_status {
#define PRUNESID_X_(name, value, text) name = value,
    PRUNESID_STATUS_TABLE(PRUNESID_X_)
#undef PRUNESID_X_
} prunesid_status;

/* The rules that belong together. N is the budget, K the number of groups.
 *             centring   K             score   rho of tau, lambda          quotas        reserved
 *   PAPER     channel    N / 4         any     Eq. 4, N / 32               proportional  0
 *   LLAVA     token      N / 4         any     Eq. 4, N / 32               bounded       1
 *   QWEN2VL   token      max(N/4, 4)   any     all cells, max(18 N/T, 1)   bounded       0
 *   AUTO      the LLAVA rules with nothing reserved if scores are given, else the QWEN2VL rules
 * The score is the engine's importance if it gives one, else the loading. K <= min(T, d). */
typedef enum prunesid_preset {
    PRUNESID_AUTO = 0,
    PRUNESID_PAPER = 1,
    PRUNESID_LLAVA = 2,
    PRUNESID_QWEN2VL = 3
} prunesid_preset;

/* How the K principal components are found.
 *   KRYLOV  block Krylov in float32 until the residual says converged; EXACT where that is cheaper
 *           (min(T, d) <= 192, or K large against it), does not converge, or leaves a group open
 *   EXACT   float64 Gram matrix on the smaller side, LAPACK for its top K eigenvectors
 *   SKETCH  two power iterations on a seeded start block, as in the released Python: approximate */
typedef enum prunesid_svd {
    PRUNESID_SVD_KRYLOV = 0,
    PRUNESID_SVD_EXACT = 1,
    PRUNESID_SVD_SKETCH = 2
} prunesid_svd;

typedef enum prunesid_dtype {
    PRUNESID_F32 = 0, /* IEEE 754 binary32 */
    PRUNESID_F16 = 1, /* IEEE 754 binary16, as uint16_t */
    PRUNESID_BF16 = 2 /* the upper half of a binary32, as uint16_t */
} prunesid_dtype;

typedef enum prunesid_state {
    PRUNESID_KEPT = 0,
    PRUNESID_OVER_QUOTA = 1, /* survived NMS, but its group's quota was full */
    PRUNESID_SUPPRESSED = 2  /* too similar to a survivor, or its score was not positive */
} prunesid_state;

/* A view of T x d tokens. ld > d is legal (features that carry extra planes). */
typedef struct prunesid_tokens {
    const void *data;     /* row i starts at element i * ld; aligned to its element */
    prunesid_dtype dtype; /* of every element */
    size_t n_tokens;      /* T, rows */
    size_t dim;           /* d, channels that are read of every row */
    size_t ld;            /* row stride in elements, >= d */
} prunesid_tokens;

/* Made by prunesid_config_init; any field may be changed before use. */
typedef struct prunesid_config {
    size_t n_tokens;                  /* T */
    size_t dim;                       /* d */
    size_t budget;                    /* N: tokens to keep, reserved and protected ones included */
    prunesid_preset preset;           /* the rules, see prunesid_preset */
    prunesid_svd svd;                 /* default PRUNESID_SVD_KRYLOV */
    size_t reserved;                  /* rows inside N that are not in X (a CLS row); LLAVA: 1 */
    size_t n_groups;                  /* K; default 0: by the preset's rule */
    uint64_t seed;                    /* of the SVD's start block; default 0 */
    const int32_t *protected_indices; /* ascending token indices that are always kept; NULL */
    size_t n_protected;               /* how many; default 0 */
    uint64_t (*clock_ns)(void);       /* a clock for stats.ns_*; default NULL: they stay 0 */
} prunesid_config;

typedef struct prunesid_information {
    double rho;       /* Eq. 4: mean of cos(x_i, x_j) over i < j; 0 if T is 1 */
    double rho_cells; /* the same sum with the diagonal, over all T * T cells (QWEN2VL's) */
    double phi;       /* 1 - rho */
    size_t n_nonzero; /* rows that are not all zero */
} prunesid_information;

typedef struct prunesid_stats {
    double rho, phi;        /* Eq. 4; 1 - rho */
    double tau;             /* threshold; 0 where nothing was pruned (n_groups is 0 then) */
    prunesid_preset preset; /* the rules that were used: AUTO resolved */
    size_t n_groups;        /* K; 0 where nothing was pruned */
    size_t n_survivors;     /* tokens that NMS left, protected ones included */
    prunesid_svd svd;    /* the method used: EXACT after a fall-back; config's if none was needed */
    int svd_iterations;  /* Krylov steps; 0 for EXACT at once */
    double svd_residual; /* KRYLOV: max_k |A A^T v_k - s_k^2 v_k| / s_k^2; else 0 */
    int lapack_info;     /* what LAPACK said when KRYLOV fell back because of it; else 0 */
    /* Nanoseconds of each stage, by config.clock_ns; ns_svd has the sigmoid too if EXACT at once */
    uint64_t ns_redundancy, ns_sigmoid, ns_svd, ns_nms, ns_quotas;
} prunesid_stats;

/* Where the answer goes. Every array is the caller's; only indices is required. */
typedef struct prunesid_output {
    int32_t *indices;        /* [n_kept] ascending kept tokens; prunesid_n_kept tells how many */
    int32_t *order;          /* [n_kept] the same as picked: protected, then by group; or NULL */
    int32_t *group;          /* [T] group of each token, -1 where nothing was pruned; or NULL */
    uint8_t *state;          /* [T] prunesid_state of each token; or NULL */
    float *loading;          /* [T] |V_i,g(i)|, 0 where nothing was pruned; or NULL */
    int32_t *representative; /* [T] the kept token that stands for each: itself, or the one of its
                              * group (of all, if that keeps none) with the largest cosine in
                              * float32, the lower index first among equals; or NULL */
    size_t n_kept;           /* written: min(N - reserved, T) */
    prunesid_stats stats;    /* written */
} prunesid_output;

typedef struct prunesid_allocator {
    void *(*allocate)(size_t n_bytes, void *user); /* aligned to PRUNESID_ALIGNMENT, or NULL */
    void (*release)(void *memory, void *user);
    void *user;
} prunesid_allocator;

/* A running mean of phi: start from {0, 0}. */
typedef struct prunesid_calibration {
    double phi_mean;   /* phi_ref for prunesid_budget, once n_images > 0 */
    uint64_t n_images; /* images seen */
} prunesid_calibration;

typedef enum prunesid_sharing {
    PRUNESID_FIXED = 0,   /* each region has its own budget */
    PRUNESID_BY_SIZE = 1, /* config.budget for all, shared in proportion to their tokens */
    PRUNESID_BY_PHI = 2   /* config.budget for all, in proportion to phi: rich regions get more */
} prunesid_sharing;

/* What is pruned by itself: a tile, a frame, an image. prunesid_region_init fills every field. */
typedef struct prunesid_region {
    size_t first;           /* the number of its first token: its kept indices count from there */
    size_t n_tokens;        /* T_r */
    const void *data;       /* its rows if they lie apart; NULL: rows first and on of the tokens */
    const float *scores;    /* [T_r] importance; NULL: the loadings */
    size_t low, high;       /* floor and ceiling of a shared budget */
    size_t budget;          /* N_r: read if FIXED, else written */
    prunesid_output out;    /* optional arrays of its own, [T_r] or [n_kept]; indices is written */
    prunesid_status status; /* written: its own */
} prunesid_region;

typedef struct prunesid_threads {
    size_t n_workers; /* >= 1 */
    /* Calls task(data, i, worker) once for every i < n_tasks, with a worker < n_workers that no two
     * calls have at the same time, and returns when all are done. NULL: OpenMP, if the unit is
     * compiled with it; one worker needs neither. */
    void (*run)(void (*task)(void *data, size_t i, size_t worker), void *data, size_t n_tasks,
        size_t n_workers, void *user);
    void *user;
} prunesid_threads;

typedef struct prunesid_span {
    size_t first, n_tokens; /* visual tokens in a row of a prompt: the placeholders of an image */
} prunesid_span;

/* Position ids [n_sections, n_tokens]: 1 section, or the 3 or 4 of M-RoPE, one after the other. */
typedef struct prunesid_position_ids {
    void *ids;           /* int32_t or int64_t, each in [0, 2^62) */
    size_t id_bytes;     /* 4 or 8 */
    size_t n_sections;   /* 1, 3 or 4 */
    size_t n_tokens, ld; /* ld: from section to section, in ids; >= n_tokens */
} prunesid_position_ids;

/* Where tokens stand once others are gone.
 *   KEEP      as before
 *   COMPACT   as before; what follows a span, text or a second image, moves down to go on behind the
 *             largest kept position. Its ids have to be above the span's, as in every engine
 *   RENUMBER  consecutive
 * Of four sections the last is all zeros (t, y, x, 0 in llama.cpp), which it stays, or they are text,
 * t, h, w (Transformers, OpenVINO), where the text's ids become consecutive under every policy. */
typedef enum prunesid_position_policy {
    PRUNESID_POSITIONS_KEEP = 0,
    PRUNESID_POSITIONS_COMPACT = 1,
    PRUNESID_POSITIONS_RENUMBER = 2
} prunesid_position_policy;

/* ---- EASY ------------------------------------------------------------------------------- */
/* A constant text, "unknown status" for any other number. */
PRUNESID_PUBLIC_ const char *prunesid_status_string(prunesid_status status);

/* Every field filled, as prunesid_config says; nothing is checked before prunesid_select does. */
PRUNESID_PUBLIC_ prunesid_config prunesid_config_init(
    prunesid_preset preset, size_t n_tokens, size_t dim, size_t budget);

/* A view with ld = dim. */
PRUNESID_PUBLIC_ prunesid_tokens prunesid_tokens_view(
    const void *data, prunesid_dtype dtype, size_t n_tokens, size_t dim);

/* indices [prunesid_n_kept] required; everything optional is NULL. */
PRUNESID_PUBLIC_ prunesid_output prunesid_output_init(int32_t *indices);

/* prunesid_select with a workspace from allocator (NULL: malloc and free), released again.
 * Status: prunesid_select's, and ALLOCATION. */
PRUNESID_PUBLIC_ prunesid_status prunesid_select_alloc(const prunesid_config *config,
    const prunesid_tokens *tokens, const float *scores, const prunesid_allocator *allocator,
    prunesid_output *out);

/* ---- CORE ------------------------------------------------------------------------------- */
/* min(N - reserved, T): how many indices prunesid_select writes; 0 if N <= reserved. */
PRUNESID_PUBLIC_ size_t prunesid_n_kept(const prunesid_config *config);

/* config with AUTO replaced by its rules, with scores or without, and n_groups set. */
PRUNESID_PUBLIC_ prunesid_config prunesid_config_resolve(
    const prunesid_config *config, int has_scores);

/* Bytes of workspace that prunesid_select and every stage need: O(T (d + K)) and, but for SKETCH,
 * min(T, d)^2 float64 for EXACT; 0 if config is not valid. They grow with T and with the budget, so
 * that those of a ceiling do for every budget below. Seed and clock do not matter. */
PRUNESID_PUBLIC_ size_t prunesid_workspace_size(const prunesid_config *config);

/* Selects min(N - reserved, T) tokens; if that is T, without any SVD.
 *   config     protected tokens are kept first, count inside N, and suppress their near-duplicates;
 *              the quotas share what they leave
 *   tokens     [T, d] f32, f16 or bf16, finite
 *   scores     [T] importance, finite, or NULL: the loadings. A token with a score of 0 or less
 *              never survives NMS, but may fill a quota that survivors leave open
 *   workspace  prunesid_workspace_size bytes, aligned to PRUNESID_ALIGNMENT; its content is irrelevant
 * Cost: KRYLOV about 4 T d m flops, m about 2 K + 6 b basis vectors in blocks of b (8 to 32);
 *   EXACT T d min(T, d) float64 flops and 4/3 min(T, d)^3 for the eigenvectors. NMS at most
 *   d (pairs inside groups) flops, none if tau >= 1; out->representative up to 2 T n_kept d.
 * Status: any but ALLOCATION, PHI, LIMITS, INDEX, COUNTS, TAU, GROUP_INDEX, LOADINGS_NOT_FINITE. */
PRUNESID_PUBLIC_ prunesid_status prunesid_select(const prunesid_config *config,
    const prunesid_tokens *tokens, const float *scores, void *workspace, size_t workspace_bytes,
    prunesid_output *out);

/* The same from loadings that the engine has (its own SVD on a GPU): signs do not matter.
 *   loadings  [T, K] float32, row stride ld_loadings >= K, finite; K = config->n_groups, which must
 *             be set (1 or more; it may exceed min(T, d) here)
 * Status: prunesid_select's, LOADINGS_NOT_FINITE, and STRIDE for ld_loadings < K. */
PRUNESID_PUBLIC_ prunesid_status prunesid_select_from_loadings(const prunesid_config *config,
    const prunesid_tokens *tokens, const float *loadings, size_t ld_loadings, const float *scores,
    void *workspace, size_t workspace_bytes, prunesid_output *out);

/* ---- DYNAMIC: the information-aware ratio ------------------------------------------------- */
/* rho and phi of one image in O(T d), from |sum_i x_i / |x_i||; whatever the budget in config. Zero
 * rows count as orthogonal to everything.
 * Status: OK, NULL, the configuration's and the tokens' errors, WORKSPACE_*. */
PRUNESID_PUBLIC_ prunesid_status prunesid_redundancy(const prunesid_config *config,
    const prunesid_tokens *tokens, void *workspace, size_t workspace_bytes,
    prunesid_information *out);

/* Budgets of B images: clamp(c max(phi_b, 0), low_b, high_b) with the c that makes their sum B * N
 * as far as the limits allow, then largest remainders, the lower index first among equals.
 *   phi      [B] finite         low   [B] floors, or NULL: 1 each
 *   budget   N, the mean        high  [B] ceilings, or NULL: B * N each
 *   budgets  [B] written
 * Cost: O(B) a pass, at most B passes, two or three in practice.
 * Status: OK, NULL, EMPTY (B is 0), BUDGET, OVERFLOW (B * N), PHI, LIMITS. */
PRUNESID_PUBLIC_ prunesid_status prunesid_budgets(const double *phi, size_t n_images, size_t budget,
    const size_t *low, const size_t *high, size_t *budgets);

/* The same with any total up to 2^53 and finite weights in the place of phi. Status: the same. */
PRUNESID_PUBLIC_ prunesid_status prunesid_share(const double *weights, size_t n_shares,
    size_t total, const size_t *low, const size_t *high, size_t *shares);

/* The budget of one image whatever else is in its batch: clamp(round(N max(phi, 0) / phi_ref), low,
 * min(high, 2147483647)), halves to even. prunesid_select needs a low of 1 + reserved at least.
 * Status: OK, NULL, BUDGET (N is 0 or too large), PHI, LIMITS. */
PRUNESID_PUBLIC_ prunesid_status prunesid_budget(
    double phi, double phi_ref, size_t budget, size_t low, size_t high, size_t *out);

/* Adds one phi to the running mean. Status: OK, NULL, PHI. */
PRUNESID_PUBLIC_ prunesid_status prunesid_calibrate(prunesid_calibration *calibration, double phi);

/* The rule of the released Qwen2-VL code: N is meant for 576 tokens, so an image of T gets
 * round(T N / 576), halves to even, but at least 16 or all of T <= 16. */
PRUNESID_PUBLIC_ size_t prunesid_budget_qwen2vl(size_t n_tokens, size_t budget);

/* ---- REGIONS: tiles, frames, images in one call ------------------------------------------- */
/* Rows [first, first + n_tokens) of the tokens; no scores, floor 0, no ceiling, no arrays. */
PRUNESID_PUBLIC_ prunesid_region prunesid_region_init(size_t first, size_t n_tokens, size_t budget);

/* How many tokens prunesid_select_regions will keep, whatever they are: FIXED, the sum of
 * min(N_r - reserved, T_r); else N without each region's reserved rows, or all that the ceilings
 * allow. 0 if it would refuse. */
PRUNESID_PUBLIC_ size_t prunesid_regions_n_kept(const prunesid_config *config,
    prunesid_sharing sharing, const prunesid_region *regions, size_t n_regions);

/* Bytes for prunesid_select_regions; 0 if it would refuse, which it gives the reason for. */
PRUNESID_PUBLIC_ size_t prunesid_regions_workspace_size(const prunesid_config *config,
    prunesid_sharing sharing, const prunesid_region *regions, size_t n_regions, size_t n_workers);

/* Prunes every region as prunesid_select does, to the same bits whatever the others and threads.
 *   config     n_tokens: T of all regions and of what lies between them; budget: N of all regions
 *              together, not read if FIXED; the rest holds for each region. protected_indices are
 *              numbers among all tokens, each in a region. Every worker calls clock_ns
 *   tokens     [T, d]; data may be NULL if every region has its own, strided as ld says
 *   regions    [n_regions] ascending, without overlap; gaps are legal (text, newline tokens)
 *   threads    NULL: one worker, the caller's thread
 *   indices    [prunesid_regions_n_kept] ascending numbers among all tokens; regions[r].out.indices
 *              points to those of region r. Its order and representative are such numbers too
 * A shared N_r is at least low, and reserved + 1 or the protected ones; at most high, and T_r +
 * reserved. Within these the total is exactly N. BY_PHI takes one more pass over the tokens, for phi.
 * Status: those of prunesid_select, and EMPTY (no regions), SHARING, REGION, LIMITS, TOTAL,
 * THREADS. A region that fails does not stop the others: its status says why, its n_kept is 0, its
 * arrays are left alone, and under BY_PHI the others share all of N; the first such status is
 * returned. Any other error leaves everything alone. */
PRUNESID_PUBLIC_ prunesid_status prunesid_select_regions(const prunesid_config *config,
    prunesid_sharing sharing, const prunesid_tokens *tokens, prunesid_region *regions,
    size_t n_regions, const prunesid_threads *threads, void *workspace, size_t workspace_bytes,
    int32_t *indices);

/* ---- AFTER ------------------------------------------------------------------------------- */
/* out row j = rows row indices[j] (in [0, n_rows)), of row_bytes bytes. out may be rows itself (same
 * stride) when indices ascend strictly. Of several planes, as in DeepStack's [L, T, H], gather each.
 * Status: OK, NULL, STRIDE (a stride < row_bytes), INDEX, OVERFLOW. */
PRUNESID_PUBLIC_ prunesid_status prunesid_gather(const void *rows, size_t n_rows, size_t row_bytes,
    size_t row_stride_bytes, const int32_t *indices, size_t n_indices, void *out,
    size_t out_stride_bytes);

/* mask [n_rows] = 1 for the ascending indices, else 0. Status: OK, NULL, INDEX. */
PRUNESID_PUBLIC_ prunesid_status prunesid_mask(
    const int32_t *indices, size_t n_indices, size_t n_rows, uint8_t *mask);

/* The rows of a prompt that stay: all text, and the visual tokens kept.
 *   spans   [n_spans] of visual tokens, ascending, without overlap; numbered through, span after span
 *   kept    [n_kept] ascending such numbers, as prunesid_select and prunesid_select_regions give
 *   rows    [n_prompt - visual tokens + n_kept] written, ascending; *n_rows: how many
 * Status: OK, NULL, DIMENSION, REGION, INDEX. */
PRUNESID_PUBLIC_ prunesid_status prunesid_prompt_rows(const prunesid_span *spans, size_t n_spans,
    size_t n_prompt, const int32_t *kept, size_t n_kept, int32_t *rows, size_t *n_rows);

/* The position ids of the rows that stay, and *next, where what follows the prompt goes on: the
 * largest id + 1 (rope_delta is *next - n_rows). Of an image alone, give its own ids and one span.
 *   ids    [S, n] of all rows, before pruning
 *   spans  as above, in [0, n)
 *   rows   [n_rows] ascending, in [0, n): with the text's, as prunesid_prompt_rows gives them
 *   out    [S, n_rows] written; out->ids may be ids->ids, with the same ld
 * Status: OK, NULL, POLICY, POSITIONS, STRIDE, ALIGNMENT, OVERFLOW, REGION, INDEX. */
PRUNESID_PUBLIC_ prunesid_status prunesid_positions(prunesid_position_policy policy,
    const prunesid_position_ids *ids, const prunesid_span *spans, size_t n_spans,
    const int32_t *rows, size_t n_rows, const prunesid_position_ids *out, int64_t *next);

/* ---- STAGES: each alone, on the workspace of the same configuration ------------------------
 * They take AUTO for QWEN2VL; with scores, pass them prunesid_config_resolve(&config, 1). */
/* OK, or the first thing wrong with the view; for TOKENS_NOT_FINITE the first such element's place
 * goes to *row and *column (either may be NULL). A view of scores or loadings finds theirs. */
PRUNESID_PUBLIC_ prunesid_status prunesid_tokens_check(
    const prunesid_tokens *tokens, size_t *row, size_t *column);

/* PSCA (Eq. 1, 2): V [T, K] row-major, K = prunesid_config_resolve(config, 0).n_groups; unit columns
 * by falling singular value, signs arbitrary; 0 beyond the numerical rank and what SKETCH resolves.
 * stats may be NULL; its svd_*, lapack_info, ns_sigmoid and ns_svd are found, the rest is 0.
 * Status: as prunesid_select. */
PRUNESID_PUBLIC_ prunesid_status prunesid_loadings(const prunesid_config *config,
    const prunesid_tokens *tokens, void *workspace, size_t workspace_bytes, float *loadings,
    prunesid_stats *stats);

/* Grouping (Eq. 3): group[i] = argmax_k |V_ik|, the first among equals; loading[i] = that |V_ik|.
 * Status: OK, NULL, EMPTY (T, K), DIMENSION, STRIDE, OVERFLOW, ALIGNMENT, LOADINGS_NOT_FINITE. */
PRUNESID_PUBLIC_ prunesid_status prunesid_group(const float *loadings, size_t n_tokens,
    size_t n_groups, size_t ld_loadings, int32_t *group, float *loading);

/* tau = lambda rho (Eq. 4), by config's preset; AUTO counts as QWEN2VL. Neither may be NULL. */
PRUNESID_PUBLIC_ double prunesid_threshold(
    const prunesid_config *config, const prunesid_information *information);

/* NMS inside each of config->n_groups groups.
 *   group   [T] in [0, n_groups); scores [T] finite
 *   order   [T] written: group after group; in each the survivors as picked, protected ones first,
 *           then the rest by falling score, the lower index first among equals
 *   n_members, n_survivors  [n_groups] written: tokens of each group, and those that survive
 * Status: as prunesid_select, and GROUP_INDEX, TAU. */
PRUNESID_PUBLIC_ prunesid_status prunesid_nms(const prunesid_config *config,
    const prunesid_tokens *tokens, const int32_t *group, const float *scores, double tau,
    void *workspace, size_t workspace_bytes, int32_t *order, int32_t *n_members,
    int32_t *n_survivors);

/* Shares config->budget over config->n_groups groups by the preset's rule (AUTO: bounded).
 *   PAPER    n_k = floor(N v_k / sum v), the largest remainders up; v_k itself if sum v <= N
 *   others   1 to 5 ceil(N / 64) a group, cumulative float32 rounding, fill by falling survivors
 *   n_members, n_survivors  [n_groups] without the protected tokens, which are taken off the budget
 *   quotas   [n_groups] written; their sum may differ from the tokens to keep: the first that many
 *            in group order are kept, or the best-scored suppressed ones fill up (PAPER)
 * Status: OK, NULL, the configuration's errors, COUNTS, WORKSPACE_*. */
PRUNESID_PUBLIC_ prunesid_status prunesid_quotas(const prunesid_config *config,
    const int32_t *n_members, const int32_t *n_survivors, void *workspace, size_t workspace_bytes,
    int32_t *quotas);

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

/* Opaque types keep <complex.h> and its macro I out. A unit that calls complex BLAS or LAPACK
 * itself includes their headers before this one. */
#ifndef CBLAS_H
#ifndef FORCE_OPENBLAS_COMPLEX_STRUCT
#define FORCE_OPENBLAS_COMPLEX_STRUCT
#endif
#include <cblas.h>
#endif
#ifndef _LAPACKE_H_
#ifndef LAPACK_COMPLEX_CUSTOM
#define LAPACK_COMPLEX_CUSTOM
struct prunesid_complex_float_;
struct prunesid_complex_double_;
#define lapack_complex_float struct prunesid_complex_float_
#define lapack_complex_double struct prunesid_complex_double_
#endif
#include <lapacke.h>
#endif

#if !defined(__GNUC__) || !defined(__x86_64__)
#undef PRUNESID_SIMD
#define PRUNESID_SIMD 0
#elif !defined(PRUNESID_SIMD)
#define PRUNESID_SIMD 2
#endif
#if PRUNESID_SIMD > 0
#include <immintrin.h>
#endif

#define PRUNESID_PRIVATE_ static inline
#define PRUNESID_TRY_(call)                                                                        \
    do {                                                                                           \
        const prunesid_status status_ = (call);                                                    \
        if (status_ != PRUNESID_OK) return status_;                                                \
    } while (0)
#define PRUNESID_LANES_ 16 /* floats a kernel works on at once: a constant trip count vectorises */
#define PRUNESID_PANEL_ 64 /* rows or columns of A that the float64 code holds at once */
#define PRUNESID_FIRST_ 1e300              /* ranks a protected token above every float32 score */
#define PRUNESID_EXACT_ 9007199254740992.0 /* 2^53: whole numbers below are exact in a double */

/* ---- >>kernels ---------------------------------------------------------------------------- */
#if PRUNESID_SIMD > 0
#define PRUNESID_INLINE_ static inline __attribute__((always_inline))
#define PRUNESID_TARGET_512_ __attribute__((target("avx512f,fma"))) static inline
#define PRUNESID_TARGET_256_ __attribute__((target("avx2,fma"))) static inline
#define PRUNESID_HAS_(feature) (__builtin_cpu_supports(feature) != 0)
#else
#define PRUNESID_INLINE_ static inline
#define PRUNESID_TARGET_512_ static inline
#define PRUNESID_TARGET_256_ static inline
#define PRUNESID_HAS_(feature) 0
#endif

PRUNESID_PRIVATE_ int prunesid_simd_(void) {
    if (PRUNESID_SIMD > 1 && PRUNESID_HAS_("avx512f")) return 2;
    return PRUNESID_HAS_("avx2") && PRUNESID_HAS_("fma");
}

/* name from name_body_, a loop that the compiler vectorises for each target by itself. */
#define PRUNESID_TARGETS_(result, name, arguments, ...)                                            \
    PRUNESID_TARGET_512_ result name##512_(__VA_ARGS__) {                                          \
        return name##body_ arguments;                                                              \
    }                                                                                              \
    PRUNESID_TARGET_256_ result name##256_(__VA_ARGS__) {                                          \
        return name##body_ arguments;                                                              \
    }                                                                                              \
    PRUNESID_PRIVATE_ result name(int simd, __VA_ARGS__) {                                         \
        return simd > 1   ? name##512_ arguments                                                   \
               : simd > 0 ? name##256_ arguments                                                   \
                          : name##body_ arguments;                                                 \
    }

PRUNESID_PRIVATE_ int prunesid_not_finite_(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits & 0x7f800000u) == 0x7f800000u;
}

PRUNESID_PRIVATE_ int prunesid_all_finite_(const float *x, size_t n) {
    int bad = 0;
    for (size_t i = 0; i < n; i++) bad |= prunesid_not_finite_(x[i]);
    return !bad;
}

PRUNESID_PRIVATE_ int prunesid_all_finite64_(const double *x, size_t n) {
    int bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bad |= (bits & 0x7ff0000000000000u) == 0x7ff0000000000000u;
    }
    return !bad;
}

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

/* buffer [n] = n halves from the bytes at from: the caller's type may be one of its own. */
PRUNESID_INLINE_ const float *prunesid_widen_body_(
    prunesid_dtype dtype, const unsigned char *from, size_t n, float *buffer) {
    uint16_t half[PRUNESID_LANES_] = {0};
    float lane[PRUNESID_LANES_];
    size_t j = 0;
    for (; dtype == PRUNESID_F16 && j + PRUNESID_LANES_ <= n; j += PRUNESID_LANES_) {
        memcpy(half, from + j * sizeof *half, sizeof half);
        for (size_t l = 0; l < PRUNESID_LANES_; l++) lane[l] = prunesid_from_f16_(half[l]);
        memcpy(buffer + j, lane, sizeof lane);
    }
    for (; j < n; j++) {
        memcpy(half, from + j * sizeof *half, sizeof *half);
        buffer[j] = dtype == PRUNESID_F16 ? prunesid_from_f16_(*half) : prunesid_from_bf16_(*half);
    }
    return buffer;
}
PRUNESID_TARGETS_(const float *, prunesid_widen_, (dtype, from, n, buffer), prunesid_dtype dtype,
    const unsigned char *from, size_t n, float *buffer)

/* Elements [j, j + n) of row i as float32: in place for F32, else converted into buffer [n]. */
PRUNESID_PRIVATE_ const float *prunesid_row_(
    const prunesid_tokens *x, size_t i, size_t j, size_t n, float *buffer) {
    const size_t at = i * x->ld + j;
    if (x->dtype == PRUNESID_F32) return (const float *)x->data + at;
    const unsigned char *from = (const unsigned char *)x->data + at * sizeof(uint16_t);
    return prunesid_widen_(prunesid_simd_(), x->dtype, from, n, buffer);
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

/* a[j] = sigmoid(x[j]), added to sum [n]; or, if that is NULL, less their mean. */
PRUNESID_INLINE_ float *prunesid_sigmoids_body_(const float *x, size_t n, double *sum, float *a) {
    double own[PRUNESID_LANES_] = {0};
    size_t j = 0;
    for (; j + PRUNESID_LANES_ <= n; j += PRUNESID_LANES_) {
        double *to = sum != NULL ? sum + j : own;
        float lane[PRUNESID_LANES_]; /* a and x could overlap for all that the compiler knows */
        for (size_t l = 0; l < PRUNESID_LANES_; l++) lane[l] = prunesid_sigmoid_(x[j + l]);
        for (size_t l = 0; l < PRUNESID_LANES_; l++) to[l] += (double)lane[l];
        memcpy(a + j, lane, sizeof lane);
    }
    for (; j < n; j++) {
        a[j] = prunesid_sigmoid_(x[j]);
        *(sum != NULL ? sum + j : own) += (double)a[j];
    }
    for (size_t l = 1; l < PRUNESID_LANES_; l++) own[0] += own[l];
    const float mean = (float)(own[0] / (double)n);
    for (j = 0; sum == NULL && j + PRUNESID_LANES_ <= n; j += PRUNESID_LANES_)
        for (size_t l = 0; l < PRUNESID_LANES_; l++) a[j + l] -= mean;
    for (; sum == NULL && j < n; j++) a[j] -= mean;
    return a;
}
PRUNESID_TARGETS_(
    float *, prunesid_sigmoids_, (x, n, sum, a), const float *x, size_t n, double *sum, float *a)

/* The same in float64, for EXACT; the clamp keeps exp from touching errno. */
PRUNESID_PRIVATE_ double prunesid_sigmoid64_(double x) {
    x = x < -700.0 ? -700.0 : x;
    x = x > 700.0 ? 700.0 : x;
    return 1.0 / (1.0 + exp(-x));
}

/* Neither 1e30 nor 1e-38 squared leaves the range of float64. */
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

/* 1 / |x|, 0 for a zero row, -1 for one that is not finite; adds x / |x| to sum [n]. The squares'
 * sum in float64 is finite exactly if every element is. */
PRUNESID_INLINE_ double prunesid_unit_body_(const float *x, size_t n, double *sum) {
    const double square = prunesid_dot64_(x, x, n);
    const double inverse = square > 0.0 ? 1.0 / sqrt(square) : 0.0;
    size_t j = 0;
    if (!prunesid_all_finite64_(&square, 1)) return -1.0;
    for (; j + PRUNESID_LANES_ <= n; j += PRUNESID_LANES_)
        for (size_t l = 0; l < PRUNESID_LANES_; l++) sum[j + l] += (double)x[j + l] * inverse;
    for (; j < n; j++) sum[j] += (double)x[j] * inverse;
    return inverse;
}
PRUNESID_TARGETS_(double, prunesid_unit_, (x, n, sum), const float *x, size_t n, double *sum)

/* x . y in float32: within (n + 8) 2^-24 |x| |y|. */
PRUNESID_INLINE_ float prunesid_dot_body_(const float *x, const float *y, size_t n) {
    float lane[2 * PRUNESID_LANES_] = {0};
    float sum = 0.0f;
    size_t j = 0;
    for (; j + 2 * PRUNESID_LANES_ <= n; j += 2 * PRUNESID_LANES_)
        for (size_t l = 0; l < 2 * PRUNESID_LANES_; l++) lane[l] += x[j + l] * y[j + l];
    for (; j < n; j++) sum += x[j] * y[j];
    for (size_t l = 0; l < 2 * PRUNESID_LANES_; l++) sum += lane[l];
    return sum;
}
PRUNESID_TARGETS_(float, prunesid_dot_, (x, y, n), const float *x, const float *y, size_t n)

/* C = alpha op(A) op(B) + beta C, row-major, in products of m n k <= 2^18: OpenBLAS calls no
 * threads then, so that the bits depend on the operands alone. It costs the same, within 5 %. */
#define PRUNESID_GEMM_(name, real, blas)                                                           \
    PRUNESID_PRIVATE_ void name(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, size_t m, size_t n,        \
        size_t k, real alpha, const real *a, size_t lda, const real *b, size_t ldb, real beta,     \
        real *c, size_t ldc) {                                                                     \
        const size_t tn = n < 64 ? n : 64, tm = m < 64 ? m : 64;                                   \
        const size_t most = tm * tn > 0 ? ((size_t)1 << 18) / (tm * tn) : 1;                       \
        const size_t tk = k < most ? k : most;                                                     \
        for (size_t i = 0; i < m; i += tm)                                                         \
            for (size_t j = 0; j < n; j += tn)                                                     \
                for (size_t p = 0; p < k; p += tk)                                                 \
                    blas(CblasRowMajor, ta, tb, (int)(m - i < tm ? m - i : tm),                    \
                        (int)(n - j < tn ? n - j : tn), (int)(k - p < tk ? k - p : tk), alpha,     \
                        ta == CblasTrans ? a + p * lda + i : a + i * lda + p, (int)lda,            \
                        tb == CblasTrans ? b + j * ldb + p : b + p * ldb + j, (int)ldb,            \
                        p == 0 ? beta : (real)1, c + i * ldc + j, (int)ldc);                       \
    }
PRUNESID_GEMM_(prunesid_sgemm_, float, cblas_sgemm)
PRUNESID_GEMM_(prunesid_dgemm_, double, cblas_dgemm)
#undef PRUNESID_GEMM_

/* Tiles of the products below: out [<= 8, 3] = X Y^T over k floats, and out [<= 8, 48] (+)= X Y
 * over k rows of Y; half of that for AVX2. Intrinsics, since compilers do not fuse a * b + c under
 * -std=c99. What lies beyond m and n is read from a place that exists, and not stored. */
#if PRUNESID_SIMD > 0
#define PRUNESID_EACH_(i, n) _Pragma("GCC unroll 8") for (size_t i = 0; i < (n); i++)
#define PRUNESID_GRID_(c, mr, r) PRUNESID_EACH_(c, mr) PRUNESID_EACH_(r, 3)
#define PRUNESID_ROW_(a, ld, i, n) ((a) + ((i) < (n) ? (i) : 0) * (ld))
#define PRUNESID_TILES_(suffix, real, mm, lanes, mr, halve)                                        \
    PRUNESID_TARGET_##suffix void prunesid_dots_##suffix(size_t m, size_t n, size_t k,             \
        const float *x, size_t ldx, const float *y, size_t ldy, float *out, size_t ldo) {          \
        const float *xs[mr], *ys[3];                                                               \
        real sum[3][mr], v[3];                                                                     \
        PRUNESID_EACH_(c, mr) xs[c] = PRUNESID_ROW_(x, ldx, c, m);                                 \
        PRUNESID_EACH_(r, 3) ys[r] = PRUNESID_ROW_(y, ldy, r, n);                                  \
        PRUNESID_GRID_(c, mr, r) sum[r][c] = mm##_setzero_ps();                                    \
        for (size_t p = 0; p < k; p += lanes) {                                                    \
            PRUNESID_EACH_(r, 3) v[r] = mm##_loadu_ps(ys[r] + p);                                  \
            PRUNESID_GRID_(c, mr, r)                                                               \
            sum[r][c] = mm##_fmadd_ps(mm##_loadu_ps(xs[c] + p), v[r], sum[r][c]);                  \
        }                                                                                          \
        PRUNESID_EACH_(r, 3) PRUNESID_EACH_(q, mr / 4) {                                           \
            const real *four = sum[r] + 4 * q;                                                     \
            const __m256 left = _mm256_hadd_ps(halve(four[0]), halve(four[1]));                    \
            const __m256 right = _mm256_hadd_ps(halve(four[2]), halve(four[3]));                   \
            float sums[8];                                                                         \
            _mm256_storeu_ps(sums, _mm256_hadd_ps(left, right));                                   \
            for (size_t c = 0; c < 4 && 4 * q + c < m && r < n; c++)                               \
                out[(4 * q + c) * ldo + r] = sums[c] + sums[c + 4];                                \
        }                                                                                          \
    }                                                                                              \
    PRUNESID_TARGET_##suffix void prunesid_sums_##suffix(size_t m, size_t n, size_t k,             \
        const float *x, size_t ldx, const float *y, size_t ldy, int add, float *out, size_t ldo) { \
        const float *xs[mr];                                                                       \
        size_t at[3];                                                                              \
        real sum[mr][3], v[3];                                                                     \
        PRUNESID_EACH_(r, 3) at[r] = r * lanes < n ? r * lanes : 0;                                \
        PRUNESID_EACH_(c, mr) xs[c] = PRUNESID_ROW_(x, ldx, c, m);                                 \
        PRUNESID_GRID_(c, mr, r)                                                                   \
        sum[c][r] =                                                                                \
            add ? mm##_loadu_ps(PRUNESID_ROW_(out, ldo, c, m) + at[r]) : mm##_setzero_ps();        \
        for (size_t p = 0; p < k; p++) {                                                           \
            PRUNESID_EACH_(r, 3) v[r] = mm##_loadu_ps(y + p * ldy + at[r]);                        \
            PRUNESID_GRID_(c, mr, r)                                                               \
            sum[c][r] = mm##_fmadd_ps(mm##_set1_ps(xs[c][p]), v[r], sum[c][r]);                    \
        }                                                                                          \
        PRUNESID_GRID_(c, mr, r)                                                                   \
        if (c < m && r * lanes < n) mm##_storeu_ps(out + c * ldo + at[r], sum[c][r]);              \
    }
#define PRUNESID_HALF_(v, half)                                                                    \
    _mm256_castpd_ps(_mm512_maskz_extractf64x4_pd(15, _mm512_castps_pd(v), half))
#define PRUNESID_HALVE_(v) _mm256_add_ps(PRUNESID_HALF_(v, 0), PRUNESID_HALF_(v, 1))
#define PRUNESID_WHOLE_(v) v
PRUNESID_TILES_(512_, __m512, _mm512, 16, 8, PRUNESID_HALVE_)
PRUNESID_TILES_(256_, __m256, _mm256, 8, 4, PRUNESID_WHOLE_)
#undef PRUNESID_WHOLE_
#undef PRUNESID_HALVE_
#undef PRUNESID_HALF_
#undef PRUNESID_TILES_
#undef PRUNESID_ROW_
#undef PRUNESID_GRID_
#undef PRUNESID_EACH_
#endif

/* out [m, n] = X [m, k] Y^T (k a multiple of 16), or (+)= X Y (n a multiple of 16), for few rows m:
 * BLAS would take longer to pack Y than to multiply by it. Within (k + 8) 2^-24 |x| |y|. */
PRUNESID_PRIVATE_ void prunesid_dots_(int simd, size_t m, size_t n, size_t k, const float *x,
    size_t ldx, const float *y, size_t ldy, float *out, size_t ldo) {
#if PRUNESID_SIMD > 0
    const size_t step = simd > 1 ? 8 : 4, rows = 24; /* of Y: stay cached while X passes */
    for (size_t at = 0; at < n && simd > 0; at += rows)
        for (size_t i = 0; i < m; i += step)
            for (size_t j = at; j < n && j < at + rows; j += 3)
                (simd > 1 ? prunesid_dots_512_ : prunesid_dots_256_)(
                    m - i, n - j, k, x + i * ldx, ldx, y + j * ldy, ldy, out + i * ldo + j, ldo);
#endif
    if (simd == 0)
        prunesid_sgemm_(CblasNoTrans, CblasTrans, m, n, k, 1.0f, x, ldx, y, ldy, 0.0f, out, ldo);
}

PRUNESID_PRIVATE_ void prunesid_sums_(int simd, size_t m, size_t n, size_t k, const float *x,
    size_t ldx, const float *y, size_t ldy, int add, float *out, size_t ldo) {
#if PRUNESID_SIMD > 0
    const size_t step = simd > 1 ? 8 : 4, width = 6 * step, rows = 24;
    for (size_t p = 0; p < k && simd > 0; p += rows)
        for (size_t i = 0; i < m; i += step)
            for (size_t j = 0; j < n; j += width)
                (simd > 1 ? prunesid_sums_512_ : prunesid_sums_256_)(m - i, n - j,
                    k - p < rows ? k - p : rows, x + i * ldx + p, ldx, y + p * ldy + j, ldy,
                    add || p > 0, out + i * ldo + j, ldo);
#endif
    if (simd == 0)
        prunesid_sgemm_(
            CblasNoTrans, CblasNoTrans, m, n, k, 1.0f, x, ldx, y, ldy, add ? 1.0f : 0.0f, out, ldo);
}

/* Order float32 numbers by size, and by value, on the bits: subnormals may count as zero. */
PRUNESID_PRIVATE_ uint32_t prunesid_size_(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffffu;
}

PRUNESID_PRIVATE_ double prunesid_key_(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits >> 31 ? -(double)prunesid_size_(x) : (double)bits;
}

typedef struct prunesid_rank_ {
    double key;
    int32_t index;
} prunesid_rank_;

PRUNESID_PRIVATE_ int prunesid_before_(const prunesid_rank_ *a, const prunesid_rank_ *b) {
    return a->key > b->key || (a->key >= b->key && a->index < b->index);
}

/* Shell sort: falling key, the lower index first among equals; qsort may allocate. */
PRUNESID_PRIVATE_ void prunesid_sort_(prunesid_rank_ *r, size_t n) {
    size_t gap = 1;
    while (gap < n / 3) gap = 3 * gap + 1;
    for (; gap > 0; gap /= 3)
        for (size_t i = gap, hole; i < n; i++) {
            const prunesid_rank_ moved = r[i];
            for (hole = i; hole >= gap && prunesid_before_(&moved, &r[hole - gap]); hole -= gap)
                r[hole] = r[hole - gap];
            r[hole] = moved;
        }
}

/* ---- >>checks ----------------------------------------------------------------------------- */
/* a * b, or SIZE_MAX if it does not fit; SIZE_MAX stays SIZE_MAX. */
PRUNESID_PRIVATE_ size_t prunesid_times_(size_t a, size_t b) {
    return b != 0 && a > SIZE_MAX / b ? SIZE_MAX : a * b;
}

PRUNESID_PRIVATE_ int prunesid_ascending_(const int32_t *indices, size_t n, size_t limit) {
    for (size_t j = 0; j < n; j++)
        if (indices[j] <= (j > 0 ? indices[j - 1] : -1) || (size_t)indices[j] >= limit) return 0;
    return 1;
}

PRUNESID_PRIVATE_ prunesid_status prunesid_check_config_(const prunesid_config *config) {
    const size_t T = config->n_tokens, d = config->dim, N = config->budget;
    if (T == 0 || d == 0) return PRUNESID_ERROR_EMPTY;
    if (T > INT32_MAX || d > INT32_MAX) return PRUNESID_ERROR_DIMENSION;
    if (prunesid_times_(T, prunesid_times_(d, sizeof(float))) > SIZE_MAX / 2)
        return PRUNESID_ERROR_OVERFLOW;
    if ((unsigned)config->preset > PRUNESID_QWEN2VL) return PRUNESID_ERROR_PRESET;
    if ((unsigned)config->svd > PRUNESID_SVD_SKETCH) return PRUNESID_ERROR_SVD;
    if (N == 0 || N > INT32_MAX) return PRUNESID_ERROR_BUDGET;
    if (config->reserved >= N) return PRUNESID_ERROR_RESERVED;
    if (config->n_groups == 0 || config->n_groups > INT32_MAX) return PRUNESID_ERROR_GROUPS;
    if (config->n_protected > 0 && config->protected_indices == NULL) return PRUNESID_ERROR_NULL;
    if (config->n_protected > prunesid_n_kept(config)) return PRUNESID_ERROR_PROTECTED_COUNT;
    const int good = prunesid_ascending_(config->protected_indices, config->n_protected, T);
    return good ? PRUNESID_OK : PRUNESID_ERROR_PROTECTED_INDEX;
}

PRUNESID_PRIVATE_ int prunesid_misaligned_(const void *data, size_t item_bytes) {
    return (uintptr_t)data % item_bytes != 0;
}

PRUNESID_PRIVATE_ size_t prunesid_item_bytes_(prunesid_dtype dtype) {
    return dtype == PRUNESID_F32 ? sizeof(float) : sizeof(uint16_t);
}

PRUNESID_PRIVATE_ prunesid_status prunesid_check_view_(const prunesid_tokens *x) {
    if (x->n_tokens == 0 || x->dim == 0) return PRUNESID_ERROR_EMPTY;
    if (x->n_tokens > INT32_MAX || x->dim > INT32_MAX) return PRUNESID_ERROR_DIMENSION;
    if (x->ld < x->dim) return PRUNESID_ERROR_STRIDE;
    if ((unsigned)x->dtype > PRUNESID_BF16) return PRUNESID_ERROR_DTYPE;
    if (prunesid_times_(x->n_tokens, prunesid_times_(x->ld, sizeof(float))) > SIZE_MAX / 2)
        return PRUNESID_ERROR_OVERFLOW;
    if (x->data == NULL) return PRUNESID_ERROR_NULL;
    const int misaligned = prunesid_misaligned_(x->data, prunesid_item_bytes_(x->dtype));
    return misaligned ? PRUNESID_ERROR_ALIGNMENT : PRUNESID_OK;
}

PRUNESID_PUBLIC_ prunesid_status prunesid_tokens_check(
    const prunesid_tokens *tokens, size_t *row, size_t *column) {
    if (tokens == NULL) return PRUNESID_ERROR_NULL;
    PRUNESID_TRY_(prunesid_check_view_(tokens));
    float buffer[PRUNESID_PANEL_];
    for (size_t i = 0; i < tokens->n_tokens; i++)
        for (size_t j = 0, n; j < tokens->dim; j += n) {
            n = tokens->dim - j < PRUNESID_PANEL_ ? tokens->dim - j : PRUNESID_PANEL_;
            const float *x = prunesid_row_(tokens, i, j, n, buffer);
            for (size_t k = 0; k < n; k++)
                if (prunesid_not_finite_(x[k])) {
                    if (row != NULL) *row = i;
                    if (column != NULL) *column = j + k;
                    return PRUNESID_ERROR_TOKENS_NOT_FINITE;
                }
        }
    return PRUNESID_OK;
}

PRUNESID_PRIVATE_ prunesid_status prunesid_check_scores_(const float *scores, size_t n_tokens) {
    if (prunesid_misaligned_(scores, sizeof(float))) return PRUNESID_ERROR_ALIGNMENT;
    return prunesid_all_finite_(scores, n_tokens) ? PRUNESID_OK : PRUNESID_ERROR_SCORES_NOT_FINITE;
}

PRUNESID_PRIVATE_ prunesid_status prunesid_check_workspace_(
    size_t needed, const void *workspace, size_t bytes) {
    if (needed == 0) return PRUNESID_ERROR_OVERFLOW;
    if (workspace == NULL) return PRUNESID_ERROR_NULL;
    if (prunesid_misaligned_(workspace, PRUNESID_ALIGNMENT))
        return PRUNESID_ERROR_WORKSPACE_ALIGNMENT;
    return bytes < needed ? PRUNESID_ERROR_WORKSPACE_SHORT : PRUNESID_OK;
}

/* More components than min(T, d) can only come from elsewhere. */
PRUNESID_PRIVATE_ prunesid_status prunesid_check_own_svd_(const prunesid_config *config) {
    const int fits = config->n_groups <= config->n_tokens && config->n_groups <= config->dim;
    return fits ? PRUNESID_OK : PRUNESID_ERROR_GROUPS;
}

/* What a function that works on tokens checks first; *resolved is config with AUTO gone. */
PRUNESID_PRIVATE_ prunesid_status prunesid_check_input_(const prunesid_config *config,
    int has_scores, const prunesid_tokens *tokens, prunesid_config *resolved) {
    if (config == NULL || tokens == NULL) return PRUNESID_ERROR_NULL;
    *resolved = prunesid_config_resolve(config, has_scores);
    PRUNESID_TRY_(prunesid_check_config_(resolved));
    PRUNESID_TRY_(prunesid_check_view_(tokens));
    const int same = tokens->n_tokens == config->n_tokens && tokens->dim == config->dim;
    return same ? PRUNESID_OK : PRUNESID_ERROR_SHAPE;
}

/* ---- >>workspace -------------------------------------------------------------------------- */
typedef struct prunesid_arena_ {
    unsigned char *base; /* NULL while only the size is asked for */
    size_t used, peak;   /* SIZE_MAX / 2 once something did not fit */
} prunesid_arena_;

PRUNESID_PRIVATE_ void *prunesid_take_(prunesid_arena_ *arena, size_t n, size_t item_bytes) {
    const size_t at = arena->used;
    size_t bytes = prunesid_times_(n, item_bytes);
    bytes = bytes > SIZE_MAX / 4 ? SIZE_MAX : (bytes + 63) / 64 * 64;
    arena->used = at > SIZE_MAX / 4 || bytes == SIZE_MAX ? SIZE_MAX / 2 : at + bytes;
    arena->peak = arena->used > arena->peak ? arena->used : arena->peak;
    return arena->base != NULL ? arena->base + at : NULL;
}

#define PRUNESID_TAKE_(array, type, n) array = (type *)prunesid_take_(arena, n, sizeof(type))

/* Scratch of LAPACK, and its answer: the top k eigenpairs by rising value, vectors as rows. */
typedef struct prunesid_eigen_ {
    double *values, *vectors, *work; /* [n], [k, n], [44, n] */
    lapack_int *iwork;               /* [3, n] */
} prunesid_eigen_;

PRUNESID_PRIVATE_ void prunesid_take_eigen_(
    prunesid_arena_ *arena, size_t n, size_t k, prunesid_eigen_ *eigen) {
    PRUNESID_TAKE_(eigen->values, double, n);
    PRUNESID_TAKE_(eigen->vectors, double, prunesid_times_(n, k));
    PRUNESID_TAKE_(eigen->work, double, prunesid_times_(44, n));
    PRUNESID_TAKE_(eigen->iwork, lapack_int, prunesid_times_(3, n));
}

/* The arrays of EXACT, of KRYLOV and SKETCH, and of NMS lie in the same bytes. */
typedef struct prunesid_plan_ {
    size_t T, d, K;
    size_t n, Tp, dp;                /* min(T, d); T and d padded */
    size_t block;                    /* b: vectors that KRYLOV adds in a step; K for SKETCH */
    size_t most;                     /* the largest basis */
    int direct;                      /* EXACT at once: asked for, or cheaper */
    int simd;                        /* which kernels */
    int by_channel;                  /* centre each channel, else each token */
    double *inverse;                 /* [T] 1 / |x_i|, 0 for a zero row */
    double *sum;                     /* [d] */
    float *row;                      /* [max(d, 64)] */
    float *V, *loading;              /* [T, K], [T] */
    int32_t *group, *order, *picked; /* [T]; tokens by group, survivors first; the kept as picked */
    int32_t *members, *survivors, *quota; /* [K] */
    prunesid_rank_ *rank;                 /* [max(T, K)] */
    uint8_t *state;                       /* [T] */
    /* EXACT */
    double *mean;          /* [max(T, d)] */
    double *panel;         /* [64, max(T, d)] part of A */
    double *part;          /* [64, K] */
    double *gram;          /* [n, n] */
    prunesid_eigen_ exact; /* n, K */
    /* KRYLOV and SKETCH; vectors are rows, padded with zeros */
    float *A;             /* [T, dp] */
    float *Q;             /* [most, Tp] basis */
    float *B, *B2;        /* [block, Tp] next vectors */
    float *W;             /* [block, dp] Q A of the newest */
    float *C;             /* [block, most] */
    float *H;             /* [most, most] Q A A^T Q^T, lower triangle */
    double *H2;           /* [most, most] its copy for LAPACK */
    double *G;            /* [block, 2 block] */
    prunesid_eigen_ ritz; /* most, max(block, K) */
    float *wide;          /* NMS: [T, d] the tokens, where they are not float32 */
} prunesid_plan_;

/* n up to an odd multiple of 16: rows an even number of cache lines apart compete for a cache's
 * sets, at up to twice the time. */
PRUNESID_PRIVATE_ size_t prunesid_padded_(size_t n) {
    return ((n + PRUNESID_LANES_ - 1) / PRUNESID_LANES_ | 1) * PRUNESID_LANES_;
}

PRUNESID_PRIVATE_ void prunesid_lay_out_(
    const prunesid_config *config, prunesid_arena_ *arena, prunesid_plan_ *p) {
    const size_t T = config->n_tokens, d = config->dim, K = config->n_groups;
    const size_t larger = T > d ? T : d, n = T < d ? T : d;
    memset(p, 0, sizeof *p);
    p->T = T;
    p->d = d;
    p->K = K;
    p->n = n;
    p->Tp = prunesid_padded_(T);
    p->dp = prunesid_padded_(d);
    p->simd = prunesid_simd_();
    p->by_channel = config->preset == PRUNESID_PAPER;
    /* Small blocks cost fewer flops to convergence, large ones read A fewer times. Where K is too
     * large, the basis of the largest K below is laid out: a smaller budget needs no more room. */
    size_t k = K < n ? K : n;
    for (; k > 0; k--) {
        p->block = k <= 64 ? 8 : k <= 128 ? 16 : 32;
        p->most = 2 * k + 12 * p->block;
        if (n <= 192 || 2 * k + p->most <= n) break;
    }
    p->direct = n <= 192 || k < K || config->svd == PRUNESID_SVD_EXACT;
    /* A workspace need only be aligned to 16 bytes, vectors that straddle cache lines cost double */
    arena->used = arena->base != NULL ? (size_t)(0 - (uintptr_t)arena->base) % 64 : 48;
    if (config->svd == PRUNESID_SVD_SKETCH) {
        p->block = p->most = K;
        p->direct = 0;
    }
    PRUNESID_TAKE_(p->inverse, double, T);
    PRUNESID_TAKE_(p->sum, double, d);
    PRUNESID_TAKE_(p->row, float, d > PRUNESID_PANEL_ ? d : PRUNESID_PANEL_);
    PRUNESID_TAKE_(p->V, float, prunesid_times_(T, K));
    PRUNESID_TAKE_(p->loading, float, T);
    PRUNESID_TAKE_(p->group, int32_t, T);
    PRUNESID_TAKE_(p->order, int32_t, T);
    PRUNESID_TAKE_(p->picked, int32_t, T);
    PRUNESID_TAKE_(p->members, int32_t, K);
    PRUNESID_TAKE_(p->survivors, int32_t, K);
    PRUNESID_TAKE_(p->quota, int32_t, K);
    PRUNESID_TAKE_(p->rank, prunesid_rank_, T > K ? T : K);
    PRUNESID_TAKE_(p->state, uint8_t, T);

    const size_t shared = arena->used;
    PRUNESID_TAKE_(p->wide, float, prunesid_times_(T, d));
    if (K > n) return; /* loadings from elsewhere: no SVD of ours */

    if (config->svd != PRUNESID_SVD_SKETCH) {
        arena->used = shared;
        PRUNESID_TAKE_(p->mean, double, larger);
        PRUNESID_TAKE_(p->panel, double, prunesid_times_(PRUNESID_PANEL_, larger));
        PRUNESID_TAKE_(p->part, double, prunesid_times_(PRUNESID_PANEL_, K));
        PRUNESID_TAKE_(p->gram, double, prunesid_times_(n, n));
        prunesid_take_eigen_(arena, n, K, &p->exact);
    }
    if (config->svd == PRUNESID_SVD_SKETCH || (config->svd == PRUNESID_SVD_KRYLOV && n > 192)) {
        const size_t m = p->most, b = p->block;
        arena->used = shared;
        PRUNESID_TAKE_(p->A, float, prunesid_times_(T, p->dp));
        PRUNESID_TAKE_(p->Q, float, prunesid_times_(p->Tp, m));
        PRUNESID_TAKE_(p->B, float, prunesid_times_(p->Tp, b));
        PRUNESID_TAKE_(p->B2, float, prunesid_times_(p->Tp, b));
        PRUNESID_TAKE_(p->W, float, prunesid_times_(p->dp, b));
        PRUNESID_TAKE_(p->C, float, prunesid_times_(m, b));
        PRUNESID_TAKE_(p->H, float, prunesid_times_(m, m));
        PRUNESID_TAKE_(p->H2, double, prunesid_times_(m, m));
        PRUNESID_TAKE_(p->G, double, prunesid_times_(2 * b, b));
        prunesid_take_eigen_(arena, m, config->svd == PRUNESID_SVD_SKETCH ? K : k, &p->ritz);
    }
}

PRUNESID_PRIVATE_ prunesid_status prunesid_open_(const prunesid_config *config,
    const prunesid_config *c, void *workspace, size_t workspace_bytes, prunesid_plan_ *plan) {
    prunesid_arena_ arena = {(unsigned char *)workspace, 0, 0};
    PRUNESID_TRY_(
        prunesid_check_workspace_(prunesid_workspace_size(config), workspace, workspace_bytes));
    prunesid_lay_out_(c, &arena, plan);
    return PRUNESID_OK;
}

/* ---- >>redundancy: Eq. 4 ------------------------------------------------------------------ */
/* Fills p->inverse as well. With s = |sum_i x_i / |x_i||^2 and z nonzero rows, the sum over pairs
 * i < j is (s - z) / 2, and with the diagonal (s + z) / 2. */
PRUNESID_PRIVATE_ prunesid_status prunesid_redundancy_(
    prunesid_plan_ *p, const prunesid_tokens *x, prunesid_information *out) {
    const size_t T = p->T, d = p->d;
    double z = 0.0, s = 0.0;
    memset(p->sum, 0, d * sizeof(double));
    for (size_t i = 0; i < T; i++) {
        const float *row = prunesid_row_(x, i, 0, d, p->row);
        p->inverse[i] = prunesid_unit_(p->simd, row, d, p->sum);
        if (p->inverse[i] < 0.0) return PRUNESID_ERROR_TOKENS_NOT_FINITE;
        z += p->inverse[i] > 0.0 ? 1.0 : 0.0;
    }
    for (size_t j = 0; j < d; j++) s += p->sum[j] * p->sum[j];
    const double rounding = 2.220446049250313e-16 * (double)T * z; /* T sums into each of p->sum */
    const double pairs = fabs(s - z) > rounding ? s - z : 0.0;
    out->rho = T > 1 ? pairs / ((double)T * (double)(T - 1)) : 0.0;
    out->rho = out->rho < 1.0 ? out->rho : 1.0; /* rounding as well */
    out->rho_cells = (s + z) / (2.0 * (double)T * (double)T);
    out->phi = 1.0 - out->rho;
    out->n_nonzero = (size_t)z;
    return PRUNESID_OK;
}

/* ---- >>psca: Eq. 1 and 2 ------------------------------------------------------------------ */
/* The k largest eigenpairs of g [n, n], whose upper triangle is read and destroyed; those below
 * 1e-14 of the largest are noise and become 0. In place of dsyevr, whose bisection costs three
 * times dsterf. 0, or what LAPACK said, or -1000 for an answer that is not finite. */
PRUNESID_PRIVATE_ int prunesid_eigen_top_(
    const prunesid_eigen_ *eigen, double *g, size_t n, size_t k) {
    double *values = eigen->values, *diagonal = eigen->work, *beside = diagonal + n;
    double *tau = beside + n, *copy = tau + n, *work = copy + n;
    lapack_int *block = eigen->iwork, *failed = block + n, *iwork = failed + n;
    const lapack_int size = (lapack_int)n; /* row-major upper is column-major lower */
    size_t found = 0;
    lapack_int info = LAPACKE_dsytrd_work(
        LAPACK_COL_MAJOR, 'L', size, g, size, diagonal, beside, tau, work, 40 * size);
    memcpy(values, diagonal, n * sizeof(double));
    memcpy(copy, beside, (n - 1) * sizeof(double));
    info = info != 0 ? info : LAPACKE_dsterf_work(size, values, copy);
    if (info != 0) return (int)info;
    if (!prunesid_all_finite64_(values, n)) return -1000;
    memmove(values, values + n - k, k * sizeof(double));
    while (found < k && values[k - 1 - found] > 1e-14 * values[k - 1]) found++;
    double *vectors = eigen->vectors + (k - found) * n;
    memset(values, 0, (k - found) * sizeof(double));
    memset(eigen->vectors, 0, (k - found) * n * sizeof(double));
    for (size_t i = 0; i < n; i++) block[i] = 1; /* all in one, which ends at n */
    info = LAPACKE_dstein_work(LAPACK_COL_MAJOR, size, diagonal, beside, (lapack_int)found,
        values + k - found, block, &size, vectors, size, work, iwork, failed);
    if (info == 0 && prunesid_all_finite64_(vectors, found * n)) {
        info = LAPACKE_dormtr_work(LAPACK_COL_MAJOR, 'L', 'L', 'N', size, (lapack_int)found, g,
            size, tau, vectors, size, work, 40 * size);
    } else { /* inverse iteration can fail in a cluster: QR finds all the vectors, in place of g */
        info = LAPACKE_dorgtr_work(LAPACK_COL_MAJOR, 'L', size, g, size, tau, work, 40 * size);
        info = info != 0 ? info
                         : LAPACKE_dsteqr_work(
                               LAPACK_COL_MAJOR, 'V', size, diagonal, beside, g, size, work);
        memcpy(vectors, g + (n - found) * n, found * n * sizeof(double));
    }
    if (info != 0) return (int)info;
    return prunesid_all_finite64_(vectors, found * n) ? 0 : -1000;
}

/* p->mean = the mean of sigmoid(X) of each channel (over tokens) or of each token (over channels). */
PRUNESID_PRIVATE_ void prunesid_means_(const prunesid_plan_ *p, const prunesid_tokens *x) {
    const size_t T = p->T, d = p->d, count = p->by_channel ? d : T;
    memset(p->mean, 0, count * sizeof(double));
    for (size_t i = 0; i < T; i++) {
        const float *row = prunesid_row_(x, i, 0, d, p->row);
        for (size_t j = 0; j < d; j++)
            p->mean[p->by_channel ? j : i] += prunesid_sigmoid64_((double)row[j]);
    }
    for (size_t k = 0; k < count; k++) p->mean[k] /= (double)(p->by_channel ? T : d);
}

/* p->panel [n_rows, n] = A's rows from at on, or its columns, where tokens are the smaller side. */
PRUNESID_PRIVATE_ void prunesid_panel_(
    const prunesid_plan_ *p, const prunesid_tokens *x, size_t at, size_t n_rows) {
    const int on_channels = p->d <= p->T;
    const size_t first = on_channels ? at : 0, end = on_channels ? at + n_rows : p->T;
    const size_t begin = on_channels ? 0 : at, cols = on_channels ? p->d : n_rows;
    for (size_t i = first; i < end; i++) {
        const float *row = prunesid_row_(x, i, begin, cols, p->row);
        for (size_t j = 0; j < cols; j++)
            p->panel[on_channels ? (i - at) * p->n + j : j * p->n + i] =
                prunesid_sigmoid64_((double)row[j]) - p->mean[p->by_channel ? begin + j : i];
    }
}

/* V = top K left singular vectors of A, by the Gram matrix of the smaller side, summed over panels.
 * Squaring costs half of the 16 digits: singular values below 1e-6 of the largest count as 0. */
PRUNESID_PRIVATE_ int prunesid_exact_(const prunesid_plan_ *p, const prunesid_tokens *x) {
    const size_t T = p->T, d = p->d, K = p->K, n = p->n, step = PRUNESID_PANEL_;
    const int on_channels = d <= T;
    double trace = 0.0;
    prunesid_means_(p, x);
    for (size_t at = 0, end = on_channels ? T : d; at < end; at += step) {
        const size_t width = end - at < step ? end - at : step;
        prunesid_panel_(p, x, at, width);
        for (size_t j = 0; j < n; j += step) { /* the upper triangle, a block column at a time */
            const size_t cols = n - j < step ? n - j : step;
            prunesid_dgemm_(CblasTrans, CblasNoTrans, j + cols, cols, width, 1.0, p->panel, n,
                p->panel + j, n, at == 0 ? 0.0 : 1.0, p->gram + j, n);
        }
    }
    for (size_t i = 0; i < n; i++) {
        trace += p->gram[i * n + i];
        p->state[i] = p->gram[i * n + i] > 0.0; /* no contrast in row i of A: no loadings */
    }
    memset(p->V, 0, T * K * sizeof(float));
    if (trace <= (double)T * (double)d * 1e-24) return 0; /* no more than the means' rounding */
    const int info = prunesid_eigen_top_(&p->exact, p->gram, n, K);
    if (info != 0) return info;
    size_t rank = 0;
    while (rank < K && p->exact.values[K - 1 - rank] > 1e-12 * p->exact.values[K - 1]) rank++;
    if (!on_channels) {
        for (size_t k = 0; k < rank; k++)
            for (size_t i = 0; i < T; i++)
                p->V[i * K + k] = p->state[i] ? (float)p->exact.vectors[(K - 1 - k) * n + i] : 0.0f;
        return 0;
    }
    for (size_t at = 0; at < T; at += step) { /* V = A W / s */
        const size_t rows = T - at < step ? T - at : step;
        prunesid_panel_(p, x, at, rows);
        prunesid_dgemm_(CblasNoTrans, CblasTrans, rows, K, d, 1.0, p->panel, d, p->exact.vectors, d,
            0.0, p->part, K);
        for (size_t i = 0; i < rows; i++)
            for (size_t k = 0; k < rank; k++)
                p->V[(at + i) * K + k] =
                    (float)(p->part[i * K + K - 1 - k] / sqrt(p->exact.values[K - 1 - k]));
    }
    return 0;
}

/* Whether some token's two largest loadings are too close for float32 to say which is larger. */
PRUNESID_PRIVATE_ int prunesid_undecided_(const prunesid_plan_ *p) {
    const float error = (float)(2e-5 / sqrt((double)p->T)); /* of an average loading: measured */
    for (size_t i = 0; i < p->T; i++) {
        float first = 0.0f, second = 0.0f;
        for (size_t k = 0; k < p->K; k++) {
            const float v = fabsf(p->V[i * p->K + k]);
            second = v > first ? first : v > second ? v : second;
            first = v > first ? v : first;
        }
        if (first - second <= error && first > 0.0f && p->K > 1) return 1;
    }
    return 0;
}

/* A = sigmoid(X) - mean in float32. */
PRUNESID_PRIVATE_ void prunesid_matrix_(const prunesid_plan_ *p, const prunesid_tokens *x) {
    const size_t T = p->T, d = p->d, ld = p->dp;
    memset(p->sum, 0, d * sizeof(double));
    for (size_t i = 0; i < T; i++) {
        float *a = p->A + i * ld;
        const float *row = prunesid_row_(x, i, 0, d, p->row);
        prunesid_sigmoids_(p->simd, row, d, p->by_channel ? p->sum : NULL, a);
        memset(a + d, 0, (ld - d) * sizeof(float));
    }
    for (size_t j = 0; j < d && p->by_channel; j++) p->row[j] = (float)(p->sum[j] / (double)T);
    for (size_t i = 0; i < T && p->by_channel; i++)
        for (size_t j = 0; j < d; j++) p->A[i * ld + j] -= p->row[j];
}

/* out [r, Tp] = an orthonormal basis of the rows of b [w, Tp], by pivoted Gauss-Jordan steps on
 * their Gram matrix (Cholesky QR), without rows of a squared length up to floor or already spanned. */
PRUNESID_PRIVATE_ size_t prunesid_orthonormalise_(
    const prunesid_plan_ *p, const float *b, size_t w, double floor, float *out) {
    double *g = p->G; /* [w, 2 w] the Gram matrix, and beside it what makes the basis of b */
    const size_t ld = 2 * w;
    size_t r = 0;
    prunesid_dots_(p->simd, w, w, p->Tp, b, p->Tp, b, p->Tp, p->C, w);
    memset(g, 0, w * ld * sizeof(double));
    for (size_t i = 0; i < w; i++) {
        const double square = (double)p->C[i * w + i];
        g[i * ld + w + i] = square > floor ? 1.0 / sqrt(square) : 0.0;
    }
    for (size_t i = 0; i < w; i++)
        for (size_t j = 0; j < w; j++)
            g[i * ld + j] = (double)p->C[i * w + j] * g[i * ld + w + i] * g[j * ld + w + j];
    for (; r < w; r++) {
        size_t best = 0;
        for (size_t i = 1; i < w; i++) best = g[i * ld + i] > g[best * ld + best] ? i : best;
        const double *row = g + best * ld;
        const double pivot = row[best], shrink = pivot > 1e-5 ? 1.0 / sqrt(pivot) : 0.0;
        if (shrink <= 0.0) break;
        for (size_t j = 0; j < w; j++) p->C[r * w + j] = (float)(row[w + j] * shrink);
        for (size_t i = 0; i < w; i++) {
            const double factor = i != best ? g[i * ld + best] / pivot : 0.0;
            for (size_t j = 0; j < ld; j++) g[i * ld + j] -= factor * row[j];
        }
        g[best * ld + best] = 0.0;
    }
    if (r > 0) prunesid_sums_(p->simd, r, p->Tp, w, p->C, w, b, p->Tp, 0, out, p->Tp);
    return r;
}

/* b [w, Tp] -= b Q^T Q over the first m basis vectors; p->C [w, m] = -b Q^T. */
PRUNESID_PRIVATE_ void prunesid_project_(const prunesid_plan_ *p, size_t m, float *b, size_t w) {
    if (m == 0) return;
    prunesid_dots_(p->simd, w, m, p->Tp, b, p->Tp, p->Q, p->Tp, p->C, m);
    for (size_t i = 0; i < w * m; i++) p->C[i] = -p->C[i];
    prunesid_sums_(p->simd, w, p->Tp, m, p->C, m, p->Q, p->Tp, 1, b, p->Tp);
}

PRUNESID_PRIVATE_ int prunesid_ritz_(const prunesid_plan_ *p, size_t m, size_t k) {
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j <= i; j++) p->H2[j * m + i] = (double)p->H[i * p->most + j];
    return prunesid_eigen_top_(&p->ritz, p->H2, m, k);
}

/* V[:, :k] = the top k Ritz vectors over the first m basis vectors, the other columns 0. */
PRUNESID_PRIVATE_ void prunesid_ritz_vectors_(const prunesid_plan_ *p, size_t m, size_t k) {
    memset(p->V, 0, p->T * p->K * sizeof(float));
    for (size_t at = 0; at < k; at += p->block) {
        const size_t w = k - at < p->block ? k - at : p->block;
        for (size_t c = 0; c < w; c++)
            for (size_t i = 0; i < m; i++)
                p->C[c * m + i] = (float)p->ritz.vectors[(k - 1 - at - c) * m + i];
        prunesid_sums_(p->simd, w, p->Tp, m, p->C, m, p->Q, p->Tp, 0, p->B, p->Tp);
        for (size_t i = 0; i < p->T; i++)
            for (size_t c = 0; c < w; c++) p->V[i * p->K + at + c] = p->B[c * p->Tp + i];
    }
}

/* p->B = q A A^T by way of p->W = q A, w vectors. */
PRUNESID_PRIVATE_ void prunesid_power_(const prunesid_plan_ *p, const float *q, size_t w) {
    prunesid_sums_(p->simd, w, p->dp, p->T, q, p->Tp, p->A, p->dp, 0, p->W, p->dp);
    prunesid_dots_(p->simd, w, p->T, p->dp, p->W, p->dp, p->A, p->dp, p->B, p->Tp);
}

/* p->B [block, Tp] = a start block, a function of the seed alone, times A^T. */
PRUNESID_PRIVATE_ void prunesid_start_(const prunesid_config *config, const prunesid_plan_ *p) {
    uint64_t state = config->seed;
    memset(p->B, 0, p->block * p->Tp * sizeof(float));
    for (size_t i = 0; i < p->dp * p->block; i++) { /* splitmix64, top 24 bits, in [-1, 1) */
        uint64_t z = (state += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        p->W[i] = (float)((int32_t)((z ^ (z >> 31)) >> 40) - 8388608) / 8388608.0f;
    }
    prunesid_dots_(p->simd, p->block, p->T, p->dp, p->W, p->dp, p->A, p->dp, p->B, p->Tp);
}

/* Block Krylov with full reorthogonalisation: Q spans B, A A^T B, (A A^T)^2 B ...; the Ritz vectors
 * of H = Q^T A A^T Q converge to the left singular vectors of A. The part of A A^T Q that Q does
 * not span is the next block, and its size is the residual.
 *   Neighbouring singular values are 1 to 4 % apart: what 4 steps keep of 576 x 1024 tokens is not what
 * 10 do. Blocks of 8 fill the registers of one pass over A. An eigenvalue problem costs as much as
 * 2 steps: none before 2 K + 48 vectors, where half the images are done, and then not before the
 * factor of 8 that a step gains promises success.
 *   Stop when every one of the top K has |A A^T v - theta v| <= 1e-6 theta + 4 eps theta_1: the
 * first term bounds the angle to the neighbours that are outside the basis (Rayleigh-Ritz separates
 * those inside it, so a gap of 0.1 % between two of the K does no harm), the second is the rounding
 * of float32. Not converged, returned as *converged = 0: when the basis is full, when A has fewer
 * than K directions, or when float32 cannot resolve the Kth (theta_K < 1e-5 theta_1). */
PRUNESID_PRIVATE_ int prunesid_krylov_(
    const prunesid_config *config, const prunesid_plan_ *p, prunesid_stats *stats, int *converged) {
    const size_t K = p->K, b = p->block, most = p->most, ld = p->Tp;
    size_t m = 0, w = b, next = 2 * K + 6 * b;
    double noise = 0.0; /* squared length below which a new direction is rounding */
    *converged = 0;
    prunesid_start_(config, p);
    while (m + b <= most) {
        const size_t r = prunesid_orthonormalise_(p, p->B, w, noise, p->B2);
        if (r == 0) return 0;
        prunesid_project_(p, m, p->B2, r);
        w = prunesid_orthonormalise_(p, p->B2, r, 1e-4, p->Q + m * ld);
        if (w == 0) return 0;
        prunesid_power_(p, p->Q + m * ld, w);
        for (size_t j = 0; j < w && stats->svd_iterations == 0; j++) {
            const double square = prunesid_dot64_(p->B + j * ld, p->B + j * ld, ld);
            noise = square * 1e-12 > noise ? square * 1e-12 : noise;
        }
        stats->svd_iterations++;
        prunesid_project_(p, m + w, p->B, w);
        for (size_t i = 0; i < w; i++)
            for (size_t j = 0; j < m + w; j++) p->H[(m + i) * most + j] = -p->C[i * (m + w) + j];
        m += w;
        if (m < next && m + b <= most) continue; /* too early for an eigenvalue problem */
        prunesid_dots_(p->simd, w, w, ld, p->B, ld, p->B, ld, p->C, w);
        const int info = prunesid_ritz_(p, m, K);
        if (info != 0) return info;
        const double largest = p->ritz.values[K - 1];
        double excess = 0.0; /* the worst residual over what it may be */
        stats->svd_residual = 0.0;
        for (size_t k = 0; k < K; k++) {
            const double theta = p->ritz.values[k];
            const double *tail = p->ritz.vectors + k * m + m - w;
            double square = 0.0;
            for (size_t i = 0; i < w; i++)
                for (size_t j = 0; j < w; j++)
                    square += tail[i] * (double)p->C[i * w + j] * tail[j];
            const double residual = square > 0.0 ? sqrt(square) : 0.0;
            const double allowed = 1e-6 * theta + 2.4e-7 * largest;
            excess = residual > excess * allowed ? residual / allowed : excess;
            stats->svd_residual =
                residual > stats->svd_residual * theta ? residual / theta : stats->svd_residual;
        }
        if (excess <= 1.0) {
            *converged = p->ritz.values[0] >= 1e-5 * largest;
            prunesid_ritz_vectors_(p, m, K);
            return 0;
        }
        for (next = m; excess > 1.0 && next < most; excess /= 8.0) /* what a step gains */
            next += b;
    }
    return 0;
}

/* The released code's randomised SVD: two power iterations on K vectors, then Rayleigh-Ritz. */
PRUNESID_PRIVATE_ int prunesid_sketch_(
    const prunesid_config *config, const prunesid_plan_ *p, prunesid_stats *stats) {
    prunesid_start_(config, p);
    size_t r = prunesid_orthonormalise_(p, p->B, p->K, 0.0, p->Q);
    for (; stats->svd_iterations < 2 && r > 0; stats->svd_iterations++) {
        prunesid_power_(p, p->Q, r);
        r = prunesid_orthonormalise_(p, p->B, r, 0.0, p->B2);
        r = prunesid_orthonormalise_(p, p->B2, r, 0.0, p->Q);
    }
    memset(p->V, 0, p->T * p->K * sizeof(float));
    if (r == 0) return 0;
    prunesid_sums_(p->simd, r, p->dp, p->T, p->Q, p->Tp, p->A, p->dp, 0, p->W, p->dp);
    prunesid_dots_(p->simd, r, r, p->dp, p->W, p->dp, p->W, p->dp, p->H, p->most);
    const int info = prunesid_ritz_(p, r, r);
    if (info == 0) prunesid_ritz_vectors_(p, r, r);
    return info;
}

PRUNESID_PRIVATE_ uint64_t prunesid_now_(const prunesid_config *config) {
    return config->clock_ns != NULL ? config->clock_ns() : 0;
}

PRUNESID_PRIVATE_ prunesid_status prunesid_loadings_(const prunesid_config *config,
    const prunesid_plan_ *p, const prunesid_tokens *x, prunesid_stats *stats) {
    const uint64_t start = prunesid_now_(config);
    uint64_t made = start;
    int info = 0, done = 0;
    stats->svd = config->svd;
    if (!p->direct) {
        prunesid_matrix_(p, x);
        made = prunesid_now_(config);
        if (config->svd == PRUNESID_SVD_SKETCH) {
            info = prunesid_sketch_(config, p, stats);
            done = 1;
        } else {
            info = prunesid_krylov_(config, p, stats, &done);
            done = done && (p->n > 1024 || !prunesid_undecided_(p)); /* where EXACT is affordable */
            stats->lapack_info = info;
        }
    }
    if (!done) {
        stats->svd = PRUNESID_SVD_EXACT;
        stats->svd_residual = 0.0;
        info = prunesid_exact_(p, x);
    }
    stats->ns_sigmoid = made - start;
    stats->ns_svd = prunesid_now_(config) - made;
    return info != 0 ? PRUNESID_ERROR_LAPACK : PRUNESID_OK;
}

/* ---- >>group: Eq. 3 ----------------------------------------------------------------------- */
PRUNESID_PUBLIC_ prunesid_status prunesid_group(const float *loadings, size_t n_tokens,
    size_t n_groups, size_t ld_loadings, int32_t *group, float *loading) {
    if (loadings == NULL || group == NULL || loading == NULL) return PRUNESID_ERROR_NULL;
    prunesid_tokens view = prunesid_tokens_view(loadings, PRUNESID_F32, n_tokens, n_groups);
    view.ld = ld_loadings;
    PRUNESID_TRY_(prunesid_check_view_(&view));
    for (size_t i = 0; i < n_tokens; i++)
        if (!prunesid_all_finite_(loadings + i * ld_loadings, n_groups))
            return PRUNESID_ERROR_LOADINGS_NOT_FINITE;
    for (size_t i = 0; i < n_tokens; i++) {
        const float *v = loadings + i * ld_loadings;
        size_t best = 0;
        for (size_t k = 1; k < n_groups; k++)
            if (prunesid_size_(v[k]) > prunesid_size_(v[best])) best = k;
        group[i] = (int32_t)best;
        loading[i] = fabsf(v[best]);
    }
    return PRUNESID_OK;
}

/* ---- >>threshold: Eq. 4 ------------------------------------------------------------------- */
PRUNESID_PUBLIC_ double prunesid_threshold(
    const prunesid_config *config, const prunesid_information *information) {
    const double N = (double)config->budget;
    if (config->preset == PRUNESID_PAPER || config->preset == PRUNESID_LLAVA)
        return N / 32.0 * information->rho;
    const double lambda = 18.0 * N / (double)config->n_tokens;
    return (lambda > 1.0 ? lambda : 1.0) * information->rho_cells;
}

/* ---- >>nms -------------------------------------------------------------------------------- */
PRUNESID_PRIVATE_ void prunesid_widen_all_(const prunesid_plan_ *p, const prunesid_tokens *x) {
    for (size_t i = 0; i < p->T && x->dtype != PRUNESID_F32; i++)
        prunesid_row_(x, i, 0, p->d, p->wide + i * p->d);
}

/* cos(x_i, x_j), in float32 where that decides on which side of tau it lies. */
PRUNESID_PRIVATE_ double prunesid_cosine_(
    const prunesid_plan_ *p, const prunesid_tokens *x, size_t i, size_t j, double tau) {
    const int in_place = x->dtype == PRUNESID_F32;
    const size_t d = p->d, ld = in_place ? x->ld : d;
    const float *rows = in_place ? (const float *)x->data : p->wide;
    const double scale = p->inverse[i] * p->inverse[j];
    const double bound = ((double)d + 8.0) * 1.1920928955078125e-7; /* 2^-23 */
    if (scale > 1e-30 && scale < 1e24) {                            /* float32 holds the products */
        const double cosine =
            (double)prunesid_dot_(p->simd, rows + i * ld, rows + j * ld, d) * scale;
        if (fabs(cosine - tau) > bound) return cosine;
    }
    return prunesid_dot64_(rows + i * ld, rows + j * ld, d) * p->inverse[i] * p->inverse[j];
}

/* As prunesid_nms documents; p->inverse is ready, p->wide is filled here if pairs matter. */
PRUNESID_PRIVATE_ void prunesid_nms_(const prunesid_config *config, const prunesid_plan_ *p,
    const prunesid_tokens *x, const int32_t *group, const float *scores, double tau, int32_t *order,
    int32_t *members, int32_t *survivors) {
    const size_t T = p->T, K = p->K;
    if (tau < 1.0) prunesid_widen_all_(p, x);
    memset(members, 0, K * sizeof(int32_t));
    for (size_t i = 0; i < T; i++) members[group[i]]++;
    /* Tokens by group: survivors[k] is where group k goes on until it gets its own meaning. */
    for (size_t k = 0; k < K; k++) survivors[k] = k > 0 ? survivors[k - 1] + members[k - 1] : 0;
    for (size_t i = 0, guard = 0; i < T; i++) {
        prunesid_rank_ *r = &p->rank[survivors[group[i]]++];
        r->key = prunesid_key_(scores[i]);
        r->index = (int32_t)i;
        if (guard < config->n_protected && config->protected_indices[guard] == r->index) {
            r->key = PRUNESID_FIRST_;
            guard++;
        }
    }
    for (size_t k = 0, begin = 0; k < K; begin += (size_t)members[k++]) {
        prunesid_rank_ *ranked = p->rank + begin;
        int32_t *out = order + begin;
        const size_t n = (size_t)members[k];
        size_t kept = 0, rest = 0;
        prunesid_sort_(ranked, n);
        for (size_t c = 0; c < n; c++) {
            const prunesid_rank_ candidate = ranked[c];
            int survives = candidate.key > 0.0;
            if (candidate.key < PRUNESID_FIRST_ && tau < 1.0)
                for (size_t s = 0; s < kept && survives; s++)
                    survives =
                        prunesid_cosine_(p, x, (size_t)candidate.index, (size_t)out[s], tau) <= tau;
            if (survives)
                out[kept++] = candidate.index;
            else
                ranked[rest++] = candidate; /* rest <= c: its own place is free */
        }
        for (size_t c = 0; c < rest; c++) out[kept + c] = ranked[c].index;
        survivors[k] = (int32_t)kept;
    }
}

/* ---- >>quotas ----------------------------------------------------------------------------- */
PRUNESID_PRIVATE_ void prunesid_quotas_proportional_(
    const prunesid_plan_ *p, const int32_t *survivors, size_t N, int32_t *quota) {
    size_t given = 0, n_survivors = 0;
    memcpy(quota, survivors, p->K * sizeof(int32_t));
    for (size_t k = 0; k < p->K; k++) n_survivors += (size_t)survivors[k];
    if (n_survivors <= N) return;
    const volatile double total = (double)n_survivors; /* no 1 / total under -ffast-math */
    for (size_t k = 0; k < p->K; k++) {
        const double exact = (double)N * (double)survivors[k] / total;
        quota[k] = (int32_t)exact;
        given += (size_t)quota[k];
        p->rank[k].key = exact - (double)quota[k];
        p->rank[k].index = (int32_t)k;
    }
    prunesid_sort_(p->rank, p->K);
    for (size_t k = 0; given < N; k++, given++) quota[p->rank[k].index]++;
}

/* The most that a group may give: min(cap, survivors) raised, but not above its members. */
PRUNESID_PRIVATE_ size_t prunesid_ceiling_(
    int32_t members, int32_t survivors, size_t cap, size_t raise) {
    const size_t up = ((size_t)survivors < cap ? (size_t)survivors : cap) + raise;
    return up < (size_t)members ? up : (size_t)members;
}

/* PAPER's rule or the released code's. Of N, reserved rows are not in the groups. */
PRUNESID_PRIVATE_ void prunesid_quotas_(const prunesid_config *config, const prunesid_plan_ *p,
    const int32_t *members, const int32_t *survivors, int32_t *quota) {
    const size_t N = config->budget - config->n_protected, reserved = config->reserved;
    const size_t K = p->K, cap = 5 * ((N + 63) / 64);
    size_t n_members = 0, n_survivors = 0, n_low = 0;
    if (config->preset == PRUNESID_PAPER) {
        prunesid_quotas_proportional_(p, survivors, N - reserved, quota);
        return;
    }
    for (size_t k = 0; k < K; k++) {
        n_members += (size_t)members[k];
        n_survivors += (size_t)survivors[k];
        n_low += members[k] > 0 ? 1 : 0;
    }
    /* Ceilings: min(cap, survivors), all raised by the least whole number that lets N fit. */
    const size_t aim = N < n_members ? N : n_members;
    size_t raise = 0, ceilings = 0;
    for (;; raise += (aim - ceilings + K - 1) / K) { /* one more is worth K at most */
        ceilings = 0;
        for (size_t k = 0; k < K; k++)
            ceilings += prunesid_ceiling_(members[k], survivors[k], cap, raise);
        if (ceilings >= aim) break; /* no later than all members are in */
    }
    const size_t other = N > n_low + reserved ? N - n_low - reserved : 0;
    const size_t want = other + n_low < ceilings ? other + n_low : ceilings;
    const volatile float divisor = (float)(n_survivors > 0 ? n_survivors : 1); /* as above */
    double share = 0.0, before = 0.0;
    size_t given = 0;
    for (size_t k = 0; k < K; k++) {
        const float part = (float)survivors[k] / divisor;
        share += (double)part;
        const float product = (float)share * (float)other;
        const double after = rint((double)product);
        const size_t up = prunesid_ceiling_(members[k], survivors[k], cap, raise);
        const size_t n = (size_t)(after - before) + (members[k] > 0 ? 1 : 0);
        quota[k] = (int32_t)(n < up ? n : up);
        given += (size_t)quota[k];
        before = after;
        p->rank[k].key = (double)survivors[k];
        p->rank[k].index = (int32_t)k;
    }
    prunesid_sort_(p->rank, K);
    for (size_t c = 0; c < K && given < want; c++) {
        const size_t k = (size_t)p->rank[c].index;
        const size_t up = prunesid_ceiling_(members[k], survivors[k], cap, raise);
        for (; (size_t)quota[k] < up && given < want; given++) quota[k]++;
    }
}

/* ---- >>select: the stages in order -------------------------------------------------------- */
/* Protected tokens are kept: they leave order, members and survivors, which the quotas share. */
PRUNESID_PRIVATE_ void prunesid_set_aside_(const prunesid_config *config, const prunesid_plan_ *p) {
    size_t n = 0;
    memset(p->state, PRUNESID_SUPPRESSED, p->T);
    for (size_t i = 0; i < config->n_protected; i++) {
        const int32_t index = config->protected_indices[i];
        p->state[index] = PRUNESID_KEPT;
        p->members[p->group[index]]--;
        p->survivors[p->group[index]]--;
        p->picked[i] = index;
    }
    for (size_t c = 0; c < p->T; c++)
        if (p->state[p->order[c]] != PRUNESID_KEPT) p->order[n++] = p->order[c];
}

/* Takes the groups' quotas until n_kept tokens are picked; PAPER fills up with suppressed ones. */
PRUNESID_PRIVATE_ void prunesid_pick_(
    const prunesid_config *config, const prunesid_plan_ *p, const float *scores, size_t n_kept) {
    size_t n = config->n_protected, n_rest = 0;
    for (size_t k = 0, begin = 0; k < p->K; begin += (size_t)p->members[k++]) {
        const size_t n_members = (size_t)p->members[k], n_survivors = (size_t)p->survivors[k];
        for (size_t c = 0; c < n_members; c++) {
            const int32_t i = p->order[begin + c];
            if (c < (size_t)p->quota[k] && n < n_kept) {
                p->state[i] = PRUNESID_KEPT;
                p->picked[n++] = i;
            } else if (c < n_survivors) {
                p->state[i] = PRUNESID_OVER_QUOTA;
            } else {
                p->rank[n_rest].key = prunesid_key_(scores[i]);
                p->rank[n_rest++].index = i;
            }
        }
    }
    if (n == n_kept) return;
    prunesid_sort_(p->rank, n_rest);
    for (size_t c = 0; n < n_kept; c++) {
        p->state[p->rank[c].index] = PRUNESID_KEPT;
        p->picked[n++] = p->rank[c].index;
    }
}

/* The kept token nearest to i, of its own group or else of all; no cosine is near 9. */
PRUNESID_PRIVATE_ int32_t prunesid_representative_(const prunesid_plan_ *p,
    const prunesid_tokens *x, const int32_t *kept, size_t n_kept, size_t i) {
    int32_t best = -1;
    double nearest = 0.0;
    for (int own = 1; own >= 0 && best < 0; own--)
        for (size_t c = 0; c < n_kept; c++) {
            if (own && p->group[kept[c]] != p->group[i]) continue;
            const double cosine = prunesid_cosine_(p, x, i, (size_t)kept[c], 9.0);
            if (best < 0 || cosine > nearest) {
                best = kept[c];
                nearest = cosine;
            }
        }
    return best;
}

PRUNESID_PRIVATE_ void prunesid_write_(const prunesid_plan_ *p, const prunesid_tokens *x,
    const prunesid_stats *stats, prunesid_output *out) {
    const int pruned = stats->n_groups > 0;
    size_t n = 0;
    for (size_t i = 0; i < p->T; i++)
        if (p->state[i] == PRUNESID_KEPT) out->indices[n++] = (int32_t)i;
    out->n_kept = n;
    out->stats = *stats;
    if (out->order != NULL) memcpy(out->order, p->picked, n * sizeof(int32_t));
    if (out->state != NULL) memcpy(out->state, p->state, p->T);
    for (size_t i = 0; i < p->T && out->group != NULL; i++)
        out->group[i] = pruned ? p->group[i] : -1;
    for (size_t i = 0; i < p->T && out->loading != NULL; i++)
        out->loading[i] = pruned ? p->loading[i] : 0.0f;
    if (out->representative == NULL) return;
    if (pruned && stats->tau >= 1.0) prunesid_widen_all_(p, x); /* else NMS has */
    for (size_t i = 0; i < p->T; i++)
        out->representative[i] = p->state[i] == PRUNESID_KEPT
                                     ? (int32_t)i
                                     : prunesid_representative_(p, x, out->indices, n, i);
}

PRUNESID_PRIVATE_ prunesid_status prunesid_check_select_(const prunesid_config *config,
    const prunesid_tokens *tokens, int has_loadings, const float *scores,
    const prunesid_output *out, prunesid_config *c) {
    PRUNESID_TRY_(prunesid_check_input_(config, scores != NULL, tokens, c));
    if (out == NULL || out->indices == NULL) return PRUNESID_ERROR_NULL;
    if (!has_loadings) PRUNESID_TRY_(prunesid_check_own_svd_(c));
    return scores != NULL ? prunesid_check_scores_(scores, c->n_tokens) : PRUNESID_OK;
}

/* Both selects: loadings is NULL for our own SVD. */
PRUNESID_PRIVATE_ prunesid_status prunesid_run_(const prunesid_config *config,
    const prunesid_tokens *tokens, const float *loadings, size_t ld_loadings, const float *scores,
    void *workspace, size_t workspace_bytes, prunesid_output *out) {
    prunesid_config c;
    prunesid_plan_ plan;
    prunesid_stats stats;
    prunesid_information information;
    PRUNESID_TRY_(prunesid_check_select_(config, tokens, loadings != NULL, scores, out, &c));
    PRUNESID_TRY_(prunesid_open_(config, &c, workspace, workspace_bytes, &plan));
    const size_t T = c.n_tokens, n_kept = prunesid_n_kept(&c);
    memset(&stats, 0, sizeof stats);
    stats.preset = c.preset;
    stats.svd = c.svd;
    const uint64_t start = prunesid_now_(&c);
    PRUNESID_TRY_(prunesid_redundancy_(&plan, tokens, &information));
    stats.rho = information.rho;
    stats.phi = information.phi;
    stats.ns_redundancy = prunesid_now_(&c) - start;
    if (loadings != NULL)
        PRUNESID_TRY_(prunesid_group(loadings, T, plan.K, ld_loadings, plan.group, plan.loading));
    if (n_kept == T) {
        for (size_t i = 0; i < T; i++) plan.picked[i] = (int32_t)i;
        memset(plan.state, PRUNESID_KEPT, T);
        stats.n_survivors = T;
        prunesid_write_(&plan, tokens, &stats, out);
        return PRUNESID_OK;
    }
    if (loadings == NULL) {
        PRUNESID_TRY_(prunesid_loadings_(&c, &plan, tokens, &stats));
        if (prunesid_group(plan.V, T, plan.K, plan.K, plan.group, plan.loading) != PRUNESID_OK)
            return PRUNESID_ERROR_LAPACK;
    }
    stats.n_groups = plan.K;
    stats.tau = prunesid_threshold(&c, &information);
    scores = scores != NULL ? scores : plan.loading;
    const uint64_t grouped = prunesid_now_(&c);
    prunesid_nms_(
        &c, &plan, tokens, plan.group, scores, stats.tau, plan.order, plan.members, plan.survivors);
    for (size_t k = 0; k < plan.K; k++) stats.n_survivors += (size_t)plan.survivors[k];
    const uint64_t suppressed = prunesid_now_(&c);
    prunesid_set_aside_(&c, &plan);
    prunesid_quotas_(&c, &plan, plan.members, plan.survivors, plan.quota);
    prunesid_pick_(&c, &plan, scores, n_kept);
    stats.ns_nms = suppressed - grouped;
    stats.ns_quotas = prunesid_now_(&c) - suppressed;
    prunesid_write_(&plan, tokens, &stats, out);
    return PRUNESID_OK;
}

PRUNESID_PUBLIC_ prunesid_status prunesid_select(const prunesid_config *config,
    const prunesid_tokens *tokens, const float *scores, void *workspace, size_t workspace_bytes,
    prunesid_output *out) {
    return prunesid_run_(config, tokens, NULL, 0, scores, workspace, workspace_bytes, out);
}

PRUNESID_PUBLIC_ prunesid_status prunesid_select_from_loadings(const prunesid_config *config,
    const prunesid_tokens *tokens, const float *loadings, size_t ld_loadings, const float *scores,
    void *workspace, size_t workspace_bytes, prunesid_output *out) {
    if (config == NULL || loadings == NULL) return PRUNESID_ERROR_NULL;
    if (config->n_groups == 0) return PRUNESID_ERROR_GROUPS;
    return prunesid_run_(
        config, tokens, loadings, ld_loadings, scores, workspace, workspace_bytes, out);
}

PRUNESID_PUBLIC_ prunesid_status prunesid_select_alloc(const prunesid_config *config,
    const prunesid_tokens *tokens, const float *scores, const prunesid_allocator *allocator,
    prunesid_output *out) {
    prunesid_config c;
    PRUNESID_TRY_(prunesid_check_select_(config, tokens, 0, scores, out, &c));
    if (allocator != NULL && (!allocator->allocate || !allocator->release))
        return PRUNESID_ERROR_NULL;
    const size_t bytes = prunesid_workspace_size(config);
    if (bytes == 0) return PRUNESID_ERROR_OVERFLOW; /* the configuration is valid by now */
    void *workspace =
        allocator != NULL ? allocator->allocate(bytes, allocator->user) : malloc(bytes);
    if (workspace == NULL) return PRUNESID_ERROR_ALLOCATION;
    const prunesid_status status = prunesid_select(config, tokens, scores, workspace, bytes, out);
    if (allocator != NULL)
        allocator->release(workspace, allocator->user);
    else
        free(workspace);
    return status;
}

/* ---- >>config ----------------------------------------------------------------------------- */
PRUNESID_PUBLIC_ const char *prunesid_status_string(prunesid_status status) {
#define PRUNESID_X_(name, value, text)                                                             \
    if (status == name) return text;
    PRUNESID_STATUS_TABLE(PRUNESID_X_)
#undef PRUNESID_X_
    return "unknown status";
}

PRUNESID_PUBLIC_ prunesid_config prunesid_config_init(
    prunesid_preset preset, size_t n_tokens, size_t dim, size_t budget) {
    const prunesid_config config = {n_tokens, dim, budget, preset, PRUNESID_SVD_KRYLOV,
        (size_t)(preset == PRUNESID_LLAVA ? 1 : 0), 0, 0, NULL, 0, NULL};
    return config;
}

PRUNESID_PUBLIC_ prunesid_tokens prunesid_tokens_view(
    const void *data, prunesid_dtype dtype, size_t n_tokens, size_t dim) {
    const prunesid_tokens tokens = {data, dtype, n_tokens, dim, dim};
    return tokens;
}

PRUNESID_PUBLIC_ prunesid_output prunesid_output_init(int32_t *indices) {
    prunesid_output out;
    memset(&out, 0, sizeof out);
    out.indices = indices;
    return out;
}

PRUNESID_PUBLIC_ size_t prunesid_n_kept(const prunesid_config *config) {
    if (config == NULL || config->budget <= config->reserved) return 0;
    const size_t n = config->budget - config->reserved;
    return n < config->n_tokens ? n : config->n_tokens;
}

PRUNESID_PUBLIC_ prunesid_config prunesid_config_resolve(
    const prunesid_config *config, int has_scores) {
    prunesid_config c = *config;
    if (c.preset == PRUNESID_AUTO) c.preset = has_scores ? PRUNESID_LLAVA : PRUNESID_QWEN2VL;
    if (c.n_groups == 0) {
        const size_t least = c.preset == PRUNESID_QWEN2VL ? 4 : 1;
        size_t K = c.budget / 4 > least ? c.budget / 4 : least;
        K = K < c.n_tokens ? K : c.n_tokens;
        K = K < c.dim ? K : c.dim;
        c.n_groups = K > 0 ? K : 1;
    }
    return c;
}

PRUNESID_PUBLIC_ size_t prunesid_workspace_size(const prunesid_config *config) {
    prunesid_arena_ arena = {NULL, 0, 0};
    if (config == NULL) return 0;
    for (int has_scores = 0; has_scores < 2; has_scores++) { /* AUTO may turn out to be either */
        const prunesid_config c = prunesid_config_resolve(config, has_scores);
        prunesid_plan_ plan;
        if (prunesid_check_config_(&c) != PRUNESID_OK) return 0;
        arena.used = 0;
        prunesid_lay_out_(&c, &arena, &plan);
    }
    return arena.peak < SIZE_MAX / 4 ? arena.peak : 0;
}

/* ---- >>stages: each alone ----------------------------------------------------------------- */
PRUNESID_PUBLIC_ prunesid_status prunesid_redundancy(const prunesid_config *config,
    const prunesid_tokens *tokens, void *workspace, size_t workspace_bytes,
    prunesid_information *out) {
    prunesid_config c;
    prunesid_plan_ plan;
    PRUNESID_TRY_(prunesid_check_input_(config, 0, tokens, &c));
    PRUNESID_TRY_(prunesid_open_(config, &c, workspace, workspace_bytes, &plan));
    if (out == NULL) return PRUNESID_ERROR_NULL;
    return prunesid_redundancy_(&plan, tokens, out);
}

PRUNESID_PUBLIC_ prunesid_status prunesid_loadings(const prunesid_config *config,
    const prunesid_tokens *tokens, void *workspace, size_t workspace_bytes, float *loadings,
    prunesid_stats *stats) {
    prunesid_config c;
    prunesid_plan_ plan;
    prunesid_stats found;
    PRUNESID_TRY_(prunesid_check_input_(config, 0, tokens, &c));
    PRUNESID_TRY_(prunesid_open_(config, &c, workspace, workspace_bytes, &plan));
    if (loadings == NULL) return PRUNESID_ERROR_NULL;
    PRUNESID_TRY_(prunesid_check_own_svd_(&c));
    PRUNESID_TRY_(prunesid_tokens_check(tokens, NULL, NULL));
    memset(&found, 0, sizeof found);
    PRUNESID_TRY_(prunesid_loadings_(&c, &plan, tokens, &found));
    memcpy(loadings, plan.V, plan.T * plan.K * sizeof(float));
    if (stats != NULL) *stats = found;
    return PRUNESID_OK;
}

PRUNESID_PUBLIC_ prunesid_status prunesid_nms(const prunesid_config *config,
    const prunesid_tokens *tokens, const int32_t *group, const float *scores, double tau,
    void *workspace, size_t workspace_bytes, int32_t *order, int32_t *n_members,
    int32_t *n_survivors) {
    prunesid_config c;
    prunesid_plan_ plan;
    prunesid_information information;
    PRUNESID_TRY_(prunesid_check_input_(config, 0, tokens, &c));
    PRUNESID_TRY_(prunesid_open_(config, &c, workspace, workspace_bytes, &plan));
    if (group == NULL || scores == NULL || order == NULL || n_members == NULL ||
        n_survivors == NULL)
        return PRUNESID_ERROR_NULL;
    for (size_t i = 0; i < c.n_tokens; i++)
        if (group[i] < 0 || (size_t)group[i] >= c.n_groups) return PRUNESID_ERROR_GROUP_INDEX;
    if (!prunesid_all_finite64_(&tau, 1)) return PRUNESID_ERROR_TAU;
    PRUNESID_TRY_(prunesid_check_scores_(scores, c.n_tokens));
    PRUNESID_TRY_(prunesid_redundancy_(&plan, tokens, &information)); /* norms; are they finite? */
    prunesid_nms_(&c, &plan, tokens, group, scores, tau, order, n_members, n_survivors);
    return PRUNESID_OK;
}

PRUNESID_PUBLIC_ prunesid_status prunesid_quotas(const prunesid_config *config,
    const int32_t *n_members, const int32_t *n_survivors, void *workspace, size_t workspace_bytes,
    int32_t *quotas) {
    if (config == NULL || n_members == NULL || n_survivors == NULL || quotas == NULL)
        return PRUNESID_ERROR_NULL;
    const prunesid_config c = prunesid_config_resolve(config, 0);
    prunesid_plan_ plan;
    PRUNESID_TRY_(prunesid_check_config_(&c));
    PRUNESID_TRY_(prunesid_open_(config, &c, workspace, workspace_bytes, &plan));
    for (size_t k = 0; k < c.n_groups; k++)
        if (n_survivors[k] < 0 || n_survivors[k] > n_members[k]) return PRUNESID_ERROR_COUNTS;
    prunesid_quotas_(&c, &plan, n_members, n_survivors, quotas);
    return PRUNESID_OK;
}

/* ---- >>dynamic ---------------------------------------------------------------------------- */
typedef struct prunesid_filling_ {
    const double *phi;
    const size_t *low, *high;
    size_t *settled; /* SIZE_MAX while image b is free, else the limit it met */
    size_t n_images;
    double asked, left, weight, n_free; /* B * N; what the free ones share, sum of phi, count */
} prunesid_filling_;

PRUNESID_PRIVATE_ double prunesid_low_(const prunesid_filling_ *f, size_t b) {
    return f->low != NULL ? (double)f->low[b] : 1.0;
}

PRUNESID_PRIVATE_ double prunesid_high_(const prunesid_filling_ *f, size_t b) {
    return f->high != NULL && (double)f->high[b] < PRUNESID_EXACT_ ? (double)f->high[b] : f->asked;
}

PRUNESID_PRIVATE_ double prunesid_share_(const prunesid_filling_ *f, size_t b) {
    if (f->settled[b] != SIZE_MAX) return (double)f->settled[b];
    /* volatile: one image's share is the same wherever this is inlined, under -ffast-math too */
    const volatile double phi = f->phi[b] > 0.0 ? f->phi[b] : 0.0, weight = f->weight;
    const volatile double part = weight > 0.0 ? phi / weight : 1.0 / f->n_free;
    const volatile double share = f->left * part;
    return share;
}

/* What rounding down takes from image b; -1 for one that has no room for more. */
PRUNESID_PRIVATE_ double prunesid_remainder_(const prunesid_filling_ *f, size_t b) {
    const double share = prunesid_share_(f, b), whole = floor(share + 1e-9);
    return whole < prunesid_high_(f, b) ? share - whole : -1.0;
}

PRUNESID_PRIVATE_ double prunesid_n_above_(const prunesid_filling_ *f, double cut) {
    double n = 0.0;
    for (size_t b = 0; b < f->n_images; b++) n += prunesid_remainder_(f, b) > cut ? 1.0 : 0.0;
    return n;
}

PRUNESID_PUBLIC_ prunesid_status prunesid_budgets(const double *phi, size_t n_images, size_t budget,
    const size_t *low, const size_t *high, size_t *budgets) {
    if (budget == 0 || budget > INT32_MAX) return PRUNESID_ERROR_BUDGET;
    return prunesid_share(phi, n_images, prunesid_times_(n_images, budget), low, high, budgets);
}

PRUNESID_PUBLIC_ prunesid_status prunesid_share(const double *phi, size_t n_images, size_t asked,
    const size_t *low, const size_t *high, size_t *budgets) {
    prunesid_filling_ f = {phi, low, high, budgets, n_images, (double)asked, 0.0, 0.0, 0.0};
    double floors = 0.0, ceilings = 0.0, sum = 0.0;
    if (phi == NULL || budgets == NULL) return PRUNESID_ERROR_NULL;
    if (n_images == 0) return PRUNESID_ERROR_EMPTY;
    if (f.asked > PRUNESID_EXACT_) return PRUNESID_ERROR_OVERFLOW;
    if (!prunesid_all_finite64_(phi, n_images)) return PRUNESID_ERROR_PHI;
    for (size_t b = 0; b < n_images; b++) {
        const double least = prunesid_low_(&f, b);
        if (least > (double)INT32_MAX || (high != NULL && least > (double)high[b]))
            return PRUNESID_ERROR_LIMITS;
        floors += least;
        ceilings += prunesid_high_(&f, b);
        sum += phi[b] > 0.0 ? phi[b] : 0.0;
    }
    if (!prunesid_all_finite64_(&sum, 1)) return PRUNESID_ERROR_PHI;
    double total = f.asked > floors ? f.asked : floors;
    total = total < ceilings ? total : ceilings;
    for (size_t b = 0; b < n_images; b++) budgets[b] = SIZE_MAX;
    for (int violated = 1; violated;) { /* water filling */
        double under = 0.0, over = 0.0;
        f.left = total;
        f.weight = f.n_free = 0.0;
        for (size_t b = 0; b < n_images; b++) {
            const int is_free = budgets[b] == SIZE_MAX;
            f.left -= is_free ? 0.0 : (double)budgets[b];
            f.weight += is_free && phi[b] > 0.0 ? phi[b] : 0.0;
            f.n_free += is_free ? 1.0 : 0.0;
        }
        for (size_t b = 0; b < n_images; b++) {
            const double share = prunesid_share_(&f, b);
            if (budgets[b] != SIZE_MAX) continue;
            under += share < prunesid_low_(&f, b) ? prunesid_low_(&f, b) - share : 0.0;
            over += share > prunesid_high_(&f, b) ? share - prunesid_high_(&f, b) : 0.0;
        }
        violated = under > 0.0 || over > 0.0;
        /* Settle the side whose violation is larger, so that the other side stays feasible. */
        for (size_t b = 0; b < n_images && violated; b++) {
            const double share = prunesid_share_(&f, b);
            const double limit = under >= over ? prunesid_low_(&f, b) : prunesid_high_(&f, b);
            if (budgets[b] == SIZE_MAX && (under >= over ? share < limit : share > limit))
                budgets[b] = (size_t)limit;
        }
    }
    /* One more for each of the largest remainders, by bisection; of those between below and cut
     * (equal, to 2^-60) the first get what is over. */
    double wanted = total, below = -1.0, cut = 1.0;
    for (size_t b = 0; b < n_images; b++) wanted -= floor(prunesid_share_(&f, b) + 1e-9);
    for (int step = 0; step < 61; step++) {
        const double middle = below + (cut - below) / 2.0;
        if (prunesid_n_above_(&f, middle) <= wanted)
            cut = middle;
        else
            below = middle;
    }
    wanted -= prunesid_n_above_(&f, cut);
    for (size_t b = 0; b < n_images; b++) {
        const double remainder = prunesid_remainder_(&f, b);
        const int equal = remainder > below && remainder <= cut && wanted > 0.0;
        wanted -= equal ? 1.0 : 0.0;
        budgets[b] =
            (size_t)floor(prunesid_share_(&f, b) + 1e-9) + (remainder > cut || equal ? 1 : 0);
    }
    return PRUNESID_OK;
}

PRUNESID_PUBLIC_ prunesid_status prunesid_budget(
    double phi, double phi_ref, size_t budget, size_t low, size_t high, size_t *out) {
    if (out == NULL) return PRUNESID_ERROR_NULL;
    if (budget == 0 || budget > INT32_MAX) return PRUNESID_ERROR_BUDGET;
    const double values[2] = {phi, phi_ref};
    if (!prunesid_all_finite64_(values, 2) || phi_ref <= 0.0) return PRUNESID_ERROR_PHI;
    if (low > high || low > INT32_MAX) return PRUNESID_ERROR_LIMITS;
    const double n = phi > 0.0 ? rint((double)budget * phi / phi_ref) : 0.0;
    high = high < INT32_MAX ? high : INT32_MAX;
    *out = n <= (double)low ? low : n >= (double)high ? high : (size_t)n;
    return PRUNESID_OK;
}

PRUNESID_PUBLIC_ prunesid_status prunesid_calibrate(prunesid_calibration *calibration, double phi) {
    if (calibration == NULL) return PRUNESID_ERROR_NULL;
    if (!prunesid_all_finite64_(&phi, 1)) return PRUNESID_ERROR_PHI;
    calibration->n_images++;
    calibration->phi_mean += (phi - calibration->phi_mean) / (double)calibration->n_images;
    return PRUNESID_OK;
}

PRUNESID_PUBLIC_ size_t prunesid_budget_qwen2vl(size_t n_tokens, size_t budget) {
    const double n = rint((double)n_tokens * (double)budget / 576.0);
    if (n_tokens <= 16 || n <= 16.0) return n_tokens < 16 ? n_tokens : 16;
    return n < (double)INT32_MAX ? (size_t)n : INT32_MAX;
}

/* ---- >>regions ---------------------------------------------------------------------------- */
PRUNESID_PUBLIC_ prunesid_region prunesid_region_init(
    size_t first, size_t n_tokens, size_t budget) {
    const prunesid_region region = {
        first, n_tokens, NULL, NULL, 0, SIZE_MAX, budget, prunesid_output_init(NULL), PRUNESID_OK};
    return region;
}

/* One call's regions; the arrays [n_regions] come with the workspace. */
typedef struct prunesid_regions_ {
    const prunesid_config *config;
    const prunesid_tokens *tokens;
    const prunesid_region *regions;
    prunesid_region *results; /* the same, to be written */
    int fixed;
    size_t n_regions, n_workers, n_kept; /* of all regions */
    size_t worker_bytes, worker_stride;  /* for the most demanding region; with guards */
    unsigned char *scratch;              /* [worker_bytes] of the first worker */
    int32_t *guards;                     /* [n_protected], likewise */
    size_t *low, *high, *budget;         /* of a share; low is then its place among the indices */
    double *weight;
    int32_t *indices; /* NULL while phi is looked for */
} prunesid_regions_;

/* Region r as an image of its own; guards [n_protected] gets its protected tokens, if not NULL. */
PRUNESID_PRIVATE_ prunesid_config prunesid_alone_(
    const prunesid_regions_ *g, size_t r, size_t budget, int32_t *guards) {
    const size_t begin = g->regions[r].first;
    prunesid_config c = *g->config;
    c.n_tokens = g->regions[r].n_tokens;
    c.budget = budget;
    c.protected_indices = guards;
    c.n_protected = 0;
    for (size_t i = 0; i < g->config->n_protected; i++) {
        const size_t index = (size_t)g->config->protected_indices[i];
        if (index < begin || index - begin >= c.n_tokens) continue;
        if (guards != NULL) guards[c.n_protected] = (int32_t)(index - begin);
        c.n_protected++;
    }
    return c;
}

/* Checks the regions and sums up; fills the limits once there is room for them. */
PRUNESID_PRIVATE_ prunesid_status prunesid_survey_(prunesid_regions_ *g) {
    const size_t N = g->config->budget, reserved = g->config->reserved;
    size_t end = 0, floors = 0, ceilings = 0, n_protected = 0;
    for (size_t r = 0; r < g->n_regions; r++) {
        const prunesid_region *region = &g->regions[r];
        const size_t T = region->n_tokens, most = T + reserved;
        if (T == 0 || region->first < end || region->first > g->config->n_tokens ||
            T > g->config->n_tokens - region->first)
            return PRUNESID_ERROR_REGION;
        end = region->first + T;
        prunesid_config c = prunesid_alone_(g, r, region->budget, NULL);
        const size_t n_guards = c.n_protected, least = reserved + (n_guards > 1 ? n_guards : 1);
        size_t low = region->low > least ? region->low : least;
        size_t high = region->high < most ? region->high : most;
        if (!g->fixed && low > region->high) return PRUNESID_ERROR_LIMITS;
        c.budget = g->fixed ? c.budget : high < N ? high : N;
        c.n_protected = 0;
        const prunesid_config resolved = prunesid_config_resolve(&c, region->scores != NULL);
        PRUNESID_TRY_(prunesid_check_config_(&resolved));
        PRUNESID_TRY_(prunesid_check_own_svd_(&resolved));
        if (n_guards > prunesid_n_kept(&c)) return PRUNESID_ERROR_PROTECTED_COUNT;
        const size_t bytes = prunesid_workspace_size(&c);
        if (bytes == 0) return PRUNESID_ERROR_OVERFLOW;
        g->worker_bytes = bytes > g->worker_bytes ? bytes : g->worker_bytes;
        g->n_kept += prunesid_n_kept(&c);
        n_protected += n_guards;
        low = low < most ? low : most;
        floors += low;
        ceilings += high;
        if (g->scratch != NULL) {
            g->results[r].status = PRUNESID_OK;
            g->results[r].out.n_kept = 0;
            g->low[r] = low;
            g->high[r] = high;
            g->budget[r] = c.budget;
            g->weight[r] = (double)T;
        }
    }
    if (n_protected < g->config->n_protected) return PRUNESID_ERROR_PROTECTED_INDEX;
    if (g->fixed) return PRUNESID_OK;
    g->n_kept = (ceilings < N ? ceilings : N) - g->n_regions * reserved;
    if ((double)N > PRUNESID_EXACT_) return PRUNESID_ERROR_OVERFLOW;
    return floors > N ? PRUNESID_ERROR_TOTAL : PRUNESID_OK;
}

PRUNESID_PRIVATE_ prunesid_status prunesid_open_regions_(prunesid_regions_ *g,
    const prunesid_config *config, prunesid_sharing sharing, const prunesid_region *regions,
    size_t n_regions, size_t n_workers) {
    memset(g, 0, sizeof *g);
    if (config == NULL || (regions == NULL && n_regions > 0) ||
        (config->n_protected > 0 && config->protected_indices == NULL))
        return PRUNESID_ERROR_NULL;
    if (n_regions == 0) return PRUNESID_ERROR_EMPTY;
    if ((unsigned)sharing > PRUNESID_BY_PHI) return PRUNESID_ERROR_SHARING;
    if (n_workers == 0) return PRUNESID_ERROR_THREADS;
    if (config->n_tokens > INT32_MAX) return PRUNESID_ERROR_DIMENSION;
    if (config->reserved >= INT32_MAX) return PRUNESID_ERROR_RESERVED;
    if (!prunesid_ascending_(config->protected_indices, config->n_protected, config->n_tokens))
        return PRUNESID_ERROR_PROTECTED_INDEX;
    g->config = config;
    g->fixed = sharing == PRUNESID_FIXED;
    g->n_regions = n_regions;
    g->n_workers = n_workers < n_regions ? n_workers : n_regions;
    g->regions = regions;
    return prunesid_survey_(g);
}

/* Bytes of workspace; 0: too many. */
PRUNESID_PRIVATE_ size_t prunesid_lay_out_regions_(prunesid_regions_ *g, void *workspace) {
    prunesid_arena_ here = {(unsigned char *)workspace, 0, 0}, *arena = &here;
    PRUNESID_TAKE_(g->low, size_t, g->n_regions);
    PRUNESID_TAKE_(g->high, size_t, g->n_regions);
    PRUNESID_TAKE_(g->budget, size_t, g->n_regions);
    PRUNESID_TAKE_(g->weight, double, g->n_regions);
    const size_t fixed_bytes = here.used;
    PRUNESID_TAKE_(g->scratch, unsigned char, g->worker_bytes);
    PRUNESID_TAKE_(g->guards, int32_t, g->config->n_protected);
    g->worker_stride = here.used - fixed_bytes;
    const size_t all = prunesid_times_(g->n_workers - 1, g->worker_stride);
    return all > SIZE_MAX / 4 || here.used > SIZE_MAX / 4 ? 0 : here.used + all;
}

PRUNESID_PUBLIC_ size_t prunesid_regions_n_kept(const prunesid_config *config,
    prunesid_sharing sharing, const prunesid_region *regions, size_t n_regions) {
    prunesid_regions_ g;
    return prunesid_open_regions_(&g, config, sharing, regions, n_regions, 1) ? 0 : g.n_kept;
}

PRUNESID_PUBLIC_ size_t prunesid_regions_workspace_size(const prunesid_config *config,
    prunesid_sharing sharing, const prunesid_region *regions, size_t n_regions, size_t n_workers) {
    prunesid_regions_ g;
    if (prunesid_open_regions_(&g, config, sharing, regions, n_regions, n_workers)) return 0;
    return prunesid_lay_out_regions_(&g, NULL);
}

PRUNESID_PRIVATE_ void prunesid_region_task_(void *data, size_t r, size_t worker) {
    const prunesid_regions_ *g = (const prunesid_regions_ *)data;
    if (r >= g->n_regions || worker >= g->n_workers) return;
    prunesid_region *region = &g->results[r];
    if (region->status != PRUNESID_ERROR_THREADS) return; /* done, or it failed before */
    const int32_t begin = (int32_t)region->first;
    const size_t ahead = worker * g->worker_stride;
    int32_t *guards = (int32_t *)(void *)((unsigned char *)g->guards + ahead);
    const prunesid_config c = prunesid_alone_(g, r, g->budget[r], guards);
    prunesid_tokens view = *g->tokens;
    view.n_tokens = region->n_tokens;
    if (region->data != NULL)
        view.data = region->data;
    else if (view.data != NULL)
        view.data = (const unsigned char *)view.data +
                    region->first * view.ld * prunesid_item_bytes_(view.dtype);
    if (g->indices == NULL) {
        prunesid_information found = {0.0, 0.0, 0.0, 0}; /* read after a failure too */
        region->status =
            prunesid_redundancy(&c, &view, g->scratch + ahead, g->worker_bytes, &found);
        g->weight[r] = found.phi;
        return;
    }
    prunesid_output out = region->out;
    out.indices = g->indices + g->low[r];
    region->status =
        prunesid_select(&c, &view, region->scores, g->scratch + ahead, g->worker_bytes, &out);
    if (region->status != PRUNESID_OK) return;
    for (size_t j = 0; j < out.n_kept; j++) {
        out.indices[j] += begin;
        if (out.order != NULL) out.order[j] += begin;
    }
    for (size_t i = 0; i < c.n_tokens && out.representative != NULL; i++)
        out.representative[i] += begin;
    region->budget = c.budget;
    region->out = out;
}

PRUNESID_PRIVATE_ prunesid_status prunesid_run_regions_(
    prunesid_regions_ *g, const prunesid_threads *threads) {
    for (size_t r = 0; r < g->n_regions; r++) /* until its task is run */
        if (g->results[r].status == PRUNESID_OK) g->results[r].status = PRUNESID_ERROR_THREADS;
    if (threads != NULL && threads->run != NULL) {
        threads->run(prunesid_region_task_, g, g->n_regions, g->n_workers, threads->user);
    } else {
#ifdef _OPENMP
#pragma omp parallel for num_threads((int)g->n_workers) schedule(dynamic, 1)
        for (ptrdiff_t r = 0; r < (ptrdiff_t)g->n_regions; r++)
            prunesid_region_task_(g, (size_t)r, (size_t)omp_get_thread_num());
#else
        for (size_t r = 0; r < g->n_regions && g->n_workers == 1; r++)
            prunesid_region_task_(g, r, 0);
#endif
    }
    for (size_t r = 0; r < g->n_regions; r++) PRUNESID_TRY_(g->results[r].status);
    return PRUNESID_OK;
}

PRUNESID_PUBLIC_ prunesid_status prunesid_select_regions(const prunesid_config *config,
    prunesid_sharing sharing, const prunesid_tokens *tokens, prunesid_region *regions,
    size_t n_regions, const prunesid_threads *threads, void *workspace, size_t workspace_bytes,
    int32_t *indices) {
    prunesid_regions_ g;
    PRUNESID_TRY_(prunesid_open_regions_(
        &g, config, sharing, regions, n_regions, threads != NULL ? threads->n_workers : 1));
    if (tokens == NULL || indices == NULL) return PRUNESID_ERROR_NULL;
    if (tokens->n_tokens != config->n_tokens || tokens->dim != config->dim)
        return PRUNESID_ERROR_SHAPE;
    if (tokens->data != NULL) PRUNESID_TRY_(prunesid_check_view_(tokens));
    PRUNESID_TRY_(
        prunesid_check_workspace_(prunesid_lay_out_regions_(&g, NULL), workspace, workspace_bytes));
    prunesid_lay_out_regions_(&g, workspace);
    g.tokens = tokens;
    g.results = regions;
    PRUNESID_TRY_(prunesid_survey_(&g)); /* once more: there is room for the limits */
    if (sharing == PRUNESID_BY_PHI) (void)prunesid_run_regions_(&g, threads);
    for (size_t r = 0; r < n_regions; r++) /* one that failed keeps nothing */
        if (regions[r].status != PRUNESID_OK) g.low[r] = g.high[r] = config->reserved;
    if (!g.fixed)
        PRUNESID_TRY_(prunesid_share(g.weight, n_regions, config->budget, g.low, g.high, g.budget));
    g.indices = indices;
    for (size_t r = 0, at = 0; r < n_regions; r++) { /* each region's place among the indices */
        const prunesid_config c = prunesid_alone_(&g, r, g.budget[r], NULL);
        g.low[r] = at;
        at += prunesid_n_kept(&c);
    }
    return prunesid_run_regions_(&g, threads);
}

/* ---- >>after ------------------------------------------------------------------------------ */
PRUNESID_PUBLIC_ prunesid_status prunesid_gather(const void *rows, size_t n_rows, size_t row_bytes,
    size_t row_stride_bytes, const int32_t *indices, size_t n_indices, void *out,
    size_t out_stride_bytes) {
    const unsigned char *from = (const unsigned char *)rows;
    unsigned char *to = (unsigned char *)out;
    if (!rows || !out || (!indices && n_indices > 0)) return PRUNESID_ERROR_NULL;
    if (row_stride_bytes < row_bytes || out_stride_bytes < row_bytes) return PRUNESID_ERROR_STRIDE;
    if (prunesid_times_(n_rows, row_stride_bytes) > SIZE_MAX / 2 ||
        prunesid_times_(n_indices, out_stride_bytes) > SIZE_MAX / 2)
        return PRUNESID_ERROR_OVERFLOW;
    for (size_t j = 0; j < n_indices; j++)
        if (indices[j] < 0 || (size_t)indices[j] >= n_rows ||
            (rows == out && j > 0 && indices[j] <= indices[j - 1]))
            return PRUNESID_ERROR_INDEX;
    for (size_t j = 0; j < n_indices; j++)
        memmove(to + j * out_stride_bytes, from + (size_t)indices[j] * row_stride_bytes, row_bytes);
    return PRUNESID_OK;
}

PRUNESID_PUBLIC_ prunesid_status prunesid_mask(
    const int32_t *indices, size_t n_indices, size_t n_rows, uint8_t *mask) {
    if ((indices == NULL && n_indices > 0) || mask == NULL) return PRUNESID_ERROR_NULL;
    if (!prunesid_ascending_(indices, n_indices, n_rows)) return PRUNESID_ERROR_INDEX;
    memset(mask, 0, n_rows);
    for (size_t j = 0; j < n_indices; j++) mask[indices[j]] = 1;
    return PRUNESID_OK;
}

PRUNESID_PRIVATE_ prunesid_status prunesid_check_spans_(
    const prunesid_span *spans, size_t n_spans, size_t n_prompt) {
    size_t end = 0;
    if (spans == NULL && n_spans > 0) return PRUNESID_ERROR_NULL;
    if (n_prompt > INT32_MAX) return PRUNESID_ERROR_DIMENSION;
    for (size_t s = 0; s < n_spans; s++) {
        if (spans[s].n_tokens == 0 || spans[s].first < end || spans[s].first > n_prompt ||
            spans[s].n_tokens > n_prompt - spans[s].first)
            return PRUNESID_ERROR_REGION;
        end = spans[s].first + spans[s].n_tokens;
    }
    return PRUNESID_OK;
}

PRUNESID_PUBLIC_ prunesid_status prunesid_prompt_rows(const prunesid_span *spans, size_t n_spans,
    size_t n_prompt, const int32_t *kept, size_t n_kept, int32_t *rows, size_t *n_rows) {
    size_t n_visual = 0, n = 0, row = 0, visual = 0;
    PRUNESID_TRY_(prunesid_check_spans_(spans, n_spans, n_prompt));
    for (size_t s = 0; s < n_spans; s++) n_visual += spans[s].n_tokens;
    if ((kept == NULL && n_kept > 0) || rows == NULL || n_rows == NULL) return PRUNESID_ERROR_NULL;
    if (!prunesid_ascending_(kept, n_kept, n_visual)) return PRUNESID_ERROR_INDEX;
    for (size_t s = 0, j = 0; row < n_prompt; row++) {
        if (s < n_spans && row == spans[s].first + spans[s].n_tokens) s++;
        const int is_visual = s < n_spans && row >= spans[s].first;
        const int stays = !is_visual || (j < n_kept && (size_t)kept[j] == visual);
        if (stays) rows[n++] = (int32_t)row;
        j += is_visual && stays ? 1 : 0;
        visual += is_visual ? 1 : 0;
    }
    *n_rows = n;
    return PRUNESID_OK;
}

PRUNESID_PRIVATE_ int64_t prunesid_id_(const prunesid_position_ids *p, size_t section, size_t i) {
    const size_t at = section * p->ld + i;
    return p->id_bytes == 8 ? ((const int64_t *)p->ids)[at] : ((const int32_t *)p->ids)[at];
}

PRUNESID_PRIVATE_ prunesid_status prunesid_check_ids_(
    const prunesid_position_ids *p, const prunesid_position_ids *like, size_t n_tokens) {
    const size_t S = p->n_sections;
    if (p->ids == NULL) return PRUNESID_ERROR_NULL;
    if ((S != 1 && S != 3 && S != 4) || S != like->n_sections || p->n_tokens != n_tokens ||
        (p->id_bytes != 4 && p->id_bytes != 8) || p->id_bytes != like->id_bytes)
        return PRUNESID_ERROR_POSITIONS;
    if (p->ld < n_tokens || (p->ids == like->ids && p->ld != like->ld))
        return PRUNESID_ERROR_STRIDE;
    if (prunesid_times_(p->ld, 4 * sizeof(int64_t)) > SIZE_MAX / 2) return PRUNESID_ERROR_OVERFLOW;
    return prunesid_misaligned_(p->ids, p->id_bytes) ? PRUNESID_ERROR_ALIGNMENT : PRUNESID_OK;
}

PRUNESID_PUBLIC_ prunesid_status prunesid_positions(prunesid_position_policy policy,
    const prunesid_position_ids *ids, const prunesid_span *spans, size_t n_spans,
    const int32_t *rows, size_t n_rows, const prunesid_position_ids *out, int64_t *next) {
    const int renumber = policy == PRUNESID_POSITIONS_RENUMBER;
    const int compact = policy == PRUNESID_POSITIONS_COMPACT;
    if (ids == NULL || out == NULL || next == NULL) return PRUNESID_ERROR_NULL;
    if ((unsigned)policy > PRUNESID_POSITIONS_RENUMBER) return PRUNESID_ERROR_POLICY;
    PRUNESID_TRY_(prunesid_check_ids_(ids, ids, ids->n_tokens));
    PRUNESID_TRY_(prunesid_check_ids_(out, ids, n_rows));
    PRUNESID_TRY_(prunesid_check_spans_(spans, n_spans, ids->n_tokens));
    if (rows == NULL && n_rows > 0) return PRUNESID_ERROR_NULL;
    if (!prunesid_ascending_(rows, n_rows, ids->n_tokens)) return PRUNESID_ERROR_INDEX;
    const size_t S = ids->n_sections, n = ids->n_tokens;
    int zeros = S == 4; /* the fourth section: it stays so; else the first is the text's */
    for (size_t i = 0; i < n && zeros; i++) zeros = prunesid_id_(ids, 3, i) == 0;
    const size_t begin = S == 4 && !zeros ? 1 : 0, end = S == 4 && zeros ? 3 : S;
    const int64_t base = n > 0 ? prunesid_id_(ids, begin, 0) : 0;
    for (int write = 0; write < 2; write++) { /* look at all of it first */
        /* Behind the largest id so far, as it was and as it is; drop: how far that came down. */
        int64_t before = base, after = base, drop = 0,
                fence = 0; /* fence: before, at a span's end */
        for (size_t i = 0, j = 0, s = 0; i < n; i++) {
            const int stays = j < n_rows && (size_t)rows[j] == i;
            for (size_t k = 0; k < S; k++) {
                const int64_t id = prunesid_id_(ids, k, i), first = prunesid_id_(ids, k, 0);
                const int is_grid = k >= begin && k < end;
                if (id < 0 || id >> 62 != 0 || (is_grid && compact && id < fence))
                    return PRUNESID_ERROR_POSITIONS;
                const int64_t moved = k >= end                ? 0
                                      : renumber || k < begin ? first + (int64_t)j
                                                              : id - drop;
                before = is_grid && id >= before ? id + 1 : before;
                if (!stays) continue;
                if (out->id_bytes == 4 && moved > INT32_MAX) return PRUNESID_ERROR_POSITIONS;
                after = is_grid && moved >= after ? moved + 1 : after;
                if (write && out->id_bytes == 8)
                    ((int64_t *)out->ids)[k * out->ld + j] = moved;
                else if (write)
                    ((int32_t *)out->ids)[k * out->ld + j] = (int32_t)moved;
            }
            j += stays ? 1 : 0;
            if (s < n_spans && i + 1 == spans[s].first + spans[s].n_tokens) {
                drop = compact ? before - after : 0;
                fence = before;
                s++;
            }
        }
        if (write) *next = policy == PRUNESID_POSITIONS_KEEP ? before : after;
    }
    return PRUNESID_OK;
}

#undef PRUNESID_EXACT_
#undef PRUNESID_FIRST_
#undef PRUNESID_HAS_
#undef PRUNESID_INLINE_
#undef PRUNESID_LANES_
#undef PRUNESID_PANEL_
#undef PRUNESID_PRIVATE_
#undef PRUNESID_TAKE_
#undef PRUNESID_TRY_
#undef PRUNESID_TARGETS_
#undef PRUNESID_TARGET_256_
#undef PRUNESID_TARGET_512_

#endif /* PRUNESID_H_DEFINED_ */
#undef PRUNESID_PUBLIC_
