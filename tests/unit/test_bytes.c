// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cmocka_compat.h"

#include "base/bytes.h"

static const uint8_t digits[] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};

static void test_load(void **state)
{
    (void)state;
    assert_uint_equal(load_be16(digits), 0x0123);
    assert_uint_equal(load_be32(digits), 0x01234567);
    assert_uint_equal(load_be64(digits), 0x0123456789abcdef);
    /* Unaligned, and with the top bit set: no sign may creep in. */
    assert_uint_equal(load_be16(digits + 5), 0xabcd);
    assert_uint_equal(load_be32(digits + 4), 0x89abcdef);
}

static void test_store(void **state)
{
    uint8_t bytes[8];

    (void)state;
    store_be64(bytes, 0x0123456789abcdef);
    assert_memory_equal(bytes, digits, 8);
    store_be32(bytes, 0xfedcba98);
    assert_memory_equal(bytes, "\xfe\xdc\xba\x98\x89\xab\xcd\xef", 8);
    store_be16(bytes + 1, 0x8001);
    assert_memory_equal(bytes, "\xfe\x80\x01\x98\x89\xab\xcd\xef", 8);
}

static void test_reader_fields(void **state)
{
    static const uint8_t bytes[] = {0x7f, 0xff, 0xfe, 0x80, 0x00, 0x00, 0x01, 0x01,
                                    0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};
    struct reader reader = reader_over(bytes, sizeof(bytes));

    (void)state;
    assert_uint_equal(reader_u8(&reader), 0x7f);
    assert_uint_equal(reader_be16(&reader), 0xfffe);
    assert_uint_equal(reader_be32(&reader), 0x80000001);
    assert_uint_equal(reader_left(&reader), 8);
    assert_uint_equal(reader_be64(&reader), 0x0123456789abcdef);
    assert_uint_equal(reader_left(&reader), 0);
    assert_true(reader_ok(&reader));
}

static void test_reader_exhausted(void **state)
{
    struct reader reader = reader_over(digits, 5);

    (void)state;
    assert_uint_equal(reader_be16(&reader), 0x0123);
    assert_uint_equal(reader_be32(&reader), 0);
    assert_false(reader_ok(&reader));
    /* What was left before the failed read is not handed out after it. */
    assert_uint_equal(reader_left(&reader), 0);
    assert_uint_equal(reader_u8(&reader), 0);
    assert_null(reader_take(&reader, 1));
    assert_false(reader_ok(&reader));
}

static void test_reader_take(void **state)
{
    struct reader reader = reader_over(digits, sizeof(digits));
    struct reader empty = reader_over(NULL, 0);

    (void)state;
    assert_ptr_equal(reader_take(&reader, 3), digits);
    assert_ptr_equal(reader_take(&reader, 5), digits + 3);
    assert_non_null(reader_take(&reader, 0));
    assert_true(reader_ok(&reader));
    assert_null(reader_take(&reader, SIZE_MAX));
    assert_false(reader_ok(&reader));

    assert_non_null(reader_take(&empty, 0));
    assert_true(reader_ok(&empty));
}

/* Writes 21 bytes no matter how much room there is. */
static void write_all(struct writer *writer)
{
    writer_u8(writer, 0x11);
    writer_be16(writer, 0x2233);
    writer_be32(writer, 0);
    writer_zeros(writer, 3);
    writer_be64(writer, 0x0123456789abcdef);
    writer_put(writer, (const uint8_t *)"end", 3);
    writer_patch_be32(writer, 3, 0x44556677);
    writer_patch_be16(writer, 19, 0x8899);
}

static void test_writer_every_size(void **state)
{
    static const uint8_t expected[21] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                         0x00, 0x00, 0x00, 0x01, 0x23, 0x45, 0x67,
                                         0x89, 0xab, 0xcd, 0xef, 'e',  0x88, 0x99};

    (void)state;
    for (size_t size = 0; size <= 24; size++) {
        size_t stored = size < sizeof(expected) ? size : sizeof(expected);
        uint8_t bytes[24];
        uint8_t canary[24];
        struct writer writer = writer_over(bytes, size);

        memset(bytes, 0xa5, sizeof(bytes));
        memset(canary, 0xa5, sizeof(canary));
        write_all(&writer);
        assert_uint_equal(writer.offset, sizeof(expected));
        assert_uint_equal(writer_stored(&writer), stored);
        assert_int_equal(writer_ok(&writer), size >= sizeof(expected));
        assert_memory_equal(bytes, expected, stored);
        assert_memory_equal(bytes + stored, canary, sizeof(bytes) - stored);
    }
}

static void test_writer_no_buffer(void **state)
{
    struct writer writer = writer_over(NULL, 0);

    (void)state;
    write_all(&writer);
    assert_uint_equal(writer.offset, 21);
    assert_uint_equal(writer_stored(&writer), 0);
    assert_false(writer_ok(&writer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_store),
        cmocka_unit_test(test_reader_fields),
        cmocka_unit_test(test_reader_exhausted),
        cmocka_unit_test(test_reader_take),
        cmocka_unit_test(test_writer_every_size),
        cmocka_unit_test(test_writer_no_buffer),
    };

    return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
