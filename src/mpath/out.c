// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * PERSISTENT RESERVE OUT on a map: all but RELEASE by the library, which knows what multipathd has
 * to be told, and does REGISTER on every path. What it returns is one number, so what an
 * administrator could do about it is found out here.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mpath/command.h"
#include "mpath/library.h"
#include "mpath/list.h"
#include "mpath/multipathd.h"
#include "mpath/output.h"
#include "mpath/paths.h"
#include "mpath/result.h"
#include "sg/issue.h"
#include "sg/reply.h"

/*
 * The library knows the sense key only. A device that is not ready, or broken, says the rest again
 * when it is asked; what it says must have that key, else it is about something else.
 */
static void out_refine(struct command *command)
{
    const uint8_t cdb[CDB_FIELD_SIZE] = {SPC_TEST_UNIT_READY};
    const struct request request = {
        .cdb = cdb, .opcode = SPC_TEST_UNIT_READY, .fd = command->request.fd};
    struct spc_sense known, said;
    struct sg_result result;
    struct reply reply;

    if (sg_issue(&request, command->io_timeout_ms, &result) < 0)
        return;
    sg_reply_result(&result, &request, &reply);
    if (reply.status == SPC_STATUS_CHECK_CONDITION &&
        sense_decode(command->answer.reply.sense, SENSE_SIZE, &known) &&
        sense_decode(reply.sense, SENSE_SIZE, &said) && said.key == known.key)
        command->answer.reply = reply;
}

/* Whatever keeps the library from doing it that can be seen from here. */
static void out_explain_failure(struct command *command, int code)
{
    char line[OUTPUT_LINE_SIZE], said[MULTIPATHD_REPLY_SIZE];

    if (multipathd_ask("getprstatus", command->map.kernel_name, said) < 0)
        command_say(command, "multipathd cannot be reached: %s", said);
    output_last_line(command->output, line);
    if (line[0])
        command_say(command, "libmpathpersist failed with %d: %s", code, line);
    else
        command_say(command, "libmpathpersist failed with %d", code);
}

/*
 * The key that multipathd would register a new path with: "none", or a number, with ":aptpl"
 * perhaps. With `reservation_key file' the library has just told it; with a number in
 * multipath.conf it has to be the client's, which only a site that knows its clients' keys can
 * arrange. Returns whether there was something to say.
 */
static bool out_explain_key(struct command *command, uint64_t key)
{
    char said[MULTIPATHD_REPLY_SIZE], wanted[24];
    int r = multipathd_ask("getprkey", command->map.kernel_name, said);

    snprintf(wanted, sizeof(wanted), "0x%" PRIx64, key);
    if (r < 0)
        command_say(command,
                    "multipathd cannot be reached, so paths that come up later will not be "
                    "registered: %s",
                    said);
    else if (strcmp(said, "none") == 0)
        command_say(command,
                    "multipath.conf has no reservation_key for this map, without which paths that "
                    "come up later are not registered, if the command works at all: put "
                    "`reservation_key file' into its defaults section and run `multipathd "
                    "reconfigure'");
    else if (strncmp(said, "0x", 2) == 0 &&
             (strcspn(said, ":") != strlen(wanted) || strncmp(said, wanted, strlen(wanted)) != 0))
        command_say(command,
                    "the client's key is %s, but multipathd has %s for this map: if that is the "
                    "reservation_key of multipath.conf, put `reservation_key file' there, which "
                    "takes any key, and run `multipathd reconfigure'; else the client has a wrong "
                    "key",
                    wanted, said);
    else
        return false;
    return true;
}

static bool out_is_register(const struct command *command)
{
    return command->cdb.service_action == SPC_PROUT_REGISTER ||
           command->cdb.service_action == SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY;
}

/*
 * The library compares the client's key with multipathd's, and tells the device nothing if they
 * differ. Is it one to which any device would say RESERVATION CONFLICT (SPC-4 6.16.3)? That is
 * certain if nobody has registered it; of a key that somebody has, or where none is needed, it is
 * not, and the fault may be the configuration's.
 */
static bool out_is_foreign_key(const struct command *command, const struct prout *prout)
{
    static struct map_paths paths;
    enum prin_result result;
    struct prin_list list;
    uint64_t key;

    if (command->cdb.service_action == SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY ||
        (command->cdb.service_action == SPC_PROUT_REGISTER && prout->key == 0))
        return false;
    if (map_open_paths(&command->map, &paths) <= 0 ||
        !paths_read_keys(&paths, command->io_timeout_ms, &list))
        return false;
    while ((result = prin_key_next(&list, &key)) == PRIN_OK) {
        if (key == prout->key)
            return false;
    }
    return result == PRIN_END;
}

static void out_explain(struct command *command, const struct prout *prout, int code)
{
    uint64_t key = out_is_register(command) ? prout->sa_key : prout->key;

    switch (result_reply(code, &command->answer.reply)) {
    case RESULT_ANSWER:
        if (code == 0 && out_is_register(command) && key != 0)
            out_explain_key(command, key);
        return;
    case RESULT_LESS:
        out_refine(command);
        return;
    case RESULT_KEY:
        if (!out_explain_key(command, key))
            out_explain_failure(command, code);
        if (out_is_foreign_key(command, prout))
            command_answer_status(command, SPC_STATUS_RESERVATION_CONFLICT);
        return;
    case RESULT_NO_OUTCOME:
        out_explain_failure(command, code);
        return;
    }
}

/* By the library. */
static void out_execute(struct command *command, const struct prout *prout)
{
    struct library library;
    char error[OUTPUT_LINE_SIZE];
    int code;

    if (!library_open(&library, error, sizeof(error))) {
        /* It was there when the worker started. */
        command_answer_sense(command, SPC_LU_COMMUNICATION_FAILURE);
        command_say(command, "%s", error);
        return;
    }
    code = library_out(&library, command->request.fd, &command->cdb, prout);
    out_explain(command, prout, code);
}

void command_out(struct command *command)
{
    uint8_t service_action = command->cdb.service_action;
    struct spc_sense code;
    struct prout prout;

    if (!list_accept(service_action, command->request.data, command->request.length, &prout,
                     &code)) {
        command_answer_sense(command, code);
        return;
    }
    if (service_action == SPC_PROUT_RELEASE) {
        command_release(command, &prout);
        return;
    }
    out_execute(command, &prout);
    if (command->answer.reply.status != SPC_STATUS_GOOD)
        return;
    if (service_action == SPC_PROUT_PREEMPT || service_action == SPC_PROUT_PREEMPT_AND_ABORT)
        command_repair_preempt(command, &prout);
    if (prout.spec_i_pt && prout.sa_key != 0)
        command_confirm_transportids(command, &prout);
}

void command_cleanup(struct command *command)
{
    /* No keys at all. */
    const struct prout prout = {0};
    char said[MULTIPATHD_REPLY_SIZE];

    /* What multipathd answers plays no part: with another reservation_key than `file' it has no
     * key to forget. */
    if (multipathd_ask("unsetprkey", command->map.kernel_name, said) < 0 ||
        multipathd_ask("unsetprstatus", command->map.kernel_name, said) < 0) {
        command_answer_sense(command, SPC_LU_COMMUNICATION_FAILURE);
        command_say(command, "multipathd cannot be reached: %s", said);
        return;
    }
    command->cdb = (struct cdb){.opcode = SPC_PERSISTENT_RESERVE_OUT,
                                .service_action = SPC_PROUT_REGISTER_AND_IGNORE_EXISTING_KEY};
    out_execute(command, &prout);
}
