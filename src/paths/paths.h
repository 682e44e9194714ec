// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef PATHS_PATHS_H
#define PATHS_PATHS_H

/*
 * One map, one nexus: persistent reservations on a multipath map. To its guest a map is one I_T
 * nexus; at the target each of its paths is one. This engine decides which commands go down which
 * paths so that the guest cannot tell.
 *
 * It is a state machine that the caller drives. The engine has no file descriptor, no clock, makes
 * no system call and allocates nothing: it asks for one step at a time, the caller carries the step
 * out and feeds back what came of it.
 *
 *     paths_begin(&engine, &map, &memory, &command);
 *     while ((step = paths_step(&engine))->kind != PATHS_STEP_REPLY) {
 *         ... carry it out ...
 *         paths_feed(&engine, &outcome);
 *     }
 *     memory = engine.memory;
 *
 * Paths are asked side by side (PATHS_STEP_ASK) and changed one after the other (PATHS_STEP_SEND).
 * A path that does not answer within the caller's patience is fed as PATHS_LOST and not used again
 * by this command; what was sent by it may still be executed, and no further step concerns it.
 * When the deadline of the whole command has passed, paths_give_up() ends it.
 *
 * What the caller has to keep:
 *
 * - One command for each map at a time, and none while anything that an earlier one sent still
 *   hangs: until that has returned the map is BUSY. A path by which something hangs is not asked.
 * - `memory` lives as long as the map, and is written down at PATHS_STEP_JOURNAL and after the
 *   reply. If the map's paths change, it is encoded for the old map and decoded for the new one.
 * - A command with `repair` when the program starts, when what hung has returned, and whenever a
 *   path answers again that was away: multipathd may not have noticed. Again until it is GOOD.
 * - TEST UNIT READY of PATHS_STEP_ASK is repeated after a unit attention, which goes into `sense`.
 * - Each exchange with multipathd has a deadline, of about a second; what had no answer is
 *   PATHS_LOST.
 *
 * Clauses are those of SPC-4. docs/multipath.md says how a map behaves for its users.
 *
 * Thread rule: one thread at a time per struct paths. Nothing here blocks.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scsi/cdb.h"
#include "scsi/prout.h"
#include "scsi/spc.h"
#include "scsi/transportid.h"

/*
 * Paths of a map. A map with more is refused by the caller. Sets of paths are bits of a uint64_t.
 * Tests that copy a million engines make it smaller.
 */
#ifndef PATHS_MAX
#define PATHS_MAX 64
#endif

/* The room that the caller has for the answer to a reading step; an allocation length's limit. */
#define PATHS_DATA_MAX 65535

/* A path, by what the target knows it as. */
struct paths_nexus {
    struct transportid initiator;
    uint16_t target_port; /* relative target port identifier, VPD page 83h */
    uint64_t id;          /* paths_nexus_id() of the two: its name in the journal */
};

/* The version of multipathd. Before 0.13 it has one key and does not clear a returning path. */
enum paths_multipathd {
    PATHS_MULTIPATHD_NONE, /* not running, or the map has no reservation_key: it does nothing */
    PATHS_MULTIPATHD_OLD,  /* below 0.13 */
    PATHS_MULTIPATHD_NEW,  /* 0.13 and later, known by its answer to getprhold */
};

/* A map. Owned by the caller; must not change while a command runs. */
struct paths_map {
    unsigned count;
    enum paths_multipathd multipathd;
    struct paths_nexus path[PATHS_MAX];
};

uint64_t paths_nexus_id(const struct transportid *initiator, uint16_t target_port);

/* The command in progress on a map. */
enum paths_aim {
    PATHS_AIM_NONE,     /* nothing: `had` is what had the key at the last GOOD */
    PATHS_AIM_LEVEL,    /* all paths are to have the key */
    PATHS_AIM_WITHDRAW, /* no path is to have any */
};

/*
 * What must be remembered of a map from one command to the next, and over a restart: the target
 * tells everything but what was under way. Everything 0 is a map of which nothing is known.
 */
struct paths_memory {
    uint64_t key;      /* the key aimed at, or that of the last GOOD; 0: none */
    uint64_t old_key;  /* the key before it, while something is under way */
    uint64_t had;      /* paths that were seen with it */
    uint64_t expected; /* paths registered with any key, unless another host has fenced us */
    uint64_t failed;   /* paths that were failed on purpose and are to be reinstated */
    uint8_t aim;       /* enum paths_aim */
    bool aptpl;        /* of the last registration: every further REGISTER must say the same */
    bool aptpl_known;  /* or not yet: then it is what REPORT CAPABILITIES says before it is said */
    bool plain;        /* the target has no READ FULL STATUS, or one that cannot be believed */
    /*
     * Paths with the same number here, which is not 0, share one registration, and READ FULL STATUS
     * does not say so. The number is that of the lowest of them, counted from 1.
     */
    uint8_t twin[PATHS_MAX];
};

/* The journal: struct paths_memory as bytes, with the paths by their ids. */
#define PATHS_JOURNAL_MAX (32 + PATHS_MAX * 10)
size_t paths_journal_encode(const struct paths_memory *memory, const struct paths_map *map,
                            uint8_t bytes[PATHS_JOURNAL_MAX]);
/* False, and `ret` untouched, if it is none. Paths that the map does not have are left out. */
bool paths_journal_decode(const uint8_t *bytes, size_t size, const struct paths_map *map,
                          struct paths_memory *ret);

/* The guest's command. */
struct paths_command {
    bool repair; /* nothing: finish what an earlier command left, and no more */
    uint8_t service_action;
    uint8_t scope, type;
    uint64_t key, sa_key;
    bool aptpl, all_tg_pt, spec_i_pt;
};

/* The next step. */
enum paths_step_kind {
    PATHS_STEP_ASK,     /* TEST UNIT READY by each of `paths`, side by side */
    PATHS_STEP_SEND,    /* the command `cdb` with its parameter list by `path`; once */
    PATHS_STEP_TELL,    /* say `tell` to multipathd */
    PATHS_STEP_DRAIN,   /* wait, a second at most, until nothing is in flight on `paths` */
    PATHS_STEP_JOURNAL, /* write `memory` of the engine down; it must be there before going on */
    PATHS_STEP_REPLY,   /* the end: `reply` */
};

enum paths_tell {
    PATHS_TELL_GETPRSTATUS,      /* getprstatus map M */
    PATHS_TELL_SETPRKEY,         /* setprkey map M key `key`[:aptpl] */
    PATHS_TELL_SETPRSTATUS,      /* setprstatus map M */
    PATHS_TELL_SETPRSTATUS_LIST, /* setprstatus map M pathlist `paths`; an old one: without list */
    PATHS_TELL_UNSETPRSTATUS,    /* unsetprstatus map M */
    PATHS_TELL_FAIL,             /* fail path, for each of `paths` */
    PATHS_TELL_REINSTATE,        /* reinstate path, for each of `paths` */
};

/* Why a command was not simply carried out. paths_reason_text() says it in words. */
enum paths_reason {
    PATHS_REASON_NONE,
    PATHS_REASON_NO_PATH,
    PATHS_REASON_NOT_READ,
    PATHS_REASON_TARGET_BUSY,
    PATHS_REASON_MULTIPATHD_SILENT,
    PATHS_REASON_UNFINISHED,
    PATHS_REASON_SHARED_ABSENT,
    PATHS_REASON_HOLDER_ABSENT,
    PATHS_REASON_FENCED,
    PATHS_REASON_NO_ANSWER,
    PATHS_REASON_NOT_LEVEL,
    PATHS_REASON_NOT_NARROWED,
    PATHS_REASON_NOT_ATTRIBUTED,
    PATHS_REASON_ATTENTION,
    PATHS_REASON_NOT_SERVED,
    PATHS_REASON_NOT_TOLD,
    PATHS_REASON_DEADLINE,
    PATHS_REASONS
};

/* The answer to the guest. */
struct paths_reply {
    uint8_t status;         /* enum spc_status */
    struct spc_sense sense; /* for CHECK CONDITION */
    bool unknown;           /* B/08/00: it may have been executed, in part, or may yet be */
    bool loud;              /* the administrator is to hear of it */
    enum paths_reason reason;
    uint64_t paths; /* those that the reason speaks of, if it speaks of any */
};

struct paths_step {
    enum paths_step_kind kind;
    enum paths_tell tell;
    unsigned path;
    uint64_t paths;
    uint64_t key;
    uint8_t cdb[CDB_SIZE];
    uint8_t parameters[PROUT_SIZE];
    uint8_t parameters_length; /* bytes of data-out; 0: data-in of up to PATHS_DATA_MAX */
    struct paths_reply reply;
};

/* How a step ended. */
enum paths_end {
    PATHS_DONE,    /* answered: status and sense, or what multipathd said */
    PATHS_REFUSED, /* not executed for certain: no answer at open, offline, transport; `fail` */
    PATHS_LOST,    /* no answer: it may have been executed, or may yet be */
};

struct paths_outcome {
    enum paths_end end;
    uint8_t status;         /* SEND */
    struct spc_sense sense; /* SEND; ASK: a unit attention that one of them had waiting, or 0 */
    const uint8_t *data;    /* SEND: data-in; read before paths_feed() returns */
    size_t length;
    uint64_t answered; /* ASK: those that said GOOD, perhaps after unit attentions */
    bool set;          /* TELL getprstatus: it is set */
};

/* The result of one observation of the target. */
struct paths_view {
    uint64_t key[PATHS_MAX]; /* of each path; 0: not registered */
    uint64_t shared;         /* paths whose key another host also has */
    uint64_t assumed;        /* absent paths that may have the key that is given here, or may not */
    uint64_t twins;          /* paths whose registration is that of another, usable path */
    bool command_key_shared; /* another host has the command's key */
    bool sa_key_shared;      /* or its service action key */
    uint64_t holder_key;     /* of the one holder; 0: none, or all registrants hold it */
    uint8_t type;            /* of the reservation; 0: none */
    int8_t holder;           /* a path, or one of the two below */
    bool unsure;             /* the holder is an absent path, or else another host's */
};
#define PATHS_HOLDER_NONE  (-1) /* no reservation, or one that all registrants hold */
#define PATHS_HOLDER_OTHER (-2) /* another host's */

/* Different keys that a look without READ FULL STATUS can tell apart; more: it fails. */
#define PATHS_KEYS_MAX 8

/* READ KEYS and READ RESERVATION, as they are put together to a view. */
struct paths_plain {
    uint64_t key[PATHS_KEYS_MAX];
    uint16_t count[PATHS_KEYS_MAX]; /* registrations with it */
    uint8_t keys;
    uint8_t at;   /* the key in hand */
    uint8_t type; /* of the reservation */
    uint64_t holder_key;
    uint64_t hash;       /* of the list of keys */
    uint32_t generation; /* PRGENERATION */
    uint32_t probes;     /* REGISTER of a key to itself that were GOOD since then */
    uint64_t todo;       /* paths that are still to be asked */
};

/* Frames of the procedures below each other; see resume.h. */
#define PATHS_FRAMES 11

/*
 * A command under way: some 1100 bytes. Owned by the caller, copied as it likes; only the functions
 * of this folder look inside. `memory` is the exception: the caller takes it at the end, and writes
 * it down at PATHS_STEP_JOURNAL.
 */
struct paths {
    const struct paths_map *map;
    struct paths_memory memory;
    struct paths_memory before; /* what the memory was before the command changed it */
    struct paths_command command;
    struct paths_step step;
    struct paths_view view;
    struct paths_plain plain;
    uint16_t at[PATHS_FRAMES];
    uint64_t heard;   /* paths that answered when they were asked last */
    uint64_t up;      /* those of them that have not said no for themselves since */
    uint64_t hung;    /* paths that did not answer this command: not used again */
    uint64_t start;   /* registered at the first look */
    uint64_t todo;    /* of a loop of the command */
    uint64_t again;   /* of a loop of a procedure */
    uint64_t tried;   /* by which a look was tried */
    uint64_t lacked;  /* usable paths that had not memory.key at the last look */
    uint64_t old_key; /* key of the stragglers that are taken away */
    uint8_t result;   /* enum paths_result of the last send, tell or drain */
    uint8_t was;      /* result of the last registration, before the look after it */
    uint8_t by;       /* the path of the last send */
    uint8_t keep;     /* the path that a procedure is about */
    uint8_t round, spin, plain_round, retries, attentions;
    int8_t holder;          /* at the first look */
    bool looked;            /* the view is that of a look that succeeded */
    bool fenced;            /* another host has taken away what we registered */
    bool level;             /* paths_level(): every usable path has the key */
    bool from_none;         /* the last registration was of an unregistered path */
    bool blind;             /* such a one has no answer: nothing would stop it from coming late */
    bool late;              /* the same, and seen since or not: multipathd registers too  */
    bool lost;              /* something has no answer */
    bool sent;              /* something that changes the target was sent */
    bool untouched;         /* nothing was executed: the memory is what it was before */
    bool partly;            /* a part of it was executed, of the rest it is not known */
    bool harmless;          /* what is sent changes nothing, whenever it is executed */
    bool silent;            /* multipathd did not answer the barrier */
    bool untold;            /* multipathd did not take something */
    bool set;               /* multipathd's prstatus */
    struct spc_sense sense; /* of the last send */
    const uint8_t *data;    /* of the last send, while paths_feed() runs */
    size_t length;
    struct spc_sense attention; /* reservations preempted, released: for the guest */
};

/* Start a command. `memory` is copied. The first step is there when this returns. */
void paths_begin(struct paths *engine, const struct paths_map *map,
                 const struct paths_memory *memory, const struct paths_command *command);

/* The step to carry out; the same until paths_feed(). Valid until then. */
const struct paths_step *paths_step(const struct paths *engine);

/* The outcome of a step. Accepts any answer of a target or multipathd. Not after the reply. */
void paths_feed(struct paths *engine, const struct paths_outcome *outcome);

/*
 * The deadline has passed: the step becomes the reply. BUSY if nothing was sent that changes the
 * target, else outcome unknown; a repair is then due before the next command.
 */
void paths_give_up(struct paths *engine);

/* Whether a command on this memory would begin with a repair. */
static inline bool paths_unfinished(const struct paths_memory *memory)
{
    return memory->aim != PATHS_AIM_NONE || memory->failed != 0;
}

/*
 * After a command, or a repair: the paths by which the target has the guest's registration, as far
 * as the last look tells and what was done after it, and those of which that is known.
 */
void paths_registrations(const struct paths *engine, uint64_t *ret_with, uint64_t *ret_known);

/* Plain English for audit and status; never NULL, without a full stop. */
const char *paths_reason_text(enum paths_reason reason);

#endif
