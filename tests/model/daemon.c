// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * multipathd, as far as it touches registrations: what 0.9 and what 0.13 and later do when a path
 * returns, one exchange with the target after the other. Its socket waits for the lock that this
 * holds, so an exchange with it comes before or after all of it.
 *
 * "fail path" takes the path out of its checks until "reinstate path", so that a path which goes
 * and returns meanwhile is not noticed. "reinstate path" gives the path to the map at once,
 * registered or not; some time later multipathd looks at it, and then treats it like one that has
 * returned. So does 0.9, unless it had not yet seen from the map that the path was failed.
 */
#include "world.h"

bool daemon_busy(const struct world *world)
{
    return world->daemon.current != 0;
}

static unsigned count(const struct world *world, uint8_t key)
{
    unsigned found = 0;

    for (unsigned i = 0; i < TARGET_NEXUSES; i++)
        found += key != 0 && world->lun.key[i] == key && setting->quirks.group[i] == i;
    return found;
}

/* 0.13 counts the old key beside the new one, until the status is set. */
static unsigned count_own(const struct world *world)
{
    const struct daemon *daemon = &world->daemon;

    return count(world, daemon->key) +
           (daemon->old_key != daemon->key ? count(world, daemon->old_key) : 0);
}

static void next(struct world *world)
{
    struct daemon *daemon = &world->daemon;

    daemon->current = daemon->phase = daemon->need = 0;
    for (unsigned path = 0; path < setting->paths; path++) {
        if (daemon->queue >> path & 1) {
            daemon->queue &= (uint8_t) ~(1 << path);
            daemon->current = (uint8_t)(path + 1);
            return;
        }
    }
}

static void unset(struct world *world)
{
    world->daemon.set = false;
    world->daemon.old_key = 0;
}

void daemon_returned(struct world *world, unsigned path)
{
    world->daemon.queue |= (uint8_t)(1 << path);
    if (!daemon_busy(world))
        next(world);
}

static void finish(struct world *world)
{
    unsigned path = world->daemon.current - 1u;

    if (world->path[path] == PATH_BACK)
        world->path[path] = PATH_UP;
    next(world);
}

/* REGISTER AND IGNORE EXISTING KEY by the path in hand. */
static void register_path(struct world *world, uint8_t key)
{
    unsigned path = world->daemon.current - 1u;
    bool own = key == 0;

    for (unsigned i = 0; i < setting->paths; i++)
        own |= world->lun.key[i] != 0 &&
               (world->lun.key[i] == key || world->lun.key[i] == world->daemon.old_key);
    if (!own || (key != 0 && world->lun.key[path] == 0 &&
                 (world->marks & (MARK_FENCE_IN_COMMAND | MARK_FENCE_IN_HANG |
                                  MARK_FENCE_UNREPAIRED | MARK_FENCE_BACK | MARK_DAEMON_WINDOW))))
        world->marks |= MARK_DAEMON_REVIVED;
    /* The registration by which all registrants held the reservation, while others came and went.
     */
    if (key == 0 && world->lun.key[path] != 0 && world->lun.type >= 7)
        world->marks |= MARK_DAEMON_CLEARED;
    if (key != 0 && world->lun.key[path] != 0 && world->lun.key[path] != key)
        world->marks |= MARK_DAEMON_CHANGED;
    for (unsigned i = 0; i < setting->paths; i++)
        if (key == 0 && i != path && world->lun.key[i] != 0 && world->lun.key[path] != 0)
            world->marks |= MARK_DAEMON_CLEARED;
    target_execute(
        &setting->quirks, &world->lun, path,
        (struct prcommand){.action = SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY, .sa_key = key},
        NULL);
    world->generation++;
}

static void step_old(struct world *world)
{
    struct daemon *daemon = &world->daemon;

    if (daemon->phase == 0) {
        if (daemon->set && count(world, daemon->key) > 0) {
            daemon->phase = 1;
            say("multipathd 0.9 sees its key by READ KEYS, path A%d", daemon->current - 1);
            return;
        }
        say("multipathd 0.9 reinstates A%d as it is", daemon->current - 1);
    } else {
        register_path(world, daemon->key);
        say("multipathd 0.9: REGISTER AND IGNORE ->%d by A%d, reinstated", daemon->key,
            daemon->current - 1);
    }
    finish(world);
}

static void step_new(struct world *world)
{
    struct daemon *daemon = &world->daemon;
    int path = daemon->current - 1;

    switch (daemon->phase) {
    case 0:
        daemon->need = (uint8_t)(daemon->set ? count_own(world) : 0);
        if (daemon->need == 0)
            unset(world);
        daemon->ever |= daemon->set;
        if (!daemon->set && !daemon->ever) {
            say("multipathd reinstates A%d as it is", path);
            finish(world);
            return;
        }
        daemon->phase = daemon->set ? 1 : 3;
        say("multipathd: READ KEYS for A%d, status %s", path, daemon->set ? "set" : "unset");
        return;
    case 1:
        register_path(world, daemon->key);
        daemon->phase = 2;
        say("multipathd: REGISTER AND IGNORE ->%d by A%d", daemon->key, path);
        return;
    case 2:
        if (count_own(world) >= daemon->need) {
            say("multipathd counts again and reinstates A%d", path);
            finish(world);
            return;
        }
        unset(world);
        daemon->phase = 3;
        world->marks |= MARK_DAEMON_COUNT;
        say("multipathd counts too few keys: status unset");
        return;
    default:
        register_path(world, 0);
        say("multipathd clears A%d and reinstates it", path);
        finish(world);
        return;
    }
}

void daemon_step(struct world *world)
{
    unsigned path = world->daemon.current - 1u;

    if (world->path[path] == PATH_DOWN) {
        say("multipathd: A%u has gone again", path);
        next(world);
    } else if (setting->multipathd == PATHS_MULTIPATHD_OLD) {
        step_old(world);
    } else {
        step_new(world);
    }
}

bool daemon_may_miss(void)
{
    return setting->multipathd == PATHS_MULTIPATHD_OLD;
}

void daemon_look(struct world *world, unsigned path, bool missed)
{
    struct daemon *daemon = &world->daemon;

    daemon->due &= (uint8_t) ~(1 << path);
    if (world->path[path] == PATH_DOWN) {
        say("multipathd looks at A%u, which was reinstated: it is away", path);
    } else if (missed) {
        say("multipathd looks at A%u, which was reinstated: it has not seen it fail", path);
    } else {
        say("multipathd looks at A%u, which was reinstated", path);
        daemon_returned(world, path);
    }
}

static void set(struct world *world, bool list)
{
    struct daemon *daemon = &world->daemon;
    unsigned up = 0;

    if (setting->multipathd == PATHS_MULTIPATHD_NEW && !daemon->set) {
        daemon->ever = daemon->set = true;
        for (unsigned path = 0; path < setting->paths; path++)
            up += world->path[path] == PATH_UP && !(daemon->unchecked >> path & 1);
        /* With a list, nothing is registered if as many keys are there as paths. */
        if (!list || count(world, daemon->key) < up)
            for (unsigned path = 0; path < setting->paths; path++)
                if (world->path[path] == PATH_UP && !(daemon->unchecked >> path & 1))
                    daemon->queue |= (uint8_t)(1 << path);
        next(world);
    }
    daemon->set = true;
    daemon->old_key = 0;
}

void daemon_tell(struct world *world, const struct paths_step *step, struct paths_outcome *ret)
{
    struct daemon *daemon = &world->daemon;

    switch (step->tell) {
    case PATHS_TELL_GETPRSTATUS:
        ret->set = daemon->set;
        say("engine: getprstatus (barrier): %s", daemon->set ? "set" : "unset");
        break;
    case PATHS_TELL_SETPRKEY:
        if (setting->multipathd == PATHS_MULTIPATHD_NEW)
            daemon->old_key = daemon->old_key == step->key ? 0 : daemon->key;
        daemon->key = (uint8_t)step->key;
        say("engine: setprkey %d", daemon->key);
        break;
    case PATHS_TELL_SETPRSTATUS:
    case PATHS_TELL_SETPRSTATUS_LIST:
        set(world, step->tell == PATHS_TELL_SETPRSTATUS_LIST);
        say("engine: setprstatus");
        break;
    case PATHS_TELL_UNSETPRSTATUS:
        unset(world);
        say("engine: unsetprstatus");
        break;
    case PATHS_TELL_FAIL:
        world->failed |= (uint8_t)step->paths;
        daemon->unchecked |= (uint8_t)step->paths;
        daemon->due &= (uint8_t)~step->paths;
        say("engine: fail path, of the set %x", (unsigned)step->paths);
        break;
    case PATHS_TELL_REINSTATE:
        daemon->due |= (uint8_t)(step->paths & daemon->unchecked);
        for (unsigned path = 0; setting->prompt && path < setting->paths; path++)
            if (daemon->due >> path & 1 && world->path[path] != PATH_DOWN)
                daemon_look(world, path, false);
        daemon->unchecked &= (uint8_t)~step->paths;
        world->failed &= (uint8_t)~step->paths;
        say("engine: reinstate path, of the set %x", (unsigned)step->paths);
        break;
    }
}
