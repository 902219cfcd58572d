/* fuzz_budgets.c - bytes -> weights and limits -> shares; and one image's budget.   MIT licence.
 *
 * The total is exact as far as the limits allow, every share is inside its own, and none is further
 * from the reference's than rounding can put a remainder. */
#include "support.h"

#include "bytes.h"

enum { MAX_SHARES = 24, FILL = 0x44 };

static void check_shares(const double *weights, size_t n, size_t total, const size_t *low,
    const size_t *high, const size_t *shares, int is_tame) {
    size_t want[MAX_SHARES], sum = 0, least = 0, most = 0;
    for (size_t b = 0; b < n; b++) {
        const size_t floor_here = low != NULL ? low[b] : 1;
        const size_t ceiling = high != NULL ? high[b] : ref_max(total, floor_here);
        must(shares[b] >= floor_here && shares[b] <= ceiling);
        sum += shares[b];
        least += floor_here;
        most += ceiling;
    }
    must(sum == ref_min(ref_max(total, least), most));
    if (!is_tame) return;
    ref_share(weights, n, total, low, high, want);
    for (size_t b = 0; b < n; b++) must(shares[b] <= want[b] + 1 && want[b] <= shares[b] + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
    double weights[MAX_SHARES];
    size_t low[MAX_SHARES], high[MAX_SHARES];
    bytes from = {data, n_bytes};
    const size_t n = take(&from) % (MAX_SHARES + 1), total = take_two(&from);
    const int has_low = take(&from) % 2, has_high = take(&from) % 2, is_raw = take(&from) % 4 == 0;
    for (size_t b = 0; b < n; b++) {
        weights[b] = ((double)take(&from) - 16.0) / 64.0;
        low[b] = take(&from) % 64;
        high[b] = take(&from);
        if (is_raw) take_raw(&from, &weights[b], sizeof weights[b]);
    }
    guard shares = guard_new(n * sizeof(size_t), FILL);
    const prunesid_status status = prunesid_share(weights, n, total, has_low ? low : NULL,
        has_high ? high : NULL, (size_t *)(void *)shares.data);
    if (status == PRUNESID_OK)
        check_shares(weights, n, total, has_low ? low : NULL, has_high ? high : NULL,
            (const size_t *)(const void *)shares.data, !is_raw);
    else
        must(guard_untouched(&shares, FILL));
    guard_free(&shares);

    double phi[2];
    take_raw(&from, phi, sizeof phi);
    if (!is_raw) phi[0] = (double)take(&from) / 256.0;
    if (!is_raw) phi[1] = (double)take(&from) / 256.0;
    const size_t budget_shift = take(&from) % 32, ceiling_shift = take(&from) % 32;
    const size_t budget = take(&from) << budget_shift, ceiling = take(&from) << ceiling_shift;
    const size_t floor_here = take(&from);
    size_t got = 77;
    if (prunesid_budget(phi[0], phi[1], budget, floor_here, ceiling, &got) == PRUNESID_OK) {
        const double exact = nearbyint((double)budget * fmax(phi[0], 0.0) / phi[1]);
        const double most = fmin((double)ceiling, 2147483647.0);
        must(phi[1] > 0.0 && budget >= 1 && floor_here <= ceiling);
        must((double)got == fmin(fmax(exact, (double)floor_here), most));
    } else {
        must(got == 77);
    }
    return 0;
}
