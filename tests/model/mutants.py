# SPDX-License-Identifier: LGPL-2.1-or-later
"""Changes to the engine in src/paths, each of which breaks a rule: what the model is worth is how
many of them it notices.

Each has the settings in which it is looked for, the source, a piece of text that is in it exactly
once, and what takes its place. One that does not fit any more is an error, and wants a look at
whether the defect can still be made.
"""
from typing import Dict, Tuple

MUTANTS: Dict[str, Tuple[str, str, str, str]] = {
    "no-barrier": (
        "returns new-2", "paths.c",
        "        RESUME_CALL(engine, PATHS_FRAME_RUN, paths_tell(engine, PATHS_TELL_GETPRSTATUS, 0, 0));\n",
        ""),
    "no-journal": (
        "crash", "register.c",
        "    engine->memory.aptpl_known = true;\n"
        "    RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_write(engine));\n",
        "    engine->memory.aptpl_known = true;\n"),
    "no-setprkey": (
        "new new-2 returns", "register.c",
        "    RESUME_CALL(engine, PATHS_FRAME_COMMAND,\n"
        "                paths_tell(engine, PATHS_TELL_SETPRKEY, engine->command.sa_key, 0));",
        "    RESUME_CALL(engine, PATHS_FRAME_COMMAND, false);"),
    "holder-first": (
        "new", "register.c",
        "    engine->todo = paths_usable(engine) & ~paths_holding(engine);",
        "    engine->todo = paths_usable(engine);"),
    "no-preempt-before-holder": (
        "new new-2", "register.c",
        "    if (!engine->looked || engine->fenced || engine->view.holder != engine->holder)",
        "    if (true)"),
    "register-and-ignore": (
        "new new-2", "register.c",
        "        paths_prepare(engine, engine->keep, SPC_PROUT_REGISTER, 0, engine->view.key[engine->keep],",
        "        paths_prepare(engine, engine->keep, SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY, 0,\n"
        "                      engine->view.key[engine->keep],"),
    "loss-is-no-fence": (
        "new", "look.c",
        "    if (!engine->looked)\n        return false;\n    return (engine->memory.expected",
        "    return false;\n    return (engine->memory.expected"),
    "no-repair-first": (
        "new-2", "paths.c",
        "    if (paths_unfinished(&engine->memory) || engine->command.repair) {",
        "    if (engine->command.repair) {"),
    "fenced-not-withdrawn": (
        "new", "register.c",
        "    if (engine->fenced) {\n        RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_withdraw(engine));",
        "    if (engine->fenced) {\n        engine->memory.aim = PATHS_AIM_NONE;"),
    "unregister-tells-late": (
        "returns old", "unregister.c",
        "    RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_tell(engine, PATHS_TELL_UNSETPRSTATUS, 0, 0));\n",
        ""),
    "unregister-leaves-absent": (
        "new", "unregister.c",
        "    if (engine->again == 0)\n        RESUME_RETURN(engine, PATHS_FRAME_PART);",
        "    RESUME_RETURN(engine, PATHS_FRAME_PART);"),
    "unregister-any-last": (
        "new three", "unregister.c",
        "    return (uint8_t)paths_first(usable & paths_holding(engine) ? usable & paths_holding(engine)\n"
        "                                                               : usable);",
        "    return (uint8_t)paths_first(usable);"),
    "shared-absent": (
        "old-shared new-shared", "look.c",
        "        if (paths_shared(engine, engine->view.key[path]) &&", "        if (false &&"),
    "unregister-shared-absent": (
        "old-shared new-shared", "unregister.c",
        "    if (paths_is_out_of_reach(engine, paths_absent(engine))) {", "    if (false) {"),
    "register-shared-absent": (
        "old-shared new-shared", "register.c",
        "    if (paths_is_out_of_reach(engine, register_stale_absent(engine))) {", "    if (false) {"),
    "strip-takes-others": (
        "new-shared", "unregister.c",
        "    return paths_registered(engine) & ~paths_bit(engine->keep) & ~engine->view.shared &",
        "    return paths_registered(engine) & ~paths_bit(engine->keep) &"),
    "withdraw-holder-first": (
        "deadline events", "repair.c",
        "    return paths_first(first ? first : todo);", "    return paths_first(todo);"),
    "reserve-by-first": (
        "irregular", "reserve.c",
        "    engine->todo = paths_with(engine, engine->command.key) & paths_usable(engine);\n"
        "    engine->result = PATHS_RESULT_PATH;",
        "    engine->todo = paths_bit(paths_first(paths_usable(engine)));\n"
        "    engine->result = PATHS_RESULT_PATH;"),
    "reserve-unanswered-good": (
        "new", "reserve.c",
        "    if (engine->looked && !engine->view.unsure && engine->view.holder == engine->keep &&",
        "    if (engine->looked || engine->view.holder == engine->keep &&"),
    "release-by-any": (
        "new", "reserve.c",
        "            engine->todo &= paths_holding(engine);", "            ;"),
    "release-holder-absent-good": (
        "new", "reserve.c",
        "    if (!paths_holds(engine, engine->command.key)) {",
        "    if (!paths_holds(engine, engine->command.key) ||\n"
        "        (paths_holding(engine) & ~paths_usable(engine))) {"),
    "any-key-right": (
        "new", "look.c",
        "    uint64_t speaking = paths_registered(engine);\n",
        "    uint64_t speaking = paths_registered(engine);\n\n    if (key != 0)\n        return true;\n"),
    "absent-speaks": (
        "new-shared-2", "look.c",
        "    if (speaking & paths_usable(engine))\n        speaking &= paths_usable(engine);\n", ""),
    "release-of-another-type": (
        "new", "reserve.c",
        "        paths_answer_sense(engine, SPC_INVALID_RELEASE, PATHS_REASON_NONE);",
        "        paths_answer(engine, SPC_STATUS_GOOD);"),
    "not-narrowed": (
        "new", "repair.c",
        "    engine->memory.failed = engine->heard & ~engine->hung & ~paths_bit(engine->keep);",
        "    engine->memory.failed = 0;"),
    "narrowed-to-those-that-say-yes": (
        "noise", "repair.c",
        "    engine->memory.failed = engine->heard & ~engine->hung & ~paths_bit(engine->keep);",
        "    engine->memory.failed = engine->up & ~paths_bit(engine->keep);"),
    "absent-failed-too": (
        "narrow narrow-old", "repair.c",
        "    engine->memory.failed = engine->heard & ~engine->hung & ~paths_bit(engine->keep);",
        "    engine->memory.failed = paths_all(engine) & ~paths_bit(engine->keep);"),
    "widened-early": (
        "new events", "preempt.c",
        "    if (engine->fenced || (engine->level && !engine->blind))\n", "    if (true)\n"),
    "never-widened": (
        "new", "preempt.c",
        "        RESUME_CALL(engine, PATHS_FRAME_REFILL, paths_widen(engine));\n    if (engine->fenced)\n",
        "        engine->memory.failed = 0;\n    if (engine->fenced)\n"),
    "not-refilled": (
        "new", "preempt.c",
        "    engine->was = PATHS_RESULT_GOOD;\n"
        "    RESUME_CALL(engine, PATHS_FRAME_REFILL, paths_bring_level(engine));\n"
        "    if (!engine->fenced && engine->level && !engine->blind) {",
        "    engine->was = PATHS_RESULT_GOOD;\n    engine->level = true;\n    if (false) {"),
    "self-preempt-not-told": (
        "new returns", "preempt.c",
        "    /* After it: multipathd then clears what returns. What is registered by then goes as well. */\n"
        "    RESUME_CALL(engine, PATHS_FRAME_PART, paths_withdraw(engine));\n",
        "    engine->memory.aim = PATHS_AIM_NONE;\n"),
    "clear-not-told": (
        "new returns old", "preempt.c",
        "    /* All is gone; multipathd is told, and what it registered just now goes as well. */\n"
        "    RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_withdraw(engine));\n",
        ""),
    "blind-goes-on": (
        "new", "register.c",
        "            engine->blind = engine->late = true;\n", "            engine->late = true;\n"),
    "withdraw-forgets-late": (
        "new-2", "repair.c",
        "            if (paths_registered(engine) == 0 && !engine->late) {",
        "            if (paths_registered(engine) == 0) {"),
    "seen-so-not-late": (
        "late-shared", "repair.c",
        "            if (paths_registered(engine) == 0 && !engine->late) {",
        "            if (paths_registered(engine) == 0 && !engine->blind) {"),
    "revival-unnoticed": (
        "returns new", "look.c",
        "    return with != 0 && (engine->memory.had & ~with) != 0;", "    return false;"),
    "sent-twice": (
        "new", "step.c",
        "    return false;\n}\n\nbool paths_send(",
        "    return engine->result == PATHS_RESULT_LOST && ++engine->retries == 1;\n}\n\nbool paths_send("),
    "expected-not-remembered": (
        "deadline crash", "look.c",
        "    return (engine->memory.expected & ~paths_registered(engine)) != 0 ||", "    return"),
    "strip-seen-as-fence": (
        "new", "repair.c",
        "            engine->memory.expected &= ~paths_with(engine, engine->old_key);\n", ""),
    "generation-unread": (
        "plain plain-shared", "look_plain.c",
        "    return engine->plain.hash == hash &&", "    return true || engine->plain.hash == hash &&"),
    "absent-is-not-others": (
        "plain plain-shared", "look_plain.c",
        "            engine->view.shared |= paths_bit(path);\n", ""),
    "others-are-not-absent": (
        "plain", "look_plain.c",
        "            engine->view.key[path] = key;\n            engine->view.shared",
        "            engine->view.shared"),
    "twins-are-two": (
        "host-port", "look.c",
        "        engine->view.twins |= matching & ~paths_bit(found);\n", ""),
    "deadline-says-busy": (
        "deadline", "paths.c",
        "    if (!engine->sent) {\n        /* Nothing", "    if (true) {\n        /* Nothing"),
    "returned-not-registered": (
        "none returns", "repair.c",
        "    return with != 0 && (paths_usable(engine) & ~with) != 0;", "    return false;"),
    "own-type-kept": (
        "new-shared", "preempt.c",
        "             !paths_shared(engine, engine->command.key))", "             true)"),
    "fencing-waits-to-reinstate": (
        "silences-next", "paths.c",
        "        if (engine->command.repair ? paths_unfinished(&engine->memory)\n"
        "                                   : engine->memory.aim != PATHS_AIM_NONE) {\n",
        "        if (paths_unfinished(&engine->memory)) {\n"),
    "first-word-unheard": (
        "silences-next", "register.c",
        "    if (engine->result == PATHS_RESULT_LOST) {\n"
        "        RESUME_CALL(engine, PATHS_FRAME_COMMAND,\n"
        "                    paths_abandon(engine, PATHS_REASON_MULTIPATHD_SILENT));",
        "    if (false) {\n"
        "        RESUME_CALL(engine, PATHS_FRAME_COMMAND,\n"
        "                    paths_abandon(engine, PATHS_REASON_MULTIPATHD_SILENT));"),
    "one-set-of-twins": (
        "host-ports-plain", "twins.c",
        "        if (numbers[other] == numbers[path])", "        if (numbers[other] != 0)"),
    "twins-learnt-one-by-one": (
        "host-ports-plain", "look_plain.c",
        "    uint64_t come = with & engine->lacked;", "    uint64_t come = 0;"),
    "twin-takes-no-place": (
        "host-ports-plain", "register.c",
        "    while (engine->todo != 0 && !engine->fenced && engine->looked) {", "    while (false) {"),
    "withdraw-leaves-behind": (
        "deadline-2", "repair.c",
        "            if (repair_left_behind(engine) != 0) {", "            if (false) {"),
    "new-key-taken-back": (
        "silences-few", "register.c",
        "    if (engine->looked && paths_with(engine, engine->command.sa_key) != 0)\n"
        "        RESUME_CALL(", "    if (false)\n        RESUME_CALL("),

    # From here on by an author who had read the rules, and not the engine.
    "key-by-the-list": (
        "plain", "look_plain.c",
        "        if (engine->result == PATHS_RESULT_GOOD) {\n            engine->view.key[engine->by]",
        "        if (true) {\n            engine->view.key[engine->by]"),
    "no-key-is-right": (
        "new", "look.c",
        "    if (key == 0 && (paths_with(engine, engine->memory.key) & engine->memory.had))\n"
        "        return false;\n"
        "    return key == 0 ? !(paths_registered(engine) & paths_usable(engine))",
        "    return key == 0 ? true"),
    "no-key-is-right-while-away": (
        "back-alone", "look.c",
        "    if (key == 0 && (paths_with(engine, engine->memory.key) & engine->memory.had))\n",
        "    if (false)\n"),
    "fencing-waits-for-multipathd": (
        "silences", "preempt.c",
        "    RESUME_CALL(engine, PATHS_FRAME_PART, preempt_send_by_one(engine));\n"
        "    if (engine->result != PATHS_RESULT_CONFLICT) {",
        "    if (engine->silent) {\n"
        "        paths_answer_busy(engine, PATHS_REASON_MULTIPATHD_SILENT, 0);\n"
        "        RESUME_RETURN(engine, PATHS_FRAME_PART);\n    }\n"
        "    RESUME_CALL(engine, PATHS_FRAME_PART, preempt_send_by_one(engine));\n"
        "    if (engine->result != PATHS_RESULT_CONFLICT) {"),
    "no-of-a-path-is-that-of-all": (
        "noise", "step.c",
        "        if (sense_is_of_path(outcome->sense))\n            return PATHS_RESULT_PATH;\n", ""),
    "busy-is-not-repeated": (
        "noise", "step.c",
        "        return ++engine->retries <= PATHS_RETRIES_MAX;", "        return false;"),
    "attention-is-an-answer": (
        "noise", "step.c",
        "        if (++engine->attentions <= PATHS_ATTENTIONS_MAX)\n            return true;\n", ""),
    "unanswered-is-good": (
        "new", "paths.c",
        "        paths_answer_unknown(engine, PATHS_REASON_NO_ANSWER, paths_bit(engine->by));",
        "        paths_answer(engine, SPC_STATUS_GOOD);"),
    "no-look-after-each": (
        "new three", "register.c",
        "        RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_look(engine));\n"
        "        if (!engine->looked)\n            break;\n"
        "        engine->fenced = paths_lost_some(engine);",
        "        if (engine->was == PATHS_RESULT_GOOD) {\n"
        "            engine->view.key[engine->keep] = engine->memory.key;\n            break;\n        }\n"
        "        RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_look(engine));\n"
        "        if (!engine->looked)\n            break;\n"
        "        engine->fenced = paths_lost_some(engine);"),
    "withdraw-not-told": (
        "new returns old new-2", "repair.c",
        "            RESUME_CALL(engine, PATHS_FRAME_PROCEDURE,\n"
        "                        paths_tell(engine, PATHS_TELL_UNSETPRSTATUS, 0, 0));\n"
        "            if (paths_registered(engine) != 0)",
        "            if (paths_registered(engine) != 0)"),
    "rolled-back": (
        "new", "register.c",
        "        if (engine->was == PATHS_RESULT_PATH)\n            break;",
        "        engine->fenced = engine->was == PATHS_RESULT_PATH;\n"
        "        if (engine->was == PATHS_RESULT_PATH)\n            break;"),
    "fenced-and-good": (
        "new", "register.c",
        "    paths_answer_unknown(engine, PATHS_REASON_FENCED, engine->memory.had);",
        "    paths_answer(engine, SPC_STATUS_GOOD);"),
    "status-not-set": (
        "new returns", "register.c",
        "    RESUME_CALL(engine, PATHS_FRAME_PART, paths_tell_set(engine, PATHS_TELL_SETPRSTATUS_LIST));\n",
        ""),
    "absent-not-stripped": (
        "new", "register.c",
        "        RESUME_CALL(engine, PATHS_FRAME_COMMAND, paths_strip(engine));", "        ;"),
    "stripped-with-any-type": (
        "new new-2", "register.c",
        "SPC_PROUT_PREEMPT, engine->view.type,", "SPC_PROUT_PREEMPT, SPC_TYPE_WRITE_EXCLUSIVE,"),
    "holder-reserves-again": (
        "new", "reserve.c",
        "    if (engine->view.type != 0) {",
        "    if (engine->view.type != 0 && !paths_holds(engine, engine->command.key)) {"),
    "reserved-with-any-type": (
        "all-registrants new-2", "reserve.c",
        "        paths_answer(engine, paths_holds(engine, engine->command.key) &&\n"
        "                                     engine->view.type == engine->command.type",
        "        paths_answer(engine, paths_holds(engine, engine->command.key)"),
    "released-by-others": (
        "new", "reserve.c",
        "    if (!paths_holds(engine, engine->command.key)) {", "    if (engine->view.type == 0) {"),
    "release-takes-sharers": (
        "new-shared old-shared", "reserve.c",
        "    if (engine->todo == 0 || paths_all_registrants(engine) ||\n"
        "        paths_shared(engine, engine->command.key))",
        "    if (engine->todo == 0 || paths_all_registrants(engine))"),
    "release-leaves-others": (
        "three", "reserve.c",
        "    RESUME_CALL(engine, PATHS_FRAME_PART, paths_refill(engine));\n"
        "    RESUME_END(engine, PATHS_FRAME_PART);\n}\n\nbool paths_release(",
        "    paths_answer_result(engine);\n"
        "    RESUME_END(engine, PATHS_FRAME_PART);\n}\n\nbool paths_release("),
    "sharers-reservation-unseen": (
        "new-shared", "preempt.c",
        "    if (engine->looked && engine->view.key[engine->keep] == engine->command.key &&\n"
        "        engine->view.holder == engine->keep) {",
        "    if (false) {"),
    "not-drained": (
        "new", "repair.c",
        "        RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_drain(engine, engine->memory.failed));",
        "        ;"),
    "drain-not-waited-for": (
        "silences", "preempt.c",
        "        if (engine->result != PATHS_RESULT_GOOD) {\n"
        "            RESUME_CALL(engine, PATHS_FRAME_PART, paths_widen(engine));",
        "        if (false) {\n            RESUME_CALL(engine, PATHS_FRAME_PART, paths_widen(engine));"),
    "failed-not-written": (
        "crash", "repair.c",
        "    RESUME_CALL(engine, PATHS_FRAME_PROCEDURE, paths_write(engine));\n"
        "    RESUME_CALL(engine, PATHS_FRAME_PROCEDURE,\n"
        "                paths_tell(engine, PATHS_TELL_FAIL,",
        "    RESUME_CALL(engine, PATHS_FRAME_PROCEDURE,\n"
        "                paths_tell(engine, PATHS_TELL_FAIL,"),
    "refused-but-finished-later": (
        "silences", "preempt.c",
        "    paths_aim_nothing(engine);\n"
        "    RESUME_CALL(engine, PATHS_FRAME_PART, paths_write(engine));\n"
        "    paths_answer_busy(engine, reason, 0);",
        "    paths_answer_busy(engine, reason, 0);"),
    "no-look-at-the-end": (
        "new returns new-shared", "register.c",
        "    RESUME_CALL(engine, PATHS_FRAME_PART, paths_tell_set(engine, PATHS_TELL_SETPRSTATUS_LIST));\n"
        "    RESUME_CALL(engine, PATHS_FRAME_PART, paths_bring_level(engine));\n",
        "    RESUME_CALL(engine, PATHS_FRAME_PART, paths_tell_set(engine, PATHS_TELL_SETPRSTATUS_LIST));\n"),

    # What multipathd does with paths that it was told to fail and to reinstate, and what it refuses.
    "refused-register-is-sent": (
        "refuses-shared", "register.c",
        "    if (engine->untold && paths_is_out_of_reach(", "    if (false && paths_is_out_of_reach("),
    "refused-unregister-is-sent": (
        "refuses-shared", "unregister.c",
        "    if (engine->untold && paths_is_out_of_reach(", "    if (false && paths_is_out_of_reach("),
    "conflict-is-a-fence": (
        "host-ports returns", "register.c",
        "        RESUME_CALL(engine, PATHS_FRAME_PART, paths_look(engine));\n"
        "        engine->fenced = paths_lost_some(engine);\n"
        "    } else if",
        "        engine->fenced = true;\n    } else if"),
    "multipathds-is-not-missed": (
        "host-port", "register.c",
        "            engine->memory.expected |= paths_surely(engine, paths_registered(engine));\n",
        "            ;\n"),
    "repaired-without-a-look": (
        "silences silences-next", "paths.c",
        "            if (engine->looked)\n                paths_answer(", "            if (true)\n                paths_answer("),
    "multipathd-taken-for-a-twin": (
        "new-2", "repair.c",
        "            if (engine->looked && engine->view.key[engine->keep] == 0)\n", "            if (true)\n"),
    "reinstated-before-the-repair": (
        "narrow crash new-2", "repair.c",
        "    if (engine->memory.aim == PATHS_AIM_NONE)\n"
        "        RESUME_CALL(engine, PATHS_FRAME_GUARD, paths_widen(engine));",
        "    if (true)\n"
        "        RESUME_CALL(engine, PATHS_FRAME_GUARD, paths_widen(engine));"),
    "refused-path-left-failed": (
        "new-shared narrow-shared", "preempt.c",
        "        paths_aim_nothing(engine);\n"
        "        RESUME_CALL(engine, PATHS_FRAME_REFILL, paths_widen(engine));",
        "        paths_aim_nothing(engine);\n        engine->memory.failed = 0;"),
}
