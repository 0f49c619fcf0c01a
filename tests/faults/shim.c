/* A disk that fails, and that remembers: preloaded into a process under test (LD_PRELOAD), it counts every call that changes
 * something below one folder, records it, and at the chosen one kills the process or answers with an error.
 *
 * ivizone_shim_arm() begins; without it every call goes straight through. What is recorded, and what a disk may hold after a power
 * cut given the record, is read by disk.py. Calls through the page cache only: a shared memory map (SQLite's -shm) is not seen, and
 * nothing durable lies in one.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 4096
enum { BEFORE = 0, HALF_WAY = 1, AFTER = 2 };
enum { FULL = 1, READ_ONLY = 2, BROKEN = 3 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_length;
static int log_fd = -1;
static long calls, kill_at = -1, fail_from = -1, fail_to = -1;
static int kill_phase, fail_kind;
static uint64_t inode_of[FDS];         /* 0: not below the folder */
static char *directory_of[FDS];        /* an open directory's path */

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

/* --- the record: kind, inode, offset, two lengths, two runs of bytes ------------------------------------------------------------ */

struct entry { uint32_t kind, first, second, unused; uint64_t inode; int64_t offset; } __attribute__((packed));

static void record(char kind, uint64_t inode, int64_t offset, const void *first, size_t a, const void *second, size_t b) {
    struct entry e = {(uint32_t)kind, (uint32_t)a, (uint32_t)b, 0, inode, offset};
    struct iovec parts[3] = {{&e, sizeof e}, {(void *)first, a}, {(void *)second, b}};
    if (log_fd >= 0 && REAL(writev)(log_fd, parts, 3) < 0) raise(SIGABRT);
}

static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

void ivizone_shim_arm(const char *folder, const char *log, long at, int phase, int kind, long from, long to) {
    pthread_mutex_lock(&lock);
    strncpy(root, folder, sizeof root - 1);
    root_length = strlen(root);
    log_fd = REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    calls = 0; kill_at = at; kill_phase = phase; fail_kind = kind; fail_from = from; fail_to = to;
    pthread_mutex_unlock(&lock);
}

long ivizone_shim_calls(void) { return calls; }

static int is_ours(const char *path) {
    return root_length && path && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

/* --- each call: step() before it, done() after it ---------------------------------------------------------------------------------- */

/* What this call shall do: 0 go on, 1 half of it and die, or an errno (negative). Holds the lock; unlock with done(). */
static int step(int frees_room) {
    pthread_mutex_lock(&lock);
    long now = calls++;
    if (now == kill_at && kill_phase == BEFORE) die();
    if (now == kill_at && kill_phase == HALF_WAY) return 1;
    if (fail_kind && now >= fail_from && now < fail_to) {
        if (fail_kind == FULL && !frees_room) return -ENOSPC;
        if (fail_kind == READ_ONLY) return -EROFS;
        if (fail_kind == BROKEN) return -EIO;
    }
    return 0;
}

static void done(void) {
    if (calls - 1 == kill_at) die();
    pthread_mutex_unlock(&lock);
}

static int refuse(int number) { done(); errno = number; return -1; }

static int opened(int fd, const char *path, int flags, int existed) {
    struct stat about;
    if (fd < 0 || fd >= FDS || fstat(fd, &about)) return fd;
    inode_of[fd] = about.st_ino;
    if (S_ISDIR(about.st_mode)) directory_of[fd] = strdup(path);
    else if (!existed) record('C', about.st_ino, 0, path, strlen(path), 0, 0);
    else if (flags & O_TRUNC) record('T', about.st_ino, 0, 0, 0, 0, 0);
    return fd;
}

static int open_it(const char *path, int flags, mode_t mode) {
    struct stat about;
    if (!is_ours(path)) return REAL(openat)(AT_FDCWD, path, flags, mode);
    int existed = !stat(path, &about);
    int changes = ((flags & O_CREAT) && !existed) || (flags & O_TRUNC);
    int what = changes ? step(0) : 0;
    if (!changes) pthread_mutex_lock(&lock);
    if (what < 0) return refuse(-what);
    int fd = opened(REAL(openat)(AT_FDCWD, path, flags, mode), path, flags, existed), kept = errno;
    if (changes) done(); else pthread_mutex_unlock(&lock);
    errno = kept;
    return fd;
}

#define MODE(flags) mode_t mode = 0; if ((flags) & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }
int open(const char *path, int flags, ...) { MODE(flags) return open_it(path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_it(path, flags, mode); }
int __open_2(const char *path, int flags) { return open_it(path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_it(path, flags, 0); }
int openat(int at, const char *path, int flags, ...) {
    MODE(flags)
    if (at == AT_FDCWD || path[0] == '/') return open_it(path, flags, mode);
    return REAL(openat)(at, path, flags, mode);
}
int openat64(int at, const char *path, int flags, ...) {
    MODE(flags)
    if (at == AT_FDCWD || path[0] == '/') return open_it(path, flags, mode);
    return REAL(openat)(at, path, flags, mode);
}

static uint64_t ours(int fd) { return fd >= 0 && fd < FDS && root_length ? inode_of[fd] : 0; }

int close(int fd) {
    if (ours(fd)) {
        pthread_mutex_lock(&lock);
        inode_of[fd] = 0;
        directory_of[fd] = 0;
        pthread_mutex_unlock(&lock);
    }
    return REAL(close)(fd);
}

static ssize_t write_it(int fd, const void *data, size_t size, off_t at) {
    int what = step(0);
    if (what < 0) return refuse(-what);
    size_t wanted = what == 1 ? size / 2 : size;
    ssize_t written = at < 0 ? REAL(write)(fd, data, wanted) : REAL(pwrite)(fd, data, wanted, at);
    int kept = errno;
    if (written > 0) record('W', inode_of[fd], at < 0 ? lseek(fd, 0, SEEK_CUR) - written : at, data, written, 0, 0);
    done();
    errno = kept;
    return written;
}

ssize_t write(int fd, const void *data, size_t size) { return ours(fd) ? write_it(fd, data, size, -1) : REAL(write)(fd, data, size); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return ours(fd) ? write_it(fd, data, size, at) : REAL(pwrite)(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) { return ours(fd) ? write_it(fd, data, size, at) : REAL(pwrite)(fd, data, size, at); }

static int truncate_it(int fd, off_t size) {
    int what = step(0);
    if (what < 0) return refuse(-what);
    int answer = REAL(ftruncate)(fd, size), kept = errno;
    if (!answer) record('T', inode_of[fd], size, 0, 0, 0, 0);
    done();
    errno = kept;
    return answer;
}
int ftruncate(int fd, off_t size) { return ours(fd) ? truncate_it(fd, size) : REAL(ftruncate)(fd, size); }
int ftruncate64(int fd, off_t size) { return ours(fd) ? truncate_it(fd, size) : REAL(ftruncate)(fd, size); }

/* The folder lies on a RAM disk as often as not: whether data is durable is what the record says, so nothing need wait for a real disk. */
static int sync_it(int fd) {
    int what = step(0);
    if (what < 0) return refuse(-what);
    if (what == 1) die();
    if (directory_of[fd]) record('D', inode_of[fd], 0, directory_of[fd], strlen(directory_of[fd]), 0, 0);
    else record('S', inode_of[fd], 0, 0, 0, 0, 0);
    done();
    return 0;
}
int fsync(int fd) { return ours(fd) ? sync_it(fd) : REAL(fsync)(fd); }
int fdatasync(int fd) { return ours(fd) ? sync_it(fd) : REAL(fdatasync)(fd); }

#define NAMED(kind, frees, call, path, other) do { \
    int what = step(frees); \
    if (what < 0) return refuse(-what); \
    if (what == 1) die(); \
    int answer = (call), kept = errno; \
    struct stat about; \
    if (!answer) record(kind, kind == 'M' && !stat(path, &about) ? about.st_ino : 0, 0, path, strlen(path), other, strlen(other)); \
    done(); \
    errno = kept; \
    return answer; \
} while (0)

int rename(const char *from, const char *to) {
    if (!is_ours(from) && !is_ours(to)) return REAL(rename)(from, to);
    NAMED('R', 1, REAL(rename)(from, to), from, to);
}
int unlink(const char *path) {
    if (!is_ours(path)) return REAL(unlink)(path);
    NAMED('U', 1, REAL(unlink)(path), path, "");
}
int mkdir(const char *path, mode_t mode) {
    if (!is_ours(path)) return REAL(mkdir)(path, mode);
    NAMED('M', 0, REAL(mkdir)(path, mode), path, "");
}
int rmdir(const char *path) {
    if (!is_ours(path)) return REAL(rmdir)(path);
    NAMED('X', 1, REAL(rmdir)(path), path, "");
}
