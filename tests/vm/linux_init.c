/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The only program, but for sg_persist, of a Linux that runs in a virtual machine inside the
 * virtual machine; linux_guest.py puts both into an initramfs. Emulation in emulation is some
 * hundred times slower than hardware, so this is no shell: it loads the modules and then carries
 * out what the second serial port says, a line each:
 *
 *     run PROGRAM ARGUMENT...     the program's output, then "exit CODE"
 *     write NUMBER FIRST COUNT    numbered blocks of writer NUMBER, again and again into COUNT
 *                                 blocks from FIRST on, until a write fails: "writes" when the
 *                                 first has succeeded, "errno CODE after N" at the end
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define DISK         "/dev/sda"
#define PORT         "/dev/ttyS1"
#define SECTOR       512
#define BLOCK_FORMAT "numbered %" PRIu64 " %" PRIu64 "\n"
#define MODULES_MAX  32
#define WORDS_MAX    16

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "init: %s: %s\n", what, strerror(errno));
    sync();
    reboot(RB_AUTOBOOT);
    abort();
}

/* The modules are named 00.ko, 01.ko and so on, in the order in which they need one another. */
static void load_modules(void)
{
    char path[32];

    for (int number = 0; number < MODULES_MAX; number++) {
        snprintf(path, sizeof(path), "/modules/%02d.ko", number);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return;
        if (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)
            die(path);
        close(fd);
    }
}

static int wait_for_disk(void)
{
    const struct timespec pause = {.tv_nsec = 10000000};

    for (;;) {
        int fd = open(DISK, O_RDWR | O_DIRECT | O_CLOEXEC);
        if (fd >= 0)
            return fd;
        if (errno != ENOENT && errno != ENXIO)
            die(DISK);
        nanosleep(&pause, NULL);
    }
}

static void run_program(char **argv)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        execv(argv[0], argv);
        printf("%s: %s\n", argv[0], strerror(errno));
        fflush(stdout);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        die("fork");
    printf("exit %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

static void write_blocks(int disk, uint64_t writer, uint64_t first, uint64_t count)
{
    char *block = aligned_alloc(4096, 4096);
    uint64_t number = 0;

    for (;; number++) {
        memset(block, 0, SECTOR);
        snprintf(block, SECTOR, BLOCK_FORMAT, writer, number);
        off_t at = (off_t)(first + number % count) * SECTOR;
        if (pwrite(disk, block, SECTOR, at) != SECTOR)
            break;
        if (number == 0)
            puts("writes");
    }
    printf("errno %d after %" PRIu64 "\n", errno, number);
    free(block);
}

static void carry_out(int disk, char *line)
{
    char *words[WORDS_MAX + 1] = {0};
    size_t count = 0;

    for (char *word = strtok(line, " \n"); word && count < WORDS_MAX; word = strtok(NULL, " \n"))
        words[count++] = word;
    if (count >= 2 && strcmp(words[0], "run") == 0)
        run_program(words + 1);
    else if (count == 4 && strcmp(words[0], "write") == 0)
        write_blocks(disk, strtoull(words[1], NULL, 10), strtoull(words[2], NULL, 10),
                     strtoull(words[3], NULL, 10));
    else
        puts("what?");
}

int main(void)
{
    struct termios raw;
    char line[256];

    if (mount("dev", "/dev", "devtmpfs", 0, NULL) != 0 && errno != EBUSY)
        die("/dev");
    load_modules();
    int disk = wait_for_disk();
    int port = open(PORT, O_RDWR | O_NOCTTY);
    if (port < 0 || tcgetattr(port, &raw) != 0)
        die(PORT);
    cfmakeraw(&raw);
    tcsetattr(port, TCSANOW, &raw);
    dup2(port, STDIN_FILENO);
    dup2(port, STDOUT_FILENO);
    dup2(port, STDERR_FILENO);
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    while (fgets(line, sizeof(line), stdin))
        carry_out(disk, line);
    die("end of " PORT);
}
