/* A disk that tells no types of files, and cannot say anything of those called "bad". For LD_PRELOAD. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

struct dirent64 *readdir64(DIR *directory)
{
	struct dirent64 *entry = REAL(readdir64)(directory);
	if (entry) entry->d_type = DT_UNKNOWN;
	return entry;
}

int scandir64(const char *path, struct dirent64 ***list, int (*filter)(const struct dirent64 *),
              int (*compare)(const struct dirent64 **, const struct dirent64 **))
{
	int count = REAL(scandir64)(path, list, filter, compare);
	for (int at = 0; at < count; at++) (*list)[at]->d_type = DT_UNKNOWN;
	return count;
}

int statx(int from, const char *restrict path, int flags, unsigned mask, struct statx *restrict stats)
{
	if (path && strstr(path, "new/bad")) {
		errno = EIO;
		return -1;
	}
	return REAL(statx)(from, path, flags, mask, stats);
}

long syscall(long number, ...)
{
	long (*real)(long, ...) = dlsym(RTLD_NEXT, "syscall");
	__builtin_va_list rest;
	long args[6];
	__builtin_va_start(rest, number);
	for (int at = 0; at < 6; at++) args[at] = __builtin_va_arg(rest, long);
	__builtin_va_end(rest);
	if (number == SYS_statx && args[1] && strstr((char *)args[1], "new/bad")) {
		errno = EIO;
		return -1;
	}
	return real(number, args[0], args[1], args[2], args[3], args[4], args[5]);
}

int open64(const char *path, int flags, ...)
{
	if (strstr(path, "new/bad")) {
		errno = EIO;
		return -1;
	}
	int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
	__builtin_va_list rest;
	__builtin_va_start(rest, flags);
	int mode = __builtin_va_arg(rest, int);
	__builtin_va_end(rest);
	return real(path, flags, mode);
}
