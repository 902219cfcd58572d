/* test_gather.c - copying the kept rows: element sizes, strides, in place.   MIT licence. */
#include "support.h"

enum { ROWS = 40 };

static void copies_rows_of_any_size(void **unused) {
    static const size_t shapes[][3] = {/* row, row stride, out stride in bytes */
        {1, 1, 1}, {2, 2, 2}, {7, 9, 8}, {64, 64, 64}, {2048, 2048, 2048}, {4096, 4100, 4097},
        {3, 3, 100}};
    static const int32_t indices[] = {39, 0, 7, 7, 8, 38, 1};
    (void)unused;
    for (size_t s = 0; s < N_ITEMS(shapes); s++) {
        const size_t row = shapes[s][0], stride = shapes[s][1], out_stride = shapes[s][2];
        const size_t n = N_ITEMS(indices);
        guard rows = guard_new((ROWS - 1) * stride + row, 0);
        guard out = guard_new((n - 1) * out_stride + row, 0x77);
        uint64_t state = s;
        for (size_t i = 0; i < rows.n_bytes; i++) rows.data[i] = (unsigned char)random_bits(&state);
        CHECK_STATUS(
            prunesid_gather(rows.data, ROWS, row, stride, indices, n, out.data, out_stride),
            PRUNESID_OK, "shape %zu", s);
        for (size_t i = 0; i < out.n_bytes; i++) {
            const size_t column = i % out_stride, from = (size_t)indices[i / out_stride];
            const int want = column < row ? rows.data[from * stride + column] : 0x77;
            CHECK(out.data[i] == want, "shape %zu, byte %zu", s, i);
        }
        guard_free(&rows);
        guard_free(&out);
    }
}

static void works_in_place(void **unused) {
    static const int32_t indices[] = {0, 1, 5, 6, 20, 39};
    uint32_t rows[ROWS][5];
    (void)unused;
    for (size_t i = 0; i < ROWS; i++)
        for (size_t j = 0; j < 5; j++) rows[i][j] = (uint32_t)(100 * i + j);
    assert_int_equal(prunesid_gather(rows, ROWS, 16, sizeof rows[0], indices, N_ITEMS(indices),
                         rows, sizeof rows[0]),
        PRUNESID_OK);
    for (size_t i = 0; i < N_ITEMS(indices); i++) {
        for (size_t j = 0; j < 4; j++) assert_int_equal(rows[i][j], 100 * (size_t)indices[i] + j);
        assert_int_equal(rows[i][4], 100 * i + 4); /* beyond the row, in the stride */
    }
}

/* DeepStack's [L, T, H]: each plane by a gather of its own, into [L, n, H] or in place. */
static void gathers_planes_one_by_one(void **unused) {
    enum { L = 3, H = 5 };
    static const int32_t indices[] = {0, 2, 3, 11, 38, 39};
    enum { N_KEPT = N_ITEMS(indices) };
    (void)unused;
    for (int in_place = 0; in_place < 2; in_place++) {
        guard planes = guard_new(L * ROWS * H * sizeof(uint16_t), 0);
        guard out = guard_new(L * N_KEPT * H * sizeof(uint16_t), 0x77);
        uint16_t *const x = (uint16_t *)(void *)planes.data;
        const uint16_t *const y = (const uint16_t *)(void *)(in_place ? planes : out).data;
        for (size_t i = 0; i < L * ROWS * H; i++) x[i] = (uint16_t)i;
        for (size_t l = 0; l < L; l++) {
            unsigned char *const from = planes.data + l * ROWS * H * sizeof *x;
            unsigned char *const to = in_place ? from : out.data + l * N_KEPT * H * sizeof *x;
            CHECK_STATUS(prunesid_gather(from, ROWS, H * sizeof *x, H * sizeof *x, indices, N_KEPT,
                             to, H * sizeof *x),
                PRUNESID_OK, "plane %zu", l);
        }
        for (size_t i = 0; i < L * ROWS * H; i++) {
            const size_t l = i / (ROWS * H), j = i / H % ROWS;
            const size_t from = j < N_KEPT ? (size_t)indices[j] : j; /* behind them: as it was */
            if (j < N_KEPT || in_place) {
                CHECK(y[(l * (in_place ? ROWS : N_KEPT) + j) * H + i % H] ==
                          (l * ROWS + from) * H + i % H,
                    "plane %zu, row %zu", l, j);
            }
        }
        guard_free(&planes);
        guard_free(&out);
    }
}

static void follows_a_selection(void **unused) {
    float *const x = tokens_new(KIND_REAL, 60, 16, 3);
    const prunesid_config config = prunesid_config_init(PRUNESID_AUTO, 12);
    const prunesid_input input = prunesid_input_init(x, PRUNESID_F32, 60, 16);
    float kept[12][16];
    (void)unused;
    run r = run_select(&config, &input);
    assert_int_equal(r.status, PRUNESID_OK);
    assert_int_equal(prunesid_gather(x, 60, sizeof kept[0], sizeof kept[0], r.indices, r.n_kept,
                         kept, sizeof kept[0]),
        PRUNESID_OK);
    for (size_t i = 0; i < 12; i++)
        assert_memory_equal(kept[i], x + 16 * (size_t)r.indices[i], sizeof kept[0]);
    run_free(&r);
    free(x);
}

static void refuses(void **unused) {
    char rows[12] = "abcdefghijk", out[4] = "...";
    int32_t indices[2] = {0, 1};
    static const int32_t bad[] = {-1, 3, INT32_MAX, INT32_MIN};
    (void)unused;
    assert_int_equal(prunesid_gather(NULL, 3, 2, 4, indices, 2, out, 2), PRUNESID_ERROR_NULL);
    assert_int_equal(prunesid_gather(rows, 3, 2, 4, NULL, 2, out, 2), PRUNESID_ERROR_NULL);
    assert_int_equal(prunesid_gather(rows, 3, 2, 4, indices, 2, NULL, 2), PRUNESID_ERROR_NULL);
    assert_int_equal(prunesid_gather(rows, 3, 2, 1, indices, 2, out, 2), PRUNESID_ERROR_STRIDE);
    assert_int_equal(prunesid_gather(rows, 3, 2, 4, indices, 2, out, 1), PRUNESID_ERROR_STRIDE);
    for (size_t i = 0; i < 2 * N_ITEMS(bad); i++) { /* nothing is written before all are checked */
        const int32_t pair[2] = {i % 2 ? bad[i / 2] : 2, i % 2 ? 2 : bad[i / 2]};
        assert_int_equal(prunesid_gather(rows, 3, 2, 4, pair, 2, out, 2), PRUNESID_ERROR_INDEX);
    }
    assert_int_equal(
        prunesid_gather(rows, SIZE_MAX / 2, 2, 4, indices, 2, out, 2), PRUNESID_ERROR_OVERFLOW);
    assert_int_equal(
        prunesid_gather(rows, 3, 2, 4, indices, 2, out, SIZE_MAX / 2), PRUNESID_ERROR_OVERFLOW);
    assert_string_equal(out, "...");
    assert_int_equal(prunesid_gather(rows, 3, 2, 4, indices, 0, out, 2), PRUNESID_OK);
    assert_string_equal(out, "...");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_rows_of_any_size),
        cmocka_unit_test(works_in_place),
        cmocka_unit_test(gathers_planes_one_by_one),
        cmocka_unit_test(follows_a_selection),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
