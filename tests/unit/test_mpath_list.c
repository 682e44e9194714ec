// SPDX-License-Identifier: LGPL-2.1-or-later
/* Parameter lists on their way to libmpathpersist, and its result codes on theirs back. */
#include "cmocka_compat.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "exactly.h"
#include "mpath/list.h"
#include "mpath/multipath.h"
#include "mpath/result.h"

#define IDS_AT PROUT_SPEC_I_PT_SIZE

/* Room for 340 TransportIDs, as many as a request can carry. */
static uint8_t bytes[8192];

/* A list with `count` copies of a TransportID. Returns its length. */
static size_t make_list(const struct transportid *id, size_t count)
{
    const struct prout prout = {.key = 1, .sa_key = 2, .spec_i_pt = true};
    struct transportid *ids = calloc(count, sizeof(*ids));
    size_t length;

    assert_non_null(ids);
    for (size_t i = 0; i < count; i++)
        ids[i] = *id;
    length = prout_encode(SPC_PROUT_REGISTER, &prout, ids, count, bytes, sizeof(bytes));
    free(ids);
    assert_true(length <= sizeof(bytes));
    return length;
}

/* Is it accepted? If not, the sense code is as wanted. */
static bool accepted(uint8_t service_action, size_t length, struct spc_sense wanted)
{
    uint8_t *list = exactly(bytes, length);
    struct prout prout;
    struct spc_sense code;
    bool is = list_accept(service_action, list, (uint32_t)length, &prout, &code);

    free(list);
    if (!is) {
        assert_uint_equal(code.key, wanted.key);
        assert_uint_equal(code.asc, wanted.asc);
        assert_uint_equal(code.ascq, wanted.ascq);
    }
    return is;
}

static void test_service_actions(void **state)
{
    (void)state;
    memset(bytes, 0, sizeof(bytes));
    for (unsigned action = 0; action < 32; action++)
        assert_int_equal(accepted((uint8_t)action, PROUT_SIZE, SPC_INVALID_FIELD_IN_CDB),
                         action < SPC_PROUT_REGISTER_AND_MOVE);
}

static void test_lengths(void **state)
{
    (void)state;
    memset(bytes, 0, sizeof(bytes));
    for (size_t length = 0; length < 64; length++)
        assert_int_equal(accepted(SPC_PROUT_REGISTER, length, SPC_PARAMETER_LIST_LENGTH_ERROR),
                         length == PROUT_SIZE);
}

/* However many bytes are missing at its end, with each kind of TransportID. */
static void test_truncated(void **state)
{
    struct transportid ids[4] = {transportid_fc(0x2100), transportid_sas(0x5000)};

    (void)state;
    assert_true(transportid_iscsi("iqn.2026-01.test.invalid:node", &ids[2]));
    assert_true(transportid_iscsi("iqn.2026-01.test.invalid:node,i,0x1", &ids[3]));
    for (size_t i = 0; i < 4; i++) {
        size_t whole = make_list(&ids[i], 2);

        assert_true(accepted(SPC_PROUT_REGISTER, whole, SPC_NO_ADDITIONAL_SENSE));
        for (size_t length = PROUT_SIZE; length < whole; length++)
            assert_false(accepted(SPC_PROUT_REGISTER, length, SPC_INVALID_FIELD_IN_PARAMETER_LIST));
    }
}

/* Lengths of the TransportIDs with which a sum in 32 bits would wrap around. */
static void test_lengths_that_wrap(void **state)
{
    const struct transportid id = transportid_fc(1);
    size_t length = make_list(&id, 1);

    (void)state;
    for (uint64_t claimed = 0xffffffe4; claimed <= UINT32_MAX; claimed++) {
        store_be32(bytes + PROUT_SIZE, (uint32_t)claimed);
        assert_false(accepted(SPC_PROUT_REGISTER, length, SPC_INVALID_FIELD_IN_PARAMETER_LIST));
    }
    store_be32(bytes + PROUT_SIZE, TRANSPORTID_SIZE);
    assert_true(accepted(SPC_PROUT_REGISTER, length, SPC_NO_ADDITIONAL_SENSE));
}

static void test_how_many(void **state)
{
    static const size_t too_many[] = {33, 34, 340};
    const struct transportid id = transportid_sas(1);

    (void)state;
    for (size_t i = 0; i < sizeof(too_many) / sizeof(too_many[0]); i++)
        assert_false(accepted(SPC_PROUT_REGISTER, make_list(&id, too_many[i]),
                              SPC_INVALID_FIELD_IN_PARAMETER_LIST));
    assert_true(accepted(SPC_PROUT_REGISTER, make_list(&id, 32), SPC_NO_ADDITIONAL_SENSE));
    assert_true(accepted(SPC_PROUT_REGISTER, make_list(&id, 0), SPC_NO_ADDITIONAL_SENSE));
}

/* The library knows three protocols. */
static void test_protocols(void **state)
{
    const uint8_t srp[16] = "srp";
    struct transportid id = transportid_srp(srp);
    size_t length = make_list(&id, 1);

    (void)state;
    for (unsigned byte0 = 0; byte0 < 256; byte0++) {
        unsigned known = byte0 & 0xcf;

        if ((known & 0x0f) == 5)
            continue; /* iSCSI's have another layout */
        bytes[IDS_AT] = (uint8_t)byte0;
        assert_int_equal(accepted(SPC_PROUT_REGISTER, length, SPC_INVALID_FIELD_IN_PARAMETER_LIST),
                         known == 0x00 || known == 0x06);
    }
}

static struct prout_param_descriptor *convert(size_t length)
{
    struct prout_param_descriptor *list;
    struct spc_sense code;
    struct prout prout;

    assert_true(list_accept(SPC_PROUT_REGISTER, bytes, (uint32_t)length, &prout, &code));
    list = list_convert(&prout);
    assert_non_null(list);
    return list;
}

static void test_convert_basic(void **state)
{
    const struct prout prout = {
        .key = 0x0102030405060708, .sa_key = 0x1112131415161718, .aptpl = true, .all_tg_pt = true};
    size_t length = prout_encode(SPC_PROUT_REGISTER, &prout, NULL, 0, bytes, sizeof(bytes));
    struct prout_param_descriptor *list = convert(length);

    (void)state;
    assert_memory_equal(list->key, "\1\2\3\4\5\6\7\10", 8);
    assert_memory_equal(list->sa_key, "\21\22\23\24\25\26\27\30", 8);
    assert_uint_equal(list->sa_flags, MPATH_F_APTPL_MASK | MPATH_F_ALL_TG_PT_MASK);
    assert_uint_equal(list->num_transportid, 0);
    free(list);
}

static void test_convert_ids(void **state)
{
    struct transportid iscsi;
    struct prout_param_descriptor *list;
    char name[252] = "";

    (void)state;
    memset(name, 'x', 251);
    memcpy(name, "iqn.", 4);
    assert_true(transportid_iscsi(name, &iscsi));
    assert_uint_equal(iscsi.size, TRANSPORTID_SIZE_MAX);
    list = convert(make_list(&iscsi, 31));
    assert_uint_equal(list->sa_flags, MPATH_F_SPEC_I_PT_MASK);
    assert_uint_equal(list->num_transportid, 31);
    for (unsigned i = 0; i < 31; i++) {
        const struct multipath_transportid *one = list->trnptid_list[i];

        assert_uint_equal(one->protocol_id, MPATH_PROTOCOL_ID_ISCSI);
        assert_uint_equal(one->format_code, MPATH_WWUI_DEVICE_NAME);
        assert_uint_equal(load_be16(one->iscsi_name), 252);
        assert_memory_equal(one->iscsi_name + 2, name, sizeof(name));
    }
    /* The places of all 32 are the library's to write to. */
    list->trnptid_list[31] = list->trnptid_list[0];
    free(list);

    assert_true(transportid_iscsi("iqn.x,i,0xAB", &iscsi));
    list = convert(make_list(&iscsi, 1));
    assert_uint_equal(list->trnptid_list[0]->format_code, MPATH_WWUI_PORT_IDENTIFIER);
    assert_string_equal((char *)list->trnptid_list[0]->iscsi_name + 2, "iqn.x,i,0xab");
    free(list);
}

static void test_convert_names(void **state)
{
    const struct transportid fc = transportid_fc(0x2122232425262728);
    const struct transportid sas = transportid_sas(0x5152535455565758);
    struct prout_param_descriptor *list = convert(make_list(&fc, 32));

    (void)state;
    assert_uint_equal(list->num_transportid, 32);
    assert_uint_equal(list->trnptid_list[31]->protocol_id, MPATH_PROTOCOL_ID_FC);
    assert_memory_equal(list->trnptid_list[31]->n_port_name, "!\"#$%&'(", 8);
    free(list);
    list = convert(make_list(&sas, 1));
    assert_uint_equal(list->trnptid_list[0]->protocol_id, MPATH_PROTOCOL_ID_SAS);
    assert_memory_equal(list->trnptid_list[0]->sas_address, "QRSTUVWX", 8);
    free(list);
}

static void test_results(void **state)
{
    static const struct {
        int code;
        enum result_kind kind;
        uint8_t status, key, asc, ascq;
    } rows[] = {
        {0, RESULT_ANSWER, 0x00, 0, 0, 0},         {11, RESULT_ANSWER, 0x18, 0, 0, 0},
        {1, RESULT_KEY, 0x02, 5, 0x26, 0},         {2, RESULT_LESS, 0x02, 2, 0x04, 0},
        {3, RESULT_LESS, 0x02, 3, 0x11, 0},        {4, RESULT_LESS, 0x02, 4, 0x44, 0},
        {8, RESULT_LESS, 0x02, 0xb, 0x00, 6},      {5, RESULT_ANSWER, 0x02, 5, 0x26, 0},
        {6, RESULT_ANSWER, 0x02, 6, 0x29, 0},      {7, RESULT_ANSWER, 0x02, 5, 0x20, 0},
        {9, RESULT_ANSWER, 0x02, 0, 0x00, 0},      {10, RESULT_NO_OUTCOME, 0x02, 0xb, 0x08, 0},
        {12, RESULT_NO_OUTCOME, 0x02, 0xb, 8, 0},  {13, RESULT_NO_OUTCOME, 0x02, 0xb, 8, 0},
        {14, RESULT_NO_OUTCOME, 0x02, 0xb, 8, 0},  {15, RESULT_NO_OUTCOME, 0x02, 0xb, 8, 0},
        {16, RESULT_NO_OUTCOME, 0x02, 0xb, 8, 0},  {17, RESULT_NO_OUTCOME, 0x02, 0xb, 8, 0},
        {-1, RESULT_NO_OUTCOME, 0x02, 0xb, 8, 0},  {-12, RESULT_NO_OUTCOME, 0x02, 0xb, 8, 0},
        {256, RESULT_NO_OUTCOME, 0x02, 0xb, 8, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reply reply;

        memset(&reply, 0xee, sizeof(reply));
        assert_int_equal(result_reply(rows[i].code, &reply), rows[i].kind);
        assert_uint_equal(reply.status, rows[i].status);
        assert_uint_equal(reply.size, 0);
        assert_uint_equal(reply.sense[0], rows[i].status == 0x02 ? 0x70 : 0);
        assert_uint_equal(reply.sense[2], rows[i].key);
        assert_uint_equal(reply.sense[12], rows[i].asc);
        assert_uint_equal(reply.sense[13], rows[i].ascq);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_service_actions), cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_truncated),       cmocka_unit_test(test_lengths_that_wrap),
        cmocka_unit_test(test_how_many),        cmocka_unit_test(test_protocols),
        cmocka_unit_test(test_convert_basic),   cmocka_unit_test(test_convert_ids),
        cmocka_unit_test(test_convert_names),   cmocka_unit_test(test_results),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
