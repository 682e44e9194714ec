// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef MODEL_WORLD_H
#define MODEL_WORLD_H

/*
 * Everything that a run consists of, in one flat struct: host A with a multipath map behind the
 * real engine, its multipathd, the logical unit, the other hosts, and what an observer who takes
 * host A for one nexus may believe (oracle.c).
 */
#include "paths/paths.h"
#include "target.h"

#define WORLD_PATHS  4  /* of host A, at most */
#define WORLD_OTHERS 2  /* nexuses of other hosts, at most */
#define IDEALS_MAX   64 /* states that the observer holds possible, at most */

/* What one setting explores. */
struct setting {
    const char *name;
    const char *guest;  /* names of the guest's commands, separated by commas */
    const char *others; /* and of the other hosts' */
    uint8_t paths, nexuses;
    uint8_t multipathd; /* enum paths_multipathd */
    uint8_t guest_commands, other_commands, events;
    uint8_t other_key[WORLD_OTHERS]; /* 1: the same as the guest's */
    uint8_t type, type2;
    bool returns;   /* paths may return inside a command too */
    bool blips;     /* multipathd may not notice that a path was away */
    bool crashes;   /* the worker may be killed at any step; the journal stays */
    bool forgets;   /* and the journal does not stay */
    bool deadlines; /* the deadline of the whole command may pass at any step */
    bool refuses;   /* multipathd says "fail" to all that changes something */
    bool silences;  /* multipathd may leave a message without answer, and without effect */
    bool prompt;    /* multipathd looks at once at a path that was reinstated */
    bool trusts;    /* a path that has answered the command is not asked again */
    bool irregular; /* starts with a path that is not registered, or has another key */
    struct target_quirks quirks;
    bool noise; /* BUSY, unit attentions, failed reads, paths that say no for themselves */
    bool full;  /* in the long form only */
};

/* A state of the logical unit as one nexus of host A would have it; nexus 0 is A. */
struct ideal {
    struct lun lun;
    struct prcommand late; /* one that was answered "unknown" and may yet be executed; or all 0 */
    uint8_t phase;         /* enum phase, of A's last command */
    uint8_t status;        /* its answer, once executed */
    uint16_t asc;
};

enum phase {
    PHASE_NONE,     /* nothing is under way */
    PHASE_PENDING,  /* not executed yet */
    PHASE_EXECUTED, /* executed, not answered */
};

enum path_state {
    PATH_DOWN,
    PATH_BACK, /* answers, but multipathd has not reinstated it */
    PATH_UP,
};

/* Marks of a run: what has happened that no rule can make up for. */
enum mark {
    MARK_FENCE_IN_COMMAND = 1 << 0, /* another host's PREEMPT or CLEAR inside a command */
    MARK_FENCE_IN_HANG = 1 << 1,    /* the same while a command hangs at the target */
    MARK_FENCE_UNREPAIRED = 1 << 2, /* the same while an earlier command is not finished */
    MARK_SHARER_CAME = 1 << 3,      /* another host registered the guest's key inside a command */
    MARK_DAEMON_WINDOW = 1 << 4,    /* fenced between multipathd's count and its registration */
    MARK_DAEMON_REVIVED = 1 << 5,   /* multipathd registered a fenced path */
    MARK_DAEMON_COUNT = 1 << 6,     /* multipathd found fewer keys than before, and cleared */
    MARK_DAEMON_CHANGED = 1 << 12,  /* multipathd gave one path of several another key */
    MARK_ABSENT_KEY = 1 << 13,      /* another host preempted a key that an absent path of ours had,
                                       and others, or so it might have been */
    MARK_PREEMPT_LOST = 1 << 14,    /* a PREEMPT of absent paths' old key has no answer */
    MARK_FENCE_NEW_KEY = 1 << 11,   /* another host preempted the key that is being registered */
    MARK_CRASH = 1 << 7,
    MARK_LATE = 1 << 8,            /* what hung was executed late */
    MARK_DAEMON_CLEARED = 1 << 10, /* multipathd took one registration of several away */
    MARK_FENCE_BACK = 1 << 9,      /* fenced while multipathd had a returned path in hand */
};

struct daemon {
    uint8_t key, old_key;
    bool set, ever;
    uint8_t queue;   /* paths that have returned */
    uint8_t current; /* path in hand, counted from 1; 0: none */
    uint8_t phase, need;
    uint8_t unchecked; /* paths that it was told to fail: it does not look until "reinstate path" */
    uint8_t due;       /* reinstated since, and not looked at yet */
};

struct world {
    struct paths engine;         /* all 0 while no command runs */
    struct paths_memory memory;  /* between commands */
    struct paths_memory journal; /* what is written down */
    struct lun lun;
    uint8_t generation;        /* PRGENERATION, where the engine looks at it */
    uint8_t path[WORLD_PATHS]; /* enum path_state */
    uint8_t pending;           /* paths by which a command hangs */
    struct prcommand hanging[WORLD_PATHS];
    uint8_t asked;     /* with setting->trusts: paths that need not be asked again */
    uint8_t failed;    /* paths failed on purpose: no write goes down them */
    uint8_t in_flight; /* of these, by which a write may still be under way */
    uint8_t fresh;     /* paths that returned, and no repair has looked since */
    uint8_t excused;   /* paths that were irregular at the start */
    struct daemon daemon;
    uint8_t events, guest_left, others_left;
    bool active, repairing, look_due;
    bool quiet;               /* nothing is, or came, in the way of the command */
    bool smooth;              /* nothing has happened since the command began but its own steps */
    bool migrated;            /* the guest has just been migrated in, and does not run yet */
    struct prcommand command; /* the guest's, or its last one */
    uint16_t marks;
    uint8_t row;  /* of maps' table, noted when the command began; from 1 */
    bool crowded; /* there would have been more ideal states: the run ends */
    uint8_t ideals;
    _Alignas(8) struct ideal ideal[IDEALS_MAX]; /* those behind `ideals` are all 0 */
};

/* What is wrong with a state, or with a step to it. */
enum fault {
    FAULT_NONE,
    FAULT_ANSWER,       /* an answer that no nexus could have given */
    FAULT_STATE,        /* after an answer, the paths are not in the state that it says */
    FAULT_UNSAFE,       /* a path may write, the guest could not */
    FAULT_DENIED,       /* a path may not write, the guest could */
    FAULT_UNSAFE_FRESH, /* the same by a path that has just returned */
    FAULT_DENIED_FRESH,
    FAULT_UNSAFE_LASTING, /* the same, and nothing is under way that would end it */
    FAULT_DENIED_LASTING,
    FAULT_OTHER, /* another host was answered what it could not have been */
    FAULT_OTHER_UNSAFE,
    FAULT_OTHER_DENIED,
    FAULT_NEEDLESS, /* refused, or unknown, though nothing was in the way */
    FAULT_FAILED,   /* paths are left failed on purpose when nothing is under way */
    FAULTS
};

extern const struct setting *setting; /* of this run */
extern struct paths_map world_map;

/* While telling, each step says what it is. */
extern bool emitting_noise; /* the successor in hand is of setting->noise */
extern bool telling;
extern char said[512];
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* world.c. A successor, in an order that depends on the state alone. */
typedef void world_emit(const struct world *next, enum fault fault, void *context);
void world_begin(const struct setting *chosen);
void world_roots(world_emit *emit, void *context);
void world_expand(const struct world *world, world_emit *emit, void *context);
const char *world_class(const struct world *world, enum fault fault);
void world_describe(const struct world *world, char *text, size_t size);
const char *fault_text(enum fault fault);

/* Rows of the table, and how they were answered. */
#define ROWS 20
extern const char *const row_text[ROWS];
extern uint64_t row_count[ROWS][4]; /* GOOD, other status, BUSY, unknown */

/* oracle.c */
void oracle_begin(struct world *world);
void oracle_command(struct world *world); /* the guest has sent world->command */
enum fault oracle_answer(struct world *world, const struct paths_reply *reply);
enum fault oracle_other(struct world *world, unsigned other, struct prcommand command,
                        uint8_t status);
enum fault oracle_access(const struct world *world);
bool oracle_agrees_wholly(const struct world *world); /* absent paths too */
void oracle_settled(struct world *world);             /* perhaps nothing is under way any more */

/* daemon.c */
bool daemon_busy(const struct world *world);
void daemon_returned(struct world *world, unsigned path);
void daemon_tell(struct world *world, const struct paths_step *step, struct paths_outcome *ret);
void daemon_step(struct world *world);
/* multipathd looks at a path that is due, or what it was told passes it by (`missed`). */
bool daemon_may_miss(void);
void daemon_look(struct world *world, unsigned path, bool missed);

#endif
