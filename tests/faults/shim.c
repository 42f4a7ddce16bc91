// Preloaded into a process: lets one of its system calls on the files of one folder fail, or kills it there.
// Calls are counted from fault_arm on, over all threads. A call is on those files if its path or descriptor is.
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KILL = -1 };  // in place of an errno

static char root[4096];
static long wanted;
static int fault;
static atomic_long calls;
static const char *struck;  // the call that failed; none yet

void fault_arm(const char *folder, long at, int error) {
    snprintf(root, sizeof root, "%s", folder);
    wanted = at;
    fault = error;
    calls = 0;
    struck = NULL;
}

long fault_calls(void) { return calls; }

const char *fault_struck(void) { return struck; }

static int is_below(const char *path) {
    size_t length = strlen(root);
    return length && !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

static int is_open_below(int descriptor) {
    char link[64], path[4096];
    if (!*root) return 0;
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

static int is_at_below(int folder, const char *path) {
    return *path == '/' ? is_below(path) : folder != AT_FDCWD && is_open_below(folder);
}

static int is_the_one(const char *name) {
    if (atomic_fetch_add(&calls, 1) + 1 != wanted) return 0;
    struck = name;
    return 1;
}

// Whether this call is to fail; never returns where the process is to die.
static int fails(const char *name, int is_ours) {
    if (!is_ours || !is_the_one(name)) return 0;
    if (fault == KILL) kill(getpid(), SIGKILL), pause();
    errno = fault;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define WRAP(type, failed, name, parameters, arguments, is_ours) \
    type name parameters { return fails(#name, is_ours) ? failed : REAL(name) arguments; }

WRAP(ssize_t, -1, read, (int fd, void *to, size_t size), (fd, to, size), is_open_below(fd))
WRAP(ssize_t, -1, pread64, (int fd, void *to, size_t size, off64_t at), (fd, to, size, at), is_open_below(fd))
WRAP(ssize_t, -1, pwrite64, (int fd, const void *from, size_t size, off64_t at), (fd, from, size, at), is_open_below(fd))
WRAP(off64_t, -1, lseek64, (int fd, off64_t at, int whence), (fd, at, whence), is_open_below(fd))
WRAP(int, -1, fsync, (int fd), (fd), is_open_below(fd))
WRAP(int, -1, fdatasync, (int fd), (fd), is_open_below(fd))
WRAP(int, -1, ftruncate64, (int fd, off64_t size), (fd, size), is_open_below(fd))
WRAP(int, -1, flock, (int fd, int how), (fd, how), is_open_below(fd))
WRAP(int, -1, fstat64, (int fd, struct stat64 *to), (fd, to), is_open_below(fd))
WRAP(int, -1, stat64, (const char *path, struct stat64 *to), (path, to), is_below(path))
WRAP(int, -1, lstat64, (const char *path, struct stat64 *to), (path, to), is_below(path))
WRAP(int, -1, fstatat64, (int at, const char *path, struct stat64 *to, int how), (at, path, to, how), is_at_below(at, path))
WRAP(int, -1, mkdir, (const char *path, mode_t mode), (path, mode), is_below(path))
WRAP(int, -1, mkdirat, (int at, const char *path, mode_t mode), (at, path, mode), is_at_below(at, path))
WRAP(int, -1, rmdir, (const char *path), (path), is_below(path))
WRAP(int, -1, unlink, (const char *path), (path), is_below(path))
WRAP(int, -1, unlinkat, (int at, const char *path, int how), (at, path, how), is_at_below(at, path))
WRAP(int, -1, rename, (const char *from, const char *to), (from, to), is_below(to))
WRAP(int, -1, renameat, (int at, const char *from, int there, const char *to), (at, from, there, to), is_at_below(there, to))
WRAP(int, -1, link, (const char *from, const char *to), (from, to), is_below(to))
WRAP(int, -1, linkat, (int at, const char *from, int there, const char *to, int how), (at, from, there, to, how),
     is_at_below(there, to))
WRAP(DIR *, NULL, opendir, (const char *path), (path), is_below(path))
WRAP(DIR *, NULL, fdopendir, (int fd), (fd), is_open_below(fd))
WRAP(struct dirent64 *, NULL, readdir64, (DIR *folder), (folder), is_open_below(dirfd(folder)))

int open64(const char *path, int how, ...) {
    va_list rest;
    va_start(rest, how);
    mode_t mode = how & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return fails("open64", is_below(path)) ? -1 : REAL(open64)(path, how, mode);
}

int openat64(int at, const char *path, int how, ...) {
    va_list rest;
    va_start(rest, how);
    mode_t mode = how & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return fails("openat64", is_at_below(at, path)) ? -1 : REAL(openat64)(at, path, how, mode);
}

// Half of what was to be written is there before a disk is full or a process dies.
ssize_t write(int fd, const void *from, size_t size) {
    if (is_open_below(fd) && is_the_one("write")) {
        if (fault != EINTR) REAL(write)(fd, from, size / 2);
        if (fault == KILL) kill(getpid(), SIGKILL), pause();
        errno = fault;
        return -1;
    }
    return REAL(write)(fd, from, size);
}

// Linux closes the descriptor in any case.
int close(int fd) {
    int is_faulty = fails("close", is_open_below(fd)), error = errno, result = REAL(close)(fd);
    if (!is_faulty) return result;
    errno = error;
    return -1;
}
