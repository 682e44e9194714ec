// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Commands at random, but not blindly: with a few keys that come again and again, with the nexus's
 * own key more often than not, and with a service action more often right than wrong, so that a
 * sequence gets into states that a blind one would never see.
 */
#include <string.h>

#include "base/bytes.h"
#include "conform.h"

#define KEYS 4 /* 1 to 4 */

uint64_t dice_roll(struct dice *dice)
{
    uint64_t value = dice->state += 0x9e3779b97f4a7c15;

    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
}

unsigned dice_below(struct dice *dice, unsigned below)
{
    return (unsigned)(dice_roll(dice) % below);
}

bool dice_chance(struct dice *dice, unsigned percent)
{
    return dice_below(dice, 100) < percent;
}

static uint8_t any_type(struct dice *dice)
{
    static const uint8_t types[] = {1, 3, 5, 6, 7, 8};

    return dice_chance(dice, 96) ? types[dice_below(dice, sizeof(types))]
                                 : (uint8_t)dice_below(dice, 16);
}

static uint64_t any_key(struct dice *dice)
{
    return dice_chance(dice, 15) ? 0 : 1 + dice_below(dice, KEYS);
}

/* The key under which the nexus is registered, or 0. */
static uint64_t own_key(const struct nexuses *nexuses, const struct lu *lu, unsigned nexus)
{
    const struct lu_registration *registration = find_registration(
        lu, &nexuses->nexus[nexus].initiator, nexuses->nexus[nexus].target_port);

    return registration ? registration->key : 0;
}

/* A nexus that is registered, else `other`. */
static unsigned any_registered(struct dice *dice, const struct nexuses *nexuses,
                               const struct lu *lu, unsigned other)
{
    for (unsigned tries = 0; tries < 8; tries++) {
        unsigned nexus = dice_below(dice, nexuses->count);

        if (own_key(nexuses, lu, nexus) != 0)
            return nexus;
    }
    return other;
}

/* The nexus that holds the reservation, if it is one of ours, else `other`. */
static unsigned holder(const struct nexuses *nexuses, const struct lu *lu, unsigned other)
{
    for (unsigned i = 0; i < nexuses->count && lu->reserved; i++) {
        if (nexuses->nexus[i].target_port == lu->registration[lu->holder].target_port &&
            transportid_equal(&nexuses->nexus[i].initiator,
                              &lu->registration[lu->holder].initiator))
            return i;
    }
    return other;
}

static struct transportid any_transportid(struct dice *dice, const struct nexuses *nexuses)
{
    struct transportid id = nexuses->nexus[dice_below(dice, nexuses->count)].initiator;

    switch (dice_below(dice, 12)) {
    case 0:
        transportid_iscsi("iqn.2026-01.test.invalid:nobody,i,0x00023d000001", &id);
        break;
    case 1:
        id = transportid_sas(0x5000c50000000001);
        break;
    case 2: /* the same initiator as a device: any of its ports */
        id.bytes[0] = 0x05;
        *strstr((char *)id.bytes + 4, ",i,0x") = '\0';
        transportid_iscsi((const char *)id.bytes + 4, &id);
        break;
    case 3:
        id.bytes[dice_below(dice, 4)] ^= (uint8_t)(1u << dice_below(dice, 8));
        break;
    default:
        break;
    }
    return id;
}

static void generate_prout(struct dice *dice, const struct nexuses *nexuses, const struct lu *lu,
                           struct step *ret)
{
    /* Each as often as it stands here. */
    static const uint8_t service_actions[] = {
        SPC_PROUT_REGISTER,
        SPC_PROUT_REGISTER,
        SPC_PROUT_REGISTER,
        SPC_PROUT_REGISTER,
        SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY,
        SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY,
        SPC_PROUT_RESERVE,
        SPC_PROUT_RESERVE,
        SPC_PROUT_RESERVE,
        SPC_PROUT_RELEASE,
        SPC_PROUT_RELEASE,
        SPC_PROUT_PREEMPT,
        SPC_PROUT_PREEMPT,
        SPC_PROUT_PREEMPT_AND_ABORT,
        SPC_PROUT_REGISTER_AND_MOVE,
        SPC_PROUT_REGISTER_AND_MOVE,
    };
    uint8_t service_action = service_actions[dice_below(dice, sizeof(service_actions))];
    uint8_t scope = dice_chance(dice, 97) ? 0 : (uint8_t)dice_below(dice, 16);
    uint8_t type = any_type(dice);
    struct transportid ids[2];
    struct prout prout = {0};
    size_t length;

    if (dice_chance(dice, 3))
        service_action = SPC_PROUT_CLEAR;
    if (dice_chance(dice, 2))
        service_action = (uint8_t)dice_below(dice, 32);
    if (service_action != SPC_PROUT_REGISTER &&
        service_action != SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY && dice_chance(dice, 80))
        ret->nexus = any_registered(dice, nexuses, lu, ret->nexus);
    if ((service_action == SPC_PROUT_RELEASE || service_action == SPC_PROUT_REGISTER_AND_MOVE) &&
        dice_chance(dice, 70))
        ret->nexus = holder(nexuses, lu, ret->nexus);
    if (lu->reserved && dice_chance(dice, 50))
        type = lu->type;
    prout.key = dice_chance(dice, 85) ? own_key(nexuses, lu, ret->nexus)
                                      : dice_below(dice, KEYS + 1);
    prout.sa_key = any_key(dice);
    if ((service_action == SPC_PROUT_PREEMPT || service_action == SPC_PROUT_PREEMPT_AND_ABORT) &&
        lu->reserved && dice_chance(dice, 50))
        prout.sa_key = spc_type_is_all_registrants(lu->type) ? 0 : lu->registration[lu->holder].key;
    prout.aptpl = dice_chance(dice, 15);
    prout.all_tg_pt = dice_chance(dice, service_action == SPC_PROUT_REGISTER ? 12 : 4);
    prout.spec_i_pt = dice_chance(dice, service_action == SPC_PROUT_REGISTER ? 12 : 1);
    prout.unreg = dice_chance(dice, 30);
    prout.relative_target_port = dice_chance(dice, 95)
                                     ? (uint16_t)(1 + dice_below(dice, nexuses->target_ports))
                                     : (uint16_t)dice_below(dice, 4);
    for (size_t i = 0; i < 2; i++)
        ids[i] = any_transportid(dice, nexuses);

    length = prout_encode(service_action, &prout, ids, dice_below(dice, 3), ret->list, LIST_MAX);
    if (dice_chance(dice, 4)) {
        /* Another length, or another byte: zeros behind the list are part of it then. */
        if (dice_chance(dice, 50))
            length = dice_below(dice, (unsigned)length + 40);
        else /* not one of a name: any other name is as good */
            ret->list[dice_below(dice, (unsigned)length) % 28] ^= (uint8_t)(1u
                                                                            << dice_below(dice, 8));
    }
    ret->list_length = (uint32_t)length;
    cdb_encode_prout(ret->cdb, service_action, scope, type, ret->list_length);
}

static void generate_prin(struct dice *dice, struct step *ret)
{
    uint8_t service_action = (uint8_t)dice_below(dice, dice_chance(dice, 95) ? 4 : 32);
    uint16_t allocation = 8192;

    if (dice_chance(dice, 30))
        allocation = (uint16_t)dice_below(dice, 64);
    else if (dice_chance(dice, 30))
        allocation = (uint16_t)dice_below(dice, 600);
    else if (dice_chance(dice, 5))
        allocation = (uint16_t)(32768 + dice_below(dice, 32768));
    cdb_encode_prin(ret->cdb, service_action, allocation);
}

void generate_step(struct dice *dice, const struct nexuses *nexuses, const struct lu *lu,
                   struct step *ret)
{
    unsigned kind = dice_below(dice, 100);

    memset(ret, 0, sizeof(*ret));
    ret->nexus = dice_below(dice, nexuses->count);
    if (kind < 65)
        generate_prout(dice, nexuses, lu, ret);
    else if (kind < 80)
        generate_prin(dice, ret);
    else if (kind < 84)
        ret->cdb[0] = SPC_TEST_UNIT_READY;
    else
        ret->cdb[0] = kind < 92 ? SBC_READ_10 : SBC_WRITE_10, ret->cdb[8] = 1;
}
