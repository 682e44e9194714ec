// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Preloaded into a program, this lets some of its allocations fail: those from the first on that a
 * test says, as many as it says, of all threads and of processes forked from it. The C library's
 * own allocations come here, too, such as those of pthread_create and opendir.
 *
 * Those of libseccomp succeed: version 2.5 loses parts of a filter without a word if its memory
 * runs out while it generates the program. What is lost is refused, so nothing gets in by that; but
 * not even a thread can end then, and no caller can know.
 *
 * And it lets close(2) say an error after it has closed, which is what a real close does.
 *
 * NOMEM_CONTROL names a file of this layout (tests/faults/injector.py), mapped before main(), so
 * the program may lock itself up later.
 */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct nomem_control {
    uint32_t calls; /* since the test last cleared it */
    uint32_t first, times;
    uint32_t hits;
    int32_t close_error; /* 0: none */
};

/* The C library's own, which it keeps for those who put something in the place of the usual names.
 */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *pointer, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static struct nomem_control *control;
static uintptr_t spared_begin, spared_end; /* libseccomp's code */

static int nomem_find_spared(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    (void)context;
    if (!strstr(info->dlpi_name, "libseccomp"))
        return 0;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];

        if (segment->p_type == PT_LOAD && segment->p_flags & PF_X) {
            spared_begin = info->dlpi_addr + segment->p_vaddr;
            spared_end = spared_begin + segment->p_memsz;
        }
    }
    return 1;
}

__attribute__((constructor)) static void nomem_open(void)
{
    const char *path = getenv("NOMEM_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *map = fd < 0 ? MAP_FAILED
                       : mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (map == MAP_FAILED)
        _exit(127); /* a test that would find nothing */
    syscall(SYS_close, fd);
    dl_iterate_phdr(nomem_find_spared, NULL);
    control = map;
}

static int nomem_fails(const void *caller)
{
    uint32_t n;

    if (!control || ((uintptr_t)caller >= spared_begin && (uintptr_t)caller < spared_end))
        return 0;
    n = __atomic_add_fetch(&control->calls, 1, __ATOMIC_SEQ_CST);
    if (n < control->first || n - control->first >= control->times)
        return 0;
    __atomic_add_fetch(&control->hits, 1, __ATOMIC_SEQ_CST);
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return nomem_fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return nomem_fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *pointer, size_t size)
{
    return nomem_fails(__builtin_return_address(0)) ? NULL : __libc_realloc(pointer, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return nomem_fails(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
    void *pointer = nomem_fails(__builtin_return_address(0)) ? NULL
                                                             : __libc_memalign(alignment, size);

    if (!pointer)
        return ENOMEM;
    *ret = pointer;
    return 0;
}

int close(int fd)
{
    int r = (int)syscall(SYS_close, fd);

    if (r == 0 && control && control->close_error) {
        __atomic_add_fetch(&control->hits, 1, __ATOMIC_SEQ_CST);
        errno = control->close_error;
        r = -1;
    }
    return r;
}
