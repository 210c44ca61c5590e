/*
 * Stands between LMDB and the system, by LD_PRELOAD: holds back or fails what it does to the database file of a spool.
 * Files in the directory $SPOOL_SHIM say what: while `hold-CALL` is there the call waits, and `held` is made; `fail-CALL`
 * holds the error number that it returns. CALL is sync, write (of pages) or root (of a new root, which makes a
 * transaction count).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_database(int fd)
{
	char link[64], path[PATH_MAX];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, path, sizeof path);
	const char *name = "/spool.mdb";
	size_t size = strlen(name);
	return length > (ssize_t)size && memcmp(path + length - size, name, size) == 0;
}

static const char *control(char *path, const char *prefix, const char *call)
{
	snprintf(path, PATH_MAX, "%s/%s%s", getenv("SPOOL_SHIM"), prefix, call);
	return path;
}

/* Returns the error number that the call is to fail with, or 0. */
static int before(int fd, const char *call)
{
	char path[PATH_MAX];
	int error = 0;
	if (getenv("SPOOL_SHIM") == NULL || !is_database(fd)) return 0;
	while (access(control(path, "hold-", call), F_OK) == 0) {
		int held = open(control(path, "held", ""), O_CREAT | O_WRONLY, 0600);
		if (held >= 0) close(held);
		usleep(2000);
	}
	FILE *file = fopen(control(path, "fail-", call), "r");
	if (file == NULL) return 0;
	if (fscanf(file, "%d", &error) != 1) error = EIO;
	fclose(file);
	return error;
}

#define NEXT(type, name) ((type)dlsym(RTLD_NEXT, name))

int fdatasync(int fd)
{
	int error = before(fd, "sync");
	if (error) return errno = error, -1;
	return NEXT(int (*)(int), "fdatasync")(fd);
}

int fsync(int fd)
{
	int error = before(fd, "sync");
	if (error) return errno = error, -1;
	return NEXT(int (*)(int), "fsync")(fd);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset)
{
	/* The two roots are in the first pages. */
	int error = before(fd, offset < 2 * 4096 ? "root" : "write");
	if (error) return errno = error, -1;
	return NEXT(ssize_t (*)(int, const void *, size_t, off64_t), "pwrite64")(fd, bytes, size, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	int error = before(fd, "write");
	if (error) return errno = error, -1;
	return NEXT(ssize_t (*)(int, const struct iovec *, int), "writev")(fd, parts, count);
}
